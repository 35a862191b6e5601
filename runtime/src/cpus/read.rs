//! Reads what CPUs this process is allowed from `/proc` and `/sys`, for cgroup v1 and v2.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Allowance, CoreSet, Quota};

/// Reads the allowance of this process; `root` is `/` except in tests.
pub(super) fn read(root: &Path) -> Allowance {
    let online = list(&root.join("sys/devices/system/cpu/online")).unwrap_or_default();
    let cgroups = Cgroups::read(root);
    Allowance {
        affinity: affinity(root).unwrap_or_default(),
        cpuset: cgroups.cpuset(),
        quota: cgroups.quota(),
        primaries: primaries(root, &online),
        online,
    }
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn list(path: &Path) -> Option<CoreSet> {
    CoreSet::parse(&text(path)?)
}

fn affinity(root: &Path) -> Option<CoreSet> {
    let status = text(&root.join("proc/self/status"))?;
    CoreSet::parse(status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:"))?)
}

fn primaries(root: &Path, online: &CoreSet) -> CoreSet {
    let cpus = root.join("sys/devices/system/cpu");
    online
        .iter()
        .filter(|core| {
            list(&cpus.join(format!("cpu{core}/topology/thread_siblings_list")))
                .is_none_or(|siblings| siblings.iter().next() == Some(*core))
        })
        .collect()
}

/// Directories of this process's cgroup, each from the innermost to the mount point.
struct Cgroups {
    unified: Vec<PathBuf>,
    cpu: Vec<PathBuf>,
    cpuset: Vec<PathBuf>,
}

impl Cgroups {
    fn read(root: &Path) -> Self {
        let groups = text(&root.join("proc/self/cgroup")).unwrap_or_default();
        let mounts = text(&root.join("proc/self/mountinfo")).unwrap_or_default();
        let directories = |controller: &str| {
            let group = group_path(&groups, controller)?;
            let mount = mounts.lines().filter_map(Mount::parse).find(|m| m.has(controller))?;
            Some(mount.directories(root, group))
        };
        Self {
            unified: directories("").unwrap_or_default(),
            cpu: directories("cpu").unwrap_or_default(),
            cpuset: directories("cpuset").unwrap_or_default(),
        }
    }

    /// The innermost cpuset that is set; the kernel has already intersected it with its parents'.
    fn cpuset(&self) -> Option<CoreSet> {
        let v2 = self.unified.iter().map(|d| d.join("cpuset.cpus.effective"));
        let v1 = self
            .cpuset
            .iter()
            .flat_map(|d| [d.join("cpuset.effective_cpus"), d.join("cpuset.cpus")].into_iter());
        v2.chain(v1).find_map(|file| list(&file))
    }

    /// The tightest quota on the way up: a parent's limit binds its children.
    fn quota(&self) -> Option<Quota> {
        let v2 = self.unified.iter().filter_map(|d| quota_v2(&text(&d.join("cpu.max"))?));
        let v1 = self.cpu.iter().filter_map(|d| {
            let quota = text(&d.join("cpu.cfs_quota_us"))?;
            quota_of(&quota, &text(&d.join("cpu.cfs_period_us"))?)
        });
        v2.chain(v1).min()
    }
}

/// The path in `/proc/self/cgroup` of a v1 controller, or of v2 when the name is empty.
fn group_path<'a>(groups: &'a str, controller: &str) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    })
}

fn quota_v2(line: &str) -> Option<Quota> {
    let (quota, period) = line.trim().split_once(' ')?;
    quota_of(quota, period)
}

/// No number (`max`) and -1 are no limit.
fn quota_of(quota: &str, period: &str) -> Option<Quota> {
    let quota: u64 = quota.trim().parse().ok()?;
    let period: u64 = period.trim().parse().ok().filter(|period| *period > 0)?;
    Some(Quota { millis: quota.saturating_mul(1000) / period })
}

/// A line of `/proc/self/mountinfo` that mounts cgroups.
struct Mount<'a> {
    /// The cgroup that is visible at the mount point: not `/` in a container without a cgroup
    /// namespace of its own.
    top: &'a str,
    point: &'a str,
    unified: bool,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (top, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let kind = after.next()?;
        let options = after.nth(1)?;
        let unified = kind == "cgroup2";
        (unified || kind == "cgroup").then_some(Self { top, point, unified, options })
    }

    fn has(&self, controller: &str) -> bool {
        if controller.is_empty() {
            return self.unified;
        }
        !self.unified && self.options.split(',').any(|name| name == controller)
    }

    fn directories(&self, root: &Path, group: &str) -> Vec<PathBuf> {
        let point = root.join(self.point.trim_start_matches('/'));
        // A group outside of what is mounted here (`/../…`): only the mount point is ours to see.
        let below = Path::new(group).strip_prefix(self.top).unwrap_or_else(|_| Path::new(""));
        let inside = below.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        let below = if inside { below } else { Path::new("") };
        below.ancestors().map(|part| point.join(part)).collect()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    /// A tree of files below a fresh directory that is removed at the end.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("ringway-{}-{name}", std::process::id()));
            for (path, content) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            Self(root)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_quota_of_a_v2_parent_binds() {
        let tree = Tree::new(
            "v2",
            &[
                ("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-3\n"),
                ("proc/self/cgroup", "0::/pod/app\n"),
                ("proc/self/mountinfo", V2_MOUNTS),
                ("sys/devices/system/cpu/online", "0-7\n"),
                ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "0-1\n"),
                ("sys/fs/cgroup/pod/app/cpu.max", "max 100000\n"),
                ("sys/fs/cgroup/pod/cpu.max", "150000 100000\n"),
                ("sys/fs/cgroup/pod/app/cpuset.cpus.effective", "2-5\n"),
            ],
        );
        let found = read(&tree.0);
        assert_eq!(found.quota, Some(Quota { millis: 1500 }));
        assert_eq!(found.affinity.to_string(), "0-3");
        assert_eq!(found.cpuset.unwrap().to_string(), "2-5");
        assert_eq!(found.primaries.to_string(), "0,2-7");
    }

    #[test]
    fn v1_in_a_container_is_found_below_its_own_mount() {
        let tree = Tree::new(
            "v1",
            &[
                ("proc/self/cgroup", "4:cpuset:/docker/abc\n3:cpu,cpuacct:/docker/abc\n"),
                ("proc/self/mountinfo", V1_MOUNTS),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
                ("sys/fs/cgroup/cpuset/cpuset.cpus", "1,3\n"),
            ],
        );
        let found = read(&tree.0);
        assert_eq!(found.quota, Some(Quota { millis: 2500 }));
        assert_eq!(found.cpuset.unwrap().to_string(), "1,3");
    }

    #[test]
    fn nothing_to_read_restricts_nothing() {
        let found = read(Path::new("/nonexistent"));
        assert_eq!(found, Allowance::default());
        assert_eq!(quota_of("-1", "100000"), None);
        assert_eq!(quota_v2("max 100000"), None);
        assert_eq!(quota_v2("5 0"), None);
    }

    const V2_MOUNTS: &str = "\
24 1 0:22 / /proc rw - proc proc rw
30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate
";
    const V1_MOUNTS: &str = "\
31 24 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro master:5 - cgroup cgroup rw,cpu,cpuacct
32 24 0:28 /docker/abc /sys/fs/cgroup/cpuset ro master:6 - cgroup cgroup rw,cpuset
";
}
