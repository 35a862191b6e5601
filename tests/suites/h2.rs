//! What a proxy between any two of HTTP/1.1 and HTTP/2 does: each behaviour once, for every pair
//! and on both drivers; and what only HTTP/2 has: streams, windows, GOAWAY.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use ringway_tests::h2::hpack::literals;
use ringway_tests::h2::session::{Session, code};
use ringway_tests::h2::wire::{END_HEADERS, END_STREAM, frame, frames, kind};
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::{Moment, Origin};
use ringway_tests::pair::{Caller, Pair, Speaks};
use ringway_tests::proxy::Proxy;
use ringway_tests::reply::{Act, Gate, head, reply};
use ringway_tests::settings::Settings;
use ringway_tests::wait;

matrix!(
    requests_and_responses_pass,
    bodies_pass_whole,
    trailers_pass,
    interim_responses_pass,
    an_early_response_passes,
    a_cut_response_is_seen,
    a_client_that_leaves_is_passed_on,
    fields_are_edited,
    many_streams_share_one_connection,
    a_slow_reader_slows_its_own_stream,
    a_reader_of_crumbs_is_given_up,
    a_drain_finishes_what_is_under_way,
    an_idle_connection_is_ended,
    refused_streams_are_sent_again,
    grpc_is_answered_in_its_own_way,
    connect_opens_a_tunnel_on_its_stream,
);

fn requests_and_responses_pass(cell: Cell) {
    for pair in Pair::all() {
        let origin = Origin::echo("o");
        let mut chain = pair.start(cell, &origin);
        let mut caller = pair.connect(chain.front.web());
        for i in 0..5 {
            let heard = caller.get(&format!("/g{i}?q=1"));
            assert_eq!(heard.status, 200, "{pair:?}");
            assert!(String::from_utf8_lossy(&heard.body).contains(&format!("target=/g{i}?q=1 ")));
        }
        let heard = caller.call("HEAD", "/h", &[], None, &[]).unwrap();
        assert_eq!((heard.status, heard.body.len()), (200, 0), "{pair:?}");
        for method in ["POST", "PUT", "PATCH", "PROPFIND"] {
            let heard = caller.call(method, "/p", &[("x-a", "1")], Some(b"hello"), &[]).unwrap();
            assert_eq!(heard.status, 200, "{pair:?} {method}");
            let got = origin.requests().pop().unwrap();
            assert_eq!((&*got.method, &got.body[..]), (method, &b"hello"[..]), "{pair:?}");
            assert_eq!(got.value("x-a"), Some("1"));
        }
        origin.assert_clean();
        chain.assert_well();
    }
}

fn bodies_pass_whole(cell: Cell) {
    const SIZE: u64 = 3 << 20;
    for pair in Pair::all() {
        let origin = Origin::scripted("o", |request, moment| {
            (moment == Moment::Whole && request.target == "/down").then(|| {
                let length = SIZE.to_string();
                let fields = [("Content-Length", &*length), ("X-Origin-Id", "o-1")];
                vec![Act::Send(head(200, &fields)), Act::Pattern(SIZE)]
            })
        });
        let chain = pair.start(cell, &origin);
        let mut caller = pair.connect(chain.front.web());
        let down = caller.get("/down");
        assert_eq!(down.body.len() as u64, SIZE, "{pair:?}");
        let pattern = ringway_tests::text::Pattern::default();
        assert!(pattern.matches(0, &down.body), "{pair:?}: what came is what was sent");
        let up = caller.call("POST", "/up", &[], Some(&down.body), &[]).unwrap();
        assert_eq!(up.status, 200, "{pair:?}");
        let got = origin.complete("/up").pop().unwrap();
        assert_eq!((got.length, got.patterned), (SIZE, true), "{pair:?}");
        origin.assert_clean();
    }
}

fn trailers_pass(cell: Cell) {
    for pair in Pair::all() {
        let origin = Origin::acting("o", |_| {
            let fields = [("Transfer-Encoding", "chunked"), ("X-Origin-Id", "o-1")];
            let body = b"3\r\nabc\r\n0\r\nx-down: 2\r\nhost: evil.test\r\n\r\n".to_vec();
            vec![Act::Send([head(200, &fields), body].concat())]
        });
        let chain = pair.start(cell, &origin);
        let mut caller = pair.connect(chain.front.web());
        let sent = [("x-up", "1")];
        let heard = caller.call("POST", "/t", &[], Some(b"body"), &sent).unwrap();
        assert_eq!((heard.status, &heard.body[..]), (200, &b"abc"[..]), "{pair:?}");
        let down = [("x-down".to_owned(), "2".to_owned())];
        assert_eq!(heard.trailers, down, "{pair:?}");
        let got = origin.requests().pop().unwrap();
        assert_eq!(got.trailers, [("x-up".to_owned(), "1".to_owned())], "{pair:?}");
        origin.assert_clean();
    }
}

fn interim_responses_pass(cell: Cell) {
    for pair in Pair::all() {
        let origin = Origin::acting("o", |_| {
            let hints = head(103, &[("Link", "</a>; rel=preload")]);
            let last = reply(200, &[("X-Origin-Id", "o-1")], b"done");
            vec![Act::Send(hints), Act::Pause(Duration::from_millis(50)), Act::Send(last)]
        });
        let chain = pair.start(cell, &origin);
        let heard = pair.connect(chain.front.web()).get("/i");
        assert_eq!((heard.status, &heard.interim[..]), (200, &[103][..]), "{pair:?}");
    }
}

fn an_early_response_passes(cell: Cell) {
    for pair in Pair::all() {
        let origin = Origin::scripted("o", |request, moment| {
            (request.target == "/early" && moment == Moment::Head)
                .then(|| vec![Act::Send(reply(413, &[("X-Origin-Id", "o-1")], b"too much"))])
        });
        let mut chain = pair.start(cell, &origin);
        match pair.connect(chain.front.web()) {
            Caller::Http1(mut client) => {
                client.send(
                    "POST /early HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9999\r\n\r\nabc",
                );
                assert_eq!(client.response_to("POST").unwrap().status, 413, "{pair:?}");
            }
            Caller::Http2(mut session) => {
                let stream = session.open("POST", "/early", &[], false);
                session.data(stream, b"abc", false);
                let answer = session.answer(stream);
                assert_eq!((answer.status(), answer.ended), (Some(413), true), "{pair:?}");
                assert_eq!(session.get("/after").status(), Some(200), "{pair:?}");
            }
        }
        chain.assert_well();
    }
}

fn a_cut_response_is_seen(cell: Cell) {
    for pair in Pair::all() {
        for framing in [("Content-Length", "100"), ("Transfer-Encoding", "chunked")] {
            let origin = Origin::acting("o", move |request| {
                if request.target != "/cut" {
                    return vec![Act::Send(reply(200, &[("X-Origin-Id", "o-1")], b"ok"))];
                }
                let begun =
                    [head(200, &[framing, ("X-Origin-Id", "o-1")]), b"5\r\nhello\r\n".to_vec()];
                vec![Act::Send(begun.concat()), Act::Pause(Duration::from_millis(50)), Act::Close]
            });
            let mut chain = pair.start(cell, &origin);
            let mut caller = pair.connect(chain.front.web());
            let heard = caller.call("GET", "/cut", &[], None, &[]);
            assert!(heard.is_err(), "{pair:?} {framing:?}: {heard:?}");
            assert_eq!(pair.connect(chain.front.web()).get("/next").status, 200, "{pair:?}");
            chain.assert_well();
        }
    }
}

fn a_client_that_leaves_is_passed_on(cell: Cell) {
    for pair in Pair::all() {
        // Never answered.
        let origin = Origin::scripted("o", |request, moment| {
            (request.target == "/held" && moment == Moment::Whole).then(Vec::new)
        });
        let mut chain = pair.start(cell, &origin);
        let caller = pair.connect(chain.front.web());
        match caller {
            Caller::Http1(client) => {
                client.send("GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n");
                wait::until(Duration::from_secs(5), "it arrives", || origin.requests().len() == 1);
                client.reset();
            }
            Caller::Http2(mut session) => {
                let stream = session.open("GET", "/held", &[], true);
                wait::until(Duration::from_secs(5), "it arrives", || origin.requests().len() == 1);
                session.reset(stream, code::CANCEL);
                wait::until(Duration::from_secs(5), "the endpoint is told", || {
                    origin.ends().iter().all(Option::is_some)
                });
                assert_eq!(session.get("/other").status(), Some(200), "{pair:?}: the others go on");
            }
        }
        wait::until(Duration::from_secs(5), "the endpoint is told", || {
            origin.ends().first().is_some_and(Option::is_some)
        });
        chain.front.assert_idle();
        chain.assert_well();
    }
}

fn fields_are_edited(cell: Cell) {
    let origin = Origin::echo("o");
    let pair = Pair { client: Speaks::Http2, upstream: Speaks::Http1 };
    let chain = pair.start(cell, &origin);
    let mut session = Session::connect(chain.front.web());
    let fields = [
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("l5d-client-id", "forged"),
        ("x-forwarded-for", "192.0.2.9"),
        ("te", "trailers"),
    ];
    let stream = session.open("GET", "/f", &fields, true);
    assert_eq!(session.answer(stream).status(), Some(200));
    let got = origin.requests().pop().unwrap();
    assert_eq!(got.values("host"), ["a.test"]);
    assert_eq!(got.values("cookie"), ["a=1; b=2"]);
    assert_eq!(got.values("l5d-client-id"), [""; 0]);
    assert_eq!(got.values("x-forwarded-for"), ["192.0.2.9, 127.0.0.1"]);
    assert_eq!(got.values("via"), ["2.0 ringway"]);
    origin.assert_clean();
}

/// Eighty exchanges at once, and one connection to the endpoint.
fn many_streams_share_one_connection(cell: Cell) {
    let origin = Origin::acting("o", |request| {
        let body = request.target.clone().into_bytes();
        vec![
            Act::Pause(Duration::from_millis(100)),
            Act::Send(reply(200, &[("X-Origin-Id", "o-1")], &body)),
        ]
    });
    let pair = Pair { client: Speaks::Http2, upstream: Speaks::Http2 };
    let chain = pair.start(cell, &origin);
    let mut session = Session::connect(chain.front.web());
    let streams: Vec<(u32, String)> = (0..80)
        .map(|i| format!("/s/{i}"))
        .map(|path| (session.open("GET", &path, &[], true), path))
        .collect();
    for (stream, path) in streams {
        let answer = session.answer(stream);
        assert_eq!((answer.status(), answer.text()), (Some(200), path));
    }
    let behind = chain.behind.as_ref().unwrap().metrics();
    let opened = behind.sum("tcp_open_total", &[("peer", "src")]);
    assert!((1.0..=1.0).contains(&opened), "{opened} connections between the two");
}

fn a_slow_reader_slows_its_own_stream(cell: Cell) {
    const SIZE: u64 = 4 << 20;
    for upstream in [Speaks::Http1, Speaks::Http2] {
        let origin = Origin::scripted("o", |request, moment| {
            (moment == Moment::Whole && request.target == "/big").then(|| {
                let length = SIZE.to_string();
                let fields = [("Content-Length", &*length), ("X-Origin-Id", "o-1")];
                vec![Act::Send(head(200, &fields)), Act::Pattern(SIZE)]
            })
        });
        let pair = Pair { client: Speaks::Http2, upstream };
        let chain = pair.start(cell, &origin);
        let mut session = Session::bare(chain.front.web());
        // The connection's window never fills, the stream's does.
        session.widen(0, 1 << 30);
        let slow = session.open("GET", "/big", &[], true);
        wait::until(Duration::from_secs(5), "its window fills", || {
            session.said().stream(slow).body.len() == 65_535
        });
        for i in 0..3 {
            assert_eq!(session.get(&format!("/quick/{i}")).status(), Some(200), "{upstream:?}");
        }
        assert_eq!(session.said().stream(slow).body.len(), 65_535);
        session.widen(slow, 1 << 30);
        let answer = session.answer(slow);
        assert_eq!((answer.body.len() as u64, answer.ended), (SIZE, true), "{upstream:?}");
    }
}

/// A byte now and then is no progress: it would hold the stream for days.
fn a_reader_of_crumbs_is_given_up(cell: Cell) {
    const SIZE: u64 = 1 << 20;
    let origin = Origin::scripted("o", |request, moment| {
        (moment == Moment::Whole && request.target == "/big").then(|| {
            let length = SIZE.to_string();
            let fields = [("Content-Length", &*length), ("X-Origin-Id", "o-1")];
            vec![Act::Send(head(200, &fields)), Act::Pattern(SIZE)]
        })
    });
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let mut session = Session::bare(proxy.web());
    session.widen(0, 1 << 30);
    let crumbs = session.open("GET", "/big", &[], true);
    // 3 s in the tests' settings.
    wait::until(Duration::from_secs(20), "it is given up", || {
        session.widen(crumbs, 1);
        thread::sleep(Duration::from_millis(100));
        session.said().stream(crumbs).reset == Some(code::INTERNAL_ERROR)
    });
    let pieces = (0..5).map(|i| format!("/next/{i}"));
    pieces.for_each(|path| assert_eq!(session.get(&path).status(), Some(200)));
}

fn a_drain_finishes_what_is_under_way(cell: Cell) {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::acting("o", move |request| {
        let wait = (request.target == "/held").then(|| Act::Await(held.clone()));
        let answer = Act::Send(reply(200, &[("X-Origin-Id", "o-1")], b"late"));
        wait.into_iter().chain([answer]).collect()
    });
    let mut proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let mut session = Session::connect(proxy.web());
    let stream = session.open("GET", "/held", &[], true);
    wait::until(Duration::from_secs(5), "it arrives", || origin.requests().len() == 1);
    proxy.signal(libc::SIGTERM);
    wait::until(Duration::from_secs(5), "GOAWAY", || session.goaway() == Some(code::NO_ERROR));
    assert_eq!(session.said().goaways[0].0, 0x7FFF_FFFF, "the first one refuses nothing");
    // On its way when the GOAWAY came: still served.
    let late = session.open("GET", "/late", &[], true);
    assert_eq!(session.answer(late).status(), Some(200));
    session.pong();
    wait::until(Duration::from_secs(5), "the second", || session.said().goaways.len() > 1);
    assert_eq!(session.said().goaways[1].0, late);
    gate.open();
    let answer = session.answer(stream);
    assert_eq!((answer.status(), answer.text()), (Some(200), "late".to_owned()));
    assert!(session.ends_within(Duration::from_secs(5)));
    let status = proxy.exits_within(Duration::from_secs(8));
    assert_eq!(status.and_then(|s| s.code()), Some(0));
}

fn an_idle_connection_is_ended(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let mut session = Session::connect(proxy.web());
    assert_eq!(session.get("/a").status(), Some(200));
    // 4 s in the tests' settings.
    assert!(session.ends_within(Duration::from_secs(12)));
    assert_eq!(session.goaway(), Some(code::NO_ERROR));
}

/// An HTTP/2 endpoint that does `acts` about the connections that come, one after the other.
fn endpoint(acts: Vec<fn(TcpStream)>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for act in acts {
            let Ok((stream, _)) = listener.accept() else { return };
            thread::spawn(move || act(stream));
        }
    });
    address
}

/// Says SETTINGS, and waits for a request on stream `wanted`.
fn requested(stream: &mut TcpStream, wanted: u32) -> bool {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    if wanted == 1 {
        stream.write_all(&frame(kind::SETTINGS, 0, 0, b"")).unwrap();
        stream.write_all(&frame(kind::SETTINGS, 1, 0, b"")).unwrap();
    }
    loop {
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => seen.extend_from_slice(&buffer[..n]),
            _ => return false,
        }
        let after = seen.strip_prefix(ringway_tests::h2::wire::PREFACE).unwrap_or(&seen);
        if frames(after).iter().any(|f| f.kind == kind::HEADERS && f.stream == wanted) {
            return true;
        }
    }
}

fn serves(mut stream: TcpStream) {
    let mut wanted = 1;
    while requested(&mut stream, wanted) {
        let block = literals(&[(":status", "200"), ("x-origin-id", "good")]);
        let flags = END_HEADERS | END_STREAM;
        stream.write_all(&frame(kind::HEADERS, flags, wanted, &block)).unwrap();
        wanted += 2;
    }
}

fn refuses(mut stream: TcpStream) {
    let mut wanted = 1;
    while requested(&mut stream, wanted) {
        let code = code::REFUSED_STREAM.to_be_bytes();
        stream.write_all(&frame(kind::RST_STREAM, 0, wanted, &code)).unwrap();
        wanted += 2;
    }
}

fn goes_away(mut stream: TcpStream) {
    if requested(&mut stream, 1) {
        stream.write_all(&frame(kind::GOAWAY, 0, 0, &[0; 8])).unwrap();
        thread::sleep(Duration::from_secs(3));
    }
}

/// For any method: the endpoint has said that it did nothing.
fn refused_streams_are_sent_again(cell: Cell) {
    let serving = || endpoint(vec![serves; 8]);
    let cases: [(&str, Vec<SocketAddr>); 2] = [
        ("REFUSED_STREAM", vec![endpoint(vec![refuses; 8]), serving()]),
        ("GOAWAY", vec![endpoint(vec![goes_away, serves, serves, serves])]),
    ];
    for (name, endpoints) in cases {
        let list: Vec<String> = endpoints.iter().map(|a| format!("\"{a}\"")).collect();
        let text =
            format!("{{endpoints: [{}], protocol: h2c, balancer: round-robin}}", list.join(", "));
        let settings =
            Settings::default().service_yaml("app", &text).listener("web", &["service: app"]);
        let mut proxy = Proxy::start(cell, settings);
        for client in [Speaks::Http1, Speaks::Http2] {
            let pair = Pair { client, upstream: Speaks::Http2 };
            for _ in 0..2 {
                let mut caller = pair.connect(proxy.web());
                let heard = caller.call("POST", "/r", &[("content-length", "0")], None, &[]);
                let heard = heard.unwrap();
                assert_eq!(heard.status, 200, "{name} {client:?} {:?}", heard.fields);
            }
        }
        proxy.assert_well();
    }
}

fn grpc_is_answered_in_its_own_way(cell: Cell) {
    let origin = Origin::acting("o", |_| vec![Act::Pause(Duration::from_secs(3)), Act::Close]);
    let settings = Settings::front(&[origin.address])
        .listener("lost", &["kind: outbound"])
        .service("down", &[ringway_tests::ports::free()])
        .listener("down", &["service: down"]);
    let proxy = Proxy::start(cell, settings);
    let grpc = [("content-type", "application/grpc+proto"), ("te", "trailers")];
    let asked = [grpc[0], grpc[1], ("grpc-timeout", "200m")];
    let rows = [("lost", &grpc[..], "5"), ("down", &grpc, "14"), ("web", &asked, "4")];
    for (listener, fields, status) in rows {
        let mut session = Session::connect(proxy.settings.address(listener));
        let stream = session.open("POST", "/s/m", fields, false);
        session.data(stream, b"\0\0\0\0\0", true);
        let answer = session.answer(stream);
        assert_eq!(answer.status(), Some(200), "{listener}");
        assert_eq!(answer.value("grpc-status"), Some(status), "{listener}");
        assert!(answer.ended_by_list && answer.body.is_empty(), "{listener}: trailers only");
        let labels = [("grpc_status", status), ("status_code", "200")];
        wait::until(Duration::from_secs(3), "it is counted", || {
            proxy.metrics().sum("response_total", &labels) >= 1.0
        });
    }
    // Others are answered by a status.
    let mut session = Session::connect(proxy.settings.address("lost"));
    assert_eq!(session.get("/").status(), Some(404));
}

/// Other streams of the connection go on beside it.
fn connect_opens_a_tunnel_on_its_stream(cell: Cell) {
    let origin = Origin::echo("o");
    let settings = Settings::default()
        .service("app", &[origin.address])
        .listener("web", &["service: app", "allow_connect: true"])
        .listener("shut", &["service: app"]);
    let proxy = Proxy::start(cell, settings);
    let fields = [(":method", "CONNECT"), (":authority", "app:80")];
    let block = literals(&fields);
    let mut session = Session::connect(proxy.web());
    let tunnel = session.open("GET", "/before", &[], true);
    assert_eq!(session.answer(tunnel).status(), Some(200));
    let tunnel = session.raw(END_HEADERS, &block);
    assert_eq!(session.head(tunnel).status(), Some(200));
    for i in 0..2 {
        let inner = format!("GET /in/{i} HTTP/1.1\r\nHost: db\r\n\r\n");
        session.data(tunnel, inner.as_bytes(), false);
        wait::until(Duration::from_secs(5), "the answer comes through", || {
            session.said().stream(tunnel).text().contains(&format!("target=/in/{i} "))
        });
        assert_eq!(session.get("/beside").status(), Some(200));
    }
    assert!(origin.complete("/in/").iter().all(|r| r.values("via").is_empty()));
    session.data(tunnel, b"", true);
    assert!(session.answer(tunnel).ended, "the end of one side ends the other");
    let mut session = Session::connect(proxy.settings.address("shut"));
    let refused = session.raw(END_HEADERS, &block);
    assert_eq!(session.answer(refused).status(), Some(405));
}
