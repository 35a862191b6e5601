//! The rules of the workspace that a compiler does not check: who may use what, how files begin,
//! how long they are, and that the picture in ARCHITECTURE.md is true.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The direct dependencies of each member. A new line here is a decision: say in the root
/// manifest what the crate is for.
const DEPENDENCIES: [(&str, &[&str]); 5] = [
    ("core", &["arrayvec", "httparse", "regex", "slab"]),
    ("config", &["ipnet", "ringway-core", "saphyr-parser", "serde", "serde_json"]),
    (
        "discovery",
        &[
            "ringway-core",
            "ringway-config",
            "bytes",
            "crossbeam-channel",
            "hickory-resolver",
            "http",
            "http-body-util",
            "hyper-rustls",
            "hyper-util",
            "k8s-openapi",
            "kube",
            "notify",
            "rustix",
            "rustls",
            "saphyr-parser",
            "serde",
            "serde_json",
            "tokio",
            "tower",
            "tracing",
        ],
    ),
    (
        "runtime",
        &[
            "ringway-core",
            "ringway-config",
            "ringway-discovery",
            "bytes",
            "clap",
            "clap_complete",
            "core_affinity",
            "crossbeam-channel",
            "h2",
            "hdrhistogram",
            "http",
            "httpdate",
            "io-uring",
            "libc",
            "monoio",
            "rlimit",
            "notify",
            "serde_json",
            "signal-hook",
            "slab",
            "socket2",
            // Two traits of it, without any feature: a runtime would need one.
            "tokio",
            "tracing",
            "tracing-subscriber",
        ],
    ),
    ("perf/load", &["clap", "hdrhistogram", "httparse", "rustix", "serde_json", "signal-hook"]),
];

/// Lines of code in one file, without its tests.
const LONGEST: usize = 500;

fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().unwrap();
    own.parent().unwrap().to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The keys of `[section]`, without `.workspace` and what follows.
fn keys(manifest: &str, section: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|l| l.trim() != format!("[{section}]")).skip(1);
    let lines = lines.take_while(|l| !l.starts_with('['));
    let keys = lines.filter(|l| !l.trim().is_empty() && !l.starts_with('#'));
    keys.map(|l| l.split(['.', ' ', '=']).next().unwrap_or("").to_owned()).collect()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()))
    {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out.sort();
    out
}

fn every_source() -> Vec<PathBuf> {
    let members =
        ["core/src", "config/src", "discovery/src", "runtime/src", "tests/src", "tests/suites"];
    members.iter().flat_map(|m| sources(&root().join(m))).collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The lines that are not tests: up to the first `#[cfg(test)] mod … {`.
fn production_lines(path: &Path) -> usize {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.ends_with("tests.rs")
        || path
            .components()
            .any(|c| c.as_os_str() == "tests" && !path.starts_with(root().join("tests")))
    {
        return 0;
    }
    let text = read(path);
    let lines: Vec<&str> = text.lines().collect();
    let inline = lines.windows(3).position(|w| {
        w[0].trim() == "#[cfg(test)]"
            && w[1..].iter().any(|l| l.starts_with("mod ") && l.ends_with('{'))
    });
    inline.unwrap_or(lines.len())
}

#[test]
fn members_use_what_the_table_says() {
    for (member, wanted) in DEPENDENCIES {
        let found = keys(&read(root().join(member).join("Cargo.toml")), "dependencies");
        let wanted: BTreeSet<String> = wanted.iter().map(|&d| d.to_owned()).collect();
        // What the table allows and is not used does no harm to the rule, only to the table.
        let extra: Vec<&String> = found.difference(&wanted).collect();
        assert!(extra.is_empty(), "{member} depends on {extra:?}, which this table does not allow");
    }
}

#[test]
fn members_inherit_the_lints() {
    let manifest = read(root().join("Cargo.toml"));
    let list =
        manifest.lines().find_map(|l| l.strip_prefix("members = [")).expect("members on one line");
    for member in list.split('"').skip(1).step_by(2) {
        let path = root().join(member).join("Cargo.toml");
        let manifest = read(&path);
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} does not inherit the lints",
            path.display()
        );
    }
}

#[test]
fn files_say_what_they_are_for() {
    for path in every_source() {
        assert!(read(&path).starts_with("//! "), "{} does not open with //!", shown(&path));
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let vague = ["util", "utils", "common", "helper", "helpers", "misc"];
        assert!(!vague.contains(&stem.as_str()), "{}: name it after what it holds", shown(&path));
    }
}

#[test]
fn files_are_short() {
    for path in every_source() {
        let lines = production_lines(&path);
        assert!(lines <= LONGEST, "{} has {lines} lines", shown(&path));
    }
}

#[test]
fn layers_do_not_look_up() {
    let core = root().join("core/src");
    for (directory, banned) in [
        ("policy", &["crate::wire", "crate::exchange"][..]),
        ("message", &["crate::wire", "crate::policy", "crate::exchange", "crate::cluster"]),
        ("wire", &["crate::exchange", "crate::cluster"]),
    ] {
        for path in sources(&core.join(directory)) {
            let text = read(&path);
            for name in banned {
                let used = text
                    .lines()
                    .filter(|l| !l.trim_start().starts_with("//"))
                    .any(|l| l.contains(name));
                assert!(!used, "{} uses {name}", shown(&path));
            }
        }
    }
    for path in sources(&core) {
        let text = read(&path);
        for name in [
            "std::net::Tcp",
            "std::thread",
            "SystemTime",
            "Instant::now",
            "std::sync::Mutex",
            "async fn",
        ] {
            let used = text
                .lines()
                .filter(|l| !l.trim_start().starts_with("//"))
                .any(|l| l.contains(name));
            assert!(!used, "{} uses {name}: core only decides", shown(&path));
        }
    }
}

#[test]
fn the_nine_steps_are_where_the_table_says() {
    let text = read(root().join("ARCHITECTURE.md"));
    let rows: Vec<&str> = text
        .lines()
        .filter(|l| l.starts_with("| ") && l[2..].starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    assert_eq!(rows.len(), 9, "nine steps in ARCHITECTURE.md");
    for row in rows {
        let names: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no place is named: {row}");
        for name in names {
            assert!(root().join(name).is_file(), "{name} does not exist: {row}");
        }
    }
}
