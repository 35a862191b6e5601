//! One exchange over a connection that carries many: its head is sent as soon as there is a place.

use std::rc::Rc;

use http::{Method, Request, Uri};
use ringway_core::exchange::Attempt;
use ringway_core::message::{Blame, Cause, Fault, Framing, RequestHead, Stage};
use ringway_core::policy::forward::RequestEdits;
use ringway_core::wire::h1;
use ringway_core::wire::h2::encode;

use super::answer::Answer;
use super::carrier::Ride;
use super::fault::fault;
use super::head::append;
use super::outgoing::{Outgoing, Sender};
use crate::exchange::Exchange;
use crate::pace::Pace;
use crate::stream;
use crate::upstream;
use crate::worker::Worker;

/// A stream to an endpoint.
pub(crate) struct Call {
    pub(crate) up: Outgoing,
    pub(crate) down: Answer,
    /// The connection has carried an exchange before.
    pub(crate) reused: bool,
    _ride: Ride,
}

/// A request's head as it goes to an endpoint.
pub(crate) struct Head {
    request: Request<()>,
    /// Nothing follows it.
    last: bool,
}

/// Opens a stream to the attempt's endpoint with the request's head.
pub(crate) async fn call(
    exchange: &Exchange,
    attempt: &Attempt,
    request: &impl stream::Request,
    pace: &Pace,
) -> Result<Call, Fault> {
    let worker = &exchange.worker;
    let ride = worker.carriers.board(worker, attempt, pace).await?;
    let head = request
        .head(|head| Head::of(head, attempt, exchange))
        .unwrap_or(Err(Fault::us(Stage::Send, Cause::Panic)))?;
    begin(ride, head)
}

/// The same with a head that was made before.
pub(crate) async fn send(
    worker: &Rc<Worker>,
    attempt: &Attempt,
    head: Head,
    pace: &Pace,
) -> Result<Call, Fault> {
    begin(worker.carriers.board(worker, attempt, pace).await?, head)
}

fn begin(ride: Ride, Head { request, last }: Head) -> Result<Call, Fault> {
    let sent = ride.carrier().send(request, last);
    let (response, stream) = sent.map_err(|error| fault(&error, Stage::Send, Blame::Upstream))?;
    let link = Rc::clone(ride.carrier().link());
    Ok(Call {
        up: Outgoing::begun(Sender::stream(stream), link, Blame::Upstream, last),
        down: Answer::new(response),
        reused: ride.reused(),
        _ride: ride,
    })
}

impl Head {
    /// The request's head as it goes to the attempt's endpoint.
    pub(crate) fn of(
        head: &RequestHead<'_>,
        attempt: &Attempt,
        exchange: &Exchange,
    ) -> Result<Self, Fault> {
        upstream::edited(head, attempt, exchange, |edits| {
            let mut request = Request::new(());
            // What this type refuses is no method and no URI either.
            let refused = Fault::client(Stage::Head, Cause::BadTarget);
            *request.method_mut() = Method::from_bytes(head.method_token).map_err(|_| refused)?;
            *request.uri_mut() = uri(head, edits).ok_or(refused)?;
            append(request.headers_mut(), |write| encode::request(head, edits, write));
            let last = matches!(edits.framing, Framing::None | Framing::Length(0));
            Ok(Self { request, last })
        })?
    }
}

fn uri(head: &RequestHead<'_>, edits: &RequestEdits<'_>) -> Option<Uri> {
    let mut path = Vec::with_capacity(head.target.len());
    h1::encode::target(head, edits, &mut path);
    let authority = edits.host.unwrap_or(head.authority);
    let uri = Uri::builder().scheme(edits.hop.scheme).authority(authority);
    uri.path_and_query(path).build().ok()
}
