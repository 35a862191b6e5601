//! What a picture says that grows by being asked: which hosts were looked up, and which services
//! are used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::policy::route::PlainHost;

/// Hosts that discovery has looked up lately, found or not: what has no route among them is not
/// going to get one by being asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LookedUp(Box<[Box<str>]>);

impl LookedUp {
    /// Of hosts in plain form (see [`PlainHost`]).
    pub fn new(hosts: impl IntoIterator<Item = Box<str>>) -> Self {
        let mut hosts: Vec<Box<str>> = hosts.into_iter().collect();
        hosts.sort_unstable();
        Self(hosts.into())
    }

    /// Whether the host was looked up.
    #[must_use]
    pub fn contains(&self, host: &PlainHost) -> bool {
        self.0.binary_search_by(|known| (**known).cmp(host.as_str())).is_ok()
    }

    /// How many they are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a service was used since discovery looked last. Shared by all workers: each only reads
/// it until somebody has to set it.
#[derive(Debug, Clone, Default)]
pub struct Usage(Arc<AtomicBool>);

impl Usage {
    /// It is used.
    pub fn mark(&self) {
        if !self.0.load(Ordering::Relaxed) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was used since this was asked the last time.
    #[must_use]
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// A mark is no part of what a rule says.
impl PartialEq for Usage {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_however_they_are_written() {
        let known = LookedUp::new(["shop".into(), "a.shop".into()]);
        let has =
            |authority: &[u8]| PlainHost::of(authority).is_some_and(|host| known.contains(&host));
        assert!(has(b"Shop:80") && has(b"A.shop.") && has(b"a.shop"));
        assert!(!has(b"b.shop") && !has(b"sho") && !has(b""));
    }

    #[test]
    fn use_is_seen_once() {
        let usage = Usage::default();
        assert!(!usage.take());
        usage.clone().mark();
        assert!(usage.take());
        assert!(!usage.take());
    }
}
