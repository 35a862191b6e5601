//! Which sockets of this thread are ready, by one edge-triggered epoll set: a socket is registered
//! once, and from then on a wait costs no system call of its own. Leads the worker's turns.

#![allow(unsafe_code, reason = "the epoll calls have no safe wrapper in std")]

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use monoio::net::TcpStream;
use slab::Slab;

use crate::batch::Batch;
use crate::buffer::{Buffers, Size};
use crate::clock;
use crate::fetch::{Fetch, Fetched};
use crate::sends::{Sending, Sends};
use crate::timers::Timers;
use crate::turn::{Outlet, Turn};

/// Sockets told of in one turn. More wait for the next one: what has been read is sent on while it
/// is in the cache, and nobody waits for thousands of others.
const BATCH: usize = 256;
/// Everything, once each time it changes.
const EDGES: i32 = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;

thread_local! {
    static HERE: RefCell<Option<Rc<Reactor>>> = const { RefCell::new(None) };
}

/// One thread's set.
pub(crate) struct Reactor {
    set: OwnedFd,
    /// The event loop beneath is a ring.
    ring: bool,
    watched: RefCell<Slab<Watched>>,
    /// What was received for readers that have not come for it yet. It is kept apart so that those
    /// for whom there is nothing take no room for it.
    fetched: RefCell<Slab<Fetched>>,
    batch: Rc<Batch>,
    turn: Rc<Turn>,
}

/// What is known of one socket.
#[derive(Default)]
struct Watched {
    /// Changes that nobody has asked for yet.
    readable: bool,
    writable: bool,
    /// The peer has ended its direction, which stays so.
    ended: bool,
    /// Neither direction works any more, which stays so.
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    fd: RawFd,
    /// What comes is to be received for the reader, into a buffer of that size.
    wanted: Option<Size>,
    /// Where that is, once it was.
    fetched: Option<u32>,
}

impl Reactor {
    /// A set for the calling thread, whose event loop is a `ring` or epoll; sockets made on it from
    /// now on are registered there, and what many have to do is made by `batch`. To be driven by
    /// [`Self::drive`].
    pub(crate) fn install(ring: bool, batch: Batch) -> io::Result<()> {
        // SAFETY: no memory is involved.
        let set = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: epoll_create1 returned a new descriptor that nobody else owns.
        let set = unsafe { OwnedFd::from_raw_fd(set) };
        let batch = Rc::new(batch);
        let reactor = Self {
            set,
            ring,
            watched: RefCell::default(),
            fetched: RefCell::default(),
            turn: Rc::new(Turn::new(Sends::new(Rc::clone(&batch)))),
            batch,
        };
        HERE.set(Some(Rc::new(reactor)));
        Ok(())
    }

    /// The calling thread's set.
    ///
    /// # Errors
    /// On a thread that has none.
    pub(crate) fn here() -> io::Result<Rc<Self>> {
        HERE.with_borrow(Option::clone).ok_or_else(|| io::Error::other("no reactor on this thread"))
    }

    /// Registers a socket.
    pub(crate) fn watch(self: &Rc<Self>, fd: RawFd) -> io::Result<Watch> {
        let key = self.watched.borrow_mut().insert(Watched { fd, ..Watched::default() });
        let watch = Watch { reactor: Rc::clone(self), key };
        self.control(libc::EPOLL_CTL_ADD, fd, key)?;
        Ok(watch)
    }

    /// Frees the places of sockets that are gone.
    pub(crate) fn trim(&self) {
        self.watched.borrow_mut().shrink_to_fit();
        self.fetched.borrow_mut().shrink_to_fit();
        self.turn.trim();
    }

    fn control(&self, operation: i32, fd: RawFd, key: usize) -> io::Result<()> {
        let mut event = libc::epoll_event { events: EDGES as u32, u64: key as u64 };
        let set = self.set.as_raw_fd();
        // SAFETY: `event` outlives the call, which only reads it.
        checked(unsafe { libc::epoll_ctl(set, operation, fd, &raw mut event) }).map(drop)
    }

    /// Leads one turn after the other, for as long as the worker lives: wakes whoever waits for
    /// what has changed, then sends what they have queued. Under constant load the event loop
    /// beneath may never get to its own timers, so every turn looks at `timers`. What is received for
    /// readers goes to `buffers`.
    ///
    /// # Errors
    /// When the event loop cannot take the set.
    pub(crate) fn drive(
        self: Rc<Self>,
        timers: Timers,
        buffers: Buffers,
    ) -> io::Result<impl Future<Output = ()>> {
        // The loop only ever polls it, so it does not matter that it takes it for a stream.
        let set = TcpStream::from_std(std::net::TcpStream::from(self.set.try_clone()?))?;
        monoio::spawn(Rc::clone(&self.turn).stand_last());
        Ok(async move {
            let mut batch = Vec::with_capacity(BATCH);
            let mut wakers = Vec::new();
            let mut fetches = Vec::with_capacity(BATCH);
            let mut changed = pin!(None);
            loop {
                // The wait outlasts a turn that somebody else has begun.
                poll_fn(|cx| {
                    if self.turn.poll_queued(cx).is_ready() {
                        return Poll::Ready(());
                    }
                    if changed.is_none() {
                        changed.set(Some(self.changed(&set)));
                    }
                    let Some(change) = changed.as_mut().as_pin_mut() else { return Poll::Pending };
                    let ready = change.poll(cx);
                    if ready.is_ready() {
                        changed.set(None);
                    }
                    ready
                })
                .await;
                // Whatever is set off now may take this for the present.
                timers.pass(clock::now());
                self.collect(&mut batch, &mut fetches, &buffers, &mut wakers);
                wakers.drain(..).for_each(Waker::wake);
                self.turn.pass(&mut wakers).await;
            }
        })
    }

    /// Waits until the set may have something.
    async fn changed(&self, set: &TcpStream) {
        // An epoll loop believes what it was told last until it is made to look, and then its next
        // word can be trusted. What the wait says is seen by looking.
        if self.ring || !asked(set) {
            let _ = set.readable(!self.ring).await;
        }
    }

    /// Takes note of a batch of changes, and receives for the readers that want it.
    fn collect(
        &self,
        batch: &mut Vec<libc::epoll_event>,
        fetches: &mut Vec<Fetch>,
        buffers: &Buffers,
        wakers: &mut Vec<Waker>,
    ) {
        let room = batch.spare_capacity_mut();
        let (start, length) = (room.as_mut_ptr().cast(), BATCH as i32);
        // SAFETY: the batch has room for that many events.
        let count = unsafe { libc::epoll_wait(self.set.as_raw_fd(), start, length, 0) };
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: so many were filled by the call.
        unsafe { batch.set_len(count) };
        let mut watched = self.watched.borrow_mut();
        for event in batch.drain(..) {
            let key = event.u64 as usize;
            let Some(watched) = watched.get_mut(key) else { continue };
            watched.note(event.events as i32);
            if let Some(size) = watched.take_wanted() {
                fetches.push(Fetch::new(key, watched.fd, buffers.of(size)));
            } else {
                watched.wake(wakers);
            }
        }
        self.batch.make(fetches);
        for fetch in fetches.drain(..) {
            let watched = &mut watched[fetch.key];
            if let Some(fetched) = fetch.fetched() {
                watched.readable = false;
                watched.fetched = Some(self.fetched.borrow_mut().insert(fetched) as u32);
            }
            watched.wake(wakers);
        }
    }
}

impl Watched {
    fn note(&mut self, events: i32) {
        let has = |wanted: i32| events & wanted != 0;
        self.broken |= has(libc::EPOLLERR | libc::EPOLLHUP);
        self.ended |= has(libc::EPOLLRDHUP);
        self.readable |= has(libc::EPOLLIN);
        self.writable |= has(libc::EPOLLOUT);
    }

    /// How large a buffer to receive into for a reader that waits for it. What is about to end is
    /// left to the reader, which also has to see the end.
    const fn take_wanted(&mut self) -> Option<Size> {
        if !self.readable || self.ended || self.broken || self.reader.is_none() {
            return None;
        }
        self.wanted.take()
    }

    fn wake(&mut self, wakers: &mut Vec<Waker>) {
        if self.readable || self.ended || self.broken || self.fetched.is_some() {
            wakers.extend(self.reader.take());
        }
        if self.writable || self.broken {
            wakers.extend(self.writer.take());
        }
    }
}

/// A socket's place in the set; the socket leaves it when it is closed.
pub(crate) struct Watch {
    reactor: Rc<Reactor>,
    key: usize,
}

impl Watch {
    /// Whether there may be something to read, or an end, that was not told before.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_reading(cx, None)
    }

    /// The same for who then takes what was received already, into a buffer of that size: see
    /// [`Self::take_fetched`]. Whoever waits no longer, or otherwise, may still be received for, and
    /// so has to take it before anything else is read.
    pub(crate) fn poll_fetched(&self, cx: &mut Context<'_>, size: Size) -> Poll<()> {
        if self.has_fetched() { Poll::Ready(()) } else { self.poll_reading(cx, Some(size)) }
    }

    /// Whether something was received for the reader.
    pub(crate) fn has_fetched(&self) -> bool {
        self.reactor.watched.borrow()[self.key].fetched.is_some()
    }

    fn poll_reading(&self, cx: &Context<'_>, wanted: Option<Size>) -> Poll<()> {
        let watched = &mut self.reactor.watched.borrow_mut()[self.key];
        watched.wanted = None;
        if std::mem::take(&mut watched.readable) || watched.ended || watched.broken {
            return Poll::Ready(());
        }
        watched.wanted = wanted;
        remember(&mut watched.reader, cx);
        Poll::Pending
    }

    /// What was received for the reader; from now on nothing is, unless it waits for it again.
    pub(crate) fn take_fetched(&self) -> Option<Fetched> {
        let watched = &mut self.reactor.watched.borrow_mut()[self.key];
        watched.wanted = None;
        let at = watched.fetched.take()?;
        Some(self.reactor.fetched.borrow_mut().remove(at as usize))
    }

    /// Whether neither direction works any more; takes nothing from who waits to read.
    pub(crate) fn poll_broken(&self, cx: &Context<'_>) -> Poll<()> {
        let watched = &mut self.reactor.watched.borrow_mut()[self.key];
        watched.wanted = None;
        if watched.broken {
            return Poll::Ready(());
        }
        remember(&mut watched.reader, cx);
        Poll::Pending
    }

    /// Whether there may be room to send, or an error, that was not told before.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let watched = &mut self.reactor.watched.borrow_mut()[self.key];
        if std::mem::take(&mut watched.writable) || watched.broken {
            return Poll::Ready(());
        }
        remember(&mut watched.writer, cx);
        Poll::Pending
    }

    /// Queues a send to `fd` for the second half of this worker's turn, see [`Sends::queue`].
    pub(crate) fn queue<'a>(&'a self, fd: RawFd, parts: &[IoSlice<'a>]) -> Sending<'a> {
        self.reactor.turn.queue(fd, parts)
    }

    /// Has `outlet` send when it is this worker's turn to send.
    pub(crate) fn send_last(&self, outlet: Rc<dyn Outlet>) {
        self.reactor.turn.send_last(outlet);
    }

    /// What holds now is told once more, after everybody else had a turn.
    pub(crate) fn ask_again(&self, fd: RawFd) {
        self.reactor.watched.borrow_mut()[self.key].readable = false;
        // Fails only for a socket that is closed, for which nobody waits.
        let _ = self.reactor.control(libc::EPOLL_CTL_MOD, fd, self.key);
    }
}

impl Watch {
    /// Tells nothing any more of a socket that others hold open.
    pub(crate) fn leave(&self, fd: RawFd) {
        let _ = self.reactor.control(libc::EPOLL_CTL_DEL, fd, self.key);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.take_fetched());
        let watched = self.reactor.watched.borrow_mut().remove(self.key);
        // Dropping a waker may drop a task, and with it another watch.
        drop(watched);
    }
}

fn remember(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => *slot = Some(cx.waker().clone()),
    }
}

/// Asks the loop once whether the set has something, which makes it forget what it believed.
fn asked(set: &TcpStream) -> bool {
    let mut nobody = Context::from_waker(Waker::noop());
    pin!(set.readable(false)).as_mut().poll(&mut nobody).is_ready()
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
