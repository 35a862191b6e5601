//! Reads a directory of manifests, whole or not at all.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ringway_config::Problem;

use crate::manifest::{self, Found, ManifestError};

/// What tells whether anything in a directory has changed: for each manifest its path and the
/// identity, size and times of what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint(Vec<(PathBuf, [i64; 6])>);

/// Which directory is there now: device and inode.
pub(crate) fn identity(directory: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(directory)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Looks at the files of the directory without reading them.
pub(crate) fn fingerprint(directory: &Path) -> io::Result<Fingerprint> {
    let mut seen = Vec::new();
    for path in manifests(directory)? {
        // A link that leads nowhere is found by reading.
        let facts = fs::metadata(&path).map(|m| {
            let id = [m.dev().cast_signed(), m.ino().cast_signed(), m.size().cast_signed()];
            let nanos = [m.mtime_nsec(), m.ctime_nsec()];
            [id[0], id[1], id[2], m.mtime(), nanos[0], m.ctime().wrapping_mul(1 << 30) ^ nanos[1]]
        });
        seen.push((path, facts.unwrap_or_default()));
    }
    Ok(Fingerprint(seen))
}

/// Reads all manifests of the directory.
///
/// # Errors
/// Every problem in any of them.
pub(crate) fn load(directory: &Path, namespace: &str) -> Result<Found, Vec<ManifestError>> {
    let hint = "check `discovery.manifests` and the permissions";
    let paths = match manifests(directory) {
        Ok(paths) => paths,
        Err(error) => return Err(vec![unreadable(directory, &error, "a directory", hint)]),
    };
    let mut files = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        match fs::read(&path) {
            Ok(bytes) => files.push((path, bytes)),
            Err(error) => errors.push(unreadable(&path, &error, "a readable file", hint)),
        }
    }
    match manifest::read(&files, namespace) {
        Ok(found) if errors.is_empty() => Ok(found),
        Ok(_) => Err(errors),
        Err(more) => {
            errors.extend(more);
            Err(errors)
        }
    }
}

/// The manifests in the directory itself, by name: `*.yaml`, `*.yml`, `*.json`, not hidden. What
/// a mounted ConfigMap has are links of such names through `..data`.
fn manifests(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let extension = path.extension().and_then(|extension| extension.to_str());
        if !hidden && matches!(extension, Some("yaml" | "yml" | "json")) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, error: &io::Error, expected: &str, hint: &str) -> ManifestError {
    let problem = Problem {
        line: 0,
        column: 0,
        path: String::new(),
        found: error.to_string(),
        expected: expected.to_owned(),
        hint: hint.to_owned(),
    };
    ManifestError { file: path.to_owned(), problem }
}
