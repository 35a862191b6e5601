//! The time limits that one client connection is under right now, whoever set them: the soonest
//! counts, and says what has gone wrong.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
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
