//! A worker's thread: pinned, with an event loop made on it, and then the worker until it ends.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::Sender;
use ringway_config::Config;
use ringway_discovery::Asker;
use ringway_discovery::mailbox::{self, Mailbox};

use crate::access_log::AccessLog;
use crate::batch::Batch;
use crate::cpus;
use crate::inbox::{self, Inbox, Letterbox};
use crate::lines::Lines;
use crate::metrics::{Driver, Registry};
use crate::reactor::Reactor;
use crate::ring::{self, Rung};
use crate::shares::Shares;
use crate::state::Readiness;
use crate::worker::{Start, Worker};

/// Both ends of every worker's mailbox and inbox.
pub(crate) struct Posts {
    pub(crate) publishers: Vec<mailbox::Publisher>,
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) letterboxes: Vec<Letterbox>,
    pub(crate) inboxes: Vec<Inbox>,
}

impl Posts {
    pub(crate) fn open(workers: usize) -> io::Result<Self> {
        let mut posts = Self {
            publishers: Vec::new(),
            mailboxes: Vec::new(),
            letterboxes: Vec::new(),
            inboxes: Vec::new(),
        };
        for _ in 0..workers {
            let (publisher, mailbox) = mailbox::pair()?;
            posts.publishers.push(publisher);
            posts.mailboxes.push(mailbox);
            let (letterbox, inbox) = inbox::pair()?;
            posts.letterboxes.push(letterbox);
            posts.inboxes.push(inbox);
        }
        Ok(posts)
    }
}

/// The exit status when a worker has met a bug; sysexits' EX_SOFTWARE.
const BUG: i32 = 70;

/// Everything that a worker's thread takes with it.
pub(crate) struct Seat {
    pub(crate) index: usize,
    pub(crate) core: Option<usize>,
    pub(crate) config: Arc<Config>,
    pub(crate) registry: Registry,
    pub(crate) lines: Option<Lines>,
    pub(crate) shares: Arc<Shares>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) letterboxes: Arc<[Letterbox]>,
    pub(crate) asker: Asker,
    pub(crate) mailbox: Mailbox,
    pub(crate) inbox: Inbox,
    pub(crate) started: Sender<io::Result<()>>,
    pub(crate) finishing: Sender<()>,
}

impl Seat {
    /// Starts the thread.
    pub(crate) fn take(self) -> io::Result<()> {
        let name = format!("worker-{}", self.index);
        thread::Builder::new().name(name).spawn(move || self.work())?;
        Ok(())
    }

    fn work(self) {
        let index = self.index;
        if let Some(core) = self.core
            && !cpus::pin(core)
        {
            tracing::warn!(worker = index, core, "cannot be pinned");
        }
        // The ring belongs to the thread that makes it.
        let (mut event_loop, report) = match ring::build(self.config.workers.driver) {
            Ok(built) => built,
            Err(error) => return drop(self.started.send(Err(error))),
        };
        tracing::info!(worker = index, driver = %report, "event loop");
        let batch = Batch::new(ring::for_batches(report.rung));
        if let Err(error) = Reactor::install(report.rung != Rung::Epoll, batch) {
            return drop(self.started.send(Err(error)));
        }
        let metrics = self.registry.worker(index);
        metrics.driver(Driver {
            name: report.rung.driver(),
            flags: String::from(report.rung.flags()),
        });
        let _ = self.started.send(Ok(()));
        let format = self.config.access_log.format;
        let worker = Start {
            index,
            access_log: self.lines.and_then(|lines| AccessLog::new(format, lines)),
            config: self.config,
            metrics,
            asker: self.asker,
            shares: self.shares,
            readiness: self.readiness,
            letterboxes: self.letterboxes,
            seed: RandomState::new().build_hasher().finish(),
        };
        let (mailbox, inbox) = (self.mailbox, self.inbox);
        let finishing = self.finishing;
        let run = async move {
            let finished = move || {
                // Nobody listens after a drain that has run out of time.
                let _ = finishing.send(());
            };
            Worker::new(worker).run(mailbox, inbox, finished).await
        };
        // Connections catch their own panics; one in the worker's own tasks leaves it half alive.
        match catch_unwind(AssertUnwindSafe(|| event_loop.block_on(run))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(worker = index, %error, "ended"),
            Err(_) => {
                tracing::error!(worker = index, "a bug ended this worker, and so the process");
                process::exit(BUG);
            }
        }
    }
}
