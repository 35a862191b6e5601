//! What the proxy counts: cells that each worker writes alone, summed when somebody asks.
//!
//! ```text
//! worker ─► Series, WorkerMetrics (cells) ─► Registry (groups by labels) ─► text, totals
//! ```
//! Names, labels and buckets are linkerd2-proxy's where it has them; ours begin with `ringway_`.
//! No label ever holds a string that a client sent.

mod cell;
mod discovery;
mod expose;
mod histogram;
mod labels;
mod listener;
mod process;
mod registry;
mod series;
mod sums;
mod text;
mod worker;

pub(crate) use discovery::text as discovery_text;
pub use histogram::Histogram;
pub(crate) use listener::Decision;
pub use registry::{EndpointTotals, Registry};
pub(crate) use series::ListenerLabels;
pub use series::{EndpointLabels, Outcome, Series};
pub(crate) use text::CONTENT_TYPE;
pub use worker::WorkerMetrics;
pub(crate) use worker::{Counter, Driver, Gauge};
