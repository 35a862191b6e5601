//! Where traffic goes: shares by weight, away from what is slow or broken, and what is kept from
//! snapshot to snapshot.

use std::collections::BTreeMap;

use ringway_core::cluster::World;
use ringway_core::exchange::{End, Flow, Sent, Step};
use ringway_core::message::{Cause, Fault, Stage};
use ringway_core::rng::Rng;
use ringway_core::snapshot::Balancer;
use ringway_core::time::{Duration, Instant};

use crate::world::{GET, cluster, number, snapshot, split};

/// Sends `count` requests, one every millisecond, to endpoints that answer after `latency(n)`
/// milliseconds or refuse (`None`); counts attempts by endpoint.
fn drive(
    world: &mut World,
    start: Instant,
    count: u64,
    latency: impl Fn(u16) -> Option<u64>,
) -> BTreeMap<u16, u64> {
    let mut shares = BTreeMap::new();
    let mut pending: Vec<(Instant, Flow)> = Vec::new();
    for at in 0..count {
        let now = start + Duration::from_millis(at);
        for (_, mut flow) in pending.extract_if(.., |(due, _)| *due <= now) {
            flow.heard(200, world, now);
            flow.close(End { status: Some(200), ..End::default() }, world, now);
        }
        let mut flow = Flow::open(&GET, 0, world, now);
        while let Step::Try(attempt) = flow.next(world, now) {
            let n = number(attempt.address);
            *shares.entry(n).or_default() += 1;
            if let Some(ms) = latency(n) {
                pending.push((now + Duration::from_millis(ms), flow));
                break;
            }
            let fault = Fault::upstream(Stage::Connect, Cause::Refused);
            flow.failed(fault, Sent::nothing(false), world, now);
        }
    }
    for (due, flow) in pending {
        flow.close(End::default(), world, due);
    }
    shares
}

fn world(seed: u64, balancer: Balancer, endpoints: &[(u16, u32)]) -> World {
    let mut world = World::new(seed);
    let clusters = vec![cluster("a", balancer, endpoints)];
    world.adopt(snapshot(1, split(&[(Some(0), 1)]), clusters), Instant::ZERO);
    world
}

const TEN: [(u16, u32); 10] =
    [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1), (9, 1)];

#[test]
fn traffic_moves_away_from_a_slow_endpoint() {
    for seed in crate::seeds() {
        let mut world = world(seed, Balancer::default(), &TEN);
        let slow = |n| Some(if n == 0 { 500 } else { 5 });
        let shares = drive(&mut world, Instant::ZERO, 5_000, slow);
        let share = shares.get(&0).copied().unwrap_or(0);
        assert!(share < 5_000 / 10 / 3, "SIM_SEED={seed}: {shares:?}");
    }
}

#[test]
fn a_refusing_endpoint_does_not_look_fast() {
    for seed in crate::seeds() {
        let mut world = world(seed, Balancer::default(), &TEN);
        let shares = drive(&mut world, Instant::ZERO, 5_000, |n| (n != 0).then_some(5));
        let share = shares.get(&0).copied().unwrap_or(0);
        assert!(share < 5_000 / 10 / 3, "SIM_SEED={seed}: {shares:?}");
    }
}

#[test]
fn alike_endpoints_share_by_weight() {
    for balancer in [Balancer::default(), Balancer::LeastRequest, Balancer::RoundRobin] {
        let mut world = world(11, balancer, &[(0, 1), (1, 2), (2, 5), (3, 0)]);
        let shares = drive(&mut world, Instant::ZERO, 8_000, |_| Some(0));
        let got: Vec<u64> = (0..4).map(|n| shares.get(&n).copied().unwrap_or(0)).collect();
        for (got, expected) in got.iter().zip([1_000_u64, 2_000, 5_000, 0]) {
            assert!(got.abs_diff(expected) <= expected / 7, "{balancer:?} {shares:?}");
        }
    }
}

#[test]
fn backends_share_by_weight() {
    let clusters = || {
        let round = Balancer::RoundRobin;
        vec![cluster("a", round, &[(0, 1)]), cluster("b", round, &[(1, 1)])]
    };
    let rule = split(&[(Some(0), 9), (Some(1), 1), (None, 10)]);
    let mut world = World::new(5);
    world.adopt(snapshot(1, rule, clusters()), Instant::ZERO);
    let shares = drive(&mut world, Instant::ZERO, 20_000, |_| Some(0));
    // Standard deviations are 70 and 31.
    assert!(shares[&0].abs_diff(9_000) < 350 && shares[&1].abs_diff(1_000) < 155, "{shares:?}");
}

#[test]
fn what_was_learned_survives_with_the_endpoint() {
    let mut world = world(1, Balancer::default(), &TEN[..3]);
    drive(&mut world, Instant::ZERO, 1_000, |n| Some(if n == 0 { 300 } else { 2 }));
    let now = Instant::ZERO + Duration::from_secs(2);
    let state = |world: &World| -> Vec<_> {
        let cluster = world.clusters()[0];
        let members = world.members(cluster);
        members.map(|e| (number(e.address()), e.id(), e.latency())).collect()
    };
    let before = state(&world);
    let clusters = vec![
        cluster("new", Balancer::RoundRobin, &TEN),
        cluster("a", Balancer::default(), &[(0, 1), (2, 4), (3, 1)]),
    ];
    let adopted = world.adopt(snapshot(2, split(&[(Some(0), 1)]), clusters), now);
    assert_eq!((adopted.removed, adopted.added), (vec![before[1].1], 11));
    let after = state(&world);
    assert_eq!((after[0], after[1]), (before[0], before[2]), "0 and 2 keep id and latency");
    assert_eq!((after[2].0, after[2].2), (3, None));
    assert!(before[0].2.unwrap() >= Duration::from_millis(250), "{before:?}");
}

#[test]
fn adopting_needs_no_order_and_is_idempotent() {
    let orders = [[(0, 1), (1, 1), (2, 1)], [(2, 1), (0, 1), (1, 1)], [(1, 1), (2, 1), (0, 1)]];
    let mut world = world(1, Balancer::default(), &orders[0]);
    for (generation, order) in (2..).zip(orders.iter().cycle().take(9)) {
        let clusters = vec![cluster("a", Balancer::default(), order)];
        let next = snapshot(generation, split(&[(Some(0), 1)]), clusters);
        let adopted = world.adopt(next, Instant::ZERO);
        assert_eq!((adopted.removed.len(), adopted.added), (0, 0));
    }
}

#[test]
fn ids_are_not_used_twice() {
    let mut world = World::new(1);
    let mut rng = Rng::new(1);
    let mut seen = std::collections::BTreeSet::new();
    for generation in 1..200 {
        let n = rng.below(3) as u16;
        let clusters = vec![cluster("a", Balancer::default(), &[(n, 1)])];
        let next = snapshot(generation, split(&[(Some(0), 1)]), clusters);
        let added = world.adopt(next, Instant::ZERO).added;
        let cluster = world.clusters()[0];
        let id = world.members(cluster).next().unwrap().id();
        assert_eq!(seen.insert(id), added == 1);
    }
}
