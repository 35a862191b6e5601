//! Scripted endpoints: what an attempt meets, and when.

use ringway_core::exchange::Sent;
use ringway_core::message::{Cause, Fault, Stage};
use ringway_core::rng::Rng;
use ringway_core::time::Duration;

/// How an endpoint behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Script {
    /// Answers in about so many milliseconds.
    Fast(u64),
    /// Answers 500 at once for so many per cent of requests.
    Failing(u64),
    /// Refuses every connection.
    Refusing,
    /// Closes pooled connections under the request, for so many per cent of requests.
    Racing(u64),
    /// Resets after a part of its answer was seen.
    Cutting,
}

/// What happens to one attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// A response head, then the end of the body.
    Head { status: u16, after: Duration },
    /// A fault.
    Fault { fault: Fault, sent: Sent, after: Duration },
}

impl Script {
    pub(crate) fn any(rng: &mut Rng) -> Self {
        match rng.below(8) {
            0 => Self::Failing(50),
            1 => Self::Refusing,
            2 => Self::Racing(50),
            3 => Self::Cutting,
            4 => Self::Fast(200),
            _ => Self::Fast(5),
        }
    }

    /// Plays one attempt; `fresh` says that the connection is new.
    pub(crate) fn play(self, fresh: bool, rng: &mut Rng) -> Reply {
        let ms = Duration::from_millis;
        let chance = |percent: u64, rng: &mut Rng| rng.below(100) < percent;
        match self {
            Self::Fast(mean) => {
                Reply::Head { status: 200, after: ms(mean / 2 + rng.below(mean + 1)) }
            }
            Self::Failing(percent) if chance(percent, rng) => {
                Reply::Head { status: 500, after: ms(0) }
            }
            Self::Refusing => Reply::Fault {
                fault: Fault::upstream(Stage::Connect, Cause::Refused),
                sent: Sent::nothing(false),
                after: ms(0),
            },
            Self::Racing(percent) if !fresh && chance(percent, rng) => {
                let some = rng.below(2) == 0;
                let sent =
                    if some { Sent::some(rng.below(2) == 0, true) } else { Sent::nothing(true) };
                let fault = Fault::upstream(Stage::Send, Cause::Closed);
                Reply::Fault { fault, sent, after: ms(1) }
            }
            Self::Cutting => Reply::Fault {
                fault: Fault::upstream(Stage::Reply, Cause::Reset),
                sent: Sent { answered: true, ..Sent::some(true, true) },
                after: ms(3),
            },
            Self::Failing(_) | Self::Racing(_) => Reply::Head { status: 200, after: ms(5) },
        }
    }
}
