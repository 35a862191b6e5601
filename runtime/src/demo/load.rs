//! The demo's load: a few keep-alive clients at a gentle pace, and what they saw.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ringway_core::rng::Rng;

use super::connection::Connection;
use super::services::Instance;

/// Clients for each service.
const CLIENTS: u64 = 3;
/// Mean time between two requests of one client: 9 clients make 150 requests a second.
const PERIOD: Duration = Duration::from_millis(60);
/// A client gives up on an answer after this.
const PATIENCE: Duration = Duration::from_secs(5);

/// What happened to the requests of one instance, or to those the proxy answered itself.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Answered requests, and those that got no answer.
    pub(super) requests: u64,
    /// Those that got no answer or a 5xx.
    pub(super) failures: u64,
    /// In microseconds, of all that were answered.
    pub(super) latency: Histogram<u64>,
}

impl Tally {
    fn new() -> Self {
        // One second more than a client waits, two digits: the bounds are constants and valid.
        let latency = Histogram::new_with_max(6_000_000, 2).expect("constant bounds");
        Self { requests: 0, failures: 0, latency }
    }

    fn count(&mut self, failed: bool, latency: Option<Duration>) {
        self.requests += 1;
        self.failures += u64::from(failed);
        if let Some(latency) = latency {
            self.latency.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failures += other.failures;
        // Both have the same bounds, so nothing can fall out.
        let _ = self.latency.add(&other.latency);
    }
}

/// One tally for each instance, then one for each service: what the proxy answered itself.
pub(super) type Tallies = Vec<Tally>;

/// Fresh tallies for so many rows.
pub(super) fn tallies(rows: usize) -> Tallies {
    vec![Tally::new(); rows]
}

/// The running clients.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Tallies>>,
    rows: usize,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts clients for each of the services, in front of the `proxy`.
    ///
    /// # Errors
    /// When no thread is to be had.
    pub(super) fn start(
        proxy: SocketAddr,
        services: &[&'static str],
        instances: &[Instance],
    ) -> io::Result<Self> {
        let rows = instances.len() + services.len();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(tallies(rows)));
        let names: Arc<[String]> = instances.iter().map(|i| i.name.clone()).collect();
        let mut load = Self { stop, seen, rows, clients: Vec::new() };
        for (index, service) in services.iter().enumerate() {
            for client in 0..CLIENTS {
                let mut client = Client {
                    proxy,
                    service,
                    names: Arc::clone(&names),
                    own_row: instances.len() + index,
                    connection: None,
                    rng: Rng::new(index as u64 * CLIENTS + client),
                };
                let (stop, seen) = (Arc::clone(&load.stop), Arc::clone(&load.seen));
                let thread = thread::Builder::new().name(format!("load-{service}"));
                load.clients.push(thread.spawn(move || client.run(&stop, &seen))?);
            }
        }
        Ok(load)
    }

    /// What was seen since the last call.
    pub(super) fn take(&self) -> Tallies {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut seen, tallies(self.rows))
    }

    /// Lets every client finish its request and waits for them.
    pub(super) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            // A client that panicked has nothing to add.
            let _ = client.join();
        }
    }
}

struct Client {
    proxy: SocketAddr,
    service: &'static str,
    names: Arc<[String]>,
    /// Where answers are counted that no instance gave.
    own_row: usize,
    connection: Option<Connection>,
    rng: Rng,
}

impl Client {
    fn run(&mut self, stop: &AtomicBool, seen: &Mutex<Tallies>) {
        while !stop.load(Ordering::Relaxed) {
            // Half to one and a half of the period, so that clients do not march in step.
            let period = u64::try_from(PERIOD.as_micros()).unwrap_or(u64::MAX);
            let next = Instant::now() + Duration::from_micros(period / 2 + self.rng.below(period));
            let started = Instant::now();
            let (row, failed, latency) = match self.exchange() {
                Ok((status, instance)) => {
                    let row = instance.and_then(|name| self.names.iter().position(|n| *n == name));
                    (row.unwrap_or(self.own_row), status >= 500, Some(started.elapsed()))
                }
                Err(_) => (self.own_row, true, None),
            };
            let mut tallies = seen.lock().unwrap_or_else(PoisonError::into_inner);
            tallies[row].count(failed, latency);
            drop(tallies);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn exchange(&mut self) -> io::Result<(u16, Option<String>)> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let service = self.service;
        connection.send(
            format!("GET / HTTP/1.1\r\nhost: {service}\r\nuser-agent: ringway-demo\r\n\r\n")
                .as_bytes(),
        )?;
        let response = connection.response()?;
        if response.persistent {
            self.connection = Some(connection);
        }
        Ok((response.status, response.instance))
    }

    fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&self.proxy, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Connection::new(stream)
    }
}

/// The last few tallies, so that numbers follow what happens now and still stand on enough
/// requests.
pub(super) struct Window {
    ticks: VecDeque<(Duration, Tallies)>,
    rows: usize,
}

/// How many ticks (seconds) the window holds.
const TICKS: usize = 5;

impl Window {
    pub(super) const fn new(rows: usize) -> Self {
        Self { ticks: VecDeque::new(), rows }
    }

    /// Adds what was seen in `span`, and forgets what is too old.
    pub(super) fn push(&mut self, span: Duration, tallies: Tallies) {
        self.ticks.push_back((span, tallies));
        if self.ticks.len() > TICKS {
            self.ticks.pop_front();
        }
    }

    /// The sums over the window, and the time that it covers.
    pub(super) fn sum(&self) -> (Duration, Tallies) {
        let mut total = (Duration::ZERO, tallies(self.rows));
        for (span, part) in &self.ticks {
            total.0 += *span;
            add(&mut total.1, part);
        }
        total
    }
}

/// Adds row by row.
pub(super) fn add(total: &mut Tallies, part: &Tallies) {
    for (sum, tally) in total.iter_mut().zip(part) {
        sum.add(tally);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::super::services::{self, Service, Trouble};
    use super::*;

    /// Waits until the clients have seen so much; the services answer within milliseconds.
    fn first_seen(load: &Load) -> Tallies {
        let mut total = tallies(load.rows);
        while total.iter().all(|tally| tally.requests < 5) {
            thread::sleep(Duration::from_millis(5));
            add(&mut total, &load.take());
        }
        total
    }

    #[test]
    fn answers_are_counted_for_the_instance_that_gave_them() {
        let plan = Service { name: "test", instances: &[Trouble::None, Trouble::Failing(100)] };
        let instances = services::start(&[plan], Instant::now()).unwrap();
        let mut load = Load::start(instances[1].address, &["test"], &instances).unwrap();
        let seen = first_seen(&load);
        load.stop();
        assert_eq!((seen[0].requests, seen[2].requests), (0, 0));
        assert_eq!(seen[1].requests, seen[1].failures);
        assert_eq!(seen[1].latency.len(), seen[1].requests);
        assert!(seen[1].latency.min() >= 990, "1 ms of work within two digits");
    }

    #[test]
    fn no_answer_is_a_failure_of_no_instance() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut load = Load::start(closed, &["test"], &[]).unwrap();
        let seen = first_seen(&load);
        load.stop();
        assert_eq!(seen[0].requests, seen[0].failures);
        assert!(seen[0].latency.is_empty());
    }

    #[test]
    fn the_window_forgets() {
        let mut window = Window::new(1);
        for tick in 0..8 {
            let mut seen = tallies(1);
            seen[0].count(tick < 3, Some(Duration::from_millis(tick)));
            window.push(Duration::from_secs(1), seen);
        }
        let (span, sums) = window.sum();
        assert_eq!(span, Duration::from_secs(5));
        assert_eq!((sums[0].requests, sums[0].failures), (5, 0));
    }
}
