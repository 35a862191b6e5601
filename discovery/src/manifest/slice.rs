//! EndpointSlice.

use std::net::IpAddr;

use super::cursor::Cursor;
use super::metadata;
use crate::object::{Endpoint, EndpointSlice, SlicePort};

/// The label that ties a slice to its service.
const SERVICE: &str = "kubernetes.io/service-name";

pub(super) fn decode(root: &Cursor<'_>, namespace: &str) -> Option<EndpointSlice> {
    let name = metadata::name(root, namespace)?;
    let Some(service) = metadata::label(root, SERVICE) else {
        root.note(&format!("EndpointSlice {name} has no label {SERVICE} and is not used"));
        return None;
    };
    let kind = root.need("addressType")?;
    match kind.as_text().as_deref() {
        Some("IPv4" | "IPv6") => {}
        Some("FQDN") => {
            kind.note("slices of host names are not used");
            return None;
        }
        _ => {
            kind.wrong("IPv4 or IPv6", "");
            return None;
        }
    }
    let endpoints = root.maps("endpoints");
    let meshed = metadata::meshed(root);
    Some(EndpointSlice {
        name,
        service,
        ports: root.maps("ports").iter().filter_map(port).collect(),
        endpoints: endpoints.iter().filter_map(|e| endpoint(e, meshed)).collect(),
    })
}

fn port(port: &Cursor<'_>) -> Option<SlicePort> {
    if port.text("protocol").is_some_and(|protocol| &*protocol != "TCP") {
        return None;
    }
    let name = port.text("name").unwrap_or_else(|| "".into());
    // Without a number it stands for all ports, which says nothing about any.
    Some(SlicePort { name, port: port.port("port")? })
}

fn endpoint(endpoint: &Cursor<'_>, meshed: bool) -> Option<Endpoint> {
    endpoint.need("addresses")?;
    let addresses: Vec<_> = endpoint.list("addresses").iter().filter_map(address).collect();
    let conditions = endpoint.map("conditions");
    let condition = |name| conditions.as_ref().and_then(|c| c.boolean(name));
    let ready = condition("ready").unwrap_or(true);
    let pod = endpoint.map("targetRef").and_then(|target| target.text("name"));
    Some(Endpoint {
        address: *addresses.first()?,
        ready,
        serving: condition("serving").unwrap_or(ready),
        terminating: condition("terminating").unwrap_or(false),
        name: pod.or_else(|| endpoint.text("hostname")).unwrap_or_else(|| "".into()),
        zone: endpoint.text("zone"),
        node: endpoint.text("nodeName"),
        weight: 1,
        meshed,
    })
}

fn address(cursor: &Cursor<'_>) -> Option<IpAddr> {
    let address = cursor.as_text()?.parse().ok();
    if address.is_none() {
        cursor.wrong("an IP address", "");
    }
    address
}
