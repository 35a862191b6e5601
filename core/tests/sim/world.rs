//! Snapshots and heads for simulations.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ringway_core::message::RequestHead;
use ringway_core::policy::route::{RouteTableBuilder, ServerNames};
use ringway_core::snapshot::{
    Backend, Balancer, Cluster, ClusterId, ClusterKey, Endpoint, Filters, ListenerRoutes, Protocol,
    Rule, Snapshot,
};
use ringway_core::time::Duration;

/// The address of scripted endpoint `n`.
pub(crate) fn address(n: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 1000 + n))
}

/// Which endpoint an address belongs to.
pub(crate) fn number(address: SocketAddr) -> u16 {
    address.port() - 1000
}

/// The cluster whose name begins with letter number `n` of the alphabet.
pub(crate) const fn id(n: u32) -> ClusterId {
    ClusterId::nth(n)
}

/// A cluster of `(endpoint, weight)`, known by the first letter of its name.
pub(crate) fn cluster(name: &str, balancer: Balancer, endpoints: &[(u16, u32)]) -> Cluster {
    Cluster {
        id: id(u32::from(name.as_bytes()[0] - b'a')),
        key: ClusterKey { namespace: "default".into(), service: name.into(), port: 80 },
        balancer,
        connect_timeout: Duration::from_secs(1),
        protocol: ringway_core::snapshot::HttpProtocol::Http1,
        tls: false,
        endpoints: endpoints
            .iter()
            .map(|&(n, weight)| Endpoint {
                address: address(n),
                weight,
                name: "".into(),
                meshed: false,
            })
            .collect(),
    }
}

/// A rule that splits among clusters by weight.
pub(crate) fn split(backends: &[(Option<u32>, u32)]) -> Rule {
    let backend = |&(cluster, weight): &(Option<u32>, u32)| Backend {
        cluster: cluster.map(id),
        weight,
        filters: Filters::default(),
    };
    Rule { backends: backends.iter().map(backend).collect(), ..Rule::default() }
}

/// A snapshot with one listener, `main`, on which every request and every opaque connection meets
/// `rule`.
pub(crate) fn snapshot(generation: u64, rule: Rule, clusters: Vec<Cluster>) -> Arc<Snapshot> {
    let mut table = RouteTableBuilder::new();
    table.add(&[], Vec::new(), rule.clone()).unwrap();
    let listeners = [Arc::new(ListenerRoutes {
        name: "main".into(),
        table: table.build(),
        protocol: Protocol::Detect,
        names: ServerNames::default(),
        opaque: Some(rule),
        on_demand: None,
    })];
    let clusters = clusters.into_iter().collect();
    Arc::new(Snapshot { generation, listeners: listeners.into(), clusters, ..Snapshot::default() })
}

/// A request.
pub(crate) const fn head(token: &'static [u8]) -> RequestHead<'static> {
    RequestHead::bare(token, b"a.io", b"/foo/x?y=1")
}

/// A GET.
pub(crate) const GET: RequestHead<'static> = head(b"GET");
