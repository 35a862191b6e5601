//! What is wrong with a configuration: every problem at once, each with its place and a hint.

use std::fmt;
use std::path::{Path, PathBuf};

/// Problems shown; the rest is only counted, so that a file of garbage yields a readable answer.
pub const SHOWN: usize = 100;

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; 0 when it is not in a line (the whole file, the environment).
    pub line: usize,
    /// Column, from 1, in characters; 0 with line 0.
    pub column: usize,
    /// The key: `listeners[0].address`; empty for the whole file.
    pub path: String,
    /// What stands there.
    pub found: String,
    /// What should stand there.
    pub expected: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

/// All problems of one file, in its order. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    /// The file as it was named by the caller.
    pub file: PathBuf,
    /// The problems, the first [`SHOWN`] of them.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub omitted: usize,
}

impl fmt::Display for Errors {
    /// One line for each problem, without a newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            if problem.line > 0 {
                write!(f, "{file}:{}:{}: ", problem.line, problem.column)?;
            } else {
                write!(f, "{file}: ")?;
            }
            write!(f, "{problem}")?;
        }
        if self.omitted > 0 {
            write!(f, "\n{file}: and {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "found {}, expected {}", self.found, self.expected)?;
        if !self.hint.is_empty() {
            write!(f, "; hint: {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// A place in the file; the default is "nowhere in it".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Place {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
}

/// Gathers problems.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: Vec<Problem>,
}

impl Report {
    /// Notes a problem.
    pub(crate) fn add(
        &mut self,
        place: Place,
        path: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.problems.push(Problem {
            line: place.line,
            column: place.column,
            path: path.to_owned(),
            found: found.into(),
            expected: expected.into(),
            hint: hint.into(),
        });
    }

    /// Whether there are more than will be shown: no more hints are worth their search.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= SHOWN
    }

    /// The problems in the file's order, or nothing.
    pub(crate) fn finish(mut self, file: &Path) -> Result<(), Errors> {
        if self.problems.is_empty() {
            return Ok(());
        }
        self.problems.sort_by_key(|p| (p.line, p.column));
        let omitted = self.problems.len().saturating_sub(SHOWN);
        self.problems.truncate(SHOWN);
        Err(Errors { file: file.to_owned(), problems: self.problems, omitted })
    }
}

/// Text from the file as it is shown to people: in backticks, short, without control characters.
pub(crate) fn quote(text: &str) -> String {
    const LONGEST: usize = 48;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    // escape_debug also escapes quotes, which need no escape between backticks.
    shown = shown.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
