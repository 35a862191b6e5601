//! Sums over workers, folding, retirement, and cells under concurrency.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::thread;

use ringway_core::record::Classification;

use super::super::series::{EndpointLabels, Outcome};
use super::*;

fn labels(service: &str, last: u8) -> EndpointLabels<'_> {
    let target = SocketAddr::from(([10, 0, 0, last], 80));
    EndpointLabels { direction: "outbound", namespace: "default", service, port: 80, target }
}

fn outcome(status: u16) -> Outcome {
    let failure = status >= 500;
    Outcome {
        status: Some(status),
        grpc: None,
        classification: if failure { Classification::Failure } else { Classification::Success },
        error: None,
        latency: Some(Duration::from_millis(3)),
        total: Duration::from_millis(4),
    }
}

fn success(registry: &Registry) -> Vec<(String, Option<SocketAddr>, u64)> {
    let totals = registry.totals().into_iter();
    totals.map(|t| (t.service.to_string(), t.target, t.success)).collect()
}

#[test]
fn two_workers_sum_exactly_while_somebody_scrapes() {
    const EACH: u64 = 100_000;
    let registry = Registry::new(2);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|index| {
                let registry = &registry;
                scope.spawn(move || {
                    let metrics = registry.worker(index);
                    let series = metrics.endpoint(&labels("web", 1));
                    for n in 0..EACH {
                        series.request();
                        let status = if n % 4 == 0 { 503 } else { 200 };
                        metrics.response(&series, &outcome(status));
                        series.read(2);
                    }
                })
            })
            .collect();
        let mut before = 0;
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            let now: u64 = registry.totals().iter().map(|t| t.success + t.failure).sum();
            assert!(now >= before, "{before} then {now}");
            before = now;
        }
    });
    let groups = registry.collect(Instant::now());
    assert_eq!(groups.by_labels.len(), 1);
    let sums = groups.by_labels.values().next().unwrap().sums();
    assert_eq!((sums.requests, sums.read), (2 * EACH, 4 * EACH));
    assert_eq!((sums.classified(false), sums.classified(true)), (EACH * 3 / 2, EACH / 2));
    assert_eq!(sums.durations.count(), 2 * EACH);
    let latency = &sums.latency[&Some(200)];
    assert_eq!((latency.buckets[2], latency.millis), (EACH * 3 / 2, EACH * 9 / 2));
}

#[test]
fn endpoints_beyond_the_limit_share_a_series_and_lose_no_count() {
    let registry = Registry::with_limits(1, 2, 1);
    let metrics = registry.worker(0);
    let services = ["a", "a", "a", "b", "c"];
    let kept: Vec<_> = (1..).zip(services).map(|(n, s)| metrics.endpoint(&labels(s, n))).collect();
    for series in &kept {
        metrics.response(series, &outcome(200));
    }
    // A second worker's cells of a known endpoint need no new place.
    let again = metrics.endpoint(&labels("a", 1));
    metrics.response(&again, &outcome(200));
    let at = |n| Some(labels("a", n).target);
    let mut seen = success(&registry);
    seen.sort();
    let wanted = [("a", None, 1), ("a", at(1), 2), ("a", at(2), 1), ("other", None, 2)];
    assert_eq!(seen, wanted.map(|(s, t, n)| (String::from(s), t, n)));
    assert_eq!(registry.collect(Instant::now()).folded, 3);
}

#[test]
fn an_endpoint_that_is_gone_stays_for_a_while_and_comes_back_without_going_backwards() {
    let registry = Registry::with_limits(1, 1, 1);
    let metrics = registry.worker(0);
    let start = Instant::now();
    let count = |after: u64| -> Vec<u64> {
        let groups = registry.collect(start + Duration::from_secs(after));
        groups.by_labels.values().map(|group| group.sums().classified(false)).collect()
    };
    let series = metrics.endpoint(&labels("web", 1));
    metrics.response(&series, &outcome(200));
    let clone = series.clone();
    drop(series);
    metrics.response(&clone, &outcome(200));
    assert_eq!(count(1), [2]);
    drop(clone);
    assert_eq!(count(2), [2]);
    let back = metrics.endpoint(&labels("web", 1));
    metrics.response(&back, &outcome(200));
    assert_eq!(count(5000), [3], "in use, however old");
    drop(back);
    assert_eq!(count(5001), [3]);
    assert_eq!(count(5600), [3]);
    assert_eq!(count(5601), [0; 0]);
    // Its place is free again.
    let next = metrics.endpoint(&labels("web", 2));
    metrics.response(&next, &outcome(200));
    assert_eq!(success(&registry), [(String::from("web"), Some(labels("web", 2).target), 1)]);
}

#[test]
fn a_services_histogram_keeps_what_its_gone_endpoints_saw() {
    let registry = Registry::new(1);
    let metrics = registry.worker(0);
    let start = Instant::now();
    let count = |after: u64| -> Vec<u64> {
        let groups = registry.collect(start + Duration::from_secs(after));
        groups.durations().values().map(Histogram::count).collect()
    };
    let first = metrics.endpoint(&labels("web", 1));
    let second = metrics.endpoint(&labels("web", 2));
    metrics.response(&first, &outcome(200));
    metrics.response(&second, &outcome(200));
    drop(first);
    assert_eq!(count(1), [2]);
    assert_eq!(count(700), [2]);
    assert_eq!(registry.totals().len(), 1);
    drop(second);
    assert_eq!(count(701), [2]);
    assert_eq!(count(1400), [0; 0], "a service without endpoints goes with the last");
}

#[test]
fn an_upstream_that_invents_statuses_gets_classes() {
    let registry = Registry::new(1);
    let metrics = registry.worker(0);
    let series = metrics.endpoint(&labels("web", 1));
    for status in 100..1000 {
        metrics.response(&series, &outcome(status));
    }
    let groups = registry.collect(Instant::now());
    let sums = groups.by_labels.values().next().unwrap().sums();
    assert_eq!(sums.responses.values().sum::<u64>(), 900);
    assert_eq!(sums.responses.len(), 64 + 9);
}

#[test]
fn cells_do_not_pile_up_when_nobody_scrapes() {
    let registry = Registry::with_limits(1, 10, 10);
    let metrics = registry.worker(0);
    for n in 0..100_000_u32 {
        let series = metrics.endpoint(&labels("web", (n % 200) as u8));
        metrics.response(&series, &outcome(200));
    }
    assert!(registry.0.to_take.len() < 2 * BACKLOG, "{}", registry.0.to_take.len());
    let all: u64 = success(&registry).iter().map(|(.., n)| n).sum();
    assert_eq!(all, 100_000);
}
