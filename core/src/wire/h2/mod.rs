//! HTTP/2 (RFC 9113): from header lists to heads and back, and the guard against floods. Frames
//! and HPACK are the `h2` crate's; what a message means is decided here, as for HTTP/1.1.
//!
//! [`request`], [`response`] and [`trailers`] read, [`encode`] writes, [`flood`] and [`sent`] count,
//! [`resets`] paces, [`mesh`] says what a header list does not.

pub mod encode;
mod field;
pub mod flood;
pub mod mesh;
pub mod request;
pub mod resets;
pub mod response;
pub mod sent;
pub mod trailers;
