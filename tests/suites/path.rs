//! The way of an HTTP/1.1 request through the proxy: framing, connections, hop-by-hop, tunnels.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::io::{Read, Write};
use std::time::Duration;

use ringway_tests::client::Client;
use ringway_tests::everywhere;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::proxy::Proxy;
use ringway_tests::reply::{Act, head, reply};
use ringway_tests::settings::Settings;
use ringway_tests::strict::{End, Recorded};
use ringway_tests::text::{latin1, tokens, values};

everywhere!(
    keep_alive,
    pipelining,
    lengths,
    chunked_with_extensions_and_trailers,
    chunked_response_with_trailers,
    close_delimited,
    bodiless_responses,
    interim_responses,
    expect_continue,
    expect_continue_refused,
    upgrade,
    upgrade_declined,
);

fn front(cell: Cell, origin: &Origin) -> (Proxy, Client) {
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let client = Client::connect(proxy.web());
    (proxy, client)
}

fn keep_alive(cell: Cell) {
    let origin = Origin::echo("o");
    let (_proxy, mut client) = front(cell, &origin);
    for i in 0..20 {
        let target = format!("/{i}?q={i}");
        let answer = client.get(&target);
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains(&format!("target={target} ")), "{:?}", answer.text());
    }
    assert_eq!(origin.ends().len(), 1, "one pooled connection serves them all");
    let last = client.ask("GET /last HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert!(last.closes());
    assert_eq!(client.ends_within(Duration::from_secs(2)), Some(End::Fin));
    origin.assert_clean();
}

fn pipelining(cell: Cell) {
    let origin = Origin::acting("o", |r| {
        let pause = if r.target == "/0" { 80 } else { 0 };
        let body = format!("body of {}", r.target);
        vec![Act::Pause(Duration::from_millis(pause)), Act::Send(reply(200, &[], body.as_bytes()))]
    });
    let (_proxy, mut client) = front(cell, &origin);
    let all: String = (0..10)
        .map(|i| format!("POST /{i} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc"))
        .collect();
    client.send(all);
    for i in 0..10 {
        assert_eq!(client.response().text(), format!("body of /{i}"));
    }
    origin.assert_clean();
}

fn lengths(cell: Cell) {
    let origin = Origin::acting("o", |r| {
        let length: usize = r.target[1..].parse().unwrap();
        vec![
            Act::Send(head(200, &[("Content-Length", &length.to_string())])),
            Act::Pattern(length as u64),
        ]
    });
    let (_proxy, mut client) = front(cell, &origin);
    let pattern = ringway_tests::text::Pattern::default();
    for length in [0, 1, 63, 4095, 4096, 65_535, 65_537, 1 << 20] {
        let mut text =
            format!("POST /{length} HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n")
                .into_bytes();
        let mut at = 0;
        while at < length {
            let part = pattern.at(at as u64, length - at);
            text.extend_from_slice(part);
            at += part.len();
        }
        client.send(&text);
        let answer = client.response();
        assert_eq!((answer.status, answer.body.len()), (200, length));
        assert!(pattern.matches(0, &answer.body));
        client.forget();
        let seen = origin.complete(&format!("/{length}")).pop().unwrap();
        assert!(seen.patterned && seen.length == length as u64, "request body of {length}");
        assert_eq!(seen.value("content-length"), Some(length.to_string().as_str()));
    }
    origin.assert_clean();
}

fn chunked_with_extensions_and_trailers(cell: Cell) {
    let origin = Origin::echo("o");
    let (_proxy, mut client) = front(cell, &origin);
    let answer = client.ask(
        "POST /c HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         5;name=\"a;b\"\r\nhello\r\n00006\r\n world\r\n0;last\r\nX-Sum: 42\r\nContent-Length: 9\r\n\r\n",
    );
    assert!(answer.text().contains(" length=11 "), "{:?}", answer.text());
    let seen = &origin.complete("/c")[0];
    assert_eq!(seen.body, b"hello world");
    assert_eq!(seen.trailers.len(), 1, "{:?}", seen.trailers);
    assert_eq!(values(&seen.trailers, "x-sum"), ["42"]);
    assert!(!latin1(&seen.raw).contains("name="), "extensions belong to the hop");
    assert_eq!(client.get("/next").status, 200);
    origin.assert_clean();
}

fn chunked_response_with_trailers(cell: Cell) {
    let origin = Origin::acting("o", |_| {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                    2;x=y\r\nok\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n";
        vec![Act::Drip { bytes: text.into(), size: 1, every: Duration::from_micros(300) }]
    });
    let (_proxy, mut client) = front(cell, &origin);
    for _ in 0..2 {
        let answer =
            client.ask("GET / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
        assert_eq!(answer.text(), "ok0123456789");
        assert_eq!(values(&answer.trailers, "x-sum"), ["1"]);
    }
    assert_eq!(origin.ends().len(), 1, "the connection is pooled after a chunked response");
}

fn close_delimited(cell: Cell) {
    let origin = Origin::acting("o", |_| {
        vec![
            Act::Send(head(200, &[("Content-Type", "text/plain")])),
            Act::Pattern(300_000),
            Act::Close,
        ]
    });
    let (proxy, mut client) = front(cell, &origin);
    for _ in 0..2 {
        let answer = client.get("/");
        assert_eq!(answer.body.len(), 300_000);
        assert!(!answer.until_close, "re-framed for an HTTP/1.1 client, which stays connected");
    }
    let mut old = Client::connect(proxy.web());
    old.send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    let answer = old.response();
    assert!(answer.until_close && answer.values("transfer-encoding").is_empty());
    assert_eq!(answer.body.len(), 300_000);
}

fn bodiless_responses(cell: Cell) {
    let origin = Origin::acting("o", |r| {
        let status = r.target[1..].parse().unwrap_or(200);
        let fields: &[(&str, &str)] = match status {
            204 => &[("X-Kind", "none")],
            304 => &[("ETag", "\"a\""), ("Content-Length", "1234")],
            _ => &[("Content-Length", "1234")],
        };
        vec![Act::Send(head(status, fields))]
    });
    let (_proxy, mut client) = front(cell, &origin);
    let answer = client.ask("HEAD /200 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(answer.value("content-length"), Some("1234"), "HEAD keeps the length it tells");
    let answer = client.get("/204");
    assert_eq!(answer.status, 204);
    assert!(
        answer.values("content-length").is_empty() && answer.values("transfer-encoding").is_empty()
    );
    let answer = client.get("/304");
    assert_eq!((answer.status, answer.value("etag")), (304, Some("\"a\"")));
    let answer = client.ask("HEAD /200 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert!(client.rest().is_empty());
    assert_eq!(origin.ends().len(), 1, "the connection stays in step");
}

fn interim_responses(cell: Cell) {
    let origin = Origin::acting("o", |_| {
        let hints = head(103, &[("Link", "</a.css>")]);
        vec![Act::Send(hints.clone()), Act::Send(hints), Act::Send(reply(200, &[], b"final"))]
    });
    let (proxy, mut client) = front(cell, &origin);
    let answer = client.get("/");
    assert_eq!((answer.interim.as_slice(), answer.text().as_str()), (&[103, 103][..], "final"));
    let mut old = Client::connect(proxy.web());
    let answer = old.ask("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    assert!(answer.interim.is_empty(), "HTTP/1.0 knows no interim responses");
}

fn expect_continue(cell: Cell) {
    let origin = Origin::echo("o");
    let (_proxy, mut client) = front(cell, &origin);
    client.send(
        "POST /e HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let go =
        ringway_tests::wait::poll(Duration::from_secs(3), || (client.received() > 0).then_some(()));
    assert!(go.is_some(), "100 Continue arrives before the body is sent");
    client.send("hello");
    let answer = client.response_to("POST").unwrap();
    assert_eq!((answer.interim.as_slice(), answer.status), (&[100][..], 200));
    assert_eq!(origin.complete("/e")[0].body, b"hello");
}

fn expect_continue_refused(cell: Cell) {
    let origin = Origin::scripted("o", |r, moment| {
        let first = moment == ringway_tests::origin::Moment::Head && r.target == "/e";
        first.then(|| vec![Act::Send(reply(417, &[], b"no"))])
    });
    let (proxy, mut client) = front(cell, &origin);
    client.send(
        "POST /e HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let answer = client.response_to("POST").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (417, "no"));
    // Whether or not the client sends the body now, nobody else's request may be mistaken for it.
    assert_eq!(Client::connect(proxy.web()).get("/other").status, 200);
    origin.assert_clean();
}

/// Echoes in upper case after an answer of 101, until the client closes.
fn shout(r: &Recorded) -> Vec<Act> {
    assert_eq!(r.value("upgrade"), Some("shout"));
    assert!(tokens(&r.fields, "connection").contains(&"upgrade".to_owned()));
    let switched = head(101, &[("Connection", "Upgrade"), ("Upgrade", "shout")]);
    vec![
        Act::Send(switched),
        Act::Take(Box::new(|mut stream, mut rest| {
            let mut buffer = [0; 1024];
            while stream.write_all(&rest.to_ascii_uppercase()).is_ok() {
                match stream.read(&mut buffer) {
                    Ok(n @ 1..) => rest = buffer[..n].to_vec(),
                    _ => break,
                }
            }
            let _ = stream.write_all(b"bye");
            let _ = stream.shutdown(std::net::Shutdown::Both);
        })),
    ]
}

fn upgrade(cell: Cell) {
    let origin = Origin::acting("o", |r| {
        if r.target == "/up" { shout(r) } else { vec![Act::Send(reply(200, &[], b"plain"))] }
    });
    let (proxy, mut client) = front(cell, &origin);
    let ask = "GET /up HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n";
    let answer = client.ask(ask);
    assert_eq!((answer.status, answer.value("upgrade")), (101, Some("shout")));
    for i in 0..5 {
        client.send(format!("hello {i} "));
        let want: String = (0..=i).map(|i| format!("HELLO {i} ")).collect();
        let came = ringway_tests::wait::poll(Duration::from_secs(3), || {
            (latin1(&client.rest()) == want).then_some(())
        });
        assert!(came.is_some(), "{:?} instead of {want:?}", latin1(&client.rest()));
    }
    assert_eq!(Client::connect(proxy.web()).get("/plain").text(), "plain");
    client.finish();
    assert_eq!(client.ends_within(Duration::from_secs(3)), Some(End::Fin));
    assert!(
        latin1(&client.rest()).ends_with("bye"),
        "the upstream may still speak after the client's FIN"
    );
    assert_eq!(origin.complete("/plain")[0].connection, 1, "a tunnel is never pooled");
    assert_eq!(Client::connect(proxy.web()).get("/plain2").text(), "plain");
    origin.assert_clean();
}

fn upgrade_declined(cell: Cell) {
    let origin = Origin::echo("o");
    let (_proxy, mut client) = front(cell, &origin);
    client.send(
        "GET /up HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n\
         GET /second HTTP/1.1\r\nHost: a.test\r\n\r\n",
    );
    assert!(client.response().text().contains(" target=/up "));
    assert!(
        client.response().text().contains(" target=/second "),
        "what follows is the next request"
    );
    origin.assert_clean();
}
