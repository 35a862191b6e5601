//! The answers that the proxy makes itself, in either protocol.

use std::time::SystemTime;

use ringway_core::message::{Cause, Method};
use ringway_core::policy::answer::{Answer, Scheme};
use ringway_core::wire::h1::answer::Local;

use crate::exchange::Exchange;
use crate::stream::Request;

/// Shows `write` what there is to say.
pub(super) fn local(
    answer: Answer,
    exchange: Option<&Exchange>,
    request: &impl Request,
    close: bool,
    write: impl FnOnce(&Local<'_>),
) {
    let mut location = Vec::new();
    if answer.fault.is_none()
        && let Some(flow) = exchange.and_then(Exchange::flow)
    {
        request.head(|head| flow.location(head, Scheme::Http, &mut location));
    }
    let cause = answer.fault.map(|fault| fault.cause.as_str());
    let content = cause.map(|cause| format!("ringway: {cause}\n")).unwrap_or_default();
    let date = httpdate::fmt_http_date(SystemTime::now());
    let mut fields: [(&str, &[u8]); 2] = [("", b""); 2];
    let mut count = 0;
    if !location.is_empty() {
        fields[count] = ("location", &location);
        count += 1;
    }
    if answer.fault.is_some_and(|fault| fault.cause == Cause::ConnectRefused) {
        fields[count] = ("allow", b"GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH");
        count += 1;
    }
    write(&Local {
        status: answer.status,
        cause,
        content: content.as_bytes(),
        date: Some(&date),
        close,
        head_only: exchange.is_some_and(|exchange| exchange.method() == Method::Head),
        fields: &fields[..count],
    });
}
