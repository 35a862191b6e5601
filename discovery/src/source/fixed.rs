//! `services:` of the configuration, lowered to services and slices.

use std::net::IpAddr;
use std::sync::Arc;

use ringway_config::{Host, StaticEndpoint, StaticService};
use ringway_core::snapshot::HttpProtocol;

use crate::object::{
    Endpoint, EndpointSlice, External, NamespacedName, Object, Service, ServiceKind, ServicePort,
    SlicePort,
};

/// The objects that `services:` stands for, in `namespace`: for each service one slice for each
/// port of its endpoints; endpoints with DNS names stay with the service.
#[must_use]
pub fn lower(services: &[StaticService], namespace: &str) -> Vec<Object> {
    let namespace: Arc<str> = namespace.into();
    services.iter().flat_map(|service| one(service, &namespace)).collect()
}

fn one(fixed: &StaticService, namespace: &Arc<str>) -> Vec<Object> {
    let name = NamespacedName::new(namespace.clone(), fixed.name.as_str());
    let mut externals = Vec::new();
    let mut slices: Vec<EndpointSlice> = Vec::new();
    for endpoint in &fixed.endpoints {
        let port = endpoint.address.port;
        match &endpoint.address.host {
            // Asked of no server (RFC 6761 6.3).
            Host::Name(host) if host == "localhost" => {
                sliced(&mut slices, &name, port, self::endpoint([127, 0, 0, 1].into(), endpoint));
            }
            Host::Name(host) => externals.push(External {
                host: host.as_str().into(),
                port: Some(port),
                weight: endpoint.weight,
            }),
            Host::Ip(ip) => sliced(&mut slices, &name, port, self::endpoint(*ip, endpoint)),
        }
    }
    let protocol = match fixed.protocol {
        HttpProtocol::Http1 => None,
        HttpProtocol::Http2 => Some("kubernetes.io/h2c".into()),
    };
    let port = ServicePort { name: "".into(), port: fixed.port, target: None, protocol };
    let service = Object::Service(Service {
        name,
        kind: ServiceKind::ClusterIp,
        ports: vec![port],
        cluster_ips: Vec::new(),
        local: false,
        externals,
        balancer: fixed.balancer,
        connect_timeout: Some(fixed.connect_timeout),
        opaque_ports: None,
        meshed: fixed.meshed,
        retry: None,
    });
    std::iter::once(service).chain(slices.into_iter().map(Object::Slice)).collect()
}

/// Adds an endpoint to the slice of its port.
fn sliced(slices: &mut Vec<EndpointSlice>, of: &NamespacedName, port: u16, endpoint: Endpoint) {
    if let Some(slice) = slices.iter_mut().find(|slice| slice.ports[0].port == port) {
        slice.endpoints.push(endpoint);
        return;
    }
    slices.push(EndpointSlice {
        name: NamespacedName::new(of.namespace.clone(), format!("{}-{port}", of.name)),
        service: of.name.clone(),
        ports: vec![SlicePort { name: "".into(), port }],
        endpoints: vec![endpoint],
    });
}

fn endpoint(address: IpAddr, fixed: &StaticEndpoint) -> Endpoint {
    Endpoint {
        address,
        ready: true,
        serving: true,
        terminating: false,
        target: None,
        hostname: None,
        zone: None,
        node: None,
        hints: None,
        weight: fixed.weight,
        meshed: false,
    }
}
