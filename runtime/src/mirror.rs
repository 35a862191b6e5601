//! Copies of requests for RequestMirror: sent beside the exchange, their answers thrown away. A
//! mirror that is slow or down costs the client nothing.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use ringway_core::exchange::Attempt;
use ringway_core::message::{Cause, Fault, Framing, Method, RequestHead, Stage};
use ringway_core::snapshot::HttpProtocol;

use crate::call;
use crate::clock;
use crate::connection;
use crate::exchange::Exchange;
use crate::metrics::Counter;
use crate::pace::{Limit, Pace};
use crate::stream::{Client, Download, Part, Request, Sink, Source};
use crate::upstream;
use crate::worker::Worker;

/// Copies under way on one worker; further ones are left out.
const MAX_UNDER_WAY: usize = 256;
/// A copy is given up after this.
const PATIENCE: Duration = Duration::from_secs(10);

thread_local! {
    static UNDER_WAY: Cell<usize> = const { Cell::new(0) };
}

/// Sends the copies that the exchange's route asks for. Only of requests whose body is still at
/// hand: it came with the head, or fitted in behind it.
pub(crate) fn send<C: Client>(exchange: &Exchange, client: &mut C) {
    let count = exchange.flow().map_or(0, |flow| flow.mirrors());
    if count == 0 {
        return;
    }
    let (request, _) = client.halves();
    let Some(body) = request.whole_body() else { return };
    for at in 0..count {
        let now = clock::now();
        let mirror = exchange
            .flow()
            .and_then(|flow| flow.mirror(at, &mut exchange.worker.world.borrow_mut(), now));
        if let Some(attempt) = mirror
            // A copy has a connection of its own, which HTTP/2 is not made for.
            && attempt.protocol == HttpProtocol::Http1
            && UNDER_WAY.get() < MAX_UNDER_WAY
            && let Some(copy) = request.head(|head| Copy::of(head, &body, attempt, exchange))
        {
            exchange.worker.metrics().count(Counter::Mirrored);
            UNDER_WAY.set(UNDER_WAY.get() + 1);
            let worker = Rc::clone(&exchange.worker);
            monoio::spawn(async move {
                let delivery = pin!(copy.deliver(worker));
                connection::survives(delivery).await;
                UNDER_WAY.set(UNDER_WAY.get() - 1);
            });
        }
    }
}

/// A request, ready to be sent.
struct Copy {
    attempt: Attempt,
    method: Method,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Copy {
    fn of(head: &RequestHead<'_>, body: &[u8], attempt: Attempt, exchange: &Exchange) -> Self {
        let whole = match head.framing {
            Framing::Chunked => Framing::Length(body.len() as u64),
            other => other,
        };
        let mut bytes = Vec::new();
        // What the original may be sent, its copy may be sent as well.
        let _ = upstream::write_head(
            &RequestHead { framing: whole, expect_continue: false, ..*head },
            attempt.address,
            exchange,
            &mut bytes,
        );
        let body = body.to_vec();
        Self { attempt, method: head.method, head: bytes, body }
    }

    async fn deliver(self, worker: Rc<Worker>) {
        let pace = Pace::new(&worker.timers);
        pace.within(Limit::Request, PATIENCE, Fault::us(Stage::Reply, Cause::RequestTimeout));
        let result = pace.keep(pin!(self.exchange(&worker, &pace))).await;
        if let Ok(Err(fault)) | Err(fault) = result {
            tracing::debug!(address = %self.attempt.address, ?fault, "a mirror failed");
        }
    }

    async fn exchange(&self, worker: &Worker, pace: &Pace) -> Result<(), Fault> {
        let mut upstream = match call::lease(worker, &self.attempt) {
            Some(upstream) => upstream,
            None => call::dial(worker, &self.attempt, pace).await?,
        };
        upstream.outgoing.queue_head(Framing::None, |out| out.extend_from_slice(&self.head));
        upstream.outgoing.put(&Part::of(&self.body)).await?;
        let limits = worker.settings().head;
        let answered = Cell::new(false);
        let persistent = loop {
            let incoming = &mut upstream.incoming;
            let head = Download::head(incoming, self.method, &limits, &answered, |head| {
                (head.status >= 200).then_some(head.connection.persistent)
            });
            if let Some(persistent) = head.await? {
                break persistent;
            }
        };
        while !upstream.incoming.is_done() {
            if upstream.incoming.take()?.is_none() {
                upstream.incoming.more().await?;
            }
        }
        if persistent && upstream.incoming.unread().is_empty() {
            worker.pool.check_in(upstream, worker.settings().keep);
        }
        Ok(())
    }
}
