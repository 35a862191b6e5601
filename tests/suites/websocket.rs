//! WebSocket end to end: by Upgrade in HTTP/1.1 and by extended CONNECT (RFC 8441) in HTTP/2, on
//! either side and over the mesh, with real peers; and what must never become a tunnel.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use ringway_tests::client::Client;
use ringway_tests::h2::hpack::literals;
use ringway_tests::h2::session::Session;
use ringway_tests::h2::wire::END_HEADERS;
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::peer::{Peer, run, script, tool};
use ringway_tests::proxy::Proxy;
use ringway_tests::reply::{Act, head, reply};
use ringway_tests::settings::Settings;
use ringway_tests::text::latin1;
use ringway_tests::wait;

matrix!(
    websockets_pass_in_every_way,
    websockets_reach_an_endpoint_in_http_2,
    early_bytes_pass_both_ways,
    what_is_declined_is_no_tunnel,
    what_is_not_proven_is_no_tunnel,
    an_endpoint_that_cannot_is_asked_without,
);

const PATIENCE: Duration = Duration::from_secs(10);

const CASES: &str = "websocket_cases.py";

fn server(kind: &str) -> Peer {
    Peer::program(&tool("python/bin/python"), &[&script(CASES), kind])
}

/// Runs both clients, each of which has so many cases.
fn assert_served(address: SocketAddr, way: &str) {
    for (client, cases) in [("client", 5), ("h2client", 4)] {
        let mut command = Command::new(tool("python/bin/python"));
        command.args([&script(CASES), client, &address.port().to_string()]);
        let (text, out) = run(&mut command);
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{client} {way}: {text}{errors}");
        assert_eq!(text.lines().count(), cases, "{client} {way}: {text}");
    }
}

fn towards(endpoint: SocketAddr, how: &str) -> Settings {
    let service = format!("{{endpoints: [\"{endpoint}\"], {how}}}");
    Settings::default().service_yaml("app", &service).listener("web", &["service: app"])
}

fn websockets_pass_in_every_way(cell: Cell) {
    let server = server("server");
    let mut plain = Proxy::start(cell, Settings::front(&[server.address]));
    assert_served(plain.web(), "through one proxy");
    let mut far = Settings::front(&[server.address]);
    far.listeners[0].keys.push("peers: 127.0.0.0/8".into());
    let mut far = Proxy::start(cell, far);
    // An upgrade is not carried over HTTP/2, but goes as it came.
    let mut meshed = Proxy::start(cell, towards(far.web(), "meshed: true"));
    assert_served(meshed.web(), "over the mesh");
    // What came as an upgrade goes on as an extended CONNECT.
    let mut h2c = Proxy::start(cell, towards(far.web(), "protocol: h2c"));
    assert_served(h2c.web(), "over HTTP/2");
    for proxy in [&mut plain, &mut meshed, &mut h2c, &mut far] {
        proxy.assert_well();
    }
}

fn websockets_reach_an_endpoint_in_http_2(cell: Cell) {
    let server = server("h2server");
    let mut proxy = Proxy::start(cell, towards(server.address, "protocol: h2c"));
    assert_served(proxy.web(), "to a server in HTTP/2");
    proxy.assert_well();
}

const UPGRADE: &str = "GET /up HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Switches, says `early` at once, and echoes.
fn echoing() -> Origin {
    Origin::acting("o", |request| {
        let key = request.value("sec-websocket-key").unwrap_or_default().to_owned();
        let accept = ringway_core::wire::websocket::accept(key.as_bytes());
        let fields = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Accept", std::str::from_utf8(&accept).unwrap()),
        ];
        let switched = [head(101, &fields), b"early".to_vec()].concat();
        vec![
            Act::Send(switched),
            Act::Take(Box::new(|mut stream, mut rest| {
                let mut buffer = [0; 1024];
                while stream.write_all(&rest).is_ok() {
                    match stream.read(&mut buffer) {
                        Ok(n @ 1..) => rest = buffer[..n].to_vec(),
                        _ => break,
                    }
                }
                let _ = stream.shutdown(std::net::Shutdown::Both);
            })),
        ]
    })
}

/// With the head of the handshake and with the head of its answer.
fn early_bytes_pass_both_ways(cell: Cell) {
    let origin = echoing();
    let mut far = Settings::front(&[origin.address]);
    far.listeners[0].keys.push("peers: 127.0.0.0/8".into());
    let far = Proxy::start(cell, far);
    for how in ["protocol: http1", "meshed: true", "protocol: h2c"] {
        let proxy = Proxy::start(cell, towards(far.web(), how));
        let mut client = Client::connect(proxy.web());
        client.send(format!("{UPGRADE}first "));
        let answer = client.response();
        assert_eq!((answer.status, answer.value("upgrade")), (101, Some("websocket")), "{how}");
        let accept = Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer.value("sec-websocket-accept"), accept, "{how}");
        client.send("second");
        wait::until(PATIENCE, "all of it comes back", || {
            latin1(&client.rest()) == "earlyfirst second"
        });
        client.finish();
        assert!(client.ends_within(PATIENCE).is_some(), "{how}");
        let mut session = Session::connect(proxy.web());
        let stream = extended(&mut session, "/h2");
        session.data(stream, b"first ", false);
        assert_eq!(session.head(stream).status(), Some(200), "{how}");
        session.data(stream, b"second", true);
        let whole = session.answer(stream);
        assert_eq!((whole.text(), whole.ended), ("earlyfirst second".to_owned(), true), "{how}");
    }
}

fn extended(session: &mut Session, path: &str) -> u32 {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", path),
        ("sec-websocket-version", "13"),
    ];
    session.raw(END_HEADERS, &literals(&fields))
}

/// What a client has sent for a tunnel is no request to an endpoint that does not open one.
fn what_is_declined_is_no_tunnel(cell: Cell) {
    let origin = Origin::acting("o", |request| {
        let status = request.target[1..].parse().unwrap_or(200);
        vec![Act::Send(reply(status, &[("X-Origin-Id", "o-1")], b"no"))]
    });
    let mut far = Settings::front(&[origin.address]);
    far.listeners[0].keys.push("peers: 127.0.0.0/8".into());
    let mut far = Proxy::start(cell, far);
    for how in ["protocol: http1", "meshed: true", "protocol: h2c"] {
        let mut proxy = Proxy::start(cell, towards(far.web(), how));
        let mut session = Session::connect(proxy.web());
        // A success would say that the tunnel is open.
        for (said, heard) in [("/403", 403), ("/426", 426), ("/200", 502), ("/204", 502)] {
            let stream = extended(&mut session, said);
            session.data(stream, b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n", false);
            assert_eq!(session.answer(stream).status(), Some(heard), "{how} {said}");
        }
        assert_eq!(session.get("/201").status(), Some(201), "{how}: other streams go on");
        let mut client = Client::connect(proxy.web());
        // In HTTP/1.1 it is an answer, unless the upgrade had to become an extended CONNECT.
        let heard = if how == "protocol: h2c" { 502 } else { 200 };
        assert_eq!(client.ask(UPGRADE).status, heard, "{how}");
        assert_eq!(client.get("/201").status, 201, "{how}");
        proxy.assert_well();
    }
    assert!(origin.requests().iter().all(|request| request.target != "/smuggled"));
    origin.assert_clean();
    far.assert_well();
}

/// An HTTP/2 client gives no key, so the proxy checks the answer to its own.
fn what_is_not_proven_is_no_tunnel(cell: Cell) {
    let origin = Origin::acting("o", |request| {
        assert_eq!(request.values("sec-websocket-key").len(), 1);
        let fields = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        vec![Act::Send(head(101, &fields)), Act::Pause(PATIENCE)]
    });
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let mut session = Session::connect(proxy.web());
    let stream = extended(&mut session, "/");
    assert_eq!(session.answer(stream).status(), Some(502));
}

/// HTTP/2 without extended CONNECT: the application answers as it does without an upgrade.
fn an_endpoint_that_cannot_is_asked_without(cell: Cell) {
    let server =
        Peer::program(&tool("python/bin/python"), &["-B", &script("interop.py"), "server"]);
    let mut proxy = Proxy::start(cell, towards(server.address, "protocol: h2c"));
    let mut session = Session::connect(proxy.web());
    let stream = extended(&mut session, "/");
    let status = session.answer(stream).status();
    assert!(status.is_some_and(|status| status >= 400), "{status:?}");
    let status = Client::connect(proxy.web()).ask(UPGRADE).status;
    assert!(status != 101, "{status}");
    proxy.assert_well();
}
