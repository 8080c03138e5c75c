//! `#[derive(CommandSet)]` and `#[derive(Rejection)]`.

use std::collections::BTreeMap;

use everfold_sdk::CommandError;
use everfold_sdk::prelude::*;

#[data]
#[derive(Debug, PartialEq)]
struct Address {
    street: String,
}

#[derive(Debug, PartialEq, CommandSet)]
#[commands(rename_all_fields = "camelCase")]
enum Command {
    /// Places the order.
    Place {
        placed_by: String,
        #[schemars(range(min = 1, max = 9))]
        priority: Option<u8>,
    },
    Deliver(Address),
    #[command(name = "CancelOrder")]
    Cancel,
    Stock {
        shelves: BTreeMap<String, Vec<Place>>,
    },
}

#[derive(Rejection)]
enum Error {
    /// Nothing to do.
    AlreadyPlaced,
    #[reject("{left} of {asked} are left, in {place:?}")]
    SoldOut {
        /// How many there are.
        left: u32,
        asked: u32,
        place: Place,
    },
    #[reject(code = "closed", "not before {opens}")]
    NotOpenYet { opens: String, hint: Option<String> },
}

#[data]
#[derive(Debug, PartialEq)]
struct Place {
    shelf: u8,
}

fn decode(name: &str, payload: &str) -> Result<Command, CommandError> {
    Command::decode(name, payload.as_bytes())
}

#[test]
fn commands_are_decoded_by_name() {
    let placed = Command::Place { placed_by: "ann".into(), priority: None };
    assert_eq!(decode("Place", r#"{"placedBy":"ann"}"#), Ok(placed));
    let address = Address { street: "Elm".into() };
    assert_eq!(decode("Deliver", r#"{"street":"Elm"}"#), Ok(Command::Deliver(address)));
    assert_eq!(decode("CancelOrder", "{}"), Ok(Command::Cancel));
    assert_eq!(decode("CancelOrder", " null "), Ok(Command::Cancel));
    for name in ["Cancel", "place", ""] {
        assert_eq!(decode(name, "{}"), Err(CommandError::Unknown));
    }
}

#[test]
fn commands_are_encoded_as_they_are_decoded() {
    let encoded = Command::Place { placed_by: "ann".into(), priority: Some(2) }.encode();
    assert_eq!(encoded.name, "Place");
    assert_eq!(encoded.payload, br#"{"placedBy":"ann","priority":2}"#);
    assert_eq!(Command::Cancel.encode().payload, b"{}");
}

#[test]
fn fields_that_are_not_declared_are_refused() {
    for (name, payload) in [
        ("Place", r#"{"placedBy":"ann","prioritty":2}"#),
        ("CancelOrder", r#"{"reason":"none"}"#),
        ("Place", "{"),
        ("Place", ""),
        ("Place", "[]"),
    ] {
        let error = decode(name, payload);
        assert!(matches!(error, Err(CommandError::Invalid { .. })), "{name} {payload}: {error:?}");
    }
    let Err(CommandError::Invalid { message, .. }) = decode("Place", r#"{"placedBy":"ann","prioritty":2}"#) else {
        panic!("decoded");
    };
    assert!(message.contains("unknown field `prioritty`"), "{message}");
}

#[test]
fn a_refused_payload_is_pointed_into() {
    let pointer = |name: &str, payload: &str| match decode(name, payload) {
        Err(CommandError::Invalid { pointer, .. }) => pointer,
        other => panic!("{payload}: {other:?}"),
    };
    assert_eq!(pointer("Place", r#"{"placedBy":"ann","priority":"high"}"#), "/priority");
    assert_eq!(pointer("Place", r#"{"priority":2}"#), "", "the whole lacks a field");
    assert_eq!(pointer("Place", r#"{"placedBy":"ann"} and more"#), "");
    assert_eq!(pointer("Stock", r#"{"shelves":{"a/b":[{"shelf":1},{"shelf":-1}]}}"#), "/shelves/a~1b/1/shelf");
}

#[test]
fn schemas_say_what_is_refused() {
    let schemas: Vec<Value> = Command::COMMANDS.iter().map(|command| (command.schema)().parse().unwrap()).collect();
    assert_eq!(schemas[0]["additionalProperties"], false);
    assert_eq!(schemas[0]["properties"]["priority"]["maximum"], 9);
    assert_eq!(schemas[0]["description"], "Places the order.");
    assert_eq!(schemas[2]["additionalProperties"], false);
    assert_eq!(Command::COMMANDS[0].description, Some("Places the order."));
    assert_eq!(Command::COMMANDS[1].description, None);
}

#[test]
fn rejections_have_codes_messages_and_details() {
    let rejection = Error::AlreadyPlaced;
    assert_eq!(rejection.code(), "already-placed");
    assert_eq!(rejection.message(), "already placed");
    assert_eq!(rejection.details(), None);

    let rejection = Error::SoldOut { left: 2, asked: 3, place: Place { shelf: 7 } };
    assert_eq!(rejection.code(), "sold-out");
    assert_eq!(rejection.message(), "2 of 3 are left, in Place { shelf: 7 }");
    let details: Value = everfold_sdk::serde_json::from_slice(&rejection.details().unwrap()).unwrap();
    assert_eq!(details, json!({ "left": 2, "asked": 3, "place": { "shelf": 7 } }));

    let rejection = Error::NotOpenYet { opens: "noon".into(), hint: None };
    assert_eq!((rejection.code(), rejection.message()), ("closed", "not before noon".into()));

    let declared = [("already-placed", Some("Nothing to do.")), ("sold-out", None), ("closed", None)];
    assert_eq!(
        Error::REJECTIONS.iter().map(|declared| (declared.code, declared.description)).collect::<Vec<_>>(),
        declared
    );
}

#[test]
fn details_have_a_schema() {
    let schemas: Vec<Option<Value>> =
        Error::REJECTIONS.iter().map(|declared| Some((declared.details_schema?)().parse().unwrap())).collect();
    assert_eq!(schemas[0], None);
    let sold_out = schemas[1].as_ref().unwrap();
    assert_eq!(sold_out["title"], "sold-out");
    assert_eq!(sold_out["properties"]["left"]["description"], "How many there are.");
    assert_eq!(sold_out["required"], json!(["left", "asked", "place"]));
    let not_open_yet = schemas[2].as_ref().unwrap();
    assert_eq!(not_open_yet["required"], json!(["opens", "hint"]), "what is always written is always there");
}
