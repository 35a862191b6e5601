//! Round-robin. With different weights each endpoint's next turn has a due time, one over its
//! weight after its last, and the earliest is taken: as smooth as smooth weighted round-robin
//! without visiting every endpoint for each pick.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::rng::Rng;

/// The time between the turns of an endpoint of weight 1. In 128 bits it never runs out.
const PERIOD: u128 = 1 << 40;

#[derive(Debug)]
pub(super) enum Turns {
    Equal { next: usize, count: usize },
    Weighted { due: BinaryHeap<Reverse<(u128, u32)>>, periods: Vec<u128> },
}

impl Turns {
    pub(super) fn equal(count: usize, rng: &mut Rng) -> Self {
        Self::Equal { next: rng.below(count as u64) as usize, count }
    }

    /// For weights of which none is 0. First turns are spread at random over one period each.
    pub(super) fn weighted(weights: &[u32], rng: &mut Rng) -> Self {
        let periods: Vec<u128> =
            weights.iter().map(|&weight| PERIOD / u128::from(weight)).collect();
        let first = |period: u128| u128::from(rng.below(period as u64));
        let due = periods.iter().copied().map(first).zip(0..).map(Reverse).collect();
        Self::Weighted { due, periods }
    }

    /// Whose turn it is. Those barred are passed over, unless all are.
    pub(super) fn next(&mut self, barred: &impl Fn(usize) -> bool) -> usize {
        match self {
            Self::Equal { next, count } => {
                let from = *next;
                let turn = (0..*count).map(|step| (from + step) % *count).find(|&at| !barred(at));
                let turn = turn.unwrap_or(from);
                *next = (turn + 1) % (*count).max(1);
                turn
            }
            Self::Weighted { due, periods } => {
                let mut passed = Vec::new();
                let mut turn = None;
                while let Some(Reverse((when, at))) = due.pop() {
                    if !barred(at as usize) {
                        turn = Some((when, at));
                        break;
                    }
                    passed.push(Reverse((when, at)));
                }
                let (when, at) = turn.unwrap_or_else(|| passed.remove(0).0);
                due.extend(passed);
                due.push(Reverse((when + periods[at as usize], at)));
                at as usize
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Turns;
    use crate::rng::Rng;

    #[test]
    fn equal_turns_go_round() {
        let mut turns = Turns::equal(3, &mut Rng::new(1));
        let first: Vec<usize> = (0..3).map(|_| turns.next(&|_| false)).collect();
        let second: Vec<usize> = (0..3).map(|_| turns.next(&|_| false)).collect();
        assert_eq!(first, second);
        assert_eq!(first.iter().sum::<usize>(), 3, "each once");
    }

    #[test]
    fn weighted_turns_are_exact_and_smooth() {
        for seed in 0..64 {
            let mut turns = Turns::weighted(&[5, 1, 2], &mut Rng::new(seed));
            let mut count = [0_u32; 3];
            let mut run = 0;
            for _ in 0..800 {
                let at = turns.next(&|_| false);
                count[at] += 1;
                run = if at == 0 { run + 1 } else { 0 };
                assert!(run <= 5, "the heavy one leaves room for the others");
            }
            for (got, expected) in count.into_iter().zip([500_u32, 100, 200]) {
                assert!(got.abs_diff(expected) <= 2, "{count:?}");
            }
        }
    }

    #[test]
    fn the_barred_are_passed_over_unless_all_are() {
        let mut rng = Rng::new(7);
        for mut turns in [Turns::equal(3, &mut rng), Turns::weighted(&[5, 1, 2], &mut rng)] {
            for _ in 0..32 {
                assert_ne!(turns.next(&|at| at == 0), 0);
                assert!(turns.next(&|_| true) < 3);
            }
        }
    }
}
