//! Kubernetes manifests to objects: every error at once, each with file, line, column and a hint.
//!
//! As in Kubernetes, fields that are not known are ignored; wrong types, missing fields and bad
//! values are errors. A source that receives JSON can build the same tree and use the same
//! decoders.

mod cursor;
mod filter;
mod grpc;
mod matches;
mod metadata;
mod route;
mod service;
mod slice;
mod tree;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use ringway_config::Problem;

use crate::object::{Kind, NamespacedName, Object};
use cursor::{Cursor, Report};

/// One problem of one manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// The file, or the directory itself.
    pub file: PathBuf,
    /// What is wrong, and where in it.
    pub problem: Problem,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.problem.line > 0 {
            write!(f, "{}:{}:", self.problem.line, self.problem.column)?;
        }
        write!(f, " {}", self.problem)
    }
}

impl std::error::Error for ManifestError {}

/// What manifests hold.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Found {
    /// The objects, no kind and name twice.
    pub objects: Vec<Object>,
    /// What was not used, one line each: other kinds, fields that have no effect yet.
    pub notes: Vec<String>,
}

/// Reads manifests: several files, each with any number of documents (YAML or JSON). Objects that
/// name no namespace are in `namespace`.
///
/// # Errors
/// Every problem found, in the order of files and lines.
pub fn read(files: &[(PathBuf, Vec<u8>)], namespace: &str) -> Result<Found, Vec<ManifestError>> {
    let mut found = Found::default();
    let mut errors = Vec::new();
    let mut seen: BTreeMap<(Kind, NamespacedName), (&Path, usize)> = BTreeMap::new();
    for (file, bytes) in files {
        let report = Report::default();
        for document in tree::read(bytes, &report) {
            let cursor = Cursor::root(&document, &report);
            if document.is_null() {
                continue;
            }
            for (object, line) in documents(cursor, namespace) {
                let key = (object.kind(), object.name());
                if let Some((first, at)) = seen.get(&key) {
                    let found = format!("{} {} a second time", key.0.as_str(), key.1);
                    let hint = format!("the first one is in {}:{at}", first.display());
                    report.at(line, "metadata.name", &found, "each object once", &hint);
                    continue;
                }
                seen.insert(key, (file, line.0));
                found.objects.push(object);
            }
        }
        let (problems, notes) = report.finish();
        let place = |problem| ManifestError { file: file.clone(), problem };
        errors.extend(problems.into_iter().map(place));
        found.notes.extend(notes.into_iter().map(|note| format!("{}:{note}", file.display())));
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

/// The objects of a document with their places: one, or those of a `List`.
fn documents(root: Cursor<'_>, namespace: &str) -> Vec<(Object, (usize, usize))> {
    if !root.is_map() {
        root.wrong("a manifest: a mapping with apiVersion and kind", "");
        return Vec::new();
    }
    let (Some(version), Some(kind)) = (root.need_text("apiVersion"), root.need_text("kind")) else {
        return Vec::new();
    };
    if &*kind == "List" {
        let items = root.maps("items").into_iter();
        return items.flat_map(|item| documents(item, namespace)).collect();
    }
    object(&root, &version, &kind, namespace)
        .map(|object| (object, root.place()))
        .into_iter()
        .collect()
}

/// The object of one document.
fn object(root: &Cursor<'_>, version: &str, kind: &str, namespace: &str) -> Option<Object> {
    let (group, number) = version.split_once('/').unwrap_or(("", version));
    let known: &[&str] = match (group, kind) {
        ("", "Service") | ("discovery.k8s.io", "EndpointSlice") => &["v1"],
        ("gateway.networking.k8s.io", "HTTPRoute") => &["v1", "v1beta1"],
        ("gateway.networking.k8s.io", "GRPCRoute") => &["v1"],
        _ => {
            root.note(&format!("{kind} ({version}) is not used"));
            return None;
        }
    };
    if !known.contains(&number) {
        let cursor = root.get("apiVersion")?;
        let prefix = if group.is_empty() { String::new() } else { format!("{group}/") };
        cursor.wrong(&format!("{prefix}{} for {kind}", known[0]), "convert the manifest");
        return None;
    }
    match kind {
        "Service" => service::decode(root, namespace).map(Object::Service),
        "EndpointSlice" => slice::decode(root, namespace).map(Object::Slice),
        "HTTPRoute" => route::decode(root, namespace).map(Object::Route),
        _ => grpc::decode(root, namespace).map(Object::Route),
    }
}

#[cfg(test)]
mod tests;
