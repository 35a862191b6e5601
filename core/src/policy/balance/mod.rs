//! Which endpoint of a cluster takes the next request. Constant time for any number of endpoints,
//! except weighted round-robin, which is logarithmic.

mod alias;
mod turns;

use alias::Alias;
use turns::Turns;

use crate::policy::load::{Load, Params};
use crate::rng::Rng;
use crate::snapshot::Balancer;
use crate::time::Instant;

/// Chooses among endpoints numbered by their place in the cluster. Rebuilt when endpoints or
/// weights change; what endpoints are like is not kept here.
#[derive(Debug, Default)]
pub struct Picker {
    /// The places of the endpoints that have a weight.
    eligible: Vec<u32>,
    method: Method,
}

#[derive(Debug)]
enum Method {
    Turns(Turns),
    TwoChoices { draw: Draw, cost: Cost },
}

impl Default for Method {
    fn default() -> Self {
        Self::TwoChoices { draw: Draw::Equal, cost: Cost::Outstanding }
    }
}

/// How the two candidates are drawn.
#[derive(Debug)]
enum Draw {
    /// Two different ones.
    Equal,
    /// Each by weight, so both may be the same: shares follow the weights while costs are equal,
    /// and no difference in cost takes the heavier endpoint's whole share.
    Weighted {
        alias: Alias,
        /// Mean weight ÷ weight: what one outstanding request means to an endpoint.
        scale: Vec<f64>,
    },
}

/// What makes an endpoint the worse of two.
#[derive(Clone, Copy, Debug)]
enum Cost {
    Outstanding,
    PeakEwma,
}

impl Picker {
    /// A picker for endpoints with these weights. Where round-robin starts follows from `rng`,
    /// so that workers do not march in step.
    pub fn new(balancer: Balancer, weights: impl Iterator<Item = u32>, rng: &mut Rng) -> Self {
        let (mut eligible, mut kept) = (Vec::new(), Vec::new());
        for (at, weight) in (0..).zip(weights) {
            if weight > 0 {
                eligible.push(at);
                kept.push(weight);
            }
        }
        let equal = kept.windows(2).all(|pair| pair[0] == pair[1]);
        let cost = match balancer {
            Balancer::RoundRobin => {
                let turns =
                    if equal { Turns::equal(kept.len(), rng) } else { Turns::weighted(&kept, rng) };
                return Self { eligible, method: Method::Turns(turns) };
            }
            Balancer::LeastRequest => Cost::Outstanding,
            Balancer::PeakEwma { .. } => Cost::PeakEwma,
        };
        let draw = if equal {
            Draw::Equal
        } else {
            let total: f64 = kept.iter().map(|&weight| f64::from(weight)).sum();
            let mean = total / kept.len() as f64;
            let scale = kept.iter().map(|&weight| mean / f64::from(weight)).collect();
            Draw::Weighted { alias: Alias::new(&kept), scale }
        };
        Self { eligible, method: Method::TwoChoices { draw, cost } }
    }

    /// The place of the endpoint to use; one that is `barred` only if all are. `None` when no
    /// endpoint has a weight.
    pub fn pick<'a>(
        &mut self,
        rng: &mut Rng,
        load: &impl Fn(usize) -> &'a Load,
        barred: &impl Fn(usize) -> bool,
        params: &Params,
        now: Instant,
    ) -> Option<usize> {
        let eligible = &self.eligible;
        let place = |at: usize| eligible[at] as usize;
        let barred = |at: usize| barred(place(at));
        let at = match (&mut self.method, eligible.len()) {
            (_, 0) => return None,
            (_, 1) => 0,
            (Method::Turns(turns), _) => turns.next(&barred),
            (Method::TwoChoices { draw, cost }, count) => {
                let (a, b) = draw.two(count, rng);
                match (barred(a), barred(b)) {
                    (false, true) => a,
                    (true, false) => b,
                    (true, true) => first_open(a, count, &barred),
                    (false, false) => {
                        let of = |at| cost.of(load(place(at)), draw.scale(at), params, now);
                        if a != b && of(b) < of(a) * draw.margin() { b } else { a }
                    }
                }
            }
        };
        Some(place(at))
    }
}

/// The first one after `from` that is not barred, else `from`. Few are ever barred.
fn first_open(from: usize, count: usize, barred: &impl Fn(usize) -> bool) -> usize {
    (1..count).map(|step| (from + step) % count).find(|&at| !barred(at)).unwrap_or(from)
}

impl Draw {
    fn two(&self, count: usize, rng: &mut Rng) -> (usize, usize) {
        match self {
            Self::Equal => {
                let (a, b) = rng.pair(count as u64);
                (a as usize, b as usize)
            }
            Self::Weighted { alias, .. } => (alias.draw(rng), alias.draw(rng)),
        }
    }

    /// How much cheaper the second candidate has to be. With weights clearly cheaper: otherwise
    /// the noise between endpoints that are alike would decide, and level their shares.
    const fn margin(&self) -> f64 {
        match self {
            Self::Equal => 1.0,
            Self::Weighted { .. } => 0.8,
        }
    }

    fn scale(&self, at: usize) -> f64 {
        match self {
            Self::Equal => 1.0,
            Self::Weighted { scale, .. } => scale[at],
        }
    }
}

impl Cost {
    fn of(self, load: &Load, scale: f64, params: &Params, now: Instant) -> f64 {
        let outstanding = f64::from(load.outstanding()) * scale;
        match self {
            Self::Outstanding => outstanding,
            Self::PeakEwma => load.estimate(params, now) * (outstanding + 1.0),
        }
    }
}

#[cfg(test)]
mod tests;
