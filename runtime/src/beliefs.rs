//! What a worker believes of the world, shown to the metrics and to the admin server. The worker
//! only gathers it, in turns between which requests are served; what it looks like as JSON is left
//! to the thread that has asked.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use ringway_core::cluster::{ClusterState, World};
use ringway_core::snapshot::{ClusterId, ClusterKey};
use serde_json::{Value, json};

use crate::metrics::Gauge;
use crate::worker::Worker;

/// So many endpoints are gathered before requests have their turn.
const AT_ONCE: usize = 512;

/// What one worker believes.
#[derive(Debug)]
pub(crate) struct Beliefs {
    worker: usize,
    generation: u64,
    connections: usize,
    pooled: usize,
    clusters: Vec<ClusterBelief>,
}

#[derive(Debug)]
struct ClusterBelief {
    key: ClusterKey,
    endpoints: Vec<EndpointBelief>,
}

#[derive(Debug)]
struct EndpointBelief {
    address: SocketAddr,
    name: Arc<str>,
    weight: u32,
    outstanding: u32,
    latency: Option<Duration>,
}

impl Beliefs {
    /// Which worker's they are.
    pub(crate) const fn worker(&self) -> usize {
        self.worker
    }

    /// As `/endpoints` shows them.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "worker": self.worker,
            "generation": self.generation,
            "connections": self.connections,
            "pooled": self.pooled,
            "clusters": self.clusters.iter().map(ClusterBelief::to_json).collect::<Vec<_>>(),
        })
    }
}

impl ClusterBelief {
    fn to_json(&self) -> Value {
        json!({
            "namespace": &*self.key.namespace,
            "service": &*self.key.service,
            "port": self.key.port,
            "endpoints": self.endpoints.iter().map(EndpointBelief::to_json).collect::<Vec<_>>(),
        })
    }
}

impl EndpointBelief {
    fn to_json(&self) -> Value {
        json!({
            "address": self.address.to_string(),
            "name": &*self.name,
            "weight": self.weight,
            "outstanding": self.outstanding,
            "latency_ms": self.latency.map(|l| l.as_secs_f64() * 1e3),
        })
    }
}

/// Where gathering has come to.
struct Gathering {
    /// Those still to be looked at, the next one last.
    left: Vec<ClusterId>,
    /// How many endpoints of that have been.
    at: usize,
    found: Vec<ClusterBelief>,
}

impl Gathering {
    fn of(world: &World) -> Self {
        let left: Vec<_> = world.clusters().iter().rev().map(|cluster| cluster.id()).collect();
        Self { found: Vec::with_capacity(left.len()), left, at: 0 }
    }

    /// Goes on for so many endpoints, of which a cluster without any counts as one; whether there
    /// are more. A cluster that has changed since the last turn is shown partly as it was.
    fn advance(&mut self, world: &World, mut steps: usize) -> bool {
        while steps > 0 {
            let Some(&id) = self.left.last() else { return false };
            let taken = world.cluster(id).map_or(0, |cluster| self.take(world, cluster, steps));
            self.at += taken;
            if taken < steps {
                self.left.pop();
                self.at = 0;
            }
            steps -= taken.max(1);
        }
        !self.left.is_empty()
    }

    /// Takes up to so many endpoints of a cluster, from where it has come to; how many.
    fn take(&mut self, world: &World, cluster: &ClusterState, most: usize) -> usize {
        if self.at == 0 {
            let endpoints = Vec::with_capacity(cluster.len());
            self.found.push(ClusterBelief { key: cluster.key().clone(), endpoints });
        }
        let Some(ClusterBelief { endpoints, .. }) = self.found.last_mut() else { return 0 };
        let before = endpoints.len();
        endpoints.extend(world.members(cluster).skip(self.at).take(most).map(|endpoint| {
            EndpointBelief {
                address: endpoint.address(),
                name: Arc::clone(endpoint.shared_name()),
                weight: endpoint.weight(),
                outstanding: endpoint.outstanding(),
                latency: endpoint.latency(),
            }
        }));
        endpoints.len() - before
    }
}

impl Worker {
    /// Brings the gauges up to date.
    pub(crate) fn publish_beliefs(&self) {
        self.metrics().set(Gauge::Exchanges, self.exchanges.get() as u64);
        self.metrics().set(Gauge::PoolIdle, self.pool.len() as u64);
        self.metrics().set(Gauge::BufferBytes, self.buffers.free_bytes() as u64);
        let world = self.world.borrow();
        for (id, series) in self.series.borrow().iter().flatten() {
            if let Some(endpoint) = world.endpoint(*id) {
                series.state(endpoint.weight(), endpoint.outstanding(), endpoint.latency());
            }
        }
    }

    /// Tells the admin server what this worker believes.
    pub(crate) async fn tell_beliefs(self: Rc<Self>, reply: Sender<Beliefs>) {
        self.publish_beliefs();
        let mut gathering = Gathering::of(&self.world.borrow());
        while gathering.advance(&self.world.borrow(), AT_ONCE) {
            // A task of its own, because one that wakes itself is not put behind the others.
            monoio::spawn(async {}).await;
        }
        let _ = reply.try_send(Beliefs {
            worker: self.index,
            generation: self.world.borrow().snapshot().generation,
            connections: self.connections.get(),
            pooled: self.pool.len(),
            clusters: gathering.found,
        });
    }
}

#[cfg(test)]
mod tests {
    use ringway_core::snapshot::{Balancer, Cluster, Endpoint, HttpProtocol, Snapshot};
    use ringway_core::time::{Duration, Instant};

    use super::*;

    fn cluster(number: u32, endpoints: u16) -> Cluster {
        let endpoint = |n| Endpoint {
            address: ([10, 0, 0, number as u8], n).into(),
            weight: 1,
            name: "".into(),
            meshed: false,
        };
        Cluster {
            id: ClusterId::nth(number),
            key: ClusterKey {
                namespace: "shop".into(),
                service: "app".into(),
                port: number as u16,
            },
            balancer: Balancer::default(),
            connect_timeout: Duration::from_secs(1),
            protocol: HttpProtocol::Http1,
            tls: false,
            endpoints: (0..endpoints).map(endpoint).collect(),
        }
    }

    #[test]
    fn what_is_gathered_in_turns_is_all_there_is() {
        let sizes = [3, 0, 1, 7, 2, 0, 0, 5];
        let mut world = World::new(1);
        let clusters = (0_u32..).zip(sizes).map(|(n, size)| cluster(n, size)).collect();
        let snapshot = Snapshot { generation: 1, clusters, ..Snapshot::default() };
        world.adopt(Arc::new(snapshot), Instant::ZERO);
        for at_once in 1..30 {
            let mut gathering = Gathering::of(&world);
            while gathering.advance(&world, at_once) {}
            let found = gathering.found.iter().map(|cluster| cluster.endpoints.len());
            assert!(found.eq(sizes.map(usize::from)), "{at_once} at once");
        }
    }
}
