//! Protocol detection: what a connection speaks is told by its bytes, however they arrive.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use ringway_tests::client::Client;
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::proxy::Proxy;
use ringway_tests::settings::Settings;
use ringway_tests::strict::End;

matrix!(http2_is_recognised_byte_by_byte, http1_is_served_byte_by_byte);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn trickle(client: &Client, bytes: &[u8]) {
    for byte in bytes {
        assert!(client.send([*byte]));
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Until HTTP/2 is served.
fn http2_is_recognised_byte_by_byte(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    for split in [true, false] {
        let client = Client::connect(proxy.web());
        let bytes = [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
        if split {
            trickle(&client, &bytes)
        } else {
            assert!(client.send(&bytes))
        }
        assert_eq!(client.ends_within(Duration::from_secs(5)), Some(End::Fin));
        // SETTINGS, then GOAWAY: nothing processed, HTTP_1_1_REQUIRED.
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13];
        assert_eq!(client.data(), [&settings[..], &goaway].concat());
    }
    assert!(origin.requests().is_empty());
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
