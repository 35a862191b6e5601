//! The control plane's keys: a certificate authority, the API server's certificate, and the key
//! that signs the tokens of service accounts.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Files in PEM.
#[derive(Debug)]
pub struct Certificates {
    /// The authority.
    pub authority: PathBuf,
    /// The API server's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Signs tokens.
    pub signer: PathBuf,
}

impl Certificates {
    /// Makes them in `directory`, the API server's for these addresses.
    ///
    /// # Panics
    /// When openssl fails.
    #[must_use]
    pub fn new(directory: &Path, addresses: &[String]) -> Self {
        let at = |name: &str| directory.join(name);
        let (authority, authority_key) = (at("ca.crt"), at("ca.key"));
        let made = Self {
            authority,
            certificate: at("api.crt"),
            key: at("api.key"),
            signer: at("sa.key"),
        };
        let names: Vec<String> = addresses.iter().map(|a| format!("IP:{a}")).collect();
        let names = format!("subjectAltName=DNS:kubernetes.default.svc,{}", names.join(","));
        let mut request = certificate(&made.authority, &authority_key, "/CN=kubernetes");
        request.args(["-addext", "keyUsage=critical,keyCertSign,digitalSignature"]);
        run(request);
        let mut request = certificate(&made.certificate, &made.key, "/CN=kube-apiserver");
        request.arg("-CA").arg(&made.authority).arg("-CAkey").arg(&authority_key);
        request.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        request.args(["-addext", "extendedKeyUsage=serverAuth", "-addext", &names]);
        run(request);
        let mut request = Command::new("openssl");
        request.args(["genrsa", "-out"]).arg(&made.signer).arg("2048");
        run(request);
        made
    }
}

fn certificate(file: &Path, key: &Path, subject: &str) -> Command {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-days", "30", "-subj", subject]);
    command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    command.arg("-out").arg(file).arg("-keyout").arg(key);
    command
}

fn run(mut command: Command) {
    let out = command.output().unwrap_or_else(|e| panic!("openssl: {e}; tests/setup installs it"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}
