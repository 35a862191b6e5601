//! What becomes of a stream and of its connection: counted, given up, tried again.

use super::drive::Driver;
use crate::protocol::Finished;
use crate::tally::Tally;

impl Driver<'_> {
    pub(super) fn complete(&mut self, number: usize, finished: Finished) {
        let now = self.now();
        let place = &mut self.places[number];
        place.busy = false;
        let open = self.plan.is_some();
        self.ledger.answered(place.sent, &finished, &self.book, open, now);
    }

    /// The socket is of no more use: neither are the streams on it.
    pub(super) fn broken(&mut self, number: usize) {
        let lost = self.give_up(number);
        let connection = &mut self.connections[number];
        connection.socket = None;
        if !connection.session.is_settled() {
            // It never said anything: the next sweep tries again, so that this does not spin.
            self.ledger.tally.errors.connect += 1;
            return;
        }
        self.ledger.tally.errors.read += lost;
        if !connection.session.has_begun() {
            return;
        }
        self.reopen(number, self.now());
    }

    /// Frees the places of a connection's streams: how many there were.
    fn give_up(&mut self, number: usize) -> u64 {
        let count = self.connections.len();
        let places = self.places.iter_mut().skip(number).step_by(count);
        places.map(|place| u64::from(std::mem::take(&mut place.busy))).sum()
    }

    pub(super) fn reopen(&mut self, number: usize, now: u64) {
        match self.open_socket(number, now) {
            Ok(()) => {
                self.ledger.tally.reopened += 1;
                self.queue(number);
            }
            Err(_) => {
                self.connections[number].socket = None;
                self.ledger.tally.errors.connect += 1;
            }
        }
    }

    /// Time limits, connections to be tried again, samples.
    pub(super) fn sweep(&mut self, now: u64) {
        let count = self.connections.len();
        for number in 0..count {
            let connection = &self.connections[number];
            let silent = !connection.session.is_settled()
                && now.saturating_sub(connection.since) > self.orders.timeout;
            if connection.socket.is_none() {
                self.reopen(number, now);
            } else if silent {
                self.broken(number);
            }
        }
        for number in 0..self.places.len() {
            let place = &mut self.places[number];
            if place.busy && now.saturating_sub(place.sent.since) > self.orders.timeout {
                place.busy = false;
                self.ledger.tally.errors.timeout += 1;
                self.connections[number % count].session.cancel(number / count);
                self.queue(number % count);
                self.free.push(number);
            }
        }
        self.go_on();
        self.ledger.sample(now);
    }

    /// The counts, with what is left undone.
    pub(super) fn close(self) -> Tally {
        let now = self.now();
        let places = self.places.iter();
        let places = places.map(|place| (place.busy.then_some(place.sent.due), place.turn));
        self.ledger.close(places, self.plan.as_ref(), now)
    }
}
