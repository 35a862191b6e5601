//! The reading end of the metrics: takes in the cells of all workers and groups them by labels.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::histogram::Histogram;
use super::labels::{Labels, Scope, ServiceLabels};
use super::series::SeriesCells;
use super::sums::{State, Sums};
use super::worker::{WorkerCells, WorkerMetrics};

/// Endpoints with series of their own, in the whole process. Each costs some 40 lines of text for
/// each status; beyond it endpoints of a service share `target_addr="other"`.
const MAX_ENDPOINTS: usize = 2000;

/// Services with such a shared series; beyond it they share `dst_service="other"`.
const MAX_SHARED: usize = 500;

/// How long the series of an endpoint that is gone stay (Linkerd's METRICS_RETAIN_IDLE).
const RETAIN: Duration = Duration::from_secs(600);

/// Cells waiting to be taken in at which a worker tries to do it itself, so that they do not pile
/// up when nobody scrapes.
const BACKLOG: usize = 256;

/// All metrics of the process. Clones are cheap and are the same registry.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    workers: Vec<Arc<WorkerCells>>,
    fresh: Sender<Arc<SeriesCells>>,
    to_take: Receiver<Arc<SeriesCells>>,
    /// Taken by who scrapes; a worker only ever tries.
    groups: Mutex<Groups>,
}

impl Registry {
    /// A registry for so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self::with_limits(workers, MAX_ENDPOINTS, MAX_SHARED)
    }

    fn with_limits(workers: usize, endpoints: usize, shared: usize) -> Self {
        let (fresh, to_take) = unbounded();
        let groups =
            Groups { endpoint_limit: endpoints, shared_limit: shared, ..Groups::default() };
        Self(Arc::new(Shared {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            fresh,
            to_take,
            groups: Mutex::new(groups),
        }))
    }

    /// The handle of worker `index`, to be asked for once, on the worker's own thread: its cells
    /// bear a single writer. An index beyond the number of workers counts into cells that are not
    /// shown.
    #[must_use]
    pub fn worker(&self, index: usize) -> WorkerMetrics {
        let cells = self.0.workers.get(index).cloned().unwrap_or_default();
        WorkerMetrics::new(cells, self.clone(), self.0.fresh.clone())
    }

    /// What every endpoint has seen, for the demo's table.
    pub(crate) fn totals(&self) -> Vec<EndpointTotals> {
        let groups = self.collect(Instant::now());
        groups.by_labels.iter().filter_map(|(labels, group)| group.totals(labels)).collect()
    }

    /// The cells of all workers.
    pub(super) fn workers(&self) -> &[Arc<WorkerCells>] {
        &self.0.workers
    }

    /// Takes in what is new, folds what is gone, and gives the groups to read.
    pub(super) fn collect(&self, now: Instant) -> MutexGuard<'_, Groups> {
        let mut groups = self.0.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.take_in(&self.0.to_take, now);
        groups
    }

    /// Takes in what is new when much of it waits, unless somebody is at it.
    pub(super) fn relieve(&self) {
        if self.0.to_take.len() >= BACKLOG
            && let Ok(mut groups) = self.0.groups.try_lock()
        {
            groups.take_in(&self.0.to_take, Instant::now());
        }
    }
}

/// What one endpoint has seen since it is known, summed over workers.
#[derive(Debug, Clone)]
pub struct EndpointTotals {
    /// The service's namespace; `other` when folded.
    pub namespace: Arc<str>,
    /// The service's name; `other` when folded.
    pub service: Arc<str>,
    /// The service's port; 0 when folded.
    pub port: u16,
    /// The endpoint's address; `None` when folded.
    pub target: Option<SocketAddr>,
    /// Answers that count for the success rate.
    pub success: u64,
    /// Answers that count against it.
    pub failure: u64,
    /// Durations of exchanges.
    pub durations: Histogram,
}

/// All series by their labels.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) by_labels: BTreeMap<Labels, Group>,
    /// What endpoints that were dropped gave to their service's histogram.
    pub(super) gone: BTreeMap<ServiceKey, Histogram>,
    /// Cells that were counted as `other`.
    pub(super) folded: u64,
    endpoint_limit: usize,
    shared_limit: usize,
    endpoints: usize,
    shared: usize,
}

/// A service and the direction of its traffic: what the fine histogram is kept by.
pub(super) type ServiceKey = (&'static str, Option<ServiceLabels>);

/// All cells of one label set.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The sums of cells whose writers are gone: what keeps counters from going backwards.
    base: Sums,
    live: Vec<Arc<SeriesCells>>,
    idle_since: Option<Instant>,
}

impl Groups {
    fn take_in(&mut self, to_take: &Receiver<Arc<SeriesCells>>, now: Instant) {
        for cells in to_take.try_iter() {
            let labels = self.admit(&cells.labels);
            let group = self.by_labels.entry(labels).or_default();
            group.live.push(cells);
        }
        for group in self.by_labels.values_mut() {
            group.settle(now);
        }
        self.expire(now);
    }

    /// The labels under which cells are counted: their own while there is room.
    fn admit(&mut self, labels: &Labels) -> Labels {
        if matches!(labels.scope, Scope::Listener { .. }) || self.by_labels.contains_key(labels) {
            return labels.clone();
        }
        if self.endpoints < self.endpoint_limit {
            self.endpoints += 1;
            return labels.clone();
        }
        self.folded += 1;
        let shared = labels.folded(true);
        if self.by_labels.contains_key(&shared) {
            return shared;
        }
        if self.shared < self.shared_limit {
            self.shared += 1;
            return shared;
        }
        labels.folded(false)
    }

    /// Drops the groups of endpoints that are gone for long.
    fn expire(&mut self, now: Instant) {
        let old = |group: &Group| {
            group.idle_since.is_some_and(|since| now.saturating_duration_since(since) >= RETAIN)
        };
        for (labels, group) in self.by_labels.extract_if(.., |_, group| old(group)) {
            if let Some(key) = service_key(&labels) {
                match labels.target() {
                    Some(_) => self.endpoints -= 1,
                    None if key.1.is_some() => self.shared -= 1,
                    None => {}
                }
                self.gone.entry(key).or_default().add(&group.base.durations);
            }
        }
        if !self.gone.is_empty() {
            let known: Vec<_> = self.by_labels.keys().filter_map(service_key).collect();
            // Groups are sorted by direction and service, so the keys are too.
            self.gone.retain(|key, _| known.binary_search(key).is_ok());
        }
    }

    /// The fine histogram of each service.
    pub(super) fn durations(&self) -> BTreeMap<ServiceKey, Histogram> {
        let mut by_service = self.gone.clone();
        for (labels, group) in &self.by_labels {
            if let Some(key) = service_key(labels) {
                by_service.entry(key).or_default().add(&group.sums().durations);
            }
        }
        by_service
    }
}

fn service_key(labels: &Labels) -> Option<ServiceKey> {
    match &labels.scope {
        Scope::Endpoint { service, .. } => Some((labels.direction, service.clone())),
        Scope::Listener { .. } => None,
    }
}

impl Group {
    /// Takes the values of cells whose writers are gone into the base.
    fn settle(&mut self, now: Instant) {
        let base = &mut self.base;
        self.live.retain(|cells| {
            let retired = cells.is_retired();
            if retired {
                base.add(cells);
            }
            !retired
        });
        let idle = self.live.is_empty();
        self.idle_since = idle.then(|| self.idle_since.unwrap_or(now));
    }

    /// The sums now.
    pub(super) fn sums(&self) -> Sums {
        let mut sums = self.base.clone();
        for cells in &self.live {
            sums.add(cells);
        }
        sums
    }

    /// What the balancers believe.
    pub(super) fn state(&self) -> Option<State> {
        State::of(self.live.iter().map(|cells| &**cells))
    }

    fn totals(&self, labels: &Labels) -> Option<EndpointTotals> {
        let Scope::Endpoint { service, target } = &labels.scope else {
            return None;
        };
        let sums = self.sums();
        let (success, failure) = (sums.classified(false), sums.classified(true));
        let service = service.clone().unwrap_or_else(|| ServiceLabels {
            namespace: Arc::from("other"),
            service: Arc::from("other"),
            port: 0,
        });
        Some(EndpointTotals {
            namespace: service.namespace,
            service: service.service,
            port: service.port,
            target: *target,
            success,
            failure,
            durations: sums.durations,
        })
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
