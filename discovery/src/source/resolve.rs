//! Asks DNS for the addresses of one name.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use ringway_core::time::Duration;

/// How long to wait for a server, twice.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A resolver that asks `server`, or the servers of `/etc/resolv.conf`.
///
/// # Errors
/// When there are none.
pub(crate) fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, String> {
    let mut builder = match server {
        Some(server) => {
            let provider = TokioRuntimeProvider::default();
            TokioResolver::builder_with_config(ask(server), provider)
        }
        None => TokioResolver::builder_tokio()
            .map_err(|error| format!("cannot read /etc/resolv.conf: {error}"))?,
    };
    let options = builder.options_mut();
    options.timeout = TIMEOUT;
    options.attempts = 2;
    // Of a name with both, one address of a host is enough, and IPv4 works everywhere.
    options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
    // Names are asked for when their time is over: a cache could only make them older.
    options.cache_size = 0;
    builder.build().map_err(|error| error.to_string())
}

fn ask(server: SocketAddr) -> ResolverConfig {
    let port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let mut name_server = NameServerConfig::udp(server.ip());
    name_server.connections = vec![port(ConnectionConfig::udp()), port(ConnectionConfig::tcp())];
    ResolverConfig::from_name_servers(vec![name_server])
}

/// The addresses of `host`, sorted, and how long they may be believed.
///
/// # Errors
/// Why there are none.
pub(crate) async fn addresses(
    resolver: &TokioResolver,
    host: &str,
) -> Result<(Vec<IpAddr>, Duration), String> {
    let answer = resolver.lookup_ip(host).await.map_err(|error| error.to_string())?;
    let mut addresses: Vec<IpAddr> = answer.iter().collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(String::from("no addresses"));
    }
    Ok((addresses, answer.valid_until().saturating_duration_since(Instant::now())))
}
