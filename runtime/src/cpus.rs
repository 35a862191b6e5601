//! Which cores the workers run on: the affinity mask, the cpuset, the CPU quota and `workers:`
//! put together by one pure function, so that a container never starts more loops than it may run.

mod read;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use ringway_config::Pin;

/// Numbers of logical CPUs, as the kernel counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreSet(BTreeSet<usize>);

impl CoreSet {
    /// Parses the kernel's list format: `0-3,8,10-11`. `None` when it is malformed or empty.
    #[must_use]
    pub fn parse(list: &str) -> Option<Self> {
        let mut cores = BTreeSet::new();
        for part in list.trim().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<usize>().ok();
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last >= MAX_CORES {
                return None;
            }
            cores.extend(first..=last);
        }
        Some(Self(cores))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().copied()
    }

    fn and(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }
}

/// More than any kernel supports today (`CONFIG_NR_CPUS` goes to 8192): bounds what a list may
/// make us allocate.
const MAX_CORES: usize = 1 << 16;

impl FromIterator<usize> for CoreSet {
    fn from_iter<T: IntoIterator<Item = usize>>(cores: T) -> Self {
        Self(cores.into_iter().collect())
    }
}

impl fmt::Display for CoreSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = rest.next() {
            let mut last = first;
            while rest.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            write!(f, "{comma}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

/// CPU time per period that the cgroup may use, in thousandths of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quota {
    /// 1500 is one core and a half.
    pub millis: u64,
}

impl Quota {
    /// Cores needed to use all of it: rounded up, at least 1.
    #[must_use]
    pub fn cores(self) -> usize {
        usize::try_from(self.millis.div_ceil(1000)).unwrap_or(usize::MAX).max(1)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02} cores", self.millis / 1000, self.millis % 1000 / 10)
    }
}

/// What this process was found to be allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Every CPU that is switched on.
    pub online: CoreSet,
    /// The affinity mask of the process (`taskset`, systemd's `CPUAffinity=`).
    pub affinity: CoreSet,
    /// The cgroup's cpuset (Kubernetes' static CPU manager, `docker --cpuset-cpus`), if it has one.
    pub cpuset: Option<CoreSet>,
    /// The cgroup's CPU quota (a Kubernetes CPU limit, `docker --cpus`), the tightest of the
    /// cgroup and its parents. `None` is no limit.
    pub quota: Option<Quota>,
    /// First threads of each physical core: a second hyper-thread is used last.
    pub primaries: CoreSet,
}

impl Allowance {
    /// The cores that both the mask and the cpuset allow. An empty source says nothing, so it
    /// does not restrict; if nothing is known at all, core 0 is assumed.
    #[must_use]
    pub fn cores(&self) -> CoreSet {
        let sources = [Some(&self.online), Some(&self.affinity), self.cpuset.as_ref()];
        sources
            .into_iter()
            .flatten()
            .filter(|set| !set.is_empty())
            .fold(None, |all: Option<CoreSet>, set| {
                Some(all.map_or_else(|| set.clone(), |all| all.and(set)))
            })
            .filter(|set| !set.is_empty())
            .unwrap_or_else(|| std::iter::once(0).collect())
    }
}

/// Reads the allowance of this process from `/proc` and `/sys`. What cannot be read does not
/// restrict.
#[must_use]
pub fn allowance() -> Allowance {
    read::read(Path::new("/"))
}

/// The workers to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many. At least 1.
    pub workers: usize,
    /// The core of each worker when they are pinned; as long as `workers`. Empty: not pinned.
    pub cores: Vec<usize>,
    /// Why they are pinned or not.
    pub reason: Reason,
}

impl Plan {
    /// The core of the worker with this index, if it is to be pinned.
    #[must_use]
    pub fn core(&self, worker: usize) -> Option<usize> {
        self.cores.get(worker).copied()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.workers == 1 { "" } else { "s" };
        write!(f, "{} worker{plural}, ", self.workers)?;
        if self.cores.is_empty() {
            return write!(f, "not pinned ({})", self.reason);
        }
        let cores: Vec<String> = self.cores.iter().map(ToString::to_string).collect();
        write!(f, "pinned to {} ({})", cores.join(", "), self.reason)
    }
}

/// Why workers are pinned or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `workers.pin: always`.
    Always,
    /// `workers.pin: never`.
    Never,
    /// One worker for each usable core.
    Whole,
    /// Fewer workers than cores, but the cores were set aside for this process.
    SetAside,
    /// The quota is smaller than the set of cores: the CPU is shared and throttled.
    Throttled,
    /// More workers than cores.
    Crowded,
    /// Fewer workers than cores that everybody uses: every process would pick the same ones.
    Shared,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Always => "workers.pin is always",
            Self::Never => "workers.pin is never",
            Self::Whole => "one for each usable core",
            Self::SetAside => "these cores were set aside for this process",
            Self::Throttled => "the CPU quota is smaller than the set of cores",
            Self::Crowded => "more workers than cores",
            Self::Shared => "fewer workers than cores, and the cores are shared with others",
        })
    }
}

/// Decides how many workers there are and where they run.
///
/// Without `count` there is one worker for each usable core, but no more than the quota can keep
/// busy (rounded up). An explicit `count` is obeyed even beyond that.
///
/// [`Pin::Auto`] pins unless that could hurt. It does not pin when the quota is smaller than the
/// set of cores (the cgroup shares them, and a pinned worker cannot move away from a busy
/// neighbour), when there are more workers than cores, or when there are fewer workers than cores
/// on a machine whose cores were not set aside for us (all such processes would crowd on the
/// first cores). [`Pin::Always`] uses the cores in turn when there are more workers than cores.
#[must_use]
pub fn plan(allowance: &Allowance, count: Option<usize>, pin: Pin) -> Plan {
    let cores = allowance.cores();
    let affordable = allowance.quota.map_or(usize::MAX, Quota::cores);
    let workers = count.unwrap_or_else(|| cores.len().min(affordable)).max(1);
    let throttled = allowance.quota.is_some_and(|q| q.millis < cores.len() as u64 * 1000);
    let set_aside = cores.len() < allowance.online.len();
    let (pinned, reason) = match pin {
        Pin::Always => (true, Reason::Always),
        Pin::Never => (false, Reason::Never),
        Pin::Auto if throttled => (false, Reason::Throttled),
        Pin::Auto if workers > cores.len() => (false, Reason::Crowded),
        Pin::Auto if workers == cores.len() => (true, Reason::Whole),
        Pin::Auto if set_aside => (true, Reason::SetAside),
        Pin::Auto => (false, Reason::Shared),
    };
    let cores = if pinned { assign(&cores, &allowance.primaries, workers) } else { Vec::new() };
    Plan { workers, cores, reason }
}

/// One core for each worker: first threads of physical cores before second ones.
fn assign(cores: &CoreSet, primaries: &CoreSet, workers: usize) -> Vec<usize> {
    let (first, second): (Vec<usize>, Vec<usize>) =
        cores.iter().partition(|core| primaries.0.contains(core));
    let mut assigned: Vec<usize> = first.into_iter().chain(second).cycle().take(workers).collect();
    if workers <= cores.len() {
        assigned.sort_unstable();
    }
    assigned
}

/// Pins the calling thread to `core`; false when the kernel refuses.
#[must_use]
pub fn pin(core: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: core })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    fn cores(list: &str) -> CoreSet {
        CoreSet::parse(list).unwrap()
    }

    fn machine(
        online: &str,
        affinity: &str,
        cpuset: Option<&str>,
        quota: Option<u64>,
    ) -> Allowance {
        Allowance {
            online: cores(online),
            affinity: cores(affinity),
            cpuset: cpuset.map(cores),
            quota: quota.map(|millis| Quota { millis }),
            primaries: cores(online),
        }
    }

    #[test]
    fn lists_are_read_and_written() {
        for list in ["0", "0-3", "0-1,4,6-7", "2,5"] {
            assert_eq!(cores(list).to_string(), list);
        }
        assert_eq!(cores(" 3,1-2\n").to_string(), "1-3");
        for bad in ["", "x", "3-1", "1,,2", "0-99999999999", "0-4000000"] {
            assert_eq!(CoreSet::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_unrestricted_machine_gets_a_pinned_worker_for_each_core() {
        let plan = plan(&machine("0-3", "0-3", Some("0-3"), None), None, Pin::Auto);
        assert_eq!(plan.cores, [0, 1, 2, 3]);
        assert_eq!(plan.to_string(), "4 workers, pinned to 0, 1, 2, 3 (one for each usable core)");
    }

    #[test]
    fn mask_and_cpuset_both_restrict() {
        let found = machine("0-7", "0-3", Some("2-5"), None);
        assert_eq!(plan(&found, None, Pin::Auto).cores, [2, 3]);
        assert_eq!(plan(&found, Some(1), Pin::Auto).reason, Reason::SetAside);
        assert_eq!(plan(&found, Some(1), Pin::Auto).cores, [2]);
    }

    #[test]
    fn a_quota_caps_the_workers_and_unpins_them() {
        let found = machine("0-15", "0-15", None, Some(1500));
        let plan = plan(&found, None, Pin::Auto);
        assert_eq!((plan.workers, plan.core(0), plan.reason), (2, None, Reason::Throttled));
        assert_eq!(plan.to_string().split(',').next(), Some("2 workers"));
    }

    #[test]
    fn a_quota_as_large_as_an_exclusive_cpuset_does_not_unpin() {
        let found = machine("0-15", "4-5", Some("4-5"), Some(2000));
        assert_eq!(plan(&found, None, Pin::Auto).cores, [4, 5]);
    }

    #[test]
    fn a_tiny_quota_still_gets_one_worker() {
        assert_eq!(plan(&machine("0-3", "0-3", None, Some(50)), None, Pin::Auto).workers, 1);
        assert_eq!(plan(&Allowance::default(), None, Pin::Auto).cores, [0]);
    }

    #[test]
    fn few_workers_on_a_shared_machine_are_not_pinned_to_the_same_first_cores() {
        let found = machine("0-7", "0-7", None, None);
        assert_eq!(plan(&found, Some(2), Pin::Auto).reason, Reason::Shared);
        assert_eq!(plan(&found, Some(2), Pin::Always).cores, [0, 1]);
    }

    #[test]
    fn more_workers_than_cores_are_obeyed() {
        let found = machine("0-1", "0-1", None, None);
        let crowded = plan(&found, Some(5), Pin::Auto);
        assert_eq!((crowded.workers, crowded.reason), (5, Reason::Crowded));
        assert_eq!(plan(&found, Some(5), Pin::Always).cores, [0, 1, 0, 1, 0]);
        assert_eq!(plan(&found, None, Pin::Never).cores, [0_usize; 0]);
    }

    #[test]
    fn second_threads_of_a_core_come_last() {
        let mut found = machine("0-7", "0-7", None, None);
        found.primaries = cores("0,2,4,6");
        assert_eq!(plan(&found, Some(3), Pin::Always).cores, [0, 2, 4]);
        assert_eq!(plan(&found, Some(5), Pin::Always).cores, [0, 1, 2, 4, 6]);
    }
}
