//! The HTTP/1 bad-input vectors, all of them on both drivers, as a table of group and severity.
//!
//! One proxy has several lanes: a listener, a service and a recording origin each. A lane works
//! through its cases one by one, so what its origin sees belongs to the case under way; the lanes
//! go on side by side.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ringway_tests::client::Client;
use ringway_tests::judge::{Evidence, judge};
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::{Moment, Origin};
use ringway_tests::policy;
use ringway_tests::proxy::Proxy;
use ringway_tests::reply::Act;
use ringway_tests::response;
use ringway_tests::settings::Settings;
use ringway_tests::strict::Recorded;
use ringway_tests::vector::{self, Case};
use ringway_tests::wait;

matrix!(every_case);

const LANES: usize = 12;

/// How a case ended.
struct Ruling {
    case: Case,
    /// The outcome that held, or what was seen instead.
    verdict: Result<String, String>,
    /// What the client got: a status of the proxy's own, or `forwarded`.
    answer: String,
}

struct Lane {
    address: SocketAddr,
    origin: Origin,
    /// The response case that the origin plays on `/case/…`.
    script: Arc<Mutex<Option<Case>>>,
}

fn every_case(cell: Cell) {
    let only = std::env::var("RINGWAY_TESTS_ONLY").unwrap_or_default();
    let mut cases = vector::load(&beside_manifest("vectors/h1.json"));
    cases.retain(|c| c.id.contains(&only));
    // Slow ones first, so that they end beside the others.
    cases.sort_by_key(|c| !c.slow());
    let queue = Mutex::new(cases.into_iter());

    let scripts: Vec<Arc<Mutex<Option<Case>>>> = (0..LANES).map(|_| Arc::default()).collect();
    let origins: Vec<Origin> = scripts.iter().map(|s| lane_origin(Arc::clone(s))).collect();
    let mut settings = Settings::default();
    for (i, origin) in origins.iter().enumerate() {
        let name = format!("lane{i}");
        settings = settings
            .service(&name, &[origin.address])
            .listener(&name, &[&format!("service: {name}")]);
    }
    let mut proxy = Proxy::start(cell, settings);
    let baseline = proxy.files_at_rest();
    let lanes: Vec<Lane> = origins
        .into_iter()
        .zip(scripts)
        .enumerate()
        .map(|(i, (origin, script))| Lane {
            address: proxy.settings.address(&format!("lane{i}")),
            origin,
            script,
        })
        .collect();

    let rulings = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for lane in &lanes {
            let (queue, rulings) = (&queue, &rulings);
            scope.spawn(move || {
                loop {
                    let Some(case) = queue.lock().unwrap().next() else {
                        return;
                    };
                    let mut answer = String::new();
                    let verdict = lane.run(&case, &mut answer);
                    rulings.lock().unwrap().push(Ruling { case, verdict, answer });
                }
            });
        }
    });
    let rulings = rulings.into_inner().unwrap();
    proxy.assert_well();
    proxy.assert_idle();
    let failed = print_table(cell, &rulings);
    proxy.assert_files(baseline);
    assert!(failed.is_empty(), "{cell:?}: {} `must` cases failed: {failed:?}", failed.len());
    as_documented(&rulings);
}

fn beside_manifest(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Every choice is the one that POLICY.md explains.
fn as_documented(rulings: &[Ruling]) {
    let decisions = policy::load(&beside_manifest("POLICY.md"));
    let chosen = rulings.iter().filter(|r| r.case.severity != "must");
    let differs = chosen.filter_map(|r| {
        let documented = decisions.iter().find(|d| d.id == r.case.id).map(|d| &d.answer);
        let differs = documented != Some(&r.answer);
        differs.then(|| format!("{}: {}, documented {documented:?}", r.case.id, r.answer))
    });
    let differs: Vec<String> = differs.collect();
    assert!(differs.is_empty(), "not as in POLICY.md: {differs:#?}");
}

#[test]
fn each_choice_is_documented_once() {
    let mut documented: Vec<(String, String)> = policy::load(&beside_manifest("POLICY.md"))
        .into_iter()
        .map(|decision| (decision.id, decision.severity))
        .collect();
    let cases = vector::load(&beside_manifest("vectors/h1.json")).into_iter();
    let chosen = cases.filter(|case| case.severity != "must");
    let mut chosen: Vec<(String, String)> = chosen.map(|case| (case.id, case.severity)).collect();
    documented.sort();
    chosen.sort();
    assert_eq!(documented, chosen);
}

fn lane_origin(script: Arc<Mutex<Option<Case>>>) -> Origin {
    Origin::scripted("lane", move |request, moment| {
        if request.target.starts_with("/clean/") && moment == Moment::Whole {
            // Held for a moment, so that clean requests overlap and use several pooled connections.
            thread::sleep(Duration::from_millis(15));
            return None;
        }
        if request.target == "/big" && moment == Moment::Whole {
            let size = 32 << 20;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
            return Some(vec![Act::Send(head.into_bytes()), Act::Pattern(size)]);
        }
        let case =
            script.lock().unwrap().clone().filter(|_| request.target.starts_with("/case/"))?;
        match (case.when.as_str(), moment) {
            ("mid_request_body", Moment::Head) | ("", Moment::Whole) => Some(acts(&case)),
            ("mid_request_body", Moment::Whole) => Some(Vec::new()),
            ("idle", Moment::Whole) => Some(idle_acts(&case, request)),
            _ => None,
        }
    })
}

fn acts(case: &Case) -> Vec<Act> {
    let mut acts = match case.pace {
        Some((size, every)) => vec![Act::Drip { bytes: case.bytes.clone(), size, every }],
        None => vec![Act::Send(case.bytes.clone())],
    };
    match case.then.as_str() {
        "close" => acts.push(Act::Close),
        "rst" => acts.push(Act::Reset),
        _ => {}
    }
    acts
}

/// A good answer, and the case's bytes once the connection is back in the pool.
fn idle_acts(case: &Case, request: &Recorded) -> Vec<Act> {
    let id = format!("lane-{}", request.sequence);
    let good = ringway_tests::reply::reply(200, &[("X-Origin-Id", &id)], b"good");
    vec![Act::Send(good), Act::Pause(Duration::from_millis(150)), Act::Send(case.bytes.clone())]
}

impl Lane {
    fn run(&self, case: &Case, answer: &mut String) -> Result<String, String> {
        *self.script.lock().unwrap() = Some(case.clone());
        let mark = self.origin.next_sequence();
        let client = match case.read_rate {
            0 => Client::try_connect(self.address),
            rate => Client::try_connect_slow(self.address, rate),
        };
        let client = client.map_err(|e| format!("cannot connect: {e}"))?;
        let verdict = thread::scope(|scope| {
            let sender = scope.spawn(|| send(case, &client));
            let verdict = self.settle(case, &client, mark, || sender.is_finished());
            client.abandon();
            verdict
        });
        let first = response::read(&client.data(), &case.method, client.end());
        *answer = match first {
            Some((response, _)) if response.local() && response.status >= 400 => {
                response.status.to_string()
            }
            _ => "forwarded".to_owned(),
        };
        drop(client);
        let outcome = verdict?;
        self.clean_afterwards()?;
        self.not_reused(case, mark)?;
        Ok(outcome)
    }

    /// Waits until an allowed outcome holds and stays, or nothing more is to be expected.
    fn settle(
        &self,
        case: &Case,
        client: &Client,
        mark: usize,
        sent: impl Fn() -> bool,
    ) -> Result<String, String> {
        let start = Instant::now();
        let limit = Duration::from_secs(if case.slow() { 11 } else { 4 });
        let mut holds_since = None;
        loop {
            let over = start.elapsed() > limit;
            let verdict = judge(&self.evidence(case, client, mark, over));
            let now = Instant::now();
            match (&verdict, holds_since) {
                _ if over => return verdict,
                (Err(_), _) => holds_since = None,
                (Ok(_), None) => holds_since = Some(now),
                (Ok(_), Some(since)) => {
                    let held = now - since > Duration::from_millis(120);
                    if held && (sent() || client.end().is_some()) {
                        return verdict;
                    }
                }
            }
            thread::sleep(Duration::from_millis(if case.slow() { 60 } else { 12 }));
        }
    }

    fn evidence<'a>(
        &self,
        case: &'a Case,
        client: &Client,
        mark: usize,
        over: bool,
    ) -> Evidence<'a> {
        // The order matters: an end that is seen comes after all that is read before it.
        let end = client.end();
        let upstream = self.origin.since(mark);
        Evidence { case, upstream, ends: self.origin.ends(), data: client.data(), end, over }
    }

    /// Clean requests on a new connection, and enough at once to use each pooled connection,
    /// get their own bodies.
    fn clean_afterwards(&self) -> Result<(), String> {
        let mut client =
            Client::try_connect(self.address).map_err(|e| format!("afterwards: {e}"))?;
        clean(&mut client, 0)?;
        clean(&mut client, 1)?;
        let several = (self.origin.open() + 1).min(8);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..several)
                .map(|i| {
                    scope.spawn(move || {
                        let client = Client::try_connect(self.address);
                        clean(&mut client.map_err(|e| format!("afterwards: {e}"))?, i + 2)
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|t| t.join().unwrap())
        })
    }

    /// The connection of a response that spoils it carried no later request.
    fn not_reused(&self, case: &Case, mark: usize) -> Result<(), String> {
        if !case.response {
            return Ok(());
        }
        let spoiling = ringway_tests::meaning::response(&case.bytes, &case.method);
        let spoils = case.when == "idle" || spoiling.is_none_or(|m| m.spoils.is_some());
        let seen = self.origin.since(mark);
        let carried: Vec<&Recorded> =
            seen.iter().filter(|r| r.target.starts_with("/case/")).collect();
        let reused = seen.iter().find(|r| {
            r.target.starts_with("/clean/")
                && carried.iter().any(|c| c.connection == r.connection && c.sequence < r.sequence)
        });
        match reused.filter(|_| spoils) {
            Some(request) => Err(format!("the spoiled connection carried {}", request.brief())),
            None => Ok(()),
        }
    }
}

fn send(case: &Case, client: &Client) {
    if case.response {
        return ask(case, client);
    }
    for piece in case.pieces() {
        if client.gone() || !client.send(piece) {
            return;
        }
        thread::sleep(case.pause());
    }
    match case.then.as_str() {
        "shutdown_write" => client.finish(),
        "rst" => {
            thread::sleep(Duration::from_millis(100));
            client.reset();
        }
        _ => {}
    }
}

/// The request to which the origin gives the case's response.
fn ask(case: &Case, client: &Client) {
    let start = format!("/case/{} HTTP/1.1\r\nHost: a.test\r\n", case.id);
    if case.when != "mid_request_body" {
        client.send(format!("{} {start}\r\n", case.method));
        return;
    }
    let part = vec![b'b'; 65_536];
    client.send(format!("POST {start}Content-Length: 262144\r\n\r\n"));
    client.send(&part);
    wait::poll(Duration::from_millis(700), || {
        (client.received() > 0 || client.end().is_some()).then_some(())
    });
    for _ in 0..3 {
        client.send(&part);
    }
}

fn clean(client: &mut Client, number: usize) -> Result<(), String> {
    let target = format!("/clean/{number}");
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    let answer = client.response_within("GET", Duration::from_secs(5));
    let answer = answer.map_err(|why| format!("clean request afterwards: {why}"))?;
    let own = answer.status == 200 && answer.text().contains(&format!(" target={target} "));
    if own && client.rest().is_empty() {
        return Ok(());
    }
    Err(format!("clean request afterwards got {} {:?}", answer.status, answer.text()))
}

/// Prints group × severity and every failure; returns the `must` cases that failed.
fn print_table(cell: Cell, rulings: &[Ruling]) -> Vec<String> {
    let mut table: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    for ruling in rulings {
        for group in [ruling.case.group.as_str(), "~ all"] {
            let entry = table.entry((group, ruling.case.severity.as_str())).or_default();
            entry.0 += usize::from(ruling.verdict.is_ok());
            entry.1 += 1;
        }
    }
    let mut out = format!(
        "\nvectors/h1.json, {cell:?}\n{:24}{:>10}{:>10}{:>10}\n",
        "group", "must", "should", "policy"
    );
    let mut groups: Vec<&str> = table.keys().map(|(g, _)| *g).collect();
    groups.dedup();
    for group in groups {
        out += &format!("{group:24}");
        for severity in ["must", "should", "policy"] {
            let share = table
                .get(&(group, severity))
                .map_or(String::new(), |(ok, all)| format!("{ok}/{all}"));
            out += &format!("{share:>10}");
        }
        out += "\n";
    }
    let mut failed = Vec::new();
    for Ruling { case, verdict, .. } in rulings {
        if let Err(why) = verdict {
            out += &format!(
                "{:7} {:32} wanted {}: {why}\n",
                case.severity,
                case.id,
                case.outcomes.join(" or ")
            );
            if case.severity == "must" {
                failed.push(case.id.clone());
            }
        }
    }
    println!("{out}");
    failed
}
