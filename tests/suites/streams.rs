//! TCPRoute and TLSRoute through real sockets: shares, server names with real TLS at both ends, what
//! leads nowhere; and BackendTLSPolicy, behind which no request goes in plaintext.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use ringway_tests::admin;
use ringway_tests::client::Client;
use ringway_tests::manifest;
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::proxy::Proxy;
use ringway_tests::scratch::Scratch;
use ringway_tests::settings::Settings;
use ringway_tests::tcp::{self, Server};
use ringway_tests::tls;
use ringway_tests::wait;

matrix!(
    tls_goes_by_server_name,
    an_unfinished_hello_reaches_nobody,
    connections_are_split_by_weight,
    a_tunnel_follows_its_service_s_routes,
    what_demands_tls_gets_no_request,
);

const SOON: Duration = Duration::from_secs(20);

/// A route of connections; `parents`, `names` and `backends` are the items of their lists.
fn route(kind: &str, name: &str, parents: &str, names: &str, backends: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n  \
         parentRefs: [{parents}]\n  hostnames: [{names}]\n  rules: [{{backendRefs: [{backends}]}}]\n"
    )
}

fn backend(name: &str, weight: u32) -> String {
    format!("{{name: {name}, port: 80, weight: {weight}}}")
}

/// Two TLS servers, `one` for `one.shop.test` and `two` for `*.shop.test`.
struct Secured {
    _directory: Scratch,
    authorities: String,
    servers: [ringway_tests::peer::Peer; 2],
}

impl Secured {
    fn new() -> Self {
        let directory = Scratch::new();
        let one = tls::certificate(&directory, "one", "one.shop.test");
        let two = tls::certificate(&directory, "two", "*.shop.test");
        let both = [&one, &two].map(|(path, _)| fs::read_to_string(path).unwrap()).concat();
        let authorities = directory.put("both.pem", &both).display().to_string();
        let servers = [tls::server("one", &one), tls::server("two", &two)];
        Self { _directory: directory, authorities, servers }
    }

    /// Services `one` and `two`, and these routes.
    fn documents(&self, routes: &[String]) -> String {
        let [one, two] = &self.servers;
        let services =
            [manifest::service("one", &[one.address]), manifest::service("two", &[two.address])];
        manifest::file(&[&services[..], routes].concat())
    }

    fn ask(&self, at: SocketAddr, names: &[&str]) -> Vec<String> {
        tls::ask(at, &self.authorities, names)
    }
}

const RESET: &str = "ConnectionResetError";

fn tls_goes_by_server_name(cell: Cell) {
    let secured = Secured::new();
    let web = "{name: web}";
    let routes = [
        route("TLSRoute", "a", web, "one.shop.test", &backend("one", 1)),
        route("TLSRoute", "b", web, "\"*.shop.test\"", &backend("two", 1)),
        route("TLSRoute", "c", web, "gone.shop.test", &backend("gone", 1)),
        route("TLSRoute", "d", web, "never.shop.test", &backend("one", 0)),
    ];
    let manifests = Scratch::new();
    manifests.put("all.yaml", &secured.documents(&routes));
    let settings = Settings::default().workers(2).listener("web", &["protocol: detect"]);
    let proxy = Proxy::start(cell, settings.manifests(manifests.path()));
    let names = [
        "one.shop.test",
        "a.shop.test",
        "ONE.shop.test",
        "gone.shop.test",
        "never.shop.test",
        "shop.test",
        "-",
    ];
    let said = secured.ask(proxy.web(), &names);
    assert_eq!(said, ["one", "two", "one", RESET, RESET, RESET, RESET]);
    // What is no TLS has no route here.
    let mut plain = tcp::connect(proxy.web());
    plain.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").unwrap();
    assert_eq!(plain.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let answer = Client::connect(proxy.web()).ask("GET / HTTP/1.1\r\nHost: one.shop.test\r\n\r\n");
    assert_eq!(answer.status, 404);
    // Then clients without a name of these go to a TCPRoute's.
    let rest = route("TCPRoute", "rest", web, "", &backend("two", 1));
    manifests.put("rest.yaml", &rest);
    wait::until(SOON, "the new route is in use", || secured.ask(proxy.web(), &["-"]) == ["two"]);
    assert_eq!(secured.ask(proxy.web(), &["one.shop.test", "gone.shop.test"]), ["one", RESET]);
}

fn an_unfinished_hello_reaches_nobody(cell: Cell) {
    let server = Server::echo();
    let manifests = Scratch::new();
    let routes = [
        manifest::service("app", &[server.address]),
        route("TLSRoute", "a", "{name: web}", "a.test", &backend("app", 1)),
        route("TCPRoute", "b", "{name: web}", "", &backend("app", 1)),
    ];
    manifests.put("all.yaml", &manifest::file(&routes));
    let settings = Settings::default().listener("web", &["protocol: detect"]);
    let settings = settings.timeout("detect", "500ms").manifests(manifests.path());
    let proxy = Proxy::start(cell, settings);
    let begun = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for end in [true, false] {
        let mut client = tcp::connect(proxy.web());
        client.write_all(begun).unwrap();
        if end {
            client.shutdown(Shutdown::Write).unwrap();
        }
        // It is closed, be it with a reset for what nobody has read.
        match client.read(&mut [0; 1]) {
            Ok(read) => assert_eq!(read, 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    assert_eq!(server.accepted(), 0);
    let mut plain = tcp::connect(proxy.web());
    plain.write_all(b"\0opaque").unwrap();
    plain.read_exact(&mut [0; 7]).unwrap();
}

/// Whether a server speaks; else the connection is reset, perhaps before it is known to be one.
fn is_greeted(address: SocketAddr) -> bool {
    let mut said = [0; 3];
    let greeted = TcpStream::connect_timeout(&address, SOON).and_then(|mut stream| {
        let _ = stream.set_read_timeout(Some(SOON));
        stream.read_exact(&mut said)
    });
    if let Err(error) = &greeted {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    greeted.is_ok()
}

fn connections_are_split_by_weight(cell: Cell) {
    const CONNECTIONS: usize = 240;
    let servers = [Server::greeting(b"one"), Server::greeting(b"two"), Server::greeting(b"never")];
    let names = ["one", "two", "never"];
    let services = names.iter().zip(&servers).map(|(n, s)| manifest::service(n, &[s.address]));
    let backends = [backend("one", 3), backend("two", 1), backend("never", 0), backend("gone", 4)];
    let split = route("TCPRoute", "split", "{name: web}", "", &backends.join(", "));
    let documents: Vec<_> = services.chain([split]).collect();
    let manifests = Scratch::new();
    manifests.put("all.yaml", &manifest::file(&documents));
    let settings = Settings::default().workers(2).listener("web", &["protocol: opaque"]);
    let proxy = Proxy::start(cell, settings.manifests(manifests.path()));
    let resets = (0..CONNECTIONS).filter(|_| !is_greeted(proxy.web())).count();
    let [one, two, never] = servers.each_ref().map(Server::accepted);
    assert_eq!(one + two + resets, CONNECTIONS);
    assert_eq!(never, 0);
    // Of 240: 90, 30 and 120, with five standard deviations of room.
    assert!((52..=128).contains(&one), "{one}");
    assert!((5..=56).contains(&two), "{two}");
    assert!((81..=159).contains(&resets), "{resets}");
}

fn a_tunnel_follows_its_service_s_routes(cell: Cell) {
    let (one, two) = (Server::greeting(b"one"), Server::greeting(b"two"));
    let services =
        [manifest::service("app", &[one.address]), manifest::service("two", &[two.address])];
    let parent = "{kind: Service, group: '', name: app}";
    let tcp = route("TCPRoute", "r", parent, "", &backend("two", 1));
    let manifests = Scratch::new();
    manifests.put("all.yaml", &manifest::file(&[&services[..], &[tcp]].concat()));
    let settings = Settings::default().listener("web", &["kind: outbound", "allow_connect: true"]);
    let proxy = Proxy::start(cell, settings.manifests(manifests.path()));
    let connect = || {
        let mut client = tcp::connect(proxy.web());
        client.write_all(b"CONNECT app:80 HTTP/1.1\r\nHost: app:80\r\n\r\n").unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"one") && !said.ends_with(b"two") {
            let mut byte = [0; 1];
            match client.read(&mut byte) {
                Ok(1) => said.push(byte[0]),
                _ => break,
            }
            if said.ends_with(b"\r\n\r\n") && !said.starts_with(b"HTTP/1.1 2") {
                break;
            }
        }
        String::from_utf8(said).unwrap()
    };
    assert!(connect().ends_with("two"));
    let tls = route("TLSRoute", "s", parent, "any.test", &backend("app", 1));
    manifests.put("tls.yaml", &tls);
    wait::until(SOON, "TLSRoute goes first", || connect().ends_with("one"));
    let answer = Client::connect(proxy.web()).ask("GET / HTTP/1.1\r\nHost: app\r\n\r\n");
    assert_eq!(answer.status, 404, "no request goes into TLS");
    manifests.put("tls.yaml", &tls.replace("name: app, port: 80, w", "name: gone, port: 80, w"));
    wait::until(SOON, "what is gone is an error", || connect().starts_with("HTTP/1.1 500"));
}

fn what_demands_tls_gets_no_request(cell: Cell) {
    let app = Origin::echo("app");
    let manifests = Scratch::new();
    let rules = "- backendRefs: [{name: app, port: 80}]";
    let documents = [manifest::service("app", &[app.address]), manifest::route("r", "web", rules)];
    manifests.put("all.yaml", &manifest::file(&documents));
    let settings = Settings::default().listener("web", &[]);
    let proxy = Proxy::start(cell, settings.manifests(manifests.path()));
    let ask = || Client::connect(proxy.web()).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(ask().status, 200);
    let policy = "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\n\
                  metadata: {name: strict}\nspec:\n  \
                  targetRefs: [{group: '', kind: Service, name: app}]\n  \
                  validation: {hostname: app.test, wellKnownCACertificates: System}\n";
    manifests.put("policy.yaml", policy);
    wait::until(SOON, "the policy is known", || ask().status == 502);
    let before = app.next_sequence();
    let answer = ask();
    let why = answer.value("l5d-proxy-error").unwrap_or_default();
    assert!(why.contains("BackendTLSPolicy"), "{why}");
    let (_, shown) = admin::get(proxy.settings.admin, "/discovery").unwrap();
    assert!(shown.contains("BackendTLSPolicy default/strict: TLS to endpoints"), "{shown}");
    thread::sleep(Duration::from_millis(100));
    assert_eq!(app.next_sequence(), before, "nothing has arrived");
    fs::remove_file(manifests.path().join("policy.yaml")).unwrap();
    wait::until(SOON, "without the policy it is as before", || ask().status == 200);
}
