//! The writing end of the metrics: what one worker counts.

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use crossbeam_channel::Sender;

use super::cell::Cell;
use super::labels::Labels;
use super::registry::Registry;
use super::series::{EndpointLabels, ListenerLabels, Outcome, Series, SeriesCells};

/// Things that a worker counts, by worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Counter {
    /// A connection was accepted.
    Accepted,
    /// A connection was handed to a less loaded worker.
    HandedOff,
    /// Accepting was paused because no file descriptor was left.
    AcceptPaused,
    /// An attempt went out on a pooled connection.
    PoolHit,
    /// No pooled connection was there.
    PoolMiss,
    /// A pooled connection was found dead.
    PoolStale,
    /// An attempt after the first.
    Retries,
    /// A panic was caught at a connection's boundary.
    Panics,
    /// A snapshot was adopted.
    SnapshotsAdopted,
    /// Access log lines were dropped because the writer was behind.
    AccessLogDropped,
    /// A series or an outcome beyond the limit was counted as `other` or by its class.
    SeriesFolded,
    /// A request was copied to a mirror.
    Mirrored,
    /// An HTTP/2 connection was closed because its peer broke the protocol.
    ProtocolErrors,
    // And because it flooded the connection: with header blocks or lists,
    FloodHeaders,
    // with empty or tiny DATA frames,
    FloodData,
    // with frames of these kinds,
    FloodPriority,
    FloodReset,
    FloodSettings,
    FloodPing,
    FloodWindowUpdate,
    FloodOther,
    // with responses that it leaves no room for,
    FloodStall,
    // or with requests that are malformed or refused (MadeYouReset).
    FloodStreamErrors,
}

impl Counter {
    pub(super) const COUNT: usize = Self::FloodStreamErrors as usize + 1;
}

/// Things of which a worker has some, by worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Gauge {
    /// Client connections now.
    Connections,
    /// Exchanges under way.
    Exchanges,
    /// Idle pooled connections to endpoints.
    PoolIdle,
    /// The generation of the adopted snapshot.
    SnapshotGeneration,
    /// Bytes held in free buffers.
    BufferBytes,
    /// Nanoseconds of the longest turn of an adoption so far.
    LongestAdoption,
}

impl Gauge {
    pub(super) const COUNT: usize = Self::LongestAdoption as usize + 1;
}

/// The event driver that a worker came up with.
#[derive(Debug, Clone)]
pub(crate) struct Driver {
    /// `io_uring` or `epoll`.
    pub(crate) name: &'static str,
    /// The ring's set-up flags, or why there is no ring.
    pub(crate) flags: String,
}

/// The cells of one worker.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct WorkerCells {
    pub(super) counters: [Cell; Counter::COUNT],
    pub(super) gauges: [Cell; Gauge::COUNT],
    pub(super) driver: OnceLock<Driver>,
    pub(super) thread: OnceLock<u32>,
}

/// One worker's handle to count with. Made on the worker's thread and kept there; clones are
/// cheap and share the cells.
#[derive(Debug, Clone)]
pub struct WorkerMetrics {
    cells: Arc<WorkerCells>,
    registry: Registry,
    fresh: Sender<Arc<SeriesCells>>,
    /// Not `Send`: the cells bear one writer.
    here: PhantomData<*const ()>,
}

impl WorkerMetrics {
    pub(super) fn new(
        cells: Arc<WorkerCells>,
        registry: Registry,
        fresh: Sender<Arc<SeriesCells>>,
    ) -> Self {
        if let Some(thread) = super::process::current_thread() {
            let _ = cells.thread.set(thread);
        }
        Self { cells, registry, fresh, here: PhantomData }
    }

    /// Counts one.
    pub(crate) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts `n`.
    pub(crate) fn add(&self, counter: Counter, n: u64) {
        self.cells.counters[counter as usize].add(n);
    }

    /// States how many there are now.
    pub(crate) fn set(&self, gauge: Gauge, value: u64) {
        self.cells.gauges[gauge as usize].set(value);
    }

    /// States how many there are now, if there have never been so many.
    pub(crate) fn set_longest(&self, gauge: Gauge, value: u64) {
        let cell = &self.cells.gauges[gauge as usize];
        if value > cell.get() {
            cell.set(value);
        }
    }

    /// Says which driver this worker runs on; the first word counts.
    pub(crate) fn driver(&self, driver: Driver) {
        let _ = self.cells.driver.set(driver);
    }

    /// A new series for an endpoint. Allocates: keep it as long as the endpoint is known.
    #[must_use]
    pub fn endpoint(&self, labels: &EndpointLabels<'_>) -> Series {
        self.series(Labels::endpoint(labels))
    }

    /// A new series for a listener. Allocates: keep it as long as the listener.
    pub(crate) fn listener(&self, labels: &ListenerLabels<'_>) -> Series {
        self.series(Labels::listener(labels))
    }

    /// An exchange or attempt on `series` ended.
    pub fn response(&self, series: &Series, outcome: &Outcome) {
        if series.response(outcome) {
            self.count(Counter::SeriesFolded);
        }
    }

    fn series(&self, labels: Labels) -> Series {
        let cells = Arc::new(SeriesCells::new(labels));
        // Fails only when the registry is gone, and then nobody reads.
        let _ = self.fresh.send(Arc::clone(&cells));
        self.registry.relieve();
        Series::new(cells)
    }
}
