//! Bytes to messages and back, without IO.

pub mod h1;
pub mod sniff;
