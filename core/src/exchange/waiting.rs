//! Requests for a host that nobody has looked up yet: which of them wait, for what, and how long.

use std::rc::Rc;

use super::{Flow, State};
use crate::cluster::World;
use crate::message::{Cause, Fault, RequestHead, Stage};
use crate::policy::deadline;
use crate::policy::route::PlainHost;
use crate::snapshot::ListenerRoutes;
use crate::time::{Duration, Instant};

impl Flow {
    /// There is no rule. Perhaps there is one once somebody has looked.
    pub(super) fn miss(&mut self, head: &RequestHead<'_>, routes: &ListenerRoutes) {
        let unknown = |patience: Duration| {
            let host = PlainHost::of(head.authority)?;
            let known = routes.table.knows(head.authority) || self.view.looked_up().contains(&host);
            (!known).then(|| (self.start + patience).min(deadline::asked(head, self.start)))
        };
        match routes.on_demand.and_then(unknown) {
            Some(until) => self.state = State::Waiting(until),
            None => self.give_up(Fault::us(Stage::Route, Cause::NoRoute)),
        }
    }

    /// Routes a request that waits by the present picture; when its time is over, it is given up.
    /// Whether it is still to wait.
    pub fn look_again(
        &mut self,
        head: &RequestHead<'_>,
        listener: usize,
        world: &mut World,
        now: Instant,
    ) -> bool {
        if !matches!(self.state, State::Waiting(_)) {
            return false;
        }
        self.view = Rc::clone(world.view());
        self.state = State::Pick;
        self.route(head, listener, world);
        if let State::Waiting(until) = self.state
            && until <= now
        {
            let asked = deadline::asked(head, self.start) <= now;
            let cause = if asked { Cause::RequestTimeout } else { Cause::LookupTimeout };
            self.give_up(Fault::us(Stage::Route, cause));
        }
        matches!(self.state, State::Waiting(_))
    }

    /// Nobody can be asked to look the host up: it stays unknown.
    pub const fn not_looked_up(&mut self) {
        if matches!(self.state, State::Waiting(_)) {
            self.give_up(Fault::us(Stage::Route, Cause::NoRoute));
        }
    }
}
