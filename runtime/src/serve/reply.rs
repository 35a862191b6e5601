//! The responses to a client: heads are edited and framed for it, bodies are a sink.

use std::rc::Rc;
use std::time::Duration;

use ringway_core::message::{Fault, Framing, ResponseHead, Version};
use ringway_core::policy::answer::Answer;
use ringway_core::policy::forward::{self, Applied};
use ringway_core::wire::h1::answer;
use ringway_core::wire::h1::encode;

use super::ask::{Ask, Facts};
use super::local::local;
use crate::exchange::Exchange;
use crate::h1::Outgoing;
use crate::pace::{Limit, Pace};
use crate::stream::{Part, Response, Sink};

/// Our name in `Via`.
pub(crate) const PSEUDONYM: &str = "ringway";

/// The sending side of a client connection.
pub(crate) struct Reply {
    outgoing: Outgoing,
    /// Of the request that is being answered; none before the first head.
    facts: Option<Facts>,
    /// A final head was queued.
    answered: bool,
    /// Another request may follow.
    keeps: bool,
    /// The end of the body is the end of the connection.
    until_close: bool,
}

impl Reply {
    pub(super) const fn new(outgoing: Outgoing) -> Self {
        Self { outgoing, facts: None, answered: false, keeps: false, until_close: false }
    }

    pub(super) const fn begin(&mut self, facts: Facts) {
        self.facts = Some(facts);
        self.answered = false;
        self.keeps = false;
        self.until_close = false;
    }

    pub(super) fn under(&mut self, pace: &Rc<Pace>, idle: Duration) {
        self.outgoing.under(pace, Limit::Down, idle);
    }

    pub(super) fn release(&mut self) {
        self.outgoing.release();
    }

    /// Whether the connection may carry another exchange.
    pub(super) const fn keeps(&self) -> bool {
        self.keeps
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.outgoing.is_torn() || self.answered && self.outgoing.started()
    }

    pub(super) const fn sent(&self) -> u64 {
        self.outgoing.sent()
    }

    /// There is nobody to answer.
    pub(super) fn give_up(&mut self) {
        self.outgoing.discard();
        self.keeps = false;
    }

    /// See `Client::cut`. A length or chunks show by themselves that the end is missing; a body
    /// that ends with the connection needs a reset.
    pub(super) fn cut(&mut self) {
        self.give_up();
        if self.until_close {
            self.outgoing.writer().reset_on_close();
        }
    }

    pub(super) fn shutdown(&mut self) {
        self.outgoing.writer().shutdown();
    }

    /// Queues an answer of the proxy's own. Unless the request was taken `whole`, or there was
    /// none, it is the last one.
    pub(super) fn queue_answer(
        &mut self,
        answer: Answer,
        exchange: Option<&Exchange>,
        ask: &Ask,
        whole: bool,
    ) {
        let facts = self.facts.filter(|_| exchange.is_some());
        let persistent = facts.is_some_and(|f| f.persistent && f.version == Version::Http11);
        let draining = exchange.is_some_and(|e| e.worker.draining_since().is_some());
        self.keeps = whole && persistent && !answer.close && !draining;
        self.answered = true;
        let (close, outgoing) = (!self.keeps, &mut self.outgoing);
        local(answer, exchange, ask, close, |local| {
            outgoing.queue_head(Framing::None, |out| answer::answer(local, out));
        });
    }
}

/// The filters that the exchange's route asks for.
pub(crate) fn applied(exchange: &Exchange) -> Applied<'_> {
    exchange.flow().map_or_else(Applied::default, |flow| {
        let (rule, backend) = flow.filters();
        Applied { rule: Some(rule), backend, matched_prefix: flow.matched_prefix() }
    })
}

impl From<Reply> for Outgoing {
    fn from(reply: Reply) -> Self {
        reply.outgoing
    }
}

impl Sink for Reply {
    async fn put(&mut self, part: &Part<'_>) -> Result<(), Fault> {
        self.outgoing.put(part).await
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        self.outgoing.flush().await
    }

    fn open_tunnel(&mut self) {
        self.outgoing.open_tunnel();
    }

    fn end_tunnel(&mut self) {
        self.outgoing.end_tunnel();
    }
}

impl Response for Reply {
    fn head(&mut self, head: &ResponseHead<'_>, exchange: &Exchange, whole: bool) {
        let Some(facts) = self.facts else { return };
        let draining = exchange.worker.draining_since().is_some();
        let client = forward::Client {
            version: facts.version,
            persistent: facts.persistent && whole && !draining,
        };
        let via = facts.via.then_some(PSEUDONYM);
        let edits = forward::response_edits(head, client, via, applied(exchange));
        self.keeps = !edits.close && head.status != 101;
        self.until_close = edits.framing == Framing::Close;
        self.answered = true;
        self.outgoing.trailers(facts.trailers);
        self.outgoing.queue_head(edits.framing, |out| encode::response(head, &edits, out));
    }

    fn interim(&mut self, head: &ResponseHead<'_>) {
        let Some(facts) = self.facts.filter(|f| f.version == Version::Http11) else { return };
        let client = forward::Client { version: facts.version, persistent: true };
        let via = facts.via.then_some(PSEUDONYM);
        let edits = forward::response_edits(head, client, via, Applied::default());
        self.outgoing.queue_head(Framing::None, |out| encode::response(head, &edits, out));
    }

    fn established(&mut self) {
        self.answered = true;
        self.outgoing.queue_head(Framing::None, |out| {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\n\r\n");
        });
    }

    fn discard(&mut self) {
        if !self.has_begun() {
            self.outgoing.discard();
            self.answered = false;
        }
    }
}
