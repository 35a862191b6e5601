//! A whole run: threads, their common start, lines while it runs, the sum at the end.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::drive::{Driver, Live, Orders};
use crate::h2;
use crate::http1::Http1;
use crate::plan::Plan;
use crate::request::Book;
use crate::tally::{Tally, histogram};
use crate::unit;

/// What a run consists of.
#[derive(Clone, Debug)]
pub struct Run {
    /// Where to connect to.
    pub address: SocketAddr,
    /// Threads.
    pub threads: u64,
    /// Connections of all threads: at least as many as threads.
    pub connections: u64,
    /// How long to measure.
    pub duration: Duration,
    /// How long before that load is made without measuring.
    pub warmup: Duration,
    /// How long a response may take.
    pub timeout: Duration,
    /// Requests a second of all threads; without it, a closed loop.
    pub rate: Option<u64>,
    /// Streams at once on each connection, in HTTP/2; without it, HTTP/1.1.
    pub streams: Option<u64>,
    /// Whether requests are calls of gRPC.
    pub grpc: bool,
    /// Whether responses are verified.
    pub verify: bool,
    /// Requests after which a connection ends.
    pub per_connection: Option<u64>,
    /// How coarse the timers of an open loop are; zero for as fine as can be.
    pub tick: Duration,
    /// How often to print a line on standard error.
    pub interval: Option<Duration>,
    /// What is sent.
    pub book: Book,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// All counts.
    pub tally: Tally,
    /// How long was measured.
    pub took: Duration,
    /// Processor time of this process while it was measured, user and system.
    pub cpu: Duration,
}

/// The loop of a thread.
enum Loop<'a> {
    One(Box<Driver<'a, Http1>>),
    Many(Box<h2::drive::Driver<'a>>),
}

impl Loop<'_> {
    fn run(self, origin: Instant, stop: &AtomicBool) -> io::Result<Tally> {
        match self {
            Self::One(driver) => driver.run(origin, stop),
            Self::Many(driver) => driver.run(origin, stop),
        }
    }
}

impl Run {
    /// Runs it, and ends early when `stop` is set.
    pub fn go(&self, stop: &AtomicBool) -> io::Result<Outcome> {
        let origin = OnceLock::new();
        let threads = usize::try_from(self.threads).unwrap_or(1);
        let barrier = Barrier::new(threads + 1);
        let live = self.interval.map(|_| Mutex::new(histogram()));
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads)
                .map(|number| {
                    let (origin, barrier, live) = (&origin, &barrier, live.as_ref());
                    scope.spawn(move || self.thread(number, origin, barrier, live, stop))
                })
                .collect();
            barrier.wait();
            let start = *origin.get_or_init(Instant::now);
            barrier.wait();
            let mut tally = Tally::new(Duration::ZERO);
            let (took, cpu) = self.watch(start, live.as_ref(), stop);
            for worker in workers {
                let done = worker.join().map_err(|_| io::Error::other("a thread panicked"))?;
                tally.merge(&done?);
            }
            Ok(Outcome { tally, took, cpu })
        })
    }

    fn thread(
        &self,
        number: u64,
        origin: &OnceLock<Instant>,
        barrier: &Barrier,
        live: Option<&Live>,
        stop: &AtomicBool,
    ) -> io::Result<Tally> {
        let driver = self.driver(number, live);
        // Whether it is ready or has failed: nobody may wait for it forever.
        barrier.wait();
        barrier.wait();
        driver?.run(*origin.get_or_init(Instant::now), stop)
    }

    fn driver<'a>(&self, number: u64, live: Option<&'a Live>) -> io::Result<Loop<'a>> {
        // The first threads take what does not divide evenly.
        let more = u64::from(number < self.connections % self.threads);
        let connections = self.connections / self.threads + more;
        let orders = Orders {
            address: self.address,
            thread: number,
            connections: usize::try_from(connections).unwrap_or(1),
            from: nanos(self.warmup),
            to: nanos(self.warmup + self.duration),
            timeout: nanos(self.timeout),
            verify: self.verify,
            per_connection: self.per_connection,
            tick: nanos(self.tick),
        };
        let asking = connections * self.streams.unwrap_or(1);
        let plan = self.rate.map(|rate| Plan::new(rate, number, self.threads, asking));
        let book = self.book.for_thread(number);
        let Some(streams) = self.streams else {
            let mut driver = Driver::new(orders, book, plan, live)?;
            driver.open()?;
            return Ok(Loop::One(Box::new(driver)));
        };
        let kind = (usize::try_from(streams).unwrap_or(1), self.grpc);
        let mut driver = h2::drive::Driver::new(orders, kind, book, plan, live)?;
        driver.open()?;
        Ok(Loop::Many(Box::new(driver)))
    }

    /// Sleeps through the run, prints a line now and then, and reads the processor time at the
    /// beginning and at the end of the measured part.
    fn watch(
        &self,
        start: Instant,
        live: Option<&Live>,
        stop: &AtomicBool,
    ) -> (Duration, Duration) {
        let (from, to) = (start + self.warmup, start + self.warmup + self.duration);
        sleep_until(from, stop);
        let before = processor_time();
        let step = self.interval.unwrap_or(self.duration);
        let mut line = from;
        while Instant::now() < to && !stop.load(Ordering::Relaxed) {
            let began = line;
            line = (line + step).min(to);
            sleep_until(line, stop);
            if let Some(live) = live {
                print_line(line - from, line - began, live);
            }
        }
        let took = Instant::now().min(to).saturating_duration_since(from);
        (took, processor_time().saturating_sub(before))
    }
}

/// Sleeps in short pieces, because a signal that ends the run only sets `stop`.
fn sleep_until(when: Instant, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let left = when.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(Duration::from_millis(100)));
    }
}

fn print_line(at: Duration, over: Duration, live: &Live) {
    let Ok(mut latencies) = live.lock() else { return };
    let rate = latencies.len() as f64 / over.as_secs_f64().max(1e-9);
    let p99 = unit::micros(latencies.value_at_percentile(99.0) as f64);
    eprintln!("{:6.0}s {rate:10.0} requests/s  p99 {p99}", at.as_secs_f64());
    latencies.reset();
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
