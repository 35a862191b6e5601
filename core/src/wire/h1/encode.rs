//! Writes heads: lines that may pass are copied as they came, the rest is written anew.

use std::io::Write as _;
use std::net::IpAddr;

use super::names::tag;
use crate::message::{Field, Framing, RequestHead, ResponseHead, Tag, Version};
use crate::policy::deadline::{GRPC_TIMEOUT, in_units};
use crate::policy::forward::{Modifiers, RequestEdits, ResponseEdits};
use crate::policy::route::rewrite;
use crate::wire::websocket;

/// Ends the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// The last chunk; trailers and an empty line follow.
pub const LAST_CHUNK: &[u8] = b"0\r\n";

/// Appends a request's target as it goes upstream, in whichever protocol.
#[inline]
pub fn target(head: &RequestHead<'_>, edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
    match edits.path {
        Some((path, matched)) => {
            rewrite(path, head.path(), matched, out);
            if let Some(query) = head.query() {
                out.push(b'?');
                out.extend_from_slice(query);
            }
        }
        None => out.extend_from_slice(head.target),
    }
}

/// Appends the request head as it goes upstream.
pub fn request(head: &RequestHead<'_>, edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
    out.reserve(room(head.lines, head.fields) + head.target.len() + 256);
    out.extend_from_slice(head.method_token);
    out.push(b' ');
    target(head, edits, out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(host) = edits.host {
        line(b"host", host, out);
    }
    let mut length = edits.framing;
    let passes = |field: &Field<'_>| match field.tag {
        Tag::Other if edits.websocket_key.is_some() && is_key(field.name) => false,
        Tag::ContentLength => states(field, &mut length),
        Tag::Host => edits.host.is_none(),
        _ => request_passes(field, edits),
    };
    copy(head.lines, head.fields, &edits.headers, passes, out);
    framing(length, out);
    request_connection(edits, out);
    request_added(head, edits, out);
    out.extend_from_slice(b"\r\n");
}

/// Whether a field of a request goes on, whatever protocol carries it; Host and Content-Length are
/// the protocol's matter.
pub(in crate::wire) fn request_passes(field: &Field<'_>, edits: &RequestEdits<'_>) -> bool {
    let mode = edits.hop.forwarded;
    let client = edits.hop.client.is_some();
    match field.tag {
        Tag::Other => edits.time_left.is_none() || field.name != GRPC_TIMEOUT,
        Tag::Via | Tag::ForwardedProto | Tag::ForwardedHost => true,
        Tag::Expect => edits.expect,
        Tag::Trailer => edits.framing == Framing::Chunked,
        Tag::ForwardedFor => !(client && mode.x_forwarded()),
        Tag::Forwarded => !(client && mode.rfc7239()),
        _ => false,
    }
}

/// Appends the lines that this hop adds to a request.
pub(in crate::wire) fn request_added(
    head: &RequestHead<'_>,
    edits: &RequestEdits<'_>,
    out: &mut Vec<u8>,
) {
    forwarded(head, edits, out);
    if let Some(left) = edits.time_left
        && !edits.headers.names(GRPC_TIMEOUT)
    {
        let (n, unit) = in_units(left);
        out.extend_from_slice(GRPC_TIMEOUT);
        out.extend_from_slice(b": ");
        decimal(n, out);
        out.extend_from_slice(&[unit, b'\r', b'\n']);
    }
    if let Some(name) = edits.hop.via {
        via(head.version, name, out);
    }
    modifiers(&edits.headers, out);
}

/// Appends the response head as it goes to the client.
pub fn response(head: &ResponseHead<'_>, edits: &ResponseEdits<'_>, out: &mut Vec<u8>) {
    out.reserve(room(head.lines, head.fields) + head.reason.len() + 192);
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(head.status.into(), out);
    out.push(b' ');
    out.extend_from_slice(head.reason);
    out.extend_from_slice(b"\r\n");
    let mut length = edits.framing;
    let passes = |field: &Field<'_>| match field.tag {
        // Meant for requests; in a response they are fields like any other.
        Tag::Other | Tag::Via | Tag::Host | Tag::Expect => true,
        Tag::ForwardedFor | Tag::ForwardedProto | Tag::ForwardedHost | Tag::Forwarded => true,
        Tag::Trailer => edits.framing == Framing::Chunked,
        Tag::ContentLength => edits.keep_length || states(field, &mut length),
        _ => false,
    };
    copy(head.lines, head.fields, &edits.headers, passes, out);
    framing(length, out);
    match edits.upgrade {
        Some(protocol) => {
            out.extend_from_slice(b"connection: upgrade\r\n");
            line(b"upgrade", protocol, out);
        }
        None if edits.close => out.extend_from_slice(b"connection: close\r\n"),
        None if edits.keep_alive => out.extend_from_slice(b"connection: keep-alive\r\n"),
        None => {}
    }
    if let Some(name) = edits.via {
        via(head.version, name, out);
    }
    modifiers(&edits.headers, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes the size line of a chunk; the number of bytes used.
#[must_use]
pub fn chunk_size(len: u64, out: &mut [u8; 18]) -> usize {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits = (64 - len.leading_zeros()).div_ceil(4).max(1) as usize;
    for (at, byte) in out[..digits].iter_mut().enumerate() {
        *byte = HEX[(len >> (4 * (digits - 1 - at))) as usize & 15];
    }
    out[digits..digits + 2].copy_from_slice(b"\r\n");
    digits + 2
}

/// Appends a number in decimal.
pub fn decimal(n: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(digits(n, &mut [0; 20]));
}

/// Writes a number in decimal to the end of `room`; what was written.
pub fn digits(mut n: u64, room: &mut [u8; 20]) -> &[u8] {
    let mut at = room.len();
    loop {
        at -= 1;
        room[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    &room[at..]
}

/// An upper bound of what copying `fields` takes; `lines` holds them as they came.
fn room(lines: &[u8], fields: &[Field<'_>]) -> usize {
    // A line written anew has at most two bytes more than it had.
    if lines.is_empty() {
        fields.iter().map(|f| f.name.len() + f.value.len() + 4).sum()
    } else {
        lines.len() + 2 * fields.len()
    }
}

/// Whether a Content-Length that came says what `length` says, in the way it would be written:
/// it may then pass with its neighbours, and `length` needs no line of its own.
fn states(field: &Field<'_>, length: &mut Framing) -> bool {
    let canonical = matches!(field.value, [b'1'..=b'9', ..] | b"0") && field.line.1 > 0;
    let same = canonical && matches!(length, Framing::Length(_));
    if same {
        *length = Framing::None;
    }
    same
}

/// Copies the fields that pass and that no modifier replaces; neighbours in one piece.
fn copy<'b>(
    lines: &[u8],
    fields: &[Field<'b>],
    headers: &Modifiers<'_>,
    mut passes: impl FnMut(&Field<'b>) -> bool,
    out: &mut Vec<u8>,
) {
    let untouched = headers.is_empty();
    let mut run = 0..0;
    for field in fields {
        if !passes(field) || !untouched && modified(headers, field) {
            continue;
        }
        let (start, end) = (field.line.0 as usize, field.line.1 as usize);
        if start == run.end && end > 0 {
            run.end = end;
            continue;
        }
        out.extend_from_slice(&lines[run]);
        run = start..end;
        if end == 0 {
            line(field.name, field.value, out);
        }
    }
    out.extend_from_slice(&lines[run]);
}

fn line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn framing(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::Length(n) => {
            out.extend_from_slice(b"content-length: ");
            decimal(n, out);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::None | Framing::Close => {}
    }
}

/// RFC 9110 7.6.1: whatever concerns this hop only is listed in `Connection`.
fn request_connection(edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
    let options = [
        (edits.close, &b"close"[..]),
        (edits.te_trailers, b"te"),
        (edits.upgrade.is_some(), b"upgrade"),
    ];
    let mut separator = &b"connection: "[..];
    for (_, option) in options.iter().filter(|(wanted, _)| *wanted) {
        out.extend_from_slice(separator);
        out.extend_from_slice(option);
        separator = b", ";
    }
    if separator == b", " {
        out.extend_from_slice(b"\r\n");
    }
    if edits.te_trailers {
        line(b"te", b"trailers", out);
    }
    if let Some(protocol) = edits.upgrade {
        line(b"upgrade", protocol, out);
    }
    if let Some(key) = edits.websocket_key {
        line(websocket::KEY.as_bytes(), key, out);
    }
}

const fn is_key(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(websocket::KEY.as_bytes())
}

/// Tells the next hop who the client is.
fn forwarded(head: &RequestHead<'_>, edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
    let (mode, Some(client)) = (edits.hop.forwarded, edits.hop.client) else {
        return;
    };
    let has = |tag: Tag| head.fields.iter().any(|f| f.tag == tag);
    let modified = |name: &[u8]| !edits.headers.is_empty() && edits.headers.names(name);
    let scheme = edits.hop.scheme.as_bytes();
    if mode.x_forwarded() {
        if !modified(b"x-forwarded-for") {
            list(b"x-forwarded-for: ", Tag::ForwardedFor, head.fields, out);
            address(client, out);
            out.extend_from_slice(b"\r\n");
        }
        if !has(Tag::ForwardedProto) && !modified(b"x-forwarded-proto") {
            line(b"x-forwarded-proto", scheme, out);
        }
        let known = !head.authority.is_empty();
        if known && !has(Tag::ForwardedHost) && !modified(b"x-forwarded-host") {
            line(b"x-forwarded-host", head.authority, out);
        }
    }
    if mode.rfc7239() && !modified(b"forwarded") {
        list(b"forwarded: ", Tag::Forwarded, head.fields, out);
        let quotes = if client.is_ipv6() {
            (&b"for=\"["[..], &b"]\""[..])
        } else {
            (&b"for="[..], &b""[..])
        };
        out.extend_from_slice(quotes.0);
        address(client, out);
        out.extend_from_slice(quotes.1);
        if !head.authority.is_empty() {
            out.extend_from_slice(b";host=\"");
            out.extend_from_slice(head.authority);
            out.push(b'"');
        }
        out.extend_from_slice(b";proto=");
        out.extend_from_slice(scheme);
        out.extend_from_slice(b"\r\n");
    }
}

/// Begins a line with the values that came, ready for one more.
fn list(start: &[u8], tag: Tag, fields: &[Field<'_>], out: &mut Vec<u8>) {
    out.extend_from_slice(start);
    for field in fields.iter().filter(|f| f.tag == tag && !f.value.is_empty()) {
        out.extend_from_slice(field.value);
        out.extend_from_slice(b", ");
    }
}

fn address(address: IpAddr, out: &mut Vec<u8>) {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let mut text = [b'.'; 15];
            let mut at = 0;
            for octet in v4.octets() {
                for (least, digit) in [(100, octet / 100), (10, octet / 10 % 10), (0, octet % 10)] {
                    if octet >= least {
                        text[at] = b'0' + digit;
                        at += 1;
                    }
                }
                at += 1;
            }
            out.extend_from_slice(&text[..at - 1]);
        }
        // Writing to a Vec cannot fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

/// RFC 9110 7.6.3: the version in which the message was received.
fn via(received: Version, name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"via: ");
    out.extend_from_slice(received.number().as_bytes());
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn modified(modifiers: &Modifiers<'_>, field: &Field<'_>) -> bool {
    may_modify(field.tag) && modifiers.drops(field.name)
}

fn modifiers(modifiers: &Modifiers<'_>, out: &mut Vec<u8>) {
    for (name, value) in modifiers.lines() {
        if may_modify(tag(name.as_bytes())) {
            line(name.as_bytes(), value.as_bytes(), out);
        }
    }
}

/// Framing and connection are not the user's to modify, and the Host has a filter of its own.
pub(in crate::wire) const fn may_modify(tag: Tag) -> bool {
    matches!(
        tag,
        Tag::Other
            | Tag::Identity
            | Tag::Via
            | Tag::ForwardedFor
            | Tag::ForwardedProto
            | Tag::ForwardedHost
            | Tag::Forwarded
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Method;
    use crate::policy::forward::{self, Applied, Client};
    use crate::wire::h1::head::{self, FieldTable, Limits, Parsed};

    fn written(head: &str) -> String {
        let mut table = FieldTable::new();
        let parsed = head::response(head.as_bytes(), &mut table, &Limits::default(), Method::Get);
        let Ok(Parsed::Complete((head, _))) = parsed else { return String::from("refused") };
        let client = Client { version: Version::Http11, persistent: true };
        let edits = forward::response_edits(&head, client, None, Applied::default());
        let mut out = Vec::new();
        response(&head, &edits, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    #[test]
    fn lines_that_pass_are_copied_as_they_came_and_the_others_left_out() {
        let came = "HTTP/1.1 200 OK\r\na: 1\r\nB:2\r\nkeep-alive: x\r\nconnection: c\r\n\
                    c: 3\r\ncontent-length: 5\r\nd: 4\r\n\r\n";
        let left = "HTTP/1.1 200 OK\r\na: 1\r\nB:2\r\ncontent-length: 5\r\nd: 4\r\n\r\n";
        assert_eq!(written(came), left);
    }

    #[test]
    fn odd_lines_are_written_anew() {
        let came = "HTTP/1.1 200 \r\na:  1\r\nb: 2 \t\r\nc: 3\r\ncontent-length: 05\r\n\
                    d:\r\ne: \r\n\r\n";
        let left =
            "HTTP/1.1 200 \r\na: 1\r\nb: 2\r\nc: 3\r\nd:\r\ne: \r\ncontent-length: 5\r\n\r\n";
        assert_eq!(written(came), left);
    }

    #[test]
    fn addresses() {
        for text in ["0.0.0.0", "10.1.99.100", "127.0.0.1", "255.255.255.255", "fe80::1"] {
            let mut out = Vec::new();
            text.parse().map(|ip| address(ip, &mut out)).expect("an address");
            assert_eq!(out, text.as_bytes());
        }
    }
}
