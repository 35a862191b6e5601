//! The forms of scalars: how each is checked, named to people, and read.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ringway_core::time::Duration;

use crate::duration;
use crate::networks::Networks;
use crate::ports::Ports;
use crate::service::{HostPort, NotHostPort};
use crate::settings::Sink;

/// The form of a scalar.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scalar {
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds, unquoted.
    Number { least: u64, most: u64 },
    /// A number of bytes within bounds: `65536`, `64KiB`, `1MiB`.
    Bytes { least: u64, most: u64 },
    /// A GEP-2257 duration of at least so many milliseconds.
    Duration { least: u64 },
    /// One of some words.
    Choice(&'static [&'static str]),
    /// An RFC 1123 label, as Kubernetes has it.
    Name,
    /// The name of a node or zone: what Kubernetes takes for one.
    Place,
    /// `ip:port` to listen on; port 0 lets the kernel choose.
    Listen,
    /// `ip:port` to connect to.
    Connect,
    /// `host:port`.
    HostPort,
    /// Ports and ranges of ports.
    Ports,
    /// Networks.
    Networks,
    /// A path of a directory.
    Directory,
    /// A path of a file.
    File,
    /// Any text.
    Text,
    /// A level or a list of `target=level`.
    Level,
}

/// The levels of the program's log.
pub(crate) const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Scalar {
    /// What stands in "expected …".
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Bool => String::from("`true` or `false`"),
            Self::Number { least, most } if most >= u64::from(u32::MAX) => {
                format!("a whole number from {least}")
            }
            Self::Number { least, most } => format!("a whole number from {least} to {most}"),
            Self::Bytes { least, most } => {
                format!("a size from {} to {}, such as `64KiB`", size(least), size(most))
            }
            Self::Duration { least: 0 } => String::from("a duration such as `10s` or `1h30m`"),
            Self::Duration { least } => {
                format!("a duration of at least {least}ms, such as `10s` or `1h30m`")
            }
            Self::Choice(words) => one_of(words),
            Self::Name => String::from("a name of lower-case letters, digits and `-`"),
            Self::Place => String::from("a name of letters, digits, `-`, `_` and `.`"),
            Self::Listen | Self::Connect => {
                String::from("an IP address and port such as `127.0.0.1:8080`")
            }
            Self::HostPort => String::from("`host:port`, such as `127.0.0.1:8080`"),
            Self::Ports => String::from("ports such as `25,587,4000-4100`"),
            Self::Networks => String::from("networks such as `10.0.0.0/8,fd00::/8`"),
            Self::Directory => String::from("the path of a directory"),
            Self::File => String::from("the path of a file"),
            Self::Text => String::from("text"),
            Self::Level => String::from("`error`, `warn`, `info`, `debug`, `trace` or `off`"),
        }
    }

    /// Whether the text has the form; if not, what to do about it.
    pub(crate) fn check(self, text: &str, plain: bool) -> Result<(), String> {
        if !plain && matches!(self, Self::Bool | Self::Number { .. }) {
            let bare = if self.check(text, true).is_ok() { "remove the quotes" } else { "" };
            return Err(bare.to_owned());
        }
        match self {
            Self::Bool => boolean(text).map(|_| ()).ok_or_else(|| boolean_hint(text)),
            Self::Number { least, most } => within(number(text), least, most),
            Self::Bytes { least, most } => match bytes(text) {
                None => Err(String::from("units are `KiB` and `MiB`; without one it is bytes")),
                size => within(size, least, most),
            },
            Self::Duration { least } => match duration::parse(text) {
                Some(value) if value >= Duration::from_millis(least) => Ok(()),
                Some(_) => Err(String::new()),
                None => Err(duration_hint(text)),
            },
            Self::Choice(words) if words.contains(&text) => Ok(()),
            Self::Choice(words) => Err(meant(text, words)),
            Self::Name => name(text),
            Self::Place => {
                let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
                let fits = (1..=253).contains(&text.len()) && text.bytes().all(allowed);
                if fits { Ok(()) } else { Err(String::new()) }
            }
            Self::Listen => text.parse::<SocketAddr>().map(|_| ()).map_err(|_| address_hint(text)),
            Self::Connect => match text.parse::<SocketAddr>() {
                Ok(address) if address.port() > 0 => Ok(()),
                Ok(_) => Err(NotHostPort::BadPort.to_string()),
                Err(_) => Err(address_hint(text)),
            },
            Self::HostPort => {
                text.parse::<HostPort>().map(|_| ()).map_err(|error| error.to_string())
            }
            Self::Ports => text.parse::<Ports>().map(|_| ()).map_err(|error| error.to_string()),
            Self::Networks => {
                text.parse::<Networks>().map(|_| ()).map_err(|error| error.to_string())
            }
            Self::Text if text.is_empty() => Err(String::new()),
            Self::Text => Ok(()),
            Self::Directory | Self::File if text.is_empty() || text.contains('\0') => {
                Err(String::new())
            }
            Self::Directory | Self::File => Ok(()),
            Self::Level if text.split(',').all(is_directive) => Ok(()),
            Self::Level => Err(meant(text, &LEVELS)),
        }
    }
}

/// `a`, `b` or `c`.
pub(crate) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// Did you mean one of these?
pub(crate) fn meant<'c>(text: &str, words: impl IntoIterator<Item = &'c &'c str>) -> String {
    crate::hint::nearest(text, words.into_iter().copied())
        .map_or_else(String::new, |word| format!("did you mean `{word}`?"))
}

fn within(value: Option<u64>, least: u64, most: u64) -> Result<(), String> {
    match value {
        Some(value) if (least..=most).contains(&value) => Ok(()),
        _ => Err(String::new()),
    }
}

/// YAML 1.2's booleans.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn boolean_hint(text: &str) -> String {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "1" => String::from("write `true`"),
        "no" | "off" | "n" | "0" => String::from("write `false`"),
        _ => meant(text, &["true", "false"]),
    }
}

/// A decimal number without a sign.
pub(crate) fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A number of bytes, with a unit or without.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let scale = match unit {
        "" | "B" => 1,
        "Ki" | "KiB" => 1 << 10,
        "Mi" | "MiB" => 1 << 20,
        _ => return None,
    };
    number(count)?.checked_mul(scale)
}

/// A number of bytes in the largest unit that divides it.
fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes > 0 && bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes > 0 && bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => bytes.to_string(),
    }
}

fn duration_hint(text: &str) -> String {
    if !text.is_empty() && number(text).is_some() {
        return format!("add the unit, as in `{text}s` or `{text}ms`");
    }
    if text.contains('.') {
        return String::from("write parts as smaller units: `1s500ms`, not `1.5s`");
    }
    if text.contains(' ') {
        return String::from("write number and unit together, as in `1h30m`");
    }
    String::from("units are `h`, `m`, `s` and `ms`")
}

fn name(text: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !(1..=63).contains(&text.len()) {
        return Err(String::from("a name has 1 to 63 characters"));
    }
    if text.bytes().all(allowed) && !text.starts_with('-') && !text.ends_with('-') {
        return Ok(());
    }
    let fixed: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let fixed = fixed.trim_matches('-');
    Err(if fixed.is_empty() { String::new() } else { format!("write `{fixed}`") })
}

fn address_hint(text: &str) -> String {
    if let Some(port) = text.strip_prefix("localhost:") {
        return format!("write `127.0.0.1:{port}`: a name may mean several addresses");
    }
    if let Some(port) = text.strip_prefix(':').or_else(|| text.strip_prefix("*:")) {
        return format!("write `0.0.0.0:{port}` for every IPv4 address");
    }
    if text.parse::<u16>().is_ok() {
        return format!("write `127.0.0.1:{text}`, or `0.0.0.0:{text}` to be reached from outside");
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return NotHostPort::BareV6.to_string();
    }
    match text.parse::<HostPort>() {
        Ok(_) => String::from("a name does not do here, write the IP address"),
        Err(error) => error.to_string(),
    }
}

/// `level` or `target=level`.
fn is_directive(text: &str) -> bool {
    let is_level = |l: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(l));
    match text.trim().split_once('=') {
        None => is_level(text.trim()),
        Some((target, level)) => {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'-');
            !target.is_empty() && target.bytes().all(allowed) && is_level(level)
        }
    }
}

/// Where lines go; paths are relative to `base`.
pub(crate) fn sink(text: &str, base: &std::path::Path) -> Sink {
    match text {
        "stdout" => Sink::Stdout,
        "stderr" => Sink::Stderr,
        file => Sink::File(relative(file, base)),
    }
}

/// A path of the file, relative to the directory in which the file stands.
pub(crate) fn relative(text: &str, base: &std::path::Path) -> PathBuf {
    base.join(text)
}
