//! All decisions about one request, from its head to its record; socket and codec left out.

use ringway_core::cluster::World;
use ringway_core::exchange::{End, Flow, Sent, Step};
use ringway_core::message::{Cause, Fault, RequestHead, Stage};
use ringway_core::record::Record;
use ringway_core::time::{Duration, Instant};

use crate::fixtures::messages::{BROWSER, request_head};
use crate::fixtures::world::{cluster, snapshot};
use crate::{Meter, Work};

/// A worker's beliefs, and a request that comes again and again.
struct Scene {
    world: World,
    head: RequestHead<'static>,
    now: Instant,
}

pub(super) fn cases(meter: &mut impl Meter) {
    for endpoints in [3, 10_000] {
        let name = format!("flow/answered/{endpoints}");
        meter.measure(&name, Work::One, || Scene::with(endpoints), Scene::answered);
    }
    meter.measure("flow/retried/3", Work::One, || Scene::with(3), Scene::retried);
}

impl Scene {
    fn with(endpoints: u32) -> Self {
        let mut world = World::new(7);
        let _ = world.adopt(snapshot(1, vec![cluster(0, "web", 0..endpoints)]), Instant::ZERO);
        Self { world, head: request_head(BROWSER), now: Instant::ZERO }
    }

    /// Open, next, heard, close.
    fn answered(&mut self) -> Record {
        self.now = self.now + Duration::from_micros(20);
        let mut flow = Flow::open(&self.head, 0, &mut self.world, self.now);
        self.attempt(&mut flow);
        self.end(flow)
    }

    /// The same with a first endpoint that refuses.
    fn retried(&mut self) -> Record {
        self.now = self.now + Duration::from_micros(20);
        let mut flow = Flow::open(&self.head, 0, &mut self.world, self.now);
        self.attempt(&mut flow);
        let refused = Fault::upstream(Stage::Connect, Cause::Refused);
        flow.failed(refused, Sent::nothing(false), &mut self.world, self.now);
        self.attempt(&mut flow);
        self.end(flow)
    }

    fn attempt(&mut self, flow: &mut Flow) {
        let step = flow.next(&mut self.world, self.now);
        assert!(matches!(step, Step::Try(_)), "an endpoint is there, but: {step:?}");
    }

    fn end(&mut self, mut flow: Flow) -> Record {
        let later = self.now + Duration::from_micros(300);
        flow.heard(200, &mut self.world, later);
        let end = End { status: Some(200), sent: 64, ..End::default() };
        flow.close(end, &mut self.world, later)
    }
}
