//! What a field name means to this hop: one match on length and first byte, one comparison.

use crate::message::Tag;

/// The meaning of the field called `name`.
///
/// A name that differs from a meaningful one only by `_` in place of `-` is never forwarded:
/// CGI-like backends cannot tell the two apart, so it would smuggle framing or identity.
#[inline]
#[must_use]
pub fn tag(name: &[u8]) -> Tag {
    let Some(&first) = name.first() else {
        return Tag::Other;
    };
    let (known, tag): (&[u8], Tag) = match (name.len(), first | 0x20) {
        (2, b't') => (b"te", Tag::Te),
        (3, b'v') => (b"via", Tag::Via),
        (4, b'h') => (b"host", Tag::Host),
        (6, b'e') => (b"expect", Tag::Expect),
        (7, b'u') => (b"upgrade", Tag::Upgrade),
        (7, b't') => (b"trailer", Tag::Trailer),
        (9, b'f') => (b"forwarded", Tag::Forwarded),
        (10, b'c') => (b"connection", Tag::Connection),
        (10, b'k') => (b"keep-alive", Tag::HopByHop),
        (13, b'l') => (b"l5d-client-id", Tag::Identity),
        (14, b'c') => (b"content-length", Tag::ContentLength),
        (14, b'h') => (b"http2-settings", Tag::HopByHop),
        (14, b'l') => (b"l5d-orig-proto", Tag::Identity),
        (15, b'l') => (b"l5d-proxy-error", Tag::Identity),
        (15, b'x') => (b"x-forwarded-for", Tag::ForwardedFor),
        (16, b'l') => (b"l5d-dst-override", Tag::Identity),
        (16, b'p') => (b"proxy-connection", Tag::HopByHop),
        (16, b'x') => (b"x-forwarded-host", Tag::ForwardedHost),
        (17, b't') => (b"transfer-encoding", Tag::TransferEncoding),
        (17, b'x') => (b"x-forwarded-proto", Tag::ForwardedProto),
        (18, b'p') => (b"proxy-authenticate", Tag::HopByHop),
        (19, b'p') => (b"proxy-authorization", Tag::HopByHop),
        (20, b'l') => (b"l5d-proxy-connection", Tag::HopByHop),
        (23, b'x') => (b"x-forwarded-client-cert", Tag::Identity),
        _ => return Tag::Other,
    };
    if name.eq_ignore_ascii_case(known) {
        tag
    } else if is_alias(name, known) {
        Tag::Dropped
    } else {
        Tag::Other
    }
}

fn is_alias(name: &[u8], known: &[u8]) -> bool {
    let dash = |b: u8| {
        if b == b'_' { b'-' } else { b.to_ascii_lowercase() }
    };
    name.iter().zip(known).all(|(&a, &b)| dash(a) == b)
}

/// Whether `b` may stand in a token (RFC 9110 5.6.2).
#[inline]
#[must_use]
pub const fn is_tchar(b: u8) -> bool {
    TCHAR[b as usize]
}

const TCHAR: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128 {
        let c = b as u8;
        table[b] = c.is_ascii_alphanumeric()
            || matches!(
                c,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        b += 1;
    }
    table
};

/// The value without leading and trailing SP and HTAB.
#[must_use]
pub fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The members of a comma-separated list; empty ones are skipped (RFC 9110 5.6.1.2).
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_aliases_are_dropped() {
        assert_eq!(tag(b"HOST"), Tag::Host);
        assert_eq!(tag(b"Transfer-Encoding"), Tag::TransferEncoding);
        assert_eq!(tag(b"Transfer_Encoding"), Tag::Dropped);
        assert_eq!(tag(b"l5d_client_id"), Tag::Dropped);
        assert_eq!(tag(b"x_custom"), Tag::Other);
        assert_eq!(tag(b"hose"), Tag::Other);
        assert_eq!(tag(b""), Tag::Other);
    }

    #[test]
    fn lists_skip_empty_members() {
        let found: Vec<&[u8]> = members(b" ,a ,\t, b,").collect();
        assert_eq!(found, [b"a", b"b"]);
    }
}
