//! A small closed-loop load: some keep-alive connections that ask, check the body and ask again;
//! each reconnects when it is told `Connection: close`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::wait;

/// What came of the requests sent.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Requests sent.
    pub sent: u64,
    /// Answered by 200 with their own body.
    pub right: u64,
    /// Everything else that happened to a request, one line each.
    pub failures: Vec<String>,
    /// Connects that were refused: no request was sent on them.
    pub refused: u64,
    /// Responses that said `Connection: close`.
    pub closes: u64,
    /// Answers by the name of the origin.
    pub origins: BTreeMap<String, u64>,
}

/// What to ask.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Connections.
    pub connections: usize,
    /// The Host.
    pub host: String,
    /// A body for POST; none for GET.
    pub body: usize,
    /// Pause between requests of one connection.
    pub pause: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self { connections: 4, host: "a.test".into(), body: 0, pause: Duration::ZERO }
    }
}

/// A load under way.
pub struct Load {
    stop: Arc<AtomicBool>,
    right: Arc<AtomicU64>,
    outcome: Arc<Mutex<Outcome>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts asking `address`.
    #[must_use]
    pub fn start(address: SocketAddr, plan: &Plan) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let right = Arc::<AtomicU64>::default();
        let outcome = Arc::<Mutex<Outcome>>::default();
        let threads = (0..plan.connections)
            .map(|number| {
                let (stop, right, outcome, plan) =
                    (Arc::clone(&stop), Arc::clone(&right), Arc::clone(&outcome), plan.clone());
                thread::spawn(move || {
                    let mine = connection(address, number, &plan, &stop, &right);
                    outcome.lock().unwrap().add(mine);
                })
            })
            .collect();
        Self { stop, right, outcome, threads }
    }

    /// Right answers so far.
    #[must_use]
    pub fn right(&self) -> u64 {
        self.right.load(Ordering::Relaxed)
    }

    /// Waits for `more` further right answers.
    pub fn await_answers(&self, more: u64) {
        let target = self.right() + more;
        wait::until(Duration::from_secs(10), "answers under load", || self.right() >= target);
    }

    /// Stops after the requests under way and gives the account.
    ///
    /// # Panics
    /// When a connection's thread panicked.
    #[must_use]
    pub fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.outcome.lock().unwrap().clone()
    }
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.right += other.right;
        self.refused += other.refused;
        self.closes += other.closes;
        self.failures.extend(other.failures);
        for (name, count) in other.origins {
            *self.origins.entry(name).or_default() += count;
        }
    }

    /// Fails the test unless every request sent was answered right.
    ///
    /// # Panics
    /// See above.
    pub fn assert_flawless(&self) {
        let shown: Vec<&String> = self.failures.iter().take(5).collect();
        assert!(
            self.failures.is_empty(),
            "{} of {} failed: {shown:#?}",
            self.failures.len(),
            self.sent
        );
        assert_eq!(self.sent, self.right);
    }
}

fn connection(
    address: SocketAddr,
    number: usize,
    plan: &Plan,
    stop: &AtomicBool,
    right: &AtomicU64,
) -> Outcome {
    let mut out = Outcome::default();
    let mut client: Option<Client> = None;
    while !stop.load(Ordering::Relaxed) {
        let Some(mut open) = client.take().or_else(|| Client::try_connect(address).ok()) else {
            out.refused += 1;
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        let target = format!("/load/{number}/{}", out.sent);
        let started = Instant::now();
        out.sent += 1;
        open.send(request(&target, plan));
        let method = if plan.body > 0 { "POST" } else { "GET" };
        match open.response_within(method, Duration::from_secs(10)) {
            Ok(r)
                if r.status == 200
                    && r.text().contains(&format!(" target={target} length={} ", plan.body)) =>
            {
                out.right += 1;
                right.fetch_add(1, Ordering::Relaxed);
                let name = r.origin().and_then(|o| o.rsplit_once('-')).map_or("", |(name, _)| name);
                *out.origins.entry(name.into()).or_default() += 1;
                if r.closes() {
                    out.closes += 1;
                } else {
                    open.forget();
                    client = Some(open);
                }
            }
            Ok(r) => {
                out.failures.push(format!("{target}: {} {:?} {:?}", r.status, r.fields, r.text()))
            }
            Err(why) => out.failures.push(format!("{target} after {:?}: {why}", started.elapsed())),
        }
        if !plan.pause.is_zero() {
            thread::sleep(plan.pause);
        }
    }
    out
}

fn request(target: &str, plan: &Plan) -> String {
    if plan.body == 0 {
        return format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", plan.host);
    }
    let body = "b".repeat(plan.body);
    format!(
        "POST {target} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{body}",
        plan.host, plan.body
    )
}
