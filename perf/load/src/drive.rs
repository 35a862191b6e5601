//! The loop of one thread: sends what is due, reads what arrives, counts what happened.

mod coarse;
mod outcome;

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::connection::{Connection, Phase, slot};
use crate::ledger::{Ledger, Sent};
use crate::plan::Plan;
use crate::poller::{Poller, Ready};
use crate::protocol::{Progress, Protocol, Wants};
use crate::request::Book;
use crate::socket::{self, Moved};
use crate::tally::Tally;

/// Time limits are checked, and rates sampled, this often.
const SWEEP: u64 = 100_000_000;

/// How long a peer that is to close a connection may take for it.
const LINGER: u64 = 1_000_000_000;

/// Connections that are being opened at once before the run: fewer than any listen queue holds.
const OPENING: usize = 64;

/// Bytes received at once when a head is expected; more of a body need not be copied.
const HEAD: usize = 4 * 1024;

/// Bytes received at once within a body.
const BODY: usize = 64 * 1024;

/// Bytes dropped at once.
const DROPPED: usize = 1024 * 1024;

/// What a thread has to know; times in nanoseconds of the run.
#[derive(Clone, Copy, Debug)]
pub struct Orders {
    /// Where to connect to.
    pub address: SocketAddr,
    /// This thread's number, from 0.
    pub thread: u64,
    /// Its connections.
    pub connections: usize,
    /// When measuring begins.
    pub from: u64,
    /// When the run ends.
    pub to: u64,
    /// How long a response may take.
    pub timeout: u64,
    /// Whether responses are verified.
    pub verify: bool,
    /// Requests after which a connection ends.
    pub per_connection: Option<u64>,
    /// How coarse the timers of an open loop are; 0 for as fine as can be.
    pub tick: u64,
}

/// What the printing of intervals reads.
pub type Live = Mutex<Histogram<u64>>;

/// What made a request fail on its connection.
#[derive(Clone, Copy)]
enum Failure {
    Read,
    Write,
    Timeout,
}

/// A thread's connections and counts.
pub struct Driver<'a, P> {
    orders: Orders,
    poller: Poller,
    connections: Vec<Connection<P>>,
    book: Book,
    plan: Option<Plan>,
    ledger: Ledger<'a>,
    origin: Instant,
    running: bool,
    ids: u64,
    buffer: Vec<u8>,
    room: Vec<u8>,
    /// Connections whose response has just come.
    free: Vec<usize>,
}

impl<'a, P: Protocol> Driver<'a, P> {
    /// Without open connections yet. `plan` makes it an open loop.
    pub fn new(
        orders: Orders,
        book: Book,
        plan: Option<Plan>,
        live: Option<&'a Live>,
    ) -> io::Result<Self> {
        Ok(Self {
            orders,
            poller: Poller::new()?,
            connections: (0..orders.connections).map(|_| Connection::new()).collect(),
            book,
            plan,
            ledger: Ledger::new(orders, live),
            origin: Instant::now(),
            running: false,
            ids: orders.thread << 40,
            buffer: vec![0; BODY],
            room: vec![0; DROPPED],
            free: Vec::with_capacity(orders.connections),
        })
    }

    /// Opens all connections, some at a time; those that fail are tried again during the run.
    pub fn open(&mut self) -> io::Result<()> {
        let limit = Duration::from_nanos(self.orders.timeout.min(1_000_000_000));
        for first in (0..self.connections.len()).step_by(OPENING) {
            let slots = first..(first + OPENING).min(self.connections.len());
            for slot in slots.clone() {
                self.reopen(slot, 0);
            }
            let deadline = Instant::now() + limit;
            let pending = |c: &Connection<P>| c.phase != Phase::Closed && !c.established;
            while self.connections[slots.clone()].iter().any(pending) && Instant::now() < deadline {
                self.wait(deadline.saturating_duration_since(Instant::now()))?;
            }
        }
        self.ledger.tally.reopened = 0;
        Ok(())
    }

    /// Makes load from `origin` on, until the time is over or `stop` is set.
    pub fn run(mut self, origin: Instant, stop: &AtomicBool) -> io::Result<Tally> {
        self.origin = origin;
        self.running = true;
        let mut sweep = SWEEP;
        if self.plan.is_none() {
            for slot in 0..self.connections.len() {
                self.next(slot, self.now());
            }
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
            let due = if self.orders.tick > 0 { self.coarse(now) } else { self.fine(now) };
            let until = due.min(sweep).min(self.orders.to);
            let limit = match self.orders.tick {
                0 => until.saturating_sub(self.now()),
                // In whole ticks, counted from the last one: so wrk2 waits, too.
                tick => until.next_multiple_of(tick).saturating_sub(now - now % tick),
            };
            self.wait(Duration::from_nanos(limit))?;
        }
        Ok(self.close())
    }

    /// Sends what is due on free connections, and says when something is next.
    fn fine(&mut self, now: u64) -> u64 {
        while let Some(slot) = self.plan.as_mut().and_then(|p| p.ripe(now)) {
            self.next(slot, self.now());
        }
        self.plan.as_ref().map_or(u64::MAX, Plan::next)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Reads all that has arrived, then sends: requests leave together, as wrk's do.
    fn wait(&mut self, limit: Duration) -> io::Result<()> {
        for index in 0..self.poller.wait(Some(limit))? {
            if let Some(ready) = self.poller.event(index) {
                self.event(ready);
            }
        }
        let mut free = std::mem::take(&mut self.free);
        for slot in free.drain(..) {
            self.next(slot, self.now());
        }
        self.free = free;
        Ok(())
    }

    fn event(&mut self, ready: Ready) {
        let (slot, life) = slot(ready.token);
        let Some(connection) = self.connections.get_mut(slot).filter(|c| c.life == life) else {
            return;
        };
        connection.established |= ready.writable && !ready.ended;
        if ready.readable {
            self.receive(slot, ready.ended);
        }
        // What was just received may have ended this socket.
        if ready.writable && self.connections[slot].life == life && self.connections[slot].blocked {
            self.push(slot);
        }
    }

    /// Gives a free connection its next request, if one is due.
    fn next(&mut self, slot: usize, now: u64) {
        let connection = &mut self.connections[slot];
        if !self.running || connection.phase != Phase::Idle || now >= self.orders.to {
            return;
        }
        let due = match &self.plan {
            None => now,
            Some(plan) => match plan.take(slot, &mut connection.turn, now) {
                Some(due) => due,
                None => return self.doze(slot, now),
            },
        };
        self.ids += 1;
        connection.given += 1;
        let last = self.orders.per_connection.is_some_and(|n| connection.given >= n);
        let (id, index) = (self.ids, self.book.pick());
        connection.sent = Sent { due, since: now, id, index };
        connection.phase = Phase::Busy;
        connection.protocol.begin(index, id, last);
        self.push(slot);
    }

    /// Sends what there is to send, as far as it fits.
    fn push(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        let Some(socket) = &connection.socket else { return };
        loop {
            let bytes = connection.protocol.outgoing(&mut self.book);
            connection.blocked = !bytes.is_empty();
            if !connection.blocked {
                return;
            }
            match socket::send(socket, bytes) {
                Ok(Moved::Bytes(n)) => {
                    connection.blocked = n < bytes.len();
                    connection.established = true;
                    connection.protocol.sent(n);
                    if !connection.blocked {
                        return;
                    }
                }
                Ok(Moved::Nothing) => return,
                Err(_) => return self.fail(slot, Failure::Write),
            }
        }
    }

    /// Reads until there is no more; edges are not repeated.
    fn receive(&mut self, slot: usize, ended: bool) {
        let life = self.connections[slot].life;
        loop {
            let connection = &mut self.connections[slot];
            let Some(socket) = connection.socket.as_ref().filter(|_| connection.life == life)
            else {
                return;
            };
            let wants = match connection.phase {
                Phase::Busy => connection.protocol.wants(),
                _ => Wants::Body,
            };
            let (room, skips) = match wants {
                Wants::Head => (&mut self.buffer[..HEAD], false),
                Wants::Body => (&mut self.buffer[..], false),
                Wants::Skip(n) => {
                    let n = usize::try_from(n).unwrap_or(DROPPED).min(DROPPED);
                    (&mut self.room[..n], true)
                }
            };
            let whole = room.len();
            let moved = match skips {
                true => socket::discard(socket, room),
                false => socket::receive(socket, room),
            };
            let n = match moved {
                Ok(Moved::Nothing) => return,
                Ok(Moved::Bytes(0)) => return self.ended(slot),
                Ok(Moved::Bytes(n)) => n,
                Err(_) => return self.broken(slot),
            };
            let progress = match (connection.phase, skips) {
                (Phase::Ending, _) => Ok(Progress::Partial),
                (Phase::Busy, true) => Ok(connection.protocol.skipped(n as u64)),
                (Phase::Busy, false) => connection.protocol.arrived(&self.buffer[..n]),
                _ => return self.fail(slot, Failure::Read),
            };
            match progress {
                Ok(Progress::Whole(finished)) => self.complete(slot, finished, false),
                Ok(Progress::Partial) if n == whole => {}
                Ok(Progress::Partial) if ended => {}
                Ok(Progress::Partial) => return,
                Err(_) => return self.fail(slot, Failure::Read),
            }
            if !ended && self.connections[slot].phase != Phase::Busy {
                return;
            }
            if !ended && matches!(progress, Ok(Progress::Whole(_))) {
                return;
            }
        }
    }
}
