//! What one watch is on: a kind, in all namespaces or in one, and how to ask for it.

use std::fmt;
use std::sync::Arc;

use http::Request;
use kube::api::{ListParams, WatchParams};
use kube::core::Request as Ask;
use ringway_core::rng::Rng;

use super::failure::Failure;
use super::resource::Resource;

/// Items of one page.
const PAGE: u32 = 500;
/// Seconds after which the API server ends a watch; spread, so that watches that began together do
/// not stay together.
const SHORTEST_WATCH: u64 = 240;
const LONGEST_WATCH: u64 = 294;

/// What one watch is on.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) resource: &'static Resource,
    /// `None` is all of them.
    pub(crate) namespace: Option<Arc<str>>,
}

impl Target {
    /// `HTTPRoute in shop`.
    pub(crate) fn scope(&self) -> String {
        self.namespace.as_deref().unwrap_or("all namespaces").to_owned()
    }

    /// A page of the list, in a version of the API.
    pub(crate) fn list(
        &self,
        api: &str,
        next: Option<String>,
    ) -> Result<Request<Vec<u8>>, Failure> {
        let params =
            ListParams { limit: Some(PAGE), continue_token: next, ..ListParams::default() };
        self.ask(api).list(&params).map_err(unasked)
    }

    /// Changes since that version.
    pub(crate) fn watch(
        &self,
        api: &str,
        since: &str,
        rng: &mut Rng,
    ) -> Result<Request<Vec<u8>>, Failure> {
        self.ask(api).watch(&params(rng), since).map_err(unasked)
    }

    /// What there is, and then the changes.
    pub(crate) fn stream(&self, api: &str, rng: &mut Rng) -> Result<Request<Vec<u8>>, Failure> {
        // Without a version it is what is true now, not what some cache remembers.
        let params = WatchParams { send_initial_events: true, ..params(rng) };
        self.ask(api).watch(&params, "").map_err(unasked)
    }

    fn ask(&self, api: &str) -> Ask {
        Ask::new(self.resource.path(api, self.namespace.as_deref()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.resource.kind.as_str(), self.scope())
    }
}

fn params(rng: &mut Rng) -> WatchParams {
    let seconds = SHORTEST_WATCH + rng.below(LONGEST_WATCH - SHORTEST_WATCH + 1);
    WatchParams { timeout: u32::try_from(seconds).ok(), ..WatchParams::default() }
}

fn unasked(error: kube::core::request::Error) -> Failure {
    Failure::Access(error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::resource::RESOURCES;
    use super::*;

    #[test]
    fn requests_say_what_is_wanted() {
        let target = Target { resource: &RESOURCES[0], namespace: Some("shop".into()) };
        let uri = |request: Result<Request<Vec<u8>>, Failure>| request.unwrap().uri().to_string();
        let path = "/api/v1/namespaces/shop/services";
        assert_eq!(uri(target.list("v1", None)), format!("{path}?&limit=500"));
        let next = target.list("v1", Some(String::from("a=/+")));
        assert_eq!(uri(next), format!("{path}?&limit=500&continue=a%3D%2F%2B"));
        let watch = uri(target.watch("v1", "42", &mut Rng::new(1)));
        assert!(watch.starts_with(&format!("{path}?&watch=true&timeoutSeconds=2")), "{watch}");
        assert!(watch.ends_with("&allowWatchBookmarks=true&resourceVersion=42"), "{watch}");
        let stream = uri(target.stream("v1", &mut Rng::new(1)));
        let ends = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=";
        assert!(stream.ends_with(ends), "{stream}");
    }
}
