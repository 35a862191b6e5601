//! Listeners: where connections are accepted, and what their requests are taken for.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::networks::Networks;
use crate::ports::Ports;

/// One accepting address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// Unique; a metric label, and the name by which routes are attached.
    pub name: String,
    /// Unique among the listeners and the admin server.
    pub address: SocketAddr,
    /// What its requests are taken for. Default `gateway`.
    pub kind: Kind,
    /// Gateway: the service for requests that match no route. Default none: they get 404.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Inbound: the local application; always there for that kind, never for another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<SocketAddr>,
    /// What its connections may speak. Default `http` for a gateway, else `detect`.
    pub protocol: Protocol,
    /// Where it detects: ports whose connections are opaque at once, be it the listener's own port,
    /// its service's or its target's. Default [`Ports::OPAQUE`] (Linkerd).
    pub opaque_ports: Ports,
    /// Whose HTTP/2 connections are those of other ringways, which carry the requests of many
    /// clients. Default [`Networks::PRIVATE`] for an inbound listener, else none.
    pub peers: Networks,
    /// Whether CONNECT opens a tunnel. Default no: 405.
    pub allow_connect: bool,
    /// How the client is made known upstream. Default `x-forwarded` for a gateway, else `off`.
    pub forwarded: ForwardedMode,
    /// Whether `Via: 1.1 ringway` is appended. Default yes (Linkerd 1.x; RFC 9110 section 7.6.3).
    pub via: bool,
}

impl Listener {
    /// A listener of that kind with the defaults of its kind.
    #[must_use]
    pub fn new(name: impl Into<String>, address: SocketAddr, kind: Kind) -> Self {
        Self {
            name: name.into(),
            address,
            kind,
            service: None,
            target: None,
            protocol: kind.protocol(),
            opaque_ports: Ports::opaque(),
            peers: kind.peers(),
            allow_connect: false,
            forwarded: kind.forwarded(),
            via: true,
        }
    }
}

/// What a listener's requests are taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A plain reverse proxy: routes by host and path.
    #[default]
    Gateway,
    /// From the local application: original destination, or Host / absolute-form.
    Outbound,
    /// To the local application.
    Inbound,
}

impl Kind {
    /// The kind's `forwarded` unless the file says otherwise: only a gateway is where the client
    /// would be lost; between sidecars the application's own fields stay as they are.
    #[must_use]
    pub const fn forwarded(self) -> ForwardedMode {
        match self {
            Self::Gateway => ForwardedMode::XForwarded,
            Self::Outbound | Self::Inbound => ForwardedMode::Off,
        }
    }

    /// The kind's `peers` unless the file says otherwise: an inbound listener is there for the
    /// cluster's own proxies, the others are for applications and the world.
    #[must_use]
    pub fn peers(self) -> Networks {
        match self {
            Self::Inbound => Networks::private(),
            Self::Gateway | Self::Outbound => Networks::default(),
        }
    }

    /// The kind's `protocol` unless the file says otherwise: in a mesh anything comes along, a
    /// reverse proxy is for HTTP.
    #[must_use]
    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Gateway => Protocol::Http,
            Self::Outbound | Self::Inbound => Protocol::Detect,
        }
    }
}

/// What the connections of a listener may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Their first bytes decide: HTTP/1, HTTP/2, or opaque.
    Detect,
    /// HTTP/1 or HTTP/2: whatever else comes is malformed HTTP.
    Http,
    /// HTTP/2 only: what does not begin with its preface is closed.
    Http2,
    /// Anything, passed on as it comes.
    Opaque,
}

impl From<Protocol> for ringway_core::snapshot::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Detect => Self::Detect,
            Protocol::Http => Self::Http,
            Protocol::Http2 => Self::Http2,
            Protocol::Opaque => Self::Opaque,
        }
    }
}

/// How the client's address, scheme and host are made known upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedMode {
    /// Fields are passed as they came.
    #[default]
    Off,
    /// `x-forwarded-for` is appended to; `x-forwarded-proto` and `-host` are set if absent.
    XForwarded,
    /// `Forwarded` (RFC 7239) is appended to.
    Rfc7239,
}

impl From<ForwardedMode> for ringway_core::policy::forward::ForwardedMode {
    fn from(mode: ForwardedMode) -> Self {
        match mode {
            ForwardedMode::Off => Self::Off,
            ForwardedMode::XForwarded => Self::XForwarded,
            ForwardedMode::Rfc7239 => Self::Rfc7239,
        }
    }
}
