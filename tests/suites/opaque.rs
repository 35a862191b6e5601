//! Opaque connections: every byte arrives, every end and every reset is passed on, memory stays
//! bounded, and a server that speaks first is not kept waiting.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ringway_tests::manifest;
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::process;
use ringway_tests::proxy::Proxy;
use ringway_tests::scratch::Scratch;
use ringway_tests::settings::Settings;
use ringway_tests::sys;
use ringway_tests::tcp::{self, Noise, Server, Unanswering};
use ringway_tests::wait;

matrix!(
    random_bytes_pass_both_ways,
    the_client_may_end_first,
    the_server_may_end_first,
    a_reset_is_passed_on,
    a_slow_reader_holds_the_sender_back,
    idle_connections_hold_no_buffer,
    a_refused_connect_goes_to_another_endpoint,
    a_connect_that_is_not_answered_goes_to_another_endpoint,
    with_no_endpoint_the_client_is_reset,
    a_client_that_leaves_while_its_endpoint_is_dialled_is_seen,
    what_stands_still_is_ended,
    a_marked_port_s_server_speaks_first,
    a_marked_service_s_server_speaks_first,
    a_drain_lets_connections_end,
    a_drain_ends_them_after_its_grace,
);

const SOON: Duration = Duration::from_secs(10);

/// One opaque listener called `web`.
fn opaque(endpoints: &[SocketAddr]) -> Settings {
    Settings::default()
        .service("app", endpoints)
        .listener("web", &["service: app", "protocol: opaque"])
}

/// The connections to `web` and to the endpoints, until none is open.
fn quiet(proxy: &Proxy) {
    wait::until(SOON, "no connection is open", || {
        proxy.metrics().sum("tcp_open_connections", &[]) == 0.0
    });
}

fn cuts(proxy: &Proxy) -> Vec<(String, f64)> {
    proxy.metrics().by("outbound_tcp_errors_total", &[], "error")
}

fn random_bytes_pass_both_ways(cell: Cell) {
    const UP: usize = 3_000_001;
    const DOWN: usize = 5_000_003;
    const CONNECTIONS: u64 = 4;
    let (told, heard) = mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let server = Server::start(move |stream| {
        let mut seed = [0; 1];
        (&stream).read_exact(&mut seed).unwrap();
        let seed = u64::from(seed[0]);
        let back = stream.try_clone().unwrap();
        let sending = thread::spawn(move || {
            Noise::new(100 + seed).send(&back, DOWN).unwrap();
            back.shutdown(Shutdown::Write).unwrap();
        });
        let got = Noise::new(seed).receive(&stream);
        sending.join().unwrap();
        told.lock().unwrap().send(got).unwrap();
    });
    let proxy = Proxy::start(cell, opaque(&[server.address]).workers(2));
    let web = proxy.web();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|seed| {
            thread::spawn(move || {
                let stream = tcp::connect(web);
                let sending = stream.try_clone().unwrap();
                let up = thread::spawn(move || {
                    (&sending).write_all(&[u8::try_from(seed).unwrap()]).unwrap();
                    Noise::new(seed).send(&sending, UP).unwrap();
                    sending.shutdown(Shutdown::Write).unwrap();
                });
                let got = Noise::new(100 + seed).receive(&stream);
                up.join().unwrap();
                got
            })
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), Ok(DOWN));
        assert_eq!(heard.recv_timeout(SOON).unwrap(), Ok(UP));
    }
    quiet(&proxy);
    // What came in is what went out, on both sides.
    let metrics = proxy.metrics();
    let (up, down) = (CONNECTIONS as f64 * (UP + 1) as f64, CONNECTIONS as f64 * DOWN as f64);
    for (name, peer, bytes) in [
        ("tcp_read_bytes_total", "src", up),
        ("tcp_write_bytes_total", "dst", up),
        ("tcp_read_bytes_total", "dst", down),
        ("tcp_write_bytes_total", "src", down),
    ] {
        assert_eq!(metrics.sum(name, &[("peer", peer)]), bytes, "{name} {peer}");
    }
    for peer in ["src", "dst"] {
        assert_eq!(metrics.sum("tcp_open_total", &[("peer", peer)]), CONNECTIONS as f64);
        let closed = [("peer", peer), ("errno", "")];
        assert_eq!(metrics.sum("tcp_close_total", &closed), CONNECTIONS as f64);
    }
    assert_eq!(cuts(&proxy), []);
    assert_eq!(metrics.sum("request_total", &[]), 0.0, "it is no request");
}

fn the_client_may_end_first(cell: Cell) {
    let server = Server::start(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        // Its own direction stays open for as long as it likes.
        thread::sleep(Duration::from_millis(700));
        write!(stream, "got {}", all.len()).unwrap();
    });
    let proxy = Proxy::start(cell, opaque(&[server.address]));
    for text in ["", "hello", &"x".repeat(300_000)] {
        let mut client = tcp::connect(proxy.web());
        client.write_all(text.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, format!("got {}", text.len()));
    }
    quiet(&proxy);
    assert_eq!(cuts(&proxy), []);
}

fn the_server_may_end_first(cell: Cell) {
    let (told, heard) = mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let server = Server::start(move |mut stream| {
        stream.write_all(b"bye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        told.lock().unwrap().send(all.len()).unwrap();
    });
    let proxy = Proxy::start(cell, opaque(&[server.address]));
    let mut client = tcp::connect(proxy.web());
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert_eq!(said, "bye");
    for _ in 0..20 {
        client.write_all(&[b'x'; 10_000]).unwrap();
        thread::sleep(Duration::from_millis(10));
    }
    assert!(heard.try_recv().is_err(), "its direction is still open");
    drop(client);
    assert_eq!(heard.recv_timeout(SOON).unwrap(), 200_000);
    quiet(&proxy);
    assert_eq!(cuts(&proxy), []);
}

fn is_reset(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    ended.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset)
}

fn a_reset_is_passed_on(cell: Cell) {
    let (told, heard) = mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let server = Server::start(move |mut stream| {
        let mut first = [0; 1];
        stream.read_exact(&mut first).unwrap();
        stream.write_all(b"part of an answer").unwrap();
        if first == *b"s" {
            thread::sleep(Duration::from_millis(100));
            sys::reset(&stream);
        } else {
            told.lock().unwrap().send(is_reset(&mut stream)).unwrap();
        }
    });
    let proxy = Proxy::start(cell, opaque(&[server.address]));
    let mut client = tcp::connect(proxy.web());
    client.write_all(b"s").unwrap();
    assert!(is_reset(&mut client), "a cut answer must not look whole");
    let mut client = tcp::connect(proxy.web());
    client.write_all(b"c").unwrap();
    client.read_exact(&mut [0; 17]).unwrap();
    sys::reset(&client);
    assert!(heard.recv_timeout(SOON).unwrap(), "nor must a cut request");
    quiet(&proxy);
    assert_eq!(cuts(&proxy), [(String::from("connection reset"), 2.0)]);
    for peer in ["src", "dst"] {
        let closed = [("peer", peer), ("errno", "ECONNRESET")];
        assert_eq!(proxy.metrics().sum("tcp_close_total", &closed), 1.0, "{peer}");
    }
}

fn a_slow_reader_holds_the_sender_back(cell: Cell) {
    const LENGTH: usize = 64 << 20;
    let server = Server::start(|stream| {
        let _ = Noise::new(7).send(&stream, LENGTH);
    });
    let proxy = Proxy::start(cell, opaque(&[server.address]));
    let before = process::resident(proxy.pid());
    let stream = TcpStream::connect(proxy.web()).unwrap();
    let read = || proxy.metrics().sum("tcp_read_bytes_total", &[("peer", "dst")]);
    let mut last = (-1.0, Instant::now());
    wait::until(SOON, "the sender is held back", || {
        let now = read();
        if now > last.0 {
            last = (now, Instant::now());
        }
        now > 0.0 && last.1.elapsed() > Duration::from_millis(500)
    });
    assert!(last.0 < LENGTH as f64 / 2.0, "{} bytes were read for nobody", last.0);
    let grown = process::resident(proxy.pid()).saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more while a reader rests");
    stream.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(Noise::new(7).receive(&stream), Ok(LENGTH));
    let grown = process::peak(proxy.pid()).saturating_sub(before);
    assert!(grown < 6 << 20, "{grown} bytes more at the most");
}

fn idle_connections_hold_no_buffer(cell: Cell) {
    const CONNECTIONS: usize = 400;
    let server = Server::echo();
    let proxy = Proxy::start(cell, opaque(&[server.address]));
    // What the first ones set up is not the others'.
    let mut open: Vec<TcpStream> = Vec::new();
    let mut before = 0;
    for n in 0..CONNECTIONS + 20 {
        if n == 20 {
            before = process::resident(proxy.pid());
        }
        let mut client = tcp::connect(proxy.web());
        client.write_all(b"hello").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
        open.push(client);
    }
    let each = process::resident(proxy.pid()).saturating_sub(before) / CONNECTIONS as u64;
    assert!(each < 6 << 10, "{each} bytes for each idle connection");
    for client in &mut open {
        client.write_all(b"again").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
    }
    proxy.assert_idle();
}

fn a_refused_connect_goes_to_another_endpoint(cell: Cell) {
    let server = Server::echo();
    let proxy = Proxy::start(cell, opaque(&[tcp::refusing(), server.address]));
    for _ in 0..20 {
        let mut client = tcp::connect(proxy.web());
        client.write_all(b"ping").unwrap();
        let mut answer = [0; 4];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"ping");
    }
    assert_eq!(server.accepted(), 20);
    quiet(&proxy);
    let metrics = proxy.metrics();
    let retries = metrics.sum("ringway_retries_total", &[]);
    assert!((1.0..10.0).contains(&retries), "{retries}: it is tried, and then avoided");
    assert_eq!(cuts(&proxy), []);
}

/// Also when the time for detection would be over by then.
fn a_connect_that_is_not_answered_goes_to_another_endpoint(cell: Cell) {
    let (server, nobody) = (Server::echo(), Unanswering::start());
    let settings = Settings::default()
        .service("app", &[server.address, nobody.address])
        .listener("web", &["service: app", "protocol: detect"])
        .timeout("detect", "2s")
        .timeout("connect", "1500ms");
    let proxy = Proxy::start(cell, settings);
    // Each endpoint gets one of them.
    let mut clients = [tcp::connect(proxy.web()), tcp::connect(proxy.web())];
    thread::sleep(Duration::from_millis(1000));
    for client in &mut clients {
        client.write_all(b"*ping\r\n").unwrap();
    }
    for client in &mut clients {
        let mut answer = [0; 7];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"*ping\r\n");
    }
    drop(clients);
    quiet(&proxy);
    assert_eq!(proxy.metrics().sum("ringway_retries_total", &[]), 1.0);
    assert_eq!(cuts(&proxy), []);
}

fn with_no_endpoint_the_client_is_reset(cell: Cell) {
    let proxy = Proxy::start(cell, opaque(&[tcp::refusing(), tcp::refusing()]));
    assert!(tcp::resets(proxy.web()));
    quiet(&proxy);
    assert_eq!(cuts(&proxy), [(String::from("connection refused"), 1.0)]);
}

fn a_client_that_leaves_while_its_endpoint_is_dialled_is_seen(cell: Cell) {
    let nobody = Unanswering::start();
    let proxy = Proxy::start(cell, opaque(&[nobody.address]).timeout("connect", "1m"));
    let open = || proxy.metrics().sum("tcp_open_connections", &[("peer", "src")]);
    let mut client = tcp::connect(proxy.web());
    client.write_all(b"anybody?").unwrap();
    wait::until(SOON, "it is dialled", || open() == 1.0);
    // One that has only ended its sending direction still waits.
    client.shutdown(Shutdown::Write).unwrap();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(open(), 1.0);
    sys::reset(&client);
    wait::until(SOON, "it is known to have left", || open() == 0.0);
    assert_eq!(cuts(&proxy), [(String::from("connection reset"), 1.0)]);
}

fn what_stands_still_is_ended(cell: Cell) {
    let server = Server::echo();
    let settings = opaque(&[server.address]).timeout("tunnel_idle", "1s");
    let proxy = Proxy::start(cell, settings);
    let mut client = tcp::connect(proxy.web());
    // Slow is not still.
    for _ in 0..6 {
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0; 1]).unwrap();
        thread::sleep(Duration::from_millis(300));
    }
    let still = Instant::now();
    assert!(is_reset(&mut client));
    assert!(still.elapsed() >= Duration::from_millis(600), "{:?}", still.elapsed());
    quiet(&proxy);
    assert_eq!(cuts(&proxy), [(String::from("idle timeout"), 1.0)]);
}

/// The server's first byte comes though the client says nothing and detection takes a minute.
fn greeted(settings: Settings, cell: Cell) {
    let proxy = Proxy::start(cell, settings.timeout("detect", "1m").timeout("head", "1m"));
    let mut client = tcp::connect(proxy.web());
    let mut greeting = [0; 10];
    client.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"220 ready\n");
    client.write_all(b"QUIT").unwrap();
    client.read_exact(&mut greeting[..4]).unwrap();
    let metrics = proxy.metrics();
    let by = metrics.by("ringway_protocol_connections_total", &[("protocol", "opaque")], "by");
    assert_eq!(by, [(String::from("mark"), 1.0)]);
}

fn a_marked_port_s_server_speaks_first(cell: Cell) {
    let server = Server::greeting(b"220 ready\n");
    let settings = Settings::default().service("app", &[server.address]);
    let mut settings = settings.listener("web", &["service: app", "protocol: detect"]);
    let port = settings.address("web").port();
    settings.listeners[0].keys.push(format!("opaque_ports: 25,{port}"));
    greeted(settings, cell);
    // By its target's port.
    let target = server.address;
    let inbound = ["kind: inbound", &format!("target: {target}")].map(str::to_owned);
    let ports = format!("opaque_ports: {}-{}", target.port(), target.port());
    let keys: Vec<&str> = inbound.iter().map(String::as_str).chain([ports.as_str()]).collect();
    greeted(Settings::default().listener("web", &keys), cell);
}

fn a_marked_service_s_server_speaks_first(cell: Cell) {
    let server = Server::greeting(b"220 ready\n");
    let directory = Scratch::new();
    let service = manifest::service("mail", &[server.address]).replace(
        "name: mail\nspec",
        "name: mail\n  annotations: {config.linkerd.io/opaque-ports: '79-81'}\nspec",
    );
    assert!(service.contains("opaque-ports"), "{service}");
    directory.put("mail.yaml", &manifest::file(&[service]));
    let settings = Settings::default().manifests(directory.path());
    greeted(settings.listener("web", &["service: mail"]), cell);
}

fn a_drain_lets_connections_end(cell: Cell) {
    let server = Server::echo();
    let settings = opaque(&[server.address]).more("shutdown: { grace: 30s }");
    let mut proxy = Proxy::start(cell, settings);
    let mut client = tcp::connect(proxy.web());
    client.write_all(b"before").unwrap();
    client.read_exact(&mut [0; 6]).unwrap();
    proxy.signal(libc::SIGTERM);
    // Longer than what idle HTTP connections are given.
    thread::sleep(Duration::from_millis(2500));
    client.write_all(b"during").unwrap();
    client.read_exact(&mut [0; 6]).unwrap();
    assert!(proxy.exits_within(Duration::from_millis(100)).is_none());
    drop(client);
    assert_eq!(proxy.exits_within(SOON).and_then(|status| status.code()), Some(0));
}

fn a_drain_ends_them_after_its_grace(cell: Cell) {
    let server = Server::echo();
    let settings = opaque(&[server.address]).more("shutdown: { grace: 1s }");
    let mut proxy = Proxy::start(cell, settings);
    let mut client = tcp::connect(proxy.web());
    client.write_all(b"before").unwrap();
    client.read_exact(&mut [0; 6]).unwrap();
    proxy.signal(libc::SIGTERM);
    assert!(is_reset(&mut client), "what is cut must not look whole");
    assert_eq!(proxy.exits_within(SOON).and_then(|status| status.code()), Some(1));
    let said = "1 connection was still open after the grace period";
    assert!(proxy.output().contains(said), "{}", proxy.output());
}
