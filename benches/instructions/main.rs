//! Every case in instructions, counted by callgrind and compared with `benches/instructions.txt`.
//!
//! ```text
//! make instructions                                      compare every case
//! make instructions CASE=route                           only those with `route` in their name
//! UPDATE_INSTRUCTIONS="why" make instructions            write figures that moved, with the reason
//! ```
//! Counts do not depend on how busy a machine is, so a change of more than 3 % either way is a
//! change of the code: it fails until the baseline is updated with its reason. Each case is
//! counted in a process of its own with an empty environment, so that no case sees another's heap
//! or a stack that begins elsewhere.
//!
//! What counts still depend on is written into the baseline: compiler, valgrind, C library (its
//! `memcpy`, `malloc` and `exp`), and whether the CPU has AVX2 (httparse and `memchr` ask).

mod baseline;
mod callgrind;
mod counted;

use std::path::Path;
use std::process::ExitCode;

use baseline::{Baseline, Verdict};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        // What runs under valgrind.
        [callgrind::RUN_ONE, case] => {
            counted::run(case).then_some(()).ok_or_else(|| format!("there is no case {case}"))
        }
        [] => compare(""),
        [part] if !part.starts_with('-') => compare(part),
        _ => Err("usage: instructions [PART-OF-A-CASE'S-NAME]".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("instructions: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Counts the cases with `part` in their names, and compares or updates.
fn compare(part: &str) -> Result<(), String> {
    let cases: Vec<String> =
        counted::names().into_iter().filter(|name| name.contains(part)).collect();
    if cases.is_empty() {
        return Err(format!("no case has {part:?} in its name"));
    }
    let conditions = callgrind::conditions()?;
    let counts = callgrind::count(&cases)?;
    let path = Path::new(BASELINE);
    let known = Baseline::read(path)?;
    let reason = std::env::var("UPDATE_INSTRUCTIONS").ok();
    let rows = known.compare(&counts, part.is_empty());
    print!("{}", baseline::table(&rows));
    if let Some(reason) = reason {
        let updated = known.updated(&counts, &conditions, &reason, part.is_empty())?;
        return updated.write(path);
    }
    let moved = rows.iter().filter(|row| row.verdict() != Verdict::Same).count();
    if moved == 0 {
        return Ok(());
    }
    let mut why = format!(
        "{moved} of {} moved by more than {} %, are new or are gone.\n\
         If that is meant:  UPDATE_INSTRUCTIONS=\"the reason\" make instructions",
        rows.len(),
        baseline::TOLERANCE_PERCENT
    );
    if known.conditions != conditions {
        why += &format!(
            "\nThe baseline was counted with {}; this is {conditions}: compare under the same \
             conditions, or update every figure.",
            known.conditions
        );
    }
    Err(why)
}
