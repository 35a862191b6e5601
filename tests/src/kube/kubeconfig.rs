//! A kubeconfig for one user of one server.

use std::path::{Path, PathBuf};

/// How the user proves who it is.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A token in the file itself.
    Token(String),
    /// A token in a file of its own, as kubelet projects one into a pod; it may change.
    TokenFile(PathBuf),
}

/// The text of a kubeconfig whose only context is `test`. `authority` is the certificate to trust,
/// for `https` servers.
#[must_use]
pub fn text(server: &str, authority: Option<&Path>, credential: &Credential) -> String {
    let trust = authority
        .map_or(String::new(), |path| format!(", certificate-authority: \"{}\"", path.display()));
    let proof = match credential {
        Credential::Token(token) => format!("token: \"{token}\""),
        Credential::TokenFile(path) => format!("tokenFile: \"{}\"", path.display()),
    };
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters:\n- {{name: test, cluster: {{server: \"{server}\"{trust}}}}}\n\
         users:\n- {{name: test, user: {{{proof}}}}}\n\
         contexts:\n- {{name: test, context: {{cluster: test, user: test}}}}\n"
    )
}
