//! The two halves of a worker's turn: whoever was told of something reads and decides, then
//! everything that was queued is sent. Sends in a row wake a peer on another core once, where
//! each by itself would let it fall asleep and wake it again, and they stay in the cache.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::IoSlice;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::sends::{Sending, Sends};

/// Who has gathered what is to be sent, and sends it when told to.
pub(crate) trait Outlet {
    /// Sends, without waiting for anything.
    fn send(&self);
}

/// The turn of one worker.
pub(crate) struct Turn {
    /// What is sent in the second half, and by whom.
    sends: Sends,
    outlets: RefCell<Vec<Rc<dyn Outlet>>>,
    /// Who leads the turn, while it waits for somebody to begin one.
    leader: Cell<Option<Waker>>,
    /// The task that stands behind all that are woken before it, and whom it wakes.
    last: Cell<Option<Waker>>,
    waiting: Cell<Option<Waker>>,
}

impl Turn {
    pub(crate) fn new(sends: Sends) -> Self {
        Self {
            sends,
            outlets: RefCell::default(),
            leader: Cell::default(),
            last: Cell::default(),
            waiting: Cell::default(),
        }
    }

    /// Queues a send for the second half, see [`Sends::queue`].
    pub(crate) fn queue<'a>(&'a self, fd: RawFd, parts: &[IoSlice<'a>]) -> Sending<'a> {
        let sending = self.sends.queue(fd, parts);
        self.begin();
        sending
    }

    /// Has `outlet` send in the second half.
    pub(crate) fn send_last(&self, outlet: Rc<dyn Outlet>) {
        self.outlets.borrow_mut().push(outlet);
        self.begin();
    }

    fn begin(&self) {
        if let Some(leader) = self.leader.take() {
            leader.wake();
        }
    }

    /// Whether something is to be sent; the leader is woken when there is.
    pub(crate) fn poll_queued(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.sends.is_empty() || !self.outlets.borrow().is_empty() {
            self.leader.set(None);
            return Poll::Ready(());
        }
        self.leader.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Lets everybody who was woken before have a turn, then sends, and wakes those who have sent.
    /// `wakers` is empty before and after, and lent for its memory.
    pub(crate) async fn pass(&self, wakers: &mut Vec<Waker>) {
        if let Some(last) = self.last.take() {
            let mut woken = false;
            last.wake();
            poll_fn(|cx| {
                if std::mem::replace(&mut woken, true) {
                    return Poll::Ready(());
                }
                self.waiting.set(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
        }
        self.sends.flush(wakers);
        // None of them has anything put here; their memory is kept.
        let mut outlets = self.outlets.take();
        outlets.drain(..).for_each(|outlet| outlet.send());
        self.outlets.replace(outlets);
        wakers.drain(..).for_each(Waker::wake);
    }

    /// Frees what a burst has needed.
    pub(crate) fn trim(&self) {
        self.sends.trim();
        self.outlets.borrow_mut().shrink_to_fit();
    }

    /// Marks the end of the first half, again and again; a task of its own, because one that wakes
    /// itself would not be put behind the others.
    pub(crate) async fn stand_last(self: Rc<Self>) {
        poll_fn::<(), _>(|cx| {
            if let Some(waiting) = self.waiting.take() {
                waiting.wake();
            }
            self.last.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::future::Future;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::pin::pin;

    use io_uring::IoUring;
    use monoio::{LegacyDriver, RuntimeBuilder};

    use super::*;
    use crate::batch::Batch;

    /// Leads turns for ever, as the reactor does.
    async fn lead(turn: Rc<Turn>) {
        let mut wakers = Vec::new();
        loop {
            poll_fn(|cx| turn.poll_queued(cx)).await;
            turn.pass(&mut wakers).await;
        }
    }

    fn begin(ring: Option<IoUring>) -> Rc<Turn> {
        let turn = Rc::new(Turn::new(Sends::new(Rc::new(Batch::new(ring)))));
        monoio::spawn(lead(Rc::clone(&turn)));
        monoio::spawn(Rc::clone(&turn).stand_last());
        turn
    }

    /// Runs a test on a ring for sends, and without one.
    fn both<T>(test: impl Fn(Option<IoUring>) -> T)
    where
        T: Future<Output = ()>,
    {
        for ring in [None, Some(IoUring::new(8).unwrap())] {
            let mut event_loop = RuntimeBuilder::<LegacyDriver>::new().build().unwrap();
            event_loop.block_on(async { test(ring).await });
        }
    }

    fn pair() -> (UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        (ours, theirs)
    }

    fn received(mut end: &UnixStream) -> Vec<u8> {
        let mut buffer = [0; 64];
        let n = end.read(&mut buffer).unwrap_or(0);
        buffer[..n].to_vec()
    }

    #[test]
    fn everybody_reads_before_anybody_sends() {
        both(|ring| async {
            let turn = begin(ring);
            let log = Rc::<RefCell<Vec<(usize, Vec<u8>)>>>::default();
            let mut tasks = Vec::new();
            for n in 0..3 {
                let (turn, log) = (Rc::clone(&turn), Rc::clone(&log));
                tasks.push(monoio::spawn(async move {
                    let (ours, theirs) = pair();
                    log.borrow_mut().push((n, received(&theirs)));
                    let parts = [IoSlice::new(b"one"), IoSlice::new(b" and two")];
                    let parts = if n == 0 { &parts[..1] } else { &parts };
                    let length = parts.iter().map(|part| part.len()).sum::<usize>();
                    let sent = turn.queue(ours.as_raw_fd(), parts).await;
                    assert_eq!(sent.unwrap(), length);
                    log.borrow_mut().push((n, received(&theirs)));
                }));
            }
            for task in tasks {
                task.await;
            }
            let log = log.take();
            assert!(log[..3].iter().all(|(_, received)| received.is_empty()), "{log:?}");
            for (n, received) in &log[3..] {
                assert_eq!(received, if *n == 0 { &b"one"[..] } else { b"one and two" });
            }
            assert_eq!(log.len(), 6);
        });
    }

    /// Notes that it was told to send.
    struct Noted(RefCell<Vec<&'static str>>);

    impl Outlet for Noted {
        fn send(&self) {
            self.0.borrow_mut().push("sent");
        }
    }

    #[test]
    fn an_outlet_sends_when_everybody_has_read() {
        both(|ring| async {
            let turn = begin(ring);
            let noted = Rc::new(Noted(RefCell::default()));
            let tasks: Vec<_> = (0..3)
                .map(|n| {
                    let (turn, noted) = (Rc::clone(&turn), Rc::clone(&noted));
                    monoio::spawn(async move {
                        noted.0.borrow_mut().push("read");
                        if n == 1 {
                            turn.send_last(Rc::clone(&noted) as Rc<dyn Outlet>);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await;
            }
            let (ours, _theirs) = pair();
            turn.queue(ours.as_raw_fd(), &[IoSlice::new(b"x")]).await.unwrap();
            assert_eq!(*noted.0.borrow(), ["read", "read", "read", "sent"]);
        });
    }

    #[test]
    fn what_is_given_up_before_its_turn_is_not_sent() {
        both(|ring| async {
            let turn = begin(ring);
            let (ours, theirs) = pair();
            let given_up = Rc::clone(&turn);
            let fd = ours.as_raw_fd();
            monoio::spawn(async move {
                let bytes = vec![b'x'; 3];
                let mut sending = pin!(given_up.queue(fd, &[IoSlice::new(&bytes)]));
                poll_fn(|cx| {
                    assert!(sending.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
            })
            .await;
            // It may take the place of what was given up, and is sent once.
            let sent = turn.queue(fd, &[IoSlice::new(b"this")]).await;
            assert_eq!(sent.unwrap(), 4);
            assert_eq!(received(&theirs), b"this");
            assert_eq!(received(&theirs), b"");
        });
    }

    #[test]
    fn more_than_a_ring_holds_are_sent_in_order_and_a_failure_is_its_own() {
        both(|ring| async {
            let turn = begin(ring);
            let (ours, theirs) = pair();
            let (closed, other) = pair();
            drop(other);
            let digits: Vec<Vec<u8>> = (0..40_u8).map(|n| vec![n]).collect();
            let mut all: Vec<_> = digits
                .iter()
                .map(|digit| turn.queue(ours.as_raw_fd(), &[IoSlice::new(digit)]))
                .collect();
            let broken = turn.queue(closed.as_raw_fd(), &[IoSlice::new(b"x")]).await;
            assert_eq!(broken.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
            for sending in all.drain(..) {
                assert_eq!(sending.await.unwrap(), 1);
            }
            assert_eq!(received(&theirs), digits.concat());
        });
    }
}
