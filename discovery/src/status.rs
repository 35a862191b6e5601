//! How discovery is doing, for the admin server and `check`.

use serde::Serialize;

/// How discovery is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Status {
    /// Generation of the last published snapshot; 0 is none yet.
    pub generation: u64,
    /// The sources in use.
    pub sources: Vec<SourceStatus>,
}

/// How one source is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceStatus {
    /// `services`, `manifests` or `dns`.
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
}
