//! Ports for the proxy under test: below the kernel's ephemeral range, so that no outgoing
//! connection of another test takes one between the choice and the bind.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An address on 127.0.0.1 on which nobody listens.
///
/// # Panics
/// When no port is free.
#[must_use]
pub fn free() -> SocketAddr {
    let start = std::process::id().wrapping_mul(211);
    for _ in 0..5_000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + u16::try_from(start.wrapping_add(step) % 18_000).unwrap_or(0);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port");
}
