//! A worker that only listens to what discovery publishes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use ringway_core::snapshot::Snapshot;
use ringway_discovery::mailbox::{self, Mailbox};
use ringway_discovery::{Handle, Settings, spawn};

pub(crate) struct Worker {
    pub(crate) mailbox: Mailbox,
    pub(crate) handle: Handle,
}

impl Worker {
    /// With the discovery thread of these settings; a snapshot is waited for so long.
    pub(crate) fn start(settings: Settings, patience: Duration) -> Self {
        let (publisher, mailbox) = mailbox::pair().unwrap();
        mailbox.wake.set_nonblocking(false).unwrap();
        mailbox.wake.set_read_timeout(Some(patience)).unwrap();
        Self { mailbox, handle: spawn(settings, vec![publisher]).unwrap() }
    }

    /// The next snapshot.
    pub(crate) fn next(&self) -> Arc<Snapshot> {
        loop {
            if let Some(snapshot) = self.mailbox.take() {
                return snapshot;
            }
            assert!((&self.mailbox.wake).read(&mut [0; 64]).unwrap() > 0, "discovery has ended");
        }
    }
}

/// The addresses of all endpoints.
pub(crate) fn endpoints(snapshot: &Snapshot) -> Vec<String> {
    let all = snapshot.clusters.iter().flat_map(|cluster| &cluster.endpoints);
    all.map(|endpoint| endpoint.address.to_string()).collect()
}
