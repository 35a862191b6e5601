//! What a request and a response are, whatever protocol carried them.

mod fault;
mod head;

pub use fault::{Blame, Cause, Fault, Stage};
pub use head::{
    Connection, Field, Framing, Method, RequestHead, ResponseHead, Tag, Upgrade, Version,
};
