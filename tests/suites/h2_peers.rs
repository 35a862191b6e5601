//! Real peers in HTTP/2: h2spec, httpwg, curl, nghttp and h2load in front; Node on both sides.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::net::SocketAddr;
use std::process::Command;

use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::peer::{Peer, run, script, tool};
use ringway_tests::proxy::Proxy;
use ringway_tests::settings::Settings;
use ringway_tests::sys;

/// Explains each exception.
const POLICY: &str = include_str!("../POLICY.md");

matrix!(
    h2spec_passes,
    httpwg_passes,
    curl_and_nghttp_are_served,
    h2load_loses_nothing,
    node_passes,
);

/// All of it where only HTTP/2 is spoken. Where HTTP/1.1 is spoken too, all but the case that
/// expects silence: what is no preface is a malformed request there, which is answered 400.
fn h2spec_passes(cell: Cell) {
    let origin = Origin::echo("o");
    let settings =
        Settings::front(&[origin.address]).listener("only", &["service: app", "protocol: http2"]);
    let proxy = Proxy::start(cell, settings);
    let all = h2spec(proxy.settings.address("only"));
    assert!(all.contains("145 tests, 145 passed, 0 skipped, 0 failed"), "{all}");
    let both = h2spec(proxy.web());
    let failures = both.rsplit_once("Failures:").map_or("", |(_, failures)| failures);
    let mut failed = failures.lines().map(str::trim).filter(|line| line.starts_with('×'));
    let allowed = |line: &str| line.ends_with("Sends invalid connection preface");
    assert!(failed.all(allowed), "{both}");
    assert!(both.contains("145 tests, 144 passed"), "{both}");
}

fn h2spec(address: SocketAddr) -> String {
    let mut h2spec = Command::new(tool("go/h2spec"));
    let port = address.port().to_string();
    run(h2spec.args(["-h", "127.0.0.1", "-p", &port, "-o", "10"])).0
}

/// What it expects and RFC 9113 does not ask for is listed in POLICY.md.
fn httpwg_passes(cell: Cell) {
    if !sys::io_uring_offered() {
        println!("not run: httpwg itself needs io_uring");
        return;
    }
    let origin = Origin::echo("o");
    // It opens all its connections before it begins.
    let settings = Settings::front(&[origin.address]).timeout("head", "1m");
    let proxy = Proxy::start(cell, settings.timeout("idle_client", "1m"));
    let mut httpwg = Command::new(tool("bin/httpwg"));
    let patience = ["--frame-timeout", "5000", "--connect-timeout", "5000"];
    let (_, out) = run(httpwg.args(["-a", &proxy.web().to_string()]).args(patience));
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(text.contains("/107\u{1b}[0m tests"), "{text}");
    let failed = text.split("Test failed: RFC 9113 :: ").skip(1);
    let names = failed.filter_map(|rest| rest.lines().next()?.split_once(" :: "));
    let unexplained: Vec<&str> =
        names.map(|(_, name)| name).filter(|name| !POLICY.contains(&format!("`{name}`"))).collect();
    assert!(unexplained.is_empty(), "{unexplained:?}\n{text}");
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

/// Its client and its server.
fn node_passes(cell: Cell) {
    let http2 = script("http2.js");
    let server = Peer::program("node".as_ref(), &[&http2, "server"]);
    let proxy = Proxy::start(cell, Settings::h2c(&[server.address]));
    let mut client = Command::new("node");
    let (text, out) = run(client.args([&http2, "client", &proxy.web().port().to_string()]));
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{text}{errors}");
    assert_eq!(text.lines().count(), 10, "{text}");
}
