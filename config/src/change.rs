//! What differs between two configurations, and which of it needs a restart.

use crate::listener::Listener;
use crate::settings::Config;

/// What a reload has to do. Everything not named here takes effect by replacing the values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Listeners to open.
    pub added: Vec<Listener>,
    /// Names of listeners to close.
    pub removed: Vec<String>,
    /// Listeners of a known name that differ, in their new form.
    pub changed: Vec<ChangedListener>,
    /// Whether anything differs that snapshots are made from: `services`, `discovery`, `listeners`,
    /// the connect timeouts.
    pub discovery: bool,
    /// Keys that differ in anything else that can be replaced while running: `timeouts`, `limits`,
    /// `http2`, `shutdown`.
    pub settings: Vec<&'static str>,
    /// Keys that differ and keep their old value until a restart.
    pub restart: Vec<&'static str>,
}

/// A listener that differs under the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedListener {
    /// Its new form.
    pub listener: Listener,
    /// Whether its socket must be opened anew; else its connections stay.
    pub rebind: bool,
}

impl Change {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares two configurations.
#[must_use]
pub fn change(old: &Config, new: &Config) -> Change {
    let mut change = Change::default();
    for listener in &new.listeners {
        match old.listeners.iter().find(|l| l.name == listener.name) {
            None => change.added.push(listener.clone()),
            Some(before) if before != listener => change.changed.push(ChangedListener {
                listener: listener.clone(),
                rebind: before.address != listener.address,
            }),
            Some(_) => {}
        }
    }
    let gone = |l: &&Listener| new.listeners.iter().all(|n| n.name != l.name);
    change.removed = old.listeners.iter().filter(gone).map(|l| l.name.clone()).collect();
    let connect = |config: &Config| (config.timeouts.connect, config.timeouts.connect_inbound);
    change.discovery = old.services != new.services
        || old.discovery != new.discovery
        || old.listeners != new.listeners
        || connect(old) != connect(new);
    let settings = [
        ("timeouts", old.timeouts != new.timeouts),
        ("limits", old.limits != new.limits),
        ("http2", old.http2 != new.http2),
        ("shutdown", old.shutdown != new.shutdown),
    ];
    let restart = [
        ("workers", old.workers != new.workers),
        ("admin", old.admin != new.admin),
        ("access_log", old.access_log != new.access_log),
        ("log", old.log != new.log),
    ];
    let names = |keys: &[(&'static str, bool)]| {
        keys.iter().filter(|(_, differs)| *differs).map(|(key, _)| *key).collect()
    };
    change.settings = names(&settings);
    change.restart = names(&restart);
    change
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{Driver, Kind, Timeouts};

    fn listener(name: &str, port: u16) -> Listener {
        Listener::new(name, SocketAddr::from(([127, 0, 0, 1], port)), Kind::Outbound)
    }

    #[test]
    fn equal_configurations_need_nothing() {
        let config = Config { listeners: vec![listener("a", 1)], ..Config::default() };
        assert!(change(&config, &config.clone()).is_empty());
    }

    #[test]
    fn listeners_are_told_apart_by_name() {
        let old = Config {
            listeners: vec![listener("same", 1), listener("moved", 2), listener("gone", 3)],
            ..Config::default()
        };
        let quiet = Listener { via: false, ..listener("same", 1) };
        let new = Config {
            listeners: vec![listener("new", 4), quiet.clone(), listener("moved", 5)],
            ..Config::default()
        };
        let change = change(&old, &new);
        assert_eq!(change.added, [listener("new", 4)]);
        assert_eq!(change.removed, ["gone"]);
        assert_eq!(
            change.changed,
            [
                ChangedListener { listener: quiet, rebind: false },
                ChangedListener { listener: listener("moved", 5), rebind: true },
            ]
        );
        assert!(change.discovery && change.settings.is_empty() && change.restart.is_empty());
    }

    #[test]
    fn each_section_is_noticed() {
        let old = Config::default();
        let mut new = old.clone();
        new.workers.driver = Driver::Epoll;
        new.timeouts = Timeouts { response: Some(Timeouts::default().head), ..Timeouts::default() };
        let found = change(&old, &new);
        assert_eq!(found.restart, ["workers"]);
        assert_eq!(found.settings, ["timeouts"]);
        assert!(!found.discovery);
        new.discovery.manifests = Some("manifests".into());
        assert!(change(&old, &new).discovery);
    }
}
