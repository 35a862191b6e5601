//! HTTP/2 (RFC 9113): from header lists to heads and back, and the guard against floods. Frames
//! and HPACK are the `h2` crate's; what a message means is decided here, as for HTTP/1.1.
//!
//! [`request`], [`response`] and [`trailers`] read, [`encode`] writes, [`flood`] counts.

pub mod encode;
mod field;
pub mod flood;
pub mod request;
pub mod response;
pub mod trailers;
