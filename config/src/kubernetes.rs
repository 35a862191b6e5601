//! `discovery.kubernetes`: the API server that services and routes come from.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::keys::key;
use crate::scalar::Scalar;
use crate::settings::Config;
use crate::shape::Preset::{Absent, Depends, Required};
use crate::shape::{Key, Shape};

/// The API server, and how much of it is watched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Kubernetes {
    /// How much is watched.
    pub scope: Scope,
    /// A kubeconfig. Default none: `KUBECONFIG`, else the pod's service account, else
    /// `~/.kube/config`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig. Default none: its current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// How much of the API server is watched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everything.
    #[default]
    Cluster,
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
static WORD: Shape = Shape::of(Scalar::Choice(&["cluster"]));
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
        Depends("`cluster`"),
        "How much is watched: the whole `cluster`, or `{namespaces: [NAME]}`.",
        "It is what needs no further words. It needs a ClusterRole, and memory for every endpoint of the cluster.",
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
