//! Which kinds an API server has, and in which versions: its aggregated discovery (Kubernetes 1.30).

use http::Request;
use http::header::{ACCEPT, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use super::api::{Api, Wait};
use super::failure::Failure;
use super::resource::Resource;

const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// The kinds of an API server, as it has said last.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    groups: Vec<Group>,
    /// By which it says that nothing has changed.
    tag: Option<HeaderValue>,
}

#[derive(Debug, Deserialize)]
struct Groups {
    kind: String,
    #[serde(default)]
    items: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    metadata: Name,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Debug, Deserialize)]
struct Name {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Plural>,
}

#[derive(Debug, Deserialize)]
struct Plural {
    resource: String,
}

impl Catalog {
    /// Asks which kinds there are now.
    ///
    /// # Errors
    /// When there is no answer, or none that says it; what was known stays.
    pub(crate) async fn ask(&mut self, api: &Api) -> Result<(), Failure> {
        let mut request = Request::get("/apis").header(ACCEPT, AGGREGATED);
        if let Some(tag) = &self.tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let request = request.body(Vec::new());
        let request = request.map_err(|error| Failure::Access(error.to_string()))?;
        let mut answer = api.open(request, Wait::Short).await?;
        if answer.head.status == StatusCode::NOT_MODIFIED {
            return Ok(());
        }
        self.groups = groups(&answer.whole().await?)?;
        self.tag = answer.head.headers.get(ETAG).cloned();
        Ok(())
    }

    /// The best version in which the API server has the kind.
    pub(crate) fn version(&self, resource: &Resource) -> Option<&'static str> {
        if resource.built_in {
            return resource.versions.first().copied();
        }
        let group = self.groups.iter().find(|group| group.metadata.name == resource.group)?;
        let has = |wanted: &str| {
            let served = group.versions.iter().find(|version| version.version == wanted);
            served.is_some_and(|v| v.resources.iter().any(|r| r.resource == resource.plural))
        };
        resource.versions.iter().copied().find(|version| has(version))
    }
}

fn groups(body: &[u8]) -> Result<Vec<Group>, Failure> {
    let groups: Groups = serde_json::from_slice(body)
        .map_err(|error| Failure::Malformed(format!("the list of kinds: {error}")))?;
    if groups.kind != "APIGroupDiscoveryList" {
        let found = groups.kind.escape_debug();
        return Err(Failure::Malformed(format!(
            "the list of kinds is a `{found}`; Kubernetes 1.30 or later is needed"
        )));
    }
    Ok(groups.items)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::resource::RESOURCES;
    use super::*;

    fn catalog(versions: &str) -> Catalog {
        let body = format!(
            r#"{{"kind":"APIGroupDiscoveryList","items":[{{"metadata":{{"name":"apps"}},"versions":[]}},
            {{"metadata":{{"name":"gateway.networking.k8s.io"}},"versions":[{versions}]}}]}}"#
        );
        Catalog { groups: groups(body.as_bytes()).unwrap(), tag: None }
    }

    #[test]
    fn the_best_version_is_taken_and_none_where_there_is_none() {
        let [service, _, http, grpc, ..] = &RESOURCES;
        let served = |version: &str| {
            format!(r#"{{"version":"{version}","resources":[{{"resource":"httproutes"}}]}}"#)
        };
        let both = catalog(&format!("{},{}", served("v1beta1"), served("v1")));
        assert_eq!(both.version(http), Some("v1"));
        assert_eq!(both.version(grpc), None);
        assert_eq!(catalog(&served("v1beta1")).version(http), Some("v1beta1"));
        assert_eq!(catalog(&served("v2")).version(http), None);
        assert_eq!(Catalog::default().version(http), None);
        assert_eq!(Catalog::default().version(service), Some("v1"), "always there");
    }

    #[test]
    fn an_old_server_is_told_apart() {
        let error = groups(br#"{"kind":"APIGroupList","groups":[]}"#).unwrap_err().to_string();
        assert!(error.contains("`APIGroupList`; Kubernetes 1.30"), "{error}");
        assert!(groups(b"{").is_err());
    }
}
