//! Figures as wrk prints them, to the character: `1.10ms`, `58.20k`, `34.67MB`.

/// Scales `n` down by `factor` while it is at least 0.85 of the next unit, as wrk does.
fn scaled(n: f64, factor: f64, base: &str, units: &[&str], digits: usize) -> String {
    let (mut amount, mut unit) = (n, base);
    for next in units {
        if amount < factor * 0.85 {
            break;
        }
        amount /= factor;
        unit = next;
    }
    format!("{amount:.digits$}{unit}")
}

/// Microseconds: `900.00us`, `1.10ms`, `2.00s`.
pub fn micros(n: f64) -> String {
    if n >= 1_000_000.0 {
        return scaled(n / 1_000_000.0, 60.0, "s", &["m"], 2);
    }
    scaled(n, 1_000.0, "us", &["ms"], 2)
}

/// Whole seconds: `10s`, `2m`.
pub fn seconds(n: f64) -> String {
    scaled(n, 60.0, "s", &["m"], 0)
}

/// A count: `12.00`, `58.20k`.
pub fn metric(n: f64) -> String {
    scaled(n, 1_000.0, "", &["k", "M", "G", "T"], 2)
}

/// Bytes without the `B`: `306.16K`.
pub fn binary(n: f64) -> String {
    scaled(n, 1_024.0, "", &["K", "M", "G", "T"], 2)
}

/// `text` right-aligned in `width` columns so that the numbers of a column end at the same
/// place, whatever the length of their units.
pub fn column(text: &str, width: usize) -> String {
    let letters = text.bytes().rev().take(2).filter(u8::is_ascii_alphabetic).count();
    let pad = 2 - letters;
    format!("{text:>width$}{:pad$}", "", width = width - pad)
}

#[cfg(test)]
mod tests {
    use super::{binary, column, metric, micros, seconds};

    #[test]
    fn as_wrk_prints_them() {
        assert_eq!(micros(428.7), "428.70us");
        assert_eq!(micros(1_100.0), "1.10ms");
        assert_eq!(micros(870.0), "0.87ms");
        assert_eq!(micros(2_000_000.0), "2.00s");
        assert_eq!(seconds(10.0), "10s");
        assert_eq!(seconds(120.0), "2m");
        assert_eq!(metric(58_200.0), "58.20k");
        assert_eq!(binary(313_507.8), "306.16K");
        assert_eq!(column("1.10ms", 8), "  1.10ms");
        assert_eq!(column("0.00", 9), "   0.00  ");
        assert_eq!(column("18.81k", 10), "   18.81k ");
    }
}
