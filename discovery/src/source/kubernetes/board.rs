//! How each watch is doing: written by the watches, read by whoever shows it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::failure::Failure;
use super::known::Known;
use super::target::{self, Target, TargetKey};
use crate::event::SourceId;
use crate::object::Kind;
use crate::status::{Status, WatchState, WatchStatus};

/// How all watches are doing. Clones show the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    watches: BTreeMap<Key, Entry>,
    /// Why it is not known which kinds there are.
    discovery: Option<String>,
    failures: u64,
}

/// Kind and scope.
type Key = (&'static str, String);

#[derive(Debug)]
struct Entry {
    status: WatchStatus,
    heard: Option<Instant>,
}

impl Board {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        *self.entries() = Entries::default();
    }

    /// A place for a watch that begins.
    pub(crate) fn post(&self, target: &Target) -> Post {
        let key = (target.resource.kind.as_str(), target.scope());
        let status = WatchStatus::new(key.0, key.1.clone());
        self.entries().watches.insert(key.clone(), Entry { status, heard: None });
        Post { board: self.clone(), key }
    }

    /// Takes the place of a watch that has ended away.
    pub(crate) fn remove(&self, key: &TargetKey) {
        self.entries().watches.remove(&(key.0.as_str(), target::scope(key)));
    }

    /// Whether the API server is there and says what Services there are.
    pub(crate) fn is_well(&self) -> bool {
        let entries = self.entries();
        let services = entries.watches.iter().filter(|(key, _)| key.0 == Kind::Service.as_str());
        let failing = |entry: &Entry| entry.status.last_error.is_some();
        entries.discovery.is_none() && !services.map(|(_, entry)| entry).any(failing)
    }

    /// Whether the kinds that there are could be asked for.
    pub(crate) fn discovered(&self, failure: Option<&Failure>) {
        let mut entries = self.entries();
        entries.failures += u64::from(failure.is_some());
        entries.discovery = failure.map(|failure| format!("kinds of the API server: {failure}"));
    }

    /// Puts what is known into `status`.
    pub(crate) fn fill(&self, status: &mut Status) {
        let entries = self.entries();
        status.watches = entries
            .watches
            .values()
            .map(|entry| WatchStatus {
                age: entry.heard.map(|heard| heard.elapsed()),
                ..entry.status.clone()
            })
            .collect();
        let name = SourceId::Kubernetes.as_str();
        if let Some(source) = status.sources.iter_mut().find(|source| source.name == name) {
            source.errors = entries.discovery.iter().cloned().collect();
            for WatchStatus { kind, scope, last_error, faults, .. } in &status.watches {
                let line = |error| format!("{kind} in {scope}: {error}");
                source.errors.extend(last_error.iter().map(line));
                source.errors.extend(faults.iter().cloned());
            }
            source.last_error = source.errors.first().cloned();
            source.failures = entries.failures;
        }
    }
}

/// Where one watch says how it is doing.
#[derive(Debug)]
pub(crate) struct Post {
    board: Board,
    key: Key,
}

impl Post {
    fn change(&self, change: impl FnOnce(&mut WatchStatus)) {
        let mut entries = self.board.entries();
        if let Some(entry) = entries.watches.get_mut(&self.key) {
            change(&mut entry.status);
            entry.heard = Some(Instant::now());
        }
    }

    /// A list has ended.
    pub(crate) fn listed(&self, version: &str, known: &Known, streamed: bool) {
        self.change(|status| {
            status.state = WatchState::Watching;
            status.lists += 1;
            status.streamed = streamed;
            status.last_error = None;
            status.set(version, known.len(), known.faults());
        });
    }

    /// Something has been heard: a change or that there is none.
    pub(crate) fn heard(&self, version: &str, known: &Known) {
        self.change(|status| {
            status.last_error = None;
            status.set(version, known.len(), known.faults());
        });
    }

    /// The API server does not know the kind.
    pub(crate) fn absent(&self) {
        self.change(|status| {
            status.state = WatchState::Absent;
            status.last_error = None;
            status.set("", 0, Vec::new());
        });
    }

    /// A request, or the watch, has failed.
    pub(crate) fn failed(&self, failure: &Failure) {
        let mut entries = self.board.entries();
        entries.failures += 1;
        if let Some(Entry { status, .. }) = entries.watches.get_mut(&self.key) {
            status.failures += 1;
            status.last_error = Some(failure.to_string());
        }
    }
}
