//! A reverse proxy on the pingora crate that forwards every request to one upstream address.

use std::env;
use std::net::SocketAddr;
use std::process::ExitCode;

use async_trait::async_trait;
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;

/// Idle upstream connections kept: above the connections of every scenario, as for the others.
const POOL: usize = 8192;

struct Gateway {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

fn main() -> ExitCode {
    let given: Vec<SocketAddr> = env::args().skip(1).map_while(|a| a.parse().ok()).collect();
    let [listen, upstream] = given[..] else {
        eprintln!("usage: perf-pingora LISTEN UPSTREAM, both as IP:PORT");
        return ExitCode::FAILURE;
    };
    // One thread has nobody to steal work from; the crate's guide advises the plain runtime then.
    let settings = ServerConf {
        threads: 1,
        work_stealing: false,
        upstream_keepalive_pool_size: POOL,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, settings);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Gateway { upstream });
    service.add_tcp(&listen.to_string());
    server.add_service(service);
    server.run_forever()
}
