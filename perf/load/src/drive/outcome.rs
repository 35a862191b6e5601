//! What becomes of a request and of its connection: counted, given up, tried again.

use super::{Driver, Failure, LINGER};
use crate::connection::Phase;
use crate::protocol::{Finished, Protocol};
use crate::tally::{Answer, Tally, micros};
use crate::verify;

impl<P: Protocol> Driver<'_, P> {
    /// The peer has ended its direction.
    pub(super) fn ended(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        match connection.phase {
            Phase::Busy => match connection.protocol.ended() {
                Some(finished) => self.complete(slot, finished, true),
                None => self.fail(slot, Failure::Read),
            },
            _ => self.broken(slot),
        }
    }

    /// The socket is of no more use. Without a request on it, that is no error.
    pub(super) fn broken(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        match connection.phase {
            Phase::Busy => self.fail(slot, Failure::Read),
            _ if !connection.established => self.fail(slot, Failure::Read),
            _ if connection.given == 0 => connection.close(),
            _ => self.reopen(slot, self.now()),
        }
    }

    pub(super) fn complete(&mut self, slot: usize, finished: Finished, at_end: bool) {
        let now = self.now();
        let connection = &mut self.connections[slot];
        self.seen += 1;
        if self.orders.verify
            && let Some(asked) = self.book.entry(connection.index)
            && let Some(text) = verify::mismatch(connection.id, asked, &finished.seen)
        {
            self.tally.mismatch(text);
        }
        if !(200..400).contains(&finished.status) {
            self.tally.errors.status += 1;
        }
        let due = self.plan.is_some().then_some(connection.due);
        let answer = Answer { due, since: connection.since, bytes: finished.bytes };
        if self.tally.answered(&answer, now, self.orders.from, self.orders.to)
            && let Some((_, latencies)) = &mut self.live
        {
            latencies.saturating_record(micros(now.saturating_sub(connection.due)));
        }
        if at_end || connection.blocked {
            // A response before the end of the upload: what else is sent would be misread.
            self.reopen(slot, now);
        } else if finished.reusable {
            connection.phase = Phase::Idle;
            self.free.push(slot);
        } else {
            // Whoever closes first keeps the address busy for a minute: let that be the server.
            (connection.phase, connection.since) = (Phase::Ending, now);
        }
    }

    pub(super) fn fail(&mut self, slot: usize, failure: Failure) {
        let connection = &mut self.connections[slot];
        let errors = &mut self.tally.errors;
        let counter = match failure {
            _ if !connection.established => &mut errors.connect,
            Failure::Read => &mut errors.read,
            Failure::Write => &mut errors.write,
            Failure::Timeout => &mut errors.timeout,
        };
        *counter += 1;
        if connection.given <= 1 {
            // It never answered: the next sweep tries again, so that this does not spin.
            connection.close();
        } else {
            self.reopen(slot, self.now());
        }
    }

    pub(super) fn reopen(&mut self, slot: usize, now: u64) {
        let orders = &self.orders;
        let connection = &mut self.connections[slot];
        match connection.open(orders.address, &self.poller, slot, orders.verify) {
            Ok(()) => {
                self.tally.reopened += 1;
                self.next(slot, now);
            }
            Err(_) => {
                connection.close();
                self.tally.errors.connect += 1;
            }
        }
    }

    /// Time limits, connections to be tried again, samples.
    pub(super) fn sweep(&mut self, now: u64) {
        for slot in 0..self.connections.len() {
            let connection = &self.connections[slot];
            let age = now.saturating_sub(connection.since);
            match connection.phase {
                Phase::Busy if age > self.orders.timeout => self.fail(slot, Failure::Timeout),
                Phase::Ending if age > LINGER => self.reopen(slot, now),
                Phase::Closed => self.reopen(slot, now),
                _ => {}
            }
        }
        let (seen, at) = self.sampled;
        self.sampled = (self.seen, now);
        if now > self.orders.from {
            let rate = (self.seen - seen) as f64 * 1e9 / (now - at).max(1) as f64;
            self.tally.rates.push(rate as u64);
        }
        if let Some((live, latencies)) = &mut self.live
            && let Ok(mut shared) = live.lock()
        {
            let _ = shared.add(&*latencies);
            latencies.reset();
        }
    }

    /// What is left undone at the end is counted, too.
    pub(super) fn close(mut self) -> Tally {
        let end = self.now().min(self.orders.to);
        for (slot, connection) in self.connections.iter().enumerate() {
            if connection.phase == Phase::Busy {
                self.tally.under_way(connection.due, end);
            }
            if let Some(plan) = &self.plan {
                let unsent = plan.unsent(slot, connection.turn, end);
                self.tally.not_sent(unsent, plan.due_of(slot, connection.turn), end);
            }
        }
        self.tally
    }
}
