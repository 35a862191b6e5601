//! BackendTLSPolicy and XBackendTrafficPolicy.

use ringway_core::time::Duration;

use super::cursor::Cursor;
use super::{metadata, value};
use crate::object::{
    BackendTlsPolicy, BackendTrafficPolicy, NamespacedName, PolicyTarget, RetryBudget,
};

/// The longest interval of a budget: an hour (GEP-3388).
const LONGEST: Duration = Duration::from_secs(3600);

pub(super) fn tls(root: &Cursor<'_>, namespace: &str) -> Option<BackendTlsPolicy> {
    let name = metadata::name(root, namespace)?;
    let spec = root.need_map("spec")?;
    let targets = targets(&spec, &name);
    // How the endpoints would be judged is not read: what cannot be satisfied demands TLS all the
    // same, so a mistake there must not make the policy disappear.
    root.note("TLS to endpoints is not spoken by this version: requests to its services get 502");
    Some(BackendTlsPolicy { name, targets })
}

pub(super) fn traffic(root: &Cursor<'_>, namespace: &str) -> Option<BackendTrafficPolicy> {
    let name = metadata::name(root, namespace)?;
    let spec = root.need_map("spec")?;
    let targets = targets(&spec, &name);
    let constraint = spec.map("retryConstraint");
    for key in ["retryConstraint", "sessionPersistence"] {
        if let Some(cursor) = spec.get(key) {
            cursor.note("accepted, not applied by this version");
        }
    }
    Some(BackendTrafficPolicy { name, targets, budget: constraint.map(|c| budget(&c)) })
}

/// The services among the targets; they are in the policy's own namespace.
fn targets(spec: &Cursor<'_>, policy: &NamespacedName) -> Vec<PolicyTarget> {
    spec.need("targetRefs");
    let read = |target: &Cursor<'_>| {
        let name = target.need_text("name")?;
        let (group, kind) = (target.need_text("group")?, target.need_text("kind")?);
        if !group.is_empty() || &*kind != "Service" {
            target.note(&format!("a target of kind {kind} is not used"));
            return None;
        }
        let service = NamespacedName { namespace: policy.namespace.clone(), name };
        Some(PolicyTarget { service, section: target.text("sectionName") })
    };
    spec.maps("targetRefs").iter().filter_map(read).collect()
}

fn budget(constraint: &Cursor<'_>) -> RetryBudget {
    let mut budget = RetryBudget::default();
    if let Some(details) = constraint.map("budget") {
        let percent = details.get("percent").and_then(|percent| percent.as_number(0, 100));
        budget.percent = percent.and_then(|p| u8::try_from(p).ok()).unwrap_or(budget.percent);
        budget.interval = interval(&details).unwrap_or(budget.interval);
    }
    if let Some(rate) = constraint.map("minRetryRate") {
        let count = rate.get("count").and_then(|count| count.as_number(1, 1_000_000));
        let count = count.and_then(|c| u32::try_from(c).ok()).unwrap_or(budget.least.0);
        budget.least = (count, interval(&rate).unwrap_or(budget.least.1));
    }
    budget
}

fn interval(cursor: &Cursor<'_>) -> Option<Duration> {
    let cursor = cursor.get("interval")?;
    let interval = value::duration(&cursor)?.unwrap_or(Duration::ZERO);
    if !(Duration::from_secs(1)..=LONGEST).contains(&interval) {
        cursor.wrong("from 1s to 1h", "");
        return None;
    }
    Some(interval)
}
