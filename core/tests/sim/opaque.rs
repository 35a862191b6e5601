//! Opaque connections, decision by decision.

use std::sync::Arc;

use ringway_core::cluster::World;
use ringway_core::exchange::{End, Flow, Sent, Step};
use ringway_core::message::{Cause, Fault, Stage};
use ringway_core::policy::route::{HostMatch, RouteTable, ServerNames};
use ringway_core::record::Closing;
use ringway_core::snapshot::{Balancer, Cluster, ListenerRoutes, Protocol, Rule, Snapshot};
use ringway_core::time::{Duration, Instant};

use crate::world::{cluster, number, snapshot, split};

const NOW: Instant = Instant::ZERO;
const REFUSED: Fault = Fault::upstream(Stage::Connect, Cause::Refused);

fn world(endpoints: u16) -> World {
    let mut world = World::new(1);
    let list: Vec<(u16, u32)> = (0..endpoints).map(|n| (n, 1)).collect();
    let clusters = vec![cluster("a", Balancer::default(), &list)];
    world.adopt(snapshot(1, split(&[(Some(0), 1)]), clusters), NOW);
    world
}

fn outstanding(world: &World) -> Vec<u32> {
    let cluster = world.clusters()[0];
    world.members(cluster).map(ringway_core::cluster::EndpointState::outstanding).collect()
}

/// Connects, with the endpoints below `bad` refusing.
fn connect(world: &mut World, bad: u16, now: Instant) -> (Flow, Option<u16>) {
    let mut flow = Flow::open_opaque(0, None, world, now);
    loop {
        match flow.next(world, now) {
            Step::Try(attempt) if number(attempt.address) < bad => {
                flow.failed(REFUSED, Sent::nothing(false), world, now);
            }
            Step::Try(attempt) => {
                flow.connected(now);
                return (flow, Some(number(attempt.address)));
            }
            Step::Answer(_) | Step::Wait(_) => return (flow, None),
        }
    }
}

fn closed(flow: Flow, fault: Option<Fault>, world: &mut World, now: Instant) -> Closing {
    flow.close_opaque(End { fault, received: 3, sent: 4, ..End::default() }, world, now)
}

#[test]
fn a_connection_that_has_nowhere_to_go_says_why() {
    let rows = [
        (World::new(1), 0, Cause::NotReady),
        (world(1), 7, Cause::NotReady),
        (world(0), 0, Cause::NoEndpoint),
    ];
    for (mut world, listener, cause) in rows {
        let mut flow = Flow::open_opaque(listener, None, &mut world, NOW);
        assert!(matches!(flow.next(&mut world, NOW), Step::Answer(_)));
        let closing = closed(flow, None, &mut world, NOW);
        assert_eq!(closing.fault.map(|fault| fault.cause), Some(cause));
        assert_eq!((closing.connected, closing.attempts, closing.endpoint), (None, 0, None));
    }
}

#[test]
fn a_refused_connect_goes_elsewhere_and_its_endpoint_is_avoided() {
    let mut world = world(2);
    let mut refusals = 0;
    for n in 0..200 {
        let now = NOW + Duration::from_millis(n);
        let (flow, to) = connect(&mut world, 1, now);
        assert_eq!(to, Some(1));
        let closing = closed(flow, None, &mut world, now + Duration::from_millis(7));
        assert_eq!((closing.fault, closing.received, closing.sent), (None, 3, 4));
        assert_eq!(closing.total, Duration::from_millis(7));
        assert_eq!(closing.connected, Some(Duration::ZERO));
        refusals += usize::from(closing.attempts) - 1;
    }
    assert!((1..20).contains(&refusals), "{refusals} of 200 met the one that refuses");
    assert_eq!(outstanding(&world), [0, 0]);
}

#[test]
fn all_endpoints_refusing_is_the_last_one_s_fault() {
    let mut world = world(2);
    let (flow, to) = connect(&mut world, 2, NOW);
    assert_eq!(to, None);
    let closing = closed(flow, None, &mut world, NOW);
    assert_eq!((closing.fault, closing.attempts, closing.connected), (Some(REFUSED), 2, None));
    assert_eq!(outstanding(&world), [0, 0]);
}

#[test]
fn connections_are_balanced_by_their_number_however_long_they_last() {
    let mut world = world(4);
    let mut flows = Vec::new();
    for n in 0..400_u64 {
        // Connects take from nothing to 30 ms, which is not to matter.
        let now = NOW + Duration::from_millis(10 * n);
        let mut flow = Flow::open_opaque(0, None, &mut world, now);
        assert!(matches!(flow.next(&mut world, now), Step::Try(_)));
        flow.connected(now + Duration::from_millis(n % 31));
        flows.push(flow);
    }
    let spread = outstanding(&world);
    assert!(spread.iter().all(|n| (90..=110).contains(n)), "{spread:?}");
    let reset = Fault::upstream(Stage::Relay, Cause::Reset);
    for flow in flows {
        assert_eq!(closed(flow, Some(reset), &mut world, NOW).fault, Some(reset));
    }
    assert_eq!(outstanding(&world), [0; 4]);
}

/// A snapshot whose TLS connections go by their server names: `a.test` to cluster `a`, whose
/// endpoints demand TLS, `b.test` to nothing, and the others to `opaque`.
fn named(opaque: Option<Rule>) -> World {
    let mut names = ServerNames::default();
    for (name, backends) in [("a.test", &[(Some(0), 1)]), ("b.test", &[(None, 1)])] {
        names.add(&[HostMatch::parse(name).unwrap()], split(backends));
    }
    let listeners = [Arc::new(ListenerRoutes {
        name: "main".into(),
        table: RouteTable::default(),
        protocol: Protocol::Detect,
        names,
        opaque,
        on_demand: None,
    })];
    let demanding = Cluster { tls: true, ..cluster("a", Balancer::default(), &[(0, 1)]) };
    let clusters = [demanding, cluster("b", Balancer::default(), &[(1, 1)])];
    let clusters = clusters.into_iter().collect();
    let mut world = World::new(1);
    world.adopt(
        Arc::new(Snapshot {
            generation: 1,
            listeners: listeners.into(),
            clusters,
            looked_up: Arc::default(),
        }),
        NOW,
    );
    world
}

#[test]
fn tls_goes_by_its_server_name_and_only_tls_where_it_is_demanded() {
    let rows = [
        (Some(&b"a.test"[..]), Some(1), Ok(0)),
        (Some(b"b.test"), Some(1), Err(Cause::NoBackend)),
        (Some(b"c.test"), Some(1), Ok(1)),
        (Some(b""), Some(1), Ok(1)),
        (None, Some(1), Ok(1)),
        (None, Some(0), Err(Cause::TlsDemanded)),
        (Some(b"c.test"), Some(0), Ok(0)),
        (Some(b"a.test"), None, Ok(0)),
        (Some(b"c.test"), None, Err(Cause::NoRoute)),
        (None, None, Err(Cause::NoRoute)),
    ];
    for (name, rest, expected) in rows {
        let mut world = named(rest.map(|to| split(&[(Some(to), 1)])));
        let mut flow = Flow::open_opaque(0, name, &mut world, NOW);
        let to = match flow.next(&mut world, NOW) {
            Step::Try(attempt) => Ok(number(attempt.address)),
            Step::Answer(answer) => Err(answer.fault.unwrap().cause),
            Step::Wait(_) => panic!("nothing is looked up"),
        };
        assert_eq!(to, expected, "{name:?} {rest:?}");
        closed(flow, None, &mut world, NOW);
        assert_eq!(outstanding(&world), [0]);
    }
}
