//! One endpoint as a worker knows it, and the key by which it is known.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::policy::load::{Load, Params};
use crate::snapshot::ClusterId;
use crate::time::Duration;

/// Names an endpoint within one worker. Never used for another endpoint later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId {
    key: u32,
    version: NonZeroU32,
}

impl EndpointId {
    pub(super) const fn new(key: u32, version: NonZeroU32) -> Self {
        Self { key, version }
    }

    /// A small number, unique among the endpoints known at the same time: an index for tables
    /// kept beside the world's. Compare whole ids before trusting such an entry.
    #[must_use]
    pub const fn index(self) -> usize {
        self.key as usize
    }
}

/// What a worker knows of an endpoint.
#[derive(Debug)]
pub struct EndpointState {
    pub(super) id: EndpointId,
    pub(super) cluster: ClusterId,
    pub(super) address: SocketAddr,
    pub(super) name: Arc<str>,
    pub(super) weight: u32,
    pub(super) meshed: bool,
    pub(super) load: Load,
    pub(super) params: Params,
    pub(super) removed: bool,
}

impl EndpointState {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> EndpointId {
        self.id
    }

    /// The cluster it belongs to.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its name for people; may be empty.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same, shared with the snapshot.
    #[must_use]
    pub const fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its share of traffic relative to its siblings.
    #[must_use]
    pub const fn weight(&self) -> u32 {
        self.weight
    }

    /// Whether a ringway stands before it.
    #[must_use]
    pub const fn is_meshed(&self) -> bool {
        self.meshed
    }

    /// Requests under way.
    #[must_use]
    pub const fn outstanding(&self) -> u32 {
        self.load.outstanding()
    }

    /// The latency estimate; `None` before the first response.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.load.latency()
    }

    /// Whether no snapshot names it any more: its last requests are ending.
    #[must_use]
    pub const fn is_removed(&self) -> bool {
        self.removed
    }
}
