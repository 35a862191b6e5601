//! How discovery is doing, for the admin server and `check`.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::demand::Lookups;

/// How discovery is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Status {
    /// Generation of the last published snapshot; 0 is none yet.
    pub generation: u64,
    /// The sources in use.
    pub sources: Vec<SourceStatus>,
    /// The watches of the Kubernetes API server, by kind and scope.
    pub watches: Vec<WatchStatus>,
    /// What became of lookups, where services are looked up on demand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookups: Option<Lookups>,
}

/// How one source is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceStatus {
    /// `services`, `manifests`, `kubernetes` or `dns`.
    pub name: &'static str,
    /// Whether it has shown its whole picture once; nothing is published before.
    pub complete: bool,
    /// Objects known by it.
    pub objects: usize,
    /// What is wrong now, one line; `None` when nothing is.
    pub last_error: Option<String>,
    /// All that is wrong now, one line each.
    pub errors: Vec<String>,
    /// How often something was wrong since the start.
    pub failures: u64,
    /// What objects ask for that is accepted and not done by this version, one line each.
    pub notes: Vec<String>,
}

/// How one watch of the Kubernetes API server is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WatchStatus {
    /// The kind of its objects.
    pub kind: &'static str,
    /// The namespace, or `all namespaces`.
    pub scope: String,
    /// Whether it has shown its whole picture.
    pub state: WatchState,
    /// The `resourceVersion` up to which everything is known; empty when nothing is.
    pub resource_version: String,
    /// Since the API server was last heard of by it, in seconds; `None` when it never was.
    #[serde(rename = "age_seconds", serialize_with = "seconds")]
    pub age: Option<Duration>,
    /// Objects known by it.
    pub objects: usize,
    /// Whether its last list came as a stream.
    pub streamed: bool,
    /// How often it has read everything.
    pub lists: u64,
    /// How often a request of it, or the watch, has failed.
    pub failures: u64,
    /// What is wrong with the watch now.
    pub last_error: Option<String>,
    /// Objects that are not right, one line each. Their last good state stays in use.
    pub faults: Vec<String>,
}

/// How far a watch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchState {
    /// Its first list has not been read.
    Waiting,
    /// It knows its objects. While `last_error` says something, they are as they were before.
    Watching,
    /// The API server does not have the kind; it is looked for again every 30 s.
    Absent,
}

impl WatchStatus {
    /// A watch that has not begun.
    pub(crate) const fn new(kind: &'static str, scope: String) -> Self {
        Self {
            kind,
            scope,
            state: WatchState::Waiting,
            resource_version: String::new(),
            age: None,
            objects: 0,
            streamed: false,
            lists: 0,
            failures: 0,
            last_error: None,
            faults: Vec::new(),
        }
    }

    /// What is known now.
    pub(crate) fn set(&mut self, version: &str, objects: usize, faults: Vec<String>) {
        version.clone_into(&mut self.resource_version);
        self.objects = objects;
        self.faults = faults;
    }
}

fn seconds<S: Serializer>(age: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    age.map(|age| age.as_secs_f64()).serialize(serializer)
}
