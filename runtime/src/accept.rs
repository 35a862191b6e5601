//! Step 1 of the way of a request: takes connections and gives each to the worker with the fewest.
//! Without a free descriptor it pauses instead of spinning.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use ringway_config::{Kind, Listener};

use crate::clock;
use crate::connection;
use crate::inbox::Command;
use crate::metrics::{Counter, ListenerLabels, Series};
use crate::socket;
use crate::worker::Worker;

/// Connections taken before everybody else gets a turn.
const BATCH: usize = 32;
/// How long accepting rests when there is no descriptor left, or too many connections.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener as one worker knows it; connections keep the settings they began with.
pub(crate) struct Entrance {
    pub(crate) name: Arc<str>,
    pub(crate) settings: RefCell<Rc<Listener>>,
    pub(crate) series: Series,
    closed: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Entrance {
    pub(crate) fn new(listener: Listener, worker: &Worker) -> Self {
        let labels = ListenerLabels {
            direction: direction(listener.kind),
            listener: &listener.name,
            address: listener.address,
        };
        Self {
            name: Arc::from(listener.name.as_str()),
            series: worker.metrics().listener(&labels),
            settings: RefCell::new(Rc::new(listener)),
            closed: Cell::new(false),
            waker: Cell::new(None),
        }
    }

    /// Ends accepting; connections live on.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether anything may still come in by it, or is being served that did.
    pub(crate) fn is_in_use(self: &Rc<Self>) -> bool {
        !self.closed.get() || Rc::strong_count(self) > 1
    }
}

/// Linkerd's `direction` label.
pub(crate) const fn direction(kind: Kind) -> &'static str {
    match kind {
        Kind::Inbound => "inbound",
        Kind::Gateway | Kind::Outbound => "outbound",
    }
}

/// Accepts until the entrance is closed. What then still waits in the backlog is served: its
/// handshake is done, so the client counts on it.
pub(crate) async fn run(worker: Rc<Worker>, entrance: Rc<Entrance>, socket: socket::Listener) {
    loop {
        let open = poll_fn(|cx| {
            if entrance.closed.get() {
                return Poll::Ready(false);
            }
            entrance.waker.set(Some(cx.waker().clone()));
            socket.poll_readable(cx).map(|()| true)
        })
        .await;
        let limit = if open { BATCH } else { usize::MAX };
        if let Some(error) = take(&worker, &entrance, &socket, limit)
            && open
        {
            pause(&worker, &error).await;
        }
        if !open {
            drop(socket);
            worker.shares.close_door();
            return;
        }
    }
}

/// Takes up to `limit` connections; the error is one that asks for a pause.
fn take(
    worker: &Rc<Worker>,
    entrance: &Rc<Entrance>,
    socket: &socket::Listener,
    limit: usize,
) -> Option<io::Error> {
    for _ in 0..limit {
        if worker.is_full() {
            return Some(io::Error::other("the limit of connections is reached"));
        }
        match socket.try_accept() {
            Ok((fd, peer)) => {
                worker.metrics().count(Counter::Accepted);
                place(worker, entrance, fd, peer);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) if asks_for_a_pause(&error) => return Some(error),
            // The client has left again, or its packets met an error: the next one may be fine.
            Err(_) => {}
        }
    }
    None
}

fn asks_for_a_pause(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

async fn pause(worker: &Worker, error: &io::Error) {
    worker.metrics().count(Counter::AcceptPaused);
    worker.say_paused(error);
    let alarm = worker.timers.alarm();
    alarm.set(clock::now() + PAUSE);
    alarm.passed().await;
}

/// Gives a connection to the worker with the fewest.
fn place(worker: &Rc<Worker>, entrance: &Rc<Entrance>, socket: OwnedFd, peer: SocketAddr) {
    let chosen = worker.shares.assign(worker.index);
    if chosen == worker.index {
        return connection::spawn(worker, entrance, socket, peer);
    }
    let listener = Arc::clone(&entrance.name);
    match worker.letterboxes[chosen].put(Command::Connection { socket, peer, listener }) {
        Ok(()) => worker.metrics().count(Counter::HandedOff),
        Err(Command::Connection { socket, peer, .. }) => {
            // That worker has ended: serve it here.
            worker.shares.release(chosen);
            worker.shares.add(worker.index);
            connection::spawn(worker, entrance, socket, peer);
        }
        Err(_) => {}
    }
}
