//! The endpoint's side of an exchange in HTTP/1.1: writes the request's head and reads the
//! response's.

use std::cell::Cell;

use ringway_core::exchange::Attempt;
use ringway_core::message::{
    Cause, Fault, Field, Framing, Method, RequestHead, ResponseHead, Stage, Upgrade, Version,
};
use ringway_core::policy::deadline;
use ringway_core::policy::forward::{self, Hop, RequestEdits};
use ringway_core::wire::h1::encode;
use ringway_core::wire::h1::head::{self, FieldTable, Limits, Parsed};
use ringway_core::wire::websocket;

use crate::clock;
use crate::exchange::Exchange;
use crate::h1::Incoming;
use crate::pool::Upstream;
use crate::serve::{PSEUDONYM, applied};
use crate::stream::Download;

/// Queues the request's head as it goes to the endpoint.
pub(crate) fn queue(
    upstream: &mut Upstream,
    head: &RequestHead<'_>,
    attempt: &Attempt,
    exchange: &Exchange,
) -> Result<(), Fault> {
    let mut result = Ok(());
    upstream.outgoing.queue_head(head.framing, |out| {
        result = write_head(head, attempt, exchange, out);
    });
    result
}

/// Appends the request's head as it goes to the attempt's endpoint.
pub(crate) fn write_head(
    head: &RequestHead<'_>,
    attempt: &Attempt,
    exchange: &Exchange,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    edited(head, attempt, exchange, |edits| {
        let websocket_key = websocket_key(head, exchange);
        encode::request(head, &RequestEdits { websocket_key, ..*edits }, out);
    })
}

/// The key of a WebSocket that an HTTP/2 client asks for, which sends none.
fn websocket_key<'e>(head: &RequestHead<'_>, exchange: &'e Exchange) -> Option<&'e [u8]> {
    let wanted = |to: &[u8]| to.eq_ignore_ascii_case(websocket::NAME);
    if head.version != Version::Http2 || !matches!(head.upgrade, Upgrade::To(to) if wanted(to)) {
        return None;
    }
    let key = exchange
        .challenge
        .get_or_init(|| Box::new(websocket::key(exchange.worker.world.borrow_mut().nonce())));
    Some(&key[..])
}

/// Whether the response switches protocols without the proof that the request has asked for.
pub(crate) fn is_unproven(head: &ResponseHead<'_>, exchange: &Exchange) -> bool {
    let Some(key) = exchange.challenge.get().filter(|_| head.status == 101) else { return false };
    let accept = websocket::accept(&key[..]);
    let proves = |field: &Field<'_>| {
        field.name.eq_ignore_ascii_case(websocket::ACCEPT.as_bytes()) && field.value == accept
    };
    !head.fields.iter().any(proves)
}

/// Shows `write` what to write of the request's head for the attempt's endpoint.
pub(crate) fn edited<R>(
    head: &RequestHead<'_>,
    attempt: &Attempt,
    exchange: &Exchange,
    write: impl FnOnce(&RequestEdits<'_>) -> R,
) -> Result<R, Fault> {
    let settings = exchange.entrance.settings.borrow();
    let hop = Hop {
        via: settings.via.then_some(PSEUDONYM),
        forwarded: settings.forwarded.into(),
        client: Some(exchange.peer.ip()),
        scheme: "http",
    };
    // Only an HTTP/1.0 request without Host needs the endpoint's.
    let fallback =
        if head.authority.is_empty() { attempt.address.to_string() } else { String::new() };
    let mut edits = forward::request_edits(head, &hop, applied(exchange), fallback.as_bytes())?;
    edits.time_left = deadline::left(head, attempt.deadline, clock::recent());
    Ok(write(&edits))
}

impl Download for Incoming {
    async fn head<R>(
        &mut self,
        method: Method,
        limits: &Limits,
        answered: &Cell<bool>,
        mut judge: impl FnMut(&ResponseHead<'_>) -> Option<R>,
    ) -> Result<Option<R>, Fault> {
        loop {
            if !self.unread().is_empty() {
                answered.set(true);
                if let Some((length, framing, verdict)) =
                    parse(self.unread(), method, limits, &mut judge)?
                {
                    self.begin(length, framing, false);
                    return Ok(verdict);
                }
            }
            if self.receive().await? == 0 {
                return Err(Fault { stage: Stage::Reply, ..self.broken(Cause::Closed) });
            }
        }
    }
}

/// A complete head's length, the framing of what follows it, and the verdict on it.
type Judged<R> = (usize, Framing, Option<R>);

fn parse<R>(
    bytes: &[u8],
    method: Method,
    limits: &Limits,
    judge: &mut impl FnMut(&ResponseHead<'_>) -> Option<R>,
) -> Result<Option<Judged<R>>, Fault> {
    let mut table = FieldTable::new();
    let Parsed::Complete((head, length)) = head::response(bytes, &mut table, limits, method)?
    else {
        return Ok(None);
    };
    let verdict = judge(&head);
    let framing = if verdict.is_some() { head.framing } else { Framing::None };
    Ok(Some((length, framing, verdict)))
}
