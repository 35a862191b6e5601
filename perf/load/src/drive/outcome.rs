//! What becomes of a request and of its connection: counted, given up, tried again.

use super::{Driver, Failure, LINGER};
use crate::connection::Phase;
use crate::protocol::{Finished, Protocol};
use crate::tally::Tally;

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
        let open = self.plan.is_some();
        self.ledger.answered(connection.sent, &finished, &self.book, open, now);
        if at_end || connection.blocked {
            // A response before the end of the upload: what else is sent would be misread.
            self.reopen(slot, now);
        } else if finished.reusable {
            connection.phase = Phase::Idle;
            self.free.push(slot);
        } else {
            // Whoever closes first keeps the address busy for a minute: let that be the server.
            (connection.phase, connection.sent.since) = (Phase::Ending, now);
        }
    }

    pub(super) fn fail(&mut self, slot: usize, failure: Failure) {
        let connection = &mut self.connections[slot];
        let errors = &mut self.ledger.tally.errors;
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
                self.ledger.tally.reopened += 1;
                self.next(slot, now);
            }
            Err(_) => {
                connection.close();
                self.ledger.tally.errors.connect += 1;
            }
        }
    }

    /// Time limits, connections to be tried again, samples.
    pub(super) fn sweep(&mut self, now: u64) {
        for slot in 0..self.connections.len() {
            let connection = &self.connections[slot];
            let age = now.saturating_sub(connection.sent.since);
            match connection.phase {
                Phase::Busy if age > self.orders.timeout => self.fail(slot, Failure::Timeout),
                Phase::Ending if age > LINGER => self.reopen(slot, now),
                Phase::Closed => self.reopen(slot, now),
                _ => {}
            }
        }
        self.ledger.sample(now);
    }

    /// The counts, with what is left undone.
    pub(super) fn close(self) -> Tally {
        let now = self.now();
        let places = self.connections.iter().map(|connection| {
            let under_way = connection.phase == Phase::Busy;
            (under_way.then_some(connection.sent.due), connection.turn)
        });
        self.ledger.close(places, self.plan.as_ref(), now)
    }
}
