//! What the world is said to be: one whole, immutable picture of routes and clusters, compiled by
//! discovery and adopted by every worker.

mod clusters;
mod demand;

use std::net::SocketAddr;
use std::sync::Arc;

pub use clusters::{ClusterId, Clusters};
pub use demand::{LookedUp, Usage};

use crate::policy::route::{RouteTable, ServerNames};
use crate::time::Duration;

/// One picture of the world. Built once, shared by all workers, never changed. What has not
/// changed since the one before is shared with it.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Rises by one with each published snapshot; 0 is "none yet".
    pub generation: u64,
    /// What each listener routes to, by the listener's name in the configuration.
    pub listeners: Listeners,
    /// All clusters; rules refer to them by id.
    pub clusters: Clusters,
    /// What was looked up because somebody asked for it.
    pub looked_up: Arc<LookedUp>,
}

/// The routes of all listeners.
pub type Listeners = Arc<[Arc<ListenerRoutes>]>;

impl Snapshot {
    /// The routes of the listener called `name`.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&ListenerRoutes> {
        self.listeners.iter().find(|l| &*l.name == name).map(AsRef::as_ref)
    }
}

/// The routes of one listener.
#[derive(Debug)]
pub struct ListenerRoutes {
    /// The listener's name in the configuration.
    pub name: Arc<str>,
    /// Host, path, header, method and query matches to rules.
    pub table: RouteTable,
    /// What its connections may speak.
    pub protocol: Protocol,
    /// Where TLS connections go that are passed on as they come, by the server name they ask for;
    /// others of them are opaque.
    pub names: ServerNames,
    /// Where connections go that are passed on as they come; `None` is nowhere.
    pub opaque: Option<Rule>,
    /// How long a request for an unknown host waits for it to be looked up. `None`: nothing is
    /// looked up, and there is no more to know than the table says.
    pub on_demand: Option<Duration>,
}

impl ListenerRoutes {
    /// The rule for a connection that is passed on as it comes, with its place. Of TLS `name` is the
    /// server name that the client asks for, empty if it says none.
    #[must_use]
    pub fn opaque(&self, name: Option<&[u8]>) -> Option<(Place, &Rule)> {
        let named = name.and_then(|name| self.names.find(name));
        let named = named.map(|(at, rule)| (Place::Names(at), rule));
        named.or_else(|| Some((Place::Opaque, self.opaque.as_ref()?)))
    }

    /// The rule at a place.
    #[must_use]
    pub fn rule(&self, place: Place) -> Option<&Rule> {
        match place {
            Place::Table(index) => self.table.rule(index),
            Place::Names(index) => self.names.rule(index),
            Place::Opaque => self.opaque.as_ref(),
        }
    }
}

/// Where a listener's rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the route table.
    Table(u32),
    /// Among the server names.
    Names(u32),
    /// The one for whatever is opaque.
    Opaque,
}

/// What the connections of a listener may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Their first bytes decide: HTTP/1, HTTP/2, or opaque.
    Detect,
    /// HTTP/1 or HTTP/2: whatever else comes is malformed HTTP.
    #[default]
    Http,
    /// HTTP/2 only: what does not begin with its preface is closed.
    Http2,
    /// Anything, passed on as it comes.
    Opaque,
}

/// A set of interchangeable endpoints: one port of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Identity across snapshots: learned state survives while this stays the same.
    pub id: ClusterId,
    /// What it is.
    pub key: ClusterKey,
    /// How endpoints are chosen.
    pub balancer: Balancer,
    /// Time allowed for a TCP connect. Default 1 s (Linkerd outbound).
    pub connect_timeout: Duration,
    /// What its endpoints speak. Default HTTP/1.1.
    pub protocol: HttpProtocol,
    /// Whether its endpoints are to be spoken to over TLS (BackendTLSPolicy). That is not done yet:
    /// requests to it fail, and only what the client has encrypted itself is passed on. Default no.
    pub tls: bool,
    /// Ready endpoints, sorted by address, no address twice.
    pub endpoints: Vec<Endpoint>,
}

/// What endpoints are spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HttpProtocol {
    /// HTTP/1.1
    #[default]
    Http1,
    /// HTTP/2 with prior knowledge (`appProtocol: kubernetes.io/h2c`).
    Http2,
}

/// What a cluster is: no other cluster of a snapshot has the same key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterKey {
    /// Namespace; `default` for services from the configuration file.
    pub namespace: Arc<str>,
    /// The service's name.
    pub service: Arc<str>,
    /// The service's port.
    pub port: u16,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Share of traffic relative to its siblings. Default 1; 0 gets none.
    pub weight: u32,
    /// Name for people: the pod's, else empty.
    pub name: Arc<str>,
    /// Whether a ringway stands before it, to which HTTP/1.1 is carried over HTTP/2. Default no.
    pub meshed: bool,
}

/// How a cluster chooses among its endpoints.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Balancer {
    /// Power of two choices on peak-EWMA latency × (outstanding requests + 1).
    PeakEwma {
        /// Time in which an old latency loses most of its weight. Default 10 s (Linkerd).
        decay: Duration,
        /// Latency assumed of an endpoint not yet measured. Default 30 ms (Linkerd).
        default_rtt: Duration,
    },
    /// Power of two choices on outstanding requests.
    LeastRequest,
    /// Smooth weighted round-robin.
    RoundRobin,
}

impl Default for Balancer {
    fn default() -> Self {
        Self::PeakEwma { decay: Duration::from_secs(10), default_rtt: Duration::from_millis(30) }
    }
}

/// What to do with a request that matched: the unit of Gateway API routing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rule {
    /// `namespace/route/rule-index`, or the service for an implicit default; a metric label.
    pub name: Arc<str>,
    /// Where the request goes, by weight. Empty with no redirect means 500 (Gateway API).
    pub backends: Vec<Backend>,
    /// Answer with a redirect instead of forwarding.
    pub redirect: Option<Redirect>,
    /// Edits for every backend of the rule.
    pub filters: Filters,
    /// Copies of the request, whose answers are thrown away.
    pub mirrors: Vec<Mirror>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Where it is noted that the service is used; `None` when nobody wants to know.
    pub usage: Option<Usage>,
}

/// One weighted destination of a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// One of `Snapshot::clusters`; `None` when the reference does not resolve: its share of
    /// requests is answered with 500 (Gateway API).
    pub cluster: Option<ClusterId>,
    /// Share relative to the other backends. 0 gets none. Default 1.
    pub weight: u32,
    /// Edits for this backend only, after the rule's.
    pub filters: Filters,
}

/// Edits of heads.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filters {
    /// RequestHeaderModifier.
    pub request: HeaderEdits,
    /// ResponseHeaderModifier.
    pub response: HeaderEdits,
    /// URLRewrite: replaces the Host sent upstream.
    pub hostname: Option<Arc<str>>,
    /// URLRewrite: replaces the path.
    pub path: Option<PathRewrite>,
}

/// A header modifier: first `set`, then `add`, then `remove` (Gateway API HTTPHeaderFilter).
/// Names and values are validated when compiled: tokens, and no CR, LF or NUL.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeaderEdits {
    /// Overwrites or adds.
    pub set: Vec<(Box<str>, Box<str>)>,
    /// Appends another line.
    pub add: Vec<(Box<str>, Box<str>)>,
    /// Removes every line of that name.
    pub remove: Vec<Box<str>>,
}

impl HeaderEdits {
    /// Whether there is nothing to edit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

/// A path modifier; the query stays.
#[derive(Debug, Clone, PartialEq)]
pub enum PathRewrite {
    /// ReplaceFullPath.
    Full(Box<str>),
    /// ReplacePrefixMatch: the matched prefix is replaced.
    Prefix(Box<str>),
}

/// RequestRedirect.
#[derive(Debug, Clone, PartialEq)]
pub struct Redirect {
    /// `http` or `https`; default: the scheme of the request.
    pub scheme: Option<Box<str>>,
    /// Default: the host of the request.
    pub hostname: Option<Box<str>>,
    /// Default: derived from the scheme, else the request's port.
    pub port: Option<u16>,
    /// Default: the path of the request.
    pub path: Option<PathRewrite>,
    /// 301, 302 (default), 303, 307 or 308.
    pub status: u16,
}

/// RequestMirror. Only requests whose body is empty or fits the first buffer are mirrored, so
/// that a slow mirror never holds a request back.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror {
    /// One of `Snapshot::clusters`.
    pub cluster: ClusterId,
    /// Mirrored share: `numerator` of `denominator` requests. Default 1 of 1.
    pub numerator: u32,
    /// See `numerator`; never 0.
    pub denominator: u32,
}

/// Time limits of a rule (Gateway API HTTPRouteTimeouts). `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// From the request's head to the end of its response.
    pub request: Option<Duration>,
    /// One attempt, from sending to the end of the response.
    pub backend_request: Option<Duration>,
}
