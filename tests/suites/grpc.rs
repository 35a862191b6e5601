//! gRPC's interop cases: clients and servers by grpcio and tonic, each with each, through one proxy
//! and through two.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::peer::{Peer, run, script, tool};
use ringway_tests::proxy::Proxy;
use ringway_tests::settings::Settings;

matrix!(over_http2, over_http2_twice, over_http1_between);

/// How many cases each client has.
const CASES: usize = 19;

/// Who speaks gRPC.
#[derive(Clone, Copy, Debug)]
enum By {
    Grpcio,
    Tonic,
}

const ALL: [By; 2] = [By::Grpcio, By::Tonic];

impl By {
    fn program(self) -> PathBuf {
        match self {
            Self::Grpcio => tool("python/bin/python"),
            Self::Tonic => tool("tonic/debug/ringway-peer-tonic"),
        }
    }

    fn arguments(self, role: &str) -> Vec<String> {
        let first = match self {
            Self::Grpcio => vec!["-B".into(), script("interop.py")],
            Self::Tonic => vec![],
        };
        first.into_iter().chain([role.to_owned()]).collect()
    }

    fn serve(self) -> Peer {
        let arguments = self.arguments("server");
        Peer::program(&self.program(), &arguments.iter().map(|a| &**a).collect::<Vec<_>>())
    }

    /// Has every case, over proxies that speak HTTP/2 to each other, or HTTP/1.1.
    fn call(self, address: SocketAddr, way: &str) -> Result<(), String> {
        let mut client = Command::new(self.program());
        let port = address.port().to_string();
        client.args(self.arguments("client")).arg(port);
        if matches!(self, Self::Grpcio) {
            client.arg(way);
        }
        let (text, out) = run(&mut client);
        if out.status.success() && text.lines().count() == CASES {
            return Ok(());
        }
        Err(format!("{text}{}", String::from_utf8_lossy(&out.stderr)))
    }
}

/// Each client and each server, with the proxies of `chain` between them.
fn each_pair(way: &str, chain: impl Fn(SocketAddr) -> Vec<Proxy> + Sync) {
    thread::scope(|scope| {
        for server in ALL {
            let chain = &chain;
            scope.spawn(move || {
                let peer = server.serve();
                let mut proxies = chain(peer.address);
                for client in ALL {
                    client
                        .call(proxies.last().unwrap().web(), way)
                        .unwrap_or_else(|why| panic!("{client:?} calls {server:?}: {why}"));
                }
                proxies.iter_mut().for_each(Proxy::assert_well);
                // Of each client; HTTP/1.1 says nothing of them.
                let metrics = proxies[0].metrics();
                let good = [("grpc_status", "0"), ("classification", "success")];
                assert!(metrics.sum("response_total", &good) > 800.0);
                let late = [("grpc_status", "15"), ("classification", "failure")];
                assert_eq!(metrics.sum("response_total", &late) as u32, 2);
            });
        }
    });
}

fn over_http2(cell: Cell) {
    each_pair("http2", |server| vec![Proxy::start(cell, Settings::h2c(&[server]))]);
}

fn over_http2_twice(cell: Cell) {
    each_pair("http2", |server| {
        let far = Proxy::start(cell, Settings::h2c(&[server]));
        let near = Proxy::start(cell, Settings::h2c(&[far.web()]));
        vec![far, near]
    });
}

/// Between two proxies also by HTTP/1.1: it has trailers, and carries both directions at once.
fn over_http1_between(cell: Cell) {
    each_pair("http1", |server| {
        let far = Proxy::start(cell, Settings::h2c(&[server]));
        let near = Proxy::start(cell, Settings::front(&[far.web()]));
        vec![far, near]
    });
}
