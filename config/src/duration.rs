//! Durations as the Gateway API writes them (GEP-2257): `10s`, `300ms`, `1h30m`.

use std::fmt::Write as _;

use ringway_core::time::Duration;
use serde::Serializer;

/// The units of GEP-2257 in milliseconds, longest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The longest duration that [`format`] can write within GEP-2257: `99999h59m59s999ms`.
const LONGEST: u64 = 100_000 * 3_600_000 - 1;

/// Reads a GEP-2257 duration: one to four pairs of a number of at most five digits and one of the
/// units `h`, `m`, `s`, `ms`, less than 100000 hours in all. `None` when it is not one.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut millis = 0;
    for pair in 0.. {
        if rest.is_empty() {
            let fits = pair > 0 && millis <= LONGEST;
            return fits.then(|| Duration::from_millis(millis));
        }
        if pair == 4 {
            return None;
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if !(1..=5).contains(&digits) {
            return None;
        }
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        // Five digits of hours fit u64 milliseconds many times over.
        millis += number.parse::<u64>().ok()? * scale;
        rest = tail;
    }
    None
}

/// Writes a duration so that [`parse`] reads it back; parts below a millisecond are cut off.
#[must_use]
pub fn format(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return String::from("0s");
    }
    let mut text = String::new();
    for (unit, scale) in UNITS {
        let count = millis / scale;
        if count > 0 {
            // Writing to a String does not fail.
            let _ = write!(text, "{count}{unit}");
            millis %= scale;
        }
    }
    text
}

/// For `#[serde(serialize_with)]`.
pub(crate) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*value))
}

/// For `#[serde(serialize_with)]`: `off` when there is none.
pub(crate) fn serialize_optional<S: Serializer>(
    value: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serialize(value, serializer),
        None => serializer.serialize_str("off"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn durations_of_gep_2257_are_read_and_others_are_not() {
        for (text, millis) in [
            ("0s", Some(0)),
            ("10s", Some(10_000)),
            ("300ms", Some(300)),
            ("1h30m", Some(5_400_000)),
            ("1h1m1s1ms", Some(3_661_001)),
            ("30m1h", Some(5_400_000)),
            ("99999h59m59s999ms", Some(LONGEST)),
            ("99999h99999h", None),
            ("", None),
            ("10", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("1s ", None),
            ("100000s", None),
            ("1s1s1s1s1s", None),
            ("1us", None),
            ("1d", None),
            ("١s", None),
        ] {
            assert_eq!(parse(text).map(|d| d.as_millis()), millis.map(u128::from), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut millis = 1;
        while millis <= LONGEST {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse(&format(duration)), Some(duration), "{millis}");
            millis = millis * 7 + 3;
        }
        assert_eq!(format(Duration::from_secs(5400)), "1h30m");
        assert_eq!(format(Duration::ZERO), "0s");
    }
}
