//! Kubernetes manifests for the suites, as text.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// A Service `name` with one port 80, and one EndpointSlice for each of its endpoints (each has
/// a port of its own).
#[must_use]
pub fn service(name: &str, endpoints: &[SocketAddr]) -> String {
    let mut out = format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  selector: {{app: {name}}}\n  \
         ports:\n  - {{name: http, port: 80, targetPort: 8080}}\n"
    );
    for (i, endpoint) in endpoints.iter().enumerate() {
        let (ip, port) = (endpoint.ip(), endpoint.port());
        let _ = write!(
            out,
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}-{i}\n  \
             labels: {{kubernetes.io/service-name: {name}}}\naddressType: IPv4\nports:\n- {{name: http, port: {port}}}\n\
             endpoints:\n- {{addresses: [{ip}], conditions: {{ready: true}}}}\n"
        );
    }
    out
}

/// An HTTPRoute attached to the listener `listener`, with these rules (YAML, `- matches: …`).
#[must_use]
pub fn route(name: &str, listener: &str, rules: &str) -> String {
    route_of("HTTPRoute", name, listener, rules)
}

/// A GRPCRoute, otherwise like [`route`].
#[must_use]
pub fn grpc_route(name: &str, listener: &str, rules: &str) -> String {
    route_of("GRPCRoute", name, listener, rules)
}

fn route_of(kind: &str, name: &str, listener: &str, rules: &str) -> String {
    let rules: String = rules.lines().fold(String::new(), |out, line| out + "  " + line + "\n");
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {name}\nspec:\n  \
         parentRefs:\n  - {{group: gateway.networking.k8s.io, kind: Gateway, name: {listener}}}\n  rules:\n{rules}"
    )
}

/// The same documents in another namespace.
#[must_use]
pub fn in_namespace(namespace: &str, documents: &str) -> String {
    documents.replace("metadata:\n", &format!("metadata:\n  namespace: {namespace}\n"))
}

/// Several documents as one file.
#[must_use]
pub fn file(documents: &[String]) -> String {
    documents.join("---\n")
}
