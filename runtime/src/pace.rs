//! The time limits that one client connection is under right now, whoever set them: the soonest
//! counts, and says what has gone wrong.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ringway_core::message::Fault;
use ringway_core::time::Instant;

use crate::clock;
use crate::timers::{Alarm, Timers};

/// What may run out of time. One limit each can be in force.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// The request as a whole, or its head.
    Request,
    /// Whatever the way up waits for: a body part of the client, a connect, room upstream.
    Up,
    /// Whatever the way down waits for: the response's head, room at the client.
    Down,
}

/// The limits in force.
pub(crate) struct Pace {
    alarm: Alarm,
    limits: [Cell<Option<(Instant, Fault)>>; 3],
}

impl Pace {
    /// No limits.
    pub(crate) fn new(timers: &Timers) -> Self {
        Self { alarm: timers.alarm(), limits: Default::default() }
    }

    /// Puts a limit in force, in place of the last one of its kind.
    pub(crate) fn set(&self, limit: Limit, deadline: Instant, fault: Fault) {
        self.limits[limit as usize].set(Some((deadline, fault)));
        self.rearm();
    }

    /// See [`Self::set`]; counted from now, as the worker knows it: every turn begins with a look
    /// at the clock.
    pub(crate) fn within(&self, limit: Limit, span: Duration, fault: Fault) {
        self.set(limit, clock::recent() + span, fault);
    }

    /// Takes a limit out of force.
    pub(crate) fn clear(&self, limit: Limit) {
        if self.limits[limit as usize].take().is_some() {
            self.rearm();
        }
    }

    /// Takes all limits out of force.
    pub(crate) fn clear_all(&self) {
        self.limits.iter().for_each(|l| l.set(None));
        self.alarm.set(Instant::NEVER);
    }

    /// `future`, unless a limit runs out first. It is pinned by the caller, so that its state is
    /// there once and not twice.
    pub(crate) async fn keep<F: Future>(
        &self,
        mut future: Pin<&mut F>,
    ) -> Result<F::Output, Fault> {
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll_expired(cx).map(Err),
        })
        .await
    }

    /// The fault of the limit that has run out.
    pub(crate) fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<Fault> {
        match self.alarm.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => match self.soonest() {
                Some((_, fault)) => Poll::Ready(fault),
                None => Poll::Pending,
            },
        }
    }

    fn soonest(&self) -> Option<(Instant, Fault)> {
        self.limits.iter().filter_map(Cell::get).min_by_key(|(deadline, _)| *deadline)
    }

    fn rearm(&self) {
        self.alarm.set(self.soonest().map_or(Instant::NEVER, |(deadline, _)| deadline));
    }
}

/// Free ones kept at the most.
const KEEP: usize = 4096;

/// Limits that nobody is under, kept for whoever comes next: with their memory they keep their
/// place in the wheel, which a deadline that is moved does not have to leave.
#[derive(Clone, Default)]
pub(crate) struct Paces(Rc<Free>);

#[derive(Default)]
struct Free {
    paces: RefCell<Vec<Rc<Pace>>>,
    /// The fewest there were since the last trim: so many were not needed.
    spare: Cell<usize>,
}

impl Paces {
    /// No limits, on the wheel of this worker.
    pub(crate) fn lend(&self, timers: &Timers) -> Lent {
        let mut paces = self.0.paces.borrow_mut();
        let kept = paces.pop();
        self.0.spare.set(self.0.spare.get().min(paces.len()));
        drop(paces);
        Lent { pace: kept.unwrap_or_else(|| Rc::new(Pace::new(timers))), home: self.clone() }
    }

    /// Frees what nobody has needed since the last trim; how many that were.
    pub(crate) fn trim(&self) -> usize {
        let mut paces = self.0.paces.borrow_mut();
        let freed = paces.drain(..self.0.spare.get()).len();
        self.0.spare.set(paces.len());
        freed
    }
}

/// Limits that go home when this is dropped, unless somebody else still holds them.
pub(crate) struct Lent {
    pace: Rc<Pace>,
    home: Paces,
}

impl std::ops::Deref for Lent {
    type Target = Rc<Pace>;

    fn deref(&self) -> &Rc<Pace> {
        &self.pace
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if Rc::strong_count(&self.pace) > 1 {
            return;
        }
        self.pace.clear_all();
        self.pace.alarm.forget();
        let mut paces = self.home.0.paces.borrow_mut();
        if paces.len() < KEEP {
            paces.push(Rc::clone(&self.pace));
        }
    }
}

#[cfg(test)]
mod tests {
    use ringway_core::message::{Cause, Stage};

    use super::*;

    #[test]
    fn who_comes_next_is_under_no_limit_of_the_last() {
        let (timers, paces) = (Timers::default(), Paces::default());
        let late = Fault::us(Stage::Reply, Cause::RequestTimeout);
        let first = paces.lend(&timers);
        first.set(Limit::Up, Instant::ZERO, late);
        let held = Rc::clone(&first);
        let second = paces.lend(&timers);
        second.set(Limit::Down, Instant::ZERO, late);
        drop((first, second));
        assert_eq!(paces.0.paces.borrow().len(), 1, "one is still held");
        let again = paces.lend(&timers);
        assert!(again.limits.iter().all(|limit| limit.get().is_none()));
        let mut nobody = Context::from_waker(std::task::Waker::noop());
        assert!(again.poll_expired(&mut nobody).is_pending());
        assert!(held.poll_expired(&mut nobody).is_ready());
        drop(again);
        paces.trim();
        assert_eq!(paces.0.paces.borrow().len(), 1, "it was needed since");
        paces.trim();
        assert_eq!(paces.0.paces.borrow().len(), 0);
    }
}
