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
use crate::h2;
use crate::metrics::Counter;
use crate::pace::{Limit, Pace};
use crate::stream::{Client, Download, Part, Request, Sink};
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
            && UNDER_WAY.get() < MAX_UNDER_WAY
            && let Some(Ok(copy)) = request.head(|head| Copy::of(head, &body, attempt, exchange))
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
    head: Head,
    body: Vec<u8>,
}

/// Its head, in the endpoint's protocol.
enum Head {
    Http1(Vec<u8>),
    Http2(Box<h2::Head>),
}

impl Copy {
    fn of(
        head: &RequestHead<'_>,
        body: &[u8],
        attempt: Attempt,
        exchange: &Exchange,
    ) -> Result<Self, Fault> {
        let whole = match head.framing {
            Framing::Chunked => Framing::Length(body.len() as u64),
            other => other,
        };
        let own = &RequestHead { framing: whole, expect_continue: false, ..*head };
        let (method, body) = (head.method, body.to_vec());
        let head = match attempt.protocol {
            HttpProtocol::Http1 => {
                let mut bytes = Vec::new();
                upstream::write_head(own, &attempt, exchange, &mut bytes)?;
                Head::Http1(bytes)
            }
            // A copy opens no tunnel: its answer is thrown away.
            HttpProtocol::Http2 => {
                Head::Http2(Box::new(h2::Head::of(own, &attempt, exchange, false)?))
            }
        };
        Ok(Self { attempt, method, head, body })
    }

    async fn deliver(self, worker: Rc<Worker>) {
        let pace = Pace::new(&worker.timers);
        pace.within(Limit::Request, PATIENCE, Fault::us(Stage::Reply, Cause::RequestTimeout));
        let address = self.attempt.address;
        let result = pace.keep(pin!(self.exchange(&worker, &pace))).await;
        if let Ok(Err(fault)) | Err(fault) = result {
            tracing::debug!(%address, ?fault, "a mirror failed");
        }
    }

    async fn exchange(self, worker: &Rc<Worker>, pace: &Pace) -> Result<(), Fault> {
        let Self { attempt, method, head, body } = self;
        match head {
            Head::Http1(head) => {
                let mut upstream = match call::lease(worker, &attempt) {
                    Some(upstream) => upstream,
                    None => call::dial(worker, &attempt, pace).await?,
                };
                upstream.outgoing.queue_head(Framing::None, |out| out.extend_from_slice(&head));
                upstream.outgoing.put(&Part::of(&body)).await?;
                let persistent = throw_away(&mut upstream.incoming, method, worker).await?;
                if persistent && upstream.incoming.unread().is_empty() {
                    worker.pool.check_in(upstream, worker.settings().keep);
                }
            }
            Head::Http2(head) => {
                let mut call = h2::send(worker, &attempt, *head, pace).await?;
                if !body.is_empty() {
                    call.up.put(&Part { last: true, ..Part::of(&body) }).await?;
                }
                throw_away(&mut call.down, method, worker).await?;
            }
        }
        Ok(())
    }
}

/// Reads a response to its end; whether its head allows the connection to be used again.
async fn throw_away(
    incoming: &mut impl Download,
    method: Method,
    worker: &Worker,
) -> Result<bool, Fault> {
    let limits = worker.settings().head;
    let answered = Cell::new(false);
    let persistent = loop {
        let head = incoming.head(method, &limits, &answered, |head| {
            (head.status >= 200).then_some(head.connection.persistent)
        });
        if let Some(persistent) = head.await? {
            break persistent;
        }
    };
    while !incoming.is_done() {
        if incoming.take()?.is_none() {
            incoming.more().await?;
        }
    }
    Ok(persistent)
}
