//! What a client sent, made harmless inside a quoted string of a line.

use std::io::Write;

/// Appends at most `limit` bytes of `text` with quotes, backslashes, control characters and
/// everything that is not ASCII as `\xHH`: one line stays one line, and a terminal stays sane.
pub(super) fn plain(out: &mut Vec<u8>, text: &[u8], limit: usize) {
    for &byte in clip(text, limit) {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => hex(out, b"\\x", byte),
        }
    }
}

/// Appends at most `limit` bytes of `text` as the inside of a JSON string; what is not UTF-8
/// becomes U+FFFD.
pub(super) fn json(out: &mut Vec<u8>, text: &[u8], limit: usize) {
    for chunk in clip(text, limit).utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\u{2028}' => out.extend_from_slice(b"\\u2028"),
                '\u{2029}' => out.extend_from_slice(b"\\u2029"),
                '\0'..='\u{9f}' if c.is_control() => hex(out, b"\\u00", c as u8),
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn clip(text: &[u8], limit: usize) -> &[u8] {
    text.get(..limit).unwrap_or(text)
}

fn hex(out: &mut Vec<u8>, prefix: &[u8], byte: u8) {
    out.extend_from_slice(prefix);
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{byte:02x}");
}
