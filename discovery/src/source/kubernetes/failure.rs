//! What can go wrong between here and an API server, and what is to be done about each.

use std::fmt;

use http::{HeaderMap, StatusCode};
use ringway_core::time::Duration;
use serde::Deserialize;

/// Why a request or a watch has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There is no way to the API: no kubeconfig, no token, an unusable certificate.
    Access(String),
    /// No answer, or it broke off: refused, reset, silent.
    Unreachable(String),
    /// The API server has said no.
    Refused { status: StatusCode, message: String, retry_after: Option<Duration> },
    /// It has said something that cannot be understood.
    Malformed(String),
}

/// What to do before everything is read anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing but wait.
    Wait,
    /// Read the credentials anew.
    Reconnect,
    /// Ask which kinds there are.
    Rediscover,
}

/// The part of a `Status` object that is read.
#[derive(Debug, Deserialize, Default)]
#[serde(default)]
pub(crate) struct Status {
    code: u16,
    message: String,
    details: Option<Details>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Details {
    retry_after_seconds: u64,
}

/// Longer messages are cut: they go into one line of a log.
const LONGEST_MESSAGE: usize = 400;

impl Failure {
    /// From the answer to a request.
    pub(crate) fn of_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let said: Status = serde_json::from_slice(body).unwrap_or_default();
        let seconds = headers.get(http::header::RETRY_AFTER).and_then(|value| {
            // As a date it is not used by Kubernetes.
            value.to_str().ok()?.trim().parse().ok()
        });
        let mut failure = Self::of_status(Status { code: status.as_u16(), ..said });
        if let (Self::Refused { retry_after, .. }, Some(seconds)) = (&mut failure, seconds) {
            *retry_after = Some(Duration::from_secs(seconds));
        }
        failure
    }

    /// From a `Status` in the middle of a watch.
    pub(crate) fn of_status(said: Status) -> Self {
        let status = StatusCode::from_u16(said.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let seconds = said.details.map_or(0, |details| details.retry_after_seconds);
        Self::Refused {
            status,
            message: said.message.chars().take(LONGEST_MESSAGE).collect(),
            retry_after: (seconds > 0).then(|| Duration::from_secs(seconds)),
        }
    }

    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            Self::Access(_) => Remedy::Reconnect,
            Self::Unreachable(_) | Self::Malformed(_) => Remedy::Wait,
            Self::Refused { status, .. } => match *status {
                StatusCode::UNAUTHORIZED => Remedy::Reconnect,
                StatusCode::NOT_FOUND => Remedy::Rediscover,
                _ => Remedy::Wait,
            },
        }
    }

    /// Whether rights are missing.
    pub(crate) fn is_denial(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::FORBIDDEN)
    }

    /// Whether the answer to a streaming list means that this API server has none: it does not know
    /// the parameter, its gate is off, or its etcd is too old.
    pub(crate) fn denies_streaming(&self) -> bool {
        let Self::Refused { status, message, .. } = self else { return false };
        let words = ["sendInitialEvents", "WatchList", "storage feature", "RequestWatchProgress"];
        matches!(*status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
            || words.iter().any(|word| message.contains(word))
    }

    /// When the API server wants to be asked again.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access(why) => write!(f, "no access: {why}"),
            Self::Unreachable(why) => write!(f, "unreachable: {why}"),
            Self::Malformed(what) => write!(f, "not understood: {what}"),
            Self::Refused { status, message, .. } => write!(f, "{}: {message}", status.as_u16()),
        }
    }
}

/// An error with all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        // Many repeat their cause.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text.chars().take(LONGEST_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Failure {
        let status = StatusCode::from_u16(status).unwrap_or_default();
        Failure::of_answer(status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn each_answer_has_its_remedy() {
        for (status, remedy) in [
            (410, Remedy::Wait),
            (401, Remedy::Reconnect),
            (403, Remedy::Wait),
            (404, Remedy::Rediscover),
            (429, Remedy::Wait),
            (500, Remedy::Wait),
            (503, Remedy::Wait),
        ] {
            assert_eq!(answer(status, "").remedy(), remedy, "{status}");
        }
        assert_eq!(Failure::Malformed(String::new()).remedy(), Remedy::Wait);
    }

    #[test]
    fn the_message_and_the_wait_are_read() {
        let body =
            r#"{"kind":"Status","message":"slow down","code":1,"details":{"retryAfterSeconds":7}}"#;
        let failure = answer(429, body);
        assert_eq!(failure.to_string(), "429: slow down");
        assert_eq!(failure.retry_after(), Some(Duration::from_secs(7)));
        let mut headers = HeaderMap::new();
        headers.insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("3"));
        let failure = Failure::of_answer(StatusCode::TOO_MANY_REQUESTS, &headers, body.as_bytes());
        assert_eq!(failure.retry_after(), Some(Duration::from_secs(3)), "the header comes first");
        assert_eq!(answer(500, "<html>").to_string(), "500: ");
    }

    #[test]
    fn refusals_of_streaming_are_told_from_others() {
        let refusals = [
            (422, "sendInitialEvents: Forbidden: the WatchList feature gate is off"),
            (400, "unknown parameter"),
            (500, "a required storage feature is missing"),
        ];
        for (status, message) in refusals {
            assert!(answer(status, &format!(r#"{{"message":"{message}"}}"#)).denies_streaming());
        }
        for status in [401, 403, 410, 429, 500, 503] {
            assert!(!answer(status, r#"{"message":"other"}"#).denies_streaming(), "{status}");
        }
    }
}
