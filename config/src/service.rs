//! Services whose endpoints stand in the file.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ringway_core::snapshot::{Balancer, HttpProtocol};
use ringway_core::time::Duration;
use serde::{Serialize, Serializer};

use crate::duration;
use crate::settings::Timeouts;

/// The port of a service that names none: HTTP's (RFC 9110 section 4.2.1).
pub(crate) const HTTP: u16 = 80;

/// A service of the `services:` map; namespace `default` in the vocabulary of discovery.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StaticService {
    /// Unique; a DNS label.
    #[serde(skip)]
    pub name: String,
    /// The port clients name. Default 80.
    pub port: u16,
    /// Never empty; no address twice.
    pub endpoints: Vec<StaticEndpoint>,
    /// Default peak EWMA, decay 10 s, unknown endpoint 30 ms (Linkerd).
    #[serde(serialize_with = "serialize_balancer")]
    pub balancer: Balancer,
    /// What the endpoints speak. Default `http1`.
    #[serde(serialize_with = "serialize_protocol")]
    pub protocol: HttpProtocol,
    /// Whether ringways stand before the endpoints. Default no.
    pub meshed: bool,
    /// Time for a TCP connect. Default: `timeouts.connect`.
    #[serde(serialize_with = "duration::serialize")]
    pub connect_timeout: Duration,
}

impl StaticService {
    /// A service with the defaults of the file.
    #[must_use]
    pub fn new(name: &str, endpoints: Vec<StaticEndpoint>, timeouts: &Timeouts) -> Self {
        Self {
            name: name.to_owned(),
            port: HTTP,
            endpoints,
            balancer: Balancer::default(),
            protocol: HttpProtocol::default(),
            meshed: false,
            connect_timeout: timeouts.connect,
        }
    }
}

/// One endpoint of a static service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StaticEndpoint {
    /// Where it listens; a DNS name stands for all addresses it resolves to.
    pub address: HostPort,
    /// Share relative to its siblings. Default 1; 0 gets no traffic.
    pub weight: u32,
}

/// `host:port`, the host being an IP address or a DNS name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port, never 0.
    pub port: u16,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address, used as it is.
    Ip(IpAddr),
    /// A DNS name in lower case without a trailing dot; resolved by discovery.
    Name(String),
}

impl HostPort {
    /// The address, when the host is one.
    #[must_use]
    pub const fn socket_address(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self { host: Host::Ip(address.ip()), port: address.port() }
    }
}

/// Why a text is not a [`HostPort`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotHostPort {
    /// There is no `:port`.
    NoPort,
    /// The port is not 1 to 65535.
    BadPort,
    /// The host is neither an IP address nor a DNS name.
    BadHost,
    /// An IPv6 address outside brackets: where the port begins is anyone's guess.
    BareV6,
    /// It starts like a URL.
    Url,
}

impl fmt::Display for NotHostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPort => "add the port, as in 127.0.0.1:8080",
            Self::BadPort => "a port is a number from 1 to 65535",
            Self::BadHost => "the host is an IP address or a DNS name",
            Self::BareV6 => "put the IPv6 address in brackets, as in [::1]:8080",
            Self::Url => "write host:port only, without a scheme or path",
        })
    }
}

impl std::error::Error for NotHostPort {}

impl FromStr for HostPort {
    type Err = NotHostPort;

    fn from_str(text: &str) -> Result<Self, NotHostPort> {
        if text.contains('/') {
            return Err(NotHostPort::Url);
        }
        if text.parse::<std::net::Ipv6Addr>().is_ok() {
            return Err(NotHostPort::BareV6);
        }
        let (host, port) = text.rsplit_once(':').ok_or(NotHostPort::NoPort)?;
        if host.starts_with('[') && port.ends_with(']') {
            return Err(NotHostPort::NoPort);
        }
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        let port: u16 = port.parse().map_err(|_| NotHostPort::BadPort)?;
        if port == 0 || !digits {
            return Err(NotHostPort::BadPort);
        }
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => Host::Ip(IpAddr::V6(v6.parse().map_err(|_| NotHostPort::BadHost)?)),
            None => host.parse()?,
        };
        Ok(Self { host, port })
    }
}

impl FromStr for Host {
    type Err = NotHostPort;

    /// An IPv4 address or a DNS name (RFC 1123 section 2.1, plus `_`, which Docker's names have).
    fn from_str(text: &str) -> Result<Self, NotHostPort> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return if ip.is_ipv6() { Err(NotHostPort::BareV6) } else { Ok(Self::Ip(ip)) };
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        // A last label of digits only is a mistyped IPv4 address, not a name (RFC 3696 section 2).
        let last_is_number =
            name.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
        if name.len() > 253 || !name.split('.').all(label) || last_is_number {
            return Err(NotHostPort::BadHost);
        }
        Ok(Self::Name(name.to_ascii_lowercase()))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The names that the file has for balancers.
pub(crate) const BALANCERS: [&str; 3] = ["peak-ewma", "least-request", "round-robin"];

/// The balancer of that name, with its defaults.
pub(crate) fn balancer(name: &str) -> Option<Balancer> {
    match name {
        "peak-ewma" => Some(Balancer::default()),
        "least-request" => Some(Balancer::LeastRequest),
        "round-robin" => Some(Balancer::RoundRobin),
        _ => None,
    }
}

fn serialize_balancer<S: Serializer>(value: &Balancer, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match value {
        Balancer::PeakEwma { .. } => BALANCERS[0],
        Balancer::LeastRequest => BALANCERS[1],
        Balancer::RoundRobin => BALANCERS[2],
    })
}

/// What the key `protocol` may say.
pub(crate) const PROTOCOLS: [&str; 2] = ["http1", "h2c"];

/// The protocol of that name.
pub(crate) fn protocol(name: &str) -> HttpProtocol {
    if name == PROTOCOLS[1] { HttpProtocol::Http2 } else { HttpProtocol::Http1 }
}

fn serialize_protocol<S: Serializer>(
    value: &HttpProtocol,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match value {
        HttpProtocol::Http1 => PROTOCOLS[0],
        HttpProtocol::Http2 => PROTOCOLS[1],
    })
}

/// The services as the file has them: a mapping by name.
pub(crate) fn serialize_map<S: Serializer>(
    services: &[StaticService],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(services.iter().map(|service| (&service.name, service)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, written) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("Example.TEST.:80", "example.test:80"),
            ("my_service:65535", "my_service:65535"),
            ("localhost:1", "localhost:1"),
        ] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn other_texts_are_refused_with_their_reason() {
        for (text, reason) in [
            ("127.0.0.1", NotHostPort::NoPort),
            ("", NotHostPort::NoPort),
            ("[::1]", NotHostPort::NoPort),
            ("::1", NotHostPort::BareV6),
            ("fe80::1:80", NotHostPort::BareV6),
            ("2001:db8::1:2:3:4:5:80", NotHostPort::BareV6),
            ("127.0.0.1:0", NotHostPort::BadPort),
            ("127.0.0.1:65536", NotHostPort::BadPort),
            ("127.0.0.1:+80", NotHostPort::BadPort),
            ("127.0.0.1:", NotHostPort::BadPort),
            ("http://a:80", NotHostPort::Url),
            ("256.0.0.1:80", NotHostPort::BadHost),
            ("-a.test:80", NotHostPort::BadHost),
            ("a..b:80", NotHostPort::BadHost),
            (":80", NotHostPort::BadHost),
            ("a b:80", NotHostPort::BadHost),
            ("[a]:80", NotHostPort::BadHost),
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(reason), "{text}");
        }
    }
}
