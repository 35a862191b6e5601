//! Which event loop a worker runs on: io_uring with the best flags this kernel takes, else epoll.

use std::fmt;
use std::io;

use monoio::time::TimeDriver;
use monoio::{FusionRuntime, IoUringDriver, LegacyDriver, RuntimeBuilder};
use ringway_config::Driver;

use crate::batch;

/// A worker's event loop.
pub(crate) type Loop = FusionRuntime<TimeDriver<IoUringDriver>, TimeDriver<LegacyDriver>>;

/// Submission queue entries, the fewest that monoio makes: all sockets together take one, for the
/// poll of the set that watches them.
const ENTRIES: u32 = 256;

/// One way of setting up a loop, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// Linux 6.1 and later: completions are processed when the worker asks for them.
    DeferTaskrun,
    /// Linux 6.0 and later: one submitter, no interrupts for task work.
    CoopSingleIssuer,
    /// Linux 5.19 and later: no interrupts for task work.
    CoopTaskrun,
    /// io_uring without flags.
    Plain,
    /// No io_uring at all.
    Epoll,
}

const LADDER: [Rung; 4] =
    [Rung::DeferTaskrun, Rung::CoopSingleIssuer, Rung::CoopTaskrun, Rung::Plain];

impl Rung {
    /// `io_uring` or `epoll`.
    #[must_use]
    pub const fn driver(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            _ => "io_uring",
        }
    }

    /// The set-up flags, for logs and metrics.
    #[must_use]
    pub const fn flags(self) -> &'static str {
        match self {
            Self::DeferTaskrun => "single_issuer,defer_taskrun,submit_all",
            Self::CoopSingleIssuer => "single_issuer,coop_taskrun,submit_all",
            Self::CoopTaskrun => "coop_taskrun",
            Self::Plain | Self::Epoll => "",
        }
    }

    fn builder(self) -> io_uring::Builder {
        let mut builder = io_uring::IoUring::builder();
        match self {
            Self::DeferTaskrun => {
                builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
            }
            Self::CoopSingleIssuer => {
                builder.setup_single_issuer().setup_coop_taskrun().setup_submit_all();
            }
            Self::CoopTaskrun => {
                builder.setup_coop_taskrun();
            }
            Self::Plain | Self::Epoll => {}
        }
        builder.setup_clamp();
        builder
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flags() {
            "" => f.write_str(self.driver()),
            flags => write!(f, "{} ({flags})", self.driver()),
        }
    }
}

/// What this machine offers.
#[derive(Debug)]
pub struct DriverReport {
    /// The rung a worker would stand on.
    pub rung: Rung,
    /// Why better ones were refused, if any were.
    pub refused: Vec<(Rung, String)>,
}

impl fmt::Display for DriverReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rung)?;
        for (rung, reason) in &self.refused {
            write!(f, "; {rung} refused: {reason}")?;
        }
        Ok(())
    }
}

/// Tries the ladder without keeping anything. `Driver::Epoll` is answered without trying.
#[must_use]
pub fn report(driver: Driver) -> DriverReport {
    let mut refused = Vec::new();
    if driver != Driver::Epoll {
        for rung in LADDER {
            match rung.builder().build(ENTRIES) {
                Ok(_) => return DriverReport { rung, refused },
                Err(error) => refused.push((rung, reason(&error))),
            }
        }
    }
    DriverReport { rung: Rung::Epoll, refused }
}

fn reason(error: &io::Error) -> String {
    let hint = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            " (a seccomp profile or kernel.io_uring_disabled forbids it)"
        }
        Some(libc::ENOSYS) => " (the kernel has no io_uring)",
        Some(libc::ENOMEM) => " (RLIMIT_MEMLOCK is too small for this kernel)",
        Some(libc::EINVAL) => " (the kernel is too old for these flags)",
        _ => "",
    };
    format!("{error}{hint}")
}

/// A second ring for what the calling thread makes together, of the kind that its loop stands on.
/// Where there is none, or the kernel has no memory left for it, each operation is a call of its own.
pub(crate) fn for_batches(rung: Rung) -> Option<io_uring::IoUring> {
    if rung == Rung::Epoll {
        return None;
    }
    let ring = rung.builder().build(batch::ENTRIES);
    ring.inspect_err(
        |error| tracing::warn!(%error, "no second ring: one call for each send and receive"),
    )
    .ok()
}

/// Builds the calling thread's loop; it must be the thread that will run it (SINGLE_ISSUER).
///
/// # Errors
/// When `Driver::Uring` is demanded and no rung holds, or when even epoll cannot be set up.
pub(crate) fn build(driver: Driver) -> io::Result<(Loop, DriverReport)> {
    let mut report = report(driver);
    if report.rung != Rung::Epoll {
        let ring = RuntimeBuilder::<IoUringDriver>::new()
            .with_entries(ENTRIES)
            .uring_builder(report.rung.builder())
            .enable_timer()
            .build();
        match ring {
            Ok(ring) => return Ok((ring.into(), report)),
            Err(error) => report.refused.push((report.rung, reason(&error))),
        }
        report.rung = Rung::Epoll;
    }
    if driver == Driver::Uring {
        return Err(io::Error::other(format!("io_uring is demanded but not to be had: {report}")));
    }
    let epoll = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?;
    Ok((epoll.into(), report))
}
