//! The Kubernetes API server: a watch for each kind and namespace, or for each service that is
//! wanted, independent of each other.
//!
//! ```text
//! catalog ─► which kinds there are ─► one watch each ─► known ─► events, whole lists at once
//! ```
//! The first picture is whole when every watch has read its list once; on demand, when all that was
//! wanted at the start is there. Nothing is taken away because the API server is away: what is known
//! stays until it says otherwise.

mod answer;
mod api;
mod backoff;
mod board;
mod catalog;
mod connect;
mod failure;
mod follow;
mod inspect;
mod items;
mod known;
mod lines;
mod presence;
mod resource;
mod target;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use ringway_config::{Kubernetes, Scope};
use ringway_core::rng::Rng;
use ringway_core::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tokio::sync::watch::{Receiver, Sender};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Tell, Told, tell};
use crate::demand::{Heard, Wants};
use crate::event::{Event, SourceId};
use crate::object::NamespacedName;
use api::{Access, Api};
use backoff::{Failures, jitter};
pub(crate) use board::Board;
use catalog::Catalog;
use failure::Failure;
use follow::Follow;
pub use inspect::{Inspection, inspect};
use resource::{RESOURCES, Resource};
use target::{Target, TargetKey, Which};
use watch::{News, Shared, Watch};

/// How often it is asked whether a missing kind has come. A kind that was there is believed to be
/// gone when it has been missing for so long: an API server that starts does not know all at once.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What is watched.
enum Plan {
    /// All kinds in these namespaces, of which so many have not yet told their first list.
    Fixed { namespaces: Vec<Option<Arc<str>>>, awaited: usize },
    /// What somebody asks for.
    OnDemand(Follow),
}

/// All watches.
struct Watches {
    shared: Shared,
    plan: Plan,
    catalog: Catalog,
    kinds: Vec<Watched>,
    /// What ends each watch.
    running: BTreeMap<TargetKey, oneshot::Sender<()>>,
    tasks: JoinSet<()>,
    board: Board,
    rng: Rng,
    failures: Failures,
}

/// One kind that is watched.
struct Watched {
    resource: &'static Resource,
    /// The version for its watches.
    version: Sender<Option<&'static str>>,
    /// Since when it is missing.
    missing: Option<Instant>,
}

/// What watching begins with.
pub(crate) struct Start {
    pub(crate) settings: Kubernetes,
    /// The clients' namespace.
    pub(crate) namespace: Arc<str>,
    /// A watch that says nothing for so long is dead.
    pub(crate) silence: Duration,
    pub(crate) board: Board,
    /// What is wanted on demand.
    pub(crate) wants: Receiver<Wants>,
}

/// Watches the API server until it is aborted.
pub(crate) async fn watch(start: Start, tell_to: Tell) {
    let Start { settings, namespace, silence, board, mut wants } = start;
    board.clear();
    tell(&tell_to, Told::Events(vec![Event::Init(SourceId::Kubernetes)]));
    let (news, heard) = unbounded_channel();
    let access = Access::from(&settings);
    let plan = match settings.scope {
        Scope::Cluster => Plan::fixed(vec![None]),
        Scope::Namespaces(names) => {
            Plan::fixed(names.into_iter().map(|name| Some(Arc::from(name))).collect())
        }
        Scope::OnDemand => {
            Plan::OnDemand(Follow::new(namespace, wants.borrow_and_update().clone()))
        }
    };
    let shared = Shared { api: Arc::new(Api::new(access)), silence, tell: tell_to, news };
    let watches = Watches {
        shared,
        plan,
        catalog: Catalog::default(),
        kinds: Vec::new(),
        running: BTreeMap::new(),
        tasks: JoinSet::new(),
        board,
        rng: Rng::new(RandomState::new().hash_one(0)),
        failures: Failures::default(),
    };
    watches.run(heard, wants).await;
}

impl Plan {
    fn fixed(namespaces: Vec<Option<Arc<str>>>) -> Self {
        let awaited = namespaces.len() * RESOURCES.len();
        Self::Fixed { namespaces, awaited }
    }

    fn targets(&self) -> Vec<Target> {
        match self {
            Self::OnDemand(follow) => follow.targets(),
            Self::Fixed { namespaces, .. } => {
                let of = |resource| {
                    let target = move |namespace: &Option<Arc<str>>| Target {
                        resource,
                        namespace: namespace.clone(),
                        which: Which::All,
                        turn: 0,
                    };
                    namespaces.iter().map(target)
                };
                RESOURCES.iter().flat_map(of).collect()
            }
        }
    }
}

impl Watches {
    async fn run(mut self, mut heard: UnboundedReceiver<News>, mut wants: Receiver<Wants>) {
        let (api, rng) = (Arc::clone(&self.shared.api), Rng::new(self.rng.next_u64()));
        self.tasks.spawn(async move { presence::look(&api, rng).await });
        let mut calls = self.shared.api.presence().calls();
        let mut own = Rng::new(self.rng.next_u64());
        self.report(None);
        loop {
            let (again, failure) = self.look().await;
            let pause = calls.pause(again, failure.as_ref(), &mut own);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some(news) = heard.recv() => match news {
                        News::Complete(key, first) => self.complete(key, first),
                        News::Denied(key) => self.denied(key),
                        News::Missing => break,
                    },
                    Ok(()) = wants.changed() => {
                        if let Plan::OnDemand(follow) = &mut self.plan {
                            follow.want(wants.borrow_and_update().clone());
                            self.follow();
                            self.report(None);
                        }
                    }
                }
            }
        }
    }

    /// Asks which kinds there are; when to ask again, and what went wrong.
    async fn look(&mut self) -> (Duration, Option<Failure>) {
        match self.catalog.ask(&self.shared.api).await {
            Ok(()) => {
                self.failures.clear();
                self.board.discovered(None);
                self.adjust();
                (LOOK_AGAIN + jitter(LOOK_AGAIN / 4, &mut self.rng), None)
            }
            Err(failure) => {
                let pause = self.failures.add(&failure, &mut self.rng);
                if self.failures.is_news() {
                    tracing::warn!("cannot ask the API server which kinds it has: {failure}");
                }
                self.board.discovered(Some(&failure));
                self.shared.api.presence().failed(&failure);
                self.shared.api.forget();
                (pause, Some(failure))
            }
        }
    }

    fn adjust(&mut self) {
        if self.kinds.is_empty() {
            self.kinds = RESOURCES.iter().map(|r| Watched::new(r, &self.catalog)).collect();
            self.follow();
        }
        let now = Instant::now();
        for kind in &mut self.kinds {
            kind.adjust(self.catalog.version(kind.resource), now);
        }
    }

    /// Watches what is to be watched, and nothing else; nothing before the kinds are known.
    fn follow(&mut self) {
        if self.kinds.is_empty() {
            return;
        }
        while self.tasks.try_join_next().is_some() {}
        let targets = self.plan.targets();
        let wanted: BTreeSet<TargetKey> = targets.iter().map(Target::key).collect();
        let over = self.running.extract_if(.., |key, _| !wanted.contains(key));
        for (key, stop) in over {
            drop(stop);
            self.board.remove(&key);
            if let Plan::OnDemand(follow) = &mut self.plan {
                follow.ended(&key);
            }
        }
        for target in targets {
            if !self.running.contains_key(&target.key()) {
                self.start(target);
            }
        }
    }

    fn start(&mut self, target: Target) {
        let Some(kind) = self.kinds.iter().find(|k| k.resource.kind == target.resource.kind) else {
            return;
        };
        let mut shared = self.shared.clone();
        if matches!(target.which, Which::ClusterIp(_)) {
            // Only its name is asked for: the service itself is told by a watch of its own.
            shared.tell = unbounded_channel().0;
        }
        let (end, stop) = oneshot::channel();
        self.running.insert(target.key(), end);
        let post = self.board.post(&target);
        let rng = Rng::new(self.rng.next_u64());
        let watch = Watch::new(shared, target, kind.version.subscribe(), post, rng);
        self.tasks.spawn(watch.run(stop));
    }

    /// A watch has told its first list.
    fn complete(&mut self, key: TargetKey, first: Option<NamespacedName>) {
        if !self.running.contains_key(&key) {
            return;
        }
        let heard = match &mut self.plan {
            Plan::OnDemand(follow) => follow.complete(key, first),
            Plan::Fixed { awaited, .. } => {
                *awaited -= 1;
                None
            }
        };
        self.report(heard);
    }

    /// A watch may not list what it is on.
    fn denied(&mut self, key: TargetKey) {
        if !self.running.contains_key(&key) {
            return;
        }
        if let Plan::OnDemand(follow) = &mut self.plan {
            let heard = follow.denied(key);
            self.report(heard);
        }
    }

    /// Says what was found. With the last of what was wanted at first, the picture is whole.
    fn report(&mut self, heard: Option<Heard>) {
        let (news, whole) = match &mut self.plan {
            Plan::Fixed { awaited, .. } => (Vec::new(), *awaited == 0),
            Plan::OnDemand(follow) => {
                let news = heard.into_iter().chain(follow.news()).collect();
                (news, follow.has_begun())
            }
        };
        for heard in news {
            tell(&self.shared.tell, Told::Heard(heard));
        }
        if whole {
            tell(&self.shared.tell, Told::Events(vec![Event::InitDone(SourceId::Kubernetes)]));
        }
    }
}

impl Watched {
    fn new(resource: &'static Resource, catalog: &Catalog) -> Self {
        let found = catalog.version(resource);
        if found.is_none() {
            tracing::info!("the API server has no {}; looking again", resource.plural);
        }
        Self { resource, version: Sender::new(found), missing: None }
    }

    fn adjust(&mut self, found: Option<&'static str>, now: Instant) {
        let known = *self.version.borrow();
        if found.is_some() || known.is_none() {
            self.missing = None;
        } else if now < *self.missing.get_or_insert(now) + LOOK_AGAIN {
            return;
        }
        if known != found {
            let plural = self.resource.plural;
            tracing::info!(
                from = known,
                to = found,
                "the API server has {plural} in another version"
            );
            self.version.send_replace(found);
        }
    }
}
