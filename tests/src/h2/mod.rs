//! A raw HTTP/2 client: it sends the bytes it is told to, and reads what comes back as frames.

pub mod endpoint;
pub mod hpack;
pub mod judge;
pub mod session;
pub mod vector;
pub mod wire;
