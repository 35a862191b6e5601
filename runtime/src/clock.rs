//! The only place that reads a clock; everything below it is handed `now`.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time;

use ringway_core::time::Instant;

static ORIGIN: OnceLock<time::Instant> = OnceLock::new();

thread_local! {
    static LAST: Cell<Instant> = const { Cell::new(Instant::ZERO) };
}

/// Now, in nanoseconds since the process first asked.
pub(crate) fn now() -> Instant {
    let origin = *ORIGIN.get_or_init(time::Instant::now);
    let nanos = u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let now = Instant::from_nanos(nanos);
    LAST.set(now);
    now
}

/// The last instant this thread read, which a worker does whenever it wakes: good enough for time
/// limits.
pub(crate) fn recent() -> Instant {
    LAST.get()
}
