//! The discovery thread: waits for what sources tell, folds it into the index, publishes.

mod supply;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ringway_config::Kind;
use ringway_core::snapshot::{Listeners, Snapshot};
use ringway_core::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch::Sender;
use tokio::task::JoinHandle;

use crate::asker::Asked;
use crate::compile::Compiler;
use crate::demand::{Demand, Wants};
use crate::event::{Event, SourceId};
use crate::graves::Graves;
use crate::index::Index;
use crate::mailbox::Publisher;
use crate::settings::Settings;
use crate::settle::Settle;
use crate::source::kubernetes::Board;
use crate::source::names::Names;
use crate::source::{Tell, Told, files, fixed, kubernetes};
use crate::status::{SourceStatus, Status};

/// Changes are published once it has been quiet for so long, so that a burst is one snapshot.
const QUIET: Duration = Duration::from_millis(20);
/// And at the latest so long after the first.
const LIMIT: Duration = Duration::from_millis(200);
/// So long after the start, inbound listeners wait for the others' routes.
const PATIENCE: Duration = Duration::from_secs(3);
/// First pause before the workers' old snapshots are looked for; doubled until [`LAST_SWEEP`].
const FIRST_SWEEP: Duration = Duration::from_secs(1);
const LAST_SWEEP: Duration = Duration::from_secs(64);

/// So many notes of a source are shown.
const MOST_NOTES: usize = 100;

/// What the rest of the process asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Replace(Box<Settings>),
    Stop,
}

/// The clock of the runtime in core's instants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(tokio::time::Instant);

impl Clock {
    fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    pub(crate) fn now(self) -> Instant {
        Instant::ZERO + self.0.elapsed()
    }

    pub(crate) fn tokio(self, at: Instant) -> tokio::time::Instant {
        self.0 + at.since(Instant::ZERO)
    }
}

/// A source that runs by itself.
#[derive(Default)]
struct Watching(Option<(JoinHandle<()>, UnboundedReceiver<Told>)>);

impl Watching {
    /// Starts it, with a channel of its own: nothing that an earlier one has told comes through.
    fn start<F: Future<Output = ()> + Send + 'static>(&mut self, source: impl FnOnce(Tell) -> F) {
        self.stop();
        let (tell, told) = unbounded_channel();
        self.0 = Some((tokio::spawn(source(tell)), told));
    }

    fn stop(&mut self) {
        if let Some((task, _)) = self.0.take() {
            task.abort();
        }
    }

    async fn hear(&mut self) -> Told {
        if let Some((_, told)) = &mut self.0
            && let Some(told) = told.recv().await
        {
            return told;
        }
        // It does not run, or has ended by a bug.
        std::future::pending().await
    }
}

/// All that the thread has.
struct Thread {
    settings: Settings,
    clock: Clock,
    index: Index,
    compiler: Compiler,
    settle: Settle,
    names: Names,
    /// The watch of the directory.
    files: Watching,
    /// The watches of the API server.
    kubernetes: Watching,
    board: Board,
    /// Where services are looked up on demand.
    demand: Option<Demand>,
    wants: Sender<Wants>,
    refused: Arc<AtomicU64>,
    complaints: BTreeMap<SourceId, (Vec<String>, u64)>,
    publishers: Vec<Publisher>,
    generation: u64,
    /// The routes published last.
    present: Listeners,
    graves: Graves,
    sweep: Option<(Instant, Duration)>,
    status: Arc<Mutex<Status>>,
}

/// Runs until it is told to stop, or nobody is left who could.
pub(crate) async fn run(
    settings: Settings,
    publishers: Vec<Publisher>,
    (mut commands, mut asked): (UnboundedReceiver<Command>, Asked),
    status: Arc<Mutex<Status>>,
    board: Board,
) {
    let (names, mut answers) = Names::new(settings.discovery.dns.clone(), settings.resolver);
    let mut thread = Thread {
        clock: Clock::start(),
        index: Index::default(),
        compiler: Compiler::default(),
        settle: Settle::new(QUIET, LIMIT),
        names,
        files: Watching::default(),
        kubernetes: Watching::default(),
        board,
        demand: None,
        wants: Sender::default(),
        refused: asked.refused,
        complaints: BTreeMap::new(),
        publishers,
        generation: 0,
        present: Listeners::default(),
        graves: Graves::default(),
        sweep: None,
        status,
        settings,
    };
    thread.apply(Event::InitDone(SourceId::Names));
    thread.lower();
    thread.configure_demand();
    thread.watch_files();
    thread.watch_kubernetes();
    loop {
        thread.advance();
        let due = thread.due().map(|due| thread.clock.tokio(due));
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Replace(settings)) => thread.replace(*settings),
                Some(Command::Stop) | None => break,
            },
            Some(host) = asked.questions.recv() => {
                if let Some(demand) = &mut thread.demand {
                    demand.ask(&host, thread.clock.now());
                }
            }
            told = thread.files.hear() => thread.hear(told),
            told = thread.kubernetes.hear() => thread.hear(told),
            Some(answer) = answers.recv() => {
                if let Some(event) = thread.names.heard(answer) {
                    thread.apply(event);
                }
            }
            () = timer => {}
        }
    }
    thread.files.stop();
    thread.kubernetes.stop();
}

impl Thread {
    fn apply(&mut self, event: Event) {
        if self.index.apply(event) {
            self.settle.touch(self.clock.now());
        }
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Events(events) => {
                for event in events {
                    let admitted = match &mut self.demand {
                        Some(demand) => demand.admit(event),
                        None => Some(event),
                    };
                    admitted.into_iter().for_each(|event| self.apply(event));
                }
            }
            Told::Heard(heard) => {
                if let Some(demand) = &mut self.demand {
                    demand.hear(heard);
                }
            }
            Told::Errors(source, errors) => {
                let (now, count) = self.complaints.entry(source).or_default();
                *count += u64::from(!errors.is_empty());
                *now = errors;
            }
        }
    }

    /// Applies `services:`.
    fn lower(&mut self) {
        let source = SourceId::Fixed;
        self.apply(Event::Init(source));
        for object in fixed::lower(&self.settings.services, &self.settings.discovery.namespace) {
            self.apply(Event::Apply(source, object));
        }
        self.apply(Event::InitDone(source));
    }

    /// Starts to watch the directory, if there is one.
    fn watch_files(&mut self) {
        let discovery = &self.settings.discovery;
        let Some(directory) = discovery.manifests.clone() else { return };
        let (namespace, clock) = (discovery.namespace.clone(), self.clock);
        self.files.start(|tell| files::watch(directory, namespace, clock, tell));
    }

    /// Starts to watch the API server, if there is one.
    fn watch_kubernetes(&mut self) {
        let Some(settings) = self.settings.discovery.kubernetes.clone() else { return };
        let start = kubernetes::Start {
            namespace: self.settings.discovery.namespace.as_str().into(),
            silence: self.settings.silence,
            board: self.board.clone(),
            wants: self.wants.subscribe(),
            settings,
        };
        self.kubernetes.start(|tell| kubernetes::watch(start, tell));
    }

    fn replace(&mut self, settings: Settings) {
        let old = std::mem::replace(&mut self.settings, settings);
        let (before, after) = (&old.discovery, &self.settings.discovery);
        let moved = before.manifests != after.manifests || before.namespace != after.namespace;
        self.names.configure(after.dns.clone(), self.settings.resolver);
        let elsewhere = before.kubernetes != after.kubernetes
            || (self.demand.is_some() && before.namespace != after.namespace);
        if moved {
            self.files.stop();
            self.complaints.remove(&SourceId::Files);
            self.leave(SourceId::Files);
            self.watch_files();
        }
        if elsewhere {
            self.kubernetes.stop();
            self.board.clear();
            self.leave(SourceId::Kubernetes);
            self.configure_demand();
            self.watch_kubernetes();
        }
        self.lower();
        // Listeners are no objects of the index.
        self.settle.touch(self.clock.now());
    }

    /// What the source has said is replaced when it is still in use, and else forgotten.
    fn leave(&mut self, source: SourceId) {
        if self.sources().any(|used| used == source) {
            self.index.renew(source);
        } else {
            self.index.forget(source);
        }
    }

    /// Does what is due now.
    fn advance(&mut self) {
        let now = self.clock.now();
        self.supply(now);
        for event in self.names.want(&self.index.wanted_names(), now) {
            self.apply(event);
        }
        if self.is_complete() && self.names.awaited_until(now).is_none() && self.settle.take(now) {
            let snapshot =
                self.compiler.update(&mut self.index, &self.settings, self.generation + 1);
            self.publish(now, snapshot);
        } else if self.inbound_first().is_some_and(|due| due <= now) {
            let mut inbound = self.settings.clone();
            inbound.listeners.retain(|listener| listener.kind == Kind::Inbound);
            let snapshot = self.compiler.update(&mut self.index, &inbound, self.generation + 1);
            self.publish(now, snapshot);
        }
        if self.sweep.is_some_and(|(at, _)| at <= now) {
            self.sweep(now);
        }
        self.report();
    }

    /// When something is due next.
    fn due(&mut self) -> Option<Instant> {
        let awaited = self.names.awaited_until(self.clock.now());
        let publish = if self.is_complete() {
            self.settle.due().map(|due| awaited.map_or(due, |until| due.max(until)))
        } else {
            None
        };
        let sweep = self.sweep.map(|(at, _)| at);
        let inbound = self.inbound_first();
        let demand = self.demand.as_ref().and_then(Demand::due);
        publish.into_iter().chain(awaited).chain(sweep).chain(inbound).chain(demand).min()
    }

    /// When to publish the inbound listeners alone: what reaches the local application must not
    /// depend on an API server that may be away when a pod starts.
    fn inbound_first(&self) -> Option<Instant> {
        let inbound = self.settings.listeners.iter().any(|l| l.kind == Kind::Inbound);
        (self.generation == 0 && inbound && !self.is_complete()).then_some(Instant::ZERO + PATIENCE)
    }

    /// Whether every source in use has shown its whole picture.
    fn is_complete(&self) -> bool {
        self.sources().all(|source| self.index.is_complete(source))
    }

    fn sources(&self) -> impl Iterator<Item = SourceId> + use<> {
        let files = self.settings.discovery.manifests.is_some();
        let kubernetes = self.settings.discovery.kubernetes.is_some();
        SourceId::ALL.into_iter().filter(move |source| match source {
            SourceId::Files => files,
            SourceId::Kubernetes => kubernetes,
            SourceId::Fixed | SourceId::Names => true,
        })
    }

    fn publish(&mut self, now: Instant, mut snapshot: Snapshot) {
        if let Some(demand) = &mut self.demand {
            snapshot.looked_up = demand.looked_up();
        }
        self.generation = snapshot.generation;
        let snapshot = Arc::new(snapshot);
        tracing::info!(
            generation = self.generation,
            clusters = snapshot.clusters.len(),
            "snapshot published",
        );
        self.present = snapshot.listeners.clone();
        for publisher in &self.publishers {
            publisher.publish(snapshot.clone());
        }
        // One that is due stays due, or updates without end would put it off without end.
        let due = self.sweep.map_or(now + FIRST_SWEEP, |(at, _)| at.min(now + FIRST_SWEEP));
        self.sweep = Some((due, FIRST_SWEEP));
    }

    /// Frees what the workers are done with.
    fn sweep(&mut self, now: Instant) {
        for publisher in &self.publishers {
            publisher.sweep(&mut self.graves);
        }
        let left = self.graves.free(&self.present);
        let pause = self.sweep.map(|(_, pause)| pause * 2);
        let next = pause.filter(|pause| left || *pause <= LAST_SWEEP).map(|p| p.min(LAST_SWEEP));
        self.sweep = next.map(|pause| (now + pause, pause));
    }

    fn report(&mut self) {
        self.complaints.entry(SourceId::Names).or_default().0 = self.names.errors();
        let awaited = self.names.awaited_until(self.clock.now()).is_some();
        let sources = self.sources().map(|source| {
            let (mut errors, failures) = self.complaints.get(&source).cloned().unwrap_or_default();
            errors.extend(self.compiler.complaints(source).map(ToOwned::to_owned));
            SourceStatus {
                name: source.as_str(),
                complete: self.index.is_complete(source) && !(source == SourceId::Names && awaited),
                objects: self.index.objects(source),
                last_error: errors.first().cloned(),
                errors,
                failures,
                notes: self.index.notes(source).take(MOST_NOTES).map(ToOwned::to_owned).collect(),
            }
        });
        let (generation, watches) = (self.generation, Vec::new());
        let lookups = self
            .demand
            .as_ref()
            .map(|demand| demand.counts().and_refused(self.refused.load(Ordering::Relaxed)));
        let status = Status { generation, sources: sources.collect(), watches, lookups };
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}
