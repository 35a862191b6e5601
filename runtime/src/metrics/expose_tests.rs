//! The text as a scraper sees it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use ringway_core::message::Cause;
use ringway_core::record::Classification;

use super::super::series::{EndpointLabels, ListenerLabels, Outcome};
use super::super::worker::Driver;
use super::*;

fn at(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], port))
}

/// A registry of one worker in which a little of everything has happened.
fn scene() -> Registry {
    let registry = Registry::new(1);
    let metrics = registry.worker(0);
    metrics.driver(Driver { name: "io_uring", flags: String::from("SINGLE_ISSUER") });
    metrics.count(Counter::PoolHit);
    metrics.set(Gauge::Connections, 3);
    let endpoint = metrics.endpoint(&EndpointLabels {
        direction: "outbound",
        namespace: "default",
        service: "web",
        port: 80,
        target: at(1, 8080),
    });
    let listener = metrics.listener(&ListenerLabels {
        direction: "outbound",
        listener: "gate\"way",
        address: at(9, 4140),
    });
    let mut outcome = Outcome {
        status: Some(200),
        grpc: None,
        classification: Classification::Success,
        error: None,
        latency: Some(Duration::from_micros(1_999)),
        total: Duration::from_micros(2_500),
    };
    endpoint.request();
    metrics.response(&endpoint, &outcome);
    outcome.status = None;
    outcome.latency = None;
    outcome.classification = Classification::Failure;
    outcome.error = Some(Cause::Reset);
    endpoint.request();
    metrics.response(&endpoint, &outcome);
    outcome.status = Some(404);
    outcome.classification = Classification::Success;
    outcome.error = Some(Cause::NoRoute);
    listener.request();
    metrics.response(&listener, &outcome);
    listener.opened();
    listener.opened();
    listener.closed(None);
    listener.read(10);
    endpoint.closed(Some(&std::io::ErrorKind::ConnectionReset.into()));
    endpoint.state(1, 2, Some(Duration::from_millis(5)));
    // Keeps the gauges: a series in use.
    std::mem::forget(endpoint);
    registry
}

const WEB: &str = "target_addr=\"10.0.0.1:8080\",target_ip=\"10.0.0.1\",target_port=\"8080\",\
    tls=\"disabled\",dst_namespace=\"default\",dst_service=\"web\",dst_port=\"80\"";
const GATEWAY: &str = "listener=\"gate\\\"way\",target_addr=\"10.0.0.9:4140\",\
    target_ip=\"10.0.0.9\",target_port=\"4140\",tls=\"disabled\"";

#[test]
fn names_and_labels_are_linkerds() {
    let text = scene().text();
    let out = "direction=\"outbound\"";
    for line in [
        format!("request_total{{{out},{WEB}}} 2"),
        format!("request_total{{{out},{GATEWAY}}} 1"),
        format!(
            "response_total{{{out},{WEB},status_code=\"200\",classification=\"success\",\
             grpc_status=\"\",error=\"\"}} 1"
        ),
        format!(
            "response_total{{{out},{WEB},classification=\"failure\",grpc_status=\"\",\
             error=\"connection reset\"}} 1"
        ),
        format!(
            "response_total{{{out},{GATEWAY},status_code=\"404\",classification=\"success\",\
             grpc_status=\"\",error=\"no route\"}} 1"
        ),
        format!("response_latency_ms_bucket{{{out},{WEB},status_code=\"200\",le=\"1\"}} 1"),
        format!("response_latency_ms_bucket{{{out},{WEB},status_code=\"200\",le=\"+Inf\"}} 1"),
        format!("response_latency_ms_sum{{{out},{WEB},status_code=\"200\"}} 1"),
        format!("response_latency_ms_count{{{out},{WEB},status_code=\"200\"}} 1"),
        format!("tcp_open_total{{{out},peer=\"src\",{GATEWAY}}} 2"),
        format!("tcp_open_connections{{{out},peer=\"src\",{GATEWAY}}} 1"),
        format!("tcp_read_bytes_total{{{out},peer=\"src\",{GATEWAY}}} 10"),
        format!("tcp_close_total{{{out},peer=\"src\",{GATEWAY},errno=\"\"}} 1"),
        format!("tcp_close_total{{{out},peer=\"dst\",{WEB},errno=\"ECONNRESET\"}} 1"),
        format!("ringway_endpoint_outstanding{{{out},{WEB}}} 2"),
        format!("ringway_endpoint_latency_seconds{{{out},{WEB}}} 0.005"),
        String::from(
            "ringway_driver_info{worker=\"0\",driver=\"io_uring\",flags=\"SINGLE_ISSUER\"} 1",
        ),
        String::from("ringway_pool_hit_total{worker=\"0\"} 1"),
        String::from("ringway_worker_connections{worker=\"0\"} 3"),
        String::from("ringway_metrics_series_folded_total 0"),
    ] {
        assert!(text.lines().any(|l| l == line), "missing {line}\nin\n{text}");
    }
    let fine = format!(
        "ringway_response_duration_seconds_bucket{{{out},dst_namespace=\"default\",\
         dst_service=\"web\",dst_port=\"80\",le=\"0.0028\"}} 2"
    );
    assert!(text.contains(&fine), "missing {fine}\nin\n{text}");
    if let Some(path) = std::env::var_os("RINGWAY_METRICS_SAMPLE") {
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn every_family_is_announced_once_and_every_sample_appears_once() {
    let text = scene().text();
    let mut types = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut current = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(types.insert(name, kind).is_none(), "{name} twice");
            current = name;
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(seen.insert(series), "{series} twice");
            let name = series.split('{').next().unwrap();
            let stem = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s));
            let family = if types[current] == "histogram" { stem.unwrap() } else { name };
            assert_eq!(family, current);
        }
    }
    for (name, kind) in types {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} {kind}");
    }
}

#[test]
fn counters_and_gauges_are_listed_at_their_own_place() {
    let counted = COUNTERS.iter().map(|(c, ..)| c).chain(HTTP2_CLOSED.iter().map(|(c, _)| c));
    let counters: BTreeSet<_> = counted.map(|c| *c as usize).collect();
    // A time, which is shown in seconds, has its place beside the table.
    let shown = GAUGES.iter().map(|(g, ..)| g).chain([&Gauge::LongestAdoption]);
    let gauges: BTreeSet<_> = shown.map(|g| *g as usize).collect();
    assert_eq!((counters.len(), gauges.len()), (Counter::COUNT, Gauge::COUNT));
}

#[test]
fn allocations_are_shown_only_where_they_are_counted() {
    let text = scene().text();
    for name in ["ringway_allocations_total", "ringway_allocated_bytes_total"] {
        assert_eq!(text.contains(name), cfg!(feature = "count-allocations"), "{name}");
    }
}
