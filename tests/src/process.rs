//! What /proc says about the proxy: memory, processor time, open files.

use std::fs;
use std::time::Duration;

use crate::sys;

/// Open files of the process.
#[must_use]
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Processor time used so far, user and system, all threads.
#[must_use]
pub fn cpu(pid: u32) -> Duration {
    let ticks = stat(pid, 11) + stat(pid, 12);
    Duration::from_millis(ticks * 1000 / sys::units().0)
}

/// Resident memory in bytes.
#[must_use]
pub fn resident(pid: u32) -> u64 {
    stat(pid, 21) * sys::units().1
}

/// The highest resident memory so far, in bytes.
#[must_use]
pub fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Field `index` of /proc/PID/stat, counted from 0 after the command's name.
fn stat(pid: u32, index: usize) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    after.split_whitespace().nth(index).and_then(|f| f.parse().ok()).unwrap_or(0)
}
