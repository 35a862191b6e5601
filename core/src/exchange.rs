//! One request, from its head to its record: what to try next, when to give up, what to answer.
//! A pure state machine; the runtime awaits and asks.
//!
//! ```text
//!            ┌────────── failed: Again ──────────┐
//!            ▼                                   │
//! open ─► Pick ── next: Try ─► Trying ── failed ─┴─ Stop ─► Answered ─► close
//!            └─── next: Answer ─► Answered          heard ─► Relaying ─► close
//! ```
//! Where services are looked up when they are first used, a request for an unknown one waits:
//! `next` says `Wait`, and `look_again` routes it by the next picture.
//!
//! Every attempt holds one ticket: the endpoint's outstanding count. It is closed by `failed` or
//! by `close`, whichever comes first, and so exactly once. A flow that is given up because the
//! client left is closed like any other.
//!
//! An opaque connection is one exchange too: it has no head and no answer, and in place of `heard`
//! its attempt is `connected`.

mod waiting;

use std::net::SocketAddr;
use std::rc::Rc;

use crate::cluster::{EndpointId, Outcome, Picked, View, World};
use crate::message::{Blame, Cause, Fault, Method, RequestHead, Stage, Upgrade, Version};
use crate::policy::answer::{self, Answer, Scheme};
use crate::policy::classify::classify;
use crate::policy::deadline;
use crate::policy::retry::{MAX_ATTEMPTS, Retry, retry};
pub use crate::policy::retry::{Sent, Written};
use crate::record::{Closing, Record};
use crate::snapshot::{Backend, ClusterId, Filters, HeaderEdits, HttpProtocol, Place, Rule};
use crate::time::{Duration, Instant};

/// The state of one exchange. Allocates nothing; keeps the view it was opened on alive.
#[derive(Debug)]
pub struct Flow {
    view: Rc<View>,
    start: Instant,
    /// End of the whole request; `NEVER` without a limit.
    deadline: Instant,
    /// When the attempt under way was begun.
    begun: Instant,
    /// When the answer began.
    replied: Option<Instant>,
    ticket: Option<EndpointId>,
    /// The last endpoints that failed, the latest first.
    failed: [Option<EndpointId>; MAX_ATTEMPTS as usize - 1],
    last: Option<EndpointId>,
    found: Option<Found>,
    state: State,
    method: Method,
    upgrade: bool,
    /// Nothing but a switch of protocols can answer: an extended CONNECT (RFC 8441).
    switch_only: bool,
    /// Every further attempt takes a new connection.
    fresh: bool,
    /// What is sent is between the client and the endpoint, and not the proxy's to encrypt.
    sealed: bool,
    attempts: u8,
}

/// Where the matched rule is, so that a flow borrows nothing.
#[derive(Clone, Copy, Debug)]
struct Found {
    listener: u32,
    rule: Place,
    backend: Option<u32>,
    prefix: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Pick,
    /// For a picture that knows the host, until then.
    Waiting(Instant),
    Trying,
    Relaying,
    Answered(Answer),
}

/// What to do next.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Send the request to this endpoint, then report `failed` or `heard`.
    Try(Attempt),
    /// Have the request's host looked up, and `look_again` with the next snapshot, and at this
    /// time at the latest.
    Wait(Instant),
    /// Answer the client; then `close`.
    Answer(Answer),
}

/// One try at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The endpoint: the key of its connection pool.
    pub endpoint: EndpointId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it has to be a new connection.
    pub fresh: bool,
    /// Time allowed for the connect.
    pub connect_timeout: Duration,
    /// What it is spoken to in.
    pub protocol: HttpProtocol,
    /// Whether a ringway stands before it, which is told what the request was.
    pub meshed: bool,
    /// When the attempt, to the end of its response, has to be over. On expiry report
    /// `Cause::RequestTimeout`.
    pub deadline: Option<Instant>,
}

/// What to do with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Relay it.
    Relay,
    /// The connection becomes a tunnel: 101 to an upgrade, 2xx to CONNECT.
    Tunnel,
    /// Not a response to this request (an unasked 101, or a success without the switch that an
    /// extended CONNECT asks for): drop it with its connection, and call `next` for the answer.
    Refuse,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    /// The status sent to the client; `None` when nothing was sent.
    pub status: Option<u16>,
    /// The gRPC status sent to the client, if it was one; Unknown (2) when gRPC ended without.
    pub grpc: Option<u8>,
    /// Whether the proxy made the answer itself.
    pub local: bool,
    /// What went wrong, if the flow does not know it yet: while relaying or answering, or the
    /// client's leaving.
    pub fault: Option<Fault>,
    /// Request body bytes taken from the client.
    pub received: u64,
    /// Response body bytes given to the client.
    pub sent: u64,
}

impl Flow {
    /// Routes a request that came on the view's `listener`.
    pub fn open(head: &RequestHead<'_>, listener: usize, world: &mut World, now: Instant) -> Self {
        let mut flow = Self::new(head.method, head.upgrade != Upgrade::None, world, now);
        flow.switch_only = flow.upgrade && head.version == Version::Http2;
        flow.sealed = head.method == Method::Connect && !flow.upgrade;
        flow.route(head, listener, world);
        flow
    }

    /// Finds the way of a connection that came on the view's `listener` and is passed on as it
    /// comes. If it is TLS, `name` is the server name that the client asks for, empty if it says
    /// none: a rule for it goes before what other opaque connections get.
    pub fn open_opaque(
        listener: usize,
        name: Option<&[u8]>,
        world: &mut World,
        now: Instant,
    ) -> Self {
        // Like the tunnel that a CONNECT asks for.
        let mut flow = Self::new(Method::Connect, false, world, now);
        flow.sealed = name.is_some();
        let view = Rc::clone(&flow.view);
        if !view.is_ready() {
            flow.give_up(Fault::us(Stage::Route, Cause::NotReady));
            return flow;
        }
        let Some(routes) = view.listeners().get(listener) else {
            flow.give_up(Fault::us(Stage::Route, Cause::NotReady));
            return flow;
        };
        match routes.opaque(name) {
            Some((place, rule)) => flow.take_rule(rule, (listener, place, 0), world),
            None => flow.give_up(Fault::us(Stage::Route, Cause::NoRoute)),
        }
        flow
    }

    fn new(method: Method, upgrade: bool, world: &World, now: Instant) -> Self {
        Self {
            view: Rc::clone(world.view()),
            start: now,
            deadline: Instant::NEVER,
            begun: now,
            replied: None,
            ticket: None,
            failed: [None; MAX_ATTEMPTS as usize - 1],
            last: None,
            found: None,
            state: State::Pick,
            method,
            upgrade,
            switch_only: false,
            fresh: false,
            sealed: false,
            attempts: 0,
        }
    }

    fn route(&mut self, head: &RequestHead<'_>, listener: usize, world: &mut World) {
        let view = Rc::clone(&self.view);
        if !view.is_ready() {
            return self.give_up(Fault::us(Stage::Route, Cause::NotReady));
        }
        // Inbound listeners may have routes before the others have theirs.
        let Some(routes) = view.listeners().get(listener) else {
            return self.give_up(Fault::us(Stage::Route, Cause::NotReady));
        };
        let Some(found) = routes.table.find(head) else {
            return self.miss(head, routes);
        };
        let place = Place::Table(found.index);
        self.take_rule(found.rule, (listener, place, found.matched_prefix), world);
        self.deadline = self.deadline.min(deadline::asked(head, self.start));
    }

    /// Follows the rule that was found, of that listener and place, with so much of the path.
    fn take_rule(&mut self, rule: &Rule, at: (usize, Place, usize), world: &mut World) {
        let backend = choose(&rule.backends, world);
        if let Some(usage) = &rule.usage {
            usage.mark();
        }
        self.found = Some(Found {
            listener: index(at.0),
            rule: at.1,
            backend: backend.map(index),
            prefix: index(at.2),
        });
        self.deadline = rule.timeouts.request.map_or(Instant::NEVER, |limit| self.start + limit);
        if let Some(redirect) = &rule.redirect {
            self.state = State::Answered(Answer::redirect(redirect.status));
        } else if backend.and_then(|at| rule.backends[at].cluster).is_none() {
            self.give_up(Fault::us(Stage::Route, Cause::NoBackend));
        }
    }

    /// The next step. Has to be called after `open`, and after each `failed`.
    pub fn next(&mut self, world: &mut World, now: Instant) -> Step {
        if matches!(self.state, State::Pick) {
            match self.pick(world, now) {
                Ok(attempt) => return Step::Try(attempt),
                Err(fault) => self.give_up(fault),
            }
        }
        let answer = match self.state {
            State::Answered(answer) => answer,
            State::Waiting(until) => return Step::Wait(until),
            // Asked out of turn: a bug of the caller, which must not take the worker down.
            State::Pick | State::Trying | State::Relaying => {
                Answer::to(Fault::us(Stage::Pick, Cause::Panic))
            }
        };
        self.replied.get_or_insert(now);
        Step::Answer(answer)
    }

    fn pick(&mut self, world: &mut World, now: Instant) -> Result<Attempt, Fault> {
        if now >= self.deadline {
            return Err(Fault::us(Stage::Pick, Cause::RequestTimeout));
        }
        let cluster = self.cluster().ok_or(Fault::us(Stage::Route, Cause::NoBackend))?;
        let picked = world
            .pick(cluster, &self.failed, now)
            .ok_or(Fault::us(Stage::Pick, Cause::NoEndpoint))?;
        if picked.tls && !self.sealed {
            return Err(Fault::us(Stage::Pick, Cause::TlsDemanded));
        }
        let limit = self.rule().and_then(|rule| rule.timeouts.backend_request);
        let deadline = limit.map_or(Instant::NEVER, |limit| now + limit).min(self.deadline);
        world.begin(picked.endpoint);
        self.ticket = Some(picked.endpoint);
        self.last = self.ticket;
        self.begun = now;
        self.attempts += 1;
        self.state = State::Trying;
        Ok(Attempt {
            endpoint: picked.endpoint,
            address: picked.address,
            fresh: self.fresh,
            connect_timeout: picked.connect_timeout,
            protocol: self.spoken(picked),
            meshed: picked.meshed,
            deadline: (deadline != Instant::NEVER).then_some(deadline),
        })
    }

    /// To a ringway, HTTP/1.1 goes over HTTP/2: all but what turns a whole connection into a tunnel.
    const fn spoken(&self, picked: Picked) -> HttpProtocol {
        let tunnels = self.upgrade || matches!(self.method, Method::Connect);
        if picked.meshed && !tunnels { HttpProtocol::Http2 } else { picked.protocol }
    }

    /// The attempt has failed; `sent` says how far it had come.
    pub fn failed(&mut self, fault: Fault, sent: Sent, world: &mut World, now: Instant) {
        self.settle(Outcome::of(fault), world, now);
        if !matches!(self.state, State::Trying) {
            return self.give_up(fault);
        }
        match retry(fault, sent, self.method) {
            Retry::Again { fresh, other } if self.attempts < MAX_ATTEMPTS => {
                self.fresh |= fresh;
                self.state = State::Pick;
                if other {
                    self.failed.rotate_right(1);
                    self.failed[0] = self.last;
                    if !self.elsewhere(world) {
                        self.give_up(fault);
                    }
                }
            }
            Retry::Again { .. } | Retry::Stop => self.give_up(fault),
        }
    }

    /// The head of the final response, or a 101, has come. Interim responses (100, 102, 103) are
    /// relayed without asking.
    pub fn heard(&mut self, status: u16, world: &mut World, now: Instant) -> Verdict {
        let tunnel = status == 101 || self.method == Method::Connect && status / 100 == 2;
        // A success would tell the client of an extended CONNECT that its tunnel is open.
        let declined = self.switch_only && status / 100 == 2;
        if status == 101 && !self.upgrade || declined {
            let fault = Fault::upstream(Stage::Reply, Cause::Unsolicited);
            self.settle(if declined { Outcome::Done } else { Outcome::Failed }, world, now);
            self.give_up(fault);
            return Verdict::Refuse;
        }
        self.replied = Some(now);
        self.state = State::Relaying;
        if let Some(endpoint) = self.ticket {
            world.heard(endpoint, status, now.since(self.begun), now);
        }
        if tunnel { Verdict::Tunnel } else { Verdict::Relay }
    }

    /// The endpoint of an opaque connection is reached. How soon says nothing of how fast it works,
    /// so nothing is learned from it: such connections are balanced by their number.
    pub const fn connected(&mut self, now: Instant) {
        self.replied = Some(now);
        self.state = State::Relaying;
    }

    /// See [`Self::close`]; for an opaque connection.
    pub fn close_opaque(self, end: End, world: &mut World, now: Instant) -> Closing {
        let relayed = matches!(self.state, State::Relaying);
        let connected = self.replied.filter(|_| relayed).map(|at| at.since(self.start));
        Closing::new(&self.close(end, world, now), connected)
    }

    /// Ends the exchange and its ticket, whatever state it is in.
    pub fn close(mut self, end: End, world: &mut World, now: Instant) -> Record {
        let outcome = match (end.fault, self.state) {
            (Some(fault), _) if fault.blame == Blame::Upstream => Outcome::Failed,
            (_, State::Relaying) => Outcome::Done,
            (_, State::Pick | State::Waiting(_) | State::Trying | State::Answered(_)) => {
                Outcome::Abandoned
            }
        };
        self.settle(outcome, world, now);
        let own = match self.state {
            State::Answered(answer) => answer.fault,
            State::Pick | State::Waiting(_) | State::Trying | State::Relaying => None,
        };
        let fault = end.fault.or(own);
        Record {
            endpoint: self.last,
            method: self.method,
            status: end.status,
            grpc: end.grpc,
            local: end.local,
            fault,
            classification: classify(end.status, end.grpc, end.local, fault),
            start: self.start,
            latency: self.replied.map(|at| at.since(self.start)),
            total: now.since(self.start),
            attempts: self.attempts,
            received: end.received,
            sent: end.sent,
        }
    }

    /// Closes the ticket, if one is open.
    fn settle(&mut self, outcome: Outcome, world: &mut World, now: Instant) {
        if let Some(endpoint) = self.ticket.take() {
            world.end(endpoint, outcome, now.since(self.begun), now);
        }
    }

    const fn give_up(&mut self, fault: Fault) {
        self.state = State::Answered(Answer::to(fault));
    }

    /// Whether the cluster has an endpoint that has not failed this exchange.
    fn elsewhere(&self, world: &World) -> bool {
        self.cluster().is_some_and(|cluster| world.has_other(cluster, &self.failed))
    }

    fn cluster(&self) -> Option<ClusterId> {
        self.backend()?.cluster
    }

    /// The rule that matched.
    #[must_use]
    pub fn rule(&self) -> Option<&Rule> {
        let found = self.found?;
        let routes = self.view.listeners().get(found.listener as usize)?;
        routes.rule(found.rule)
    }

    fn backend(&self) -> Option<&Backend> {
        self.rule()?.backends.get(self.found?.backend? as usize)
    }

    /// The edits to apply: the rule's, then those of the chosen backend.
    #[must_use]
    pub fn filters(&self) -> (&Filters, Option<&Filters>) {
        static NONE: Filters = Filters {
            request: HeaderEdits { set: Vec::new(), add: Vec::new(), remove: Vec::new() },
            response: HeaderEdits { set: Vec::new(), add: Vec::new(), remove: Vec::new() },
            hostname: None,
            path: None,
        };
        let rule = self.rule().map_or(&NONE, |rule| &rule.filters);
        (rule, self.backend().map(|backend| &backend.filters))
    }

    /// How many bytes of the path the rule matched, for rewrites (`route::rewrite`).
    #[must_use]
    pub fn matched_prefix(&self) -> usize {
        self.found.map_or(0, |found| found.prefix as usize)
    }

    /// Appends the value of `location` when the answer is a redirect; says whether it is.
    pub fn location(&self, head: &RequestHead<'_>, scheme: Scheme, out: &mut Vec<u8>) -> bool {
        let redirect = self.rule().and_then(|rule| rule.redirect.as_ref());
        if let Some(redirect) = redirect {
            answer::location(redirect, head, scheme, self.matched_prefix(), out);
        }
        redirect.is_some()
    }

    /// How many mirrors the rule has.
    #[must_use]
    pub fn mirrors(&self) -> usize {
        self.rule().map_or(0, |rule| rule.mirrors.len())
    }

    /// Where mirror number `at` of this request goes; `None` when the sample leaves it out or it
    /// has no endpoint. To be asked once per mirror. Mirrors hold no ticket: their answers are
    /// thrown away and teach nothing.
    pub fn mirror(&self, at: usize, world: &mut World, now: Instant) -> Option<Attempt> {
        let mirror = self.rule()?.mirrors.get(at)?;
        if world.below(u64::from(mirror.denominator)) >= u64::from(mirror.numerator) {
            return None;
        }
        let picked = world.pick(mirror.cluster, &[], now).filter(|picked| !picked.tls)?;
        Some(Attempt {
            endpoint: picked.endpoint,
            address: picked.address,
            fresh: false,
            connect_timeout: picked.connect_timeout,
            protocol: picked.protocol,
            meshed: picked.meshed,
            deadline: (self.deadline != Instant::NEVER).then_some(self.deadline),
        })
    }
}

/// A backend by weight; `None` when there is none with a weight.
fn choose(backends: &[Backend], world: &mut World) -> Option<usize> {
    if let [only] = backends {
        return (only.weight > 0).then_some(0);
    }
    let total = backends.iter().map(|backend| u64::from(backend.weight)).sum();
    if total == 0 {
        return None;
    }
    let mut left = world.below(total);
    backends.iter().position(|backend| {
        let weight = u64::from(backend.weight);
        let here = left < weight;
        left = left.saturating_sub(weight);
        here
    })
}

/// Indices are bounded by what a snapshot and a head can hold, far below `u32::MAX`.
fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
