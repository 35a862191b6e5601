//! `ringway run` and `ringway to`: serve until told to stop, and reload when told to.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use ringway::log::{self, Guard};
use ringway::machine::Machine;
use ringway_config::{Config, Errors};

use crate::cli::{Run, To};
use crate::failure::Failure;
use crate::signal::{self, Wish};
use crate::start;

/// Serves what the file says; SIGHUP and changes of the file reload it.
///
/// # Errors
/// When the configuration is wrong, the proxy does not start, or it was not drained in time.
pub(crate) fn file(asked: &Run) -> Result<(), Failure> {
    let path = asked.config.as_path();
    let (wishes, wished) = unbounded();
    signal::listen(wishes.clone())?;
    // Read before the configuration is: a change in between is seen as a change, not missed.
    let before = fs::read(path).unwrap_or_default();
    let config = load(path).map_err(|errors| refused(&errors))?;
    let config = config.with_kubeconfig(asked.kubeconfig.as_deref());
    if asked.kubeconfig.is_some() && config.discovery.kubernetes.is_none() {
        return Err(Failure::new(
            "--kubeconfig is for a configuration with `discovery.kubernetes`",
        ));
    }
    let _log = log(&config)?;
    let mut grace = config.shutdown.grace;
    let mut machine = start::machine(config)?;
    let watch = signal::watch(path, before, wishes);
    if let Err(error) = &watch {
        tracing::warn!(%error, "changes of the file are not noticed; SIGHUP still reloads it");
    }
    for wish in &wished {
        match wish {
            Wish::Drain => break,
            Wish::Reload => reload(&mut machine, asked, &mut grace),
        }
    }
    drain(machine, grace)
}

/// Serves a reverse proxy to some addresses.
///
/// # Errors
/// As [`file`].
pub(crate) fn to(to: &To) -> Result<(), Failure> {
    let (wishes, wished) = unbounded();
    signal::listen(wishes)?;
    let (listen, admin) = (to.serve.listen, to.serve.admin);
    let config = Config::to(&to.upstreams, listen, Some(admin), to.workers)
        .with_environment(&environment)
        .map_err(|errors| refused(&errors))?;
    let _log = log(&config)?;
    start::check_free(listen, "--listen")?;
    start::check_free(admin, "--admin")?;
    let grace = config.shutdown.grace;
    let machine = start::machine(config)?;
    wait_for_drain(&wished);
    drain(machine, grace)
}

/// Looks up an environment variable.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads a configuration file with this process's environment.
pub(crate) fn load(path: &Path) -> Result<Config, Errors> {
    ringway_config::read(path, &environment)
}

/// The log is written until the guard is dropped.
fn log(config: &Config) -> Result<Guard, Failure> {
    log::start(&config.log).map_err(|e| Failure::new(e.to_string()))
}

fn refused(errors: &Errors) -> Failure {
    Failure::new(format!("the configuration is not valid\n{errors}"))
}

/// All or nothing: whatever is wrong, the old configuration keeps serving.
fn reload(machine: &mut Machine, asked: &Run, grace: &mut Duration) {
    let path = asked.config.as_path();
    let config = match load(path) {
        Ok(config) => config.with_kubeconfig(asked.kubeconfig.as_deref()),
        Err(errors) => {
            tracing::error!("not reloaded, the old configuration keeps serving\n{errors}");
            return;
        }
    };
    let new_grace = config.shutdown.grace;
    match machine.reload(config) {
        Ok(reloaded) => {
            *grace = new_grace;
            tracing::info!("reloaded {}: {reloaded}", path.display());
        }
        Err(error) => {
            tracing::error!("not reloaded, the old configuration keeps serving: {error}");
        }
    }
}

fn wait_for_drain(wished: &Receiver<Wish>) {
    for wish in wished {
        match wish {
            Wish::Drain => return,
            Wish::Reload => tracing::info!("nothing to reload: there is no configuration file"),
        }
    }
}

fn drain(machine: Machine, grace: Duration) -> Result<(), Failure> {
    tracing::info!(?grace, "draining; a second signal ends at once");
    let drained = machine.drain(grace);
    if drained.clean {
        tracing::info!("drained");
        return Ok(());
    }
    let left = match drained.left {
        1 => String::from("1 connection was"),
        left => format!("{left} connections were"),
    };
    Err(Failure::new(format!("{left} still open after the grace period of {grace:?}")))
}
