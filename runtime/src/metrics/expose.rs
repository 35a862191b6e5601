//! `/metrics`: which families there are, what they are called, and what they mean.

use std::time::{Duration, Instant};

use super::histogram::{FINE_BUCKETS, LATENCY_MS, fine_bound};
use super::labels::{Labels, Scope, ServiceLabels};
use super::listener::connections;
use super::process;
use super::registry::{Groups, Registry};
use super::sums::{State, Sums};
use super::text::{Kind, Labelled, Text};
use super::worker::{Counter, Gauge, WorkerCells};

/// Counters of workers: name and help.
const COUNTERS: [(Counter, &str, &str); Counter::COUNT - HTTP2_CLOSED.len()] = [
    (Counter::Accepted, "ringway_accepted_total", "Client connections accepted."),
    (
        Counter::HandedOff,
        "ringway_handed_off_total",
        "Accepted connections given to a less loaded worker.",
    ),
    (
        Counter::AcceptPaused,
        "ringway_accept_paused_total",
        "Times accepting was paused for want of file descriptors.",
    ),
    (Counter::PoolHit, "ringway_pool_hit_total", "Attempts sent on a pooled connection."),
    (Counter::PoolMiss, "ringway_pool_miss_total", "Attempts that needed a new connection."),
    (Counter::PoolStale, "ringway_pool_stale_total", "Pooled connections found dead."),
    (Counter::Retries, "ringway_retries_total", "Attempts after the first of an exchange."),
    (
        Counter::Panics,
        "ringway_panics_total",
        "Bugs that ended one connection and were contained there.",
    ),
    (Counter::SnapshotsAdopted, "ringway_snapshots_adopted_total", "Snapshots adopted."),
    (
        Counter::AccessLogDropped,
        "ringway_access_log_dropped_lines_total",
        "Access log lines dropped because the writer was behind.",
    ),
    (
        Counter::SeriesFolded,
        "ringway_metrics_outcomes_folded_total",
        "Responses counted by class because their endpoint sends too many different statuses.",
    ),
    (Counter::Mirrored, "ringway_mirrored_total", "Requests copied to a mirror."),
];

/// Why HTTP/2 connections were closed: the label.
const HTTP2_CLOSED: [(Counter, &str); 11] = [
    (Counter::ProtocolErrors, "protocol error"),
    (Counter::FloodHeaders, "headers flood"),
    (Counter::FloodData, "data flood"),
    (Counter::FloodPriority, "priority flood"),
    (Counter::FloodReset, "reset flood"),
    (Counter::FloodSettings, "settings flood"),
    (Counter::FloodPing, "ping flood"),
    (Counter::FloodWindowUpdate, "window update flood"),
    (Counter::FloodOther, "other flood"),
    (Counter::FloodStall, "window stall"),
    (Counter::FloodStreamErrors, "stream errors flood"),
];

/// Gauges of workers: name and help.
const GAUGES: [(Gauge, &str, &str); Gauge::COUNT - 1] = [
    (Gauge::Connections, "ringway_worker_connections", "Client connections now."),
    (Gauge::Exchanges, "ringway_worker_exchanges", "Exchanges under way."),
    (Gauge::PoolIdle, "ringway_worker_pool_idle_connections", "Idle connections to endpoints."),
    (
        Gauge::SnapshotGeneration,
        "ringway_worker_snapshot_generation",
        "Generation of the adopted snapshot; 0 is none yet.",
    ),
    (Gauge::BufferBytes, "ringway_worker_buffer_bytes", "Bytes held in free buffers."),
];

impl Registry {
    /// All metrics in Prometheus' text format.
    pub(crate) fn text(&self) -> String {
        let mut out = Text::default();
        self.traffic(&mut out, Instant::now());
        workers(&mut out, self.workers());
        processes(&mut out);
        #[cfg(feature = "count-allocations")]
        allocations(&mut out);
        build(&mut out);
        out.into_string()
    }

    fn traffic(&self, out: &mut Text, now: Instant) {
        let groups = self.collect(now);
        let rows: Vec<Row<'_>> = groups
            .by_labels
            .iter()
            .map(|(labels, group)| Row { labels, sums: group.sums(), state: group.state() })
            .collect();
        exchanges(out, &rows);
        latencies(out, &rows);
        durations(out, &groups);
        connections(out, &rows);
        endpoints(out, &rows);
        let name = "ringway_metrics_series_folded_total";
        out.family(name, Kind::Counter, "Endpoint series beyond the limit, counted as other.");
        out.sample(name, |_| {}, groups.folded);
    }
}

/// One label set, read.
pub(super) struct Row<'a> {
    pub(super) labels: &'a Labels,
    pub(super) sums: Sums,
    state: Option<State>,
}

fn exchanges(out: &mut Text, rows: &[Row<'_>]) {
    out.family("request_total", Kind::Counter, "Total count of HTTP requests.");
    for Row { labels, sums, .. } in rows {
        out.sample("request_total", |l| labels.write(l, false), sums.requests);
    }
    out.family("response_total", Kind::Counter, "Total count of HTTP responses.");
    for Row { labels, sums, .. } in rows {
        for (key, n) in &sums.responses {
            let write = |l: &mut Labelled<'_>| {
                labels.write(l, false);
                key.write(l);
            };
            out.sample("response_total", write, n);
        }
    }
}

fn latencies(out: &mut Text, rows: &[Row<'_>]) {
    let name = "response_latency_ms";
    out.family(
        name,
        Kind::Histogram,
        "Time from a request's head to the first byte of its response, in whole milliseconds.",
    );
    for Row { labels, sums, .. } in rows {
        for (status, latency) in &sums.latency {
            let bounds = LATENCY_MS.iter().map(Some).chain([None]);
            let write = |l: &mut Labelled<'_>| {
                labels.write(l, false);
                super::labels::write_status(*status, l);
            };
            out.histogram(name, write, bounds.zip(latency.buckets), latency.millis);
        }
    }
}

fn durations(out: &mut Text, groups: &Groups) {
    let name = "ringway_response_duration_seconds";
    out.family(
        name,
        Kind::Histogram,
        "Time from a request's head to the end of its response, by service.",
    );
    for ((direction, service), seen) in groups.durations() {
        let bounds = (0..FINE_BUCKETS).map(|bucket| fine_bound(bucket).map(seconds));
        let write = |l: &mut Labelled<'_>| {
            l.label("direction", direction);
            ServiceLabels::write(service.as_ref(), l);
        };
        out.histogram(name, write, bounds.zip(seen.buckets), seconds(seen.nanos));
    }
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

fn endpoints(out: &mut Text, rows: &[Row<'_>]) {
    type Value = fn(&State) -> Option<f64>;
    let families: [(&str, &str, Value); 3] = [
        ("ringway_endpoint_weight", "Weight of an endpoint relative to its siblings.", |s| {
            Some(s.weight as f64)
        }),
        (
            "ringway_endpoint_outstanding",
            "Requests under way at an endpoint, over all workers.",
            |s| Some(s.outstanding as f64),
        ),
        (
            "ringway_endpoint_latency_seconds",
            "Latency the balancer believes an endpoint to have, mean of the workers.",
            |s| s.latency,
        ),
    ];
    for (name, help, value) in families {
        out.family(name, Kind::Gauge, help);
        for Row { labels, state, .. } in rows {
            let shown = matches!(labels.scope, Scope::Endpoint { target: Some(_), .. });
            if let Some(value) = state.as_ref().filter(|_| shown).and_then(value) {
                out.sample(name, |l| labels.write(l, false), value);
            }
        }
    }
}

fn workers(out: &mut Text, workers: &[std::sync::Arc<WorkerCells>]) {
    for (counter, name, help) in COUNTERS {
        out.family(name, Kind::Counter, help);
        for (index, cells) in workers.iter().enumerate() {
            out.sample(name, |l| l.label("worker", index), cells.counters[counter as usize].get());
        }
    }
    let name = "ringway_http2_closed_total";
    out.family(name, Kind::Counter, "HTTP/2 connections closed for what their peer did.");
    for (counter, cause) in HTTP2_CLOSED {
        for (index, cells) in workers.iter().enumerate() {
            let write = |l: &mut Labelled<'_>| {
                l.label("worker", index);
                l.label("cause", cause);
            };
            out.sample(name, write, cells.counters[counter as usize].get());
        }
    }
    for (gauge, name, help) in GAUGES {
        out.family(name, Kind::Gauge, help);
        for (index, cells) in workers.iter().enumerate() {
            out.sample(name, |l| l.label("worker", index), cells.gauges[gauge as usize].get());
        }
    }
    let name = "ringway_worker_longest_adoption_seconds";
    out.family(
        name,
        Kind::Gauge,
        "Longest that adopting a snapshot has kept requests waiting, since the start.",
    );
    for (index, cells) in workers.iter().enumerate() {
        let longest = cells.gauges[Gauge::LongestAdoption as usize].get();
        out.sample(name, |l| l.label("worker", index), seconds(longest));
    }
    let name = "ringway_worker_cpu_seconds_total";
    out.family(name, Kind::Counter, "CPU time of the worker's thread, user and system.");
    for (index, cells) in workers.iter().enumerate() {
        if let Some(cpu) = cells.thread.get().copied().and_then(process::thread_cpu_seconds) {
            out.sample(name, |l| l.label("worker", index), cpu);
        }
    }
    let name = "ringway_driver_info";
    out.family(name, Kind::Gauge, "The event driver a worker runs on, with its flags.");
    for (index, cells) in workers.iter().enumerate() {
        if let Some(driver) = cells.driver.get() {
            let write = |l: &mut Labelled<'_>| {
                l.label("worker", index);
                l.label("driver", driver.name);
                l.label("flags", &driver.flags);
            };
            out.sample(name, write, 1);
        }
    }
}

fn processes(out: &mut Text) {
    let Some(process) = process::read() else {
        return;
    };
    let mut one = |name: &str, kind: Kind, help: &str, value: f64| {
        out.family(name, kind, help);
        out.sample(name, |_| {}, value);
    };
    one(
        "process_cpu_seconds_total",
        Kind::Counter,
        "CPU time, user and system.",
        process.cpu_seconds,
    );
    let resident = process.resident_bytes as f64;
    one("process_resident_memory_bytes", Kind::Gauge, "Resident memory.", resident);
    let size = process.virtual_bytes as f64;
    one("process_virtual_memory_bytes", Kind::Gauge, "Virtual memory.", size);
    one("process_open_fds", Kind::Gauge, "Open file descriptors.", process.open_fds as f64);
    if let Some(max) = process.max_fds {
        one("process_max_fds", Kind::Gauge, "Most file descriptors allowed.", max as f64);
    }
    one("process_threads", Kind::Gauge, "Threads.", process.threads as f64);
    let start = process.start_time;
    one("process_start_time_seconds", Kind::Gauge, "Start, in seconds since 1970.", start);
}

#[cfg(feature = "count-allocations")]
fn allocations(out: &mut Text) {
    let counts = crate::allocations::so_far();
    for (name, help, value) in [
        ("ringway_allocations_total", "Blocks of memory taken.", counts.allocations),
        ("ringway_reallocations_total", "Blocks grown or shrunk.", counts.reallocations),
        ("ringway_deallocations_total", "Blocks given back.", counts.deallocations),
        ("ringway_allocated_bytes_total", "Bytes taken, regrown blocks in full.", counts.bytes),
    ] {
        out.family(name, Kind::Counter, help);
        out.sample(name, |_| {}, value);
    }
}

fn build(out: &mut Text) {
    out.family("proxy_build_info", Kind::Gauge, "The build of this proxy.");
    let write = |l: &mut Labelled<'_>| {
        l.label("version", env!("CARGO_PKG_VERSION"));
        l.label("profile", if cfg!(debug_assertions) { "debug" } else { "release" });
        l.label("vendor", "ringway");
    };
    out.sample("proxy_build_info", write, 1);
}

#[cfg(test)]
#[path = "expose_tests.rs"]
mod tests;
