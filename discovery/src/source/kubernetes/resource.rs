//! The kinds that are watched, and where an API server has them.

use crate::manifest::Expected;
use crate::object::Kind;

/// One kind of an API.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) kind: Kind,
    /// Empty for the core group.
    pub(crate) group: &'static str,
    /// The versions that are understood, the best first.
    pub(crate) versions: &'static [&'static str],
    pub(crate) plural: &'static str,
    /// Whether every API server has it; the others come with Gateway API and may be missing.
    pub(crate) built_in: bool,
}

const GATEWAY: &str = "gateway.networking.k8s.io";
const EXPERIMENTAL: &str = "gateway.networking.x-k8s.io";

/// All of them.
pub(crate) static RESOURCES: [Resource; 8] = [
    Resource {
        kind: Kind::Service,
        group: "",
        versions: &["v1"],
        plural: "services",
        built_in: true,
    },
    Resource {
        kind: Kind::Slice,
        group: "discovery.k8s.io",
        versions: &["v1"],
        plural: "endpointslices",
        built_in: true,
    },
    Resource {
        kind: Kind::HttpRoute,
        group: GATEWAY,
        versions: &["v1", "v1beta1"],
        plural: "httproutes",
        built_in: false,
    },
    Resource {
        kind: Kind::GrpcRoute,
        group: GATEWAY,
        versions: &["v1"],
        plural: "grpcroutes",
        built_in: false,
    },
    Resource {
        kind: Kind::TlsRoute,
        group: GATEWAY,
        versions: &["v1", "v1alpha3", "v1alpha2"],
        plural: "tlsroutes",
        built_in: false,
    },
    Resource {
        kind: Kind::TcpRoute,
        group: GATEWAY,
        versions: &["v1", "v1alpha2"],
        plural: "tcproutes",
        built_in: false,
    },
    Resource {
        kind: Kind::BackendTlsPolicy,
        group: GATEWAY,
        versions: &["v1", "v1alpha3"],
        plural: "backendtlspolicies",
        built_in: false,
    },
    Resource {
        kind: Kind::BackendTrafficPolicy,
        group: EXPERIMENTAL,
        versions: &["v1alpha1"],
        plural: "xbackendtrafficpolicies",
        built_in: false,
    },
];

impl Resource {
    /// The path of its collection, of one namespace or of all.
    pub(crate) fn path(&self, version: &str, namespace: Option<&str>) -> String {
        let root = match self.group {
            "" => format!("/api/{version}"),
            group => format!("/apis/{group}/{version}"),
        };
        let namespace = namespace.map(|name| format!("/namespaces/{name}")).unwrap_or_default();
        format!("{root}{namespace}/{}", self.plural)
    }

    /// What its objects have to say of themselves.
    pub(crate) fn expected<'v>(&self, api_version: &'v str) -> Expected<'v> {
        Expected { version: api_version, kind: self.kind.as_str() }
    }

    /// `apiVersion` as objects have it.
    pub(crate) fn api_version(&self, version: &str) -> String {
        match self.group {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_have_their_paths() {
        let [service, slice, ..] = &RESOURCES;
        assert_eq!(service.path("v1", None), "/api/v1/services");
        assert_eq!(
            slice.path("v1", Some("shop")),
            "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
        );
        assert_eq!(slice.api_version("v1"), "discovery.k8s.io/v1");
    }
}
