//! The whole machine: discovery, workers and the admin server, started together, reloaded as one
//! and drained in order.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use ringway_config::{Config, Listener};
use ringway_discovery as discovery;

use crate::admin::Admin;
use crate::cpus;
use crate::inbox::{Command, Letterbox};
use crate::lines::{self, Lines};
use crate::listen;
use crate::metrics::Registry;
use crate::seat::{Posts, Seat};
use crate::shares::Shares;
use crate::state::{AdminState, Readiness, Shown};

pub use crate::metrics::{EndpointTotals, Histogram};

/// Blocks of access log lines that may wait for the writer.
const LOG_BLOCKS: usize = 64;
/// How long workers may take to cut connections when the time for a drain is over.
const CUT_PATIENCE: Duration = Duration::from_millis(250);
/// How long the access log may take to be written at the end.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// A running proxy.
pub struct Machine {
    config: Arc<Config>,
    addresses: Vec<(Arc<str>, SocketAddr)>,
    letterboxes: Arc<[Letterbox]>,
    discovery: Arc<discovery::Handle>,
    admin: Option<Admin>,
    registry: Registry,
    shown: Arc<Shown>,
    readiness: Arc<Readiness>,
    access_log: Option<lines::Writer>,
    finished: Receiver<()>,
    shares: Arc<Shares>,
}

/// Why a machine could not be started, or not be reloaded.
#[derive(Debug)]
pub struct StartError {
    doing: String,
    source: io::Error,
}

impl StartError {
    fn new(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self { doing, source }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.source)
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// What a reload did.
#[derive(Debug)]
pub struct Reloaded {
    /// Keys that changed and take effect only at the next start.
    pub restart: Vec<&'static str>,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the new configuration is in force")?;
        if !self.restart.is_empty() {
            write!(f, "; after the next start only: {}", self.restart.join(", "))?;
        }
        Ok(())
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy)]
pub struct Drained {
    /// All work was finished; otherwise the time was over first.
    pub clean: bool,
    /// Connections that were still open then.
    pub left: usize,
}

impl Machine {
    /// Starts everything. The listeners accept when this returns; whether there is a first
    /// snapshot, [`Self::wait_ready`] says.
    ///
    /// # Errors
    /// When an address cannot be listened on, or a thread or event loop cannot be set up.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let plan = cpus::plan(&cpus::allowance(), config.workers.count, config.workers.pin);
        tracing::info!(%plan, "workers");
        let registry = Registry::new(plan.workers);
        let shares = Arc::new(Shares::new(plan.workers));
        let readiness = Arc::new(Readiness::new(plan.workers));
        let (lines, access_log) = access_log(&config)?;
        let mut listening = Vec::new();
        for listener in &config.listeners {
            listening.push((listener.clone(), bind(listener, plan.workers, false)?));
        }
        let mut posts =
            Posts::open(plan.workers).map_err(StartError::new("cannot open mailboxes"))?;
        let letterboxes: Arc<[Letterbox]> = posts.letterboxes.into();
        let config = Arc::new(config);
        let (finishing, finished) = bounded(plan.workers);
        let (starting, started) = bounded(plan.workers);
        let (asker, asked) = discovery::asker();
        for index in 0..plan.workers {
            let seat = Seat {
                index,
                core: plan.core(index),
                config: Arc::clone(&config),
                registry: registry.clone(),
                lines: lines.clone(),
                shares: Arc::clone(&shares),
                readiness: Arc::clone(&readiness),
                letterboxes: Arc::clone(&letterboxes),
                asker: asker.clone(),
                mailbox: posts.mailboxes.remove(0),
                inbox: posts.inboxes.remove(0),
                started: starting.clone(),
                finishing: finishing.clone(),
            };
            seat.take().map_err(StartError::new("cannot start a worker"))?;
        }
        for _ in 0..plan.workers {
            let said = started.recv().unwrap_or_else(|_| Err(io::Error::other("it ended")));
            said.map_err(StartError::new("cannot set up a worker"))?;
        }
        let settings = discovery::Settings::from(&*config);
        let discovery = discovery::spawn_asked(settings, posts.publishers, asked)
            .map_err(StartError::new("cannot start discovery"))?;
        let shown = Arc::new(Shown::new(&config));
        let mut machine = Self {
            addresses: Vec::new(),
            letterboxes,
            discovery: Arc::new(discovery),
            admin: None,
            registry,
            shown,
            readiness,
            access_log,
            finished,
            shares,
            config,
        };
        for (listener, (address, sockets)) in listening {
            machine.listen(listener, address, sockets);
        }
        machine.start_admin()?;
        Ok(machine)
    }

    fn start_admin(&mut self) -> Result<(), StartError> {
        let Some(address) = self.config.admin.address else { return Ok(()) };
        let state = AdminState {
            registry: self.registry.clone(),
            letterboxes: Arc::clone(&self.letterboxes),
            readiness: Arc::clone(&self.readiness),
            shown: Arc::clone(&self.shown),
            discovery: Arc::clone(&self.discovery),
        };
        let doing = format!("cannot serve admin on {address}");
        let admin =
            crate::admin::start(address, Arc::new(state)).map_err(StartError::new(doing))?;
        tracing::info!(address = %admin.address(), "admin");
        self.admin = Some(admin);
        Ok(())
    }

    fn listen(&mut self, listener: Listener, address: SocketAddr, sockets: Vec<OwnedFd>) {
        tracing::info!(listener = %listener.name, %address, "listening");
        self.addresses.push((Arc::from(listener.name.as_str()), address));
        for (letterbox, socket) in self.letterboxes.iter().zip(sockets) {
            let _ = letterbox.put(Command::Listen(Box::new(listener.clone()), socket));
        }
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for letterbox in self.letterboxes.iter() {
            let _ = letterbox.put(command());
        }
    }

    /// The listeners' names and addresses; a port 0 in the configuration is resolved here.
    #[must_use]
    pub fn addresses(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.addresses
    }

    /// Where the admin server listens.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::address)
    }

    /// What the endpoints have seen so far.
    #[must_use]
    pub fn totals(&self) -> Vec<EndpointTotals> {
        self.registry.totals()
    }

    /// Waits until every worker has adopted its first snapshot, `limit` at the most.
    #[must_use]
    pub fn wait_ready(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while !self.readiness.is_ready() {
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Puts `config` in force: all of it, or, when a new address cannot be listened on, nothing.
    /// Listeners that stay keep their connections.
    ///
    /// # Errors
    /// When a new listener cannot be bound; the old configuration keeps serving.
    pub fn reload(&mut self, config: Config) -> Result<Reloaded, StartError> {
        let change = ringway_config::change(&self.config, &config);
        let mut opened = Vec::new();
        let moved = change.changed.iter().filter(|c| c.rebind).map(|c| &c.listener);
        for listener in change.added.iter().chain(moved.clone()) {
            let ours = self.addresses.iter().any(|(_, address)| *address == listener.address);
            opened.push((listener.clone(), bind(listener, self.letterboxes.len(), ours)?));
        }
        for name in change.removed.iter().chain(moved.map(|listener| &listener.name)) {
            self.addresses.retain(|(known, _)| **known != **name);
            self.tell(|| Command::Unlisten(Arc::from(name.as_str())));
        }
        for changed in change.changed.iter().filter(|c| !c.rebind) {
            self.tell(|| Command::Change(Box::new(changed.listener.clone())));
        }
        for (listener, (address, sockets)) in opened {
            self.listen(listener, address, sockets);
        }
        let config = Arc::new(config);
        self.tell(|| Command::Settings(Arc::clone(&config)));
        self.discovery.replace(discovery::Settings::from(&*config));
        self.shown.replace(&config);
        if let Some(log) = &self.access_log {
            // It may have been rotated.
            log.reopen();
        }
        self.config = config;
        Ok(Reloaded { restart: change.restart })
    }

    /// Ends in order: not ready any more, no new connections, work under way finished. Waits for
    /// that up to `grace`.
    #[must_use]
    pub fn drain(mut self, grace: Duration) -> Drained {
        self.readiness.leave();
        self.tell(|| Command::Drain);
        let until = Instant::now() + grace;
        let clean = self.finished_by(until);
        let left = if clean { 0 } else { self.shares.total() };
        if !clean {
            self.tell(|| Command::Cut);
            self.finished_by(Instant::now() + CUT_PATIENCE);
        }
        if let Some(log) = self.access_log.take() {
            log.close(LOG_PATIENCE);
        }
        Drained { clean, left }
    }

    /// Whether every worker has finished before `until`.
    fn finished_by(&self, until: Instant) -> bool {
        (0..self.letterboxes.len()).all(|_| self.finished.recv_deadline(until).is_ok())
    }
}

type Bound = (SocketAddr, Vec<OwnedFd>);

fn bind(listener: &Listener, workers: usize, ours: bool) -> Result<Bound, StartError> {
    let doing = format!("listener {}: cannot listen on {}", listener.name, listener.address);
    listen::bind(listener.address, workers, ours).map_err(StartError::new(doing))
}

fn access_log(config: &Config) -> Result<(Option<Lines>, Option<lines::Writer>), StartError> {
    if config.access_log.format == ringway_config::AccessFormat::Off {
        return Ok((None, None));
    }
    let opened = lines::start("access-log", &config.access_log.sink, LOG_BLOCKS);
    let (lines, writer) = opened.map_err(StartError::new("cannot open the access log"))?;
    Ok((Some(lines), Some(writer)))
}
