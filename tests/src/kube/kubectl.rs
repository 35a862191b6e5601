//! The real kubectl, as an administrator uses it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::kube::tools;

/// kubectl with a kubeconfig of its own.
#[derive(Debug)]
pub struct Kubectl {
    directory: PathBuf,
}

impl Kubectl {
    /// Works with `directory/admin.kubeconfig`; its caches are below `directory` too.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.into() }
    }

    /// The command with its standing arguments.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(tools::path("kubectl"));
        command.env_clear().env("HOME", &self.directory).env("PATH", "/usr/bin:/bin");
        command.arg("--kubeconfig").arg(self.directory.join("admin.kubeconfig"));
        command.arg("--cache-dir").arg(self.directory.join("kubectl"));
        command
    }

    /// Runs it with these arguments, `input` on its standard input; what it printed.
    ///
    /// # Errors
    /// What it complained about.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn attempt(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut command = self.command();
        command.args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
    }

    /// The same for what has to succeed.
    ///
    /// # Panics
    /// When it does not.
    pub fn run(&self, arguments: &[&str]) -> String {
        self.attempt(arguments, "").unwrap_or_else(|why| panic!("kubectl {arguments:?}: {why}"))
    }

    /// Applies manifests to the namespaces that they name, or the default one.
    ///
    /// # Panics
    /// When they are refused.
    pub fn apply(&self, manifests: &str) {
        self.apply_by(&["apply"], manifests);
    }

    /// Applies manifests that name no namespace to this one.
    ///
    /// # Panics
    /// When they are refused.
    pub fn apply_to(&self, namespace: &str, manifests: &str) {
        self.apply_by(&["apply", "-n", namespace], manifests);
    }

    fn apply_by(&self, command: &[&str], manifests: &str) {
        let arguments = [command, &["--server-side", "--force-conflicts", "-f", "-"]].concat();
        let done = self.attempt(&arguments, manifests);
        done.unwrap_or_else(|why| panic!("kubectl apply: {why}\n{manifests}"));
    }
}
