//! The hosts that are asked for: queued, being looked up, and for a while remembered as looked up.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use ringway_core::snapshot::LookedUp;
use ringway_core::time::{Duration, Instant};

use super::allowance::Allowance;
use super::hosts::Candidate;
use crate::object::NamespacedName;

/// So many hosts are remembered.
pub(super) const MOST_HOSTS: usize = 1024;
/// So many wait for their lookup to begin: more than begin in the time that requests wait.
pub(super) const MOST_QUEUED: usize = 64;
/// So many are looked up at once.
pub(super) const MOST_LOOKING: usize = 64;
/// A host that was looked up is not looked up again for so long, the first time that it is absent.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Doubled each time, up to this.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is to be done about a host.
pub(super) enum Verdict {
    /// It cannot begin yet.
    Later,
    /// It is being looked up.
    Wait,
    /// It stands for this service.
    Rather(NamespacedName),
    /// There is such a service, and all of it is known.
    Found,
    /// There is none.
    Absent,
}

#[derive(Debug)]
struct Host {
    /// What it may stand for; the first is looked up now.
    candidates: VecDeque<Candidate>,
    state: State,
    /// How often in a row it was absent.
    absent: u32,
    asked: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Queued,
    Looking,
    /// Until then, it is not looked up again.
    LookedUp(Instant),
    /// Only how often it was absent is remembered.
    Over,
}

/// All hosts that were asked for.
#[derive(Debug, Default)]
pub(super) struct Asks {
    hosts: BTreeMap<Box<str>, Host>,
    /// In the order in which they were asked for.
    queue: VecDeque<Box<str>>,
    looking: Vec<Box<str>>,
    allowance: Allowance,
    /// Found and absent since they were taken.
    ended: (u64, u64),
    /// Whether some host waits for the allowance.
    later: bool,
    said: Arc<LookedUp>,
    /// Whether that is to be made anew, and whether anybody was told so.
    stale: bool,
    news: bool,
}

impl Asks {
    /// Somebody asks for a host; false when it cannot even be queued.
    pub(super) fn ask(
        &mut self,
        host: &str,
        candidates: impl FnOnce() -> Vec<Candidate>,
        now: Instant,
    ) -> bool {
        if let Some(known) = self.hosts.get_mut(host) {
            known.asked = now;
            match known.state {
                State::Queued | State::Looking | State::LookedUp(_) => return true,
                State::Over => {}
            }
        }
        if self.queue.len() >= MOST_QUEUED {
            return false;
        }
        let candidates = candidates().into();
        match self.hosts.get_mut(host) {
            Some(known) => (known.state, known.candidates) = (State::Queued, candidates),
            None => {
                self.make_room();
                let new = Host { candidates, state: State::Queued, absent: 0, asked: now };
                self.hosts.insert(host.into(), new);
            }
        }
        self.queue.push_back(host.into());
        true
    }

    /// Forgets the host that has to be remembered least.
    fn make_room(&mut self) {
        if self.hosts.len() < MOST_HOSTS {
            return;
        }
        let over = |host: &Host| match host.state {
            State::Over => Some(Instant::ZERO),
            State::LookedUp(until) => Some(until),
            State::Queued | State::Looking => None,
        };
        let least = self.hosts.iter().filter_map(|(name, host)| Some((over(host)?, name)));
        if let Some((_, name)) = least.min() {
            let name = name.clone();
            self.hosts.remove(&name);
            (self.stale, self.news) = (true, true);
        }
    }

    /// Asks about each host that can go on what is to be done about it. The second argument of
    /// `judge` says whether another lookup may begin, and takes its place.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        mut judge: impl FnMut(&Candidate, &mut dyn FnMut() -> bool) -> Verdict,
    ) {
        self.later = false;
        let looking = std::mem::take(&mut self.looking);
        for name in looking {
            self.look(name, now, &mut judge);
        }
        while self.looking.len() < MOST_LOOKING {
            let Some(name) = self.queue.pop_front() else { break };
            if !self.look(name, now, &mut judge) {
                break;
            }
        }
    }

    /// Goes on with one host; false when it cannot begin.
    fn look(
        &mut self,
        name: Box<str>,
        now: Instant,
        judge: &mut impl FnMut(&Candidate, &mut dyn FnMut() -> bool) -> Verdict,
    ) -> bool {
        let Some(host) = self.hosts.get_mut(&name) else { return true };
        let allowance = &mut self.allowance;
        let found = loop {
            let Some(candidate) = host.candidates.front() else { break false };
            match judge(candidate, &mut || allowance.take(now)) {
                Verdict::Later => {
                    self.later = true;
                    match host.state {
                        State::Looking => self.looking.push(name),
                        _ => self.queue.push_front(name),
                    }
                    return false;
                }
                Verdict::Wait => {
                    host.state = State::Looking;
                    self.looking.push(name);
                    return true;
                }
                Verdict::Rather(service) => host.candidates[0] = Candidate::Service(service),
                Verdict::Found => break true,
                Verdict::Absent => drop(host.candidates.pop_front()),
            }
        };
        host.absent = if found { 0 } else { host.absent + 1 };
        let doublings = host.absent.saturating_sub(1).min(8);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        host.state = State::LookedUp(now + pause);
        host.candidates = VecDeque::new();
        let (yes, no) = &mut self.ended;
        *if found { yes } else { no } += 1;
        (self.stale, self.news) = (true, true);
        true
    }

    /// How many hosts were found, and how many were not, since this was asked the last time.
    pub(super) fn take_ended(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.ended)
    }

    /// A cluster IP is that of a service, or of none.
    pub(super) fn owner(&mut self, address: IpAddr, owner: Option<&NamespacedName>) {
        for host in self.hosts.values_mut() {
            if host.candidates.front() == Some(&Candidate::Address(address)) {
                host.candidates.pop_front();
                host.candidates.extend(owner.cloned().map(Candidate::Service));
            }
        }
    }

    /// Gives up what nobody has asked for lately; how many they were.
    pub(super) fn abandon(&mut self, now: Instant, after: Duration) -> usize {
        let stale = |host: &Host| host.asked + after <= now;
        let before = self.waiting();
        let hosts = &mut self.hosts;
        let mut keep = |name: &str| match hosts.get(name) {
            Some(host) if stale(host) => {
                hosts.remove(name);
                false
            }
            known => known.is_some(),
        };
        self.queue.retain(|name| keep(name));
        self.looking.retain(|name| keep(name));
        before - self.waiting()
    }

    /// Ends what has been remembered for long enough.
    pub(super) fn forget(&mut self, now: Instant) {
        for host in self.hosts.values_mut() {
            if matches!(host.state, State::LookedUp(until) if until <= now) {
                host.state = State::Over;
                (self.stale, self.news) = (true, true);
            }
        }
    }

    /// Has those that were found looked up again by whoever asks.
    pub(super) fn forget_found(&mut self) {
        let found = |host: &Host| matches!(host.state, State::LookedUp(_)) && host.absent == 0;
        for host in self.hosts.values_mut().filter(|host| found(host)) {
            host.state = State::Over;
            (self.stale, self.news) = (true, true);
        }
    }

    /// Whether a service is being looked up for a host.
    pub(super) fn is_about(&self, name: &NamespacedName) -> bool {
        self.is_first(|candidate| matches!(candidate, Candidate::Service(n) if n == name))
    }

    /// Whether a cluster IP is being searched for a host.
    pub(super) fn is_searching(&self, address: IpAddr) -> bool {
        self.is_first(|candidate| *candidate == Candidate::Address(address))
    }

    fn is_first(&self, is: impl Fn(&Candidate) -> bool) -> bool {
        let mut under_way = self.looking.iter().filter_map(|name| self.hosts.get(name));
        under_way.any(|host| host.candidates.front().is_some_and(&is))
    }

    /// Hosts that wait for their answer.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len() + self.looking.len()
    }

    /// See [`super::Demand::looked_up`].
    pub(super) fn looked_up(&mut self) -> Arc<LookedUp> {
        if std::mem::take(&mut self.stale) {
            let now = self.hosts.iter().filter(|(_, h)| matches!(h.state, State::LookedUp(_)));
            let now = LookedUp::new(now.map(|(name, _)| name.clone()));
            if *self.said != now {
                self.said = Arc::new(now);
            }
        }
        Arc::clone(&self.said)
    }

    /// See [`super::Demand::take_news`].
    pub(super) const fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.news, false)
    }

    /// When there is something to do.
    pub(super) fn due(&self, abandoned: Duration) -> Option<Instant> {
        let over = self.hosts.values().filter_map(|host| match host.state {
            State::LookedUp(until) => Some(until),
            State::Queued | State::Looking => Some(host.asked + abandoned),
            State::Over => None,
        });
        let begin = self.later.then(|| self.allowance.next());
        over.chain(begin).min()
    }
}
