//! How long to wait before the next try: a pure schedule.

use ringway_core::rng::Rng;
use ringway_core::time::Duration;

use super::failure::Failure;

/// Never sooner than this: at most one request a second and watch.
pub(crate) const LEAST: Duration = Duration::from_secs(1);
/// The longest pause while there is nobody. A return is noticed within seconds all the same, by one
/// for all ([`super::presence`]).
const MOST_UNREACHABLE: Duration = Duration::from_secs(10);
/// The longest pause after answers that say no.
const MOST_REFUSED: Duration = Duration::from_secs(30);
/// The longest that `Retry-After` is obeyed.
const MOST_OBEYED: Duration = Duration::from_secs(120);

/// Failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// How many of the same sort.
    alike: u32,
    answered: bool,
}

impl Failures {
    /// Counts one more: the pause before the next try.
    ///
    /// Answers that say no and no answer are counted apart. An API server that comes back refuses
    /// for a moment, until it knows who may do what; that is not to be paid for as if it had
    /// refused all the time that it was away.
    pub(crate) fn add(&mut self, failure: &Failure, rng: &mut Rng) -> Duration {
        let answered = !matches!(failure, Failure::Unreachable(_));
        if answered != self.answered {
            self.alike = 0;
        }
        self.answered = answered;
        self.alike = self.alike.saturating_add(1);
        pause(self.alike, failure, rng)
    }

    /// Whether the last one was of another sort than those before it.
    pub(crate) const fn is_news(&self) -> bool {
        self.alike == 1
    }

    /// Something has succeeded.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The pause after the `failures`th failure in a row (from 1).
///
/// It doubles from one second to its limit, and is anything between half of that and all of it, so
/// that many that have lost the same server do not come back together. `Retry-After` is a lower
/// bound.
fn pause(failures: u32, failure: &Failure, rng: &mut Rng) -> Duration {
    let most = match failure {
        Failure::Unreachable(_) => MOST_UNREACHABLE,
        Failure::Access(_) | Failure::Refused { .. } | Failure::Malformed(_) => MOST_REFUSED,
    };
    let doublings = failures.clamp(1, 10);
    let longest = (LEAST * (1 << doublings)).min(most);
    let shortest = (longest / 2).max(LEAST);
    let wanted = shortest + jitter(longest - shortest, rng);
    match failure.retry_after() {
        // Everybody has been told the same.
        Some(told) => {
            let told = told.min(MOST_OBEYED);
            wanted.max(told + jitter(told / 4, rng))
        }
        None => wanted,
    }
}

/// Anything up to `most`.
pub(crate) fn jitter(most: Duration, rng: &mut Rng) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.below(nanos.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn refused(retry_after: Option<u64>) -> Failure {
        Failure::Refused {
            status: StatusCode::SERVICE_UNAVAILABLE,
            message: String::new(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    /// The shortest and the longest of many pauses, in milliseconds.
    fn range(failures: u32, failure: &Failure) -> (u128, u128) {
        let mut rng = Rng::new(7);
        let pauses: Vec<_> =
            (0..2000).map(|_| pause(failures, failure, &mut rng).as_millis()).collect();
        (pauses.iter().copied().min().unwrap_or(0), pauses.iter().copied().max().unwrap_or(0))
    }

    #[test]
    fn pauses_grow_to_their_limit_and_are_spread() {
        let rows = [(1, 1000, 2000), (2, 2000, 4000), (3, 4000, 8000), (5, 15000, 30000)];
        for (failures, shortest, longest) in rows.into_iter().chain([(u32::MAX, 15000, 30000)]) {
            let (least, most) = range(failures, &refused(None));
            assert!((shortest..=shortest + 100).contains(&least), "{failures}: {least}");
            assert!((longest - 100..=longest).contains(&most), "{failures}: {most}");
        }
    }

    #[test]
    fn nobody_asks_more_than_once_a_second_nor_misses_the_return_for_long() {
        for failures in [0, 1, 2, 3, 50] {
            let (least, most) = range(failures, &Failure::Unreachable(String::new()));
            assert!(least >= 1000 && most <= 10_000, "{failures}: {least} to {most}");
        }
    }

    #[test]
    fn a_server_that_comes_back_is_asked_again_soon() {
        let (mut failures, mut rng) = (Failures::default(), Rng::new(7));
        for _ in 0..20 {
            failures.add(&Failure::Unreachable(String::new()), &mut rng);
            assert!(failures.add(&refused(None), &mut rng) <= LEAST * 2);
            assert!(failures.is_news());
        }
        let long = (0..5).map(|_| failures.add(&refused(None), &mut rng)).last();
        assert!(long.is_some_and(|pause| pause >= MOST_REFUSED / 2) && !failures.is_news());
    }

    #[test]
    fn retry_after_is_obeyed_within_reason() {
        let (least, most) = range(1, &refused(Some(10)));
        assert!(least >= 10_000 && most <= 12_500, "{least} to {most}");
        assert!(range(1, &refused(Some(u64::MAX / 2))).1 <= 150_000);
        assert!(range(5, &refused(Some(1))).0 >= 15_000, "our own pause when that is longer");
    }
}
