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
    /// Which of the sites a host belongs to. The first is nobody's.
    hosts: Hosts<u32>,
    sites: Vec<Site>,
    rules: Vec<Rule>,
}

/// The matches of hosts that have had the same rules so far.
#[derive(Debug, Default)]
struct Site {
    paths: Paths,
    /// How many hosts they are.
    hosts: usize,
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
        for site in self.sites_of(hosts) {
            for (path, candidate) in &compiled {
                self.sites[site].paths.add(path.clone(), candidate.clone());
            }
        }
        self.rules.push(rule);
        Ok(())
    }

    /// The sites that consist of exactly these hosts. One that has others too leaves them behind.
    fn sites_of(&mut self, hosts: &[HostMatch]) -> Vec<usize> {
        if self.sites.is_empty() {
            self.sites.push(Site::default());
        }
        let mut distinct: Vec<(&HostMatch, u32)> = Vec::with_capacity(hosts.len());
        for host in hosts {
            if !distinct.iter().any(|(known, _)| *known == host) {
                distinct.push((host, *self.hosts.entry(host)));
            }
        }
        let mut chosen: Vec<(u32, usize)> = Vec::new();
        for &(host, from) in &distinct {
            let known = chosen.iter().find(|(site, _)| *site == from).map(|(_, to)| *to);
            let to = known.unwrap_or_else(|| {
                let count = distinct.iter().filter(|(_, site)| *site == from).count();
                let to = self.part(from as usize, count);
                chosen.push((from, to));
                to
            });
            *self.hosts.entry(host) = u32::try_from(to).unwrap_or(u32::MAX);
        }
        chosen.into_iter().map(|(_, to)| to).collect()
    }

    /// A site of so many of the hosts of `site`: itself when they are all it has.
    fn part(&mut self, site: usize, hosts: usize) -> usize {
        if site > 0 && self.sites[site].hosts == hosts {
            return site;
        }
        if site > 0 {
            self.sites[site].hosts -= hosts;
        }
        let paths = self.sites[site].paths.clone();
        self.sites.push(Site { paths, hosts });
        self.sites.len() - 1
    }

    /// The finished table.
    #[must_use]
    pub fn build(mut self) -> RouteTable {
        self.hosts.shrink_to_fit();
        self.rules.shrink_to_fit();
        let finished = |mut site: Site| {
            site.paths.finish();
            site.paths
        };
        let sites = self.sites.into_iter().map(finished).collect();
        RouteTable { hosts: self.hosts, sites, rules: self.rules }
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
