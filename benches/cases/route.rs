//! Finding the rule of a request among 10, 1,000 and 10,000 routes, by path and by host.

use ringway_core::message::RequestHead;
use ringway_core::policy::route::{
    HostMatch, InvalidMatch, Match, PathMatch, RouteTable, RouteTableBuilder,
};
use ringway_core::snapshot::Rule;

use crate::fixtures::messages::request_head;
use crate::{Meter, Work};

type Build = fn(usize) -> Result<RouteTable, InvalidMatch>;

pub(super) fn cases(meter: &mut impl Meter) {
    for (kind, build) in [("path", by_path as Build), ("host", by_host)] {
        for count in [10, 1_000, 10_000] {
            meter.measure(
                &format!("route/{kind}/{count}"),
                Work::One,
                || prepared(build, count),
                |(table, head)| table.find(head).is_some(),
            );
        }
    }
}

/// A table and a request for its last route, deep in its path: what a scan would find latest.
fn prepared(build: Build, count: usize) -> (RouteTable, RequestHead<'static>) {
    let Ok(table) = build(count) else { unreachable!("every route of a bench compiles") };
    let last = count - 1;
    let host = format!("Host: service-{last}.example.com");
    let head =
        request_head(format!("GET /service-{last}/items/7?page=2 HTTP/1.1\r\n{host}\r\n\r\n"));
    assert_eq!(table.find(&head).map(|found| found.index as usize), Some(last));
    (table, head)
}

/// `count` prefixes under one host.
fn by_path(count: usize) -> Result<RouteTable, InvalidMatch> {
    let mut builder = RouteTableBuilder::new();
    for number in 0..count {
        let path = PathMatch::Prefix(format!("/service-{number}").into());
        builder.add(&[], vec![Match { path, ..Match::default() }], Rule::default())?;
    }
    Ok(builder.build())
}

/// `count` hosts with one rule each.
fn by_host(count: usize) -> Result<RouteTable, InvalidMatch> {
    let mut builder = RouteTableBuilder::new();
    for number in 0..count {
        let host = HostMatch::parse(&format!("service-{number}.example.com"));
        builder.add(&[host.unwrap_or(HostMatch::Any)], Vec::new(), Rule::default())?;
    }
    Ok(builder.build())
}
