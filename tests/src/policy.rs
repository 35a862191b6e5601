//! The decisions of tests/POLICY.md, as the suite checks them.

use std::path::Path;

/// One row of its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The case's id in vectors/h1.json.
    pub id: String,
    /// `should` or `policy`.
    pub severity: String,
    /// `forwarded`, or the status that the proxy answers itself.
    pub answer: String,
}

/// Reads the rows whose first column is a case.
///
/// # Panics
/// When the file cannot be read.
#[must_use]
pub fn load(path: &Path) -> Vec<Decision> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().filter_map(decision).collect()
}

fn decision(line: &str) -> Option<Decision> {
    let mut columns = line.strip_prefix("| `")?.split(" | ").map(str::to_owned);
    let id = columns.next()?.strip_suffix('`')?.to_owned();
    let (severity, answer) = (columns.next()?, columns.next()?);
    // A decision without its reason is none.
    columns.next().filter(|reason| reason.len() > 20)?;
    Some(Decision { id, severity, answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_rows_count() {
        let row = decision("| `a` | policy | 400 | Because of RFC 9112 2.2, see there. |").unwrap();
        assert_eq!((&*row.id, &*row.severity, &*row.answer), ("a", "policy", "400"));
        assert_eq!(decision("| `a` | policy | 400 | |"), None);
        assert_eq!(decision("|---|---|"), None);
    }
}
