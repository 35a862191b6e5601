//! Whether the API server is there: looked at by one task for all watches while it is away, so that
//! they may back off and are called back within seconds of its return, however long it was gone.
//!
//! ```text
//! calm ─ a request or a watch fails ─► doubt ─ and so does a look ─► away
//!   ▲        the watch's own pause holds │                             │
//!   └────────── a look succeeds ─────────┴─── a look or any request ───┘ all watches are called
//! ```
//! A watch that fails while the server answers is not called: its trouble is its own.

use http::{Request, StatusCode};
use ringway_core::rng::Rng;
use ringway_core::time::Duration;
use tokio::sync::watch::{Receiver, Sender};
use tokio::time::{Instant, sleep_until};

use super::api::{Api, Wait};
use super::backoff::{LEAST, jitter};
use super::failure::Failure;

/// Looks begin this far apart, and up to twice that.
const LOOK: Duration = Duration::from_secs(1);
/// Those that are called back come within this, so that they do not come together.
const SPREAD: Duration = Duration::from_millis(500);

/// What is believed of the API server, for all who ask it.
#[derive(Debug)]
pub(crate) struct Presence {
    state: Sender<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    belief: Belief,
    /// How often it has come back.
    returns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Belief {
    #[default]
    Calm,
    /// Something has failed; it is to be looked at.
    Doubt,
    /// A look has failed.
    Away,
}

impl State {
    /// A request, or a watch, has failed in a way that may mean that nobody is there.
    fn failed(&mut self) -> bool {
        let changes = self.belief == Belief::Calm;
        if changes {
            self.belief = Belief::Doubt;
        }
        changes
    }

    /// A look was in vain.
    fn missed(&mut self) -> bool {
        let changes = self.belief == Belief::Doubt;
        if changes {
            self.belief = Belief::Away;
        }
        changes
    }

    /// It has answered as it should.
    fn answered(&mut self) -> bool {
        let changes = self.belief != Belief::Calm;
        self.returns += u64::from(self.belief == Belief::Away);
        self.belief = Belief::Calm;
        changes
    }
}

impl Presence {
    pub(crate) fn new() -> Self {
        Self { state: Sender::new(State::default()) }
    }

    /// Takes note of a failure.
    pub(crate) fn failed(&self, failure: &Failure) {
        if tells_of_absence(failure) {
            self.state.send_if_modified(State::failed);
        }
    }

    /// A request has been answered well.
    pub(crate) fn answered(&self) {
        self.state.send_if_modified(State::answered);
    }

    /// Where to wait for its return.
    pub(crate) fn calls(&self) -> Calls {
        let state = self.state.subscribe();
        let heard = state.borrow().returns;
        Calls { state, heard }
    }
}

/// An overloaded server says when to come again; one that starts, and what stands before one that
/// is gone, do not.
fn tells_of_absence(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable(_) => true,
        Failure::Refused { status, retry_after, .. } => {
            retry_after.is_none() && status.is_server_error()
        }
        Failure::Access(_) | Failure::Malformed(_) => false,
    }
}

/// Where one waits for the return of an API server.
#[derive(Debug)]
pub(crate) struct Calls {
    state: Receiver<State>,
    heard: u64,
}

impl Calls {
    /// Ends `pause` from now, or soon after the API server has come back since the last time, but
    /// not before [`LEAST`]: where it only seems to come back, nobody asks more often than that. What
    /// the API server has asked for in `failure` is not shortened.
    pub(crate) async fn pause(
        &mut self,
        pause: Duration,
        failure: Option<&Failure>,
        rng: &mut Rng,
    ) {
        let begun = Instant::now();
        let end = begun + pause;
        if failure.is_some_and(|failure| failure.retry_after().is_some()) {
            return sleep_until(end).await;
        }
        tokio::select! {
            () = sleep_until(end) => {}
            () = self.returned() => {
                let soon = Instant::now() + jitter(SPREAD, rng);
                sleep_until(soon.max(begun + LEAST).min(end)).await;
            }
        }
    }

    async fn returned(&mut self) {
        let heard = self.heard;
        if let Ok(state) = self.state.wait_for(|state| state.returns != heard).await {
            self.heard = state.returns;
        }
    }
}

/// Looks for the API server whenever there is doubt, until it is aborted.
pub(crate) async fn look(api: &Api, mut rng: Rng) {
    let mut state = api.presence().state.subscribe();
    loop {
        if state.wait_for(|state| state.belief != Belief::Calm).await.is_err() {
            return;
        }
        let next = Instant::now() + LOOK + jitter(LOOK, &mut rng);
        if is_there(api).await {
            api.presence().answered();
        } else {
            api.presence().state.send_if_modified(State::missed);
        }
        sleep_until(next).await;
    }
}

/// Whether it says that it is ready. Where this may not be asked, watches come back by themselves.
async fn is_there(api: &Api) -> bool {
    let Ok(request) = Request::get("/readyz").body(Vec::new()) else { return false };
    let answer = api.open(request, Wait::Look).await;
    answer.is_ok_and(|answer| answer.head.status == StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(belief: Belief) -> State {
        State { belief, returns: 0 }
    }

    #[test]
    fn only_a_server_that_was_missed_comes_back() {
        let mut lone = state(Belief::Calm);
        assert!(lone.failed() && !lone.failed());
        assert!(lone.answered());
        assert_eq!(lone, state(Belief::Calm), "a failure alone calls nobody");
        assert!(lone.failed() && lone.missed() && !lone.missed() && !lone.failed());
        assert!(lone.answered() && !lone.answered());
        assert_eq!(lone, State { belief: Belief::Calm, returns: 1 });
        assert!(!lone.missed(), "a look that was overtaken by an answer");
    }

    #[test]
    fn refusals_are_no_absence() {
        let refused =
            |status, retry_after| Failure::Refused { status, message: String::new(), retry_after };
        assert!(tells_of_absence(&Failure::Unreachable(String::new())));
        assert!(tells_of_absence(&refused(StatusCode::SERVICE_UNAVAILABLE, None)));
        let later = Some(Duration::from_secs(1));
        assert!(!tells_of_absence(&refused(StatusCode::SERVICE_UNAVAILABLE, later)));
        assert!(!tells_of_absence(&refused(StatusCode::FORBIDDEN, None)));
        assert!(!tells_of_absence(&Failure::Malformed(String::new())));
    }

    #[tokio::test]
    async fn whoever_pauses_is_called_once_for_each_return() {
        let presence = Presence::new();
        let (mut calls, mut rng) = (presence.calls(), Rng::new(3));
        presence.failed(&Failure::Unreachable(String::new()));
        presence.state.send_if_modified(State::missed);
        presence.answered();
        // It has come back before the pause began.
        let told = Failure::Refused {
            status: StatusCode::TOO_MANY_REQUESTS,
            message: String::new(),
            retry_after: Some(Duration::from_secs(9)),
        };
        calls.pause(Duration::from_millis(1), Some(&told), &mut rng).await;
        assert_eq!(calls.heard, 0, "it was told to wait");
        calls.pause(Duration::from_secs(3600), None, &mut rng).await;
        assert_eq!(calls.heard, 1);
        calls.pause(Duration::from_millis(1), None, &mut rng).await;
        assert_eq!(calls.heard, 1, "once");
        assert_eq!(presence.calls().heard, 1, "nor is anybody who comes later");
    }
}
