//! The watches of an API server: what they make of its answers, good and bad.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod directory;
mod double;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use directory::Directory;
use double::{Double, Fault};
use ringway_config::{Config, Kind, Kubernetes, Listener, Scope};
use ringway_core::snapshot::Snapshot;
use ringway_discovery::{Settings, Status, WatchState, WatchStatus};
use serde_json::{Value, json};
use worker::{Worker, endpoints};

/// Whatever has to happen happens within this, or never.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings(kubernetes: Option<Kubernetes>) -> Settings {
    let mut config = Config::default();
    let listener = Listener::new("out", ([127, 0, 0, 1], 4140).into(), Kind::Outbound);
    config.listeners.push(listener);
    let mut gateway = Listener::new("names", ([127, 0, 0, 1], 8443).into(), Kind::Gateway);
    gateway.protocol = ringway_config::Protocol::Detect;
    config.listeners.push(gateway);
    config.discovery.kubernetes = kubernetes;
    Settings::from(&config)
}

fn cluster(double: &Double) -> Kubernetes {
    Kubernetes {
        scope: Scope::Cluster,
        kubeconfig: Some(double.kubeconfig()),
        ..Kubernetes::default()
    }
}

/// A worker, and the API server its discovery watches.
struct Lab {
    double: Double,
    worker: Worker,
    _directory: Directory,
}

impl Lab {
    fn start(prepare: impl FnOnce(&Double)) -> Self {
        Self::scoped(prepare, cluster)
    }

    fn scoped(prepare: impl FnOnce(&Double), scope: impl FnOnce(&Double) -> Kubernetes) -> Self {
        let directory = Directory::new();
        let double = Double::start(directory.path());
        prepare(&double);
        let settings =
            Settings { silence: Duration::from_secs(2), ..settings(Some(scope(&double))) };
        Self { double, worker: Worker::start(settings, PATIENCE), _directory: directory }
    }

    /// Waits for a snapshot with exactly these endpoints; none without any may come before.
    fn until(&self, wanted: &[&str]) {
        loop {
            let found = endpoints(&self.worker.next());
            if found == wanted {
                return;
            }
            assert!(!found.is_empty(), "a moment without endpoints");
        }
    }

    fn watch(&self, kind: &str) -> Option<WatchStatus> {
        self.worker.handle.status().watches.into_iter().find(|watch| watch.kind == kind)
    }

    /// Waits until the watch of a kind looks so.
    fn wait(&self, kind: &str, what: &str, so: impl Fn(&WatchStatus) -> bool) -> WatchStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            let watch = self.watch(kind);
            if let Some(watch) = watch.as_ref().filter(|watch| so(watch)) {
                return watch.clone();
            }
            assert!(Instant::now() < until, "{what}: {:?}", self.worker.handle.status());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn fault(&self, kind: &str, words: &str) -> WatchStatus {
        self.wait(kind, words, |watch| watch.faults.iter().any(|fault| fault.contains(words)))
    }

    fn error(&self, kind: &str, words: &str) -> WatchStatus {
        let so = |watch: &WatchStatus| watch.last_error.as_ref().is_some_and(|e| e.contains(words));
        self.wait(kind, words, so)
    }
}

/// All of a snapshot but its number.
fn shown(snapshot: &Snapshot) -> String {
    format!("{:#?}\n{:#?}", snapshot.listeners, snapshot.clusters)
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.10", "ports": [{"port": 80}]},
    })
}

fn slice(name: &str, of: &str, address: &str) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": of},
        },
        "addressType": "IPv4", "ports": [{"name": "", "port": 8080}],
        "endpoints": [{"addresses": [address]}],
    })
}

fn route(name: &str, path: &Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {
            "name": name, "namespace": "default", "creationTimestamp": "2026-01-02T03:04:05Z",
        },
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": "web", "port": 80}],
            "rules": [{"matches": [{"path": path}], "backendRefs": [{"name": "web", "port": 80}]}],
        },
    })
}

/// A route of connections, of a service and of the listener of the same name.
fn stream(kind: &str, name: &str, of: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "parentRefs": [{"name": name}, {"group": "", "kind": "Service", "name": of}],
            "hostnames": ["a.test", "*.b.test"],
            "rules": [{"backendRefs": [
                {"name": "web", "port": 80, "weight": 3}, {"name": "gone", "port": 1, "weight": 0},
            ]}],
        },
    })
}

fn policy(kind: &str, name: &str, of: &str) -> Value {
    let group = if kind == "BackendTLSPolicy" { "k8s.io/v1" } else { "x-k8s.io/v1alpha1" };
    json!({
        "apiVersion": format!("gateway.networking.{group}"), "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "targetRefs": [{"group": "", "kind": "Service", "name": of}],
            "validation": {"hostname": "a.test", "wellKnownCACertificates": "System"},
            "retryConstraint": {"budget": {"percent": 30}},
        },
    })
}

fn shop(double: &Double) {
    double.put(&service("web"));
    double.put(&slice("web-1", "web", "10.0.0.1"));
}

#[test]
fn a_directory_and_an_api_server_with_the_same_objects_compile_to_equal_snapshots() {
    let objects = [
        service("web"),
        slice("web-1", "web", "10.0.0.1"),
        slice("web-2", "web", "10.0.0.2"),
        route("a", &json!({"type": "PathPrefix", "value": "/a"})),
        route("b", &json!({"type": "RegularExpression", "value": "/b[0-9]+"})),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute",
            "metadata": {"name": "g", "namespace": "default"},
            "spec": {
                "parentRefs": [{"group": "", "kind": "Service", "name": "rpc"}],
                "rules": [{"matches": [{"method": {"service": "a.B"}}], "backendRefs": [{"name": "rpc", "port": 90}]}],
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "rpc", "namespace": "default", "annotations": {
                "balancer.ringway.io/kind": "round-robin", "balancer.ringway.io/connect-timeout": "3s",
                "config.linkerd.io/opaque-ports": "91",
            }},
            "spec": {"ports": [
                {"name": "rpc", "port": 90, "appProtocol": "kubernetes.io/h2c"},
                {"name": "raw", "port": 91}, {"name": "dns", "port": 53, "protocol": "UDP"},
            ]},
        }),
        stream("TLSRoute", "out", "rpc"),
        stream("TLSRoute", "names", "raw"),
        stream("TCPRoute", "out", "raw"),
        service("raw"),
        policy("BackendTLSPolicy", "demanded", "rpc"),
        policy("XBackendTrafficPolicy", "budget", "web"),
    ];
    let manifests = Directory::new();
    for (number, object) in objects.iter().enumerate() {
        manifests.put(&format!("{number}.json"), &object.to_string());
    }
    let mut by_files = settings(None);
    by_files.discovery.manifests = Some(manifests.path().to_owned());
    let files = Worker::start(by_files, PATIENCE).next();
    for streaming in [true, false] {
        let lab = Lab::start(|double| {
            // In another order, and by pages of one.
            objects.iter().rev().for_each(|object| double.put(object));
            double.page(1);
            if !streaming {
                double.refuse_streaming();
            }
        });
        let api = lab.worker.next();
        assert_eq!(endpoints(&api), ["10.0.0.1:8080", "10.0.0.2:8080"]);
        assert_eq!(shown(&api), shown(&files), "streaming: {streaming}");
        let names = &api.listener("names").unwrap().names;
        assert_eq!(names.find(b"x.b.test").map(|(_, rule)| &*rule.name), Some("default/names/0"));
        let demanded = |c: &&Arc<ringway_core::snapshot::Cluster>| c.tls;
        let demanded: Vec<_> =
            api.clusters.iter().filter(demanded).map(|c| &*c.key.service).collect();
        assert_eq!(demanded, ["rpc"]);
        let watch = lab.watch("EndpointSlice").unwrap();
        assert_eq!((watch.streamed, watch.objects, watch.lists), (streaming, 2, 1));
        // What no error is, and has no effect either.
        let status = lab.worker.handle.status();
        let source = status.sources.iter().find(|source| source.name == "kubernetes").unwrap();
        assert_eq!(source.errors, [""; 0]);
        let said = ["BackendTLSPolicy default/demanded", "XBackendTrafficPolicy default/budget"];
        let noted: Vec<_> = source.notes.iter().filter_map(|n| n.split(": ").next()).collect();
        assert_eq!(noted, said);
    }
}

#[test]
fn changes_arrive_and_are_shown() {
    let lab = Lab::start(shop);
    lab.until(&["10.0.0.1:8080"]);
    lab.double.put(&slice("web-2", "web", "10.0.0.2"));
    lab.until(&["10.0.0.1:8080", "10.0.0.2:8080"]);
    lab.double.delete("EndpointSlice", "default", "web-1");
    lab.until(&["10.0.0.2:8080"]);
    let watch = lab.wait("EndpointSlice", "the version", |w| w.resource_version == "104");
    assert_eq!((watch.state, watch.objects, watch.lists), (WatchState::Watching, 1, 1));
    assert_eq!(watch.scope, "all namespaces");
    assert!(watch.age.is_some_and(|age| age < PATIENCE));
    let Status { sources, .. } = lab.worker.handle.status();
    let source = sources.iter().find(|source| source.name == "kubernetes").unwrap();
    assert_eq!((source.objects, source.complete, &source.last_error), (2, true, &None));
}

#[test]
fn only_the_namespaces_that_are_named_are_watched() {
    let lab = Lab::scoped(shop, |double| Kubernetes {
        scope: Scope::Namespaces(vec![String::from("default"), String::from("other")]),
        ..cluster(double)
    });
    lab.until(&["10.0.0.1:8080"]);
    let mut elsewhere = slice("web-9", "web", "10.0.0.9");
    elsewhere["metadata"]["namespace"] = json!("elsewhere");
    lab.double.put(&elsewhere);
    lab.double.put(&slice("web-2", "web", "10.0.0.2"));
    lab.until(&["10.0.0.1:8080", "10.0.0.2:8080"]);
    let watches = lab.worker.handle.status().watches;
    let scopes: Vec<_> = watches.iter().map(|w| (w.kind, w.scope.as_str())).collect();
    assert_eq!(scopes.len(), 16, "{scopes:?}");
    assert!(lab.double.asked("Service").iter().all(|(_, t)| t.contains("/namespaces/")));
}

#[test]
fn a_watch_whose_time_is_over_goes_on_where_it_was() {
    let lab = Lab::start(shop);
    lab.until(&["10.0.0.1:8080"]);
    lab.double.end("EndpointSlice");
    let asked = |words: &str| {
        lab.double.asked("EndpointSlice").iter().filter(|(_, t)| t.contains(words)).count()
    };
    lab.wait("EndpointSlice", "a further watch", |_| asked("resourceVersion=102") > 0);
    lab.double.put(&slice("web-2", "web", "10.0.0.2"));
    lab.until(&["10.0.0.1:8080", "10.0.0.2:8080"]);
    let watch = lab.watch("EndpointSlice").unwrap();
    assert_eq!((watch.lists, watch.failures), (1, 0));
}

#[test]
fn a_watch_that_breaks_off_is_begun_anew_with_a_list() {
    let lab = Lab::start(shop);
    lab.until(&["10.0.0.1:8080"]);
    lab.double.fail("EndpointSlice", Some(Fault::Silent));
    lab.double.cut("EndpointSlice");
    lab.error("EndpointSlice", "unreachable");
    lab.double.put(&slice("web-2", "web", "10.0.0.2"));
    lab.double.delete("EndpointSlice", "default", "web-1");
    assert!(lab.worker.mailbox.take().is_none(), "what is known stays");
    lab.double.fail("EndpointSlice", None);
    lab.until(&["10.0.0.2:8080"]);
    assert_eq!(lab.watch("Service").unwrap().lists, 1, "the others go on");
}

#[test]
fn a_version_that_is_gone_is_read_anew_with_only_the_differences_told() {
    let lab = Lab::start(|double| {
        shop(double);
        double.put(&slice("web-2", "web", "10.0.0.2"));
    });
    lab.until(&["10.0.0.1:8080", "10.0.0.2:8080"]);
    lab.double.delete_unseen("EndpointSlice", "default", "web-2");
    let gone = json!({"kind": "Status", "code": 410, "message": "too old resource version"});
    lab.double.send("EndpointSlice", &json!({"type": "ERROR", "object": gone}).to_string());
    lab.until(&["10.0.0.1:8080"]);
    lab.wait("EndpointSlice", "a second list", |watch| watch.lists == 2);
    assert_eq!(lab.watch("Service").unwrap().lists, 1, "the others go on");
}

#[test]
fn a_server_that_went_back_is_believed() {
    let lab = Lab::start(|double| {
        shop(double);
        double.put(&slice("web-2", "web", "10.0.0.2"));
    });
    lab.until(&["10.0.0.1:8080", "10.0.0.2:8080"]);
    lab.double.delete_unseen("EndpointSlice", "default", "web-2");
    lab.double.restore(50);
    lab.double.cut("EndpointSlice");
    lab.until(&["10.0.0.1:8080"]);
    lab.wait("EndpointSlice", "the older version", |watch| watch.resource_version == "50");
}

#[test]
fn a_silent_watch_is_given_up() {
    let lab = Lab::start(|double| {
        shop(double);
        double.refuse_streaming();
        double.fail("EndpointSlice", Some(Fault::Mute));
    });
    lab.until(&["10.0.0.1:8080"]);
    lab.error("EndpointSlice", "silent for 2s");
    lab.double.fail("EndpointSlice", None);
    // The next watch hears again, and what it is asked to hear is what has come since.
    let asked = || lab.double.asked("EndpointSlice").len();
    let before = asked();
    lab.wait("EndpointSlice", "a further watch", |_| asked() > before + 1);
    lab.double.put(&slice("web-2", "web", "10.0.0.2"));
    lab.until(&["10.0.0.1:8080", "10.0.0.2:8080"]);
}

#[test]
fn what_is_wrong_is_named_and_the_rest_goes_on() {
    let path = json!({"type": "PathPrefix", "value": "/a"});
    let lab = Lab::start(|double| {
        shop(double);
        double.put(&route("good", &path));
        double.put(&route("bad", &json!({"type": "RegularExpression", "value": "(a+"})));
    });
    lab.until(&["10.0.0.1:8080"]);
    let words = "HTTPRoute default/bad: spec.rules[0].matches[0].path.value: found `\"(a+\"`";
    let watch = lab.fault("HTTPRoute", words);
    assert_eq!((watch.objects, watch.last_error), (1, None));
    // A good one turns bad, and keeps its last good state.
    lab.double.put(&route("good", &json!({"type": "Exact", "value": 7})));
    lab.fault("HTTPRoute", "HTTPRoute default/good: spec.rules[0].matches[0].path.value");
    assert_eq!(lab.watch("HTTPRoute").unwrap().objects, 1);
    let mut ports = service("web");
    ports["spec"]["ports"][0]["port"] = json!(70000);
    lab.double.put(&ports);
    lab.fault("Service", "Service default/web: spec.ports[0].port: found `70000`");
    // An object of another kind.
    let stray = json!({"type": "MODIFIED", "object": slice("web-1", "web", "10.0.0.9")});
    lab.double.send("Service", &stray.to_string());
    lab.fault("Service", "kind: found `EndpointSlice`, expected Service");
    // A route and a policy of connections turn bad.
    let mut stray = stream("TLSRoute", "web", "web");
    lab.double.put(&stray);
    stray["spec"]["hostnames"] = json!(["10.0.0.1"]);
    lab.double.put(&stray);
    lab.fault("TLSRoute", "TLSRoute default/web: spec.hostnames[0]: found `\"10.0.0.1\"`");
    assert_eq!(lab.watch("TLSRoute").unwrap().objects, 1, "its last good state");
    let mut stray = policy("XBackendTrafficPolicy", "budget", "web");
    stray["spec"]["retryConstraint"]["budget"]["percent"] = json!(200);
    lab.double.put(&stray);
    lab.fault("XBackendTrafficPolicy", "spec.retryConstraint.budget.percent: found `200`");
    // Fields that nobody knows, and ten megabytes that nobody reads.
    let mut large = slice("web-2", "web", "10.0.0.2");
    large["metadata"]["annotations"] = json!({"note": "x".repeat(10 << 20)});
    large["unheard"] = json!({"of": [1, 2.5, null]});
    lab.double.put(&large);
    lab.until(&["10.0.0.1:8080", "10.0.0.2:8080"]);
    let status = lab.worker.handle.status();
    let source = status.sources.iter().find(|source| source.name == "kubernetes").unwrap();
    assert_eq!(source.errors.len(), 6, "{:?}", source.errors);
    // All is mended.
    lab.double.put(&route("good", &path));
    lab.double.put(&route("bad", &path));
    lab.double.put(&service("web"));
    lab.wait("HTTPRoute", "mended", |watch| watch.faults.is_empty() && watch.objects == 2);
}

#[test]
fn what_is_no_json_makes_the_watch_look_at_everything() {
    let lab = Lab::start(shop);
    lab.until(&["10.0.0.1:8080"]);
    lab.double.send("EndpointSlice", r#"{"type":"ADDED","object":{"metadata":{"name":"x""#);
    lab.wait("EndpointSlice", "a second list", |watch| watch.lists == 2);
    lab.double.put(&slice("web-2", "web", "10.0.0.2"));
    lab.until(&["10.0.0.1:8080", "10.0.0.2:8080"]);
    assert_eq!(lab.watch("EndpointSlice").unwrap().last_error, None);
}

#[test]
fn retry_after_is_obeyed_and_no_watch_asks_more_than_once_a_second() {
    let lab = Lab::start(|double| {
        shop(double);
        double.fail("EndpointSlice", Some(Fault::Status(429, "retry-after: 3\r\n")));
        double.fail("HTTPRoute", Some(Fault::Status(500, "")));
    });
    lab.error("EndpointSlice", "429: as told");
    let times = |kind: &str, count: usize| {
        lab.wait(kind, "further requests", |_| lab.double.asked(kind).len() >= count);
        let asked = lab.double.asked(kind);
        asked.windows(2).map(|pair| pair[1].0 - pair[0].0).collect::<Vec<_>>()
    };
    let pauses = times("EndpointSlice", 3);
    assert!(pauses.iter().all(|pause| *pause >= Duration::from_secs(3)), "{pauses:?}");
    let pauses = times("HTTPRoute", 3);
    assert!(pauses.iter().all(|pause| *pause >= Duration::from_secs(1)), "{pauses:?}");
    assert!(lab.worker.mailbox.take().is_none(), "published before every kind was complete");
    lab.double.fail("EndpointSlice", None);
    lab.double.fail("HTTPRoute", None);
    lab.until(&["10.0.0.1:8080"]);
}

#[test]
fn a_kind_that_may_not_be_read_any_more_is_frozen_alone() {
    let path = json!({"type": "PathPrefix", "value": "/a"});
    let lab = Lab::start(|double| {
        shop(double);
        double.put(&route("a", &path));
    });
    lab.until(&["10.0.0.1:8080"]);
    lab.double.fail("HTTPRoute", Some(Fault::Status(403, "")));
    lab.double.cut("HTTPRoute");
    lab.error("HTTPRoute", "403: as told");
    assert_eq!(lab.watch("HTTPRoute").unwrap().objects, 1);
    lab.double.put(&slice("web-2", "web", "10.0.0.2"));
    lab.until(&["10.0.0.1:8080", "10.0.0.2:8080"]);
}

#[test]
fn a_kind_that_is_not_there_is_off() {
    const ABSENT: [&str; 5] =
        ["GRPCRoute", "TLSRoute", "TCPRoute", "BackendTLSPolicy", "XBackendTrafficPolicy"];
    let lab = Lab::start(|double| {
        shop(double);
        ABSENT.iter().for_each(|kind| double.serve_kind(kind, false));
    });
    lab.until(&["10.0.0.1:8080"]);
    for kind in ABSENT {
        assert_eq!(lab.watch(kind).unwrap().state, WatchState::Absent);
        assert!(lab.double.asked(kind).is_empty());
    }
}

#[test]
fn without_an_api_server_inbound_listeners_have_their_routes() {
    let directory = Directory::new();
    let mut settings = settings(Some(Kubernetes {
        kubeconfig: Some(directory.path().join("none")),
        ..Kubernetes::default()
    }));
    let mut inbound = Listener::new("in", ([127, 0, 0, 1], 4143).into(), Kind::Inbound);
    inbound.target = Some(([127, 0, 0, 1], 8080).into());
    settings.listeners.push(inbound);
    let snapshot = Worker::start(settings, PATIENCE).next();
    assert_eq!(endpoints(&snapshot), ["127.0.0.1:8080"]);
    assert!(snapshot.listener("in").is_some() && snapshot.listener("out").is_none());
}

#[test]
fn without_an_api_server_nothing_is_published_and_the_reason_is_shown() {
    let directory = Directory::new();
    let nowhere = Kubernetes {
        scope: Scope::Cluster,
        kubeconfig: Some(directory.path().join("none")),
        ..Kubernetes::default()
    };
    let Worker { mailbox, handle } = Worker::start(settings(Some(nowhere)), PATIENCE);
    let until = Instant::now() + PATIENCE;
    let error = loop {
        let status = handle.status();
        if let Some(error) = status.sources.iter().find_map(|s| s.last_error.clone()) {
            break error;
        }
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(error.contains("no access: ") && error.contains("none"), "{error}");
    assert!(mailbox.take().is_none());
    // A reload that does without goes on.
    handle.replace(settings(None));
    while mailbox.take().is_none() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(handle.status().watches.is_empty());
}
