//! The table of keys as a page for people.

use std::fmt::Write as _;

use crate::keys::ROOT;
use crate::shape::{Key, Preset, Shape};

const PREFACE: &str = "\
# ringway.yaml: every key

Generated from the table of keys (`config/src/keys.rs`); do not edit.

- Durations are written as in the Gateway API (GEP-2257): `10s`, `300ms`, `1h30m`.
- Sizes are bytes, or carry a unit: `65536`, `64KiB`, `1MiB`.
- Relative paths are relative to the directory of the file.
- One document of at most 1 MiB; anchors, aliases and tags are refused, as are unknown and repeated keys.
- `RINGWAY_DRIVER` overrides `workers.driver`, `RINGWAY_LOG` overrides `log.level`;
  `RINGWAY_ZONE` and `RINGWAY_NODE` override `discovery.zone` and `discovery.node`.
";

/// Every key with its meaning, default and the reason for it, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(PREFACE);
    if let Shape::Map(keys) = &ROOT {
        for key in *keys {
            let required = if matches!(key.preset, Preset::Required) { " Required." } else { "" };
            // Writing to a String does not fail.
            let _ = write!(page, "\n## {}\n\n{}{required}\n\n", key.name, key.about);
            page.push_str("| key | value | default | meaning | why this default |\n");
            page.push_str("|---|---|---|---|---|\n");
            rows(&key.shape, key.name, &mut page);
        }
    }
    page
}

fn rows(shape: &Shape, path: &str, page: &mut String) {
    match shape {
        Shape::Scalar { .. } => {}
        Shape::List(each) => rows(each, &format!("{path}[]"), page),
        Shape::Names(each) => rows(each, &format!("{path}.NAME"), page),
        Shape::Either { short, long } => {
            rows(short, path, page);
            rows(long, path, page);
        }
        Shape::Map(keys) => {
            for key in *keys {
                let path = format!("{path}.{}", key.name);
                row(key, &path, page);
                rows(&key.shape, &path, page);
            }
        }
    }
}

fn row(key: &Key, path: &str, page: &mut String) {
    // A section is explained by its keys.
    if matches!(key.shape, Shape::Map(_)) {
        return;
    }
    let default = match key.preset {
        Preset::Required => String::from("required"),
        Preset::Value(value) => format!("`{value}`"),
        Preset::Depends(words) => words.to_owned(),
        Preset::Absent => String::from("none"),
    };
    let value = key.shape.expected();
    let _ = writeln!(page, "| `{path}` | {value} | {default} | {} | {} |", key.about, key.reason);
}
