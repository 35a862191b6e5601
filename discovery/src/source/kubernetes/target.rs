//! What one watch is on: a kind, in all namespaces or in one, all of its objects or those of one
//! service, and how to ask for it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::Request;
use kube::api::{ListParams, WatchParams};
use kube::core::Request as Ask;
use ringway_core::rng::Rng;

use super::failure::Failure;
use super::resource::Resource;
use crate::object::Kind;

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
    pub(crate) which: Which,
    /// Tells a watch from an earlier one on the same.
    pub(crate) turn: u64,
}

/// Which objects of a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Which {
    /// Every one.
    All,
    /// The one of this name.
    Named(Arc<str>),
    /// The slices of the service of this name.
    OfService(Arc<str>),
    /// The service with this cluster IP, its first one.
    ClusterIp(IpAddr),
}

/// What tells a watch from all others.
pub(crate) type TargetKey = (Kind, Option<Arc<str>>, Which, u64);

impl Target {
    /// What tells it from all others.
    pub(crate) fn key(&self) -> TargetKey {
        (self.resource.kind, self.namespace.clone(), self.which.clone(), self.turn)
    }

    /// `shop`, `shop/cart`, `all namespaces`.
    pub(crate) fn scope(&self) -> String {
        scope(&self.key())
    }

    /// By which fields, and by which labels.
    fn selectors(&self) -> (Option<String>, Option<String>) {
        match &self.which {
            Which::All => (None, None),
            Which::Named(name) => (Some(format!("metadata.name={name}")), None),
            Which::OfService(name) => (None, Some(format!("kubernetes.io/service-name={name}"))),
            Which::ClusterIp(address) => (Some(format!("spec.clusterIP={address}")), None),
        }
    }

    fn params(&self, rng: &mut Rng) -> WatchParams {
        let seconds = SHORTEST_WATCH + rng.below(LONGEST_WATCH - SHORTEST_WATCH + 1);
        let (field_selector, label_selector) = self.selectors();
        let timeout = u32::try_from(seconds).ok();
        WatchParams { timeout, field_selector, label_selector, ..WatchParams::default() }
    }

    /// A page of the list, in a version of the API.
    pub(crate) fn list(
        &self,
        api: &str,
        next: Option<String>,
    ) -> Result<Request<Vec<u8>>, Failure> {
        let (field_selector, label_selector) = self.selectors();
        let params = ListParams {
            limit: Some(PAGE),
            continue_token: next,
            field_selector,
            label_selector,
            ..ListParams::default()
        };
        self.ask(api).list(&params).map_err(unasked)
    }

    /// Changes since that version.
    pub(crate) fn watch(
        &self,
        api: &str,
        since: &str,
        rng: &mut Rng,
    ) -> Result<Request<Vec<u8>>, Failure> {
        self.ask(api).watch(&self.params(rng), since).map_err(unasked)
    }

    /// What there is, and then the changes.
    pub(crate) fn stream(&self, api: &str, rng: &mut Rng) -> Result<Request<Vec<u8>>, Failure> {
        // Without a version it is what is true now, not what some cache remembers.
        let params = WatchParams { send_initial_events: true, ..self.params(rng) };
        self.ask(api).watch(&params, "").map_err(unasked)
    }

    fn ask(&self, api: &str) -> Ask {
        Ask::new(self.resource.path(api, self.namespace.as_deref()))
    }
}

/// See [`Target::scope`].
pub(crate) fn scope((_, namespace, which, _): &TargetKey) -> String {
    let namespace = namespace.as_deref().unwrap_or("all namespaces");
    match which {
        Which::All => namespace.to_owned(),
        Which::Named(name) | Which::OfService(name) => format!("{namespace}/{name}"),
        Which::ClusterIp(address) => format!("{namespace}, {address}"),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.resource.kind.as_str(), self.scope())
    }
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
        let target = Target {
            resource: &RESOURCES[0],
            namespace: Some("shop".into()),
            which: Which::All,
            turn: 0,
        };
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
        let list = |which| uri(Target { which, ..target.clone() }.list("v1", None));
        assert!(list(Which::Named("cart".into())).contains("&fieldSelector=metadata.name%3Dcart"));
        let slices = list(Which::OfService("cart".into()));
        assert!(slices.contains("&labelSelector=kubernetes.io%2Fservice-name%3Dcart"), "{slices}");
        let owner = list(Which::ClusterIp("fd00::7".parse().unwrap()));
        assert!(owner.contains("&fieldSelector=spec.clusterIP%3Dfd00%3A%3A7"), "{owner}");
    }
}
