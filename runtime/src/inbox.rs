//! What other threads tell a worker: a channel that nobody waits on, and a byte that wakes.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use ringway_config::{Config, Listener};

use crate::beliefs::Beliefs;

/// A message to a worker.
pub(crate) enum Command {
    /// Serve this connection, which another worker accepted.
    Connection {
        /// The client's socket.
        socket: OwnedFd,
        /// Its address.
        peer: SocketAddr,
        /// Which listener it came in by.
        listener: Arc<str>,
    },
    /// Accept on this socket; replaces the settings of a listener of the same name.
    Listen(Box<Listener>, OwnedFd),
    /// A listener that stays has new settings.
    Change(Box<Listener>),
    /// Stop accepting on the listener of this name.
    Unlisten(Arc<str>),
    /// Limits and time-outs have changed.
    Settings(Arc<Config>),
    /// Tell what you believe.
    Inspect(Sender<Beliefs>),
    /// Finish what is under way, then end.
    Drain,
    /// The time for that is over: what would look whole to its peers when the process ends is cut.
    Cut,
}

/// The sending end; one for each worker, shared by all threads.
#[derive(Clone)]
pub(crate) struct Letterbox {
    commands: Sender<Command>,
    wake: Arc<UnixStream>,
}

impl Letterbox {
    /// Hands over a message; gives it back when the worker is gone.
    pub(crate) fn put(&self, command: Command) -> Result<(), Command> {
        self.commands.send(command).map_err(|refused| refused.0)?;
        // A full pipe means that a wake is pending.
        let _ = (&*self.wake).write(&[1]);
        Ok(())
    }
}

/// The receiving end.
pub(crate) struct Inbox {
    pub(crate) commands: Receiver<Command>,
    pub(crate) wake: UnixStream,
}

/// Both ends of a worker's inbox.
///
/// # Errors
/// When there is no file descriptor left for the socket pair.
pub(crate) fn pair() -> io::Result<(Letterbox, Inbox)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let (sender, receiver) = unbounded();
    let letterbox = Letterbox { commands: sender, wake: Arc::new(ours) };
    Ok((letterbox, Inbox { commands: receiver, wake: theirs }))
}
