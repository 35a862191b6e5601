//! One worker: a thread with its own event loop, its own view of the world and its own pools.
//! Nothing in it is shared but counters; change comes in through its mailbox and its inbox.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use ringway_config::{Config, Listener};
use ringway_core::cluster::{EndpointId, World};
use ringway_core::message::Fault;
use ringway_core::policy::classify::classify;
use ringway_core::snapshot::Snapshot;
use ringway_core::time::Instant;
use ringway_discovery::Asker;
use ringway_discovery::mailbox::{Mailbox, Slot};

use crate::accept::{self, Entrance};
use crate::access_log::AccessLog;
use crate::buffer::Buffers;
use crate::clock;
use crate::h2::Carriers;
use crate::inbox::{Command, Inbox, Letterbox};
use crate::lookups::Lookups;
use crate::memory;
use crate::metrics::{Counter, EndpointLabels, Gauge, Outcome, Series, WorkerMetrics};
use crate::pace::Paces;
use crate::pool::Pool;
use crate::pooled::Blocks;
use crate::reactor::Reactor;
use crate::record::Recorder;
use crate::settings::Settings;
use crate::shares::Shares;
use crate::socket::{self, Wake};
use crate::state::Readiness;
use crate::timers::Timers;

/// While draining, a connection that waits for its next request is given this long to send one,
/// and so to be told `Connection: close`, before it is closed.
pub(crate) const DRAIN_IDLE: Duration = Duration::from_secs(2);
/// How often gauges and the access log are brought up to date while there is traffic.
const TICK: Duration = Duration::from_secs(1);
/// So many changed endpoints are adopted before requests have their turn: about 0.1 ms.
const ADOPTED_AT_ONCE: usize = 512;
/// How often a worker without connections looks whether the others have none either.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Messages about paused accepting are at least this far apart.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// Everything that the tasks of one worker share.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) world: RefCell<World>,
    pub(crate) pool: Pool,
    pub(crate) carriers: Carriers,
    pub(crate) buffers: Buffers,
    pub(crate) timers: Timers,
    pub(crate) blocks: Blocks,
    pub(crate) stream_blocks: Blocks,
    pub(crate) paces: Paces,
    pub(crate) recorder: Recorder,
    pub(crate) lookups: Lookups,
    pub(crate) shares: Arc<Shares>,
    pub(crate) letterboxes: Arc<[Letterbox]>,
    pub(crate) connections: Cell<usize>,
    pub(crate) exchanges: Cell<usize>,
    readiness: Arc<Readiness>,
    settings: RefCell<Rc<Settings>>,
    entrances: RefCell<Vec<Rc<Entrance>>>,
    /// Listeners that wait for their routes, and connections that wait for such.
    waiting: RefCell<Vec<(Listener, OwnedFd)>>,
    held: RefCell<Vec<Command>>,
    pub(crate) series: RefCell<Vec<Option<(EndpointId, Series)>>>,
    draining: Cell<Option<Instant>>,
    cutting: Cell<bool>,
    said_paused: Cell<Option<Instant>>,
    ended: Cell<Option<Waker>>,
    ticking: Cell<Option<Waker>>,
    busy: Cell<bool>,
}

/// What a worker begins with.
pub(crate) struct Start {
    pub(crate) index: usize,
    pub(crate) config: Arc<Config>,
    pub(crate) metrics: WorkerMetrics,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) asker: Asker,
    pub(crate) shares: Arc<Shares>,
    pub(crate) letterboxes: Arc<[Letterbox]>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) seed: u64,
}

impl Worker {
    pub(crate) fn new(start: Start) -> Rc<Self> {
        Rc::new(Self {
            index: start.index,
            world: RefCell::new(World::new(start.seed)),
            pool: Pool::default(),
            carriers: Carriers::default(),
            buffers: Buffers::default(),
            timers: Timers::default(),
            blocks: Blocks::default(),
            stream_blocks: Blocks::default(),
            paces: Paces::default(),
            recorder: Recorder::new(start.metrics, start.access_log),
            lookups: Lookups::new(start.asker),
            shares: start.shares,
            letterboxes: start.letterboxes,
            connections: Cell::new(0),
            exchanges: Cell::new(0),
            readiness: start.readiness,
            settings: RefCell::new(Rc::new(Settings::new(&start.config))),
            entrances: RefCell::default(),
            waiting: RefCell::default(),
            held: RefCell::default(),
            series: RefCell::default(),
            draining: Cell::new(None),
            cutting: Cell::new(false),
            said_paused: Cell::new(None),
            ended: Cell::new(None),
            ticking: Cell::new(None),
            busy: Cell::new(false),
        })
    }

    /// Works until the process ends; `finished` is told once after a drain, when no worker accepts
    /// or has a connection any more. Until then it may be handed connections.
    pub(crate) async fn run(
        self: Rc<Self>,
        mailbox: Mailbox,
        inbox: Inbox,
        finished: impl FnOnce() + 'static,
    ) -> io::Result<()> {
        monoio::spawn(Reactor::here()?.drive(self.timers.clone(), self.buffers.clone())?);
        let (wake, slot) = mailbox.split();
        monoio::spawn(Rc::clone(&self).adopt_snapshots(Wake::adopt(wake)?, slot));
        monoio::spawn(self.timers.clone().run());
        monoio::spawn(Rc::clone(&self).sweep());
        monoio::spawn(Rc::clone(&self).tick());
        let mut wake = Wake::adopt(inbox.wake)?;
        let mut finished = Some(finished);
        loop {
            while let Ok(command) = inbox.commands.try_recv() {
                self.obey(command);
            }
            if self.draining.get().is_some()
                && let Some(finished) = finished.take()
            {
                monoio::spawn(Rc::clone(&self).drained(finished));
            }
            wake.wait().await?;
        }
    }

    fn obey(self: &Rc<Self>, command: Command) {
        match command {
            Command::Connection { socket, peer, listener } => match self.entrance(&listener) {
                Some(entrance) => crate::connection::spawn(self, &entrance, socket, peer),
                None => self.hold(socket, peer, listener),
            },
            Command::Listen(listener, socket) => self.listen(*listener, socket),
            Command::Change(listener) => {
                if let Some(entrance) = self.entrance(&listener.name) {
                    *entrance.settings.borrow_mut() = Rc::from(listener);
                }
            }
            Command::Unlisten(name) => {
                self.waiting.borrow_mut().retain(|(listener, _)| *listener.name != *name);
                self.entrances.borrow().iter().filter(|e| e.name == name).for_each(|e| e.close());
            }
            Command::Settings(config) => {
                *self.settings.borrow_mut() = Rc::new(Settings::new(&config));
            }
            Command::Inspect(reply) => {
                monoio::spawn(Rc::clone(self).tell_beliefs(reply));
            }
            Command::Drain => self.drain(),
            Command::Cut => {
                self.cutting.set(true);
                self.timers.wake_all();
            }
        }
    }

    /// Accepts on a new listener; one that came with a reload, only when its routes are known.
    fn listen(self: &Rc<Self>, listener: Listener, fd: OwnedFd) {
        let world = self.world.borrow();
        if world.is_ready() && world.listener(&listener.name).is_none() {
            self.waiting.borrow_mut().push((listener, fd));
            return;
        }
        drop(world);
        match socket::Listener::adopt(fd) {
            Ok(socket) => {
                let entrance = Rc::new(Entrance::new(listener, self));
                self.shares.open_door();
                let mut entrances = self.entrances.borrow_mut();
                entrances.retain(|entrance| entrance.is_in_use());
                entrances.push(Rc::clone(&entrance));
                drop(entrances);
                monoio::spawn(accept::run(Rc::clone(self), entrance, socket));
            }
            Err(error) => {
                tracing::error!(listener = %listener.name, %error, "cannot accept");
            }
        }
    }

    fn entrance(&self, name: &str) -> Option<Rc<Entrance>> {
        // The newest; a closed one counts, because what it had accepted may still be handed over.
        self.entrances.borrow().iter().rfind(|e| &*e.name == name).map(Rc::clone)
    }

    /// Keeps a connection for a listener that this worker is only about to know.
    fn hold(&self, socket: OwnedFd, peer: SocketAddr, listener: Arc<str>) {
        if self.waiting.borrow().iter().any(|(waiting, _)| *waiting.name == *listener) {
            self.held.borrow_mut().push(Command::Connection { socket, peer, listener });
        } else {
            self.shares.release(self.index);
        }
    }

    /// Adopts what discovery publishes.
    async fn adopt_snapshots(self: Rc<Self>, mut wake: Wake, slot: Slot) {
        loop {
            // Looked at before each wait: it is put before the byte is sent.
            if let Some(snapshot) = slot.take() {
                let generation = snapshot.generation;
                let first = !self.world.borrow().is_ready();
                slot.bury(self.adopt(snapshot).await);
                self.listen_again();
                self.lookups.adopted();
                if first {
                    self.readiness.adopted();
                }
                self.metrics().count(Counter::SnapshotsAdopted);
                self.metrics().set(Gauge::SnapshotGeneration, generation);
            }
            if wake.wait().await.is_err() {
                // Discovery has ended: the last picture stays.
                return;
            }
        }
    }

    /// Adopts one snapshot, with requests served in between; the one before.
    async fn adopt(&self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        let mut adoption = self.world.borrow().begin_adoption(snapshot);
        loop {
            let begun = std::time::Instant::now();
            let adopted =
                self.world.borrow_mut().advance(&mut adoption, ADOPTED_AT_ONCE, clock::now());
            self.forget(&adopted.removed);
            let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.metrics().set_longest(Gauge::LongestAdoption, nanos);
            if adoption.is_done() {
                return adoption.into_old();
            }
            // A task of its own, because one that wakes itself is not put behind the others.
            monoio::spawn(async {}).await;
        }
    }

    /// Opens the listeners that have waited for their routes.
    fn listen_again(self: &Rc<Self>) {
        for (listener, fd) in self.waiting.take() {
            self.listen(listener, fd);
        }
        for connection in self.held.take() {
            self.obey(connection);
        }
    }

    fn forget(&self, removed: &[EndpointId]) {
        self.pool.remove(removed);
        self.carriers.remove(removed);
        let mut series = self.series.borrow_mut();
        for endpoint in removed {
            if let Some(slot) = series.get_mut(endpoint.index())
                && slot.as_ref().is_some_and(|(id, _)| id == endpoint)
            {
                *slot = None;
            }
        }
    }

    async fn sweep(self: Rc<Self>) {
        self.pool.sweep(&self.timers, || self.settings().keep).await;
    }

    /// Brings gauges and the access log up to date once a second and gives memory back, as long as
    /// there is traffic and until nothing is left to give back.
    async fn tick(self: Rc<Self>) {
        let alarm = self.timers.alarm();
        let mut held = false;
        loop {
            poll_fn(|cx| {
                if held || self.busy.get() {
                    return Poll::Ready(());
                }
                self.ticking.set(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
            alarm.set(clock::now() + TICK);
            alarm.passed().await;
            let busy = self.busy.replace(false);
            self.recorder.flush();
            let blocks = self.blocks.trim() + self.stream_blocks.trim() + self.paces.trim();
            let freed = self.buffers.trim() + blocks;
            self.publish_beliefs();
            if !busy && freed == 0 {
                self.give_back();
            }
            held = busy || freed > 0 || self.pool.len() > 0;
        }
    }

    /// It has got quiet: what a burst has left behind goes back to the system.
    fn give_back(&self) {
        self.timers.trim();
        if let Ok(reactor) = Reactor::here() {
            reactor.trim();
        }
        memory::give_back();
    }

    /// An exchange has ended: there is something to publish at the next tick.
    pub(crate) fn stir(&self) {
        if !self.busy.replace(true)
            && let Some(waker) = self.ticking.take()
        {
            waker.wake();
        }
    }

    /// The worker's metrics.
    pub(crate) fn metrics(&self) -> &WorkerMetrics {
        self.recorder.metrics()
    }

    /// The limits in force.
    pub(crate) fn settings(&self) -> Rc<Settings> {
        Rc::clone(&self.settings.borrow())
    }

    /// The series of an endpoint; made when it is first used.
    pub(crate) fn series(&self, id: EndpointId, direction: &'static str) -> Option<Series> {
        let mut all = self.series.borrow_mut();
        if let Some(Some((known, series))) = all.get(id.index())
            && *known == id
        {
            return Some(series.clone());
        }
        let world = self.world.borrow();
        let endpoint = world.endpoint(id)?;
        let key = world.cluster(endpoint.cluster())?.key();
        let series = self.metrics().endpoint(&EndpointLabels {
            direction,
            namespace: &key.namespace,
            service: &key.service,
            port: key.port,
            target: endpoint.address(),
        });
        if all.len() <= id.index() {
            all.resize_with(id.index() + 1, || None);
        }
        all[id.index()] = Some((id, series.clone()));
        Some(series)
    }

    /// The series of an endpoint to which an attempt was counted.
    pub(crate) fn known_series(&self, id: EndpointId) -> Option<Series> {
        let all = self.series.borrow();
        let (_, series) = all.get(id.index())?.as_ref().filter(|(known, _)| *known == id)?;
        Some(series.clone())
    }

    /// A request or an attempt, already counted as begun, has failed without a record of its own.
    pub(crate) fn failed(&self, series: &Series, fault: Fault, status: Option<u16>) {
        let outcome = Outcome {
            status,
            grpc: None,
            classification: classify(status, None, true, Some(fault)),
            error: Some(fault.cause),
            latency: None,
            total: Duration::ZERO,
        };
        self.metrics().response(series, &outcome);
    }

    /// Whether no further connection may be taken.
    pub(crate) fn is_full(&self) -> bool {
        self.shares.total() >= self.settings.borrow().connections
    }

    /// Says why accepting is paused, not too often.
    pub(crate) fn say_paused(&self, error: &io::Error) {
        let now = clock::now();
        if self.said_paused.get().is_none_or(|last| now.since(last) >= SAY_AGAIN) {
            self.said_paused.set(Some(now));
            tracing::warn!(worker = self.index, %error, "accepting is paused");
        }
    }

    /// When the drain began; idle connections and new responses look at it.
    pub(crate) const fn draining_since(&self) -> Option<Instant> {
        self.draining.get()
    }

    /// Whether the time for the drain is over; opaque connections look at it.
    pub(crate) const fn is_cutting(&self) -> bool {
        self.cutting.get()
    }

    fn drain(&self) {
        if self.draining.get().is_some() {
            return;
        }
        self.draining.set(Some(clock::now()));
        for entrance in self.entrances.borrow().iter() {
            entrance.close();
        }
        self.timers.wake_all();
    }

    /// A connection has ended; the drain may be complete.
    pub(crate) fn connection_ended(&self) {
        if let Some(waker) = self.ended.take() {
            waker.wake();
        }
    }

    async fn drained(self: Rc<Self>, finished: impl FnOnce()) {
        poll_fn(|cx| {
            if self.connections.get() == 0 {
                return Poll::Ready(());
            }
            self.ended.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
        // The others may still hand something over.
        let alarm = self.timers.alarm();
        while self.connections.get() > 0 || !self.shares.is_deserted() {
            alarm.set(clock::now() + LOOK_AGAIN);
            alarm.passed().await;
        }
        self.recorder.flush();
        finished();
    }
}
