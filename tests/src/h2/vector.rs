//! The cases of vectors/h2.json as the suite uses them.

use std::path::Path;

use serde_json::Value;

use crate::text;

/// A piece that is sent again and again.
#[derive(Clone, Debug)]
pub struct Loop {
    /// The piece.
    pub unit: Vec<u8>,
    /// How often.
    pub count: usize,
    /// Where in it stream identifiers are.
    places: Vec<usize>,
    first: u32,
    step: u32,
    wrap: u32,
    /// The sender reads nothing.
    pub no_read: bool,
}

impl Loop {
    /// The piece for the `k`th time.
    #[must_use]
    pub fn nth(&self, k: usize) -> Vec<u8> {
        let mut unit = self.unit.clone();
        let turn = u32::try_from(k).unwrap_or(u32::MAX);
        let turn = if self.wrap > 0 { turn % self.wrap } else { turn };
        let id = self.first + turn * self.step;
        for &place in &self.places {
            unit[place..place + 4].copy_from_slice(&id.to_be_bytes());
        }
        unit
    }
}

/// One bad-input case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its unique name.
    pub id: String,
    /// The rule it is about.
    pub group: String,
    /// `must`, `should` or `policy`.
    pub severity: String,
    /// The bytes come from the upstream, not from the client.
    pub upstream: bool,
    /// What is sent.
    pub bytes: Vec<u8>,
    /// And then sent again and again.
    pub repeat: Option<Loop>,
    /// What the sender does to its connection afterwards.
    pub then: String,
    /// The outcomes that pass, the preferred one first.
    pub outcomes: Vec<String>,
    /// Must not reach the upstream.
    pub upstream_not: Vec<String>,
    /// Must reach the upstream.
    pub upstream_must: Vec<String>,
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
    let mut outcomes = vec![string("expect")];
    outcomes.extend(strings(&v["also_ok"]));
    Case {
        id: string("id"),
        group: string("group"),
        severity: string("severity"),
        upstream: v["dir"] == "upstream",
        bytes: expanded(v, "bytes"),
        repeat: v["loop"].is_object().then(|| repeat(&v["loop"])),
        then: string("then"),
        outcomes,
        upstream_not: strings(&v["upstream_must_not_contain"]),
        upstream_must: strings(&v["upstream_must_contain"]),
    }
}

fn repeat(v: &Value) -> Loop {
    let number = |key: &str| v[key].as_u64().unwrap_or(0);
    let places = v["sid_offsets"].as_array().into_iter().flatten();
    let places = places.filter_map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok())).collect();
    Loop {
        unit: expanded(v, "unit"),
        count: usize::try_from(number("count")).unwrap_or(0),
        places,
        first: u32::try_from(number("first_sid")).unwrap_or(0),
        step: u32::try_from(number("sid_step")).unwrap_or(0),
        wrap: u32::try_from(number("wrap")).unwrap_or(0),
        no_read: v["no_read"] == true,
    }
}

fn strings(v: &Value) -> Vec<String> {
    let list = v.as_array().into_iter().flatten();
    list.filter_map(|s| s.as_str().map(str::to_owned)).collect()
}

fn expanded(v: &Value, key: &str) -> Vec<u8> {
    let mut out = v[key].as_str().unwrap_or("").to_owned();
    for e in v["expand"].as_array().into_iter().flatten() {
        let count = e["count"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let (token, unit) = (e["token"].as_str().unwrap_or(""), e["unit"].as_str().unwrap_or(""));
        out = out.replace(token, &unit.repeat(count));
    }
    text::bytes(&out)
}
