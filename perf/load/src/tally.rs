//! What a thread counts while it runs, and the sum over threads.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency that is told apart, in microseconds: one day, as in wrk2.
const LONGEST: u64 = 24 * 3_600 * 1_000_000;

/// How many mismatches are kept to be shown.
const SHOWN: usize = 5;

/// An empty histogram of microseconds with three significant figures.
pub fn histogram() -> Histogram<u64> {
    #[expect(clippy::expect_used, reason = "the bounds are constants that it accepts")]
    Histogram::new_with_bounds(1, LONGEST, 3).expect("constant bounds")
}

/// A latency in nanoseconds as the microseconds that are recorded.
pub fn micros(nanos: u64) -> u64 {
    ((nanos + 500) / 1_000).min(LONGEST)
}

/// Why requests failed, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// Connections that were not established.
    pub connect: u64,
    /// Responses that broke off or were no HTTP, and resets while waiting for one.
    pub read: u64,
    /// Requests that could not be sent.
    pub write: u64,
    /// Responses that did not come within the time limit.
    pub timeout: u64,
    /// Responses with a status other than 2xx and 3xx.
    pub status: u64,
    /// Responses that were not the ones they should be.
    pub verify: u64,
}

impl Errors {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.connect + self.read + self.write + self.timeout + self.status + self.verify
    }
}

/// Counts of one thread, or of all.
#[derive(Clone, Debug)]
pub struct Tally {
    /// From when a request should have been sent to the end of its response, in microseconds;
    /// empty in a closed loop.
    pub corrected: Histogram<u64>,
    /// From when a request was sent, in microseconds.
    pub uncorrected: Histogram<u64>,
    /// Responses within the measured time, of any status.
    pub requests: u64,
    /// Bytes of these responses.
    pub bytes: u64,
    /// Errors, those of the warm-up included.
    pub errors: Errors,
    /// Connections opened after the first ones.
    pub reopened: u64,
    /// Requests a second of one thread, sampled ten times a second.
    pub rates: Vec<u64>,
    /// Requests that were due at the end and not sent.
    pub unsent: u64,
    /// Requests that were sent and had no response at the end.
    pub in_flight: u64,
    /// By how much the oldest of both was late at the end, in microseconds.
    pub oldest: u64,
    /// The first mismatches, in words.
    pub mismatches: Vec<String>,
}

impl Tally {
    /// Nothing yet; room for the samples of a run of `duration`.
    pub fn new(duration: Duration) -> Self {
        let samples = usize::try_from(duration.as_secs()).unwrap_or(0).min(86_400) * 10 + 16;
        Self {
            corrected: histogram(),
            uncorrected: histogram(),
            requests: 0,
            bytes: 0,
            errors: Errors::default(),
            reopened: 0,
            rates: Vec::with_capacity(samples),
            unsent: 0,
            in_flight: 0,
            oldest: 0,
            mismatches: Vec::new(),
        }
    }

    /// Counts a mismatch and keeps the first ones.
    pub fn mismatch(&mut self, text: String) {
        self.errors.verify += 1;
        if self.mismatches.len() < SHOWN {
            self.mismatches.push(text);
        }
    }

    /// Adds what another thread counted.
    pub fn merge(&mut self, other: &Self) {
        // The bounds of all are the same, so adding cannot fail.
        let _ = self.corrected.add(&other.corrected);
        let _ = self.uncorrected.add(&other.uncorrected);
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.reopened += other.reopened;
        self.rates.extend_from_slice(&other.rates);
        self.unsent += other.unsent;
        self.in_flight += other.in_flight;
        self.oldest = self.oldest.max(other.oldest);
        let (mine, more) = (&mut self.errors, &other.errors);
        mine.connect += more.connect;
        mine.read += more.read;
        mine.write += more.write;
        mine.timeout += more.timeout;
        mine.status += more.status;
        mine.verify += more.verify;
        let room = SHOWN.saturating_sub(self.mismatches.len());
        self.mismatches.extend(other.mismatches.iter().take(room).cloned());
    }
}
