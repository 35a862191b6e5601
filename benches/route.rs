//! Finding the rule of a request among few and among 10,000 routes, by path and by host.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ringway_benches::with_head;
use ringway_core::policy::route::{
    HostMatch, InvalidMatch, Match, PathMatch, RouteTable, RouteTableBuilder,
};
use ringway_core::snapshot::Rule;

/// `count` prefixes under one host.
fn by_path(count: usize) -> Result<RouteTable, InvalidMatch> {
    let mut builder = RouteTableBuilder::new();
    for number in 0..count {
        let path = PathMatch::Prefix(format!("/service-{number}").into());
        builder.add(&[], vec![Match { path, ..Match::default() }], Rule::default())?;
    }
    Ok(builder.build())
}

/// `count` hosts with one rule each.
fn by_host(count: usize) -> Result<RouteTable, InvalidMatch> {
    let mut builder = RouteTableBuilder::new();
    for number in 0..count {
        let host = HostMatch::parse(&format!("service-{number}.example.com"));
        builder.add(&[host.unwrap_or(HostMatch::Any)], Vec::new(), Rule::default())?;
    }
    Ok(builder.build())
}

fn route(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    for count in [10, 10_000] {
        // The last one, deep in its path: what a scan would find latest.
        let last = count - 1;
        let host = format!("Host: service-{last}.example.com");
        let request = format!("GET /service-{last}/items/7?page=2 HTTP/1.1\r\n{host}\r\n\r\n");
        for (kind, table) in [("path", by_path(count)), ("host", by_host(count))] {
            let Ok(table) = table else { unreachable!("every route of a benchmark compiles") };
            with_head(request.as_bytes(), |head| {
                assert_eq!(table.find(head).map(|found| found.index as usize), Some(last));
                group.bench_with_input(BenchmarkId::new(kind, count), &table, |bencher, table| {
                    bencher.iter(|| table.find(black_box(head)).is_some());
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, route);
criterion_main!(benches);
