//! A connection to an endpoint that carries many exchanges: the task that drives it, and when it
//! ends.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, SendStream};
use http::Request;
use ringway_config::Http2;
use ringway_core::message::{Blame, Fault, Stage};
use ringway_core::time::Instant;
use ringway_core::wire::h2::resets::{CAREFUL, Resets};

use super::chunk::Chunk;
use super::fault::fault;
use super::left::Left;
use super::link::{Link, Wire};
use super::{closed, tuned};
use crate::buffer::Buffers;
use crate::clock;
use crate::metrics::{Counter, Series};
use crate::settings::Settings;
use crate::socket::{Reader, Writer};
use crate::timers::{Alarm, Timers};

/// An endpoint that owes an answer and has been silent for so long is asked whether it lives.
const ASK_AFTER: Duration = Duration::from_secs(10);
/// And has so long to say so.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that carries many exchanges.
pub(crate) struct Carrier {
    send: SendRequest<Chunk>,
    link: Rc<Link>,
    /// Exchanges on it now, and ever.
    riding: Cell<usize>,
    carried: Cell<usize>,
    closed: Cell<bool>,
    /// What the endpoint has done that ended it.
    blamed: Cell<Option<Counter>>,
    /// No further exchange is to get on: its endpoint is gone, or it is going away.
    retired: Cell<bool>,
    /// It leads to a ringway, which expects the requests of many.
    meshed: bool,
    /// How soon streams may be given up, and those that wait for their turn.
    resets: RefCell<Resets>,
    left: RefCell<Vec<Left>>,
    /// The peer's SETTINGS are not waited for.
    trusted: Cell<bool>,
    driver: Cell<Option<Waker>>,
    /// Who waits for the peer's SETTINGS, or for a place.
    waiting: RefCell<Vec<Waker>>,
}

impl Carrier {
    /// Begins to speak HTTP/2 on a connection; with the task that has to be run for it.
    pub(super) async fn begin(
        halves: (Reader, Writer),
        settings: &Settings,
        timers: &Timers,
        (series, meshed): (Option<Series>, bool),
        buffers: &Buffers,
    ) -> Result<(Rc<Self>, impl Future<Output = ()> + 'static), Fault> {
        let limits = &settings.http2;
        let watch = tuned::watch_endpoint(limits, meshed);
        let link = Link::new(halves, Vec::new(), watch, (limits.send_bytes, buffers));
        let begun = tuned::client(settings, meshed).handshake(Wire(Rc::clone(&link))).await;
        let (send, connection) =
            begun.map_err(|error| fault(&error, Stage::Connect, Blame::Upstream))?;
        let carrier = Rc::new(Self {
            send,
            link,
            riding: Cell::new(0),
            carried: Cell::new(0),
            closed: Cell::new(false),
            blamed: Cell::new(None),
            retired: Cell::new(false),
            meshed,
            resets: RefCell::new(Resets::new(CAREFUL)),
            left: RefCell::default(),
            trusted: Cell::new(false),
            driver: Cell::new(None),
            waiting: RefCell::default(),
        });
        let driver = Driver::new(Rc::clone(&carrier), connection, settings, timers, series);
        Ok((carrier, driver.drive()))
    }

    /// What has ended it, if that was the endpoint's doing.
    pub(super) const fn blamed(&self) -> Option<Counter> {
        self.blamed.get()
    }

    pub(super) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// Sends a request's head; nothing was written when that fails.
    pub(super) fn send(
        &self,
        head: Request<()>,
        last: bool,
    ) -> Result<(ResponseFuture, SendStream<Chunk>), h2::Error> {
        self.link.frames(|frames| frames.sent(0));
        // A handle of its own waits for nobody else's stream.
        let mut send = self.send.clone();
        let mut nobody = Context::from_waker(Waker::noop());
        if let Poll::Ready(ready) = send.poll_ready(&mut nobody) {
            ready?;
        }
        send.send_request(head, last)
    }

    /// Whether the endpoint takes an extended CONNECT.
    pub(super) fn is_extended(&self) -> bool {
        self.send.is_extended_connect_protocol_enabled()
    }

    /// When a stream that is given up now may be reset.
    pub(super) fn book_reset(&self, now: Instant) -> Instant {
        self.resets.borrow_mut().book(now)
    }

    /// A stream has ended in good order, or by itself though its reset was booked.
    pub(super) fn give_back(&self) {
        self.resets.borrow_mut().give_back();
    }

    /// Goes on with a stream that nobody wants any more.
    pub(super) fn leave(&self, left: Left) {
        if !self.closed.get() {
            self.left.borrow_mut().push(left);
            self.wake_driver();
        }
    }

    /// The endpoint's SETTINGS are here.
    fn settle(&self) {
        let streams = u32::try_from(self.send.current_max_send_streams()).ok();
        if let Some(streams) = streams.filter(|_| self.meshed) {
            // A ringway lets its peers give up at once as much as it lets them open.
            self.resets.borrow_mut().allow(CAREFUL.max(streams / 2));
        }
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Whether it will carry nothing any more.
    pub(super) const fn is_gone(&self) -> bool {
        self.closed.get() || self.retired.get()
    }

    /// Whether it can carry one more exchange now.
    pub(super) fn has_place(&self) -> bool {
        let settled = self.trusted.get() || self.link.frames(|frames| frames.is_settled());
        !self.is_gone() && settled && self.riding.get() < self.send.current_max_send_streams()
    }

    /// Waits until it has a place, or never will: whether it has. After `patience` the peer's
    /// SETTINGS are no longer waited for.
    pub(super) async fn place(&self, patience: Option<&Alarm>) -> bool {
        poll_fn(|cx| {
            if patience.is_some_and(|alarm| alarm.poll(cx).is_ready()) {
                self.trusted.set(true);
            }
            if self.is_gone() || self.has_place() {
                return Poll::Ready(self.has_place());
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Lets nobody on any more.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.wake();
    }

    fn wake_driver(&self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    fn wake(&self) {
        self.wake_driver();
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}

/// An exchange's place on a connection.
pub(crate) struct Ride {
    carrier: Rc<Carrier>,
    reused: bool,
}

impl Ride {
    pub(super) fn on(carrier: &Rc<Carrier>) -> Self {
        let carried = carrier.carried.get();
        carrier.carried.set(carried + 1);
        carrier.riding.set(carrier.riding.get() + 1);
        Self { carrier: Rc::clone(carrier), reused: carried > 0 }
    }

    pub(super) fn carrier(&self) -> &Carrier {
        &self.carrier
    }

    pub(super) const fn shared(&self) -> &Rc<Carrier> {
        &self.carrier
    }

    pub(super) const fn reused(&self) -> bool {
        self.reused
    }
}

impl Drop for Ride {
    fn drop(&mut self) {
        let carrier = &self.carrier;
        let riding = carrier.riding.get() - 1;
        carrier.riding.set(riding);
        if riding == 0 {
            carrier.wake();
        } else {
            carrier.waiting.take().into_iter().for_each(Waker::wake);
        }
    }
}

struct Driver {
    carrier: Rc<Carrier>,
    connection: Connection<Wire, Chunk>,
    pings: Option<PingPong>,
    timers: Timers,
    limits: Http2,
    alarm: Alarm,
    idle: Duration,
    stall: Duration,
    series: Option<Series>,
    /// Bytes that the metrics know of.
    counted: (u64, u64),
    /// When anything was received last, when it got idle, when it was asked whether it lives.
    heard: Instant,
    idle_since: Option<Instant>,
    asked: Option<Instant>,
    settled: bool,
}

impl Driver {
    fn new(
        carrier: Rc<Carrier>,
        mut connection: Connection<Wire, Chunk>,
        settings: &Settings,
        timers: &Timers,
        series: Option<Series>,
    ) -> Self {
        let pings = connection.ping_pong();
        if let Some(series) = &series {
            series.opened();
        }
        Self {
            carrier,
            connection,
            pings,
            timers: timers.clone(),
            limits: settings.http2.clone(),
            alarm: timers.alarm(),
            idle: settings.keep.idle,
            stall: settings.timeouts.body_idle,
            series,
            counted: (0, 0),
            heard: clock::recent(),
            idle_since: None,
            asked: None,
            settled: false,
        }
    }

    async fn drive(mut self) {
        self.carrier.link.drive();
        poll_fn(|cx| self.poll(cx)).await;
        self.carrier.link.send_rest();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.carrier.driver.set(Some(cx.waker().clone()));
        loop {
            if let Poll::Ready(ended) = Pin::new(&mut self.connection).poll(cx) {
                let broken = ended.as_ref().err().filter(|error| error.is_library());
                self.carrier.blamed.set(broken.map(closed::failed));
                return Poll::Ready(());
            }
            self.count();
            if let Some(flood) = self.carrier.link.flood() {
                self.carrier.blamed.set(Some(closed::flooded(flood)));
                return Poll::Ready(());
            }
            self.look_for_wear();
            for left in self.carrier.left.take() {
                monoio::spawn(left.run_out(self.timers.alarm()));
            }
            let settled = self.carrier.link.frames(|frames| frames.is_settled());
            if settled && !self.settled {
                self.settled = true;
                self.carrier.settle();
            }
            match self.poll_limits(cx) {
                Poll::Ready(true) => return Poll::Ready(()),
                Poll::Ready(false) => {}
                Poll::Pending if self.carrier.link.poll_rest(cx) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Ready with true when the connection is to end, with false when it has to be polled again.
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let now = clock::recent();
        let riding = self.carrier.riding.get() > 0;
        if !riding && self.carrier.retired.get() {
            return Poll::Ready(true);
        }
        if let Some(pings) = &mut self.pings
            && self.asked.is_some()
            && pings.poll_pong(cx).is_ready()
        {
            self.asked = None;
            self.heard = now;
        }
        self.idle_since = if riding { None } else { self.idle_since.or(Some(now)) };
        let asking = (riding && self.asked.is_none()).then_some(self.heard + ASK_AFTER);
        let ends = [
            self.idle_since.map(|since| since + self.idle),
            self.carrier.link.stalled().map(|since| since + self.stall),
            self.asked.map(|since| since + PATIENCE),
        ];
        let end = ends.into_iter().flatten().min().unwrap_or(Instant::NEVER);
        self.alarm.set(asking.map_or(end, |asking| asking.min(end)));
        if self.alarm.poll(cx).is_pending() {
            return Poll::Pending;
        }
        if end <= now {
            return Poll::Ready(true);
        }
        self.asked = Some(now);
        let asked = self.pings.as_mut().map(|pings| pings.send_ping(Ping::opaque()));
        Poll::Ready(!matches!(asked, Some(Ok(()))))
    }

    /// Lets nobody on any more when the endpoint asks too much; who is on it gets there.
    fn look_for_wear(&self) {
        let (carrier, link) = (&self.carrier, &self.carrier.link);
        if carrier.retired.get() {
            return;
        }
        if let Some(flood) = link.overdone() {
            carrier.blamed.set(Some(closed::flooded(flood)));
        }
        if link.overdone().is_some() || tuned::is_worn(link, &self.limits, carrier.meshed) {
            carrier.retired.set(true);
        }
    }

    /// Tells the metrics what has passed since the last time.
    fn count(&mut self) {
        let now = self.carrier.link.passed();
        let (read, written) = std::mem::replace(&mut self.counted, now);
        if now.0 > read {
            self.heard = clock::recent();
        }
        if let Some(series) = &self.series {
            series.read((now.0 - read) as usize);
            series.wrote((now.1 - written) as usize);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.count();
        if let Some(series) = &self.series {
            series.closed(None);
        }
        self.carrier.closed.set(true);
        drop(self.carrier.left.take());
        self.carrier.wake();
    }
}
