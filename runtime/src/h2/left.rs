//! A stream that nobody wants any more. It is reset when that is its turn, or runs out by itself
//! before: resets that come too fast would cost everybody else the connection.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use ringway_core::time::Instant;

use super::answer::Answer;
use super::carrier::Ride;
use super::outgoing::Sender;
use crate::timers::Alarm;

/// What is left of an exchange that was given up; dropping it resets the stream.
pub(super) struct Left {
    pub(super) sender: Rc<Sender>,
    pub(super) answer: Answer,
    /// All of the request was sent.
    pub(super) uploaded: bool,
    pub(super) ride: Ride,
    /// When it may be reset.
    pub(super) turn: Instant,
}

impl Left {
    /// Takes what still comes and forgets it, until the stream has ended or may be reset.
    pub(super) async fn run_out(mut self, alarm: Alarm) {
        alarm.set(self.turn);
        let ended = poll_fn(|cx| {
            if alarm.poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            self.poll_end(cx).map(|()| true)
        })
        .await;
        if ended {
            self.ride.carrier().give_back();
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let answered = self.answer.poll_rest(cx);
        if self.uploaded {
            return answered;
        }
        // The rest of the request will never come, so that only the endpoint can end the stream.
        self.sender.poll_reset(cx).map(drop)
    }
}
