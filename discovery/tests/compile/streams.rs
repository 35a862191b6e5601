//! TLSRoute, TCPRoute and policies: the specification's own examples, and what it says of names,
//! shares and kinds.

use ringway_config::{Config, Kind, Listener, Protocol as Wanted};
use ringway_core::message::RequestHead;
use ringway_core::snapshot::{Protocol, Rule, Snapshot};
use ringway_discovery::{Compiler, Event, Settings, SourceId, compile};

use crate::{found, index, objects, service, settings, shop};

/// `examples/standard/tls-routing/tls-route.yaml` and `tcp-routing/tcp-route.yaml` of Gateway API
/// v1.6.1; the listeners of their Gateways are `tls` and `foo`.
const EXAMPLES: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata:
  name: foo-route
spec:
  parentRefs:
  - name: example-gateway
    sectionName: tls
  hostnames:
  - \"foo.example.com\"
  rules:
  - backendRefs:
    - name: foo-svc
      port: 443
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata:
  name: tcp-app-1
spec:
  parentRefs:
    - name: my-tcp-gateway
      sectionName: foo
  rules:
    - backendRefs:
        - name: my-foo-service
          port: 6000
---
apiVersion: v1
kind: Service
metadata: {name: foo-svc}
spec: {ports: [{port: 443}]}
---
apiVersion: v1
kind: Service
metadata: {name: my-foo-service}
spec: {ports: [{port: 6000}]}
";

/// Gateway listeners of these names, each with a port of its own, which detect.
fn gateways(names: &[&str]) -> Settings {
    let mut config = Config::default();
    config.discovery.namespace = String::from("shop");
    for (name, port) in names.iter().zip(8000..) {
        let mut listener = Listener::new(*name, ([127, 0, 0, 1], port).into(), Kind::Gateway);
        listener.protocol = Wanted::Detect;
        config.listeners.push(listener);
    }
    Settings::from(&config)
}

fn compiled(text: &str, settings: &Settings) -> Snapshot {
    compile(&index([shop(), objects(text)].concat()), settings, 1)
}

/// Where an opaque connection goes: by rule and service; `None` is nowhere.
fn to(snapshot: &Snapshot, listener: &str, name: Option<&str>) -> Option<String> {
    let routes = snapshot.listener(listener).unwrap();
    let (_, rule) = routes.opaque(name.map(str::as_bytes))?;
    let resolved = rule.backends.first().is_some_and(|backend| backend.cluster.is_some());
    let service = if resolved { service(snapshot, rule) } else { String::from("nothing") };
    Some(format!("{} {service}", rule.name))
}

fn tls(name: &str, created: &str, parents: &str, hostnames: &str, backends: &str) -> String {
    let created = if created.is_empty() {
        String::new()
    } else {
        format!(", creationTimestamp: \"{created}\"")
    };
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\n\
         metadata: {{name: {name}, namespace: shop{created}}}\nspec:\n  parentRefs: [{parents}]\n  \
         hostnames: [{hostnames}]\n  rules: [{{backendRefs: [{backends}]}}]\n---\n"
    )
}

const WEB: &str = "{name: web, port: 80}";
const API: &str = "{name: api, port: 8080}";

#[test]
fn the_specification_s_examples() {
    let snapshot = compiled(EXAMPLES, &gateways(&["tls", "foo"]));
    let foo = to(&snapshot, "tls", Some("foo.example.com"));
    assert_eq!(foo.as_deref(), Some("shop/foo-route/0 foo-svc:443"));
    for refused in [Some("bar.example.com"), Some(""), None] {
        assert_eq!(to(&snapshot, "tls", refused), None, "{refused:?}");
    }
    assert_eq!(snapshot.listener("tls").unwrap().protocol, Protocol::Detect);
    for any in [Some("foo.example.com"), None] {
        let tcp = to(&snapshot, "foo", any);
        assert_eq!(tcp.as_deref(), Some("shop/tcp-app-1/0 my-foo-service:6000"));
    }
    // A listener of nobody's has the services of the mesh, and no TLS.
    let other = compiled(EXAMPLES, &gateways(&["other"]));
    assert!(other.listener("other").unwrap().names.is_empty());
}

#[test]
fn exact_names_go_before_wildcards_and_older_routes_before_younger() {
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    let text = tls("late", late, "{name: l}", "a.test, b.test", API)
        + &tls("early", early, "{name: l}", "a.test", WEB)
        + &tls("wide", early, "{name: l}", "\"*.test\"", WEB)
        + &tls("longer", late, "{name: l}", "\"*.c.test\"", API)
        + &tls("elsewhere", early, "{name: m}", "z.test", API)
        + &tls("port", early, "{name: l, port: 9}", "y.example", API);
    let snapshot = compiled(&text, &gateways(&["l"]));
    let rows = [
        ("a.test", Some("shop/early/0 web:80")),
        ("b.test", Some("shop/late/0 api:8080")),
        ("c.test", Some("shop/wide/0 web:80")),
        ("x.c.test", Some("shop/longer/0 api:8080")),
        ("z.test", Some("shop/wide/0 web:80")),
        ("y.example", None),
        ("test", None),
    ];
    for (name, expected) in rows {
        assert_eq!(to(&snapshot, "l", Some(name)).as_deref(), expected, "{name}");
    }
}

#[test]
fn what_no_name_is_for_is_left_to_the_tcp_route_or_the_service() {
    let names = tls("t", "", "{name: l}", "a.test", WEB);
    let tcp = "apiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\nmetadata: {name: rest}\n\
               spec: {parentRefs: [{name: l}], rules: [{backendRefs: [{name: api, port: 8080}]}]}\n";
    let snapshot = compiled(&(names.clone() + tcp), &gateways(&["l"]));
    assert_eq!(to(&snapshot, "l", Some("a.test")).as_deref(), Some("shop/t/0 web:80"));
    assert_eq!(to(&snapshot, "l", Some("b.test")).as_deref(), Some("shop/rest/0 api:8080"));
    assert_eq!(to(&snapshot, "l", None).as_deref(), Some("shop/rest/0 api:8080"));
    let mut behind = gateways(&["l"]);
    behind.listeners[0].service = Some(String::from("api"));
    let snapshot = compiled(&names, &behind);
    assert_eq!(to(&snapshot, "l", Some("b.test")).as_deref(), Some("shop/api:8080 api:8080"));
    // What is marked as opaque is looked at all the same.
    behind.listeners[0].opaque_ports = "8000".parse().unwrap();
    assert_eq!(compiled(&names, &behind).listener("l").unwrap().protocol, Protocol::Detect);
    assert_eq!(compiled("", &behind).listener("l").unwrap().protocol, Protocol::Opaque);
}

#[test]
fn shares_that_lead_nowhere_are_kept() {
    let backends = "{name: web, port: 80, weight: 3}, {name: gone, port: 80}, \
                    {name: api, port: 81}, {name: never, port: 80, weight: 0}";
    let snapshot = compiled(&tls("t", "", "{name: l}", "a.test", backends), &gateways(&["l"]));
    let (_, rule) = snapshot.listener("l").unwrap().opaque(Some(b"a.test")).unwrap();
    let shares: Vec<_> = rule.backends.iter().map(|b| (b.cluster.is_some(), b.weight)).collect();
    assert_eq!(shares, [(true, 3), (false, 1), (false, 1), (false, 0)]);
}

#[test]
fn a_listener_that_does_not_detect_is_reported() {
    let mut settings = gateways(&["l"]);
    settings.listeners[0].protocol = Wanted::Http;
    let text = tls("t", "", "{name: l}", "a.test", WEB);
    let (mut index, mut compiler) = (index([shop(), objects(&text)].concat()), Compiler::default());
    let said = |compiler: &Compiler| -> Vec<String> {
        compiler.complaints(SourceId::Files).map(ToOwned::to_owned).collect()
    };
    let snapshot = compiler.update(&mut index, &settings, 1);
    assert_eq!(snapshot.listener("l").unwrap().protocol, Protocol::Http);
    let why = "TLSRoute shop/t has no effect on listener l, which has to have `protocol: detect`";
    assert_eq!(said(&compiler), [why]);
    settings.listeners[0].protocol = Wanted::Detect;
    let _ = compiler.update(&mut index, &settings, 2);
    assert_eq!(said(&compiler), [""; 0]);
}

/// The rule of a CONNECT to a service.
fn tunnel<'s>(snapshot: &'s Snapshot, authority: &str) -> Option<&'s Rule> {
    let head = RequestHead::bare(b"CONNECT", authority.as_bytes(), authority.as_bytes());
    Some(snapshot.listener("out")?.table.find(&head)?.rule)
}

#[test]
fn of_a_service_tcp_takes_everything_and_tls_takes_tunnels() {
    let parent = "{group: \"\", kind: Service, name: web}";
    let tcp = tls("s", "", parent, "", "{name: api, port: 8080, weight: 9}, {name: web, port: 80}")
        .replace("TLSRoute", "TCPRoute")
        .replace("hostnames: []", "x: y");
    let snapshot = compiled(&tcp, &settings());
    for rule in [tunnel(&snapshot, "web:80"), found(&snapshot, "out", "web", "/")] {
        let rule = rule.unwrap();
        assert_eq!((&*rule.name, service(&snapshot, rule)), ("shop/s/0", "api:8080".into()));
        assert_eq!(rule.backends.iter().map(|b| b.weight).collect::<Vec<_>>(), [9, 1]);
    }
    // The service was asked for by its name already; what the client asks for inside is not.
    let text = tcp + &tls("t", "", parent, "any.test", API);
    let snapshot = compiled(&text, &settings());
    assert_eq!(&*tunnel(&snapshot, "web:80").unwrap().name, "shop/t/0", "TLS before TCP");
    assert!(found(&snapshot, "out", "web", "/").is_none(), "no request goes into TLS");
}

/// A policy of `web`, or of one of its ports.
fn policy(section: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: p}}\n\
         spec:\n  targetRefs: [{{group: \"\", kind: Service, name: web{section}}}]\n  \
         validation: {{hostname: web.test, wellKnownCACertificates: System}}\n"
    )
}

#[test]
fn a_policy_demands_tls_of_its_service_s_port_for_as_long_as_it_is_there() {
    let demands = |snapshot: &Snapshot, service: &str| {
        snapshot.clusters.iter().find(|c| &*c.key.service == service).unwrap().tls
    };
    for (section, expected) in
        [("", true), (", sectionName: http", true), (", sectionName: other", false)]
    {
        let snapshot = compiled(&policy(section), &settings());
        assert_eq!(demands(&snapshot, "web"), expected, "{section}");
        assert!(!demands(&snapshot, "api"));
    }
    let (mut index, mut compiler) = (index(shop()), Compiler::default());
    let before = compiler.update(&mut index, &settings(), 1);
    let policy = objects(&policy("")).remove(0);
    index.apply(Event::Apply(SourceId::Files, policy.clone()));
    let after = compiler.update(&mut index, &settings(), 2);
    assert!(demands(&after, "web"));
    assert!(std::sync::Arc::ptr_eq(&before.listeners, &after.listeners), "no route was touched");
    let note = "BackendTLSPolicy shop/p: TLS to endpoints is not spoken by this version: requests \
                to shop/web get 502";
    let notes: Vec<_> = index.notes(SourceId::Files).map(ToOwned::to_owned).collect();
    let retry = "HTTPRoute shop/shop: retries by status are accepted, not applied by this version";
    assert_eq!(notes, [retry, note]);
    index.apply(Event::Delete(SourceId::Files, policy.kind(), policy.name()));
    assert!(!demands(&compiler.update(&mut index, &settings(), 3), "web"));
    assert_eq!(index.notes(SourceId::Files).count(), 1);
    // Of another namespace it is somebody else's service.
    let text = self::policy("").replace("{name: p}", "{name: p, namespace: other}");
    assert!(!demands(&compiled(&text, &settings()), "web"));
}
