//! Sets of ports, written as in Linkerd's `config.linkerd.io/opaque-ports`: `25,587,4000-4100`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::list;

/// A set of ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports(Vec<(u16, u16)>);

impl Ports {
    /// Linkerd's: SMTP, its submission, MySQL, Galera, PostgreSQL, Redis, Elasticsearch and
    /// memcached.
    pub const OPAQUE: &'static str = "25,587,3306,4444,5432,6379,9300,11211";

    /// [`Self::OPAQUE`], unless the file says otherwise.
    #[must_use]
    pub fn opaque() -> Self {
        Self::OPAQUE.parse().unwrap_or_default()
    }

    /// Whether `port` is one of them.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|&(first, last)| (first..=last).contains(&port))
    }
}

/// A text that is no set of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotPorts;

impl fmt::Display for NotPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write ports and ranges with commas between, as in `25,587,4000-4100`")
    }
}

impl std::error::Error for NotPorts {}

impl FromStr for Ports {
    type Err = NotPorts;

    /// `off` and the empty text are no port.
    fn from_str(text: &str) -> Result<Self, NotPorts> {
        list::read(text, |text| range(text).ok_or(NotPorts)).map(Self)
    }
}

/// A port, or two with `-` between, the lower one first.
fn range(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|&port| digits && port > 0)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some((first, last))
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list::write(f, self.0.iter().map(written))
    }
}

fn written(&(first, last): &(u16, u16)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{NotPorts, Ports};

    #[test]
    fn sets_are_read_and_written() {
        let rows = [
            ("25", "25"),
            ("25,587, 4000-4100", "25,587,4000-4100"),
            ("1-65535", "1-65535"),
            ("off", "off"),
            ("", "off"),
            (Ports::OPAQUE, Ports::OPAQUE),
        ];
        for (text, written) in rows {
            assert_eq!(text.parse::<Ports>().unwrap().to_string(), written);
        }
        let ports: Ports = "25,4000-4100".parse().unwrap();
        let found = [1, 25, 26, 3999, 4000, 4050, 4100, 4101].map(|port| ports.contains(port));
        assert_eq!(found, [false, true, false, false, true, true, true, false]);
        assert!(Ports::opaque().contains(11211) && !Ports::opaque().contains(80));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["0", "65536", "a", "25,", ",", "25 587", "30-20", "20-", "-1", "+5", "1-2-3"] {
            assert_eq!(text.parse::<Ports>(), Err(NotPorts), "{text}");
        }
    }
}
