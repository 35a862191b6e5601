//! When to act on changes that come in bursts: once it is quiet, but not later than at a limit.

use ringway_core::time::{Duration, Instant};

/// A debounce without a clock.
#[derive(Debug, Clone)]
pub struct Settle {
    quiet: Duration,
    limit: Duration,
    /// The first and the last change not yet acted on.
    pending: Option<(Instant, Instant)>,
}

impl Settle {
    /// Acts `quiet` after the last change, and at the latest `limit` after the first.
    #[must_use]
    pub const fn new(quiet: Duration, limit: Duration) -> Self {
        Self { quiet, limit, pending: None }
    }

    /// Notes a change.
    pub fn touch(&mut self, now: Instant) {
        let first = self.pending.map_or(now, |(first, _)| first);
        self.pending = Some((first, now));
    }

    /// When to act, if anything changed.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let (first, last) = self.pending?;
        Some((last + self.quiet).min(first + self.limit))
    }

    /// Whether to act now; if so, the changes count as acted on.
    pub fn take(&mut self, now: Instant) -> bool {
        let act = self.due().is_some_and(|due| due <= now);
        if act {
            self.pending = None;
        }
        act
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn settle() -> Settle {
        Settle::new(Duration::from_millis(20), Duration::from_millis(200))
    }

    #[test]
    fn nothing_is_due_without_a_change() {
        assert_eq!(settle().due(), None);
        assert!(!settle().take(Instant::NEVER));
    }

    #[test]
    fn it_acts_once_when_it_is_quiet() {
        let mut settle = settle();
        settle.touch(at(0));
        settle.touch(at(15));
        assert_eq!(settle.due(), Some(at(35)));
        assert!(!settle.take(at(34)));
        assert!(settle.take(at(35)));
        assert!(!settle.take(at(1000)));
    }

    #[test]
    fn changes_without_end_do_not_hold_it_back() {
        let mut settle = settle();
        for millis in (0..=190).step_by(10) {
            settle.touch(at(millis));
            assert!(!settle.take(at(millis)));
        }
        assert!(settle.take(at(200)));
    }
}
