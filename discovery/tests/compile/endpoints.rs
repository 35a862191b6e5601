//! From slices to the endpoints of a service's port.

use ringway_core::snapshot::{HttpProtocol, Snapshot};
use ringway_discovery::{Addresses, Event, Index, Object, Settings, SourceId, compile};

use crate::{found, index, objects, settings};

/// A service `web` in namespace `shop`, with this `spec`.
fn web(spec: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {spec}\n---\n")
}

/// One of its slices: with this name, address type, ports and endpoints.
fn slice(name: &str, family: &str, ports: &str, endpoints: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}, \
         labels: {{kubernetes.io/service-name: web}}}}\naddressType: {family}\n\
         ports: {ports}\nendpoints: {endpoints}\n---\n"
    )
}

fn v4(endpoints: &str) -> String {
    slice("four", "IPv4", "[{port: 8080}]", endpoints)
}

/// The addresses of the cluster `web:80`.
fn addresses(text: &str, settings: &Settings) -> Vec<String> {
    of(&compile(&index(objects(text)), settings, 1), "web", 80)
}

fn of(snapshot: &Snapshot, service: &str, port: u16) -> Vec<String> {
    let mut clusters = snapshot.clusters.iter();
    let cluster = clusters.find(|c| &*c.key.service == service && c.key.port == port).unwrap();
    cluster.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect()
}

fn here(zone: Option<&str>, node: Option<&str>) -> Settings {
    let mut settings = settings();
    settings.discovery.zone = zone.map(ToOwned::to_owned);
    settings.discovery.node = node.map(ToOwned::to_owned);
    settings
}

const PLAIN: &str = "{ports: [{port: 80}]}";

#[test]
fn ports_are_matched_by_name_and_each_slice_has_its_own_number() {
    let text = web("{ports: [{name: http, port: 80, targetPort: http}, {name: admin, port: 90}]}")
        + &slice(
            "one",
            "IPv4",
            "[{name: http, port: 8080}, {name: admin, port: 9000}]",
            "[{addresses: [10.0.0.1]}]",
        )
        + &slice("two", "IPv4", "[{name: http, port: 8081}]", "[{addresses: [10.0.0.2]}]")
        + &slice("three", "IPv4", "[{name: other, port: 80}]", "[{addresses: [10.0.0.3]}]");
    let snapshot = compile(&index(objects(&text)), &settings(), 1);
    assert_eq!(of(&snapshot, "web", 80), ["10.0.0.1:8080", "10.0.0.2:8081"]);
    assert_eq!(of(&snapshot, "web", 90), ["10.0.0.1:9000"]);
}

#[test]
fn what_is_not_ready_is_the_last_resort_while_it_terminates() {
    let conditions =
        |conditions: &str| format!("{{addresses: [10.0.0.1], conditions: {conditions}}}");
    let rows = [
        ("{}", true),
        ("{ready: true}", true),
        ("{ready: null}", true),
        // As the API server says of a pod that publishNotReadyAddresses lets in.
        ("{ready: true, serving: false}", true),
        ("{ready: false}", false),
        ("{ready: false, serving: true}", false),
        ("{ready: false, serving: true, terminating: true}", true),
        ("{ready: false, serving: false, terminating: true}", false),
    ];
    for (row, used) in rows {
        let text = web(PLAIN) + &v4(&format!("[{}]", conditions(row)));
        assert_eq!(addresses(&text, &settings()).len(), usize::from(used), "{row}");
    }
    let leaving = conditions("{ready: false, serving: true, terminating: true}");
    let text = web(PLAIN) + &v4(&format!("[{leaving}, {{addresses: [10.0.0.2]}}]"));
    assert_eq!(addresses(&text, &settings()), ["10.0.0.2:8080"]);
}

#[test]
fn an_endpoint_in_two_slices_counts_once() {
    let text = web(PLAIN)
        + &v4("[{addresses: [10.0.0.1]}]")
        + &slice("moving", "IPv4", "[{port: 8080}]", "[{addresses: [10.0.0.1]}]");
    assert_eq!(addresses(&text, &settings()), ["10.0.0.1:8080"]);
}

#[test]
fn of_a_pod_with_two_families_one_address_is_used() {
    let slices = v4("[{addresses: [10.0.0.1], targetRef: {name: a}}, {addresses: [10.0.0.2]}]")
        + &slice(
            "six",
            "IPv6",
            "[{port: 8080}]",
            "[{addresses: [\"fd00::1\"], targetRef: {name: a}}, \
              {addresses: [\"fd00::3\"], targetRef: {name: only-six}}]",
        );
    let clusters = |ips: &str| web(&format!("{{clusterIPs: [{ips}], ports: [{{port: 80}}]}}"));
    let four = ["10.0.0.1:8080", "10.0.0.2:8080", "[fd00::3]:8080"];
    let six = ["10.0.0.2:8080", "[fd00::1]:8080", "[fd00::3]:8080"];
    let with = |service: String| addresses(&(service + &slices), &settings());
    assert_eq!(with(clusters("10.96.0.1, \"fd00:1::1\"")), four);
    assert_eq!(with(clusters("\"fd00:1::1\", 10.96.0.1")), six);
    assert_eq!(with(web(PLAIN)), four);
}

#[test]
fn hints_count_when_every_endpoint_has_them_and_some_are_for_us() {
    let endpoint = |n: u8, zones: &str, nodes: &str| {
        format!("{{addresses: [10.0.0.{n}], hints: {{forZones: [{zones}], forNodes: [{nodes}]}}}}")
    };
    let text = |endpoints: &[String]| web(PLAIN) + &v4(&format!("[{}]", endpoints.join(", ")));
    let zones = text(&[
        endpoint(1, "{name: a}", ""),
        endpoint(2, "{name: b}", ""),
        endpoint(3, "{name: a}, {name: b}", ""),
    ]);
    let all = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"];
    assert_eq!(addresses(&zones, &here(Some("a"), None)), ["10.0.0.1:8080", "10.0.0.3:8080"]);
    assert_eq!(addresses(&zones, &here(Some("c"), None)), all, "none is for us");
    assert_eq!(addresses(&zones, &here(None, Some("a"))), all, "where we are is not known");
    let partly = text(&[endpoint(1, "{name: a}", ""), endpoint(2, "", "")]);
    assert_eq!(addresses(&partly, &here(Some("a"), None)).len(), 2, "one has no hints");
    let nodes =
        text(&[endpoint(1, "{name: a}", "{name: n1}"), endpoint(2, "{name: a}", "{name: n2}")]);
    assert_eq!(addresses(&nodes, &here(Some("a"), Some("n2"))), ["10.0.0.2:8080"]);
    assert_eq!(addresses(&nodes, &here(Some("a"), Some("n3"))).len(), 2, "the zone's instead");
    // Hints of endpoints that are not ready do not count.
    let unready = text(&[
        endpoint(1, "{name: a}", ""),
        String::from("{addresses: [10.0.0.2], conditions: {ready: false}}"),
        endpoint(3, "{name: b}", ""),
    ]);
    assert_eq!(addresses(&unready, &here(Some("b"), None)), ["10.0.0.3:8080"]);
}

#[test]
fn a_local_service_is_served_by_this_node_alone() {
    let text = web("{ports: [{port: 80}], internalTrafficPolicy: Local}")
        + &v4("[{addresses: [10.0.0.1], nodeName: n1}, {addresses: [10.0.0.2], nodeName: n2}, \
               {addresses: [10.0.0.3]}]");
    assert_eq!(addresses(&text, &here(None, Some("n2"))), ["10.0.0.2:8080"]);
    assert_eq!(addresses(&text, &here(None, Some("n3"))), Vec::<String>::new());
    assert_eq!(addresses(&text, &here(None, None)).len(), 3, "without a node it has no effect");
    // The last resort is this node's too.
    let leaving = web("{ports: [{port: 80}], internalTrafficPolicy: Local}")
        + &v4("[{addresses: [10.0.0.1], nodeName: n1, conditions: {ready: false, serving: true, \
               terminating: true}}, {addresses: [10.0.0.2], nodeName: n2}]");
    assert_eq!(addresses(&leaving, &here(None, Some("n1"))), ["10.0.0.1:8080"]);
}

#[test]
fn a_headless_service_has_a_name_for_each_pod_that_wants_one() {
    let text = web("{clusterIP: None, ports: [{port: 80}]}")
        + &v4("[{addresses: [10.0.0.1], hostname: web-0, targetRef: {name: web-0}}, \
               {addresses: [10.0.0.2], hostname: web-1, targetRef: {name: web-1}}, \
               {addresses: [10.0.0.3], targetRef: {name: nameless}}]");
    let snapshot = compile(&index(objects(&text)), &settings(), 1);
    assert_eq!(of(&snapshot, "web", 80).len(), 3);
    assert_eq!(of(&snapshot, "web/web-1", 80), ["10.0.0.2:8080"]);
    for host in ["web-1.web", "web-1.web.shop", "web-1.web.shop.svc.cluster.local:80"] {
        let rule = found(&snapshot, "out", host, "/").unwrap();
        assert_eq!(&*rule.name, "shop/web/web-1:80", "{host}");
    }
    assert!(found(&snapshot, "out", "web-2.web", "/").is_none());
    let usual = text.replace("clusterIP: None, ", "");
    let snapshot = compile(&index(objects(&usual)), &settings(), 1);
    assert!(found(&snapshot, "out", "web-1.web", "/").is_none(), "DNS has no such name");
}

#[test]
fn an_external_name_is_what_dns_says() {
    let text = web(
        "{type: ExternalName, externalName: DB.example.com., ports: [{port: 80, targetPort: 8443}]}",
    );
    let mut index = index(objects(&text));
    let addresses = |index: &Index| of(&compile(index, &settings(), 1), "web", 80);
    assert_eq!(addresses(&index), Vec::<String>::new());
    assert_eq!(index.wanted_names().into_iter().collect::<Vec<_>>(), ["db.example.com".into()]);
    let answer = Addresses {
        host: "db.example.com".into(),
        addresses: vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()],
    };
    index.apply(Event::Apply(SourceId::Names, Object::Addresses(answer)));
    assert_eq!(addresses(&index), ["192.0.2.1:8443", "192.0.2.2:8443"]);
}

#[test]
fn the_protocol_of_a_port_is_what_it_says() {
    let protocol = |app: &str| {
        let text = web(&format!("{{ports: [{{port: 80{app}}}]}}"));
        let snapshot = compile(&index(objects(&text)), &settings(), 1);
        snapshot.clusters.iter().find(|c| &*c.key.service == "web").unwrap().protocol
    };
    assert_eq!(protocol(", appProtocol: kubernetes.io/h2c"), HttpProtocol::Http2);
    assert_eq!(protocol(", appProtocol: kubernetes.io/ws"), HttpProtocol::Http1);
    assert_eq!(protocol(", appProtocol: http"), HttpProtocol::Http1);
    assert_eq!(protocol(""), HttpProtocol::Http1);
}

#[test]
fn two_services_with_one_cluster_ip_are_reported_and_the_first_keeps_it() {
    use ringway_discovery::Compiler;
    let service = |name: &str| {
        web("{clusterIP: 10.96.0.1, ports: [{port: 80}]}")
            .replace("name: web", &format!("name: {name}"))
    };
    let mut index = index(objects(&(service("b") + &service("a"))));
    let mut compiler = Compiler::default();
    let mut at = |index: &mut Index| {
        let snapshot = compiler.update(index, &settings(), 1);
        let owner = found(&snapshot, "out", "10.96.0.1", "/").map(|rule| rule.name.to_string());
        (
            owner.unwrap(),
            compiler.complaints(SourceId::Files).map(ToOwned::to_owned).collect::<Vec<_>>(),
        )
    };
    let complaint = "service shop/b: 10.96.0.1 is the cluster IP of shop/a";
    assert_eq!(at(&mut index), ("shop/a:80".into(), vec![complaint.into()]));
    let a = objects(&service("a")).remove(0);
    index.apply(Event::Delete(SourceId::Files, a.kind(), a.name()));
    assert_eq!(at(&mut index), ("shop/b:80".into(), vec![]));
}
