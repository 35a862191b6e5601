//! HTTP/1.1 (RFC 9112): heads, framing, chunks and the writing of heads.
//!
//! [`head`] reads, [`chunked`] follows a body, [`encode`] and [`answer`] write; [`framing`],
//! [`names`] and [`target`] hold the rules they share.

pub mod answer;
pub mod chunked;
pub mod encode;
pub mod framing;
pub mod head;
pub mod names;
pub mod target;
pub(super) mod trailers;
