//! The end of the process and the shortage of descriptors.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use ringway_tests::admin;
use ringway_tests::client::Client;
use ringway_tests::load::{Load, Plan};
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::process;
use ringway_tests::proxy::Proxy;
use ringway_tests::reply::{Act, Gate, head, reply};
use ringway_tests::settings::Settings;
use ringway_tests::strict::End;
use ringway_tests::sys;
use ringway_tests::wait;

matrix!(
    terminates_under_load_without_a_failed_request,
    drains,
    every_worker_stops_listening,
    second_signal_ends_at_once,
    grace_period_is_the_limit,
    a_tunnel_ends_with_the_grace_period,
    a_tunnel_that_ends_ends_the_drain,
    runs_out_of_descriptors_and_recovers,
    address_in_use_is_said,
    idle_connections_are_cheap,
);

fn terminates_under_load_without_a_failed_request(cell: Cell) {
    let origin = Origin::echo("o");
    let mut proxy = Proxy::start(cell, Settings::front(&[origin.address]).workers(2));
    let load = Load::start(proxy.web(), &Plan { connections: 8, body: 500, ..Plan::default() });
    load.await_answers(200);
    proxy.signal(libc::SIGTERM);
    let status = proxy.exits_within(Duration::from_secs(10));
    assert_eq!(status.and_then(|s| s.code()), Some(0), "{status:?}\n{}", proxy.output());
    let outcome = load.stop();
    outcome.assert_flawless();
    assert!(outcome.closes >= 8, "each connection was told: {}", outcome.closes);
    origin.assert_clean();
}

fn drains(cell: Cell) {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::acting("o", move |r| {
        let mut acts = vec![Act::Send(reply(200, &[], b"late"))];
        if r.target == "/held" {
            acts.insert(0, Act::Await(held.clone()));
        }
        acts
    });
    let mut proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let mut busy = Client::connect(proxy.web());
    busy.send("GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n");
    wait::until(Duration::from_secs(2), "the request is upstream", || {
        !origin.complete("/held").is_empty()
    });
    proxy.signal(libc::SIGTERM);
    wait::until(Duration::from_secs(3), "/ready says no", || {
        admin::get(proxy.settings.admin, "/ready").is_some_and(|(status, _)| status == 503)
    });
    assert_eq!(admin::get(proxy.settings.admin, "/live").map(|(s, _)| s), Some(200));
    wait::until(Duration::from_secs(3), "every worker has heard of it", || {
        TcpStream::connect(proxy.web()).is_err()
    });
    gate.open();
    let answer = busy.response();
    assert_eq!(answer.text(), "late");
    assert!(answer.closes());
    assert_eq!(busy.ends_within(Duration::from_secs(2)), Some(End::Fin));
    let status = proxy.exits_within(Duration::from_secs(5));
    assert_eq!(status.and_then(|s| s.code()), Some(0));
}

/// Also the one that has no connection, while the other is busy: nobody is left hanging in a
/// backlog that nobody reads.
fn every_worker_stops_listening(cell: Cell) {
    let origin = Origin::acting("o", |_| Vec::new());
    let settings = Settings::front(&[origin.address]).workers(2).more("shutdown: { grace: 20s }");
    let proxy = Proxy::start(cell, settings);
    let client = Client::connect(proxy.web());
    client.send("GET /stuck HTTP/1.1\r\nHost: a.test\r\n\r\n");
    wait::until(Duration::from_secs(2), "the request is upstream", || {
        !origin.complete("/stuck").is_empty()
    });
    proxy.signal(libc::SIGTERM);
    wait::until(Duration::from_secs(3), "nobody listens", || {
        (0..16).all(|_| TcpStream::connect(proxy.web()).is_err())
    });
}

/// A proxy with one request that never ends.
fn stuck(cell: Cell, grace: &str) -> (Origin, Proxy, Client) {
    let origin = Origin::acting("o", |_| Vec::new());
    let settings =
        Settings::front(&[origin.address]).more(&format!("shutdown: {{ grace: {grace} }}"));
    let proxy = Proxy::start(cell, settings);
    let client = Client::connect(proxy.web());
    client.send("GET /stuck HTTP/1.1\r\nHost: a.test\r\n\r\n");
    wait::until(Duration::from_secs(2), "the request is upstream", || {
        !origin.complete("/stuck").is_empty()
    });
    (origin, proxy, client)
}

fn second_signal_ends_at_once(cell: Cell) {
    let (_origin, mut proxy, _client) = stuck(cell, "60s");
    proxy.signal(libc::SIGTERM);
    wait::until(Duration::from_secs(3), "draining", || {
        admin::get(proxy.settings.admin, "/ready").is_none_or(|(status, _)| status == 503)
    });
    assert!(proxy.exits_within(Duration::from_millis(300)).is_none(), "it waits for the request");
    proxy.signal(libc::SIGTERM);
    let status = proxy.exits_within(Duration::from_secs(1));
    assert!(status.is_some_and(|s| s.code() != Some(0)), "{status:?}");
}

fn grace_period_is_the_limit(cell: Cell) {
    let (_origin, mut proxy, client) = stuck(cell, "1s");
    proxy.signal(libc::SIGTERM);
    let status = proxy.exits_within(Duration::from_secs(4));
    assert!(status.is_some(), "it ends when the grace period does");
    assert!(client.ends_within(Duration::from_secs(1)).is_some());
}

/// A proxy with a tunnel in which the origin says back what it is told.
fn tunnelled(cell: Cell, grace: &str) -> (Origin, Proxy, Client) {
    let origin = Origin::acting("o", |_| {
        let fields = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
        let talk = |mut stream: TcpStream, rest: Vec<u8>| {
            let mut buffer = [0; 1024];
            let _ = stream.write_all(&rest);
            while let Ok(n @ 1..) = stream.read(&mut buffer) {
                let _ = stream.write_all(&buffer[..n]);
            }
        };
        vec![Act::Send(head(101, &fields)), Act::Take(Box::new(talk))]
    });
    let settings =
        Settings::front(&[origin.address]).more(&format!("shutdown: {{ grace: {grace} }}"));
    let proxy = Proxy::start(cell, settings);
    let mut client = Client::connect(proxy.web());
    let ask =
        "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(client.ask(ask).status, 101);
    (origin, proxy, client)
}

fn echoes(client: &Client, word: &str) {
    let before = client.received();
    client.send(word);
    let came = || client.data()[before..] == *word.as_bytes();
    wait::until(Duration::from_secs(2), "the tunnel says it back", came);
}

fn a_tunnel_ends_with_the_grace_period(cell: Cell) {
    let (origin, mut proxy, client) = tunnelled(cell, "1s");
    echoes(&client, "before");
    proxy.signal(libc::SIGTERM);
    wait::until(Duration::from_secs(1), "draining", || {
        admin::get(proxy.settings.admin, "/ready").is_none_or(|(status, _)| status == 503)
    });
    echoes(&client, "while draining");
    assert!(proxy.exits_within(Duration::from_millis(2500)).is_some(), "{}", proxy.output());
    assert!(client.ends_within(Duration::from_secs(1)).is_some());
    wait::until(Duration::from_secs(1), "the origin's side ends", || origin.open() == 0);
}

fn a_tunnel_that_ends_ends_the_drain(cell: Cell) {
    let (_origin, mut proxy, client) = tunnelled(cell, "60s");
    proxy.signal(libc::SIGTERM);
    wait::until(Duration::from_secs(2), "draining", || {
        admin::get(proxy.settings.admin, "/ready").is_none_or(|(status, _)| status == 503)
    });
    echoes(&client, "last words");
    client.finish();
    assert_eq!(client.ends_within(Duration::from_secs(2)), Some(End::Fin));
    let status = proxy.exits_within(Duration::from_secs(3));
    assert_eq!(status.and_then(|s| s.code()), Some(0), "{}", proxy.output());
}

fn runs_out_of_descriptors_and_recovers(cell: Cell) {
    let origin = Origin::echo("o");
    let mut proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let mut first = Client::connect(proxy.web());
    assert_eq!(first.get("/").status, 200);
    let open = process::open_files(proxy.pid());
    sys::limit_files(proxy.pid(), open as u64 + 20);
    let crowd: Vec<Client> = (0..60).map(|_| Client::connect(proxy.web())).collect();
    wait::until(Duration::from_secs(3), "the descriptors are used up", || {
        process::open_files(proxy.pid()) >= open + 12
    });
    // Whoever is in keeps being served, and waiting costs no processor time.
    assert_eq!(first.get("/still").status, 200);
    proxy.assert_idle();
    drop(crowd);
    let mut back = None;
    wait::until(Duration::from_secs(5), "new connections are served again", || {
        let mut client = Client::connect(proxy.web());
        client.send("GET /again HTTP/1.1\r\nHost: a.test\r\n\r\n");
        back = client.response_within("GET", Duration::from_secs(3)).ok();
        back.as_ref().is_some_and(|r| r.status == 200)
    });
    proxy.assert_well();
}

fn address_in_use_is_said(cell: Cell) {
    let origin = Origin::echo("o");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = Settings::front(&[origin.address]);
    settings.listeners[0].address = taken.local_addr().unwrap();
    let mut proxy = Proxy::launch(cell, settings);
    let status = proxy.exits_within(Duration::from_secs(5));
    assert!(status.is_some_and(|s| s.code() == Some(1)), "{status:?}");
    let port = taken.local_addr().unwrap().port().to_string();
    wait::until(Duration::from_secs(1), "the address is named", || proxy.output().contains(&port));
}

/// Both drivers' crowds at once would not fit this process's own descriptors.
static CROWD: Mutex<()> = Mutex::new(());

fn idle_connections_are_cheap(cell: Cell) {
    let _one_at_a_time = CROWD.lock();
    let many = if sys::raise_own_files() < 20_000 { 2_000 } else { 8_000 };
    let origin = Origin::echo("o");
    // One to the endpoint that was made last would hold the tables at their length.
    let settings = Settings::front(&[origin.address])
        .timeout("idle_client", "5m")
        .timeout("idle_upstream", "2s");
    let proxy = Proxy::start(cell, settings);
    for _ in 0..20 {
        assert_eq!(Client::connect(proxy.web()).get("/warm").status, 200);
    }
    let before = process::resident(proxy.pid());
    let idle: Vec<TcpStream> = (0..many).map(|_| served_once(&proxy)).collect();
    assert!(process::open_files(proxy.pid()) >= many, "all of them are kept");
    let with = process::resident(proxy.pid());
    drop(idle);
    wait::until(Duration::from_secs(10), "all are closed", || {
        process::open_files(proxy.pid()) < 100
    });
    let mut after = with;
    // It gives memory back in steps of a second, once it is quiet; on a busy machine more slowly.
    let fell = wait::poll(Duration::from_secs(30), || {
        after = process::resident(proxy.pid());
        (after.saturating_sub(before) < with.saturating_sub(before) / 4).then_some(())
    });
    let each = with.saturating_sub(before) / many as u64;
    println!(
        "{cell:?}: RSS {} KiB, with {many} idle connections {} KiB ({each} bytes each), after they \
         closed {} KiB",
        before >> 10,
        with >> 10,
        after >> 10
    );
    assert!(each <= 2048, "{each} bytes for each of {many} idle connections");
    assert!(fell.is_some(), "{} of {} KiB stay", (after - before) >> 10, (with - before) >> 10);
}

/// A connection on which one request was answered.
fn served_once(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.web()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    let (mut buffer, mut seen) = ([0; 1024], Vec::new());
    while !seen.ends_with(b"\n") || !seen.windows(4).any(|w| w == b"\nid=") {
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0, "closed after {:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..n]);
    }
    stream
}
