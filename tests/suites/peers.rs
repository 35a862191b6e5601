//! Real peers: curl in front, nginx, Python and Node behind; large bodies, byte for byte.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use ringway_tests::bulk;
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::peer::Peer;
use ringway_tests::process;
use ringway_tests::proxy::Proxy;
use ringway_tests::settings::Settings;
use ringway_tests::wait;

matrix!(
    curl_to_nginx,
    curl_to_python,
    curl_to_node,
    curl_with_http_proxy,
    large_download_from_nginx,
    large_upload_to_nginx,
    large_upload_to_a_strict_origin,
);

const MIB: u64 = 1 << 20;

/// 1 GiB unless `RINGWAY_TESTS_BIG_MIB` says otherwise.
fn large() -> u64 {
    let asked = std::env::var("RINGWAY_TESTS_BIG_MIB").ok().and_then(|v| v.parse().ok());
    asked.unwrap_or(1024) * MIB
}

/// Runs curl; its standard output and what it says of itself (status, connects).
fn curl(arguments: &[&str]) -> (String, String) {
    let marker = "\n~%{http_code} %{num_connects}";
    let out = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--noproxy", "", "-w", marker])
        .args(arguments)
        .env_remove("http_proxy")
        .output()
        .unwrap_or_else(|e| panic!("curl: {e}; tests/setup installs it"));
    assert!(out.status.success(), "curl {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let (body, said) = text.rsplit_once("\n~").unwrap();
    (body.to_owned(), said.to_owned())
}

fn url(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

fn curl_to_nginx(cell: Cell) {
    let nginx = Peer::nginx();
    let www = nginx.directory.path().join("www");
    fs::write(www.join("hello.txt"), "hello from nginx").unwrap();
    let proxy = Proxy::to(cell, &[nginx.address], 1);
    let hello = url(proxy.web(), "/hello.txt");
    assert_eq!(curl(&[&hello]), ("hello from nginx".into(), "200 1".into()));
    let (head, said) = curl(&["-I", &hello]);
    assert!(
        said.starts_with("200") && head.to_lowercase().contains("content-length: 16"),
        "{head}"
    );
    assert_eq!(curl(&["-r", "6-9", &hello]), ("from".into(), "206 1".into()));
    let (both, said) = curl(&[&hello, &hello]);
    assert!(
        both.matches("hello from nginx").count() == 2 && said == "200 0",
        "keep-alive: {both} {said}"
    );
    assert!(curl(&[&url(proxy.web(), "/missing")]).1.starts_with("404"));
    let (_, said) = curl(&["-z", &www.join("hello.txt").display().to_string(), &hello]);
    assert!(said.starts_with("304"), "{said}");
    let put = url(proxy.web(), "/put/a.txt");
    let data = "x".repeat(100_000);
    let file = nginx.directory.put("data", &data).display().to_string();
    assert!(curl(&["-T", &file, &put]).1.starts_with("201"));
    assert!(
        curl(&[
            "-T",
            &file,
            "-H",
            "Transfer-Encoding: chunked",
            "-H",
            "Expect: 100-continue",
            &put
        ])
        .1
        .starts_with("204")
    );
    assert_eq!(fs::read_to_string(www.join("put/a.txt")).unwrap(), data);
}

fn curl_to_python(cell: Cell) {
    let python = Peer::python();
    let listing = python.directory.path().join("www");
    bulk::write_file(&listing.join("file.bin"), 3 * MIB);
    let proxy = Proxy::to(cell, &[python.address], 1);
    let saved = python.directory.path().join("saved");
    let (_, said) = curl(&["-o", &saved.display().to_string(), &url(proxy.web(), "/file.bin")]);
    assert!(said.starts_with("200"));
    assert!(bulk::file_matches(&saved, 3 * MIB));
    assert!(curl(&[&url(proxy.web(), "/")]).0.contains("file.bin"), "the listing");
    assert!(
        curl(&["-d", "a=b", &url(proxy.web(), "/")]).1.starts_with("501"),
        "no POST in http.server"
    );
    assert!(curl(&[&url(proxy.web(), "/")]).1.starts_with("200"), "and nothing is out of step");
}

fn curl_to_node(cell: Cell) {
    let node = Peer::node();
    let proxy = Proxy::to(cell, &[node.address], 1);
    let at = |path: &str| url(proxy.web(), path);
    assert_eq!(curl(&[&at("/a?b=c")]).0, "GET /a?b=c 0");
    assert_eq!(curl(&["-d", "12345", &at("/p")]).0, "POST /p 5");
    let file = node.directory.put("data", &"y".repeat(70_000)).display().to_string();
    assert_eq!(
        curl(&["-T", &file, "-H", "Transfer-Encoding: chunked", &at("/c")]).0,
        "PUT /c 70000"
    );
    assert_eq!(curl(&["-X", "DELETE", &at("/d")]).0, "DELETE /d 0");
    assert_eq!(curl(&["--http1.0", &at("/old")]).0, "GET /old 0");
}

fn curl_with_http_proxy(cell: Cell) {
    let node = Peer::node();
    let proxy = Proxy::to(cell, &[node.address], 1);
    let through = format!("http://{}", proxy.web());
    let (body, said) = curl(&["-x", &through, "http://service.test/path"]);
    assert_eq!((body.as_str(), said.as_str()), ("GET /path 0", "200 1"));
}

fn assert_small(proxy: &Proxy) {
    let peak = process::peak(proxy.pid());
    assert!(peak < 64 * MIB, "{} MiB resident", peak / MIB);
}

fn large_download_from_nginx(cell: Cell) {
    let nginx = Peer::nginx();
    bulk::write_file(&nginx.directory.path().join("www/large"), large());
    let proxy = Proxy::to(cell, &[nginx.address], 1);
    bulk::download(proxy.web(), "/large", large()).unwrap();
    assert_small(&proxy);
}

fn large_upload_to_nginx(cell: Cell) {
    let nginx = Peer::nginx();
    let proxy = Proxy::to(cell, &[nginx.address], 1);
    let head = bulk::upload_chunked(proxy.web(), "PUT", "/put/large", large()).unwrap();
    assert!(head.starts_with("HTTP/1.1 201"), "{head}");
    assert!(bulk::file_matches(&nginx.directory.path().join("www/put/large"), large()));
    assert_small(&proxy);
}

fn large_upload_to_a_strict_origin(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let length = large() / 4;
    let head = bulk::upload_chunked(proxy.web(), "POST", "/large", length).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    wait::until(Duration::from_secs(2), "it is recorded", || !origin.complete("/large").is_empty());
    let seen = &origin.complete("/large")[0];
    assert!(seen.patterned && seen.length == length, "{} of {length} bytes", seen.length);
    assert_small(&proxy);
}
