//! Routes of services, as the Gateway API has them for meshes (GEP-1294, GEP-1324, GEP-1426), and
//! the precedence of rules.

use ringway_core::message::{Field, RequestHead, Tag};
use ringway_core::snapshot::{PathRewrite, Rule, Snapshot};
use ringway_core::time::Duration;
use ringway_discovery::{Compiler, Settings, SourceId, compile};

use crate::{found, index, objects, service, settings, shop};

/// A route of that kind, `namespace/name`, of the service `shop/web`, with the rest of its spec.
fn route(kind: &str, name: &str, spec: &str) -> String {
    dated(kind, name, "", spec)
}

fn dated(kind: &str, name: &str, created: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}, \
         namespace: {namespace}, creationTimestamp: \"{created}\"}}\nspec:\n  \
         parentRefs: [{{group: \"\", kind: Service, name: web, namespace: shop}}]\n  {spec}\n---\n"
    )
}

/// A rule with these matches that goes to `shop/api:8080`.
fn rule(matches: &str) -> String {
    format!("{{matches: [{matches}], backendRefs: [{{name: api, namespace: shop, port: 8080}}]}}")
}

fn rules(rules: &[&str]) -> String {
    format!("rules: [{}]", rules.iter().map(|matches| rule(matches)).collect::<Vec<_>>().join(", "))
}

fn compiled(routes: &str, settings: &Settings) -> Snapshot {
    let mut all = shop();
    all.extend(objects(routes));
    compile(&index(all), settings, 1)
}

/// The name of the rule for a GET of `target` from the service `web`.
fn to(snapshot: &Snapshot, target: &str) -> Option<String> {
    found(snapshot, "out", "web", target).map(|rule| rule.name.to_string())
}

fn asked<'s>(
    snapshot: &'s Snapshot,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Option<&'s Rule> {
    let fields: Vec<Field<'_>> = headers
        .iter()
        .map(|(name, value)| Field {
            name: name.as_bytes(),
            value: value.as_bytes(),
            line: (0, 0),
            tag: Tag::Other,
        })
        .collect();
    let head = RequestHead {
        fields: &fields,
        ..RequestHead::bare(method.as_bytes(), b"web", target.as_bytes())
    };
    Some(snapshot.listener("out")?.table.find(&head)?.rule)
}

#[test]
fn a_service_is_known_by_its_cluster_ip_and_port() {
    let snapshot =
        compiled(&route("HTTPRoute", "shop/r", &rules(&["{path: {value: /a}}"])), &settings());
    let by = |authority: &str, target: &str| {
        found(&snapshot, "out", authority, target).map(|rule| rule.name.to_string())
    };
    assert_eq!(by("10.96.0.10", "/a").as_deref(), Some("shop/r/0"));
    assert_eq!(by("10.96.0.10:80", "/a").as_deref(), Some("shop/r/0"));
    assert_eq!(by("10.96.0.10:81", "/a"), None, "another port");
    assert_eq!(by("10.1.0.1:8080", "/a"), None, "a pod's own address gets no routes");
    let six = "apiVersion: v1\nkind: Service\nmetadata: {name: six}\n\
               spec: {clusterIPs: [\"FD00:0::a\", 10.96.0.11], ports: [{port: 80}]}\n";
    let snapshot = compiled(six, &settings());
    for authority in ["[fd00::a]", "[fd00::a]:80", "10.96.0.11"] {
        let rule = found(&snapshot, "out", authority, "/").unwrap();
        assert_eq!(&*rule.name, "shop/six:80", "{authority}");
    }
}

#[test]
fn a_consumer_s_routes_replace_the_producer_s_for_the_consumer_alone() {
    let routes = route("HTTPRoute", "shop/producer", &rules(&["{path: {value: /a}}"]))
        + &route("HTTPRoute", "near/consumer", &rules(&["{path: {value: /b}}"]))
        + &route("GRPCRoute", "far/other", &rules(&["{method: {service: s}}"]));
    let of = |namespace: &str, target: &str| {
        let mut settings = settings();
        settings.discovery.namespace = String::from(namespace);
        let snapshot = compiled(&routes, &settings);
        found(&snapshot, "out", "web.shop", target).map(|rule| rule.name.to_string())
    };
    for producer in ["shop", "elsewhere"] {
        assert_eq!(of(producer, "/a").as_deref(), Some("shop/producer/0"));
        assert_eq!(of(producer, "/b"), None);
    }
    assert_eq!(of("near", "/b").as_deref(), Some("near/consumer/0"));
    assert_eq!(of("near", "/a"), None, "nothing is merged");
    assert_eq!(of("far", "/a"), None, "of whatever kind it is");
}

#[test]
fn of_several_kinds_the_most_specific_stays() {
    let plain = "rules: [{backendRefs: [{name: api, port: 8080}]}]";
    let kinds = ["GRPCRoute", "HTTPRoute", "TLSRoute", "TCPRoute"];
    for first in 0..kinds.len() {
        let all: String = kinds[first..]
            .iter()
            .map(|kind| route(kind, &format!("shop/{}", kind.to_lowercase()), plain))
            .collect();
        let snapshot = compiled(&all, &settings());
        let names: Vec<_> = snapshot
            .listener("out")
            .unwrap()
            .table
            .rules()
            .iter()
            .map(|rule| &*rule.name)
            .filter(|name| name.ends_with("route/0"))
            .collect();
        assert_eq!(names, [format!("shop/{}/0", kinds[first].to_lowercase())]);
    }
    // Only for the port that they share.
    let grpc = route(
        "GRPCRoute",
        "shop/g",
        &format!("rules: [{}]", "{backendRefs: [{name: api, port: 8080}]}"),
    );
    let text = grpc.replace("namespace: shop}]", "namespace: shop, port: 81}]")
        + &route("HTTPRoute", "shop/h", plain);
    assert_eq!(to(&compiled(&text, &settings()), "/").as_deref(), Some("shop/h/0"));
}

#[test]
fn what_has_no_cluster_ip_is_no_parent() {
    let headless = "apiVersion: v1\nkind: Service\nmetadata: {name: h}\nspec: {clusterIP: None, ports: [{port: 80}]}\n---\n";
    let routes = route("HTTPRoute", "shop/r", &rules(&["{path: {value: /a}}"]))
        .replace("name: web, namespace", "name: h, namespace");
    let mut all = shop();
    all.extend(objects(&format!("{headless}{routes}")));
    let (mut index, mut compiler) = (index(all), Compiler::default());
    let snapshot = compiler.update(&mut index, &settings(), 1);
    assert_eq!(&*found(&snapshot, "out", "h", "/b").unwrap().name, "shop/h:80");
    let complaint = "route shop/r cannot be attached to service shop/h, which has no cluster IP";
    assert_eq!(compiler.complaints(SourceId::Files).collect::<Vec<_>>(), [complaint]);
}

/// A request (method, target, headers) and the rule it finds.
type Row<'r> = (&'r str, &'r str, &'r [(&'r str, &'r str)], &'r str);

#[test]
fn routes_are_merged_by_the_precedence_of_their_matches() {
    // The older one has the less specific matches.
    let older = rules(&[
        "{path: {value: /}}",
        "{path: {value: /a}}",
        "{path: {value: /a}, headers: [{name: x, value: one}]}",
    ]);
    let newer = rules(&[
        "{path: {value: /a/b}}",
        "{path: {type: Exact, value: /a}}",
        "{path: {value: /a}, method: POST}",
        "{path: {value: /a}, headers: [{name: x, value: one}, {name: y, value: two}]}",
        "{path: {value: /a}, queryParams: [{name: q, value: one}]}",
        "{path: {value: /a}, headers: [{name: x, value: one}], queryParams: [{name: q, value: one}]}",
    ]);
    let routes = dated("HTTPRoute", "shop/newer", "2026-02-01T00:00:00Z", &newer)
        + &dated("HTTPRoute", "shop/older", "2026-01-01T00:00:00Z", &older);
    let snapshot = compiled(&routes, &settings());
    let one = ("x", "one");
    let two = ("Y", "two");
    let rows: &[Row<'_>] = &[
        ("GET", "/other", &[], "older/0"),
        ("GET", "/a/c", &[], "older/1"),
        ("GET", "/a", &[], "newer/1"),
        ("GET", "/a", &[one, two], "newer/1"),
        ("GET", "/a/b/c", &[], "newer/0"),
        ("GET", "/a/bc", &[], "older/1"),
        ("POST", "/a/b", &[one], "newer/0"),
        ("POST", "/a/c?q=one", &[one, two], "newer/2"),
        ("GET", "/a/c", &[one], "older/2"),
        ("GET", "/a/c", &[one, two], "newer/3"),
        ("GET", "/a/c?q=one", &[], "newer/4"),
        ("GET", "/a/c?q=one", &[one], "newer/5"),
        ("GET", "/a/c?q=one", &[one, two], "newer/3"),
    ];
    for (method, target, headers, expected) in rows {
        let rule = asked(&snapshot, method, target, headers).unwrap();
        assert_eq!(*rule.name, format!("shop/{expected}"), "{method} {target} {headers:?}");
    }
}

#[test]
fn among_equals_the_oldest_route_wins_then_the_first_by_name_then_the_first_rule() {
    let one = rules(&["{path: {value: /a}}", "{path: {value: /a}}"]);
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z");
    let of = |routes: &[(&str, &str)]| {
        let routes: String =
            routes.iter().map(|(name, created)| dated("HTTPRoute", name, created, &one)).collect();
        to(&compiled(&routes, &settings()), "/a").unwrap()
    };
    assert_eq!(of(&[("shop/b", early), ("shop/a", late)]), "shop/b/0");
    assert_eq!(of(&[("shop/b", early), ("shop/a", early)]), "shop/a/0");
    assert_eq!(of(&[("shop/b", late), ("shop/a", early)]), "shop/a/0");
}

#[test]
fn a_backend_that_is_not_there_takes_its_share_and_no_more() {
    let backends = "rules: [{backendRefs: [{name: api, port: 8080, weight: 3}, \
                    {name: gone, port: 80, weight: 1}, {name: api, port: 81}, \
                    {name: never, port: 80, weight: 0}, {kind: Other, name: x, port: 80}]}]";
    let snapshot = compiled(&route("HTTPRoute", "shop/r", backends), &settings());
    let rule = found(&snapshot, "out", "web", "/").unwrap();
    assert_eq!(service(&snapshot, rule), "api:8080");
    let shares: Vec<_> = rule.backends.iter().map(|b| (b.cluster.is_some(), b.weight)).collect();
    assert_eq!(shares, [(true, 3), (false, 1), (false, 1), (false, 0), (false, 1)]);
    // With no backend at all every request is answered with 500: there is a rule, and it is empty.
    let empty = compiled(&route("HTTPRoute", "shop/r", "rules: [{backendRefs: []}]"), &settings());
    assert!(found(&empty, "out", "web", "/").unwrap().backends.is_empty());
}

#[test]
fn a_backend_does_not_get_its_own_routes_as_well() {
    let routes = route("HTTPRoute", "shop/r", "rules: [{backendRefs: [{name: api, port: 8080}]}]")
        + &route("HTTPRoute", "shop/of-api", "rules: [{backendRefs: [{name: web, port: 80}]}]")
            .replace("name: web, namespace", "name: api, namespace");
    let snapshot = compiled(&routes, &settings());
    assert_eq!(service(&snapshot, found(&snapshot, "out", "web", "/").unwrap()), "api:8080");
    assert_eq!(service(&snapshot, found(&snapshot, "out", "api:8080", "/").unwrap()), "web:80");
}

#[test]
fn filters_and_timeouts_come_with_the_rule() {
    let spec = "rules: [{matches: [{path: {value: /old}}], filters: [\
                {type: URLRewrite, urlRewrite: {hostname: new.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}, \
                {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}]}}, \
                {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [c]}}], \
                timeouts: {request: 10s, backendRequest: 0s}, \
                backendRefs: [{name: api, port: 8080, filters: [{type: RequestHeaderModifier, \
                requestHeaderModifier: {add: [{name: d, value: e}]}}]}]}, \
                {matches: [{path: {value: /gone}}], filters: [{type: RequestRedirect, \
                requestRedirect: {scheme: https, hostname: there.example, port: 8443, statusCode: 308}}]}]";
    let snapshot = compiled(&route("HTTPRoute", "shop/r", spec), &settings());
    let rule = found(&snapshot, "out", "web", "/old/x").unwrap();
    assert_eq!(rule.filters.hostname.as_deref(), Some("new.example"));
    assert_eq!(rule.filters.path, Some(PathRewrite::Prefix("/new".into())));
    assert_eq!(rule.filters.request.set, [("a".into(), "b".into())]);
    assert_eq!(rule.filters.response.remove, ["c".into()]);
    assert_eq!(rule.backends[0].filters.request.add, [("d".into(), "e".into())]);
    assert_eq!(rule.timeouts.request, Some(Duration::from_secs(10)));
    assert_eq!(rule.timeouts.backend_request, None, "0s is no limit");
    let redirect = found(&snapshot, "out", "web", "/gone").unwrap().redirect.clone().unwrap();
    assert_eq!((redirect.status, redirect.port), (308, Some(8443)));
    assert_eq!(redirect.hostname.as_deref(), Some("there.example"));
}

#[test]
fn a_tcp_route_of_a_gateway_takes_what_is_opaque() {
    let tcp = "apiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\n\
               metadata: {name: stream, namespace: shop}\nspec:\n  parentRefs: [{name: front}]\n  \
               rules: [{backendRefs: [{name: api, port: 8080, weight: 9}, {name: web, port: 80, weight: 1}]}]\n---\n";
    let beside = compile(&index([shop(), objects(tcp)].concat()), &settings(), 1);
    let front = beside.listener("front").unwrap();
    assert_eq!(&*front.opaque.as_ref().unwrap().name, "shop/stream/0");
    assert!(found(&beside, "front", "nowhere.example", "/").is_none(), "HTTPRoutes go first");
    let services = shop().into_iter().filter(|o| !matches!(o, ringway_discovery::Object::Route(_)));
    let alone: Vec<_> = services.chain(objects(tcp)).collect();
    let alone = compile(&index(alone), &settings(), 1);
    let rule = found(&alone, "front", "nowhere.example", "/").unwrap();
    assert_eq!(rule.backends.iter().map(|b| b.weight).collect::<Vec<_>>(), [9, 1]);
}
