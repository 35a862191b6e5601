//! Routing against the rules of Gateway API: a naive matcher that tries everything in order is
//! the model of the table, and a few rows are spelled out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use proptest::prelude::{Just, Strategy, any, prop_assert_eq, proptest};
use proptest::{collection, option, prop_oneof, sample};
use ringway_core::message::{Field, RequestHead, Tag};
use ringway_core::policy::route::{
    HeaderMatch, HostMatch, Match, PathMatch, QueryMatch, RouteTable, RouteTableBuilder, ValueMatch,
};
use ringway_core::snapshot::Rule;

fn head<'a>(method: &'a str, authority: &'a str, target: &'a str) -> RequestHead<'a> {
    RequestHead::bare(method.as_bytes(), authority.as_bytes(), target.as_bytes())
}

fn fields<'a>(lines: &'a [(String, String)]) -> Vec<Field<'a>> {
    let field = |(name, value): &'a (String, String)| Field {
        name: name.as_bytes(),
        value: value.as_bytes(),
        line: (0, 0),
        tag: Tag::Other,
    };
    lines.iter().map(field).collect()
}

fn named(index: usize) -> Rule {
    Rule { name: index.to_string().into(), ..Rule::default() }
}

fn table(rules: &[(Vec<HostMatch>, Vec<Match>)]) -> RouteTable {
    let mut builder = RouteTableBuilder::new();
    for (index, (hosts, matches)) in rules.iter().enumerate() {
        builder.add(hosts, matches.clone(), named(index)).unwrap();
    }
    builder.build()
}

fn found(table: &RouteTable, head: &RequestHead<'_>) -> Option<(String, usize)> {
    table.find(head).map(|found| (found.rule.name.to_string(), found.matched_prefix))
}

// ---- the model: what the documentation says, without a thought for speed ----

/// How specifically `host` covers the request's; bigger is more specific.
fn host_rank(host: &HostMatch, authority: &str) -> Option<(u8, usize, bool)> {
    let HostMatch::Name { name, wildcard, port } = host else {
        return Some((0, 0, false));
    };
    let (asked, asked_port) = authority.split_once(':').unwrap_or((authority, "80"));
    let asked = asked.trim_end_matches('.').to_lowercase();
    let covers = if *wildcard {
        asked.strip_suffix(&format!(".{name}")).is_some_and(|label| !label.is_empty())
    } else {
        asked == **name
    };
    let port_fits = port.is_none_or(|port| port.to_string() == asked_port);
    let kind = if *wildcard { 1 } else { 2 };
    (covers && port_fits).then_some((kind, name.len(), port.is_some()))
}

/// How specifically a path is matched, and how much of it.
fn path_rank(wanted: &PathMatch, path: &str) -> Option<((u8, usize), usize)> {
    match wanted {
        PathMatch::Exact(exact) => (**exact == *path).then_some(((2, 0), path.len())),
        PathMatch::Regex(pattern) => {
            let regex = regex::bytes::Regex::new(&format!(r"(?-u)\A(?:{pattern})\z")).unwrap();
            regex.is_match(path.as_bytes()).then_some(((1, pattern.len()), path.len()))
        }
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
            let elements = path == prefix || path.starts_with(&format!("{prefix}/"));
            elements.then_some(((0, prefix.len()), prefix.len()))
        }
    }
}

fn value_holds(wanted: &ValueMatch, value: &str) -> bool {
    match wanted {
        ValueMatch::Exact(text) => **text == *value,
        ValueMatch::Regex(pattern) => {
            let regex = regex::bytes::Regex::new(&format!(r"(?-u)\A(?:{pattern})\z")).unwrap();
            regex.is_match(value.as_bytes())
        }
    }
}

struct Asked<'a> {
    method: &'a str,
    authority: &'a str,
    path: &'a str,
    query: &'a [(String, String)],
    headers: &'a [(String, String)],
}

/// Path kind and length, method, headers, query parameters.
type Rank = (u8, usize, bool, usize, usize);

/// Rank of `wanted` for the request, and the part of the path it covers.
fn match_rank(wanted: &Match, asked: &Asked<'_>) -> Option<(Rank, usize)> {
    let (path, covered) = path_rank(&wanted.path, asked.path)?;
    let method = wanted.method.as_deref();
    let headers = wanted.headers.iter().all(|header| {
        let same = |(name, _): &&(String, String)| name.eq_ignore_ascii_case(&header.name);
        asked.headers.iter().find(same).is_some_and(|(_, got)| value_holds(&header.value, got))
    });
    let query = wanted.query.iter().all(|param| {
        let same = |(name, _): &&(String, String)| **name == *param.name;
        asked.query.iter().find(same).is_some_and(|(_, got)| value_holds(&param.value, got))
    });
    let holds = method.is_none_or(|method| method == asked.method) && headers && query;
    let counts = (wanted.headers.len(), wanted.query.len());
    holds.then_some(((path.0, path.1, method.is_some(), counts.0, counts.1), covered))
}

fn model(rules: &[(Vec<HostMatch>, Vec<Match>)], asked: &Asked<'_>) -> Option<(String, usize)> {
    let ranks = |hosts: &[HostMatch]| {
        hosts.iter().filter_map(|host| host_rank(host, asked.authority)).collect::<Vec<_>>()
    };
    let owner = rules.iter().flat_map(|(hosts, _)| ranks(hosts)).max()?;
    let mut best = None;
    for (index, (hosts, matches)) in rules.iter().enumerate() {
        if !ranks(hosts).contains(&owner) {
            continue;
        }
        for (rank, covered) in matches.iter().filter_map(|wanted| match_rank(wanted, asked)) {
            // Only a better one replaces an older one.
            if best.as_ref().is_none_or(|&(held, _, _)| rank > held) {
                best = Some((rank, index, covered));
            }
        }
    }
    best.map(|(_, index, covered)| (index.to_string(), covered))
}

// ---- generated worlds: few words, so that they collide ----

fn host() -> impl Strategy<Value = HostMatch> {
    sample::select(vec![
        "*",
        "a.io",
        "b.a.io",
        "*.a.io",
        "*.io",
        "*.b.a.io",
        "a.io:8080",
        "*.a.io:8080",
    ])
    .prop_map(|text| HostMatch::parse(text).unwrap())
}

fn path() -> impl Strategy<Value = String> {
    collection::vec(sample::select(vec!["a", "b", "ab", ""]), 0..4)
        .prop_map(|elements| format!("/{}", elements.join("/")))
}

fn value() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![
        sample::select(vec!["1", "2", ""]).prop_map(|text| ValueMatch::Exact(text.into())),
        sample::select(vec!["[0-9]", "1|2", ".*"]).prop_map(|text| ValueMatch::Regex(text.into())),
    ]
}

fn path_match() -> impl Strategy<Value = PathMatch> {
    // Lengths differ, so that the order among patterns is the documented one.
    let patterns = vec!["/a", "/a.*", "/(a|b)/.*", "/[^/]+/ab|/b"];
    prop_oneof![
        path().prop_map(|path| PathMatch::Exact(path.into())),
        path().prop_map(|path| PathMatch::Prefix(path.into())),
        sample::select(patterns).prop_map(|pattern| PathMatch::Regex(pattern.into())),
    ]
}

fn route_match() -> impl Strategy<Value = Match> {
    let method = option::of(sample::select(vec!["GET", "POST"]));
    let headers = collection::btree_map(sample::select(vec!["x", "y"]), value(), 0..3);
    let query = collection::btree_map(sample::select(vec!["q", "r"]), value(), 0..3);
    (path_match(), method, headers, query).prop_map(|(path, method, headers, query)| Match {
        path,
        method: method.map(Into::into),
        headers: headers
            .into_iter()
            .map(|(name, value)| HeaderMatch { name: name.into(), value })
            .collect(),
        query: query
            .into_iter()
            .map(|(name, value)| QueryMatch { name: name.into(), value })
            .collect(),
    })
}

fn pairs(names: Vec<&'static str>) -> impl Strategy<Value = Vec<(String, String)>> {
    let pair = (sample::select(names), sample::select(vec!["1", "2", "x", ""]));
    collection::vec(pair.prop_map(|(name, value)| (name.into(), value.into())), 0..4)
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(1_500))]

    #[test]
    fn the_table_is_the_model(
        rules in collection::vec(
            (collection::vec(host(), 1..3), collection::vec(route_match(), 1..3)), 0..10),
        method in sample::select(vec!["GET", "POST", "PUT"]),
        authority in sample::select(vec![
            "a.io", "A.io.", "b.a.io", "c.b.a.io", "x.io", "a.io:8080", "b.a.io:8080", "io", "",
        ]),
        path in prop_oneof![path(), Just("/a/b/ab".to_owned())],
        query in pairs(vec!["q", "r", "qq"]),
        headers in pairs(vec!["X", "x", "Y", "z"]),
        bare in any::<bool>(),
    ) {
        let mut target = path.clone();
        if !query.is_empty() || bare {
            let query: Vec<String> = query.iter().map(|(n, v)| format!("{n}={v}")).collect();
            target = format!("{target}?{}", query.join("&"));
        }
        let fields = fields(&headers);
        let request = RequestHead { fields: &fields, ..head(method, authority, &target) };
        let asked =
            Asked { method, authority, path: &path, query: &query, headers: &headers };
        prop_assert_eq!(found(&table(&rules), &request), model(&rules, &asked));
    }
}

fn prefix(path: &str) -> Match {
    Match { path: PathMatch::Prefix(path.into()), ..Match::default() }
}

#[test]
fn a_host_with_rules_does_not_fall_back_to_a_less_specific_one() {
    let name = |text| vec![HostMatch::parse(text).unwrap()];
    let table = table(&[(name("*"), vec![prefix("/")]), (name("a.io"), vec![prefix("/a")])]);
    assert_eq!(found(&table, &head("GET", "a.io", "/b")), None);
    assert_eq!(found(&table, &head("GET", "b.io", "/b")), Some(("0".into(), 0)));
}

#[test]
fn requests_without_a_path_match_the_root() {
    let table = table(&[(vec![], vec![prefix("/")]), (vec![], vec![prefix("/a")])]);
    assert_eq!(found(&table, &head("OPTIONS", "a.io", "*")), Some(("0".into(), 0)));
    assert_eq!(found(&table, &head("CONNECT", "a.io:443", "a.io:443")), Some(("0".into(), 0)));
}

#[test]
fn patterns_cover_the_whole_value_and_cannot_leave_their_group() {
    let regex =
        |pattern: &str| Match { path: PathMatch::Regex(pattern.into()), ..Match::default() };
    let routes = table(&[(vec![], vec![regex("/a|/b.")])]);
    assert_eq!(found(&routes, &head("GET", "", "/a")), Some(("0".into(), 2)));
    assert_eq!(found(&routes, &head("GET", "", "/ab")), None);
    assert_eq!(found(&routes, &head("GET", "", "/x/bc")), None);
    for bad in ["/a)|(/b", "/[", "(?P<n>", "/a{1000}{1000}"] {
        let matches = vec![prefix("/"), regex(bad)];
        let error = RouteTableBuilder::new().add(&[], matches, Rule::default()).unwrap_err();
        assert_eq!((error.path.as_str(), &*error.found), ("matches[1].path", bad));
        assert!(!error.reason.is_empty());
    }
}

#[test]
fn bad_hosts_and_paths_are_refused() {
    for bad in ["", "*.", "a b", "a.io:x", "a.io:99999", "*x", "a/b", ".a", "[::1"] {
        assert!(HostMatch::parse(bad).is_err(), "{bad}");
    }
    for good in ["*", "a", "A.io.", "*.a.io:80", "127.0.0.1:80", "[::1]", "[::1]:80"] {
        assert!(HostMatch::parse(good).is_ok(), "{good}");
    }
    let error = RouteTableBuilder::new().add(&[], vec![prefix("a")], Rule::default()).unwrap_err();
    assert_eq!(error.path, "matches[0].path");
}

#[test]
fn ten_thousand_routes_and_a_hostile_path_are_no_trouble() {
    let host = |at: usize| vec![HostMatch::parse(&format!("h{}.io", at % 100)).unwrap()];
    let rules: Vec<_> =
        (0..10_000).map(|at| (host(at), vec![prefix(&format!("/api/v1/{at}"))])).collect();
    let table = table(&rules);
    assert_eq!(
        found(&table, &head("GET", "h77.io", "/api/v1/9977/x")),
        Some(("9977".into(), "/api/v1/9977".len()))
    );
    assert_eq!(found(&table, &head("GET", "h77.io", "/api/v1/99771")), None);
    assert_eq!(found(&table, &head("GET", "h77.io", &"/".repeat(60_000))), None);
}
