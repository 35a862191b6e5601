//! Timers as coarse as wrk2's, to compare with its figures: `--tick 1ms`.
//!
//! wrk2 gives every connection that has to wait a timer in whole milliseconds: those of the wait,
//! rounded up, from the millisecond that has begun. Waits are whole milliseconds as well, so a
//! timer is noticed up to another one late, unless something else wakes the thread.

use super::Driver;
use crate::connection::Phase;
use crate::protocol::Protocol;

impl<P: Protocol> Driver<'_, P> {
    /// Sets the timer of a free connection whose turn is not due at `now`.
    pub(super) fn doze(&mut self, slot: usize, now: u64) {
        let tick = self.orders.tick;
        if let (Some(plan), 1..) = (&self.plan, tick) {
            let connection = &mut self.connections[slot];
            let wait = plan.due_of(slot, connection.turn).saturating_sub(now);
            connection.wake = now - now % tick + (wait / tick + 1) * tick;
        }
    }

    /// Looks after all timers that have expired, and says when the next one does.
    pub(super) fn coarse(&mut self, now: u64) -> u64 {
        let mut first = u64::MAX;
        for slot in 0..self.connections.len() {
            let connection = &self.connections[slot];
            if connection.phase == Phase::Idle && connection.wake <= now {
                // Its own moment, as wrk2 takes it: what is sent before it is no part of it.
                self.next(slot, self.now());
            }
            let connection = &self.connections[slot];
            if connection.phase == Phase::Idle {
                first = first.min(connection.wake);
            }
        }
        first
    }
}
