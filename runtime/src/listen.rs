//! Listening sockets: one for each worker on the same address, so that the kernel spreads the
//! connections without a lock.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections whose handshake is done and that wait to be accepted.
const BACKLOG: i32 = 4096;

/// Sockets for `workers` on `address`; port 0 is chosen by the kernel, the same for all. Whoever
/// else may listen there has to be `ours`.
///
/// # Errors
/// When somebody else listens there: SO_REUSEPORT alone would let a second proxy of the same user
/// take half of the connections without a word.
pub(crate) fn bind(
    address: SocketAddr,
    workers: usize,
    ours: bool,
) -> io::Result<(SocketAddr, Vec<OwnedFd>)> {
    if address.port() != 0 && !ours {
        drop(TcpListener::bind(address)?);
    }
    let first = open(address)?;
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    let mut sockets = vec![OwnedFd::from(first)];
    for _ in 1..workers {
        sockets.push(OwnedFd::from(open(address)?));
    }
    Ok((address, sockets))
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // Accepted sockets inherit it, which saves a system call for each of them.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}
