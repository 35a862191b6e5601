//! `discovery.kubernetes`: the API server that services and routes come from.

use std::path::{Path, PathBuf};

use ringway_core::time::Duration;
use serde::Serialize;

use crate::duration;
use crate::keys::key;
use crate::scalar::Scalar;
use crate::settings::Config;
use crate::shape::Preset::{Absent, Depends, Required, Value};
use crate::shape::{Key, Shape};

/// The API server, and how much of it is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kubernetes {
    /// How much is watched. Default [`Scope::OnDemand`] with an outbound listener, else
    /// [`Scope::Cluster`].
    pub scope: Scope,
    /// On demand: how long a request for an unknown service waits for it to be looked up; then 503.
    /// Default 3 s.
    #[serde(serialize_with = "duration::serialize")]
    pub lookup_timeout: Duration,
    /// On demand: how long a service is kept that no request asks for. Default 1 h.
    #[serde(serialize_with = "duration::serialize")]
    pub idle_service: Duration,
    /// A kubeconfig. Default none: `KUBECONFIG`, else the pod's service account, else
    /// `~/.kube/config`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig. Default none: its current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self {
            scope: Scope::default(),
            lookup_timeout: Duration::from_secs(3),
            idle_service: Duration::from_secs(3600),
            kubeconfig: None,
            context: None,
        }
    }
}

/// How much of the API server is watched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everything.
    #[default]
    Cluster,
    /// The services that somebody asks for.
    OnDemand,
    /// Everything in these namespaces; none twice.
    Namespaces(Vec<String>),
}

impl Config {
    /// Takes the kubeconfig of the command line, if there is one, in place of the file's.
    #[must_use]
    pub fn with_kubeconfig(mut self, path: Option<&Path>) -> Self {
        if let (Some(kubernetes), Some(path)) = (&mut self.discovery.kubernetes, path) {
            kubernetes.kubeconfig = Some(path.to_owned());
        }
        self
    }
}

static NAMESPACE: Shape = Shape::of(Scalar::Name);
static WORD: Shape = Shape::of(Scalar::Choice(&["cluster", "on-demand"]));
static NAMED: Shape = Shape::Map(&[key(
    "namespaces",
    Shape::List(&NAMESPACE),
    Required,
    "Watches these namespaces; a Role in each of them is enough.",
    "",
)]);

pub(crate) const KEYS: &[Key] = &[
    key(
        "scope",
        Shape::Either { short: &WORD, long: &NAMED },
        Depends("`on-demand` with an `outbound` listener, else `cluster`"),
        "How much is watched: the services that somebody asks for (`on-demand`), the whole `cluster`, or `{namespaces: [NAME]}`.",
        "An outbound listener is a sidecar's: it uses few services, and there are many sidecars. Anything else serves whoever comes; the whole cluster needs memory for each of its endpoints. Both need a ClusterRole.",
    ),
    key(
        "lookup_timeout",
        Shape::of(Scalar::Duration { least: 1 }),
        Value("3s"),
        "On demand: how long a request for an unknown service waits for it to be looked up; then 503.",
        "A lookup takes some round trips to the API server; a second attempt after a lost one fits.",
    ),
    key(
        "idle_service",
        Shape::of(Scalar::Duration { least: 1000 }),
        Value("1h"),
        "On demand: how long a service is kept that no request asks for. Nothing is dropped while the API server is away.",
        "What runs hourly stays known; what is no longer used ends costing memory and watches.",
    ),
    key(
        "kubeconfig",
        Shape::of(Scalar::File),
        Absent,
        "A kubeconfig, relative to this file; `--kubeconfig` overrides it.",
        "`KUBECONFIG` where it is set, else in a pod its service account, else `~/.kube/config`, as for kubectl.",
    ),
    key(
        "context",
        Shape::of(Scalar::Text),
        Absent,
        "A context of the kubeconfig.",
        "Its current one.",
    ),
];
