//! What an API server offers and allows: for `ringway check --kubernetes`.

use std::fmt::Write as _;

use http::Request;
use http::header::CONTENT_TYPE;
use ringway_config::{Kubernetes, Scope};
use serde::Deserialize;
use serde_json::json;

use super::api::{Access, Api, Wait};
use super::catalog::Catalog;
use super::failure::Failure;
use super::resource::{RESOURCES, Resource};

/// What watching needs.
const VERBS: [&str; 2] = ["list", "watch"];
/// The name of the role that is printed.
const ROLE: &str = "ringway-discovery";

/// What was found out about an API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Its version: `v1.36.4`.
    pub version: String,
    /// What is watched, and in which version of its API; `None` where the API server has none.
    pub kinds: Vec<(&'static str, Option<&'static str>)>,
    /// What this account may not do and has to: `list services in shop`.
    pub denied: Vec<String>,
    /// The least that has to be allowed, as manifests.
    pub role: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: String,
}

#[derive(Deserialize)]
struct Review {
    status: Answer,
}

#[derive(Deserialize)]
struct Answer {
    allowed: bool,
}

/// Asks the API server that the settings lead to. Blocks, for some seconds where it is away.
///
/// # Errors
/// Why it cannot be asked.
pub fn inspect(settings: &Kubernetes) -> Result<Inspection, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(ask(settings)).map_err(|failure| failure.to_string())
}

async fn ask(settings: &Kubernetes) -> Result<Inspection, Failure> {
    let api = Api::new(Access::from(settings));
    let version: Version = get(&api, request(Request::get("/version"), Vec::new())?).await?;
    let mut catalog = Catalog::default();
    catalog.ask(&api).await?;
    let kinds: Vec<_> = RESOURCES.iter().map(|r| (r.kind.as_str(), catalog.version(r))).collect();
    let namespaces = namespaces(&settings.scope);
    let mut denied = Vec::new();
    for resource in RESOURCES.iter().filter(|resource| catalog.version(resource).is_some()) {
        for namespace in &namespaces {
            for verb in VERBS {
                if !allowed(&api, resource, *namespace, verb).await? {
                    let place = namespace.map_or_else(
                        || String::from("in all namespaces"),
                        |name| format!("in {name}"),
                    );
                    denied.push(format!("{verb} {} {place}", resource.plural));
                }
            }
        }
    }
    Ok(Inspection { version: version.git_version, kinds, denied, role: role(&settings.scope) })
}

fn namespaces(scope: &Scope) -> Vec<Option<&str>> {
    match scope {
        Scope::Cluster | Scope::OnDemand => vec![None],
        Scope::Namespaces(names) => names.iter().map(|name| Some(name.as_str())).collect(),
    }
}

async fn allowed(
    api: &Api,
    resource: &Resource,
    namespace: Option<&str>,
    verb: &str,
) -> Result<bool, Failure> {
    let body = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {
            "namespace": namespace.unwrap_or_default(),
            "verb": verb,
            "group": resource.group,
            "resource": resource.plural,
        }},
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let post = Request::post(path).header(CONTENT_TYPE, "application/json");
    let review: Review = get(api, request(post, body.to_string().into_bytes())?).await?;
    Ok(review.status.allowed)
}

fn request(head: http::request::Builder, body: Vec<u8>) -> Result<Request<Vec<u8>>, Failure> {
    head.body(body).map_err(|error| Failure::Access(error.to_string()))
}

async fn get<T: for<'d> Deserialize<'d>>(
    api: &Api,
    request: Request<Vec<u8>>,
) -> Result<T, Failure> {
    let body = api.open(request, Wait::Short).await?.whole().await?;
    serde_json::from_slice(&body).map_err(|error| Failure::Malformed(error.to_string()))
}

/// The least role for a scope, with a gap for whom it is bound to.
fn role(scope: &Scope) -> String {
    match scope {
        Scope::Cluster | Scope::OnDemand => one("ClusterRole", None),
        Scope::Namespaces(names) => {
            let roles: Vec<_> = names.iter().map(|name| one("Role", Some(name))).collect();
            roles.join("---\n")
        }
    }
}

fn one(kind: &str, namespace: Option<&str>) -> String {
    let namespace = namespace.map(|name| format!(", namespace: {name}")).unwrap_or_default();
    let mut text = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {ROLE}{namespace}}}\nrules:\n"
    );
    let mut groups: Vec<&str> = RESOURCES.iter().map(|resource| resource.group).collect();
    groups.dedup();
    for group in groups {
        let plurals: Vec<&str> =
            RESOURCES.iter().filter(|r| r.group == group).map(|r| r.plural).collect();
        let (plurals, verbs) = (plurals.join(", "), VERBS.join(", "));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  - {{apiGroups: [\"{group}\"], resources: [{plurals}], verbs: [{verbs}]}}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_names_every_kind_once_for_each_namespace() {
        let cluster = role(&Scope::Cluster);
        assert!(cluster.contains("kind: ClusterRole\nmetadata: {name: ringway-discovery}\n"));
        assert!(cluster.contains(
            "  - {apiGroups: [\"discovery.k8s.io\"], resources: [endpointslices], verbs: [list, watch]}\n"
        ));
        for resource in &RESOURCES {
            let words = cluster.split([' ', ',', '[', ']']);
            let count = words.filter(|word| *word == resource.plural).count();
            assert_eq!(count, 1, "{}", resource.plural);
        }
        let named = role(&Scope::Namespaces(vec![String::from("a"), String::from("b")]));
        assert_eq!(named.matches("kind: Role\n").count(), 2);
        assert!(named.contains("metadata: {name: ringway-discovery, namespace: b}\n"));
    }
}
