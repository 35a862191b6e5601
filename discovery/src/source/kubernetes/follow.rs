//! From what is wanted on demand to watches: one for a Service and one for its slices, by selectors,
//! and those of a namespace's routes; and from what they tell to what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::resource::RESOURCES;
use super::target::{Target, TargetKey, Which};
use crate::demand::{Heard, Part, Wants};
use crate::object::{Kind, NamespacedName};

/// What is wanted, and how far it has come.
#[derive(Debug)]
pub(crate) struct Follow {
    /// Where the clients are, whose routes apply to services elsewhere.
    namespace: Arc<str>,
    wants: Wants,
    /// Watches that have told their first list, or never will.
    complete: BTreeSet<TargetKey>,
    said: BTreeMap<NamespacedName, (u64, Part)>,
    /// What has to be there before anything is told.
    first: Option<BTreeSet<NamespacedName>>,
}

impl Follow {
    /// Begins with what is wanted already: nothing counts as whole before it is there.
    pub(crate) fn new(namespace: Arc<str>, wants: Wants) -> Self {
        let whole = wants.services.iter().filter(|(_, (_, part))| *part == Part::Whole);
        let first = Some(whole.map(|(name, _)| name.clone()).collect());
        Self { namespace, wants, complete: BTreeSet::new(), said: BTreeMap::new(), first }
    }

    /// This is wanted now.
    pub(crate) fn want(&mut self, wants: Wants) {
        self.wants = wants;
        let services = &self.wants.services;
        self.said.retain(|name, said| services.get(name).is_some_and(|want| want.0 == said.0));
    }

    /// All that has to be watched for it.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        for (name, (turn, part)) in &self.wants.services {
            targets.push(service(name, *turn));
            if *part == Part::Whole {
                targets.push(slices(name, *turn));
            }
        }
        let owners = self.wants.addresses.iter().map(|(address, turn)| owner(*address, *turn));
        targets.extend(owners);
        let whole = self.wants.services.iter().filter(|(_, (_, part))| *part == Part::Whole);
        let namespaces: BTreeSet<&Arc<str>> =
            whole.map(|(name, _)| &name.namespace).chain([&self.namespace]).collect();
        targets.extend(namespaces.into_iter().flat_map(routes));
        targets
    }

    /// A watch has ended.
    pub(crate) fn ended(&mut self, key: &TargetKey) {
        self.complete.remove(key);
    }

    /// A watch has told its first list.
    pub(crate) fn complete(
        &mut self,
        key: TargetKey,
        first: Option<NamespacedName>,
    ) -> Option<Heard> {
        let heard = match key.2 {
            Which::ClusterIp(address) => Some(Heard::Owner(address, key.3, first)),
            _ => None,
        };
        self.complete.insert(key);
        heard
    }

    /// A watch may not list what it is on.
    pub(crate) fn denied(&mut self, key: TargetKey) -> Option<Heard> {
        match (&key.2, &key.1) {
            (Which::ClusterIp(address), _) => Some(Heard::Unsearchable(*address, key.3)),
            (Which::Named(name) | Which::OfService(name), Some(namespace)) => {
                let name = NamespacedName::new(namespace.clone(), name.clone());
                Some(Heard::Denied(name, key.3))
            }
            // Services can do without routes.
            _ => {
                self.complete.insert(key);
                None
            }
        }
    }

    /// What is there by now and has not been said.
    pub(crate) fn news(&mut self) -> Vec<Heard> {
        let mut news = Vec::new();
        for (name, &(turn, part)) in &self.wants.services {
            if self.said.get(name) != Some(&(turn, part)) && self.is_there(name, turn, part) {
                self.said.insert(name.clone(), (turn, part));
                news.push(Heard::Listed(name.clone(), turn, part));
            }
        }
        news
    }

    /// Whether all that was wanted at first is there; true only once.
    pub(crate) fn has_begun(&mut self) -> bool {
        let missing = |name: &NamespacedName| {
            self.wants.services.contains_key(name) && !self.said.contains_key(name)
        };
        let routes = !self.wants.routes_first || self.has_routes(&self.namespace);
        let begun = routes && self.first.as_ref().is_some_and(|all| !all.iter().any(missing));
        if begun {
            self.first = None;
        }
        begun
    }

    fn is_there(&self, name: &NamespacedName, turn: u64, part: Part) -> bool {
        self.complete.contains(&service(name, turn).key())
            && (part == Part::Probe
                || (self.complete.contains(&slices(name, turn).key())
                    && self.has_routes(&name.namespace)
                    && self.has_routes(&self.namespace)))
    }

    fn has_routes(&self, namespace: &Arc<str>) -> bool {
        routes(namespace).all(|target| self.complete.contains(&target.key()))
    }
}

fn service(name: &NamespacedName, turn: u64) -> Target {
    of(Kind::Service, Some(name.namespace.clone()), Which::Named(name.name.clone()), turn)
}

fn slices(name: &NamespacedName, turn: u64) -> Target {
    of(Kind::Slice, Some(name.namespace.clone()), Which::OfService(name.name.clone()), turn)
}

fn owner(address: IpAddr, turn: u64) -> Target {
    of(Kind::Service, None, Which::ClusterIp(address), turn)
}

/// All kinds that are about services and are no part of one.
fn routes(namespace: &Arc<str>) -> impl Iterator<Item = Target> + use<> {
    let namespace = Some(namespace.clone());
    RESOURCES.iter().filter(|resource| !resource.built_in).map(move |resource| Target {
        resource,
        namespace: namespace.clone(),
        which: Which::All,
        turn: 0,
    })
}

fn of(kind: Kind, namespace: Option<Arc<str>>, which: Which, turn: u64) -> Target {
    let resource = RESOURCES.iter().find(|resource| resource.kind == kind);
    Target { resource: resource.unwrap_or(&RESOURCES[0]), namespace, which, turn }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn wants(services: &[(&str, &str, u64, Part)]) -> Wants {
        let service =
            |&(namespace, name, turn, part)| (NamespacedName::new(namespace, name), (turn, part));
        Wants { services: services.iter().map(service).collect(), ..Wants::default() }
    }

    fn shown(follow: &Follow) -> Vec<String> {
        follow.targets().iter().map(ToString::to_string).collect()
    }

    fn complete(follow: &mut Follow, what: &str) {
        let target = follow.targets().into_iter().find(|t| t.to_string() == what).unwrap();
        follow.complete(target.key(), None);
    }

    #[test]
    fn a_service_is_there_with_its_slices_and_the_routes_of_both_namespaces() {
        let mut follow = Follow::new("home".into(), Wants::default());
        assert!(follow.has_begun(), "nothing is wanted yet");
        assert!(shown(&follow).iter().all(|target| target.ends_with(" in home")));
        follow.want(wants(&[("shop", "cart", 1, Part::Probe)]));
        complete(&mut follow, "Service in shop/cart");
        let cart = NamespacedName::new("shop", "cart");
        assert_eq!(follow.news(), [Heard::Listed(cart.clone(), 1, Part::Probe)]);
        assert!(follow.news().is_empty(), "it is said once");
        follow.want(wants(&[("shop", "cart", 1, Part::Whole)]));
        let mut rest = shown(&follow);
        assert!(rest.contains(&String::from("EndpointSlice in shop/cart")), "{rest:?}");
        rest.retain(|target| target != "Service in shop/cart");
        for target in rest {
            assert!(follow.news().is_empty(), "{target} is missing");
            complete(&mut follow, &target);
        }
        assert_eq!(follow.news(), [Heard::Listed(cart.clone(), 1, Part::Whole)]);
        // Wanted anew, it is watched anew.
        follow.want(wants(&[("shop", "cart", 2, Part::Probe)]));
        assert!(follow.news().is_empty());
        complete(&mut follow, "Service in shop/cart");
        assert_eq!(follow.news(), [Heard::Listed(cart, 2, Part::Probe)]);
    }

    #[test]
    fn routes_that_may_not_be_read_are_done_without_and_services_are_not() {
        let mut follow = Follow::new("home".into(), wants(&[("home", "cart", 1, Part::Whole)]));
        for target in follow.targets() {
            match target.which {
                Which::All => assert_eq!(follow.denied(target.key()), None),
                _ => drop(follow.complete(target.key(), None)),
            }
        }
        assert_eq!(follow.news().len(), 1);
        assert!(follow.has_begun() && !follow.has_begun(), "what was wanted at first is there");
        let cart = NamespacedName::new("home", "cart");
        let denied = follow.denied(slices(&cart, 1).key());
        assert_eq!(denied, Some(Heard::Denied(cart, 1)));
    }
}
