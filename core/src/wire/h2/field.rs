//! What every field of a header list has to hold (RFC 9113 8.2), so that it can also be written as
//! a line of HTTP/1.1 and be read there as the same field.

use crate::message::{Cause, Field, Tag};
use crate::wire::h1::names::{is_tchar, tag};

/// Checks one field.
///
/// # Errors
/// `BadField` for a name that is not a token in lower case, for a value with blanks around it or
/// control characters in it, for a field that concerns a connection (8.2.2), and for a `te` that
/// asks for more than trailers.
pub(super) fn field<'b>(name: &'b [u8], value: &'b [u8]) -> Result<Field<'b>, Cause> {
    let lower = |&b: &u8| is_tchar(b) && !b.is_ascii_uppercase();
    if name.is_empty() || !name.iter().all(lower) || !is_value(value) {
        return Err(Cause::BadField);
    }
    let tag = tag(name);
    let refused = match tag {
        Tag::Connection | Tag::TransferEncoding | Tag::Upgrade => true,
        Tag::HopByHop => matches!(name, b"keep-alive" | b"proxy-connection"),
        Tag::Te => !value.eq_ignore_ascii_case(b"trailers"),
        _ => false,
    };
    if refused { Err(Cause::BadField) } else { Ok(Field { name, value, line: (0, 0), tag }) }
}

/// Whether `value` is what RFC 9113 8.2.1 allows.
fn is_value(value: &[u8]) -> bool {
    let blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    !blank(value.first())
        && !blank(value.last())
        && value.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7F))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row() {
        let rows: [(&[u8], &[u8], bool); 22] = [
            (b"a", b"", true),
            (b"a", b"b\tc d", true),
            (b"a", b"\x80\xff", true),
            (b"te", b"trailers", true),
            (b"proxy-authorization", b"x", true),
            (b"", b"x", false),
            (b"A", b"x", false),
            (b"a b", b"x", false),
            (b"a:", b"x", false),
            (b"a\r\nb", b"x", false),
            (b"a", b" x", false),
            (b"a", b"x\t", false),
            (b"a", b"x\0", false),
            (b"a", b"x\r\ny: z", false),
            (b"a", b"x\ny", false),
            (b"a", b"x\x7f", false),
            (b"connection", b"close", false),
            (b"transfer-encoding", b"chunked", false),
            (b"upgrade", b"h2c", false),
            (b"keep-alive", b"1", false),
            (b"proxy-connection", b"1", false),
            (b"te", b"gzip, trailers", false),
        ];
        for (name, value, good) in rows {
            let shown = (name.escape_ascii(), value.escape_ascii());
            assert_eq!(field(name, value).is_ok(), good, "{}: {}", shown.0, shown.1);
        }
    }
}
