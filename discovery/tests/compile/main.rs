//! Events to snapshots: the order of events leaves no trace, and routes reach their clusters.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod endpoints;
mod incremental;
mod mesh;
mod streams;

use std::path::PathBuf;

use ringway_config::{Config, Kind, Listener};
use ringway_core::message::RequestHead;
use ringway_core::rng::Rng;
use ringway_core::snapshot::{Protocol, Rule, Snapshot};
use ringway_discovery::{Event, Index, Object, Settings, SourceId, compile, read};

fn objects(text: &str) -> Vec<Object> {
    let file = (PathBuf::from("shop.yaml"), text.into());
    read(&[file], "shop").unwrap().objects
}

fn shop() -> Vec<Object> {
    objects(include_str!("../fixtures/shop.yaml"))
}

fn settings() -> Settings {
    let mut config = Config::default();
    config.discovery.namespace = String::from("shop");
    let listener = |name, port: u16, kind| Listener::new(name, ([127, 0, 0, 1], port).into(), kind);
    config.listeners =
        vec![listener("front", 80, Kind::Gateway), listener("out", 4140, Kind::Outbound)];
    let mut inbound = listener("in", 4143, Kind::Inbound);
    inbound.target = Some(([127, 0, 0, 1], 8080).into());
    config.listeners.push(inbound);
    Settings::from(&config)
}

fn index(objects: Vec<Object>) -> Index {
    let mut index = Index::default();
    for object in objects {
        index.apply(Event::Apply(SourceId::Files, object));
    }
    index
}

fn found<'s>(
    snapshot: &'s Snapshot,
    listener: &str,
    authority: &str,
    target: &str,
) -> Option<&'s Rule> {
    let head = RequestHead::bare(b"GET", authority.as_bytes(), target.as_bytes());
    Some(snapshot.listener(listener)?.table.find(&head)?.rule)
}

fn service(snapshot: &Snapshot, rule: &Rule) -> String {
    let cluster = snapshot.clusters.get(rule.backends[0].cluster.unwrap()).unwrap();
    format!("{}:{}", cluster.key.service, cluster.key.port)
}

#[test]
fn the_order_of_events_leaves_no_trace() {
    let wanted = incremental::canonical(&compile(&index(shop()), &settings(), 1));
    let mut rng = Rng::new(7);
    for _ in 0..200 {
        let mut objects = shop();
        for at in (1..objects.len()).rev() {
            objects.swap(at, usize::try_from(rng.below(at as u64 + 1)).unwrap());
        }
        let gone = objects[0].clone();
        let mut index = index(objects);
        index.apply(Event::Delete(SourceId::Files, gone.kind(), gone.name()));
        index.apply(Event::Apply(SourceId::Files, gone));
        assert_eq!(incremental::canonical(&compile(&index, &settings(), 1)), wanted);
    }
}

#[test]
fn a_picture_is_seen_whole_or_not_at_all() {
    let mut index = index(shop());
    let before = index.clone();
    assert!(!index.apply(Event::Init(SourceId::Files)));
    assert!(!index.apply(Event::Apply(SourceId::Files, shop().remove(0))));
    let compiled = |index: &Index| format!("{:?}", compile(index, &settings(), 1));
    assert_eq!(compiled(&index), compiled(&before));
    assert!(index.apply(Event::InitDone(SourceId::Files)));
    assert_eq!(index.objects(SourceId::Files), 1);
    // The same picture once more is no change.
    index.apply(Event::Init(SourceId::Files));
    index.apply(Event::Apply(SourceId::Files, shop().remove(0)));
    assert!(!index.apply(Event::InitDone(SourceId::Files)));
}

#[test]
fn slices_are_merged_and_ready_endpoints_preferred() {
    let snapshot = compile(&index(shop()), &settings(), 1);
    let addresses = |name: &str| {
        let cluster = snapshot.clusters.iter().find(|c| &*c.key.service == name).unwrap();
        cluster.endpoints.iter().map(|e| format!("{} {}", e.address, e.name)).collect::<Vec<_>>()
    };
    let web = ["10.1.0.1:8080 web-a", "10.1.0.1:8081 ", "10.1.0.2:8080 web-b", "10.1.0.4:8081 "];
    assert_eq!(addresses("web"), web);
    assert_eq!(addresses("api"), ["10.1.1.1:9090 "], "terminating, but nothing else is there");
}

#[test]
fn requests_find_their_cluster() {
    let snapshot = compile(&index(shop()), &settings(), 1);
    let to = |listener, authority, target| {
        found(&snapshot, listener, authority, target).map(|rule| service(&snapshot, rule))
    };
    assert_eq!(to("front", "shop.example.com", "/").as_deref(), Some("web:80"));
    assert_eq!(to("front", "a.shop.example.com:8080", "/").as_deref(), Some("web:80"));
    assert_eq!(to("front", "example.com", "/"), None);
    for name in ["web", "web:80", "web.shop", "web.shop.svc", "WEB.shop.svc.cluster.local."] {
        assert_eq!(to("out", name, "/").as_deref(), Some("web:80"), "{name}");
    }
    assert_eq!(to("out", "api:8080", "/").as_deref(), Some("api:8080"));
    assert_eq!(to("out", "api", "/"), None, "port 80 is not a port of api");
    assert_eq!(to("out", "web.other", "/"), None);
    assert_eq!(to("in", "anything", "/").as_deref(), Some("inbound/in:8080"));
}

#[test]
fn a_route_of_a_service_replaces_its_default() {
    let route = |name: &str, namespace: &str, path: &str, backend: &str| {
        objects(&format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
             metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
             parentRefs: [{{group: \"\", kind: Service, name: web, namespace: shop, port: 80}}]\n  \
             rules: [{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{backend}]}}]\n",
        ))
    };
    let mut all = shop();
    all.extend(route("r", "shop", "/a", "{name: api, port: 8080}"));
    all.extend(route("elsewhere", "other", "/b", "{name: api, namespace: shop, port: 8080}"));
    let snapshot = compile(&index(all.clone()), &settings(), 1);
    let rule = found(&snapshot, "out", "web", "/a/b").unwrap();
    assert_eq!((service(&snapshot, rule), &*rule.name), ("api:8080".into(), "shop/r/0"));
    assert!(found(&snapshot, "out", "web", "/").is_none(), "no match is 404, not the default");
    assert!(found(&snapshot, "out", "web", "/b").is_none(), "not for clients of this namespace");

    let mut settings = settings();
    settings.discovery.namespace = String::from("other");
    let snapshot = compile(&index(all), &settings, 1);
    assert!(found(&snapshot, "out", "web.shop", "/b").is_some(), "a consumer's own route");
    assert!(found(&snapshot, "out", "web.shop", "/a").is_none(), "replaces the producer's");
}

#[test]
fn backends_that_do_not_resolve_keep_their_share() {
    let snapshot = compile(&index(shop()), &settings(), 1);
    let rules = snapshot.listener("front").unwrap().table.rules();
    let shares: Vec<_> =
        rules[0].backends.iter().map(|b| (b.cluster.is_some(), b.weight)).collect();
    assert_eq!(shares, [(true, 9), (false, 1)]);
    assert_eq!((rules[0].mirrors[0].numerator, rules[0].mirrors[0].denominator), (10, 100));
}

/// What the listener's connections may speak, and where the opaque ones go.
fn spoken(listener: Listener, service: &str) -> (Protocol, Option<String>) {
    let mut config = Config { listeners: vec![listener], ..Config::default() };
    config.discovery.namespace = String::from("shop");
    let mut all = shop();
    all.extend(objects(service));
    let snapshot = compile(&index(all), &Settings::from(&config), 1);
    let routes = &snapshot.listeners[0];
    (routes.protocol, routes.opaque.as_ref().map(|rule| self::service(&snapshot, rule)))
}

#[test]
fn a_listener_speaks_what_its_service_says_or_its_ports_or_itself() {
    use ringway_config::Protocol::{Detect, Http, Http2, Opaque};
    let service = |annotation: &str, port: u16, app: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: db\n  annotations: {{a: b{annotation}}}\n\
             spec: {{ports: [{{port: {port}{app}}}]}}\n"
        )
    };
    let annotated = |ports: &str| format!(", config.linkerd.io/opaque-ports: '{ports}'");
    let app = |protocol: &str| format!(", appProtocol: {protocol}");
    let rows = [
        (Http, service("", 80, ""), Protocol::Http),
        (Detect, service("", 80, ""), Protocol::Detect),
        (Opaque, service("", 80, ""), Protocol::Opaque),
        // By the port: only where it is detected.
        (Detect, service("", 3306, ""), Protocol::Opaque),
        (Http, service("", 3306, ""), Protocol::Http),
        // By the annotation, which takes the place of the list.
        (Detect, service(&annotated("80"), 80, ""), Protocol::Opaque),
        (Http, service(&annotated("70-90"), 80, ""), Protocol::Opaque),
        (Detect, service(&annotated("81"), 80, ""), Protocol::Detect),
        (Detect, service(&annotated("81"), 3306, ""), Protocol::Detect),
        (Detect, service(&annotated(""), 3306, ""), Protocol::Detect),
        // By the protocol.
        (Detect, service("", 80, &app("http")), Protocol::Http),
        (Detect, service("", 3306, &app("kubernetes.io/h2c")), Protocol::Http),
        (Detect, service("", 80, &app("linkerd.io/opaque")), Protocol::Opaque),
        (Http, service("", 80, &app("tcp")), Protocol::Opaque),
        (Http2, service("", 80, ""), Protocol::Http2),
        (Http2, service("", 80, &app("http")), Protocol::Http2),
        (Http2, service("", 80, &app("tcp")), Protocol::Opaque),
        (Detect, service("", 80, &app("https")), Protocol::Opaque),
        (Opaque, service("", 80, &app("http")), Protocol::Opaque),
        (Http, service(&annotated("80"), 80, &app("http")), Protocol::Opaque),
    ];
    for (row, (protocol, text, expected)) in rows.into_iter().enumerate() {
        let mut listener = Listener::new("l", ([127, 0, 0, 1], 8000).into(), Kind::Gateway);
        listener.service = Some(String::from("db"));
        listener.protocol = protocol;
        let (found, to) = spoken(listener, &text);
        assert_eq!(found, expected, "row {row}");
        assert!(to.unwrap().starts_with("db:"));
    }
}

#[test]
fn a_listener_s_own_port_and_its_target_s_are_marked_too() {
    let db = "apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec: {ports: [{port: 80}]}\n";
    let gateway = |port: u16| {
        let mut listener = Listener::new("l", ([127, 0, 0, 1], port).into(), Kind::Gateway);
        listener.protocol = ringway_config::Protocol::Detect;
        listener.service = Some(String::from("db"));
        listener
    };
    assert_eq!(spoken(gateway(6379), db).0, Protocol::Opaque);
    assert_eq!(spoken(gateway(6380), db).0, Protocol::Detect);
    let off = Listener { opaque_ports: "off".parse().unwrap(), ..gateway(6379) };
    assert_eq!(spoken(off, db).0, Protocol::Detect);

    let inbound = |port: u16| {
        let mut listener = Listener::new("l", ([127, 0, 0, 1], 4143).into(), Kind::Inbound);
        listener.target = Some(([127, 0, 0, 1], port).into());
        listener
    };
    let to = |port: u16| Some(format!("inbound/l:{port}"));
    assert_eq!(spoken(inbound(8080), db), (Protocol::Detect, to(8080)));
    assert_eq!(spoken(inbound(5432), db), (Protocol::Opaque, to(5432)));
}

#[test]
fn what_has_nowhere_to_go_is_taken_for_http() {
    let outbound = Listener::new("l", ([127, 0, 0, 1], 4140).into(), Kind::Outbound);
    assert_eq!(spoken(outbound, ""), (Protocol::Http, None));
    // Routes, and no service for the rest.
    let mut front = Listener::new("front", ([127, 0, 0, 1], 80).into(), Kind::Gateway);
    front.protocol = ringway_config::Protocol::Detect;
    assert_eq!(spoken(front.clone(), ""), (Protocol::Http, None));
    // A service beside routes: what it says of itself does not hide them.
    let db = "apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec: {ports: [{port: 80, appProtocol: tcp}]}\n";
    front.service = Some(String::from("db"));
    assert_eq!(spoken(front, db), (Protocol::Detect, Some(String::from("db:80"))));
}
