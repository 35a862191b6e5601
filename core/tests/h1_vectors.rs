//! The shared HTTP/1.1 vectors at the level of the codec: what must be refused is refused, what
//! must be forwarded is written in a form that a strict reader takes whole.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use ringway_core::message::{Blame, Fault, Framing, Method, Version};
use ringway_core::policy::forward::{
    Applied, Client, ForwardedMode, Hop, request_edits, response_edits,
};
use ringway_core::wire::h1::chunked::{Decoder, Event};
use ringway_core::wire::h1::encode;
use ringway_core::wire::h1::head::{FieldTable, Limits, Parsed, request, response};
use ringway_core::wire::sniff::{Expect, Sniffed, Sniffer};
use serde_json::Value;

/// Cases that only a running proxy can decide.
const SKIPPED: &[(&str, &str)] = &[
    ("h1-silent", "the head timeout"),
    ("h1-connect-early-data", "CONNECT is refused by the listener, not by the codec"),
    ("h1r-101-unsolicited", "the exchange knows whether an upgrade was asked for"),
    ("h1r-rst-immediately", "a socket event"),
    ("h1r-unsolicited-on-idle", "the pool's rule"),
    ("h1r-slow-head", "the response timeout"),
];

/// How a stream of messages ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// All bytes were whole messages.
    Clean,
    /// The last message is incomplete.
    Cut,
    /// A message was refused.
    Refused,
}

/// What went on to the other side.
struct Outcome {
    written: Vec<u8>,
    messages: usize,
    end: End,
}

fn body(framing: Framing, input: &[u8], blame: Blame) -> Result<(Vec<u8>, usize, bool), Fault> {
    match framing {
        Framing::None => Ok((Vec::new(), 0, true)),
        Framing::Close => Ok((input.to_vec(), input.len(), true)),
        Framing::Length(n) => {
            let n = usize::try_from(n).unwrap_or(usize::MAX);
            let used = n.min(input.len());
            Ok((input[..used].to_vec(), used, used == n))
        }
        Framing::Chunked => chunks(input, blame),
    }
}

fn chunks(input: &[u8], blame: Blame) -> Result<(Vec<u8>, usize, bool), Fault> {
    let mut decoder = Decoder::new(blame);
    let (mut out, mut trailers, mut at) = (Vec::new(), Vec::new(), 0);
    loop {
        let (event, used) = decoder.next(&input[at..], &mut trailers)?;
        if let Event::Data { start, len } = event {
            let mut size = [0; 18];
            let digits = encode::chunk_size(len as u64, &mut size);
            out.extend_from_slice(&size[..digits]);
            out.extend_from_slice(&input[at + start..at + start + len]);
            out.extend_from_slice(encode::CHUNK_END);
        }
        at += used;
        match event {
            Event::Data { .. } => {}
            Event::NeedMore => return Ok((out, at, false)),
            Event::End => {
                out.extend_from_slice(encode::LAST_CHUNK);
                out.extend_from_slice(&trailers);
                out.extend_from_slice(b"\r\n");
                return Ok((out, at, true));
            }
        }
    }
}

/// Forwards as many requests as `input` holds.
fn forward_requests(input: &[u8]) -> Outcome {
    let hop =
        Hop { via: Some("ringway"), forwarded: ForwardedMode::Off, client: None, scheme: "http" };
    let mut done = Outcome { written: Vec::new(), messages: 0, end: End::Clean };
    let mut rest = input;
    while !rest.is_empty() {
        let mut table = FieldTable::new();
        let (head, used) = match request(rest, &mut table, &Limits::default()) {
            Err(_) => {
                return Outcome { end: End::Refused, ..done };
            }
            Ok(Parsed::Partial) => {
                return Outcome { end: End::Cut, ..done };
            }
            Ok(Parsed::Complete(complete)) => complete,
        };
        let Ok(edits) = request_edits(&head, &hop, Applied::default(), b"192.0.2.1:80") else {
            return Outcome { end: End::Refused, ..done };
        };
        let mut written = Vec::new();
        encode::request(&head, &edits, &mut written);
        let Ok((content, body_used, whole)) = body(head.framing, &rest[used..], Blame::Client)
        else {
            return Outcome { end: End::Refused, ..done };
        };
        done.written.extend_from_slice(&written);
        done.written.extend_from_slice(&content);
        if !whole {
            return Outcome { end: End::Cut, ..done };
        }
        done.messages += 1;
        rest = &rest[used + body_used..];
        if !head.connection.persistent {
            break;
        }
    }
    done
}

/// Forwards responses up to the final one.
fn forward_response(input: &[u8], method: Method) -> Outcome {
    let mut done = Outcome { written: Vec::new(), messages: 0, end: End::Clean };
    let mut rest = input;
    loop {
        let mut table = FieldTable::new();
        let (head, used) = match response(rest, &mut table, &Limits::default(), method) {
            Err(_) => {
                return Outcome { end: End::Refused, ..done };
            }
            Ok(Parsed::Partial) => {
                return Outcome { end: End::Cut, ..done };
            }
            Ok(Parsed::Complete(complete)) => complete,
        };
        let client = Client { version: Version::Http11, persistent: true };
        let edits = response_edits(&head, client, Some("ringway"), Applied::default());
        encode::response(&head, &edits, &mut done.written);
        let Ok((content, body_used, whole)) = body(head.framing, &rest[used..], Blame::Upstream)
        else {
            return Outcome { end: End::Refused, ..done };
        };
        done.written.extend_from_slice(&content);
        if !whole {
            return Outcome { end: End::Cut, ..done };
        }
        done.messages += 1;
        rest = &rest[used + body_used..];
        if head.status >= 200 {
            return done;
        }
    }
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

fn bytes(case: &Value) -> Vec<u8> {
    let mut text = case["bytes"].as_str().unwrap().to_owned();
    for expand in case["expand"].as_array().into_iter().flatten() {
        let count = usize::try_from(expand["count"].as_u64().unwrap()).unwrap();
        let unit = expand["unit"].as_str().unwrap().repeat(count);
        text = text.replace(expand["token"].as_str().unwrap(), &unit);
    }
    latin1(&text)
}

/// Whether `outcome` is what the verdict `expect` allows.
fn allows(expect: &str, outcome: &Outcome) -> bool {
    let none_whole = outcome.messages == 0;
    match expect {
        "forward" | "forward_normalised" => outcome.end == End::Clean && outcome.messages > 0,
        "reject_or_normalise" => outcome.end != End::Cut,
        "forward_then_reject" => outcome.end == End::Refused && outcome.messages == 1,
        "abort_upstream" | "timeout_close" | "abort_client" => {
            outcome.end != End::Clean && none_whole
        }
        // A refusal of any kind; an incomplete head runs into the head timeout.
        _ => outcome.end == End::Refused && none_whole,
    }
}

/// A strict reader takes what was written: CRLF only, nothing left over, nothing to normalise.
fn check_written(written: &[u8], messages: usize) {
    let again = forward_requests(written);
    assert_eq!((again.messages, &again.end), (messages, &End::Clean));
    let mut rest = written;
    for _ in 0..messages {
        let end = rest.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&rest[..end]).map_or_else(|_| String::new(), str::to_owned);
        let count =
            |name: &str| head.lines().filter(|l| l.to_ascii_lowercase().starts_with(name)).count();
        if !head.is_empty() {
            assert_eq!(count("host:"), 1, "{head}");
            assert!(count("content-length:") + count("transfer-encoding:") <= 1, "{head}");
            assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "{head}");
        }
        let mut table = FieldTable::new();
        let Ok(Parsed::Complete((parsed, used))) = request(rest, &mut table, &Limits::default())
        else {
            panic!("does not read back")
        };
        let (_, body_used, _) = body(parsed.framing, &rest[used..], Blame::Client).unwrap();
        rest = &rest[used + body_used..];
    }
    assert!(rest.is_empty());
}

fn holds(case: &Value) -> Result<(), String> {
    let input = bytes(case);
    let is_request = case["dir"] == "request";
    let method = case["request_method"].as_str().map_or(Method::Get, |m| Method::of(m.as_bytes()));
    let outcome =
        if is_request { forward_requests(&input) } else { forward_response(&input, method) };
    let also = case["also_ok"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let verdicts: Vec<&str> = case["expect"].as_str().into_iter().chain(also).collect();
    if !verdicts.iter().any(|v| allows(v, &outcome)) {
        return Err(format!("{verdicts:?}: {:?} after {}", outcome.end, outcome.messages));
    }
    let shown: String = outcome.written.iter().map(|&b| char::from(b)).collect();
    let side = if is_request { "upstream" } else { "client" };
    let list = |key: String| case[key].as_array().cloned().unwrap_or_default();
    for banned in list(format!("{side}_must_not_contain")) {
        // A smuggled request may pass as the body that it is, not as a message.
        let banned = banned.as_str().unwrap();
        if shown.contains(banned) && !(banned == "/smuggled" && outcome.messages == 0) {
            return Err(format!("{side} got {banned:?}"));
        }
    }
    for wanted in list(format!("{side}_must_contain")) {
        if outcome.end == End::Clean && !shown.contains(wanted.as_str().unwrap()) {
            return Err(format!("{side} did not get {wanted}"));
        }
    }
    let most = case["upstream_requests_max"].as_u64().unwrap_or(u64::MAX);
    if is_request && outcome.messages as u64 > most {
        return Err(format!("{} requests", outcome.messages));
    }
    if is_request && outcome.end == End::Clean {
        check_written(&outcome.written, outcome.messages);
    }
    Ok(())
}

#[test]
fn every_case_holds() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/h1.json");
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(cases.len() >= 200);
    let mut broken = Vec::new();
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        if SKIPPED.iter().any(|(skipped, _)| *skipped == id) {
            continue;
        }
        if let Err(why) = holds(case) {
            broken.push(format!("{} {id}: {why}", case["severity"]));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The verdict on a head read in two steps and in one.
fn verdict(input: &[u8]) -> (bool, Option<usize>) {
    let mut table = FieldTable::new();
    match request(input, &mut table, &Limits::default()) {
        Err(_) => (true, None),
        Ok(Parsed::Partial) => (false, None),
        Ok(Parsed::Complete((_, used))) => (false, Some(used)),
    }
}

#[test]
fn a_torn_head_is_judged_like_a_whole_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/h1.json");
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for case in cases.iter().filter(|c| c["dir"] == "request" && c["expand"].is_null()) {
        let input = bytes(case);
        let whole = verdict(&input);
        let first =
            (0..=input.len()).map(|end| verdict(&input[..end])).find(|v| *v != (false, None));
        assert_eq!(first.unwrap_or((false, None)), whole, "{}", case["id"]);
    }
}

/// What a detecting listener does not take for HTTP: tests/POLICY.md lists them.
const OPAQUE: &[&str] = &[
    "h1-pipeline-bad-then-valid",
    "h1-leading-crlf-flood",
    "h1-method-not-token",
    "h1-lf-in-request-line",
    "h1-ctl-target",
    "h1-proxy-v1-unexpected",
    "h1-http09",
];

#[test]
fn a_detecting_listener_takes_what_begins_like_http_for_http() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/h1.json");
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let requests = cases.iter().filter(|c| c["dir"] == "request" && c["bytes"] != "");
    let opaque = requests.filter(|case| {
        let input = bytes(case);
        assert_eq!(Sniffer::new(Expect::Http).look(&input), Sniffed::Http1, "{}", case["id"]);
        Sniffer::new(Expect::Anything).look(&input) != Sniffed::Http1
    });
    let opaque: Vec<&str> = opaque.map(|case| case["id"].as_str().unwrap()).collect();
    assert_eq!(opaque, OPAQUE);
}
