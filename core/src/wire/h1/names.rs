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
    match (name.len(), first | 0x20) {
        (2, b't') => meaning(name, b"te", Tag::Te),
        (3, b'v') => meaning(name, b"via", Tag::Via),
        (4, b'h') => meaning(name, b"host", Tag::Host),
        (6, b'e') => meaning(name, b"expect", Tag::Expect),
        (7, b'u') => meaning(name, b"upgrade", Tag::Upgrade),
        (7, b't') => meaning(name, b"trailer", Tag::Trailer),
        (9, b'f') => meaning(name, b"forwarded", Tag::Forwarded),
        (10, b'c') => meaning(name, b"connection", Tag::Connection),
        (10, b'k') => meaning(name, b"keep-alive", Tag::HopByHop),
        (13, b'l') => meaning(name, b"l5d-client-id", Tag::Identity),
        (14, b'c') => meaning(name, b"content-length", Tag::ContentLength),
        (14, b'h') => meaning(name, b"http2-settings", Tag::HopByHop),
        (14, b'l') => meaning(name, b"l5d-orig-proto", Tag::Identity),
        (15, b'l') => meaning(name, b"l5d-proxy-error", Tag::Identity),
        (15, b'x') => meaning(name, b"x-forwarded-for", Tag::ForwardedFor),
        (16, b'l') => meaning(name, b"l5d-dst-override", Tag::Identity),
        (16, b'p') => meaning(name, b"proxy-connection", Tag::HopByHop),
        (16, b'x') => meaning(name, b"x-forwarded-host", Tag::ForwardedHost),
        (17, b't') => meaning(name, b"transfer-encoding", Tag::TransferEncoding),
        (17, b'x') => meaning(name, b"x-forwarded-proto", Tag::ForwardedProto),
        (18, b'p') => meaning(name, b"proxy-authenticate", Tag::HopByHop),
        (19, b'p') => meaning(name, b"proxy-authorization", Tag::HopByHop),
        (20, b'l') => meaning(name, b"l5d-proxy-connection", Tag::HopByHop),
        (23, b'x') => meaning(name, b"x-forwarded-client-cert", Tag::Identity),
        _ => Tag::Other,
    }
}

/// `tag` if `name` is `known`, whatever its case.
#[inline(always)]
fn meaning<const N: usize>(name: &[u8], known: &'static [u8; N], tag: Tag) -> Tag {
    let Ok(same_length) = <&[u8; N]>::try_from(name) else {
        return Tag::Other;
    };
    // Without a branch per byte, which makes it a few vector instructions.
    let mut differs = 0;
    for (&a, &b) in same_length.iter().zip(known) {
        let case = if b.is_ascii_lowercase() { 0x20 } else { 0 };
        differs |= (a | case) ^ b;
    }
    if differs == 0 {
        tag
    } else if is_alias(name, known) {
        Tag::Dropped
    } else {
        Tag::Other
    }
}

#[cold]
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
