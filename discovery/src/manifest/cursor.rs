//! A place in a document, and the way on from it: every step checks the type, and what is wrong
//! is noted instead of ending the walk.

use std::cell::RefCell;
use std::sync::Arc;

use ringway_config::Problem;

use super::tree::{Node, Value};

/// Line and column, both from 1; zeros are "the whole file".
pub(super) type Place = (usize, usize);

/// Gathers the problems and notes of one file.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: RefCell<Vec<Problem>>,
    notes: RefCell<Vec<String>>,
}

impl Report {
    /// Notes a problem.
    pub(super) fn at(&self, place: Place, path: &str, found: &str, expected: &str, hint: &str) {
        self.problems.borrow_mut().push(Problem {
            line: place.0,
            column: place.1,
            path: path.to_owned(),
            found: found.to_owned(),
            expected: expected.to_owned(),
            hint: hint.to_owned(),
        });
    }

    /// The problems and notes in the file's order.
    pub(super) fn finish(self) -> (Vec<Problem>, Vec<String>) {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|p| (p.line, p.column));
        (problems, self.notes.into_inner())
    }
}

/// A value in a document.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'n> {
    node: &'n Node,
    path: String,
    report: &'n Report,
}

impl<'n> Cursor<'n> {
    /// The document itself.
    pub(super) const fn root(node: &'n Node, report: &'n Report) -> Self {
        Self { node, path: String::new(), report }
    }

    pub(super) const fn place(&self) -> Place {
        self.node.place
    }

    pub(super) const fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// The value of a key. `null` is as absent, as in Kubernetes.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        let Value::Map(entries) = &self.node.value else {
            return None;
        };
        let (_, node) = entries.iter().find(|(name, node)| name == key && !node.is_null())?;
        Some(self.at(node, key))
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, key: &str) -> Option<Self> {
        if !self.is_map() {
            self.wrong("a mapping", "");
            return None;
        }
        let value = self.get(key);
        if value.is_none() {
            let path = self.join(key);
            self.report.at(self.place(), &path, "nothing", &format!("the field `{key}`"), "add it");
        }
        value
    }

    /// The mapping at a key, if it is there; anything else there is noted.
    pub(super) fn map(&self, key: &str) -> Option<Self> {
        let value = self.get(key)?;
        if !value.is_map() {
            value.wrong("a mapping", "");
            return None;
        }
        Some(value)
    }

    /// The items of the list at a key; empty when it is not there.
    pub(super) fn list(&self, key: &str) -> Vec<Self> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let Value::List(items) = &value.node.value else {
            value.wrong("a list", "put `- ` before each item");
            return Vec::new();
        };
        let item = |(index, node)| Self {
            node,
            path: format!("{}[{index}]", value.path),
            report: self.report,
        };
        items.iter().enumerate().map(item).collect()
    }

    /// The mapping at a key that must be there.
    pub(super) fn need_map(&self, key: &str) -> Option<Self> {
        self.need(key)?;
        self.map(key)
    }

    /// The items of the list at a key, which must be mappings; empty when it is not there.
    pub(super) fn maps(&self, key: &str) -> Vec<Self> {
        let mut items = self.list(key);
        items.retain(|item| {
            if !item.is_map() {
                item.wrong("a mapping", "");
            }
            item.is_map()
        });
        items
    }

    /// The text at a key, if it is there.
    pub(super) fn text(&self, key: &str) -> Option<Arc<str>> {
        self.get(key)?.as_text()
    }

    /// The text at a key that must be there.
    pub(super) fn need_text(&self, key: &str) -> Option<Arc<str>> {
        self.need(key)?.as_text()
    }

    /// This value as text.
    pub(super) fn as_text(&self) -> Option<Arc<str>> {
        match &self.node.value {
            Value::Scalar { text, plain } if !plain || is_text(text) => Some(text.as_str().into()),
            Value::Scalar { .. } => {
                self.wrong("text", "put it in quotes");
                None
            }
            _ => {
                self.wrong("text", "");
                None
            }
        }
    }

    /// This value, if it is a scalar written without quotes.
    pub(super) fn plain(&self) -> Option<&'n str> {
        match &self.node.value {
            Value::Scalar { text, plain: true } => Some(text),
            _ => None,
        }
    }

    /// This value as an integer in a range.
    pub(super) fn as_number(&self, least: i64, most: i64) -> Option<i64> {
        let number = self.plain().and_then(|text| text.parse::<i64>().ok());
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let quoted = matches!(self.node.value, Value::Scalar { plain: false, .. });
            let hint = if quoted { "write the number without quotes" } else { "" };
            self.wrong(&format!("a number from {least} to {most}"), hint);
        }
        number
    }

    /// The port at a key, if it is there.
    pub(super) fn port(&self, key: &str) -> Option<u16> {
        let number = self.get(key)?.as_number(1, 65_535)?;
        u16::try_from(number).ok()
    }

    /// The boolean at a key, if it is there.
    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        match value.plain() {
            Some("true" | "True" | "TRUE") => Some(true),
            Some("false" | "False" | "FALSE") => Some(false),
            _ => {
                value.wrong("true or false", "");
                None
            }
        }
    }

    /// Notes that this value is not what is expected.
    pub(super) fn wrong(&self, expected: &str, hint: &str) {
        self.report.at(self.place(), &self.path, &self.shown(), expected, hint);
    }

    /// Notes a problem with the value of a key.
    pub(super) fn at_key(&self, key: &str, found: &str, expected: &str, hint: &str) {
        self.report.at(self.place(), &self.join(key), found, expected, hint);
    }

    /// Notes something that has no effect.
    pub(super) fn note(&self, text: &str) {
        let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        let note = format!("{}:{}: {path}{text}", self.place().0, self.place().1);
        self.report.notes.borrow_mut().push(note);
    }

    fn at(&self, node: &'n Node, key: &str) -> Self {
        Self { node, path: self.join(key), report: self.report }
    }

    fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// What stands here, for people.
    fn shown(&self) -> String {
        const LONGEST: usize = 48;
        match &self.node.value {
            _ if self.node.is_null() => String::from("nothing"),
            Value::Scalar { text, plain } => {
                let mut short: String =
                    text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
                if text.chars().nth(LONGEST).is_some() {
                    short.push('…');
                }
                if *plain { format!("`{short}`") } else { format!("`\"{short}\"`") }
            }
            Value::List(_) => String::from("a list"),
            Value::Map(_) => String::from("a mapping"),
        }
    }
}

/// Whether a plain scalar is text, and not a boolean or a number (YAML's core schema).
fn is_text(text: &str) -> bool {
    let boolean = matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE");
    let digits = text.bytes().any(|b| b.is_ascii_digit());
    let number = digits && (text.parse::<f64>().is_ok() || is_radix(text));
    !boolean && !number
}

fn is_radix(text: &str) -> bool {
    let hex = text.strip_prefix("0x").is_some_and(|t| t.bytes().all(|b| b.is_ascii_hexdigit()));
    let octal =
        text.strip_prefix("0o").is_some_and(|t| t.bytes().all(|b| (b'0'..=b'7').contains(&b)));
    hex || octal
}
