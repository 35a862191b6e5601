//! ringway's decisions: everything that can be decided without a clock, a socket or a thread.
//!
//! ```text
//! time, rng ─► message ─┬─► wire/                              (bytes ⇄ message)
//!                       └─► policy/ ─► snapshot ─► cluster ─► exchange   (none may see wire/)
//!                           record ──────────────────────────────┘
//! ```
//! `a ─► b` reads "b may use a". The caller hands in `now` and the seed of all randomness.

#![forbid(unsafe_code)]

pub mod cluster;
pub mod exchange;
#[doc(hidden)]
pub mod fuzzing;
pub mod message;
pub mod policy;
pub mod record;
pub mod rng;
pub mod snapshot;
pub mod time;
pub mod wire;
