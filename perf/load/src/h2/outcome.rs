//! What becomes of a stream and of its connection: counted, given up, tried again.

use super::drive::Driver;
use crate::protocol::Finished;
use crate::tally::{Answer, Tally, micros};
use crate::verify;

impl Driver<'_> {
    pub(super) fn complete(&mut self, number: usize, finished: Finished) {
        let now = self.now();
        let place = &mut self.places[number];
        place.busy = false;
        self.seen += 1;
        if self.orders.verify
            && let Some(asked) = self.book.entry(place.index)
            && let Some(text) = verify::mismatch(place.id, asked, &finished.seen)
        {
            self.tally.mismatch(text);
        }
        if !(200..400).contains(&finished.status) {
            self.tally.errors.status += 1;
        }
        let due = self.plan.is_some().then_some(place.due);
        let answer = Answer { due, since: place.since, bytes: finished.bytes };
        if self.tally.answered(&answer, now, self.orders.from, self.orders.to)
            && let Some((_, latencies)) = &mut self.live
        {
            latencies.saturating_record(micros(now.saturating_sub(place.due)));
        }
    }

    /// The socket is of no more use: neither are the streams on it.
    pub(super) fn broken(&mut self, number: usize) {
        let lost = self.give_up(number);
        let connection = &mut self.connections[number];
        connection.socket = None;
        if !connection.session.is_settled() {
            // It never said anything: the next sweep tries again, so that this does not spin.
            self.tally.errors.connect += 1;
            return;
        }
        self.tally.errors.read += lost;
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
                self.tally.reopened += 1;
                self.queue(number);
            }
            Err(_) => {
                self.connections[number].socket = None;
                self.tally.errors.connect += 1;
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
            if place.busy && now.saturating_sub(place.since) > self.orders.timeout {
                place.busy = false;
                self.tally.errors.timeout += 1;
                self.connections[number % count].session.cancel(number / count);
                self.queue(number % count);
                self.free.push(number);
            }
        }
        self.go_on();
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
        for (number, place) in self.places.iter().enumerate() {
            if place.busy {
                self.tally.under_way(place.due, end);
            }
            if let Some(plan) = &self.plan {
                let unsent = plan.unsent(number, place.turn, end);
                self.tally.not_sent(unsent, plan.due_of(number, place.turn), end);
            }
        }
        self.tally
    }
}
