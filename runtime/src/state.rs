//! What the admin server shows, gathered from all threads when somebody asks.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use ringway_config::Config;
use serde_json::{Value, json};

use crate::admin::State;
use crate::beliefs::Beliefs;
use crate::inbox::{Command, Letterbox};
use crate::log;
use crate::metrics::{Registry, discovery_text};

/// How long a worker may take to say what it believes.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether traffic is welcome: every worker has adopted a snapshot, and none is leaving.
pub(crate) struct Readiness {
    waiting: AtomicUsize,
    leaving: AtomicBool,
}

impl Readiness {
    /// Not ready before each of `workers` has [`Self::adopted`].
    pub(crate) const fn new(workers: usize) -> Self {
        Self { waiting: AtomicUsize::new(workers), leaving: AtomicBool::new(false) }
    }

    /// A worker has adopted its first snapshot.
    pub(crate) fn adopted(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// The drain begins.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// See [`Readiness`].
    pub(crate) fn is_ready(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0 && !self.leaving.load(Ordering::Relaxed)
    }
}

/// The configuration in force, as it is shown.
pub(crate) struct Shown(Mutex<String>);

impl Shown {
    pub(crate) fn new(config: &Config) -> Self {
        Self(Mutex::new(text(config)))
    }

    pub(crate) fn replace(&self, config: &Config) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text(config);
    }
}

fn text(config: &Config) -> String {
    serde_json::to_string_pretty(config).unwrap_or_default()
}

/// Access to everything that is shown.
pub(crate) struct AdminState {
    pub(crate) registry: Registry,
    pub(crate) letterboxes: Arc<[Letterbox]>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) shown: Arc<Shown>,
    pub(crate) discovery: Arc<ringway_discovery::Handle>,
}

impl State for AdminState {
    fn ready(&self) -> bool {
        self.readiness.is_ready()
    }

    fn config_json(&self) -> String {
        self.shown.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn endpoints_json(&self) -> String {
        let until = Instant::now() + PATIENCE;
        let (reply, replies) = bounded(self.letterboxes.len());
        for letterbox in self.letterboxes.iter() {
            let _ = letterbox.put(Command::Inspect(reply.clone()));
        }
        drop(reply);
        let mut workers: Vec<Beliefs> =
            std::iter::from_fn(|| replies.recv_deadline(until).ok()).collect();
        workers.sort_by_key(Beliefs::worker);
        let workers: Vec<Value> = workers.iter().map(Beliefs::to_json).collect();
        let shown = json!({ "workers": workers, "discovery": self.discovery.status() });
        serde_json::to_string_pretty(&shown).unwrap_or_default()
    }

    fn discovery_json(&self) -> String {
        serde_json::to_string_pretty(&self.discovery.status()).unwrap_or_default()
    }

    fn log_level(&self) -> Option<String> {
        log::level()?.get()
    }

    fn set_log_level(&self, level: &str) -> Result<(), String> {
        let current = log::level().ok_or("there is no log")?;
        current.set(level).map_err(|error| error.to_string())
    }

    fn metrics_text(&self) -> String {
        self.registry.text() + &discovery_text(&self.discovery.status())
    }
}
