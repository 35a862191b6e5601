//! The rules by which a strict recipient reads lines: fields, framing, chunk headers.

use super::{Phase, Recorded};
use crate::text::{is_token, tokens};

pub(super) fn field(line: &str) -> Result<(String, String), String> {
    if line.starts_with([' ', '\t']) {
        return Err("obs-fold".into());
    }
    let (name, value) = line.split_once(':').ok_or_else(|| format!("no colon in {line:?}"))?;
    if !is_token(name) {
        return Err(format!("field name {name:?}"));
    }
    let value = value.trim_matches([' ', '\t']);
    if value.chars().any(|c| (c < ' ' && c != '\t') || c == '\u{7f}') {
        return Err(format!("control character in field {name}"));
    }
    Ok((name.into(), value.into()))
}

pub(super) fn framing(request: &Recorded) -> Result<Phase, String> {
    let hosts = request.values("host");
    if hosts.len() != 1 {
        return Err(format!("{} Host lines", hosts.len()));
    }
    let lengths = request.values("content-length");
    let codings = request.values("transfer-encoding");
    match (lengths.len(), codings.len()) {
        (0, 0) => Ok(Phase::Length(0)),
        (1, 0) => {
            let digits = lengths[0].bytes().all(|b| b.is_ascii_digit());
            let length = lengths[0].parse::<u64>().ok().filter(|_| digits);
            length.map(Phase::Length).ok_or_else(|| format!("Content-Length {:?}", lengths[0]))
        }
        (0, _) => {
            let list = tokens(&request.fields, "transfer-encoding");
            let chunked = list.iter().filter(|t| *t == "chunked").count();
            if chunked != 1
                || list.last().is_none_or(|t| t != "chunked")
                || request.version != "HTTP/1.1"
            {
                return Err(format!("Transfer-Encoding {list:?}"));
            }
            Ok(Phase::ChunkSize)
        }
        _ => Err("more than one framing".into()),
    }
}

/// The size in a chunk header; extensions are taken as they come, with no control characters.
pub(super) fn chunk_size(line: &str) -> Result<u64, String> {
    let (size, extension) = match line.split_once(';') {
        // White space before an extension is allowed (RFC 9112 7.1.1), elsewhere not.
        Some((size, extension)) => (size.trim_end_matches([' ', '\t']), extension),
        None => (line, ""),
    };
    let hex = (1..=16).contains(&size.len()) && size.bytes().all(|b| b.is_ascii_hexdigit());
    if !hex || extension.chars().any(|c| c < ' ' && c != '\t') {
        return Err(format!("chunk header {line:?}"));
    }
    u64::from_str_radix(size, 16).map_err(|e| e.to_string())
}
