//! Manifests: what is read, and what is said of mistakes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ringway_core::time::Duration;

use super::{Found, ManifestError, read};
use crate::object::{NamespacedName, Object, RetryBudget, RouteKind};

const SHOP: &str = include_str!("../../tests/fixtures/shop.yaml");
const BROKEN: &str = include_str!("../../tests/fixtures/broken.yaml");

fn one(text: &str) -> Result<Found, Vec<ManifestError>> {
    read(&[("a.yaml".into(), text.into())], "default")
}

#[test]
fn a_whole_file_is_read() {
    let found = one(SHOP).unwrap();
    assert_eq!(found.objects.len(), 6);
    let notes = [
        "a.yaml:8:7: spec.ports[1]: only TCP ports are used",
        "a.yaml:62:14: spec.rules[0].retry: accepted, not applied by this version",
        "a.yaml:65:1: Deployment (apps/v1) is not used",
    ];
    assert_eq!(found.notes, notes);
}

#[test]
fn every_mistake_has_its_place() {
    let errors = one(BROKEN).unwrap_err();
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let expected = [
        "a.yaml:6:13: spec.ports[0].port: found `70000`, expected a number from 1 to 65535",
        "a.yaml:7:13: spec.ports[1].port: found `\"80\"`, expected a number from 1 to 65535; hint: write the number without quotes",
        "a.yaml:15:51: spec.rules[0].matches[0].path.value: found `\"(\"`, expected a regular expression; hint: ",
        "a.yaml:16:19: spec.rules[0].matches[1].method: found `get`, expected a method such as GET or POST; hint: methods are written in capital letters",
        "a.yaml:17:28: spec.rules[0].timeouts.request: found `10 seconds`, expected a duration such as 10s, 500ms or 1m30s",
        "a.yaml:18:26: spec.rules[0].filters[0].type: found `CORS`, expected one of RequestHeaderModifier, ",
        "a.yaml:19:22: spec.rules[0].backendRefs[0].port: found nothing, expected the field `port`; hint: add it",
        "a.yaml:26:18: endpoints[0].addresses[0]: found `web.local`, expected an IP address",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
}

#[test]
fn json_lists_aliases_and_byte_order_marks_are_read() {
    let json = "\u{feff}{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n\t{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"ports\":[{\"port\":80}]}}]}";
    assert_eq!(one(json).unwrap().objects.len(), 1);
    let alias = "apiVersion: v1\nkind: Service\nmetadata: {name: &n a}\nspec: {ports: [{name: *n, port: 1}]}\n";
    let found = one(alias).unwrap();
    let Object::Service(service) = &found.objects[0] else { panic!("{found:?}") };
    assert_eq!((&*service.ports[0].name, &*service.name.namespace), ("a", "default"));
}

#[test]
fn garbage_is_refused_and_does_not_grow() {
    for text in ["{", "- a", "just text", "a: [", "\t- x: y", "kind: Service", "a: 1\na: 2"] {
        assert!(one(text).is_err(), "{text}");
    }
    assert!(read(&[("a.yaml".into(), vec![0xff])], "default").is_err());
    assert!(one(&"[".repeat(100_000)).is_err());
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..20 {
        let alias = format!("*a{}, ", n - 1);
        bomb += &format!("a{n}: &a{n} [{}]\n", alias.repeat(10));
    }
    assert!(one(&bomb).is_err());
    for text in ["", "---\n---\n", "# nothing\n"] {
        assert_eq!(one(text).unwrap(), Found::default(), "{text}");
    }
}

#[test]
fn wrong_types_are_never_read_as_nothing() {
    let route = |spec: &str| {
        let head = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}";
        one(&format!("{head}\nspec: {spec}\n"))
    };
    assert!(route("{rules: [{}]}").is_ok());
    for spec in [
        "[]",
        "x",
        "{rules: {}}",
        "{rules: [x]}",
        "{rules: [{matches: [x]}]}",
        "{rules: [{matches: [{path: /}]}]}",
        "{rules: [{matches: [{headers: {a: b}}]}]}",
        "{rules: [{filters: [{type: URLRewrite, urlRewrite: []}]}]}",
        "{rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [x]}}]}]}",
        "{rules: [{backendRefs: [{name: 1, port: 80}]}]}",
        "{hostnames: [true]}",
    ] {
        assert!(route(spec).is_err(), "{spec}");
    }
}

#[test]
fn an_object_stands_once() {
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 1}]}\n";
    let files = [("a.yaml".into(), service.into()), ("b.yaml".into(), service.into())];
    let errors = read(&files, "default").unwrap_err();
    assert!(errors[0].to_string().starts_with("b.yaml:1:1: "), "{}", errors[0]);
    assert!(errors[0].problem.hint.ends_with("a.yaml:1"));
}

#[test]
fn methods_of_grpc_are_paths() {
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: g}\nspec:\n  rules:\n    - matches:\n        - method: {service: a.B, method: C}\n        - method: {service: a.B}\n        - method: {method: C}\n";
    let found = one(route).unwrap();
    let Object::Route(route) = &found.objects[0] else { panic!("{found:?}") };
    assert_eq!(route.kind, RouteKind::Grpc);
    let paths: Vec<_> = route.rules[0].matches.iter().map(|m| format!("{:?}", m.path)).collect();
    assert_eq!(paths, ["Exact(\"/a.B/C\")", "Prefix(\"/a.B\")", "Regex(\"/[^/]+/C\")"]);
}

#[test]
fn opaque_ports_are_read_from_linkerd_s_annotation() {
    let service = |ports: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  \
             annotations: {{config.linkerd.io/opaque-ports: {ports}}}\nspec: {{ports: [{{port: 1}}]}}\n"
        )
    };
    let found = one(&service("'25, 4000-4100'")).unwrap();
    let Object::Service(found) = &found.objects[0] else { panic!("{found:?}") };
    let ports = found.opaque_ports.as_ref().unwrap();
    assert_eq!([25, 26, 4050].map(|port| ports.contains(port)), [true, false, true]);
    let errors = one(&service("smtp")).unwrap_err();
    let expected = "a.yaml:5:49: metadata.annotations.config.linkerd.io/opaque-ports: found `smtp`, \
                    expected ports such as `25,587,4000-4100`";
    assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
}

#[test]
fn values_that_do_not_exist_are_refused_where_they_stand() {
    let service = |spec: &str| {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec: {spec}\n")
    };
    let slice = |kind: &str, rest: &str| {
        format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: a-1, labels: \
             {{kubernetes.io/service-name: a}}}}\naddressType: {kind}\n{rest}\n"
        )
    };
    let endpoint = |more: &str| format!("endpoints: [{{addresses: [10.0.0.1], {more}}}]");
    let route = |kind: &str, rule: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: a}}\n\
             spec: {{rules: [{rule}]}}\n"
        )
    };
    let rows = [
        (service("{ports: [{port: 0}]}"), "spec.ports[0].port"),
        (service("{ports: [{port: 80, targetPort: 65536}]}"), "spec.ports[0].targetPort"),
        (service("{ports: [{port: 80}], type: Balanced}"), "spec.type"),
        (
            service("{ports: [{port: 80}], internalTrafficPolicy: Near}"),
            "spec.internalTrafficPolicy",
        ),
        (service("{ports: [{port: 80}], clusterIP: 10.0.0.300}"), "spec.clusterIP"),
        (service("{type: ExternalName}"), "spec.externalName"),
        (slice("IPv5", "endpoints: []"), "addressType"),
        (slice("IPv4", "ports: [{port: 70000}]\nendpoints: []"), "ports[0].port"),
        (slice("IPv4", &endpoint("conditions: {ready: maybe}")), "endpoints[0].conditions.ready"),
        (
            slice("IPv4", &endpoint("hints: {forZones: [{}]}")),
            "endpoints[0].hints.forZones[0].name",
        ),
        (
            // Of 24 characters, and of a million states.
            route(
                "HTTPRoute",
                "{matches: [{path: {type: RegularExpression, value: \"(a{1000}){1000}\"}}]}",
            ),
            "spec.rules[0].matches[0].path.value",
        ),
        (
            route("GRPCRoute", "{matches: [{method: {type: Prefix, service: s}}]}"),
            "spec.rules[0].matches[0].method.type",
        ),
        (
            route("TCPRoute", "{backendRefs: [{name: a, port: 80, weight: 1000001}]}"),
            "spec.rules[0].backendRefs[0].weight",
        ),
        (
            route("TLSRoute", "{backendRefs: [{name: a, port: -1}]}"),
            "spec.rules[0].backendRefs[0].port",
        ),
    ];
    for (text, path) in rows {
        let errors = one(&text).unwrap_err();
        let paths: Vec<_> = errors.iter().map(|error| &*error.problem.path).collect();
        assert_eq!(paths, [path], "{text}");
    }
}

#[test]
fn what_is_not_read_of_an_object_is_not_kept() {
    let service = |annotations: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: a, annotations: {{x: \"{annotations}\"}}}}\n\
             spec: {{ports: [{{port: 1}}]}}\n"
        )
    };
    let huge = one(&service(&"y".repeat(10 << 20))).unwrap();
    assert_eq!(huge.objects, one(&service("")).unwrap().objects);
}

#[test]
fn routes_of_connections_have_one_rule() {
    let text = "apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: TCPRoute\nmetadata: {name: a}\n\
                spec: {parentRefs: [{name: g}], rules: [{backendRefs: [{name: b, port: 1}]}, {}]}\n\
                ---\napiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\nmetadata: {name: a}\n\
                spec: {parentRefs: [{name: g}], hostnames: [a.example], rules: [{}]}\n";
    let found = one(text).unwrap();
    let kinds: Vec<_> = found.objects.iter().map(|object| object.kind().as_str()).collect();
    assert_eq!(kinds, ["TCPRoute", "TLSRoute"]);
    let Object::Route(route) = &found.objects[0] else { panic!("{found:?}") };
    assert_eq!((route.rules.len(), route.rules[0].backends.len()), (1, 1));
    assert_eq!(found.notes, ["a.yaml:1:1: only the first rule can match"]);
    // What a service's clients ask for inside is not looked at.
    let mesh = text.replace("[{name: g}]", "[{name: g, kind: Service, group: ''}]");
    assert_eq!(one(&mesh).unwrap().notes.len(), 2);
}

#[test]
fn policies_are_read_with_their_defaults() {
    let policy = |kind: &str, spec: &str| {
        let version = if kind == "BackendTLSPolicy" {
            "gateway.networking.k8s.io/v1"
        } else {
            "gateway.networking.x-k8s.io/v1alpha1"
        };
        one(&format!(
            "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: p}}\nspec:\n  targetRefs:\n  \
             - {{group: '', kind: Service, name: web}}\n  \
             - {{group: '', kind: Service, name: api, sectionName: http}}\n  \
             - {{group: x, kind: Other, name: z}}\n{spec}"
        ))
    };
    let found = policy("BackendTLSPolicy", "  validation: {hostname: web.test}\n").unwrap();
    let Object::BackendTlsPolicy(tls) = &found.objects[0] else { panic!("{found:?}") };
    let web = NamespacedName::new("default", "web");
    let api = NamespacedName::new("default", "api");
    let covered =
        |name: &NamespacedName, port: &str| tls.targets.iter().any(|t| t.covers(name, port));
    assert!(covered(&web, "any") && covered(&api, "http") && !covered(&api, "other"));
    assert_eq!(found.notes.len(), 2, "{:?}", found.notes);

    let budget = |spec: &str| {
        let found = policy("XBackendTrafficPolicy", spec).unwrap();
        let Object::BackendTrafficPolicy(traffic) = &found.objects[0] else { panic!("{found:?}") };
        assert_eq!(traffic.targets.len(), 2);
        traffic.budget
    };
    assert_eq!(budget(""), None);
    let default = budget("  retryConstraint: {}\n").unwrap();
    let seconds = Duration::from_secs;
    assert_eq!((default.percent, default.interval), (20, seconds(10)));
    assert_eq!(default.least, (10, seconds(1)));
    let spec = "  retryConstraint: {budget: {percent: 50, interval: 1m}, minRetryRate: {count: 3, interval: 2s}}\n";
    let told = RetryBudget { percent: 50, interval: seconds(60), least: (3, seconds(2)) };
    assert_eq!(budget(spec), Some(told));
    for (wrong, path) in [
        ("budget: {percent: 101}", "spec.retryConstraint.budget.percent"),
        ("budget: {interval: 0s}", "spec.retryConstraint.budget.interval"),
        ("minRetryRate: {interval: 2h}", "spec.retryConstraint.minRetryRate.interval"),
        ("minRetryRate: {count: 0}", "spec.retryConstraint.minRetryRate.count"),
    ] {
        let spec = format!("  retryConstraint: {{{wrong}}}\n");
        let errors = policy("XBackendTrafficPolicy", &spec).unwrap_err();
        assert_eq!(errors[0].problem.path, path, "{errors:?}");
    }
}

#[test]
fn retries_are_read_of_rules_and_of_linkerd_s_annotations() {
    let route = |annotations: &str, retry: &str| {
        let text = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
             metadata: {{name: r, annotations: {{{annotations}}}}}\nspec: {{rules: [{{{retry}}}]}}\n"
        );
        one(&text).map(|found| {
            let Object::Route(route) = &found.objects[0] else { panic!("{found:?}") };
            (route.rules[0].retry.clone(), found.notes.len())
        })
    };
    assert_eq!(route("", "").unwrap(), (None, 0));
    let (rule, notes) =
        route("", "retry: {codes: [500, 503], attempts: 3, backoff: 100ms}").unwrap();
    let rule = rule.unwrap();
    assert_eq!((rule.statuses, rule.attempts, notes), (vec![(500, 500), (503, 503)], 3, 1));
    assert_eq!(rule.backoff, Some(Duration::from_millis(100)));
    let linkerd = "retry.linkerd.io/http: \"5xx, gateway-error,429,400-404\", \
                   retry.linkerd.io/grpc: \"unavailable,internal\", \
                   retry.linkerd.io/limit: \"2\", retry.linkerd.io/timeout: 300ms";
    let (annotated, notes) = route(linkerd, "").unwrap();
    let annotated = annotated.unwrap();
    assert_eq!(annotated.statuses, [(500, 599), (502, 504), (429, 429), (400, 404)]);
    assert_eq!((annotated.grpc, annotated.attempts, notes), (vec![14, 13], 2, 1));
    assert_eq!(annotated.timeout, Some(Duration::from_millis(300)));
    let (own, _) = route(linkerd, "retry: {codes: [500]}").unwrap();
    assert_eq!(own.unwrap().statuses, [(500, 500)], "a rule's own goes first");
    // As in Linkerd, a mistake in an annotation does not cost the route.
    let (rest, notes) = route("retry.linkerd.io/http: \"5xx,6xx,900,9-1\"", "").unwrap();
    assert_eq!((rest.unwrap().statuses, notes), (vec![(500, 599)], 4));
    for wrong in ["{codes: [500, 500]}", "{codes: [200]}", "{attempts: 0}", "{backoff: soon}"] {
        assert!(route("", &format!("retry: {wrong}")).is_err(), "{wrong}");
    }
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: \
                   {retry.linkerd.io/grpc: unavailable}}\nspec: {ports: [{port: 1}]}\n";
    let found = one(service).unwrap();
    let Object::Service(found) = &found.objects[0] else { panic!("{found:?}") };
    assert_eq!(found.retry.as_ref().unwrap().grpc, [14]);
}
