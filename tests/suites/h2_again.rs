//! Requests of HTTP/2 that are sent a second time: bodies that were held for that, copies for a
//! mirror, and the time that is left by then.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringway_tests::h2::endpoint::{endpoint, reset, serve};
use ringway_tests::h2::hpack::literals;
use ringway_tests::h2::session::{Session, code};
use ringway_tests::h2::wire::{END_HEADERS, END_STREAM, Message, frame, kind};
use ringway_tests::manifest;
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::pair::{Pair, Speaks};
use ringway_tests::proxy::Proxy;
use ringway_tests::reply::{Act, reply};
use ringway_tests::scratch::Scratch;
use ringway_tests::settings::Settings;
use ringway_tests::wait;

matrix!(
    a_refused_body_is_sent_again,
    a_body_on_a_dead_connection_is_sent_again,
    a_copy_goes_to_an_http2_mirror,
    what_is_left_of_the_time_is_passed_on,
);

fn refuses(stream: TcpStream) {
    serve(stream, |request| request.ended, |id, _| reset(id, code::REFUSED_STREAM));
}

/// Says how long the body was, and its trailer.
fn measures(stream: TcpStream) {
    let answer = |id, request: &Message| {
        let length = request.body.len().to_string();
        let tail = request.trailer("x-tail").unwrap_or("none");
        let fields = [(":status", "200"), ("x-length", &length), ("x-tail", tail)];
        frame(kind::HEADERS, END_HEADERS | END_STREAM, id, &literals(&fields))
    };
    serve(stream, |request| request.ended, answer);
}

/// Though all of it was sent: the endpoint has said that it did not look at it.
fn a_refused_body_is_sent_again(cell: Cell) {
    let endpoints = [endpoint(refuses), endpoint(measures)].map(|at| format!("\"{at}\""));
    let list = endpoints.join(", ");
    let text = format!("{{endpoints: [{list}], protocol: h2c, balancer: round-robin}}");
    let settings =
        Settings::default().service_yaml("app", &text).listener("web", &["service: app"]);
    let mut proxy = Proxy::start(cell, settings);
    for client in [Speaks::Http1, Speaks::Http2] {
        let pair = Pair { client, upstream: Speaks::Http2 };
        // Both endpoints get their turn as the first.
        for length in [1, 1, 9_000, 9_000] {
            let body = vec![b'b'; length];
            let mut caller = pair.connect(proxy.web());
            let heard = caller.call("POST", "/again", &[], Some(&body), &[("x-tail", "t")]);
            let heard = heard.unwrap();
            assert_eq!(heard.status, 200, "{client:?} {length}");
            assert_eq!(heard.value("x-length"), Some(&*length.to_string()), "{client:?}");
            assert_eq!(heard.value("x-tail"), Some("t"), "{client:?}");
        }
        // What is too long to be held reaches one of them only.
        let body = vec![b'b'; 200_000];
        let statuses = [(); 2].map(|()| {
            let mut caller = pair.connect(proxy.web());
            caller.call("POST", "/long", &[], Some(&body), &[]).unwrap().status
        });
        assert!(statuses.contains(&200) && statuses.contains(&502), "{client:?} {statuses:?}");
    }
    assert!(proxy.metrics().sum("ringway_retries_total", &[]) >= 4.0);
    proxy.assert_well();
}

/// The keep-alive race, as HTTP/1.1 has it: for methods that may be repeated.
fn a_body_on_a_dead_connection_is_sent_again(cell: Cell) {
    let dead = AtomicUsize::new(0);
    let origin = Origin::acting("o", move |request| {
        // Every second one finds its connection closed.
        let dies =
            request.target == "/dies" && dead.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        if dies { vec![Act::Close] } else { vec![Act::Send(reply(200, &[], b"x"))] }
    });
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let mut session = Session::connect(proxy.web());
    for (method, status) in [("PUT", 200), ("DELETE", 200), ("POST", 502)] {
        assert_eq!(session.get("/warm").status(), Some(200));
        let stream = session.open(method, "/dies", &[], false);
        session.data(stream, b"some ", false);
        session.data(stream, b"bytes", true);
        assert_eq!(session.answer(stream).status(), Some(status), "{method}");
        if method == "POST" {
            break;
        }
        let last = origin.complete("/dies").pop().unwrap();
        assert_eq!((&*last.method, &*last.body), (method, &b"some bytes"[..]));
    }
    origin.assert_clean();
}

fn a_copy_goes_to_an_http2_mirror(cell: Cell) {
    let (red, blue) = (Origin::echo("red"), Origin::echo("blue"));
    let behind = Proxy::start(cell, Settings::front(&[blue.address]));
    let directory = Scratch::new();
    let h2c = manifest::service("blue", &[behind.web()])
        .replace("targetPort: 8080}", "targetPort: 8080, appProtocol: kubernetes.io/h2c}");
    let rules = "- filters:\n  - type: RequestMirror\n    requestMirror: {backendRef: {name: blue, port: 80}}\n  \
                 backendRefs: [{name: red, port: 80}]";
    let documents =
        [manifest::service("red", &[red.address]), h2c, manifest::route("r", "web", rules)];
    directory.put("all.yaml", &manifest::file(&documents));
    let settings = Settings::default().listener("web", &[]).manifests(directory.path());
    let proxy = Proxy::start(cell, settings);
    for client in [Speaks::Http1, Speaks::Http2] {
        let pair = Pair { client, upstream: Speaks::Http1 };
        let mut caller = pair.connect(proxy.web());
        for body in [Some(&b"hello"[..]), None] {
            let heard = caller.call("POST", "/m", &[("x-a", "1")], body, &[]).unwrap();
            assert!(heard.value("x-origin-id").is_some_and(|id| id.starts_with("red")));
        }
    }
    wait::until(Duration::from_secs(5), "the mirror has all copies", || {
        blue.complete("/m").len() == 4
    });
    let copies = blue.complete("/m");
    assert_eq!(copies.iter().filter(|copy| copy.body == b"hello").count(), 2);
    assert!(copies.iter().all(|copy| copy.value("x-a") == Some("1")));
    blue.assert_clean();
}

fn what_is_left_of_the_time_is_passed_on(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let mut session = Session::connect(proxy.web());
    let mut told = |timeout: &str| {
        let fields = [("content-type", "application/grpc"), ("grpc-timeout", timeout)];
        assert_eq!(session.post("/t", &fields, b"x").status(), Some(200));
        let values = origin.complete("/t").pop().unwrap();
        values.values("grpc-timeout").iter().map(|&value| value.to_owned()).collect::<Vec<_>>()
    };
    let left = told("60S");
    let micros: u32 = match &left[..] {
        [one] => one.strip_suffix('u').unwrap().parse().unwrap(),
        _ => panic!("{left:?}"),
    };
    assert!((1..60_000_000).contains(&micros), "{micros}");
    assert_eq!(told("soon"), ["soon"], "what is no time is the server's to judge");
}
