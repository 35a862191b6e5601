//! From one snapshot to the next: endpoints that stay keep what was learned of them.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;

use super::{ClusterId, ClusterState, EndpointId, EndpointState, Member, View, World};
use crate::policy::balance::Picker;
use crate::policy::load::{Load, Params};
use crate::snapshot::{Cluster, Endpoint, Snapshot};
use crate::time::{Duration, Instant};

/// What adopting a snapshot changed.
#[derive(Debug, Default)]
pub struct Adopted {
    /// Endpoints that are gone: none of them is picked again. Their pooled connections are to be
    /// closed.
    pub removed: Vec<EndpointId>,
    /// How many endpoints are new.
    pub added: usize,
}

impl World {
    /// Takes `snapshot` as the present picture. Linear in its endpoints; exchanges under way keep
    /// the view they were opened on.
    pub fn adopt(&mut self, snapshot: Arc<Snapshot>, now: Instant) -> Adopted {
        let mut adopted = Adopted::default();
        let mut old = std::mem::take(&mut self.by_key);
        let mut clusters = Vec::with_capacity(snapshot.clusters.len());
        for said in &snapshot.clusters {
            let id = match self.by_key.get(&said.key) {
                Some(&twice) => twice,
                None => {
                    let id = old.remove(&said.key).unwrap_or_else(|| self.insert_cluster(said));
                    self.by_key.insert(said.key.clone(), id);
                    self.update(id, said, now, &mut adopted);
                    id
                }
            };
            clusters.push(id);
        }
        for id in old.into_values() {
            for member in self.clusters.remove(id.index()).members {
                self.retire(member.id, &mut adopted);
            }
        }
        self.view = Rc::new(View { snapshot, clusters });
        adopted
    }

    fn insert_cluster(&mut self, said: &Cluster) -> ClusterId {
        let version = self.next_version();
        let entry = self.clusters.vacant_entry();
        let id = ClusterId::new(slab_key(entry.key()), version);
        entry.insert(ClusterState {
            id,
            key: said.key.clone(),
            balancer: said.balancer,
            params: Params::of(said.balancer),
            connect_timeout: said.connect_timeout,
            protocol: said.protocol,
            members: Vec::new(),
            picker: Picker::default(),
        });
        id
    }

    /// Brings one cluster to what the snapshot says, by a merge of two sorted lists.
    fn update(&mut self, id: ClusterId, said: &Cluster, now: Instant, adopted: &mut Adopted) {
        let params = Params::of(said.balancer);
        let cluster = &mut self.clusters[id.index()];
        let mut changed = cluster.balancer != said.balancer;
        cluster.balancer = said.balancer;
        cluster.params = params;
        cluster.connect_timeout = said.connect_timeout;
        cluster.protocol = said.protocol;
        let old = std::mem::take(&mut cluster.members);
        let rtt = self.starting_rtt(&old, &params);
        let mut members = Vec::with_capacity(said.endpoints.len());
        let mut old = old.into_iter().peekable();
        for endpoint in sorted(&said.endpoints) {
            while let Some(gone) = old.next_if(|member| member.address < endpoint.address) {
                self.retire(gone.id, adopted);
                changed = true;
            }
            let member = if let Some(kept) = old.next_if(|m| m.address == endpoint.address) {
                let state = &mut self.endpoints[kept.id.index()];
                changed |= state.weight != endpoint.weight;
                state.weight = endpoint.weight;
                state.name = Arc::clone(&endpoint.name);
                state.meshed = endpoint.meshed;
                state.params = params;
                kept
            } else {
                changed = true;
                adopted.added += 1;
                let state = (endpoint, Load::new(rtt, now), params);
                Member { address: endpoint.address, id: self.insert_endpoint(id, state) }
            };
            members.push(member);
        }
        for gone in old {
            self.retire(gone.id, adopted);
            changed = true;
        }
        if changed {
            let weights = members.iter().map(|member| self.endpoints[member.id.index()].weight);
            let picker = Picker::new(said.balancer, weights, &mut self.rng);
            self.clusters[id.index()].picker = picker;
        }
        self.clusters[id.index()].members = members;
    }

    fn insert_endpoint(
        &mut self,
        cluster: ClusterId,
        (said, load, params): (&Endpoint, Load, Params),
    ) -> EndpointId {
        let version = self.next_version();
        let entry = self.endpoints.vacant_entry();
        let id = EndpointId::new(slab_key(entry.key()), version);
        entry.insert(EndpointState {
            id,
            cluster,
            address: said.address,
            name: Arc::clone(&said.name),
            weight: said.weight,
            meshed: said.meshed,
            load,
            params,
            removed: false,
        });
        id
    }

    /// What a new endpoint is assumed to take: the mean of its measured siblings, at most the
    /// default. Beside siblings of 1 ms the default of 30 ms alone would keep a new endpoint
    /// without traffic for half a minute, until its estimate has faded.
    fn starting_rtt(&self, siblings: &[Member], params: &Params) -> Duration {
        let (mut sum, mut count) = (Duration::ZERO, 0);
        for member in siblings {
            if let Some(latency) = self.endpoints[member.id.index()].latency() {
                sum = sum.saturating_add(latency);
                count += 1;
            }
        }
        sum.checked_div(count).unwrap_or(params.default_rtt).min(params.default_rtt)
    }

    /// An endpoint is gone; while tickets are open its state stays.
    fn retire(&mut self, id: EndpointId, adopted: &mut Adopted) {
        adopted.removed.push(id);
        let endpoint = &mut self.endpoints[id.index()];
        endpoint.removed = true;
        if endpoint.outstanding() == 0 {
            self.endpoints.remove(id.index());
        }
    }

    fn next_version(&mut self) -> NonZeroU32 {
        self.version = self.version.wrapping_add(1);
        NonZeroU32::new(self.version).unwrap_or(NonZeroU32::MIN)
    }
}

/// The endpoints sorted by address without repetition, as a snapshot promises; sorted here if it
/// breaks its promise, because learned state hangs on the order.
fn sorted(endpoints: &[Endpoint]) -> impl Iterator<Item = &Endpoint> {
    let mut order: Vec<&Endpoint> = endpoints.iter().collect();
    if !endpoints.is_sorted_by(|a, b| a.address < b.address) {
        order.sort_by_key(|endpoint| endpoint.address);
        order.dedup_by_key(|endpoint| endpoint.address);
    }
    order.into_iter()
}

/// Slab keys are dense and far below `u32::MAX`.
fn slab_key(key: usize) -> u32 {
    u32::try_from(key).unwrap_or(u32::MAX)
}
