//! What a rule asks of a request beside its host and path, and how that is tested.

use regex::bytes::{Regex, RegexBuilder};

use crate::message::RequestHead;

/// The most memory one compiled pattern may take.
const PATTERN_BYTES: usize = 1 << 20;

/// One match of a rule: all parts have to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// Default: the prefix `/`, every path.
    pub path: PathMatch,
    /// The method's token; case matters. `None`: any.
    pub method: Option<Box<str>>,
    /// Fields. Of several with the same name only the first counts (Gateway API).
    pub headers: Vec<HeaderMatch>,
    /// Query parameters. Of several with the same name only the first counts (Gateway API).
    pub query: Vec<QueryMatch>,
}

/// How the path is compared: byte for byte as it was sent, without decoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path.
    Exact(Box<str>),
    /// Whole elements: `/a` covers `/a` and `/a/b`, not `/ab`. One trailing slash is ignored.
    Prefix(Box<str>),
    /// The whole path, by a regular expression over bytes.
    Regex(Box<str>),
}

impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix("/".into())
    }
}

/// A field to compare. Of repeated lines the first counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// The name; case does not matter.
    pub name: Box<str>,
    /// The value.
    pub value: ValueMatch,
}

/// A query parameter to compare, byte for byte as it was sent, without decoding. Of repeated
/// parameters the first counts; one without `=` has an empty value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryMatch {
    /// The name; case matters.
    pub name: Box<str>,
    /// The value.
    pub value: ValueMatch,
}

/// How a value is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueMatch {
    /// Every byte.
    Exact(Box<str>),
    /// The whole value, by a regular expression over bytes.
    Regex(Box<str>),
}

/// Compiles `pattern` so that it has to cover the whole text. Bytes, not characters: `.` and `\w`
/// mean ASCII, which is what heads are made of.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    let build = |text: &str| {
        RegexBuilder::new(text)
            .unicode(false)
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES)
            .build()
            .map_err(|error| error.to_string())
    };
    // By itself first: `a)|(b` would slip out of the group, and errors point into the user's text.
    build(pattern)?;
    build(&format!("^(?:{pattern})$"))
}

/// A compiled `ValueMatch`.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Exact(Box<[u8]>),
    Regex(Regex),
}

impl Value {
    pub(super) fn compile(value: &ValueMatch) -> Result<Self, String> {
        Ok(match value {
            ValueMatch::Exact(text) => Self::Exact(text.as_bytes().into()),
            ValueMatch::Regex(pattern) => Self::Regex(compile(pattern)?),
        })
    }

    fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => **text == *value,
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

/// The compiled parts of a match beside its path, and the rule it leads to.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) method: Option<Box<[u8]>>,
    pub(super) headers: Box<[(Box<[u8]>, Value)]>,
    pub(super) query: Box<[(Box<[u8]>, Value)]>,
    pub(super) rule: u32,
}

impl Candidate {
    /// The smaller, the more specific (Gateway API: method, number of headers, number of query
    /// parameters); the oldest rule wins among equals.
    pub(super) const fn precedence(&self) -> (bool, usize, usize, u32) {
        let (headers, query) = (usize::MAX - self.headers.len(), usize::MAX - self.query.len());
        (self.method.is_none(), headers, query, self.rule)
    }

    pub(super) fn holds(&self, head: &RequestHead<'_>) -> bool {
        self.method.as_deref().is_none_or(|method| method == head.method_token)
            && self.headers.iter().all(|(name, value)| {
                let mut fields = head.fields.iter();
                let first = fields.find(|field| field.name.eq_ignore_ascii_case(name));
                first.is_some_and(|field| value.holds(field.value))
            })
            && self.query.iter().all(|(name, value)| {
                head.query()
                    .and_then(|query| parameter(query, name))
                    .is_some_and(|got| value.holds(got))
            })
    }
}

/// The first value of the parameter `name`.
fn parameter<'q>(query: &'q [u8], name: &[u8]) -> Option<&'q [u8]> {
    query.split(|&b| b == b'&').find_map(|pair| {
        let rest = pair.strip_prefix(name)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b"=") }
    })
}
