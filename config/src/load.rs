//! From bytes and environment to a checked configuration, or to every problem there is.

use std::net::SocketAddr;
use std::path::Path;

use serde::de::value::{Error, StrDeserializer};
use serde::de::{Deserialize, IntoDeserializer};

use crate::error::{Errors, Place, Report, quote};
use crate::keys::ROOT;
use crate::listener::{Kind, Listener};
use crate::scalar::Scalar;
use crate::service::{HostPort, StaticEndpoint, StaticService};
use crate::settings::{Admin, Config, Driver};
use crate::{check, cross, decode, tree};

/// Looks up an environment variable; handed in, so that loading stays a pure function.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The name of the listener and the service that [`Config::to`] makes.
const TO: &str = "to";

/// Reads a configuration from the bytes of the file called `path`; relative paths in it are taken
/// from that file's directory. `RINGWAY_DRIVER`, `RINGWAY_LOG`, `RINGWAY_ZONE` and `RINGWAY_NODE`
/// override the file.
///
/// # Errors
/// Every problem found: in the YAML, in each key, between keys, and in the environment.
pub fn load(bytes: impl AsRef<[u8]>, path: &Path, env: Env<'_>) -> Result<Config, Errors> {
    let mut report = Report::default();
    let root = tree::read(bytes.as_ref(), &mut report);
    if let Some(root) = &root {
        check::check(root, &ROOT, "", &mut report);
        cross::check(root, &mut report);
    }
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    let mut config = root.map(|root| decode::config(&root, base)).unwrap_or_default();
    environment(&mut config, env, &mut report);
    report.finish(path)?;
    Ok(config)
}

/// Reads the file at `path` and loads it.
///
/// # Errors
/// As [`load`], and when the file cannot be read.
pub fn read(path: &Path, env: Env<'_>) -> Result<Config, Errors> {
    match limited(path) {
        Ok(bytes) => load(bytes, path, env),
        Err(error) => {
            let mut report = Report::default();
            let hint = "give the path of a ringway.yaml that this user may read";
            report.add(Place::default(), "", error.to_string(), "a readable file", hint);
            report.finish(path)?;
            Ok(Config::default())
        }
    }
}

/// At most one byte more than is allowed, which is enough to be refused.
fn limited(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let most = u64::try_from(tree::MOST_BYTES).unwrap_or(u64::MAX);
    std::fs::File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn environment(config: &mut Config, env: Env<'_>, report: &mut Report) {
    let mut ask = |name: &str, form: Scalar| {
        let value = env(name).filter(|value| !value.is_empty())?;
        match form.check(&value, true) {
            Ok(()) => Some(value),
            Err(hint) => {
                let found = quote(&value);
                report.add(Place::default(), name, found, form.expected(), hint);
                None
            }
        }
    };
    if let Some(word) = ask("RINGWAY_DRIVER", Scalar::Choice(&["auto", "uring", "epoll"])) {
        let word: StrDeserializer<'_, Error> = word.as_str().into_deserializer();
        config.workers.driver = Driver::deserialize(word).unwrap_or_default();
    }
    if let Some(level) = ask("RINGWAY_LOG", Scalar::Level) {
        config.log.level = level;
    }
    let here = &mut config.discovery;
    for (name, place) in [("RINGWAY_ZONE", &mut here.zone), ("RINGWAY_NODE", &mut here.node)] {
        if let Some(value) = ask(name, Scalar::Place) {
            *place = Some(value);
        }
    }
}

impl Config {
    /// The configuration of `ringway to`: one gateway before one service of these addresses. An
    /// address that is given twice counts once.
    #[must_use]
    pub fn to(
        addresses: &[HostPort],
        listen: SocketAddr,
        admin: Option<SocketAddr>,
        workers: Option<usize>,
    ) -> Self {
        let mut config = Self::default();
        config.workers.count = workers;
        config.admin = Admin { address: admin };
        let mut endpoints: Vec<StaticEndpoint> = Vec::new();
        for address in addresses {
            if endpoints.iter().all(|endpoint| endpoint.address != *address) {
                endpoints.push(StaticEndpoint { address: address.clone(), weight: 1 });
            }
        }
        config.services = vec![StaticService::new(TO, endpoints, &config.timeouts)];
        let mut listener = Listener::new(TO, listen, Kind::Gateway);
        listener.service = Some(TO.to_owned());
        config.listeners = vec![listener];
        config
    }

    /// Applies the variables that override a file, as [`load`] does.
    ///
    /// # Errors
    /// Variables with values that do not exist.
    pub fn with_environment(mut self, env: Env<'_>) -> Result<Self, Errors> {
        let mut report = Report::default();
        environment(&mut self, env, &mut report);
        report.finish(Path::new("environment"))?;
        Ok(self)
    }

    /// A complete, commented file to start from.
    #[must_use]
    pub const fn example() -> &'static str {
        include_str!("../examples/full.yaml")
    }
}

/// The entry of the fuzz target: whatever the bytes, loading and reporting end without a panic, and
/// what was accepted is accepted again in its resolved form, unchanged.
///
/// # Panics
/// When that does not hold: a bug was found.
pub fn fuzzing(bytes: &[u8]) {
    let path = Path::new("ringway.yaml");
    match load(bytes, path, &|_| None) {
        Err(errors) => assert!(!errors.to_string().is_empty(), "refused without a reason"),
        Ok(config) => {
            let resolved = serde_json::to_string(&config).unwrap_or_default();
            assert_eq!(load(resolved, path, &|_| None), Ok(config), "the resolved form differs");
        }
    }
}
