//! What the host of a request may stand for: the names that the compiled routes have, read
//! backwards.

use std::net::IpAddr;

use crate::object::NamespacedName;

/// What a host may stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Candidate {
    /// A service, or a pod of it.
    Service(NamespacedName),
    /// The service that has this cluster IP.
    Address(IpAddr),
}

/// The longest label of a name (RFC 1035 2.3.4).
const LONGEST_LABEL: usize = 63;

/// What a host in plain form may stand for, to a client in `namespace`; the likeliest first.
pub(super) fn candidates(host: &str, namespace: &str) -> Vec<Candidate> {
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = literal.parse() {
        return vec![Candidate::Address(address)];
    }
    let bare = host.strip_suffix(".svc.cluster.local").or_else(|| host.strip_suffix(".svc"));
    let full = bare.is_some_and(|bare| bare.contains('.'));
    let name = bare.filter(|_| full).unwrap_or(host);
    if !name.split('.').all(is_label) {
        return Vec::new();
    }
    let service =
        |namespace: &str, name: &str| Candidate::Service(NamespacedName::new(namespace, name));
    match name.split('.').collect::<Vec<_>>()[..] {
        [name] => vec![service(namespace, name)],
        [name, elsewhere] if full => vec![service(elsewhere, name)],
        // A service of another namespace, or a pod of a headless one here.
        [name, elsewhere] => vec![service(elsewhere, name), service(namespace, elsewhere)],
        [_, name, elsewhere] => vec![service(elsewhere, name)],
        _ => Vec::new(),
    }
}

fn is_label(label: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.bytes().all(plain)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(host: &str) -> Vec<String> {
        let shown = |candidate| match candidate {
            Candidate::Service(name) => name.to_string(),
            Candidate::Address(address) => address.to_string(),
        };
        candidates(host, "home").into_iter().map(shown).collect()
    }

    #[test]
    fn every_name_that_routes_have_leads_back_to_its_service() {
        let rows: [(&str, &[&str]); 13] = [
            ("orders", &["home/orders"]),
            ("orders.shop", &["shop/orders", "home/shop"]),
            ("orders.shop.svc", &["shop/orders"]),
            ("orders.shop.svc.cluster.local", &["shop/orders"]),
            ("db-0.db.shop", &["shop/db"]),
            ("db-0.db.shop.svc", &["shop/db"]),
            ("db-0.db.shop.svc.cluster.local", &["shop/db"]),
            ("web.svc", &["svc/web", "home/svc"]),
            ("10.96.0.7", &["10.96.0.7"]),
            ("[fd00::7]", &["fd00::7"]),
            ("a.b.c.d.example.com", &[]),
            ("under_score", &[]),
            ("a..b", &[]),
        ];
        for (host, wanted) in rows {
            assert_eq!(names(host), wanted, "{host}");
        }
        assert!(names(&"x".repeat(64)).is_empty());
    }
}
