//! The two halves of a worker's turn: whoever was told of something reads and decides, then
//! whoever has something to say sends. Sends in a row wake a peer on another core once, where
//! each by itself would let it fall asleep and wake it again, and they stay in the cache.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Who has gathered what is to be sent, and sends it when told to.
pub(crate) trait Outlet {
    /// Sends, without waiting for anything.
    fn send(&self);
}

/// The turn of one worker.
#[derive(Default)]
pub(crate) struct Turn {
    /// Who sends in the second half: tasks that are woken for it, and what needs no task.
    senders: RefCell<Vec<Waker>>,
    outlets: RefCell<Vec<Rc<dyn Outlet>>>,
    /// Who leads the turn, while it waits for somebody to begin one.
    leader: Cell<Option<Waker>>,
    /// The task that stands behind all that are woken before it, and whom it wakes.
    last: Cell<Option<Waker>>,
    waiting: Cell<Option<Waker>>,
}

impl Turn {
    /// Waits for the second half; to be followed by a send.
    pub(crate) async fn second_half(&self) {
        let mut queued = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut queued, true) {
                return Poll::Ready(());
            }
            self.senders.borrow_mut().push(cx.waker().clone());
            self.begin();
            Poll::Pending
        })
        .await;
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

    /// Whether anybody wants to send; the leader is woken when somebody does.
    pub(crate) fn poll_senders(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.senders.borrow().is_empty() || !self.outlets.borrow().is_empty() {
            self.leader.set(None);
            return Poll::Ready(());
        }
        self.leader.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Lets everybody who was woken before have a turn, then wakes the senders. `wakers` is empty
    /// before and after, and lent for its memory.
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
        std::mem::swap(&mut *self.senders.borrow_mut(), wakers);
        wakers.drain(..).for_each(Waker::wake);
        // None of them has anything put here; their memory is kept.
        let mut outlets = self.outlets.take();
        outlets.drain(..).for_each(|outlet| outlet.send());
        self.outlets.replace(outlets);
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

    /// Frees what a burst has needed.
    pub(crate) fn trim(&self) {
        self.senders.borrow_mut().shrink_to_fit();
        self.outlets.borrow_mut().shrink_to_fit();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::future::Future as _;

    use monoio::{LegacyDriver, RuntimeBuilder};

    use super::*;

    /// Leads turns for ever, as the reactor does.
    async fn lead(turn: Rc<Turn>) {
        let mut wakers = Vec::new();
        loop {
            poll_fn(|cx| turn.poll_senders(cx)).await;
            turn.pass(&mut wakers).await;
        }
    }

    #[test]
    fn everybody_reads_before_anybody_sends() {
        let mut event_loop = RuntimeBuilder::<LegacyDriver>::new().build().unwrap();
        let log = event_loop.block_on(async {
            let turn = Rc::<Turn>::default();
            let log = Rc::<RefCell<Vec<String>>>::default();
            let mut tasks = Vec::new();
            for n in 0..3 {
                let (own, said) = (Rc::clone(&turn), Rc::clone(&log));
                tasks.push(monoio::spawn(async move {
                    for round in 0..2 {
                        said.borrow_mut().push(format!("{n} reads {round}"));
                        own.second_half().await;
                        said.borrow_mut().push(format!("{n} sends {round}"));
                    }
                }));
                if n == 0 {
                    // Somewhere among them.
                    monoio::spawn(lead(Rc::clone(&turn)));
                    monoio::spawn(Rc::clone(&turn).stand_last());
                }
            }
            for task in tasks {
                task.await;
            }
            log.take()
        });
        let halves: Vec<_> =
            log.iter().map(|line| line.split(' ').nth(1).unwrap_or_default()).collect();
        // Who has sent reads again at once, and sends in the second half of the next turn.
        assert_eq!(halves[..3], ["reads"; 3], "{log:#?}");
        for n in 0..3 {
            let own: Vec<_> = log.iter().filter(|line| line.starts_with(&n.to_string())).collect();
            assert_eq!(own.len(), 4, "{log:#?}");
        }
        let second = log.iter().position(|line| line.ends_with("sends 1")).unwrap();
        let reads = log[..second].iter().filter(|line| line.ends_with("reads 1")).count();
        assert_eq!(reads, 3, "{log:#?}");
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
        let mut event_loop = RuntimeBuilder::<LegacyDriver>::new().build().unwrap();
        let log = event_loop.block_on(async {
            let turn = Rc::<Turn>::default();
            let noted = Rc::new(Noted(RefCell::default()));
            monoio::spawn(lead(Rc::clone(&turn)));
            monoio::spawn(Rc::clone(&turn).stand_last());
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
            turn.second_half().await;
            noted.0.take()
        });
        assert_eq!(log, ["read", "read", "read", "sent"]);
    }

    #[test]
    fn whoever_gives_up_before_the_second_half_is_no_hindrance() {
        let mut event_loop = RuntimeBuilder::<LegacyDriver>::new().build().unwrap();
        event_loop.block_on(async {
            let turn = Rc::<Turn>::default();
            monoio::spawn(lead(Rc::clone(&turn)));
            monoio::spawn(Rc::clone(&turn).stand_last());
            let given_up = Rc::clone(&turn);
            monoio::spawn(async move {
                let mut half = std::pin::pin!(given_up.second_half());
                poll_fn(|cx| {
                    assert!(half.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
            });
            monoio::spawn(async move { turn.second_half().await }).await;
        });
    }
}
