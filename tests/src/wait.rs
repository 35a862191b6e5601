//! Waiting for a condition, bounded in time: the only way the suites wait.

use std::time::{Duration, Instant};

/// Polls `ready` until it gives a value; `None` when `limit` has passed.
pub fn poll<T>(limit: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = ready() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Polls `ready` until it holds.
///
/// # Panics
/// When it does not hold within `limit`; `what` says what was waited for.
pub fn until(limit: Duration, what: &str, mut ready: impl FnMut() -> bool) {
    assert!(poll(limit, || ready().then_some(())).is_some(), "not within {limit:?}: {what}");
}
