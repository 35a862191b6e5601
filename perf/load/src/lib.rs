//! The load generator and the backend of the performance harness: everything but the two mains.
//!
//! Pure parts (no clock, no socket): [`plan`], [`response`], [`chunked`], [`mix`], [`request`],
//! [`report`], [`spectrum`], [`backend::path`]. Waiting is in [`drive`] and [`backend::serve`],
//! both over the edge-triggered [`poller`].

pub mod amount;
pub mod backend;
pub mod chunked;
pub mod cli;
pub mod connection;
pub mod drive;
pub mod fnv;
pub mod h2;
pub mod http1;
pub mod json;
pub mod ledger;
pub mod mix;
pub mod plan;
pub mod poller;
pub mod protocol;
pub mod report;
pub mod request;
pub mod response;
pub mod run;
pub mod socket;
pub mod spectrum;
pub mod tally;
pub mod target;
pub mod unit;
pub mod verify;
