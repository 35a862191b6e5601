//! What a thread counts while it runs, and the sum over threads.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency that is told apart, in microseconds: one day, as in wrk2.
const LONGEST: u64 = 24 * 3_600 * 1_000_000;

/// How many mismatches are kept to be shown.
const SHOWN: usize = 5;

/// An empty histogram of microseconds with three significant figures.
pub fn histogram() -> Histogram<u64> {
    #[expect(clippy::expect_used, reason = "the bounds are constants that it accepts")]
    Histogram::new_with_bounds(1, LONGEST, 3).expect("constant bounds")
}

/// A latency in nanoseconds as the microseconds that are recorded.
pub fn micros(nanos: u64) -> u64 {
    ((nanos + 500) / 1_000).min(LONGEST)
}

/// Why requests failed, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// Connections that were not established.
    pub connect: u64,
    /// Responses that broke off or were no HTTP, and resets while waiting for one.
    pub read: u64,
    /// Requests that could not be sent.
    pub write: u64,
    /// Responses that did not come within the time limit.
    pub timeout: u64,
    /// Responses with a status other than 2xx and 3xx.
    pub status: u64,
    /// Responses that were not the ones they should be.
    pub verify: u64,
}

impl Errors {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.connect + self.read + self.write + self.timeout + self.status + self.verify
    }
}

/// A response that has come; times in nanoseconds of the run.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// When its request should have been sent; none in a closed loop.
    pub due: Option<u64>,
    /// When its request was sent.
    pub since: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// Counts of one thread, or of all.
///
/// However late a thread is, each request of an open loop that is due before the end is counted
/// once: as a response, as an error, as under way or as not sent.
#[derive(Clone, Debug)]
pub struct Tally {
    /// From when a request should have been sent to the end of its response, in microseconds;
    /// empty in a closed loop.
    pub corrected: Histogram<u64>,
    /// From when a request was sent, in microseconds.
    pub uncorrected: Histogram<u64>,
    /// Responses within the measured time, of any status.
    pub requests: u64,
    /// Bytes of these responses.
    pub bytes: u64,
    /// Errors, those of the warm-up included.
    pub errors: Errors,
    /// Connections opened after the first ones.
    pub reopened: u64,
    /// Requests a second of one thread, sampled ten times a second.
    pub rates: Vec<u64>,
    /// Requests that were due at the end and not sent.
    pub unsent: u64,
    /// Requests that were sent and whose response was not seen by the end.
    pub in_flight: u64,
    /// By how much the oldest of both was late at the end, in microseconds.
    pub oldest: u64,
    /// The first mismatches, in words.
    pub mismatches: Vec<String>,
}

impl Tally {
    /// Nothing yet; room for the samples of a run of `duration`.
    pub fn new(duration: Duration) -> Self {
        let samples = usize::try_from(duration.as_secs()).unwrap_or(0).min(86_400) * 10 + 16;
        Self {
            corrected: histogram(),
            uncorrected: histogram(),
            requests: 0,
            bytes: 0,
            errors: Errors::default(),
            reopened: 0,
            rates: Vec::with_capacity(samples),
            unsent: 0,
            in_flight: 0,
            oldest: 0,
            mismatches: Vec::new(),
        }
    }

    /// Counts a mismatch and keeps the first ones.
    pub fn mismatch(&mut self, text: String) {
        self.errors.verify += 1;
        if self.mismatches.len() < SHOWN {
            self.mismatches.push(text);
        }
    }

    /// Counts a response that is seen at `now`, and says whether it counts as one. One that is
    /// seen after the end `to` was under way then; one before `from` is of the warm-up.
    pub fn answered(&mut self, answer: &Answer, now: u64, from: u64, to: u64) -> bool {
        if now > to {
            self.under_way(answer.due.unwrap_or(answer.since), to);
        }
        if !(from..=to).contains(&now) {
            return false;
        }
        self.requests += 1;
        self.bytes += answer.bytes;
        self.uncorrected.saturating_record(micros(now.saturating_sub(answer.since)));
        if let Some(due) = answer.due {
            self.corrected.saturating_record(micros(now.saturating_sub(due)));
        }
        true
    }

    /// Counts a request, due at `due`, that has no response at the `end`.
    pub fn under_way(&mut self, due: u64, end: u64) {
        self.in_flight += 1;
        self.late(due, end);
    }

    /// Counts the `number` requests of a connection that were due before the `end` and not sent,
    /// the first at `due`.
    pub fn not_sent(&mut self, number: u64, due: u64, end: u64) {
        self.unsent += number;
        self.late(due, end);
    }

    fn late(&mut self, due: u64, end: u64) {
        self.oldest = self.oldest.max(micros(end.saturating_sub(due)));
    }

    /// Adds what another thread counted.
    pub fn merge(&mut self, other: &Self) {
        // The bounds of all are the same, so adding cannot fail.
        let _ = self.corrected.add(&other.corrected);
        let _ = self.uncorrected.add(&other.uncorrected);
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.reopened += other.reopened;
        self.rates.extend_from_slice(&other.rates);
        self.unsent += other.unsent;
        self.in_flight += other.in_flight;
        self.oldest = self.oldest.max(other.oldest);
        let (mine, more) = (&mut self.errors, &other.errors);
        mine.connect += more.connect;
        mine.read += more.read;
        mine.write += more.write;
        mine.timeout += more.timeout;
        mine.status += more.status;
        mine.verify += more.verify;
        let room = SHOWN.saturating_sub(self.mismatches.len());
        self.mismatches.extend(other.mismatches.iter().take(room).cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Tally};
    use crate::plan::Plan;
    use crate::request::splitmix;
    use std::time::Duration;

    const MS: u64 = 1_000_000;
    const END: u64 = 2_000 * MS;

    /// Plays a thread that is kept from running again and again, for up to `starved`: it sends
    /// what is due, sees responses when it runs, and is late for the end.
    fn play(plan: &mut Plan, connections: usize, starved: u64, random: &mut u64) -> Tally {
        let mut tally = Tally::new(Duration::ZERO);
        // Of each connection its next turn, and when it was due and sent what it waits for.
        let mut all = vec![(0, None); connections];
        let mut now = splitmix(random) % starved;
        while now < END {
            while let Some(slot) = plan.ripe(now) {
                send(plan, slot, &mut all[slot], now);
            }
            let asleep = 1 + splitmix(random) % starved;
            now += asleep;
            for (slot, connection) in all.iter_mut().enumerate() {
                let arrived = connection.1.filter(|_| !splitmix(random).is_multiple_of(4));
                if let Some((due, since)) = arrived {
                    tally.answered(&Answer { due: Some(due), since, bytes: 1 }, now, 0, END);
                    connection.1 = None;
                }
                if now < END {
                    send(plan, slot, connection, now);
                }
            }
        }
        for (slot, &(turn, waits)) in all.iter().enumerate() {
            if let Some((due, _)) = waits {
                tally.under_way(due, END);
            }
            tally.not_sent(plan.unsent(slot, turn, END), plan.due_of(slot, turn), END);
        }
        tally
    }

    /// Has a free connection take its turn if that is due.
    fn send(plan: &Plan, slot: usize, (turn, waits): &mut (u64, Option<(u64, u64)>), now: u64) {
        if waits.is_none() {
            *waits = plan.take(slot, turn, now).map(|due| (due, now));
        }
    }

    #[test]
    fn every_request_that_was_due_is_counted_once_however_late_a_thread_is() {
        let mut seen = 0;
        for seed in 0..40 {
            let mut random = seed;
            for (connections, starved) in [(1, 5 * MS), (3, 40 * MS), (4, 700 * MS), (5, 2 * END)] {
                let mut all = Tally::new(Duration::ZERO);
                for thread in 0..2 {
                    let mut plan = Plan::new(500, thread, 2, connections);
                    let mut random = splitmix(&mut random);
                    all.merge(&play(&mut plan, connections as usize, starved, &mut random));
                }
                let counted = all.requests + all.in_flight + all.unsent;
                assert_eq!(counted, 1_000, "seed {seed}, {connections} connections");
                assert_eq!(all.corrected.len(), all.requests);
                seen += all.in_flight;
            }
        }
        assert!(seen > 200, "{seen}: the end came when nothing was under way");
    }

    #[test]
    fn a_response_after_the_end_was_under_way() {
        let mut tally = Tally::new(Duration::ZERO);
        let answer = Answer { due: Some(7 * MS), since: 8 * MS, bytes: 100 };
        for (now, counts) in [(9, false), (10, true), (20, true), (21, false)] {
            assert_eq!(tally.answered(&answer, now * MS, 10 * MS, 20 * MS), counts, "{now} ms");
        }
        assert_eq!((tally.requests, tally.bytes, tally.in_flight), (2, 200, 1));
        assert_eq!((tally.oldest, tally.corrected.max() / 10), (13_000, 1_300));
        assert_eq!(tally.uncorrected.max() / 10, 1_200);
    }
}
