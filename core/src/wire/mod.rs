//! Bytes to messages and back, without IO.

pub mod h1;
pub mod h2;
pub mod sniff;
pub mod websocket;
