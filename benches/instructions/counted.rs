//! The cases as callgrind sees them: everything but the steps themselves goes uncounted.

use std::hint::black_box;

use ringway_benches::{Meter, Work, every_case};

/// How many steps are counted: the average of some, because a few depend on their number in turn.
pub(crate) const STEPS: u32 = 200;

/// Steps made before, so that first uses (lazy tables, growing buffers) go uncounted.
const WARM_UP: u32 = 10;

/// The names of all cases.
pub(crate) fn names() -> Vec<String> {
    let mut names = Names(Vec::new());
    every_case(&mut names);
    names.0
}

/// Runs the one case called `case`; says whether there is one.
pub(crate) fn run(case: &str) -> bool {
    let mut one = One { case, found: false };
    every_case(&mut one);
    one.found
}

struct Names(Vec<String>);

impl Meter for Names {
    fn measure<S, T>(
        &mut self,
        name: &str,
        _: Work,
        _: impl FnOnce() -> S,
        _: impl FnMut(&mut S) -> T,
    ) {
        self.0.push(name.to_owned());
    }
}

struct One<'a> {
    case: &'a str,
    found: bool,
}

impl Meter for One<'_> {
    fn measure<S, T>(
        &mut self,
        name: &str,
        _: Work,
        build: impl FnOnce() -> S,
        mut step: impl FnMut(&mut S) -> T,
    ) {
        if name != self.case {
            return;
        }
        self.found = true;
        let mut state = build();
        for _ in 0..WARM_UP {
            black_box(step(black_box(&mut state)));
        }
        counted_steps(&mut state, step);
    }
}

/// callgrind counts while it is in here; it is found by its name, see `callgrind::COUNTED`.
#[inline(never)]
fn counted_steps<S, T>(state: &mut S, mut step: impl FnMut(&mut S) -> T) {
    for _ in 0..STEPS {
        black_box(step(black_box(state)));
    }
}
