//! How many lookups may begin: many at once, few all the time.

use ringway_core::time::{Duration, Instant};

/// So many may begin at once.
const BURST: u32 = 64;
/// And one more each time so long has passed: 20 a second.
const PACE: Duration = Duration::from_millis(50);

/// What may still begin.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u32,
    /// Up to when time has been turned into lookups.
    counted: Instant,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: BURST, counted: Instant::ZERO }
    }
}

impl Allowance {
    /// Takes one; false when there is none.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.since(self.counted).as_nanos() / PACE.as_nanos();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(passed).min(BURST);
        self.counted = if self.left == BURST { now } else { self.counted + PACE * passed };
        let some = self.left > 0;
        self.left -= u32::from(some);
        some
    }

    /// When there is one again, after there was none.
    pub(super) fn next(&self) -> Instant {
        self.counted + PACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_its_pace() {
        let mut allowance = Allowance::default();
        let mut now = Instant::ZERO + Duration::from_secs(1000);
        let mut taken = |now| (0..1000).filter(|_| allowance.take(now)).count();
        assert_eq!(taken(now), 64);
        now = now + Duration::from_millis(49);
        assert_eq!(taken(now), 0);
        now = now + Duration::from_millis(1);
        assert_eq!(taken(now), 1);
        assert_eq!(taken(now + Duration::from_secs(1)), 20);
        assert_eq!(taken(now + Duration::from_secs(3600)), 64);
    }
}
