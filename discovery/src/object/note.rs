//! What an object asks for that is accepted and not done by this version, said to whoever looks.

use super::{Object, PolicyTarget};

impl Object {
    /// What of it has no effect, or another effect than is meant; `None` when nothing.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let text = match self {
            Self::BackendTlsPolicy(policy) => format!(
                "TLS to endpoints is not spoken by this version: requests to {} get 502",
                listed(&policy.targets)
            ),
            Self::BackendTrafficPolicy(policy) => format!(
                "accepted, not applied by this version: no budget of retries for {}",
                listed(&policy.targets)
            ),
            Self::Route(route) if route.rules.iter().any(|rule| rule.retry.is_some()) => {
                String::from("retries by status are accepted, not applied by this version")
            }
            Self::Service(service) if service.retry.is_some() => {
                String::from("retry.linkerd.io is accepted, not applied by this version")
            }
            Self::Service(_) | Self::Slice(_) | Self::Route(_) | Self::Addresses(_) => return None,
        };
        Some(format!("{} {}: {text}", self.kind().as_str(), self.name()))
    }
}

fn listed(targets: &[PolicyTarget]) -> String {
    let names: Vec<_> = targets
        .iter()
        .map(|target| match &target.section {
            Some(port) => format!("{} port {port}", target.service),
            None => target.service.to_string(),
        })
        .collect();
    names.join(", ")
}
