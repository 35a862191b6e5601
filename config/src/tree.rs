//! YAML as a small tree in which every key and value knows its place.
//!
//! Only what a configuration needs is taken: one document, no anchors, aliases or tags. So input
//! cannot grow while it is read, and a bounded depth keeps every later recursion shallow.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use crate::error::{Place, Report, quote};

/// The most bytes of a file: far above any real one, far below what hurts.
pub(crate) const MOST_BYTES: usize = 1 << 20;
/// The deepest nesting; the deepest key has 5.
const DEEPEST: usize = 16;

/// A value and where it stands.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What YAML can hold.
#[derive(Debug)]
pub(crate) enum Value {
    /// A scalar; `plain` when it was not quoted, and so may be a number, a boolean or null.
    Scalar { text: String, plain: bool },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the file's order; no key twice.
    Map(Vec<Entry>),
}

/// One key with its value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

impl Node {
    /// The value of a key, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|e| e.key == key).map(|e| &e.node)
    }

    /// The entries, if this is a mapping.
    pub(crate) fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The items, if this is a list.
    pub(crate) fn items(&self) -> &[Self] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The text, if this is a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Value::Scalar { text, .. } = &self.value { Some(text) } else { None }
    }

    /// Whether there is nothing: an empty value, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What stands here, for people.
    pub(crate) fn shown(&self) -> String {
        match &self.value {
            _ if self.is_null() => String::from("nothing"),
            Value::Scalar { text, plain: true } => quote(text),
            Value::Scalar { text, plain: false } => quote(&format!("\"{text}\"")),
            Value::List(items) if items.is_empty() => String::from("an empty list"),
            Value::List(_) => String::from("a list"),
            Value::Map(_) => String::from("a mapping"),
        }
    }
}

/// Reads the one document. `None` when there is none or it cannot be read on; then (and for keys
/// that stand twice) there are problems in the report.
pub(crate) fn read(bytes: &[u8], report: &mut Report) -> Option<Node> {
    if bytes.len() > MOST_BYTES {
        let found = format!("{} bytes", bytes.len());
        let hint = "move services and routes into manifests (discovery.manifests)";
        report.add(Place::default(), "", found, "at most 1 MiB", hint);
        return None;
    }
    let text = utf8(bytes, report)?;
    let mut builder = Builder { report, open: Vec::new(), root: None };
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        match next {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => builder.event(event, span)?,
            Err(error) => {
                syntax(text, &error, builder.report);
                return None;
            }
        }
    }
    let root = builder.root.take();
    if root.as_ref().is_none_or(Node::is_null) {
        let hint = "a reverse proxy needs `listeners:` and `services:`";
        report.add(Place::default(), "", "an empty file", "a configuration", hint);
        return None;
    }
    root
}

/// The text without its byte order mark.
fn utf8<'a>(bytes: &'a [u8], report: &mut Report) -> Option<&'a str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
            let found = format!("the byte 0x{:02x}", bytes[error.valid_up_to()]);
            report.add(Place { line, column }, "", found, "UTF-8 text", "save the file as UTF-8");
            None
        }
    }
}

/// Reports what the parser could not read.
fn syntax(text: &str, error: &ScanError, report: &mut Report) {
    let place = place(*error.marker());
    let line = text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
    // The parser may notice a tab only when it is past it.
    let near = text.lines().skip(place.line.saturating_sub(2)).take(2);
    let hint = if near.into_iter().any(|near| near.contains('\t')) {
        "use spaces instead of tabs: YAML does not indent with tabs"
    } else if line.contains("]:") {
        "put IPv6 addresses in quotes, as in \"[::1]:8080\""
    } else {
        "check the indentation, colons and brackets here and in the line before"
    };
    let found = format!("YAML that cannot be read ({})", error.info());
    report.add(place, "", found, "valid YAML", hint);
}

fn place(marker: saphyr_parser::Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

/// A list or mapping whose end has not been seen.
struct Open {
    place: Place,
    kind: Collection,
}

enum Collection {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, lines: BTreeMap<String, usize>, key: Option<(String, Place)> },
}

/// Puts events together.
struct Builder<'r> {
    report: &'r mut Report,
    open: Vec<Open>,
    root: Option<Node>,
}

impl Builder<'_> {
    /// Takes one event; `None` ends the reading.
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let place = place(span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.allowed(place, anchor, tag.is_some())?;
                let plain = style == ScalarStyle::Plain;
                self.scalar(place, text.into_owned(), plain)
            }
            Event::SequenceStart(anchor, tag) => {
                self.allowed(place, anchor, tag.is_some())?;
                self.start(place, Collection::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.allowed(place, anchor, tag.is_some())?;
                let (entries, lines) = (Vec::new(), BTreeMap::new());
                self.start(place, Collection::Map { entries, lines, key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop()?;
                let value = match open.kind {
                    Collection::List(items) => Value::List(items),
                    Collection::Map { entries, .. } => Value::Map(entries),
                };
                self.value(Node { place: open.place, value });
                Some(())
            }
            Event::Alias(_) => self.refuse(place, "an alias (`*name`)", "a value", "write it out"),
            Event::DocumentStart(_) if self.root.is_some() => {
                let hint = "remove the second `---` or keep it in a file of its own";
                self.refuse(place, "a second document", "one document", hint)
            }
            _ => Some(()),
        }
    }

    fn refuse(&mut self, place: Place, found: &str, expected: &str, hint: &str) -> Option<()> {
        self.report.add(place, "", found, expected, hint);
        None
    }

    /// Anchors and tags would need rules of their own; nothing here is long enough to need them.
    fn allowed(&mut self, place: Place, anchor: usize, tag: bool) -> Option<()> {
        if anchor > 0 {
            return self.refuse(place, "an anchor (`&name`)", "a plain value", "write it out");
        }
        if tag {
            return self.refuse(place, "a tag (`!name`)", "a plain value", "remove the tag");
        }
        Some(())
    }

    fn start(&mut self, place: Place, kind: Collection) -> Option<()> {
        if let Some(Open { kind: Collection::Map { key: None, .. }, .. }) = self.open.last() {
            let hint = "braces and brackets in a key need quotes";
            return self.refuse(place, "a list or mapping as a key", "a word as a key", hint);
        }
        if self.open.len() >= DEEPEST {
            let hint = "no key of ringway.yaml is that deep";
            return self.refuse(place, "more than 16 levels", "less nesting", hint);
        }
        self.open.push(Open { place, kind });
        Some(())
    }

    /// A scalar is a key or a value.
    fn scalar(&mut self, place: Place, text: String, plain: bool) -> Option<()> {
        if let Some(Open { kind: Collection::Map { key: key @ None, .. }, .. }) =
            self.open.last_mut()
        {
            *key = Some((text, place));
        } else {
            self.value(Node { place, value: Value::Scalar { text, plain } });
        }
        Some(())
    }

    /// The path of the collection that is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in self.open.split_last().map_or(&[][..], |(_, above)| above) {
            match &open.kind {
                Collection::List(items) => path.push_str(&format!("[{}]", items.len())),
                Collection::Map { key, .. } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key.as_ref().map_or("", |(key, _)| key));
                }
            }
        }
        path
    }

    fn value(&mut self, node: Node) {
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(Collection::List(items)) => items.push(node),
            Some(Collection::Map { entries, lines, key }) => {
                let Some((key, place)) = key.take() else {
                    return;
                };
                if let Some(line) = lines.get(&key) {
                    let found = format!("the key {} a second time", quote(&key));
                    let hint = format!("the first one is in line {line}");
                    self.report.add(place, &self.path(), found, "each key once", hint);
                    return;
                }
                lines.insert(key.clone(), place.line);
                entries.push(Entry { key, place, node });
            }
        }
    }
}
