//! YAML documents as small trees in which every value knows its place.
//!
//! Bounded in size, depth and number of nodes, so that aliases cannot make it grow without end.

use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::cursor::{Place, Report};

/// The most bytes of a file: an object of etcd has at most 1.5 MiB, a file may hold several.
const MOST_BYTES: usize = 16 << 20;
/// The most nodes of a file, aliases written out.
const MOST_NODES: usize = 2_000_000;
/// The deepest nesting; the deepest field read has 12.
pub(super) const DEEPEST: usize = 64;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What YAML can hold.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A scalar; `plain` when it was not quoted, and so may be a number, a boolean or null.
    Scalar { text: String, plain: bool },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the file's order; no key twice.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Whether there is nothing: an empty value, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Self::size).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| node.size()).sum(),
        }
    }
}

/// Reads all documents. Those after a mistake are missing, and then the report is not empty.
pub(super) fn read(bytes: &[u8], report: &Report) -> Vec<Node> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.len() > MOST_BYTES {
        let found = format!("{} bytes", bytes.len());
        report.at((0, 0), "", &found, "at most 16 MiB", "split the file");
        return Vec::new();
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
            report.at((line, column), "", "a byte that is not UTF-8", "UTF-8 text", "");
            return Vec::new();
        }
    };
    let mut builder = Builder {
        report,
        open: Vec::new(),
        documents: Vec::new(),
        anchors: BTreeMap::new(),
        nodes: 0,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        match next {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => {
                if builder.event(event, place(span.start)).is_none() {
                    break;
                }
            }
            Err(error) => {
                let found = format!("YAML that cannot be read ({})", error.info());
                let hint = "check the indentation, colons and brackets here and in the line before";
                report.at(place(*error.marker()), "", &found, "valid YAML or JSON", hint);
                break;
            }
        }
    }
    builder.documents
}

fn place(marker: Marker) -> Place {
    (marker.line(), marker.col() + 1)
}

/// A list or mapping whose end has not been seen.
struct Open {
    place: Place,
    anchor: usize,
    kind: Collection,
}

enum Collection {
    List(Vec<Node>),
    Map { entries: Vec<(String, Node)>, keys: BTreeSet<String>, key: Option<(String, Place)> },
}

/// Puts events together.
struct Builder<'r> {
    report: &'r Report,
    open: Vec<Open>,
    documents: Vec<Node>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl Builder<'_> {
    /// Takes one event; `None` ends the reading.
    fn event(&mut self, event: Event<'_>, place: Place) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                self.scalar(
                    Node { place, value: Value::Scalar { text: text.into_owned(), plain } },
                    anchor,
                )
            }
            Event::SequenceStart(anchor, _) => {
                self.start(Open { place, anchor, kind: Collection::List(Vec::new()) })
            }
            Event::MappingStart(anchor, _) => {
                let (entries, keys) = (Vec::new(), BTreeSet::new());
                self.start(Open {
                    place,
                    anchor,
                    kind: Collection::Map { entries, keys, key: None },
                })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop()?;
                let value = match open.kind {
                    Collection::List(items) => Value::List(items),
                    Collection::Map { entries, .. } => Value::Map(entries),
                };
                self.value(Node { place: open.place, value }, open.anchor)
            }
            Event::Alias(anchor) => {
                let mut node = self.anchors.get(&anchor)?.clone();
                node.place = place;
                self.nodes += node.size();
                self.scalar(node, 0)
            }
            _ => Some(()),
        }
    }

    fn start(&mut self, open: Open) -> Option<()> {
        let key_is_due =
            matches!(self.open.last().map(|o| &o.kind), Some(Collection::Map { key: None, .. }));
        if key_is_due {
            let hint = "braces and brackets in a key need quotes";
            return self.refuse(open.place, "a list or mapping as a key", "a word as a key", hint);
        }
        if self.open.len() >= DEEPEST {
            return self.refuse(open.place, "more than 64 levels", "less nesting", "");
        }
        self.open.push(open);
        Some(())
    }

    /// A scalar (or an alias) is a key or a value.
    fn scalar(&mut self, node: Node, anchor: usize) -> Option<()> {
        if let Some(Open { kind: Collection::Map { key: key @ None, .. }, .. }) =
            self.open.last_mut()
        {
            let Value::Scalar { text, .. } = node.value else {
                return self.refuse(
                    node.place,
                    "a list or mapping as a key",
                    "a word as a key",
                    "",
                );
            };
            *key = Some((text, node.place));
            return Some(());
        }
        self.value(node, anchor)
    }

    fn value(&mut self, node: Node, anchor: usize) -> Option<()> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return self.refuse(node.place, "more than 2 million values", "a smaller file", "");
        }
        if anchor > 0 {
            self.nodes += node.size();
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.documents.push(node),
            Some(Collection::List(items)) => items.push(node),
            Some(Collection::Map { entries, keys, key }) => {
                let (key, place) = key.take()?;
                if keys.insert(key.clone()) {
                    entries.push((key, node));
                } else {
                    let found = format!("the key `{key}` a second time");
                    self.report.at(place, "", &found, "each key once", "remove one of the two");
                }
            }
        }
        Some(())
    }

    fn refuse(&self, place: Place, found: &str, expected: &str, hint: &str) -> Option<()> {
        self.report.at(place, "", found, expected, hint);
        None
    }
}
