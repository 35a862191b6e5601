//! Judges the settings and their manifests once, without running: `ringway check`.

use ringway_config::Kind;

use crate::event::{Event, SourceId};
use crate::index::Index;
use crate::manifest::ManifestError;
use crate::object::{self, NamespacedName, Object, RouteKind};
use crate::settings::Settings;
use crate::source::{fixed, scan};

/// What there is, if nothing is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Services, those of the configuration included.
    pub services: usize,
    /// EndpointSlices.
    pub slices: usize,
    /// Routes of all kinds.
    pub routes: usize,
    /// What is allowed but may not be meant, one line each: kinds that are not used, references
    /// that lead nowhere.
    pub notes: Vec<String>,
}

/// Reads the manifests that the settings name. DNS is not asked.
///
/// # Errors
/// Every problem found.
pub fn check(settings: &Settings) -> Result<Summary, Vec<ManifestError>> {
    let namespace = &settings.discovery.namespace;
    let mut summary = Summary::default();
    let mut index = Index::default();
    let mut objects = Vec::new();
    if let Some(directory) = &settings.discovery.manifests {
        let found = scan::load(directory, namespace)?;
        summary.notes = found.notes;
        objects = found.objects;
    }
    for object in fixed::lower(&settings.services, namespace) {
        index.apply(Event::Apply(SourceId::Fixed, object));
    }
    for object in &objects {
        index.apply(Event::Apply(SourceId::Files, object.clone()));
    }
    summary.services = index.services().len();
    let known = |name: &NamespacedName, port: u16| {
        index.service(name).is_some_and(|k| k.port(port).is_some())
    };
    for object in &objects {
        match object {
            Object::Slice(_) => summary.slices += 1,
            Object::Route(route) => {
                summary.routes += 1;
                dangling(route, known, &mut summary.notes);
            }
            _ => {}
        }
    }
    for listener in settings.listeners.iter().filter(|l| l.kind == Kind::Gateway) {
        let Some(service) = &listener.service else { continue };
        if index.service(&NamespacedName::new(namespace.as_str(), service.as_str())).is_none() {
            let name = &listener.name;
            summary.notes.push(format!("listener {name}: there is no service {service}: 500"));
        }
    }
    Ok(summary)
}

/// Notes backends that do not resolve: their share is answered with 500, or reset.
fn dangling(
    route: &object::Route,
    known: impl Fn(&NamespacedName, u16) -> bool,
    notes: &mut Vec<String>,
) {
    let backends = route.rules.iter().enumerate().flat_map(|(number, rule)| {
        rule.backends.iter().filter_map(move |b| Some((number, b.service.as_ref()?)))
    });
    let gets = match route.kind {
        RouteKind::Http | RouteKind::Grpc => "500",
        RouteKind::Tls | RouteKind::Tcp => "connections are reset",
    };
    for (number, (service, port)) in backends {
        if !known(service, *port) {
            let rule = format!("{} rules[{number}]", route.name);
            notes.push(format!(
                "route {rule}: there is no service {service} with port {port}: {gets}"
            ));
        }
    }
}
