//! Holds a tree against the table of keys.

use crate::error::{Report, quote};
use crate::hint::{home, nearest};
use crate::scalar::{Scalar, meant, one_of};
use crate::shape::{Key, Preset, Shape};
use crate::tree::{Entry, Node, Value};

/// Reports everything in `node` that does not have the shape. The depth of the recursion is that of
/// the table.
pub(crate) fn check(node: &Node, shape: &Shape, path: &str, report: &mut Report) {
    match shape {
        Shape::Scalar { form, words } => scalar(node, *form, words, shape, path, report),
        Shape::Map(keys) => map(node, keys, shape, path, report),
        Shape::Names(each) => {
            if !matches!(node.value, Value::Map(_)) && !node.is_null() {
                wrong(node, shape, path, report);
            }
            for entry in node.entries() {
                let path = join(path, &entry.key);
                if let Err(hint) = Scalar::Name.check(&entry.key, true) {
                    let found = quote(&entry.key);
                    report.add(entry.place, &path, found, Scalar::Name.expected(), hint);
                }
                check(&entry.node, each, &path, report);
            }
        }
        Shape::List(each) => {
            if node.items().is_empty() {
                wrong(node, shape, path, report);
            }
            for (index, item) in node.items().iter().enumerate() {
                check(item, each, &format!("{path}[{index}]"), report);
            }
        }
        Shape::Either { short, long } => match (&node.value, short) {
            (Value::Map(_), _) => check(node, long, path, report),
            (Value::List(_), Shape::List(_)) | (Value::Scalar { .. }, Shape::Scalar { .. }) => {
                check(node, short, path, report);
            }
            _ => wrong(node, shape, path, report),
        },
    }
}

fn scalar(
    node: &Node,
    form: Scalar,
    words: &[&str],
    shape: &Shape,
    path: &str,
    report: &mut Report,
) {
    let Value::Scalar { text, plain } = &node.value else {
        return wrong(node, shape, path, report);
    };
    if node.is_null() {
        return wrong(node, shape, path, report);
    }
    if words.contains(&text.as_str()) {
        return;
    }
    if let Err(hint) = form.check(text, *plain) {
        let never = matches!(text.as_str(), "never" | "none" | "no" | "false" | "0" | "0s");
        let word = meant(text, words);
        let choices = if let Scalar::Choice(choices) = form { choices } else { words };
        let hint = if never && choices.contains(&"off") {
            String::from("write `off`")
        } else if word.is_empty() {
            hint
        } else {
            word
        };
        report.add(node.place, path, node.shown(), shape.expected(), hint);
    }
}

fn map(node: &Node, keys: &[Key], shape: &Shape, path: &str, report: &mut Report) {
    // A section whose lines are all commented out is a section with nothing in it.
    if !matches!(node.value, Value::Map(_)) && !node.is_null() {
        return wrong(node, shape, path, report);
    }
    let mut meant = Vec::new();
    for entry in node.entries() {
        match keys.iter().find(|key| key.name == entry.key) {
            Some(key) => optional(entry, key, &join(path, key.name), report),
            None => meant.extend(unknown(entry, keys, path, report)),
        }
    }
    for key in keys {
        // A misspelt key is one mistake, not also a missing one.
        let there = node.get(key.name).is_some() || meant.contains(&key.name);
        if matches!(key.preset, Preset::Required) && !there {
            let hint = format!("add `{}: …`: {}", key.name, lower_first(key.about));
            let found = format!("no `{}`", key.name);
            report.add(node.place, path, found, key.shape.expected(), hint);
        }
    }
}

/// A value that may be left out may also be empty when it is a section.
fn optional(entry: &Entry, key: &Key, path: &str, report: &mut Report) {
    let section = matches!(key.shape, Shape::Map(_) | Shape::Names(_));
    if !(section && entry.node.is_null()) {
        check(&entry.node, &key.shape, path, report);
    }
}

/// Reports a key that does not exist; answers which one was probably meant.
fn unknown<'k>(entry: &Entry, keys: &'k [Key], path: &str, report: &mut Report) -> Option<&'k str> {
    let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
    let near = match report.is_full() {
        true => None,
        false => nearest(&entry.key, names.iter().copied()),
    };
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => home(&entry.key).map_or_else(String::new, |home| format!("there is `{home}`")),
    };
    let found = format!("the unknown key {}", quote(&entry.key));
    let one = if names.len() > 1 { "one of " } else { "" };
    report.add(entry.place, path, found, format!("{one}{}", one_of(&names)), hint);
    near
}

fn wrong(node: &Node, shape: &Shape, path: &str, report: &mut Report) {
    let hint = match (&node.value, shape) {
        (Value::Scalar { .. }, _) if node.is_null() => "write a value or remove the key",
        (Value::Scalar { .. }, Shape::List(_) | Shape::Either { short: Shape::List(_), .. }) => {
            "write it as a list: `[…]`"
        }
        (Value::List(_), Shape::Names(_)) => "give each a name: `web: [127.0.0.1:8080]`",
        (Value::List(items), Shape::Scalar { .. }) if items.len() == 1 => {
            "remove the brackets or `-`"
        }
        _ => "",
    };
    report.add(node.place, path, node.shown(), shape.expected(), hint);
}

fn join(path: &str, key: &str) -> String {
    let shown: String = key.chars().take(64).flat_map(char::escape_debug).collect();
    if path.is_empty() { shown } else { format!("{path}.{shown}") }
}

fn lower_first(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}
