//! Answers of an API server that are no good: refusals, storms of errors, cut and wrong JSON,
//! slowness, a watch that stands still, an etcd too old for streaming lists.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ringway_tests::kube::cluster::Options;
use ringway_tests::kube::etcd::Version;
use ringway_tests::kube::faults::{Action, Asked, Faults};
use ringway_tests::kube::stage::{PATIENCE, Stage, origin, service};
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::proxy::Proxy;
use ringway_tests::wait;

const KINDS: [&str; 4] = ["services", "endpointslices", "httproutes", "grpcroutes"];

/// A service behind a ringway whose API server can be scripted.
struct Scene {
    stage: Stage,
    old: Origin,
    new: Origin,
    faults: Faults,
    proxy: Proxy,
}

impl Scene {
    fn new(namespace: &str) -> Self {
        Self::scripted(namespace, |_| Action::Pass)
    }

    fn scripted(
        namespace: &str,
        script: impl Fn(&Asked) -> Action + Send + Sync + 'static,
    ) -> Self {
        let stage = Stage::new(Options::default(), namespace);
        let (old, new) = (origin("old"), origin("new"));
        stage.apply(&service("app", &[&old]));
        let faults = Faults::before(stage.cluster.api);
        faults.script(script);
        let kubeconfig = stage.cluster.kubeconfig_by_way_of(faults.address);
        let proxy = Proxy::start(Cell::epoll(), stage.settings_by(&kubeconfig));
        stage.await_origins(&proxy, "app", &["old"]);
        Self { stage, old, new, faults, proxy }
    }

    fn change(&self) {
        self.stage.apply(&service("app", &[&self.new]));
    }

    fn assert_old(&self) {
        assert_eq!(self.stage.ask(&self.proxy, "app", 10), [("old".to_owned(), 10)].into());
    }

    fn agree(mut self) {
        self.stage.await_origins(&self.proxy, "app", &["new"]);
        let before = self.old.next_sequence();
        assert_eq!(self.stage.ask(&self.proxy, "app", 20).len(), 1);
        assert_eq!(self.old.next_sequence(), before);
        self.proxy.assert_well();
    }

    /// What was asked about `kind` from now on, after `time`.
    fn asked_within(&self, kind: &str, time: Duration) -> Vec<Asked> {
        let before = self.faults.asked().len();
        thread::sleep(time);
        self.faults.asked().split_off(before).into_iter().filter(|a| a.is_about(kind)).collect()
    }
}

#[test]
fn retry_after_is_honoured() {
    let scene = Scene::new("patience");
    let told = Duration::from_secs(4);
    scene.faults.script(|_| Action::status(429, "TooManyRequests", "Retry-After: 4\r\n"));
    let before = scene.faults.asked().len();
    scene.faults.cut();
    scene.change();
    thread::sleep(told * 2);
    scene.assert_old();
    let asked = scene.faults.asked().split_off(before);
    scene.faults.script(|_| Action::Pass);
    for kind in KINDS {
        let times: Vec<_> = asked.iter().filter(|a| a.is_about(kind)).map(|a| a.at).collect();
        assert!(!times.is_empty(), "{kind} is asked for again");
        let hasty = times.windows(2).any(|w| w[1] - w[0] < told);
        assert!(!hasty, "{kind}: {times:?}");
    }
    scene.agree();
}

#[test]
fn a_storm_of_errors_is_met_with_patience() {
    let scene = Scene::new("storm");
    scene.faults.script(|_| Action::status(500, "InternalError", ""));
    scene.faults.cut();
    scene.change();
    let window = Duration::from_secs(6);
    let asked = scene.asked_within("endpointslices", window);
    assert!(!asked.is_empty(), "it tries again");
    assert!(asked.len() <= 7, "once a second at the most: {asked:?}");
    scene.assert_old();
    scene.faults.script(|_| Action::Pass);
    scene.agree();
}

#[test]
fn cut_answers_change_nothing() {
    let scene = Scene::new("cut");
    // Enough for a head and the beginning of an object.
    scene.faults.script(|_| Action::Truncate(700));
    scene.faults.cut();
    scene.change();
    let asked = scene.asked_within("endpointslices", Duration::from_secs(4));
    assert!(!asked.is_empty());
    scene.assert_old();
    scene.faults.script(|_| Action::Pass);
    scene.agree();
}

#[test]
fn rubbish_in_a_watch_is_named_and_skipped() {
    let scene = Scene::new("rubbish");
    let wrong = format!(
        r#"{{"type":"MODIFIED","object":{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"app-1","namespace":"{}","resourceVersion":"1"}}}}}}"#,
        scene.stage.namespace
    );
    for (number, line) in [wrong.as_str(), r#"{"type":"MODIFIED","object":{"kind":"#, "null", "[]"]
        .into_iter()
        .enumerate()
    {
        let (line, times) = (line.to_owned(), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&times);
        scene.faults.script(move |asked| {
            if asked.is_watch()
                && asked.is_about("endpointslices")
                && counted.fetch_add(1, Ordering::SeqCst) == 0
            {
                Action::Insert(line.clone())
            } else {
                Action::Pass
            }
        });
        scene.faults.cut();
        wait::until(PATIENCE, "it is in a watch", || times.load(Ordering::SeqCst) > 0);
        scene.assert_old();
        // And the watch goes on, or begins again.
        let name = format!("late{number}");
        scene.stage.apply(&service(&name, &[&scene.old]));
        scene.stage.await_origins(&scene.proxy, &name, &["old"]);
    }
    scene.change();
    scene.agree();
}

#[test]
fn a_revision_that_is_gone() {
    let scene = Scene::new("gone");
    let event = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 1 (2)","reason":"Expired","code":410}}"#;
    let times = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&times);
    scene.faults.script(move |asked| match asked.is_watch() && asked.is_about("endpointslices") {
        true => match counted.fetch_add(1, Ordering::SeqCst) {
            0 => Action::Insert(event.into()),
            1 => Action::status(410, "Expired", ""),
            _ => Action::Pass,
        },
        false => Action::Pass,
    });
    scene.faults.cut();
    scene.change();
    scene.stage.await_origins(&scene.proxy, "app", &["new"]);
    assert!(times.load(Ordering::SeqCst) > 0);
    scene.agree();
}

#[test]
fn slow_answers_are_waited_for() {
    // Some kilobytes a second, from the first list on.
    let scene = Scene::scripted("slow", |_| Action::Slow(Duration::from_millis(50)));
    scene.change();
    scene.agree();
}

#[test]
fn an_etcd_too_old_for_streaming_lists() {
    let options = Options { etcd: Version::Debian, controllers: false };
    let stage = Stage::new(options, "old");
    let (old, new) = (origin("old"), origin("new"));
    stage.apply(&service("app", &[&old]));
    let mut proxy = stage.start(Cell::epoll());
    stage.await_origins(&proxy, "app", &["old"]);
    stage.apply(&service("app", &[&new]));
    stage.await_origins(&proxy, "app", &["new"]);
    proxy.assert_well();
}
