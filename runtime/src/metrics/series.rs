//! What one worker counts about one endpoint or one listener, and the handles it counts with.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ringway_core::message::Cause;
use ringway_core::record::Classification;

use super::cell::Cell;
use super::histogram::{FineCells, LATENCY_BUCKETS, latency_bucket, millis};
use super::labels::{Labels, ResponseKey};
use super::listener::{Decision, ListenerCells};

/// Distinct outcomes kept for one series of one worker. An upstream that invents status codes
/// gets no more; its further ones are counted by class (`status_code="5xx"`).
const MAX_OUTCOMES: usize = 64;

/// How an exchange or an attempt ended.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// The status given; `None` when there was none.
    pub status: Option<u16>,
    /// The gRPC status given, if it was one.
    pub grpc: Option<u8>,
    /// Success or failure.
    pub classification: Classification,
    /// Why it failed, if the proxy knows.
    pub error: Option<Cause>,
    /// To the first byte of the response.
    pub latency: Option<Duration>,
    /// To the end.
    pub total: Duration,
}

/// Marks tags of whole classes.
const FOLDED: u32 = 1 << 31;

impl Outcome {
    /// Status, classification and cause in one number, so that finding the cells of an outcome
    /// compares one word each.
    fn tag(&self) -> u32 {
        let cause = self.error.map_or(0, |cause| cause as u32 + 1);
        let failure = u32::from(self.classification == Classification::Failure);
        // Known codes end at 16; what endpoints invent is one more.
        let grpc = self.grpc.map_or(0, |grpc| u32::from(grpc.min(17)) + 1);
        u32::from(self.status.unwrap_or(0)) | failure << 16 | cause << 17 | grpc << 24
    }
}

/// All cells of one series of one worker. Aligned to two cache lines, which is what the
/// prefetcher pulls, so that no two workers write to neighbours.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct SeriesCells {
    pub(super) labels: Labels,
    pub(super) requests: Cell,
    pub(super) tcp: TcpCells,
    pub(super) state: StateCells,
    pub(super) listener: Option<Box<ListenerCells>>,
    pub(super) durations: FineCells,
    pub(super) outcomes: OnceLock<Arc<OutcomeCells>>,
    /// The worker lets go of it: the values are final.
    retired: AtomicBool,
}

/// The cells of one outcome: a link of an append-only list, which readers walk without a lock.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct OutcomeCells {
    pub(super) key: ResponseKey,
    pub(super) count: Cell,
    pub(super) latency: [Cell; LATENCY_BUCKETS],
    pub(super) latency_millis: Cell,
    pub(super) next: OnceLock<Arc<Self>>,
}

/// Kinds of connection ends told apart by `tcp_close_total{errno}`.
pub(super) const ERRNOS: [&str; 5] = ["", "ECONNRESET", "EPIPE", "ETIMEDOUT", "OTHER"];

/// Bytes and connections of one side.
#[derive(Debug, Default)]
pub(super) struct TcpCells {
    pub(super) opened: Cell,
    pub(super) read: Cell,
    pub(super) written: Cell,
    pub(super) closed: [Cell; ERRNOS.len()],
}

/// What the worker's balancer believes of an endpoint.
#[derive(Debug, Default)]
pub(super) struct StateCells {
    pub(super) known: Cell,
    pub(super) weight: Cell,
    pub(super) outstanding: Cell,
    /// Nanoseconds; 0 is "not measured".
    pub(super) latency: Cell,
}

impl SeriesCells {
    pub(super) fn new(labels: Labels) -> Self {
        Self {
            listener: ListenerCells::of(&labels),
            labels,
            requests: Cell::default(),
            tcp: TcpCells::default(),
            state: StateCells::default(),
            durations: FineCells::default(),
            outcomes: OnceLock::new(),
            retired: AtomicBool::new(false),
        }
    }

    /// Whether the values are final.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// All outcomes seen so far.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = &Arc<OutcomeCells>> {
        std::iter::successors(self.outcomes.get(), |node| node.next.get())
    }
}

impl OutcomeCells {
    fn new(key: ResponseKey) -> Self {
        Self {
            key,
            count: Cell::default(),
            latency: std::array::from_fn(|_| Cell::default()),
            latency_millis: Cell::default(),
            next: OnceLock::new(),
        }
    }
}

/// The writing end of a series: stays on its worker, clones share the cells. When the last clone
/// goes, the registry keeps the sums and lets the cells go.
#[derive(Debug, Clone)]
pub struct Series(Rc<Writer>);

#[derive(Debug)]
struct Writer {
    cells: Arc<SeriesCells>,
    /// What [`Outcome::tag`] gives for each, beside its cells.
    known: RefCell<Vec<(u32, Arc<OutcomeCells>)>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.cells.retired.store(true, Ordering::Release);
    }
}

impl Series {
    pub(super) fn new(cells: Arc<SeriesCells>) -> Self {
        Self(Rc::new(Writer { cells, known: RefCell::default() }))
    }

    /// The address of the endpoint; `None` for a listener's series.
    pub(crate) fn target(&self) -> Option<SocketAddr> {
        self.0.cells.labels.target()
    }

    /// A request goes to this endpoint, or is answered by this listener.
    pub fn request(&self) {
        self.0.cells.requests.add(1);
    }

    /// It ended. Allocates for an outcome not seen before, else not. Says whether the outcome had
    /// to be folded into its status class.
    pub(super) fn response(&self, outcome: &Outcome) -> bool {
        let mut known = self.0.known.borrow_mut();
        let mut tag = outcome.tag();
        let mut found = known.iter().position(|(t, _)| *t == tag);
        let folded = found.is_none() && known.len() >= MAX_OUTCOMES;
        if folded {
            tag = FOLDED | u32::from(outcome.status.unwrap_or(0) / 100);
            tag |= u32::from(outcome.classification == Classification::Failure) << 16;
            found = known.iter().position(|(t, _)| *t == tag);
        }
        let at = found.unwrap_or_else(|| {
            let key = ResponseKey::of(outcome);
            self.append(&mut known, tag, if folded { key.folded() } else { key })
        });
        let (_, node) = &known[at];
        node.count.add(1);
        if let Some(latency) = outcome.latency {
            let millis = millis(latency);
            node.latency[latency_bucket(millis)].add(1);
            node.latency_millis.add(millis);
        }
        self.0.cells.durations.record(outcome.total);
        folded
    }

    fn append(
        &self,
        known: &mut Vec<(u32, Arc<OutcomeCells>)>,
        tag: u32,
        key: ResponseKey,
    ) -> usize {
        let node = Arc::new(OutcomeCells::new(key));
        let end = known.last().map_or(&self.0.cells.outcomes, |(_, last)| &last.next);
        // The single writer is the only one to append, so the end is always vacant.
        let _ = end.set(Arc::clone(&node));
        known.push((tag, node));
        known.len() - 1
    }

    /// What the balancer believes: relative weight, requests under way, measured latency.
    pub(crate) fn state(&self, weight: u32, outstanding: u32, latency: Option<Duration>) {
        let state = &self.0.cells.state;
        state.weight.set(u64::from(weight));
        state.outstanding.set(u64::from(outstanding));
        let nanos = latency.map_or(0, |l| u64::try_from(l.as_nanos()).unwrap_or(u64::MAX).max(1));
        state.latency.set(nanos);
        state.known.set(1);
    }

    /// A connection was opened: by the client at a listener, by us to an endpoint.
    pub(crate) fn opened(&self) {
        self.0.cells.tcp.opened.add(1);
    }

    /// A connection was closed, by an error or in good order.
    pub(crate) fn closed(&self, error: Option<&io::Error>) {
        let kind = match error.map(io::Error::kind) {
            None => 0,
            Some(io::ErrorKind::ConnectionReset) => 1,
            Some(io::ErrorKind::BrokenPipe) => 2,
            Some(io::ErrorKind::TimedOut) => 3,
            Some(_) => 4,
        };
        self.0.cells.tcp.closed[kind].add(1);
    }

    /// A listener's connection was taken for something.
    pub(crate) fn decided(&self, decision: Decision) {
        if let Some(cells) = &self.0.cells.listener {
            cells.decided(decision);
        }
    }

    /// A listener's opaque connection was cut.
    pub(crate) fn cut(&self, cause: Cause) {
        if let Some(cells) = &self.0.cells.listener {
            cells.cut(cause);
        }
    }

    /// Bytes were read from a connection.
    pub fn read(&self, bytes: usize) {
        self.0.cells.tcp.read.add(bytes as u64);
    }

    /// Bytes were written to a connection.
    pub fn wrote(&self, bytes: usize) {
        self.0.cells.tcp.written.add(bytes as u64);
    }
}

/// What identifies an endpoint's series. None of it comes from a client.
#[derive(Debug, Clone, Copy)]
pub struct EndpointLabels<'a> {
    /// `outbound` or `inbound`.
    pub direction: &'static str,
    /// The service's namespace.
    pub namespace: &'a str,
    /// The service's name.
    pub service: &'a str,
    /// The service's port.
    pub port: u16,
    /// The endpoint's address.
    pub target: SocketAddr,
}

/// What identifies a listener's series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListenerLabels<'a> {
    /// `outbound` or `inbound`.
    pub(crate) direction: &'static str,
    /// Its name in the configuration.
    pub(crate) listener: &'a str,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}
