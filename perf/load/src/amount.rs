//! Numbers with the suffixes wrk2 takes on its command line: `2k`, `1M`, `5s`, `2m`, `1h`.

use std::time::Duration;

/// A count: digits, then nothing, `k`, `M` or `G` (factors of 1,000; any case).
pub fn count(text: &str) -> Result<u64, String> {
    let (number, suffix) = split(text)?;
    let factor: u64 = match suffix.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        _ => return Err(format!("{text:?} has no suffix k, M or G")),
    };
    number.checked_mul(factor).ok_or_else(|| format!("{text:?} is too large"))
}

/// A count of at least one.
pub fn positive(text: &str) -> Result<u64, String> {
    match count(text)? {
        0 => Err("it has to be at least 1".to_owned()),
        n => Ok(n),
    }
}

/// A size in bytes: digits, then nothing, `k`, `m` or `g` (factors of 1,024; any case).
pub fn size(text: &str) -> Result<u64, String> {
    let (number, suffix) = split(text)?;
    let factor: u64 = match suffix.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return Err(format!("{text:?} has no suffix k, m or g")),
    };
    number.checked_mul(factor).ok_or_else(|| format!("{text:?} is too large"))
}

/// A time: digits, then `ms` (which wrk2 does not know), nothing or `s`, `m`, `h`.
pub fn time(text: &str) -> Result<Duration, String> {
    let (number, suffix) = split(text)?;
    let millis: u64 = match suffix.to_ascii_lowercase().as_str() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("{text:?} has no suffix ms, s, m or h")),
    };
    let total = number.checked_mul(millis).filter(|&ms| ms <= 30 * 24 * 3_600_000);
    total.map(Duration::from_millis).ok_or_else(|| format!("{text:?} is more than 30 days"))
}

fn split(text: &str) -> Result<(u64, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let number = digits.parse().map_err(|_| format!("{text:?} is no number"))?;
    Ok((number, suffix))
}

#[cfg(test)]
mod tests {
    use super::{count, positive, size, time};
    use std::time::Duration;

    #[test]
    fn suffixes() {
        assert_eq!(count("64"), Ok(64));
        assert_eq!(count("2k"), Ok(2_000));
        assert_eq!(count("1M"), Ok(1_000_000));
        assert_eq!(size("16k"), Ok(16_384));
        assert_eq!(time("10"), Ok(Duration::from_secs(10)));
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(time("1h"), Ok(Duration::from_secs(3_600)));
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn what_is_none() {
        for text in ["", "k", "-1", "1.5", "1x", "99999999999999999999", "18446744073709551615k"] {
            assert!(count(text).is_err(), "{text}");
        }
        assert!(positive("0").is_err());
        assert!(time("5d").is_err());
        assert!(time("100000h").is_err());
    }
}
