//! HTTP/1.1 carried over HTTP/2 from one proxy to another: one connection for all clients, and what
//! one of them does is nobody else's trouble. That each message comes out as it went in is shown by
//! the suites `path`, `faults`, `leaving` and `h2`, which run over the mesh as well.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringway_tests::client::Client;
use ringway_tests::h2::session::{Session, code};
use ringway_tests::load::{Load, Plan};
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::{Moment, Origin};
use ringway_tests::proxy::Proxy;
use ringway_tests::reply::{Act, Gate, reply};
use ringway_tests::scratch::Scratch;
use ringway_tests::settings::Settings;
use ringway_tests::{sys, wait};

matrix!(
    clients_share_one_connection_for_each_worker,
    bursts_of_clients_that_leave_disturb_nobody,
    resets_are_paced_where_there_is_no_room,
    stalled_clients_hold_up_nobody,
    versions_and_targets_are_restored,
    the_field_of_a_stranger_is_worth_nothing,
    manifests_mark_what_is_meshed,
    a_far_side_that_goes_away_finishes_what_it_carries,
);

const PATIENCE: Duration = Duration::from_secs(15);

/// Two proxies, HTTP/1.1 at both ends.
struct Mesh {
    near: Proxy,
    far: Proxy,
}

impl Mesh {
    fn start(cell: Cell, origin: &Origin, workers: usize) -> Self {
        let far = Settings::front(&[origin.address]);
        Self::of(cell, trusting(far), "meshed: true", workers)
    }

    fn of(cell: Cell, far: Settings, how: &str, workers: usize) -> Self {
        // Hundreds of connections at once take the test's origin a while.
        let patient =
            |settings: Settings| settings.timeout("body_idle", "30s").timeout("connect", "10s");
        let far = Proxy::start(cell, patient(far));
        let near = patient(towards(far.web(), how)).workers(workers);
        Self { near: Proxy::start(cell, near), far }
    }

    /// Connections that the far proxy has taken so far.
    fn connections(&self) -> f64 {
        self.far.metrics().sum("tcp_open_total", &[("peer", "src")])
    }

    /// How many of them it, or the near one, has ended for what the other did.
    fn quarrels(&self) -> f64 {
        let closed = |proxy: &Proxy| proxy.metrics().sum("ringway_http2_closed_total", &[]);
        closed(&self.near) + closed(&self.far)
    }
}

/// The same, taking this host for a peer.
fn trusting(mut settings: Settings) -> Settings {
    settings.listeners[0].keys.push("peers: 127.0.0.0/8".into());
    settings
}

fn towards(endpoint: SocketAddr, how: &str) -> Settings {
    let service = format!("{{endpoints: [\"{endpoint}\"], {how}}}");
    Settings::default().service_yaml("app", &service).listener("web", &["service: app"])
}

/// Never answers below /hang, and counts what comes there.
fn hanging() -> (Origin, Arc<AtomicUsize>) {
    let count = Arc::<AtomicUsize>::default();
    let seen = Arc::clone(&count);
    let origin = Origin::scripted("o", move |request, moment| {
        if !request.target.starts_with("/hang") || moment != Moment::Whole {
            return None;
        }
        seen.fetch_add(1, Ordering::SeqCst);
        Some(Vec::new())
    });
    (origin, count)
}

fn clients_share_one_connection_for_each_worker(cell: Cell) {
    let origin = Origin::echo("o");
    let mesh = Mesh::start(cell, &origin, 2);
    let mut clients: Vec<Client> = (0..200).map(|_| Client::connect(mesh.near.web())).collect();
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("GET /c/{round}/{number} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let text = client.response().text();
            assert!(text.contains(&format!("target=/c/{round}/{number} ")), "{text}");
        }
    }
    let shared = mesh.connections();
    assert!((1.0..=2.0).contains(&shared), "{shared} connections of two workers");
    let seen = origin.complete("/c/");
    assert_eq!(seen.len(), 600);
    for request in seen {
        assert_eq!(request.values("l5d-orig-proto"), [""; 0], "it is for the two proxies only");
        assert_eq!(request.values("host"), ["a.test"]);
    }
    assert!(mesh.quarrels() < 1.0);
    origin.assert_clean();
}

/// `bursts` times so many clients that ask for what never comes, and leave once all are waiting.
fn burst(address: SocketAddr, bursts: usize, clients: usize, arrived: &AtomicUsize) {
    for number in 0..bursts {
        let ask = |_| {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"GET /hang HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
            client
        };
        let waiting: Vec<TcpStream> = (0..clients).map(ask).collect();
        let all = (number + 1) * clients;
        wait::until(PATIENCE, "all of a burst are waiting", || {
            arrived.load(Ordering::SeqCst) >= all
        });
        // Who resets is known to have left at once; after a mere FIN it takes half a second.
        waiting.iter().step_by(2).for_each(sys::reset);
        drop(waiting);
    }
}

fn bursts_of_clients_that_leave_disturb_nobody(cell: Cell) {
    let (origin, arrived) = hanging();
    let mut mesh = Mesh::start(cell, &origin, 2);
    let load = Load::start(mesh.near.web(), &Plan::default());
    load.await_answers(20);
    burst(mesh.near.web(), 10, 500, &arrived);
    load.await_answers(20);
    load.stop().assert_flawless();
    wait::until(PATIENCE, "the endpoint is rid of all who left", || origin.open() <= 16);
    assert!(mesh.quarrels() < 1.0, "the shared connections live");
    let shared = mesh.connections();
    assert!((1.0..=2.0).contains(&shared), "{shared} connections of two workers");
    mesh.near.assert_well();
    mesh.far.assert_well();
}

/// An HTTP/2 endpoint that does not take this proxy for a peer, with the limits of a client.
fn resets_are_paced_where_there_is_no_room(cell: Cell) {
    let (origin, arrived) = hanging();
    let far = Settings::front(&[origin.address]);
    let mut mesh = Mesh::of(cell, far, "protocol: h2c", 1);
    // Too little of good traffic to earn the allowance that is needed.
    let few = Plan { pause: Duration::from_millis(50), ..Plan::default() };
    let load = Load::start(mesh.near.web(), &few);
    load.await_answers(20);
    burst(mesh.near.web(), 12, 90, &arrived);
    load.await_answers(20);
    load.stop().assert_flawless();
    assert!(mesh.quarrels() < 1.0, "the connections live");
    mesh.near.assert_well();
    mesh.far.assert_well();
}

/// Sixteen downloads that nobody takes, more than the connection window of any other connection.
fn stalled_clients_hold_up_nobody(cell: Cell) {
    const SIZE: u64 = 64 << 20;
    let origin = Origin::scripted("o", |request, moment| {
        (moment == Moment::Whole && request.target == "/big").then(|| {
            let length = SIZE.to_string();
            let head = ringway_tests::reply::head(200, &[("Content-Length", &length)]);
            vec![Act::Send(head), Act::Pattern(SIZE)]
        })
    });
    for (far, how) in [
        (trusting(Settings::front(&[origin.address])), "meshed: true"),
        (Settings::front(&[origin.address]), "protocol: h2c"),
    ] {
        stall(&Mesh::of(cell, far, how, 1), &origin);
    }
}

/// A steady client beside 16 that take nothing of what they have asked for.
fn stall(mesh: &Mesh, origin: &Origin) {
    let stalled: Vec<TcpStream> = (0..16)
        .map(|_| {
            let mut client = TcpStream::connect(mesh.near.web()).unwrap();
            client.write_all(b"GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
            client.read_exact(&mut [0; 1000]).unwrap();
            client
        })
        .collect();
    let load = Load::start(mesh.near.web(), &Plan { connections: 2, ..Plan::default() });
    load.await_answers(100);
    load.stop().assert_flawless();
    assert_eq!(mesh.connections() as u64, 1);
    drop(stalled);
    wait::until(PATIENCE, "the endpoint is rid of them", || origin.open() <= 4);
}

fn versions_and_targets_are_restored(cell: Cell) {
    let origin = Origin::echo("o");
    let log = "access_log: { format: json }";
    let far = trusting(Settings::front(&[origin.address]).more(log));
    let mesh = Mesh::of(cell, far, "meshed: true", 1);
    let ask = |text: &str| {
        let mut client = Client::connect(mesh.near.web());
        let response = client.ask(text);
        assert_eq!(response.status, 200, "{text}");
        (origin.requests().pop().unwrap(), response)
    };
    let (old, answer) = ask("GET /old HTTP/1.0\r\nHost: a.test\r\n\r\n");
    assert_eq!(old.values("via").join(", "), "1.0 ringway, 1.0 ringway");
    assert!(answer.closes(), "what HTTP/1.0 asks for by itself");
    let (kept, answer) =
        ask("GET /kept HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(kept.values("connection"), [""; 0], "it was about the client's connection");
    assert_eq!(answer.value("connection"), Some("keep-alive"));
    let (bare, _) = ask("GET /bare HTTP/1.0\r\n\r\n");
    assert_eq!(bare.values("host"), [mesh.far.web().to_string()], "as without the mesh");
    let (absolute, _) = ask("GET http://b.test:81/abs?q HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!((&*absolute.target, absolute.values("host")), ("/abs?q", vec!["b.test:81"]));
    assert_eq!(absolute.values("via").join(", "), "1.1 ringway, 1.1 ringway");
    let (post, _) = ask("POST /none HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(post.values("content-length"), [""; 0], "nothing is added to what was not said");
    let (zero, _) = ask("POST /zero HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(zero.values("content-length"), ["0"]);
    let (named, _) =
        ask("GET /named HTTP/1.1\r\nHost: a.test\r\nConnection: x-hop, close\r\nX-Hop: 1\r\n\
         Keep-Alive: 9\r\nl5d-orig-proto: HTTP/1.0\r\n\r\n");
    assert_eq!((named.value("x-hop"), named.value("keep-alive")), (None, None));
    let via = named.values("via").join(", ");
    assert_eq!(via, "1.1 ringway, 1.1 ringway", "a client cannot say it");
    assert_eq!(named.values("l5d-orig-proto"), [""; 0]);
    wait::until(PATIENCE, "the far side logs the version that the client spoke", || {
        let output = mesh.far.output();
        output.lines().any(|line| line.contains("/old") && line.contains("HTTP/1.0"))
    });
    assert_eq!(mesh.connections() as u64, 1);
    origin.assert_clean();
}

/// Believed or not, it never gets through, and never makes two requests of one.
fn the_field_of_a_stranger_is_worth_nothing(cell: Cell) {
    let origin = Origin::echo("o");
    for (peers, via) in [("off", "2.0 ringway"), ("127.0.0.0/8", "1.0 ringway")] {
        let mut settings = Settings::front(&[origin.address]);
        settings.listeners[0].keys.push(format!("peers: {peers}"));
        let mut proxy = Proxy::start(cell, settings);
        let mut session = Session::connect(proxy.web());
        let fields = [("l5d-orig-proto", "HTTP/1.0"), ("te", "trailers")];
        let stream = session.open("POST", "/s", &fields, false);
        session.data(stream, b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n", true);
        assert_eq!(session.answer(stream).status(), Some(200), "{peers}");
        let seen = origin.requests().pop().unwrap();
        assert_eq!((&*seen.target, seen.body.len()), ("/s", 40), "{peers}");
        assert_eq!(seen.values("transfer-encoding"), ["chunked"], "{peers}");
        assert_eq!(seen.values("l5d-orig-proto"), [""; 0], "{peers}");
        assert_eq!(seen.values("via"), [via], "{peers}");
        for bad in [
            [("l5d-orig-proto", "HTTP/1.1"), ("transfer-encoding", "chunked")],
            [("l5d-orig-proto", "HTTP/1.1"), ("connection", "close")],
            [("l5d-orig-proto", "HTTP/1.1"), ("upgrade", "websocket")],
        ] {
            let stream = session.open("GET", "/bad", &bad, true);
            let answer = session.answer(stream);
            let refused = answer.reset == Some(code::PROTOCOL_ERROR);
            assert!(refused || answer.status() == Some(400), "{peers} {bad:?}: {answer:?}");
        }
        proxy.assert_well();
    }
    assert!(origin.complete("/bad").is_empty() && origin.complete("/smuggled").is_empty());
    origin.assert_clean();
}

fn manifests_mark_what_is_meshed(cell: Cell) {
    let origin = Origin::echo("o");
    let far = Proxy::start(cell, trusting(Settings::front(&[origin.address])));
    let at = far.web();
    for (service, slice) in [("true", "false"), ("false", "true"), ("false", "false")] {
        let directory = Scratch::new();
        directory.put(
            "app.yaml",
            &format!(
                "apiVersion: v1\nkind: Service\nmetadata:\n  name: app\n  annotations: \
                 {{ringway.io/meshed: \"{service}\"}}\nspec: {{ports: [{{port: 80}}]}}\n---\n\
                 apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: app-1\n  \
                 labels: {{kubernetes.io/service-name: app}}\n  annotations: \
                 {{ringway.io/meshed: \"{slice}\"}}\naddressType: IPv4\n\
                 ports: [{{port: {}}}]\nendpoints: [{{addresses: [{}]}}]\n",
                at.port(),
                at.ip()
            ),
        );
        let settings =
            Settings::default().manifests(directory.path()).listener("web", &["service: app"]);
        let near = Proxy::start(cell, settings);
        let spoken = |by: &str| {
            let labels = [("protocol", by)];
            far.metrics().sum("ringway_protocol_connections_total", &labels)
        };
        let before = spoken("http/2");
        assert_eq!(Client::connect(near.web()).get("/m").status, 200);
        let meshed = service == "true" || slice == "true";
        assert_eq!(spoken("http/2") > before, meshed, "service {service}, slice {slice}");
    }
}

fn a_far_side_that_goes_away_finishes_what_it_carries(cell: Cell) {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::acting("o", move |request| {
        let wait = (request.target == "/held").then(|| Act::Await(held.clone()));
        let answer = Act::Send(reply(200, &[("X-Origin-Id", "o-1")], b"late"));
        wait.into_iter().chain([answer]).collect()
    });
    let mut doors: Vec<Proxy> =
        (0..2).map(|_| Proxy::start(cell, trusting(Settings::front(&[origin.address])))).collect();
    let list: Vec<String> = doors.iter().map(|door| format!("\"{}\"", door.web())).collect();
    let service =
        format!("{{endpoints: [{}], meshed: true, balancer: round-robin}}", list.join(", "));
    let settings =
        Settings::default().service_yaml("app", &service).listener("web", &["service: app"]);
    let near = Proxy::start(cell, settings);
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(near.web())).collect();
    for client in &clients {
        client.send("GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n");
    }
    wait::until(PATIENCE, "all are waiting", || origin.complete("/held").len() == 8);
    doors[0].signal(libc::SIGTERM);
    // Whoever asks now is served by the other, or by the one that goes until that refuses.
    for number in 0..20 {
        assert_eq!(Client::connect(near.web()).get(&format!("/next/{number}")).status, 200);
    }
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().text(), "late");
    }
    let status = doors[0].exits_within(PATIENCE);
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    for number in 0..20 {
        assert_eq!(Client::connect(near.web()).get(&format!("/after/{number}")).status, 200);
    }
    doors[1].assert_well();
}
