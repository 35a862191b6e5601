//! What a worker believes of the world, shown to the metrics and to the admin server.

use serde_json::{Value, json};

use crate::metrics::Gauge;
use crate::worker::Worker;

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

    /// What this worker believes, for the admin server.
    pub(crate) fn beliefs(&self) -> Value {
        self.publish_beliefs();
        let world = self.world.borrow();
        let clusters: Vec<Value> = world
            .clusters()
            .into_iter()
            .map(|cluster| {
                let key = cluster.key();
                let endpoints: Vec<Value> = world
                    .members(cluster)
                    .map(|endpoint| {
                        json!({
                            "address": endpoint.address().to_string(),
                            "name": endpoint.name(),
                            "weight": endpoint.weight(),
                            "outstanding": endpoint.outstanding(),
                            "latency_ms": endpoint.latency().map(|l| l.as_secs_f64() * 1e3),
                        })
                    })
                    .collect();
                json!({
                    "namespace": &*key.namespace,
                    "service": &*key.service,
                    "port": key.port,
                    "endpoints": endpoints,
                })
            })
            .collect();
        json!({
            "worker": self.index,
            "generation": world.snapshot().generation,
            "connections": self.connections.get(),
            "pooled": self.pool.len(),
            "clusters": clusters,
        })
    }
}
