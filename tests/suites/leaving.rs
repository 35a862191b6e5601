//! Clients that close: a half-closed one still wants its answer, one that is gone wants nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ringway_tests::client::Client;
use ringway_tests::everywhere;
use ringway_tests::h2::session::{Session, code};
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::process;
use ringway_tests::proxy::Proxy;
use ringway_tests::reply::{Act, head, reply};
use ringway_tests::settings::Settings;
use ringway_tests::strict::{End, State};
use ringway_tests::tcp::Unanswering;
use ringway_tests::text::Pattern;
use ringway_tests::wait;

matrix!(client_that_is_gone_cancels_the_dial);
everywhere!(
    half_closed_client_gets_a_slow_answer,
    half_closed_client_gets_all_of_a_slow_response,
    half_closed_client_that_reads_late_gets_everything,
    client_that_is_gone_cancels_its_request,
    client_that_goes_while_uploading_cancels_its_request,
);

const SECOND: Duration = Duration::from_secs(1);
const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn half_closed_client_gets_a_slow_answer(cell: Cell) {
    let origin = Origin::acting("o", |_| {
        vec![Act::Pause(Duration::from_millis(300)), Act::Send(reply(200, &[], b"answer"))]
    });
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let upload = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n\
                  5\r\nhello\r\n0\r\n\r\n";
    for request in [GET, upload] {
        let mut client = Client::connect(proxy.web());
        client.send(request);
        client.finish();
        assert_eq!(client.response().text(), "answer");
        assert!(client.opened.elapsed() >= Duration::from_millis(300));
        assert_eq!(client.ends_within(2 * SECOND), Some(End::Fin));
    }
    origin.assert_clean();
}

fn half_closed_client_gets_all_of_a_slow_response(cell: Cell) {
    let length = 1_200_000;
    let origin = Origin::acting("o", move |_| {
        let body = Pattern::default().at(0, 120_000).to_vec();
        let mut acts = vec![Act::Send(head(200, &[("Content-Length", &length.to_string())]))];
        // In tenths, 1.8 s in all: longer than anything that waits for the head only.
        for i in 0..10 {
            let part = Pattern::default().at(i * 120_000, body.len()).to_vec();
            acts.push(Act::Pause(Duration::from_millis(180)));
            acts.push(Act::Send(part));
        }
        acts
    });
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let mut client = Client::connect(proxy.web());
    client.send(GET);
    client.finish();
    let answer = client.response();
    assert_eq!(answer.body.len(), length);
    assert!(Pattern::default().matches(0, &answer.body));
    assert!(client.opened.elapsed() > SECOND);
}

fn half_closed_client_that_reads_late_gets_everything(cell: Cell) {
    // More than all the buffers of the way hold.
    let length = 64_u64 << 20;
    let origin = Origin::acting("o", move |_| {
        vec![Act::Send(head(200, &[("Content-Length", &length.to_string())])), Act::Pattern(length)]
    });
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let mut client = TcpStream::connect(proxy.web()).unwrap();
    client.write_all(GET.as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let asked = Instant::now();
    wait::until(2 * SECOND, "the request is upstream", || !origin.complete("/").is_empty());
    // The client's pause, in which the proxy must neither give up nor keep turning.
    wait::until(3 * SECOND, "the pause is over", || asked.elapsed() > Duration::from_millis(1500));
    let before = process::cpu(proxy.pid());
    wait::until(SECOND, "and a bit more", || asked.elapsed() > Duration::from_millis(1900));
    let turned = process::cpu(proxy.pid()) - before;
    assert!(turned < Duration::from_millis(80), "{turned:?} of CPU while the client reads nothing");
    let mut got = Vec::new();
    client.set_read_timeout(Some(5 * SECOND)).unwrap();
    client.read_to_end(&mut got).unwrap();
    let start = got.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(got.len() - start, usize::try_from(length).unwrap());
    let pattern = Pattern::default();
    let blocks = got[start..].chunks(1 << 16).enumerate();
    assert!(blocks.into_iter().all(|(i, block)| pattern.matches((i as u64) << 16, block)));
}

/// An origin that never answers, so that it notices at once when it is left.
fn silent() -> Origin {
    Origin::acting("o", |_| Vec::new())
}

fn client_that_is_gone_cancels_its_request(cell: Cell) {
    let origin = silent();
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    for (i, request) in [GET, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello"]
        .iter()
        .enumerate()
    {
        let client = Client::connect(proxy.web());
        client.send(request);
        wait::until(2 * SECOND, "the request is upstream", || origin.complete("/").len() == i + 1);
        drop(client);
        wait::until(SECOND, "the upstream request is cancelled", || origin.open() == 0);
    }
    wait::until(2 * SECOND, "the exchanges are over", || {
        proxy.metrics().sum("ringway_worker_exchanges", &[]) == 0.0
    });
}

fn client_that_goes_while_uploading_cancels_its_request(cell: Cell) {
    let origin = silent();
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    for body in
        ["Content-Length: 100000\r\n\r\nsome", "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"]
    {
        let client = Client::connect(proxy.web());
        client.send(format!("POST /cut HTTP/1.1\r\nHost: a.test\r\n{body}"));
        wait::until(2 * SECOND, "the head is upstream", || origin.open() == 1);
        drop(client);
        wait::until(SECOND, "the upstream request is cut", || origin.open() == 0);
    }
    let cut = |r: &ringway_tests::strict::Recorded| matches!(r.state, State::Cut(_));
    assert!(origin.requests().iter().all(cut), "a cut message is never completed");
}

/// Whether somebody waits for a connection to this address.
fn dialled(address: SocketAddr) -> bool {
    let remote = format!("0100007F:{:04X}", address.port());
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    // The third column is the remote address, the fourth the state: 02 is SYN_SENT.
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    sockets.lines().map(columns).any(|c| c.get(2..4) == Some(&[remote.clone(), "02".into()]))
}

fn client_that_is_gone_cancels_the_dial(cell: Cell) {
    let nobody = Unanswering::start();
    let post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
    for settings in [Settings::front(&[nobody.address]), Settings::h2c(&[nobody.address])] {
        let proxy = Proxy::start(cell, settings.timeout("connect", "60s"));
        let dialling = || {
            wait::until(5 * SECOND, "it is dialled", || dialled(nobody.address));
        };
        let mut gone = 0.0;
        let mut given_up = || {
            gone += 1.0;
            wait::until(5 * SECOND, "the dial is given up", || !dialled(nobody.address));
            wait::until(5 * SECOND, "it is recorded", || {
                let failed = [("classification", "failure")];
                proxy.metrics().sum("response_total", &failed) >= gone
            });
        };
        for request in [GET, post] {
            for leave in [Client::reset, Client::finish] {
                let client = Client::connect(proxy.web());
                client.send(request);
                dialling();
                leave(&client);
                given_up();
            }
        }
        let mut session = Session::connect(proxy.web());
        let stream = session.open("GET", "/", &[], true);
        dialling();
        session.reset(stream, code::CANCEL);
        given_up();
        let _stream = session.open("GET", "/", &[], true);
        dialling();
        drop(session);
        given_up();
        proxy.assert_idle();
    }
}
