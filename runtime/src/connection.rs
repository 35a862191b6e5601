//! One client connection, from its socket to its end. A panic ends this connection and nothing
//! else.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use crate::accept::Entrance;
use crate::clock;
use crate::metrics::{Counter, Gauge};
use crate::serve;
use crate::socket;
use crate::worker::Worker;

/// Serves a connection that is already counted among the worker's shares.
pub(crate) fn spawn(worker: &Rc<Worker>, entrance: &Rc<Entrance>, fd: OwnedFd, peer: SocketAddr) {
    // Its time limits count from here, also on a worker that has slept for long.
    clock::now();
    let open = Open::new(Rc::clone(worker), Rc::clone(entrance));
    let halves = match socket::split(fd) {
        Ok(halves) => halves,
        Err(error) => {
            tracing::warn!(%peer, %error, "a connection could not be taken up");
            return;
        }
    };
    // Made out here: what an async block makes itself is there twice, once on its way.
    let mut client = serve::Connection::new(worker, halves, peer);
    monoio::spawn(async move {
        let serving = pin!(client.serve(&open.worker, &open.entrance));
        if !survives(serving).await {
            open.worker.metrics().count(Counter::Panics);
            tracing::error!(%peer, "a panic ended this connection; the others go on");
        }
    });
}

/// Whether `future` ended without a panic.
pub(crate) async fn survives(mut future: Pin<&mut impl Future<Output = ()>>) -> bool {
    poll_fn(|cx| {
        // What the connection touched is its own, or is left consistent by its guards.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(|()| true),
            Err(_) => Poll::Ready(false),
        }
    })
    .await
}

/// Counts a connection while it lives.
struct Open {
    worker: Rc<Worker>,
    entrance: Rc<Entrance>,
}

impl Open {
    fn new(worker: Rc<Worker>, entrance: Rc<Entrance>) -> Self {
        entrance.series.opened();
        worker.connections.set(worker.connections.get() + 1);
        worker.metrics().set(Gauge::Connections, worker.connections.get() as u64);
        Self { worker, entrance }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.entrance.series.closed(None);
        let worker = &self.worker;
        worker.shares.release(worker.index);
        worker.connections.set(worker.connections.get() - 1);
        worker.metrics().set(Gauge::Connections, worker.connections.get() as u64);
        worker.connection_ended();
        worker.stir();
    }
}
