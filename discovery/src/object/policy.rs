//! Policies that are attached to services.

use std::sync::Arc;

use ringway_core::time::Duration;

use super::NamespacedName;

/// BackendTLSPolicy: its services are to be spoken to over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendTlsPolicy {
    /// Namespace and name.
    pub name: NamespacedName,
    /// What it is attached to.
    pub targets: Vec<PolicyTarget>,
}

/// XBackendTrafficPolicy: how traffic to its services is to be handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendTrafficPolicy {
    /// Namespace and name.
    pub name: NamespacedName,
    /// What it is attached to.
    pub targets: Vec<PolicyTarget>,
    /// `retryConstraint`
    pub budget: Option<RetryBudget>,
}

/// A service, or one of its ports, in the policy's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTarget {
    /// The service.
    pub service: NamespacedName,
    /// `sectionName`: the name of a port. `None` is all of them.
    pub section: Option<Arc<str>>,
}

impl PolicyTarget {
    /// Whether it is, or includes, that port of that service.
    #[must_use]
    pub fn covers(&self, service: &NamespacedName, port: &str) -> bool {
        self.service == *service && self.section.as_deref().is_none_or(|name| name == port)
    }
}

/// How many retries a service may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// Retries to 100 requests. Default 20.
    pub percent: u8,
    /// The time over which requests are counted. Default 10 s.
    pub interval: Duration,
    /// So many retries in so much time are always allowed. Default 10 in 1 s.
    pub least: (u32, Duration),
}

impl Default for RetryBudget {
    fn default() -> Self {
        let (interval, second) = (Duration::from_secs(10), Duration::from_secs(1));
        Self { percent: 20, interval, least: (10, second) }
    }
}

/// Which answers are to be followed by another attempt, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Ranges of statuses, each from its first to its last.
    pub statuses: Vec<(u16, u16)>,
    /// gRPC statuses.
    pub grpc: Vec<u8>,
    /// Attempts after the first. Default 1 (Linkerd).
    pub attempts: u16,
    /// Time before each of them. `None` is left to the implementation.
    pub backoff: Option<Duration>,
    /// Time for each of them.
    pub timeout: Option<Duration>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { statuses: Vec::new(), grpc: Vec::new(), attempts: 1, backoff: None, timeout: None }
    }
}
