//! An update on its way to the workers: 1,000 services with 10 endpoints each, known to an outbound
//! listener by name and by cluster IP, of which one endpoint or one service changes.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ringway_config::{Config, Kind, Listener};
use ringway_core::snapshot::{Balancer, Snapshot};
use ringway_discovery::{
    Compiler, Endpoint, EndpointSlice, Event, Index, NamespacedName, Object, Service, ServiceKind,
    ServicePort, Settings, SlicePort, SourceId, compile,
};

use crate::{Meter, Work};

const SERVICES: u32 = 1_000;
const EACH: u32 = 10;
const ALL: usize = (SERVICES * EACH) as usize;

/// What discovery knows, and two looks of one object in turn.
struct Churn {
    index: Index,
    settings: Settings,
    compiler: Compiler,
    generation: u64,
    turns: [Object; 2],
}

pub(super) fn cases(meter: &mut impl Meter) {
    let endpoint = || Churn::new([slice(7, EACH), slice(7, EACH - 1)]);
    meter.measure("compile/1-endpoint-of-10000", Work::One, endpoint, Churn::update);
    let service = || Churn::new([service(7, 80), service(7, 81)]);
    meter.measure("compile/1-service-of-1000", Work::One, service, Churn::update);
    let all = || Churn::new([slice(7, EACH), slice(7, EACH - 1)]);
    meter.measure("compile/all-of-10000", Work::Endpoints(ALL), all, |churn| {
        compile(&churn.index, &churn.settings, 1)
    });
}

impl Churn {
    fn new(turns: [Object; 2]) -> Self {
        let mut config = Config::default();
        let listener = Listener::new("out", ([127, 0, 0, 1], 4140).into(), Kind::Outbound);
        config.listeners.push(listener);
        let mut index = Index::default();
        for n in 0..SERVICES {
            index.apply(Event::Apply(SourceId::Files, service(n, 80)));
            index.apply(Event::Apply(SourceId::Files, slice(n, EACH)));
        }
        let settings = Settings::from(&config);
        let mut churn =
            Self { index, settings, compiler: Compiler::default(), generation: 0, turns };
        let snapshot = churn.update();
        let endpoints: usize = snapshot.clusters.iter().map(|c| c.endpoints.len()).sum();
        assert!(endpoints.abs_diff(ALL) <= 1, "every service is known");
        churn
    }

    fn update(&mut self) -> Snapshot {
        self.turns.rotate_left(1);
        self.index.apply(Event::Apply(SourceId::Files, self.turns[0].clone()));
        self.generation += 1;
        self.compiler.update(&mut self.index, &self.settings, self.generation)
    }
}

fn name(n: u32) -> NamespacedName {
    NamespacedName::new("default", format!("service-{n}"))
}

fn service(n: u32, port: u16) -> Object {
    Object::Service(Service {
        name: name(n),
        kind: ServiceKind::ClusterIp,
        ports: vec![ServicePort { name: "".into(), port, target: None, protocol: None }],
        cluster_ips: vec![Ipv4Addr::from(0x0A60_0000 + n).into()],
        local: false,
        externals: Vec::new(),
        balancer: Balancer::default(),
        connect_timeout: None,
        opaque_ports: None,
        meshed: false,
        retry: None,
    })
}

fn slice(n: u32, endpoints: u32) -> Object {
    let node: Arc<str> = "node-1".into();
    let endpoint = |number: u32| Endpoint {
        address: Ipv4Addr::from(0x0A00_0000 + n * EACH + number).into(),
        ready: true,
        serving: true,
        terminating: false,
        target: Some(format!("service-{n}-pod-{number}").into()),
        hostname: None,
        zone: None,
        node: Some(Arc::clone(&node)),
        hints: None,
        weight: 1,
        meshed: false,
    };
    Object::Slice(EndpointSlice {
        name: NamespacedName::new("default", format!("service-{n}-x")),
        service: name(n).name,
        ports: vec![SlicePort { name: "".into(), port: 8080 }],
        endpoints: (0..endpoints).map(endpoint).collect(),
    })
}
