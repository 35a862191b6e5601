//! Where services come from. The watched directory: changes move traffic at once and without a
//! failed request; mistakes are reported and change nothing. Names that DNS knows.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use ringway_tests::client::{self, Client};
use ringway_tests::load::{Load, Plan};
use ringway_tests::manifest;
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::proxy::Proxy;
use ringway_tests::scratch::Scratch;
use ringway_tests::settings::Settings;
use ringway_tests::wait;

matrix!(
    an_edit_moves_traffic,
    a_swap_of_data_moves_traffic,
    a_broken_manifest_changes_nothing,
    a_removed_endpoint_gets_nothing_more,
    a_service_by_name,
    a_name_that_nobody_knows,
);

const RULE: &str = "- backendRefs: [{name: app, port: 80}]";

fn documents(origins: &[&Origin]) -> String {
    let addresses: Vec<_> = origins.iter().map(|o| o.address).collect();
    manifest::file(&[manifest::service("app", &addresses), manifest::route("r", "web", RULE)])
}

fn watching(cell: Cell, directory: &Path) -> Proxy {
    Proxy::start(cell, Settings::default().workers(2).listener("web", &[]).manifests(directory))
}

/// Waits until `origin` is asked, and says how long that took.
fn moved_to(origin: &Origin) -> Duration {
    let start = Instant::now();
    wait::until(Duration::from_secs(5), "traffic moves", || origin.next_sequence() > 0);
    start.elapsed()
}

fn an_edit_moves_traffic(cell: Cell) {
    let (old, new) = (Origin::echo("old"), Origin::echo("new"));
    let directory = Scratch::new();
    directory.put("app.yaml", &documents(&[&old]));
    let proxy = watching(cell, directory.path());
    let load = Load::start(proxy.web(), &Plan::default());
    load.await_answers(50);
    directory.put("app.yaml", &documents(&[&new]));
    let took = moved_to(&new);
    assert!(took < Duration::from_secs(1), "traffic moved after {took:?}");
    wait::until(Duration::from_secs(1), "the old endpoint is left alone", || {
        let before = old.next_sequence();
        std::thread::sleep(Duration::from_millis(100));
        old.next_sequence() == before
    });
    load.await_answers(50);
    load.stop().assert_flawless();
    new.assert_clean();
}

fn a_swap_of_data_moves_traffic(cell: Cell) {
    // As kubelet updates a ConfigMap: ..data points to a new directory, the names stay links.
    let (old, new) = (Origin::echo("old"), Origin::echo("new"));
    let directory = Scratch::new();
    let at = directory.path();
    for (version, origin) in [("..v1", &old), ("..v2", &new)] {
        fs::create_dir(at.join(version)).unwrap();
        fs::write(at.join(version).join("app.yaml"), documents(&[origin])).unwrap();
    }
    symlink("..v1", at.join("..data")).unwrap();
    symlink("..data/app.yaml", at.join("app.yaml")).unwrap();
    let proxy = watching(cell, at);
    let load = Load::start(proxy.web(), &Plan::default());
    load.await_answers(50);
    symlink("..v2", at.join("..data.new")).unwrap();
    fs::rename(at.join("..data.new"), at.join("..data")).unwrap();
    let took = moved_to(&new);
    assert!(took < Duration::from_secs(1), "traffic moved after {took:?}");
    load.await_answers(50);
    load.stop().assert_flawless();
}

fn a_broken_manifest_changes_nothing(cell: Cell) {
    let (old, new) = (Origin::echo("old"), Origin::echo("new"));
    let directory = Scratch::new();
    directory.put("app.yaml", &documents(&[&old]));
    let proxy = watching(cell, directory.path());
    let load = Load::start(proxy.web(), &Plan::default());
    load.await_answers(20);
    let broken = documents(&[&new]).replace("port: 80, targetPort", "port: eighty, targetPort");
    let line = broken.lines().position(|l| l.contains("eighty")).unwrap() + 1;
    directory.put("app.yaml", &broken);
    let place = format!("app.yaml:{line}:");
    wait::until(Duration::from_secs(3), "the mistake is reported with file and line", || {
        proxy.output().contains(&place)
    });
    let report = proxy.output();
    let report = report.lines().find(|l| l.contains(&place)).unwrap();
    assert!(report.contains("eighty") && report.contains("expected"), "{report}");
    load.await_answers(50);
    assert_eq!(new.next_sequence(), 0, "a broken manifest changes nothing");
    directory.put("app.yaml", &documents(&[&new]));
    let took = moved_to(&new);
    assert!(took < Duration::from_secs(1), "repaired, it works after {took:?}");
    load.stop().assert_flawless();
}

fn a_removed_endpoint_gets_nothing_more(cell: Cell) {
    let (stays, leaves) = (Origin::echo("stays"), Origin::echo("leaves"));
    let directory = Scratch::new();
    directory.put("app.yaml", &documents(&[&stays, &leaves]));
    let proxy = watching(cell, directory.path());
    let mut kept = Client::connect(proxy.web());
    wait::until(Duration::from_secs(5), "both are used", || {
        assert_eq!(kept.get("/").status, 200);
        stays.next_sequence() > 0 && leaves.next_sequence() > 0
    });
    directory.put("app.yaml", &documents(&[&stays]));
    wait::until(Duration::from_secs(2), "its pooled connections are closed", || leaves.open() == 0);
    proxy.await_generation(2.0);
    let before = leaves.next_sequence();
    for _ in 0..50 {
        assert_eq!(client::get(proxy.web(), "/").status, 200);
    }
    assert_eq!(leaves.next_sequence(), before);
}

fn a_service_by_name(cell: Cell) {
    let origin = Origin::echo("o");
    let endpoint = format!("[\"localhost:{}\"]", origin.address.port());
    let settings =
        Settings::default().service_yaml("app", &endpoint).listener("web", &["service: app"]);
    let proxy = Proxy::start(cell, settings);
    let mut client = Client::connect(proxy.web());
    for _ in 0..5 {
        assert_eq!(client.get("/").status, 200);
    }
    origin.assert_clean();
}

fn a_name_that_nobody_knows(cell: Cell) {
    // RFC 6761: names below .invalid do not exist. What else there is is served all the same.
    let origin = Origin::echo("o");
    let settings = Settings::front(&[origin.address])
        .service_yaml("lost", "[\"nobody.invalid:80\"]")
        .listener("lost", &["service: lost"]);
    let proxy = Proxy::start(cell, settings);
    let answer = client::get(proxy.settings.address("lost"), "/");
    assert_eq!(answer.status, 503, "a service without endpoints");
    assert!(answer.value("l5d-proxy-error").is_some());
    assert_eq!(client::get(proxy.web(), "/").status, 200);
    wait::until(Duration::from_secs(10), "the log names it", || {
        proxy.output().contains("nobody.invalid")
    });
}
