//! Choosing one of 3, 100 and 10,000 endpoints by each balancer, with equal and unequal weights.

use ringway_core::policy::balance::Picker;
use ringway_core::policy::load::{Load, Params};
use ringway_core::rng::Rng;
use ringway_core::snapshot::Balancer;
use ringway_core::time::{Duration, Instant};

use crate::{Meter, Work};

/// A cluster as the picker sees it.
struct Choice {
    picker: Picker,
    loads: Vec<Load>,
    params: Params,
    rng: Rng,
    now: Instant,
}

pub(super) fn cases(meter: &mut impl Meter) {
    let balancers = [
        ("peak-ewma", Balancer::default()),
        ("least-request", Balancer::LeastRequest),
        ("round-robin", Balancer::RoundRobin),
    ];
    for (name, balancer) in balancers {
        for count in [3, 100, 10_000] {
            for (suffix, spread) in [("", 1), ("-weighted", 7)] {
                meter.measure(
                    &format!("pick/{name}/{count}{suffix}"),
                    Work::One,
                    || Choice::among(count, spread, balancer),
                    Choice::make,
                );
            }
        }
    }
}

impl Choice {
    /// So many endpoints with weights from 1 to `spread`.
    fn among(count: u32, spread: u32, balancer: Balancer) -> Self {
        let (params, mut rng) = (Params::of(balancer), Rng::new(7));
        let weights = (0..count).map(|at| 1 + at % spread);
        let picker = Picker::new(balancer, weights, &mut rng);
        let loads = (0..count).map(|_| Load::new(params.default_rtt, Instant::ZERO)).collect();
        Self { picker, loads, params, rng, now: Instant::ZERO }
    }

    fn make(&mut self) -> Option<usize> {
        self.now = self.now + Duration::from_micros(20);
        let load = |at: usize| &self.loads[at];
        self.picker.pick(&mut self.rng, &load, &|_| false, &self.params, self.now)
    }
}
