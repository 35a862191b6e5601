//! Who serves what: connections over workers, requests over endpoints, routes over services.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use ringway_tests::client::Client;
use ringway_tests::load::{Load, Plan};
use ringway_tests::manifest;
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::proxy::Proxy;
use ringway_tests::reply::{Act, reply};
use ringway_tests::response::Response;
use ringway_tests::scratch::Scratch;
use ringway_tests::settings::Settings;
use ringway_tests::wait;

matrix!(
    connections_are_balanced_over_workers,
    a_quiet_worker_keeps_what_it_is_handed,
    slow_endpoint_gets_less,
    round_robin_follows_weights,
    routes_by_match,
    routes_by_weight,
    weights_of_three_backends,
    routes_of_grpc,
    route_filters,
    mirror,
    route_timeout,
);

fn connections_are_balanced_over_workers(cell: Cell) {
    let origin = Origin::echo("o");
    let proxy = Proxy::start(cell, Settings::front(&[origin.address]).workers(2));
    let mut clients = Vec::new();
    for round in [4, 8] {
        while clients.len() < round {
            let mut client = Client::connect(proxy.web());
            assert_eq!(client.get("/").status, 200);
            clients.push(client);
        }
        let half = round as f64 / 2.0;
        let mut last = Vec::new();
        let even = wait::poll(Duration::from_secs(2), || {
            last = proxy.metrics().by("ringway_worker_connections", &[], "worker");
            (last.len() == 2 && last.iter().all(|(_, n)| *n == half)).then_some(())
        });
        assert!(even.is_some(), "{round} connections on 2 workers: {last:?}");
    }
}

/// A worker that was handed a connection after a long silence counts its limits from then.
fn a_quiet_worker_keeps_what_it_is_handed(cell: Cell) {
    let origin = Origin::echo("o");
    let settings = Settings::front(&[origin.address]).workers(2).timeout("head", "500ms");
    let proxy = Proxy::start(cell, settings);
    std::thread::sleep(Duration::from_millis(1200));
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(proxy.web())).collect();
    for client in &mut clients {
        assert_eq!(client.ends_within(Duration::from_millis(50)), None);
        assert_eq!(client.get("/").status, 200);
    }
}

fn slow_endpoint_gets_less(cell: Cell) {
    let fast = Origin::echo("fast");
    let slow = Origin::scripted("slow", |_, moment| {
        if moment == ringway_tests::origin::Moment::Whole {
            std::thread::sleep(Duration::from_millis(60));
        }
        None
    });
    let proxy = Proxy::start(cell, Settings::front(&[fast.address, slow.address]));
    let load = Load::start(proxy.web(), &Plan::default());
    load.await_answers(400);
    let outcome = load.stop();
    outcome.assert_flawless();
    let share = outcome.origins.get("slow").copied().unwrap_or(0) as f64 / outcome.right as f64;
    assert!(
        share < 0.15,
        "the slow endpoint got {share:.2} of the requests: {:?}",
        outcome.origins
    );
}

fn round_robin_follows_weights(cell: Cell) {
    let (a, b) = (Origin::echo("a"), Origin::echo("b"));
    let yaml = format!(
        "{{balancer: round-robin, endpoints: [{{address: \"{}\", weight: 1}}, {{address: \"{}\", weight: 3}}]}}",
        a.address, b.address
    );
    let settings =
        Settings::default().service_yaml("app", &yaml).listener("web", &["service: app"]);
    let proxy = Proxy::start(cell, settings);
    let mut client = Client::connect(proxy.web());
    for _ in 0..80 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!((a.complete("/").len(), b.complete("/").len()), (20, 60));
}

/// A proxy over two services, `red` and `blue`, with these rules on listener `web`.
struct Routed {
    red: Origin,
    blue: Origin,
    proxy: Proxy,
    _directory: Scratch,
}

fn routed(cell: Cell, rules: &str) -> Routed {
    let (red, blue) = (Origin::echo("red"), Origin::echo("blue"));
    let directory = Scratch::new();
    let documents = [
        manifest::service("red", &[red.address]),
        manifest::service("blue", &[blue.address]),
        manifest::route("routes", "web", rules),
    ];
    directory.put("all.yaml", &manifest::file(&documents));
    let settings = Settings::default().listener("web", &[]).manifests(directory.path());
    Routed { red, blue, proxy: Proxy::start(cell, settings), _directory: directory }
}

fn served_by(answer: &Response) -> &str {
    answer.origin().and_then(|o| o.split_once('-')).map_or("nobody", |(name, _)| name)
}

fn routes_by_match(cell: Cell) {
    let it = routed(
        cell,
        "- matches: [{path: {type: Exact, value: /exact}}]\n  backendRefs: [{name: blue, port: 80}]\n\
         - matches: [{path: {type: PathPrefix, value: /a}}]\n  backendRefs: [{name: red, port: 80}]\n\
         - matches: [{path: {type: PathPrefix, value: /a/b}}]\n  backendRefs: [{name: blue, port: 80}]\n\
         - matches: [{path: {type: RegularExpression, value: \"/r/[0-9]+\"}}]\n  backendRefs: [{name: red, port: 80}]\n\
         - matches: [{path: {type: PathPrefix, value: /h}, headers: [{name: X-Colour, value: blue}]}]\n  backendRefs: [{name: blue, port: 80}]\n\
         - matches: [{path: {type: PathPrefix, value: /h}}]\n  backendRefs: [{name: red, port: 80}]\n\
         - matches: [{method: DELETE}]\n  backendRefs: [{name: blue, port: 80}]\n\
         - matches: [{queryParams: [{name: colour, value: red}]}]\n  backendRefs: [{name: red, port: 80}]",
    );
    let mut client = Client::connect(it.proxy.web());
    for (request, want) in [
        ("GET /exact", "blue"),
        ("GET /a", "red"),
        ("GET /a/c", "red"),
        ("GET /a/b/c", "blue"),
        ("GET /r/42", "red"),
        ("GET /h", "red"),
        ("DELETE /else", "blue"),
        ("GET /else?x=1&colour=red", "red"),
        ("GET /ab", "nobody"),
        ("GET /exact/not", "nobody"),
    ] {
        let answer = client.ask(&format!("{request} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        assert_eq!(served_by(&answer), want, "{request}: {}", answer.status);
        assert_eq!(answer.status, if want == "nobody" { 404 } else { 200 });
    }
    let answer = client.ask("GET /h HTTP/1.1\r\nHost: a.test\r\nx-colour: blue\r\n\r\n");
    assert_eq!(served_by(&answer), "blue");
    it.red.assert_clean();
}

fn routes_by_weight(cell: Cell) {
    let it = routed(
        cell,
        "- backendRefs: [{name: red, port: 80, weight: 90}, {name: blue, port: 80, weight: 10}]",
    );
    let mut client = Client::connect(it.proxy.web());
    for _ in 0..400 {
        assert_eq!(client.get("/").status, 200);
    }
    let blue = it.blue.complete("/").len();
    // 40 are expected; a binomial share leaves 12…75 once in some million runs.
    assert!(
        (12..75).contains(&blue),
        "{blue} of 400 went to the backend with a tenth of the weight"
    );
}

fn weights_of_three_backends(cell: Cell) {
    // `ghost` is no service: its share gets 500 (Gateway API), and a weight of 0 gets nothing.
    let it = routed(
        cell,
        "- backendRefs: [{name: red, port: 80, weight: 3}, {name: ghost, port: 80, weight: 1}, {name: blue, port: 80, weight: 0}]",
    );
    let mut client = Client::connect(it.proxy.web());
    let mut failed = 0;
    for _ in 0..400 {
        let answer = client.get("/");
        match (answer.status, served_by(&answer)) {
            (200, "red") => {}
            (500, "nobody") => failed += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(it.blue.next_sequence(), 0);
    assert_eq!(it.red.complete("/").len(), 400 - failed);
    // 100 are expected; a binomial share leaves 58…145 once in some million runs.
    assert!((58..145).contains(&failed), "{failed} of 400 went to the quarter that is not there");
}

fn routes_of_grpc(cell: Cell) {
    let (red, blue) = (Origin::echo("red"), Origin::echo("blue"));
    let directory = Scratch::new();
    let rules = "- matches: [{method: {service: pkg.Svc, method: Get}}]\n  backendRefs: [{name: blue, port: 80}]\n\
                 - matches: [{method: {service: pkg.Svc}}]\n  backendRefs: [{name: red, port: 80}]\n\
                 - matches: [{method: {method: Ping}, headers: [{name: X-Colour, value: blue}]}]\n  backendRefs: [{name: blue, port: 80}]";
    let documents = [
        manifest::service("red", &[red.address]),
        manifest::service("blue", &[blue.address]),
        manifest::grpc_route("calls", "web", rules),
    ];
    directory.put("all.yaml", &manifest::file(&documents));
    let settings = Settings::default().listener("web", &[]).manifests(directory.path());
    let proxy = Proxy::start(cell, settings);
    let mut client = Client::connect(proxy.web());
    for (request, want) in [
        ("POST /pkg.Svc/Get", "blue"),
        ("POST /pkg.Svc/Put", "red"),
        ("POST /other.Svc/Ping", "blue"),
        ("POST /other.Svc/Get", "nobody"),
        ("POST /pkg.SvcX/Get", "nobody"),
        ("POST /pkgxSvc/Get", "nobody"),
        ("GET /pkg.Svc/Get", "nobody"),
    ] {
        let answer = client.ask(&format!(
            "{request} HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/grpc\r\n\
             X-Colour: blue\r\nContent-Length: 0\r\n\r\n"
        ));
        assert_eq!(served_by(&answer), want, "{request}: {}", answer.status);
        assert_eq!(answer.status, if want == "nobody" { 404 } else { 200 }, "{request}");
    }
    red.assert_clean();
}

fn route_filters(cell: Cell) {
    let it = routed(
        cell,
        "- matches: [{path: {type: PathPrefix, value: /old}}]\n  filters:\n  - type: RequestRedirect\n    \
         requestRedirect: {hostname: new.test, statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}\n\
         - matches: [{path: {type: PathPrefix, value: /api}}]\n  filters:\n  - type: URLRewrite\n    \
         urlRewrite: {hostname: inner.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /v2}}\n  \
         - type: RequestHeaderModifier\n    requestHeaderModifier: {set: [{name: X-Set, value: ours}], add: [{name: X-Add, value: two}], remove: [X-Gone]}\n  \
         - type: ResponseHeaderModifier\n    responseHeaderModifier: {set: [{name: X-Answer, value: edited}], remove: [Content-Type]}\n  \
         backendRefs: [{name: red, port: 80}]",
    );
    let mut client = Client::connect(it.proxy.web());
    let answer = client.get("/old/page?q=1");
    assert_eq!(answer.status, 301);
    let location = answer.value("location").unwrap_or("");
    assert!(
        location.starts_with("http://new.test") && location.ends_with("/new/page?q=1"),
        "{location:?}"
    );
    let answer = client.ask("GET /api/users?x=%20 HTTP/1.1\r\nHost: a.test\r\nX-Set: theirs\r\nX-Add: one\r\nX-Gone: 1\r\n\r\n");
    assert_eq!((answer.status, answer.value("x-answer")), (200, Some("edited")));
    assert!(answer.values("content-type").is_empty());
    let seen = &it.red.complete("/v2/users?x=%20")[0];
    assert_eq!(seen.value("host"), Some("inner.test"));
    assert_eq!(seen.value("x-set"), Some("ours"));
    assert_eq!(seen.values("x-add"), ["one", "two"]);
    assert!(seen.values("x-gone").is_empty());
    it.red.assert_clean();
}

fn mirror(cell: Cell) {
    let it = routed(
        cell,
        "- filters:\n  - type: RequestMirror\n    requestMirror: {backendRef: {name: blue, port: 80}}\n  backendRefs: [{name: red, port: 80}]",
    );
    let mut client = Client::connect(it.proxy.web());
    for i in 0..5 {
        let answer = client
            .ask(&format!("POST /m{i} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello"));
        assert_eq!(served_by(&answer), "red");
    }
    wait::until(Duration::from_secs(3), "the mirror has all copies", || {
        it.blue.complete("/m").len() == 5
    });
    assert!(it.blue.complete("/m").iter().all(|r| r.body == b"hello"));
    assert_eq!(it.red.complete("/m").len(), 5);
    it.blue.assert_clean();
}

fn route_timeout(cell: Cell) {
    let hang = Origin::acting("hang", |r| match r.target.as_str() {
        "/hang" => Vec::new(),
        _ => vec![Act::Send(reply(200, &[], b"x"))],
    });
    let directory = Scratch::new();
    let rules = "- timeouts: {request: 500ms}\n  backendRefs: [{name: hang, port: 80}]";
    let documents =
        [manifest::service("hang", &[hang.address]), manifest::route("r", "web", rules)];
    directory.put("all.yaml", &manifest::file(&documents));
    let proxy =
        Proxy::start(cell, Settings::default().listener("web", &[]).manifests(directory.path()));
    let mut client = Client::connect(proxy.web());
    let start = std::time::Instant::now();
    assert_eq!(client.get("/hang").status, 504);
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
    assert_eq!(Client::connect(proxy.web()).get("/next").status, 200);
}
