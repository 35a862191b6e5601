//! The items of a list as its bytes arrive: each is handed over alone, so that one that is broken
//! costs only itself, and a list of 100 MiB no more memory than its largest object.

use super::lines::MOST_BYTES;

/// The most bytes of a list outside of its items.
const MOST_ENVELOPE: usize = 1 << 20;

/// A list of which bytes have arrived.
#[derive(Debug, Default)]
pub(crate) struct Items {
    /// Everything but the items: `{"kind":…,"metadata":{…},"items":[]}`.
    envelope: Vec<u8>,
    item: Vec<u8>,
    /// Open objects and lists.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Where in the envelope the last string of the outermost object begins.
    word: usize,
    /// Whether it ended with `items`, and its value is due.
    is_items: bool,
    in_items: bool,
    /// Whether the item is too long, or there is something between items.
    oversized: bool,
    stray: bool,
}

/// What is found in a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'b> {
    /// One item.
    Item(&'b [u8]),
    /// It was longer than allowed and is gone.
    TooLong,
}

impl Items {
    /// Takes bytes, and hands over what has become whole by them.
    pub(crate) fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(Found<'_>)) {
        for &byte in bytes {
            let inside = self.in_items && self.depth > 2;
            self.step(byte);
            if inside || (self.in_items && self.depth > 2) {
                self.keep(byte);
            } else if !self.in_items || byte == b'[' {
                self.wrap(byte);
            }
            if inside && self.depth == 2 {
                each(if self.oversized { Found::TooLong } else { Found::Item(&self.item) });
                self.item.clear();
                self.oversized = false;
            }
        }
    }

    /// What is left when the list has ended: everything but its items.
    ///
    /// # Errors
    /// When it has not ended, or is no list.
    pub(crate) fn finish(&self) -> Result<&[u8], &'static str> {
        if self.depth > 0 || self.in_string || self.envelope.is_empty() {
            return Err("a list that breaks off");
        }
        if self.stray {
            return Err("a list with something else than objects in it");
        }
        Ok(&self.envelope)
    }

    fn wrap(&mut self, byte: u8) {
        if self.envelope.len() < MOST_ENVELOPE {
            self.envelope.push(byte);
        } else {
            self.stray = true;
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.oversized {
            return;
        }
        if self.item.len() < MOST_BYTES {
            self.item.push(byte);
        } else {
            self.oversized = true;
            self.item = Vec::new();
        }
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    let word = self.envelope.get(self.word..).unwrap_or_default();
                    self.is_items = self.depth == 1 && word == b"items";
                }
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.word = self.envelope.len() + 1;
                self.stray |= self.in_items && self.depth == 2;
            }
            b'{' | b'[' => {
                self.in_items |= byte == b'[' && self.depth == 1 && self.is_items;
                self.stray |= byte == b'[' && self.in_items && self.depth == 2;
                self.depth += 1;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.in_items &= self.depth > 1;
            }
            b':' | b' ' | b'\t' | b'\r' | b'\n' | b',' => {}
            _ => self.stray |= self.in_items && self.depth == 2,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn split(text: &str, piece: usize) -> (Vec<String>, Result<String, &'static str>) {
        let mut items = Items::default();
        let mut found = Vec::new();
        for bytes in text.as_bytes().chunks(piece) {
            items.push(bytes, &mut |item| {
                found.push(match item {
                    Found::Item(item) => String::from_utf8_lossy(item).into_owned(),
                    Found::TooLong => String::from("too long"),
                });
            });
        }
        (found, items.finish().map(|rest| String::from_utf8_lossy(rest).into_owned()))
    }

    const LIST: &str = r#"{"kind":"ServiceList","metadata":{"items":[1],"continue":"a]\"b"},"items": [
        {"a":"items","b":[{"c":"]}\\"}]}, {}
        ,{"d":1}],"z":"items"}"#;

    #[test]
    fn items_are_the_same_however_they_arrive() {
        let rest = r#"{"kind":"ServiceList","metadata":{"items":[1],"continue":"a]\"b"},"items": [],"z":"items"}"#;
        for piece in 1..=LIST.len() {
            let (items, envelope) = split(LIST, piece);
            assert_eq!(items, [r#"{"a":"items","b":[{"c":"]}\\"}]}"#, "{}", r#"{"d":1}"#]);
            assert_eq!(envelope.unwrap(), rest, "{piece}");
        }
    }

    #[test]
    fn what_is_no_list_of_objects_is_refused() {
        for broken in ["", "{", r#"{"items":[{}"#, r#"{"items":[1]}"#, r#"{"items":["x"]}"#] {
            assert!(split(broken, 3).1.is_err(), "{broken}");
        }
        assert!(split(r#"{"items":[[{}]]}"#, 3).1.is_err());
        assert_eq!(split(r#"{"items":null}"#, 3).1.unwrap(), r#"{"items":null}"#);
    }

    #[test]
    fn an_item_that_is_too_long_is_dropped_alone() {
        let long = "x".repeat(MOST_BYTES);
        let text = format!(r#"{{"items":[{{"a":1}},{{"a":"{long}"}},{{"b":2}}]}}"#);
        let (items, envelope) = split(&text, 1 << 16);
        assert_eq!(items, [r#"{"a":1}"#, "too long", r#"{"b":2}"#]);
        assert!(envelope.is_ok());
    }
}
