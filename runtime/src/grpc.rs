//! What gRPC says of a response beside its HTTP status: `grpc-status`, in the head or in the
//! trailers.

use std::cell::Cell;

use ringway_core::message::{Field, RequestHead, ResponseHead, Version};
use ringway_core::policy::answer::is_grpc;
use ringway_core::wire::h2::trailers;

use crate::stream::Part;

/// Unknown: what a response of gRPC has that states none.
const UNKNOWN: u8 = 2;
/// What endpoints invent.
const OTHER: u8 = u8::MAX;

/// Whether a request is gRPC's. Only HTTP/2 carries it, so others are not searched.
pub(crate) fn asks(head: &RequestHead<'_>) -> bool {
    head.version == Version::Http2 && is(head.fields)
}

/// The status that a head of gRPC states, or Unknown until trailers state one.
pub(crate) fn of_head(head: &ResponseHead<'_>) -> Option<u8> {
    if head.version != Version::Http2 || !is(head.fields) {
        return None;
    }
    let stated = head.fields.iter().find(|field| field.name == b"grpc-status");
    Some(stated.map_or(UNKNOWN, |field| code(field.value)))
}

/// Takes note of the status in the trailers of the last part.
pub(crate) fn note_trailers(part: &Part<'_>, status: &Cell<Option<u8>>) {
    if part.trailers.is_empty() {
        return;
    }
    let mut fields = trailers::fields(part.trailers);
    if let Some((_, value)) = fields.find(|(name, _)| *name == b"grpc-status") {
        status.set(Some(code(value)));
    }
}

fn is(fields: &[Field<'_>]) -> bool {
    fields.iter().any(|field| field.name == b"content-type" && is_grpc(field.value))
}

fn code(value: &[u8]) -> u8 {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(OTHER)
}
