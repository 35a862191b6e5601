//! What the data path needs of the configuration; a reload puts a new one in its place.

use ringway_config::{Config, Http2, Timeouts};
use ringway_core::wire::h1::head::Limits;

use crate::fds;
use crate::pool::Keep;

/// Limits and time-outs in force.
pub(crate) struct Settings {
    pub(crate) timeouts: Timeouts,
    pub(crate) head: Limits,
    pub(crate) keep: Keep,
    pub(crate) http2: Http2,
    /// Client connections of the whole process.
    pub(crate) connections: usize,
}

impl Settings {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            timeouts: config.timeouts.clone(),
            head: Limits {
                head_bytes: config.limits.head_bytes,
                target_bytes: config.limits.target_bytes,
                fields: config.limits.fields,
            },
            keep: Keep {
                connections: config.limits.pool_idle_per_endpoint,
                idle: config.timeouts.idle_upstream,
            },
            http2: config.http2.clone(),
            connections: config.limits.connections.unwrap_or_else(affordable_connections),
        }
    }
}

/// Three quarters of the file descriptors: the rest is for connections to endpoints, so that a
/// flood of clients does not cut those that are served off from their upstreams.
fn affordable_connections() -> usize {
    let limit = fds::limit().map_or(1024, |limit| limit.soft);
    usize::try_from(limit / 4 * 3).unwrap_or(usize::MAX)
}
