//! The command line: what it accepts, and how it explains itself to someone new to it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ringway_config::{HostPort, NotHostPort};

/// The exit status of a command that failed.
pub(crate) const FAILED: u8 = 1;

/// ringway: a reverse proxy and service-mesh data plane, one event loop per core.
#[derive(Debug, Parser)]
#[command(name = "ringway", version, after_help = EXIT_CODES, max_term_width = 100)]
#[command(arg_required_else_help = true, infer_subcommands = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
New here?   ringway demo              three services, a proxy and a live table
            ringway to 8080           a proxy in front of 127.0.0.1:8080

Exit codes: 0 ended as asked (also after SIGTERM or Ctrl-C)
            1 failed: bad configuration, address in use, not drained in time, second signal
            2 wrong usage of the command line";

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run with a configuration file; SIGHUP or saving the file reloads it
    Run(Run),
    /// Put a reverse proxy in front of these addresses, without any file
    #[command(after_help = TO_EXAMPLES)]
    To(To),
    /// Check a configuration, manifests and this machine, without serving anything
    Check(Check),
    /// Show what ringway does: three small services, a proxy, a gentle load, a live table
    Demo(Demo),
    /// Print completions for a shell
    #[command(after_help = COMPLETIONS_EXAMPLE)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the JSON schema of the configuration, for editors
    Schema,
}

/// `ringway run`
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The configuration
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The kubeconfig for the configuration's `discovery.kubernetes`
    /// [default: the configuration's, else KUBECONFIG, the pod's service account, ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

const TO_EXAMPLES: &str = "\
Examples:   ringway to 8080                              the same as 127.0.0.1:8080
            ringway to 10.0.0.1:80 10.0.0.2:80           balanced by latency and load
            ringway to app.local:80 --listen 0.0.0.0:80  reachable from other machines";

const COMPLETIONS_EXAMPLE: &str = "\
Example:    ringway completions bash > ~/.local/share/bash-completion/completions/ringway";

/// `ringway to`
#[derive(Debug, Args)]
pub(crate) struct To {
    /// Where requests go: a port of this machine, or HOST:PORT
    #[arg(required = true, value_name = "ADDR", value_parser = upstream)]
    pub(crate) upstreams: Vec<HostPort>,
    #[command(flatten)]
    pub(crate) serve: Serve,
    /// Event loops [default: one for each usable core]
    #[arg(long, value_name = "N", value_parser = workers)]
    pub(crate) workers: Option<usize>,
}

/// Where `to` and `demo` can be reached.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where to accept connections: a port, or IP:PORT
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4140", value_parser = local)]
    pub(crate) listen: SocketAddr,
    /// Where to serve /live, /ready and /metrics
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4191", value_parser = local)]
    pub(crate) admin: SocketAddr,
}

/// `ringway check`
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// A configuration to validate
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A directory of Kubernetes manifests to validate [default: the configuration's]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) manifests: Option<PathBuf>,
    /// Ask the Kubernetes API server what it has and allows, and print the role that is needed
    #[arg(long)]
    pub(crate) kubernetes: bool,
    /// The kubeconfig to reach it by [default: as for `run`]
    #[arg(long, value_name = "FILE", requires = "kubernetes")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// `ringway demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    pub(crate) serve: Serve,
    /// End after this many seconds [default: at Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: Option<u64>,
}

const LOCALHOST: &str = "127.0.0.1";

/// More would be a typing error: no machine has as many cores.
const MAX_WORKERS: usize = 1024;

/// Reads an upstream: `8080`, `:8080`, `host:8080`, `[::1]:8080`, `http://host:8080/`.
fn upstream(text: &str) -> Result<HostPort, String> {
    if text.starts_with("https://") {
        return Err(String::from("TLS to upstreams is not supported yet; use an http:// address"));
    }
    let plain = text.strip_prefix("http://");
    let address = plain.map_or(text, |rest| rest.strip_suffix('/').unwrap_or(rest));
    let address = match address.strip_prefix(':').unwrap_or(address) {
        port if is_number(port) => format!("{LOCALHOST}:{port}"),
        _ if plain.is_some() && !has_port(address) => format!("{address}:80"),
        _ => address.to_owned(),
    };
    address.parse().map_err(|problem: NotHostPort| {
        format!("{problem}; expected a port or HOST:PORT, for example 8080 or 127.0.0.1:8080")
    })
}

/// Reads an address to listen on: `4140`, `:4140` (all interfaces, as in other tools), `IP:4140`.
fn local(text: &str) -> Result<SocketAddr, String> {
    let address = match text.strip_prefix(':').or_else(|| text.strip_prefix("*:")) {
        Some(port) => format!("0.0.0.0:{port}"),
        None if is_number(text) => format!("{LOCALHOST}:{text}"),
        None => text.replacen("localhost:", "127.0.0.1:", 1),
    };
    address.parse().map_err(|_| {
        String::from(
            "expected a port (this machine only) or IP:PORT, \
             for example 4140, 127.0.0.1:4140 or 0.0.0.0:4140 for all interfaces",
        )
    })
}

fn workers(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=MAX_WORKERS).contains(count));
    count.ok_or_else(|| format!("expected a number from 1 to {MAX_WORKERS}"))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn has_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(_, port)| is_number(port))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn to(args: &[&str]) -> Result<To, clap::Error> {
        let args = ["ringway", "to"].iter().chain(args);
        match Cli::try_parse_from(args)?.command {
            Command::To(to) => Ok(to),
            other => panic!("parsed as {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn upstreams_are_understood_as_people_write_them() {
        for (written, meant) in [
            ("8080", "127.0.0.1:8080"),
            (":8080", "127.0.0.1:8080"),
            ("localhost:8080", "localhost:8080"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://app.local/", "app.local:80"),
        ] {
            assert_eq!(to(&[written]).unwrap().upstreams[0].to_string(), meant, "{written}");
        }
    }

    #[test]
    fn a_bad_upstream_is_answered_with_an_example() {
        for bad in ["", "host", "0", "70000", "1.2.3.4", "a b:80", "http://x/path", "::1:80:"] {
            let error = to(&[bad]).unwrap_err().to_string();
            assert!(error.contains("for example 8080 or 127.0.0.1:8080"), "{bad}: {error}");
        }
        let error = to(&["https://example.org"]).unwrap_err().to_string();
        assert!(error.contains("TLS to upstreams is not supported yet"), "{error}");
    }

    #[test]
    fn defaults_are_linkerds_ports_on_this_machine_only() {
        let to = to(&["1", "2"]).unwrap();
        assert_eq!(to.upstreams.len(), 2);
        assert_eq!(to.serve.listen.to_string(), "127.0.0.1:4140");
        assert_eq!(to.serve.admin.to_string(), "127.0.0.1:4191");
        assert_eq!(to.workers, None);
    }

    #[test]
    fn listening_on_all_interfaces_has_to_be_asked_for() {
        for (written, meant) in [
            ("80", "127.0.0.1:80"),
            ("localhost:80", "127.0.0.1:80"),
            (":80", "0.0.0.0:80"),
            ("*:80", "0.0.0.0:80"),
            ("[::]:0", "[::]:0"),
        ] {
            let to = to(&["1", "--listen", written]).unwrap();
            assert_eq!(to.serve.listen.to_string(), meant, "{written}");
        }
        let error = to(&["1", "--listen", "example.org:80"]).unwrap_err().to_string();
        assert!(error.contains("0.0.0.0:4140 for all interfaces"), "{error}");
    }

    #[test]
    fn wrong_usage_is_told_apart_from_failure() {
        assert_eq!(to(&[]).unwrap_err().exit_code(), 2);
        assert_eq!(to(&["1", "--workers", "0"]).unwrap_err().exit_code(), 2);
        assert_eq!(Cli::try_parse_from(["ringway", "run"]).unwrap_err().exit_code(), 2);
        assert_eq!(Cli::try_parse_from(["ringway", "--help"]).unwrap_err().exit_code(), 0);
        let zero = Cli::try_parse_from(["ringway", "demo", "--seconds", "0"]).unwrap_err();
        assert_eq!(zero.kind(), ErrorKind::ValueValidation);
    }
}
