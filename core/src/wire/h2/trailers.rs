//! Trailers between header lists and the lines in which a body's source hands them on.

use super::field::field;
use crate::message::{Cause, Tag};
use crate::wire::h1::names::trim;
use crate::wire::h1::trailers::{MAX_BYTES, is_forbidden};

/// Appends the trailers that may be forwarded as lines, each with its CRLF.
///
/// # Errors
/// `BadField` for what is no field, and for more than 16 KiB of them.
pub fn read<'b>(
    fields: impl Iterator<Item = (&'b [u8], &'b [u8])>,
    lines: &mut Vec<u8>,
) -> Result<(), Cause> {
    for (name, value) in fields {
        let field = field(name, value)?;
        if field.tag == Tag::Other && !is_forbidden(name) {
            for piece in [name, b": ", value, b"\r\n"] {
                lines.extend_from_slice(piece);
            }
        }
        if lines.len() > MAX_BYTES {
            return Err(Cause::BadField);
        }
    }
    Ok(())
}

/// Names and values of such lines.
pub fn fields(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = lines.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter_map(|line| {
        let colon = line.iter().position(|&b| b == b':')?;
        Some((&line[..colon], trim(&line[colon + 1..])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_forwarded_comes_back_and_the_rest_is_left_out() {
        let came: [(&[u8], &[u8]); 5] = [
            (b"grpc-status", b"0"),
            (b"grpc-message", b""),
            (b"host", b"evil.test"),
            (b"content-length", b"3"),
            (b"authorization", b"x"),
        ];
        let mut lines = Vec::new();
        assert_eq!(read(came.into_iter(), &mut lines), Ok(()));
        let back: Vec<_> = fields(&lines).collect();
        assert_eq!(back, came[..2]);
    }

    #[test]
    fn lines_cannot_be_split_or_grow_without_end() {
        for bad in [(&b"a"[..], &b"x\r\nb: y"[..]), (b"a\n", b"x"), (b"transfer-encoding", b"c")] {
            assert_eq!(read([bad].into_iter(), &mut Vec::new()), Err(Cause::BadField));
        }
        let many = std::iter::repeat_n((&b"name"[..], &b"value"[..]), 2000);
        assert_eq!(read(many, &mut Vec::new()), Err(Cause::BadField));
    }
}
