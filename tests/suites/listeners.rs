//! The kinds of listeners beside the gateway: outbound by Host and as `http_proxy`, inbound to a
//! local application, and CONNECT where it is allowed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use ringway_tests::client::Client;
use ringway_tests::manifest;
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::proxy::Proxy;
use ringway_tests::response::Response;
use ringway_tests::scratch::Scratch;
use ringway_tests::settings::Settings;
use ringway_tests::strict::End;
use ringway_tests::wait;

matrix!(
    outbound_by_host,
    outbound_as_http_proxy,
    outbound_route_of_a_service,
    inbound_to_the_local_application,
    connect_opens_a_tunnel_to_a_known_service,
    connect_to_the_unknown_is_not_found,
    connect_is_refused_unless_allowed,
);

const SOON: Duration = Duration::from_secs(3);

/// An outbound listener `web` in front of service `api` in two namespaces and of `db` in one.
struct Mesh {
    home: Origin,
    away: Origin,
    proxy: Proxy,
    _directory: Scratch,
}

fn mesh(cell: Cell, keys: &[&str], route: &str) -> Mesh {
    let (home, away) = (Origin::echo("home"), Origin::echo("away"));
    let directory = Scratch::new();
    let at_home = manifest::service("api", &[home.address]);
    let elsewhere = ["api", "db"].map(|name| manifest::service(name, &[away.address]));
    let elsewhere = manifest::in_namespace("shop", &manifest::file(&elsewhere));
    let mut documents = vec![at_home, elsewhere];
    documents.extend((!route.is_empty()).then(|| route.to_owned()));
    directory.put("all.yaml", &manifest::file(&documents));
    let keys = [&["kind: outbound"], keys].concat();
    let settings = Settings::default().listener("web", &keys).manifests(directory.path());
    Mesh { home, away, proxy: Proxy::start(cell, settings), _directory: directory }
}

fn served_by(answer: &Response) -> &str {
    answer.origin().and_then(|o| o.split_once('-')).map_or("nobody", |(name, _)| name)
}

fn outbound_by_host(cell: Cell) {
    let it = mesh(cell, &[], "");
    let mut client = Client::connect(it.proxy.web());
    for (host, want) in [
        ("api", "home"),
        ("API.", "home"),
        ("api:80", "home"),
        ("api.default", "home"),
        ("api.shop", "away"),
        ("api.shop.svc", "away"),
        ("Api.Shop.Svc.Cluster.Local", "away"),
        ("api.shop.svc.cluster.local.:80", "away"),
        ("db.shop", "away"),
        ("db", "nobody"),
        ("api.nowhere", "nobody"),
        ("api.shop:8080", "nobody"),
        ("shop", "nobody"),
    ] {
        let answer = client.ask(&format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(served_by(&answer), want, "{host}: {}", answer.status);
        assert_eq!(answer.status, if want == "nobody" { 404 } else { 200 }, "{host}");
    }
    let seen = &it.home.complete("/x")[0];
    assert_eq!(seen.value("host"), Some("api"));
    assert!(seen.values("x-forwarded-for").is_empty(), "between sidecars nothing is added");
    it.home.assert_clean();
    it.away.assert_clean();
}

fn outbound_as_http_proxy(cell: Cell) {
    let it = mesh(cell, &[], "");
    let mut client = Client::connect(it.proxy.web());
    for (request, want) in [
        ("GET http://api/p?q=1 HTTP/1.1\r\nHost: api", "home"),
        ("GET http://api.shop/p?q=1 HTTP/1.1\r\nHost: api.shop", "away"),
        // RFC 9112 3.2.2: the target counts, whatever the Host says.
        ("GET HTTP://api.shop:80/p?q=1 HTTP/1.1\r\nHost: api", "away"),
        ("GET http://db.shop.svc.cluster.local/p?q=1 HTTP/1.1\r\nHost: x", "away"),
        ("GET http://db/p?q=1 HTTP/1.1\r\nHost: api", "nobody"),
        ("GET http://api.shop:81/p?q=1 HTTP/1.1\r\nHost: api.shop", "nobody"),
    ] {
        let answer = client.ask(&format!("{request}\r\n\r\n"));
        assert_eq!(served_by(&answer), want, "{request}: {}", answer.status);
        assert_eq!(answer.status, if want == "nobody" { 404 } else { 200 }, "{request}");
    }
    let answer = client.ask("GET http://api.shop HTTP/1.1\r\nHost: api.shop\r\n\r\n");
    assert!(answer.text().contains(" target=/ "), "an empty path is /: {:?}", answer.text());
    let seen = it.away.complete("/p?q=1");
    let hosts: Vec<_> = seen.iter().filter_map(|r| r.value("host")).collect();
    assert_eq!(hosts, ["api.shop", "api.shop:80", "db.shop.svc.cluster.local"]);
    assert!(seen.iter().all(|r| r.target == "/p?q=1"), "the origin form goes upstream");
    it.home.assert_clean();
    it.away.assert_clean();
}

fn outbound_route_of_a_service(cell: Cell) {
    let rule = "- matches: [{path: {type: PathPrefix, value: /shop}}]\n  \
                backendRefs: [{name: api, namespace: shop, port: 80}]";
    let route = manifest::route("r", "api", rule).replace(
        "{group: gateway.networking.k8s.io, kind: Gateway, name: api}",
        "{group: \"\", kind: Service, name: api, port: 80}",
    );
    let it = mesh(cell, &[], &route);
    let mut client = Client::connect(it.proxy.web());
    for (path, want, status) in [("/shop/1", "away", 200), ("/else", "nobody", 404)] {
        let answer = client.ask(&format!("GET {path} HTTP/1.1\r\nHost: api\r\n\r\n"));
        assert_eq!((served_by(&answer), answer.status), (want, status), "{path}");
    }
    let answer = client.ask("GET /else HTTP/1.1\r\nHost: api.shop\r\n\r\n");
    assert_eq!(served_by(&answer), "away", "the route is of the other service");
}

fn inbound_to_the_local_application(cell: Cell) {
    let app = Origin::echo("app");
    let target = format!("target: {}", app.address);
    let settings = Settings::default().listener("web", &["kind: inbound", &target]);
    let proxy = Proxy::start(cell, settings);
    let mut client = Client::connect(proxy.web());
    for host in ["app.default", "anything.test:8080", "10.0.0.1"] {
        let answer = client.ask(&format!(
            "POST /in?x=1 HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhello"
        ));
        assert_eq!((answer.status, served_by(&answer)), (200, "app"), "{host}");
    }
    let hosts: Vec<_> =
        app.complete("/in?x=1").iter().filter_map(|r| r.value("host").map(str::to_owned)).collect();
    assert_eq!(hosts, ["app.default", "anything.test:8080", "10.0.0.1"], "as the client sent it");
    let labels = [("direction", "inbound")];
    wait::until(SOON, "it counts as inbound", || {
        proxy.metrics().sum("response_total", &labels) >= 3.0
    });
    app.assert_clean();
}

fn connect_opens_a_tunnel_to_a_known_service(cell: Cell) {
    let it = mesh(cell, &["allow_connect: true"], "");
    for (number, host) in ["api.shop:80", "API.shop.svc.cluster.local:80"].iter().enumerate() {
        let mut client = Client::connect(it.proxy.web());
        let answer = client.ask(&format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.status, 200, "{:?}", answer.fields);
        let framed =
            answer.values("content-length").len() + answer.values("transfer-encoding").len();
        assert_eq!(framed, 0, "RFC 9110 9.3.6: no framing in a 2xx to CONNECT");
        // What goes through is none of the proxy's business: not even the Host is looked at.
        for i in 0..2 {
            let inner = client.ask(&format!("GET /in/{i} HTTP/1.1\r\nHost: db\r\n\r\n"));
            assert_eq!(served_by(&inner), "away");
            assert!(inner.values("via").is_empty(), "a tunnel adds nothing");
        }
        client.finish();
        assert!(client.ends_within(SOON).is_some(), "the end of one side ends the other");
        assert!(it.away.complete("/in/").iter().all(|r| r.values("via").is_empty()));
        assert_eq!(it.away.ends().len(), number + 1, "one connection for each tunnel");
    }
    let plain =
        Client::connect(it.proxy.web()).ask("GET /plain HTTP/1.1\r\nHost: api.shop\r\n\r\n");
    assert_eq!(plain.status, 200);
    assert_eq!(it.away.complete("/plain")[0].connection, 2, "a tunnel is never pooled");
    it.away.assert_clean();
}

fn connect_to_the_unknown_is_not_found(cell: Cell) {
    let it = mesh(cell, &["allow_connect: true"], "");
    let elsewhere = it.away.address.to_string();
    for host in ["nowhere.test:80", "api.shop:443", &elsewhere] {
        let mut client = Client::connect(it.proxy.web());
        let answer = client.ask(&format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.status, 404, "{host}");
        assert!(answer.value("l5d-proxy-error").is_some(), "{host}");
    }
    assert!(it.away.ends().is_empty(), "nobody is connected to");
}

fn connect_is_refused_unless_allowed(cell: Cell) {
    let it = mesh(cell, &[], "");
    let mut client = Client::connect(it.proxy.web());
    // What follows must not be taken for a request while the client believes in a tunnel.
    client.send("CONNECT api.shop:80 HTTP/1.1\r\nHost: api.shop:80\r\n\r\nGET / HTTP/1.1\r\nHost: api\r\n\r\n");
    let answer = client.response_to("CONNECT").unwrap();
    assert_eq!(answer.status, 405);
    assert!(answer.closes());
    assert!(matches!(client.ends_within(SOON), Some(End::Fin)));
    assert!(client.rest().is_empty() && it.home.requests().is_empty());
}
