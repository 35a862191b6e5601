//! Reads a directory of manifests, whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringway_config::Problem;

use crate::event::{Event, SourceId};
use crate::manifest::{self, Found, ManifestError, Parsed};

/// What tells whether a file has changed: the identity, size and times of what its path leads to.
type Facts = [i64; 6];

/// A directory as it was read last. What has not changed is not read again: of ten thousand
/// endpoints in a hundred files, an update touches one.
#[derive(Debug)]
pub(crate) struct Scan {
    namespace: String,
    files: BTreeMap<PathBuf, (Facts, Arc<Parsed>)>,
    /// What [`Scan::changes`] has told of; nothing before the first time.
    told: Option<BTreeMap<PathBuf, Arc<Parsed>>>,
}

/// Which directory is there now: device and inode.
pub(crate) fn identity(directory: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(directory)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Reads all manifests of the directory.
///
/// # Errors
/// Every problem in any of them.
pub(crate) fn load(directory: &Path, namespace: &str) -> Result<Found, Vec<ManifestError>> {
    let mut scan = Scan::new(namespace.to_owned());
    scan.look(directory).and_then(|_| scan.found())
}

impl Scan {
    /// Objects that name no namespace are in `namespace`.
    pub(crate) const fn new(namespace: String) -> Self {
        Self { namespace, files: BTreeMap::new(), told: None }
    }

    /// Reads what is new or has changed; whether anything is, or is gone.
    ///
    /// # Errors
    /// When the directory itself cannot be read. What is known of its files stays.
    pub(crate) fn look(&mut self, directory: &Path) -> Result<bool, Vec<ManifestError>> {
        let paths = manifests(directory).map_err(|error| {
            let problem = unreadable(&error, "a directory");
            vec![ManifestError { file: directory.to_owned(), problem }]
        })?;
        let mut before = std::mem::take(&mut self.files);
        let mut changed = false;
        for path in paths {
            let facts = facts(&path);
            let file = match before.remove(&path) {
                Some(known) if known.0 == facts => known,
                _ => {
                    changed = true;
                    (facts, Arc::new(self.read(&path)))
                }
            };
            self.files.insert(path, file);
        }
        Ok(changed || !before.is_empty())
    }

    /// What all the files hold.
    ///
    /// # Errors
    /// Every problem in any of them.
    pub(crate) fn found(&self) -> Result<Found, Vec<ManifestError>> {
        manifest::join(self.parsed())
    }

    /// What is different from what this has said before: a whole picture at first, and then no more
    /// than the objects that have changed.
    ///
    /// # Errors
    /// Every problem in any file. The next changes are those since the last good ones.
    pub(crate) fn changes(&mut self) -> Result<Vec<Event>, Vec<ManifestError>> {
        manifest::verify(self.parsed())?;
        let now: BTreeMap<_, _> =
            self.files.iter().map(|(path, (_, parsed))| (path.clone(), parsed.clone())).collect();
        let first = self.told.is_none();
        let before = self.told.replace(now).unwrap_or_default();
        let now = self.told.iter().flatten();
        let same = |one: &Arc<Parsed>, other: Option<&Arc<Parsed>>| {
            other.is_some_and(|other| Arc::ptr_eq(one, other))
        };
        let gone = before.iter().filter(|(path, old)| {
            let now = self.files.get(*path).map(|(_, parsed)| parsed);
            !same(old, now)
        });
        let mut old: BTreeMap<_, _> = gone
            .flat_map(|(_, old)| old.objects())
            .map(|object| ((object.kind(), object.name()), object))
            .collect();
        let mut events = Vec::new();
        for (path, parsed) in now.filter(|(path, new)| !same(new, before.get(*path))) {
            for note in parsed.notes() {
                tracing::info!("{}:{note}", path.display());
            }
            for object in parsed.objects() {
                if old.remove(&(object.kind(), object.name())) != Some(object) {
                    events.push(Event::Apply(SourceId::Files, object.clone()));
                }
            }
        }
        let gone = old.into_keys().map(|(kind, name)| Event::Delete(SourceId::Files, kind, name));
        events.extend(gone);
        if first {
            events.insert(0, Event::Init(SourceId::Files));
            events.push(Event::InitDone(SourceId::Files));
        }
        Ok(events)
    }

    fn parsed(&self) -> impl Iterator<Item = (&Path, &Parsed)> + Clone {
        self.files.iter().map(|(path, (_, parsed))| (path.as_path(), parsed.as_ref()))
    }

    fn read(&self, path: &Path) -> Parsed {
        match fs::read(path) {
            Ok(bytes) => manifest::parse(&bytes, &self.namespace),
            Err(error) => Parsed::broken(unreadable(&error, "a readable file")),
        }
    }
}

/// A link that leads nowhere has none; that is found by reading.
fn facts(path: &Path) -> Facts {
    let facts = fs::metadata(path).map(|m| {
        let id = [m.dev().cast_signed(), m.ino().cast_signed(), m.size().cast_signed()];
        let nanos = [m.mtime_nsec(), m.ctime_nsec()];
        [id[0], id[1], id[2], m.mtime(), nanos[0], m.ctime().wrapping_mul(1 << 30) ^ nanos[1]]
    });
    facts.unwrap_or_default()
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

fn unreadable(error: &io::Error, expected: &str) -> Problem {
    Problem {
        line: 0,
        column: 0,
        path: String::new(),
        found: error.to_string(),
        expected: expected.to_owned(),
        hint: String::from("check `discovery.manifests` and the permissions"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;

    use super::Scan;
    use crate::directory::Directory;
    use crate::event::Event;

    fn service(name: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
             spec: {{ports: [{{port: 80}}]}}\n"
        )
    }

    #[test]
    fn only_what_has_changed_is_read_again() {
        let directory = Directory::new();
        directory.put("a.yaml", &service("a"));
        directory.put("b.yaml", &service("b"));
        let mut scan = Scan::new(String::from("shop"));
        assert!(scan.look(directory.path()).unwrap());
        assert!(!scan.look(directory.path()).unwrap());
        let before = scan.found().unwrap().objects;
        directory.put("b.yaml", &service("other"));
        assert!(scan.look(directory.path()).unwrap());
        let after = scan.found().unwrap().objects;
        assert!(Arc::ptr_eq(&before[0].name().name, &after[0].name().name), "read again");
        assert_eq!(&*after[1].name().name, "other");
        std::fs::remove_file(directory.path().join("a.yaml")).unwrap();
        assert!(scan.look(directory.path()).unwrap());
        assert_eq!(scan.found().unwrap().objects.len(), 1);
    }

    #[test]
    fn only_the_objects_that_have_changed_are_told() {
        let directory = Directory::new();
        directory.put("a.yaml", &service("a"));
        directory.put("b.yaml", &format!("{}---\n{}", service("b"), service("c")));
        let mut scan = Scan::new(String::from("shop"));
        let mut told = || -> Vec<String> {
            scan.look(directory.path()).unwrap();
            let events = scan.changes().unwrap_or_default();
            events.iter().map(shown).collect()
        };
        assert_eq!(told(), ["init", "a", "b", "c", "done"]);
        assert_eq!(told(), Vec::<String>::new());
        directory.put("b.yaml", &format!("{}---\n{}", service("c"), service("d")));
        assert_eq!(told(), ["d", "-b"]);
        // From one file to another, and after a mistake that was told as one.
        directory.put("b.yaml", "kind: [");
        assert_eq!(told(), Vec::<String>::new());
        directory.put("a.yaml", &service("d").replace("80", "81"));
        directory.put("b.yaml", &format!("{}---\n{}", service("c"), service("a")));
        assert_eq!(told(), ["d"]);
    }

    fn shown(event: &Event) -> String {
        match event {
            Event::Init(_) => String::from("init"),
            Event::InitDone(_) => String::from("done"),
            Event::Apply(_, object) => object.name().name.to_string(),
            Event::Delete(_, _, name) => format!("-{}", name.name),
        }
    }

    #[test]
    fn a_broken_file_is_told_until_it_is_mended() {
        let directory = Directory::new();
        directory.put("a.yaml", &service("a"));
        directory.put("b.yaml", "kind: [");
        let mut scan = Scan::new(String::from("shop"));
        assert!(scan.look(directory.path()).unwrap());
        assert!(!scan.look(directory.path()).unwrap());
        assert!(scan.found().is_err());
        directory.put("b.yaml", &service("b"));
        assert!(scan.look(directory.path()).unwrap());
        assert_eq!(scan.found().unwrap().objects.len(), 2);
    }
}
