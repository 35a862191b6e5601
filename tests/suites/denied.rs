//! A kernel that denies io_uring: the proxy takes epoll, says so, and works.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use ringway_tests::client::Client;
use ringway_tests::load::{Load, Plan};
use ringway_tests::matrix::{Cell, Driver};
use ringway_tests::origin::Origin;
use ringway_tests::proxy::Proxy;
use ringway_tests::settings::Settings;

const DENIED: Cell = Cell { driver: Driver::Denied, meshed: false };

#[test]
fn epoll_is_taken_and_announced() {
    let origin = Origin::echo("o");
    let mut proxy = Proxy::start(DENIED, Settings::front(&[origin.address]).workers(2));
    let drivers = proxy.metrics().by("ringway_driver_info", &[], "driver");
    assert_eq!(drivers, [("epoll".to_owned(), 2.0)]);
    let log = proxy.output();
    assert!(log.contains("epoll"), "the log says so:\n{log}");
    let mut client = Client::connect(proxy.web());
    assert_eq!(client.get("/").status, 200);
    let load = Load::start(proxy.web(), &Plan { body: 3000, ..Plan::default() });
    load.await_answers(200);
    load.stop().assert_flawless();
    proxy.assert_idle();
    proxy.signal(libc::SIGTERM);
    drop(client);
    let status = proxy.exits_within(std::time::Duration::from_secs(5));
    assert_eq!(status.and_then(|s| s.code()), Some(0));
}

#[test]
fn forcing_uring_fails_with_the_reason() {
    let origin = Origin::echo("o");
    let settings = Settings::front(&[origin.address]);
    let yaml = settings.yaml().replace("count: 1", "count: 1, driver: uring");
    let mut proxy = Proxy::launch_text(DENIED, settings, &yaml);
    let status = proxy.exits_within(std::time::Duration::from_secs(5));
    assert!(status.is_some_and(|s| s.code() == Some(1)), "{status:?}\n{}", proxy.output());
    assert!(proxy.output().contains("io_uring"), "{}", proxy.output());
}
