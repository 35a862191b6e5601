//! How many connections each worker has: what all workers look at when one of them accepts.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The connections of all workers, and who still accepts.
pub(crate) struct Shares {
    workers: Vec<Count>,
    /// Sockets on which somebody accepts, or still has to take what waits.
    doors: AtomicUsize,
}

/// On a cache line pair of its own.
#[derive(Default)]
#[repr(align(128))]
struct Count(AtomicUsize);

impl Shares {
    /// None for any of `workers`.
    pub(crate) fn new(workers: usize) -> Self {
        let workers = (0..workers).map(|_| Count::default()).collect();
        Self { workers, doors: AtomicUsize::new(0) }
    }

    /// Somebody begins to accept on a socket.
    pub(crate) fn open_door(&self) {
        self.doors.fetch_add(1, Ordering::Relaxed);
    }

    /// The socket is closed, and what waited on it was taken.
    pub(crate) fn close_door(&self) {
        self.doors.fetch_sub(1, Ordering::Release);
    }

    /// Whether nobody accepts and no connection is left.
    pub(crate) fn is_deserted(&self) -> bool {
        self.doors.load(Ordering::Acquire) == 0 && self.total() == 0
    }

    /// Counts a new connection for the worker with the fewest: `mine`, unless another one has
    /// fewer. The kernel spreads connections by a hash, which leaves few long ones badly uneven.
    pub(crate) fn assign(&self, mine: usize) -> usize {
        let own = self.workers[mine].0.load(Ordering::Relaxed);
        let best = (0..self.workers.len())
            .map(|worker| (self.workers[worker].0.load(Ordering::Relaxed), worker))
            .min()
            .filter(|(count, _)| *count < own)
            .map_or(mine, |(_, worker)| worker);
        self.workers[best].0.fetch_add(1, Ordering::Relaxed);
        best
    }

    /// A new connection for `worker`, whatever the others have.
    pub(crate) fn add(&self, worker: usize) {
        self.workers[worker].0.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection of `worker` has ended.
    pub(crate) fn release(&self, worker: usize) {
        self.workers[worker].0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections of all workers.
    pub(crate) fn total(&self) -> usize {
        self.workers.iter().map(|count| count.0.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{Ordering, Shares};

    fn of(shares: &Shares, worker: usize) -> usize {
        shares.workers[worker].0.load(Ordering::Relaxed)
    }

    #[test]
    fn the_hash_may_favour_one_worker_but_the_shares_stay_even() {
        let shares = Shares::new(2);
        for _ in 0..4 {
            shares.assign(0);
        }
        assert_eq!((of(&shares, 0), of(&shares, 1)), (2, 2));
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
