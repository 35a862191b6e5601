//! Did you mean …: finds the word or key that was probably meant.

use crate::keys::ROOT;
use crate::shape::Shape;

/// The candidate nearest to `word`, if one is near enough to be meant.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    // Words of people are short; anything longer is not a slip.
    if word.len() > 64 {
        return None;
    }
    let word = fold(word);
    let most = (word.len() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &fold(candidate)), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `accessLog`, `access-log` and `access_log` are one word.
fn fold(word: &str) -> Vec<char> {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Edits (insert, delete, replace, swap neighbours) from one word to the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &to) in b.iter().enumerate() {
            let mut least =
                (above[j] + usize::from(from != to)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from == b[j - 1] && a[i - 1] == to {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(a.len())
}

/// Words of other proxies, and where the same is said here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("threads", "workers.count"),
    ("nbthread", "workers.count"),
    ("concurrency", "workers.count"),
    ("upstreams", "services"),
    ("clusters", "services"),
    ("backends", "services"),
    ("servers", "listeners"),
    ("frontends", "listeners"),
    ("bind", "listeners[].address"),
    ("listen", "listeners[].address"),
    ("routes", "discovery.manifests"),
    ("maxconn", "limits.connections"),
];

/// Where a key that is unknown at its place is at home.
pub(crate) fn home(name: &str) -> Option<String> {
    let elsewhere = ELSEWHERE.iter().find(|(word, _)| *word == name);
    elsewhere.map(|(_, path)| (*path).to_owned()).or_else(|| find(&ROOT, name, ""))
}

fn find(shape: &Shape, name: &str, path: &str) -> Option<String> {
    match shape {
        Shape::Scalar { .. } => None,
        Shape::List(each) => find(each, name, &format!("{path}[]")),
        Shape::Names(each) => find(each, name, &format!("{path}.NAME")),
        Shape::Either { short, long } => find(long, name, path).or_else(|| find(short, name, path)),
        Shape::Map(keys) => keys.iter().find_map(|key| {
            let path =
                if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
            if key.name == name { Some(path) } else { find(&key.shape, name, &path) }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let words = ["address", "kind", "connect_timeout", "name"];
        for (word, meant) in [
            ("adress", Some("address")),
            ("knid", Some("kind")),
            ("connectTimeout", Some("connect_timeout")),
            ("nmae", Some("name")),
            ("weight", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, words), meant, "{word}");
        }
    }
}
