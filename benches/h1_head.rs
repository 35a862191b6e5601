//! Reading a request and a response head, framing rules included.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringway_benches::{ANSWER, BROWSER, SHORT, with_head};
use ringway_core::message::Method;
use ringway_core::wire::h1::head::{FieldTable, Limits, response};

fn h1_head(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("h1_head");
    for (name, bytes) in [("request/short", SHORT), ("request/browser", BROWSER)] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| with_head(black_box(bytes), |head| head.fields.len()));
        });
    }
    group.throughput(Throughput::Bytes(ANSWER.len() as u64));
    group.bench_function("response/nginx", |bencher| {
        let limits = Limits::default();
        bencher.iter(|| {
            let mut table = FieldTable::new();
            response(black_box(ANSWER), &mut table, &limits, Method::Get).is_ok()
        });
    });
    group.finish();
}

criterion_group!(benches, h1_head);
criterion_main!(benches);
