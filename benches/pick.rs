//! Choosing one of 3 and one of 1,000 endpoints, by each balancer, with equal and unequal weights.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ringway_core::policy::balance::Picker;
use ringway_core::policy::load::{Load, Params};
use ringway_core::rng::Rng;
use ringway_core::snapshot::Balancer;
use ringway_core::time::{Duration, Instant};

fn pick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    let balancers = [
        ("peak-ewma", Balancer::default()),
        ("least-request", Balancer::LeastRequest),
        ("round-robin", Balancer::RoundRobin),
    ];
    for (name, balancer) in balancers {
        for (count, spread) in [(3, 1), (1_000, 1), (1_000, 7)] {
            let weights = (0..count).map(|at| 1 + at % spread);
            let label = format!("{count} endpoints, weights 1 to {spread}");
            let params = Params::of(balancer);
            let mut rng = Rng::new(7);
            let mut picker = Picker::new(balancer, weights, &mut rng);
            let loads: Vec<Load> =
                (0..count).map(|_| Load::new(params.default_rtt, Instant::ZERO)).collect();
            group.bench_function(BenchmarkId::new(name, label), |bencher| {
                let mut now = Instant::ZERO;
                bencher.iter(|| {
                    now = now + Duration::from_micros(20);
                    let load = |at: usize| &loads[at];
                    picker.pick(&mut rng, &load, &|_| false, &params, black_box(now))
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, pick);
criterion_main!(benches);
