//! One request, from its head to its record. Awaits only: every decision is asked of `Flow`, and
//! neither side's protocol is visible here.

use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;
use std::rc::Rc;

use ringway_core::cluster::EndpointId;
use ringway_core::exchange::{Attempt, End, Flow, Step, Verdict};
use ringway_core::message::{Cause, Fault, Method, RequestHead, Stage};
use ringway_core::policy::answer::Answer;
use ringway_core::record::Record;
use ringway_core::time::Instant;

use crate::accept::{Entrance, direction};
use crate::access_log;
use crate::call::{self, Broken};
use crate::clock;
use crate::lookups;
use crate::metrics::Counter;
use crate::mirror;
use crate::pool::Upstream;
use crate::stream::Client;
use crate::upstream;
use crate::worker::Worker;

/// Serves the request that `exchange` was opened for.
pub(crate) async fn serve<C: Client>(exchange: &mut Exchange, client: &mut C) {
    loop {
        match exchange.next() {
            Step::Answer(answer) => {
                client.answer(exchange, answer).await;
                break;
            }
            // Apart, so that the state of this is no part of every exchange.
            Step::Wait(until) => Box::pin(lookups::wait(exchange, client, until)).await,
            Step::Try(attempt) => match call::attempt(exchange, &attempt, client).await {
                Ok(()) => {
                    mirror::send(exchange, client);
                    break;
                }
                Err(broken) if client.has_begun() => {
                    // The client has part of an answer: it must not take it for all.
                    exchange.broken(broken.fault);
                    client.cut(broken.fault);
                    break;
                }
                Err(broken) => exchange.failed(&broken),
            },
        }
    }
    exchange.finish();
}

/// What an exchange says that is already closed: it is never asked.
const CLOSED: Answer = Answer::to(Fault::us(Stage::Pick, Cause::Panic));

/// A flow and the facts of its exchange, closed exactly once: at the latest when it is dropped,
/// because the client has left.
pub(crate) struct Exchange {
    pub(crate) worker: Rc<Worker>,
    pub(crate) entrance: Rc<Entrance>,
    pub(crate) peer: SocketAddr,
    method: Method,
    first: Option<Step>,
    prepared: Option<Result<Box<Upstream>, Fault>>,
    flow: Option<Flow>,
    entry: Option<access_log::Entry>,
    /// The endpoint of the last attempt, and what became of it.
    tried: Option<EndpointId>,
    failed: Option<(EndpointId, Fault)>,
    fault: Option<Fault>,
    local: bool,
    status: Option<u16>,
    /// What an endpoint is asked to prove when it switches protocols.
    pub(crate) challenge: OnceCell<Box<[u8; 24]>>,
    /// The status of the application's own protocol, gRPC, once one was given.
    pub(crate) grpc: Cell<Option<u8>>,
    /// Request body bytes taken from the client, response body bytes given to it.
    pub(crate) received: Cell<u64>,
    pub(crate) sent: Cell<u64>,
}

impl Exchange {
    /// Routes a request; its exchange is written to `place`.
    pub(crate) fn open(
        place: &mut Option<Self>,
        (worker, entrance, peer): (&Rc<Worker>, &Rc<Entrance>, SocketAddr),
        head: &RequestHead<'_>,
        entry: Option<access_log::Entry>,
    ) {
        let now = clock::now();
        let mut world = worker.world.borrow_mut();
        let listener = world.listener(&entrance.name).unwrap_or(usize::MAX);
        let flow = Flow::open(head, listener, &mut world, now);
        drop(world);
        worker.exchanges.set(worker.exchanges.get() + 1);
        let exchange = place.insert(Self {
            worker: Rc::clone(worker),
            entrance: Rc::clone(entrance),
            peer,
            method: head.method,
            first: None,
            prepared: None,
            flow: Some(flow),
            entry,
            tried: None,
            failed: None,
            fault: None,
            local: false,
            status: None,
            challenge: OnceCell::new(),
            grpc: Cell::new(None),
            received: Cell::new(0),
            sent: Cell::new(0),
        });
        exchange.prepare(head);
    }

    /// Takes the first step while the head is at hand: with an idle connection to the endpoint,
    /// it need not be parsed a second time.
    fn prepare(&mut self, head: &RequestHead<'_>) {
        let step = self.decide(clock::recent());
        if let Step::Try(attempt) = &step
            && !self.is_connect()
            && let Some(mut upstream) = call::lease(&self.worker, attempt)
        {
            let queued = upstream::queue(&mut upstream, head, attempt, self);
            self.prepared = Some(queued.map(|()| upstream));
        }
        self.first = Some(step);
    }

    /// The connection on which the first attempt's head is queued.
    pub(crate) const fn take_prepared(&mut self) -> Option<Result<Box<Upstream>, Fault>> {
        self.prepared.take()
    }

    /// The request's method.
    pub(crate) const fn method(&self) -> Method {
        self.method
    }

    /// Whether the request asks for a tunnel to the endpoint, which then sees nothing of it.
    pub(crate) const fn is_connect(&self) -> bool {
        matches!(self.method, Method::Connect)
    }

    /// The decisions made so far.
    pub(crate) const fn flow(&self) -> Option<&Flow> {
        self.flow.as_ref()
    }

    fn next(&mut self) -> Step {
        self.first.take().unwrap_or_else(|| self.decide(clock::now()))
    }

    fn decide(&mut self, now: Instant) -> Step {
        let Some(flow) = &mut self.flow else { return Step::Answer(CLOSED) };
        let step = flow.next(&mut self.worker.world.borrow_mut(), now);
        if let Step::Try(attempt) = &step {
            self.count_failed();
            self.count_attempt(attempt);
        }
        step
    }

    /// An attempt that another one follows; the last one is counted with the record.
    fn count_failed(&mut self) {
        if let Some((endpoint, fault)) = self.failed.take()
            && let Some(series) = self.worker.known_series(endpoint)
        {
            self.worker.failed(&series, fault, None);
        }
    }

    fn count_attempt(&mut self, attempt: &Attempt) {
        self.tried = Some(attempt.endpoint);
        let direction = direction(self.entrance.settings.borrow().kind);
        if let Some(series) = self.worker.series(attempt.endpoint, direction) {
            series.request();
        }
    }

    /// Tells the flow what became of its wait; whether it still waits.
    pub(crate) fn waiting(&mut self, tell: impl FnOnce(&mut Flow) -> bool) -> bool {
        self.flow.as_mut().is_some_and(tell)
    }

    pub(crate) fn failed(&mut self, broken: &Broken) {
        self.received.set(0);
        self.failed = self.tried.map(|endpoint| (endpoint, broken.fault));
        if let Some(flow) = &mut self.flow {
            let mut world = self.worker.world.borrow_mut();
            flow.failed(broken.fault, broken.sent, &mut world, clock::now());
        }
    }

    /// A response head has come; says what to do with it.
    pub(crate) fn heard(&mut self, status: u16) -> Verdict {
        let Some(flow) = &mut self.flow else { return Verdict::Refuse };
        let verdict = flow.heard(status, &mut self.worker.world.borrow_mut(), clock::now());
        if verdict != Verdict::Refuse {
            self.status = Some(status);
        }
        verdict
    }

    /// The exchange ended early: while relaying, or because the client left.
    pub(crate) const fn broken(&mut self, fault: Fault) {
        self.fault = Some(fault);
    }

    /// The proxy has answered by itself.
    pub(crate) const fn answered(&mut self, status: Option<u16>) {
        self.local = true;
        self.status = status;
    }

    fn finish(&mut self) {
        let Some(flow) = self.flow.take() else { return };
        self.worker.exchanges.set(self.worker.exchanges.get() - 1);
        let end = End {
            status: self.status,
            grpc: self.grpc.get(),
            local: self.local,
            fault: self.fault,
            received: self.received.get(),
            sent: self.sent.get(),
        };
        let now = clock::now();
        let Ok(mut world) = self.worker.world.try_borrow_mut() else { return };
        let record = flow.close(end, &mut world, now);
        drop(world);
        self.note(&record);
    }

    fn note(&mut self, record: &Record) {
        let worker = &self.worker;
        let direction = direction(self.entrance.settings.borrow().kind);
        let series = record.endpoint.and_then(|id| worker.series(id, direction));
        if record.attempts > 1 {
            worker.metrics().add(Counter::Retries, u64::from(record.attempts) - 1);
        }
        worker.recorder.note(record, &self.entrance.series, series.as_ref(), self.entry.take());
        worker.stir();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.flow.is_some() {
            self.finish();
        }
    }
}
