//! Where `tests/setup` has put the programs of the control plane.

use std::path::PathBuf;

/// Something below target/tools/kube.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    // The test's own executable is <target>/<profile>/deps/<suite>-<hash>.
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(3).unwrap().join("tools/kube").join(name);
    assert!(path.exists(), "{} is missing; tests/setup builds it", path.display());
    path
}
