//! Idle connections to endpoints, kept for the next exchange. Each stays armed: what arrives on
//! it while it idles is an end or a violation, and either way it is not used again.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringway_core::cluster::EndpointId;
use ringway_core::message::Blame;
use ringway_core::time::Instant;

use crate::buffer::Buffers;
use crate::clock;
use crate::h1::{Incoming, Outgoing};
use crate::metrics::Series;
use crate::socket::{Reader, Writer};
use crate::timers::Timers;

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// A connection to an endpoint.
pub(crate) struct Upstream {
    pub(crate) endpoint: EndpointId,
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
    /// It has carried an exchange before.
    pub(crate) reused: bool,
    series: Option<Series>,
    /// Bytes the metrics know of.
    counted: (u64, u64),
    since: Instant,
}

impl Upstream {
    pub(crate) fn new(
        endpoint: EndpointId,
        (reader, writer): (Reader, Writer),
        buffers: &Buffers,
        series: Option<Series>,
    ) -> Self {
        if let Some(series) = &series {
            series.opened();
        }
        Self {
            endpoint,
            incoming: Incoming::new(reader, buffers.clone(), Blame::Upstream),
            outgoing: Outgoing::new(writer, buffers.clone(), Blame::Upstream),
            reused: false,
            series,
            counted: (0, 0),
            since: Instant::ZERO,
        }
    }

    /// Tells the metrics what has passed since the last time.
    fn count(&mut self) {
        let now = (self.incoming.received(), self.outgoing.sent());
        let (read, written) = std::mem::replace(&mut self.counted, now);
        if let Some(series) = &self.series {
            series.read((now.0 - read) as usize);
            series.wrote((now.1 - written) as usize);
        }
    }

    /// Arms it, and says whether it has been quiet.
    fn is_quiet(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        self.incoming.poll_readable(&mut nobody).is_pending()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.count();
        if let Some(series) = &self.series {
            series.closed(None);
        }
    }
}

/// What a pool may keep.
#[derive(Clone, Copy)]
pub(crate) struct Keep {
    /// For each endpoint.
    pub(crate) connections: usize,
    /// Without use.
    pub(crate) idle: Duration,
}

/// What became of a look into the pool.
pub(crate) struct Lease {
    pub(crate) upstream: Option<Box<Upstream>>,
    /// Dead connections that were found on the way.
    pub(crate) stale: u64,
}

/// One worker's idle connections.
#[derive(Default)]
pub(crate) struct Pool {
    /// By [`EndpointId::index`]; the last used one last.
    #[allow(clippy::vec_box, reason = "a connection moves in and out for every exchange")]
    idle: RefCell<Vec<Vec<Box<Upstream>>>>,
    count: Cell<usize>,
    sweeper: Cell<Option<Waker>>,
}

impl Pool {
    /// How many are idle.
    pub(crate) const fn len(&self) -> usize {
        self.count.get()
    }

    /// The connection to `endpoint` that was used last and is still good.
    pub(crate) fn lease(&self, endpoint: EndpointId) -> Lease {
        let mut stale = 0;
        let mut idle = self.idle.borrow_mut();
        let upstream = loop {
            let Some(mut upstream) = idle.get_mut(endpoint.index()).and_then(Vec::pop) else {
                break None;
            };
            self.count.set(self.count.get() - 1);
            if upstream.endpoint == endpoint && upstream.is_quiet() {
                break Some(upstream);
            }
            stale += 1;
        };
        Lease { upstream, stale }
    }

    /// Keeps a connection whose messages were both complete.
    pub(crate) fn check_in(&self, mut upstream: Box<Upstream>, keep: Keep) {
        upstream.count();
        upstream.incoming.release();
        upstream.outgoing.release();
        if !upstream.is_quiet() {
            return;
        }
        upstream.reused = true;
        upstream.since = clock::recent();
        let mut idle = self.idle.borrow_mut();
        let index = upstream.endpoint.index();
        if idle.len() <= index {
            idle.resize_with(index + 1, Vec::new);
        }
        let same = &mut idle[index];
        if same.len() < keep.connections {
            same.push(upstream);
            self.count.set(self.count.get() + 1);
            if let Some(waker) = self.sweeper.take() {
                waker.wake();
            }
        }
    }

    /// Closes the connections of endpoints that are gone.
    pub(crate) fn remove(&self, endpoints: &[EndpointId]) {
        let mut idle = self.idle.borrow_mut();
        for endpoint in endpoints {
            if let Some(same) = idle.get_mut(endpoint.index()) {
                let before = same.len();
                same.retain(|upstream| upstream.endpoint != *endpoint);
                self.count.set(self.count.get() - (before - same.len()));
            }
        }
    }

    /// Closes connections that have been idle for too long or have died; runs for ever, and does
    /// nothing while there are none.
    pub(crate) async fn sweep(&self, timers: &Timers, keep: impl Fn() -> Keep) {
        let alarm = timers.alarm();
        loop {
            poll_fn(|cx| {
                if self.count.get() > 0 {
                    return Poll::Ready(());
                }
                self.sweeper.set(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
            let now = clock::now();
            alarm.set(now + SWEEP);
            alarm.passed().await;
            self.sweep_once(clock::now(), keep().idle);
        }
    }

    fn sweep_once(&self, now: Instant, limit: Duration) {
        let mut left = 0;
        for same in self.idle.borrow_mut().iter_mut() {
            same.retain_mut(|upstream| now.since(upstream.since) < limit && upstream.is_quiet());
            left += same.len();
            if same.is_empty() {
                same.shrink_to_fit();
            }
        }
        self.count.set(left);
    }
}
