//! HTTP/2 with prior knowledge, as little of it as a load generator and its backend need: frames
//! and header blocks for both, a client's connections, and the loop that keeps their streams busy.

pub mod drive;
pub mod frame;
pub mod hpack;
pub mod huffman;
pub mod message;
pub mod outcome;
pub mod outflow;
pub mod session;
pub mod statics;
