//! What the kernel knows about this process and its threads, read from /proc.

use std::fs;

/// Ticks a second in /proc (USER_HZ): 100 on every architecture this builds for.
const TICKS: f64 = 100.0;

/// The process at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) threads: u64,
    pub(super) open_fds: u64,
    pub(super) max_fds: Option<u64>,
    /// Seconds since 1970.
    pub(super) start_time: f64,
}

/// Reads it. `None` where there is no /proc.
pub(super) fn read() -> Option<Process> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fds = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    Some(Process {
        cpu_seconds: cpu_seconds(&stat)?,
        resident_bytes: keyed(&status, "VmRSS:").unwrap_or(0) * 1024,
        virtual_bytes: keyed(&status, "VmSize:").unwrap_or(0) * 1024,
        threads: keyed(&status, "Threads:").unwrap_or(0),
        // One of them is the directory being read.
        open_fds: (fds as u64).saturating_sub(1),
        max_fds: keyed(&limits, "Max open files"),
        start_time: keyed(&boot, "btime").unwrap_or(0) as f64 + start_seconds(&stat)?,
    })
}

/// The kernel's number of the calling thread.
pub(super) fn current_thread() -> Option<u32> {
    let link = fs::read_link("/proc/thread-self").ok()?;
    link.file_name()?.to_str()?.parse().ok()
}

/// CPU seconds, user and system, that a thread of this process has used.
pub(super) fn thread_cpu_seconds(thread: u32) -> Option<f64> {
    cpu_seconds(&fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?)
}

/// Field `number` (from 1, as in proc(5)) of a stat line; the name, field 2, may hold anything.
fn field(stat: &str, number: usize) -> Option<f64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) / TICKS)
}

fn start_seconds(stat: &str) -> Option<f64> {
    Some(field(stat, 22)? / TICKS)
}

/// The first number after the line's key.
fn keyed(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 3 0 4200 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(start_seconds(stat), Some(42.0));
        assert_eq!(cpu_seconds("7 (a) S"), None);
    }

    #[test]
    fn limits_may_be_unlimited() {
        let limits = "Max open files            1024    4096    files\nMax other  unlimited x\n";
        assert_eq!(keyed(limits, "Max open files"), Some(1024));
        assert_eq!(keyed(limits, "Max other"), None);
    }

    #[test]
    fn this_process_has_threads_and_descriptors() {
        let process = read().unwrap_or_default();
        assert!(process.threads >= 1 && process.open_fds >= 3, "{process:?}");
        assert!(process.resident_bytes > 0 && process.start_time > 1e9, "{process:?}");
        assert!(current_thread().and_then(thread_cpu_seconds).is_some());
    }
}
