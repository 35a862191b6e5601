//! From a request head to the rule that governs it, by the precedence of Gateway API's HTTPRoute.
//!
//! 1. The most specific host entry that covers the authority owns the request: exact, then the
//!    longest wildcard, then any; with its port before without. If none of that entry's matches
//!    holds there is no route: a less specific host is not asked.
//! 2. Path: exact, then regular expression, then the longest prefix. Gateway API leaves the place
//!    of regular expressions open; before prefixes they are of use beside a catch-all `/`. Of
//!    several the longest pattern is asked first.
//! 3. A method before none, more headers before fewer, more query parameters before fewer.
//! 4. The rule that was added first; the compiler adds the oldest first.
//!
//! Lookups are by hash, so their cost does not grow with the number of hosts, exact paths and
//! prefixes. Regular expressions of one host are tried one after another, in linear time each.

mod builder;
mod hash;
mod host;
mod matches;
mod names;
mod path;
mod rewrite;

pub use builder::{InvalidMatch, RouteTableBuilder};
pub use host::{HostMatch, InvalidHost, PlainHost, split_port};
pub use matches::{HeaderMatch, Match, PathMatch, QueryMatch, ValueMatch};
pub use names::ServerNames;
pub use rewrite::rewrite;

use host::Hosts;
use path::Paths;

use crate::message::RequestHead;
use crate::snapshot::Rule;

/// The routes of one listener. Immutable; built by `RouteTableBuilder`.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// Which of the sites a host belongs to.
    hosts: Hosts<u32>,
    /// The matches of hosts that have the same ones: a service has half a dozen names.
    sites: Vec<Paths>,
    rules: Vec<Rule>,
}

/// The rule for a request.
#[derive(Clone, Copy, Debug)]
pub struct Found<'t> {
    /// The rule.
    pub rule: &'t Rule,
    /// Its index, for `RouteTable::rule`.
    pub index: u32,
    /// Bytes of the path that the match covers: the prefix without a trailing slash (so 0 for
    /// `/`), or the whole path for other matches.
    pub matched_prefix: usize,
}

impl RouteTable {
    /// The rule for `head`, if any. Allocates nothing.
    #[must_use]
    pub fn find(&self, head: &RequestHead<'_>) -> Option<Found<'_>> {
        let site = *self.hosts.find(head.authority)?;
        let (index, matched_prefix) = self.sites.get(site as usize)?.find(head)?;
        Some(Found { rule: self.rule(index)?, index, matched_prefix })
    }

    /// Whether an entry covers `authority`, be there a rule for the request or not.
    #[must_use]
    pub fn knows(&self, authority: &[u8]) -> bool {
        self.hosts.find(authority).is_some()
    }

    /// The rule number `index`.
    #[must_use]
    pub fn rule(&self, index: u32) -> Option<&Rule> {
        self.rules.get(index as usize)
    }

    /// All rules, in the order in which they were added.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}
