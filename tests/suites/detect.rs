//! Protocol detection: what a connection speaks is told by its bytes, however they arrive.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use ringway_tests::client::Client;
use ringway_tests::h2::hpack::literals;
use ringway_tests::h2::wire::{BEGIN, END_HEADERS, END_STREAM, Said, frame, kind};
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::proxy::Proxy;
use ringway_tests::settings::Settings;
use ringway_tests::strict::End;
use ringway_tests::wait;

matrix!(http2_is_served_byte_by_byte, http1_is_served_byte_by_byte);

fn trickle(client: &Client, bytes: &[u8]) {
    for byte in bytes {
        assert!(client.send([*byte]));
        std::thread::sleep(Duration::from_millis(1));
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
