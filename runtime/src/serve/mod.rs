//! The client's side of a connection: waits for requests, reads their heads, has them served one
//! after the other, and ends the connection so that nothing that was said is lost.

mod ask;
mod detect;
pub(crate) mod h2;
mod local;
mod reply;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ringway_core::message::{Blame, Cause, Fault, Stage};
use ringway_core::policy::answer::Answer;
use ringway_core::time::Instant;

use crate::accept::Entrance;
use crate::clock;
use crate::exchange::{self, Exchange};
use crate::h1::{Incoming, Outgoing};
use crate::pace::{Limit, Pace};
use crate::socket::{Reader, Writer};
use crate::stream::{Client, Sink, Source};
use crate::worker::{DRAIN_IDLE, Worker};
use ask::Ask;
pub(crate) use detect::spoken;
use reply::Reply;
pub(crate) use reply::{PSEUDONYM, applied};

/// After our last word, what a client still sends is thrown away for so long, so that the reset
/// that unread bytes cause does not overtake what it has not read yet.
const LINGER: Duration = Duration::from_secs(1);
/// And not more reads than this.
const LINGER_READS: usize = 64;

/// A client connection that another protocol than HTTP/1 goes on with, and what was received of it.
pub(crate) struct Parts {
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
    pub(crate) pace: Rc<Pace>,
}

/// A client connection in HTTP/1.1.
pub(crate) struct Connection {
    ask: Ask,
    reply: Reply,
    peer: SocketAddr,
    pace: Rc<Pace>,
    /// Bytes received and sent that the metrics know of.
    counted: (u64, u64),
    cut: bool,
}

impl Connection {
    pub(crate) fn new(
        worker: &Worker,
        (reader, writer): (Reader, Writer),
        peer: SocketAddr,
    ) -> Self {
        let buffers = &worker.buffers;
        Self {
            ask: Ask::new(Incoming::new(reader, buffers.clone(), Blame::Client)),
            reply: Reply::new(Outgoing::new(writer, buffers.clone(), Blame::Client)),
            peer,
            pace: Rc::new(Pace::new(&worker.timers)),
            counted: (0, 0),
            cut: false,
        }
    }

    /// Hands the connection over as it is, under no time limit.
    pub(crate) fn into_parts(self) -> Parts {
        self.pace.clear_all();
        Parts { incoming: self.ask.into(), outgoing: self.reply.into(), pace: self.pace }
    }

    /// Serves the client until either side ends the connection.
    pub(crate) async fn serve(&mut self, worker: &Rc<Worker>, entrance: &Rc<Entrance>) {
        let mut patience = worker.settings().timeouts.head;
        loop {
            if self.ask.is_empty() {
                self.release();
                if !self.idle(worker, clock::recent() + patience).await {
                    break;
                }
            }
            let served = worker.blocks.place(|| self.one(worker, entrance)).await;
            self.count(entrance);
            if !served {
                break;
            }
            patience = worker.settings().timeouts.idle_client;
        }
        if !self.cut {
            // Once in a connection's life: it is not to make the memory of an idle one larger.
            Box::pin(self.linger()).await;
        }
    }

    /// Holds no memory that only an exchange needs.
    fn release(&mut self) {
        self.ask.release();
        self.reply.release();
    }

    /// Waits for the next request; false when the connection is to end without one.
    async fn idle(&mut self, worker: &Worker, until: Instant) -> bool {
        let late = Fault::client(Stage::Head, Cause::IdleTimeout);
        let mut leaving = worker.draining_since().is_some();
        let soon = if leaving { clock::recent() + DRAIN_IDLE } else { until };
        self.pace.set(Limit::Request, until.min(soon), late);
        let ready = poll_fn(|cx| {
            if self.ask.poll_readable(cx).is_ready() {
                return Poll::Ready(true);
            }
            if !leaving && worker.draining_since().is_some() {
                leaving = true;
                self.pace.within(Limit::Request, DRAIN_IDLE, late);
            }
            self.pace.poll_expired(cx).map(|_| false)
        })
        .await;
        if !ready {
            self.pace.clear(Limit::Request);
        }
        ready
    }

    /// Serves one request; whether another one may follow.
    async fn one(&mut self, worker: &Rc<Worker>, entrance: &Rc<Entrance>) -> bool {
        let settings = worker.settings();
        self.ask.under(&self.pace, settings.timeouts.body_idle);
        self.reply.under(&self.pace, settings.timeouts.body_idle);
        let pace = Rc::clone(&self.pace);
        let mut exchange = None;
        let opened = {
            let way = (worker, entrance, self.peer);
            let head = pin!(self.ask.read_head(way, &settings, &pace, &mut exchange));
            pace.keep(head).await.unwrap_or_else(Err)
        };
        pace.clear(Limit::Request);
        match (opened, &mut exchange) {
            (Ok(Some(facts)), Some(exchange)) => {
                self.reply.begin(facts);
                exchange::serve(exchange, self).await;
                self.reply.keeps() && self.ask.is_done()
            }
            (Ok(_), _) => false,
            (Err(fault), _) => {
                self.refuse(fault, entrance, worker).await;
                false
            }
        }
    }

    /// Answers a head that is no request.
    async fn refuse(&mut self, fault: Fault, entrance: &Entrance, worker: &Worker) {
        let answer = Answer::to(fault);
        let said = self.say(answer, None).await;
        entrance.series.request();
        worker.failed(&entrance.series, fault, said.then_some(answer.status));
    }

    /// Sends an answer of the proxy's own; false when there is nobody to tell.
    async fn say(&mut self, answer: Answer, exchange: Option<&Exchange>) -> bool {
        if answer.fault.is_some_and(Fault::has_left) {
            self.reply.give_up();
            return false;
        }
        let whole = exchange.is_some() && self.ask.skip_body();
        self.reply.queue_answer(answer, exchange, &self.ask, whole);
        let pace = Rc::clone(&self.pace);
        let sent = pace.keep(pin!(self.reply.flush())).await;
        pace.clear_all();
        let sent = matches!(sent, Ok(Ok(())));
        if !sent {
            self.reply.give_up();
        }
        sent
    }

    /// Tells the metrics what has passed since the last time.
    fn count(&mut self, entrance: &Entrance) {
        let now = (self.ask.received(), self.reply.sent());
        let (read, written) = std::mem::replace(&mut self.counted, now);
        entrance.series.read((now.0 - read) as usize);
        entrance.series.wrote((now.1 - written) as usize);
    }

    /// Ends our direction and lets the client finish its own.
    async fn linger(&mut self) {
        self.reply.shutdown();
        self.pace.within(Limit::Request, LINGER, Fault::client(Stage::Relay, Cause::IdleTimeout));
        let pace = Rc::clone(&self.pace);
        let ask = &mut self.ask;
        let drained = pin!(async {
            for _ in 0..LINGER_READS {
                if !matches!(ask.throw_away().await, Ok(n) if n > 0) {
                    break;
                }
            }
        });
        let _ = pace.keep(drained).await;
    }
}

impl Client for Connection {
    type Request = Ask;
    type Response = Reply;

    fn halves(&mut self) -> (&mut Ask, &mut Reply) {
        (&mut self.ask, &mut self.reply)
    }

    fn pace(&self) -> &Rc<Pace> {
        &self.pace
    }

    fn has_begun(&self) -> bool {
        self.reply.has_begun()
    }

    fn cut(&mut self, _: Fault) {
        self.cut = true;
        self.reply.cut();
    }

    async fn answer(&mut self, exchange: &mut Exchange, answer: Answer) {
        let said = self.say(answer, Some(exchange)).await;
        exchange.answered(said.then_some(answer.status));
    }
}
