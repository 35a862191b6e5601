//! Adopting a snapshot of 100 services with 100 endpoints each, of which one or all have changed.

use std::sync::Arc;

use ringway_core::cluster::World;
use ringway_core::snapshot::Snapshot;
use ringway_core::time::Instant;

use crate::fixtures::world::{cluster, snapshot};
use crate::{Meter, Work};

const SERVICES: u32 = 100;
const EACH: u32 = 100;
const ALL: usize = (SERVICES * EACH) as usize;

/// A worker that is shown two pictures in turn.
struct Turning {
    world: World,
    present: Arc<Snapshot>,
    next: Arc<Snapshot>,
}

pub(super) fn cases(meter: &mut impl Meter) {
    meter.measure("adopt/1-of-10000", Work::Endpoints(ALL), one_moves, Turning::adopt);
    meter.measure("adopt/all-of-10000", Work::Endpoints(ALL), all_move, Turning::adopt);
}

/// The last endpoint of the first service gets another address, and the old one back.
fn one_moves() -> Turning {
    let services = |ending| {
        (0..SERVICES).map(move |n| {
            // Numbers leave a gap between services, for the address that comes and goes.
            let first = n * 2 * EACH;
            let mut service = cluster(&format!("service-{n}"), first..first + EACH + 1);
            service.endpoints.remove(if n == 0 { ending } else { EACH as usize });
            service
        })
    };
    let (one, other) = (services(EACH as usize), services(EACH as usize - 1));
    Turning::between(snapshot(1, one.collect()), snapshot(2, other.collect()), 1)
}

/// Every endpoint gets another address, and the old one back.
fn all_move() -> Turning {
    let services = |shift| {
        (0..SERVICES).map(move |n| {
            let first = n * 2 * EACH + shift;
            cluster(&format!("service-{n}"), first..first + EACH)
        })
    };
    Turning::between(snapshot(1, services(0).collect()), snapshot(2, services(EACH).collect()), ALL)
}

impl Turning {
    /// Checks that `moved` endpoints come and go with each turn.
    fn between(one: Arc<Snapshot>, other: Arc<Snapshot>, moved: usize) -> Self {
        let mut world = World::new(7);
        assert_eq!(world.adopt(Arc::clone(&one), Instant::ZERO).added, ALL);
        let mut turning = Self { world, present: one, next: other };
        assert_eq!(turning.adopt(), 2 * moved);
        turning
    }

    fn adopt(&mut self) -> usize {
        let adopted = self.world.adopt(Arc::clone(&self.next), Instant::ZERO);
        std::mem::swap(&mut self.present, &mut self.next);
        adopted.added + adopted.removed.len()
    }
}
