//! `discovery.kubernetes`: the API server that services and routes come from.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::keys::key;
use crate::scalar::Scalar;
use crate::settings::Config;
use crate::shape::Preset::{Absent, Depends};
use crate::shape::{Key, Shape};

/// The API server, and how much of it is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kubernetes {
    /// How much is watched.
    pub scope: Scope,
    /// The namespaces, for [`Scope::Namespaces`]; none twice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// A kubeconfig. Default none: `KUBECONFIG`, else the pod's service account, else
    /// `~/.kube/config`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig. Default none: its current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// How much of the API server is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everything in some namespaces.
    Namespaces,
    /// Everything.
    Cluster,
}

impl Kubernetes {
    /// The scope when none is asked for.
    pub(crate) const fn default_scope(has_namespaces: bool) -> Scope {
        if has_namespaces { Scope::Namespaces } else { Scope::Cluster }
    }
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

pub(crate) const KEYS: &[Key] = &[
    key(
        "scope",
        Shape::of(Scalar::Choice(&["namespaces", "cluster"])),
        Depends("`namespaces` where there are some, else `cluster`"),
        "How much is watched: everything in `namespaces`, or everything.",
        "What is named is wanted. Watching a whole cluster needs a ClusterRole and memory for all of its endpoints.",
    ),
    key(
        "namespaces",
        Shape::List(&NAMESPACE),
        Absent,
        "The namespaces that are watched.",
        "A Role in each of them is enough.",
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
