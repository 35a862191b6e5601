//! From the server name that a TLS client asks for to the rule that governs its connection, which
//! is passed on as it comes (TLSRoute): exact, else the longest wildcard, else any.

use super::host::{HostMatch, Hosts};
use crate::snapshot::Rule;

/// Rules by server name.
#[derive(Debug, Default)]
pub struct ServerNames {
    names: Hosts<Option<u32>>,
    rules: Vec<Rule>,
}

impl ServerNames {
    /// Adds a rule for names (none: any client that no other entry owns). Of several rules for one
    /// name the first counts.
    pub fn add(&mut self, names: &[HostMatch], rule: Rule) {
        let index = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
        let names = if names.is_empty() { &[HostMatch::Any] } else { names };
        for name in names {
            self.names.entry(name).get_or_insert(index);
        }
        self.rules.push(rule);
    }

    /// The rule for a name, which is empty for a client that says none; and its index, for
    /// [`Self::rule`]. Allocates nothing.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<(u32, &Rule)> {
        let index = (*self.names.find(name)?)?;
        Some((index, self.rule(index)?))
    }

    /// The rule number `index`.
    #[must_use]
    pub fn rule(&self, index: u32) -> Option<&Rule> {
        self.rules.get(index as usize)
    }

    /// All rules, in the order in which they were added.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether there is no rule.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, &[&str])]) -> ServerNames {
        let mut table = ServerNames::default();
        for (rule, names) in rows {
            let names: Vec<_> = names.iter().filter_map(|n| HostMatch::parse(n).ok()).collect();
            table.add(&names, Rule { name: (*rule).into(), ..Rule::default() });
        }
        table
    }

    fn found<'t>(table: &'t ServerNames, name: &str) -> Option<&'t str> {
        table.find(name.as_bytes()).map(|(_, rule)| &*rule.name)
    }

    #[test]
    fn exact_before_the_longest_wildcard_before_any() {
        let table = table(&[
            ("any", &[]),
            ("short", &["*.example.com"]),
            ("long", &["*.a.example.com", "b.example.com"]),
            ("exact", &["www.example.com"]),
            ("younger", &["www.example.com", "www.example.net"]),
        ]);
        let rows = [
            ("www.example.com", "exact"),
            ("WWW.Example.com.", "exact"),
            ("b.example.com", "long"),
            ("x.example.com", "short"),
            ("x.y.example.com", "short"),
            ("x.a.example.com", "long"),
            ("a.example.com", "short"),
            ("example.com", "any"),
            ("www.example.net", "younger"),
            ("", "any"),
        ];
        for (name, rule) in rows {
            assert_eq!(found(&table, name), Some(rule), "{name}");
        }
    }

    #[test]
    fn without_a_rule_for_any_name_an_unknown_one_finds_none() {
        let table = table(&[("one", &["one.test"])]);
        assert_eq!(found(&table, "one.test"), Some("one"));
        assert_eq!(found(&table, "two.test"), None);
        assert_eq!(found(&table, ""), None);
        assert!(!table.is_empty() && ServerNames::default().is_empty());
        assert_eq!(table.rule(0).map(|rule| &*rule.name), Some("one"));
    }
}
