//! The Kubernetes API server: a watch for each kind and namespace, independent of each other.
//!
//! ```text
//! catalog ─► which kinds there are ─► one watch each ─► known ─► events, whole lists at once
//! ```
//! The first picture is whole when every watch has read its list once. Nothing is taken away because
//! the API server is away: what is known stays until it says otherwise.

mod answer;
mod api;
mod backoff;
mod board;
mod catalog;
mod connect;
mod failure;
mod inspect;
mod items;
mod known;
mod lines;
mod presence;
mod resource;
mod target;
mod watch;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use ringway_config::{Kubernetes, Scope};
use ringway_core::rng::Rng;
use ringway_core::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch::Sender;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Tell, Told, tell};
use crate::event::{Event, SourceId};
use api::{Access, Api};
use backoff::{Failures, jitter};
pub(crate) use board::Board;
use catalog::Catalog;
use failure::Failure;
pub use inspect::{Inspection, inspect};
use resource::{RESOURCES, Resource};
use target::Target;
use watch::{News, Shared, Watch};

/// How often it is asked whether a missing kind has come. A kind that was there is believed to be
/// gone when it has been missing for so long: an API server that starts does not know all at once.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// All watches.
struct Watches {
    shared: Shared,
    namespaces: Vec<Option<Arc<str>>>,
    catalog: Catalog,
    kinds: Vec<Watched>,
    tasks: JoinSet<()>,
    /// Watches that have not yet told their first list.
    awaited: usize,
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

/// Watches the API server until it is aborted.
///
/// A watch that says nothing for `silence` is dead.
pub(crate) async fn watch(settings: Kubernetes, silence: Duration, board: Board, tell_to: Tell) {
    board.clear();
    tell(&tell_to, Told::Events(vec![Event::Init(SourceId::Kubernetes)]));
    let (news, heard) = unbounded_channel();
    let access = Access::from(&settings);
    let namespaces = match settings.scope {
        Scope::Cluster => vec![None],
        Scope::Namespaces(names) => names.into_iter().map(|name| Some(Arc::from(name))).collect(),
    };
    let shared = Shared { api: Arc::new(Api::new(access)), silence, tell: tell_to, news };
    let watches = Watches {
        shared,
        namespaces,
        catalog: Catalog::default(),
        kinds: Vec::new(),
        tasks: JoinSet::new(),
        awaited: 0,
        board,
        rng: Rng::new(RandomState::new().hash_one(0)),
        failures: Failures::default(),
    };
    watches.run(heard).await;
}

impl Watches {
    async fn run(mut self, mut heard: UnboundedReceiver<News>) {
        let (api, rng) = (Arc::clone(&self.shared.api), Rng::new(self.rng.next_u64()));
        self.tasks.spawn(async move { presence::look(&api, rng).await });
        let mut calls = self.shared.api.presence().calls();
        let mut own = Rng::new(self.rng.next_u64());
        loop {
            let (again, failure) = self.look().await;
            let pause = calls.pause(again, failure.as_ref(), &mut own);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some(news) = heard.recv() => match news {
                        News::Complete => self.complete(),
                        News::Missing => break,
                    },
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
            for resource in &RESOURCES {
                self.start(resource);
            }
        }
        let now = Instant::now();
        for kind in &mut self.kinds {
            kind.adjust(self.catalog.version(kind.resource), now);
        }
    }

    fn start(&mut self, resource: &'static Resource) {
        let found = self.catalog.version(resource);
        if found.is_none() {
            tracing::info!("the API server has no {}; looking again", resource.plural);
        }
        let (version, _) = tokio::sync::watch::channel(found);
        for namespace in self.namespaces.clone() {
            let target = Target { resource, namespace };
            let post = self.board.post(&target);
            let rng = Rng::new(self.rng.next_u64());
            let watch = Watch::new(self.shared.clone(), target, version.subscribe(), post, rng);
            self.tasks.spawn(watch.run());
            self.awaited += 1;
        }
        self.kinds.push(Watched { resource, version, missing: None });
    }

    /// A watch has told its first list. With the last of them, the picture is whole.
    fn complete(&mut self) {
        self.awaited -= 1;
        if self.awaited == 0 {
            tell(&self.shared.tell, Told::Events(vec![Event::InitDone(SourceId::Kubernetes)]));
        }
    }
}

impl Watched {
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
