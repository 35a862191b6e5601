//! One attempt at an endpoint: connect or reuse, send the request, and relay the response beside
//! what is left of the upload.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::time::Duration;

use ringway_core::exchange::{Attempt, Sent, Verdict, Written};
use ringway_core::message::{Blame, Cause, Fault, Method, Stage};

use crate::clock;
use crate::dial;
use crate::exchange::Exchange;
use crate::metrics::Counter;
use crate::pace::{Limit, Pace};
use crate::pool::Upstream;
use crate::relay::{self, Idle};
use crate::stream::{Client, Request, Response, Sink, Source};
use crate::upstream;
use crate::worker::{Settings, Worker};

/// A client that has ended its sending direction may only have done that, and still read the
/// answer; or it may have left. It is taken to have left when the answer takes longer than this.
const HALF_CLOSED: Duration = Duration::from_millis(500);

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
    /// A byte of the response has come.
    answered: Cell<bool>,
    /// The response's head allows the connection to be used again.
    persistent: Cell<bool>,
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
    let settings = exchange.worker.settings();
    let way = Way { pace: &pace, settings: &settings, progress: Progress::default() };
    let result = pace.keep(run(exchange, attempt, client, &way)).await;
    let progress = &way.progress;
    pace.clear_all();
    result.unwrap_or_else(Err).map_err(|fault| {
        let (request, response) = client.halves();
        response.discard();
        let written = if progress.written.get() {
            Written::Some { replayable: request.can_rewind() }
        } else {
            Written::Nothing
        };
        let sent =
            Sent { written, reused: progress.reused.get(), answered: progress.answered.get() };
        Broken { fault, sent }
    })
}

async fn run<C: Client>(
    exchange: &mut Exchange,
    attempt: &Attempt,
    client: &mut C,
    pace: &Rc<Pace>,
    progress: &Progress,
) -> Result<(), Fault> {
    let worker = Rc::clone(&exchange.worker);
    let settings = worker.settings();
    let connect = exchange.is_connect();
    let mut upstream = lease_or_dial(&worker, attempt, connect, pace).await?;
    progress.reused.set(upstream.reused);
    upstream.outgoing.under(pace, Limit::Up, settings.timeouts.body_idle);
    let (request, response) = client.halves();
    request.rewind();
    let ask = request.head(|head| upstream::queue(&mut upstream, head, attempt.address, exchange));
    let method = match ask {
        Some(Ok(method)) => method,
        Some(Err(fault)) => return Err(fault),
        None => return Err(Fault::us(Stage::Send, Cause::Panic)),
    };
    let verdict = if connect {
        upstream.outgoing.discard();
        response.established();
        let verdict = exchange.heard(200);
        response.flush().await?;
        verdict
    } else {
        let Upstream { incoming, outgoing, .. } = &mut *upstream;
        let received = Cell::new(0);
        let up = upload(request, outgoing, pace, progress, &settings, &received);
        let down = reply(incoming, response, exchange, method, pace, progress, &settings);
        let verdict = relay::both(up, down).await;
        exchange.received.set(received.get());
        verdict?
    };
    if verdict == Verdict::Tunnel {
        let idle = Idle { pace: Rc::clone(pace), span: settings.timeouts.tunnel_idle };
        let result = relay::tunnel(
            (request.incoming(), response.outgoing()),
            (&mut upstream.incoming, &mut upstream.outgoing),
            &worker.buffers,
            idle,
            (&exchange.received, &exchange.sent),
        )
        .await;
        upstream::count(&worker, &mut upstream);
        return result;
    }
    upstream::count(&worker, &mut upstream);
    if may_be_reused(&upstream, progress) && worker.draining_since().is_none() {
        worker.pool.check_in(upstream, settings.keep);
    }
    Ok(())
}

/// A connection is used again only when both messages on it were complete and nothing follows.
fn may_be_reused(upstream: &Upstream, progress: &Progress) -> bool {
    progress.uploaded.get()
        && progress.persistent.get()
        && upstream.incoming.is_done()
        && upstream.incoming.unread().is_empty()
}

async fn lease_or_dial(
    worker: &Worker,
    attempt: &Attempt,
    connect: bool,
    pace: &Pace,
) -> Result<Box<Upstream>, Fault> {
    if !attempt.fresh && !connect {
        let lease = worker.pool.lease(attempt.endpoint);
        if lease.stale > 0 {
            worker.metrics().add(Counter::PoolStale, lease.stale);
        }
        if let Some(upstream) = lease.upstream {
            worker.metrics().count(Counter::PoolHit);
            return Ok(upstream);
        }
    }
    worker.metrics().count(Counter::PoolMiss);
    let late = Fault::upstream(Stage::Connect, Cause::ConnectTimeout);
    pace.within(Limit::Up, attempt.connect_timeout, late);
    let halves = dial::connect(attempt.address).await?;
    pace.clear(Limit::Up);
    let upstream = Upstream::new(attempt.endpoint, halves, &worker.buffers);
    upstream::opened(worker, &upstream);
    Ok(Box::new(upstream))
}

/// Sends the request, then watches whether the client stays. Returns only when going on makes no
/// sense any more.
async fn upload(
    request: &mut impl Request,
    outgoing: &mut crate::h1::Outgoing,
    pace: &Pace,
    progress: &Progress,
    settings: &Settings,
    received: &Cell<u64>,
) -> Fault {
    progress.written.set(true);
    if let Err(fault) = relay::one(request, outgoing, received).await {
        progress.written.set(outgoing.started());
        if fault.blame == Blame::Upstream && outgoing.started() {
            // It may have answered before it closed; what it says comes the other way.
            return pending().await;
        }
        return fault;
    }
    progress.uploaded.set(true);
    if let Some(limit) = settings.timeouts.response
        && !progress.answered.get()
    {
        let late = Fault::upstream(Stage::Reply, Cause::RequestTimeout);
        pace.within(Limit::Up, limit, late);
    }
    if let Err(fault) = poll_fn(|cx| request.poll_gone(cx)).await {
        return fault;
    }
    let gone = Fault::client(Stage::Reply, Cause::Closed);
    pace.within(Limit::Up, HALF_CLOSED, gone);
    pending().await
}

/// Relays interim responses, the final head and its body.
async fn reply(
    incoming: &mut crate::h1::Incoming,
    response: &mut impl Response,
    exchange: &mut Exchange,
    method: Method,
    pace: &Pace,
    progress: &Progress,
    settings: &Settings,
) -> Result<Verdict, Fault> {
    loop {
        let heard = upstream::head(incoming, method, &settings.head, &progress.answered, |head| {
            if head.status < 200 && head.status != 101 {
                response.interim(head);
                return None;
            }
            let verdict = exchange.heard(head.status);
            if verdict != Verdict::Refuse {
                response.head(head, exchange, progress.uploaded.get());
            }
            progress.persistent.set(head.connection.persistent && verdict == Verdict::Relay);
            Some(verdict)
        })
        .await?;
        match heard {
            None => response.flush().await?,
            Some(Verdict::Relay) => break,
            Some(Verdict::Tunnel) => {
                response.flush().await?;
                return Ok(Verdict::Tunnel);
            }
            Some(Verdict::Refuse) => {
                return Err(Fault::upstream(Stage::Reply, Cause::Unsolicited));
            }
        }
    }
    if progress.uploaded.get() {
        pace.clear(Limit::Up);
    }
    clock::now();
    relay::one(incoming, response, &exchange.sent).await?;
    Ok(Verdict::Relay)
}
