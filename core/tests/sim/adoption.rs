//! A snapshot adopted in turns: requests in between find their way, and the end is the same.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use ringway_core::cluster::World;
use ringway_core::exchange::{End, Flow, Step};
use ringway_core::rng::Rng;
use ringway_core::snapshot::{Backend, Balancer, Cluster, ClusterId, Filters, Rule, Snapshot};
use ringway_core::time::Instant;

use crate::world::{GET, address, cluster, snapshot};

const NOW: Instant = Instant::ZERO;

/// The addresses of each cluster, by slot and version.
fn known(world: &World) -> BTreeMap<(usize, NonZeroU32), Vec<SocketAddr>> {
    let clusters = world.clusters().into_iter();
    clusters
        .map(|cluster| {
            let members: Vec<_> = world.members(cluster).collect();
            let id = members[0].cluster();
            ((id.slot(), id.version()), members.iter().map(|m| m.address()).collect())
        })
        .collect()
}

/// Some clusters in four slots, each with an endpoint at least, and a rule that splits among them.
fn random(rng: &mut Rng, generation: u64) -> Arc<Snapshot> {
    let mut clusters: Vec<Cluster> = Vec::new();
    for slot in 0..4 {
        if slot > 0 && rng.below(3) == 0 {
            continue;
        }
        let version = NonZeroU32::new(1 + rng.below(2) as u32).unwrap();
        let first = rng.below(20) as u16;
        let endpoints: Vec<_> = (first..first + 1 + rng.below(20) as u16).map(|n| (n, 1)).collect();
        let id = ClusterId::new(slot, version);
        clusters.push(Cluster { id, ..cluster("a", Balancer::default(), &endpoints) });
    }
    let to = |cluster: &Cluster| Backend {
        cluster: Some(cluster.id),
        weight: 1,
        filters: Filters::default(),
    };
    let rule = Rule { backends: clusters.iter().map(to).collect(), ..Rule::default() };
    snapshot(generation, rule, clusters)
}

fn has(snapshot: &Snapshot, address: SocketAddr) -> bool {
    let mut endpoints = snapshot.clusters.iter().flat_map(|cluster| &cluster.endpoints);
    endpoints.any(|endpoint| endpoint.address == address)
}

#[test]
fn requests_find_an_endpoint_at_any_point_of_an_adoption() {
    for seed in crate::seeds() {
        let mut rng = Rng::new(seed);
        let mut present = random(&mut rng, 1);
        let (mut at_once, mut in_turns) = (World::new(seed), World::new(seed));
        at_once.adopt(Arc::clone(&present), NOW);
        in_turns.adopt(Arc::clone(&present), NOW);
        let mut pending = Vec::new();
        for generation in 2..20 {
            let next = random(&mut rng, generation);
            let whole = at_once.adopt(Arc::clone(&next), NOW);
            let (mut removed, mut added) = (0, 0);
            let mut adoption = in_turns.begin_adoption(Arc::clone(&next));
            while !adoption.is_done() {
                let step = 1 + rng.below(9) as usize;
                let adopted = in_turns.advance(&mut adoption, step, NOW);
                removed += adopted.removed.len();
                added += adopted.added;
                let mut flow = Flow::open(&GET, 0, &mut in_turns, NOW);
                let Step::Try(attempt) = flow.next(&mut in_turns, NOW) else {
                    panic!("SIM_SEED={seed}: no endpoint in generation {generation}");
                };
                assert!(has(&present, attempt.address) || has(&next, attempt.address));
                pending.push(flow);
            }
            assert!(Arc::ptr_eq(&adoption.into_old(), &present));
            assert_eq!(known(&in_turns), known(&at_once), "SIM_SEED={seed}");
            assert_eq!((removed, added), (whole.removed.len(), whole.added), "SIM_SEED={seed}");
            // Some end under the next adoption.
            for flow in pending.split_off(pending.len() / 2) {
                flow.close(End::default(), &mut in_turns, NOW);
            }
            present = next;
        }
    }
}

#[test]
fn a_turn_is_bounded_also_within_a_cluster() {
    const ALL: u16 = 10_000;
    const TURN: usize = 512;
    let large = |generation, first: u16| {
        let endpoints: Vec<_> = (first..first + ALL).map(|n| (n, 1)).collect();
        let cluster = cluster("a", Balancer::default(), &endpoints);
        let backend = Backend { cluster: Some(cluster.id), weight: 1, filters: Filters::default() };
        snapshot(generation, Rule { backends: vec![backend], ..Rule::default() }, vec![cluster])
    };
    let mut world = World::new(1);
    world.adopt(large(1, 0), NOW);
    let mut adoption = world.begin_adoption(large(2, ALL));
    let mut turns = 0;
    while !adoption.is_done() {
        let adopted = world.advance(&mut adoption, TURN, NOW);
        assert!(adopted.removed.len() <= TURN);
        turns += 1;
        // Until the last of its endpoints is known the cluster is as it was.
        let members: Vec<_> = world.members(world.clusters()[0]).map(|m| m.address()).collect();
        assert_eq!(members.len(), usize::from(ALL));
        assert!(members[0] == address(0) || members[0] == address(ALL));
    }
    // Each of them comes and goes, and the picker is made.
    assert!((3 * usize::from(ALL) / TURN..6 * usize::from(ALL) / TURN).contains(&turns), "{turns}");
}

#[test]
fn what_is_shared_costs_nothing() {
    let mut rng = Rng::new(3);
    let one = random(&mut rng, 1);
    let mut world = World::new(1);
    world.adopt(Arc::clone(&one), NOW);
    let view = Arc::as_ptr(world.view().listeners());
    let two = Snapshot {
        generation: 2,
        listeners: Arc::clone(&one.listeners),
        clusters: one.clusters.clone(),
        looked_up: Arc::clone(&one.looked_up),
    };
    let mut adoption = world.begin_adoption(Arc::new(two));
    world.advance(&mut adoption, 3, NOW);
    assert!(adoption.is_done(), "three looks: for what is new, for the routes, for what is gone");
    assert_eq!((world.snapshot().generation, Arc::as_ptr(world.view().listeners())), (2, view));
}
