//! The forms that a value can have: what the table of keys is made of.

use crate::scalar::Scalar;

/// One key: what validation, the JSON schema and the reference are made from.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) preset: Preset,
    /// What it means, with its unit; one sentence.
    pub(crate) about: &'static str,
    /// Why the default is what it is.
    pub(crate) reason: &'static str,
}

/// What holds when a key is not there.
#[derive(Debug)]
pub(crate) enum Preset {
    /// It has to be there.
    Required,
    /// As if this were written.
    Value(&'static str),
    /// Something that depends on other keys, in words.
    Depends(&'static str),
    /// Nothing, or what the keys within say.
    Absent,
}

/// The form of a value.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A scalar, or one of some words in its place.
    Scalar { form: Scalar, words: &'static [&'static str] },
    /// A mapping with these keys.
    Map(&'static [Key]),
    /// A mapping from names (DNS labels) chosen by the user.
    Names(&'static Self),
    /// A list with at least one item.
    List(&'static Self),
    /// A short form, or a mapping.
    Either { short: &'static Self, long: &'static Self },
}

impl Shape {
    /// A scalar alone.
    pub(crate) const fn of(form: Scalar) -> Self {
        Self::Scalar { form, words: &[] }
    }

    /// A scalar or one of these words.
    pub(crate) const fn or(form: Scalar, words: &'static [&'static str]) -> Self {
        Self::Scalar { form, words }
    }

    /// What stands in "expected …".
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Scalar { form, words } => {
                let words = words.iter().map(|word| format!("`{word}` or "));
                words.collect::<String>() + &form.expected()
            }
            Self::Map(_) => String::from("a mapping (`key: value` lines)"),
            Self::Names(_) => String::from("a mapping from names (`name: …` lines)"),
            Self::List(_) => String::from("a list (`- item` lines) with at least one item"),
            Self::Either { short, long } => format!("{} or {}", short.expected(), long.expected()),
        }
    }
}
