//! Which matches of one host a path can satisfy, the most specific first.

use regex::bytes::Regex;

use super::hash::Map;
use super::matches::Candidate;
use crate::message::RequestHead;

/// A compiled `PathMatch`.
#[derive(Clone, Debug)]
pub(super) enum Path {
    Exact(Box<[u8]>),
    /// Without a trailing slash: `/` is empty.
    Prefix(Box<[u8]>),
    Regex(Regex),
}

/// The matches of one host.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    exact: Map<Vec<Candidate>>,
    /// The longest pattern first.
    regex: Vec<(Regex, Vec<Candidate>)>,
    prefix: Map<Vec<Candidate>>,
    /// The lengths that prefixes have, the longest first: a lookup for each that ends at an
    /// element of the path. What a client sends cannot add to their number.
    lengths: Vec<usize>,
}

impl Paths {
    pub(super) fn add(&mut self, path: Path, candidate: Candidate) {
        match path {
            Path::Exact(path) => self.exact.entry(path).or_default().push(candidate),
            Path::Prefix(prefix) => {
                if !self.lengths.contains(&prefix.len()) {
                    self.lengths.push(prefix.len());
                }
                self.prefix.entry(prefix).or_default().push(candidate);
            }
            Path::Regex(regex) => {
                let same = |(other, _): &&mut (Regex, _)| other.as_str() == regex.as_str();
                match self.regex.iter_mut().find(same) {
                    Some((_, candidates)) => candidates.push(candidate),
                    None => self.regex.push((regex, vec![candidate])),
                }
            }
        }
    }

    /// Brings everything into the order of precedence, and gives back what is not needed: there may
    /// be thousands of hosts with one path each.
    pub(super) fn finish(&mut self) {
        self.lengths.sort_unstable_by(|a, b| b.cmp(a));
        // Stable: among patterns of one length the oldest stays first.
        self.regex.sort_by_key(|(regex, _)| usize::MAX - regex.as_str().len());
        let regex = self.regex.iter_mut().map(|(_, candidates)| candidates);
        for candidates in self.exact.values_mut().chain(self.prefix.values_mut()).chain(regex) {
            candidates.sort_by_key(Candidate::precedence);
            candidates.shrink_to_fit();
        }
        self.lengths.shrink_to_fit();
        self.exact.shrink_to_fit();
        self.prefix.shrink_to_fit();
    }

    /// The rule for `head`, and how many bytes of the path its match covers.
    pub(super) fn find(&self, head: &RequestHead<'_>) -> Option<(u32, usize)> {
        let path = head.path();
        // `*` and CONNECT's authority have no path: they match as the root does.
        let path = if path.first() == Some(&b'/') { path } else { b"/" };
        let holds = |candidates: &Vec<Candidate>| {
            candidates.iter().find(|candidate| candidate.holds(head)).map(|found| found.rule)
        };
        if let Some(rule) = self.exact.get(path).and_then(holds) {
            return Some((rule, path.len()));
        }
        for (regex, candidates) in &self.regex {
            if regex.is_match(path)
                && let Some(rule) = holds(candidates)
            {
                return Some((rule, path.len()));
            }
        }
        self.lengths.iter().find_map(|&length| {
            let ends = path.get(length).map_or(path.len() == length, |&b| b == b'/');
            let candidates = if ends { self.prefix.get(&path[..length]) } else { None };
            Some((candidates.and_then(holds)?, length))
        })
    }
}
