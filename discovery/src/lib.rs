//! Discovery learns: the one thread that watches, and tells the workers what the world looks like.
//!
//! ```text
//! source/{files,fixed,kubernetes,names} ─► Event ─► index ─► settle ─► compile ─► Snapshot ─► mailbox (one per worker)
//! ```
//! Every source produces the same events. `index`, `settle` and `compile` are pure.

#![forbid(unsafe_code)]

mod asker;
mod check;
mod compile;
mod demand;
#[cfg(test)]
#[path = "../tests/directory/mod.rs"]
mod directory;
mod event;
mod graves;
mod handle;
mod index;
pub mod mailbox;
mod manifest;
mod object;
mod settings;
mod settle;
mod source;
mod status;
mod thread;

pub use asker::{Asked, Asker, asker};
pub use check::{Summary, check};
pub use compile::{Compiler, compile};
pub use demand::Lookups;
pub use event::{Event, SourceId};
pub use graves::Graves;
pub use handle::{Handle, spawn, spawn_asked};
pub use index::Index;
pub use manifest::{Found, ManifestError, read};
pub use object::{
    Addresses, Backend, BackendTlsPolicy, BackendTrafficPolicy, Endpoint, EndpointSlice, External,
    Hints, Kind, NamespacedName, Object, ParentKind, ParentRef, PolicyTarget, Retry, RetryBudget,
    Route, RouteKind, RouteMirror, RouteRule, Service, ServiceKind, ServicePort, SlicePort,
};
pub use settings::Settings;
pub use settle::Settle;
pub use source::fixed::lower;
pub use source::kubernetes::{Inspection, inspect};
pub use status::{SourceStatus, Status, WatchState, WatchStatus};
