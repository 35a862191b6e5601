//! Stream sockets driven by readiness: the loop says when, and direct non-blocking system calls
//! move the bytes, so that a waiting connection pins no buffer and a dropped wait loses nothing.

#![allow(
    unsafe_code,
    reason = "recv, sendmsg and accept4 have no safe non-blocking wrapper in std"
)]

pub(crate) mod calls;
mod poll;

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use calls::{poll, recv, send};

use crate::buffer::{Buffer, Size};
use crate::reactor::{Reactor, Watch};
use crate::sends::Sending;
use crate::turn::Outlet;

/// A connected stream, split into the half that reads and the half that writes.
pub(crate) fn split(fd: OwnedFd) -> io::Result<(Reader, Writer)> {
    let shared = Rc::new(Shared::adopt(fd)?);
    Ok((Reader { shared: Rc::clone(&shared), drained: true }, Writer { shared }))
}

/// The descriptor, watched by this thread's reactor.
struct Shared {
    watch: Watch,
    fd: OwnedFd,
}

impl Shared {
    fn adopt(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { watch: Reactor::here()?.watch(fd.as_raw_fd())?, fd })
    }

    fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// What holds already is told once more, after everybody else had a turn.
    fn ask_again(&self) {
        self.watch.ask_again(self.raw());
    }
}

/// The reading half.
pub(crate) struct Reader {
    shared: Rc<Shared>,
    /// The last read took everything there was, so asking again would only return EAGAIN.
    drained: bool,
}

impl Reader {
    /// Waits until there is something to read, an end or an error. Dropping the wait loses
    /// nothing and leaves it armed.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.drained {
            // What is left in the socket was told of already.
            match self.peek() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.drained = true,
                _ => return Poll::Ready(()),
            }
        }
        self.shared.watch.poll_readable(cx)
    }

    /// As [`Self::poll_readable`], for who then asks [`Self::take_fetched`] before anything else:
    /// what comes may have been received already, into a buffer of that size.
    pub(crate) fn poll_fetched(&mut self, cx: &mut Context<'_>, size: Size) -> Poll<()> {
        if !self.drained && !self.shared.watch.has_fetched() {
            return self.poll_readable(cx);
        }
        self.shared.watch.poll_fetched(cx, size)
    }

    /// What was received already: the buffer, and how many bytes from its start; 0 is the end.
    pub(crate) fn take_fetched(&mut self) -> Option<io::Result<(Buffer, usize)>> {
        let fetched = self.shared.watch.take_fetched()?;
        Some(match usize::try_from(fetched.result) {
            Ok(n) => {
                self.drained = n < fetched.buffer.len();
                Ok((fetched.buffer, n))
            }
            Err(_) => Err(io::Error::from_raw_os_error(-fetched.result)),
        })
    }

    /// See [`Self::poll_readable`].
    pub(crate) async fn readable(&mut self) {
        poll_fn(|cx| self.poll_readable(cx)).await;
    }

    /// Reads into `buffer` when something comes; 0 is the end.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.drained {
                self.readable().await;
                self.drained = false;
            }
            match self.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    /// Reads what is there now.
    pub(crate) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = recv(self.shared.raw(), buffer, libc::MSG_DONTWAIT);
        self.drained = match &read {
            Ok(n) => *n < buffer.len(),
            Err(_) => true,
        };
        read
    }

    /// Whether the other side has sent more, has ended or has failed, without taking anything.
    pub(crate) fn peek(&self) -> io::Result<usize> {
        recv(self.shared.raw(), &mut [0_u8; 1], libc::MSG_DONTWAIT | libc::MSG_PEEK)
    }

    /// The next read waits first, so that others get their turn.
    pub(crate) fn expect_nothing(&mut self) {
        self.drained = true;
        self.shared.ask_again();
    }

    /// Whether the other side has ended its direction (`Ok`) or is gone (an error), though there
    /// may be something to read before that; `None` when neither.
    pub(crate) fn hung_up(&self) -> Option<io::Result<()>> {
        let seen = poll(self.shared.raw(), libc::POLLRDHUP);
        if seen & (libc::POLLERR | libc::POLLHUP) != 0 {
            return Some(Err(io::ErrorKind::ConnectionReset.into()));
        }
        (seen & libc::POLLRDHUP != 0).then_some(Ok(()))
    }

    /// Waits until the other side is gone, whatever there is to be read. Nobody else may wait to
    /// read meanwhile.
    pub(crate) fn poll_broken(&self, cx: &Context<'_>) -> Poll<()> {
        self.shared.watch.poll_broken(cx)
    }

    /// Whether the last read took everything there was.
    pub(crate) const fn is_drained(&self) -> bool {
        self.drained
    }

    /// Note that readiness was consumed by somebody who did not read: the next read tries first.
    pub(crate) const fn expect_data(&mut self) {
        self.drained = false;
    }
}

/// The writing half.
pub(crate) struct Writer {
    shared: Rc<Shared>,
}

impl Writer {
    /// Sends at most [`sends::PARTS`](crate::sends::PARTS) parts together with what others send in
    /// this turn; otherwise as [`Self::try_write`], see [`Sends::queue`](crate::sends::Sends::queue).
    pub(crate) fn queue<'a>(&'a self, parts: &[IoSlice<'a>]) -> Sending<'a> {
        self.shared.watch.queue(self.shared.raw(), parts)
    }

    /// Has `outlet` send in the second half of this worker's turn.
    pub(crate) fn send_last(&self, outlet: Rc<dyn Outlet>) {
        self.shared.watch.send_last(outlet);
    }

    /// Sends what the socket takes now.
    pub(crate) fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        send(self.shared.raw(), parts)
    }

    /// Waits until the socket takes more, or will never take any. May tell of room that is gone
    /// again: to be followed by another try.
    pub(crate) async fn writable(&mut self) {
        poll_fn(|cx| self.poll_writable(cx)).await;
    }

    /// Ends the sending direction.
    pub(crate) fn shutdown(&self) {
        // SAFETY: the descriptor is open as long as `shared` lives; no memory is involved.
        unsafe { libc::shutdown(self.shared.raw(), libc::SHUT_WR) };
    }

    /// Makes the coming close a reset, so that the peer cannot take a cut message for a whole one.
    pub(crate) fn reset_on_close(&self) {
        let _ = socket2::SockRef::from(&self.shared.fd).set_linger(Some(std::time::Duration::ZERO));
    }
}

/// A listening socket.
pub(crate) struct Listener {
    shared: Shared,
    /// Nobody was waiting when it was last looked at.
    drained: Cell<bool>,
}

impl Listener {
    /// Hands a bound, listening, non-blocking socket to this thread's loop.
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { shared: Shared::adopt(fd)?, drained: Cell::new(true) })
    }

    /// Waits until a connection can be accepted.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.drained.replace(true) {
            self.shared.ask_again();
        }
        self.shared.watch.poll_readable(cx)
    }

    /// Takes one connection of those that wait.
    pub(crate) fn try_accept(&self) -> io::Result<(OwnedFd, SocketAddr)> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        self.drained.set(false);
        // SAFETY: `try_init` hands a storage and a length of that size, which accept4 fills.
        let (fd, address) = unsafe {
            socket2::SockAddr::try_init(|storage, length| {
                let fd = libc::accept4(self.shared.raw(), storage.cast(), length, flags);
                if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
            })
        }
        .inspect_err(|error| self.drained.set(error.kind() == io::ErrorKind::WouldBlock))?;
        // SAFETY: accept4 returned a new descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let address = address.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok((fd, address))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Somebody else may hold the same socket open, and the set would still tell of it.
        self.shared.watch.leave(self.shared.raw());
    }
}

/// One end of a wake pair, known to this thread's loop: any byte wakes.
pub(crate) struct Wake {
    reader: Reader,
}

impl Wake {
    /// Takes the receiving end of a non-blocking pair.
    pub(crate) fn adopt(end: std::os::unix::net::UnixStream) -> io::Result<Self> {
        let (reader, _) = split(OwnedFd::from(end))?;
        Ok(Self { reader })
    }

    /// Waits for a wake-up, swallowing all that have come; an error when the other end is gone.
    pub(crate) async fn wait(&mut self) -> io::Result<()> {
        match self.reader.read(&mut [0_u8; 64]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Starts to connect; the writer becomes writable when it is decided, see [`connect_result`].
pub(crate) fn connect(address: SocketAddr) -> io::Result<(Reader, Writer)> {
    use socket2::{Domain, Protocol, Socket, Type};
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    split(OwnedFd::from(socket))
}

/// What became of a connect, once its writer is writable.
pub(crate) fn connect_result(writer: &Writer) -> io::Result<()> {
    socket2::SockRef::from(&writer.shared.fd).take_error()?.map_or(Ok(()), Err)
}
