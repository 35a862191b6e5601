//! One client connection, from its socket to its end: what it speaks decides who serves it. A panic
//! ends this connection and nothing else.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use ringway_core::message::{Blame, Fault};

use crate::accept::Entrance;
use crate::clock;
use crate::metrics::{Counter, Decision, Gauge};
use crate::opaque;
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
        let spoken = serve::spoken(&open.worker, &open.entrance);
        let detected = survives(pin!(client.detect(&open.worker, spoken))).await;
        if let Some(Some(decision)) = detected {
            open.entrance.series.decided(decision);
        }
        // Only HTTP/1's future is part of this one: that of any other protocol is placed apart, so
        // that an idle connection is no larger than the protocol that most of them speak.
        let survived = match detected {
            None => None,
            Some(None) => Some(()),
            Some(Some(Decision::Http1)) => {
                survives(pin!(client.serve(&open.worker, &open.entrance))).await
            }
            Some(Some(Decision::Http2)) => {
                let served =
                    serve::h2::serve(&open.worker, &open.entrance, client.into_parts(), peer);
                survives(Box::pin(served).as_mut()).await
            }
            Some(Some(decision)) => {
                let whose = (&open.worker, &open.entrance, peer);
                let carried = opaque::serve(client.into_parts(), decision, whose);
                let fault = survives(Box::pin(carried).as_mut()).await;
                fault.map(|fault| open.fault.set(fault))
            }
        };
        if survived.is_none() {
            open.worker.metrics().count(Counter::Panics);
            tracing::error!(%peer, "a panic ended this connection; the others go on");
        }
    });
}

/// What `future` gives; `None` when it has panicked.
pub(crate) async fn survives<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    poll_fn(|cx| {
        // What the connection touched is its own, or is left consistent by its guards.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// Counts a connection while it lives.
struct Open {
    worker: Rc<Worker>,
    entrance: Rc<Entrance>,
    /// What ended it, if that was not its protocol.
    fault: Cell<Option<Fault>>,
}

impl Open {
    fn new(worker: Rc<Worker>, entrance: Rc<Entrance>) -> Self {
        entrance.series.opened();
        worker.connections.set(worker.connections.get() + 1);
        worker.metrics().set(Gauge::Connections, worker.connections.get() as u64);
        Self { worker, entrance, fault: Cell::new(None) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let fault = self.fault.get().filter(|fault| fault.blame == Blame::Client);
        let error = fault.and_then(opaque::errno).map(io::Error::from);
        self.entrance.series.closed(error.as_ref());
        let worker = &self.worker;
        worker.shares.release(worker.index);
        worker.connections.set(worker.connections.get() - 1);
        worker.metrics().set(Gauge::Connections, worker.connections.get() as u64);
        worker.connection_ended();
        worker.stir();
    }
}
