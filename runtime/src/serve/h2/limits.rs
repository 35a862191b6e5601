//! The time limits that a connection is under beside those of its streams.

use std::task::{Context, Poll};
use std::time::Duration;

use h2::Reason;
use ringway_core::time::Instant;

use crate::clock;
use crate::h2::Link;
use crate::serve::LINGER;
use crate::settings::Settings;
use crate::timers::{Alarm, Timers};
use crate::worker::DRAIN_IDLE;

/// What may run out of time.
pub(super) struct Limits {
    alarm: Alarm,
    head: Duration,
    idle: Duration,
    stall: Duration,
    /// When it began, and when the header block did that is coming in.
    begun: Instant,
    block: Option<Instant>,
    /// When the last stream ended.
    idle_since: Option<Instant>,
    closing: Instant,
    /// Something was said that the connection has to be polled for.
    pub(super) again: bool,
}

impl Limits {
    pub(super) fn new(timers: &Timers, settings: &Settings) -> Self {
        let now = clock::recent();
        Self {
            alarm: timers.alarm(),
            head: settings.timeouts.head,
            idle: settings.timeouts.idle_client,
            stall: settings.timeouts.body_idle,
            begun: now,
            block: None,
            idle_since: Some(now),
            closing: Instant::NEVER,
            again: false,
        }
    }

    /// The last word was said.
    pub(super) fn close(&mut self) {
        self.again = true;
        self.closing = clock::recent() + LINGER;
    }

    /// Ready when there was time enough for it.
    pub(super) fn poll_closing(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.set(self.closing);
        self.alarm.poll(cx)
    }

    /// Ready when a limit has run out: with the reason to tell the client, or none when it would
    /// not take it.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        link: &Link,
        idle: bool,
        leaving: bool,
    ) -> Poll<Option<Reason>> {
        let now = clock::recent();
        let (settled, in_block) = link.frames(|f| (f.is_settled(), f.is_in_block()));
        self.block = if in_block { self.block.or(Some(now)) } else { None };
        self.idle_since = if idle { self.idle_since.or(Some(now)) } else { None };
        let patience = if leaving { self.idle.min(DRAIN_IDLE) } else { self.idle };
        let unsettled = (!settled).then_some(self.begun);
        let limits = [
            (link.stalled(), self.stall, None),
            (unsettled, self.head, Some(Reason::SETTINGS_TIMEOUT)),
            (self.block, self.head, Some(Reason::ENHANCE_YOUR_CALM)),
            (self.idle_since, patience, Some(Reason::NO_ERROR)),
        ];
        let soonest = limits
            .into_iter()
            .filter_map(|(since, span, reason)| Some((since? + span, reason)))
            .min_by_key(|(deadline, _)| *deadline);
        let Some((deadline, reason)) = soonest else {
            // Polled all the same: it is how the drain is told.
            self.alarm.set(Instant::NEVER);
            return self.alarm.poll(cx).map(|()| None);
        };
        self.alarm.set(deadline);
        self.alarm.poll(cx).map(|()| reason)
    }
}
