//! The typed configuration: every key of `ringway.yaml` with its meaning, unit and default.
//!
//! The reasons for the defaults stand in the table of keys ([`crate::reference`] prints it).

use std::net::SocketAddr;
use std::path::PathBuf;

use ringway_core::time::Duration;
use serde::{Deserialize, Serialize, Serializer};

use crate::duration;
use crate::http2::Http2;
use crate::kubernetes::Kubernetes;
use crate::listener::Listener;
use crate::service::{self, StaticService};

/// A whole, checked configuration. Serializes to its resolved form, with the defaults filled in and
/// durations as GEP-2257 strings; as YAML contains JSON, that is again a valid `ringway.yaml`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Config {
    /// The event loops.
    pub workers: Workers,
    /// Where connections are accepted; names and addresses are unique.
    pub listeners: Vec<Listener>,
    /// The admin server.
    pub admin: Admin,
    /// Services whose endpoints stand in the file, in the file's order; names are unique.
    #[serde(serialize_with = "service::serialize_map")]
    pub services: Vec<StaticService>,
    /// Where other services and routes come from.
    pub discovery: Discovery,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How much of what.
    pub limits: Limits,
    /// What one HTTP/2 connection may cost.
    pub http2: Http2,
    /// The end of the process.
    pub shutdown: Shutdown,
    /// One line for each exchange.
    pub access_log: AccessLog,
    /// The program's own log.
    pub log: Log,
}

/// The event loops, one thread each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Workers {
    /// How many. Default `auto` (`None`): as many as the usable cores.
    #[serde(serialize_with = "number_or_auto")]
    pub count: Option<usize>,
    /// Whether each is bound to one core.
    pub pin: Pin,
    /// How they wait for sockets.
    pub driver: Driver,
}

/// Whether workers are bound to cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pin {
    /// When it is safe: the process owns its cores, and no CPU quota cuts them.
    #[default]
    Auto,
    /// Even when cores are shared.
    Always,
    /// The kernel schedules.
    Never,
}

/// How workers wait for sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// io_uring where the kernel allows it, else epoll.
    #[default]
    Auto,
    /// io_uring, or an error at start.
    Uring,
    /// epoll.
    Epoll,
}

/// The admin server: `/live`, `/ready`, `/metrics`, `/config`, `/endpoints`, `/discovery`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Admin {
    /// Where it listens. Default `127.0.0.1:4191` (Linkerd's port, this host only); `None`
    /// (`off`) means no admin server.
    #[serde(serialize_with = "address_or_off")]
    pub address: Option<SocketAddr>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: Some(SocketAddr::from(([127, 0, 0, 1], 4191))) }
    }
}

/// Where services and routes come from, besides `services:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Discovery {
    /// A watched directory of Kubernetes manifests. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifests: Option<PathBuf>,
    /// The Kubernetes API server. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Kubernetes>,
    /// The namespace of manifests that name none, and of the clients of outbound listeners. Default
    /// `default` (kubectl's).
    pub namespace: String,
    /// The zone that ringway is in, for topology hints. Default none: hints of zones have no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The node that ringway is on, for topology hints and `internalTrafficPolicy: Local`. Default
    /// none: neither has an effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Endpoints given as DNS names.
    pub dns: Dns,
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            manifests: None,
            kubernetes: None,
            namespace: String::from("default"),
            zone: None,
            node: None,
            dns: Dns::default(),
        }
    }
}

/// How often DNS names are asked again. The answer's TTL decides, within these bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// Default 1 s.
    #[serde(serialize_with = "duration::serialize")]
    pub min_ttl: Duration,
    /// Default 5 min.
    #[serde(serialize_with = "duration::serialize")]
    pub max_ttl: Duration,
}

impl Default for Dns {
    fn default() -> Self {
        Self { min_ttl: Duration::from_secs(1), max_ttl: Duration::from_secs(300) }
    }
}

/// How long to wait for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    /// From a request's first byte to the end of its head; then 408. Default 10 s.
    #[serde(serialize_with = "duration::serialize")]
    pub head: Duration,
    /// Where the protocol is detected: from the connection's begin to the bytes that decide it;
    /// then it is opaque. Default 10 s (Linkerd).
    #[serde(serialize_with = "duration::serialize")]
    pub detect: Duration,
    /// A client connection between requests. Default 60 s.
    #[serde(serialize_with = "duration::serialize")]
    pub idle_client: Duration,
    /// A pooled upstream connection. Default 30 s.
    #[serde(serialize_with = "duration::serialize")]
    pub idle_upstream: Duration,
    /// A TCP connect to an endpoint; a service may say otherwise. Default 1 s (Linkerd).
    #[serde(serialize_with = "duration::serialize")]
    pub connect: Duration,
    /// A TCP connect to the `target` of an inbound listener. Default 300 ms (Linkerd).
    #[serde(serialize_with = "duration::serialize")]
    pub connect_inbound: Duration,
    /// Waiting for the next byte of a request's body, or for either peer to take more. An endpoint
    /// may be silent for longer in the middle of a response (events, long polls). Default 15 s.
    #[serde(serialize_with = "duration::serialize")]
    pub body_idle: Duration,
    /// From the whole request sent to the response's head; then 504. Default `None` (`off`).
    #[serde(serialize_with = "duration::serialize_optional")]
    pub response: Option<Duration>,
    /// An upgraded connection (WebSocket), CONNECT tunnel or opaque connection in which nothing
    /// moved. Default 1 h; `None` is `off`.
    #[serde(serialize_with = "duration::serialize_optional")]
    pub tunnel_idle: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            detect: Duration::from_secs(10),
            idle_client: Duration::from_secs(60),
            idle_upstream: Duration::from_secs(30),
            connect: Duration::from_secs(1),
            connect_inbound: Duration::from_millis(300),
            body_idle: Duration::from_secs(15),
            response: None,
            tunnel_idle: Some(Duration::from_secs(3600)),
        }
    }
}

/// How much of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Bytes of a head; a longer request gets 431. Default 64 KiB.
    pub head_bytes: usize,
    /// Bytes of a request target; a longer one gets 414. Default 16 KiB.
    pub target_bytes: usize,
    /// Field lines of a head; more get 431. Default 100, which is also the most.
    pub fields: usize,
    /// Client connections of the whole process. Default `auto` (`None`): what the limit of file
    /// descriptors allows.
    #[serde(serialize_with = "number_or_auto")]
    pub connections: Option<usize>,
    /// Idle connections kept for each endpoint by each worker. Default 8192.
    pub pool_idle_per_endpoint: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 << 10,
            target_bytes: 16 << 10,
            fields: 100,
            connections: None,
            pool_idle_per_endpoint: 8192,
        }
    }
}

/// The end of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shutdown {
    /// Time for in-flight work after SIGTERM. Default 120 s (Linkerd).
    #[serde(serialize_with = "duration::serialize")]
    pub grace: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Duration::from_secs(120) }
    }
}

/// One line for each exchange.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AccessLog {
    /// Its form. Default `off`.
    pub format: AccessFormat,
    /// Where it goes (`path` in the file). Default `stdout`.
    #[serde(rename = "path")]
    pub sink: Sink,
}

/// The form of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessFormat {
    /// None is written.
    #[default]
    Off,
    /// One line of text, in the combined log format's order.
    Plain,
    /// One JSON object a line.
    Json,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sink {
    /// Standard output.
    #[default]
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to a file.
    #[serde(untagged)]
    File(PathBuf),
}

/// The program's own log, written to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or a list such as
    /// `info,ringway_discovery=debug`. Default `info`; `RINGWAY_LOG` overrides it.
    pub level: String,
    /// Its form. Default `plain`.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: String::from("info"), format: LogFormat::default() }
    }
}

/// The form of the program's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Plain,
    /// One JSON object a line.
    Json,
}

/// As `auto` when there is none.
fn number_or_auto<S: Serializer>(value: &Option<usize>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(number) => number.serialize(serializer),
        None => serializer.serialize_str("auto"),
    }
}

/// As `off` when there is none.
fn address_or_off<S: Serializer>(
    value: &Option<SocketAddr>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(address) => serializer.collect_str(address),
        None => serializer.serialize_str("off"),
    }
}
