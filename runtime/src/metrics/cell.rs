//! The number under every metric: one writer, any reader, no read-modify-write.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one worker writes and anyone may read. A plain load and store are enough for a
/// single writer and cost what an ordinary addition costs; who may write is kept to one thread by
/// handles that are not `Send`.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    /// Adds `n`; wraps around after 2^64, which Prometheus reads as a restart.
    pub(super) fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Replaces the value.
    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value now.
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
