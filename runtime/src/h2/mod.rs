//! HTTP/2 on the wire, the same for both sides of the proxy: the `h2` crate over direct socket
//! calls, and its streams as sources and sinks of bodies.

mod answer;
mod call;
mod carrier;
mod carriers;
mod chunk;
pub(crate) mod closed;
mod fault;
mod head;
mod held;
mod incoming;
mod left;
mod link;
mod outbox;
mod outgoing;
mod tuned;

pub(crate) use answer::Refused;
pub(crate) use call::{Head, call, send};
pub(crate) use carriers::Carriers;
pub(crate) use chunk::Chunk;
pub(crate) use fault::{fault, reset};
pub(crate) use head::{fields, response_of};
pub(crate) use incoming::Incoming;
pub(crate) use link::{Link, Wire};
pub(crate) use outgoing::{Outgoing, Sender};
pub(crate) use tuned::{is_worn, server, watch_client};
