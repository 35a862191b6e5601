//! One snapshot after another: the same as from scratch, whatever happened and in whatever order,
//! and sharing what has not changed.

use std::sync::Arc;

use ringway_config::{Kind, Listener};
use ringway_core::rng::Rng;
use ringway_core::snapshot::Snapshot;
use ringway_discovery::{Addresses, Compiler, Event, Index, Object, Settings, SourceId, compile};

use crate::{index, objects, service, settings, shop};

/// A snapshot as text in which clusters have their keys in the place of their ids.
pub(crate) fn canonical(snapshot: &Snapshot) -> String {
    let mut routes = format!("{:?}", snapshot.listeners);
    let mut clusters = Vec::new();
    for cluster in snapshot.clusters.iter() {
        routes = routes.replace(&format!("{:?}", cluster.id), &format!("{:?}", cluster.key));
        clusters.push(format!("{cluster:?}").replace(&format!("{:?}", cluster.id), "_"));
    }
    assert!(
        !routes.contains("ClusterId"),
        "a rule refers to a cluster that is not there: {routes}"
    );
    clusters.sort();
    format!("{}\n{}", routes.replace("Rule {", "\nRule {"), clusters.join("\n"))
}

const NAMESPACES: [&str; 2] = ["shop", "other"];

/// Services that look one way or another.
fn services(add: &mut impl FnMut(String)) {
    for (namespace, name) in NAMESPACES.iter().flat_map(|space| [(space, "a"), (space, "b")]) {
        for spec in [
            "{ports: [{port: 80}]}",
            "{ports: [{port: 80, name: http}, {port: 81, name: more}], clusterIP: 10.96.0.1}",
            "{ports: [{port: 80, appProtocol: kubernetes.io/h2c}], clusterIP: 10.96.0.1}",
            "{ports: [{port: 80}], clusterIP: 10.96.0.2, internalTrafficPolicy: Local}",
            "{ports: [{port: 80}], clusterIP: None}",
            "{ports: [{port: 80}], type: ExternalName, externalName: x.example}",
        ] {
            add(format!(
                "apiVersion: v1\nkind: Service\n\
                 metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}"
            ));
        }
    }
}

/// Their slices, each with one endpoint that looks one way or another.
fn slices(add: &mut impl FnMut(String)) {
    for (namespace, name) in NAMESPACES.iter().flat_map(|space| [(space, "a"), (space, "b")]) {
        for (slice, kind, address) in
            [("one", "IPv4", "10.0.0.1"), ("two", "IPv4", "10.0.0.1"), ("six", "IPv6", "fd00::1")]
        {
            for (ports, endpoint) in [
                ("{port: 8080}", ""),
                (
                    "{port: 8080}, {port: 8081, name: http}",
                    ", hostname: pod-0, nodeName: n, targetRef: {name: p}",
                ),
                ("{port: 9090}", ", conditions: {ready: false, serving: true, terminating: true}"),
            ] {
                add(format!(
                    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: \
                     {name}-{slice}, namespace: {namespace}, labels: \
                     {{kubernetes.io/service-name: {name}}}}}\naddressType: {kind}\n\
                     ports: [{ports}]\nendpoints: [{{addresses: [\"{address}\"]{endpoint}}}]"
                ));
            }
        }
    }
}

/// Routes of one parent or another.
fn routes(add: &mut impl FnMut(String)) {
    for (namespace, name) in NAMESPACES.iter().flat_map(|space| [(space, "r"), (space, "q")]) {
        for (kind, matches) in [
            ("HTTPRoute", "matches: [{path: {value: /p}}], "),
            ("GRPCRoute", "matches: [{method: {service: s}}], "),
            ("TCPRoute", ""),
        ] {
            for parent in [
                "{kind: Service, group: \"\", name: a, namespace: shop}",
                "{kind: Service, group: \"\", name: b, namespace: other, port: 80}",
                "{name: front}",
            ] {
                add(format!(
                    "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\n\
                     metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
                     parentRefs: [{parent}]\n  rules: [{{{matches}backendRefs: \
                     [{{name: b, port: 80}}, {{name: a, namespace: shop, port: 81}}]}}]"
                ));
            }
        }
    }
}

/// Routes of TLS connections and policies, that look one way or another.
fn streams(add: &mut impl FnMut(String)) {
    for (namespace, name) in NAMESPACES.iter().flat_map(|space| [(space, "r"), (space, "q")]) {
        for (parent, hostname) in [
            ("{name: front}", "x.test"),
            ("{name: front}", "\"*.test\""),
            ("{name: behind}", "x.test"),
            ("{kind: Service, group: \"\", name: a, namespace: shop}", "x.test"),
        ] {
            add(format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\n\
                 metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
                 parentRefs: [{parent}]\n  hostnames: [{hostname}]\n  \
                 rules: [{{backendRefs: [{{name: b, port: 80}}]}}]"
            ));
        }
        for target in ["a", "b, sectionName: http", "b, sectionName: none"] {
            add(format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\n\
                 metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
                 targetRefs: [{{group: \"\", kind: Service, name: {target}}}]\n  \
                 validation: {{hostname: x.test, wellKnownCACertificates: System}}"
            ));
        }
        add(format!(
            "apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackendTrafficPolicy\n\
             metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
             targetRefs: [{{group: \"\", kind: Service, name: a}}]"
        ));
    }
}

/// Objects of few names, many of the same name, so that they meet.
fn pool() -> Vec<(SourceId, Object)> {
    let mut pool = Vec::new();
    // Each document by itself: no two of one file may have the same name.
    let mut add = |text: String| {
        pool.extend(objects(&text).into_iter().map(|object| (SourceId::Files, object)));
    };
    services(&mut add);
    slices(&mut add);
    routes(&mut add);
    streams(&mut add);
    let fixed = pool.iter().filter(|(_, object)| !matches!(object, Object::Route(_))).step_by(5);
    let fixed: Vec<_> = fixed.map(|(_, object)| (SourceId::Fixed, object.clone())).collect();
    pool.extend(fixed);
    for last in 0..3 {
        let addresses = (0..last).map(|n| [192, 0, 2, n].into()).collect();
        let object = Object::Addresses(Addresses { host: "x.example".into(), addresses });
        pool.push((SourceId::Names, object));
    }
    pool
}

fn all_settings() -> Vec<Settings> {
    let mut own = settings();
    let mut behind = Listener::new("behind", ([127, 0, 0, 1], 81).into(), Kind::Gateway);
    behind.service = Some(String::from("a"));
    own.listeners.push(behind);
    let mut moved = own.clone();
    moved.discovery.namespace = String::from("other");
    moved.discovery.node = Some(String::from("n"));
    let mut fewer = own.clone();
    fewer.listeners.remove(0);
    vec![own.clone(), own.clone(), own, moved, fewer]
}

/// What one step of a random story does to the index.
fn events(rng: &mut Rng, pool: &[(SourceId, Object)]) -> Vec<Event> {
    let mut any = |n: usize| usize::try_from(rng.below(n as u64)).unwrap();
    let (source, object) = pool[any(pool.len())].clone();
    match any(12) {
        0..=6 => vec![Event::Apply(source, object)],
        7..=10 => vec![Event::Delete(source, object.kind(), object.name())],
        _ => {
            let mut events = vec![Event::Init(source)];
            for _ in 0..any(12) {
                let (other, object) = pool[any(pool.len())].clone();
                if other == source {
                    events.push(Event::Apply(source, object));
                }
            }
            events.push(Event::InitDone(source));
            events
        }
    }
}

#[test]
fn any_story_ends_as_if_it_were_told_at_once() {
    let (pool, all) = (pool(), all_settings());
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let (mut index, mut compiler) = (Index::default(), Compiler::default());
        let mut settings = &all[0];
        for generation in 1..60 {
            for _ in 0..=rng.below(3) {
                events(&mut rng, &pool).into_iter().for_each(|event| {
                    index.apply(event);
                });
            }
            if rng.below(10) == 0 {
                settings = &all[usize::try_from(rng.below(all.len() as u64)).unwrap()];
            }
            let grown = canonical(&compiler.update(&mut index, settings, generation));
            let fresh = canonical(&compile(&index, settings, generation));
            let differ = grown.lines().zip(fresh.lines()).find(|(a, b)| a != b);
            assert!(grown == fresh, "seed {seed}, generation {generation}: {differ:#?}");
        }
    }
}

#[test]
fn an_endpoint_costs_its_own_cluster_and_nothing_else() {
    let (mut index, mut compiler) = (index(shop()), Compiler::default());
    let before = compiler.update(&mut index, &settings(), 1);
    let slice = shop().into_iter().find_map(|object| match object {
        Object::Slice(slice) if &*slice.service == "web" => Some(slice),
        _ => None,
    });
    let mut slice = slice.unwrap();
    slice.endpoints.remove(0);
    assert!(index.apply(Event::Apply(SourceId::Files, Object::Slice(slice))));
    let after = compiler.update(&mut index, &settings(), 2);
    assert!(Arc::ptr_eq(&before.listeners, &after.listeners), "no route table was made");
    let mut changed = Vec::new();
    let mut from = 0;
    while let Some(slot) = before.clusters.differs_from(&after.clusters, from) {
        changed.push(after.clusters.at(slot).unwrap().key.service.to_string());
        from = slot + 1;
    }
    assert_eq!(changed, ["web"]);
    let same = compiler.update(&mut index, &settings(), 3);
    assert_eq!(after.clusters.differs_from(&same.clusters, 0), None);
}

#[test]
fn a_route_costs_the_listeners_it_is_of() {
    let (mut index, mut compiler) = (index(shop()), Compiler::default());
    let before = compiler.update(&mut index, &settings(), 1);
    let shared = |after: &Snapshot| -> Vec<bool> {
        before
            .listeners
            .iter()
            .zip(after.listeners.iter())
            .map(|(a, b)| Arc::ptr_eq(a, b))
            .collect()
    };
    let route = objects(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {name: mesh, namespace: shop}\nspec:\n  \
         parentRefs: [{group: \"\", kind: Service, name: web}]\n  \
         rules: [{backendRefs: [{name: api, port: 8080}]}]\n",
    );
    index.apply(Event::Apply(SourceId::Files, route[0].clone()));
    let after = compiler.update(&mut index, &settings(), 2);
    assert_eq!(shared(&after), [true, false, true], "front, out, in");
    assert_eq!(before.clusters.differs_from(&after.clusters, 0), None);
    // And away again.
    index.apply(Event::Delete(SourceId::Files, route[0].kind(), route[0].name()));
    let after = compiler.update(&mut index, &settings(), 3);
    assert_eq!(canonical(&after), canonical(&before));
}

#[test]
fn a_cluster_keeps_its_id_for_as_long_as_a_rule_refers_to_it() {
    let (mut index, mut compiler) = (index(shop()), Compiler::default());
    let id = |snapshot: &Snapshot| {
        let table = &snapshot.listener("out").unwrap().table;
        let rule = table.rules().iter().find(|rule| &*rule.name == "shop/api:8080")?;
        assert_eq!(service(snapshot, rule), "api:8080");
        rule.backends[0].cluster
    };
    let first = id(&compiler.update(&mut index, &settings(), 1)).unwrap();
    let mut other = settings();
    other.discovery.node = Some(String::from("n"));
    assert_eq!(id(&compiler.update(&mut index, &other, 2)), Some(first));
    let api =
        shop().into_iter().find(|o| matches!(o, Object::Service(s) if &*s.name.name == "api"));
    let api = api.unwrap();
    index.apply(Event::Delete(SourceId::Files, api.kind(), api.name()));
    let gone = compiler.update(&mut index, &other, 3);
    assert_eq!((id(&gone), gone.clusters.get(first)), (None, None));
    index.apply(Event::Apply(SourceId::Files, api));
    let again = id(&compiler.update(&mut index, &other, 4)).unwrap();
    assert_ne!(again, first, "an id is not used for another life");
}
