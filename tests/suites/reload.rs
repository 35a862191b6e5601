//! SIGHUP and saving the file: all or nothing, and what did not change is not disturbed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use ringway_tests::client::Client;
use ringway_tests::load::{Load, Plan};
use ringway_tests::matrix;
use ringway_tests::matrix::Cell;
use ringway_tests::origin::Origin;
use ringway_tests::proxy::Proxy;
use ringway_tests::settings::Settings;
use ringway_tests::wait;

matrix!(
    new_listener_appears_and_the_old_one_keeps_its_connections,
    removed_listener_goes,
    services_change_without_a_failed_request,
    bad_configuration_keeps_the_old,
    saving_the_file_is_enough,
);

const SOON: Duration = Duration::from_secs(4);

fn reload(proxy: &Proxy) {
    proxy.write();
    proxy.signal(libc::SIGHUP);
}

fn new_listener_appears_and_the_old_one_keeps_its_connections(cell: Cell) {
    let origin = Origin::echo("o");
    let mut proxy = Proxy::start(cell, Settings::front(&[origin.address]).workers(2));
    let mut kept = Client::connect(proxy.web());
    assert_eq!(kept.get("/before").status, 200);
    proxy.settings = proxy.settings.clone().listener("more", &["service: app"]);
    let more = proxy.settings.address("more");
    assert!(Client::try_connect(more).is_err());
    reload(&proxy);
    wait::until(SOON, "the new listener accepts", || Client::try_connect(more).is_ok());
    assert_eq!(Client::connect(more).get("/more").status, 200);
    assert_eq!(kept.get("/after").status, 200, "on the same connection");
    assert!(kept.end().is_none());
}

fn removed_listener_goes(cell: Cell) {
    let origin = Origin::echo("o");
    let settings = Settings::front(&[origin.address]).listener("more", &["service: app"]);
    let mut proxy = Proxy::start(cell, settings);
    let more = proxy.settings.address("more");
    let mut on_it = Client::connect(more);
    assert_eq!(on_it.get("/").status, 200);
    proxy.settings.listeners.pop();
    reload(&proxy);
    wait::until(SOON, "the listener is closed", || Client::try_connect(more).is_err());
    assert_eq!(Client::connect(proxy.web()).get("/").status, 200);
}

fn services_change_without_a_failed_request(cell: Cell) {
    let (old, new) = (Origin::echo("old"), Origin::echo("new"));
    let mut proxy = Proxy::start(cell, Settings::front(&[old.address]).workers(2));
    let load = Load::start(proxy.web(), &Plan::default());
    load.await_answers(50);
    proxy.settings.services.clear();
    proxy.settings = proxy.settings.clone().service("app", &[new.address]);
    reload(&proxy);
    wait::until(SOON, "traffic moves", || new.next_sequence() > 0);
    load.await_answers(50);
    let outcome = load.stop();
    outcome.assert_flawless();
    assert!(outcome.origins.contains_key("new"));
}

fn bad_configuration_keeps_the_old(cell: Cell) {
    let origin = Origin::echo("o");
    let mut proxy = Proxy::start(cell, Settings::front(&[origin.address]));
    let mut kept = Client::connect(proxy.web());
    assert_eq!(kept.get("/before").status, 200);
    let bad = proxy.settings.yaml().replace("head: 2s", "head: soon\n  haed: 2s");
    proxy.write_text(&bad);
    proxy.signal(libc::SIGHUP);
    wait::until(SOON, "both mistakes are reported", || {
        let output = proxy.output();
        output.contains("soon") && output.contains("haed")
    });
    let line = bad.lines().position(|l| l.contains("soon")).unwrap() + 1;
    assert!(proxy.output().contains(&format!("ringway.yaml:{line}:")), "{}", proxy.output());
    assert_eq!(kept.get("/after").status, 200);
    assert_eq!(Client::connect(proxy.web()).get("/new").status, 200);
    proxy.settings = proxy.settings.clone().listener("more", &["service: app"]);
    let more = proxy.settings.address("more");
    reload(&proxy);
    wait::until(SOON, "a good configuration is taken afterwards", || {
        Client::try_connect(more).is_ok()
    });
    proxy.assert_well();
}

fn saving_the_file_is_enough(cell: Cell) {
    let (old, new) = (Origin::echo("old"), Origin::echo("new"));
    let mut proxy = Proxy::start(cell, Settings::front(&[old.address]));
    let mut kept = Client::connect(proxy.web());
    assert_eq!(kept.get("/before").status, 200);
    // By renaming a new file over it, as editors do.
    proxy.settings.services.clear();
    proxy.settings = proxy.settings.clone().service("app", &[new.address]);
    proxy.write();
    wait::until(SOON, "traffic moves", || {
        kept.get("/after").origin().is_some_and(|o| o.starts_with("new"))
    });
    // In place, as `>` does.
    proxy.settings = proxy.settings.clone().listener("more", &["service: app"]);
    let more = proxy.settings.address("more");
    proxy.overwrite();
    wait::until(SOON, "the new listener accepts", || Client::try_connect(more).is_ok());
    assert_eq!(kept.get("/still").status, 200, "on the connection from before");
}
