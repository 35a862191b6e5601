//! Checks that look at several keys at once. They tolerate values that did not pass the check by
//! shape: those are reported already.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ringway_core::time::Duration;

use crate::duration;
use crate::error::{Report, quote};
use crate::hint::nearest;
use crate::scalar::{bytes, number};
use crate::service::HostPort;
use crate::settings::{Admin, Dns, Limits};
use crate::tree::{Entry, Node};

/// Reports what does not fit together.
pub(crate) fn check(root: &Node, report: &mut Report) {
    let listeners = root.get("listeners").map_or(&[][..], Node::items);
    let services = root.get("services").map_or(&[][..], Node::entries);
    let discovery = root.get("discovery");
    names(listeners, report);
    addresses(root, listeners, report);
    let from = |key| discovery.is_some_and(|d| d.get(key).is_some());
    let routes = from("manifests") || from("kubernetes");
    let known: BTreeSet<&str> = services.iter().map(|entry| entry.key.as_str()).collect();
    for (index, listener) in listeners.iter().enumerate() {
        let path = format!("listeners[{index}]");
        match text(listener, "kind").unwrap_or("gateway") {
            "inbound" => inbound(listener, &path, report),
            "gateway" => gateway(listener, &path, &known, routes, report),
            _ => outbound(listener, &path, report),
        }
    }
    for service in services {
        endpoints(service, report);
    }
    ttls(discovery, report);
    heads(root, report);
}

fn text<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    node.get(key)?.text()
}

fn names(listeners: &[Node], report: &mut Report) {
    let mut seen = BTreeMap::new();
    for (index, listener) in listeners.iter().enumerate() {
        let Some(node) = listener.get("name") else {
            continue;
        };
        let Some(name) = node.text() else { continue };
        if let Some(line) = seen.get(name) {
            let path = format!("listeners[{index}].name");
            let hint = format!("the listener in line {line} has it already");
            report.add(node.place, &path, node.shown(), "a name of its own", hint);
        } else {
            seen.insert(name, node.place.line);
        }
    }
}

/// No two sockets on one address: listeners and the admin server.
fn addresses(root: &Node, listeners: &[Node], report: &mut Report) {
    let mut taken = Taken::default();
    let admin = root.get("admin").and_then(|admin| admin.get("address"));
    if let (None, Some(default)) = (admin, Admin::default().address) {
        taken.claim(default, "the admin server is there unless `admin.address` says otherwise");
    }
    let named = listeners.iter().enumerate().filter_map(|(index, listener)| {
        Some((listener.get("address")?, format!("listeners[{index}].address")))
    });
    for (node, path) in named.chain(admin.map(|node| (node, String::from("admin.address")))) {
        let Some(address) = node.text().and_then(|text| text.parse::<SocketAddr>().ok()) else {
            continue;
        };
        let claim = format!("it is taken by `{path}` in line {}", node.place.line);
        if let Some(whose) = taken.claim(address, &claim) {
            report.add(node.place, &path, node.shown(), "an address of its own", whose);
        }
    }
}

/// Who listens where. The unspecified address takes its port on every address of its family.
#[derive(Default)]
struct Taken {
    addresses: BTreeMap<SocketAddr, String>,
    ports: BTreeMap<(bool, u16), String>,
}

impl Taken {
    /// Takes an address; if it is taken already, answers by whom. Port 0 is another port each time.
    fn claim(&mut self, address: SocketAddr, claim: &str) -> Option<String> {
        if address.port() == 0 {
            return None;
        }
        let port = (address.is_ipv4(), address.port());
        let everywhere = SocketAddr::new(
            match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            },
            address.port(),
        );
        let other = match address == everywhere {
            true => self.ports.get(&port),
            false => self.addresses.get(&everywhere).or_else(|| self.addresses.get(&address)),
        };
        let other = other.cloned();
        self.addresses.entry(address).or_insert_with(|| claim.to_owned());
        self.ports.entry(port).or_insert_with(|| claim.to_owned());
        other
    }
}

fn inbound(listener: &Node, path: &str, report: &mut Report) {
    only(listener, "service", "gateway", path, report);
    let Some(target) = listener.get("target") else {
        let hint = "add `target: 127.0.0.1:PORT`, where the local application listens";
        return report.add(
            listener.place,
            path,
            "an inbound listener without `target`",
            "a target",
            hint,
        );
    };
    let parse = |node: &Node| node.text()?.parse::<SocketAddr>().ok();
    let own = listener.get("address").and_then(parse);
    if let (Some(own), Some(address)) = (own, parse(target))
        && own == address
    {
        let hint = "the proxy would connect to itself";
        let path = format!("{path}.target");
        report.add(
            target.place,
            &path,
            target.shown(),
            "another address than the listener's",
            hint,
        );
    }
}

fn outbound(listener: &Node, path: &str, report: &mut Report) {
    only(listener, "service", "gateway", path, report);
    only(listener, "target", "inbound", path, report);
    if let Some(protocol) = listener.get("protocol").filter(|node| node.text() == Some("opaque")) {
        let hint = "outbound connections are routed by Host, which only HTTP has";
        let path = format!("{path}.protocol");
        report.add(protocol.place, &path, protocol.shown(), "`detect` or `http`", hint);
    }
}

fn gateway(
    listener: &Node,
    path: &str,
    services: &BTreeSet<&str>,
    routes: bool,
    report: &mut Report,
) {
    only(listener, "target", "inbound", path, report);
    let Some(service) = listener.get("service") else {
        if !routes {
            let found = "a gateway with neither `service` nor `discovery`";
            let hint = "add `service: NAME` with a name from `services`";
            report.add(listener.place, path, found, "something to route to", hint);
        }
        return;
    };
    let Some(name) = service.text() else { return };
    // Which services discovery brings only shows while running.
    if routes || services.contains(name) {
        return;
    }
    let near = match report.is_full() {
        true => None,
        false => nearest(name, services.iter().copied()),
    };
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("add {} to `services`", quote(name)),
    };
    let path = format!("{path}.service");
    let expected = "the name of a service in `services`";
    report.add(service.place, &path, service.shown(), expected, hint);
}

/// A key that only one kind of listener has.
fn only(listener: &Node, key: &str, kind: &str, path: &str, report: &mut Report) {
    if let Some(node) = listener.get(key) {
        let found = format!("`{key}` in a listener that is not of kind `{kind}`");
        let hint = format!("remove it, or write `kind: {kind}`");
        report.add(node.place, &format!("{path}.{key}"), found, "no such key", hint);
    }
}

fn endpoints(service: &Entry, report: &mut Report) {
    let short = service.node.items();
    let (items, path) = match service.node.get("endpoints") {
        Some(list) => (list.items(), format!("services.{}.endpoints", service.key)),
        None => (short, format!("services.{}", service.key)),
    };
    let mut seen = BTreeSet::new();
    let mut weighed = items.is_empty();
    for (index, item) in items.iter().enumerate() {
        weighed |= text(item, "weight").and_then(number) != Some(0);
        let node = item.get("address").unwrap_or(item);
        let Some(address) = node.text().and_then(|text| text.parse::<HostPort>().ok()) else {
            continue;
        };
        if !seen.insert(address.to_string()) {
            let path = format!("{path}[{index}]");
            let hint = "for a larger share write `{address: …, weight: 2}`";
            report.add(node.place, &path, node.shown(), "each endpoint once", hint);
        }
    }
    if !weighed {
        let hint = "give at least one endpoint a weight of 1 or more";
        report.add(service.place, &path, "only endpoints of weight 0", "one with weight", hint);
    }
}

fn ttls(discovery: Option<&Node>, report: &mut Report) {
    let Some(dns) = discovery.and_then(|node| node.get("dns")) else {
        return;
    };
    let read = |key: &str, default: Duration| match text(dns, key) {
        Some(text) => duration::parse(text),
        None => Some(default),
    };
    let default = Dns::default();
    let least = read("min_ttl", default.min_ttl);
    let most = read("max_ttl", default.max_ttl);
    if let (Some(least), Some(most)) = (least, most)
        && least > most
    {
        let found =
            format!("min_ttl {} above max_ttl {}", duration::format(least), duration::format(most));
        report.add(dns.place, "discovery.dns", found, "min_ttl up to max_ttl", "");
    }
}

fn heads(root: &Node, report: &mut Report) {
    let Some(limits) = root.get("limits") else {
        return;
    };
    let default = Limits::default();
    let read = |key: &str, default: usize| match text(limits, key) {
        Some(text) => bytes(text),
        None => u64::try_from(default).ok(),
    };
    let target = read("target_bytes", default.target_bytes);
    let head = read("head_bytes", default.head_bytes);
    if let (Some(target), Some(head)) = (target, head)
        && target > head
    {
        let found = format!("target_bytes {target} above head_bytes {head}");
        let hint = "the target is part of the head: lower one or raise the other";
        report.add(limits.place, "limits", found, "target_bytes up to head_bytes", hint);
    }
}
