//! Protocol detection: what a connection speaks is told by its bytes, however they arrive, and what
//! is not HTTP passes untouched.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ringway_tests::client::Client;
use ringway_tests::h2::hpack::literals;
use ringway_tests::h2::wire::{BEGIN, END_HEADERS, END_STREAM, Said, frame, kind};
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::peer::Peer;
use ringway_tests::proxy::Proxy;
use ringway_tests::scratch::Scratch;
use ringway_tests::settings::Settings;
use ringway_tests::strict::End;
use ringway_tests::tcp::{self, Server};
use ringway_tests::wait;

matrix!(
    http2_is_served_byte_by_byte,
    http1_is_served_byte_by_byte,
    a_detecting_listener_serves_http,
    what_is_not_http_passes_byte_by_byte,
    what_the_client_never_finishes_passes_at_its_end,
    a_silent_client_s_server_speaks_after_the_limit,
    tls_passes_from_end_to_end,
    redis_passes_from_end_to_end,
);

const SOON: Duration = Duration::from_secs(10);

/// A detecting listener `web` to a local application.
fn inbound(target: SocketAddr) -> Settings {
    Settings::default().listener("web", &["kind: inbound", &format!("target: {target}")])
}

/// How many connections were taken for `protocol`, by what it was decided.
fn decided(proxy: &Proxy, protocol: &str) -> Vec<(String, f64)> {
    proxy.metrics().by("ringway_protocol_connections_total", &[("protocol", protocol)], "by")
}

fn by(what: &str, count: u32) -> Vec<(String, f64)> {
    vec![(what.to_owned(), f64::from(count))]
}

fn trickle(client: &Client, bytes: &[u8]) {
    for byte in bytes {
        assert!(client.send([*byte]));
        thread::sleep(Duration::from_millis(1));
    }
}

fn http2_is_served_byte_by_byte(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    for split in [true, false] {
        let client = Client::connect(proxy.web());
        let fields =
            [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/a")];
        let request = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &literals(&fields));
        let bytes = [BEGIN, &request].concat();
        if split {
            trickle(&client, &bytes);
        } else {
            assert!(client.send(&bytes));
        }
        wait::until(Duration::from_secs(5), "it is answered", || {
            Said::of(&client.data()).stream(1).status() == Some(200)
        });
    }
    assert_eq!(origin.complete("/a").len(), 2);
    origin.assert_clean();
    assert_eq!(decided(&proxy, "http/2"), by("bytes", 2));
}

fn http1_is_served_byte_by_byte(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    for method in ["GET", "PRI", "PROPFIND", "POST"] {
        let mut client = Client::connect(proxy.web());
        trickle(&client, format!("{method} /a HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes());
        assert_eq!(client.response().status, 200, "{method}");
        assert_eq!(client.get("/b").status, 200, "and again after {method}");
    }
    // What begins like the preface and is not it is an HTTP/1 request of the wrong version.
    let mut client = Client::connect(proxy.web());
    client.send("PRI * HTTP/2.0\r\n\r\nXX");
    assert_eq!(client.response().status, 505);
    // One that leaves in the middle of it gets no answer, as in the middle of any head.
    let client = Client::connect(proxy.web());
    client.send("PRI * HT");
    client.finish();
    assert_eq!(client.ends_within(Duration::from_secs(1)), Some(End::Fin));
    origin.assert_clean();
}

fn a_detecting_listener_serves_http(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = Proxy::start(cell, inbound(origin.address));
    let mut client = Client::connect(proxy.web());
    trickle(&client, b"\r\nGET /a HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert_eq!(client.get("/b").status, 200);
    // Malformed, and so like HTTP that an answer is understood.
    for request in ["GET  / HTTP/1.1\r\n\r\n", "GET / http/1.1\r\nHost: a.test\r\n\r\n"] {
        let mut client = Client::connect(proxy.web());
        client.send(request);
        assert_eq!(client.response().status, 400, "{request}");
    }
    // A head that begins like HTTP and stops is HTTP too, and late.
    let mut client = Client::connect(proxy.web());
    client.send("GET / HTTP/1.1\r\nHost: a.te");
    assert_eq!(client.response().status, 408);
    origin.assert_clean();
    assert_eq!(decided(&proxy, "http/1"), by("bytes", 4));
    assert_eq!(decided(&proxy, "opaque"), []);
}

/// The first bytes of many protocols, and whether they are TLS.
const NOT_HTTP: [(&[u8], bool); 8] = [
    (b"*1\r\n$4\r\nPING\r\n", false),
    (b"PING\r\n", false),
    (b"EHLO client.test\r\n", false),
    (b"SSH-2.0-client\r\n", false),
    (b"get key\r\n", false),
    (b"\0\0\0\x08\x04\xd2\x16\x2f", false),
    (b"PRI * HTTP\r\n", false),
    (b"\x16\x03\x01\0\x05\x01\0\0\x01\0", true),
];

fn what_is_not_http_passes_byte_by_byte(cell: Cell) {
    let server = Server::echo();
    let proxy = Proxy::start(cell, inbound(server.address).timeout("detect", "1m"));
    for (bytes, _) in NOT_HTTP {
        let client = Client::connect(proxy.web());
        trickle(&client, bytes);
        wait::until(SOON, "it comes back", || client.received() == bytes.len());
        assert_eq!(client.data(), bytes);
        client.finish();
        assert_eq!(client.ends_within(SOON), Some(End::Fin));
    }
    let tls = u32::try_from(NOT_HTTP.iter().filter(|(_, tls)| *tls).count()).unwrap();
    assert_eq!(decided(&proxy, "tls"), by("bytes", tls));
    assert_eq!(decided(&proxy, "opaque"), by("bytes", 8 - tls));
    // And all at once.
    for (bytes, _) in NOT_HTTP {
        let mut client = tcp::connect(proxy.web());
        client.write_all(bytes).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        assert_eq!(back, bytes);
    }
}

fn what_the_client_never_finishes_passes_at_its_end(cell: Cell) {
    let server = Server::echo();
    let proxy = Proxy::start(cell, inbound(server.address).timeout("detect", "1m"));
    for bytes in [&b"GET"[..], b"PRI * HTTP/2", b"\x16\x03", b"\r"] {
        let mut client = tcp::connect(proxy.web());
        client.write_all(bytes).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        assert_eq!(back, bytes);
    }
    // Who says nothing at all and leaves is nobody's client.
    let client = Client::connect(proxy.web());
    client.finish();
    assert_eq!(client.ends_within(SOON), Some(End::Fin));
    assert_eq!(server.accepted(), 4);
}

fn a_silent_client_s_server_speaks_after_the_limit(cell: Cell) {
    let server = Server::greeting(b"220 ready\n");
    let proxy = Proxy::start(cell, inbound(server.address).timeout("detect", "400ms"));
    for bytes in [&b""[..], b"GET / HT"] {
        let begin = Instant::now();
        let mut client = tcp::connect(proxy.web());
        client.write_all(bytes).unwrap();
        let mut greeting = [0; 10];
        client.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"220 ready\n");
        assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
        client.write_all(b"QUIT").unwrap();
        let mut back = vec![0; bytes.len() + 4];
        client.read_exact(&mut back).unwrap();
        assert_eq!(back, [bytes, b"QUIT"].concat());
    }
    assert_eq!(decided(&proxy, "opaque"), by("limit", 2));
}

/// Runs Python with these arguments; what it prints.
fn python(script: &str, arguments: &[&str]) -> String {
    let out = Command::new("python3").args(["-c", script]).args(arguments).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

const TLS_SERVER: &str = "
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
names = {}
context.sni_callback = lambda socket, name, context: names.update(last=name)
listener = socket.create_server(('127.0.0.1', int(sys.argv[3])))
while True:
    connection, _ = listener.accept()
    try:
        with context.wrap_socket(connection, server_side=True) as stream:
            data = b''
            while part := stream.recv(65536):
                data += part
                if data.endswith(b'.'):
                    stream.sendall(names['last'].encode() + b' ' + data)
                    data = b''
    except (ssl.SSLError, OSError):
        pass
";

const TLS_CLIENT: &str = "
import hashlib, socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
data = bytes(i * 7 % 251 + 1 for i in range(1_000_000)).replace(b'.', b',') + b'.'
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(('127.0.0.1', int(sys.argv[2]))) as plain:
        with context.wrap_socket(plain, server_hostname='app.test') as stream:
            stream.sendall(data)
            got = b''
            while len(got) < len(data) + 9:
                got += stream.recv(65536)
            assert got == b'app.test ' + data, (len(got), got[:20])
            print(stream.version())
";

fn tls_passes_from_end_to_end(cell: Cell) {
    let directory = Scratch::new();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=app.test",
        ])
        .args(["-addext", "subjectAltName=DNS:app.test"])
        .args(["-keyout", &path("key.pem"), "-out", &path("cert.pem")])
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success(), "openssl makes a certificate; tests/setup installs it");
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let server = Peer::script(TLS_SERVER, &[&cert, &key]);
    let proxy = Proxy::start(cell, inbound(server.address));
    let said = python(TLS_CLIENT, &[&cert, &proxy.web().port().to_string()]);
    assert_eq!(said, "TLSv1.2\nTLSv1.3\n");
    assert_eq!(decided(&proxy, "tls"), by("bytes", 2));
}

fn redis_passes_from_end_to_end(cell: Cell) {
    let redis = Peer::redis();
    let proxy = Proxy::start(cell, inbound(redis.address));
    let mut client = tcp::connect(proxy.web());
    let mut expect = |command: &[u8], answer: &[u8]| {
        client.write_all(command).unwrap();
        let mut got = vec![0; answer.len()];
        client.read_exact(&mut got).unwrap();
        assert_eq!(got.escape_ascii().to_string(), answer.escape_ascii().to_string());
    };
    expect(b"PING\r\n", b"+PONG\r\n");
    let value = vec![b'v'; 500_000];
    let set = [&b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000\r\n"[..], &value, b"\r\n"].concat();
    expect(&set, b"+OK\r\n");
    expect(b"GET k\r\n", &[&b"$500000\r\n"[..], &value, b"\r\n"].concat());
    let pipeline = b"INCR n\r\n".repeat(1000);
    let answers: String = (1..=1000).map(|n| format!(":{n}\r\n")).collect();
    expect(&pipeline, answers.as_bytes());
    // A subscriber is spoken to out of turn.
    expect(b"SUBSCRIBE c\r\n", b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    let mut other = tcp::connect(proxy.web());
    other.write_all(b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$2\r\nhi\r\n").unwrap();
    other.read_exact(&mut [0; 4]).unwrap();
    expect(b"", b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n");
    assert_eq!(decided(&proxy, "opaque"), by("bytes", 2));
}
