//! What goes wrong on the way, and what each side sees of it: slow, gone and refusing peers,
//! back-pressure, reuse of connections, time-outs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ringway_tests::client::Client;
use ringway_tests::everywhere;
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::{Moment, Origin};
use ringway_tests::ports;
use ringway_tests::process;
use ringway_tests::proxy::Proxy;
use ringway_tests::reply::{Act, Gate, head, reply};
use ringway_tests::settings::Settings;
use ringway_tests::strict::State;
use ringway_tests::text::latin1;
use ringway_tests::wait;

everywhere!(
    early_response_while_uploading,
    client_disconnect_cancels_upstream,
    disconnect_in_mid_response_cancels_upstream,
    slow_reader_bounds_memory,
    slow_origin_bounds_memory,
    incomplete_exchange_is_not_reused,
    cut_response_is_told,
    keep_alive_race,
    keep_alive_race_of_a_post,
    silent_client,
    slow_head,
    stalled_body,
    response_timeout,
    files_and_processor_come_back,
);
// Not over the mesh: its second proxy takes the connections that they refuse, and says 502.
matrix!(refused_endpoint, all_refused);

const SECOND: Duration = Duration::from_secs(1);
const MIB: u64 = 1 << 20;

fn front(cell: Cell, endpoints: &[SocketAddr]) -> Proxy {
    Proxy::start(cell, Settings::front(endpoints))
}

fn upload_head(target: &str, length: u64) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n")
}

fn early_response_while_uploading(cell: Cell) {
    let origin = Origin::scripted("o", |r, moment| match (r.target.as_str(), moment) {
        ("/early", Moment::Head) => Some(vec![Act::Send(reply(413, &[], b"too much"))]),
        ("/early", Moment::Whole) => Some(Vec::new()),
        _ => None,
    });
    let proxy = front(cell, &[origin.address]);
    let mut client = Client::connect(proxy.web());
    client.send(upload_head("/early", 200_000));
    client.send(vec![b'a'; 50_000]);
    let answer = client.response_to("POST").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (413, "too much"));
    client.send(vec![b'a'; 150_000]);
    assert_eq!(Client::connect(proxy.web()).get("/next").status, 200);
    let early = &origin.requests()[0];
    let closed = || origin.ends()[early.connection].is_some();
    let whole = || origin.requests()[0].state == State::Complete;
    wait::until(3 * SECOND, "the upload ends or its connection does", || closed() || whole());
    origin.assert_clean();
}

fn client_disconnect_cancels_upstream(cell: Cell) {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::scripted("o", move |r, moment| {
        // The connection's thread must go on reading to see the end: nothing is answered.
        let _ = &held;
        (moment == Moment::Whole && r.target == "/hang").then(Vec::new)
    });
    let proxy = front(cell, &[origin.address]);
    for reset in [false, true] {
        let client = Client::connect(proxy.web());
        client.send("GET /hang HTTP/1.1\r\nHost: a.test\r\n\r\n");
        wait::until(SECOND, "the request is upstream", || origin.open() == 1);
        wait::until(SECOND, "the request is read", || !origin.complete("/hang").is_empty());
        if reset {
            client.reset();
        }
        drop(client);
        wait::until(SECOND, "the upstream request is cancelled", || origin.open() == 0);
    }
    gate.open();
    assert_eq!(Client::connect(proxy.web()).get("/after").status, 200);
}

fn disconnect_in_mid_response_cancels_upstream(cell: Cell) {
    let origin = Origin::acting("o", |_| {
        vec![
            Act::Send(head(200, &[("Content-Length", "100000000000")])),
            Act::Pattern(100_000_000_000),
        ]
    });
    let proxy = front(cell, &[origin.address]);
    let client = Client::connect(proxy.web());
    client.send("GET /endless HTTP/1.1\r\nHost: a.test\r\n\r\n");
    wait::until(2 * SECOND, "the response flows", || client.received() > 1 << 20);
    drop(client);
    wait::until(SECOND, "the upstream response is cancelled", || origin.open() == 0);
    proxy.assert_idle();
}

fn slow_reader_bounds_memory(cell: Cell) {
    let origin = Origin::acting("o", |_| {
        let length = 256 * MIB;
        vec![Act::Send(head(200, &[("Content-Length", &length.to_string())])), Act::Pattern(length)]
    });
    let settings = Settings::front(&[origin.address]).timeout("body_idle", "30s");
    let proxy = Proxy::start(cell, settings);
    let before = process::resident(proxy.pid());
    let slow: Vec<Client> = (0..8)
        .map(|_| {
            let client = Client::slow(proxy.web(), 512);
            client.send("GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n");
            client
        })
        .collect();
    wait::until(3 * SECOND, "all eight are being served", || origin.complete("/big").len() == 8);
    // The kernel's buffers fill, then the proxy has to stop reading.
    let settled = wait::poll(5 * SECOND, || {
        let cpu = process::cpu(proxy.pid());
        std::thread::sleep(Duration::from_millis(300));
        (process::cpu(proxy.pid()) - cpu < Duration::from_millis(20)).then_some(())
    });
    assert!(settled.is_some(), "the proxy keeps turning while its clients do not read");
    let grown = process::resident(proxy.pid()).saturating_sub(before);
    assert!(grown < 16 * MIB, "{} KiB for 8 slow readers", grown >> 10);
    drop(slow);
    wait::until(3 * SECOND, "the upstream connections end", || origin.open() == 0);
}

fn slow_origin_bounds_memory(cell: Cell) {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::scripted("o", move |_, moment| {
        (moment == Moment::Head).then(|| vec![Act::Await(held.clone())])
    });
    let settings = Settings::front(&[origin.address]).timeout("body_idle", "30s");
    let proxy = Proxy::start(cell, settings);
    let before = process::resident(proxy.pid());
    let client = Client::connect(proxy.web());
    client.send(upload_head("/slow", 64 * MIB));
    let block = vec![b'a'; 1 << 20];
    let sent = std::thread::scope(|scope| {
        let upload = scope.spawn(|| (0..64).all(|_| client.send(&block)));
        let resident = |()| process::resident(proxy.pid()).saturating_sub(before);
        let until = Instant::now() + 2 * SECOND;
        while Instant::now() < until {
            assert!(
                resident(()) < 8 * MIB,
                "{} KiB while the origin reads nothing",
                resident(()) >> 10
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(!upload.is_finished(), "64 MiB went somewhere while the origin read nothing");
        gate.open();
        upload.join().unwrap()
    });
    assert!(sent);
    wait::until(5 * SECOND, "the upload is complete", || {
        origin.complete("/slow").iter().any(|r| r.length == 64 * MIB)
    });
}

fn incomplete_exchange_is_not_reused(cell: Cell) {
    // The origin answers at once and never reads the body's rest: its connection is unusable.
    let origin = Origin::scripted("o", |r, moment| {
        (r.target == "/early" && moment == Moment::Head)
            .then(|| vec![Act::Send(reply(200, &[], b"early"))])
    });
    let proxy = front(cell, &[origin.address]);
    let mut client = Client::connect(proxy.web());
    client.send(upload_head("/early", 1000));
    assert_eq!(client.response_to("POST").unwrap().text(), "early");
    drop(client);
    wait::until(3 * SECOND, "the connection with half a request is closed", || origin.open() == 0);
    assert_eq!(Client::connect(proxy.web()).get("/next").status, 200);
    origin.assert_clean();
}

fn cut_response_is_told(cell: Cell) {
    let origin = Origin::acting("o", |r| {
        let mut acts = match r.target.as_str() {
            "/length" => {
                vec![Act::Send(head(200, &[("Content-Length", "1000")])), Act::Pattern(500)]
            }
            _ => vec![
                Act::Send(head(200, &[("Transfer-Encoding", "chunked")])),
                Act::Send(b"5\r\nhello\r\n".to_vec()),
            ],
        };
        acts.push(Act::Pause(Duration::from_millis(30)));
        acts.push(if r.value("x-end") == Some("rst") { Act::Reset } else { Act::Close });
        acts
    });
    let proxy = front(cell, &[origin.address]);
    for target in ["/length", "/chunked"] {
        for end in ["fin", "rst"] {
            let mut client = Client::connect(proxy.web());
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\nX-End: {end}\r\n\r\n"));
            let cut = client.response_within("GET", 3 * SECOND);
            let heads = latin1(&client.data()).matches("HTTP/1.1 ").count();
            assert_eq!(heads, 1, "no answer of the proxy's own inside the body: {target} {end}");
            assert!(matches!(&cut, Err(why) if why.contains("cut")), "{target} {end}: {cut:?}");
        }
    }
    assert_eq!(
        origin.requests().len(),
        4,
        "nothing is tried again once the client has seen a byte"
    );
}

/// An origin that closes its kept connection when the second request arrives on it.
fn racing_origin(end: fn() -> Act) -> Origin {
    let warm = std::sync::Mutex::new(std::collections::HashSet::new());
    Origin::scripted("o", move |r, moment| {
        let first = warm.lock().unwrap().insert(r.connection);
        let last = r.target == "/race" && !first && moment == Moment::Head;
        last.then(|| vec![end()])
    })
}

fn keep_alive_race(cell: Cell) {
    for end in [(|| Act::Close) as fn() -> Act, || Act::Reset] {
        let origin = racing_origin(end);
        let proxy = front(cell, &[origin.address]);
        let mut client = Client::connect(proxy.web());
        assert_eq!(client.get("/warm").status, 200);
        let answer = client.get("/race");
        assert_eq!(answer.status, 200, "{:?}", answer.fields);
        assert_eq!(origin.ends().len(), 2, "once more, on a fresh connection");
    }
}

fn keep_alive_race_of_a_post(cell: Cell) {
    let origin = racing_origin(|| Act::Close);
    let proxy = front(cell, &[origin.address]);
    let mut client = Client::connect(proxy.web());
    assert_eq!(client.get("/warm").status, 200);
    let answer =
        client.ask("POST /race HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello");
    assert!(
        matches!(answer.status, 502 | 503),
        "a POST that was sent is not sent twice: {}",
        answer.status
    );
    let sent = origin.requests().iter().filter(|r| r.target == "/race").count();
    assert_eq!(sent, 1);
    assert_eq!(origin.ends().len(), 1, "not even another connection");
}

fn refused_endpoint(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = front(cell, &[ports::free(), origin.address]);
    let mut client = Client::connect(proxy.web());
    for i in 0..30 {
        let answer = client
            .ask(&format!("POST /{i} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nab"));
        assert_eq!(answer.status, 200, "request {i}: {:?}", answer.fields);
    }
    assert_eq!(origin.complete("/").len(), 30);
}

fn all_refused(cell: Cell) {
    let proxy = front(cell, &[ports::free(), ports::free()]);
    let mut client = Client::connect(proxy.web());
    for _ in 0..3 {
        let start = Instant::now();
        let answer = client.get("/");
        assert!(matches!(answer.status, 502 | 503), "{}", answer.status);
        assert!(answer.value("l5d-proxy-error").is_some());
        assert!(start.elapsed() < SECOND, "took {:?}", start.elapsed());
    }
}

fn silent_client(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = front(cell, &[origin.address]);
    let client = Client::connect(proxy.web());
    assert!(
        client.ends_within(6 * SECOND).is_some(),
        "a silent connection is closed after its idle time"
    );
    let mut kept = Client::connect(proxy.web());
    assert_eq!(kept.get("/").status, 200);
    assert!(kept.ends_within(6 * SECOND).is_some(), "so is one that became silent");
    assert!(kept.rest().is_empty(), "without an answer to nothing: {:?}", kept.rest());
}

fn slow_head(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = front(cell, &[origin.address]);
    let mut client = Client::connect(proxy.web());
    client.send("GET / HTTP/1.1\r\nHost: a");
    let answer = client.response_within("GET", 4 * SECOND).unwrap();
    assert_eq!(answer.status, 408);
    assert!(client.opened.elapsed() >= Duration::from_millis(1800), "not before its time");
    assert!(client.ends_within(SECOND).is_some());
    assert!(origin.requests().is_empty());
}

fn stalled_body(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = front(cell, &[origin.address]);
    let client = Client::connect(proxy.web());
    client.send(upload_head("/stalled", 1000) + "some");
    assert!(client.ends_within(6 * SECOND).is_some(), "a stalled upload ends");
    wait::until(2 * SECOND, "its upstream request is cut", || {
        origin.open() == 0 && origin.requests().iter().all(|r| matches!(r.state, State::Cut(_)))
    });
}

fn response_timeout(cell: Cell) {
    let origin = Origin::acting("o", |r| match r.target.as_str() {
        "/hang" => Vec::new(),
        _ => vec![Act::Send(reply(200, &[], b"x"))],
    });
    let settings = Settings::front(&[origin.address]).timeout("response", "700ms");
    let proxy = Proxy::start(cell, settings);
    let mut client = Client::connect(proxy.web());
    let start = Instant::now();
    let answer = client.get("/hang");
    assert_eq!(answer.status, 504);
    assert!(answer.value("l5d-proxy-error").is_some_and(|e| e.contains("timeout")));
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(650) && took < 2 * SECOND, "{took:?}");
    wait::until(SECOND, "the upstream request is cancelled", || origin.open() == 0);
    assert_eq!(Client::connect(proxy.web()).get("/next").status, 200);
    assert_eq!(origin.complete("/hang").len(), 1, "a deadline is never tried again");
}

fn files_and_processor_come_back(cell: Cell) {
    let origin = Origin::echo("o");
    let mut proxy = front(cell, &[origin.address]);
    assert_eq!(Client::connect(proxy.web()).get("/").status, 200);
    let baseline = proxy.files_at_rest();
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(proxy.web())).collect();
    for client in &mut clients {
        assert_eq!(client.get("/x").status, 200);
    }
    assert!(process::open_files(proxy.pid()) >= baseline + 99);
    drop(clients);
    proxy.assert_files(baseline);
    proxy.assert_idle();
    proxy.assert_well();
}
