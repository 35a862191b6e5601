//! What the proxy does to heads: versions, target forms, fields of the hop, the client's identity.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use ringway_tests::client::Client;
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::proxy::Proxy;
use ringway_tests::reply::{Act, reply};
use ringway_tests::scratch::Scratch;
use ringway_tests::settings::Settings;
use ringway_tests::strict::End;
use ringway_tests::text::tokens;

matrix!(
    one_zero_client,
    absolute_form,
    hop_by_hop,
    identity_of_the_client,
    no_route,
    connect_is_refused,
);

fn front(cell: Cell, origin: &Origin) -> (Proxy, Client) {
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let client = Client::connect(proxy.web());
    (proxy, client)
}

fn one_zero_client(cell: Cell) {
    let origin = Origin::echo("o");
    let (proxy, mut client) = front(cell, &origin);
    let answer = client.ask("GET /old HTTP/1.0\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert_eq!(client.ends_within(Duration::from_secs(2)), Some(End::Fin));
    let seen = &origin.complete("/old")[0];
    assert_eq!(seen.version, "HTTP/1.1");
    assert_eq!(seen.values("host").len(), 1);
    let mut kept = Client::connect(proxy.web());
    for _ in 0..2 {
        let answer =
            kept.ask("GET /kept HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
        assert!(tokens(&answer.fields, "connection").contains(&"keep-alive".to_owned()));
    }
}

fn absolute_form(cell: Cell) {
    let origin = Origin::echo("o");
    let (_proxy, mut client) = front(cell, &origin);
    let answer = client.ask("GET http://b.test:81/path?q=1 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(answer.status, 200);
    let seen = &origin.complete("/path?q=1")[0];
    assert_eq!(seen.value("host"), Some("b.test:81"), "the target's authority replaces Host");
    let answer = client.ask("GET http://b.test HTTP/1.1\r\nHost: b.test\r\n\r\n");
    assert!(answer.text().contains(" target=/ "));
}

fn hop_by_hop(cell: Cell) {
    let origin = Origin::acting("o", |_| {
        let fields = [
            ("Connection", "X-Internal, keep-alive"),
            ("Keep-Alive", "timeout=5"),
            ("X-Internal", "1"),
            ("Proxy-Connection", "keep-alive"),
            ("X-Kept", "yes"),
            ("Via", "1.1 inner"),
        ];
        vec![Act::Send(reply(200, &fields, b"x"))]
    });
    let (_proxy, mut client) = front(cell, &origin);
    let answer = client.ask(
        "GET /h HTTP/1.1\r\nHost: a.test\r\nConnection: X-Secret, close-not, keep-alive\r\nX-Secret: 1\r\nKeep-Alive: 5\r\n\
         Proxy-Connection: keep-alive\r\nTE: trailers, gzip\r\nX-Kept: yes\r\nVia: 1.0 outer\r\nl5d-client-id: root\r\n\r\n",
    );
    let seen = &origin.complete("/h")[0];
    for name in ["x-secret", "keep-alive", "proxy-connection", "l5d-client-id"] {
        assert!(seen.values(name).is_empty(), "{name} went upstream");
    }
    assert!(!tokens(&seen.fields, "connection").contains(&"x-secret".to_owned()));
    assert!(tokens(&seen.fields, "te").iter().all(|t| t == "trailers"));
    assert_eq!(seen.value("x-kept"), Some("yes"));
    assert_eq!(tokens(&seen.fields, "via"), ["1.0 outer", "1.1 ringway"]);
    for name in ["x-internal", "keep-alive", "proxy-connection"] {
        assert!(answer.values(name).is_empty(), "{name} went downstream");
    }
    assert_eq!(answer.value("x-kept"), Some("yes"));
    assert_eq!(tokens(&answer.fields, "via"), ["1.1 inner", "1.1 ringway"]);
}

fn identity_of_the_client(cell: Cell) {
    let origin = Origin::echo("o");
    let settings = Settings::default()
        .service("app", &[origin.address])
        .listener("web", &["service: app"])
        .listener("rfc", &["service: app", "forwarded: rfc7239"])
        .listener("quiet", &["service: app", "forwarded: off", "via: false"]);
    let proxy = Proxy::start(cell, settings);
    let ask = "GET /x HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";
    assert_eq!(Client::connect(proxy.web()).ask(ask).status, 200);
    let seen = origin.complete("/x").pop().unwrap();
    assert_eq!(tokens(&seen.fields, "x-forwarded-for"), ["192.0.2.1", "127.0.0.1"]);
    assert_eq!(seen.value("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.value("x-forwarded-host"), Some("a.test"));
    assert_eq!(Client::connect(proxy.settings.address("rfc")).ask(ask).status, 200);
    let seen = origin.complete("/x").pop().unwrap();
    let forwarded = seen.value("forwarded").unwrap_or("");
    assert!(
        forwarded.contains("for=127.0.0.1") || forwarded.contains("for=\"127.0.0.1\""),
        "{forwarded:?}"
    );
    assert_eq!(Client::connect(proxy.settings.address("quiet")).ask(ask).status, 200);
    let seen = origin.complete("/x").pop().unwrap();
    assert_eq!(seen.value("x-forwarded-for"), Some("192.0.2.1"), "passed as it came");
    assert!(seen.values("via").is_empty() && seen.values("forwarded").is_empty());
}

fn no_route(cell: Cell) {
    let nothing = Scratch::new();
    let settings = Settings::default().listener("web", &[]).manifests(nothing.path());
    let proxy = Proxy::start(cell, settings);
    let mut client = Client::connect(proxy.web());
    for _ in 0..2 {
        let answer = client.get("/");
        assert_eq!(answer.status, 404);
        assert!(answer.value("l5d-proxy-error").is_some_and(|e| e.contains("no route")));
    }
}

fn connect_is_refused(cell: Cell) {
    let origin = Origin::echo("o");
    let (_proxy, mut client) = front(cell, &origin);
    client.send("CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.response();
    assert_eq!(answer.status, 405);
    assert!(answer.value("l5d-proxy-error").is_some_and(|e| e.contains("connect")));
    assert!(client.ends_within(Duration::from_secs(2)).is_some());
    assert!(origin.requests().is_empty());
}
