//! The running discovery thread, as seen by the rest of the process.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::asker::{Asked, asker};
use crate::mailbox::Publisher;
use crate::settings::Settings;
use crate::source::kubernetes::Board;
use crate::status::Status;
use crate::thread::{self, Command};

/// How far the thread, and those it starts, stand behind the workers they may share a core with.
/// Ten is a weight of a tenth: a worker that wakes goes first, and one that is never idle still
/// leaves a tenth of its core, so that its picture does not go stale.
const NICE: i32 = 10;

/// The running discovery thread. Dropping it stops the thread.
#[derive(Debug)]
pub struct Handle {
    commands: UnboundedSender<Command>,
    status: Arc<Mutex<Status>>,
    board: Board,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread, which publishes to `publishers`, one for each worker.
///
/// Nothing is published before every source has shown its whole picture once: a directory of
/// manifests with an error in it keeps the workers waiting (run [`crate::check`] first). Only DNS
/// is not waited for longer than 3 s.
///
/// # Errors
/// When the thread or its event loop cannot be made.
pub fn spawn(settings: Settings, publishers: Vec<Publisher>) -> io::Result<Handle> {
    spawn_asked(settings, publishers, asker().1)
}

/// The same with workers that ask for what they do not know.
///
/// # Errors
/// See [`spawn`].
pub fn spawn_asked(
    settings: Settings,
    publishers: Vec<Publisher>,
    asked: Asked,
) -> io::Result<Handle> {
    let (commands, received) = unbounded_channel();
    let status = Arc::new(Mutex::new(Status::default()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shared = status.clone();
    let board = Board::default();
    let watches = board.clone();
    let thread = std::thread::Builder::new().name(String::from("discovery")).spawn(move || {
        give_way();
        runtime.block_on(thread::run(settings, publishers, (received, asked), shared, watches));
    })?;
    Ok(Handle { commands, status, board, thread: Some(thread) })
}

/// Lowers the calling thread's priority.
fn give_way() {
    let thread = Some(rustix::thread::gettid());
    if let Err(error) = rustix::process::setpriority_process(thread, NICE) {
        tracing::warn!(%error, "discovery cannot give way to the workers");
    }
}

impl Handle {
    /// Takes new settings (a reload); a new snapshot follows when their sources are complete.
    pub fn replace(&self, settings: Settings) {
        let _ = self.commands.send(Command::Replace(Box::new(settings)));
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.board.fill(&mut status);
        status
    }

    /// Whether the thread is running; it ends only when told to, or by a bug.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends the thread and waits for it.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the discovery thread panicked");
        }
    }
}
