//! HTTP/2 endpoints that break the protocol: the cases of vectors/h2.json that come from an upstream,
//! for clients in HTTP/1.1 and in HTTP/2, on both drivers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ringway_tests::h2::hpack::literals;
use ringway_tests::h2::vector::{self, Case};
use ringway_tests::h2::wire::{END_HEADERS, END_STREAM, PREFACE, frame, frames, kind};
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::pair::{Heard, Pair, Speaks};
use ringway_tests::proxy::Proxy;
use ringway_tests::settings::Settings;

matrix!(every_upstream_case);

/// Plays a case on its first connection, and is a good server on all others.
struct Endpoint {
    address: SocketAddr,
    case: Arc<Mutex<Option<Case>>>,
}

impl Endpoint {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let case = Arc::<Mutex<Option<Case>>>::default();
        let next = Arc::clone(&case);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let case = next.lock().unwrap().take();
                thread::spawn(move || serve(stream, case));
            }
        });
        Self { address, case }
    }
}

fn serve(mut stream: TcpStream, case: Option<Case>) {
    let Some(case) = case else { return good(&mut stream) };
    stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    // Its SETTINGS come with the preface, the rest with the request.
    let leading = leading_settings(&case.bytes);
    let _ = stream.write_all(&case.bytes[..leading]);
    if !await_request(&mut stream, 1) {
        return;
    }
    let _ = stream.write_all(&case.bytes[leading..]);
    if let Some(repeat) = &case.repeat {
        for k in 0..repeat.count.min(50_000) {
            if stream.write_all(&repeat.nth(k)).is_err() {
                return;
            }
        }
    }
    if case.then != "close" {
        // Stays until the proxy lets go of it.
        while matches!(stream.read(&mut [0; 4096]), Ok(n) if n > 0) {}
    }
}

fn leading_settings(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + 9) {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        if header[3] != kind::SETTINGS || at + 9 + length > bytes.len() {
            break;
        }
        at += 9 + length;
    }
    at
}

/// Reads until there is a request on stream `wanted`.
fn await_request(stream: &mut TcpStream, wanted: u32) -> bool {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => seen.extend_from_slice(&buffer[..n]),
            _ => return false,
        }
        let after = seen.strip_prefix(PREFACE).unwrap_or(&seen);
        if frames(after).iter().any(|f| f.kind == kind::HEADERS && f.stream == wanted) {
            return true;
        }
    }
}

fn good(stream: &mut TcpStream) {
    let begin = [frame(kind::SETTINGS, 0, 0, b""), frame(kind::SETTINGS, 1, 0, b"")].concat();
    let _ = stream.write_all(&begin);
    let mut wanted = 1;
    while await_request(stream, wanted) {
        let block = literals(&[(":status", "200"), ("x-origin-id", "good")]);
        let answer = frame(kind::HEADERS, END_HEADERS | END_STREAM, wanted, &block);
        if stream.write_all(&answer).is_err() {
            return;
        }
        wanted += 2;
    }
}

fn every_upstream_case(cell: Cell) {
    let only = std::env::var("RINGWAY_TESTS_ONLY").unwrap_or_default();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/h2.json");
    let mut cases = vector::load(&path);
    cases.retain(|case| case.upstream && case.id.contains(&only));
    let passed = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let runs: Vec<(Case, Speaks)> = cases
        .into_iter()
        .flat_map(|case| [Speaks::Http1, Speaks::Http2].map(|client| (case.clone(), client)))
        .collect();
    let queue = Mutex::new(runs.into_iter());
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let Some((case, client)) = queue.lock().unwrap().next() else { return };
                    match run(cell, &case, client) {
                        Ok(()) => drop(passed.fetch_add(1, Ordering::Relaxed)),
                        Err(why) => {
                            failed.lock().unwrap().push(format!("{} {client:?}: {why}", case.id));
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{cell:?} upstream-h2 {} passed", passed.into_inner());
    assert!(failed.is_empty(), "{cell:?}: {failed:#?}");
}

fn run(cell: Cell, case: &Case, client: Speaks) -> Result<(), String> {
    let endpoint = Endpoint::new();
    let text = format!("{{endpoints: [\"{}\"], protocol: h2c}}", endpoint.address);
    let settings =
        Settings::default().service_yaml("app", &text).listener("web", &["service: app"]);
    let mut proxy = Proxy::start(cell, settings);
    *endpoint.case.lock().unwrap() = Some(case.clone());
    let pair = Pair { client, upstream: Speaks::Http2 };
    let heard = pair.connect(proxy.web()).call("GET", "/case", &[], None, &[]);
    let allowed = case.outcomes.iter().any(|outcome| holds(outcome, &heard));
    if !allowed {
        return Err(format!("{:?}: {heard:?}", case.outcomes));
    }
    // The next request gets an answer of its own.
    let next = pair.connect(proxy.web()).call("GET", "/next", &[], None, &[]);
    if next.as_ref().map(|next| next.value("x-origin-id")) != Ok(Some("good"))
        && !case.outcomes.iter().any(|o| o == "forward")
        && !case.id.contains("max-streams-0")
    {
        return Err(format!("afterwards: {next:?}"));
    }
    proxy.assert_well();
    Ok(())
}

fn holds(outcome: &str, heard: &Result<Heard, String>) -> bool {
    let status = heard.as_ref().map_or(0, |heard| heard.status);
    match outcome {
        "bad_gateway_502" => status == 502,
        "gateway_timeout_504" => status == 504,
        "retry_or_503" => matches!(status, 200 | 503),
        "abort_client" => heard.is_err() || status == 502,
        "forward" => status == 200,
        _ => false,
    }
}
