//! Draws a number by weight in constant time: Vose's alias method, in integers and so exact.

use crate::rng::Rng;

/// One column per weight: its own number below the threshold, another's above.
#[derive(Debug)]
pub(super) struct Alias {
    columns: Vec<(u64, u32)>,
    total: u64,
}

impl Alias {
    /// For weights of which none is 0; linear in their number.
    pub(super) fn new(weights: &[u32]) -> Self {
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let count = weights.len() as u64;
        let mut columns: Vec<(u64, u32)> =
            (0..).zip(weights).map(|(at, &weight)| (u64::from(weight) * count, at)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|&at| columns[at].0 < total);
        while let (Some(&to), Some(&from)) = (small.last(), large.last()) {
            small.pop();
            columns[to].1 = from as u32;
            columns[from].0 -= total - columns[to].0;
            if columns[from].0 < total {
                large.pop();
                small.push(from);
            }
        }
        Self { columns, total }
    }

    pub(super) fn draw(&self, rng: &mut Rng) -> usize {
        let at = rng.below(self.columns.len() as u64) as usize;
        let (threshold, other) = self.columns[at];
        if rng.below(self.total) < threshold { at } else { other as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::Alias;

    #[test]
    fn shares_are_exact() {
        for weights in [vec![1, 9], vec![1, 1, 1], vec![5, 1, 7, 100, 3], vec![u32::MAX, 1]] {
            let alias = Alias::new(&weights);
            let mut share = vec![0_u64; weights.len()];
            for (at, &(threshold, other)) in alias.columns.iter().enumerate() {
                let own = threshold.min(alias.total);
                share[at] += own;
                share[other as usize] += alias.total - own;
            }
            let expected: Vec<u64> =
                weights.iter().map(|&weight| u64::from(weight) * weights.len() as u64).collect();
            assert_eq!(share, expected, "{weights:?}");
        }
    }
}
