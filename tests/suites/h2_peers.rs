//! Real peers in HTTP/2: h2spec, curl, nghttp and h2load in front; gRPC on both sides.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::net::SocketAddr;
use std::process::Command;

use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::peer::{Peer, run, script, tool};
use ringway_tests::proxy::Proxy;
use ringway_tests::settings::Settings;

matrix!(h2spec_passes, curl_and_nghttp_are_served, h2load_loses_nothing, grpc_passes);

/// All but the case that expects silence where this port, which speaks HTTP/1.1 too, says 400.
fn h2spec_passes(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let port = proxy.web().port().to_string();
    let mut h2spec = Command::new(tool("go/h2spec"));
    let (text, _) = run(h2spec.args(["-h", "127.0.0.1", "-p", &port, "-o", "10"]));
    let failures = text.rsplit_once("Failures:").map_or("", |(_, failures)| failures);
    let failed: Vec<&str> =
        failures.lines().map(str::trim).filter(|line| line.starts_with('×')).collect();
    let allowed = |line: &&str| line.ends_with("Sends invalid connection preface");
    assert!(failed.iter().all(allowed), "{text}");
    assert!(text.contains("144 passed") || text.contains("145 passed"), "{text}");
}

fn url(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

fn curl_and_nghttp_are_served(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let mut curl = Command::new("curl");
    let arguments = ["-sS", "--max-time", "20", "--noproxy", "", "--http2-prior-knowledge"];
    let said = ["-w", "\n%{http_code} %{http_version}", "-d", "abc"];
    let (text, out) = run(curl.args(arguments).args(said).arg(url(proxy.web(), "/c")));
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("method=POST target=/c length=3"), "{text}");
    assert!(text.ends_with("200 2"), "{text}");
    let mut nghttp = Command::new("nghttp");
    let urls = [url(proxy.web(), "/n1"), url(proxy.web(), "/n2")];
    let (text, out) = run(nghttp.arg("-y").args(urls));
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("target=/n1") && text.contains("target=/n2"), "{text}");
    origin.assert_clean();
}

fn h2load_loses_nothing(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]).workers(2));
    let mut h2load = Command::new("h2load");
    let amount = ["-n", "3000", "-c", "5", "-m", "20"];
    let (text, _) = run(h2load.args(amount).arg(url(proxy.web(), "/l")));
    let all = "3000 total, 3000 started, 3000 done, 3000 succeeded, 0 failed, 0 errored, 0 timeout";
    assert!(text.contains(all), "{text}");
    origin.assert_clean();
}

/// Through one proxy and through two, so that the calls pass between them as well.
fn grpc_passes(cell: Cell) {
    let python = tool("python/bin/python");
    let script = script("grpc_cases.py");
    let server = Peer::program(&python, &[&script, "server"]);
    let h2c = |address: SocketAddr| {
        let text = format!("{{endpoints: [\"{address}\"], protocol: h2c}}");
        Settings::default().service_yaml("app", &text).listener("web", &["service: app"])
    };
    let near = Proxy::start(cell, h2c(server.address));
    let far = Proxy::start(cell, h2c(near.web()));
    for proxy in [&near, &far] {
        let port = proxy.web().port().to_string();
        let mut client = Command::new(&python);
        let (text, out) = run(client.arg(&script).args(["client", &port]));
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{text}{errors}");
        assert_eq!(text.lines().count(), 11, "{text}");
        let good = [("grpc_status", "0"), ("classification", "success")];
        assert!(proxy.metrics().sum("response_total", &good) > 400.0);
        let bad = [("grpc_status", "15"), ("classification", "failure")];
        assert!(proxy.metrics().sum("response_total", &bad) > 0.0);
    }
}
