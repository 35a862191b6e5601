//! Shares, exclusion and shifting of the balancers.

use super::Picker;
use crate::policy::load::{Load, Params};
use crate::rng::Rng;
use crate::snapshot::Balancer;
use crate::time::{Duration, Instant};

const NOW: Instant = Instant::ZERO;

fn balancers() -> [Balancer; 3] {
    [Balancer::default(), Balancer::LeastRequest, Balancer::RoundRobin]
}

fn loads(count: usize) -> Vec<Load> {
    vec![Load::new(Duration::from_millis(30), NOW); count]
}

/// How often each endpoint is picked in `picks` picks.
fn shares(balancer: Balancer, weights: &[u32], loads: &[Load], picks: usize) -> Vec<usize> {
    let mut rng = Rng::new(42);
    let mut picker = Picker::new(balancer, weights.iter().copied(), &mut rng);
    let mut share = vec![0; weights.len()];
    for _ in 0..picks {
        let load = |at: usize| &loads[at];
        if let Some(at) = picker.pick(&mut rng, &load, &|_| false, &Params::default(), NOW) {
            share[at] += 1;
        }
    }
    share
}

#[test]
fn shares_follow_weights_while_endpoints_are_alike() {
    for balancer in balancers() {
        for weights in [vec![1, 1, 1, 1], vec![1, 3], vec![0, 9, 1, 0, 10], vec![7]] {
            let share = shares(balancer, &weights, &loads(weights.len()), 40_000);
            let total: u32 = weights.iter().sum();
            for (got, weight) in share.iter().zip(&weights) {
                let expected = 40_000.0 * f64::from(*weight) / f64::from(total);
                let off = (*got as f64 - expected).abs();
                assert!(off <= expected * 0.05 + 1.0, "{balancer:?} {weights:?} {share:?}");
            }
        }
    }
}

#[test]
fn no_endpoint_or_no_weight_gives_none() {
    for balancer in balancers() {
        assert_eq!(shares(balancer, &[], &[], 10), Vec::<usize>::new());
        assert_eq!(shares(balancer, &[0, 0], &loads(2), 10), [0, 0]);
    }
}

#[test]
fn the_less_loaded_of_two_is_taken() {
    let mut busy = loads(2);
    busy[0].begin();
    for balancer in [Balancer::default(), Balancer::LeastRequest] {
        assert_eq!(shares(balancer, &[1, 1], &busy, 100), [0, 100]);
    }
    let mut slow = loads(2);
    slow[1].observe(Duration::from_millis(200), &Params::default(), NOW);
    assert_eq!(shares(Balancer::default(), &[1, 1], &slow, 100), [100, 0]);
}

#[test]
fn a_barred_endpoint_is_taken_only_if_there_is_no_other() {
    for balancer in balancers() {
        for weights in [vec![1, 1, 1], vec![1000, 1, 1]] {
            let mut rng = Rng::new(3);
            let all = loads(3);
            let mut picker = Picker::new(balancer, weights.into_iter(), &mut rng);
            let mut pick = |barred: &dyn Fn(usize) -> bool| {
                let load = |at: usize| &all[at];
                picker.pick(&mut rng, &load, &|at| barred(at), &Params::default(), NOW)
            };
            for _ in 0..200 {
                assert_ne!(pick(&|at| at == 0), Some(0));
                assert_eq!(pick(&|at| at != 2), Some(2));
                assert!(pick(&|_| true).is_some());
            }
        }
    }
}
