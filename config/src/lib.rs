//! `ringway.yaml`: read, checked as a whole, and explained.
//!
//! ```text
//! bytes ─► tree ─► check ─► cross ─► decode ─► Config
//!  (YAML, with places)  │
//!                     keys ─► schema.json, reference.md
//! ```
//! `keys` is the one table of all keys; everything else is made from it.

#![forbid(unsafe_code)]

mod change;
mod check;
mod cross;
mod decode;
pub mod duration;
mod error;
mod hint;
mod http2;
mod keys;
mod kubernetes;
mod list;
mod listener;
mod load;
mod networks;
mod ports;
mod reference;
mod scalar;
mod schema;
mod service;
mod settings;
mod shape;
mod tree;

pub use change::{Change, ChangedListener, change};
pub use error::{Errors, Problem, SHOWN};
pub use http2::Http2;
pub use kubernetes::{Kubernetes, Scope};
pub use listener::{ForwardedMode, Kind, Listener, Protocol};
pub use load::{Env, fuzzing, load, read};
pub use networks::{Networks, NotNetworks};
pub use ports::{NotPorts, Ports};
pub use reference::reference;
pub use schema::schema;
pub use service::{Host, HostPort, NotHostPort, StaticEndpoint, StaticService};
pub use settings::{
    AccessFormat, AccessLog, Admin, Config, Discovery, Dns, Driver, Limits, Log, LogFormat, Pin,
    Shutdown, Sink, Timeouts, Workers,
};
