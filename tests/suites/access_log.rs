//! The access log: exact fields in both forms, and nothing a client says can forge a line.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::io::{Read, Write};
use std::time::Duration;

use ringway_tests::client::Client;
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::proxy::Proxy;
use ringway_tests::reply::{Act, reply};
use ringway_tests::settings::Settings;
use ringway_tests::tcp;
use ringway_tests::text;
use ringway_tests::wait;
use serde_json::Value;

matrix!(
    a_plain_line_has_its_fields,
    a_json_line_has_its_fields,
    a_plain_line_stays_one_line,
    a_json_line_stays_one_object,
    a_file_gets_the_lines,
    opaque_connections_have_lines,
    it_is_off_by_default,
);

/// Values that end a quoted string, look like more fields, or would be a line break to someone.
const FORGED: &str = "x\" 200 0\\\",\"status\":200}\u{85}{\"a\":\u{e2}\u{80}\u{a8}\tz";

fn logging(cell: Cell, keys: &str) -> (Origin, Proxy) {
    let origin = Origin::acting("o", |r| {
        let status = r.target.trim_start_matches('/').parse().unwrap_or(200);
        vec![Act::Send(reply(status, &[], b"four"))]
    });
    let settings = Settings::front(&[origin.address])
        .listener("bare", &["kind: outbound"])
        .more(&format!("access_log: {{ {keys} }}"));
    let proxy = Proxy::start(cell, settings);
    (origin, proxy)
}

/// The lines of the proxy's output that `own` picks, when there are `count` of them.
fn lines(proxy: &Proxy, count: usize, own: fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    wait::until(Duration::from_secs(4), "the access log has all lines", || {
        let output = proxy.output();
        found = output.lines().filter(|l| own(l)).map(str::to_owned).collect();
        found.len() >= count
    });
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

fn is_plain(line: &str) -> bool {
    line.starts_with("127.0.0.1:")
}

fn is_json(line: &str) -> bool {
    line.starts_with("{\"client.addr\"")
}

fn upload(client: &mut Client) {
    let answer = client.ask(
        "POST /p?q=1 HTTP/1.1\r\nHost: a.test\r\nUser-Agent: suite/1\r\n\
         X-Request-Id: r-1\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_eq!(answer.status, 200);
}

/// The fields of every JSON line that has a status.
const ALWAYS: [&str; 15] = [
    "client.addr",
    "client.id",
    "timestamp",
    "method",
    "uri",
    "version",
    "host",
    "user_agent",
    "trace_id",
    "status",
    "request_bytes",
    "response_bytes",
    "total_ns",
    "latency_ns",
    "attempts",
];

fn keys(line: &Value) -> Vec<String> {
    line.as_object().into_iter().flat_map(serde_json::Map::keys).cloned().collect()
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
    names.sort_unstable();
    names
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is not a number"))
}

fn a_plain_line_has_its_fields(cell: Cell) {
    let (origin, proxy) = logging(cell, "format: plain");
    upload(&mut Client::connect(proxy.web()));
    let line = lines(&proxy, 1, is_plain).remove(0);
    let (start, rest) = line.split_once("] ").unwrap();
    let (client, time) = start.split_once(" - - [").unwrap();
    assert!(client.starts_with("127.0.0.1:"));
    assert!(time.len() == 27 && time.ends_with('Z') && &time[10..11] == "T", "{time}");
    let (request, rest) = rest.split_once("\" ").unwrap();
    assert_eq!(request, "\"POST /p?q=1 HTTP/1.1");
    let (numbers, texts) = rest.split_once(" \"").unwrap();
    let numbers: Vec<&str> = numbers.split(' ').collect();
    assert_eq!(numbers.len(), 5, "{numbers:?}");
    assert_eq!(numbers[..3], ["200", "5", "4"], "status, request bytes, response bytes");
    assert!(number(numbers[3]) > 0, "nanoseconds");
    assert_eq!(numbers[4], origin.address.to_string());
    assert_eq!(texts, "a.test\" \"suite/1\" \"-\"");
}

fn a_json_line_has_its_fields(cell: Cell) {
    let (origin, proxy) = logging(cell, "format: json");
    upload(&mut Client::connect(proxy.web()));
    assert_eq!(Client::connect(proxy.settings.address("bare")).get("/none").status, 404);
    let lines = lines(&proxy, 2, is_json);
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(keys(&line), sorted(&[&ALWAYS[..], &["endpoint"]].concat()));
    let local: Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!(keys(&local), sorted(&[&ALWAYS[..], &["error"]].concat()));
    assert_eq!((&local["status"], &local["attempts"]), (&404.into(), &0.into()));
    assert_eq!(local["error"], "no route");
    for (key, want) in [
        ("client.id", "-"),
        ("method", "POST"),
        ("uri", "/p?q=1"),
        ("version", "HTTP/1.1"),
        ("host", "a.test"),
        ("user_agent", "suite/1"),
        ("trace_id", "r-1"),
        ("endpoint", &origin.address.to_string()),
    ] {
        assert_eq!(line[key], want, "{key}");
    }
    for (key, want) in
        [("status", 200), ("request_bytes", 5), ("response_bytes", 4), ("attempts", 1)]
    {
        assert_eq!(line[key], want, "{key}");
    }
    let total = line["total_ns"].as_u64().unwrap();
    let latency = line["latency_ns"].as_u64().unwrap();
    assert!(0 < latency && latency <= total, "{latency} of {total}");
}

fn forge(proxy: &Proxy) {
    let mut request = text::bytes("GET /200 HTTP/1.1\r\nHost: a.test\r\nUser-Agent: ");
    request.extend(text::bytes(FORGED));
    request.extend(text::bytes("\r\nX-Request-Id: "));
    request.extend(text::bytes(FORGED));
    request.extend(b"\r\n\r\n");
    let mut client = Client::connect(proxy.web());
    client.send(request);
    assert_eq!(client.response().status, 200);
}

fn a_plain_line_stays_one_line(cell: Cell) {
    let (_origin, proxy) = logging(cell, "format: plain");
    forge(&proxy);
    let line = lines(&proxy, 1, is_plain).remove(0);
    assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line:?}");
    let agent = r#""x\" 200 0\\\",\"status\":200}\x85{\"a\":\xe2\x80\xa8\x09z""#;
    assert!(line.ends_with(&format!("\"a.test\" {agent} \"-\"")), "{line}");
}

fn a_json_line_stays_one_object(cell: Cell) {
    let (_origin, proxy) = logging(cell, "format: json");
    forge(&proxy);
    let line = lines(&proxy, 1, is_json).remove(0);
    let object: Value = serde_json::from_str(&line).unwrap();
    assert!(!line.contains(['\u{2028}', '\u{85}', '\t']), "{line:?}");
    // \x85 alone is no UTF-8; the three bytes after it are U+2028.
    let agent = "x\" 200 0\\\",\"status\":200}\u{fffd}{\"a\":\u{2028}\tz";
    assert_eq!(object["user_agent"], agent);
    assert_eq!(object["trace_id"], agent);
    assert_eq!(line.matches("\"status\":").count(), 1, "{line}");
}

fn a_file_gets_the_lines(cell: Cell) {
    let directory = ringway_tests::scratch::Scratch::new();
    let path = directory.path().join("access.log");
    let (_origin, mut proxy) = logging(cell, &format!("format: plain, path: {}", path.display()));
    let mut client = Client::connect(proxy.web());
    for _ in 0..50 {
        assert_eq!(client.get("/200").status, 200);
    }
    drop(client);
    proxy.signal(libc::SIGTERM);
    let status = proxy.exits_within(Duration::from_secs(5));
    assert_eq!(status.and_then(|s| s.code()), Some(0));
    let log = std::fs::read_to_string(&path).unwrap();
    assert_eq!(log.lines().count(), 50, "what was gathered is written at the end");
    assert!(log.ends_with('\n') && log.lines().all(is_plain));
}

fn opaque_connections_have_lines(cell: Cell) {
    let (server, nobody) = (tcp::Server::echo(), tcp::refusing());
    let settings = Settings::default()
        .service("app", &[server.address])
        .service("down", &[nobody])
        .listener("web", &["service: app", "protocol: detect"])
        .listener("down", &["service: down", "protocol: opaque"])
        .more("access_log: { format: plain }");
    let proxy = Proxy::start(cell, settings);
    let mut client = tcp::connect(proxy.web());
    client.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
    client.read_exact(&mut [0; 14]).unwrap();
    drop(client);
    let carried = lines(&proxy, 1, is_plain).remove(0);
    let (start, rest) = carried.split_once("] ").unwrap();
    assert!(start.starts_with("127.0.0.1:"), "{carried}");
    let words: Vec<&str> = rest.split(' ').collect();
    assert_eq!(words[..6], ["\"-", "-", "TCP\"", "-", "14", "14"], "{carried}");
    assert!(number(words[6]) > 0, "nanoseconds: {carried}");
    assert_eq!(words[7..], [&server.address.to_string(), "\"-\"", "\"-\"", "\"-\""], "{carried}");
    // Which server a ClientHello asks for.
    let hello = client_hello("db.test");
    let mut client = tcp::connect(proxy.web());
    client.write_all(&hello).unwrap();
    client.read_exact(&mut vec![0; hello.len()]).unwrap();
    drop(client);
    let line = lines(&proxy, 2, is_plain).remove(1);
    assert!(line.contains("\"- - TLS\" - ") && line.contains("\"db.test\""), "{line}");
    assert!(tcp::resets(proxy.settings.address("down")));
    let line = lines(&proxy, 3, is_plain).remove(2);
    let ends = format!(" {nobody} \"-\" \"-\" \"connection refused\"");
    assert!(line.ends_with(&ends), "{line}");
}

/// The beginning of a TLS connection that names a server (RFC 8446 4.1.2, RFC 6066 3).
fn client_hello(name: &str) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
    let names = sized(&[&[0][..], &sized(name.as_bytes())].concat());
    let extensions = sized(&[&[0, 0][..], &sized(&names)].concat());
    let fixed = [&[3, 3][..], &[7; 32], &[0], &sized(&[0x13, 0x01]), &[1, 0]].concat();
    let body = [fixed, extensions].concat();
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    [&[22, 3, 1][..], &sized(&message)].concat()
}

fn it_is_off_by_default(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    assert_eq!(Client::connect(proxy.web()).get("/quiet").status, 200);
    proxy.signal(libc::SIGTERM);
    wait::until(Duration::from_secs(4), "it ends", || {
        !std::path::Path::new(&format!("/proc/{}/fd/0", proxy.pid())).exists()
    });
    assert!(!proxy.output().contains("/quiet"), "{}", proxy.output());
}
