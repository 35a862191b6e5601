//! A client's connection in HTTP/2: one task drives it, and each of its streams has a task of its
//! own, so that a slow one holds up nobody else.

mod ask;
mod limits;
mod reply;
mod stream;

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ::h2::Reason;
use ringway_core::message::{Cause, Fault, Stage};

use crate::accept::Entrance;
use crate::connection::survives;
use crate::h2::{Chunk, Link, Wire, closed, is_worn, server, watch_client};
use crate::metrics::Counter;
use crate::pace::{Limit, Pace};
use crate::serve::{LINGER, LINGER_READS, Parts};
use crate::settings::Settings;
use crate::worker::Worker;
use limits::Limits;
use stream::Stream;

type Connection = ::h2::server::Connection<Wire, Chunk>;
type Request = (http::Request<::h2::RecvStream>, ::h2::server::SendResponse<Chunk>);

/// Serves a client that speaks HTTP/2, until either side ends the connection. What begins and ends
/// it has memory of its own: most of the time, a connection does neither.
pub(crate) fn serve<'a>(
    worker: &'a Rc<Worker>,
    entrance: &'a Rc<Entrance>,
    parts: Parts,
    peer: SocketAddr,
) -> impl Future<Output = ()> + 'a {
    let (reader, early) = parts.incoming.into_reader();
    let halves = (reader, parts.outgoing.into_writer());
    let limits = &worker.settings().http2;
    let is_peer = entrance.settings.borrow().peers.contains(peer.ip());
    let watch = watch_client(limits, is_peer);
    let link = Link::new(halves, early, watch, (limits.send_bytes, &worker.buffers));
    let place = Place { worker, entrance, peer, is_peer };
    async move {
        let begun = Box::pin(begin(place, &link)).await;
        match begun.map(|connection| Box::new(Driver::new(place, &link, connection))) {
            Some(mut driver) => driver.drive().await,
            None => count(&link, entrance, &Cell::new((0, 0))),
        }
        Box::pin(linger(&link, worker)).await;
    }
}

/// Shakes hands with the client.
async fn begin(place: Place<'_>, link: &Rc<Link>) -> Option<Connection> {
    let worker = place.worker;
    let settings = worker.settings();
    let pace = Pace::new(&worker.timers);
    let late = Fault::client(Stage::Head, Cause::IdleTimeout);
    pace.within(Limit::Request, settings.timeouts.head, late);
    let shake = pin!(server(&settings, place.is_peer).handshake(Wire(Rc::clone(link))));
    match pace.keep(shake).await {
        Ok(Ok(connection)) => return Some(connection),
        Ok(Err(error)) if error.is_library() => worker.metrics().count(closed::failed(&error)),
        Ok(Err(_)) | Err(_) => {}
    }
    // Without a GOAWAY: it may be no HTTP/2 (RFC 9113 3.4).
    link.shutdown();
    None
}

/// Tells the metrics what has passed since the last time.
fn count(link: &Link, entrance: &Entrance, counted: &Cell<(u64, u64)>) {
    let now = link.passed();
    let before = counted.replace(now);
    entrance.series.read((now.0 - before.0) as usize);
    entrance.series.wrote((now.1 - before.1) as usize);
}

/// Lets the client finish, now that our direction has ended.
async fn linger(link: &Link, worker: &Worker) {
    let pace = Pace::new(&worker.timers);
    pace.within(Limit::Request, LINGER, Fault::client(Stage::Relay, Cause::IdleTimeout));
    let drained = pin!(async {
        for _ in 0..LINGER_READS {
            if !matches!(link.throw_away().await, Ok(n) if n > 0) {
                break;
            }
        }
    });
    let _ = pace.keep(drained).await;
}

/// Whose connection it is.
#[derive(Clone, Copy)]
struct Place<'a> {
    worker: &'a Rc<Worker>,
    entrance: &'a Rc<Entrance>,
    peer: SocketAddr,
    /// It is another ringway.
    is_peer: bool,
}

/// The streams that are being served.
#[derive(Default)]
struct Open {
    count: Cell<usize>,
    driver: Cell<Option<Waker>>,
}

/// A stream that is being served.
struct Serving(Rc<Open>);

impl Serving {
    fn new(open: &Rc<Open>) -> Self {
        open.count.set(open.count.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let count = self.0.count.get() - 1;
        self.0.count.set(count);
        if count == 0
            && let Some(driver) = self.0.driver.take()
        {
            driver.wake();
        }
    }
}

struct Driver<'a> {
    place: Place<'a>,
    link: &'a Rc<Link>,
    connection: Connection,
    open: Rc<Open>,
    limits: Limits,
    settings: Rc<Settings>,
    counted: Cell<(u64, u64)>,
    /// Requests taken, wrapping around.
    taken: u32,
    leaving: bool,
    /// The last word was said.
    closing: bool,
}

impl<'a> Driver<'a> {
    fn new(place: Place<'a>, link: &'a Rc<Link>, connection: Connection) -> Self {
        let open = Rc::<Open>::default();
        let settings = place.worker.settings();
        let limits = Limits::new(&place.worker.timers, &settings);
        let counted = Cell::new((0, 0));
        let (taken, leaving, closing) = (0, false, false);
        Self { place, link, connection, open, limits, settings, counted, taken, leaving, closing }
    }

    async fn drive(&mut self) {
        self.link.drive();
        poll_fn(|cx| self.poll(cx)).await;
        self.link.send_rest();
        count(self.link, self.place.entrance, &self.counted);
        if self.link.stalled().is_some() {
            // There is more to say than it takes: it must not mistake the end for a good one.
            self.link.reset_on_close();
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(waker) = self.open.driver.take() {
            self.open.driver.set(Some(waker));
        } else {
            self.open.driver.set(Some(cx.waker().clone()));
        }
        loop {
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok(request))) => {
                    self.begin(request);
                    self.taken = self.taken.wrapping_add(1);
                    // It has read and written all it can before it hands out a request: when that
                    // was the last, to be told once more that there is nothing is not worth a poll.
                    if self.taken != self.link.frames(|frames| frames.blocks()) {
                        continue;
                    }
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Ready(Some(Err(error))) => {
                    self.failed(&error);
                    return Poll::Ready(());
                }
                Poll::Pending => {}
            }
            if self.look_around(cx).is_ready() {
                return Poll::Ready(());
            }
            let again = self.link.poll_rest(cx);
            if !std::mem::take(&mut self.limits.again) && !again {
                count(self.link, self.place.entrance, &self.counted);
                return Poll::Pending;
            }
        }
    }

    fn begin(&self, (request, respond): Request) {
        let Place { worker, entrance, peer, is_peer } = self.place;
        let serving = Serving::new(&self.open);
        let via = entrance.settings.borrow().via;
        let (worker, entrance) = (Rc::clone(worker), Rc::clone(entrance));
        let blocks = worker.stream_blocks.clone();
        // All of it is in the block: a task is moved when it begins and when it ends.
        monoio::spawn(blocks.place(|| {
            let mut stream = Stream::new((request, is_peer), respond, self.link, (&worker, via));
            async move {
                let mut served = pin!(stream.serve(&worker, &entrance, peer));
                if survives(served.as_mut()).await.is_none() {
                    worker.metrics().count(Counter::Panics);
                    tracing::error!(%peer, "a panic ended this stream; the others go on");
                }
                drop(serving);
            }
        }));
    }

    /// Whatever else there is to do; ready when the connection is to end without further ado.
    fn look_around(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let worker = self.place.worker;
        if self.closing {
            return self.limits.poll_closing(cx);
        }
        if let Some(flood) = self.link.flood() {
            worker.metrics().count(closed::flooded(flood));
            tracing::debug!(peer = %self.place.peer, ?flood, "flooded");
            self.close(Reason::ENHANCE_YOUR_CALM);
            return Poll::Pending;
        }
        if !self.leaving && (worker.draining_since().is_some() || self.is_worn()) {
            self.leaving = true;
            self.connection.graceful_shutdown();
            self.limits.again = true;
        }
        let idle = self.open.count.get() == 0;
        if let Poll::Ready(reason) = self.limits.poll(cx, self.link, idle, self.leaving) {
            let Some(reason) = reason else { return Poll::Ready(()) };
            self.close(reason);
        }
        Poll::Pending
    }

    /// Whether the connection is better replaced by another one, once what it carries is finished.
    fn is_worn(&self) -> bool {
        if let Some(flood) = self.link.overdone() {
            self.place.worker.metrics().count(closed::flooded(flood));
            tracing::debug!(peer = %self.place.peer, ?flood, "a peer asks too much");
            return true;
        }
        is_worn(self.link, &self.settings.http2, self.place.is_peer)
    }

    /// Says the last word, for which there is a moment.
    fn close(&mut self, reason: Reason) {
        self.closing = true;
        self.connection.abrupt_shutdown(reason);
        self.limits.close();
    }

    fn failed(&self, error: &::h2::Error) {
        if error.is_library() {
            let metrics = self.place.worker.metrics();
            metrics.count(closed::failed(error));
            tracing::debug!(peer = %self.place.peer, %error, "the connection was closed");
        }
    }
}
