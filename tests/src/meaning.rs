//! What bytes mean when read forgivingly, the way RFC 9112 allows: the reference that a forwarded
//! message is compared with. It accepts bare LF, folds and odd spacing, and stops where a message
//! cannot be told.

use crate::response::Response;
use crate::strict::Recorded;
use crate::text::{Fields, latin1, tokens, values};

/// A message as it was meant.
#[derive(Clone, Debug, Default)]
pub struct Meaning {
    /// Three words of the start line.
    pub start: [String; 3],
    /// The fields, folds joined, values trimmed.
    pub fields: Fields,
    /// The body.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Fields,
    /// Content-Length beside Transfer-Encoding.
    pub doubly_framed: bool,
    /// Why the connection that carried a response must not be used again.
    pub spoils: Option<&'static str>,
}

impl Meaning {
    /// All values of a field.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }

    /// The status code of a response.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.start[1].parse().unwrap_or(0)
    }

    /// The authority of an absolute-form target.
    fn authority(&self) -> Option<&str> {
        let rest = strip_scheme(&self.start[1])?;
        Some(rest.split(['/', '?', '#']).next().unwrap_or(""))
    }

    /// The target in origin-form.
    fn path(&self) -> String {
        let Some(rest) = strip_scheme(&self.start[1]) else {
            return self.start[1].clone();
        };
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        if rest[at..].starts_with('/') { rest[at..].into() } else { format!("/{}", &rest[at..]) }
    }

    fn nominated(&self) -> Vec<String> {
        let options = ["close", "keep-alive", "upgrade", "te"];
        tokens(&self.fields, "connection")
            .into_iter()
            .filter(|t| !options.contains(&t.as_str()))
            .collect()
    }
}

fn strip_scheme(target: &str) -> Option<&str> {
    let lower = target.to_ascii_lowercase();
    let scheme = ["http://", "https://"].into_iter().find(|s| lower.starts_with(s))?;
    Some(&target[scheme.len()..])
}

/// The requests in `data`, as far as they can be told.
#[must_use]
pub fn requests(data: &[u8]) -> Vec<Meaning> {
    let mut out = Vec::new();
    let mut rest = data;
    loop {
        while let [b'\r' | b'\n', tail @ ..] = rest {
            rest = tail;
        }
        let Some((mut message, after)) = head(rest) else {
            return out;
        };
        if message.start[2].is_empty() || !message.start[2].starts_with("HTTP/") {
            return out;
        }
        let Some(used) = body(&mut message, after, false) else {
            return out;
        };
        rest = &after[used..];
        let options = tokens(&message.fields, "connection");
        let one_zero = message.start[2] == "HTTP/1.0" && !options.iter().any(|o| o == "keep-alive");
        out.push(message);
        if one_zero || options.iter().any(|o| o == "close") {
            return out;
        }
    }
}

/// The final response in `data` to a request with `method`, if there is one.
#[must_use]
pub fn response(data: &[u8], method: &str) -> Option<Meaning> {
    let mut rest = data;
    loop {
        let (mut message, after) = head(rest)?;
        let status = message.status();
        if !matches!(message.start[0].as_str(), "HTTP/1.1" | "HTTP/1.0")
            || message.start[1].len() != 3
        {
            return None;
        }
        if (100..200).contains(&status) && status != 101 {
            rest = after;
            continue;
        }
        let bodiless = method == "HEAD" || matches!(status, 101 | 204 | 304);
        let chunked =
            tokens(&message.fields, "transfer-encoding").last().is_some_and(|t| t == "chunked");
        if !bodiless && !chunked && message.values("content-length").is_empty() {
            message.body = after.to_vec();
            message.spoils = Some("a body that ends with the connection");
            return Some(message);
        }
        message.spoils = match body(&mut message, after, bodiless) {
            None => Some("an incomplete response"),
            Some(used) if used < after.len() && !bodiless => Some("surplus bytes"),
            Some(_) if message.doubly_framed => Some("faulty framing"),
            Some(_) => None,
        };
        return Some(message);
    }
}

/// The head and what follows it.
fn head(data: &[u8]) -> Option<(Meaning, &[u8])> {
    let mut message = Meaning::default();
    let mut rest = data;
    let mut first = true;
    loop {
        let end = rest.iter().position(|&b| b == b'\n')?;
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let line = latin1(line);
        rest = &rest[end + 1..];
        if line.is_empty() {
            return Some((message, rest));
        }
        if first {
            message.start = start_line(&line);
            first = false;
        } else if let (true, Some((_, value))) =
            (line.starts_with([' ', '\t']), message.fields.last_mut())
        {
            *value = format!("{value} {}", line.trim());
        } else {
            message.fields.extend(field(&line));
        }
    }
}

fn start_line(line: &str) -> [String; 3] {
    let mut words = line.splitn(3, ' ');
    let mut word = || words.next().unwrap_or("").to_owned();
    [word(), word(), word()]
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim().into(), value.trim_matches([' ', '\t']).into()))
}

/// Fills in the body and returns the bytes used; `None` when its end cannot be told.
fn body(message: &mut Meaning, data: &[u8], bodiless: bool) -> Option<usize> {
    let codings = tokens(&message.fields, "transfer-encoding");
    let mut lengths = tokens(&message.fields, "content-length");
    lengths.dedup();
    message.doubly_framed = !codings.is_empty() && !lengths.is_empty();
    if bodiless {
        return Some(0);
    }
    if codings.last().is_some_and(|c| c == "chunked") {
        return chunked(message, data);
    }
    match &lengths[..] {
        [] if codings.is_empty() => Some(0),
        [one] if one.bytes().all(|b| b.is_ascii_digit()) => {
            let length = one.parse::<usize>().ok()?;
            message.body = data[..length.min(data.len())].to_vec();
            (data.len() >= length).then_some(length)
        }
        _ => None,
    }
}

fn chunked(message: &mut Meaning, data: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let (header, next) = line(data, at)?;
        let digits: String = header.trim().chars().take_while(char::is_ascii_hexdigit).collect();
        let size = usize::from_str_radix(&digits, 16).ok()?;
        at = next;
        if size == 0 {
            break;
        }
        message.body.extend_from_slice(data.get(at..at.checked_add(size)?)?);
        let (empty, next) = line(data, at + size)?;
        if !empty.is_empty() {
            return None;
        }
        at = next;
    }
    loop {
        let (text, next) = line(data, at)?;
        at = next;
        if text.is_empty() {
            return Some(at);
        }
        message.trailers.extend(field(&text));
    }
}

fn line(data: &[u8], at: usize) -> Option<(String, usize)> {
    let rest = data.get(at..)?;
    let end = rest.iter().position(|&b| b == b'\n')?;
    let text = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
    Some((latin1(text), at + end + 1))
}

/// Fields that a hop may change or remove.
const OF_THE_HOP: [&str; 15] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
    "expect",
    "date",
    "server",
    "via",
    "forwarded",
];
/// Beginnings of field names that a proxy may set itself.
const OF_THE_PROXY: [&str; 3] = ["x-forwarded", "l5d-", "x-origin"];
/// Fields that must not travel in trailers (RFC 9110 6.5.1).
const NOT_TRAILERS: [&str; 5] =
    ["content-length", "transfer-encoding", "host", "authorization", "l5d-client-id"];

/// How `got` differs in meaning from what `want` says; `canonical` asks for the canonical form.
///
/// # Errors
/// The first difference.
pub fn same_request(want: &Meaning, got: &Recorded, canonical: bool) -> Result<(), String> {
    if got.method != want.start[0] {
        return Err(format!("method {:?}", got.method));
    }
    let path = want.path();
    let cut = path.split('#').next().unwrap_or("");
    if got.target != path && !(canonical && got.target == cut) {
        return Err(format!("target {:?}", crate::text::brief(&got.target, 60)));
    }
    let host = want.authority().or_else(|| want.values("host").first().copied());
    if let Some(host) = host.filter(|h| !h.is_empty()) {
        let host = host.rsplit('@').next().unwrap_or("");
        if !got.value("host").is_some_and(|h| h.eq_ignore_ascii_case(host)) {
            return Err(format!("host {:?} instead of {host:?}", got.values("host")));
        }
    }
    same_fields(want, &got.fields, canonical)?;
    let passed_on = tokens(&got.fields, "connection");
    if let Some(option) = want.nominated().iter().find(|n| passed_on.contains(n)) {
        return Err(format!("the client's connection option {option} was forwarded"));
    }
    if got.length != want.body.len() as u64 || !want.body.starts_with(&got.body) {
        return Err(format!("a body of {} bytes instead of {}", got.length, want.body.len()));
    }
    for (name, value) in &got.trailers {
        if NOT_TRAILERS.iter().any(|n| name.eq_ignore_ascii_case(n)) {
            return Err(format!("trailer {name}: {value}"));
        }
    }
    for (name, value) in &want.trailers {
        if values(&got.fields, name).contains(&value.as_str())
            && !want.values(name).contains(&value.as_str())
        {
            return Err(format!("trailer {name} was merged into the head"));
        }
    }
    if canonical { canonical_head(want, got) } else { Ok(()) }
}

fn canonical_head(want: &Meaning, got: &Recorded) -> Result<(), String> {
    if got.values("transfer-encoding").iter().any(|v| *v != "chunked") {
        return Err(format!("transfer-encoding {:?}", got.values("transfer-encoding")));
    }
    if got.values("content-length").iter().any(|v| v.len() > 1 && v.starts_with('0')) {
        return Err(format!("content-length {:?}", got.values("content-length")));
    }
    if tokens(&got.fields, "te").iter().any(|t| t != "trailers") {
        return Err(format!("te {:?}", got.values("te")));
    }
    let asked = tokens(&want.fields, "connection").iter().any(|t| t == "upgrade")
        && want.start[2] == "HTTP/1.1";
    if !got.values("upgrade").is_empty() && !asked {
        return Err("an Upgrade that had to be ignored was forwarded".into());
    }
    Ok(())
}

/// How the fields of a response differ from what was meant.
///
/// # Errors
/// The first difference.
pub fn same_response(want: &Meaning, got: &Response) -> Result<(), String> {
    if got.status != want.status() {
        return Err(format!("status {} instead of {}", got.status, want.status()));
    }
    if !got.complete || got.body != want.body {
        return Err(format!("body {:?} instead of {:?}", latin1(&got.body), latin1(&want.body)));
    }
    same_fields(want, &got.fields, false)
}

fn same_fields(want: &Meaning, got: &[(String, String)], canonical: bool) -> Result<(), String> {
    let nominated = want.nominated();
    for name in nominated.iter().filter(|n| !OF_THE_HOP.contains(&n.as_str())) {
        let ours = OF_THE_PROXY.iter().any(|p| name.starts_with(p));
        if !ours && !values(got, name).is_empty() {
            return Err(format!("field {name}, which Connection lists, was forwarded"));
        }
    }
    for (name, _) in &want.fields {
        let lower = name.to_ascii_lowercase();
        let ours = OF_THE_PROXY.iter().any(|p| lower.starts_with(p));
        if ours || OF_THE_HOP.contains(&lower.as_str()) || nominated.contains(&lower) {
            continue;
        }
        let have = values(got, name);
        if have.is_empty() && canonical && lower.contains(['_', '.']) {
            continue;
        }
        if squeezed(&have) != squeezed(&want.values(name)) {
            return Err(format!("field {name}: {have:?} instead of {:?}", want.values(name)));
        }
    }
    Ok(())
}

/// The values as one list, without optional white space.
fn squeezed(values: &[&str]) -> String {
    let words: Vec<&str> = values.iter().flat_map(|v| v.split(',')).map(str::trim).collect();
    words.join(",").split_whitespace().collect::<Vec<_>>().join(" ")
}
