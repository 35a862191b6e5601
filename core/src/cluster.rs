//! What one worker has learned of the clusters: the load of every endpoint, which survives from
//! snapshot to snapshot for as long as the endpoint does.

mod adopt;
mod endpoint;
mod merge;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use slab::Slab;

pub use adopt::{Adopted, Adoption};
pub use endpoint::{EndpointId, EndpointState};

use crate::message::{Blame, Fault};
use crate::policy::balance::Picker;
use crate::policy::load::Params;
use crate::rng::Rng;
use crate::snapshot::{
    Balancer, ClusterId, ClusterKey, HttpProtocol, Listeners, LookedUp, Snapshot,
};
use crate::time::{Duration, Instant};

/// The routes as one worker adopted them. Exchanges hold them by a worker-local count, so that a
/// request sees the same routes from its head to its end. They hold no clusters: a connection that
/// lives for days keeps old routes alive, and no old endpoints.
#[derive(Debug, Default)]
pub struct View {
    listeners: Listeners,
    looked_up: Arc<LookedUp>,
    ready: bool,
}

impl View {
    /// The routes of all listeners.
    #[must_use]
    pub const fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// The hosts that discovery has looked up.
    pub(crate) fn looked_up(&self) -> &LookedUp {
        &self.looked_up
    }

    /// Whether they are of a snapshot.
    pub(crate) const fn is_ready(&self) -> bool {
        self.ready
    }
}

/// Everything a worker believes. One per worker; never shared.
#[derive(Debug)]
pub struct World {
    view: Rc<View>,
    snapshot: Arc<Snapshot>,
    /// By slot.
    clusters: Vec<Option<ClusterState>>,
    /// Those whose slot another has taken, for as long as the old routes are in use.
    leaving: BTreeMap<ClusterId, ClusterState>,
    endpoints: Slab<EndpointState>,
    /// Tells a slab key from its earlier uses.
    version: u32,
    rng: Rng,
}

/// One cluster as a worker knows it.
#[derive(Debug)]
pub struct ClusterState {
    id: ClusterId,
    key: ClusterKey,
    balancer: Balancer,
    params: Params,
    connect_timeout: Duration,
    protocol: HttpProtocol,
    tls: bool,
    /// Sorted by address.
    members: Vec<Member>,
    picker: Picker,
}

/// An endpoint's place in its cluster.
#[derive(Clone, Copy, Debug)]
struct Member {
    address: SocketAddr,
    id: EndpointId,
}

/// An endpoint chosen for an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picked {
    pub(crate) endpoint: EndpointId,
    pub(crate) address: SocketAddr,
    pub(crate) connect_timeout: Duration,
    pub(crate) protocol: HttpProtocol,
    pub(crate) meshed: bool,
    pub(crate) tls: bool,
}

/// How a ticket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A response came, and ended as it should.
    Done,
    /// The endpoint failed.
    Failed,
    /// It was given up for no fault of the endpoint.
    Abandoned,
}

impl Outcome {
    pub(crate) const fn of(fault: Fault) -> Self {
        match fault.blame {
            Blame::Upstream => Self::Failed,
            Blame::Client | Blame::Us => Self::Abandoned,
        }
    }
}

impl World {
    /// A world without a snapshot. All random choices follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            view: Rc::default(),
            snapshot: Arc::default(),
            clusters: Vec::new(),
            leaving: BTreeMap::new(),
            endpoints: Slab::new(),
            version: 0,
            rng: Rng::new(seed),
        }
    }

    /// The view of the snapshot adopted last.
    #[must_use]
    pub const fn view(&self) -> &Rc<View> {
        &self.view
    }

    /// The snapshot adopted last, as it is shared with the other workers.
    #[must_use]
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Whether a snapshot has been adopted.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.view.ready
    }

    /// The index of the listener called `name` in the present view; it changes with the view.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<usize> {
        self.view.listeners.iter().position(|listener| &*listener.name == name)
    }

    /// What is known of an endpoint. Known until it is removed and its last ticket is closed.
    #[must_use]
    pub fn endpoint(&self, id: EndpointId) -> Option<&EndpointState> {
        self.endpoints.get(id.index()).filter(|endpoint| endpoint.id() == id)
    }

    /// The cluster `id`, unless it was removed.
    #[must_use]
    pub fn cluster(&self, id: ClusterId) -> Option<&ClusterState> {
        match self.clusters.get(id.slot()) {
            Some(Some(cluster)) if cluster.id == id => Some(cluster),
            _ => self.leaving.get(&id),
        }
    }

    /// All clusters, in the order of their keys.
    #[must_use]
    pub fn clusters(&self) -> Vec<&ClusterState> {
        let mut all: Vec<_> = self.clusters.iter().flatten().chain(self.leaving.values()).collect();
        all.sort_by(|a, b| (&a.key, a.id).cmp(&(&b.key, b.id)));
        all
    }

    /// The endpoints of `cluster`, in the order of their addresses.
    pub fn members<'w>(
        &'w self,
        cluster: &'w ClusterState,
    ) -> impl Iterator<Item = &'w EndpointState> {
        cluster.members.iter().filter_map(|member| self.endpoint(member.id))
    }

    /// A random number below `n`.
    pub(crate) const fn below(&mut self, n: u64) -> u64 {
        self.rng.below(n)
    }

    /// Sixteen random bytes.
    pub const fn nonce(&mut self) -> [u8; 16] {
        let halves = [self.rng.next_u64(), self.rng.next_u64()];
        let [high, low] = halves;
        ((high as u128) << 64 | low as u128).to_be_bytes()
    }

    /// Chooses an endpoint, avoiding those in `avoid` if there is any other.
    pub(crate) fn pick(
        &mut self,
        cluster: ClusterId,
        avoid: &[Option<EndpointId>],
        now: Instant,
    ) -> Option<Picked> {
        let cluster = match self.clusters.get_mut(cluster.slot()) {
            Some(Some(found)) if found.id == cluster => found,
            _ => self.leaving.get_mut(&cluster)?,
        };
        let (members, params, endpoints) = (&cluster.members, &cluster.params, &self.endpoints);
        let load = |at: usize| &endpoints[members[at].id.index()].load;
        let barred = |at: usize| avoid.contains(&Some(members[at].id));
        let at = cluster.picker.pick(&mut self.rng, &load, &barred, params, now)?;
        let member = members[at];
        Some(Picked {
            endpoint: member.id,
            address: member.address,
            connect_timeout: cluster.connect_timeout,
            protocol: cluster.protocol,
            meshed: endpoints[member.id.index()].meshed,
            tls: cluster.tls,
        })
    }

    /// Whether `cluster` has an endpoint with a weight that is not in `avoid`.
    pub(crate) fn has_other(&self, cluster: ClusterId, avoid: &[Option<EndpointId>]) -> bool {
        self.cluster(cluster).is_some_and(|cluster| {
            // `avoid` is short, so this ends after a few members unless their weights are 0.
            self.members(cluster)
                .any(|endpoint| endpoint.weight() > 0 && !avoid.contains(&Some(endpoint.id())))
        })
    }

    /// Opens a ticket.
    pub(crate) fn begin(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoint_mut(id) {
            endpoint.load.begin();
        }
    }

    /// A response head with `status` came `latency` after its attempt began. A 5xx that comes
    /// quickly must not attract more requests: it never improves the estimate.
    pub(crate) fn heard(&mut self, id: EndpointId, status: u16, latency: Duration, now: Instant) {
        if let Some(endpoint) = self.endpoint_mut(id) {
            let params = endpoint.params;
            if status < 500 {
                endpoint.load.observe(latency, &params, now);
            } else {
                endpoint.load.at_least(latency, &params, now);
            }
        }
    }

    /// Closes a ticket opened `age` ago. A removed endpoint is forgotten with its last ticket.
    pub(crate) fn end(&mut self, id: EndpointId, outcome: Outcome, age: Duration, now: Instant) {
        let Some(endpoint) = self.endpoint_mut(id) else {
            return;
        };
        let params = endpoint.params;
        endpoint.load.end();
        match outcome {
            Outcome::Done => {}
            Outcome::Failed => endpoint.load.penalise(age, &params, now),
            Outcome::Abandoned => endpoint.load.at_least(age, &params, now),
        }
        if endpoint.is_removed() && endpoint.load.outstanding() == 0 {
            self.endpoints.remove(id.index());
        }
    }

    fn endpoint_mut(&mut self, id: EndpointId) -> Option<&mut EndpointState> {
        self.endpoints.get_mut(id.index()).filter(|endpoint| endpoint.id() == id)
    }
}

impl ClusterState {
    /// By what rules name it.
    #[must_use]
    pub const fn id(&self) -> ClusterId {
        self.id
    }

    /// Its identity.
    #[must_use]
    pub const fn key(&self) -> &ClusterKey {
        &self.key
    }

    /// How its endpoints are chosen.
    #[must_use]
    pub const fn balancer(&self) -> Balancer {
        self.balancer
    }

    /// How many endpoints it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it has no endpoint.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}
