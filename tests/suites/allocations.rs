//! In the steady state a request allocates nothing: counted by the binary's own allocator, on
//! connections that are warm, for each shape of request.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::proxy::Proxy;
use ringway_tests::settings::Settings;

matrix!(
    a_get_of_64_bytes_allocates_nothing,
    a_get_of_16_kib_allocates_nothing,
    a_post_of_16_kib_allocates_nothing,
);

const CONNECTIONS: usize = 64;
/// Threads that drive them; each has its share of the connections under way at once.
const THREADS: usize = 4;
/// Rounds over all connections before anything is counted.
const WARM_UP: usize = 60;
/// Counted rounds: 20,032 requests.
const ROUNDS: usize = 313;
/// Room for the longest message.
const BUFFER: usize = 64 << 10;
/// What may be allocated beside the requests (time, once a second; buffers given back and taken
/// again): so many requests for each allocation.
const REQUESTS_PER_ALLOCATION: f64 = 200.0;

fn a_get_of_64_bytes_allocates_nothing(cell: Cell) {
    check(cell, 0, 64);
}

fn a_get_of_16_kib_allocates_nothing(cell: Cell) {
    check(cell, 0, 16 << 10);
}

fn a_post_of_16_kib_allocates_nothing(cell: Cell) {
    check(cell, 16 << 10, 64);
}

/// Requests with `upload` bytes, answered with `download` bytes.
fn check(cell: Cell, upload: usize, download: usize) {
    let backend = backend(download);
    let proxy = Proxy::start(cell, Settings::front(&[backend]));
    let request = request(upload);
    let mut connections: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect(proxy.web())).collect();
    drive(&mut connections, WARM_UP, &request, download);
    // A scrape allocates as well: how much is seen from two in a row.
    let (first, before) = (allocations(&proxy), allocations(&proxy));
    drive(&mut connections, ROUNDS, &request, download);
    let after = allocations(&proxy);
    let scrape = before - first;
    let grown = (after - before - scrape).max(0.0);
    let requests = (ROUNDS * CONNECTIONS) as f64;
    println!("{grown} allocations beside {requests} requests; a scrape makes {scrape}");
    assert!(
        grown <= requests / REQUESTS_PER_ALLOCATION,
        "{grown} allocations beside {requests} requests: a request must not allocate"
    );
}

/// Blocks taken and regrown so far.
fn allocations(proxy: &Proxy) -> f64 {
    let metrics = proxy.metrics();
    let names = ["ringway_allocations_total", "ringway_reallocations_total"];
    names
        .map(|name| {
            let found = metrics.find(name, &[]).next();
            let sample = found.unwrap_or_else(|| {
                panic!(
                    "the binary shows no {name}: build what RINGWAY_BIN names with \
                     `--features count-allocations`"
                )
            });
            sample.value
        })
        .iter()
        .sum()
}

fn request(upload: usize) -> Vec<u8> {
    if upload == 0 {
        return b"GET /thing HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec();
    }
    let head = format!("POST /thing HTTP/1.1\r\nHost: a.test\r\nContent-Length: {upload}\r\n\r\n");
    [head.into_bytes(), vec![b'u'; upload]].concat()
}

/// Sends `rounds` requests on each connection and reads their answers; a thread has one request
/// under way on each of its connections.
fn drive(connections: &mut [TcpStream], rounds: usize, request: &[u8], download: usize) {
    thread::scope(|scope| {
        for share in connections.chunks_mut(CONNECTIONS / THREADS) {
            scope.spawn(move || {
                let mut buffer = vec![0; BUFFER];
                for _ in 0..rounds {
                    for connection in &mut *share {
                        connection.write_all(request).unwrap();
                    }
                    for connection in &mut *share {
                        let (head, whole) = message(connection, &mut buffer).expect("an answer");
                        let ok = buffer.starts_with(b"HTTP/1.1 200 ");
                        assert!(ok, "{}", String::from_utf8_lossy(&buffer[..head]));
                        assert_eq!(whole - head, download);
                    }
                }
            });
        }
    });
}

/// A server that answers every request with `download` bytes and keeps nothing, so that it is
/// never what the proxy waits for. It ends with the test's process.
fn backend(download: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {download}\r\n\r\n");
    let answer = [head.into_bytes(), vec![b'd'; download]].concat();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let mut buffer = vec![0; BUFFER];
                while message(&mut stream, &mut buffer).is_some() {
                    if stream.write_all(&answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Reads one message into `buffer`: where its head and where it ends; `None` when the connection
/// ends.
fn message(stream: &mut TcpStream, buffer: &mut [u8]) -> Option<(usize, usize)> {
    let (mut filled, mut ends) = (0, None);
    loop {
        match stream.read(&mut buffer[filled..]) {
            Ok(n @ 1..) => filled += n,
            Ok(_) | Err(_) => return None,
        }
        ends = ends.or_else(|| message_ends(&buffer[..filled]));
        if let Some((head, whole)) = ends.filter(|&(_, whole)| whole <= filled) {
            assert_eq!(filled, whole, "more than was asked for");
            return Some((head, whole));
        }
    }
}

/// Where the head and where the whole message end, once the head is there.
fn message_ends(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    Some((head, head + length.map_or(0, |n| n.trim().parse::<usize>().unwrap())))
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}
