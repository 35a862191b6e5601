//! The cells of one label set, summed: over workers, and over cells whose writers are gone.

use std::collections::BTreeMap;

use super::histogram::{Histogram, LATENCY_BUCKETS};
use super::labels::ResponseKey;
use super::listener::ListenerSums;
use super::series::{ERRNOS, SeriesCells};

/// Everything that counts up.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    pub(super) requests: u64,
    pub(super) responses: BTreeMap<ResponseKey, u64>,
    /// By status alone, as Linkerd labels it.
    pub(super) latency: BTreeMap<Option<u16>, LatencySum>,
    pub(super) durations: Histogram,
    pub(super) opened: u64,
    pub(super) closed: [u64; ERRNOS.len()],
    pub(super) read: u64,
    pub(super) written: u64,
    pub(super) listener: ListenerSums,
}

/// `response_latency_ms` of one status.
#[derive(Debug, Clone, Default)]
pub(super) struct LatencySum {
    pub(super) buckets: [u64; LATENCY_BUCKETS],
    pub(super) millis: u64,
}

impl Sums {
    /// Adds what one worker counted.
    pub(super) fn add(&mut self, cells: &SeriesCells) {
        // Outcomes are read before requests: a response seen has its request seen.
        for node in cells.outcomes() {
            *self.responses.entry(node.key).or_default() += node.count.get();
            let latency = self.latency.entry(node.key.status).or_default();
            for (sum, cell) in latency.buckets.iter_mut().zip(&node.latency) {
                *sum += cell.get();
            }
            latency.millis = latency.millis.wrapping_add(node.latency_millis.get());
        }
        self.durations.add_cells(&cells.durations);
        self.requests += cells.requests.get();
        for (sum, cell) in self.closed.iter_mut().zip(&cells.tcp.closed) {
            *sum += cell.get();
        }
        self.opened += cells.tcp.opened.get();
        self.read += cells.tcp.read.get();
        self.written += cells.tcp.written.get();
        if let Some(cells) = &cells.listener {
            self.listener.add(cells);
        }
    }

    /// Connections open now.
    pub(super) fn open(&self) -> u64 {
        self.opened.saturating_sub(self.closed.iter().sum())
    }

    /// Responses counted for (or against) the success rate.
    pub(super) fn classified(&self, failure: bool) -> u64 {
        self.responses.iter().filter(|(key, _)| key.failure == failure).map(|(_, n)| n).sum()
    }
}

/// The balancers' belief about an endpoint, over the workers that know it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct State {
    pub(super) weight: u64,
    pub(super) outstanding: u64,
    /// Mean of the workers that have measured it, in seconds.
    pub(super) latency: Option<f64>,
}

impl State {
    /// `None` when no worker has published any.
    pub(super) fn of<'a>(live: impl Iterator<Item = &'a SeriesCells>) -> Option<Self> {
        let mut state = None;
        let (mut measured, mut nanos) = (0u32, 0.0);
        for cells in live.filter(|cells| cells.state.known.get() != 0) {
            let state: &mut Self = state.get_or_insert_default();
            state.weight = state.weight.max(cells.state.weight.get());
            state.outstanding += cells.state.outstanding.get();
            let latency = cells.state.latency.get();
            if latency > 0 {
                measured += 1;
                nanos += latency as f64;
            }
        }
        let mut state = state?;
        state.latency = (measured > 0).then(|| nanos / f64::from(measured) / 1e9);
        Some(state)
    }
}
