//! The committed figures: a text file, sorted, one line for each case with the reason it was
//! counted anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

/// A figure may move by so much without a word.
pub(crate) const TOLERANCE_PERCENT: f64 = 3.0;

const ABOUT: &str = "\
# Instructions of one step of each case in benches/cases, as callgrind counts them.
# `make instructions` fails when a figure moves by more than 3 % either way; it is written anew by
#   UPDATE_INSTRUCTIONS=\"the reason\" make instructions
# Figures within 3 % stay as they are, so that many small changes add up and are seen.
";
const COUNTED_WITH: &str = "# Counted with ";

/// What was counted for one case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Count {
    pub(crate) case: String,
    /// Of one step.
    pub(crate) instructions: f64,
}

/// The committed file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Baseline {
    /// What its figures were counted with.
    pub(crate) conditions: String,
    figures: BTreeMap<String, Figure>,
}

#[derive(Clone, Debug, PartialEq)]
struct Figure {
    instructions: f64,
    reason: String,
}

/// One case, before and now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    case: String,
    was: Option<f64>,
    now: Option<f64>,
}

/// What became of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    More,
    Fewer,
    New,
    Gone,
}

impl Row {
    fn percent(&self) -> Option<f64> {
        let (was, now) = (self.was?, self.now?);
        Some((now - was) * 100.0 / was)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match (self.was, self.now, self.percent()) {
            (None, ..) => Verdict::New,
            (_, None, _) => Verdict::Gone,
            (.., Some(percent)) if percent > TOLERANCE_PERCENT => Verdict::More,
            (.., Some(percent)) if percent < -TOLERANCE_PERCENT => Verdict::Fewer,
            _ => Verdict::Same,
        }
    }
}

impl Baseline {
    /// Reads the file; an empty baseline when there is none.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|e| format!("{}: {e}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut baseline = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(conditions) = line.strip_prefix(COUNTED_WITH) {
                conditions.trim_end_matches('.').clone_into(&mut baseline.conditions);
            }
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let (case, figure) = figure(line)
                .ok_or_else(|| format!("line {number}: expected `case count reason`: {line}"))?;
            if baseline.figures.insert(case.to_owned(), figure).is_some() {
                return Err(format!("line {number}: {case} was there before"));
            }
        }
        Ok(baseline)
    }

    /// Writes the file.
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        fs::write(path, self.text()).map_err(|e| format!("{}: {e}", path.display()))
    }

    fn text(&self) -> String {
        let mut out = format!("{ABOUT}{COUNTED_WITH}{}.\n\n", self.conditions);
        let width = self.figures.keys().map(String::len).max().unwrap_or(0);
        for (case, Figure { instructions, reason }) in &self.figures {
            let _ = writeln!(out, "{case:width$} {instructions:>12.1}  {reason}");
        }
        out
    }

    /// What was counted beside what is known; `all`: a case that was not counted is gone.
    pub(crate) fn compare(&self, counts: &[Count], all: bool) -> Vec<Row> {
        let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
        for count in counts {
            let was = self.figures.get(&count.case).map(|figure| figure.instructions);
            let row = Row { case: count.case.clone(), was, now: Some(count.instructions) };
            rows.insert(&count.case, row);
        }
        for (case, figure) in self.figures.iter().filter(|_| all) {
            let gone = || Row { case: case.clone(), was: Some(figure.instructions), now: None };
            rows.entry(case).or_insert_with(gone);
        }
        rows.into_values().collect()
    }

    /// The baseline with the figures that moved replaced, for `reason`. Under other conditions
    /// every figure is, because they may not be mixed.
    pub(crate) fn updated(
        &self,
        counts: &[Count],
        conditions: &str,
        reason: &str,
        all: bool,
    ) -> Result<Self, String> {
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        if reason.len() < 5 {
            return Err("UPDATE_INSTRUCTIONS has to say why the figures moved".to_owned());
        }
        let elsewhere = self.conditions != conditions;
        if elsewhere && !all {
            return Err(format!(
                "the baseline was counted with {}; this is {conditions}: update every case at once",
                self.conditions
            ));
        }
        let mut updated = Self { conditions: conditions.to_owned(), figures: self.figures.clone() };
        for row in self.compare(counts, all) {
            match (row.now, row.verdict()) {
                (None, _) => drop(updated.figures.remove(&row.case)),
                (Some(_), Verdict::Same) if !elsewhere => {}
                (Some(instructions), _) => {
                    let reason = reason.clone();
                    updated.figures.insert(row.case, Figure { instructions, reason });
                }
            }
        }
        Ok(updated)
    }
}

/// `case count reason …`
fn figure(line: &str) -> Option<(&str, Figure)> {
    let (case, rest) = line.split_once(' ')?;
    let (count, reason) = rest.trim_start().split_once(' ')?;
    let instructions = count.parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0)?;
    Some((case, Figure { instructions, reason: reason.trim().to_owned() }))
}

/// The rows for people.
pub(crate) fn table(rows: &[Row]) -> String {
    let number = |n: Option<f64>| n.map_or_else(|| "–".to_owned(), |n| format!("{n:.1}"));
    let width = rows.iter().map(|row| row.case.len()).max().unwrap_or(0);
    let mut out = format!("{:width$} {:>12} {:>12} {:>9}\n", "case", "was", "now", "change");
    for row in rows {
        let change = row.percent().map_or_else(String::new, |p| format!("{p:+.1} %"));
        let mark = match row.verdict() {
            Verdict::Same => "",
            Verdict::More => "  <- more",
            Verdict::Fewer => "  <- fewer",
            Verdict::New => "  <- new",
            Verdict::Gone => "  <- gone",
        };
        let (case, was, now) = (&row.case, number(row.was), number(row.now));
        let _ = writeln!(out, "{case:width$} {was:>12} {now:>12} {change:>9}{mark}");
    }
    out
}

#[cfg(test)]
mod tests;
