//! When a request has to be over because its client asks for that; the route's limit is beside it.

use crate::message::{RequestHead, Version};
use crate::time::{Duration, Instant};

/// The end of a request that began at `start`, by the client's `grpc-timeout`; `NEVER` without one.
/// Only HTTP/2 carries gRPC, so other requests are not searched for it.
#[must_use]
pub fn asked(head: &RequestHead<'_>, start: Instant) -> Instant {
    let asked = match head.version {
        Version::Http2 => head.fields.iter().find(|field| field.name == b"grpc-timeout"),
        Version::Http10 | Version::Http11 => None,
    };
    let span = asked.and_then(|field| grpc_timeout(field.value));
    span.map_or(Instant::NEVER, |span| start + span)
}

/// The value of a `grpc-timeout`: one to eight digits and a unit (gRPC over HTTP/2). `None` for
/// anything else, which is no limit: the server will judge it.
#[must_use]
pub fn grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let n = digits.iter().fold(0_u64, |n, digit| n * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(n * 3600)),
        b'M' => Some(Duration::from_secs(n * 60)),
        b'S' => Some(Duration::from_secs(n)),
        b'm' => Some(Duration::from_millis(n)),
        b'u' => Some(Duration::from_micros(n)),
        b'n' => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_and_nothing_else() {
        let rows: [(&[u8], Option<Duration>); 14] = [
            (b"1H", Some(Duration::from_secs(3600))),
            (b"2M", Some(Duration::from_secs(120))),
            (b"003S", Some(Duration::from_secs(3))),
            (b"99999999m", Some(Duration::from_millis(99_999_999))),
            (b"5u", Some(Duration::from_micros(5))),
            (b"0n", Some(Duration::ZERO)),
            (b"99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            (b"", None),
            (b"S", None),
            (b"123456789S", None),
            (b"-1S", None),
            (b"1s", None),
            (b"1 S", None),
            (b"1", None),
        ];
        for (value, expected) in rows {
            assert_eq!(grpc_timeout(value), expected, "{}", value.escape_ascii());
        }
    }
}
