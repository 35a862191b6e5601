//! Which host entry owns a request: exact, else the longest wildcard, else any.

use std::fmt;

use super::hash::Map;

/// The longest host name that can match an entry (RFC 1035 2.3.4, in text form).
const LONGEST: usize = 253;
/// The port of an authority that names none.
const DEFAULT_PORT: u16 = 80;

/// The hosts a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// Every host that no other entry owns.
    Any,
    /// One host, or the hosts under one domain.
    Name {
        /// Lower case, without a trailing dot and, for a wildcard, without `*.`.
        name: Box<str>,
        /// `*.name`: one or more labels in front.
        wildcard: bool,
        /// Only this port of the authority; a request that names none has port 80.
        port: Option<u16>,
    },
}

/// A host that cannot be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidHost;

impl fmt::Display for InvalidHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a host name, `*.domain` or `*`, optionally with `:port`")
    }
}

impl std::error::Error for InvalidHost {}

impl HostMatch {
    /// Reads `*`, `name`, `*.name`, each but the first with an optional `:port`.
    ///
    /// # Errors
    /// When it is none of these, or longer than 253 bytes.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (host, port) = split_port(text.as_bytes());
        if port.is_none() && host.len() < text.len() {
            return Err(InvalidHost);
        }
        let host = text.get(..host.len()).ok_or(InvalidHost)?;
        let (name, wildcard) = host.strip_prefix("*.").map_or((host, false), |rest| (rest, true));
        let name = name.strip_suffix('.').unwrap_or(name);
        let bracketed = name.starts_with('[') && name.ends_with(']');
        let allowed = |b: u8| {
            b.is_ascii_alphanumeric() || b"-._".contains(&b) || bracketed && b":[]".contains(&b)
        };
        let fits = !name.is_empty() && name.len() <= LONGEST && name.bytes().all(allowed);
        if !fits || name.starts_with('.') {
            return Err(InvalidHost);
        }
        Ok(Self::Name { name: name.to_ascii_lowercase().into(), wildcard, port })
    }
}

/// Splits an authority into host and port; no port if it is absent or not a number.
#[must_use]
pub fn split_port(authority: &[u8]) -> (&[u8], Option<u16>) {
    let Some(colon) = authority.iter().rposition(|&b| b == b':') else {
        return (authority, None);
    };
    let (host, port) = (&authority[..colon], &authority[colon + 1..]);
    if port.contains(&b']') || port.iter().any(|b| !b.is_ascii_digit()) {
        return (authority, None);
    }
    (host, std::str::from_utf8(port).ok().and_then(|port| port.parse().ok()))
}

/// A host name as names are compared: lower case, without port and trailing dot.
#[derive(Clone, Debug)]
pub struct PlainHost {
    bytes: [u8; LONGEST],
    length: usize,
}

impl PlainHost {
    /// The host of an authority; `None` when it cannot be a name or an address.
    #[must_use]
    pub fn of(authority: &[u8]) -> Option<Self> {
        let (host, _) = split_port(authority);
        let host = host.strip_suffix(b".").unwrap_or(host);
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(b);
        if host.is_empty() || !host.iter().all(allowed) {
            return None;
        }
        let mut bytes = [0; LONGEST];
        let plain = bytes.get_mut(..host.len())?;
        plain.copy_from_slice(host);
        plain.make_ascii_lowercase();
        Some(Self { bytes, length: host.len() })
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Nothing but ASCII is taken.
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// Something for each host entry.
#[derive(Debug)]
pub(super) struct Hosts<T> {
    exact: Map<Ports<T>>,
    wildcard: Map<Ports<T>>,
    any: Option<T>,
}

#[derive(Debug)]
struct Ports<T> {
    named: Vec<(u16, T)>,
    all: Option<T>,
}

impl<T> Default for Hosts<T> {
    fn default() -> Self {
        Self { exact: Map::default(), wildcard: Map::default(), any: None }
    }
}

impl<T> Default for Ports<T> {
    fn default() -> Self {
        Self { named: Vec::new(), all: None }
    }
}

impl<T: Default> Hosts<T> {
    /// The value of an entry, made if it is new.
    pub(super) fn entry(&mut self, host: &HostMatch) -> &mut T {
        let HostMatch::Name { name, wildcard, port } = host else {
            return self.any.get_or_insert_default();
        };
        let map = if *wildcard { &mut self.wildcard } else { &mut self.exact };
        let ports = map.entry(name.as_bytes().into()).or_default();
        let Some(port) = *port else {
            return ports.all.get_or_insert_default();
        };
        let at = ports.named.iter().position(|(named, _)| *named == port).unwrap_or_else(|| {
            ports.named.push((port, T::default()));
            ports.named.len() - 1
        });
        &mut ports.named[at].1
    }

    /// Gives back what was reserved for more.
    pub(super) fn shrink_to_fit(&mut self) {
        for map in [&mut self.exact, &mut self.wildcard] {
            map.values_mut().for_each(|ports| ports.named.shrink_to_fit());
            map.shrink_to_fit();
        }
    }
}

impl<T> Hosts<T> {
    /// The value of the most specific entry that covers `authority`.
    pub(super) fn find(&self, authority: &[u8]) -> Option<&T> {
        let named = if self.exact.is_empty() && self.wildcard.is_empty() {
            None
        } else {
            self.find_named(authority)
        };
        named.or(self.any.as_ref())
    }

    fn find_named(&self, authority: &[u8]) -> Option<&T> {
        let (host, port) = split_port(authority);
        let host = host.strip_suffix(b".").unwrap_or(host);
        let mut buffer = [0; LONGEST];
        let lower = buffer.get_mut(..host.len())?;
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        let lower = &*lower;
        let port = port.unwrap_or(DEFAULT_PORT);
        if let Some(found) = self.exact.get(lower).and_then(|ports| ports.find(port)) {
            return Some(found);
        }
        if self.wildcard.is_empty() {
            return None;
        }
        // From the left: the longest domain first. A label in front must not be empty.
        let dots = lower.iter().enumerate().filter(|&(at, &b)| b == b'.' && at > 0);
        dots.map(|(at, _)| &lower[at + 1..])
            .find_map(|domain| self.wildcard.get(domain)?.find(port))
    }
}

impl<T> Ports<T> {
    fn find(&self, port: u16) -> Option<&T> {
        let named = self.named.iter().find(|(named, _)| *named == port);
        named.map(|(_, value)| value).or(self.all.as_ref())
    }
}
