//! Brings the members of one cluster to what a snapshot says: a merge of two lists sorted by
//! address, which may stop after any endpoint and go on later. The old members stay in use until
//! it is done.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{EndpointId, EndpointState, Member, World};
use crate::policy::load::{Load, Params};
use crate::snapshot::{Cluster, Endpoint};
use crate::time::{Duration, Instant};

/// One cluster, half way between two snapshots.
#[derive(Debug)]
pub(super) struct Merge {
    said: Arc<Cluster>,
    /// The order of its endpoints, if the snapshot breaks its promise to sort them.
    order: Option<Vec<u32>>,
    params: Params,
    /// How many of the said endpoints have been seen to.
    at: usize,
    /// How many of the old members have been seen to.
    old_at: usize,
    members: Vec<Member>,
    gone: Vec<Member>,
    /// What a new endpoint is assumed to take, once there is one.
    rtt: Option<Duration>,
    added: usize,
    changed: bool,
    done: bool,
}

impl Merge {
    pub(super) fn new(said: Arc<Cluster>) -> Self {
        Self {
            order: order(&said.endpoints),
            params: Params::of(said.balancer),
            at: 0,
            old_at: 0,
            members: Vec::with_capacity(said.endpoints.len()),
            gone: Vec::new(),
            rtt: None,
            added: 0,
            changed: false,
            done: false,
            said,
        }
    }

    pub(super) fn slot(&self) -> usize {
        self.said.id.slot()
    }

    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    pub(super) const fn added(&self) -> usize {
        self.added
    }

    /// What making use of it costs, in steps.
    pub(super) const fn effort(&self) -> usize {
        if self.changed { self.members.len() / 8 } else { 0 }
    }

    /// The members, those that are no longer, and whether picking has to change.
    pub(super) fn into_parts(self) -> (Vec<Member>, Vec<Member>, bool) {
        (self.members, self.gone, self.changed)
    }

    /// Goes on for so many steps; how many are left.
    pub(super) fn advance(&mut self, world: &mut World, mut left: usize, now: Instant) -> usize {
        let said = Arc::clone(&self.said);
        while left > 0 {
            left -= 1;
            let next = match &self.order {
                None => said.endpoints.get(self.at),
                Some(order) => order.get(self.at).map(|&at| &said.endpoints[at as usize]),
            };
            let old = self.old(world);
            match (next, old) {
                (None, None) => {
                    self.done = true;
                    break;
                }
                (next, Some(old)) if next.is_none_or(|next| old.address < next.address) => {
                    self.gone.push(old);
                    self.old_at += 1;
                    self.changed = true;
                }
                (Some(next), Some(old)) if old.address == next.address => {
                    self.keep(old, next, world);
                    self.old_at += 1;
                    self.at += 1;
                }
                (Some(next), _) => {
                    self.add(next, world, now);
                    self.at += 1;
                }
                (None, Some(_)) => {}
            }
        }
        left
    }

    fn old(&self, world: &World) -> Option<Member> {
        let cluster = world.clusters.get(self.slot())?.as_ref()?;
        cluster.members.get(self.old_at).copied()
    }

    fn keep(&mut self, old: Member, said: &Endpoint, world: &mut World) {
        let state = &mut world.endpoints[old.id.index()];
        self.changed |= state.weight != said.weight;
        state.weight = said.weight;
        state.meshed = said.meshed;
        // Comparing is cheaper than counting what all workers count.
        if !Arc::ptr_eq(&state.name, &said.name) {
            state.name = Arc::clone(&said.name);
        }
        state.params = self.params;
        self.members.push(old);
    }

    fn add(&mut self, said: &Endpoint, world: &mut World, now: Instant) {
        let rtt = match self.rtt {
            Some(rtt) => rtt,
            None => *self.rtt.insert(starting_rtt(world, self.slot(), &self.params)),
        };
        let version = world.next_version();
        let entry = world.endpoints.vacant_entry();
        let id = EndpointId::new(slab_key(entry.key()), version);
        entry.insert(EndpointState {
            id,
            cluster: self.said.id,
            address: said.address,
            name: Arc::clone(&said.name),
            weight: said.weight,
            meshed: said.meshed,
            load: Load::new(rtt, now),
            params: self.params,
            removed: false,
        });
        self.members.push(Member { address: said.address, id });
        self.added += 1;
        self.changed = true;
    }
}

/// What a new endpoint is assumed to take: the mean of its measured siblings, at most the
/// default. Beside siblings of 1 ms the default of 30 ms alone would keep a new endpoint
/// without traffic for half a minute, until its estimate has faded.
fn starting_rtt(world: &World, slot: usize, params: &Params) -> Duration {
    let siblings = world.clusters.get(slot).and_then(|there| there.as_ref());
    let (mut sum, mut count) = (Duration::ZERO, 0);
    for member in siblings.map_or(&[][..], |cluster| &cluster.members) {
        if let Some(latency) = world.endpoints[member.id.index()].latency() {
            sum = sum.saturating_add(latency);
            count += 1;
        }
    }
    sum.checked_div(count).unwrap_or(params.default_rtt).min(params.default_rtt)
}

/// The order by address, none twice; `None` when that is how they are, as a snapshot promises.
/// Learned state hangs on the order.
fn order(endpoints: &[Endpoint]) -> Option<Vec<u32>> {
    if endpoints.is_sorted_by(|a, b| a.address < b.address) {
        return None;
    }
    let mut order: Vec<u32> = (0..).take(endpoints.len()).collect();
    let address = |at: &u32| -> SocketAddr { endpoints[*at as usize].address };
    order.sort_by_key(address);
    order.dedup_by_key(|at| address(at));
    Some(order)
}

/// Slab keys are dense and far below `u32::MAX`.
fn slab_key(key: usize) -> u32 {
    u32::try_from(key).unwrap_or(u32::MAX)
}
