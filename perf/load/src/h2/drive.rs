//! The loop of one thread in HTTP/2: every connection has places for streams, and each place is
//! what a connection is in HTTP/1.1: it asks, waits for its answer, and has its turns.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;

use super::session::{Ending, Session};
use crate::connection::{slot, token};
use crate::drive::{Live, Orders};
use crate::ledger::{Ledger, Sent};
use crate::plan::Plan;
use crate::poller::{Poller, Ready};
use crate::request::Book;
use crate::socket::{self, Moved};
use crate::tally::Tally;

/// Time limits are checked, and rates sampled, this often.
const SWEEP: u64 = 100_000_000;

/// Bytes received at once.
const INPUT: usize = 256 * 1024;

/// One connection.
pub(super) struct Connection {
    /// None while it is closed: the next sweep opens it.
    pub(super) socket: Option<OwnedFd>,
    pub(super) session: Session,
    /// Sockets it has had: events of earlier ones are told by it.
    life: u32,
    /// Something was queued since it was last sent.
    queued: bool,
    /// What is queued waits for room in the socket.
    blocked: bool,
    /// When it was opened: nanoseconds of the run.
    pub(super) since: u64,
}

/// A place for a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) busy: bool,
    /// Its next turn in an open loop.
    pub(super) turn: u64,
    /// Its request.
    pub(super) sent: Sent,
}

/// A thread's connections and counts.
pub struct Driver<'a> {
    pub(super) orders: Orders,
    /// Streams at once on each connection.
    streams: usize,
    grpc: bool,
    poller: Poller,
    pub(super) connections: Vec<Connection>,
    /// Place `p` of connection `c` is at `p × connections + c`: turns go from one connection to
    /// the next.
    pub(super) places: Vec<Place>,
    pub(super) book: Book,
    pub(super) plan: Option<Plan>,
    pub(super) ledger: Ledger<'a>,
    origin: Instant,
    running: bool,
    ids: u64,
    buffer: Vec<u8>,
    ended: Vec<(usize, Ending)>,
    /// Places whose answer has just come.
    pub(super) free: Vec<usize>,
    dirty: Vec<usize>,
}

impl<'a> Driver<'a> {
    /// Without open connections yet. `plan` makes it an open loop, and has a turn for each place.
    pub fn new(
        orders: Orders,
        (streams, grpc): (usize, bool),
        book: Book,
        plan: Option<Plan>,
        live: Option<&'a Live>,
    ) -> io::Result<Self> {
        let connection = |_| Connection {
            socket: None,
            session: Session::new(0, false, false),
            life: 0,
            queued: false,
            blocked: false,
            since: 0,
        };
        Ok(Self {
            orders,
            streams,
            grpc,
            poller: Poller::new()?,
            connections: (0..orders.connections).map(connection).collect(),
            places: vec![Place::default(); orders.connections * streams],
            book,
            plan,
            ledger: Ledger::new(orders, live),
            origin: Instant::now(),
            running: false,
            ids: orders.thread << 40,
            buffer: vec![0; INPUT],
            ended: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
        })
    }

    /// Opens all connections and waits for what the server allows on them; those that fail are
    /// tried again during the run.
    ///
    /// # Errors
    /// When the server allows fewer streams than are asked for.
    pub fn open(&mut self) -> io::Result<()> {
        (0..self.connections.len()).for_each(|number| self.reopen(number, 0));
        let limit = Duration::from_nanos(self.orders.timeout.min(1_000_000_000));
        let deadline = Instant::now() + limit;
        let pending = |c: &Connection| c.socket.is_some() && !c.session.is_settled();
        while self.connections.iter().any(pending) && Instant::now() < deadline {
            self.wait(deadline.saturating_duration_since(Instant::now()))?;
        }
        let settled = self.connections.iter().filter(|c| c.session.is_settled());
        match settled.map(|c| c.session.allowed()).min() {
            Some(most) if most < self.streams => Err(io::Error::other(format!(
                "the server allows {most} streams on a connection: -m {} is more",
                self.streams
            ))),
            _ => {
                self.ledger.tally.reopened = 0;
                Ok(())
            }
        }
    }

    /// Makes load from `origin` on, until the time is over or `stop` is set.
    pub fn run(mut self, origin: Instant, stop: &AtomicBool) -> io::Result<Tally> {
        self.origin = origin;
        self.running = true;
        let mut sweep = SWEEP;
        if self.plan.is_none() {
            self.free = (0..self.places.len()).collect();
            self.go_on();
        }
        loop {
            let now = self.now();
            if now >= self.orders.to || stop.load(Ordering::Relaxed) {
                break;
            }
            if now >= sweep {
                self.sweep(now);
                sweep = now + SWEEP;
            }
            while let Some(place) = self.plan.as_mut().and_then(|p| p.ripe(now)) {
                self.next(place, self.now());
            }
            self.flush();
            let due = self.plan.as_ref().map_or(u64::MAX, Plan::next);
            let until = due.min(sweep).min(self.orders.to);
            self.wait(Duration::from_nanos(until.saturating_sub(self.now())))?;
        }
        Ok(self.close())
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The place on connection `number`, counted over all of them.
    pub(super) fn number(&self, number: usize, place: usize) -> usize {
        place * self.connections.len() + number
    }

    /// Reads all that has arrived, then sends: requests leave together.
    fn wait(&mut self, limit: Duration) -> io::Result<()> {
        for index in 0..self.poller.wait(Some(limit))? {
            if let Some(ready) = self.poller.event(index) {
                self.event(ready);
            }
        }
        self.go_on();
        Ok(())
    }

    /// Gives free places their next requests; those of one connection leave together, and no
    /// request waits for those of other connections once its time has begun.
    pub(super) fn go_on(&mut self) {
        let mut free = std::mem::take(&mut self.free);
        let (count, mut last) = (self.connections.len(), usize::MAX);
        for place in free.drain(..) {
            if last != place % count {
                self.flush();
                last = place % count;
            }
            self.next(place, self.now());
        }
        self.free = free;
        self.flush();
    }

    fn event(&mut self, ready: Ready) {
        let (number, life) = slot(ready.token);
        if self.connections.get(number).is_none_or(|c| c.life != life) {
            return;
        }
        if ready.readable {
            self.receive(number, life, ready.ended);
        }
        let connection = &self.connections[number];
        if ready.writable && connection.life == life && connection.blocked {
            self.push(number);
        }
    }

    /// Gives a free place its next request, if one is due.
    fn next(&mut self, number: usize, now: u64) {
        let count = self.connections.len();
        let (place, connection) = (&mut self.places[number], &mut self.connections[number % count]);
        let asks = self.running && now < self.orders.to && !place.busy;
        if !asks || connection.socket.is_none() || !connection.session.has_room() {
            return;
        }
        let due = match &self.plan {
            None => Some(now),
            Some(plan) => plan.take(number, &mut place.turn, now),
        };
        let Some(due) = due else { return };
        self.ids += 1;
        let (id, index) = (self.ids, self.book.pick());
        *place = Place { busy: true, turn: place.turn, sent: Sent { due, since: now, id, index } };
        connection.session.begin(number / count, &self.book, index, id);
        self.queue(number % count);
    }

    /// Has what is queued on a connection sent by the next flush.
    pub(super) fn queue(&mut self, number: usize) {
        if !std::mem::replace(&mut self.connections[number].queued, true) {
            self.dirty.push(number);
        }
    }

    fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for number in dirty.drain(..) {
            self.connections[number].queued = false;
            self.push(number);
        }
        // Those that failed meanwhile have their greeting queued.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
    }

    /// Sends what there is to send, as far as it fits.
    fn push(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        let Some(socket) = &connection.socket else { return };
        loop {
            let bytes = connection.session.outgoing();
            connection.blocked = !bytes.is_empty();
            if !connection.blocked {
                return;
            }
            let whole = bytes.len();
            match socket::send(socket, bytes) {
                Ok(Moved::Bytes(n)) => {
                    connection.session.sent(n, &self.book);
                    if n < whole {
                        return;
                    }
                }
                Ok(Moved::Nothing) => return,
                Err(_) => return self.broken(number),
            }
        }
    }

    /// Reads until there is no more; edges are not repeated.
    fn receive(&mut self, number: usize, life: u32, over: bool) {
        loop {
            let connection = &mut self.connections[number];
            let Some(socket) = connection.socket.as_ref().filter(|_| connection.life == life)
            else {
                return;
            };
            let n = match socket::receive(socket, &mut self.buffer) {
                Ok(Moved::Nothing) => return,
                Ok(Moved::Bytes(0)) | Err(_) => return self.broken(number),
                Ok(Moved::Bytes(n)) => n,
            };
            let greeted = connection.session.is_settled();
            let bytes = &self.buffer[..n];
            let taken = connection.session.arrived(bytes, &self.book, &mut self.ended);
            let settles = !greeted && connection.session.is_settled();
            if !connection.session.outgoing().is_empty() {
                self.queue(number);
            }
            self.endings(number);
            if taken.is_err() {
                return self.broken(number);
            }
            if settles {
                let every = (number..self.places.len()).step_by(self.connections.len());
                self.free.extend(every);
            }
            if self.connections[number].session.is_over() {
                return self.reopen(number, self.now());
            }
            if n < INPUT && !over {
                return;
            }
        }
    }

    fn endings(&mut self, number: usize) {
        let mut ended = std::mem::take(&mut self.ended);
        for (place, ending) in ended.drain(..) {
            let place = self.number(number, place);
            match ending {
                Some(finished) => self.complete(place, finished),
                None => {
                    self.ledger.tally.errors.read += 1;
                    self.places[place].busy = false;
                }
            }
            self.free.push(place);
        }
        self.ended = ended;
    }

    pub(super) fn open_socket(&mut self, number: usize, now: u64) -> io::Result<()> {
        let socket = socket::connect(self.orders.address)?;
        let connection = &mut self.connections[number];
        connection.life = connection.life.wrapping_add(1);
        self.poller.watch(&socket, token(number, connection.life))?;
        connection.socket = Some(socket);
        connection.session = Session::new(self.streams, self.orders.verify, self.grpc);
        (connection.blocked, connection.since) = (true, now);
        Ok(())
    }
}
