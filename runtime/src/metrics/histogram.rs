//! Two fixed bucket layouts: Linkerd's whole milliseconds, and a finer one of our own.

use std::time::Duration;

use super::cell::Cell;

/// Upper bounds of `response_latency_ms`, inclusive, in milliseconds (linkerd2-proxy's).
pub(super) const LATENCY_MS: [u64; 25] = [
    1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000,
    10_000, 20_000, 30_000, 40_000, 50_000,
];

/// Buckets of `response_latency_ms` with the one for everything above the last bound.
pub(super) const LATENCY_BUCKETS: usize = LATENCY_MS.len() + 1;

/// Buckets of the fine histogram: 50 µs, then four an octave up to 65.5 s, then everything above.
pub(super) const FINE_BUCKETS: usize = 83;

/// A quarter of the fine histogram's first bound.
const UNIT_NANOS: u64 = 12_500;

/// The bucket of `span` in `response_latency_ms`: whole milliseconds, truncated as Linkerd does.
pub(super) fn latency_bucket(millis: u64) -> usize {
    LATENCY_MS.partition_point(|&bound| bound < millis)
}

/// Whole milliseconds, truncated.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The bucket of `nanos` in the fine histogram. In units of 12.5 µs the bounds are 4, then
/// 5 6 7 8, 10 12 14 16, 20 …: the three leading bits say which.
fn fine_bucket(nanos: u64) -> usize {
    let units = nanos.div_ceil(UNIT_NANOS);
    if units <= 4 {
        return 0;
    }
    let below = units - 1;
    let octave = below.ilog2() - 2;
    let quarter = (below >> octave) - 4;
    (1 + 4 * octave as usize + quarter as usize).min(FINE_BUCKETS - 1)
}

/// The inclusive upper bound of a fine bucket in nanoseconds; `None` for the last.
pub(super) fn fine_bound(bucket: usize) -> Option<u64> {
    match bucket {
        0 => Some(4 * UNIT_NANOS),
        _ if bucket >= FINE_BUCKETS - 1 => None,
        _ => {
            let (octave, quarter) = ((bucket - 1) / 4, (bucket - 1) % 4);
            Some(((5 + quarter as u64) << octave) * UNIT_NANOS)
        }
    }
}

/// The fine histogram's cells, written by one worker.
#[derive(Debug)]
pub(super) struct FineCells {
    buckets: [Cell; FINE_BUCKETS],
    nanos: Cell,
}

impl Default for FineCells {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| Cell::default()), nanos: Cell::default() }
    }
}

impl FineCells {
    /// Counts one value.
    pub(super) fn record(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[fine_bucket(nanos)].add(1);
        self.nanos.add(nanos);
    }
}

/// How often which duration was seen, summed over workers at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    pub(super) buckets: [u64; FINE_BUCKETS],
    pub(super) nanos: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; FINE_BUCKETS], nanos: 0 }
    }
}

impl Histogram {
    pub(super) fn add_cells(&mut self, cells: &FineCells) {
        for (sum, cell) in self.buckets.iter_mut().zip(&cells.buckets) {
            *sum += cell.get();
        }
        self.nanos = self.nanos.wrapping_add(cells.nanos.get());
    }

    /// Adds what `other` has seen.
    pub fn add(&mut self, other: &Self) {
        for (sum, n) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += n;
        }
        self.nanos = self.nanos.wrapping_add(other.nanos);
    }

    /// What was seen since `earlier`, a snapshot of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut gained = self.clone();
        for (sum, n) in gained.buckets.iter_mut().zip(&earlier.buckets) {
            *sum = sum.saturating_sub(*n);
        }
        gained.nanos = self.nanos.saturating_sub(earlier.nanos);
        gained
    }

    /// How many values were seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The value below which the share `q` (0 to 1) of all values lies, interpolated within its
    /// bucket: at most a quarter too high or low. `None` when nothing was seen.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = (q.clamp(0.0, 1.0) * count as f64).max(1.0);
        let mut below = 0.0;
        for (bucket, &n) in self.buckets.iter().enumerate() {
            let n = n as f64;
            if n > 0.0 && below + n >= rank {
                let low = bucket.checked_sub(1).and_then(fine_bound).unwrap_or(0) as f64;
                let high = fine_bound(bucket).map_or(low, |bound| bound as f64);
                let nanos = low + (high - low) * (rank - below) / n;
                return Some(Duration::from_nanos(nanos as u64));
            }
            below += n;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linkerd_bounds_are_inclusive_and_truncated() {
        let bucket = |micros| latency_bucket(millis(Duration::from_micros(micros)));
        assert_eq!([bucket(0), bucket(1999), bucket(2000), bucket(2999)], [0, 0, 1, 1]);
        assert_eq!(bucket(50_000_999), LATENCY_BUCKETS - 2);
        assert_eq!(bucket(50_001_000), LATENCY_BUCKETS - 1);
    }

    #[test]
    fn every_fine_bound_is_the_last_value_of_its_bucket() {
        for bucket in 0..FINE_BUCKETS - 1 {
            let bound = fine_bound(bucket).unwrap_or_default();
            assert_eq!(fine_bucket(bound), bucket, "at {bound} ns");
            assert_eq!(fine_bucket(bound + 1), bucket + 1, "after {bound} ns");
        }
        assert_eq!(fine_bound(0), Some(50_000));
        assert_eq!(fine_bound(FINE_BUCKETS - 2), Some(65_536_000_000));
        assert_eq!(fine_bound(FINE_BUCKETS - 1), None);
        assert_eq!([fine_bucket(0), fine_bucket(u64::MAX)], [0, FINE_BUCKETS - 1]);
    }

    #[test]
    fn quantiles_stay_within_their_bucket() {
        let cells = FineCells::default();
        for micros in 1..=1000 {
            cells.record(Duration::from_micros(micros));
        }
        let mut seen = Histogram::default();
        seen.add_cells(&cells);
        assert_eq!(seen.count(), 1000);
        assert_eq!(seen.nanos, 500_500_000);
        for (q, exact) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
            let found = seen.quantile(q).unwrap_or_default().as_secs_f64() * 1e6;
            assert!((found - exact).abs() / exact < 0.05, "{q}: {found} µs");
        }
        assert_eq!(seen.since(&seen).quantile(0.5), None);
    }
}
