//! What is known of one endpoint's load: requests outstanding and a latency estimate that rises
//! at once and falls slowly (peak-EWMA, as in Finagle and Linkerd).

use crate::snapshot::Balancer;
use crate::time::{Duration, Instant};

/// A failed attempt counts as this many times the default latency, if it did not take longer: an
/// endpoint that refuses at once must not look fast. With the defaults 300 ms, which fades to the
/// default latency in 23 s.
const FAILURE_FACTOR: u32 = 10;

/// How an estimate behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// Time in which an old latency loses most (1 − 1/e) of its weight. Default 10 s (Linkerd).
    pub decay: Duration,
    /// Latency assumed of an endpoint not yet measured. Default 30 ms (Linkerd).
    pub default_rtt: Duration,
}

impl Default for Params {
    fn default() -> Self {
        Self { decay: Duration::from_secs(10), default_rtt: Duration::from_millis(30) }
    }
}

impl Params {
    /// Those of `balancer`; the defaults for one that does not balance by latency but still
    /// reports it.
    #[must_use]
    pub fn of(balancer: Balancer) -> Self {
        match balancer {
            Balancer::PeakEwma { decay, default_rtt } => Self { decay, default_rtt },
            Balancer::LeastRequest | Balancer::RoundRobin => Self::default(),
        }
    }
}

/// The load of one endpoint, as one worker sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    outstanding: u32,
    /// Nanoseconds.
    latency: f64,
    /// When `latency` was last observed.
    stamp: Instant,
    measured: bool,
}

impl Load {
    /// Of an endpoint not yet measured, which is assumed to answer in `rtt`.
    #[must_use]
    pub fn new(rtt: Duration, now: Instant) -> Self {
        Self { outstanding: 0, latency: nanos(rtt), stamp: now, measured: false }
    }

    /// A request is sent to the endpoint.
    pub const fn begin(&mut self) {
        self.outstanding += 1;
    }

    /// A request has ended, one way or another.
    pub const fn end(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
    }

    /// The first byte of a response came after `latency`.
    pub fn observe(&mut self, latency: Duration, params: &Params, now: Instant) {
        self.measured = true;
        let sample = nanos(latency);
        let kept = fade(now.since(self.stamp), params);
        // A peak shows at once; a better value has to prove itself over `decay`.
        self.latency =
            if sample > self.latency { sample } else { sample + (self.latency - sample) * kept };
        self.stamp = now;
    }

    /// The attempt failed after `latency`: it never improves the estimate.
    pub fn penalise(&mut self, latency: Duration, params: &Params, now: Instant) {
        let floor = params.default_rtt.saturating_mul(FAILURE_FACTOR);
        self.at_least(latency.max(floor), params, now);
    }

    /// The response takes at least `latency`: a lower bound can only raise the estimate.
    pub fn at_least(&mut self, latency: Duration, params: &Params, now: Instant) {
        if nanos(latency) > self.estimate(params, now) {
            self.observe(latency, params, now);
        }
    }

    /// Requests under way.
    #[must_use]
    pub const fn outstanding(&self) -> u32 {
        self.outstanding
    }

    /// The latency estimate as last observed; `None` before the first observation.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.measured.then(|| Duration::from_nanos(self.latency as u64))
    }

    /// The estimate in nanoseconds now: without observations it fades towards zero, so that an
    /// endpoint avoided for its past is tried again.
    #[must_use]
    pub fn estimate(&self, params: &Params, now: Instant) -> f64 {
        self.latency * fade(now.since(self.stamp), params)
    }
}

/// The weight left to a value of age `age`.
fn fade(age: Duration, params: &Params) -> f64 {
    let decay = nanos(params.decay).max(1.0);
    (-nanos(age) / decay).exp()
}

fn nanos(span: Duration) -> f64 {
    span.as_secs_f64() * 1e9
}

#[cfg(test)]
mod tests {
    use super::{Load, Params};
    use crate::time::{Duration, Instant};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + MS(ms)
    }

    fn estimate(load: &Load, ms: u64) -> u64 {
        (load.estimate(&Params::default(), at(ms)) / 1e6).round() as u64
    }

    #[test]
    fn rises_at_once_and_falls_slowly() {
        let params = Params::default();
        let mut load = Load::new(MS(30), at(0));
        assert_eq!(estimate(&load, 0), 30);
        assert_eq!(load.latency(), None);
        load.observe(MS(500), &params, at(10));
        assert_eq!(estimate(&load, 10), 500);
        load.observe(MS(1), &params, at(20));
        assert_eq!(estimate(&load, 20), 500, "one good answer proves little");
        load.observe(MS(1), &params, at(20_020));
        assert!(estimate(&load, 20_020) < 100, "after two decays it is mostly forgotten");
    }

    #[test]
    fn fades_while_nothing_is_observed() {
        let load = Load::new(MS(30), at(0));
        assert_eq!(estimate(&load, 10_000), 11, "30 ms / e");
        assert_eq!(estimate(&load, 100_000), 0);
    }

    #[test]
    fn a_failure_never_looks_fast() {
        let params = Params::default();
        let mut load = Load::new(MS(30), at(0));
        load.penalise(Duration::ZERO, &params, at(1));
        assert_eq!(estimate(&load, 1), 300);
        load.penalise(MS(900), &params, at(2));
        assert_eq!(estimate(&load, 2), 900);
        load.penalise(MS(1), &params, at(3));
        assert_eq!(estimate(&load, 3), 900, "nor does a later one improve it");
    }

    #[test]
    fn a_lower_bound_only_raises() {
        let params = Params::default();
        let mut load = Load::new(MS(30), at(0));
        load.at_least(MS(2), &params, at(1));
        assert_eq!(estimate(&load, 1), 30);
        load.at_least(MS(70), &params, at(2));
        assert_eq!(estimate(&load, 2), 70);
    }

    #[test]
    fn outstanding_does_not_wrap() {
        let mut load = Load::new(MS(30), at(0));
        load.begin();
        load.begin();
        assert_eq!(load.outstanding(), 2);
        load.end();
        load.end();
        load.end();
        assert_eq!(load.outstanding(), 0);
    }
}
