//! Everything a run has counted, as JSON.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::cli::Cli;
use crate::run::Outcome;

/// The document of `--json`. Latencies are microseconds, times seconds.
pub fn document(cli: &Cli, outcome: &Outcome, corrected: &Histogram<u64>) -> Value {
    let (tally, took) = (&outcome.tally, outcome.took.as_secs_f64());
    let (errors, cpu) = (&tally.errors, outcome.cpu.as_secs_f64());
    json!({
        "url": cli.url,
        "loop": if cli.rate.is_some() { "open" } else { "closed" },
        "threads": cli.threads,
        "connections": cli.connections,
        "streams": cli.streams,
        "duration_s": took,
        "warmup_s": cli.warmup.as_secs_f64(),
        "requests": tally.requests,
        "bytes": tally.bytes,
        "rate_asked": cli.rate,
        "rate": tally.requests as f64 / took,
        "errors": {
            "connect": errors.connect,
            "read": errors.read,
            "write": errors.write,
            "timeout": errors.timeout,
            "status": errors.status,
            "verify": errors.verify,
            "total": errors.total(),
        },
        "latency_us": latencies(corrected),
        "uncorrected_latency_us": latencies(&tally.uncorrected),
        "connections_reopened": tally.reopened,
        "unfinished": {
            "unsent": tally.unsent,
            "in_flight": tally.in_flight,
            "oldest_us": tally.oldest,
        },
        "cpu_s": cpu,
        "cpu_us_per_request": cpu * 1e6 / tally.requests.max(1) as f64,
        "mismatches": tally.mismatches,
    })
}

fn latencies(values: &Histogram<u64>) -> Value {
    let at = |percentile| values.value_at_percentile(percentile);
    json!({
        "count": values.len(),
        "min": if values.is_empty() { 0 } else { values.min() },
        "mean": values.mean(),
        "stdev": values.stdev(),
        "p50": at(50.0),
        "p75": at(75.0),
        "p90": at(90.0),
        "p99": at(99.0),
        "p99.9": at(99.9),
        "p99.99": at(99.99),
        "max": values.max(),
    })
}
