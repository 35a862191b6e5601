//! Trailer fields: checked as strictly as header fields, forwarded only when that is safe
//! (RFC 9110 6.5.1).

use super::names::{is_tchar, tag};
use crate::message::Tag;

/// Bytes of one message's trailer section. Heads may be larger, but trailers are rare and short.
pub(in crate::wire) const MAX_BYTES: usize = 16 * 1024;

/// The part of a trailer section seen so far.
#[derive(Debug)]
pub(super) struct Trailers {
    total: usize,
    /// The start of a line whose end has not arrived.
    torn: Vec<u8>,
}

impl Trailers {
    pub(super) const fn new() -> Self {
        Self { total: 0, torn: Vec::new() }
    }

    /// Takes at most one line from `input`: the bytes used, and whether it was the empty line at
    /// the end. `None` if the line is malformed or the section too long.
    pub(super) fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<(usize, bool)> {
        let end = input.iter().position(|&b| b == b'\n').map(|lf| lf + 1);
        let used = end.unwrap_or(input.len());
        self.total += used;
        if self.total > MAX_BYTES {
            return None;
        }
        let piece = &input[..used];
        if end.is_none() || !self.torn.is_empty() {
            self.torn.extend_from_slice(piece);
        }
        if end.is_none() {
            // Garbage is refused before its line ends.
            return may_begin(&self.torn).then_some((used, false));
        }
        let done = if self.torn.is_empty() {
            line(piece, out)?
        } else {
            let done = line(&self.torn, out)?;
            self.torn.clear();
            done
        };
        Some((used, done))
    }
}

/// Whether a line may begin like this: an empty line, or a name.
fn may_begin(torn: &[u8]) -> bool {
    match torn {
        [b'\r'] => true,
        _ => {
            torn.split(|&b| b == b':').next().is_some_and(|name| name.iter().all(|&b| is_tchar(b)))
        }
    }
}

/// Checks one whole line and keeps it if it may be forwarded; says whether it is the empty one.
fn line(line: &[u8], out: &mut Vec<u8>) -> Option<bool> {
    let text = line.strip_suffix(b"\r\n")?;
    if text.is_empty() {
        return Some(true);
    }
    let colon = text.iter().position(|&b| b == b':')?;
    let (name, value) = (&text[..colon], &text[colon + 1..]);
    let visible = |&b: &u8| b == b'\t' || (b >= b' ' && b != 0x7F);
    if name.is_empty() || !name.iter().all(|&b| is_tchar(b)) || !value.iter().all(visible) {
        return None;
    }
    if tag(name) == Tag::Other && !is_forbidden(name) {
        out.extend_from_slice(line);
    }
    Some(false)
}

/// Fields that steer routing, authentication, caching or the reading of content, and so must not
/// arrive late.
pub(in crate::wire) fn is_forbidden(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 27] = [
        b"age",
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-location",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"expires",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"last-modified",
        b"location",
        b"max-forwards",
        b"pragma",
        b"range",
        b"retry-after",
        b"set-cookie",
        b"vary",
        b"warning",
        b"www-authenticate",
        b"x-real-ip",
        b"x-http-method-override",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
        || name.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"l5d-"))
}
