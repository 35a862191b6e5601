//! Builds a `RouteTable`, and says which part of which match is wrong.

use std::fmt;

use super::RouteTable;
use super::host::{HostMatch, Hosts};
use super::matches::{self, Candidate, Match, PathMatch, Value, ValueMatch};
use super::path::{Path, Paths};
use crate::snapshot::Rule;

/// Collects rules, the oldest first.
#[derive(Debug, Default)]
pub struct RouteTableBuilder {
    hosts: Hosts<Paths>,
    rules: Vec<Rule>,
}

/// A match that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidMatch {
    /// Where, in the words of Gateway API: `matches[1].headers[0]`.
    pub path: String,
    /// What was found.
    pub found: Box<str>,
    /// What is wrong with it; for a pattern with a mark under the place.
    pub reason: String,
}

impl fmt::Display for InvalidMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: found `{}`: {}", self.path, self.found, self.reason)
    }
}

impl std::error::Error for InvalidMatch {}

impl RouteTableBuilder {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `rule` for `hosts` (none: any host), when one of `matches` holds (none: always).
    ///
    /// # Errors
    /// The first part that cannot be compiled; the table is then as it was before.
    pub fn add(
        &mut self,
        hosts: &[HostMatch],
        matches: Vec<Match>,
        rule: Rule,
    ) -> Result<(), InvalidMatch> {
        let index = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
        let matches = if matches.is_empty() { vec![Match::default()] } else { matches };
        let compiled: Vec<(Path, Candidate)> = matches
            .iter()
            .enumerate()
            .map(|(at, wanted)| compile(wanted, at, index))
            .collect::<Result<_, _>>()?;
        let hosts = if hosts.is_empty() { &[HostMatch::Any] } else { hosts };
        for host in hosts {
            let paths = self.hosts.entry(host);
            for (path, candidate) in &compiled {
                paths.add(path.clone(), candidate.clone());
            }
        }
        self.rules.push(rule);
        Ok(())
    }

    /// The finished table.
    #[must_use]
    pub fn build(mut self) -> RouteTable {
        self.hosts.values_mut().for_each(Paths::sort);
        RouteTable { hosts: self.hosts, rules: self.rules }
    }
}

fn compile(wanted: &Match, at: usize, rule: u32) -> Result<(Path, Candidate), InvalidMatch> {
    let path = match &wanted.path {
        PathMatch::Exact(path) => Path::Exact(absolute(at, path)?.into()),
        PathMatch::Prefix(path) => {
            let path = absolute(at, path)?;
            Path::Prefix(path.strip_suffix(b"/").unwrap_or(path).into())
        }
        PathMatch::Regex(pattern) => Path::Regex(
            matches::compile(pattern).map_err(|reason| invalid(at, "path", pattern, reason))?,
        ),
    };
    let headers = wanted.headers.iter().map(|header| (&*header.name, &header.value));
    let query = wanted.query.iter().map(|query| (&*query.name, &query.value));
    let candidate = Candidate {
        method: wanted.method.as_ref().map(|method| method.as_bytes().into()),
        headers: values(at, "headers", headers, str::eq_ignore_ascii_case)?,
        query: values(at, "queryParams", query, |a, b| a == b)?,
        rule,
    };
    Ok((path, candidate))
}

fn absolute(at: usize, path: &str) -> Result<&[u8], InvalidMatch> {
    if path.starts_with('/') {
        Ok(path.as_bytes())
    } else {
        Err(invalid(at, "path", path, "expected a path that begins with `/`".into()))
    }
}

type Values = Box<[(Box<[u8]>, Value)]>;

/// Compiles named values; of those with the same name the first counts.
fn values<'m>(
    at: usize,
    part: &str,
    wanted: impl Iterator<Item = (&'m str, &'m ValueMatch)>,
    same: impl Fn(&str, &str) -> bool,
) -> Result<Values, InvalidMatch> {
    let mut seen: Vec<&str> = Vec::new();
    let mut compiled = Vec::new();
    for (number, (name, value)) in wanted.enumerate() {
        if seen.iter().any(|earlier| same(earlier, name)) {
            continue;
        }
        seen.push(name);
        let value = Value::compile(value).map_err(|reason| {
            let (ValueMatch::Exact(found) | ValueMatch::Regex(found)) = value;
            invalid(at, &format!("{part}[{number}]"), found, reason)
        })?;
        compiled.push((name.as_bytes().into(), value));
    }
    Ok(compiled.into())
}

fn invalid(at: usize, part: &str, found: &str, reason: String) -> InvalidMatch {
    InvalidMatch { path: format!("matches[{at}].{part}"), found: found.into(), reason }
}
