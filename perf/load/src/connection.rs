//! One connection of the load: its socket, its protocol, its place in the schedule.

use std::io;
use std::net::SocketAddr;

use rustix::fd::OwnedFd;

use crate::ledger::Sent;
use crate::poller::Poller;
use crate::protocol::Protocol;

/// What a connection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has no socket and gets one at the next sweep.
    Closed,
    /// It has nothing to do.
    Idle,
    /// A request is under way.
    Busy,
    /// Its last response is there; the peer is to close it.
    Ending,
}

/// A connection and everything that is remembered about its request.
#[derive(Debug)]
pub struct Connection<P> {
    /// The socket; none while it is closed.
    pub socket: Option<OwnedFd>,
    /// What it speaks.
    pub protocol: P,
    /// What it is about.
    pub phase: Phase,
    /// Whether it is known to be connected.
    pub established: bool,
    /// Whether a part of the request waits for room in the socket.
    pub blocked: bool,
    /// Sockets it has had: events of earlier ones are told by it.
    pub life: u32,
    /// Requests that this socket has been given.
    pub given: u64,
    /// Its next turn in an open loop.
    pub turn: u64,
    /// When its timer expires, with coarse timers: nanoseconds of the run.
    pub wake: u64,
    /// The request; once it is answered, when the socket was left to its peer.
    pub sent: Sent,
}

impl<P: Protocol> Connection<P> {
    /// Without a socket.
    pub fn new() -> Self {
        Self {
            socket: None,
            protocol: P::new(false),
            phase: Phase::Closed,
            established: false,
            blocked: false,
            life: 0,
            given: 0,
            turn: 0,
            wake: 0,
            sent: Sent::default(),
        }
    }

    /// Opens a new socket to `address` and has it watched as connection `slot`.
    pub fn open(
        &mut self,
        address: SocketAddr,
        poller: &Poller,
        slot: usize,
        verify: bool,
    ) -> io::Result<()> {
        self.close();
        let socket = crate::socket::connect(address)?;
        self.life = self.life.wrapping_add(1);
        poller.watch(&socket, token(slot, self.life))?;
        self.socket = Some(socket);
        self.protocol = P::new(verify);
        self.phase = Phase::Idle;
        Ok(())
    }

    /// Closes the socket; events of it that are still to come no longer count.
    pub fn close(&mut self) {
        self.socket = None;
        self.phase = Phase::Closed;
        (self.established, self.blocked, self.given) = (false, false, 0);
    }
}

impl<P: Protocol> Default for Connection<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// What events of a socket carry: its connection and which of the connection's sockets it is.
pub fn token(slot: usize, life: u32) -> u64 {
    u64::from(life) << 32 | slot as u64
}

/// Takes a [`token`] apart.
pub fn slot(token: u64) -> (usize, u32) {
    let slot = usize::try_from(token & 0xffff_ffff).unwrap_or(usize::MAX);
    (slot, u32::try_from(token >> 32).unwrap_or(0))
}
