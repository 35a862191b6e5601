//! A real Kubernetes control plane for the suites: etcd, kube-apiserver with RBAC and, where
//! wanted, kube-controller-manager, built by `tests/kube/setup`; and what surrounds it.
//!
//! ```text
//! kubectl ──TLS──► kube-apiserver ──► etcd        on 10.77.0.1
//! ringway ──TLS──► the same, on 10.77.0.2 and up  one for each test, to be blocked
//! ringway ──► faults (scripted HTTP) ──► kubectl proxy ──TLS──► kube-apiserver
//! controllers make pods; kubelet gives each an address and a real origin there
//! ```
//! All of it lives in the network namespace of the test process (`network`).

pub mod api;
pub mod certificates;
pub mod cluster;
pub mod daemon;
pub mod etcd;
pub mod faults;
pub mod kubeconfig;
pub mod kubectl;
pub mod kubelet;
pub mod objects;
pub mod stage;
pub mod tools;
