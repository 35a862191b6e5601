//! The limit of file descriptors: each connection needs one, and its upstream another.

use std::fmt;
use std::io;

use rlimit::Resource;

/// How many file descriptors this process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdLimit {
    /// What the kernel enforces now.
    pub soft: u64,
    /// How far the process may raise `soft` itself.
    pub hard: u64,
}

impl fmt::Display for FdLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "soft {}, hard {}", self.soft, self.hard)
    }
}

/// Reads `RLIMIT_NOFILE`.
///
/// # Errors
/// When the kernel does not tell.
pub fn limit() -> io::Result<FdLimit> {
    let (soft, hard) = Resource::NOFILE.get()?;
    Ok(FdLimit { soft, hard })
}

/// Raises the soft limit to the hard one. The soft limit's customary 1024 exists for programs
/// that call `select`, which nothing here does.
///
/// # Errors
/// When the kernel refuses; the limit stays as it was.
pub fn raise() -> io::Result<FdLimit> {
    let limit = limit()?;
    if limit.soft < limit.hard {
        Resource::NOFILE.set(limit.hard, limit.hard)?;
    }
    Ok(FdLimit { soft: limit.hard.max(limit.soft), ..limit })
}
