//! `ringway check`: whether the files are right, and what this machine offers.

use std::io::{self, Write};
use std::path::Path;

use ringway::ring::Rung;
use ringway::{cpus, fds, ring};
use ringway_config::{Config, Driver};
use ringway_discovery::{Settings, Summary};

use crate::cli::Check;
use crate::failure::Failure;
use crate::run;

/// Checks everything, and only then fails.
///
/// # Errors
/// When a file is wrong, or the machine cannot do what the configuration demands.
pub(crate) fn run(asked: &Check, out: &mut impl Write) -> Result<(), Failure> {
    let report = report(asked);
    match out.write_all(report.text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    match report.problems {
        0 => Ok(()),
        1 => Err(Failure::new("1 check failed")),
        problems => Err(Failure::new(format!("{problems} checks failed"))),
    }
}

/// What was found, as text; and how many checks failed.
#[derive(Debug, Default)]
struct Report {
    text: String,
    problems: usize,
}

impl Report {
    fn line(&mut self, what: &str, found: impl std::fmt::Display) {
        let found = found.to_string();
        for (index, line) in found.lines().enumerate() {
            let what = if index == 0 { what } else { "" };
            self.text.push_str(&format!("{what:<14} {line}\n"));
        }
    }

    fn problem(&mut self, what: &str, found: impl std::fmt::Display) {
        self.problems += 1;
        self.line(what, format!("not valid\n{found}"));
    }
}

fn report(asked: &Check) -> Report {
    let mut report = Report::default();
    let config = config(asked.config.as_deref(), &mut report);
    manifests(asked, &config, &mut report);
    if asked.kubernetes {
        kubernetes(asked, config.clone(), &mut report);
    }
    driver(&config, &mut report);
    cores(&config, &mut report);
    match fds::limit() {
        Ok(limit) => report.line("fd limit", format!("{limit} (raised to hard at start)")),
        Err(error) => report.line("fd limit", format!("unknown: {error}")),
    }
    report
}

/// The configuration to go on with: the file's, or the defaults.
fn config(path: Option<&Path>, report: &mut Report) -> Config {
    let loaded = match path {
        Some(path) => run::load(path),
        None => Config::default().with_environment(&run::environment),
    };
    match (loaded, path) {
        (Ok(config), Some(path)) => {
            let (listeners, services) = (config.listeners.len(), config.services.len());
            let path = path.display();
            report.line(
                "configuration",
                format!("{path} is valid: listeners {listeners}, services {services}"),
            );
            config
        }
        (Ok(config), None) => config,
        (Err(errors), _) => {
            report.problem("configuration", errors);
            Config::default()
        }
    }
}

fn manifests(asked: &Check, config: &Config, report: &mut Report) {
    let mut settings = Settings::from(config);
    if let Some(directory) = &asked.manifests {
        settings.discovery.manifests = Some(directory.clone());
    }
    // Without manifests there may still be notes: a listener's service that does not exist.
    match (ringway_discovery::check(&settings), &settings.discovery.manifests) {
        (Ok(summary), directory) => {
            if let Some(directory) = directory {
                report.line("manifests", describe(directory, &summary));
            }
            for note in &summary.notes {
                report.line("note", note);
            }
        }
        (Err(errors), _) => {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            report.problem("manifests", lines.join("\n"));
        }
    }
}

fn describe(directory: &Path, summary: &Summary) -> String {
    let Summary { services, slices, routes, .. } = summary;
    let directory = directory.display();
    format!("{directory} is valid: services {services}, slices {slices}, routes {routes}")
}

/// What the API server has, what it allows, and what it would have to.
fn kubernetes(asked: &Check, mut config: Config, report: &mut Report) {
    let _ = config.discovery.kubernetes.get_or_insert_default();
    let settings = config.with_kubeconfig(asked.kubeconfig.as_deref()).discovery.kubernetes;
    let found = match ringway_discovery::inspect(&settings.unwrap_or_default()) {
        Ok(found) => found,
        Err(why) => return report.problem("kubernetes", why),
    };
    report.line("kubernetes", format!("version {}", found.version));
    for (kind, version) in found.kinds {
        match version {
            Some(version) => report.line("", format!("{kind}: watched, as {version}")),
            None => report.line("", format!("{kind}: not installed, looked for every 30 s")),
        }
    }
    if found.denied.is_empty() {
        report.line("rights", "all that are needed");
    } else {
        report.problem("rights", format!("this account may not\n{}", found.denied.join("\n")));
    }
    report.line("role", found.role);
}

fn driver(config: &Config, report: &mut Report) {
    let found = ring::report(config.workers.driver);
    report.line("driver", &found);
    if config.workers.driver == Driver::Uring && found.rung == Rung::Epoll {
        report.problem("", "io_uring is demanded, but this machine does not offer it");
    }
}

fn cores(config: &Config, report: &mut Report) {
    let found = cpus::allowance();
    let set = |set: &cpus::CoreSet| match set.len() {
        0 => String::from("unknown"),
        count => format!("{set} ({count})"),
    };
    report.line("cores online", set(&found.online));
    report.line("affinity", set(&found.affinity));
    report.line("cpuset", found.cpuset.as_ref().map_or_else(|| String::from("none"), set));
    report.line("cpu quota", found.quota.map_or_else(|| String::from("none"), |q| q.to_string()));
    report.line("workers", cpus::plan(&found, config.workers.count, config.workers.pin));
}
