//! What the connections of a listener may speak: what its service says, its ports and its own
//! `protocol` taken together.

use ringway_config::{Listener, Protocol as Wanted};
use ringway_core::snapshot::{HttpProtocol, Protocol};

use crate::object::{Service, ServicePort};

/// Where the opaque connections of a listener go.
pub(super) struct Destination<'i> {
    /// The service's port, or the target's.
    pub(super) port: u16,
    /// The service, unless it is a target or not known (yet).
    pub(super) service: Option<(&'i Service, &'i ServicePort)>,
}

/// Without a destination nothing can be passed on as it comes, so everything is taken for HTTP,
/// which has an answer for what is not. Where TLS is told apart by server name (`named`), the first
/// bytes are looked at whatever is said of ports and services.
pub(super) fn protocol(
    listener: &Listener,
    named: bool,
    destination: Option<&Destination<'_>>,
) -> Protocol {
    if named && listener.protocol == Wanted::Detect {
        return Protocol::Detect;
    }
    let Some(to) = destination else {
        return if listener.protocol == Wanted::Http2 { Protocol::Http2 } else { Protocol::Http };
    };
    let said = to.service.and_then(|(service, port)| said(service, port));
    match (listener.protocol, said) {
        (Wanted::Opaque, _) | (_, Some(Protocol::Opaque)) => Protocol::Opaque,
        (Wanted::Detect, Some(said)) => said,
        (Wanted::Detect, None) if is_marked(listener, to) => Protocol::Opaque,
        (wanted, _) => wanted.into(),
    }
}

fn is_marked(listener: &Listener, to: &Destination<'_>) -> bool {
    // As in Linkerd, a service's own list takes the place of the default one.
    let of_service = to.service.and_then(|(service, _)| service.opaque_ports.as_ref());
    let ports = &listener.opaque_ports;
    ports.contains(listener.address.port()) || of_service.unwrap_or(ports).contains(to.port)
}

/// What a port's endpoints are spoken to in, where that is HTTP. GEP-1911: what is not known is spoken to as if nothing was said.
pub(super) fn http_protocol(port: &ServicePort) -> HttpProtocol {
    match port.protocol.as_deref() {
        Some("kubernetes.io/h2c") => HttpProtocol::Http2,
        _ => HttpProtocol::Http1,
    }
}

/// What a service says of its port. As in Linkerd, an `appProtocol` that is not one of HTTP's is
/// opaque.
fn said(service: &Service, port: &ServicePort) -> Option<Protocol> {
    if service.opaque_ports.as_ref().is_some_and(|ports| ports.contains(port.port)) {
        return Some(Protocol::Opaque);
    }
    Some(match port.protocol.as_deref()?.to_ascii_lowercase().as_str() {
        "http" | "http2" | "grpc" | "kubernetes.io/h2c" | "kubernetes.io/ws" => Protocol::Http,
        _ => Protocol::Opaque,
    })
}
