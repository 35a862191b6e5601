//! What is made of files that are right, and what is generated from the table of keys.
//! `UPDATE_SCHEMA=1 cargo test -p ringway-config` writes schema.json and reference.md anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringway_config::{
    Config, Driver, ForwardedMode, Host, Kind, Kubernetes, Scope, Sink, load, reference, schema,
};
use ringway_core::snapshot::Balancer;
use serde_json::Value;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn accepted(text: &str) -> Config {
    load(text, Path::new("conf/ringway.yaml"), &|_| None)
        .unwrap_or_else(|errors| panic!("{errors}"))
}

fn example(name: &str) -> Config {
    accepted(&fs::read_to_string(here("examples").join(name)).unwrap())
}

fn recorded(path: &str, generated: &str) {
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(here(path), generated).unwrap();
    }
    let committed = fs::read_to_string(here(path)).unwrap_or_default();
    assert!(committed == generated, "{path} is stale: run `make schema`");
}

#[test]
fn the_schema_is_current() {
    recorded("schema.json", &(serde_json::to_string_pretty(&schema()).unwrap() + "\n"));
}

#[test]
fn the_reference_is_current() {
    recorded("reference.md", &reference());
}

#[test]
fn five_lines_are_a_reverse_proxy() {
    let config = example("five-lines.yaml");
    let listener = &config.listeners[0];
    assert_eq!((listener.kind, listener.service.as_deref()), (Kind::Gateway, Some("web")));
    assert_eq!((listener.forwarded, listener.via), (ForwardedMode::XForwarded, true));
    let service = &config.services[0];
    assert_eq!((service.name.as_str(), service.port, service.endpoints.len()), ("web", 80, 2));
    assert_eq!(service.balancer, Balancer::default());
    assert_eq!(service.connect_timeout, Duration::from_secs(1));
    assert_eq!(config.admin.address, Some("127.0.0.1:4191".parse().unwrap()));
    assert_eq!(config, accepted(&fs::read_to_string(here("examples/five-lines.yaml")).unwrap()));
}

#[test]
fn the_full_example_has_the_defaults() {
    let config = example("full.yaml");
    let services = config.services.clone();
    let listeners = config.listeners.clone();
    assert_eq!(config, Config { services, listeners, ..Config::default() });
    assert_eq!(config.listeners[1].forwarded, ForwardedMode::Off);
    assert_eq!(config.listeners[2].target, Some("127.0.0.1:8080".parse().unwrap()));
    let users = &config.services[1].endpoints;
    assert_eq!(users[0].address.host, Host::Name(String::from("users-1.example.test")));
    assert_eq!((users[1].weight, users[1].address.to_string()), (2, String::from("[::1]:8080")));
    assert_eq!(accepted(Config::example()), config);
}

#[test]
fn every_key_is_decoded() {
    let config = accepted(
        "listeners:\n\
         - {name: a, address: '[::]:0', kind: outbound, protocol: http, opaque_ports: '25,4000-4100', peers: '192.0.2.0/24', allow_connect: true, forwarded: rfc7239, via: false}\n\
         workers: {count: 3, pin: never, driver: epoll}\n\
         admin: {address: off}\n\
         services:\n  s: {port: 81, endpoints: [h:1], balancer: least-request, protocol: h2c, meshed: true}\n  t: [h:1]\n\
         discovery: {manifests: m, kubernetes: {scope: {namespaces: [a, b, a]}, lookup_timeout: 4s, idle_service: 2h, kubeconfig: k, context: 'x/y'},\n  \
           namespace: n, dns: {min_ttl: 2s, max_ttl: 3s}}\n\
         timeouts: {head: 1ms, detect: 9ms, idle_client: 2ms, idle_upstream: 3ms, connect: 4ms, connect_inbound: 5ms,\n  \
           body_idle: 6ms, response: 7ms, tunnel_idle: off}\n\
         limits: {head_bytes: 200KiB, target_bytes: 300, fields: 9, connections: 10, pool_idle_per_endpoint: 0}\n\
         http2: {streams: 7, stream_window: 70000, connection_window: 80000, send_bytes: 16KiB,\n  \
           control_frames: 101, resets: 11, stream_errors: 12, peer_streams: 13, peer_window: 66000}\n\
         shutdown: {grace: 0s}\n\
         access_log: {format: json, path: logs/access}\n\
         log: {level: 'warn,a::b=trace', format: json}\n",
    );
    let resolved = serde_json::to_value(&config).unwrap();
    let expected = serde_json::json!({
        "listeners": [{"name": "a", "address": "[::]:0", "kind": "outbound", "protocol": "http",
            "opaque_ports": "25,4000-4100", "peers": "192.0.2.0/24", "allow_connect": true, "forwarded": "rfc7239", "via": false}],
        "workers": {"count": 3, "pin": "never", "driver": "epoll"},
        "admin": {"address": "off"},
        "services": {
            "s": {"port": 81, "endpoints": [{"address": "h:1", "weight": 1}],
                "balancer": "least-request", "protocol": "h2c", "meshed": true, "connect_timeout": "4ms"},
            "t": {"port": 80, "endpoints": [{"address": "h:1", "weight": 1}],
                "balancer": "peak-ewma", "protocol": "http1", "meshed": false, "connect_timeout": "4ms"},
        },
        "discovery": {"manifests": "conf/m", "namespace": "n", "dns": {"min_ttl": "2s", "max_ttl": "3s"},
            "kubernetes": {"scope": {"namespaces": ["a", "b"]}, "lookup_timeout": "4s", "idle_service": "2h", "kubeconfig": "conf/k", "context": "x/y"}},
        "timeouts": {"head": "1ms", "detect": "9ms", "idle_client": "2ms", "idle_upstream": "3ms", "connect": "4ms",
            "connect_inbound": "5ms", "body_idle": "6ms", "response": "7ms", "tunnel_idle": "off"},
        "limits": {"head_bytes": 204_800, "target_bytes": 300, "fields": 9, "connections": 10,
            "pool_idle_per_endpoint": 0},
        "http2": {"streams": 7, "stream_window": 70_000, "connection_window": 80_000,
            "send_bytes": 16_384, "control_frames": 101, "resets": 11, "stream_errors": 12,
            "peer_streams": 13, "peer_window": 66_000},
        "shutdown": {"grace": "0s"},
        "access_log": {"format": "json", "path": "conf/logs/access"},
        "log": {"level": "warn,a::b=trace", "format": "json"},
    });
    assert_eq!(resolved, expected);
    assert_eq!(config.access_log.sink, Sink::File(PathBuf::from("conf/logs/access")));
}

#[test]
fn the_resolved_form_is_a_valid_file_again() {
    for name in ["five-lines.yaml", "full.yaml"] {
        let config = example(name);
        assert_eq!(accepted(&serde_json::to_string_pretty(&config).unwrap()), config, "{name}");
    }
}

#[test]
fn a_sidecar_looks_services_up_on_demand_unless_it_is_told_otherwise() {
    let scope = |kind: &str, scope: &str| {
        let target = if kind == "inbound" { ", target: '127.0.0.1:8080'" } else { "" };
        let text = format!(
            "listeners: [{{name: a, address: '127.0.0.1:1', kind: {kind}{target}}}]\n\
             discovery: {{kubernetes: {{{scope}}}}}\n"
        );
        accepted(&text).discovery.kubernetes.unwrap().scope
    };
    assert_eq!(scope("outbound", ""), Scope::OnDemand);
    assert_eq!(scope("outbound", "scope: cluster"), Scope::Cluster);
    let named = Scope::Namespaces(vec![String::from("a")]);
    assert_eq!(scope("outbound", "scope: {namespaces: [a]}"), named);
    assert_eq!(scope("gateway", ""), Scope::Cluster);
    assert_eq!(scope("inbound", ""), Scope::Cluster);
    assert_eq!(scope("gateway", "scope: on-demand"), Scope::OnDemand);
}

/// The table says the defaults for people, `Default` says them for the program.
#[test]
fn both_statements_of_the_defaults_agree() {
    let mut config = Config::default();
    config.discovery.kubernetes = Some(Kubernetes::default());
    let resolved = serde_json::to_value(config).unwrap();
    let mut compared = 0;
    compare(&schema(), &resolved, "", &mut compared);
    assert_eq!(compared, 37, "keys outside listeners and services that have a default");
}

fn compare(schema: &Value, resolved: &Value, path: &str, compared: &mut usize) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    for (name, schema) in properties {
        let path = format!("{path}/{name}");
        if let Some(default) = schema.get("default") {
            let default = match default.as_str() {
                Some("64KiB") => Value::from(65536),
                Some("16KiB") => Value::from(16384),
                Some("256KiB") => Value::from(256 << 10),
                Some("1MiB") => Value::from(1 << 20),
                Some("64MiB") => Value::from(64 << 20),
                _ => default.clone(),
            };
            assert_eq!(resolved[name], default, "{path}");
            *compared += 1;
        }
        compare(schema, &resolved[name], &path, compared);
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let env = |name: &str| match name {
        "RINGWAY_DRIVER" => Some(String::from("epoll")),
        "RINGWAY_LOG" => Some(String::from("debug")),
        "RINGWAY_ZONE" => Some(String::from("europe-west1_b")),
        "RINGWAY_NODE" => Some(String::from("node-1.example")),
        _ => None,
    };
    let config = load(Config::example(), Path::new("ringway.yaml"), &env).unwrap();
    assert_eq!((config.workers.driver, config.log.level.as_str()), (Driver::Epoll, "debug"));
    let here = (config.discovery.zone.as_deref(), config.discovery.node.as_deref());
    assert_eq!(here, (Some("europe-west1_b"), Some("node-1.example")));
}

#[test]
fn to_needs_no_file() {
    let listen = "127.0.0.1:4140".parse().unwrap();
    let addresses = ["127.0.0.1:1", "h:2", "127.0.0.1:1"].map(|text| text.parse().unwrap());
    let config = Config::to(&addresses, listen, None, Some(2));
    assert_eq!(config.services[0].endpoints.len(), 2);
    assert_eq!((config.admin.address, config.workers.count), (None, Some(2)));
    assert_eq!(accepted(&serde_json::to_string(&config).unwrap()), config);
}

#[test]
fn the_fuzz_corpus_holds() {
    let mut seen = 0;
    for entry in fs::read_dir(here("../tests/fuzz/corpus/config")).unwrap() {
        ringway_config::fuzzing(&fs::read(entry.unwrap().path()).unwrap());
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} seeds");
}
