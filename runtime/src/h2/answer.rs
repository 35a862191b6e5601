//! The response that comes in over a stream of ours.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use h2::Reason;
use h2::client::ResponseFuture;
use http::response::Parts;
use ringway_core::message::{Blame, Cause, Fault, Method, ResponseHead, Stage, Upgrade};
use ringway_core::wire::h1::head::{FieldTable, Limits};
use ringway_core::wire::h2::response::response;
use ringway_core::wire::websocket::ACCEPT;

use super::fault::fault;
use super::head::fields;
use super::incoming::Incoming;
use super::link::Link;
use crate::stream::{Download, Part, Source};

/// What an endpoint has refused without looking at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// This stream (REFUSED_STREAM).
    Stream,
    /// Everything more on this connection (GOAWAY).
    Connection,
}

/// The switch of protocols that an extended CONNECT stands for (RFC 8441).
#[derive(Clone)]
pub(super) struct Switch {
    /// What to.
    pub(super) protocol: Box<[u8]>,
    /// What a client in HTTP/1.1 takes for the proof that a WebSocket's server has understood.
    pub(super) accept: Option<[u8; 28]>,
}

/// The response side of a stream to an endpoint.
pub(crate) struct Answer {
    /// None once it was handed on.
    response: Option<ResponseFuture>,
    switch: Option<Box<Switch>>,
    /// Its body, once the final head is here.
    incoming: Option<Incoming>,
    refused: Option<Refused>,
    link: Rc<Link>,
}

/// A head as it came: its fields, and the body of a final one.
type Head = (Parts, Option<h2::RecvStream>);

impl Answer {
    pub(super) const fn new(
        response: ResponseFuture,
        switch: Option<Box<Switch>>,
        link: Rc<Link>,
    ) -> Self {
        Self { response: Some(response), switch, incoming: None, refused: None, link }
    }

    /// The stream, for somebody else to go on with.
    pub(super) fn hand_on(&mut self) -> Self {
        let (response, incoming) = (self.response.take(), self.incoming.take());
        let link = Rc::clone(&self.link);
        Self { response, switch: None, incoming, refused: self.refused, link }
    }

    /// Takes all that comes and forgets it; ready at the end, be it a good one or not.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(incoming) = &mut self.incoming {
                return incoming.poll_rest(cx);
            }
            match ready!(self.poll_head(cx)) {
                Ok((_, body)) => self.incoming = body.map(|b| Incoming::new(b, Blame::Upstream)),
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Whether the endpoint has refused it without looking at it.
    pub(crate) const fn refused(&self) -> Option<Refused> {
        self.refused
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, h2::Error>> {
        let Some(response) = &mut self.response else { return Poll::Pending };
        if let Some(interim) = ready!(response.poll_informational(cx)) {
            return Poll::Ready(interim.map(|head| (head.into_parts().0, None)));
        }
        let head = ready!(Pin::new(response).poll(cx));
        Poll::Ready(head.map(|head| {
            let (parts, body) = head.into_parts();
            (parts, Some(body))
        }))
    }

    fn broken(&mut self, error: &h2::Error) -> Fault {
        self.refused = match error.reason() {
            Some(Reason::REFUSED_STREAM) if error.is_reset() && error.is_remote() => {
                Some(Refused::Stream)
            }
            // Streams that it has looked at go on after a GOAWAY.
            Some(_) if error.is_go_away() && error.is_remote() => Some(Refused::Connection),
            _ => None,
        };
        let mut fault = fault(error, Stage::Reply, Blame::Upstream);
        // Beside a GOAWAY, all streams may have been ended by one that has not looked at any.
        if fault.cause == Cause::Cancelled && self.link.frames(|frames| frames.is_going()) {
            fault.cause = Cause::StreamReset;
        }
        fault
    }
}

impl Download for Answer {
    async fn head<R>(
        &mut self,
        method: Method,
        limits: &Limits,
        answered: &Cell<bool>,
        mut judge: impl FnMut(&ResponseHead<'_>) -> Option<R>,
    ) -> Result<Option<R>, Fault> {
        let come = poll_fn(|cx| self.poll_head(cx)).await;
        let (parts, body) = come.map_err(|error| self.broken(&error))?;
        answered.set(true);
        let ended = body.as_ref().is_some_and(h2::RecvStream::is_end_stream);
        let (status, fields) = (parts.status.as_u16(), fields(&parts.headers));
        let mut table = FieldTable::new();
        let switched = self.switch.as_deref().filter(|_| status / 100 == 2);
        let verdict = if let Some(switch) = switched {
            let accept = switch.accept.as_ref().map(|accept| &accept[..]);
            let fields = fields.chain(accept.map(|accept| (ACCEPT.as_bytes(), accept)));
            let head = response(status, fields, ended, Method::Connect, &mut table, limits.fields)?;
            judge(&ResponseHead { status: 101, upgrade: Upgrade::To(&switch.protocol), ..head })
        } else {
            judge(&response(status, fields, ended, method, &mut table, limits.fields)?)
        };
        self.incoming = body.map(|body| Incoming::new(body, Blame::Upstream));
        Ok(verdict)
    }
}

/// A body before its head is none.
const EARLY: Fault = Fault::upstream(Stage::Reply, Cause::Unsolicited);

impl Source for Answer {
    fn take(&mut self) -> Result<Option<Part<'_>>, Fault> {
        self.incoming.as_mut().map_or(Err(EARLY), Source::take)
    }

    async fn more(&mut self) -> Result<(), Fault> {
        match &mut self.incoming {
            Some(incoming) => incoming.more().await,
            None => Err(EARLY),
        }
    }

    fn is_done(&self) -> bool {
        self.incoming.as_ref().is_some_and(Source::is_done)
    }

    fn open_tunnel(&mut self) {
        if let Some(incoming) = &mut self.incoming {
            incoming.open_tunnel();
        }
    }
}
