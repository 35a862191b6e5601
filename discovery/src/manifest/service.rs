//! Service.

use std::net::IpAddr;

use ringway_config::{NotPorts, Ports};
use ringway_core::snapshot::Balancer;

use super::cursor::Cursor;
use super::{metadata, retry, value};
use crate::object::{External, Service, ServiceKind, ServicePort};

pub(super) fn decode(root: &Cursor<'_>, namespace: &str) -> Option<Service> {
    let name = metadata::name(root, namespace)?;
    let spec = root.need_map("spec")?;
    let kind = kind(&spec);
    let external = kind == ServiceKind::ExternalName;
    if !external {
        spec.need("ports")?;
    }
    let ports: Vec<_> = spec.maps("ports").iter().filter_map(port).collect();
    let timeout = metadata::annotation(root, "balancer.ringway.io/connect-timeout");
    Some(Service {
        name,
        kind,
        ports,
        cluster_ips: if external { Vec::new() } else { cluster_ips(&spec) },
        local: local(&spec),
        externals: if external { external_name(&spec).into_iter().collect() } else { Vec::new() },
        balancer: balancer(root),
        connect_timeout: timeout.and_then(|timeout| value::duration(&timeout)).flatten(),
        opaque_ports: opaque_ports(root),
        meshed: metadata::meshed(root),
        retry: retry::annotated(root).map(Box::new),
    })
}

fn kind(spec: &Cursor<'_>) -> ServiceKind {
    match spec.get("type").and_then(|kind| Some((kind.as_text()?, kind))) {
        Some((text, _)) if &*text == "ExternalName" => return ServiceKind::ExternalName,
        Some((text, kind)) if !["ClusterIP", "NodePort", "LoadBalancer"].contains(&&*text) => {
            kind.wrong("ClusterIP, NodePort, LoadBalancer or ExternalName", "");
        }
        _ => {}
    }
    match spec.get("clusterIP").and_then(|address| address.as_text()).as_deref() {
        Some("None") => ServiceKind::Headless,
        _ => ServiceKind::ClusterIp,
    }
}

/// `internalTrafficPolicy`
fn local(spec: &Cursor<'_>) -> bool {
    let Some(policy) = spec.get("internalTrafficPolicy") else { return false };
    match policy.as_text().as_deref() {
        Some("Local") => true,
        Some("Cluster") | None => false,
        Some(_) => {
            policy.wrong("Cluster or Local", "");
            false
        }
    }
}

fn port(port: &Cursor<'_>) -> Option<ServicePort> {
    let protocol = port.text("protocol");
    port.need("port")?;
    let number = port.port("port");
    // A name is looked up in the pods by Kubernetes; the slices have the result.
    let target = port.get("targetPort").filter(|target| {
        target.plain().is_some_and(|text| text.bytes().all(|b| b.is_ascii_digit()))
    });
    let target = target.and_then(|_| port.port("targetPort"));
    if protocol.is_some_and(|protocol| &*protocol != "TCP") {
        port.note("only TCP ports are used");
        return None;
    }
    Some(ServicePort {
        name: port.text("name").unwrap_or_else(|| "".into()),
        port: number?,
        target,
        protocol: port.text("appProtocol"),
    })
}

fn cluster_ips(spec: &Cursor<'_>) -> Vec<IpAddr> {
    let mut listed = spec.list("clusterIPs");
    if listed.is_empty() {
        listed.extend(spec.get("clusterIP"));
    }
    let mut found = Vec::new();
    for cursor in listed {
        let Some(text) = cursor.as_text() else { continue };
        match text.parse() {
            Ok(address) => found.push(address),
            Err(_) if text.is_empty() || &*text == "None" => {}
            Err(_) => cursor.wrong("an IP address or None", ""),
        }
    }
    found
}

fn external_name(spec: &Cursor<'_>) -> Option<External> {
    let cursor = spec.need("externalName")?;
    let text = cursor.as_text()?.to_ascii_lowercase();
    let host = text.strip_suffix('.').unwrap_or(&text);
    if !metadata::is_name(host) {
        cursor.wrong("a DNS name", "");
        return None;
    }
    Some(External { host: host.into(), port: None, weight: 1 })
}

/// Linkerd also knows the names of ports there; the numbers do for a service.
fn opaque_ports(root: &Cursor<'_>) -> Option<Ports> {
    let annotation = metadata::annotation(root, "config.linkerd.io/opaque-ports")?;
    match annotation.as_text()?.parse() {
        Ok(ports) => Some(ports),
        Err(NotPorts) => {
            annotation.wrong("ports such as `25,587,4000-4100`", "");
            None
        }
    }
}

fn balancer(root: &Cursor<'_>) -> Balancer {
    let Some(kind) = metadata::annotation(root, "balancer.ringway.io/kind") else {
        return Balancer::default();
    };
    match kind.as_text().as_deref() {
        Some("least-request") => Balancer::LeastRequest,
        Some("round-robin") => Balancer::RoundRobin,
        Some("peak-ewma") | None => Balancer::default(),
        Some(_) => {
            kind.wrong("peak-ewma, least-request or round-robin", "");
            Balancer::default()
        }
    }
}
