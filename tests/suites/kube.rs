//! Traffic follows a real Kubernetes: Deployments scaled and rolled, routes patched, endpoints
//! and services that come and go, without a failed request.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::net::SocketAddr;
use std::process::Command;

use ringway_tests::admin;
use ringway_tests::client::Client;
use ringway_tests::kube::cluster::{Options, TOKEN};
use ringway_tests::kube::etcd::Version;
use ringway_tests::kube::kubeconfig::Credential;
use ringway_tests::kube::kubelet::Pod;
use ringway_tests::kube::objects;
use ringway_tests::kube::stage::{PATIENCE, Stage, deployed, origin, service};
use ringway_tests::matrix;
use ringway_tests::matrix::{Cell, Driver};
use ringway_tests::network;
use ringway_tests::proxy::{self, Proxy};
use ringway_tests::scratch::Scratch;
use ringway_tests::settings::Settings;
use ringway_tests::tls;
use ringway_tests::wait;

const CONTROLLED: Options = Options { etcd: Version::Current, controllers: true };

matrix!(a_rolling_update_loses_nothing, a_patched_weight_moves_the_split);

fn stage(name: &str, cell: Cell) -> Stage {
    let driver = if cell.driver == Driver::Epoll { "epoll" } else { "uring" };
    Stage::new(CONTROLLED, &format!("{name}-{driver}"))
}

/// The pods that have not been told to end.
fn staying(stage: &Stage) -> Vec<Pod> {
    let kubelet = stage.cluster.kubelet.as_ref().unwrap();
    kubelet.pods(&stage.namespace).into_iter().filter(|p| p.told.is_none()).collect()
}

fn names(pods: &[Pod]) -> Vec<&str> {
    let mut names: Vec<&str> = pods.iter().map(|p| p.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn scaling_moves_traffic() {
    let stage = stage("scaling", Cell::epoll());
    stage.apply(&objects::deployment("app", 2));
    let proxy = stage.start(Cell::epoll());
    wait::until(PATIENCE, "two pods", || staying(&stage).len() == 2);
    stage.await_origins(&proxy, "app", &names(&staying(&stage)));
    let load = stage.load(&proxy, "app");
    load.await_answers(100);
    for replicas in [4, 1] {
        stage.kubectl(&["scale", "deployment/app", &format!("--replicas={replicas}")]);
        wait::until(PATIENCE, "it is scaled", || staying(&stage).len() == replicas);
        stage.await_origins(&proxy, "app", &names(&staying(&stage)));
    }
    load.stop().assert_flawless();
}

fn a_rolling_update_loses_nothing(cell: Cell) {
    let stage = stage("rolling", cell);
    stage.apply(&objects::deployment("app", 3));
    let proxy = stage.start(cell);
    wait::until(PATIENCE, "three pods", || staying(&stage).len() == 3);
    let before = staying(&stage);
    stage.await_origins(&proxy, "app", &names(&before));
    let load = stage.load(&proxy, "app");
    load.await_answers(100);
    let version = r#"{"spec":{"template":{"metadata":{"labels":{"version":"two"}}}}}"#;
    stage.kubectl(&["patch", "deployment/app", "-p", version]);
    let kubelet = stage.cluster.kubelet.as_ref().unwrap();
    wait::until(PATIENCE, "every pod is replaced", || {
        kubelet.pods(&stage.namespace).iter().filter(|p| p.ended).count() == 3
    });
    let after = staying(&stage);
    assert!(after.iter().all(|new| before.iter().all(|old| old.name != new.name)));
    stage.await_origins(&proxy, "app", &names(&after));
    load.await_answers(100);
    let outcome = load.stop();
    outcome.assert_flawless();
    assert_eq!(outcome.refused, 0);
    for pod in kubelet.pods(&stage.namespace) {
        pod.origin.assert_clean();
    }
}

fn a_patched_weight_moves_the_split(cell: Cell) {
    let stage = stage("weight", cell);
    let (one, two) = (origin("one"), origin("two"));
    stage.apply(
        &[service("app", &[&one]), service("v1", &[&one]), service("v2", &[&two])].join("---\n"),
    );
    stage.apply(&objects::route("split", "app", &objects::split(("v1", 1), ("v2", 0))));
    let proxy = stage.start(cell);
    stage.await_origins(&proxy, "app", &["one"]);
    let load = stage.load(&proxy, "app");
    load.await_answers(50);
    let weights = r#"[{"op":"replace","path":"/spec/rules/0/backendRefs/0/weight","value":0},
                      {"op":"replace","path":"/spec/rules/0/backendRefs/1/weight","value":1}]"#;
    stage.kubectl(&["patch", "httproute/split", "--type=json", "-p", weights]);
    wait::until(PATIENCE, "the first request goes to the other", || two.next_sequence() > 0);
    proxy.await_generation(
        proxy.metrics().sum("ringway_worker_snapshot_generation", &[("worker", "0")]),
    );
    assert_eq!(
        stage.ask(&proxy, "app", 40),
        [("two".to_owned(), 40)].into(),
        "every worker has moved"
    );
    let half = weights.replace("\"value\":0", "\"value\":1");
    stage.kubectl(&["patch", "httproute/split", "--type=json", "-p", &half]);
    stage.await_origins(&proxy, "app", &["one", "two"]);
    load.stop().assert_flawless();
}

#[test]
fn services_come_and_go() {
    let stage = stage("coming", Cell::epoll());
    let (first, second) = (origin("first"), origin("second"));
    stage.apply(&service("first", &[&first]));
    let proxy = stage.start(Cell::epoll());
    stage.await_origins(&proxy, "first", &["first"]);
    assert!(stage.try_ask(&proxy, "second").unwrap_err().starts_with("404"), "not known yet");
    stage.apply(&service("second", &[&second]));
    stage.await_origins(&proxy, "second", &["second"]);
    stage.kubectl(&["delete", "service/second", "endpointslice/second-1"]);
    wait::until(PATIENCE, "it is forgotten", || {
        stage.try_ask(&proxy, "second").is_err_and(|why| why.starts_with("404"))
    });
    assert_eq!(stage.ask(&proxy, "first", 10).len(), 1);
}

#[test]
fn a_wrong_object_is_named_and_changes_nothing() {
    let stage = stage("wrong", Cell::epoll());
    let (right, other) = (origin("right"), origin("other"));
    stage.apply(&[service("app", &[&right]), service("other", &[&other])].join("---\n"));
    let rules = |path: &str, to: &str| {
        format!(
            "- matches: [{{path: {{type: RegularExpression, value: \"{path}\"}}}}]\n  backendRefs: [{{name: {to}, port: 80}}]"
        )
    };
    stage.apply(&objects::route("picky", "app", &rules("/.*", "app")));
    let proxy = stage.start(Cell::epoll());
    stage.await_origins(&proxy, "app", &["right"]);
    // The API server takes these: it does not look into expressions.
    for path in ["/(", "/(a{1000}){1000}{1000}"] {
        stage.apply(&objects::route("picky", "app", &rules(path, "other")));
        wait::until(PATIENCE, "it is named with its reason", || {
            proxy.output().lines().any(|l| l.contains("picky") && l.contains(&stage.namespace))
        });
        assert_eq!(stage.ask(&proxy, "app", 20), [("right".to_owned(), 20)].into());
    }
    // Everything else goes on meanwhile.
    let third = origin("third");
    stage.apply(&service("third", &[&third]));
    stage.await_origins(&proxy, "third", &["third"]);
    stage.apply(&objects::route("picky", "app", &rules("/.*", "other")));
    stage.await_origins(&proxy, "app", &["other"]);
}

/// A route of connections of the listener `web`.
fn stream(kind: &str, name: &str, rest: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}}}\n\
         spec:\n  parentRefs: [{{name: web}}]\n{rest}"
    )
}

fn to(backend: &str) -> String {
    format!("  rules: [{{backendRefs: [{{name: {backend}, port: 80}}]}}]\n")
}

#[test]
fn routes_of_connections_and_policies_follow_the_api_server() {
    let stage = stage("streams", Cell::epoll());
    let directory = Scratch::new();
    let certificate = tls::certificate(&directory, "app", "*.shop.test");
    let servers = ["one", "two"].map(|name| (name, tls::server(name, &certificate)));
    for (name, server) in &servers {
        let address = SocketAddr::new(network::fresh_address(), server.address.port());
        stage.apply(&objects::service(name, &[address]));
    }
    let app = origin("app");
    stage.apply(&service("app", &[&app]));
    stage.apply(&stream(
        "TLSRoute",
        "one",
        &format!("  hostnames: [one.shop.test]\n{}", to("one")),
    ));
    stage.apply(&stream(
        "TLSRoute",
        "any",
        &format!("  hostnames: ['*.shop.test']\n{}", to("two")),
    ));
    stage.apply(&stream("TCPRoute", "rest", &to("one")));
    stage.apply(&stream("HTTPRoute", "app", &to("app")));
    let kubeconfig = stage.cluster.kubeconfig(stage.side, &Credential::Token(TOKEN.into()));
    let settings = Settings::default().workers(2).listener("web", &["protocol: detect"]);
    let proxy = Proxy::start(Cell::epoll(), settings.kubernetes(&stage.namespace, &kubeconfig));
    let ask = |names: &[&str]| tls::ask(proxy.web(), &certificate.0, names);
    let names = ["one.shop.test", "x.shop.test", "-"];
    wait::until(PATIENCE, "names and the rest are told apart", || {
        ask(&names) == ["one", "two", "one"]
    });
    let swap = |kind: &str, name: &str, backend: &str| {
        let change = format!(
            r#"[{{"op":"replace","path":"/spec/rules/0/backendRefs/0/name","value":"{backend}"}}]"#
        );
        stage.kubectl(&["patch", kind, name, "--type=json", "-p", &change]);
    };
    swap("tlsroute", "one", "two");
    wait::until(PATIENCE, "a patch moves it", || ask(&names) == ["two", "two", "one"]);
    swap("tlsroute", "one", "gone");
    swap("tcproute", "rest", "two");
    wait::until(PATIENCE, "what is gone is refused, not sent elsewhere", || {
        ask(&names) == ["ConnectionResetError", "two", "two"]
    });

    let status = || Client::connect(proxy.web()).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status;
    assert_eq!(status(), 200);
    let target = "  targetRefs: [{group: '', kind: Service, name: app}]\n";
    stage.apply(&format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: strict}}\n\
         spec:\n{target}  validation: {{hostname: app.test, wellKnownCACertificates: System}}\n"
    ));
    stage.apply(&format!(
        "apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackendTrafficPolicy\n\
         metadata: {{name: budget}}\nspec:\n{target}  retryConstraint: {{budget: {{percent: 30}}}}\n"
    ));
    wait::until(PATIENCE, "no request goes in plaintext", || status() == 502);
    let said = || admin::get(proxy.settings.admin, "/discovery").unwrap().1;
    for what in ["BackendTLSPolicy streams-epoll/strict: TLS", "streams-epoll/budget: accepted"] {
        wait::until(PATIENCE, "it is said", || said().contains(what));
    }
    stage.kubectl(&["delete", "backendtlspolicy/strict"]);
    wait::until(PATIENCE, "it is as before", || status() == 200);
}

/// The gateway of `deploy` with the configuration, the account and the rights it has there.
#[test]
fn the_deployed_gateway_serves_its_namespace() {
    let stage = Stage::new(CONTROLLED, "shop");
    let kubectl = &stage.cluster.kubectl;
    for file in ["rbac/namespaces.yaml", "gateway.yaml", "sidecar.yaml", "routes.yaml"] {
        kubectl.apply(&deployed(file));
    }
    let token = Credential::Token(kubectl.run(&["-n", "shop", "create", "token", "ringway"]));
    let kubeconfig = stage.cluster.kubeconfig(stage.side, &token);
    let config = |name: &str| {
        let path = "jsonpath={.data.ringway\\.yaml}";
        kubectl.run(&["-n", "shop", "get", "configmap", name, "-o", path])
    };
    let settings = Settings::default().listener("web", &[]);
    let yaml = config("ringway")
        .replace("0.0.0.0:8080", &settings.address("web").to_string())
        .replace("0.0.0.0:4191", &settings.admin.to_string())
        .replace(
            "kubernetes:\n",
            &format!("kubernetes:\n    kubeconfig: {}\n", kubeconfig.display()),
        );
    let (front, cart) = (origin("front"), origin("cart"));
    stage.apply(&service("front", &[&front]));
    stage.apply(&service("cart", &[&cart]));
    let mut proxy = Proxy::launch_text(Cell::epoll(), settings, &yaml);
    wait::until(PATIENCE, "it is ready", || {
        proxy.assert_well();
        admin::get(proxy.settings.admin, "/ready").is_some_and(|(status, _)| status == 200)
    });
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: shop.example.com\r\n\r\n");
        Client::connect(proxy.web()).ask(&request).text()
    };
    wait::until(PATIENCE, "its routes are in use", || ask("/").contains("id=front-"));
    wait::until(PATIENCE, "the weighted one too", || ask("/cart").contains("id=cart-"));
    let directory = Scratch::new();
    let file = directory.put("ringway.yaml", &config("app-ringway"));
    let checked = Command::new(proxy::binary()).arg("check").arg("--config").arg(file).output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
