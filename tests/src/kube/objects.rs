//! Kubernetes objects for the suites, as YAML without a namespace: they are applied to one.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// A Service `name` with port 80 in front of the pods of a Deployment of the same name.
#[must_use]
pub fn deployment(name: &str, replicas: usize) -> String {
    format!(
        "{}  selector: {{app: {name}}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  \
         replicas: {replicas}\n  selector: {{matchLabels: {{app: {name}}}}}\n  \
         strategy: {{rollingUpdate: {{maxUnavailable: 0, maxSurge: 1}}}}\n  \
         template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
         spec: {{containers: [{{name: app, image: app, ports: [{{name: http, containerPort: 8080}}]}}]}}\n",
        plain(name)
    )
}

/// A Service `name` without a selector, and its slice with these endpoints, which have one port.
#[must_use]
pub fn service(name: &str, endpoints: &[SocketAddr]) -> String {
    format!("{}---\n{}", plain(name), slice(name, endpoints))
}

/// Only the slice.
#[must_use]
pub fn slice(name: &str, endpoints: &[SocketAddr]) -> String {
    let port = endpoints.first().map_or(80, SocketAddr::port);
    assert!(endpoints.iter().all(|e| e.port() == port), "one slice, one port: {endpoints:?}");
    let mut out = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}-1\n  \
         labels: {{kubernetes.io/service-name: {name}}}\naddressType: IPv4\n\
         ports: [{{name: http, port: {port}}}]\nendpoints:\n"
    );
    for endpoint in endpoints {
        let _ = writeln!(out, "- {{addresses: [{}], conditions: {{ready: true}}}}", endpoint.ip());
    }
    if endpoints.is_empty() {
        out.truncate(out.len() - "\n".len());
        out += " []\n";
    }
    out
}

fn plain(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  \
         ports: [{{name: http, port: 80, targetPort: http}}]\n"
    )
}

/// An HTTPRoute of the Service `service` with these rules (YAML, `- backendRefs: …`).
#[must_use]
pub fn route(name: &str, service: &str, rules: &str) -> String {
    let rules: String = rules.lines().fold(String::new(), |out, line| out + "  " + line + "\n");
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\n\
         spec:\n  parentRefs: [{{group: \"\", kind: Service, name: {service}, port: 80}}]\n  \
         rules:\n{rules}"
    )
}

/// Traffic of a route split between two services.
#[must_use]
pub fn split(first: (&str, u32), second: (&str, u32)) -> String {
    let backend = |(name, weight)| format!("{{name: {name}, port: 80, weight: {weight}}}");
    format!("- backendRefs: [{}, {}]", backend(first), backend(second))
}
