//! What the derives' code calls. No part of the API: it may change in any release.

use std::fmt;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;
use serde_path_to_error::{Path, Segment};

#[cfg(target_arch = "wasm32")]
pub use crate::guest::{Glue, bindings};
pub use crate::instance::AggregateType;
use crate::{
    CommandError, EncodedCommand, EncodedEvent, EventError, EventKind, EventSet, IntoEvents, IntoUpcast, Upcast,
};

/// What `export!` says about a module.
pub trait Module: 'static {
    const NAME: &'static str;
    const VERSION: &'static str;
    const TYPES: &'static [AggregateType];
}

/// Fails the build of a module that has two aggregate types of one name.
pub const fn assert_distinct(names: &[&str]) {
    let mut i = 0;
    while i < names.len() {
        let mut j = i + 1;
        while j < names.len() {
            assert!(!equal(names[i].as_bytes(), names[j].as_bytes()), "two exported aggregates have the same TYPE");
            j += 1;
        }
        i += 1;
    }
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

pub fn decode_event<T: DeserializeOwned>(payload: &[u8]) -> Result<T, EventError> {
    serde_json::from_slice(payload).map_err(|error| EventError::Invalid(error.to_string()))
}

pub fn decode_command<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CommandError> {
    serde_json::from_slice(payload).map_err(|error| {
        // Keeping the path costs time: only a payload that is refused is read again for it.
        let mut reader = serde_json::Deserializer::from_slice(payload);
        let pointer = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
            Err(error) => pointer(error.path()),
            // Something follows a payload that is fine by itself.
            Ok(_) => String::new(),
        };
        CommandError::Invalid { message: error.to_string(), pointer }
    })
}

/// The JSON pointer (RFC 6901) of a path, as far as it is known.
fn pointer(path: &Path) -> String {
    let names = path.iter().map_while(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } | Segment::Enum { variant: key } => Some(key.replace('~', "~0").replace('/', "~1")),
        Segment::Unknown => None,
    });
    names.fold(String::new(), |pointer, name| pointer + "/" + &name)
}

pub fn encode_event<T: Serialize>(event_type: &'static str, schema_version: u32, payload: &T) -> EncodedEvent {
    EncodedEvent { kind: EventKind { event_type, schema_version }, payload: to_json(event_type, payload) }
}

pub fn encode_command<T: Serialize>(name: &'static str, payload: &T) -> EncodedCommand {
    EncodedCommand { name, payload: to_json(name, payload) }
}

pub fn to_json<T: Serialize>(what: &str, value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| panic!("{what} has no JSON form: {error}"))
}

/// Takes an old payload one schema version further, or to the events that it now stands for.
pub fn upcast<E: EventSet, Old: DeserializeOwned, New: IntoUpcast<E>>(
    payload: &[u8],
    upcaster: impl FnOnce(Old) -> New,
    next: EventKind,
    into: &mut Vec<E>,
) -> Result<(), EventError> {
    match upcaster(decode_event(payload)?).into_upcast() {
        Upcast::Payload(payload) => {
            E::decode(next.event_type, next.schema_version, &to_json(next.event_type, &payload), into)
        }
        Upcast::Events(events) => {
            into.extend(events);
            Ok(())
        }
    }
}

/// Takes an event of a retired type to the events that it now stands for.
pub fn retire<E: EventSet, Old: DeserializeOwned, New: IntoEvents<E>>(
    payload: &[u8],
    upcaster: impl FnOnce(Old) -> New,
    into: &mut Vec<E>,
) -> Result<(), EventError> {
    into.extend(upcaster(decode_event(payload)?).into_events());
    Ok(())
}

/// The JSON Schema (2020-12) of a payload: what may be sent.
pub fn schema<T: JsonSchema>() -> String {
    text::<T>(SchemaSettings::draft2020_12())
}

/// The JSON Schema (2020-12) of what is answered: fields that are always written are always there.
pub fn written_schema<T: JsonSchema>() -> String {
    text::<T>(SchemaSettings::draft2020_12().for_serialize())
}

fn text<T: JsonSchema>(settings: SchemaSettings) -> String {
    settings.into_generator().into_root_schema_for::<T>().as_value().to_string()
}

/// The JSON Schema of a payload without fields.
pub fn empty_schema(title: &str, description: Option<&str>, strict: bool) -> String {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": ["object", "null"],
    });
    if let Some(description) = description {
        schema["description"] = description.into();
    }
    if strict {
        schema["additionalProperties"] = false.into();
    }
    schema.to_string()
}

/// The payload of a unit variant: `{}`, or null. Unless `STRICT`, fields are passed over.
pub struct Empty<const STRICT: bool>;

impl<const STRICT: bool> Serialize for Empty<STRICT> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(Some(0))?.end()
    }
}

impl<'de, const STRICT: bool> Deserialize<'de> for Empty<STRICT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de, const STRICT: bool> Visitor<'de> for Empty<STRICT> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an empty object")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while let Some(field) = map.next_key::<String>()? {
            if STRICT {
                return Err(A::Error::custom(format!("unknown field `{field}`, there are no fields")));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(self)
    }
}
