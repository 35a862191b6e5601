//! A strict reader of HTTP/1 responses over bytes already received.

use crate::strict::End;
use crate::text::{Fields, is_token, latin1, tokens, value, values};

/// One final response, and the interim ones before it.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// Status codes of the 1xx responses before it.
    pub interim: Vec<u16>,
    /// Fields of the interim responses.
    pub interim_fields: Fields,
    /// The status code.
    pub status: u16,
    /// The version, `HTTP/1.1`.
    pub version: String,
    /// The head's fields.
    pub fields: Fields,
    /// The body so far.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Fields,
    /// Whether all of it is there.
    pub complete: bool,
    /// Whether its end is the end of the connection.
    pub until_close: bool,
    /// Why a strict client refuses it.
    pub bad: Option<String>,
}

impl Response {
    /// All values of a field.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }

    /// The only value of a field, or nothing.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        value(&self.fields, name)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        latin1(&self.body)
    }

    /// Whether the proxy said that it will close.
    #[must_use]
    pub fn closes(&self) -> bool {
        tokens(&self.fields, "connection").iter().any(|t| t == "close")
    }

    /// Which of the harness's origins answered and which request it was.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.value("x-origin-id")
    }

    /// Made by the proxy itself.
    #[must_use]
    pub fn local(&self) -> bool {
        self.origin().is_none() && self.values("x-origin-refused").is_empty()
    }
}

/// Reads one response from the front of `data`: it and the bytes used, or `None` when not even
/// a head is there and the connection is open.
#[must_use]
pub fn read(data: &[u8], method: &str, end: Option<End>) -> Option<(Response, usize)> {
    let mut response = Response::default();
    let mut at = 0;
    loop {
        let Some(head) = find(&data[at..], b"\r\n\r\n") else {
            if at < data.len() && end.is_some() || early_rubbish(&data[at..]) {
                response.bad = Some(format!(
                    "no response head in {:?}",
                    latin1(&data[at..data.len().min(at + 60)])
                ));
                return Some((response, data.len()));
            }
            return None;
        };
        if let Err(why) = read_head(&data[at..at + head], &mut response) {
            response.bad = Some(why);
            return Some((response, data.len()));
        }
        at += head + 4;
        if (100..200).contains(&response.status) && response.status != 101 {
            response.interim.push(response.status);
            let fields = std::mem::take(&mut response.fields);
            response.interim_fields.extend(fields);
            continue;
        }
        break;
    }
    let used = at + body(&data[at..], method, end, &mut response);
    Some((response, used))
}

/// Reads everything: the k-th response answers the k-th method (GET when there are fewer).
#[must_use]
pub fn read_all(data: &[u8], methods: &[String], end: Option<End>) -> Vec<Response> {
    let mut out: Vec<Response> = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let method = methods.get(out.len()).map_or("GET", String::as_str);
        let Some((response, used)) = read(&data[at..], method, end) else {
            break;
        };
        at += used;
        let last = !response.complete || response.bad.is_some() || response.status == 101;
        out.push(response);
        if last {
            break;
        }
    }
    out
}

fn early_rubbish(data: &[u8]) -> bool {
    let n = data.len().min(7);
    data[..n] != b"HTTP/1."[..n]
}

fn find(data: &[u8], what: &[u8]) -> Option<usize> {
    data.windows(what.len()).position(|w| w == what)
}

fn read_head(head: &[u8], response: &mut Response) -> Result<(), String> {
    let text = latin1(head);
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or("");
    let mut parts = line.splitn(3, ' ');
    let (version, status) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let code = status.parse::<u16>().ok().filter(|c| status.len() == 3 && *c >= 100);
    let Some(code) = code.filter(|_| matches!(version, "HTTP/1.1" | "HTTP/1.0")) else {
        return Err(format!("status line {line:?}"));
    };
    response.version = version.into();
    response.status = code;
    for line in lines {
        let Some((name, value)) = line.split_once(':').filter(|(n, _)| is_token(n)) else {
            return Err(format!("field line {line:?}"));
        };
        if value.contains(['\r', '\n', '\0']) {
            return Err(format!("control character in {name}"));
        }
        response.fields.push((name.into(), value.trim_matches([' ', '\t']).into()));
    }
    Ok(())
}

/// Fills in the body; returns the bytes used.
fn body(data: &[u8], method: &str, end: Option<End>, response: &mut Response) -> usize {
    let lengths = values(&response.fields, "content-length");
    let codings = tokens(&response.fields, "transfer-encoding");
    let tunnel = response.status == 101 || method == "CONNECT" && response.status / 100 == 2;
    if tunnel || method == "HEAD" || matches!(response.status, 204 | 304) {
        response.complete = true;
        return 0;
    }
    if !codings.is_empty() && !lengths.is_empty() {
        response.bad = Some("Content-Length and Transfer-Encoding".into());
        return data.len();
    }
    if codings.last().is_some_and(|c| c == "chunked") {
        return chunks(data, response);
    }
    if codings.is_empty() && !lengths.is_empty() {
        let Some(length) = lengths[0].parse::<usize>().ok().filter(|_| lengths.len() == 1) else {
            response.bad = Some(format!("Content-Length {lengths:?}"));
            return data.len();
        };
        let n = length.min(data.len());
        response.body = data[..n].to_vec();
        response.complete = n == length;
        return n;
    }
    response.until_close = true;
    response.body = data.to_vec();
    response.complete = end == Some(End::Fin);
    data.len()
}

fn chunks(data: &[u8], response: &mut Response) -> usize {
    let mut at = 0;
    loop {
        let Some(line) = find(&data[at..], b"\r\n") else {
            return data.len();
        };
        let header = latin1(&data[at..at + line]);
        let digits = header.split(';').next().unwrap_or("").trim();
        let Ok(size) = usize::from_str_radix(digits, 16) else {
            response.bad = Some(format!("chunk header {header:?}"));
            return data.len();
        };
        at += line + 2;
        if size == 0 {
            return trailers(data, at, response);
        }
        let n = size.min(data.len() - at);
        response.body.extend_from_slice(&data[at..at + n]);
        if data.len() < at + size + 2 {
            return data.len();
        }
        at += size;
        if &data[at..at + 2] != b"\r\n" {
            response.bad = Some("no CRLF after chunk data".into());
            return data.len();
        }
        at += 2;
    }
}

fn trailers(data: &[u8], mut at: usize, response: &mut Response) -> usize {
    while let Some(line) = find(&data[at..], b"\r\n") {
        let text = latin1(&data[at..at + line]);
        at += line + 2;
        match text.split_once(':') {
            None if text.is_empty() => {
                response.complete = true;
                return at;
            }
            Some((name, value)) => response.trailers.push((name.into(), value.trim().into())),
            None => response.bad = Some(format!("trailer {text:?}")),
        }
    }
    data.len()
}
