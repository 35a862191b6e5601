//! Kubernetes manifests to objects: every error at once, each with file, line, column and a hint.
//!
//! As in Kubernetes, fields that are not known are ignored; wrong types, missing fields and bad
//! values are errors. What an API server sends (`json`, `item`) becomes the same tree and is read by
//! the same decoders, so that a directory and an API server with the same objects cannot differ.

mod cursor;
mod filter;
mod grpc;
mod item;
mod json;
mod matches;
mod metadata;
mod policy;
mod retry;
mod route;
mod service;
mod slice;
mod stream;
mod tree;
mod value;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::path::{Path, PathBuf};

use ringway_config::Problem;

use crate::object::{Kind, NamespacedName, Object, RouteKind};
use cursor::{Cursor, Place, Report};
pub(crate) use item::{Expected, Item, item};

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

/// What one file holds, whatever the others do.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    objects: Vec<(Object, Place)>,
    problems: Vec<Problem>,
    notes: Vec<String>,
}

impl Parsed {
    /// Nothing but this problem.
    pub(crate) fn broken(problem: Problem) -> Self {
        Self { problems: vec![problem], ..Self::default() }
    }

    /// Its objects, in the file's order.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().map(|(object, _)| object)
    }

    /// What was not used, one line each, each with its place.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Reads manifests: several files, each with any number of documents (YAML or JSON). Objects that
/// name no namespace are in `namespace`.
///
/// # Errors
/// Every problem found, in the order of files and lines.
pub fn read(files: &[(PathBuf, Vec<u8>)], namespace: &str) -> Result<Found, Vec<ManifestError>> {
    let parsed: Vec<_> = files.iter().map(|(_, bytes)| parse(bytes, namespace)).collect();
    join(files.iter().map(|(file, _)| file.as_path()).zip(&parsed))
}

/// Reads one file.
pub(crate) fn parse(bytes: &[u8], namespace: &str) -> Parsed {
    let report = Report::default();
    let mut objects = Vec::new();
    for document in tree::read(bytes, &report) {
        if !document.is_null() {
            objects.extend(documents(Cursor::root(&document, &report), namespace));
        }
    }
    let (problems, notes) = report.finish();
    Parsed { objects, problems, notes }
}

/// Puts files together.
///
/// # Errors
/// As [`verify`].
pub(crate) fn join<'a>(
    files: impl Iterator<Item = (&'a Path, &'a Parsed)> + Clone,
) -> Result<Found, Vec<ManifestError>> {
    verify(files.clone())?;
    let mut found = Found::default();
    for (file, parsed) in files {
        found.objects.extend(parsed.objects().cloned());
        found.notes.extend(parsed.notes.iter().map(|note| format!("{}:{note}", file.display())));
    }
    Ok(found)
}

/// Whether files can be put together.
///
/// # Errors
/// Every problem of any file, and every object that is there twice.
pub(crate) fn verify<'a>(
    files: impl Iterator<Item = (&'a Path, &'a Parsed)>,
) -> Result<(), Vec<ManifestError>> {
    let mut errors = Vec::new();
    let mut seen: BTreeMap<(Kind, NamespacedName), (&Path, usize)> = BTreeMap::new();
    for (file, parsed) in files {
        let mut problems = parsed.problems.clone();
        for (object, place) in &parsed.objects {
            match seen.entry((object.kind(), object.name())) {
                Entry::Occupied(first) => problems.push(twice(first.key(), *first.get(), *place)),
                Entry::Vacant(free) => _ = free.insert((file, place.0)),
            }
        }
        problems.sort_by_key(|problem| (problem.line, problem.column));
        let located = |problem| ManifestError { file: file.to_owned(), problem };
        errors.extend(problems.into_iter().map(located));
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn twice(
    (kind, name): &(Kind, NamespacedName),
    (file, line): (&Path, usize),
    place: Place,
) -> Problem {
    Problem {
        line: place.0,
        column: place.1,
        path: String::from("metadata.name"),
        found: format!("{} {name} a second time", kind.as_str()),
        expected: String::from("each object once"),
        hint: format!("the first one is in {}:{line}", file.display()),
    }
}

/// The objects of a document with their places: one, or those of a `List`.
fn documents(root: Cursor<'_>, namespace: &str) -> Vec<(Object, Place)> {
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
        ("gateway.networking.k8s.io", "TLSRoute") => &["v1", "v1alpha3", "v1alpha2"],
        ("gateway.networking.k8s.io", "TCPRoute") => &["v1", "v1alpha2"],
        ("gateway.networking.k8s.io", "BackendTLSPolicy") => &["v1", "v1alpha3"],
        ("gateway.networking.x-k8s.io", "XBackendTrafficPolicy") => &["v1alpha1"],
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
        "GRPCRoute" => grpc::decode(root, namespace).map(Object::Route),
        "TLSRoute" => stream::decode(root, namespace, RouteKind::Tls).map(Object::Route),
        "TCPRoute" => stream::decode(root, namespace, RouteKind::Tcp).map(Object::Route),
        "BackendTLSPolicy" => policy::tls(root, namespace).map(Object::BackendTlsPolicy),
        _ => policy::traffic(root, namespace).map(Object::BackendTrafficPolicy),
    }
}

#[cfg(test)]
mod tests;
