//! The admin server: its pages, and metrics that agree with the ledger of what was sent.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use ringway_tests::admin;
use ringway_tests::client::Client;
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::proxy::Proxy;
use ringway_tests::reply::{Act, reply};
use ringway_tests::settings::Settings;
use ringway_tests::wait;

matrix!(pages, metrics_agree_with_the_ledger);

fn answering_by_status() -> Origin {
    Origin::acting("o", |r| {
        let status = r.target[1..].parse().unwrap_or(200);
        vec![Act::Send(reply(status, &[], b"four"))]
    })
}

fn pages(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]).workers(2));
    let at = proxy.settings.admin;
    let page =
        |path: &str| admin::get(at, path).unwrap_or_else(|| panic!("{path} does not answer"));
    assert_eq!(page("/live").0, 200);
    assert_eq!(page("/ready").0, 200);
    assert_eq!(page("/nothing").0, 404);
    assert_eq!(Client::connect(proxy.web()).get("/").status, 200);
    let (status, text) = page("/config");
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 200);
    assert!(text.contains("\"web\"") && config.is_object(), "{text}");
    let (status, text) = page("/endpoints");
    let endpoints: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 200);
    assert!(!endpoints.is_null());
    assert!(text.contains(&origin.address.to_string()), "{text}");
    let metrics = proxy.metrics();
    let drivers = metrics.by("ringway_driver_info", &[], "driver");
    assert_eq!(drivers, [(cell.announced().to_owned(), 2.0)], "the driver of both workers");
    assert!(metrics.sum("process_resident_memory_bytes", &[]) > 0.0);
    let head = Client::connect(at).ask("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status, head.body.len()), (200, 0));
}

fn metrics_agree_with_the_ledger(cell: Cell) {
    let origin = answering_by_status();
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]).workers(2));
    let ledger = [("200", 40), ("204", 3), ("404", 7), ("500", 5), ("503", 2)];
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(proxy.web())).collect();
    for (status, count) in ledger {
        for i in 0..count {
            let answer = clients[i % 4].get(&format!("/{status}"));
            assert_eq!(answer.status.to_string(), status);
        }
    }
    let total: usize = ledger.iter().map(|(_, n)| n).sum();
    // Outbound are the series of endpoints, where the responses came from.
    let upstream = [("dst_service", "app")];
    let mut metrics = proxy.metrics();
    wait::until(Duration::from_secs(3), "all responses are counted", || {
        metrics = proxy.metrics();
        metrics.sum("response_total", &upstream) >= total as f64
    });
    assert_eq!(metrics.sum("request_total", &upstream), total as f64);
    for (status, count) in ledger {
        let class = if status.starts_with('5') { "failure" } else { "success" };
        let labels = [("dst_service", "app"), ("status_code", status), ("classification", class)];
        assert_eq!(metrics.sum("response_total", &labels), count as f64, "{status}");
    }
    assert_eq!(metrics.sum("response_total", &upstream), total as f64);
    assert_eq!(metrics.sum("response_latency_ms_count", &upstream), total as f64);
    let infinite = [("dst_service", "app"), ("le", "+Inf")];
    assert_eq!(metrics.sum("response_latency_ms_bucket", &infinite), total as f64);
    assert_eq!(metrics.sum("tcp_open_connections", &[("peer", "src")]), 4.0);
    assert!(metrics.sum("tcp_write_bytes_total", &[("peer", "src")]) > 4.0 * total as f64);
    drop(clients);
    wait::until(Duration::from_secs(3), "the gauges come back", || {
        let metrics = proxy.metrics();
        metrics.sum("tcp_open_connections", &[("peer", "src")]) == 0.0
            && metrics.sum("ringway_worker_exchanges", &[]) == 0.0
    });
}
