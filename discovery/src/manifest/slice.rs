//! EndpointSlice.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::cursor::Cursor;
use super::metadata;
use crate::object::{Endpoint, EndpointSlice, Hints, SlicePort};

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
    let mut words = Words::default();
    Some(EndpointSlice {
        name,
        service,
        ports: root.maps("ports").iter().filter_map(port).collect(),
        endpoints: endpoints.iter().filter_map(|e| endpoint(e, meshed, &mut words)).collect(),
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

/// What the endpoints of a slice have in common is kept once.
#[derive(Default)]
struct Words {
    names: BTreeSet<Arc<str>>,
    hints: Vec<Arc<Hints>>,
}

impl Words {
    fn name(&mut self, name: Arc<str>) -> Arc<str> {
        if let Some(known) = self.names.get(&name) {
            return known.clone();
        }
        self.names.insert(name.clone());
        name
    }

    fn hints(&mut self, cursor: &Cursor<'_>) -> Option<Arc<Hints>> {
        let cursor = cursor.map("hints")?;
        let mut list = |key| -> Vec<_> {
            let names = cursor.maps(key).into_iter().filter_map(|one| one.need_text("name"));
            names.map(|name| self.name(name)).collect()
        };
        let hints = Hints { zones: list("forZones"), nodes: list("forNodes") };
        if let Some(known) = self.hints.iter().find(|known| ***known == hints) {
            return Some(Arc::clone(known));
        }
        let hints = Arc::new(hints);
        self.hints.push(Arc::clone(&hints));
        Some(hints)
    }
}

fn endpoint(endpoint: &Cursor<'_>, meshed: bool, words: &mut Words) -> Option<Endpoint> {
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
        target: pod,
        hostname: endpoint.text("hostname"),
        zone: endpoint.text("zone").map(|zone| words.name(zone)),
        node: endpoint.text("nodeName").map(|node| words.name(node)),
        hints: words.hints(endpoint),
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
