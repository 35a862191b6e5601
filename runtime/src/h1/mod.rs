//! HTTP/1.1 on the wire, the same for both sides of the proxy: messages that come in and messages
//! that go out over a socket's halves.

mod incoming;
mod outgoing;

pub(crate) use incoming::Incoming;
pub(crate) use outgoing::Outgoing;
