//! When a request should be sent: an open loop's constant rate as pure arithmetic on time.
//!
//! Connections take turns: the n-th turn of connection k among C is request n·C + k of its
//! thread, and a thread's requests are spread evenly over a second, between those of the other
//! threads. Like wrk2, a connection keeps its turns: when a response is late, its next request
//! is late as well and is sent as soon as the connection is free, and its latency counts from
//! when it *should* have been sent. That is what corrects for coordinated omission.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The turns of the connections of one thread.
#[derive(Clone, Debug)]
pub struct Plan {
    rate: u64,
    threads: u64,
    thread: u64,
    connections: u64,
    cursor: u64,
}

impl Plan {
    /// `rate`: requests a second of all threads together; `thread` of `threads`, which has
    /// `connections`. All at least one.
    pub fn new(rate: u64, thread: u64, threads: u64, connections: u64) -> Self {
        Self { rate, threads, thread, connections, cursor: 0 }
    }

    /// When request `number` of this thread is due: nanoseconds after the start.
    fn due(&self, number: u64) -> u64 {
        let all = u128::from(number) * u128::from(self.threads) + u128::from(self.thread);
        u64::try_from(all * 1_000_000_000 / u128::from(self.rate)).unwrap_or(u64::MAX)
    }

    /// When `turn` of `connection` is due: nanoseconds after the start.
    pub fn due_of(&self, connection: usize, turn: u64) -> u64 {
        self.due(turn * self.connections + connection as u64)
    }

    /// Takes the next `turn` of a free `connection` if it is due at `now`, and says since when.
    pub fn take(&self, connection: usize, turn: &mut u64, now: u64) -> Option<u64> {
        let due = self.due_of(connection, *turn);
        (due <= now).then(|| {
            *turn += 1;
            due
        })
    }

    /// A connection that has become due by `now`, each turn once; it may be busy, and then takes
    /// its turn when it is free.
    pub fn ripe(&mut self, now: u64) -> Option<usize> {
        (self.due(self.cursor) <= now).then(|| {
            let connection = self.cursor % self.connections;
            self.cursor += 1;
            usize::try_from(connection).unwrap_or(0)
        })
    }

    /// When [`Self::ripe`] will have something next: nanoseconds after the start.
    pub fn next(&self) -> u64 {
        self.due(self.cursor)
    }

    /// How many turns of `connection` from `turn` on are due before `end`.
    pub fn unsent(&self, connection: usize, turn: u64, end: u64) -> u64 {
        // Turns are evenly spaced: count whole numbers by halving the range they can be in.
        let (mut low, mut high) = (turn, turn + end / 1_000_000_000 * self.rate + self.rate + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.due_of(connection, middle) < end {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low - turn
    }
}

/// wrk's correction of a closed loop's latencies (microseconds): a connection should have asked
/// every `took / rounds`, so a response that took n times as long stands for n - 1 further
/// requests that would have waited, too.
pub fn closed_loop(seen: &Histogram<u64>, took: Duration, rounds: u64) -> Histogram<u64> {
    let interval = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).checked_div(rounds);
    match interval {
        Some(interval) if interval > 0 => seen.clone_correct(interval),
        _ => seen.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Plan, closed_loop};
    use crate::tally::histogram;
    use std::time::Duration;

    const MS: u64 = 1_000_000;

    /// Plays one second at 1,000/s over `connections` against a server that needs 0.1 ms, and
    /// stalls for 100 ms from 500 ms on. Returns each request's latency as it should count and
    /// as it would without the correction, in nanoseconds.
    fn stalled(connections: usize) -> Vec<(u64, u64)> {
        let plan = Plan::new(1_000, 0, 1, connections as u64);
        let mut out = Vec::new();
        for connection in 0..connections {
            let (mut turn, mut free) = (0, 0);
            while plan.due_of(connection, turn) < 1_000 * MS {
                let now = free.max(plan.due_of(connection, turn));
                let due = plan.take(connection, &mut turn, now).expect("it is due");
                let done = now + MS / 10;
                let stalls = (500 * MS..600 * MS).contains(&done);
                free = if stalls { 600 * MS + MS / 10 } else { done };
                out.push((free - due, free - now));
            }
        }
        out
    }

    #[test]
    fn a_stall_counts_for_every_request_it_delayed() {
        for connections in [1, 10, 50] {
            let latencies = stalled(connections);
            assert_eq!(latencies.len(), 1_000);
            let late = latencies.iter().filter(|l| l.0 > MS / 2).count();
            assert!((99..=112).contains(&late), "{connections} connections: {late} late");
            let worst = latencies.iter().map(|l| l.0).max();
            assert!(worst > Some(99 * MS) && worst < Some(102 * MS), "{worst:?}");
            // Without the correction only what was under way would count: one a connection.
            let seen = latencies.iter().filter(|l| l.1 > MS / 2).count();
            assert_eq!(seen, connections);
        }
    }

    #[test]
    fn threads_interleave_to_the_whole_rate() {
        let mut all: Vec<u64> = Vec::new();
        for thread in 0..4 {
            let mut plan = Plan::new(4_000, thread, 4, 3);
            while plan.next() < 1_000 * MS {
                let due = plan.next();
                assert_eq!(plan.ripe(due.saturating_sub(1)).is_some(), due == 0);
                if due > 0 {
                    assert!(plan.ripe(due).is_some());
                }
                all.push(due);
            }
        }
        all.sort_unstable();
        let even: Vec<u64> = (0..4_000).map(|n| n * MS / 4).collect();
        assert_eq!(all, even);
    }

    #[test]
    fn connections_take_turns() {
        let mut plan = Plan::new(1_000, 0, 1, 3);
        let order: Vec<_> = std::iter::from_fn(|| plan.ripe(5 * MS)).collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
        assert_eq!(plan.next(), 6 * MS);
    }

    #[test]
    fn a_turn_is_not_taken_early() {
        let (plan, mut turn) = (Plan::new(1_000, 0, 1, 2), 0);
        assert_eq!(plan.take(1, &mut turn, MS - 1), None);
        assert_eq!(plan.take(1, &mut turn, 90 * MS), Some(MS));
        assert_eq!(plan.take(1, &mut turn, 90 * MS), Some(3 * MS));
        assert_eq!(turn, 2);
    }

    #[test]
    fn a_closed_loop_is_corrected_by_what_it_could_not_ask() {
        let mut seen = histogram();
        for _ in 0..99 {
            seen.saturating_record(1_000);
        }
        seen.saturating_record(100_000);
        let corrected = closed_loop(&seen, Duration::from_millis(200), 100);
        assert_eq!(seen.len(), 100);
        // One every 2 ms: 98, 96 … 2 ms would have been seen beside the 100 ms.
        assert_eq!(corrected.len(), 149);
        assert_eq!(closed_loop(&seen, Duration::from_secs(1), 0).len(), 100);
    }

    #[test]
    fn what_was_due_and_not_sent() {
        let plan = Plan::new(1_000, 0, 1, 2);
        assert_eq!(plan.unsent(0, 0, 10 * MS), 5);
        assert_eq!(plan.unsent(1, 4, 10 * MS), 1);
        assert_eq!(plan.unsent(1, 5, 10 * MS), 0);
        assert_eq!(plan.unsent(1, 50, 10 * MS), 0);
    }
}
