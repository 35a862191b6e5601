//! From a checked tree to the typed configuration. A value that did not pass the check is reported
//! already; here it counts as absent, so that the remaining checks can still be made.

use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;

use ringway_core::time::Duration;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{Deserialize, IntoDeserializer};

use crate::duration;
use crate::http2::Http2;
use crate::kubernetes::{Kubernetes, Scope};
use crate::listener::{Kind, Listener};
use crate::scalar;
use crate::service::{HTTP, StaticEndpoint, StaticService, balancer, protocol};
use crate::settings::{
    AccessLog, Admin, Config, Discovery, Dns, Limits, Log, Shutdown, Timeouts, Workers,
};
use crate::tree::{Entry, Node};

/// Builds the configuration; relative paths are taken from `base`.
pub(crate) fn config(root: &Node, base: &Path) -> Config {
    let root = Section(Some(root));
    let timeouts = timeouts(&root.section("timeouts"));
    let services = root.section("services");
    let listeners: Vec<_> = root.items("listeners").iter().filter_map(listener).collect();
    let sidecar = listeners.iter().any(|listener| listener.kind == Kind::Outbound);
    let service = |entry| service(entry, timeouts.connect);
    Config {
        workers: workers(&root.section("workers")),
        listeners,
        admin: admin(&root.section("admin")),
        services: services.entries().iter().map(service).collect(),
        discovery: discovery(&root.section("discovery"), base, sidecar),
        limits: limits(&root.section("limits")),
        http2: http2(&root.section("http2")),
        shutdown: shutdown(&root.section("shutdown")),
        access_log: access_log(&root.section("access_log"), base),
        log: log(&root.section("log")),
        timeouts,
    }
}

fn workers(section: &Section<'_>) -> Workers {
    let default = Workers::default();
    Workers {
        count: section.count("count").or(default.count),
        pin: section.choice("pin").unwrap_or(default.pin),
        driver: section.choice("driver").unwrap_or(default.driver),
    }
}

fn listener(node: &Node) -> Option<Listener> {
    let section = Section(Some(node));
    let kind = section.choice("kind").unwrap_or_default();
    let mut listener = Listener::new(section.text("name")?, section.parse("address")?, kind);
    listener.service = section.text("service").map(ToOwned::to_owned);
    listener.target = section.parse("target");
    listener.protocol = section.choice("protocol").unwrap_or(listener.protocol);
    listener.opaque_ports = section.parse("opaque_ports").unwrap_or(listener.opaque_ports);
    listener.peers = section.parse("peers").unwrap_or(listener.peers);
    listener.allow_connect = section.boolean("allow_connect").unwrap_or(listener.allow_connect);
    listener.forwarded = section.choice("forwarded").unwrap_or(listener.forwarded);
    listener.via = section.boolean("via").unwrap_or(listener.via);
    Some(listener)
}

fn admin(section: &Section<'_>) -> Admin {
    match section.text("address") {
        None => Admin::default(),
        // `off` is no address.
        Some(text) => Admin { address: text.parse::<SocketAddr>().ok() },
    }
}

fn service(entry: &Entry, connect: Duration) -> StaticService {
    let section = Section(Some(&entry.node));
    let short = entry.node.items();
    let endpoints = if short.is_empty() { section.items("endpoints") } else { short };
    StaticService {
        name: entry.key.clone(),
        port: section.parse("port").unwrap_or(HTTP),
        endpoints: endpoints.iter().filter_map(endpoint).collect(),
        balancer: section.text("balancer").and_then(balancer).unwrap_or_default(),
        protocol: section.text("protocol").map(protocol).unwrap_or_default(),
        meshed: section.boolean("meshed").unwrap_or(false),
        connect_timeout: section.duration("connect_timeout", connect),
    }
}

fn endpoint(node: &Node) -> Option<StaticEndpoint> {
    let section = Section(Some(node));
    let text = node.text().or_else(|| section.text("address"))?;
    let weight = section.parse("weight").unwrap_or(1);
    Some(StaticEndpoint { address: text.parse().ok()?, weight })
}

fn discovery(section: &Section<'_>, base: &Path, sidecar: bool) -> Discovery {
    let default = Discovery::default();
    let dns = section.section("dns");
    Discovery {
        manifests: section.text("manifests").map(|text| scalar::relative(text, base)),
        kubernetes: kubernetes(&section.section("kubernetes"), base, sidecar),
        namespace: section.text("namespace").map_or(default.namespace, ToOwned::to_owned),
        zone: section.text("zone").map(ToOwned::to_owned),
        node: section.text("node").map(ToOwned::to_owned),
        dns: Dns {
            min_ttl: dns.duration("min_ttl", default.dns.min_ttl),
            max_ttl: dns.duration("max_ttl", default.dns.max_ttl),
        },
    }
}

/// A section with nothing in it says that there is an API server, too.
fn kubernetes(section: &Section<'_>, base: &Path, sidecar: bool) -> Option<Kubernetes> {
    section.0?;
    let default = Kubernetes::default();
    let usual = if sidecar { Scope::OnDemand } else { default.scope };
    Some(Kubernetes {
        scope: match section.text("scope") {
            Some("on-demand") => Scope::OnDemand,
            Some("cluster") => Scope::Cluster,
            _ => scope(&section.section("scope")).unwrap_or(usual),
        },
        lookup_timeout: section.duration("lookup_timeout", default.lookup_timeout),
        idle_service: section.duration("idle_service", default.idle_service),
        kubeconfig: section.text("kubeconfig").map(|text| scalar::relative(text, base)),
        context: section.text("context").map(ToOwned::to_owned),
    })
}

fn scope(section: &Section<'_>) -> Option<Scope> {
    let named = section.items("namespaces");
    if named.is_empty() {
        return None;
    }
    let mut names: Vec<String> = Vec::new();
    for name in named.iter().filter_map(Node::text) {
        if names.iter().all(|known| known != name) {
            names.push(name.to_owned());
        }
    }
    Some(Scope::Namespaces(names))
}

fn timeouts(section: &Section<'_>) -> Timeouts {
    let default = Timeouts::default();
    Timeouts {
        head: section.duration("head", default.head),
        detect: section.duration("detect", default.detect),
        idle_client: section.duration("idle_client", default.idle_client),
        idle_upstream: section.duration("idle_upstream", default.idle_upstream),
        connect: section.duration("connect", default.connect),
        connect_inbound: section.duration("connect_inbound", default.connect_inbound),
        body_idle: section.duration("body_idle", default.body_idle),
        response: section.duration_or_off("response", default.response),
        tunnel_idle: section.duration_or_off("tunnel_idle", default.tunnel_idle),
    }
}

fn limits(section: &Section<'_>) -> Limits {
    let default = Limits::default();
    Limits {
        head_bytes: section.bytes("head_bytes").unwrap_or(default.head_bytes),
        target_bytes: section.bytes("target_bytes").unwrap_or(default.target_bytes),
        fields: section.count("fields").unwrap_or(default.fields),
        connections: section.count("connections").or(default.connections),
        pool_idle_per_endpoint: section
            .count("pool_idle_per_endpoint")
            .unwrap_or(default.pool_idle_per_endpoint),
    }
}

fn http2(section: &Section<'_>) -> Http2 {
    let default = Http2::default();
    Http2 {
        streams: section.parse("streams").unwrap_or(default.streams),
        stream_window: section.bytes("stream_window").unwrap_or(default.stream_window),
        connection_window: section.bytes("connection_window").unwrap_or(default.connection_window),
        send_bytes: section.bytes("send_bytes").unwrap_or(default.send_bytes),
        control_frames: section.parse("control_frames").unwrap_or(default.control_frames),
        resets: section.parse("resets").unwrap_or(default.resets),
        stream_errors: section.parse("stream_errors").unwrap_or(default.stream_errors),
        peer_streams: section.parse("peer_streams").unwrap_or(default.peer_streams),
        peer_window: section.bytes("peer_window").unwrap_or(default.peer_window),
    }
}

fn shutdown(section: &Section<'_>) -> Shutdown {
    Shutdown { grace: section.duration("grace", Shutdown::default().grace) }
}

fn access_log(section: &Section<'_>, base: &Path) -> AccessLog {
    let default = AccessLog::default();
    AccessLog {
        format: section.choice("format").unwrap_or(default.format),
        sink: section.text("path").map_or(default.sink, |text| scalar::sink(text, base)),
    }
}

fn log(section: &Section<'_>) -> Log {
    let default = Log::default();
    Log {
        level: section.text("level").map_or(default.level, ToOwned::to_owned),
        format: section.choice("format").unwrap_or(default.format),
    }
}

/// A mapping that may be absent.
struct Section<'n>(Option<&'n Node>);

impl<'n> Section<'n> {
    fn section(&self, key: &str) -> Self {
        Self(self.0.and_then(|node| node.get(key)))
    }

    fn items(&self, key: &str) -> &'n [Node] {
        self.section(key).0.map_or(&[], Node::items)
    }

    fn entries(&self) -> &'n [Entry] {
        self.0.map_or(&[], Node::entries)
    }

    fn text(&self, key: &str) -> Option<&'n str> {
        self.section(key).0?.text()
    }

    fn parse<T: FromStr>(&self, key: &str) -> Option<T> {
        self.text(key)?.parse().ok()
    }

    fn count(&self, key: &str) -> Option<usize> {
        self.parse(key)
    }

    fn bytes(&self, key: &str) -> Option<usize> {
        usize::try_from(scalar::bytes(self.text(key)?)?).ok()
    }

    fn boolean(&self, key: &str) -> Option<bool> {
        scalar::boolean(self.text(key)?)
    }

    fn duration(&self, key: &str, default: Duration) -> Duration {
        self.text(key).and_then(duration::parse).unwrap_or(default)
    }

    fn duration_or_off(&self, key: &str, default: Option<Duration>) -> Option<Duration> {
        self.text(key).map_or(default, duration::parse)
    }

    /// One of an enum's words, as serde spells them.
    fn choice<T: Deserialize<'n>>(&self, key: &str) -> Option<T> {
        let text: StrDeserializer<'n, Error> = self.text(key)?.into_deserializer();
        T::deserialize(text).ok()
    }
}
