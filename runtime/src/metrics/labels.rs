//! What tells series apart: the labels, their order in the text, and how they fold.

use std::net::SocketAddr;
use std::sync::Arc;

use ringway_core::record::Classification;

use super::series::{EndpointLabels, ListenerLabels, Outcome};
use super::text::Labelled;

/// The labels of one series. The order is that of the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Labels {
    pub(super) direction: &'static str,
    pub(super) scope: Scope,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Answers of the proxy itself, and client connections.
    Listener { name: Arc<str>, address: SocketAddr },
    /// An endpoint of a service; `None` is `other`, where series beyond the limit end up.
    Endpoint { service: Option<ServiceLabels>, target: Option<SocketAddr> },
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServiceLabels {
    pub(super) namespace: Arc<str>,
    pub(super) service: Arc<str>,
    pub(super) port: u16,
}

impl Labels {
    pub(super) fn endpoint(labels: &EndpointLabels<'_>) -> Self {
        let service = ServiceLabels {
            namespace: Arc::from(labels.namespace),
            service: Arc::from(labels.service),
            port: labels.port,
        };
        let scope = Scope::Endpoint { service: Some(service), target: Some(labels.target) };
        Self { direction: labels.direction, scope }
    }

    pub(super) fn listener(labels: &ListenerLabels<'_>) -> Self {
        let scope = Scope::Listener { name: Arc::from(labels.listener), address: labels.address };
        Self { direction: labels.direction, scope }
    }

    /// The endpoint's address.
    pub(super) fn target(&self) -> Option<SocketAddr> {
        match self.scope {
            Scope::Endpoint { target, .. } => target,
            Scope::Listener { .. } => None,
        }
    }

    /// The same with `target_addr="other"`, and with the service as `other` too unless `named`.
    pub(super) fn folded(&self, named: bool) -> Self {
        let scope = match &self.scope {
            Scope::Endpoint { service, .. } => {
                Scope::Endpoint { service: service.clone().filter(|_| named), target: None }
            }
            Scope::Listener { .. } => self.scope.clone(),
        };
        Self { direction: self.direction, scope }
    }

    /// Writes `direction`, `target_*`, `tls` and `dst_*` in Linkerd's order; `peer` only for
    /// `tcp_*`.
    pub(super) fn write(&self, out: &mut Labelled<'_>, peer: bool) {
        out.label("direction", self.direction);
        match &self.scope {
            Scope::Listener { name, address } => {
                if peer {
                    out.label("peer", "src");
                }
                out.label("listener", name);
                write_target(out, Some(*address));
            }
            Scope::Endpoint { service, target } => {
                if peer {
                    out.label("peer", "dst");
                }
                write_target(out, *target);
                ServiceLabels::write(service.as_ref(), out);
            }
        }
    }
}

fn write_target(out: &mut Labelled<'_>, target: Option<SocketAddr>) {
    match target {
        Some(address) => {
            out.label("target_addr", address);
            out.label("target_ip", address.ip());
            out.label("target_port", address.port());
        }
        None => out.label("target_addr", "other"),
    }
    out.label("tls", "disabled");
}

impl ServiceLabels {
    /// Writes `dst_*`.
    pub(super) fn write(service: Option<&Self>, out: &mut Labelled<'_>) {
        match service {
            Some(service) => {
                out.label("dst_namespace", &service.namespace);
                out.label("dst_service", &service.service);
                out.label("dst_port", service.port);
            }
            None => out.label("dst_service", "other"),
        }
    }
}

/// What tells the outcomes of one series apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ResponseKey {
    /// The status, or 1 to 9 for a whole class; `None` when there was no response.
    pub(super) status: Option<u16>,
    /// The gRPC status; more than 16 is none that is known.
    pub(super) grpc: Option<u8>,
    pub(super) failure: bool,
    /// Why, from a fixed set; else empty.
    pub(super) error: &'static str,
}

impl ResponseKey {
    pub(super) fn of(outcome: &Outcome) -> Self {
        Self {
            status: outcome.status,
            grpc: outcome.grpc.map(|grpc| grpc.min(17)),
            failure: outcome.classification == Classification::Failure,
            error: outcome.error.map_or("", |cause| cause.as_str()),
        }
    }

    /// The same by the class of its status.
    pub(super) fn folded(self) -> Self {
        let class = |status: u16| {
            if status < 10 { status } else { (status / 100).min(9) }
        };
        let status = self.status.map(class);
        Self { status, grpc: None, failure: self.failure, error: "" }
    }

    /// Writes what `response_total` has beside the status.
    pub(super) fn write(self, out: &mut Labelled<'_>) {
        write_status(self.status, out);
        out.label("classification", if self.failure { "failure" } else { "success" });
        match self.grpc {
            Some(known @ 0..=16) => out.label("grpc_status", known),
            Some(_) => out.label("grpc_status", "other"),
            None => out.label("grpc_status", ""),
        }
        out.label("error", self.error);
    }
}

/// Writes `status_code`; nothing when there was no response.
pub(super) fn write_status(status: Option<u16>, out: &mut Labelled<'_>) {
    match status {
        Some(class) if class < 10 => out.label("status_code", format_args!("{class}xx")),
        Some(status) => out.label("status_code", status),
        None => {}
    }
}
