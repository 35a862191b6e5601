//! Latency percentiles in wrk2's two forms: eight lines, and the table that HdrHistogram's
//! plotters read.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use crate::unit;

/// The percentiles that wrk2 prints.
const PERCENTILES: [f64; 8] = [50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 99.999, 100.0];

/// Rows of the table for each halving of the distance to 100 %.
const TICKS: u32 = 5;

/// Both forms under the heading `description`; `latencies` are microseconds.
pub fn print(out: &mut String, latencies: &Histogram<u64>, description: &str) {
    let _ = writeln!(out, "  Latency Distribution (HdrHistogram - {description})");
    for percentile in PERCENTILES {
        let value = latencies.value_at_percentile(percentile);
        let shown = unit::column(&unit::micros(value as f64), 10);
        let _ = writeln!(out, "{percentile:7.3}%{shown}");
    }
    let _ = writeln!(out, "\n  Detailed Percentile spectrum:");
    table(out, latencies);
    let _ = writeln!(out, "----------------------------------------------------------");
}

fn table(out: &mut String, latencies: &Histogram<u64>) {
    let head = ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"];
    let _ = writeln!(out, "{:>12} {:>12} {:>12} {:>12}\n", head[0], head[1], head[2], head[3]);
    let mut total = 0;
    for row in latencies.iter_quantiles(TICKS) {
        total += row.count_since_last_iteration();
        let value = row.value_iterated_to() as f64 / 1_000.0;
        let quantile = row.quantile_iterated_to();
        let distance = 1.0 / (1.0 - quantile);
        let _ = writeln!(out, "{value:12.3} {quantile:12.6} {total:12} {distance:12.2}");
    }
    let (mean, deviation) = (latencies.mean() / 1_000.0, latencies.stdev() / 1_000.0);
    let (max, count) = (latencies.max() as f64 / 1_000.0, latencies.len());
    let _ = writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(out, "#[Max     = {max:12.3}, Total count    = {count:12}]");
    // As the C implementation counts them for three figures of one day of microseconds.
    let _ = writeln!(out, "#[Buckets = {:12}, SubBuckets     = {:12}]", latencies.buckets(), 2_048);
}
