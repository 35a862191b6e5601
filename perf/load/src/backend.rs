//! The server that the load generator is made for: answers of any size, slow and streaming ones,
//! hashes of what was uploaded, at the least possible cost a request.

pub mod body;
pub mod client;
pub mod exchange;
pub mod inbound;
pub mod path;
pub mod reply;
pub mod serve;
pub mod streams;
