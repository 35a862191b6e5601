//! One exchange over a connection that carries many: its head is sent as soon as there is a place.

use std::cell::RefCell;
use std::rc::Rc;

use h2::SendStream;
use h2::client::ResponseFuture;
use h2::ext::Protocol;
use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use ringway_core::exchange::Attempt;
use ringway_core::message::{Blame, Cause, Fault, Framing, RequestHead, Stage, Version};
use ringway_core::policy::forward::RequestEdits;
use ringway_core::wire::h1;
use ringway_core::wire::h2::{encode, mesh};
use ringway_core::wire::websocket;

use super::answer::{Answer, Switch};
use super::carrier::Ride;
use super::chunk::Chunk;
use super::fault::fault;
use super::head::append;
use super::left::Left;
use super::outgoing::{Outgoing, Sender};
use crate::clock;
use crate::exchange::Exchange;
use crate::pace::Pace;
use crate::stream::{self, Source};
use crate::upstream;
use crate::worker::Worker;

/// Connections that turn out to be going away before one is taken for the endpoint's refusal.
const GOING_AWAY: usize = 3;

/// A stream to an endpoint.
pub(crate) struct Call {
    pub(crate) up: Outgoing,
    pub(crate) down: Answer,
    /// The connection has carried an exchange before.
    pub(crate) reused: bool,
    /// None at the end.
    ride: Option<Ride>,
}

/// A request's head as it goes to an endpoint.
#[derive(Clone)]
pub(crate) struct Head {
    request: Request<()>,
    /// Nothing follows it.
    last: bool,
    /// What it asks to switch to.
    switch: Option<Box<Switch>>,
}

/// Opens a stream to the attempt's endpoint with the request's head, which is read when there is a
/// place for it.
pub(crate) async fn call(
    exchange: &Exchange,
    attempt: &Attempt,
    request: &RefCell<&mut impl stream::Request>,
    pace: &Pace,
) -> Result<Call, Fault> {
    let make = |extended| {
        request
            .borrow()
            .head(|head| Head::of(head, attempt, exchange, extended))
            .unwrap_or(Err(Fault::us(Stage::Send, Cause::Panic)))
    };
    open(&exchange.worker, attempt, pace, make).await
}

/// The same with a head that was made before.
pub(crate) async fn send(
    worker: &Rc<Worker>,
    attempt: &Attempt,
    head: Head,
    pace: &Pace,
) -> Result<Call, Fault> {
    open(worker, attempt, pace, |_| Ok(head.clone())).await
}

/// Has `make` make the head for a connection, of which it is told whether it takes extended CONNECT.
async fn open(
    worker: &Rc<Worker>,
    attempt: &Attempt,
    pace: &Pace,
    make: impl Fn(bool) -> Result<Head, Fault>,
) -> Result<Call, Fault> {
    let mut tried = 0;
    loop {
        let ride = worker.carriers.board(worker, attempt, pace).await?;
        let Head { request, last, switch } = make(ride.carrier().is_extended())?;
        match ride.carrier().send(request, last) {
            Ok(sent) => return Ok(Call::new(sent, last, switch, ride)),
            // It has been told to go away, or is full of ids: nothing of the request was sent.
            Err(_) if tried < GOING_AWAY => ride.carrier().retire(),
            Err(error) => return Err(fault(&error, Stage::Send, Blame::Upstream)),
        }
        tried += 1;
    }
}

impl Call {
    fn new(
        (response, stream): (ResponseFuture, SendStream<Chunk>),
        last: bool,
        switch: Option<Box<Switch>>,
        ride: Ride,
    ) -> Self {
        let link = Rc::clone(ride.carrier().link());
        Self {
            down: Answer::new(response, switch, Rc::clone(&link)),
            up: Outgoing::begun(Sender::stream(stream), link, Blame::Upstream, last),
            reused: ride.reused(),
            ride: Some(ride),
        }
    }
}

impl Drop for Call {
    /// The exchange is over, but its stream may not be: what becomes of that is up to its connection.
    fn drop(&mut self) {
        let Some(ride) = self.ride.take() else { return };
        let uploaded = self.up.has_ended();
        if uploaded && self.down.is_done() {
            return ride.carrier().give_back();
        }
        let sender = Rc::clone(self.up.sender());
        if sender.is_closed() {
            return;
        }
        let now = clock::recent();
        let turn = ride.carrier().book_reset(now);
        if turn > now {
            let carrier = Rc::clone(ride.shared());
            carrier.leave(Left { sender, answer: self.down.hand_on(), uploaded, ride, turn });
        }
    }
}

impl Head {
    /// The request's head as it goes to the attempt's endpoint, over a connection that takes extended
    /// CONNECT or not.
    pub(crate) fn of(
        head: &RequestHead<'_>,
        attempt: &Attempt,
        exchange: &Exchange,
        extended: bool,
    ) -> Result<Self, Fault> {
        upstream::edited(head, attempt, exchange, |edits| {
            let mut request = Request::new(());
            // What this type refuses is no method and no URI either.
            let refused = Fault::client(Stage::Head, Cause::BadTarget);
            *request.uri_mut() = uri(head, edits).ok_or(refused)?;
            let original = mesh::original(head.version).filter(|_| attempt.meshed);
            if let Some(original) = original {
                let name = HeaderName::from_static(mesh::ORIGINAL);
                request.headers_mut().insert(name, HeaderValue::from_static(original));
            }
            let upgrade = edits.upgrade.filter(|_| extended);
            if let Some(switch) = upgrade.and_then(|to| switch(head, to)) {
                *request.method_mut() = Method::CONNECT;
                let protocol = std::str::from_utf8(&switch.protocol).map_err(|_| refused)?;
                request.extensions_mut().insert(Protocol::from(protocol));
                append(request.headers_mut(), |write| {
                    encode::extended_connect(head, edits, write);
                });
                return Ok(Self { request, last: false, switch: Some(switch) });
            }
            *request.method_mut() = Method::from_bytes(head.method_token).map_err(|_| refused)?;
            append(request.headers_mut(), |write| encode::request(head, edits, write));
            let last = matches!(edits.framing, Framing::None | Framing::Length(0));
            Ok(Self { request, last, switch: None })
        })?
    }
}

/// The switch to what an `Upgrade` asks for. In HTTP/1.1 it is an offer, and only of a WebSocket is it
/// known that an answer without it is of no use; an extended CONNECT is meant.
fn switch(head: &RequestHead<'_>, to: &[u8]) -> Option<Box<Switch>> {
    if head.version != Version::Http2 && !to.eq_ignore_ascii_case(websocket::NAME) {
        return None;
    }
    let is_key = |name: &[u8]| name.eq_ignore_ascii_case(websocket::KEY.as_bytes());
    let key = head.fields.iter().find(|field| is_key(field.name));
    let accept = key.map(|key| websocket::accept(key.value));
    Some(Box::new(Switch { protocol: to.to_ascii_lowercase().into(), accept }))
}

fn uri(head: &RequestHead<'_>, edits: &RequestEdits<'_>) -> Option<Uri> {
    let mut path = Vec::with_capacity(head.target.len());
    h1::encode::target(head, edits, &mut path);
    let authority = edits.host.unwrap_or(head.authority);
    let uri = Uri::builder().scheme(edits.hop.scheme).authority(authority);
    uri.path_and_query(path).build().ok()
}
