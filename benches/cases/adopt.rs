//! Adopting a snapshot of 1,000 services with 10 endpoints each, of which one or all have changed.

use std::sync::Arc;

use ringway_core::cluster::{Adoption, World};
use ringway_core::snapshot::{Cluster, Snapshot};
use ringway_core::time::Instant;

use crate::fixtures::world::{cluster, snapshot};
use crate::{Meter, Work};

const SERVICES: u32 = 1_000;
const EACH: u32 = 10;
const ALL: usize = (SERVICES * EACH) as usize;
/// What a worker does before requests have their turn (`ADOPTED_AT_ONCE` in its code).
const AT_ONCE: usize = 512;

/// A worker that is shown two pictures in turn.
struct Turning {
    world: World,
    present: Arc<Snapshot>,
    next: Arc<Snapshot>,
    under_way: Option<Adoption>,
}

pub(super) fn cases(meter: &mut impl Meter) {
    meter.measure("adopt/1-of-10000", Work::One, one_moves, Turning::adopt);
    meter.measure("adopt/all-of-10000", Work::Endpoints(ALL), all_move, Turning::adopt);
    meter.measure("adopt/turn-of-10000", Work::Endpoints(AT_ONCE), all_move, Turning::advance);
}

/// The last endpoint of a service gets another address, and the old one back. All other clusters
/// are shared, as they are between the snapshots that discovery makes.
fn one_moves() -> Turning {
    let one = snapshot(1, services(0).collect());
    let mut clusters = one.clusters.clone();
    clusters.put(Arc::new(service(7, 7 * 2 * EACH, |n| if n + 1 == EACH { n + 1 } else { n })));
    let listeners = Arc::clone(&one.listeners);
    Turning::between(
        one,
        Arc::new(Snapshot { generation: 2, listeners, clusters, ..Snapshot::default() }),
        1,
    )
}

/// Every endpoint gets another address, and the old one back.
fn all_move() -> Turning {
    Turning::between(snapshot(1, services(0).collect()), snapshot(2, services(EACH).collect()), ALL)
}

fn services(shift: u32) -> impl Iterator<Item = Cluster> {
    (0..SERVICES).map(move |n| service(n, n * 2 * EACH + shift, |n| n))
}

/// Service number `n`, with endpoints behind number `first`.
fn service(n: u32, first: u32, place: impl Fn(u32) -> u32) -> Cluster {
    cluster(n, &format!("service-{n}"), (0..EACH).map(|n| first + place(n)))
}

impl Turning {
    /// Checks that `moved` endpoints come and go with each turn.
    fn between(one: Arc<Snapshot>, other: Arc<Snapshot>, moved: usize) -> Self {
        let mut world = World::new(7);
        assert_eq!(world.adopt(Arc::clone(&one), Instant::ZERO).added, ALL);
        let mut turning = Self { world, present: one, next: other, under_way: None };
        assert_eq!(turning.adopt(), 2 * moved);
        turning
    }

    fn adopt(&mut self) -> usize {
        let adopted = self.world.adopt(Arc::clone(&self.next), Instant::ZERO);
        std::mem::swap(&mut self.present, &mut self.next);
        adopted.added + adopted.removed.len()
    }

    /// What a worker does at once; the next adoption begins where one has ended.
    fn advance(&mut self) -> usize {
        let mut adoption = self.under_way.take().unwrap_or_else(|| {
            std::mem::swap(&mut self.present, &mut self.next);
            self.world.begin_adoption(Arc::clone(&self.present))
        });
        let adopted = self.world.advance(&mut adoption, AT_ONCE, Instant::ZERO);
        self.under_way = Some(adoption).filter(|adoption| !adoption.is_done());
        adopted.added + adopted.removed.len()
    }
}
