//! Every case in time, by criterion: `make bench`, or `make bench CASE=route` for some of them.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringway_benches::{Meter, Work, every_case};

struct Timed<'c>(&'c mut Criterion);

impl Meter for Timed<'_> {
    fn measure<S, T>(
        &mut self,
        name: &str,
        work: Work,
        build: impl FnOnce() -> S,
        mut step: impl FnMut(&mut S) -> T,
    ) {
        let (group, case) = name.split_once('/').unwrap_or((name, "all"));
        let mut group = self.0.benchmark_group(group);
        match work {
            Work::One => {}
            Work::Bytes(count) => _ = group.throughput(Throughput::Bytes(count as u64)),
            Work::Endpoints(count) => _ = group.throughput(Throughput::Elements(count as u64)),
        }
        // criterion asks for the routine several times, and not at all for a case left out.
        let (mut build, mut state) = (Some(build), None);
        group.bench_function(case, |bencher| {
            if let Some(build) = build.take() {
                state = Some(build());
            }
            if let Some(state) = &mut state {
                bencher.iter(|| step(black_box(state)));
            }
        });
        group.finish();
    }
}

fn time(criterion: &mut Criterion) {
    every_case(&mut Timed(criterion));
}

criterion_group!(benches, time);
criterion_main!(benches);
