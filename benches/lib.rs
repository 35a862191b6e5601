//! What is measured of ringway, each case written once: criterion takes its time, callgrind counts
//! its instructions.
//!
//! ```text
//! fixtures ─► cases ─► every_case(meter) ◄─┬─ time.rs (criterion)
//!                                          └─ instructions/ (callgrind, with a committed baseline)
//! ```

mod cases;
mod fixtures;

pub use cases::every_case;

/// Takes measurements. A case is handed over as code and not as a boxed closure: an indirect call
/// would be a tenth of the shortest cases.
pub trait Meter {
    /// Measures `step` on what `build` makes, if the case called `name` (`group/…`) is asked for.
    /// `build` runs at most once, and only then.
    fn measure<S, T>(
        &mut self,
        name: &str,
        work: Work,
        build: impl FnOnce() -> S,
        step: impl FnMut(&mut S) -> T,
    );
}

/// How much one step does, for throughputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// One of whatever the case is about.
    One,
    /// It goes through so many bytes.
    Bytes(usize),
    /// It goes through so many endpoints.
    Endpoints(usize),
}
