//! The services that are wanted: how far each has come, and what is held back until all that belongs
//! to it is there.

use std::collections::{BTreeMap, BTreeSet};

use ringway_core::time::{Duration, Instant};

use super::Part;
use crate::object::{NamespacedName, Object};

#[derive(Debug)]
struct Service {
    turn: u64,
    state: State,
    /// What it looks like, as long as it is not to be told.
    held: Option<Object>,
    /// Somebody asks for it by name; else a route leads to it.
    asked: bool,
    used: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// It is not known whether it is there.
    Probing,
    /// There is no such service, or it may not be read.
    Refuted,
    /// It is there; the rest of it is not known yet.
    Following,
    /// All of it was told, and may be waiting for its backends.
    Listed,
    /// It is in the index, if it is there.
    Known,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Services {
    all: BTreeMap<NamespacedName, Service>,
    /// How many there have been.
    turns: u64,
}

impl Services {
    /// Begins to look for a service.
    pub(super) fn probe(&mut self, name: &NamespacedName, now: Instant) {
        self.turns += 1;
        let new =
            Service { turn: self.turns, state: State::Probing, held: None, asked: true, used: now };
        self.all.insert(name.clone(), new);
    }

    pub(super) fn contains(&self, name: &NamespacedName) -> bool {
        self.all.contains_key(name)
    }

    /// Whether all of it is known.
    pub(super) fn is_known(&self, name: &NamespacedName) -> bool {
        self.all.get(name).is_some_and(|service| service.state == State::Known)
    }

    /// Whether it was looked for in vain.
    pub(super) fn is_refuted(&self, name: &NamespacedName) -> bool {
        self.all.get(name).is_some_and(|service| service.state == State::Refuted)
    }

    /// Forgets what was looked for in vain.
    pub(super) fn remove_refuted(&mut self) {
        self.all.retain(|_, service| service.state != State::Refuted);
    }

    /// It is used by name.
    pub(super) fn used(&mut self, name: &NamespacedName, now: Instant) {
        if let Some(service) = self.all.get_mut(name) {
            (service.asked, service.used) = (true, now);
        }
    }

    /// So much of it was told.
    pub(super) fn listed(&mut self, name: &NamespacedName, turn: u64, part: Part) {
        let Some(service) = self.of_turn(name, turn) else { return };
        service.state = match (service.state, part) {
            (State::Probing, _) if service.held.is_none() => State::Refuted,
            (State::Probing, Part::Probe) => State::Following,
            (State::Probing | State::Following, Part::Whole) => State::Listed,
            (state, _) => state,
        };
    }

    /// It may not be read; whether that is news.
    pub(super) fn deny(&mut self, name: &NamespacedName, turn: u64) -> bool {
        let Some(service) = self.of_turn(name, turn) else { return false };
        let news = matches!(service.state, State::Probing | State::Following);
        if news {
            // A route leads to it: the route's other backends are not to wait for it.
            service.state = if service.asked { State::Refuted } else { State::Listed };
            service.held = None;
        }
        news
    }

    fn of_turn(&mut self, name: &NamespacedName, turn: u64) -> Option<&mut Service> {
        self.all.get_mut(name).filter(|service| service.turn == turn)
    }

    /// What it looks like now, if that is to be told already.
    pub(super) fn admit(&mut self, name: &NamespacedName, object: Object) -> Option<Object> {
        let service = self.all.get_mut(name)?;
        if service.state == State::Known {
            return Some(object);
        }
        service.held = Some(object);
        None
    }

    /// It is gone.
    pub(super) fn withdraw(&mut self, name: &NamespacedName) {
        if let Some(service) = self.all.get_mut(name) {
            service.held = None;
        }
    }

    /// Wants what the routes of wanted services lead to, and no longer what none leads to.
    pub(super) fn close(
        &mut self,
        roots: &BTreeSet<NamespacedName>,
        backends: impl Fn(&NamespacedName) -> Vec<NamespacedName>,
        now: Instant,
    ) {
        let mut closed: BTreeSet<NamespacedName> =
            self.all.iter().filter(|(_, s)| s.asked).map(|(name, _)| name.clone()).collect();
        let mut open: Vec<NamespacedName> = closed.iter().cloned().collect();
        open.extend(roots.iter().filter(|name| closed.insert((*name).clone())).cloned());
        while let Some(name) = open.pop() {
            open.extend(backends(&name).into_iter().filter(|name| closed.insert(name.clone())));
        }
        self.all.retain(|name, _| closed.contains(name));
        for name in closed {
            let turns = &mut self.turns;
            let service = self.all.entry(name).or_insert_with(|| {
                *turns += 1;
                let state = State::Following;
                Service { turn: *turns, state, held: None, asked: false, used: now }
            });
            // A route leads to it, be it there or not.
            if !service.asked && matches!(service.state, State::Probing | State::Refuted) {
                service.state = State::Following;
            }
        }
    }

    /// What is to be told now: services of which all is there, with all that their routes lead to.
    pub(super) fn release(
        &mut self,
        backends: impl Fn(&NamespacedName) -> Vec<NamespacedName>,
    ) -> Vec<Object> {
        let ready: Vec<NamespacedName> = self
            .all
            .iter()
            .filter(|(name, service)| {
                service.state == State::Listed && self.is_whole(name, &backends)
            })
            .map(|(name, _)| name.clone())
            .collect();
        let told = ready.iter().filter_map(|name| {
            let service = self.all.get_mut(name)?;
            service.state = State::Known;
            service.held.take()
        });
        told.collect()
    }

    fn is_whole(
        &self,
        name: &NamespacedName,
        backends: impl Fn(&NamespacedName) -> Vec<NamespacedName>,
    ) -> bool {
        let mut seen = BTreeSet::from([name.clone()]);
        let mut open = vec![name.clone()];
        while let Some(name) = open.pop() {
            if self.all.get(&name).is_some_and(|service| service.state < State::Listed) {
                return false;
            }
            open.extend(backends(&name).into_iter().filter(|name| seen.insert(name.clone())));
        }
        true
    }

    /// No longer counts as asked for what nobody has used for so long; how many they are.
    pub(super) fn expire(&mut self, now: Instant, idle: Duration) -> usize {
        let mut expired = 0;
        for service in self.all.values_mut() {
            if service.asked && service.state == State::Known && service.used + idle <= now {
                service.asked = false;
                expired += 1;
            }
        }
        expired
    }

    /// Forgets those that were looked for and for which nobody waits any more.
    pub(super) fn keep_probes(&mut self, waited_for: impl Fn(&NamespacedName) -> bool) {
        let over = |state| matches!(state, State::Probing | State::Refuted);
        self.all.retain(|name, service| !service.asked || !over(service.state) || waited_for(name));
    }

    /// What has to be watched for them.
    pub(super) fn wants(&self) -> BTreeMap<NamespacedName, (u64, Part)> {
        let part = |service: &Service| match service.state {
            State::Probing => Some((service.turn, Part::Probe)),
            State::Following | State::Listed | State::Known => Some((service.turn, Part::Whole)),
            State::Refuted => None,
        };
        self.all.iter().filter_map(|(name, service)| Some((name.clone(), part(service)?))).collect()
    }

    /// How many are known.
    pub(super) fn known(&self) -> usize {
        self.all.values().filter(|service| service.state == State::Known).count()
    }
}
