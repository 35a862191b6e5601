//! Lookups on simulated time, with the API server played by the tests.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::Ipv4Addr;

use ringway_core::policy::route::PlainHost;
use ringway_core::snapshot::Balancer;

use super::asks::{MOST_HOSTS, MOST_LOOKING, MOST_QUEUED};
use super::*;
use crate::object::{
    Backend, ParentKind, ParentRef, Route, RouteKind, RouteRule, Service, ServiceKind, ServicePort,
};

const HOUR: Duration = Duration::from_secs(3600);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The state machine, an index, and a clock.
struct Lab {
    demand: Demand,
    index: Index,
    now: Instant,
    /// What an API server has.
    there: BTreeSet<NamespacedName>,
    /// What it was asked so far.
    asked: usize,
    wants: Wants,
}

fn name(text: &str) -> NamespacedName {
    let (namespace, name) = text.split_once('/').unwrap();
    NamespacedName::new(namespace, name)
}

fn service(name: &NamespacedName) -> Object {
    let number = name.name.bytes().fold(0_u8, u8::wrapping_add);
    Object::Service(Service {
        name: name.clone(),
        kind: ServiceKind::ClusterIp,
        ports: vec![ServicePort { name: "".into(), port: 80, target: None, protocol: None }],
        cluster_ips: vec![Ipv4Addr::new(10, 96, 0, number).into()],
        local: false,
        externals: Vec::new(),
        balancer: Balancer::default(),
        connect_timeout: None,
        opaque_ports: None,
        meshed: false,
        retry: None,
    })
}

fn route(of: &str, to: &[&str]) -> Object {
    let backend = |to: &&str| Backend {
        service: Some((name(to), 80)),
        weight: 1,
        filters: ringway_core::snapshot::Filters::default(),
    };
    let rule = RouteRule { backends: to.iter().map(backend).collect(), ..RouteRule::default() };
    let parent = ParentRef { kind: ParentKind::Service, name: name(of), section: None, port: None };
    Object::Route(Route {
        name: NamespacedName::new(name(of).namespace, format!("of-{}", name(of).name)),
        kind: RouteKind::Http,
        created: "".into(),
        parents: vec![parent],
        hostnames: Vec::new(),
        rules: vec![rule],
    })
}

impl Lab {
    fn new() -> Self {
        let now = Instant::ZERO + seconds(1_000_000);
        Self {
            demand: Demand::new("home", HOUR, now),
            index: Index::default(),
            now,
            there: BTreeSet::new(),
            asked: 0,
            wants: Wants::default(),
        }
    }

    fn with(names: &[&str]) -> Self {
        let mut lab = Self::new();
        lab.there = names.iter().map(|text| name(text)).collect();
        lab
    }

    fn ask(&mut self, host: &str) {
        self.demand.ask(host, self.now);
    }

    fn tell(&mut self, event: Event) {
        let admitted = self.demand.admit(event);
        admitted.into_iter().for_each(|event| {
            self.index.apply(event);
        });
    }

    /// Goes on without an answer of the API server.
    fn advance(&mut self) {
        loop {
            let events = self.demand.advance(&self.index, &BTreeSet::new(), self.now);
            if events.is_empty() {
                break;
            }
            events.into_iter().for_each(|event| {
                self.index.apply(event);
            });
        }
        let wants = self.demand.wants(false);
        let (old, new) = (&self.wants.services, &wants.services);
        let same = |name: &NamespacedName| new.get(name).map(|w| w.0) == old.get(name).map(|w| w.0);
        let gone = old.keys().filter(|name| !same(name));
        for name in gone.cloned().collect::<Vec<_>>() {
            self.tell(Event::Delete(SourceId::Kubernetes, Kind::Service, name));
        }
        let (old, new) = (&self.wants.services, &wants.services);
        let turn = |services: &BTreeMap<_, (u64, Part)>, name| services.get(name).map(|w| w.0);
        self.asked += new.keys().filter(|name| turn(new, name) != turn(old, name)).count();
        let new = wants.addresses.keys().filter(|ip| !self.wants.addresses.contains_key(*ip));
        self.asked += new.count();
        self.wants = wants;
    }

    /// Lets the API server answer all that is wanted, until nothing more is.
    fn answer(&mut self) {
        for _ in 0..10 {
            self.advance();
            for (address, turn) in self.wants.addresses.clone() {
                let owns = |name: &&NamespacedName| match service(name) {
                    Object::Service(service) => service.cluster_ips.contains(&address),
                    _ => false,
                };
                let owner = self.there.iter().find(owns).cloned();
                self.demand.hear(Heard::Owner(address, turn, owner));
            }
            for (name, (turn, part)) in self.wants.services.clone() {
                if self.there.contains(&name) {
                    self.tell(Event::Apply(SourceId::Kubernetes, service(&name)));
                }
                self.demand.hear(Heard::Listed(name, turn, part));
            }
        }
        self.advance();
    }

    fn part(&self, text: &str) -> Part {
        self.wants.services[&name(text)].1
    }

    /// All that is wanted of a service has been told.
    fn listed(&mut self, text: &str) {
        let (turn, part) = self.wants.services[&name(text)];
        self.demand.hear(Heard::Listed(name(text), turn, part));
    }

    fn has(&self, text: &str) -> bool {
        self.index.service(&name(text)).is_some()
    }

    fn looked_up(&mut self, host: &str) -> bool {
        let host = PlainHost::of(host.as_bytes()).unwrap();
        self.demand.looked_up().contains(&host)
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.advance();
    }
}

#[test]
fn a_service_is_found_by_its_names_and_by_its_address() {
    for host in ["cart", "cart.home.svc", "x.cart.home", "10.96.0.170"] {
        let mut lab = Lab::with(&["home/cart"]);
        lab.ask(host);
        lab.answer();
        assert!(lab.has("home/cart") && lab.looked_up(host), "{host}");
        assert_eq!(lab.demand.counts().found, 1);
    }
    let mut lab = Lab::with(&["home/db"]);
    // In another namespace there is none: it is a pod of one here.
    lab.ask("db-0.db");
    lab.answer();
    assert!(lab.has("home/db"));
    assert_eq!(lab.asked, 2);
}

#[test]
fn nothing_is_told_before_all_of_it_is_there() {
    let mut lab = Lab::with(&["home/cart"]);
    lab.ask("cart");
    lab.advance();
    let cart = name("home/cart");
    assert_eq!(lab.part("home/cart"), Part::Probe);
    lab.tell(Event::Apply(SourceId::Kubernetes, service(&cart)));
    lab.listed("home/cart");
    lab.advance();
    assert_eq!(lab.part("home/cart"), Part::Whole);
    // Its route leads to two others.
    lab.tell(Event::Apply(SourceId::Kubernetes, route("home/cart", &["home/v1", "away/v2"])));
    lab.listed("home/cart");
    lab.advance();
    assert!(!lab.has("home/cart") && !lab.looked_up("cart"));
    lab.tell(Event::Apply(SourceId::Kubernetes, service(&name("home/v1"))));
    lab.listed("home/v1");
    lab.advance();
    assert!(!lab.has("home/cart") && lab.has("home/v1"));
    // That one does not exist, which is known now.
    lab.listed("away/v2");
    lab.advance();
    assert!(lab.has("home/cart") && lab.has("home/v1") && lab.looked_up("cart"));
    // It is followed all the same: it may come.
    assert_eq!(lab.part("away/v2"), Part::Whole);
    lab.tell(Event::Apply(SourceId::Kubernetes, service(&name("away/v2"))));
    assert!(lab.has("away/v2"));
}

#[test]
fn services_whose_routes_lead_to_each_other_do_not_wait_for_ever() {
    let mut lab = Lab::with(&["home/a", "home/b"]);
    lab.tell(Event::Apply(SourceId::Kubernetes, route("home/a", &["home/b"])));
    lab.tell(Event::Apply(SourceId::Kubernetes, route("home/b", &["home/a"])));
    lab.ask("a");
    lab.answer();
    assert!(lab.has("home/a") && lab.has("home/b"));
}

#[test]
fn the_absent_are_looked_up_again_after_growing_pauses() {
    let mut lab = Lab::new();
    for pause in [5, 10, 20, 40, 60, 60] {
        lab.ask("nobody");
        lab.answer();
        assert!(lab.looked_up("nobody"));
        assert!(lab.wants.services.is_empty(), "no watch stays");
        let asked = lab.asked;
        lab.pass(seconds(pause) - Duration::from_millis(1));
        lab.ask("nobody");
        lab.answer();
        assert_eq!(lab.asked, asked, "asked for again within {pause} s");
        lab.pass(Duration::from_millis(1));
        assert!(!lab.looked_up("nobody"), "{pause}");
    }
    lab.there.insert(name("home/nobody"));
    lab.ask("nobody");
    lab.answer();
    assert!(lab.has("home/nobody"));
}

#[test]
fn many_unknown_names_are_bounded_in_number_and_rate() {
    let mut lab = Lab::new();
    for second in 0..60_usize {
        for n in 0..1000 {
            lab.ask(&format!("no-{second}-{n}"));
            if n % 10 == 0 {
                lab.now = lab.now + Duration::from_millis(10);
                lab.answer();
            }
        }
        assert!(lab.asked <= 64 + 20 * (second + 1), "{second} s: {}", lab.asked);
        assert!(lab.demand.looked_up().len() <= MOST_HOSTS);
        assert!(lab.demand.counts().waiting <= MOST_QUEUED + MOST_LOOKING);
    }
    let counts = lab.demand.counts();
    assert!(counts.refused > 50_000 && counts.absent > 1000, "{counts:?}");
    // And whoever is there is found in spite of it, once the queue has got shorter.
    lab.there.insert(name("home/cart"));
    lab.pass(seconds(4));
    lab.answer();
    lab.pass(seconds(1));
    lab.ask("cart");
    lab.answer();
    assert!(lab.has("home/cart"));
}

#[test]
fn what_gets_no_answer_is_given_up_and_makes_room() {
    let mut lab = Lab::new();
    for n in 0..200 {
        lab.ask(&format!("no-{n}"));
        lab.advance();
    }
    assert_eq!(lab.wants.services.len(), MOST_LOOKING);
    lab.pass(ABANDONED);
    assert!(lab.wants.services.is_empty());
    assert_eq!(lab.demand.counts().waiting, 0);
    lab.there.insert(name("home/cart"));
    lab.ask("cart");
    lab.answer();
    assert!(lab.has("home/cart"));
}

#[test]
fn one_that_is_asked_for_again_is_not_given_up() {
    let mut lab = Lab::with(&["home/cart"]);
    for _ in 0..20 {
        lab.ask("cart");
        lab.pass(seconds(3));
    }
    assert_eq!(lab.asked, 1);
    lab.answer();
    assert!(lab.has("home/cart"));
}

#[test]
fn the_idle_are_dropped_with_what_only_they_led_to() {
    let mut lab = Lab::with(&["home/cart", "home/v1", "home/used"]);
    lab.tell(Event::Apply(SourceId::Kubernetes, route("home/cart", &["home/v1"])));
    lab.ask("cart");
    lab.ask("used");
    lab.answer();
    assert!(lab.has("home/v1"));
    for _ in 0..7 {
        lab.pass(HOUR / 8);
        assert!(lab.demand.is_sweep_due(lab.now) && !lab.demand.is_sweep_due(lab.now));
        lab.demand.used(&[name("home/used")], lab.now);
        lab.demand.expire(lab.now);
        lab.advance();
        assert!(lab.has("home/cart"));
    }
    lab.pass(HOUR / 8);
    // Without the API server nothing expires, however late it is: nobody calls.
    assert!(lab.has("home/cart"));
    lab.demand.expire(lab.now);
    lab.advance();
    assert!(!lab.has("home/cart") && !lab.has("home/v1") && lab.has("home/used"));
    assert_eq!(lab.demand.counts().dropped, 1);
    lab.ask("cart");
    lab.answer();
    assert!(lab.has("home/cart"), "it comes back when it is asked for");
}

#[test]
fn what_only_a_route_led_to_and_was_used_itself_stays() {
    let mut lab = Lab::with(&["home/cart", "home/v1"]);
    lab.tell(Event::Apply(SourceId::Kubernetes, route("home/cart", &["home/v1"])));
    lab.ask("cart");
    lab.answer();
    lab.pass(HOUR / 2);
    lab.demand.used(&[name("home/v1")], lab.now);
    lab.pass(HOUR / 2);
    lab.demand.expire(lab.now);
    lab.advance();
    assert!(!lab.has("home/cart") && lab.has("home/v1"));
}

#[test]
fn a_deleted_service_is_absent_and_comes_back_without_being_asked_for() {
    let mut lab = Lab::with(&["home/cart"]);
    lab.ask("cart");
    lab.answer();
    lab.there.clear();
    lab.tell(Event::Delete(SourceId::Kubernetes, Kind::Service, name("home/cart")));
    lab.pass(seconds(6));
    lab.ask("cart");
    lab.advance();
    assert!(!lab.has("home/cart") && lab.looked_up("cart"));
    lab.tell(Event::Apply(SourceId::Kubernetes, service(&name("home/cart"))));
    assert!(lab.has("home/cart"));
}

#[test]
fn what_an_earlier_watch_says_is_not_taken_for_an_answer() {
    let mut lab = Lab::new();
    lab.ask("cart");
    lab.advance();
    let (first, _) = lab.wants.services[&name("home/cart")];
    lab.listed("home/cart");
    lab.demand.advance(&lab.index, &BTreeSet::new(), lab.now);
    // By another name, before anybody has looked at what is wanted.
    lab.ask("cart.home.svc");
    lab.advance();
    let (second, _) = lab.wants.services[&name("home/cart")];
    assert_ne!(first, second);
    lab.demand.hear(Heard::Listed(name("home/cart"), first, Part::Probe));
    lab.advance();
    assert!(lab.looked_up("cart") && !lab.looked_up("cart.home.svc"));
    lab.listed("home/cart");
    lab.advance();
    assert!(lab.looked_up("cart.home.svc"));
}

#[test]
fn what_may_not_be_read_is_absent() {
    let mut lab = Lab::with(&["home/cart"]);
    lab.ask("cart");
    lab.ask("10.96.0.9");
    lab.advance();
    lab.demand.hear(Heard::Denied(name("home/cart"), lab.wants.services[&name("home/cart")].0));
    let address = Ipv4Addr::new(10, 96, 0, 9).into();
    lab.demand.hear(Heard::Unsearchable(address, lab.wants.addresses[&address]));
    lab.advance();
    assert!(lab.looked_up("cart") && lab.looked_up("10.96.0.9"));
    assert_eq!(lab.demand.counts().denied, 2);
    assert!(lab.wants.services.is_empty() && lab.wants.addresses.is_empty());
}
