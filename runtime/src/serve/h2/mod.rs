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
use ::h2::server::Builder;
use ringway_config::Http2;
use ringway_core::message::{Cause, Fault, Stage};
use ringway_core::wire::h2::flood::{Allowances, Frames};

use crate::accept::Entrance;
use crate::clock;
use crate::connection::survives;
use crate::h2::{Chunk, Link, Wire, closed};
use crate::metrics::Counter;
use crate::pace::{Limit, Pace};
use crate::serve::{LINGER, LINGER_READS, Parts};
use crate::settings::Settings;
use crate::worker::Worker;
use limits::Limits;
use stream::Stream;

type Connection = ::h2::server::Connection<Wire, Chunk>;
type Request = (http::Request<::h2::RecvStream>, ::h2::server::SendResponse<Chunk>);

/// Serves a client that speaks HTTP/2, until either side ends the connection.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    entrance: &Rc<Entrance>,
    parts: Parts,
    peer: SocketAddr,
) {
    let (reader, early) = parts.incoming.into_reader();
    let halves = (reader, parts.outgoing.into_writer());
    let settings = worker.settings();
    let frames = Frames::of_client(allowances(&settings.http2), clock::recent());
    let link = Link::new(halves, early, frames, settings.http2.send_bytes);
    let pace = Pace::new(&worker.timers);
    let late = Fault::client(Stage::Head, Cause::IdleTimeout);
    pace.within(Limit::Request, settings.timeouts.head, late);
    let shake = pin!(builder(&settings.http2, &settings).handshake(Wire(Rc::clone(&link))));
    let shaken = pace.keep(shake).await;
    pace.clear_all();
    match shaken {
        Ok(Ok(connection)) => {
            let place = Place { worker, entrance, peer };
            let open = Rc::<Open>::default();
            Driver::new(place, &link, connection, open, &settings).drive().await;
        }
        Ok(Err(error)) => {
            if error.is_library() {
                worker.metrics().count(closed::failed(&error));
            }
            // Without a GOAWAY: it may be no HTTP/2 (RFC 9113 3.4).
            link.shutdown();
        }
        Err(_) => link.shutdown(),
    }
    count(&link, entrance, &Cell::new((0, 0)));
    linger(&link, &pace).await;
}

const fn allowances(limits: &Http2) -> Allowances {
    Allowances { control: limits.control_frames, resets: limits.resets }
}

/// A setting of the protocol; the configuration's bounds see to it that it fits.
fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(i32::MAX as u32)
}

fn builder(limits: &Http2, settings: &Settings) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        .initial_window_size(size(limits.stream_window))
        .initial_connection_window_size(size(limits.connection_window))
        .max_send_buffer_size(limits.send_bytes)
        .max_header_list_size(size(settings.head.head_bytes))
        .max_local_error_reset_streams(Some(limits.stream_errors));
    builder
}

/// Tells the metrics what has passed since the last time.
fn count(link: &Link, entrance: &Entrance, counted: &Cell<(u64, u64)>) {
    let now = link.passed();
    let before = counted.replace(now);
    entrance.series.read((now.0 - before.0) as usize);
    entrance.series.wrote((now.1 - before.1) as usize);
}

/// Lets the client finish, now that our direction has ended.
async fn linger(link: &Link, pace: &Pace) {
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
    counted: Cell<(u64, u64)>,
    leaving: bool,
    /// The last word was said.
    closing: bool,
}

impl<'a> Driver<'a> {
    fn new(
        place: Place<'a>,
        link: &'a Rc<Link>,
        connection: Connection,
        open: Rc<Open>,
        settings: &Settings,
    ) -> Self {
        let limits = Limits::new(&place.worker.timers, settings);
        let counted = Cell::new((0, 0));
        Self { place, link, connection, open, limits, counted, leaving: false, closing: false }
    }

    async fn drive(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
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
                Poll::Ready(Some(Ok(request))) => self.begin(request),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Ready(Some(Err(error))) => {
                    self.failed(&error);
                    return Poll::Ready(());
                }
                Poll::Pending => {
                    if self.look_around(cx).is_ready() {
                        return Poll::Ready(());
                    }
                    if !std::mem::take(&mut self.limits.again) {
                        count(self.link, self.place.entrance, &self.counted);
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn begin(&self, (request, respond): Request) {
        let Place { worker, entrance, peer } = self.place;
        let serving = Serving::new(&self.open);
        let via = entrance.settings.borrow().via;
        let (worker, entrance) = (Rc::clone(worker), Rc::clone(entrance));
        let mut stream = Stream::new(request, respond, self.link, (&worker, via));
        monoio::spawn(async move {
            let blocks = worker.stream_blocks.clone();
            let mut served = pin!(blocks.place(|| stream.serve(&worker, &entrance, peer)));
            if survives(served.as_mut()).await.is_none() {
                worker.metrics().count(Counter::Panics);
                tracing::error!(%peer, "a panic ended this stream; the others go on");
            }
            drop(serving);
        });
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
        if !self.leaving && worker.draining_since().is_some() {
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
