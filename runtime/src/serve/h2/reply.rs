//! The response of a stream: heads are edited for it, bodies are a sink.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use ringway_core::message::{Fault, Framing, ResponseHead, Version};
use ringway_core::policy::answer::{Answer, grpc_status};
use ringway_core::policy::forward::{self, Applied, ResponseEdits};
use ringway_core::wire::h2::encode;

use super::ask::Ask;
use crate::exchange::Exchange;
use crate::h2::{Outgoing, response_of};
use crate::pace::{Limit, Pace};
use crate::serve::local::local;
use crate::serve::{PSEUDONYM, applied};
use crate::stream::{Part, Response, Sink};

/// Of a client that speaks HTTP/2; its connection outlives every response.
const CLIENT: forward::Client = forward::Client { version: Version::Http2, persistent: true };

/// The sending side of a client's stream.
pub(crate) struct Reply {
    outgoing: Outgoing,
    /// Whether `via` is written.
    via: bool,
    /// What follows the head of an answer of the proxy's own.
    content: Bytes,
}

impl Reply {
    pub(super) const fn new(outgoing: Outgoing, via: bool) -> Self {
        Self { outgoing, via, content: Bytes::new() }
    }

    pub(super) fn under(&mut self, pace: &Rc<Pace>, idle: Duration) {
        self.outgoing.under(pace, Limit::Down, idle);
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.outgoing.has_begun()
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.outgoing.has_ended()
    }

    pub(super) fn give_up(&mut self, reason: Reason) {
        self.outgoing.cut(reason);
    }

    fn queue(&mut self, head: &ResponseHead<'_>, edits: &ResponseEdits<'_>) {
        if head.status == 101 {
            // RFC 8441 5: an extended CONNECT succeeds.
            let response = response_of(200, |write| encode::switched(head, edits, write));
            return self.outgoing.queue_head(response, false);
        }
        let last = matches!(edits.framing, Framing::None | Framing::Length(0));
        let response = response_of(head.status, |write| encode::response(head, edits, write));
        self.outgoing.queue_head(response, last);
    }

    /// Queues an answer of the proxy's own.
    pub(super) fn queue_answer(&mut self, answer: Answer, exchange: Option<&Exchange>, ask: &Ask) {
        local(answer, exchange, ask, false, |local| {
            if let (Some(_), Some(exchange)) = (answer.fault, exchange.filter(|_| ask.is_grpc())) {
                let code = grpc_status(local.status);
                exchange.grpc.set(Some(code));
                let head = response_of(200, |write| encode::grpc_answer(local, code, write));
                return self.outgoing.queue_head(head, true);
            }
            let response = response_of(local.status, |write| encode::answer(local, write));
            let bare = local.head_only || local.content.is_empty();
            self.content = if bare { Bytes::new() } else { Bytes::copy_from_slice(local.content) };
            self.outgoing.queue_head(response, bare);
        });
    }

    /// Sends an answer of the proxy's own to its end.
    pub(super) async fn send_answer(&mut self) -> Result<(), Fault> {
        let content = std::mem::take(&mut self.content);
        if content.is_empty() {
            return self.flush().await;
        }
        self.put(&Part { last: true, ..Part::of(&content) }).await
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
    fn head(&mut self, head: &ResponseHead<'_>, exchange: &Exchange, _: bool) {
        let via = self.via.then_some(PSEUDONYM);
        let edits = forward::response_edits(head, CLIENT, via, applied(exchange));
        self.queue(head, &edits);
    }

    fn interim(&mut self, head: &ResponseHead<'_>) {
        let via = self.via.then_some(PSEUDONYM);
        let edits = forward::response_edits(head, CLIENT, via, Applied::default());
        let response = response_of(head.status, |write| encode::response(head, &edits, write));
        self.outgoing.interim(response);
    }

    fn established(&mut self) {
        self.outgoing.queue_head(response_of(200, |_| {}), false);
    }

    fn discard(&mut self) {
        self.outgoing.discard();
    }
}
