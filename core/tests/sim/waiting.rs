//! Requests for hosts that are looked up when somebody asks for them, on simulated time.

use std::sync::Arc;

use ringway_core::cluster::World;
use ringway_core::exchange::{Flow, Step};
use ringway_core::message::{Cause, Field, RequestHead, Tag, Version};
use ringway_core::policy::route::{HostMatch, Match, PathMatch, RouteTableBuilder, ServerNames};
use ringway_core::snapshot::{Balancer, ListenerRoutes, LookedUp, Protocol, Rule, Snapshot, Usage};
use ringway_core::time::{Duration, Instant};

use crate::world::{GET, cluster, head, split};

const NOW: Instant = Instant::ZERO;
const PATIENCE: Duration = Duration::from_secs(3);

/// A picture with a route for each of `hosts`, in which `looked_up` was looked up.
fn picture(hosts: &[&str], looked_up: &[&str], rule: &Rule) -> Arc<Snapshot> {
    let mut table = RouteTableBuilder::new();
    for host in hosts {
        let only = Match { path: PathMatch::Prefix("/foo".into()), ..Match::default() };
        table.add(&[HostMatch::parse(host).unwrap()], vec![only], rule.clone()).unwrap();
    }
    let listener = ListenerRoutes {
        name: "out".into(),
        table: table.build(),
        protocol: Protocol::Http,
        names: ServerNames::default(),
        opaque: None,
        on_demand: Some(PATIENCE),
    };
    Arc::new(Snapshot {
        generation: 1,
        listeners: [Arc::new(listener)].into(),
        clusters: [cluster("a", Balancer::default(), &[(0, 1)])].into_iter().collect(),
        looked_up: Arc::new(LookedUp::new(looked_up.iter().map(|host| (*host).into()))),
    })
}

fn world(hosts: &[&str], looked_up: &[&str]) -> World {
    let mut world = World::new(1);
    world.adopt(picture(hosts, looked_up, &split(&[(Some(0), 1)])), NOW);
    world
}

fn fault(step: Step) -> Option<(u16, Cause)> {
    match step {
        Step::Answer(answer) => Some((answer.status, answer.fault?.cause)),
        Step::Wait(_) | Step::Try(_) => None,
    }
}

fn waits_until(step: Step) -> Option<Instant> {
    match step {
        Step::Wait(until) => Some(until),
        Step::Try(_) | Step::Answer(_) => None,
    }
}

#[test]
fn an_unknown_host_waits_and_is_routed_when_it_is_found() {
    let mut world = world(&[], &[]);
    let mut flow = Flow::open(&GET, 0, &mut world, NOW);
    assert_eq!(waits_until(flow.next(&mut world, NOW)), Some(NOW + PATIENCE));
    let now = NOW + Duration::from_secs(1);
    // A picture that says nothing of it.
    world.adopt(picture(&["b.io"], &["c.io"], &split(&[(Some(0), 1)])), now);
    assert!(flow.look_again(&GET, 0, &mut world, now));
    assert_eq!(waits_until(flow.next(&mut world, now)), Some(NOW + PATIENCE), "from its beginning");
    world.adopt(picture(&["a.io"], &[], &split(&[(Some(0), 1)])), now);
    assert!(!flow.look_again(&GET, 0, &mut world, now));
    assert!(matches!(flow.next(&mut world, now), Step::Try(_)));
}

#[test]
fn a_host_that_was_looked_up_is_not_waited_for() {
    let mut world = world(&[], &["a.io"]);
    let step = Flow::open(&GET, 0, &mut world, NOW).next(&mut world, NOW);
    assert_eq!(fault(step), Some((404, Cause::NoRoute)));
    // Nor is one of which the routes do not fit.
    let mut world = self::world(&["a.io"], &[]);
    let other = RequestHead { target: b"/other", ..GET };
    let step = Flow::open(&other, 0, &mut world, NOW).next(&mut world, NOW);
    assert_eq!(fault(step), Some((404, Cause::NoRoute)));
    // Nor what cannot be a host.
    let odd = RequestHead { authority: b"a b", ..GET };
    let step = Flow::open(&odd, 0, &mut world, NOW).next(&mut world, NOW);
    assert_eq!(fault(step), Some((404, Cause::NoRoute)));
}

#[test]
fn a_picture_that_knows_it_to_be_nothing_ends_the_wait() {
    let mut world = world(&[], &[]);
    let mut flow = Flow::open(&GET, 0, &mut world, NOW);
    world.adopt(picture(&[], &["a.io"], &Rule::default()), NOW);
    assert!(!flow.look_again(&GET, 0, &mut world, NOW));
    assert_eq!(fault(flow.next(&mut world, NOW)), Some((404, Cause::NoRoute)));
}

#[test]
fn the_wait_has_an_end_and_says_why() {
    let mut world = world(&[], &[]);
    let mut flow = Flow::open(&GET, 0, &mut world, NOW);
    let late = NOW + PATIENCE;
    assert!(!flow.look_again(&GET, 0, &mut world, late));
    assert_eq!(fault(flow.next(&mut world, late)), Some((503, Cause::LookupTimeout)));
    let mut flow = Flow::open(&GET, 0, &mut world, NOW);
    flow.not_looked_up();
    assert_eq!(fault(flow.next(&mut world, NOW)), Some((404, Cause::NoRoute)));
}

#[test]
fn a_client_with_less_time_is_answered_in_its_time() {
    let (name, value) = (&b"grpc-timeout"[..], &b"1S"[..]);
    let fields = [Field { name, value, line: (0, 0), tag: Tag::Other }];
    let post = head(b"POST");
    let hasty = RequestHead { version: Version::Http2, fields: &fields, ..post };
    let mut world = world(&[], &[]);
    let mut flow = Flow::open(&hasty, 0, &mut world, NOW);
    let second = NOW + Duration::from_secs(1);
    assert_eq!(waits_until(flow.next(&mut world, NOW)), Some(second));
    assert!(!flow.look_again(&hasty, 0, &mut world, second));
    assert_eq!(fault(flow.next(&mut world, second)), Some((504, Cause::RequestTimeout)));
}

#[test]
fn a_use_is_noted() {
    let usage = Usage::default();
    let rule = Rule { usage: Some(usage.clone()), ..split(&[(Some(0), 1)]) };
    let mut world = World::new(1);
    world.adopt(picture(&["a.io"], &[], &rule), NOW);
    assert!(!usage.take());
    let _ = Flow::open(&GET, 0, &mut world, NOW);
    assert!(usage.take());
}
