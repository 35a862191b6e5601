//! Lines as they come out, and what happens to hostile text.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::time::{Duration, UNIX_EPOCH};

use ringway_config::Sink;
use ringway_core::message::{Cause, Fault, Method, Stage};
use ringway_core::record::Classification;
use ringway_core::time::Instant;

use super::*;
use crate::lines;

fn facts<'a>(target: &'a [u8], user_agent: &'a [u8]) -> Facts<'a> {
    Facts {
        client: "10.0.0.9:4711".parse().unwrap(),
        method: b"GET",
        target,
        spoken: Spoken::Http(Version::Http11),
        host: b"web.test",
        user_agent,
        trace_id: b"",
    }
}

fn record() -> Record {
    Record {
        endpoint: None,
        method: Method::Get,
        status: Some(502),
        grpc: None,
        local: true,
        fault: Some(Fault::upstream(Stage::Connect, Cause::Refused)),
        classification: Classification::Failure,
        start: Instant::ZERO,
        latency: Some(Duration::from_micros(3)),
        total: Duration::from_micros(5),
        attempts: 2,
        received: 7,
        sent: 18,
    }
}

/// What a log of this format writes for these facts.
fn written(format: AccessFormat, facts: &Facts<'_>) -> String {
    written_of(format, facts, &Ending::from(&record()))
}

fn written_of(format: AccessFormat, facts: &Facts<'_>, ending: &Ending) -> String {
    static TURN: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let turn = TURN.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("ringway-access-{}-{turn}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let (lines, writer) = lines::start("access", &Sink::File(path.clone()), 4).unwrap();
    let mut log = AccessLog::new(format, lines).unwrap();
    let entry = log.begin(facts, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    log.end(entry, ending, Some("10.0.0.1:80".parse().unwrap()));
    assert_eq!(log.flush(), 0);
    assert!(writer.close(Duration::from_secs(5)));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    text
}

#[test]
fn plain_lines_start_as_linkerds_do() {
    assert_eq!(
        written(AccessFormat::Plain, &facts(b"/a?b=c", b"curl/8")),
        "10.0.0.9:4711 - - [2023-11-14T22:13:20.000000Z] \"GET /a?b=c HTTP/1.1\" 502 7 18 5000 \
         10.0.0.1:80 \"web.test\" \"curl/8\" \"connection refused\"\n"
    );
}

#[test]
fn json_lines_are_objects_with_linkerds_names() {
    let line = written(AccessFormat::Json, &facts(b"/a?b=c", b"curl/8"));
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["client.addr"], "10.0.0.9:4711");
    assert_eq!(value["timestamp"], "2023-11-14T22:13:20.000000Z");
    assert_eq!((&value["uri"], &value["version"]), (&"/a?b=c".into(), &"HTTP/1.1".into()));
    assert_eq!((&value["status"], &value["response_bytes"]), (&502.into(), &18.into()));
    assert_eq!((&value["total_ns"], &value["latency_ns"]), (&5000.into(), &3000.into()));
    assert_eq!((&value["error"], &value["attempts"]), (&"connection refused".into(), &2.into()));
}

#[test]
fn an_opaque_connection_has_a_line_of_the_same_form() {
    let closing = Closing {
        endpoint: None,
        fault: Some(Fault::client(Stage::Relay, Cause::Reset)),
        start: Instant::ZERO,
        connected: Some(Duration::from_micros(4)),
        total: Duration::from_micros(9),
        attempts: 1,
        received: 70,
        sent: 80,
    };
    let client = "10.0.0.9:4711".parse().unwrap();
    let facts = Facts::opaque(client, Spoken::Tls, b"db.test");
    assert_eq!(
        written_of(AccessFormat::Plain, &facts, &Ending::from(&closing)),
        "10.0.0.9:4711 - - [2023-11-14T22:13:20.000000Z] \"- - TLS\" - 70 80 9000 10.0.0.1:80 \
         \"db.test\" \"-\" \"connection reset\"\n"
    );
    let line = written_of(AccessFormat::Json, &facts, &Ending::from(&closing));
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&value["version"], &value["host"]), (&"TLS".into(), &"db.test".into()));
    assert_eq!((&value["request_bytes"], &value["response_bytes"]), (&70.into(), &80.into()));
    assert_eq!((&value["total_ns"], &value["latency_ns"]), (&9000.into(), &4000.into()));
    assert_eq!(value.get("status"), None);
}

#[test]
fn no_text_of_a_client_can_end_a_line_or_a_string() {
    let hostile: Vec<u8> = (0..=255).collect();
    for format in [AccessFormat::Plain, AccessFormat::Json] {
        let line = written(format, &facts(&hostile, &hostile));
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(!line.trim_end().chars().any(char::is_control), "{line:?}");
    }
    let line = written(AccessFormat::Plain, &facts(b"/\r\n\"\\\xff\x1b[0m", b""));
    assert!(line.contains(r#""GET /\x0d\x0a\"\\\xff\x1b[0m HTTP/1.1""#), "{line}");
    let line = written(AccessFormat::Json, &facts("/\"\\\r\u{e9}\u{2028}".as_bytes(), b"\xff"));
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["uri"], "/\"\\\r\u{e9}\u{2028}");
    assert_eq!(value["user_agent"], "\u{fffd}");
}

#[test]
fn long_targets_are_cut() {
    let line = written(AccessFormat::Plain, &facts(&[b'a'; 16_384], b""));
    assert!(line.len() < 2500, "{}", line.len());
}

#[test]
fn lines_that_the_writer_cannot_take_are_counted() {
    // A writer that has ended takes nothing, like one that is behind.
    let (lines, writer) = lines::start("access", &Sink::Stderr, 1).unwrap();
    assert!(writer.close(Duration::from_secs(5)));
    let mut log = AccessLog::new(AccessFormat::Plain, lines).unwrap();
    for _ in 0..3 {
        let entry = log.begin(&facts(b"/", b""), UNIX_EPOCH);
        log.end(entry, &Ending::from(&record()), None);
    }
    assert_eq!(log.flush(), 3);
    assert_eq!(log.flush(), 0);
}

#[test]
fn off_is_no_log() {
    let (lines, _writer) = lines::start("access", &Sink::Stderr, 1).unwrap();
    assert!(AccessLog::new(AccessFormat::Off, lines).is_none());
}
