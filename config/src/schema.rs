//! The table of keys as a JSON schema, for editors and for CI.

use serde_json::{Map, Value, json};

use crate::keys::ROOT;
use crate::scalar::Scalar;
use crate::shape::{Key, Preset, Shape};

/// The JSON schema (draft 2020-12) of `ringway.yaml`.
#[must_use]
pub fn schema() -> Value {
    let mut schema = of(&ROOT);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("ringway.yaml");
    schema
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Scalar { form, words: [] } => scalar(*form),
        Shape::Scalar { form, words } => json!({ "anyOf": [{ "enum": words }, scalar(*form)] }),
        Shape::Map(keys) => map(keys),
        Shape::Names(each) => json!({
            "type": "object",
            "propertyNames": scalar(Scalar::Name),
            "additionalProperties": of(each),
        }),
        Shape::List(each) => json!({ "type": "array", "minItems": 1, "items": of(each) }),
        Shape::Either { short, long } => json!({ "anyOf": [of(short), of(long)] }),
    }
}

fn map(keys: &[Key]) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let mut value = of(&key.shape);
        value["description"] = json!(key.about);
        if let Preset::Value(text) = key.preset {
            value["default"] = default(&key.shape, text);
        }
        properties.insert(key.name.to_owned(), value);
    }
    let required = keys.iter().filter(|key| matches!(key.preset, Preset::Required));
    let required: Vec<&str> = required.map(|key| key.name).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// A default as the type it has in YAML.
fn default(shape: &Shape, text: &str) -> Value {
    match shape {
        Shape::Scalar { form: Scalar::Bool, .. } => json!(text == "true"),
        Shape::Scalar { form: Scalar::Number { .. }, .. } => {
            text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
        }
        _ => json!(text),
    }
}

fn scalar(form: Scalar) -> Value {
    match form {
        Scalar::Bool => json!({ "type": "boolean" }),
        Scalar::Number { least, most } => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Scalar::Bytes { least, most } => json!({ "anyOf": [
            { "type": "integer", "minimum": least, "maximum": most },
            { "type": "string", "pattern": "^[0-9]+([KM]iB?|B)?$" },
        ] }),
        Scalar::Duration { .. } => {
            json!({ "type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$" })
        }
        Scalar::Choice(words) => json!({ "enum": words }),
        Scalar::Name => json!({
            "type": "string",
            "maxLength": 63,
            "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        }),
        Scalar::Place => json!({
            "type": "string",
            "maxLength": 253,
            "pattern": "^[-._a-zA-Z0-9]+$",
        }),
        Scalar::Listen | Scalar::Connect | Scalar::HostPort => {
            json!({ "type": "string", "pattern": "^.+:[0-9]{1,5}$" })
        }
        Scalar::Ports => json!({ "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": 65535 },
            { "type": "string", "pattern": "^ *[0-9]{1,5}(-[0-9]{1,5})?( *, *[0-9]{1,5}(-[0-9]{1,5})?)* *$" },
        ] }),
        Scalar::Networks | Scalar::Directory | Scalar::File | Scalar::Text | Scalar::Level => {
            json!({ "type": "string", "minLength": 1 })
        }
    }
}
