//! The demo's table: tallies to rows, and rows to text. Nothing here prints.

use std::fmt::Write as _;
use std::time::Duration;

use super::load::Tally;
use super::services::Instance;

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// The service.
    pub(super) service: String,
    /// The instance; [`PROXY`] for what the proxy answered itself.
    pub(super) instance: String,
    /// What is wrong with the instance.
    pub(super) note: String,
    /// Requests in the time covered.
    pub(super) requests: u64,
    /// Requests a second.
    pub(super) rate: f64,
    /// Share of requests that succeeded, 0 to 1; `None` without requests.
    pub(super) success: Option<f64>,
    /// Median latency; `None` without answers.
    pub(super) p50: Option<Duration>,
    /// 99th percentile of the latency.
    pub(super) p99: Option<Duration>,
    /// Share of the service's requests, 0 to 1.
    pub(super) share: f64,
}

/// Stands in the instance column for answers that no instance gave.
pub(super) const PROXY: &str = "(no instance)";

/// The rows of all services. `tallies` are one for each instance, then one for each service;
/// the proxy's own rows are left out while they are empty.
pub(super) fn rows(
    services: &[&'static str],
    instances: &[Instance],
    tallies: &[Tally],
    span: Duration,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, service) in services.iter().enumerate() {
        let own = tallies.get(instances.len() + index);
        let members: Vec<(&str, String, &Tally)> = instances
            .iter()
            .zip(tallies)
            .filter(|(instance, _)| instance.service == *service)
            .map(|(instance, tally)| (instance.name.as_str(), instance.trouble.note(), tally))
            .chain(own.filter(|t| t.requests > 0).map(|t| (PROXY, String::new(), t)))
            .collect();
        let total: u64 = members.iter().map(|(_, _, tally)| tally.requests).sum();
        rows.extend(members.into_iter().map(|(name, note, tally)| Row {
            service: (*service).to_owned(),
            instance: name.to_owned(),
            note,
            requests: tally.requests,
            rate: ratio(tally.requests as f64, span.as_secs_f64()).unwrap_or(0.0),
            success: ratio((tally.requests - tally.failures) as f64, tally.requests as f64),
            p50: quantile(tally, 0.5),
            p99: quantile(tally, 0.99),
            share: ratio(tally.requests as f64, total as f64).unwrap_or(0.0),
        }));
    }
    rows
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn quantile(tally: &Tally, quantile: f64) -> Option<Duration> {
    let some = !tally.latency.is_empty();
    some.then(|| Duration::from_micros(tally.latency.value_at_quantile(quantile)))
}

/// Width of the bar that stands for a share of 100 %.
const BAR: usize = 20;

/// The table for a terminal of at least 80 columns; no line ends in white space.
pub(super) fn render(rows: &[Row]) -> String {
    let mut text = String::from(
        "SERVICE  INSTANCE       FAULT          RPS  SUCCESS      P50      P99  SHARE\n",
    );
    let mut before = "";
    for row in rows {
        let service = if row.service == before { "" } else { &row.service };
        before = &row.service;
        let bar = "▇".repeat((row.share * BAR as f64).round() as usize);
        let line = format!(
            "{service:<8} {:<14} {:<9} {:>8.1} {:>8} {:>8} {:>8} {:>4.0} % {bar}",
            row.instance,
            row.note,
            row.rate,
            percent(row.success),
            millis(row.p50),
            millis(row.p99),
            row.share * 100.0,
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// One line for each row, for logs and pipes.
pub(super) fn plain(rows: &[Row], at: Duration) -> String {
    let mut text = String::new();
    for row in rows {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "t={}s service={} instance={:?} rps={:.1} success={} p50={} p99={} share={:.0}%",
            at.as_secs(),
            row.service,
            row.instance,
            row.rate,
            percent(row.success).replace(' ', ""),
            millis(row.p50).replace(' ', ""),
            millis(row.p99).replace(' ', ""),
            row.share * 100.0,
        );
    }
    text
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| String::from("-"), |share| format!("{:.1} %", share * 100.0))
}

fn millis(latency: Option<Duration>) -> String {
    let text = |latency: Duration| format!("{:.1} ms", latency.as_secs_f64() * 1000.0);
    latency.map_or_else(|| String::from("-"), text)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::super::load::tallies;
    use super::super::services::Trouble;
    use super::*;

    fn instance(service: &'static str, name: &str, trouble: Trouble) -> Instance {
        let address = ([127, 0, 0, 1], 1).into();
        Instance { service, name: name.to_owned(), address, trouble }
    }

    fn world() -> (Vec<Instance>, Vec<Tally>) {
        let slow = Trouble::Slow(Duration::from_millis(60));
        let instances = vec![
            instance("web", "web-1", Trouble::None),
            instance("api", "api-1", Trouble::Failing(30)),
            instance("api", "api-2", slow),
            instance("api", "api-3", Trouble::None),
        ];
        let mut seen = tallies(6);
        for (row, count, failures, micros) in
            [(0, 100, 0, 1500), (1, 150, 3, 2500), (2, 50, 0, 62_500), (5, 1, 1, 900)]
        {
            seen[row].requests = count;
            seen[row].failures = failures;
            seen[row].latency.record_n(micros, count).unwrap();
        }
        (instances, seen)
    }

    #[test]
    fn the_table_looks_like_this() {
        let (instances, seen) = world();
        let rows = rows(&["web", "api"], &instances, &seen, Duration::from_secs(5));
        assert_eq!(
            render(&rows),
            "\
SERVICE  INSTANCE       FAULT          RPS  SUCCESS      P50      P99  SHARE
web      web-1                        20.0  100.0 %   1.5 ms   1.5 ms  100 % ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇
api      api-1          30 % fail     30.0   98.0 %   2.5 ms   2.5 ms   75 % ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇
         api-2          +60 ms        10.0  100.0 %  62.7 ms  62.7 ms   25 % ▇▇▇▇▇
         api-3                         0.0        -        -        -    0 %
         (no instance)                 0.2    0.0 %   0.9 ms   0.9 ms    0 %
"
        );
    }

    #[test]
    fn plain_lines_look_like_this() {
        let (instances, seen) = world();
        let rows = rows(&["web"], &instances[..1], &seen[..1], Duration::from_secs(5));
        assert_eq!(
            plain(&rows, Duration::from_secs(15)),
            "t=15s service=web instance=\"web-1\" rps=20.0 success=100.0% p50=1.5ms p99=1.5ms \
             share=100%\n"
        );
    }

    #[test]
    fn nothing_seen_divides_by_nothing() {
        let (instances, _) = world();
        let rows = rows(&["web"], &instances[..1], &tallies(2), Duration::ZERO);
        assert_eq!((rows.len(), rows[0].rate, rows[0].success), (1, 0.0, None));
    }
}
