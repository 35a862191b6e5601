//! A sidecar before a real API server: services are looked up when they are first used, followed as
//! long as they are, and what does not exist costs little, however many names are asked for.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringway_tests::admin;
use ringway_tests::client::Client;
use ringway_tests::kube::cluster::{Options, TOKEN};
use ringway_tests::kube::faults::{Action, Faults};
use ringway_tests::kube::kubeconfig::Credential;
use ringway_tests::kube::objects;
use ringway_tests::kube::stage::{PATIENCE, Stage, deployed, origin, service};
use ringway_tests::matrix;
use ringway_tests::matrix::{Cell, Driver};
use ringway_tests::network::{Block, Blocked};
use ringway_tests::proxy::Proxy;
use ringway_tests::response::Response;
use ringway_tests::settings::Settings;
use ringway_tests::wait;

matrix!(
    the_first_request_waits_for_its_service,
    an_unknown_name_is_looked_up_once,
    the_known_outlive_an_outage_and_the_unknown_are_told,
    changes_are_followed,
);

fn stage(name: &str, cell: Cell) -> Stage {
    let driver = if cell.driver == Driver::Epoll { "epoll" } else { "uring" };
    Stage::new(Options::default(), &format!("{name}-{driver}"))
}

/// A sidecar of the namespace: nothing says `on-demand`, the outbound listener does.
fn sidecar(stage: &Stage, kubeconfig: &Path, more: &str) -> Settings {
    let (namespace, kubeconfig) = (&stage.namespace, kubeconfig.display());
    Settings::default().workers(2).listener("web", &["kind: outbound"]).more(&format!(
        "discovery:\n  namespace: {namespace}\n  kubernetes: {{kubeconfig: \"{kubeconfig}\"{more}}}"
    ))
}

/// By the test's own side of the API server.
fn own(stage: &Stage) -> std::path::PathBuf {
    stage.cluster.kubeconfig(stage.side, &Credential::Token(TOKEN.into()))
}

/// One request on a connection of its own.
fn ask(proxy: &Proxy, host: &str) -> Response {
    Client::connect(proxy.web()).ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

fn served_by(answer: &Response) -> String {
    let origin = answer.origin().and_then(|id| id.rsplit_once('-')).map(|(name, _)| name);
    origin.map_or_else(|| format!("{} {}", answer.status, answer.text()), ToOwned::to_owned)
}

/// What discovery has watches on, as `Service in shop/cart`.
fn watches(proxy: &Proxy) -> Vec<String> {
    let page = admin::get(proxy.settings.admin, "/discovery").unwrap().1;
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    let watches = page["watches"].as_array().unwrap().iter();
    watches
        .map(|w| format!("{} in {}", w["kind"].as_str().unwrap(), w["scope"].as_str().unwrap()))
        .collect()
}

fn lookups(proxy: &Proxy, result: &str) -> f64 {
    proxy.metrics().sum("ringway_discovery_lookups_total", &[("result", result)])
}

fn the_first_request_waits_for_its_service(cell: Cell) {
    let stage = stage("first", cell);
    let faults = Faults::before(stage.cluster.api);
    let (cart, other) = (origin("cart"), origin("other"));
    stage.apply(&[service("cart", &[&cart]), service("other", &[&other])].join("---\n"));
    let kubeconfig = stage.cluster.kubeconfig_by_way_of(faults.address);
    let mut proxy = Proxy::start(cell, sidecar(&stage, &kubeconfig, ""));
    let cart_in = |kind: &str| format!("{kind} in {}/cart", stage.namespace);
    assert!(!watches(&proxy).contains(&cart_in("Service")), "nobody has asked for it");
    assert_eq!(served_by(&ask(&proxy, "cart")), "cart");
    // From now on it is known to everybody, by all of its names.
    let asked = faults.asked().len();
    let full = stage.host("cart");
    for host in ["cart", &format!("cart.{}", stage.namespace), &full, &full, "cart:80"] {
        for _ in 0..4 {
            assert_eq!(served_by(&ask(&proxy, host)), "cart", "{host}");
        }
    }
    let more: Vec<_> = faults.asked().split_off(asked);
    assert!(!more.iter().any(|asked| asked.target.contains("cart")), "{more:?}");
    let seen = watches(&proxy);
    assert!(seen.contains(&cart_in("Service")) && seen.contains(&cart_in("EndpointSlice")));
    assert!(!seen.iter().any(|watch| watch.contains("other")), "{seen:?}");
    // By its address, as a client that has resolved its name asks.
    let path = ["get", "service/other", "-o", "jsonpath={.spec.clusterIP}"];
    let address =
        stage.cluster.kubectl.run(&[&["-n", stage.namespace.as_str()], &path[..]].concat());
    assert_eq!(served_by(&ask(&proxy, &format!("{}:80", address.trim()))), "other");
    assert_eq!(ask(&proxy, "cart:81").status, 404, "a port that it does not have");
    assert!(lookups(&proxy, "found") >= 2.0);
    proxy.assert_well();
}

fn an_unknown_name_is_looked_up_once(cell: Cell) {
    let stage = stage("unknown", cell);
    let faults = Faults::before(stage.cluster.api);
    let kubeconfig = stage.cluster.kubeconfig_by_way_of(faults.address);
    let proxy = Proxy::start(cell, sidecar(&stage, &kubeconfig, ""));
    let about = || faults.asked().iter().filter(|a| a.target.contains("nobody")).count();
    let begun = Instant::now();
    let first = ask(&proxy, "nobody");
    assert_eq!((first.status, about()), (404, 1), "{}", first.text());
    for _ in 0..20 {
        assert_eq!(ask(&proxy, "nobody").text(), first.text());
    }
    // For five seconds, on a machine that may take longer for this.
    let most = 1 + begun.elapsed().as_secs() as usize / 5;
    assert!(about() <= most, "its absence is remembered");
    assert!(!watches(&proxy).iter().any(|watch| watch.contains("nobody")));
    // Nor for ever.
    let late = origin("late");
    stage.apply(&service("nobody", &[&late]));
    wait::until(PATIENCE, "it is looked up again", || served_by(&ask(&proxy, "nobody")) == "late");
}

fn the_known_outlive_an_outage_and_the_unknown_are_told(cell: Cell) {
    let stage = stage("away", cell);
    let (known, late) = (origin("known"), origin("late"));
    stage.apply(&[service("known", &[&known]), service("late", &[&late])].join("---\n"));
    let settings = sidecar(&stage, &own(&stage), ", lookup_timeout: 1s, idle_service: 4s");
    let mut proxy = Proxy::start(cell, settings);
    let watched = |service: &str| watches(&proxy).iter().any(|watch| watch.ends_with(service));
    for how in [Block::Refuse, Block::Drop] {
        wait::until(PATIENCE, "it is known, and not just being dropped", || {
            let known = served_by(&ask(&proxy, "known")) == "known";
            thread::sleep(Duration::from_secs(1));
            known && watched("/known")
        });
        let block = Blocked::new(stage.side, how);
        wait::until(PATIENCE, "it is noticed", || {
            assert_eq!(served_by(&ask(&proxy, "known")), "known");
            proxy.metrics().sum("ringway_discovery_watch_failing", &[("kind", "Service")]) > 0.0
        });
        let begun = Instant::now();
        let answer = ask(&proxy, "late");
        assert_eq!(answer.status, 503, "{}", answer.text());
        let said = format!("{} {:?}", answer.text(), answer.value("l5d-proxy-error"));
        assert!(said.contains("service lookup timed out"), "{said}");
        assert!(begun.elapsed() >= Duration::from_secs(1), "it has waited");
        // Longer than idle services are kept: there is nobody from whom to learn them again.
        thread::sleep(Duration::from_secs(6));
        assert_eq!(served_by(&ask(&proxy, "known")), "known");
        drop(block);
        wait::until(PATIENCE, "it is found", || served_by(&ask(&proxy, "late")) == "late");
        wait::until(PATIENCE, "the unused are dropped when all is well", || !watched("/late"));
    }
    assert_eq!(served_by(&ask(&proxy, "known")), "known");
    proxy.assert_well();
}

fn changes_are_followed(cell: Cell) {
    let stage = stage("follow", cell);
    let (one, two) = (origin("one"), origin("two"));
    stage.apply(&service("app", &[&one]));
    let proxy = Proxy::start(cell, sidecar(&stage, &own(&stage), ""));
    stage.await_origins(&proxy, "app", &["one"]);
    stage.apply(&service("app", &[&one, &two]));
    stage.await_origins(&proxy, "app", &["one", "two"]);
    stage.apply(&service("app", &[&two]));
    stage.await_origins(&proxy, "app", &["two"]);
    // A route leads to services that nobody has asked for.
    let (left, right) = (origin("left"), origin("right"));
    stage.apply(&[service("left", &[&left]), service("right", &[&right])].join("---\n"));
    stage.apply(&objects::route("split", "app", &objects::split(("left", 1), ("right", 1))));
    stage.await_origins(&proxy, "app", &["left", "right"]);
    // Without the route, they are no longer of interest.
    stage.kubectl(&["delete", "httproute/split"]);
    stage.await_origins(&proxy, "app", &["two"]);
    let forgotten = || !watches(&proxy).iter().any(|watch| watch.ends_with("/right"));
    wait::until(PATIENCE, "its backends are not followed any more", forgotten);
    stage.kubectl(&["delete", "service/app", "endpointslice/app-1"]);
    wait::until(PATIENCE, "it is gone", || ask(&proxy, "app").status == 404);
    stage.apply(&service("app", &[&one]));
    stage.await_origins(&proxy, "app", &["one"]);
}

/// Resident memory in KiB.
fn resident(proxy: &Proxy) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Asks for `count` names that do not exist, 50 at a time; how often there was which status.
fn flood(proxy: &Proxy, round: usize, count: usize) -> BTreeMap<u16, usize> {
    let next = AtomicUsize::new(0);
    let mut statuses = BTreeMap::new();
    thread::scope(|scope| {
        let ask_all = || {
            let mut seen: BTreeMap<u16, usize> = BTreeMap::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return seen;
                }
                *seen.entry(ask(proxy, &format!("no-{round}-{n}")).status).or_default() += 1;
            }
        };
        let clients: Vec<_> = (0..50).map(|_| scope.spawn(ask_all)).collect();
        for client in clients {
            for (status, n) in client.join().unwrap() {
                *statuses.entry(status).or_default() += n;
            }
        }
    });
    statuses
}

#[test]
fn a_thousand_unknown_names_cost_little() {
    let stage = Stage::new(Options::default(), "flood");
    let faults = Faults::before(stage.cluster.api);
    let cart = origin("cart");
    stage.apply(&service("cart", &[&cart]));
    let kubeconfig = stage.cluster.kubeconfig_by_way_of(faults.address);
    let settings = sidecar(&stage, &kubeconfig, ", lookup_timeout: 500ms");
    let mut proxy = Proxy::start(Cell::epoll(), settings);
    wait::until(PATIENCE, "it is found", || served_by(&ask(&proxy, "cart")) == "cart");
    let (begun, asked) = (Instant::now(), faults.asked().len());
    let statuses = flood(&proxy, 0, 1000);
    println!("{statuses:?} within {:?}", begun.elapsed());
    let known = statuses.keys().all(|status| [404, 503].contains(status));
    assert!(known, "{statuses:?}");
    let wanted: Vec<_> = faults.asked().split_off(asked);
    let lookups = wanted.iter().filter(|asked| asked.target.contains("no-0-")).count();
    let most = 64 + 20 * (begun.elapsed().as_secs() as usize + 1);
    assert!(lookups <= most, "{lookups} lookups, {most} allowed");
    assert!(lookups > 0 && lookups < 1000, "{lookups}");
    // Another thousand leave nothing behind that the first one had not.
    let before = resident(&proxy);
    let _ = flood(&proxy, 1, 1000);
    let grown = resident(&proxy).saturating_sub(before);
    println!("{grown} KiB more after another thousand");
    assert!(grown < 8 << 10, "{grown} KiB");
    let waiting = || proxy.metrics().sum("ringway_discovery_lookups_waiting", &[]);
    wait::until(PATIENCE, "nothing is looked up any more", || waiting() == 0.0);
    assert!(!watches(&proxy).iter().any(|watch| watch.contains("no-")));
    assert_eq!(served_by(&ask(&proxy, "cart")), "cart");
    proxy.assert_well();
}

#[test]
fn many_first_requests_are_one_lookup() {
    let stage = Stage::new(Options::default(), "crowd");
    let faults = Faults::before(stage.cluster.api);
    let cart = origin("cart");
    stage.apply(&service("cart", &[&cart]));
    // Slow enough for all of them to come meanwhile.
    faults.script(|_| Action::Slow(Duration::from_millis(20)));
    let kubeconfig = stage.cluster.kubeconfig_by_way_of(faults.address);
    let proxy = Proxy::start(Cell::epoll(), sidecar(&stage, &kubeconfig, ", lookup_timeout: 30s"));
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| assert_eq!(served_by(&ask(&proxy, "cart")), "cart"));
        }
    });
    let named = |asked: &&_| {
        let asked: &ringway_tests::kube::faults::Asked = asked;
        asked.target.contains("metadata.name%3Dcart")
    };
    let asked = faults.asked();
    assert_eq!(asked.iter().filter(named).count(), 1, "{asked:?}");
}

/// The sidecar of `deploy` with the configuration, the account and the rights it has there.
#[test]
fn the_deployed_sidecar_finds_services_by_its_own_rights() {
    let stage = Stage::new(Options::default(), "shop");
    let kubectl = &stage.cluster.kubectl;
    kubectl.apply(&deployed("rbac/on-demand.yaml"));
    kubectl.apply(&deployed("sidecar.yaml"));
    let token = Credential::Token(kubectl.run(&["-n", "shop", "create", "token", "app"]));
    let kubeconfig = stage.cluster.kubeconfig(stage.side, &token);
    let path = "jsonpath={.data.ringway\\.yaml}";
    let yaml = kubectl.run(&["-n", "shop", "get", "configmap", "app-ringway", "-o", path]);
    let settings = Settings::default().listener("web", &[]).listener("in", &[]);
    let yaml = yaml
        .replace("127.0.0.1:4140", &settings.address("web").to_string())
        .replace("0.0.0.0:4143", &settings.address("in").to_string())
        .replace("0.0.0.0:4191", &settings.admin.to_string())
        .replace(
            "kubernetes: {}",
            &format!("kubernetes: {{kubeconfig: {}}}", kubeconfig.display()),
        );
    assert!(yaml.contains("kubeconfig"), "{yaml}");
    let (front, far) = (origin("front"), origin("far"));
    stage.apply(&service("front", &[&front]));
    stage.cluster.namespace("shop-elsewhere");
    kubectl.apply_to("shop-elsewhere", &service("far", &[&far]));
    let mut proxy = Proxy::launch_text(Cell::epoll(), settings, &yaml);
    wait::until(PATIENCE, "it is ready", || {
        proxy.assert_well();
        admin::get(proxy.settings.admin, "/ready").is_some_and(|(status, _)| status == 200)
    });
    assert_eq!(served_by(&ask(&proxy, "front")), "front");
    assert_eq!(served_by(&ask(&proxy, "far.shop-elsewhere")), "far");
    // With rights in one namespace only, the others are as if they were not there.
    kubectl.run(&["delete", "clusterrolebinding/ringway-on-demand"]);
    let binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n\
                   metadata: {name: ringway-on-demand, namespace: shop}\n\
                   roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ringway-on-demand}\n\
                   subjects: [{kind: ServiceAccount, name: app, namespace: shop}]\n";
    kubectl.apply(binding);
    stage.apply(&service("second", &[&front]));
    kubectl.apply_to("shop-elsewhere", &service("another", &[&far]));
    let mut number = 0;
    wait::until(PATIENCE, "the binding is known", || {
        number += 1;
        let answer = ask(&proxy, &format!("nobody-{number}.shop-elsewhere"));
        answer.status == 404 && lookups(&proxy, "denied") > 0.0
    });
    assert_eq!(ask(&proxy, "another.shop-elsewhere").status, 404);
    assert_eq!(served_by(&ask(&proxy, "second")), "front");
}
