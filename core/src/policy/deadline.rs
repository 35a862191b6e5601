//! When a request has to be over because its client asks for that; the route's limit is beside it.
//! The endpoint is told what is left when the request gets to it, and not what was left before.

use crate::message::{RequestHead, Version};
use crate::time::{Duration, Instant};

/// The end of a request that began at `start`, by the client's `grpc-timeout`; `NEVER` without one.
/// Only HTTP/2 carries gRPC, so other requests are not searched for it.
#[must_use]
pub fn asked(head: &RequestHead<'_>, start: Instant) -> Instant {
    stated(head).map_or(Instant::NEVER, |span| start + span)
}

/// What is left at `now` of the time that the client has stated, for an attempt that has to be over
/// at `end`; `None` when it has stated none.
#[must_use]
pub fn left(head: &RequestHead<'_>, end: Option<Instant>, now: Instant) -> Option<Duration> {
    let end = end?;
    stated(head).map(|_| end.since(now))
}

fn stated(head: &RequestHead<'_>) -> Option<Duration> {
    let asked = match head.version {
        Version::Http2 => head.fields.iter().find(|field| field.name == GRPC_TIMEOUT),
        Version::Http10 | Version::Http11 => None,
    };
    asked.and_then(|field| grpc_timeout(field.value))
}

/// The name of the field by which a client of gRPC says how much time there is.
pub const GRPC_TIMEOUT: &[u8] = b"grpc-timeout";

/// A span as a `grpc-timeout` has it: a number of at most eight digits, rounded up, and its unit.
#[must_use]
pub fn in_units(span: Duration) -> (u64, u8) {
    const MOST: u128 = 99_999_999;
    let units = [
        (1, b'n'),
        (1_000, b'u'),
        (1_000_000, b'm'),
        (1_000_000_000, b'S'),
        (60_000_000_000, b'M'),
        (3_600_000_000_000, b'H'),
    ];
    let stated = units.map(|(nanos, unit)| (span.as_nanos().div_ceil(nanos), unit));
    let fits = stated.into_iter().find(|(n, _)| *n <= MOST);
    let (n, unit) = fits.unwrap_or((MOST, b'H'));
    (u64::try_from(n).unwrap_or(u64::MAX), unit)
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

    #[test]
    fn a_span_is_stated_in_the_finest_unit_that_has_room_for_it() {
        let rows = [
            (Duration::ZERO, (0, b'n')),
            (Duration::from_nanos(99_999_999), (99_999_999, b'n')),
            (Duration::from_nanos(100_000_000), (100_000, b'u')),
            (Duration::new(20, 1), (20_000_001, b'u')),
            (Duration::from_secs(100), (100_000, b'm')),
            (Duration::from_secs(100_000), (100_000, b'S')),
            (Duration::from_secs(100_000_000), (1_666_667, b'M')),
            (Duration::from_secs(99_999_999 * 3600), (99_999_999, b'H')),
            (Duration::MAX, (99_999_999, b'H')),
        ];
        for (span, stated) in rows {
            assert_eq!(in_units(span), stated, "{span:?}");
            let text = format!("{}{}", stated.0, char::from(stated.1));
            let read = grpc_timeout(text.as_bytes()).unwrap_or_default();
            assert!(read >= span || span == Duration::MAX, "{text}");
        }
    }
}
