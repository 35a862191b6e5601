//! The report on standard output: wrk2's, to the line, so that what reads one reads the other.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::spectrum;
use crate::tally::Tally;
use crate::unit;

/// From this lateness on, in microseconds, the report says that the schedule was not kept.
const BEHIND: u64 = 100_000;

/// What a report is about.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The URL.
    pub url: &'a str,
    /// Threads that made the load.
    pub threads: u64,
    /// Connections of all threads.
    pub connections: u64,
    /// How long it was to be measured.
    pub asked: Duration,
    /// How long it was measured.
    pub took: Duration,
    /// The latencies to show, in microseconds.
    pub latencies: &'a Histogram<u64>,
    /// Whether percentiles are printed (`--latency`).
    pub latency: bool,
    /// Whether uncorrected percentiles are printed as well (`--u_latency`).
    pub u_latency: bool,
}

/// What wrk prints before the run.
pub fn heading(url: &str, duration: Duration, threads: u64, connections: u64) -> String {
    let duration = unit::seconds(duration.as_secs_f64());
    format!("Running {duration} test @ {url}\n  {threads} threads and {connections} connections\n")
}

/// What wrk2 prints after it.
pub fn report(subject: &Subject<'_>, tally: &Tally) -> String {
    let mut out = String::new();
    let _ =
        writeln!(out, "  Thread Stats{:>6}{:>11}{:>8}{:>12}", "Avg", "Stdev", "Max", "+/- Stdev");
    let latency = Summary::of_latencies(subject.latencies);
    let _ = writeln!(out, "    {:<10}{}", "Latency", latency.columns(unit::micros));
    let rate = Summary::of_rates(&tally.rates);
    let _ = writeln!(out, "    {:<10}{}", "Req/Sec", rate.columns(unit::metric));
    if subject.latency || subject.u_latency {
        spectrum::print(&mut out, subject.latencies, "Recorded Latency");
    }
    if subject.u_latency {
        out.push('\n');
        let heading = "Uncorrected Latency (measured without taking delayed starts into account)";
        spectrum::print(&mut out, &tally.uncorrected, heading);
    }
    totals(&mut out, subject, tally);
    out
}

fn totals(out: &mut String, subject: &Subject<'_>, tally: &Tally) {
    let seconds = subject.took.as_secs_f64();
    let took = unit::micros(seconds * 1e6);
    let read = unit::binary(tally.bytes as f64);
    let _ = writeln!(out, "  {} requests in {took}, {read}B read", tally.requests);
    let errors = &tally.errors;
    if errors.connect + errors.read + errors.write + errors.timeout > 0 {
        let _ = writeln!(
            out,
            "  Socket errors: connect {}, read {}, write {}, timeout {}",
            errors.connect, errors.read, errors.write, errors.timeout
        );
    }
    if errors.status > 0 {
        let _ = writeln!(out, "  Non-2xx or 3xx responses: {}", errors.status);
    }
    if errors.verify > 0 {
        let _ = writeln!(out, "  Responses that failed verification: {}", errors.verify);
    }
    // A few at the very end say nothing.
    if tally.unsent > 0 && tally.oldest >= BEHIND {
        let oldest = unit::micros(tally.oldest as f64);
        let _ = writeln!(
            out,
            "  Behind schedule: {} requests were due and not sent, the oldest by {oldest}",
            tally.unsent
        );
    }
    let _ = writeln!(out, "Requests/sec: {:9.2}", tally.requests as f64 / seconds);
    let rate = unit::binary(tally.bytes as f64 / seconds);
    let _ = writeln!(out, "Transfer/sec: {rate:>10}B");
}

/// A row of the block `Thread Stats`.
struct Summary {
    mean: f64,
    deviation: f64,
    max: f64,
    /// Percent of the values within one deviation of the mean.
    within: f64,
}

impl Summary {
    fn of_latencies(values: &Histogram<u64>) -> Self {
        let (mean, deviation) = (values.mean(), values.stdev());
        let (low, high) = ((mean - deviation).max(0.0), mean + deviation);
        let within = values.count_between(low as u64, high as u64);
        let share = if values.is_empty() { 0.0 } else { within as f64 / values.len() as f64 };
        Self { mean, deviation, max: values.max() as f64, within: share * 100.0 }
    }

    fn of_rates(values: &[u64]) -> Self {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<u64>() as f64 / count;
        let squares: f64 = values.iter().map(|&v| (v as f64 - mean).powi(2)).sum();
        let deviation = (squares / (count - 1.0).max(1.0)).sqrt();
        let within = values.iter().filter(|&&v| (v as f64 - mean).abs() <= deviation).count();
        let max = values.iter().copied().max().unwrap_or(0) as f64;
        Self { mean, deviation, max, within: within as f64 / count * 100.0 }
    }

    fn columns(&self, shown: impl Fn(f64) -> String) -> String {
        format!(
            "{}{}{}{:8.2}%",
            unit::column(&shown(self.mean), 8),
            unit::column(&shown(self.deviation), 10),
            unit::column(&shown(self.max), 9),
            self.within
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Subject, heading, report};
    use crate::tally::Tally;
    use std::time::Duration;

    /// 1,000 requests in 10 s: 900 took 1 ms, 100 took 5 ms.
    fn tally() -> Tally {
        let mut tally = Tally::new(Duration::from_secs(10));
        for _ in 0..900 {
            tally.corrected.saturating_record(1_000);
        }
        for _ in 0..100 {
            tally.corrected.saturating_record(5_000);
        }
        tally.uncorrected = tally.corrected.clone();
        (tally.requests, tally.bytes) = (1_000, 313_507);
        tally.rates = vec![90, 110, 100, 100];
        tally
    }

    fn shown(tally: &Tally, latency: bool, u_latency: bool) -> String {
        let second = Duration::from_secs(10);
        let subject = Subject {
            url: "http://a/",
            threads: 1,
            connections: 8,
            asked: second,
            took: second,
            latencies: &tally.corrected,
            latency,
            u_latency,
        };
        let head = heading(subject.url, subject.asked, subject.threads, subject.connections);
        head + &report(&subject, tally)
    }

    #[test]
    fn the_short_report() {
        assert_eq!(shown(&tally(), false, false), include_str!("golden/short.txt"));
    }

    #[test]
    fn the_report_with_percentiles_and_every_error() {
        let mut tally = tally();
        tally.errors.connect = 1;
        tally.errors.timeout = 4;
        tally.errors.status = 5;
        tally.errors.verify = 6;
        (tally.unsent, tally.oldest) = (7, 1_500_000);
        assert_eq!(shown(&tally, true, true), include_str!("golden/long.txt"));
    }

    #[test]
    fn a_run_without_a_response() {
        let text = shown(&Tally::new(Duration::from_secs(1)), true, false);
        assert!(text.contains("  0 requests in 10.00s, 0.00B read"), "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }
}
