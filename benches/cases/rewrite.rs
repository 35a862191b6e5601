//! From a head as it came to the bytes that leave: what to edit, and writing it.

use std::net::{IpAddr, Ipv4Addr};

use ringway_core::message::{RequestHead, ResponseHead, Version};
use ringway_core::policy::forward::{
    Applied, Client, ForwardedMode, Hop, request_edits, response_edits,
};
use ringway_core::snapshot::{Filters, HeaderEdits, PathRewrite};
use ringway_core::wire::h1::encode;

use crate::fixtures::messages::{ANSWER, BROWSER, SHORT, request_head, response_head};
use crate::{Meter, Work};

/// This hop by default.
const HOP: Hop<'static> = Hop {
    via: Some("ringway"),
    forwarded: ForwardedMode::XForwarded,
    client: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))),
    scheme: "http",
};

type MakeFilters = fn() -> Filters;

/// A head with what it leaves into.
struct Outgoing<H> {
    head: H,
    filters: Filters,
    out: Vec<u8>,
}

impl<H> Outgoing<H> {
    fn new(head: H, filters: Filters) -> Self {
        Self { head, filters, out: Vec::with_capacity(4096) }
    }

    fn applied(&self) -> Applied<'_> {
        Applied { rule: Some(&self.filters), backend: None, matched_prefix: "/catalogue".len() }
    }
}

pub(super) fn cases(meter: &mut impl Meter) {
    for (name, bytes, filters) in [
        ("short", SHORT, Filters::default as MakeFilters),
        ("browser", BROWSER, Filters::default),
        ("browser-filtered", BROWSER, filters),
    ] {
        meter.measure(
            &format!("rewrite/request/{name}"),
            Work::Bytes(bytes.len()),
            || Outgoing::new(request_head(bytes), filters()),
            send_request,
        );
    }
    for (name, filters) in [("nginx", Filters::default as MakeFilters), ("nginx-filtered", filters)]
    {
        meter.measure(
            &format!("rewrite/response/{name}"),
            Work::Bytes(ANSWER.len()),
            || Outgoing::new(response_head(ANSWER), filters()),
            send_response,
        );
    }
}

fn send_request(outgoing: &mut Outgoing<RequestHead<'static>>) -> usize {
    let mut out = std::mem::take(&mut outgoing.out);
    out.clear();
    let edits = request_edits(&outgoing.head, &HOP, outgoing.applied(), b"10.0.0.1:8080");
    if let Ok(edits) = edits {
        encode::request(&outgoing.head, &edits, &mut out);
    }
    outgoing.out = out;
    outgoing.out.len()
}

fn send_response(outgoing: &mut Outgoing<ResponseHead<'static>>) -> usize {
    let mut out = std::mem::take(&mut outgoing.out);
    out.clear();
    let client = Client { version: Version::Http11, persistent: true };
    let edits = response_edits(&outgoing.head, client, HOP.via, outgoing.applied());
    encode::response(&outgoing.head, &edits, &mut out);
    outgoing.out = out;
    outgoing.out.len()
}

/// A rule's filters of every kind.
fn filters() -> Filters {
    let edits = || HeaderEdits {
        set: vec![("x-environment".into(), "staging".into())],
        add: vec![("x-team".into(), "books".into())],
        remove: vec!["referer".into(), "server".into()],
    };
    Filters {
        request: edits(),
        response: edits(),
        hostname: Some("books.internal".into()),
        path: Some(PathRewrite::Prefix("/v2".into())),
    }
}
