//! What discovery needs of the configuration.

use std::net::SocketAddr;

use ringway_config::{Config, Discovery, Listener, StaticService};
use ringway_core::time::Duration;

/// What discovery needs of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The listeners, whose routes are compiled.
    pub listeners: Vec<Listener>,
    /// `services:`
    pub services: Vec<StaticService>,
    /// Where other services and routes come from.
    pub discovery: Discovery,
    /// Time for a TCP connect to an endpoint whose service does not say otherwise.
    pub connect: Duration,
    /// Time for a TCP connect to an inbound listener's target.
    pub connect_inbound: Duration,
    /// The DNS server to ask. Default `None`: those of `/etc/resolv.conf`.
    pub resolver: Option<SocketAddr>,
    /// How long a watch of the Kubernetes API server may say nothing. Default 75 s: it says every
    /// minute that there is nothing to say.
    pub silence: Duration,
}

const SILENCE: Duration = Duration::from_secs(75);

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            listeners: config.listeners.clone(),
            services: config.services.clone(),
            discovery: config.discovery.clone(),
            connect: config.timeouts.connect,
            connect_inbound: config.timeouts.connect_inbound,
            resolver: None,
            silence: SILENCE,
        }
    }
}
