//! Single exchanges, decision by decision.

use ringway_core::cluster::World;
use ringway_core::exchange::{End, Flow, Sent, Step, Verdict};
use ringway_core::message::{Cause, Fault, RequestHead, Stage, Upgrade};
use ringway_core::policy::answer::{Answer, Scheme};
use ringway_core::record::Classification;
use ringway_core::snapshot::{Balancer, Cluster, Mirror, PathRewrite, Redirect, Rule, Timeouts};
use ringway_core::time::{Duration, Instant};

use crate::world::{GET, cluster, head, id, snapshot, split};

const NOW: Instant = Instant::ZERO;
const REFUSED: Fault = Fault::upstream(Stage::Connect, Cause::Refused);

fn world(rule: Rule, endpoints: &[(u16, u32)]) -> World {
    let mut world = World::new(1);
    let clusters = vec![cluster("a", Balancer::default(), endpoints)];
    world.adopt(snapshot(1, rule, clusters), NOW);
    world
}

fn answer(world: &mut World, head: &RequestHead<'_>) -> Answer {
    match Flow::open(head, 0, world, NOW).next(world, NOW) {
        Step::Answer(answer) => answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flow_is_small() {
    assert!(size_of::<Flow>() < 200, "{}", size_of::<Flow>());
}

#[test]
fn local_answers() {
    assert_eq!(answer(&mut World::new(1), &GET).status, 503, "no snapshot yet");
    assert_eq!(answer(&mut world(split(&[(Some(0), 1)]), &[]), &GET).status, 503, "no endpoint");
    assert_eq!(answer(&mut world(split(&[(Some(0), 1)]), &[(0, 0)]), &GET).status, 503);
    assert_eq!(answer(&mut world(split(&[]), &[(0, 1)]), &GET).status, 500, "no backend");
    assert_eq!(answer(&mut world(split(&[(Some(0), 0)]), &[(0, 1)]), &GET).status, 500);
    assert_eq!(answer(&mut world(split(&[(None, 1)]), &[(0, 1)]), &GET).status, 500);
    let mut routed = world(split(&[(Some(0), 1)]), &[(0, 1)]);
    let mut flow = Flow::open(&GET, 7, &mut routed, NOW);
    let step = flow.next(&mut routed, NOW);
    // Its listener is not in the picture yet.
    assert!(matches!(step, Step::Answer(Answer { status: 503, .. })), "{step:?}");
}

#[test]
fn what_demands_tls_gets_no_request_and_no_copy_of_one() {
    let demanding = Cluster { tls: true, ..cluster("a", Balancer::default(), &[(0, 1)]) };
    let other = cluster("b", Balancer::default(), &[(1, 1)]);
    let mut world = World::new(1);
    let mirror = Mirror { cluster: id(0), numerator: 1, denominator: 1 };
    let rule = Rule { mirrors: vec![mirror], ..split(&[(Some(0), 1)]) };
    world.adopt(snapshot(1, rule.clone(), vec![demanding.clone(), other.clone()]), NOW);
    let refused = answer(&mut world, &GET);
    let demanded = Fault::us(Stage::Pick, Cause::TlsDemanded);
    assert_eq!((refused.status, refused.fault), (502, Some(demanded)));
    assert!(Flow::open(&GET, 0, &mut world, NOW).mirror(0, &mut world, NOW).is_none());
    // What a tunnel carries is between its ends.
    let mut tunnel = Flow::open(&head(b"CONNECT"), 0, &mut world, NOW);
    assert!(matches!(tunnel.next(&mut world, NOW), Step::Try(_)));
    // And no longer, once the policy is gone.
    let plain = Cluster { tls: false, ..demanding };
    world.adopt(snapshot(2, rule, vec![plain, other]), NOW);
    assert!(matches!(Flow::open(&GET, 0, &mut world, NOW).next(&mut world, NOW), Step::Try(_)));
}

#[test]
fn refusal_goes_to_every_other_endpoint_and_no_further_than_three() {
    for (endpoints, expected) in [(1, 1), (2, 2), (3, 3), (9, 3)] {
        let list: Vec<(u16, u32)> = (0..endpoints).map(|n| (n, 1)).collect();
        let mut world = world(split(&[(Some(0), 1)]), &list);
        let mut flow = Flow::open(&head(b"POST"), 0, &mut world, NOW);
        let mut tried = Vec::new();
        while let Step::Try(attempt) = flow.next(&mut world, NOW) {
            assert!(!tried.contains(&attempt.endpoint));
            tried.push(attempt.endpoint);
            flow.failed(REFUSED, Sent::nothing(false), &mut world, NOW);
        }
        assert_eq!(tried.len(), expected);
        let end = End { status: Some(502), local: true, ..End::default() };
        let record = flow.close(end, &mut world, NOW);
        assert_eq!((usize::from(record.attempts), record.fault), (expected, Some(REFUSED)));
        assert_eq!(record.classification, Classification::Failure);
    }
}

#[test]
fn the_keep_alive_race_is_run_once_more_on_a_new_connection() {
    let mut world = world(split(&[(Some(0), 1)]), &[(0, 1)]);
    let closed = Fault::upstream(Stage::Reply, Cause::Closed);
    for (request, again) in [(GET, true), (head(b"POST"), false)] {
        let mut flow = Flow::open(&request, 0, &mut world, NOW);
        let first = flow.next(&mut world, NOW);
        assert!(matches!(first, Step::Try(attempt) if !attempt.fresh));
        flow.failed(closed, Sent::some(true, true), &mut world, NOW);
        let second = flow.next(&mut world, NOW);
        assert_eq!(matches!(second, Step::Try(attempt) if attempt.fresh), again, "{second:?}");
        flow.close(End::default(), &mut world, NOW);
    }
}

#[test]
fn deadlines_are_the_nearer_of_request_and_attempt() {
    let ms = Duration::from_millis;
    let timeouts = Timeouts { request: Some(ms(100)), backend_request: Some(ms(60)) };
    let mut world = world(Rule { timeouts, ..split(&[(Some(0), 1)]) }, &[(0, 1), (1, 1), (2, 1)]);
    let mut flow = Flow::open(&GET, 0, &mut world, NOW);
    for (now, expected) in [(0, 60), (50, 100)] {
        let Step::Try(attempt) = flow.next(&mut world, NOW + ms(now)) else { panic!() };
        assert_eq!(attempt.deadline, Some(NOW + ms(expected)));
        flow.failed(REFUSED, Sent::nothing(false), &mut world, NOW + ms(now));
    }
    let step = flow.next(&mut world, NOW + ms(100));
    assert!(matches!(step, Step::Answer(Answer { status: 504, .. })), "{step:?}");
}

#[test]
fn tunnels_are_only_what_was_asked_for() {
    let upgrade = RequestHead { upgrade: Upgrade::To(b"websocket"), ..GET };
    let connect = head(b"CONNECT");
    let rows = [
        (upgrade, 101, Verdict::Tunnel),
        (upgrade, 200, Verdict::Relay),
        (GET, 101, Verdict::Refuse),
        (GET, 200, Verdict::Relay),
        (connect, 200, Verdict::Tunnel),
        (connect, 403, Verdict::Relay),
    ];
    for (request, status, expected) in rows {
        let mut world = world(split(&[(Some(0), 1)]), &[(0, 1)]);
        let mut flow = Flow::open(&request, 0, &mut world, NOW);
        flow.next(&mut world, NOW);
        assert_eq!(flow.heard(status, &mut world, NOW), expected, "{status}");
        if expected == Verdict::Refuse {
            let step = flow.next(&mut world, NOW);
            assert!(matches!(step, Step::Answer(Answer { status: 502, .. })), "{step:?}");
        }
        flow.close(End::default(), &mut world, NOW);
    }
}

#[test]
fn redirects_point_where_gateway_api_says() {
    let redirect = |f: fn(&mut Redirect)| {
        let mut redirect =
            Redirect { scheme: None, hostname: None, port: None, path: None, status: 302 };
        f(&mut redirect);
        redirect
    };
    let rows = [
        (redirect(|_| ()), "a.io:8080", "http://a.io:8080/foo/x?y=1"),
        (redirect(|r| r.scheme = Some("https".into())), "a.io:8080", "https://a.io/foo/x?y=1"),
        (redirect(|r| r.port = Some(80)), "a.io:8080", "http://a.io/foo/x?y=1"),
        (redirect(|r| r.port = Some(81)), "[::1]", "http://[::1]:81/foo/x?y=1"),
        (redirect(|r| r.hostname = Some("b.io".into())), "a.io", "http://b.io/foo/x?y=1"),
        (redirect(|r| r.path = Some(PathRewrite::Full("/n".into()))), "a.io", "http://a.io/n?y=1"),
        (
            redirect(|r| r.path = Some(PathRewrite::Prefix("/n/".into()))),
            "a.io",
            "http://a.io/n/foo/x?y=1",
        ),
        (redirect(|_| ()), "", "/foo/x?y=1"),
    ];
    for (redirect, authority, expected) in rows {
        let rule = Rule { redirect: Some(redirect), ..Rule::default() };
        let mut world = world(rule, &[]);
        let request = RequestHead { authority: authority.as_bytes(), ..GET };
        let mut flow = Flow::open(&request, 0, &mut world, NOW);
        let step = flow.next(&mut world, NOW);
        assert!(matches!(step, Step::Answer(Answer { status: 302, fault: None, .. })));
        let mut out = Vec::new();
        assert!(flow.location(&request, Scheme::Http, &mut out));
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn mirrors_are_sampled_and_hold_no_ticket() {
    let mirror = |numerator| Mirror { cluster: id(0), numerator, denominator: 4 };
    let rule = Rule { mirrors: vec![mirror(1), mirror(4), mirror(0)], ..split(&[(Some(0), 1)]) };
    let mut world = world(rule, &[(0, 1)]);
    let mut sent = [0; 3];
    for _ in 0..4_000 {
        let flow = Flow::open(&GET, 0, &mut world, NOW);
        for (at, sent) in sent.iter_mut().enumerate().take(flow.mirrors()) {
            *sent += u32::from(flow.mirror(at, &mut world, NOW).is_some());
        }
        flow.close(End::default(), &mut world, NOW);
    }
    assert!(sent[0].abs_diff(1_000) < 140 && sent[1] == 4_000 && sent[2] == 0, "{sent:?}");
    let cluster = world.clusters()[0];
    assert!(world.members(cluster).all(|endpoint| endpoint.outstanding() == 0));
}
