//! JSON of an API server as the tree that YAML becomes, without what nobody reads: `status` and
//! `metadata.managedFields` are passed over as they come.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::cursor::Place;
use super::tree::{DEEPEST, Node, Value};

/// JSON has no places: an object of an API is found by its name.
const NOWHERE: Place = (0, 0);

/// Reads one object.
///
/// # Errors
/// What is not JSON, or nests deeper than any object that is read.
pub(super) fn read(bytes: &[u8]) -> Result<Node, String> {
    let mut input = serde_json::Deserializer::from_slice(bytes);
    let node = Level { depth: 0, at: At::Root }.deserialize(&mut input);
    let node = node.and_then(|node| input.end().map(|()| node));
    node.map_err(|error| error.to_string())
}

/// Where in the object a value stands, as far as that matters for what is passed over.
#[derive(Clone, Copy)]
enum At {
    Root,
    Metadata,
    Other,
}

impl At {
    fn is_skipped(self, key: &str) -> bool {
        matches!((self, key), (Self::Root, "status") | (Self::Metadata, "managedFields"))
    }

    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Root, "metadata") => Self::Metadata,
            _ => Self::Other,
        }
    }
}

/// Reads a value at that depth.
#[derive(Clone, Copy)]
struct Level {
    depth: usize,
    at: At,
}

impl Level {
    fn below<E: Error>(self, at: At) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > DEEPEST {
            return Err(E::custom("more than 64 levels"));
        }
        Ok(Self { depth, at })
    }
}

fn scalar(text: impl Into<String>, plain: bool) -> Node {
    Node { place: NOWHERE, value: Value::Scalar { text: text.into(), plain } }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(scalar("null", true))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(scalar(value.to_string(), true))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(scalar(value.to_string(), true))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(scalar(value.to_string(), true))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(scalar(value.to_string(), true))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(scalar(text, false))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let below = self.below(At::Other)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            list.push(item);
        }
        Ok(Node { place: NOWHERE, value: Value::List(list) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        // Of a key that stands twice, the first is found.
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<String>()? {
            if self.at.is_skipped(&key) {
                entries.next_value::<IgnoredAny>()?;
            } else {
                let value = entries.next_value_seed(self.below(self.at.below(&key))?)?;
                map.push((key, value));
            }
        }
        Ok(Node { place: NOWHERE, value: Value::Map(map) })
    }
}
