//! From one snapshot to the next, in steps of a bounded length: endpoints that stay keep what was
//! learned of them.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;

use super::merge::Merge;
use super::{ClusterState, EndpointId, Member, View, World};
use crate::policy::balance::Picker;
use crate::policy::load::Params;
use crate::snapshot::{Cluster, Snapshot};
use crate::time::Instant;

/// What a step of an adoption changed.
#[derive(Debug, Default)]
pub struct Adopted {
    /// Endpoints that are gone: none of them is picked again. Their pooled connections are to be
    /// closed.
    pub removed: Vec<EndpointId>,
    /// How many endpoints are new.
    pub added: usize,
}

/// A snapshot that a worker is about to adopt. First its clusters become known, then its routes,
/// and at last what only the old routes named is forgotten: at each point the routes in use find
/// their clusters.
#[derive(Debug)]
pub struct Adoption {
    old: Arc<Snapshot>,
    new: Arc<Snapshot>,
    /// Clusters in slots before this one have been seen to.
    slot: usize,
    stage: Stage,
    merge: Option<Merge>,
    /// Members that no cluster has any more.
    gone: Vec<Member>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Learn,
    Forget,
    Done,
}

impl Adoption {
    /// Whether there is nothing left to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// The snapshot that is no longer in use when the adoption is done.
    #[must_use]
    pub fn into_old(self) -> Arc<Snapshot> {
        self.old
    }

    /// The next slot in which the two snapshots differ.
    fn next(&mut self) -> Option<usize> {
        let slot = self.new.clusters.differs_from(&self.old.clusters, self.slot)?;
        self.slot = slot + 1;
        Some(slot)
    }
}

impl World {
    /// Takes `snapshot` as the present picture, all at once. Exchanges under way keep the routes
    /// they were opened on.
    pub fn adopt(&mut self, snapshot: Arc<Snapshot>, now: Instant) -> Adopted {
        let mut adoption = self.begin_adoption(snapshot);
        let mut adopted = Adopted::default();
        while !adoption.is_done() {
            let more = self.advance(&mut adoption, usize::MAX, now);
            adopted.removed.extend(more.removed);
            adopted.added += more.added;
        }
        adopted
    }

    /// Prepares to take `snapshot` as the present picture. To be advanced until it is done before
    /// another one is begun.
    #[must_use]
    pub fn begin_adoption(&self, snapshot: Arc<Snapshot>) -> Adoption {
        Adoption {
            old: Arc::clone(&self.snapshot),
            new: snapshot,
            slot: 0,
            stage: Stage::Learn,
            merge: None,
            gone: Vec::new(),
        }
    }

    /// Goes on with an adoption for about `steps` endpoints. What has not changed costs nothing.
    pub fn advance(&mut self, adoption: &mut Adoption, steps: usize, now: Instant) -> Adopted {
        let mut adopted = Adopted::default();
        let mut left = steps;
        while left > 0 && !adoption.is_done() {
            left -= 1;
            if let Some(member) = adoption.gone.pop() {
                self.retire(member.id, &mut adopted);
            } else if let Some(mut merge) = adoption.merge.take() {
                left = merge.advance(self, left + 1, now);
                if merge.is_done() {
                    adopted.added += merge.added();
                    left = left.saturating_sub(merge.effort());
                    adoption.gone = self.finish(merge);
                } else {
                    adoption.merge = Some(merge);
                }
            } else {
                self.turn_to_next(adoption);
            }
        }
        adopted
    }

    /// Finds out what is to be done next.
    fn turn_to_next(&mut self, adoption: &mut Adoption) {
        match (adoption.stage, adoption.next()) {
            (Stage::Learn, Some(slot)) => {
                if let Some(said) = adoption.new.clusters.at(slot) {
                    adoption.merge = Some(self.start(said));
                }
            }
            (Stage::Learn, None) => {
                let listeners = Arc::clone(&adoption.new.listeners);
                let looked_up = Arc::clone(&adoption.new.looked_up);
                let same = Arc::ptr_eq(&self.view.listeners, &listeners)
                    && Arc::ptr_eq(&self.view.looked_up, &looked_up);
                if !self.view.ready || !same {
                    self.view = Rc::new(View { listeners, looked_up, ready: true });
                }
                self.snapshot = Arc::clone(&adoption.new);
                (adoption.stage, adoption.slot) = (Stage::Forget, 0);
            }
            (Stage::Forget, Some(slot)) => {
                adoption.gone = self.forget_cluster(slot, adoption).unwrap_or_default();
            }
            (Stage::Forget | Stage::Done, None) | (Stage::Done, _) => adoption.stage = Stage::Done,
        }
    }

    /// Takes the place of the old snapshot's cluster in a slot away, if the new one has another
    /// one there or none.
    fn forget_cluster(&mut self, slot: usize, adoption: &Adoption) -> Option<Vec<Member>> {
        let old = adoption.old.clusters.at(slot)?.id;
        if adoption.new.clusters.at(slot).is_some_and(|new| new.id == old) {
            return None;
        }
        let gone = match self.clusters.get_mut(slot) {
            Some(place) if place.as_ref().is_some_and(|there| there.id == old) => place.take(),
            _ => self.leaving.remove(&old),
        };
        gone.map(|cluster| cluster.members)
    }

    /// Makes sure that there is a cluster, and begins to bring it to what the snapshot says.
    fn start(&mut self, said: &Arc<Cluster>) -> Merge {
        let slot = said.id.slot();
        if self.clusters.len() <= slot {
            self.clusters.resize_with(slot + 1, || None);
        }
        let params = Params::of(said.balancer);
        let place = &mut self.clusters[slot];
        if let Some(other) = place.take_if(|there| there.id != said.id) {
            self.leaving.insert(other.id, other);
        }
        let state = place.get_or_insert_with(|| ClusterState {
            id: said.id,
            key: said.key.clone(),
            balancer: said.balancer,
            params,
            connect_timeout: said.connect_timeout,
            protocol: said.protocol,
            tls: said.tls,
            members: Vec::new(),
            picker: Picker::default(),
        });
        let rebuild = state.balancer != said.balancer;
        state.balancer = said.balancer;
        state.params = params;
        state.connect_timeout = said.connect_timeout;
        state.protocol = said.protocol;
        state.tls = said.tls;
        if rebuild {
            let weights = state.members.iter().map(|m| self.endpoints[m.id.index()].weight);
            state.picker = Picker::new(said.balancer, weights, &mut self.rng);
        }
        Merge::new(Arc::clone(said))
    }

    /// Puts the merged members in the place of the old ones; those that are gone.
    fn finish(&mut self, merge: Merge) -> Vec<Member> {
        let Some(Some(cluster)) = self.clusters.get_mut(merge.slot()) else {
            return Vec::new();
        };
        let (members, gone, changed) = merge.into_parts();
        cluster.members = members;
        if changed {
            let weights = cluster.members.iter().map(|m| self.endpoints[m.id.index()].weight);
            cluster.picker = Picker::new(cluster.balancer, weights, &mut self.rng);
        }
        gone
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

    pub(super) fn next_version(&mut self) -> NonZeroU32 {
        self.version = self.version.wrapping_add(1);
        NonZeroU32::new(self.version).unwrap_or(NonZeroU32::MIN)
    }
}
