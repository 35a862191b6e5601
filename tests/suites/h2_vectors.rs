//! The HTTP/2 bad-input vectors, all of them on both drivers, as a table of group and severity.
//!
//! As with HTTP/1.1, one proxy has several lanes, and a lane works through its cases one by one.
//! Floods have a proxy of their own, whose memory is watched while a healthy client is served.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringway_tests::client::Client;
use ringway_tests::h2::judge::{Evidence, judge};
use ringway_tests::h2::session::{Session, code};
use ringway_tests::h2::vector::{self, Case};
use ringway_tests::h2::wire::{frame, kind};
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::{Moment, Origin};
use ringway_tests::process;
use ringway_tests::proxy::Proxy;
use ringway_tests::settings::Settings;
use ringway_tests::strict::End;

matrix!(every_case, every_flood, provoked_resets_have_an_allowance);

const LANES: usize = 8;
/// What a flood has to be over in. The proxy's time-outs are a few seconds; a starved machine takes
/// its time for the rest.
const OVER: Duration = Duration::from_secs(60);
/// How much a flood may make the proxy grow.
const GROWTH: u64 = 8 << 20;

/// How a case ended: the outcome that held, or what was seen instead.
struct Ruling {
    case: Case,
    verdict: Result<String, String>,
}

fn cases() -> Vec<Case> {
    let only = std::env::var("RINGWAY_TESTS_ONLY").unwrap_or_default();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/h2.json");
    let mut cases = vector::load(&path);
    cases.retain(|case| case.id.contains(&only));
    cases
}

fn every_case(cell: Cell) {
    let mut cases: Vec<Case> =
        cases().into_iter().filter(|case| !case.upstream && case.group != "flood").collect();
    // Slow ones first, so that they end beside the others.
    cases.sort_by_key(|case| !slow(case));
    let queue = Mutex::new(cases.into_iter());
    let origins: Vec<Origin> = (0..LANES).map(|_| Origin::echo("lane")).collect();
    let mut settings = Settings::default();
    for (i, origin) in origins.iter().enumerate() {
        let name = format!("lane{i}");
        settings = settings
            .service(&name, &[origin.address])
            .listener(&name, &[&format!("service: {name}")]);
    }
    let mut proxy = Proxy::start(cell, settings);
    let baseline = proxy.files_at_rest();
    let rulings = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for (i, origin) in origins.iter().enumerate() {
            let address = proxy.settings.address(&format!("lane{i}"));
            let (queue, rulings) = (&queue, &rulings);
            scope.spawn(move || {
                loop {
                    let Some(case) = queue.lock().unwrap().next() else { return };
                    let verdict = run(&case, address, origin);
                    rulings.lock().unwrap().push(Ruling { case, verdict });
                }
            });
        }
    });
    let rulings = rulings.into_inner().unwrap();
    proxy.assert_well();
    proxy.assert_idle();
    proxy.assert_files(baseline);
    let failed = print_table(cell, &rulings);
    assert!(failed.is_empty(), "{cell:?}: {} `must` cases failed: {failed:?}", failed.len());
}

fn slow(case: &Case) -> bool {
    case.outcomes.iter().any(|outcome| outcome == "timeout_close")
}

fn run(case: &Case, address: SocketAddr, origin: &Origin) -> Result<String, String> {
    let mark = origin.next_sequence();
    let client = Client::try_connect(address).map_err(|e| format!("cannot connect: {e}"))?;
    client.send(&case.bytes);
    if let Some(repeat) = &case.repeat {
        for k in 0..repeat.count {
            if !client.send(repeat.nth(k)) {
                break;
            }
        }
    }
    let verdict = settle(case, &client, mark, origin);
    drop(client);
    let outcome = verdict?;
    clean(address)?;
    Ok(outcome)
}

/// Waits until an allowed outcome holds and stays, or nothing more is to be expected.
fn settle(case: &Case, client: &Client, mark: usize, origin: &Origin) -> Result<String, String> {
    let start = Instant::now();
    // The proxy's time-outs are 2 s (head) and 4 s (idle).
    let limit = Duration::from_secs(if slow(case) { 12 } else { 3 });
    let mut holds_since: Option<Instant> = None;
    loop {
        let over = start.elapsed() > limit;
        // The order matters: an end that is seen comes after all that is read before it.
        let end = client.end();
        let upstream = origin.since(mark);
        let data = client.data();
        let seen = Evidence { case, upstream, ends: origin.ends(), data, end, over };
        let verdict = judge(&seen);
        match (&verdict, holds_since) {
            _ if over => return verdict,
            (Err(_), _) => holds_since = None,
            (Ok(_), None) => holds_since = Some(Instant::now()),
            (Ok(_), Some(since)) if since.elapsed() > Duration::from_millis(150) => return verdict,
            _ => {}
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Clean requests on a new connection get their own bodies.
fn clean(address: SocketAddr) -> Result<(), String> {
    let mut session = Session::connect(address);
    let streams: Vec<(u32, String)> = (0..4)
        .map(|i| {
            let path = format!("/clean/{i}");
            (session.open("GET", &path, &[], true), path)
        })
        .collect();
    for (stream, path) in streams {
        let answer = session.answer(stream);
        if answer.status() != Some(200) || !answer.text().contains(&path) {
            return Err(format!("afterwards {path} got {answer:?}"));
        }
    }
    Ok(())
}

/// Prints how the cases ended; the names of the `must` cases that failed.
fn print_table(cell: Cell, rulings: &[Ruling]) -> Vec<String> {
    let mut table: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    let mut failed = Vec::new();
    for Ruling { case, verdict } in rulings {
        let row = table.entry((&case.group, &case.severity)).or_default();
        row.1 += 1;
        match verdict {
            Ok(outcome) => {
                row.0 += 1;
                if outcome == "escalated" {
                    println!("{}: a connection error for a stream error", case.id);
                }
            }
            Err(why) => {
                println!("{} ({}): {why}", case.id, case.severity);
                if case.severity == "must" {
                    failed.push(case.id.clone());
                }
            }
        }
    }
    println!("{cell:?}");
    for ((group, severity), (passed, all)) in table {
        println!("{group:20} {severity:7} {passed}/{all}");
    }
    failed
}

/// Every flood is ended, or does no harm where that is allowed; the proxy does not grow, and a
/// client beside it is served all the while.
fn every_flood(cell: Cell) {
    let mut rulings = Vec::new();
    for case in cases().into_iter().filter(|case| !case.upstream && case.group == "flood") {
        let verdict = flood(cell, &case);
        rulings.push(Ruling { case, verdict });
    }
    let failed = print_table(cell, &rulings);
    assert!(failed.is_empty(), "{cell:?}: {} floods do harm: {failed:?}", failed.len());
}

fn flood(cell: Cell, case: &Case) -> Result<String, String> {
    let big = "x".repeat(1 << 20);
    let origin = Origin::scripted("o", move |request, moment| {
        (request.target == "/big" && moment == Moment::Whole).then(|| {
            let reply = ringway_tests::reply::reply(200, &[("X-Origin-Id", "b")], big.as_bytes());
            vec![ringway_tests::reply::Act::Send(reply)]
        })
    });
    let mut proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let address = proxy.web();
    warm(&proxy)?;
    let before = process::resident(proxy.pid());
    let (over, sent) = (AtomicBool::new(false), AtomicBool::new(false));
    let served = AtomicUsize::new(0);
    let verdict = thread::scope(|scope| {
        let healthy = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                clean(address)?;
                served.fetch_add(1, Ordering::Relaxed);
                // Now and then the attacker's connection is the only one, and often enough to be
                // seen once there is nothing left but to wait for its end.
                let rest = if sent.load(Ordering::Relaxed) { 300 } else { 10 };
                thread::sleep(Duration::from_millis(rest));
            }
            Ok::<(), String>(())
        });
        let start = Instant::now();
        let verdict = attack(case, &proxy, &origin, &sent);
        let took = start.elapsed();
        sent.store(false, Ordering::Relaxed);
        let grown = process::peak(proxy.pid()).saturating_sub(before);
        let enough = served.load(Ordering::Relaxed) + 2;
        ringway_tests::wait::until(Duration::from_secs(20), "the healthy client is served", || {
            served.load(Ordering::Relaxed) >= enough || healthy.is_finished()
        });
        over.store(true, Ordering::Relaxed);
        healthy.join().unwrap()?;
        println!("{}: {} KiB more at the most, in {took:.1?}", case.id, grown >> 10);
        if grown > GROWTH {
            return Err(format!("the proxy grew by {} KiB", grown >> 10));
        }
        verdict
    });
    proxy.assert_well();
    verdict
}

/// Allocators keep what the first users of anything take, each thread's for itself: what goes on
/// beside the flood goes on before it as well, and more of it at once than a slow machine piles up.
fn warm(proxy: &Proxy) -> Result<(), String> {
    thread::scope(|scope| {
        let users: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..3 {
                        clean(proxy.web())?;
                        let _ = proxy.metrics();
                    }
                    Ok::<(), String>(())
                })
            })
            .collect();
        users.into_iter().try_for_each(|user| user.join().unwrap())
    })
}

fn attack(
    case: &Case,
    proxy: &Proxy,
    origin: &Origin,
    done: &AtomicBool,
) -> Result<String, String> {
    let repeat = case.repeat.as_ref().unwrap();
    let address = proxy.web();
    let client = match repeat.no_read {
        true => Client::try_connect_slow(address, 1),
        false => Client::try_connect(address),
    };
    let client = client.map_err(|e| format!("cannot connect: {e}"))?;
    let mark = origin.next_sequence();
    let closed = AtomicBool::new(false);
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            client.send(&case.bytes);
            // Enough of it: what has not tripped by then will not. Who does not read learns of the
            // end by sending, so it goes on to send something harmless until it is given up.
            let flood = (0..repeat.count.min(50_000)).map(|k| repeat.nth(k));
            let harmless = std::iter::repeat_with(|| {
                done.store(true, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(100));
                frame(kind::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())
            });
            for bytes in flood.chain(harmless.take(if repeat.no_read { usize::MAX } else { 0 })) {
                match client.try_send(bytes) {
                    // Not taken for long is no end.
                    Err(error) if error.kind() != ErrorKind::WouldBlock => {
                        closed.store(true, Ordering::Relaxed);
                        break;
                    }
                    _ => {}
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        loop {
            // A reset may not get through to who leaves no room to receive it, so the proxy is
            // asked as well whether it has let go.
            let let_go = || {
                repeat.no_read
                    && !client.data().is_empty()
                    && proxy.metrics().sum("ringway_worker_connections", &[]) == 0.0
            };
            let ended = (closed.load(Ordering::Relaxed) || let_go()).then_some(End::Reset);
            let end = client.end().or(ended);
            let over = start.elapsed() > OVER;
            let data = if repeat.no_read { Vec::new() } else { client.data() };
            let seen = Evidence {
                case,
                upstream: if case.id.contains("madeyoureset") {
                    Vec::new()
                } else {
                    origin.since(mark)
                },
                ends: origin.ends(),
                data,
                end,
                over: over || done.load(Ordering::Relaxed),
            };
            let verdict = judge(&seen);
            let all = done.load(Ordering::Relaxed);
            if over || end.is_some() || (verdict.is_ok() && all) {
                client.abandon();
                return verdict;
            }
            thread::sleep(Duration::from_millis(50));
        }
    })
}

/// The crate below counts what it resets for a connection's whole life, eight times as many; what
/// the configuration allows at once is counted in what is sent.
fn provoked_resets_have_an_allowance(cell: Cell) {
    let origin = Origin::echo("o");
    let settings = Settings::front(&[origin.address]).more("http2: {stream_errors: 20}");
    let proxy = Proxy::start(cell, settings);
    let mut session = Session::connect(proxy.web());
    for _ in 0..60 {
        session.open("GET", "/", &[("connection", "close")], true);
    }
    assert!(session.ends_within(OVER));
    assert_eq!(session.goaway(), Some(code::ENHANCE_YOUR_CALM));
    let cause = [("cause", "stream errors flood")];
    assert!(proxy.metrics().sum("ringway_http2_closed_total", &cause) > 0.0);
}
