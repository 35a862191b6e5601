//! Response heads from header lists (RFC 9113 8.3.2).

use super::field::field;
use crate::message::{
    Cause, Connection, Fault, Framing, Method, ResponseHead, Stage, Tag, Upgrade, Version,
};
use crate::wire::h1::framing::content_length;
use crate::wire::h1::head::FieldTable;

/// Reads the response to a request with `method`; `ended` says that no body follows.
///
/// # Errors
/// The first rule broken, blamed on the upstream endpoint.
pub fn response<'t, 'b: 't>(
    status: u16,
    fields: impl Iterator<Item = (&'b [u8], &'b [u8])>,
    ended: bool,
    method: Method,
    table: &'t mut FieldTable<'b>,
    most_fields: usize,
) -> Result<ResponseHead<'t>, Fault> {
    let mut length = None;
    let read = || {
        for (name, value) in fields {
            let mut field = field(name, value)?;
            if field.tag == Tag::ContentLength {
                let n = content_length(value)?;
                match length.replace(n) {
                    None => {}
                    Some(first) if first == n => field.tag = Tag::Dropped,
                    Some(_) => return Err(Cause::BadLength),
                }
            }
            table.push(field, most_fields)?;
        }
        // RFC 9113 8.6: there is no switching of protocols.
        if status == 101 || !(100..=999).contains(&status) {
            return Err(Cause::BadStartLine);
        }
        Ok(())
    };
    read().map_err(|cause| Fault::upstream(Stage::Reply, cause))?;
    let bodiless = method == Method::Head
        || matches!(status, 100..=199 | 204 | 304)
        || (method == Method::Connect && matches!(status, 200..=299));
    let framing = match (bodiless, length) {
        (true, _) => Framing::None,
        (false, Some(n)) => Framing::Length(n),
        (false, None) if ended => Framing::Length(0),
        (false, None) => Framing::Chunked,
    };
    Ok(ResponseHead {
        status,
        reason: b"",
        version: Version::Http2,
        fields: table.fields(),
        lines: &[],
        framing,
        connection: Connection { persistent: true, upgrade: false },
        upgrade: Upgrade::None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        status: u16,
        fields: &[(&str, &str)],
        ended: bool,
        method: Method,
    ) -> Result<Framing, Cause> {
        let mut table = FieldTable::new();
        let fields = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        response(status, fields, ended, method, &mut table, 100)
            .map(|head| head.framing)
            .map_err(|fault| fault.cause)
    }

    #[test]
    fn every_row() {
        use Framing::{Chunked, Length};
        use Method::{Connect, Get, Head};
        let three = &[("content-length", "3")][..];
        let rows = [
            (200, &[][..], false, Get, Ok(Chunked)),
            (200, &[], true, Get, Ok(Length(0))),
            (200, three, false, Get, Ok(Length(3))),
            (200, three, true, Head, Ok(Framing::None)),
            (304, three, true, Get, Ok(Framing::None)),
            (103, &[], false, Get, Ok(Framing::None)),
            (200, &[], false, Connect, Ok(Framing::None)),
            (200, &[("content-length", "3"), ("content-length", "3")], false, Get, Ok(Length(3))),
            (
                200,
                &[("content-length", "3"), ("content-length", "4")],
                false,
                Get,
                Err(Cause::BadLength),
            ),
            (200, &[("connection", "close")], true, Get, Err(Cause::BadField)),
            (200, &[("X", "1")], true, Get, Err(Cause::BadField)),
            (101, &[], false, Get, Err(Cause::BadStartLine)),
        ];
        for (status, fields, ended, method, expected) in rows {
            assert_eq!(read(status, fields, ended, method), expected, "{status} {fields:?}");
        }
    }
}
