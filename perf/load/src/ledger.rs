//! What a thread notes of its requests, whatever carries them: answers, the rate, what is left.

use hdrhistogram::Histogram;

use crate::drive::{Live, Orders};
use crate::plan::Plan;
use crate::protocol::Finished;
use crate::request::Book;
use crate::tally::{Answer, Tally, histogram, micros};
use crate::verify;

/// A request that was sent; times in nanoseconds of the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// When it should have been.
    pub due: u64,
    /// When it was.
    pub since: u64,
    /// Its id.
    pub id: u64,
    /// Its place in the book.
    pub index: usize,
}

/// The counts of a thread.
pub struct Ledger<'a> {
    /// What has come of the requests.
    pub tally: Tally,
    orders: Orders,
    seen: u64,
    /// Answers seen at the last sample, and when that was.
    sampled: (u64, u64),
    live: Option<(&'a Live, Histogram<u64>)>,
}

impl<'a> Ledger<'a> {
    /// An empty one.
    pub fn new(orders: Orders, live: Option<&'a Live>) -> Self {
        Self {
            tally: Tally::new(std::time::Duration::from_nanos(orders.to)),
            orders,
            seen: 0,
            sampled: (0, 0),
            live: live.map(|l| (l, histogram())),
        }
    }

    /// Counts the answer to `sent` at `now`; in an open loop latency is from when it was due.
    #[inline]
    pub fn answered(&mut self, sent: Sent, finished: &Finished, book: &Book, open: bool, now: u64) {
        self.seen += 1;
        if self.orders.verify
            && let Some(asked) = book.entry(sent.index)
            && let Some(text) = verify::mismatch(sent.id, asked, &finished.seen)
        {
            self.tally.mismatch(text);
        }
        if !(200..400).contains(&finished.status) {
            self.tally.errors.status += 1;
        }
        let due = open.then_some(sent.due);
        let answer = Answer { due, since: sent.since, bytes: finished.bytes };
        if self.tally.answered(&answer, now, self.orders.from, self.orders.to)
            && let Some((_, latencies)) = &mut self.live
        {
            latencies.saturating_record(micros(now.saturating_sub(sent.due)));
        }
    }

    /// Notes the rate since the last sample, and shows latencies to who prints intervals.
    pub fn sample(&mut self, now: u64) {
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

    /// What is left undone at the end is counted, too. `places` are those that have turns, in
    /// their order: when what is under way was due, and the next turn.
    pub fn close(
        mut self,
        places: impl Iterator<Item = (Option<u64>, u64)>,
        plan: Option<&Plan>,
        now: u64,
    ) -> Tally {
        let end = now.min(self.orders.to);
        for (number, (under_way, turn)) in places.enumerate() {
            if let Some(due) = under_way {
                self.tally.under_way(due, end);
            }
            if let Some(plan) = plan {
                let unsent = plan.unsent(number, turn, end);
                self.tally.not_sent(unsent, plan.due_of(number, turn), end);
            }
        }
        self.tally
    }
}
