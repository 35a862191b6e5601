//! ringway's runtime: it waits. One pinned event loop per core carries the traffic; every decision
//! is asked of `ringway_core`.

// The path of a request (ARCHITECTURE.md has it in its order).
mod accept;
mod call;
mod connection;
mod dial;
mod exchange;
mod mirror;
mod opaque;
mod pool;
mod record;
mod relay;
mod serve;
mod upstream;

// The ground it stands on.
mod access_log;
mod admin;
#[cfg(feature = "count-allocations")]
pub mod allocations;
mod batch;
mod beliefs;
mod buffer;
mod clock;
pub mod cpus;
pub mod fds;
mod fetch;
mod grpc;
mod h1;
mod h2;
mod inbox;
mod lines;
mod listen;
pub mod log;
mod lookups;
pub mod machine;
mod memory;
pub mod metrics;
mod pace;
mod pooled;
mod reactor;
pub mod ring;
mod seat;
mod sends;
mod settings;
mod shares;
mod socket;
mod state;
mod stream;
mod timers;
mod turn;
mod worker;

pub use machine::Machine;
