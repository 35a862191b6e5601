//! Running this program under valgrind, once for each case, and reading what callgrind counted.

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::baseline::Count;
use crate::counted::STEPS;

/// The argument that makes this program run one case.
pub(crate) const RUN_ONE: &str = "--run-one";

/// Collection is switched on and off by entering and leaving this function.
const COUNTED: &str = "--toggle-collect=*counted_steps*";

/// What the counts depend on beside the code.
pub(crate) fn conditions() -> Result<String, String> {
    let said = |command: &str, arguments: &[&str], words: usize| -> Result<String, String> {
        let output = Command::new(command).args(arguments).output();
        let output = output.map_err(|e| missing(command, &e))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.split_whitespace().take(words).collect::<Vec<_>>().join(" "))
    };
    Ok(format!(
        "{}, {}, {}, {} {} AVX2",
        said("rustc", &["--version"], 2)?,
        said("valgrind", &["--version"], 1)?,
        said("getconf", &["GNU_LIBC_VERSION"], 2)?,
        env::consts::ARCH,
        if avx2() { "with" } else { "without" }
    ))
}

#[cfg(target_arch = "x86_64")]
fn avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
const fn avx2() -> bool {
    false
}

fn missing(command: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("no {command}: install it (apt-get install valgrind)"),
        _ => format!("{command}: {error}"),
    }
}

/// Counts `cases`, as many at once as there are CPUs.
pub(crate) fn count(cases: &[String]) -> Result<Vec<Count>, String> {
    let (next, counts) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<(), String> {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let count = count_one(case)?;
            counts.lock().map_err(|e| e.to_string())?.push(count);
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err("a counting thread panicked".to_owned()))
        })
    })?;
    counts.into_inner().map_err(|e| e.to_string())
}

fn count_one(case: &str) -> Result<Count, String> {
    let own = env::current_exe().map_err(|e| format!("this program's own path: {e}"))?;
    let name = format!("callgrind.{}.{}.out", std::process::id(), case.replace('/', "-"));
    let out = own.with_file_name(name);
    let result = under_valgrind(&own, case, &out).and_then(|()| {
        let text = fs::read_to_string(&out).map_err(|e| format!("{}: {e}", out.display()))?;
        let counted = total(&text).filter(|&n| n > 0);
        counted.ok_or_else(|| format!("callgrind counted nothing for {case}"))
    });
    let _ = fs::remove_file(&out);
    // To a tenth, as the baseline has it.
    let instructions = (result? as f64 * 10.0 / f64::from(STEPS)).round() / 10.0;
    Ok(Count { case: case.to_owned(), instructions })
}

fn under_valgrind(own: &Path, case: &str, out: &Path) -> Result<(), String> {
    let mut command = Command::new("valgrind");
    // An empty environment: its size would move the stack, and with it how bytes are aligned.
    command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
    command.args(["--tool=callgrind", "--quiet", COUNTED]);
    command.arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(own).args([RUN_ONE, case]).stdin(Stdio::null());
    let ran = command.output().map_err(|e| missing("valgrind", &e))?;
    if ran.status.success() {
        return Ok(());
    }
    Err(format!("{case} under valgrind: {}\n{}", ran.status, String::from_utf8_lossy(&ran.stderr)))
}

/// The sum of a callgrind profile.
fn total(profile: &str) -> Option<u64> {
    profile.lines().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_a_profile() {
        assert_eq!(total("events: Ir\n\nfn=(1) a\n7 12\n\ntotals: 12345\n"), Some(12_345));
        assert_eq!(total("events: Ir\n"), None);
    }
}
