//! `#[derive(CommandSet)]` and `#[derive(Rejection)]`.

use everfold_sdk::prelude::*;
use everfold_sdk::{CommandError, RejectionType};

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
}

#[derive(Rejection)]
enum Error {
    /// Nothing to do.
    AlreadyPlaced,
    #[reject("{left} of {asked} are left, in {place:?}")]
    SoldOut { left: u32, asked: u32, place: Place },
    #[reject(code = "closed", "not before {opens}")]
    NotOpenYet { opens: String, hint: Option<String> },
}

#[data]
#[derive(Debug)]
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
        assert!(matches!(error, Err(CommandError::Invalid(_))), "{name} {payload}: {error:?}");
    }
    let Err(CommandError::Invalid(why)) = decode("Place", r#"{"placedBy":"ann","prioritty":2}"#) else {
        panic!("decoded");
    };
    assert!(why.contains("unknown field `prioritty`"), "{why}");
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
    let declared = declared.map(|(code, description)| RejectionType { code, description });
    assert_eq!(Error::REJECTIONS, declared);
}
