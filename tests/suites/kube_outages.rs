//! The API server away, silent, forgetful or thrown back: every known service goes on, the idle
//! ones too, and when it is there again the picture is its own and no removed endpoint is used.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::{Duration, Instant};

use ringway_tests::admin;
use ringway_tests::kube::cluster::{Cluster, Options, TOKEN};
use ringway_tests::kube::kubeconfig::Credential;
use ringway_tests::kube::objects;
use ringway_tests::kube::stage::{PATIENCE, Stage, origin, service};
use ringway_tests::load::Load;
use ringway_tests::matrix::Cell;
use ringway_tests::network::{Block, Blocked};
use ringway_tests::origin::Origin;
use ringway_tests::proxy::Proxy;
use ringway_tests::scratch::Scratch;
use ringway_tests::wait;

/// How long the API server is away: several attempts to come back to it. The variable
/// `RINGWAY_OUTAGE_SECONDS` makes it longer (`make outages`: ten minutes).
const OUTAGE: Duration = Duration::from_secs(7);
/// In how much time the API's picture is taken over when it is back. Judged only when the variable
/// is set, because then nothing else runs beside it.
const AGREEMENT: Duration = Duration::from_secs(5);

/// The length of an outage, if it is not the usual one.
fn long() -> Option<Duration> {
    let seconds = std::env::var("RINGWAY_OUTAGE_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("RINGWAY_OUTAGE_SECONDS is a whole number")))
}

/// Who breaks the API server for everybody has it alone.
static TURN: RwLock<()> = RwLock::new(());

fn together(namespace: &str) -> (RwLockReadGuard<'static, ()>, Stage) {
    let _cluster = Cluster::shared(Options::default());
    let turn = TURN.read().unwrap_or_else(PoisonError::into_inner);
    (turn, Stage::new(Options::default(), namespace))
}

/// The API server for one test alone, which leaves it well whatever happens.
struct Alone {
    cluster: Arc<Cluster>,
    _turn: RwLockWriteGuard<'static, ()>,
}

impl Drop for Alone {
    fn drop(&mut self) {
        if thread::panicking() {
            self.cluster.replace_token(TOKEN);
            self.cluster.grant();
        }
    }
}

fn alone(namespace: &str) -> (Alone, Stage) {
    let cluster = Cluster::shared(Options::default());
    let turn = TURN.write().unwrap_or_else(PoisonError::into_inner);
    (Alone { cluster, _turn: turn }, Stage::new(Options::default(), namespace))
}

/// A service under load, with an endpoint that is going to leave, and one that nobody uses yet.
struct Scene {
    stage: Stage,
    stays: Origin,
    leaves: Origin,
    comes: Origin,
    _idle: Origin,
    proxy: Proxy,
    load: Load,
}

impl Scene {
    fn new(stage: Stage) -> Self {
        Self::with(stage, |stage| Proxy::start(Cell::epoll(), stage.settings()))
    }

    fn with(stage: Stage, start: impl Fn(&Stage) -> Proxy) -> Self {
        let [stays, leaves, comes, idle] = ["stays", "leaves", "comes", "idle"].map(origin);
        stage.apply(&service("app", &[&stays, &leaves]));
        stage.apply(&service("idle", &[&idle]));
        let proxy = start(&stage);
        stage.await_origins(&proxy, "app", &["leaves", "stays"]);
        let load = stage.load(&proxy, "app");
        load.await_answers(50);
        Self { stage, stays, leaves, comes, _idle: idle, proxy, load }
    }

    /// One endpoint is replaced by another.
    fn change(&self) {
        self.stage.apply(&service("app", &[&self.stays, &self.comes]));
    }

    /// The outage: what is known is used, also what has not been used before.
    fn endure(&self) {
        thread::sleep(long().unwrap_or(OUTAGE));
        self.load.await_answers(50);
        assert_eq!(self.stage.ask(&self.proxy, "idle", 5), [("idle".to_owned(), 5)].into());
        let ready = admin::get(self.proxy.settings.admin, "/ready");
        assert_eq!(ready.map(|(status, _)| status), Some(200), "it stays ready");
        self.stage.await_origins(&self.proxy, "app", &["leaves", "stays"]);
    }

    /// The API's picture is taken over, and what has left is left alone; it is there since `back`.
    fn agree_since(self, back: Instant) {
        self.stage.await_origins(&self.proxy, "app", &["comes", "stays"]);
        let took = back.elapsed();
        println!("{}: in agreement after {took:?}", self.stage.namespace);
        assert!(long().is_none() || took <= AGREEMENT, "in agreement after {took:?}");
        self.agree();
    }

    fn agree(self) {
        self.stage.await_origins(&self.proxy, "app", &["comes", "stays"]);
        let before = self.leaves.next_sequence();
        let _ = self.stage.ask(&self.proxy, "app", 40);
        self.load.await_answers(50);
        assert_eq!(self.leaves.next_sequence(), before, "a removed endpoint is not used again");
        self.load.stop().assert_flawless();
    }
}

/// What the admin server says of the watches.
fn discovery(proxy: &Proxy) -> String {
    admin::get(proxy.settings.admin, "/discovery").map(|(_, page)| page).unwrap_or_default()
}

fn blocked(namespace: &str, how: Block) {
    let (_turn, stage) = together(namespace);
    let scene = Scene::new(stage);
    let block = Blocked::new(scene.stage.side, how);
    scene.change();
    scene.endure();
    drop(block);
    scene.agree_since(Instant::now());
}

#[test]
fn an_api_server_that_refuses() {
    blocked("refused", Block::Refuse);
}

#[test]
fn an_api_server_in_a_black_hole() {
    blocked("dropped", Block::Drop);
}

/// The server goes, and comes back.
fn gone(namespace: &str, go: impl Fn(&Cluster), come: impl Fn(&Cluster)) {
    let (_turn, stage) = alone(namespace);
    let scene = Scene::new(stage);
    go(&scene.stage.cluster);
    scene.endure();
    come(&scene.stage.cluster);
    let back = Instant::now();
    scene.change();
    scene.agree_since(back);
}

#[test]
fn an_api_server_that_is_killed() {
    gone("killed", Cluster::kill_server, Cluster::start_server);
}

#[test]
fn an_api_server_that_falls_silent() {
    gone("silent", Cluster::freeze_server, Cluster::thaw_server);
}

#[test]
fn an_api_server_that_has_forgotten_history() {
    let (_turn, stage) = alone("forgotten");
    let scene = Scene::new(stage);
    let extra = origin("extra");
    scene.stage.apply(&service("extra", &[&extra]));
    scene.stage.await_origins(&scene.proxy, "extra", &["extra"]);
    let block = Blocked::new(scene.stage.side, Block::Refuse);
    scene.change();
    scene.stage.kubectl(&["delete", "service/extra", "endpointslice/extra-1"]);
    let cluster = &scene.stage.cluster;
    cluster.compact();
    // Its cache of recent changes goes with it: what ringway has seen last is no more.
    cluster.kill_server();
    cluster.start_server();
    drop(block);
    wait::until(PATIENCE, "what was deleted meanwhile is forgotten", || {
        scene.stage.try_ask(&scene.proxy, "extra").is_err()
    });
    scene.agree();
}

#[test]
fn an_api_server_whose_state_is_put_back() {
    let (_turn, stage) = alone("restored");
    let scene = Scene::new(stage);
    scene.change();
    scene.stage.await_origins(&scene.proxy, "app", &["comes", "stays"]);
    let Scene { stage, comes, leaves, proxy, load, .. } = &scene;
    stage.cluster.save("restored");
    // A server that starts writes a little itself: it is not to catch up by that
    // with what ringway sees now.
    for number in 0..300 {
        let note = serde_json::json!({"metadata": {"labels": {"number": number.to_string()}}});
        stage.cluster.api.merge("/api/v1/namespaces/restored", &note).unwrap();
    }
    stage.apply(&service("app", &[&scene.stays, leaves]));
    stage.apply(&service("late", &[leaves]));
    stage.await_origins(proxy, "late", &["leaves"]);
    stage.await_origins(proxy, "app", &["leaves", "stays"]);
    let before = comes.next_sequence();
    stage.cluster.restore("restored");
    wait::until(PATIENCE, "the older truth is taken", || comes.next_sequence() > before);
    wait::until(PATIENCE, "what it does not have is forgotten", || {
        stage.try_ask(proxy, "late").is_err()
    });
    load.await_answers(20);
    scene.agree();
}

#[test]
fn a_token_that_is_replaced() {
    let (_turn, stage) = alone("token");
    let files = Scratch::new();
    let token = files.put("token", TOKEN);
    let scene = Scene::with(stage, |stage| {
        let credential = Credential::TokenFile(token.clone());
        let kubeconfig = stage.cluster.kubeconfig(stage.side, &credential);
        Proxy::start(Cell::epoll(), stage.settings_by(&kubeconfig))
    });
    scene.stage.cluster.replace_token("ringway-second");
    scene.change();
    scene.endure();
    wait::until(PATIENCE, "it says why", || discovery(&scene.proxy).contains("401"));
    files.put("token", "ringway-second");
    let cluster = Arc::clone(&scene.stage.cluster);
    scene.agree();
    cluster.replace_token(TOKEN);
}

#[test]
fn a_right_that_is_withdrawn_for_one_kind() {
    let (_turn, stage) = alone("withdrawn");
    let (one, two) = (origin("one"), origin("two"));
    stage.apply(&[service("front", &[&one]), service("one", &[&one])].join("---\n"));
    stage.apply(&objects::route("to-two", "front", &objects::split(("one", 0), ("two", 1))));
    stage.apply(&service("two", &[&two]));
    let scene = Scene::new(stage);
    scene.stage.await_origins(&scene.proxy, "front", &["two"]);
    let cluster = &scene.stage.cluster;
    let rules = r#"[{"op":"replace","path":"/rules/2/resources","value":["grpcroutes"]}]"#;
    cluster.kubectl.run(&["patch", "clusterrole/ringway-discovery", "--type=json", "-p", rules]);
    // Rights are looked at when a watch begins: all of them have to begin again.
    cluster.kill_server();
    cluster.start_server();
    wait::until(PATIENCE, "it names the kind and the reason", || {
        let said = discovery(&scene.proxy);
        said.contains("httproutes") && said.contains("forbidden")
    });
    assert_eq!(scene.stage.ask(&scene.proxy, "front", 20).len(), 1, "its routes stay in use");
    scene.change();
    scene.stage.await_origins(&scene.proxy, "app", &["comes", "stays"]);
    assert_eq!(scene.stage.ask(&scene.proxy, "front", 20), [("two".to_owned(), 20)].into());
    cluster.grant();
    scene.stage.apply(&objects::route("to-two", "front", &objects::split(("one", 1), ("two", 0))));
    scene.stage.await_origins(&scene.proxy, "front", &["one"]);
    scene.agree();
}
