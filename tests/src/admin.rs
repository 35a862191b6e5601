//! The proxy's admin server as a scraper sees it: status, body, and parsed metrics.

use std::net::SocketAddr;
use std::time::Duration;

use crate::client::Client;

/// One sample of the Prometheus text format.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
}

/// One scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// All samples.
    pub samples: Vec<Sample>,
}

impl Metrics {
    /// The samples of `name` that carry all these labels.
    pub fn find<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> + 'a {
        self.samples.iter().filter(move |s| {
            s.name == name
                && labels.iter().all(|(k, v)| s.labels.iter().any(|(n, w)| n == k && w == v))
        })
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).map(|s| s.value).sum()
    }

    /// The values of `label` with the sum of each, sorted by label.
    #[must_use]
    pub fn by(&self, name: &str, labels: &[(&str, &str)], label: &str) -> Vec<(String, f64)> {
        let mut out: Vec<(String, f64)> = Vec::new();
        for sample in self.find(name, labels) {
            let Some((_, value)) = sample.labels.iter().find(|(n, _)| n == label) else {
                continue;
            };
            match out.iter_mut().find(|(v, _)| v == value) {
                Some((_, sum)) => *sum += sample.value,
                None => out.push((value.clone(), sample.value)),
            }
        }
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }

    /// Reads the text format strictly.
    ///
    /// # Errors
    /// The first line that is not of the format.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut samples = Vec::new();
        for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
            samples.push(sample(line).ok_or_else(|| format!("not a sample: {line:?}"))?);
        }
        Ok(Self { samples })
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, rest) = series.split_once('{').unwrap_or((series, "}"));
    let mut labels = Vec::new();
    let mut rest = rest.strip_suffix('}')?;
    while !rest.is_empty() {
        let (label, tail) = rest.split_once("=\"")?;
        let (text, after) = quoted(tail)?;
        labels.push((label.to_owned(), text));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    let plain = |n: &str| {
        !n.is_empty() && n.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
    };
    let names = plain(name) && labels.iter().all(|(n, _)| plain(n));
    names.then_some(())?;
    Some(Sample { name: name.into(), labels, value: value.parse().ok()? })
}

/// The text up to the closing quote, unescaped, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => out.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            _ => out.push(c),
        }
    }
    None
}

/// GET `path` of an admin server: status and body; `None` when it does not answer.
#[must_use]
pub fn get(admin: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut client = Client::try_connect(admin).ok()?;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"));
    let response = client.response_within("GET", Duration::from_secs(5)).ok()?;
    Some((response.status, String::from_utf8_lossy(&response.body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_labels() {
        let text = "# HELP a x\na{b=\"c,\\\"d\",e=\"f\"} 2\na 1\nb_bucket{le=\"+Inf\"} 3\n";
        let metrics = Metrics::parse(text).unwrap();
        assert_eq!(metrics.sum("a", &[]), 3.0);
        assert_eq!(metrics.sum("a", &[("b", "c,\"d")]), 2.0);
        assert!(Metrics::parse("a{b=c} 1").is_err());
    }
}
