//! Non-blocking TCP sockets: the few system calls that both binaries make.

use std::io::{self, IoSlice};
use std::net::SocketAddr;

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType,
    sockopt,
};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4_096;

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// Raises the limit of open files as far as this process may.
pub fn raise_limit() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    // What is not granted shows up as a failed connect or accept.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
}

fn stream(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    Ok(net::socket_with(family, SocketType::STREAM, FLAGS, None)?)
}

/// Begins to connect; the socket may be used at once and becomes writable when it is connected.
pub fn connect(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = stream(address)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// Listens; what is accepted inherits `TCP_NODELAY`.
pub fn listen(address: SocketAddr) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = stream(address)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    let bound = SocketAddr::try_from(net::getsockname(&socket)?)?;
    Ok((socket, bound))
}

/// Accepts one connection; `None` when none waits.
pub fn accept(listener: impl AsFd) -> io::Result<Option<OwnedFd>> {
    match net::accept_with(listener, FLAGS) {
        Ok(socket) => Ok(Some(socket)),
        Err(Errno::AGAIN | Errno::CONNABORTED) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a call that would have to wait has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// So many bytes; 0 is the end of what the peer sends.
    Bytes(usize),
    /// Nothing: wait.
    Nothing,
}

fn moved(result: Result<usize, Errno>) -> io::Result<Moved> {
    match result {
        Ok(n) => Ok(Moved::Bytes(n)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(Moved::Nothing),
        Err(error) => Err(error.into()),
    }
}

/// Sends what fits.
pub fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<Moved> {
    moved(net::send(socket, bytes, SendFlags::NOSIGNAL))
}

/// Sends what fits of several pieces, in one call.
pub fn send_all(socket: impl AsFd, pieces: &[IoSlice<'_>]) -> io::Result<Moved> {
    let mut control = SendAncillaryBuffer::default();
    moved(net::sendmsg(socket, pieces, &mut control, SendFlags::NOSIGNAL))
}

/// Receives what is there.
pub fn receive(socket: impl AsFd, into: &mut [u8]) -> io::Result<Moved> {
    moved(net::recv(socket, into, RecvFlags::empty()).map(|(_, n)| n))
}

/// Drops what is there, at most as much as `room` is long, without copying it: `MSG_TRUNC` on
/// TCP, see tcp(7). Nothing is written to `room`.
pub fn discard(socket: impl AsFd, room: &mut [u8]) -> io::Result<Moved> {
    moved(net::recv(socket, room, RecvFlags::TRUNC).map(|(_, n)| n))
}
