//! The admin server: liveness, readiness, metrics, and what the proxy believes. Plain blocking
//! threads beside the workers, so that it answers even when a worker does not.

mod pages;
mod server;

pub(crate) use server::{Admin, start};

/// What the admin pages show; answered on an admin thread, which may wait.
pub(crate) trait State: Send + Sync {
    /// Every worker has adopted its first snapshot, and the process is not draining.
    fn ready(&self) -> bool;
    /// The configuration in force, as JSON.
    fn config_json(&self) -> String;
    /// What each worker believes about each endpoint, as JSON.
    fn endpoints_json(&self) -> String;
    /// What discovery knows and how its sources are doing, as JSON.
    fn discovery_json(&self) -> String;
    /// The metrics in Prometheus' text format.
    fn metrics_text(&self) -> String;
    /// The level of the program's own log, if it can be read.
    fn log_level(&self) -> Option<String> {
        None
    }
    /// Changes it.
    ///
    /// # Errors
    /// Why `level` is not a level.
    fn set_log_level(&self, level: &str) -> Result<(), String> {
        let _ = level;
        Err(String::from("the log level cannot be changed here"))
    }
}
