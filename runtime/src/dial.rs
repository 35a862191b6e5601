//! Connecting to an endpoint. The time limit is the caller's.

use std::io;
use std::net::SocketAddr;

use ringway_core::message::{Cause, Fault, Stage};

use crate::socket::{self, Reader, Writer};

/// A new connection to `address`.
pub(crate) async fn connect(address: SocketAddr) -> Result<(Reader, Writer), Fault> {
    connected(address).await.map_err(|error| fault(&error))
}

async fn connected(address: SocketAddr) -> io::Result<(Reader, Writer)> {
    let (reader, mut writer) = socket::connect(address)?;
    writer.writable().await;
    socket::connect_result(&writer)?;
    Ok((reader, writer))
}

/// Which of our resources ran out is ours; whatever the network says is the endpoint's.
fn fault(error: &io::Error) -> Fault {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EADDRNOTAVAIL) => {
            Fault::us(Stage::Connect, Cause::Exhausted)
        }
        Some(libc::ECONNREFUSED) => Fault::upstream(Stage::Connect, Cause::Refused),
        Some(libc::ECONNRESET) => Fault::upstream(Stage::Connect, Cause::Reset),
        Some(libc::ETIMEDOUT) => Fault::upstream(Stage::Connect, Cause::ConnectTimeout),
        _ => Fault::upstream(Stage::Connect, Cause::Unreachable),
    }
}
