//! From services, listeners and routes to rules that refer to clusters by id.

use std::sync::Arc;

use ringway_config::{Kind, Listener, Protocol as Protocols};
use ringway_core::policy::route::{HostMatch, Match, RouteTableBuilder, ServerNames};
use ringway_core::snapshot::{Backend, ClusterId, Filters, Mirror, Protocol, Rule, Usage};

use super::clusters::{ClusterTable, Origin, key, pod};
use super::protocol::{Destination, protocol};
use super::{endpoints, hosts};
use crate::event::SourceId;
use crate::index::{Index, Known, Subject};
use crate::object::{NamespacedName, Route, RouteKind, RouteRule, ServiceKind, ServicePort};
use crate::settings::Settings;

/// The rules of one service or listener, and what they refer to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fragment {
    entries: Vec<Entry>,
    /// Those for TLS connections, by server name.
    names: Vec<(Vec<HostMatch>, Rule)>,
    /// The services named beside their owner, known or not; sorted.
    pub(super) uses: Vec<NamespacedName>,
    /// The clusters referred to; sorted.
    pub(super) clusters: Vec<ClusterId>,
    /// Where the service is from whose rules they are.
    pub(super) source: Option<SourceId>,
    /// What is wrong, one line each.
    pub(super) complaints: Vec<String>,
}

#[derive(Debug, PartialEq)]
struct Entry {
    hosts: Arc<[HostMatch]>,
    matches: Vec<Match>,
    rule: Rule,
}

impl Fragment {
    /// The rules for TLS connections.
    pub(super) fn names(&self) -> ServerNames {
        let mut table = ServerNames::default();
        for (names, rule) in &self.names {
            table.add(names, rule.clone());
        }
        table
    }

    /// Adds the rules, whose matches have been tried when they were read.
    pub(super) fn add_to(&self, table: &mut RouteTableBuilder) {
        for entry in &self.entries {
            let Entry { hosts, matches, rule } = entry;
            if let Err(error) = table.add(hosts, matches.clone(), rule.clone()) {
                let name = &rule.name;
                tracing::error!(rule = %name, %error, "a rule cannot be compiled and is left out");
            }
        }
    }
}

/// Makes the rules of one owner.
pub(super) struct Lower<'c> {
    index: &'c Index,
    settings: &'c Settings,
    clusters: &'c mut ClusterTable,
    owner: Option<&'c NamespacedName>,
    fragment: Fragment,
    /// Noted by every rule.
    usage: Option<Usage>,
}

impl<'c> Lower<'c> {
    /// Begins with no rules; `owner` is the service whose they are, if they are one's.
    pub(super) fn new(
        index: &'c Index,
        settings: &'c Settings,
        clusters: &'c mut ClusterTable,
        owner: Option<&'c NamespacedName>,
    ) -> Self {
        Self { index, settings, clusters, owner, fragment: Fragment::default(), usage: None }
    }

    /// The rules.
    pub(super) fn finish(mut self) -> Fragment {
        let Fragment { uses, clusters, .. } = &mut self.fragment;
        uses.sort_unstable();
        uses.dedup();
        clusters.sort_unstable();
        clusters.dedup();
        self.fragment
    }

    /// Every port of a service by the names that DNS would have for it and by its cluster IPs.
    /// Whoever uses it says so by `usage`.
    pub(super) fn service(&mut self, known: Known<'c>, usage: Option<Usage>) {
        self.usage = usage;
        let service = known.service;
        let name = &service.name;
        self.fragment.source = Some(known.source);
        let namespace = self.settings.discovery.namespace.as_str();
        let routes = self.index.routes(&Subject::Routes(name.clone()));
        let addresses = self.addresses(known);
        for port in &service.ports {
            let literals = addresses.iter().map(|ip| hosts::literal(*ip, port.port));
            let names = hosts::names(name, None, port.port, namespace);
            let hosts: Arc<[_]> = names.into_iter().chain(literals).collect();
            let mut routes = routes.of_service(name, port, namespace);
            if service.kind != ServiceKind::ClusterIp {
                for route in std::mem::take(&mut routes) {
                    self.complain(format!(
                        "route {} cannot be attached to service {name}, which has no cluster IP",
                        route.name
                    ));
                }
            }
            for route in &routes {
                match route.kind {
                    RouteKind::Tls => self.tunnels(route, &hosts),
                    RouteKind::Grpc | RouteKind::Http | RouteKind::Tcp => self.route(route, &hosts),
                }
            }
            if routes.is_empty() {
                let rule = self.implicit(name, port.port);
                self.put(&hosts, Vec::new(), rule);
            }
        }
        if service.kind == ServiceKind::Headless {
            for hostname in endpoints::hostnames(self.index, &known) {
                self.pod(name, hostname, &service.ports);
            }
        }
    }

    /// The cluster IPs of a service that no other has.
    fn addresses(&mut self, known: Known<'_>) -> Vec<std::net::IpAddr> {
        let name = &known.service.name;
        let mut own = Vec::new();
        for &address in &known.service.cluster_ips {
            match self.index.owner(address) {
                Some(owner) if owner != *name => {
                    self.complain(format!(
                        "service {name}: {address} is the cluster IP of {owner}"
                    ));
                }
                _ => own.push(address),
            }
        }
        own
    }

    /// One pod by its host name. It gets no routes: they are a service's.
    fn pod(&mut self, name: &NamespacedName, hostname: &Arc<str>, ports: &[ServicePort]) {
        for port in ports {
            let namespace = self.settings.discovery.namespace.as_str();
            let hosts = hosts::names(name, Some(hostname), port.port, namespace);
            let key = key(&name.namespace, pod(&name.name, hostname).into(), port.port);
            let cluster = self.refer(&key, Origin::Pod(name.clone(), hostname.clone()));
            let rule = Rule {
                name: format!("{name}/{hostname}:{}", port.port).into(),
                backends: vec![backend(Some(cluster))],
                ..Rule::default()
            };
            self.put(&hosts.into(), Vec::new(), rule);
        }
    }

    /// A listener's own rules; what its connections may speak, and where opaque ones go.
    pub(super) fn listener(&mut self, listener: &Listener) -> (Protocol, Option<Rule>) {
        let opaque = match listener.kind {
            Kind::Gateway => self.gateway(listener),
            Kind::Inbound => self.inbound(listener),
            Kind::Outbound => None,
        };
        let (rule, to) = opaque.unzip();
        let named = !self.fragment.names.is_empty();
        (protocol(listener, named, to.as_ref()), rule)
    }

    /// The routes attached to the listener and, behind them, its service; with no routes, the only
    /// service of the configuration. A TLSRoute takes TLS connections by server name, a TCPRoute the
    /// opaque ones that are left, and where nothing else is attached all others too.
    fn gateway(&mut self, listener: &Listener) -> Option<(Rule, Destination<'c>)> {
        let port = listener.address.port();
        let mut routes = self.index.routes(&Subject::Gateways).of_gateway(&listener.name, port);
        let only = match self.settings.services.as_slice() {
            [service] if routes.is_empty() => Some(&service.name),
            _ => None,
        };
        let names: Vec<_> = routes.extract_if(.., |route| route.kind == RouteKind::Tls).collect();
        for route in &names {
            self.names(route, listener);
        }
        let streams: Vec<_> = routes.extract_if(.., |route| route.kind == RouteKind::Tcp).collect();
        for route in &routes {
            let hosts = route.hostnames.iter().filter_map(|host| HostMatch::parse(host).ok());
            self.route(route, &hosts.collect());
        }
        let stream = streams.iter().find_map(|route| Some((*route, route.rules.first()?)));
        if let Some((route, rule)) = stream {
            let rule = self.rule(&route.name, 0, rule);
            if routes.is_empty() {
                self.put(&[HostMatch::Any].into(), Vec::new(), rule.clone());
            }
            return Some((rule, Destination { port, service: None }));
        }
        let service = listener.service.as_ref().or(only)?;
        let (rule, mut to) = self.default_service(service);
        self.put(&[HostMatch::Any].into(), Vec::new(), rule.clone());
        if !routes.is_empty() || !names.is_empty() {
            // What one service says of itself is not to hide the routes to the others.
            to.service = None;
        }
        Some((rule, to))
    }

    /// The rule of a listener's `service:`; one that is not known (yet) answers 500.
    fn default_service(&mut self, service: &str) -> (Rule, Destination<'c>) {
        let name = NamespacedName::new(self.settings.discovery.namespace.as_str(), service);
        let known = self.index.service(&name);
        let service = known.and_then(|k| Some((k.service, k.service.ports.first()?)));
        let port = service.map_or(80, |(_, port)| port.port);
        (self.implicit(&name, port), Destination { port, service })
    }

    /// The local application, whatever the request asks for.
    fn inbound(&mut self, listener: &Listener) -> Option<(Rule, Destination<'c>)> {
        let address = listener.target?;
        let namespace = self.settings.discovery.namespace.as_str().into();
        let key = key(&namespace, format!("inbound/{}", listener.name).into(), address.port());
        let cluster = self.refer(&key, Origin::Target(address));
        let rule = Rule {
            name: listener.name.as_str().into(),
            backends: vec![backend(Some(cluster))],
            ..Rule::default()
        };
        self.put(&[HostMatch::Any].into(), Vec::new(), rule.clone());
        Some((rule, Destination { port: address.port(), service: None }))
    }

    /// A TLSRoute of a listener.
    fn names(&mut self, route: &Route, listener: &Listener) {
        let Some(rule) = route.rules.first() else { return };
        let names = route.hostnames.iter().filter_map(|name| HostMatch::parse(name).ok());
        let names = names.collect();
        let rule = self.rule(&route.name, 0, rule);
        self.fragment.names.push((names, rule));
        if listener.protocol != Protocols::Detect {
            self.fragment.source = self.index.source_of(crate::object::Kind::TlsRoute, &route.name);
            self.complain(format!(
                "TLSRoute {} has no effect on listener {}, which has to have `protocol: detect`",
                route.name, listener.name
            ));
        }
    }

    /// A TLSRoute of a service: it is for tunnels to it, and no request is sent into TLS.
    fn tunnels(&mut self, route: &Route, hosts: &Arc<[HostMatch]>) {
        let Some(rule) = route.rules.first() else { return };
        let rule = self.rule(&route.name, 0, rule);
        let tunnel = Match { method: Some("CONNECT".into()), ..Match::default() };
        self.put(hosts, vec![tunnel], rule);
    }

    fn route(&mut self, route: &Route, hosts: &Arc<[HostMatch]>) {
        for (number, rule) in route.rules.iter().enumerate() {
            let compiled = self.rule(&route.name, number, rule);
            self.put(hosts, rule.matches.clone(), compiled);
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
            usage: None,
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
    fn cluster(&mut self, name: &NamespacedName, port: u16) -> Option<ClusterId> {
        if self.owner != Some(name) {
            self.fragment.uses.push(name.clone());
        }
        self.index.service(name)?.port(port)?;
        let key = key(&name.namespace, name.name.clone(), port);
        Some(self.refer(&key, Origin::Port(name.clone())))
    }

    fn refer(&mut self, key: &ringway_core::snapshot::ClusterKey, origin: Origin) -> ClusterId {
        let id = self.clusters.id(key, origin);
        self.fragment.clusters.push(id);
        id
    }

    fn put(&mut self, hosts: &Arc<[HostMatch]>, matches: Vec<Match>, mut rule: Rule) {
        rule.usage.clone_from(&self.usage);
        self.fragment.entries.push(Entry { hosts: Arc::clone(hosts), matches, rule });
    }

    fn complain(&mut self, text: String) {
        if !self.fragment.complaints.contains(&text) {
            self.fragment.complaints.push(text);
        }
    }
}

fn backend(cluster: Option<ClusterId>) -> Backend {
    Backend { cluster, weight: 1, filters: Filters::default() }
}
