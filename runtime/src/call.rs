//! One attempt at an endpoint: connect or reuse, send the request, and relay the response beside
//! what is left of the upload.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use ringway_core::exchange::{Attempt, Sent, Verdict, Written};
use ringway_core::message::{Blame, Cause, Fault, Method, Stage};
use ringway_core::snapshot::HttpProtocol;

use crate::clock;
use crate::dial;
use crate::exchange::Exchange;
use crate::grpc;
use crate::h2::{self, Refused};
use crate::metrics::Counter;
use crate::pace::{Limit, Pace};
use crate::pool::Upstream;
use crate::relay::{self, Idle};
use crate::settings::Settings;
use crate::stream::{Client, Download, Part, Request, Response, Sink, Source, Upload};
use crate::timers::Timers;
use crate::upstream;
use crate::worker::Worker;

/// A client that has ended its sending direction may only have done that, and still read the
/// answer; or it may have left. It is taken to have left when the answer takes longer than this.
const HALF_CLOSED: Duration = Duration::from_millis(500);

/// Interim heads and the final one; an endpoint that sends more is not answering.
const MAX_HEADS: usize = 64;

/// An attempt that did not bring the exchange to its end.
pub(crate) struct Broken {
    pub(crate) fault: Fault,
    pub(crate) sent: Sent,
}

/// How far an attempt has come, readable even when it is given up in the middle.
#[derive(Default)]
struct Progress {
    reused: Cell<bool>,
    written: Cell<bool>,
    /// The whole request was sent.
    uploaded: Cell<bool>,
    /// A byte of a response has come, be it an interim one.
    answered: Cell<bool>,
    /// The final head has come.
    heard: Cell<bool>,
    /// The client has ended its sending direction.
    half_closed: Cell<bool>,
    /// Nothing comes from the endpoint right now.
    silent: Cell<bool>,
    /// The response's head allows the connection to be used again.
    persistent: Cell<bool>,
}

/// What every step of an attempt goes by.
struct Way<'a> {
    pace: &'a Rc<Pace>,
    timers: &'a Timers,
    settings: &'a Settings,
    progress: Progress,
}

/// Makes one attempt. When it succeeds, the response was relayed to its end.
pub(crate) async fn attempt<C: Client>(
    exchange: &mut Exchange,
    attempt: &Attempt,
    client: &mut C,
) -> Result<(), Broken> {
    let pace = Rc::clone(client.pace());
    if let Some(deadline) = attempt.deadline {
        let fault = Fault::us(Stage::Reply, Cause::RequestTimeout);
        pace.set(Limit::Request, deadline, fault);
    }
    let worker = Rc::clone(&exchange.worker);
    let settings = worker.settings();
    let way = Way {
        pace: &pace,
        timers: &worker.timers,
        settings: &settings,
        progress: Progress::default(),
    };
    let result = pace.keep(pin!(run(exchange, attempt, client, &way))).await;
    pace.clear_all();
    result.unwrap_or_else(Err).map_err(|fault| {
        let (request, response) = client.halves();
        response.discard();
        Broken { fault, sent: way.progress.sent(request.can_rewind()) }
    })
}

impl Progress {
    const fn sent(&self, replayable: bool) -> Sent {
        let written =
            if self.written.get() { Written::Some { replayable } } else { Written::Nothing };
        Sent { written, reused: self.reused.get(), answered: self.answered.get() }
    }
}

async fn run<C: Client>(
    exchange: &mut Exchange,
    attempt: &Attempt,
    client: &mut C,
    way: &Way<'_>,
) -> Result<(), Fault> {
    if attempt.protocol == HttpProtocol::Http2 && !exchange.is_connect() {
        // Apart, so that the state of this is no part of every exchange in HTTP/1.1.
        return Box::pin(shared(exchange, attempt, client, way)).await;
    }
    let worker = Rc::clone(&exchange.worker);
    let (request, response) = client.halves();
    let mut upstream = match exchange.take_prepared() {
        Some(prepared) => prepared?,
        None => prepare(exchange, attempt, request, way).await?,
    };
    way.progress.reused.set(upstream.reused);
    upstream.outgoing.under(way.pace, Limit::Up, way.settings.timeouts.body_idle);
    let verdict = if exchange.is_connect() {
        response.established();
        let verdict = exchange.heard(200);
        response.flush().await?;
        verdict
    } else {
        let method = exchange.method();
        let Upstream { incoming, outgoing, .. } = &mut *upstream;
        let received = Cell::new(0);
        let verdict = {
            let up = pin!(way.upload(request, outgoing, &received));
            let down = pin!(way.reply(incoming, response, exchange, method));
            relay::both(up, down, || !way.progress.uploaded.get()).await
        };
        exchange.received.set(received.get());
        verdict?
    };
    if verdict == Verdict::Tunnel {
        let Upstream { incoming, outgoing, .. } = &mut *upstream;
        return tunnel(exchange, (request, response), (incoming, outgoing), way).await;
    }
    if way.progress.allows_reuse(&upstream) && worker.draining_since().is_none() {
        worker.pool.check_in(upstream, way.settings.keep);
    }
    Ok(())
}

/// What follows the head of a switch of protocols.
async fn tunnel(
    exchange: &Exchange,
    client: (&mut impl Source, &mut impl Sink),
    endpoint: (&mut impl Source, &mut impl Sink),
    way: &Way<'_>,
) -> Result<(), Fault> {
    // What limited the request does not limit what follows it.
    way.pace.clear_all();
    let idle = Idle { pace: Rc::clone(way.pace), span: way.settings.timeouts.tunnel_idle };
    let tally = (&exchange.received, &exchange.sent);
    // Rare and long: its state is kept out of that of every other exchange.
    Box::pin(relay::tunnel(client, endpoint, idle, tally)).await
}

/// The same over a connection that carries many exchanges at once.
async fn shared<C: Client>(
    exchange: &mut Exchange,
    attempt: &Attempt,
    client: &mut C,
    way: &Way<'_>,
) -> Result<(), Fault> {
    let (request, response) = client.halves();
    request.rewind();
    let mut call = {
        let request = RefCell::new(&mut *request);
        let called = h2::call(exchange, attempt, &request, way.pace);
        way.while_there(&request, called).await?
    };
    way.progress.reused.set(call.reused);
    call.up.under(way.pace, Limit::Up, way.settings.timeouts.body_idle);
    let received = Cell::new(0);
    let verdict = {
        let up = pin!(way.upload(request, &mut call.up, &received));
        let down = pin!(way.reply(&mut call.down, response, exchange, exchange.method()));
        relay::both(up, down, || !way.progress.uploaded.get()).await
    };
    exchange.received.set(received.get());
    if let Some(refused) = call.down.refused() {
        // The endpoint has not looked at it: it may be sent again, for every method.
        way.progress.written.set(!request.can_rewind());
        way.progress.reused.set(refused == Refused::Connection);
    }
    if verdict? == Verdict::Tunnel {
        let endpoint = (&mut call.down, &mut call.up);
        return tunnel(exchange, (request, response), endpoint, way).await;
    }
    Ok(())
}

/// A connection on which the request's head is queued, unless it is a CONNECT.
async fn prepare(
    exchange: &Exchange,
    attempt: &Attempt,
    request: &mut impl Request,
    way: &Way<'_>,
) -> Result<Box<Upstream>, Fault> {
    let worker = &exchange.worker;
    let idle = if exchange.is_connect() { None } else { lease(worker, attempt) };
    let mut upstream = match idle {
        Some(upstream) => upstream,
        None => {
            let request = RefCell::new(&mut *request);
            way.while_there(&request, dial(worker, attempt, way.pace)).await?
        }
    };
    if !exchange.is_connect() {
        request.rewind();
        request
            .head(|head| upstream::queue(&mut upstream, head, attempt, exchange))
            .unwrap_or(Err(Fault::us(Stage::Send, Cause::Panic)))?;
    }
    Ok(upstream)
}

/// An idle connection to the attempt's endpoint, unless it has to be a fresh one.
pub(crate) fn lease(worker: &Worker, attempt: &Attempt) -> Option<Box<Upstream>> {
    if attempt.fresh || attempt.protocol != HttpProtocol::Http1 {
        return None;
    }
    let lease = worker.pool.lease(attempt.endpoint);
    if lease.stale > 0 {
        worker.metrics().add(Counter::PoolStale, lease.stale);
    }
    if lease.upstream.is_some() {
        worker.metrics().count(Counter::PoolHit);
    }
    lease.upstream
}

/// A new connection to the attempt's endpoint.
pub(crate) async fn dial(
    worker: &Worker,
    attempt: &Attempt,
    pace: &Pace,
) -> Result<Box<Upstream>, Fault> {
    worker.metrics().count(Counter::PoolMiss);
    let late = Fault::upstream(Stage::Connect, Cause::ConnectTimeout);
    pace.within(Limit::Up, attempt.connect_timeout, late);
    let halves = dial::connect(attempt.address).await?;
    pace.clear(Limit::Up);
    let series = worker.known_series(attempt.endpoint);
    Ok(Box::new(Upstream::new(attempt.endpoint, halves, &worker.buffers, series)))
}

impl Progress {
    /// A connection is used again only when both messages on it were complete and nothing follows.
    fn allows_reuse(&self, upstream: &Upstream) -> bool {
        self.uploaded.get()
            && self.persistent.get()
            && upstream.incoming.is_done()
            && upstream.incoming.unread().is_empty()
    }
}

impl Way<'_> {
    /// Sends the request, then watches whether the client stays. Returns only when going on makes
    /// no sense any more.
    async fn upload(
        &self,
        request: &mut impl Request,
        outgoing: &mut impl Upload,
        received: &Cell<u64>,
    ) -> Fault {
        let progress = &self.progress;
        progress.written.set(true);
        if let Err(fault) = relay::one(request, outgoing, received).await {
            progress.written.set(outgoing.has_started());
            if fault.blame == Blame::Upstream && outgoing.has_started() {
                // It may have answered before it closed; what it says comes the other way.
                return pending().await;
            }
            return fault;
        }
        progress.uploaded.set(true);
        if let Some(limit) = self.settings.timeouts.response
            && !progress.heard.get()
        {
            let late = Fault::upstream(Stage::Reply, Cause::RequestTimeout);
            self.pace.within(Limit::Up, limit, late);
        }
        if let Err(fault) = self.watch(&RefCell::new(request)).await {
            return fault;
        }
        progress.half_closed.set(true);
        if progress.silent.get() {
            self.doubt();
        }
        pending().await
    }

    /// Waits for a connection for as long as the client is there. One that has ended its sending
    /// direction is taken to have left when that takes long.
    async fn while_there<T>(
        &self,
        request: &RefCell<&mut impl Request>,
        connected: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let left = async {
            if let Err(fault) = self.watch(request).await {
                return Fault { stage: Stage::Connect, ..fault };
            }
            let alarm = self.timers.alarm();
            alarm.set(clock::now() + HALF_CLOSED);
            alarm.passed().await;
            Fault::client(Stage::Connect, Cause::Closed)
        };
        relay::both(pin!(left), pin!(connected), || false).await
    }

    /// Waits until the client has ended its sending direction; an error when it is gone.
    async fn watch(&self, request: &RefCell<&mut impl Request>) -> Result<(), Fault> {
        if poll_fn(|cx| request.borrow_mut().poll_gone(cx)).await? {
            return Ok(());
        }
        // It pipelines: there is always something to read, so only looking helps.
        let alarm = self.timers.alarm();
        while !request.borrow().hung_up()? {
            alarm.set(clock::now() + HALF_CLOSED);
            alarm.passed().await;
        }
        Ok(())
    }

    /// The endpoint is silent, and nothing else would show that the client has left.
    fn doubt(&self) {
        self.pace.within(Limit::Up, HALF_CLOSED, Fault::client(Stage::Reply, Cause::Closed));
    }

    /// Waits for the endpoint.
    async fn await_endpoint<T>(&self, wait: impl Future<Output = T>) -> T {
        self.progress.silent.set(true);
        if self.progress.half_closed.get() {
            self.doubt();
        }
        let come = wait.await;
        self.progress.silent.set(false);
        if self.progress.half_closed.get() {
            self.pace.clear(Limit::Up);
        }
        come
    }

    /// Relays interim responses, the final head and its body.
    async fn reply(
        &self,
        incoming: &mut impl Download,
        response: &mut impl Response,
        exchange: &mut Exchange,
        method: Method,
    ) -> Result<Verdict, Fault> {
        let (progress, limits) = (&self.progress, &self.settings.head);
        for _ in 0..MAX_HEADS {
            let heard = incoming.head(method, limits, &progress.answered, |head| {
                if head.status < 200 && head.status != 101 {
                    response.interim(head);
                    return None;
                }
                progress.heard.set(true);
                if upstream::is_unproven(head, exchange) {
                    return Some(Verdict::Refuse);
                }
                let verdict = exchange.heard(head.status);
                exchange.grpc.set(grpc::of_head(head));
                if verdict != Verdict::Refuse {
                    response.head(head, exchange, progress.uploaded.get());
                }
                progress.persistent.set(head.connection.persistent && verdict == Verdict::Relay);
                Some(verdict)
            });
            match self.await_endpoint(heard).await? {
                None => response.flush().await?,
                Some(Verdict::Refuse) => break,
                Some(verdict) => {
                    if progress.uploaded.get() {
                        self.pace.clear(Limit::Up);
                    }
                    if verdict == Verdict::Tunnel {
                        response.flush().await?;
                    } else {
                        let grpc = exchange.grpc.get().is_some().then_some(&exchange.grpc);
                        let mut body = Watched { way: self, incoming, grpc };
                        relay::one(&mut body, response, &exchange.sent).await?;
                    }
                    return Ok(verdict);
                }
            }
        }
        Err(Fault::upstream(Stage::Reply, Cause::Unsolicited))
    }
}

/// A response body during which the client may turn out to have left.
struct Watched<'a, D> {
    way: &'a Way<'a>,
    incoming: &'a mut D,
    /// Where the status goes that the trailers of gRPC state.
    grpc: Option<&'a Cell<Option<u8>>>,
}

impl<D: Download> Source for Watched<'_, D> {
    fn take(&mut self) -> Result<Option<Part<'_>>, Fault> {
        let part = self.incoming.take()?;
        if let (Some(part), Some(grpc)) = (&part, self.grpc) {
            grpc::note_trailers(part, grpc);
        }
        Ok(part)
    }

    async fn more(&mut self) -> Result<(), Fault> {
        self.way.await_endpoint(self.incoming.more()).await
    }

    fn is_done(&self) -> bool {
        self.incoming.is_done()
    }

    fn open_tunnel(&mut self) {
        self.incoming.open_tunnel();
    }
}
