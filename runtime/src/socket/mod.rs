//! Stream sockets driven by readiness: the loop says when, and direct non-blocking system calls
//! move the bytes, so that a waiting connection pins no buffer and a dropped wait loses nothing.

#![allow(
    unsafe_code,
    reason = "recv, sendmsg and accept4 have no safe non-blocking wrapper in std"
)]

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use monoio::net::TcpStream;

/// A connected stream, split into the half that reads and the half that writes.
pub(crate) fn split(fd: OwnedFd) -> io::Result<(Reader, Writer)> {
    let shared = Rc::new(Shared::adopt(fd)?);
    let reader = Reader { ready: Readiness::new(&shared, Direction::Read), shared, drained: true };
    let writer = Writer { shared: Rc::clone(&reader.shared), ready: None, room: None };
    Ok((reader, writer))
}

/// The descriptor, known to the event loop.
struct Shared {
    stream: TcpStream,
    fd: RawFd,
}

impl Shared {
    fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let stream = TcpStream::from_std(std::net::TcpStream::from(fd))?;
        let fd = stream.as_raw_fd();
        Ok(Self { stream, fd })
    }

    const fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor stays open as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Read,
    Write,
}

/// A wait for readiness that survives the task's interest in it: it is armed once, may be looked
/// at by one task after another, and costs no allocation to arm again.
struct Readiness {
    pump: Pin<Box<dyn Future<Output = ()>>>,
    state: Rc<Cell<Wait>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Wait {
    /// Nobody wants to know.
    Off,
    /// The loop has been asked.
    Armed,
    /// It has answered; the error number, if any.
    Done(Option<i32>),
}

impl Readiness {
    fn new(shared: &Rc<Shared>, direction: Direction) -> Self {
        let state = Rc::new(Cell::new(Wait::Off));
        let pump = Box::pin(pump(Rc::clone(shared), Rc::clone(&state), direction));
        Self { pump, state }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.get() == Wait::Off {
            self.state.set(Wait::Armed);
        }
        let _ = self.pump.as_mut().poll(cx);
        match self.state.get() {
            Wait::Done(error) => {
                self.state.set(Wait::Off);
                Poll::Ready(error.map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code))))
            }
            Wait::Off | Wait::Armed => Poll::Pending,
        }
    }
}

/// Waits whenever it is asked to, for ever. It never completes: it speaks through `state`.
async fn pump(shared: Rc<Shared>, state: Rc<Cell<Wait>>, direction: Direction) {
    loop {
        poll_fn(|_| if state.get() == Wait::Armed { Poll::Ready(()) } else { Poll::Pending }).await;
        // Not relaxed: with system calls of our own, the epoll driver's cached readiness is stale.
        let result = match direction {
            Direction::Read => shared.stream.readable(false).await,
            Direction::Write => shared.stream.writable(false).await,
        };
        state.set(Wait::Done(result.err().map(|e| e.raw_os_error().unwrap_or(libc::EIO))));
    }
}

/// The reading half.
pub(crate) struct Reader {
    shared: Rc<Shared>,
    ready: Readiness,
    /// The last read took everything there was, so asking again would only return EAGAIN.
    drained: bool,
}

impl Reader {
    /// Waits until there is something to read, an end or an error. Dropping the wait loses
    /// nothing and leaves it armed.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ready.poll(cx)
    }

    /// See [`Self::poll_readable`].
    pub(crate) async fn readable(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_readable(cx)).await
    }

    /// Reads into `buffer` when something comes; 0 is the end.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.drained {
                self.readable().await?;
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
        let read = recv(self.shared.fd, buffer, libc::MSG_DONTWAIT);
        self.drained = match &read {
            Ok(n) => *n < buffer.len(),
            Err(_) => true,
        };
        read
    }

    /// Whether the other side has sent more, has ended or has failed, without taking anything.
    pub(crate) fn peek(&self) -> io::Result<usize> {
        recv(self.shared.fd, &mut [0_u8; 1], libc::MSG_DONTWAIT | libc::MSG_PEEK)
    }

    /// The next read waits first, so that others get their turn.
    pub(crate) const fn expect_nothing(&mut self) {
        self.drained = true;
    }

    /// Whether the other side has ended its direction (`Ok`) or is gone (an error), though there
    /// may be something to read before that; `None` when neither.
    pub(crate) fn hung_up(&self) -> Option<io::Result<()>> {
        let seen = poll(self.shared.fd, libc::POLLRDHUP);
        if seen & (libc::POLLERR | libc::POLLHUP) != 0 {
            return Some(Err(io::ErrorKind::ConnectionReset.into()));
        }
        (seen & libc::POLLRDHUP != 0).then_some(Ok(()))
    }

    /// Note that readiness was consumed by somebody who did not read: the next read tries first.
    pub(crate) const fn expect_data(&mut self) {
        self.drained = false;
    }
}

/// The writing half.
pub(crate) struct Writer {
    shared: Rc<Shared>,
    /// Made at the first full send buffer; most connections never see one.
    ready: Option<Readiness>,
    room: Option<Readiness>,
}

impl Writer {
    /// Sends what the socket takes now.
    pub(crate) fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        send(self.shared.fd, parts)
    }

    /// Waits until the socket takes more, or will never take any.
    pub(crate) async fn writable(&mut self) -> io::Result<()> {
        let ready =
            self.ready.get_or_insert_with(|| Readiness::new(&self.shared, Direction::Write));
        poll_fn(|cx| ready.poll(cx)).await?;
        let (fd, room) = (self.shared.fd, libc::POLLOUT | libc::POLLERR | libc::POLLHUP);
        if poll(fd, libc::POLLOUT) & room != 0 {
            return Ok(());
        }
        // A poll on the ring also completes when the peer has ended its own direction, which
        // stays so; an epoll instance can be asked for room alone.
        if self.room.is_none() {
            self.room = Some(Readiness::new(&Rc::new(watch_room(fd)?), Direction::Read));
        }
        match &mut self.room {
            Some(ready) => poll_fn(|cx| ready.poll(cx)).await,
            None => Ok(()),
        }
    }

    /// Ends the sending direction.
    pub(crate) fn shutdown(&self) {
        // SAFETY: the descriptor is open as long as `shared` lives; no memory is involved.
        unsafe { libc::shutdown(self.shared.fd, libc::SHUT_WR) };
    }

    /// Makes the coming close a reset, so that the peer cannot take a cut message for a whole one.
    pub(crate) fn reset_on_close(&self) {
        let _ = socket2::SockRef::from(&self.shared.descriptor())
            .set_linger(Some(std::time::Duration::ZERO));
    }
}

/// A listening socket.
pub(crate) struct Listener {
    shared: Rc<Shared>,
    ready: Readiness,
}

impl Listener {
    /// Hands a bound, listening, non-blocking socket to this thread's loop.
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Self> {
        // The loop only ever polls it, so it does not matter that it takes it for a stream.
        let shared = Rc::new(Shared::adopt(fd)?);
        Ok(Self { ready: Readiness::new(&shared, Direction::Read), shared })
    }

    /// Waits until a connection can be accepted.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ready.poll(cx)
    }

    /// Takes one connection of those that wait.
    pub(crate) fn try_accept(&self) -> io::Result<(OwnedFd, SocketAddr)> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: `try_init` hands a storage and a length of that size, which accept4 fills.
        let (fd, address) = unsafe {
            socket2::SockAddr::try_init(|storage, length| {
                let fd = libc::accept4(self.shared.fd, storage.cast(), length, flags);
                if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
            })
        }?;
        // SAFETY: accept4 returned a new descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let address = address.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok((fd, address))
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
    socket2::SockRef::from(&writer.shared.descriptor()).take_error()?.map_or(Ok(()), Err)
}

/// An epoll instance that is readable while `fd` has room.
fn watch_room(fd: RawFd) -> io::Result<Shared> {
    let watch = uninterrupted(|| {
        // SAFETY: no memory is involved.
        unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) as isize }
    })?;
    // SAFETY: epoll_create1 returned a new descriptor that nobody else owns; it fits an i32.
    let watch = unsafe { OwnedFd::from_raw_fd(watch as RawFd) };
    let mut event = libc::epoll_event { events: libc::EPOLLOUT as u32, u64: 0 };
    uninterrupted(|| {
        // SAFETY: `event` outlives the call, and both descriptors are open.
        unsafe {
            libc::epoll_ctl(watch.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) as isize
        }
    })?;
    Shared::adopt(watch)
}

/// What of `events` holds now, with what always counts (an error, a hang-up).
fn poll(fd: RawFd, events: libc::c_short) -> libc::c_short {
    let mut polled = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: `polled` is one pollfd that outlives the call.
    let _ = uninterrupted(|| unsafe { libc::poll(&raw mut polled, 1, 0) as isize });
    polled.revents
}

// recv and send go straight to the kernel: libc's wrappers are cancellation points, which costs
// every call of a process with threads.

fn recv(fd: RawFd, buffer: &mut [u8], flags: i32) -> io::Result<usize> {
    let (start, length) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: the pointer and length describe `buffer`, which outlives the call.
    uninterrupted(|| unsafe {
        libc::syscall(libc::SYS_recvfrom, fd, start, length, flags, 0_usize, 0_usize) as isize
    })
}

fn send(fd: RawFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    if let [only] = parts {
        // SAFETY: the pointer and length describe `only`, which outlives the call.
        return uninterrupted(|| unsafe {
            libc::syscall(libc::SYS_sendto, fd, only.as_ptr(), only.len(), flags, 0_usize, 0_usize)
                as isize
        });
    }
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut().cast();
    message.msg_iovlen = parts.len();
    // SAFETY: IoSlice is ABI-compatible with iovec; the slices outlive the call, which only reads
    // through them.
    uninterrupted(|| unsafe {
        libc::syscall(libc::SYS_sendmsg, fd, &raw const message, flags) as isize
    })
}

/// The result of a system call, made again when a signal came in between.
fn uninterrupted(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        if let Ok(n) = usize::try_from(call()) {
            return Ok(n);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
