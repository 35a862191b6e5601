//! Writes heads as header lists: each field is handed to the caller in order, its name as it came
//! (the field section's own type puts it into lower case).

use arrayvec::ArrayVec;

use super::trailers;
use crate::message::{Field, Framing, RequestHead, ResponseHead, Tag, Version};
use crate::policy::forward::{RequestEdits, ResponseEdits};
use crate::wire::h1::answer::Local;
use crate::wire::h1::encode::{digits, may_modify, request_added, request_passes};
use crate::wire::h1::names::tag;
use crate::wire::websocket;

/// Hands over the fields of a request as it goes upstream.
pub fn request(
    head: &RequestHead<'_>,
    edits: &RequestEdits<'_>,
    mut write: impl FnMut(&[u8], &[u8]),
) {
    for field in head.fields {
        let modified = may_modify(field.tag) && edits.headers.drops(field.name);
        if !modified && request_passes(field, edits) {
            write(field.name, field.value);
        }
    }
    if let Framing::Length(n) = edits.framing {
        write(b"content-length", digits(n, &mut [0; 20]));
    }
    if edits.te_trailers {
        write(b"te", b"trailers");
    }
    let mut added = Vec::with_capacity(256);
    request_added(head, edits, &mut added);
    trailers::fields(&added).for_each(|(name, value)| write(name, value));
}

/// The same for an extended CONNECT (RFC 8441 5.1): a WebSocket has no key there.
pub fn extended_connect(
    head: &RequestHead<'_>,
    edits: &RequestEdits<'_>,
    mut write: impl FnMut(&[u8], &[u8]),
) {
    request(head, edits, |name, value| {
        if !name.eq_ignore_ascii_case(websocket::KEY.as_bytes()) {
            write(name, value);
        }
    });
}

/// Hands over the fields of a switch of protocols, which HTTP/2 has as a success of an extended
/// CONNECT.
pub fn switched(
    head: &ResponseHead<'_>,
    edits: &ResponseEdits<'_>,
    mut write: impl FnMut(&[u8], &[u8]),
) {
    response(head, edits, |name, value| {
        if !name.eq_ignore_ascii_case(websocket::ACCEPT.as_bytes()) {
            write(name, value);
        }
    });
}

/// Hands over the fields of a response as it goes to the client.
pub fn response(
    head: &ResponseHead<'_>,
    edits: &ResponseEdits<'_>,
    mut write: impl FnMut(&[u8], &[u8]),
) {
    let mut stated = false;
    for field in head.fields {
        let modified = may_modify(field.tag) && edits.headers.drops(field.name);
        stated |= field.tag == Tag::ContentLength;
        if !modified && passes(field, edits) {
            write(field.name, field.value);
        }
    }
    match edits.framing {
        // A stream says by itself that nothing follows; only what was said is said again.
        Framing::Length(0) if !stated && head.version == Version::Http2 => {}
        Framing::Length(n) => write(b"content-length", digits(n, &mut [0; 20])),
        Framing::None | Framing::Chunked | Framing::Close => {}
    }
    if let Some(name) = edits.via {
        via(head.version, name, &mut write);
    }
    for (name, value) in edits.headers.lines() {
        if may_modify(tag(name.as_bytes())) {
            write(name.as_bytes(), value.as_bytes());
        }
    }
}

fn passes(field: &Field<'_>, edits: &ResponseEdits<'_>) -> bool {
    match field.tag {
        Tag::Other | Tag::Via | Tag::Host | Tag::Expect => true,
        Tag::ForwardedFor | Tag::ForwardedProto | Tag::ForwardedHost | Tag::Forwarded => true,
        Tag::Trailer => edits.framing != Framing::None,
        Tag::ContentLength => edits.keep_length,
        _ => false,
    }
}

/// RFC 9110 7.6.3.
fn via(received: Version, name: &str, write: &mut impl FnMut(&[u8], &[u8])) {
    let mut value = ArrayVec::<u8, 64>::new();
    let pieces = [received.number().as_bytes(), b" ", name.as_bytes()];
    if pieces.iter().all(|piece| value.try_extend_from_slice(piece).is_ok()) {
        write(b"via", &value);
    } else {
        write(b"via", &pieces.concat());
    }
}

/// Hands over the fields of a response that the proxy makes itself.
pub fn answer(local: &Local<'_>, mut write: impl FnMut(&[u8], &[u8])) {
    if let Some(date) = local.date {
        write(b"date", date.as_bytes());
    }
    if let Some(cause) = local.cause {
        write(b"l5d-proxy-error", cause.as_bytes());
    }
    for (name, value) in local.fields {
        write(name.as_bytes(), value);
    }
    if !matches!(local.status, 100..=199 | 204 | 304) {
        if !local.content.is_empty() {
            write(b"content-type", b"text/plain; charset=utf-8");
        }
        write(b"content-length", digits(local.content.len() as u64, &mut [0; 20]));
    }
}

/// The same for a client of gRPC, which is answered with 200, a status of its own in the head, and
/// nothing after that.
pub fn grpc_answer(local: &Local<'_>, code: u8, mut write: impl FnMut(&[u8], &[u8])) {
    if let Some(date) = local.date {
        write(b"date", date.as_bytes());
    }
    write(b"content-type", b"application/grpc");
    write(b"grpc-status", digits(code.into(), &mut [0; 20]));
    if let Some(cause) = local.cause {
        write(b"grpc-message", cause.as_bytes());
        write(b"l5d-proxy-error", cause.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Method;
    use crate::policy::deadline;
    use crate::policy::forward::{
        Applied, Client, ForwardedMode, Hop, request_edits, response_edits,
    };
    use crate::time::{Duration, Instant};
    use crate::wire::h1::encode;
    use crate::wire::h1::head::{self, FieldTable, Limits, Parsed};

    fn written(came: &str, method: Method) -> Vec<(String, String)> {
        let mut table = FieldTable::new();
        let parsed = head::response(came.as_bytes(), &mut table, &Limits::default(), method);
        let Ok(Parsed::Complete((head, _))) = parsed else { return Vec::new() };
        let client = Client { version: Version::Http2, persistent: true };
        let edits = response_edits(&head, client, Some("ringway"), Applied::default());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut out = Vec::new();
        response(&head, &edits, |name, value| out.push((text(name), text(value))));
        out
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn nothing_of_the_connection_gets_through() {
        let came = "HTTP/1.1 200 OK\r\na: 1\r\nkeep-alive: x\r\nconnection: close, b\r\nb: 2\r\n\
                    transfer-encoding: chunked\r\ntrailer: t\r\nupgrade: x\r\n\r\n";
        let left = [("a", "1"), ("trailer", "t"), ("via", "1.1 ringway")];
        assert_eq!(written(came, Method::Get), pairs(&left));
    }

    #[test]
    fn a_request_of_http_1_1_becomes_a_header_list() {
        let came = "POST /a?b HTTP/1.1\r\nHost: a.test\r\nX: 1\r\nConnection: te, y\r\nY: 2\r\n\
                    TE: trailers\r\nTransfer-Encoding: chunked\r\nKeep-Alive: 5\r\n\r\n";
        let mut table = FieldTable::new();
        let parsed = head::request(came.as_bytes(), &mut table, &Limits::default());
        let head = parsed.ok().and_then(|parsed| match parsed {
            Parsed::Complete((head, _)) => Some(head),
            Parsed::Partial => None,
        });
        let head = head.expect("a whole head");
        let client = Some([192, 0, 2, 1].into());
        let forwarded = ForwardedMode::XForwarded;
        let hop = Hop { via: Some("ringway"), forwarded, client, scheme: "http" };
        let edits = request_edits(&head, &hop, Applied::default(), b"").expect("no loop");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut out = Vec::new();
        request(&head, &edits, |name, value| out.push((text(name), text(value))));
        let expected = [
            ("X", "1"),
            ("te", "trailers"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "a.test"),
            ("via", "1.1 ringway"),
        ];
        assert_eq!(out, pairs(&expected));
        let mut target = Vec::new();
        encode::target(&head, &edits, &mut target);
        assert_eq!(target, b"/a?b");
    }

    #[test]
    fn a_websocket_has_neither_key_nor_answer() {
        let came = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
        let mut table = FieldTable::new();
        let parsed = head::response(came.as_bytes(), &mut table, &Limits::default(), Method::Get);
        let head = match parsed {
            Ok(Parsed::Complete((head, _))) => Some(head),
            _ => None,
        };
        let head = head.expect("a whole head");
        let client = Client { version: Version::Http2, persistent: true };
        let edits = response_edits(&head, client, None, Applied::default());
        let mut out = Vec::new();
        switched(&head, &edits, |name, value| out.push((name.to_vec(), value.to_vec())));
        assert_eq!(out, [(b"Sec-WebSocket-Protocol".to_vec(), b"chat".to_vec())]);
    }

    #[test]
    fn what_is_left_of_the_time_is_said_and_not_what_there_was() {
        let field = |name, value| Field { name, value, line: (0, 0), tag: tag(name) };
        let fields = [field(b"grpc-timeout", b"10S"), field(b"x", b"1")];
        let head = RequestHead {
            version: Version::Http2,
            fields: &fields,
            framing: Framing::Chunked,
            ..RequestHead::bare(b"POST", b"a.test", b"/s/m")
        };
        let start = Instant::ZERO;
        let later = start + Duration::from_millis(4250);
        let end = deadline::asked(&head, start);
        let forwarded = ForwardedMode::Off;
        let hop = Hop { via: None, forwarded, client: None, scheme: "http" };
        let mut edits = request_edits(&head, &hop, Applied::default(), b"").expect("no loop");
        edits.time_left = deadline::left(&head, Some(end), later);
        let mut out = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        request(&head, &edits, |name, value| out.push((text(name), text(value))));
        assert_eq!(out, pairs(&[("x", "1"), ("grpc-timeout", "5750000u")]));
        let mut bytes = Vec::new();
        encode::request(&head, &edits, &mut bytes);
        let bytes = String::from_utf8_lossy(&bytes);
        assert!(bytes.contains("grpc-timeout: 5750000u\r\n") && !bytes.contains("10S"), "{bytes}");
        let without = RequestHead { fields: &fields[1..], ..head };
        assert_eq!(deadline::left(&without, Some(end), later), None);
    }

    #[test]
    fn a_length_stays_what_it_says() {
        let came = "HTTP/1.1 200 OK\r\ncontent-length: 05\r\n\r\n";
        let get = [("content-length", "5"), ("via", "1.1 ringway")];
        assert_eq!(written(came, Method::Get), pairs(&get));
        let head = [("content-length", "05"), ("via", "1.1 ringway")];
        assert_eq!(written(came, Method::Head), pairs(&head));
    }
}
