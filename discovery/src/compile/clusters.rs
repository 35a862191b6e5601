//! The clusters that rules refer to: each has one id for as long as any rule does, and is made
//! anew only when something it is made of has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use ringway_core::snapshot::{
    Balancer, Cluster, ClusterId, ClusterKey, Clusters, Endpoint, HttpProtocol,
};

use super::endpoints::endpoints;
use super::protocol::http_protocol;
use crate::index::Index;
use crate::object::NamespacedName;
use crate::settings::Settings;

/// What a cluster is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Origin {
    /// A service's port.
    Port(NamespacedName),
    /// One pod of a headless service, by its host name.
    Pod(NamespacedName, Arc<str>),
    /// The local application behind an inbound listener.
    Target(SocketAddr),
}

/// All clusters that rules refer to.
#[derive(Debug, Default)]
pub(super) struct ClusterTable {
    all: Clusters,
    by_key: BTreeMap<ClusterKey, Entry>,
    slots: Vec<Slot>,
    free: BTreeSet<u32>,
    /// Those to be made anew.
    dirty: BTreeSet<ClusterKey>,
    /// Slots of those that may have lost their last rule.
    idle: BTreeSet<u32>,
}

#[derive(Debug)]
struct Entry {
    id: ClusterId,
    origin: Origin,
}

#[derive(Debug)]
struct Slot {
    version: NonZeroU32,
    key: ClusterKey,
    /// How many services and listeners have rules that refer to it.
    uses: usize,
}

impl ClusterTable {
    /// The id of a cluster; new if nothing refers to it yet.
    pub(super) fn id(&mut self, key: &ClusterKey, origin: Origin) -> ClusterId {
        if let Some(known) = self.by_key.get_mut(key) {
            if known.origin != origin {
                known.origin = origin;
                self.dirty.insert(key.clone());
            }
            return known.id;
        }
        let id = self.claim(key);
        self.by_key.insert(key.clone(), Entry { id, origin });
        self.dirty.insert(key.clone());
        self.idle.insert(id.slot() as u32);
        id
    }

    /// A free slot, or one more.
    fn claim(&mut self, key: &ClusterKey) -> ClusterId {
        let Some(number) = self.free.pop_first() else {
            let number = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
            self.slots.push(Slot { version: NonZeroU32::MIN, key: key.clone(), uses: 0 });
            return ClusterId::nth(number);
        };
        let slot = &mut self.slots[number as usize];
        slot.version = slot.version.checked_add(1).unwrap_or(NonZeroU32::MIN);
        slot.key = key.clone();
        ClusterId::new(number, slot.version)
    }

    /// One more owner of rules refers to these.
    pub(super) fn hold(&mut self, ids: &[ClusterId]) {
        for id in ids {
            self.slots[id.slot()].uses += 1;
        }
    }

    /// One less does.
    pub(super) fn release(&mut self, ids: &[ClusterId]) {
        for id in ids {
            self.slots[id.slot()].uses -= 1;
            self.idle.insert(id.slot() as u32);
        }
    }

    /// Something about a service has changed.
    pub(super) fn touch(&mut self, name: &NamespacedName) {
        let key = |service: Arc<str>, port| key(&name.namespace, service, port);
        let ports = key(name.name.clone(), 0)..=key(name.name.clone(), u16::MAX);
        // `0` is what comes after `/`.
        let pods = key(pod(&name.name, "").into(), 0)..key(format!("{}0", name.name).into(), 0);
        let touched = self.by_key.range(ports).chain(self.by_key.range(pods));
        self.dirty.extend(touched.map(|(key, _)| key.clone()));
    }

    /// Everything may have changed.
    pub(super) fn touch_all(&mut self) {
        self.dirty.extend(self.by_key.keys().cloned());
    }

    /// Forgets what nothing refers to, makes what was touched anew, and keeps what comes out the
    /// same as it is.
    pub(super) fn refresh(&mut self, index: &Index, settings: &Settings) -> Clusters {
        for number in std::mem::take(&mut self.idle) {
            let slot = &self.slots[number as usize];
            if slot.uses == 0
                && let Some(entry) = self.by_key.remove(&slot.key)
            {
                self.all.remove(entry.id);
                self.free.insert(number);
            }
        }
        for key in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.by_key.get(&key) else { continue };
            let Some(new) = make(entry, key, index, settings) else { continue };
            if self.all.get(entry.id).is_none_or(|old| **old != new) {
                self.all.put(Arc::new(new));
            }
        }
        self.all.clone()
    }
}

/// The cluster, as things are now.
fn make(entry: &Entry, key: ClusterKey, index: &Index, settings: &Settings) -> Option<Cluster> {
    let id = entry.id;
    let (name, hostname) = match &entry.origin {
        Origin::Port(name) => (name, None),
        Origin::Pod(name, hostname) => (name, Some(hostname)),
        Origin::Target(address) => {
            let endpoint =
                Endpoint { address: *address, weight: 1, name: "".into(), meshed: false };
            return Some(Cluster {
                id,
                key,
                balancer: Balancer::RoundRobin,
                connect_timeout: settings.connect_inbound,
                protocol: HttpProtocol::Http1,
                tls: false,
                endpoints: vec![endpoint],
            });
        }
    };
    let known = index.service(name)?;
    let port = known.port(key.port)?;
    Some(Cluster {
        id,
        key,
        balancer: known.service.balancer,
        connect_timeout: known.service.connect_timeout.unwrap_or(settings.connect),
        protocol: http_protocol(port),
        tls: index.demands_tls(name, port),
        endpoints: endpoints(index, known, port, hostname, &settings.discovery),
    })
}

/// The key of a service's port.
pub(super) fn key(namespace: &Arc<str>, service: Arc<str>, port: u16) -> ClusterKey {
    ClusterKey { namespace: namespace.clone(), service, port }
}

/// What stands in a key for one pod of a service.
pub(super) fn pod(service: &str, hostname: &str) -> String {
    format!("{service}/{hostname}")
}
