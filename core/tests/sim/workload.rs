//! Many exchanges at once, clients that leave, endpoints that come and go; and what must hold.

use std::collections::{BTreeMap, BTreeSet};

use ringway_core::cluster::World;
use ringway_core::exchange::{Attempt, End, Flow, Sent, Step, Verdict, Written};
use ringway_core::message::{Blame, Cause, Fault, Stage};
use ringway_core::record::Record;
use ringway_core::rng::Rng;
use ringway_core::snapshot::Balancer;
use ringway_core::time::{Duration, Instant};

use crate::endpoint::{Reply, Script};
use crate::world::{GET, cluster, head, number, snapshot, split};

/// Endpoints that may exist.
const ENDPOINTS: u64 = 8;

/// What was seen over a run.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    records: usize,
    retried: usize,
    abandoned: usize,
    local: usize,
    removed: usize,
    relayed: usize,
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.retried += other.retried;
        self.abandoned += other.abandoned;
        self.local += other.local;
        self.removed += other.removed;
        self.relayed += other.relayed;
    }

    /// A simulation in which something never happens proves nothing about it.
    pub(crate) fn assert_everything_happened(&self) {
        let all =
            [self.records, self.retried, self.abandoned, self.local, self.removed, self.relayed];
        assert!(all.iter().all(|&count| count > 1000), "{self:?}");
    }
}

/// One exchange under way.
struct Running {
    flow: Flow,
    attempt: Attempt,
    /// What comes next, or the end of a body that is being relayed.
    next: Option<Reply>,
    attempts: u8,
}

struct Simulation {
    world: World,
    rng: Rng,
    now: Instant,
    generation: u64,
    present: BTreeSet<u16>,
    scripts: Vec<Script>,
    /// Tickets open, by endpoint: the model of `outstanding`.
    open: BTreeMap<ringway_core::cluster::EndpointId, u32>,
    timers: BTreeMap<(Instant, u64), Running>,
    opened: u64,
    totals: Totals,
}

/// Runs one seed to its end.
pub(crate) fn run(seed: u64) -> Totals {
    let mut rng = Rng::new(seed);
    let scripts = (0..ENDPOINTS).map(|_| Script::any(&mut rng)).collect();
    let mut sim = Simulation {
        world: World::new(seed),
        rng,
        now: Instant::ZERO,
        generation: 0,
        present: BTreeSet::new(),
        scripts,
        open: BTreeMap::new(),
        timers: BTreeMap::new(),
        opened: 0,
        totals: Totals::default(),
    };
    sim.churn();
    for step in 0..400 {
        if step % 25 == 24 {
            sim.churn();
        }
        sim.open();
        let until = sim.now + Duration::from_millis(sim.rng.below(10));
        sim.advance(until);
    }
    sim.advance(Instant::NEVER);
    sim.finish();
    sim.totals
}

impl Simulation {
    /// A new snapshot: endpoints come and go, and the balancer may change.
    fn churn(&mut self) {
        self.present = (0..ENDPOINTS as u16).filter(|_| self.rng.below(3) > 0).collect();
        let endpoints: Vec<(u16, u32)> =
            self.present.iter().map(|&n| (n, 1 + self.rng.below(3) as u32)).collect();
        let balancer = match self.rng.below(3) {
            0 => Balancer::RoundRobin,
            1 => Balancer::LeastRequest,
            _ => Balancer::default(),
        };
        self.generation += 1;
        let mut rule = split(&[(Some(0), 9), (None, 1)]);
        rule.timeouts.request = Some(Duration::from_secs(2));
        let clusters = vec![cluster("a", balancer, &endpoints)];
        let adopted = self.world.adopt(snapshot(self.generation, rule, clusters), self.now);
        for id in &adopted.removed {
            let known = self.world.endpoint(*id).is_some();
            assert_eq!(known, self.open.contains_key(id), "kept for its tickets only");
        }
        self.totals.removed += adopted.removed.len();
        self.check_outstanding();
    }

    fn open(&mut self) {
        let request = if self.rng.below(3) == 0 { head(b"POST") } else { GET };
        let listener = self.world.listener("main").unwrap();
        let flow = Flow::open(&request, listener, &mut self.world, self.now);
        self.opened += 1;
        self.step(flow, 0, false);
    }

    /// Asks the flow what to do, and does it.
    fn step(&mut self, mut flow: Flow, attempts: u8, seen: bool) {
        match flow.next(&mut self.world, self.now) {
            Step::Answer(answer) => {
                let end = End { status: Some(answer.status), local: true, ..End::default() };
                let record = flow.close(end, &mut self.world, self.now);
                assert!(record.fault.is_some());
                self.totals.local += 1;
                self.note(record, attempts);
            }
            Step::Wait(until) => panic!("nothing is looked up here: {until:?}"),
            Step::Try(attempt) => {
                assert!(attempts < 3, "at most three attempts");
                assert!(!seen, "nothing is repeated after an endpoint answered");
                let n = number(attempt.address);
                assert!(self.present.contains(&n), "a removed endpoint was picked");
                *self.open.entry(attempt.endpoint).or_default() += 1;
                let reply = self.scripts[n as usize].play(attempt.fresh, &mut self.rng);
                let (Reply::Head { after, .. } | Reply::Fault { after, .. }) = reply;
                let running = Running { flow, attempt, next: Some(reply), attempts: attempts + 1 };
                self.sleep(running, after);
            }
        }
    }

    fn sleep(&mut self, running: Running, after: Duration) {
        let id = self.rng.next_u64();
        self.timers.insert((self.now + after, id), running);
    }

    /// Lets time pass.
    fn advance(&mut self, until: Instant) {
        while let Some(entry) = self.timers.first_entry() {
            let (at, _) = *entry.key();
            if at > until {
                break;
            }
            let running = entry.remove();
            self.now = at;
            self.wake(running);
        }
        if until != Instant::NEVER {
            self.now = until;
        }
    }

    fn wake(&mut self, mut running: Running) {
        if self.rng.below(20) == 0 {
            return self.abandon(running);
        }
        match running.next.take() {
            None => self.relayed(running),
            Some(Reply::Head { status, .. }) => {
                let verdict = running.flow.heard(status, &mut self.world, self.now);
                assert_eq!(verdict, Verdict::Relay);
                self.sleep(running, Duration::from_millis(1));
            }
            Some(Reply::Fault { fault, sent, .. }) => self.failed(running, fault, sent),
        }
    }

    fn failed(&mut self, mut running: Running, fault: Fault, sent: Sent) {
        running.flow.failed(fault, sent, &mut self.world, self.now);
        self.ticket_closed(&running);
        let lost = matches!(sent.written, Written::Some { replayable: false });
        if !(sent.answered || lost) {
            self.totals.retried += 1;
        }
        self.step(running.flow, running.attempts, sent.answered || lost);
    }

    fn relayed(&mut self, running: Running) {
        self.ticket_closed(&running);
        let end = End { status: Some(200), ..End::default() };
        let record = running.flow.close(end, &mut self.world, self.now);
        assert_eq!(record.endpoint, Some(running.attempt.endpoint));
        self.totals.relayed += 1;
        self.note(record, running.attempts);
    }

    /// The client has left, whatever the exchange was doing.
    fn abandon(&mut self, running: Running) {
        self.ticket_closed(&running);
        let fault = Some(Fault::client(Stage::Relay, Cause::Reset));
        let end = End { fault, ..End::default() };
        let record = running.flow.close(end, &mut self.world, self.now);
        assert_eq!(record.fault.map(|fault| fault.blame), Some(Blame::Client));
        self.totals.abandoned += 1;
        self.note(record, running.attempts);
    }

    fn note(&mut self, record: Record, attempts: u8) {
        assert_eq!(record.attempts, attempts);
        assert!(record.latency.is_none_or(|latency| latency <= record.total));
        self.totals.records += 1;
        self.check_outstanding();
    }

    fn ticket_closed(&mut self, running: &Running) {
        let id = running.attempt.endpoint;
        let open = self.open.get_mut(&id).unwrap();
        *open -= 1;
        if *open == 0 {
            self.open.remove(&id);
        }
    }

    /// The world's counts are the model's: every ticket was closed exactly once.
    fn check_outstanding(&self) {
        for (&id, &open) in &self.open {
            assert_eq!(self.world.endpoint(id).unwrap().outstanding(), open);
        }
        let cluster = self.world.clusters()[0];
        for endpoint in self.world.members(cluster) {
            let open = self.open.get(&endpoint.id()).copied().unwrap_or(0);
            assert_eq!(endpoint.outstanding(), open);
        }
    }

    fn finish(&self) {
        assert!(self.open.is_empty() && self.timers.is_empty());
        assert_eq!(self.totals.records as u64, self.opened, "one record per exchange");
        self.check_outstanding();
    }
}
