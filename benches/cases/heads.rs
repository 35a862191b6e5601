//! Reading a request and a response head, framing rules included.

use ringway_core::message::Method;
use ringway_core::wire::h1::head::{FieldTable, Limits, Parsed, request, response};

use crate::fixtures::messages::{ANSWER, BROWSER, SHORT};
use crate::{Meter, Work};

pub(super) fn cases(meter: &mut impl Meter) {
    for (name, bytes) in [("short", SHORT), ("browser", BROWSER)] {
        meter.measure(
            &format!("h1_head/request/{name}"),
            Work::Bytes(bytes.len()),
            || (bytes, Limits::default()),
            |(bytes, limits)| {
                let mut table = FieldTable::new();
                matches!(request(bytes, &mut table, limits), Ok(Parsed::Complete(_)))
            },
        );
    }
    meter.measure(
        "h1_head/response/nginx",
        Work::Bytes(ANSWER.len()),
        || (ANSWER, Limits::default()),
        |(bytes, limits)| {
            let mut table = FieldTable::new();
            let read = response(bytes, &mut table, limits, Method::Get);
            matches!(read, Ok(Parsed::Complete(_)))
        },
    );
}
