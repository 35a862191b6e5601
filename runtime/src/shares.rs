//! How many connections each worker has: what all workers look at when one of them accepts.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The connections of all workers.
pub(crate) struct Shares(Vec<Count>);

/// On a cache line pair of its own.
#[derive(Default)]
#[repr(align(128))]
struct Count(AtomicUsize);

impl Shares {
    /// None for any of `workers`.
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Count::default()).collect())
    }

    /// Counts a new connection for the worker with the fewest: `mine`, unless another one has
    /// fewer. The kernel spreads connections by a hash, which leaves few long ones badly uneven.
    pub(crate) fn assign(&self, mine: usize) -> usize {
        let own = self.0[mine].0.load(Ordering::Relaxed);
        let best = (0..self.0.len())
            .map(|worker| (self.0[worker].0.load(Ordering::Relaxed), worker))
            .min()
            .filter(|(count, _)| *count < own)
            .map_or(mine, |(_, worker)| worker);
        self.0[best].0.fetch_add(1, Ordering::Relaxed);
        best
    }

    /// A new connection for `worker`, whatever the others have.
    pub(crate) fn add(&self, worker: usize) {
        self.0[worker].0.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection of `worker` has ended.
    pub(crate) fn release(&self, worker: usize) {
        self.0[worker].0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections of `worker`.
    pub(crate) fn of(&self, worker: usize) -> usize {
        self.0[worker].0.load(Ordering::Relaxed)
    }

    /// Connections of all workers.
    pub(crate) fn total(&self) -> usize {
        self.0.iter().map(|count| count.0.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::Shares;

    #[test]
    fn the_hash_may_favour_one_worker_but_the_shares_stay_even() {
        let shares = Shares::new(2);
        for _ in 0..4 {
            shares.assign(0);
        }
        assert_eq!((shares.of(0), shares.of(1)), (2, 2));
        shares.release(1);
        assert_eq!(shares.assign(0), 1);
        assert_eq!(shares.total(), 4);
    }

    #[test]
    fn a_connection_stays_where_it_was_accepted_when_nobody_has_fewer() {
        let shares = Shares::new(3);
        assert_eq!(shares.assign(2), 2);
        assert_eq!(shares.assign(1), 1);
        assert_eq!(shares.assign(0), 0);
    }
}
