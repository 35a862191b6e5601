//! From what is known to what the workers need: a pure function of index and settings.

mod protocol;

use std::collections::BTreeMap;
use std::sync::Arc;

use ringway_config::{Kind, Listener};
use ringway_core::policy::route::{HostMatch, RouteTableBuilder};
use ringway_core::snapshot::{
    Backend, Balancer, Cluster, ClusterKey, Endpoint, HttpProtocol, ListenerRoutes, Mirror, Rule,
    Snapshot,
};

use crate::index::{Endpoints, Index, Known, Routes, Services};
use crate::object::{NamespacedName, Route, RouteRule};
use crate::settings::Settings;
use protocol::{Destination, http_protocol, protocol};

/// The snapshot of that generation. Equal indexes give equal snapshots.
#[must_use]
pub fn compile(index: &Index, settings: &Settings, generation: u64) -> Snapshot {
    let mut compiler = Compiler {
        settings,
        services: index.services(),
        endpoints: index.endpoints(),
        routes: index.routes(),
        clusters: Vec::new(),
        known: BTreeMap::new(),
    };
    let listeners = settings.listeners.iter().map(|l| compiler.listener(l)).collect();
    Snapshot { generation, listeners, clusters: compiler.clusters }
}

struct Compiler<'i> {
    settings: &'i Settings,
    services: Services<'i>,
    endpoints: Endpoints<'i>,
    routes: Routes<'i>,
    /// Those that some rule refers to, in the order in which they were met.
    clusters: Vec<Cluster>,
    known: BTreeMap<ClusterKey, u32>,
}

impl<'i> Compiler<'i> {
    fn listener(&mut self, listener: &Listener) -> ListenerRoutes {
        let mut table = RouteTableBuilder::new();
        let opaque = match listener.kind {
            Kind::Gateway => self.gateway(listener, &mut table),
            Kind::Outbound => {
                self.by_host(&mut table);
                None
            }
            Kind::Inbound => self.inbound(listener, &mut table),
        };
        let (rule, to) = opaque.unzip();
        ListenerRoutes {
            name: listener.name.as_str().into(),
            table: table.build(),
            protocol: protocol(listener, to.as_ref()),
            opaque: rule,
        }
    }

    /// The routes attached to the listener and, behind them, its service. With neither, the only
    /// service of the configuration, or every service by its host names.
    fn gateway(
        &mut self,
        listener: &Listener,
        table: &mut RouteTableBuilder,
    ) -> Option<(Rule, Destination<'i>)> {
        let routes = self.routes.of_gateway(&listener.name, listener.address.port());
        for route in &routes {
            let hosts: Vec<_> =
                route.hostnames.iter().filter_map(|h| HostMatch::parse(h).ok()).collect();
            self.route(route, &hosts, table);
        }
        let only = match self.settings.services.as_slice() {
            [service] if routes.is_empty() => Some(&service.name),
            _ => None,
        };
        let Some(service) = listener.service.as_ref().or(only) else {
            if routes.is_empty() {
                self.by_host(table);
            }
            return None;
        };
        let (rule, mut to) = self.default_service(service);
        put(table, &[HostMatch::Any], Vec::new(), rule.clone());
        if !routes.is_empty() {
            // What one service says of itself is not to hide the routes to the others.
            to.service = None;
        }
        Some((rule, to))
    }

    /// The rule of a listener's `service:`; one that is not known (yet) answers 500.
    fn default_service(&mut self, service: &str) -> (Rule, Destination<'i>) {
        let namespace = self.settings.discovery.namespace.as_str();
        let name = NamespacedName::new(namespace, service);
        let known = self.services.get(&name);
        let service = known.and_then(|k| Some((k.service, k.service.ports.first()?)));
        let port = service.map_or(80, |(_, port)| port.port);
        (self.implicit(&name, port), Destination { port, service })
    }

    /// Every port of every service by the names that DNS would have for it.
    fn by_host(&mut self, table: &mut RouteTableBuilder) {
        let services: Vec<Known<'i>> = self.services.iter().collect();
        for known in services {
            let name = &known.service.name;
            for port in &known.service.ports {
                let hosts = hosts(name, port.port, &self.settings.discovery.namespace);
                let routes = self.routes.of_service(name, port, &self.settings.discovery.namespace);
                for route in &routes {
                    self.route(route, &hosts, table);
                }
                if routes.is_empty() {
                    let rule = self.implicit(name, port.port);
                    put(table, &hosts, Vec::new(), rule);
                }
            }
        }
    }

    /// The local application, whatever the request asks for.
    fn inbound(
        &mut self,
        listener: &Listener,
        table: &mut RouteTableBuilder,
    ) -> Option<(Rule, Destination<'i>)> {
        let address = listener.target?;
        let name = NamespacedName::new(
            self.settings.discovery.namespace.as_str(),
            format!("inbound/{}", listener.name),
        );
        let cluster = self.intern(Cluster {
            key: key(&name, address.port()),
            balancer: Balancer::RoundRobin,
            connect_timeout: self.settings.connect_inbound,
            protocol: HttpProtocol::Http1,
            endpoints: vec![Endpoint { address, weight: 1, name: "".into(), meshed: false }],
        });
        let rule = Rule {
            name: listener.name.as_str().into(),
            backends: vec![backend(Some(cluster))],
            ..Rule::default()
        };
        put(table, &[HostMatch::Any], Vec::new(), rule.clone());
        Some((rule, Destination { port: address.port(), service: None }))
    }

    fn route(&mut self, route: &Route, hosts: &[HostMatch], table: &mut RouteTableBuilder) {
        for (number, rule) in route.rules.iter().enumerate() {
            let compiled = self.rule(&route.name, number, rule);
            put(table, hosts, rule.matches.clone(), compiled);
        }
    }

    fn rule(&mut self, route: &NamespacedName, number: usize, rule: &RouteRule) -> Rule {
        let backends = rule.backends.iter().map(|b| Backend {
            cluster: b.service.as_ref().and_then(|(name, port)| self.cluster(name, *port)),
            weight: b.weight,
            filters: b.filters.clone(),
        });
        let backends = backends.collect();
        let mirrors = rule.mirrors.iter().filter_map(|mirror| {
            let (name, port) = mirror.service.as_ref()?;
            let cluster = self.cluster(name, *port)?;
            let (numerator, denominator) = (mirror.numerator, mirror.denominator);
            Some(Mirror { cluster, numerator, denominator })
        });
        Rule {
            name: format!("{route}/{number}").into(),
            mirrors: mirrors.collect(),
            backends,
            redirect: rule.redirect.clone(),
            filters: rule.filters.clone(),
            timeouts: rule.timeouts,
        }
    }

    /// The rule of a service's port that no route speaks for.
    fn implicit(&mut self, name: &NamespacedName, port: u16) -> Rule {
        Rule {
            name: format!("{name}:{port}").into(),
            backends: vec![backend(self.cluster(name, port))],
            ..Rule::default()
        }
    }

    /// The cluster of a service's port; `None` when there is no such service or port.
    fn cluster(&mut self, name: &NamespacedName, number: u16) -> Option<u32> {
        let known = self.services.get(name)?;
        let port = known.port(number)?;
        let key = key(name, number);
        if let Some(index) = self.known.get(&key) {
            return Some(*index);
        }
        let connect_timeout = known.service.connect_timeout.unwrap_or(self.settings.connect);
        let endpoints = self.endpoints.of(known, port);
        let balancer = known.service.balancer;
        let protocol = http_protocol(port);
        Some(self.intern(Cluster { key, balancer, connect_timeout, protocol, endpoints }))
    }

    fn intern(&mut self, cluster: Cluster) -> u32 {
        let next = u32::try_from(self.clusters.len()).unwrap_or(u32::MAX);
        self.known.insert(cluster.key.clone(), next);
        self.clusters.push(cluster);
        next
    }
}

fn key(name: &NamespacedName, port: u16) -> ClusterKey {
    ClusterKey { namespace: name.namespace.clone(), service: name.name.clone(), port }
}

fn backend(cluster: Option<u32>) -> Backend {
    Backend { cluster, weight: 1, filters: ringway_core::snapshot::Filters::default() }
}

/// The names of a service's port; the bare name only for clients in its namespace.
fn hosts(name: &NamespacedName, port: u16, namespace: &str) -> Vec<HostMatch> {
    let (service, home) = (&name.name, &name.namespace);
    let mut names = vec![
        format!("{service}.{home}"),
        format!("{service}.{home}.svc"),
        format!("{service}.{home}.svc.cluster.local"),
    ];
    if **home == *namespace {
        names.push(service.to_string());
    }
    let host =
        |name: String| HostMatch::Name { name: name.into(), wildcard: false, port: Some(port) };
    names.into_iter().map(host).collect()
}

/// Adds a rule whose matches have been tried when they were read.
fn put(
    table: &mut RouteTableBuilder,
    hosts: &[HostMatch],
    matches: Vec<ringway_core::policy::route::Match>,
    rule: Rule,
) {
    let name: Arc<str> = rule.name.clone();
    if let Err(error) = table.add(hosts, matches, rule) {
        tracing::error!(rule = %name, %error, "a rule cannot be compiled and is left out");
    }
}
