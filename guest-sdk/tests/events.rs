//! `#[derive(EventSet)]`: names, payloads, schemas, and old history.

use everfold_sdk::prelude::*;
use everfold_sdk::{EventError, EventKind, serde, serde_json};

/// Lines of an order.
#[data]
#[derive(Debug, PartialEq)]
struct Lines {
    skus: Vec<String>,
}

#[derive(Debug, PartialEq, EventSet)]
#[events(
    rename_all_fields = "camelCase",
    retired("Imported", 1 = imported_v1, 2 = imported_v2),
    retired("Heartbeat", 1 = heartbeat)
)]
enum Event {
    /// The order was placed,
    /// by somebody.
    #[event(
        version = 3,
        upcast(2 = placed_v2, 1 = placed_v1),
        renamed_from = "Created"
    )]
    Placed {
        placed_by: String,
        #[serde(default)]
        currency: Option<String>,
    },
    Filled(Lines),
    #[event(name = "OrderShipped")]
    Shipped,
    #[event(version = 2, upcast(1 = priced_v1))]
    Priced {
        cents: i64,
    },
    #[serde(rename_all = "SCREAMING-KEBAB-CASE")]
    Shouted {
        how_loud: u8,
    },
}

/// Version 1 knew a name.
#[derive(serde::Deserialize)]
#[serde(crate = "everfold_sdk::serde")]
struct PlacedV1 {
    name: String,
}

fn placed_v1(old: PlacedV1) -> Value {
    json!({ "by": old.name })
}

fn placed_v2(old: Value) -> Value {
    json!({ "placedBy": old["by"], "currency": "EUR" })
}

fn priced_v1(old: Value) -> Vec<Event> {
    let parts = old["parts"].as_array().cloned().unwrap_or_default();
    parts.iter().filter_map(Value::as_i64).map(|cents| Event::Priced { cents }).collect()
}

fn imported_v1(old: Value) -> Event {
    Event::Filled(Lines { skus: vec![old["sku"].to_string()] })
}

fn imported_v2(old: Value) -> Vec<Event> {
    let skus = serde_json::from_value(old["skus"].clone()).unwrap_or_default();
    vec![Event::Filled(Lines { skus }), Event::Shipped]
}

fn heartbeat(_old: Value) -> Option<Event> {
    None
}

fn decode(event_type: &str, schema_version: u32, payload: &str) -> Result<Vec<Event>, EventError> {
    let mut events = Vec::new();
    Event::decode(event_type, schema_version, payload.as_bytes(), &mut events)?;
    Ok(events)
}

fn placed(by: &str, currency: Option<&str>) -> Event {
    Event::Placed { placed_by: by.into(), currency: currency.map(Into::into) }
}

#[test]
fn each_shape_of_variant_has_its_payload() {
    let cases = [
        (placed("ann", None), "Placed", 3, r#"{"placedBy":"ann","currency":null}"#),
        (Event::Filled(Lines { skus: vec!["a".into()] }), "Filled", 1, r#"{"skus":["a"]}"#),
        (Event::Shipped, "OrderShipped", 1, "{}"),
        (Event::Shouted { how_loud: 9 }, "Shouted", 1, r#"{"HOW-LOUD":9}"#),
    ];
    for (event, event_type, schema_version, payload) in cases {
        assert_eq!(decode(event_type, schema_version, payload).as_deref(), Ok(&[event][..]));
        let [event] = <[Event; 1]>::try_from(decode(event_type, schema_version, payload).unwrap()).unwrap();
        let encoded = event.encode();
        assert_eq!(encoded.kind, EventKind { event_type, schema_version });
        assert_eq!(std::str::from_utf8(&encoded.payload), Ok(payload));
    }
}

#[test]
fn history_may_carry_fields_that_are_not_known() {
    let events = decode("Placed", 3, r#"{"placedBy":"ann","later":{"field":1}}"#);
    assert_eq!(events, Ok(vec![placed("ann", None)]));
    assert_eq!(decode("OrderShipped", 1, r#"{"later":1}"#), Ok(vec![Event::Shipped]));
    assert_eq!(decode("OrderShipped", 1, "null"), Ok(vec![Event::Shipped]));
}

#[test]
fn older_versions_pass_from_upcaster_to_upcaster() {
    assert_eq!(decode("Placed", 2, r#"{"by":"ann"}"#), Ok(vec![placed("ann", Some("EUR"))]));
    assert_eq!(decode("Placed", 1, r#"{"name":"ann"}"#), Ok(vec![placed("ann", Some("EUR"))]));
}

#[test]
fn a_former_name_stands_for_the_new_one_in_all_versions() {
    assert_eq!(decode("Created", 1, r#"{"name":"ann"}"#), Ok(vec![placed("ann", Some("EUR"))]));
    assert_eq!(decode("Created", 3, r#"{"placedBy":"ann"}"#), Ok(vec![placed("ann", None)]));
}

#[test]
fn one_old_event_may_become_several_or_none() {
    let priced = |cents| Event::Priced { cents };
    assert_eq!(decode("Priced", 1, r#"{"parts":[1,2]}"#), Ok(vec![priced(1), priced(2)]));
    assert_eq!(decode("Priced", 1, r#"{"parts":[]}"#), Ok(vec![]));
    assert_eq!(decode("Heartbeat", 1, "{}"), Ok(vec![]));
    let filled = Event::Filled(Lines { skus: vec!["a".into()] });
    assert_eq!(decode("Imported", 2, r#"{"skus":["a"]}"#), Ok(vec![filled, Event::Shipped]));
}

#[test]
fn what_cannot_be_taken_is_a_typed_error() {
    for (event_type, schema_version) in [("Placed", 4), ("Placed", 0), ("Shipped", 1), ("Imported", 3)] {
        assert_eq!(decode(event_type, schema_version, "{}"), Err(EventError::Unknown));
    }
    for (event_type, schema_version, payload) in [
        ("Placed", 3, r#"{"placedBy":7}"#),
        ("Placed", 3, "{"),
        ("Placed", 1, "{}"),
        ("OrderShipped", 1, "7"),
        ("Filled", 1, "null"),
    ] {
        let error = decode(event_type, schema_version, payload);
        assert!(matches!(error, Err(EventError::Invalid(_))), "{event_type} {payload}: {error:?}");
    }
    let Err(EventError::Invalid(why)) = decode("Placed", 1, "{}") else { panic!("decoded") };
    assert!(why.contains("missing field `name`"), "{why}");
}

#[test]
fn kinds_are_declared_old_and_new() {
    let current: Vec<_> =
        Event::CURRENT.iter().map(|event| (event.kind.event_type, event.kind.schema_version)).collect();
    assert_eq!(current, [("Placed", 3), ("Filled", 1), ("OrderShipped", 1), ("Priced", 2), ("Shouted", 1)]);
    let old: Vec<_> = Event::OLD.iter().map(|kind| (kind.event_type, kind.schema_version)).collect();
    let placed = [("Placed", 1), ("Placed", 2), ("Created", 1), ("Created", 2), ("Created", 3)];
    let retired = [("Imported", 1), ("Imported", 2), ("Heartbeat", 1)];
    assert_eq!(old, [&placed[..], &[("Priced", 1)], &retired].concat());
}

#[test]
fn schemas_and_descriptions_come_from_the_types() {
    let [placed, filled, shipped, ..] = Event::CURRENT else { panic!("fewer events than declared") };
    assert_eq!(placed.description, Some("The order was placed, by somebody."));
    let schema: Value = (placed.schema)().parse().unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["title"], "Placed");
    assert_eq!(schema["required"], json!(["placedBy"]));
    assert_eq!(schema["properties"]["currency"]["type"], json!(["string", "null"]));
    assert_eq!(schema["additionalProperties"], Value::Null);

    let schema: Value = (filled.schema)().parse().unwrap();
    assert_eq!(schema["description"], "Lines of an order.");
    let schema: Value = (shipped.schema)().parse().unwrap();
    assert_eq!((&schema["type"], &schema["title"]), (&json!(["object", "null"]), &json!("OrderShipped")));
    assert_eq!((placed.schema)(), (placed.schema)());
}
