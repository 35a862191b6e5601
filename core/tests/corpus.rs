//! The fuzz targets' invariants over the committed corpus and over generated input, on every
//! ordinary test run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use proptest::prelude::*;
use ringway_core::fuzzing::{chunked, request_head, response_head, sniff};
use ringway_core::message::Method;
use ringway_core::wire::h1::head::{FieldTable, Limits, Parsed, request, response};

fn over_corpus(target: &str, run: fn(&[u8])) {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/corpus");
    let mut count = 0;
    for entry in std::fs::read_dir(format!("{corpus}/{target}")).unwrap() {
        run(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "no corpus for {target}");
}

#[test]
fn the_corpus_keeps_the_invariants() {
    over_corpus("request_head", request_head);
    over_corpus("response_head", response_head);
    over_corpus("chunked", chunked);
    over_corpus("sniff", sniff);
}

/// Bytes that look enough like HTTP to get past the first check.
fn nearly_http(start: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "Host: a.test\r\n",
        "Content-Length: 3\r\n",
        "Content-Length:03 \r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding:,\tchunked\r\n",
        "Connection: close, X-A\r\n",
        "Connection: Upgrade, te\r\n",
        "Upgrade: websocket\r\n",
        "TE: trailers;q=1\r\n",
        "Expect: 100-continue\r\n",
        "X-A:b\r\n",
        "X-A: \r\n",
        "Via: 1.1 a, 1.1 b\r\n",
        "\r\n",
        "\r",
        "\n",
        " ",
        ":",
        "\u{1}",
    ]);
    let pieces = prop::collection::vec(piece, 0..10);
    pieces.prop_map(move |p| [start, &p.concat(), "\r\n"].concat().into_bytes())
}

/// The shortest prefix with a verdict, and that verdict, fed byte by byte.
fn torn<T: PartialEq>(input: &[u8], verdict: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    (0..=input.len()).find_map(|end| verdict(&input[..end]))
}

fn request_verdict(input: &[u8]) -> Option<Option<usize>> {
    match request(input, &mut FieldTable::new(), &Limits::default()) {
        Err(_) => Some(None),
        Ok(Parsed::Partial) => None,
        Ok(Parsed::Complete((_, used))) => Some(Some(used)),
    }
}

fn response_verdict(input: &[u8]) -> Option<Option<usize>> {
    match response(input, &mut FieldTable::new(), &Limits::default(), Method::Get) {
        Err(_) => Some(None),
        Ok(Parsed::Partial) => None,
        Ok(Parsed::Complete((_, used))) => Some(Some(used)),
    }
}

proptest! {
    #[test]
    fn no_bytes_break_a_parser(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        request_head(&bytes);
        response_head(&bytes);
        chunked(&bytes);
        sniff(&bytes);
    }

    #[test]
    fn requests_read_back_and_do_not_depend_on_segments(
        bytes in nearly_http("POST /a?b HTTP/1.1\r\nHost: a\r\n"),
    ) {
        request_head(&bytes);
        prop_assert_eq!(request_verdict(&bytes), torn(&bytes, request_verdict));
    }

    #[test]
    fn responses_read_back_and_do_not_depend_on_segments(
        bytes in nearly_http("HTTP/1.1 200 OK\r\n"),
    ) {
        response_head(&bytes);
        prop_assert_eq!(response_verdict(&bytes), torn(&bytes, response_verdict));
    }

    #[test]
    fn chunks_do_not_depend_on_segments(
        split in any::<u8>(),
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "3\r\nabc\r\n", "A;a=\"\\\"b\"\r\n0123456789\r\n", "0\r\n", "T: 1\r\n",
                "Host: x\r\n", "\r\n", "00", ";", "\"", "\n", "x",
            ]),
            0..12,
        ),
    ) {
        chunked(&[&[split], pieces.concat().as_bytes()].concat());
    }
}
