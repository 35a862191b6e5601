//! HTTP/1.1 carried over HTTP/2 from one ringway to another: what the header list does not say of a
//! message goes along in a field, as Linkerd has it, and the far side takes it for what it was.
//!
//! Framing, Host and trailers need no such field: a header list says them in its own way. The field
//! never leaves the two proxies. A client that sends it is not a peer, or is believed no more than
//! the version, which decides about nothing that another client could not have asked for.

use crate::message::{Framing, Method, RequestHead, Tag, Upgrade, Version};

/// The field's name.
pub const ORIGINAL: &str = "l5d-orig-proto";

/// What the field says of a request that came in `version`; nothing where HTTP/2 says it all.
#[must_use]
pub const fn original(version: Version) -> Option<&'static str> {
    match version {
        Version::Http10 => Some("HTTP/1.0"),
        Version::Http11 => Some("HTTP/1.1"),
        Version::Http2 => None,
    }
}

/// The request that a peer has carried, as it was before. One that was none of HTTP/1 stays as it
/// is, and so does an extended CONNECT: an upgrade is never carried.
pub fn restore(head: &mut RequestHead<'_>) {
    let mut said = head.fields.iter().filter(|field| {
        field.tag == Tag::Identity && field.name.eq_ignore_ascii_case(ORIGINAL.as_bytes())
    });
    let (Some(field), None) = (said.next(), said.next()) else { return };
    if head.upgrade != Upgrade::None || head.method == Method::Connect {
        return;
    }
    // Linkerd adds `; absolute-form`, which a proxy upstream of us has no use for.
    let version = field.value.split(|&b| b == b';').next().unwrap_or_default();
    head.version = match version {
        b"HTTP/1.0" => Version::Http10,
        b"HTTP/1.1" => Version::Http11,
        _ => return,
    };
    // What was not stated was not there, whatever the method.
    let stated = head.fields.iter().any(|field| field.tag == Tag::ContentLength);
    if head.framing == Framing::Length(0) && !stated {
        head.framing = Framing::None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Cause;
    use crate::wire::h1::head::{FieldTable, Limits};
    use crate::wire::h2::request::{Pseudo, request};

    type Fields<'a> = &'a [(&'a str, &'a str)];

    fn restored(
        pseudo: &Pseudo<'_>,
        fields: Fields<'_>,
        ended: bool,
    ) -> Result<(Version, Framing), Cause> {
        let mut table = FieldTable::new();
        let fields = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        let mut head = request(pseudo, fields, ended, &mut table, &Limits::default())
            .map_err(|fault| fault.cause)?;
        restore(&mut head);
        Ok((head.version, head.framing))
    }

    #[test]
    fn every_row() {
        use Framing::{Chunked, Length};
        let post = Pseudo {
            method: b"POST",
            scheme: Some(b"http"),
            authority: Some(b"a.test"),
            path: Some(b"/"),
            protocol: None,
        };
        let (old, new) = (("l5d-orig-proto", "HTTP/1.0"), ("l5d-orig-proto", "HTTP/1.1"));
        let absolute = ("l5d-orig-proto", "HTTP/1.1; absolute-form");
        let zero = ("content-length", "0");
        let rows: [(Fields<'_>, bool, Version, Framing); 9] = [
            (&[], true, Version::Http2, Length(0)),
            (&[new], true, Version::Http11, Framing::None),
            (&[new, zero], true, Version::Http11, Length(0)),
            (&[new], false, Version::Http11, Chunked),
            (&[new, ("content-length", "3")], false, Version::Http11, Length(3)),
            (&[old], true, Version::Http10, Framing::None),
            (&[absolute], true, Version::Http11, Framing::None),
            (&[new, old], true, Version::Http2, Length(0)),
            (&[("l5d-orig-proto", "HTTP/3")], true, Version::Http2, Length(0)),
        ];
        for (fields, ended, version, framing) in rows {
            assert_eq!(restored(&post, fields, ended), Ok((version, framing)), "{fields:?}");
        }
        let socket = Pseudo { method: b"CONNECT", protocol: Some(b"websocket"), ..post };
        assert_eq!(restored(&socket, &[new], false), Ok((Version::Http2, Framing::None)));
        assert_eq!(restored(&post, &[new, ("transfer-encoding", "x")], true), Err(Cause::BadField));
    }

    #[test]
    fn only_http_1_needs_the_field() {
        let said = [Version::Http10, Version::Http11, Version::Http2].map(original);
        assert_eq!(said, [Some("HTTP/1.0"), Some("HTTP/1.1"), None]);
    }
}
