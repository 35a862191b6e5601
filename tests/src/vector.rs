//! The cases of vectors/h1.json as the suite uses them.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::settings::TIME_SCALE;
use crate::text;

/// One bad-input case.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Its unique name.
    pub id: String,
    /// The rule it is about.
    pub group: String,
    /// `must`, `should` or `policy`.
    pub severity: String,
    /// The bytes come from the upstream, not from the client.
    pub response: bool,
    /// What is sent.
    pub bytes: Vec<u8>,
    /// The outcomes that pass, the preferred one first.
    pub outcomes: Vec<String>,
    /// Bytes at a time and the pause between them.
    pub pace: Option<(usize, Duration)>,
    /// Cut the bytes after each of these.
    pub split_after: Vec<String>,
    /// What the sender does to its connection afterwards.
    pub then: String,
    /// When an upstream sends: `idle`, `mid_request_body`, or at a whole request.
    pub when: String,
    /// The client's method in a response case.
    pub method: String,
    /// Bytes the client reads a second; 0 is all it can get.
    pub read_rate: usize,
    /// Must not reach the upstream.
    pub upstream_not: Vec<String>,
    /// Must reach the upstream when the case is forwarded.
    pub upstream_must: Vec<String>,
    /// Must not reach the client.
    pub client_not: Vec<String>,
    /// Must reach the client when the case is forwarded.
    pub client_must: Vec<String>,
    /// The most complete requests an upstream may see.
    pub most: Option<usize>,
    /// The fewest, when the case is forwarded.
    pub fewest: usize,
}

impl Case {
    /// Whether it needs a time-out of the proxy, or seconds of its own.
    #[must_use]
    pub fn slow(&self) -> bool {
        let waits = |o: &String| o == "timeout_close" || o == "gateway_timeout_504";
        let paced = self.pace.is_some_and(|(_, every)| every >= Duration::from_millis(100));
        self.read_rate > 0 || paced || self.outcomes.iter().any(waits)
    }

    /// The bytes in the pieces in which they are to be sent. A pace of over a second is for the
    /// body: the head goes at once.
    #[must_use]
    pub fn pieces(&self) -> Vec<Vec<u8>> {
        if let Some((size, every)) = self.pace {
            let head = self.bytes.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| at + 4);
            let head = if every >= Duration::from_secs(1) { head } else { 0 };
            let mut out: Vec<Vec<u8>> = vec![self.bytes[..head].to_vec()];
            out.extend(self.bytes[head..].chunks(size).map(<[u8]>::to_vec));
            return out;
        }
        let mut out = vec![Vec::new()];
        for at in 0..self.bytes.len() {
            let last = out.len() - 1;
            out[last].push(self.bytes[at]);
            let ends = |mark: &String| out[last].ends_with(&text::bytes(mark));
            if self.split_after.iter().any(ends) {
                out.push(Vec::new());
            }
        }
        out
    }

    /// The pause between the pieces.
    #[must_use]
    pub fn pause(&self) -> Duration {
        let split = Duration::from_millis(if self.split_after.is_empty() { 0 } else { 4 });
        self.pace.map_or(split, |(_, every)| every)
    }
}

/// Reads the file.
///
/// # Panics
/// When it is not there or not of the format.
#[must_use]
pub fn load(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let all: Value = serde_json::from_str(&text).unwrap();
    all.as_array().unwrap().iter().map(case).collect()
}

fn case(v: &Value) -> Case {
    let string = |key: &str| v[key].as_str().unwrap_or("").to_owned();
    let number = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
    let mut outcomes = vec![string("expect")];
    outcomes.extend(strings(&v["also_ok"]));
    let pace = v["pace"].is_object().then(|| {
        let every = Duration::from_millis(v["pace"]["every_ms"].as_u64().unwrap_or(1));
        // Long paces belong to default time-outs; the tests' are shorter by the same factor.
        let scaled = if every >= Duration::from_millis(500) { every / TIME_SCALE } else { every };
        (number(&v["pace"]["bytes"]).unwrap_or(1), scaled)
    });
    Case {
        id: string("id"),
        group: string("group"),
        severity: string("severity"),
        response: v["dir"] == "response",
        bytes: expanded(v),
        outcomes,
        pace,
        split_after: strings(&v["split_after"]),
        then: string("then"),
        when: string("when"),
        method: v["request_method"].as_str().unwrap_or("GET").to_owned(),
        read_rate: number(&v["client_read_bps"]).unwrap_or(0),
        upstream_not: strings(&v["upstream_must_not_contain"]),
        upstream_must: strings(&v["upstream_must_contain"]),
        client_not: strings(&v["client_must_not_contain"]),
        client_must: strings(&v["client_must_contain"]),
        most: number(&v["upstream_requests_max"]),
        fewest: number(&v["upstream_requests_min"]).unwrap_or(0),
    }
}

fn strings(v: &Value) -> Vec<String> {
    let list = v.as_array().into_iter().flatten();
    list.filter_map(|s| s.as_str().map(str::to_owned)).collect()
}

fn expanded(v: &Value) -> Vec<u8> {
    let mut out = v["bytes"].as_str().unwrap_or("").to_owned();
    for e in v["expand"].as_array().into_iter().flatten() {
        let count = e["count"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let (token, unit) = (e["token"].as_str().unwrap_or(""), e["unit"].as_str().unwrap_or(""));
        out = out.replace(token, &unit.repeat(count));
    }
    text::bytes(&out)
}
