//! The cases, in the order in which a request meets them.

mod adopt;
mod chunked;
mod compile;
mod flow;
mod heads;
mod metrics;
mod pick;
mod rewrite;
mod route;

use crate::Meter;

/// Offers every case to `meter`.
pub fn every_case(meter: &mut impl Meter) {
    heads::cases(meter);
    route::cases(meter);
    pick::cases(meter);
    rewrite::cases(meter);
    chunked::cases(meter);
    flow::cases(meter);
    metrics::cases(meter);
    compile::cases(meter);
    adopt::cases(meter);
}
