//! Metrics of discovery: its sources, and the watches of the Kubernetes API server.

use std::fmt::Display;

use ringway_discovery::{Lookups, SourceStatus, Status, WatchState, WatchStatus};

use super::text::{Kind, Text};

type OfSource = fn(&SourceStatus) -> u64;
type OfLookups = fn(&Lookups) -> u64;
type OfWatch = fn(&WatchStatus) -> Option<f64>;

/// Per source: name, kind, help and value.
const SOURCES: [(&str, Kind, &str, OfSource); 4] = [
    (
        "ringway_discovery_source_complete",
        Kind::Gauge,
        "1 when the source has shown its whole picture; nothing is published before.",
        |source| u64::from(source.complete),
    ),
    ("ringway_discovery_source_objects", Kind::Gauge, "Objects known by the source.", |source| {
        source.objects as u64
    }),
    (
        "ringway_discovery_source_errors",
        Kind::Gauge,
        "What is wrong with the source now; /discovery says what.",
        |source| source.errors.len() as u64,
    ),
    (
        "ringway_discovery_source_failures_total",
        Kind::Counter,
        "Times something was wrong with the source.",
        |source| source.failures,
    ),
];

/// Per watch: name, kind, help and value.
const WATCHES: [(&str, Kind, &str, OfWatch); 8] = [
    (
        "ringway_discovery_watch_complete",
        Kind::Gauge,
        "1 when the watch knows its objects or that its kind does not exist, 0 before its first list.",
        |watch| Some(f64::from(watch.state != WatchState::Waiting)),
    ),
    (
        "ringway_discovery_watch_failing",
        Kind::Gauge,
        "1 while the watch does not get through; what it knows stays in use.",
        |watch| Some(f64::from(watch.last_error.is_some())),
    ),
    ("ringway_discovery_watch_objects", Kind::Gauge, "Objects known by the watch.", |watch| {
        Some(watch.objects as f64)
    }),
    (
        "ringway_discovery_watch_faults",
        Kind::Gauge,
        "Objects that are not right and keep their last good state.",
        |watch| Some(watch.faults.len() as f64),
    ),
    (
        "ringway_discovery_watch_age_seconds",
        Kind::Gauge,
        "Time since the API server was last heard of by the watch.",
        |watch| watch.age.map(|age| age.as_secs_f64()),
    ),
    (
        "ringway_discovery_watch_resource_version",
        Kind::Gauge,
        "The resourceVersion up to which the watch knows everything.",
        |watch| watch.resource_version.parse().ok(),
    ),
    (
        "ringway_discovery_watch_lists_total",
        Kind::Counter,
        "Times the watch has read everything.",
        |watch| Some(watch.lists as f64),
    ),
    (
        "ringway_discovery_watch_failures_total",
        Kind::Counter,
        "Times a request of the watch, or the watch, has failed.",
        |watch| Some(watch.failures as f64),
    ),
];

/// How lookups may end: the label `result`, and how many have.
const RESULTS: [(&str, OfLookups); 5] = [
    ("found", |lookups| lookups.found),
    ("absent", |lookups| lookups.absent),
    ("denied", |lookups| lookups.denied),
    ("refused", |lookups| lookups.refused),
    ("abandoned", |lookups| lookups.abandoned),
];

/// The metrics of `status` in Prometheus' text format.
pub(crate) fn text(status: &Status) -> String {
    let mut out = Text::default();
    let name = "ringway_discovery_generation";
    out.family(name, Kind::Gauge, "Generation of the last published snapshot; 0 is none yet.");
    out.sample(name, |_| {}, status.generation);
    for (name, kind, help, value) in SOURCES {
        out.family(name, kind, help);
        for source in &status.sources {
            out.sample(name, |l| l.label("source", source.name), value(source));
        }
    }
    for (name, kind, help, value) in WATCHES {
        out.family(name, kind, help);
        for watch in &status.watches {
            let Some(value) = value(watch) else { continue };
            let label = |l: &mut super::text::Labelled<'_>| {
                l.label("kind", watch.kind);
                l.label("scope", &watch.scope as &dyn Display);
            };
            out.sample(name, label, value);
        }
    }
    if let Some(found) = &status.lookups {
        lookups(found, &mut out);
    }
    out.into_string()
}

/// Services that are looked up on demand.
fn lookups(lookups: &Lookups, out: &mut Text) {
    let name = "ringway_discovery_lookups_total";
    out.family(
        name,
        Kind::Counter,
        "Hosts looked up on demand, by what came of it; refused and abandoned had no answer.",
    );
    for (result, value) in RESULTS {
        out.sample(name, |l| l.label("result", result), value(lookups));
    }
    let name = "ringway_discovery_lookups_waiting";
    out.family(name, Kind::Gauge, "Hosts being looked up now.");
    out.sample(name, |_| {}, lookups.waiting as u64);
    let name = "ringway_discovery_demand_services";
    out.family(name, Kind::Gauge, "Services known because somebody asked for them.");
    out.sample(name, |_| {}, lookups.services as u64);
    let name = "ringway_discovery_demand_dropped_total";
    out.family(name, Kind::Counter, "Services dropped because nobody used them for long.");
    out.sample(name, |_| {}, lookups.dropped);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_watches_are_shown() {
        let source = SourceStatus {
            name: "kubernetes",
            complete: true,
            objects: 3,
            last_error: None,
            errors: vec![String::from("a"), String::from("b")],
            failures: 7,
            notes: Vec::new(),
        };
        let watch = WatchStatus {
            kind: "Service",
            scope: String::from("shop"),
            state: WatchState::Watching,
            resource_version: String::from("1042"),
            age: Some(std::time::Duration::from_millis(1500)),
            objects: 3,
            streamed: true,
            lists: 2,
            failures: 1,
            last_error: None,
            faults: Vec::new(),
        };
        let unknown = WatchStatus {
            scope: String::from("b"),
            age: None,
            resource_version: String::new(),
            ..watch.clone()
        };
        let lookups =
            Lookups { found: 4, refused: 2, waiting: 1, services: 3, ..Lookups::default() };
        let status = Status {
            generation: 9,
            sources: vec![source],
            watches: vec![watch, unknown],
            lookups: Some(lookups),
        };
        let text = text(&status);
        for line in [
            "ringway_discovery_generation 9",
            "ringway_discovery_source_errors{source=\"kubernetes\"} 2",
            "ringway_discovery_source_failures_total{source=\"kubernetes\"} 7",
            "ringway_discovery_watch_age_seconds{kind=\"Service\",scope=\"shop\"} 1.5",
            "ringway_discovery_watch_resource_version{kind=\"Service\",scope=\"shop\"} 1042",
            "ringway_discovery_lookups_total{result=\"found\"} 4",
            "ringway_discovery_lookups_total{result=\"refused\"} 2",
            "ringway_discovery_lookups_waiting 1",
            "ringway_discovery_demand_services 3",
            "ringway_discovery_watch_lists_total{kind=\"Service\",scope=\"shop\"} 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(!text.contains("age_seconds{kind=\"Service\",scope=\"b\"}"), "{text}");
    }
}
