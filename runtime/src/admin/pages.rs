//! Which admin pages there are, and what each answers.

use super::State;
use crate::metrics::CONTENT_TYPE as METRICS_TYPE;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// All pages: path, methods, and what it shows.
const PAGES: [(&str, &str, &str); 8] = [
    ("/", "GET, HEAD", "this list"),
    ("/live", "GET, HEAD", "200 as long as the process lives"),
    (
        "/ready",
        "GET, HEAD",
        "200 once every worker has its first snapshot, 503 before and when draining",
    ),
    ("/metrics", "GET, HEAD", "metrics in Prometheus' text format"),
    ("/config", "GET, HEAD", "the configuration in force"),
    ("/endpoints", "GET, HEAD", "what each worker believes about each endpoint"),
    ("/discovery", "GET, HEAD", "each source of discovery, and each watch of the API server"),
    (
        "/proxy-log-level",
        "GET, HEAD, PUT",
        "the level of the program's log; PUT changes it, from this host only",
    ),
];

/// A request, as far as a page cares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// The method's token.
    pub(super) method: &'a [u8],
    /// The path without the query.
    pub(super) path: &'a [u8],
    /// The body.
    pub(super) body: &'a [u8],
    /// Whether it comes from this host.
    pub(super) local: bool,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) content: String,
    /// For 405.
    pub(super) allow: Option<&'static str>,
}

impl Answer {
    /// A status with a line of text.
    pub(super) fn text(status: u16, content: impl Into<String>) -> Self {
        Self { status, content_type: TEXT, content: content.into(), allow: None }
    }

    fn ok(content_type: &'static str, content: String) -> Self {
        Self { status: 200, content_type, content, allow: None }
    }
}

/// The answer to `request`.
pub(super) fn answer(request: &Request<'_>, state: &dyn State) -> Answer {
    let page = PAGES.iter().find(|(path, ..)| path.as_bytes() == request.path);
    let Some(&(path, allow, _)) = page else {
        return Answer::text(404, "no such page; / lists them\n");
    };
    let reads = matches!(request.method, b"GET" | b"HEAD");
    match path {
        "/proxy-log-level" if request.method == b"PUT" => set_log_level(request, state),
        _ if !reads => {
            Answer { allow: Some(allow), ..Answer::text(405, format!("allowed: {allow}\n")) }
        }
        "/live" => Answer::text(200, "live\n"),
        "/ready" if state.ready() => Answer::text(200, "ready\n"),
        "/ready" => Answer::text(503, "not ready\n"),
        "/metrics" => Answer::ok(METRICS_TYPE, state.metrics_text()),
        "/config" => Answer::ok(JSON, state.config_json()),
        "/endpoints" => Answer::ok(JSON, state.endpoints_json()),
        "/discovery" => Answer::ok(JSON, state.discovery_json()),
        "/proxy-log-level" => match state.log_level() {
            Some(level) => Answer::text(200, level + "\n"),
            None => Answer::text(404, "the log level is not known here\n"),
        },
        _ => Answer::text(200, index()),
    }
}

fn set_log_level(request: &Request<'_>, state: &dyn State) -> Answer {
    if !request.local {
        return Answer::text(403, "only from this host\n");
    }
    let Ok(level) = std::str::from_utf8(request.body) else {
        return Answer::text(400, "the level is not UTF-8\n");
    };
    match state.set_log_level(level.trim()) {
        Ok(()) => Answer::text(204, ""),
        Err(why) => Answer::text(400, why + "\n"),
    }
}

fn index() -> String {
    let mut text = String::from("ringway admin\n\n");
    for (path, _, shows) in PAGES {
        text.push_str(&format!("{path:<18} {shows}\n"));
    }
    text
}
