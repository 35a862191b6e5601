//! Streams that an endpoint resets: what a client of either protocol is told, by code, through one proxy
//! and through two.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringway_tests::h2::endpoint::{endpoint, reset, serve};
use ringway_tests::h2::hpack::literals;
use ringway_tests::h2::session::{Session, code};
use ringway_tests::h2::wire::{END_HEADERS, END_STREAM, frame, kind};
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::pair::{Pair, Speaks};
use ringway_tests::proxy::Proxy;
use ringway_tests::settings::Settings;
use ringway_tests::wait;

matrix!(before_a_response, after_an_early_response, grpc_calls_are_cancelled, refused_by_all,);

const PATIENCE: Duration = Duration::from_secs(10);

type Resetting = (SocketAddr, Arc<AtomicUsize>);

/// Codes of a reset, and what a client in HTTP/2 is told instead of 502.
const CODES: [(u32, Option<u32>); 5] = [
    (code::CANCEL, Some(code::CANCEL)),
    (code::INTERNAL_ERROR, None),
    (code::ENHANCE_YOUR_CALM, None),
    (code::NO_ERROR, None),
    (code::PROTOCOL_ERROR, None),
];

/// An endpoint whose resets are of the code that the path ends in, and how often it was asked.
fn resetting(before: impl Fn(u32) -> Vec<u8> + Clone + Send + 'static) -> Resetting {
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let address = endpoint(move |stream: TcpStream| {
        serve(
            stream,
            |request| !request.lists.is_empty(),
            |id, request| {
                count.fetch_add(1, Ordering::SeqCst);
                let path = request.value(":path").unwrap();
                match path.rsplit('/').next().unwrap().parse() {
                    Ok(code) => [before(id), reset(id, code)].concat(),
                    Err(_) => answered(id),
                }
            },
        );
    });
    (address, asked)
}

fn answered(id: u32) -> Vec<u8> {
    head(id, END_STREAM)
}

fn head(id: u32, flags: u8) -> Vec<u8> {
    let block = literals(&[(":status", "200"), ("x-origin-id", "good")]);
    frame(kind::HEADERS, END_HEADERS | flags, id, &block)
}

/// One proxy in front of the endpoint, and two.
fn chains(cell: Cell, endpoint: SocketAddr) -> [Vec<Proxy>; 2] {
    let one = || Proxy::start(cell, Settings::h2c(&[endpoint]));
    let far = one();
    let near = Proxy::start(cell, Settings::h2c(&[far.web()]));
    [vec![one()], vec![far, near]]
}

fn before_a_response(cell: Cell) {
    let (endpoint, asked) = resetting(|_| Vec::new());
    for mut chain in chains(cell, endpoint) {
        let web = chain.last().unwrap().web();
        let mut session = Session::connect(web);
        let http1 = Pair { client: Speaks::Http1, upstream: Speaks::Http2 };
        let mut client = http1.connect(web);
        // Of a connection that has carried others: it is not the one that has ended.
        assert_eq!(session.get("/fine").status(), Some(200));
        for (code, told) in CODES {
            asked.store(0, Ordering::SeqCst);
            let path = format!("/{code}");
            let answer = session.get(&path);
            assert_eq!((answer.reset, answer.status()), (told, told.map_or(Some(502), |_| None)));
            assert_eq!(client.get(&path).status, 502, "code {code}");
            assert_eq!(asked.load(Ordering::SeqCst), 2, "code {code}: nothing is repeated");
        }
        assert_eq!(session.get("/fine").status(), Some(200), "the connection goes on");
        assert_eq!(client.get("/fine").status, 200, "the connection goes on");
        let metrics = chain[0].metrics();
        for (error, times) in [("stream cancelled", 2.0), ("stream reset", 8.0)] {
            let counted = metrics.sum("response_total", &[("error", error)]);
            assert!((counted - times).abs() < 0.5, "{error}: {counted}");
        }
        chain.iter_mut().for_each(Proxy::assert_well);
    }
}

/// A whole response while the request is still coming, and NO_ERROR: the rest of it is not wanted
/// (RFC 9113 8.1).
fn after_an_early_response(cell: Cell) {
    let (endpoint, _) = resetting(answered);
    for mut chain in chains(cell, endpoint) {
        let web = chain.last().unwrap().web();
        let mut session = Session::connect(web);
        let stream = session.open("POST", &format!("/{}", code::NO_ERROR), &[], false);
        let answer = session.answer(stream);
        assert_eq!((answer.status(), answer.ended), (Some(200), true));
        wait::until(PATIENCE, "the client is told as well", || {
            session.said().stream(stream).reset == Some(code::NO_ERROR)
        });
        assert_eq!(session.get("/fine").status(), Some(200), "the connection goes on");
        chain.iter_mut().for_each(Proxy::assert_well);
    }
}

/// What a proxy says itself is UNAVAILABLE, which clients may take for an invitation to try again.
fn grpc_calls_are_cancelled(cell: Cell) {
    let (endpoint, _) = resetting(|_| Vec::new());
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    for mut chain in chains(cell, endpoint) {
        let mut session = Session::connect(chain.last().unwrap().web());
        let answer = session.post(&format!("/{}", code::CANCEL), &fields, b"\0\0\0\0\0");
        assert_eq!((answer.reset, answer.head()), (Some(code::CANCEL), None));
        let answer = session.post(&format!("/{}", code::INTERNAL_ERROR), &fields, b"\0\0\0\0\0");
        assert_eq!(answer.value("grpc-status"), Some("14"));
        chain.iter_mut().for_each(Proxy::assert_well);
    }
}

/// Whether an earlier attempt was looked at is not known any more: the client is not told that
/// nothing was.
fn refused_by_all(cell: Cell) {
    let (endpoint, asked) = resetting(|_| Vec::new());
    let other = resetting(|_| Vec::new());
    let proxy = Proxy::start(cell, Settings::h2c(&[endpoint, other.0]));
    let mut session = Session::connect(proxy.web());
    let answer = session.post(&format!("/{}", code::REFUSED_STREAM), &[], b"x");
    assert_eq!((answer.status(), answer.reset), (Some(502), None));
    let attempts = [asked, other.1].map(|asked| asked.load(Ordering::SeqCst));
    assert_eq!(attempts, [1, 1], "each was tried once");
}
