//! What the fuzz targets call: each takes any bytes and panics when an invariant is broken. Also
//! run over the committed corpus by ordinary tests.

use crate::message::{Blame, Framing, Method, Version};
use crate::policy::forward::{Applied, Client, ForwardedMode, Hop, request_edits, response_edits};
use crate::wire::h1::chunked::{Decoder, Event};
use crate::wire::h1::encode;
use crate::wire::h1::head::{FieldTable, Limits, Parsed, request, response};
use crate::wire::sniff::{Expect, ServerName, Sniffed, Sniffer, server_name};

/// A request head that is accepted is written so that it reads back the same, whole.
pub fn request_head(bytes: &[u8]) {
    let (limits, mut table) = (Limits::default(), FieldTable::new());
    let Ok(Parsed::Complete((head, used))) = request(bytes, &mut table, &limits) else {
        return;
    };
    assert!(used <= bytes.len());
    let hop =
        Hop { via: Some("ringway"), forwarded: ForwardedMode::Off, client: None, scheme: "http" };
    let Ok(edits) = request_edits(&head, &hop, Applied::default(), b"192.0.2.1:80") else {
        return;
    };
    let mut written = Vec::new();
    encode::request(&head, &edits, &mut written);
    // Written anew a head may outgrow the limits it came under.
    let limits = Limits { head_bytes: usize::MAX, ..limits };
    let mut table = FieldTable::new();
    match request(&written, &mut table, &limits) {
        Ok(Parsed::Complete((again, all))) => {
            assert_eq!(all, written.len());
            assert_eq!(again.method_token, head.method_token);
            assert_eq!(again.target, head.target);
            assert_eq!(again.framing, head.framing);
            assert_eq!(again.version, Version::Http11);
            assert_eq!(again.upgrade, head.upgrade);
            assert_eq!(again.expect_continue, head.expect_continue);
            assert!(head.authority.is_empty() || again.authority == head.authority);
        }
        // Fields added here may be one too many.
        outcome => assert!(head.fields.len() + 5 > limits.fields, "{outcome:?}"),
    }
}

/// The same for response heads, whichever request they answer.
pub fn response_head(bytes: &[u8]) {
    for method in [Method::Get, Method::Head, Method::Connect] {
        let (limits, mut table) = (Limits::default(), FieldTable::new());
        let parsed = response(bytes, &mut table, &limits, method);
        let Ok(Parsed::Complete((head, used))) = parsed else {
            continue;
        };
        assert!(used <= bytes.len());
        assert!((100..=999).contains(&head.status));
        for version in [Version::Http10, Version::Http11] {
            let client = Client { version, persistent: true };
            let edits = response_edits(&head, client, Some("ringway"), Applied::default());
            assert!(version == Version::Http11 || edits.framing != Framing::Chunked);
            let mut written = Vec::new();
            encode::response(&head, &edits, &mut written);
            let limits = Limits { head_bytes: usize::MAX, ..limits };
            let mut table = FieldTable::new();
            match response(&written, &mut table, &limits, method) {
                Ok(Parsed::Complete((again, all))) => {
                    assert_eq!(all, written.len());
                    assert_eq!((again.status, again.reason), (head.status, head.reason));
                    assert_eq!(again.framing, edits.framing);
                }
                outcome => assert!(head.fields.len() + 4 > limits.fields, "{outcome:?}"),
            }
        }
    }
}

/// A chunked body gives the same data, trailers and verdict however its bytes are split. The
/// first byte chooses the split.
pub fn chunked(bytes: &[u8]) {
    let Some((&split, body)) = bytes.split_first() else {
        return;
    };
    let whole = decode(body, usize::MAX);
    assert_eq!(whole, decode(body, usize::from(split).max(1)));
    assert_eq!(whole, decode(body, 1));
}

/// Data, trailers and the bytes used; `None` for a malformed body.
fn decode(body: &[u8], step: usize) -> Option<(Vec<u8>, Vec<u8>, usize, bool)> {
    let mut decoder = Decoder::new(Blame::Client);
    let (mut data, mut trailers, mut at) = (Vec::new(), Vec::new(), 0);
    while at < body.len() && !decoder.is_done() {
        let input = &body[at..body.len().min(at.saturating_add(step))];
        let (event, used) = decoder.next(input, &mut trailers).ok()?;
        assert!(used > 0 && used <= input.len());
        if let Event::Data { start, len } = event {
            assert!(len > 0 && start + len == used);
            data.extend_from_slice(&input[start..start + len]);
        }
        at += used;
    }
    Some((data, trailers, at, decoder.is_done()))
}

/// What a connection is taken for, and which server it asks for, does not depend on how its first
/// bytes are split, nor on what follows them. The first byte chooses the split.
pub fn sniff(bytes: &[u8]) {
    let Some((&step, bytes)) = bytes.split_first() else {
        return;
    };
    for expect in [Expect::Anything, Expect::Http, Expect::Http2] {
        let whole = Sniffer::new(expect).look(bytes);
        for step in [1, usize::from(step).max(1)] {
            let mut sniffer = Sniffer::new(expect);
            let mut last = Sniffed::NeedMore;
            for end in (0..bytes.len()).step_by(step).chain([bytes.len()]) {
                let sniffed = sniffer.look(&bytes[..end]);
                assert!(last == Sniffed::NeedMore || last == sniffed, "{last:?}, then {sniffed:?}");
                last = sniffed;
            }
            assert_eq!(last, whole);
        }
    }
    let mut last = ServerName::NeedMore;
    for end in 0..=bytes.len() {
        let name = server_name(&bytes[..end]);
        assert!(last == ServerName::NeedMore || last == name, "{last:?}, then {name:?}");
        last = name;
    }
}
