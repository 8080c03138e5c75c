//! What the host knows of one aggregate type: its commands with their schemas, and the events it takes and answers.

use std::collections::{HashMap, HashSet};

use jsonschema::{PatternOptions, Validator};

use super::guest::shortened;
use crate::model::{AggregateDescriptor, AggregateType, Json};

/// Faults of a payload that are told at once; the others come to light when these are mended.
const MAX_FAULTS: usize = 5;
/// Longest description of one fault, in bytes.
const MAX_FAULT_BYTES: usize = 300;

/// One aggregate type of a module.
#[derive(Debug)]
pub struct AggregateInfo {
    descriptor: AggregateDescriptor,
    aggregate_type: AggregateType,
    /// By command; without a schema any JSON is taken.
    commands: HashMap<String, Option<Validator>>,
    /// By event type, the schema version that `decide` answers.
    declared: HashMap<String, u32>,
    /// By event type, the older schema versions that are still read.
    upcasts: HashMap<String, HashSet<u32>>,
}

/// A command that is refused before any guest sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandCheck {
    /// The aggregate type has no such command.
    #[error("the aggregate type has no such command")]
    Unknown,
    /// The payload doesn't fit the command's schema.
    #[error("{message}")]
    Invalid {
        /// What is wrong, for people.
        message: String,
        /// JSON pointer to the first faulty part; empty for the whole payload.
        pointer: String,
    },
}

/// A schema that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{of} has a schema that can't be used: {problem}")]
pub(super) struct SchemaError {
    of: String,
    problem: String,
}

impl AggregateInfo {
    /// Compiles the schemas of a descriptor whose names have been checked.
    pub(super) fn new(aggregate_type: AggregateType, descriptor: AggregateDescriptor) -> Result<Self, SchemaError> {
        let mut commands = HashMap::new();
        for command in &descriptor.commands {
            let of = || format!("command {:?} of aggregate type {:?}", command.name, descriptor.aggregate_type);
            commands.insert(command.name.clone(), compile(command.schema.as_deref(), of)?);
        }
        let mut declared = HashMap::new();
        for event in &descriptor.events {
            let of = || format!("event {:?} of aggregate type {:?}", event.event_type, descriptor.aggregate_type);
            compile(event.schema.as_deref(), of)?;
            declared.insert(event.event_type.clone(), event.schema_version);
        }
        let mut upcasts: HashMap<String, HashSet<u32>> = HashMap::new();
        for kind in &descriptor.upcasts {
            upcasts.entry(kind.event_type.clone()).or_default().insert(kind.schema_version);
        }
        Ok(Self { descriptor, aggregate_type, commands, declared, upcasts })
    }

    /// What the module says of it.
    #[must_use]
    pub fn descriptor(&self) -> &AggregateDescriptor {
        &self.descriptor
    }

    /// Its name.
    #[must_use]
    pub fn aggregate_type(&self) -> &AggregateType {
        &self.aggregate_type
    }

    /// Whether `decide` may answer this event.
    #[must_use]
    pub fn declares(&self, event_type: &str, schema_version: u32) -> bool {
        self.declared.get(event_type) == Some(&schema_version)
    }

    /// Whether this event may be part of a stream's history: it's declared, or upcast.
    #[must_use]
    pub fn reads(&self, event_type: &str, schema_version: u32) -> bool {
        self.declares(event_type, schema_version)
            || self.upcasts.get(event_type).is_some_and(|versions| versions.contains(&schema_version))
    }

    /// Checks a command against its schema.
    ///
    /// # Errors
    /// The command is unknown, or its payload doesn't fit.
    pub fn check_command(&self, name: &str, payload: &Json) -> Result<(), CommandCheck> {
        let validator = self.commands.get(name).ok_or(CommandCheck::Unknown)?;
        let Some(validator) = validator else { return Ok(()) };
        let payload = serde_json::from_str(payload.as_str())
            .map_err(|error| CommandCheck::Invalid { message: error.to_string(), pointer: String::new() })?;
        let mut faults = validator.iter_errors(&payload);
        let Some(first) = faults.next() else { return Ok(()) };
        let pointer = first.instance_path().to_string();
        let messages: Vec<_> =
            std::iter::once(first).chain(faults.take(MAX_FAULTS - 1)).map(|fault| tell(&fault)).collect();
        Err(CommandCheck::Invalid { message: messages.join("; "), pointer })
    }
}

/// One fault with its place.
fn tell(fault: &jsonschema::ValidationError<'_>) -> String {
    let message = fault.to_string();
    let message = shortened(&message, MAX_FAULT_BYTES);
    match fault.instance_path().as_str() {
        "" => message.to_owned(),
        place => format!("{message} (at {place})"),
    }
}

fn compile(schema: Option<&str>, of: impl Fn() -> String) -> Result<Option<Validator>, SchemaError> {
    let Some(text) = schema else { return Ok(None) };
    let wrong = |problem: String| SchemaError { of: of(), problem };
    let schema = serde_json::from_str(text).map_err(|error| wrong(format!("it is not valid JSON: {error}")))?;
    jsonschema::draft202012::options()
        // Linear in the payload, which comes from anyone. It has no look-around.
        .with_pattern_options(PatternOptions::regex())
        .build(&schema)
        .map(Some)
        .map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CommandDescriptor, EventDescriptor, EventKind};

    fn account(schema: &str) -> Result<AggregateInfo, SchemaError> {
        let command = |name: &str, schema: Option<&str>| CommandDescriptor {
            name: name.to_owned(),
            description: None,
            schema: schema.map(str::to_owned),
        };
        AggregateInfo::new(
            AggregateType::new("account").expect("a name"),
            AggregateDescriptor {
                aggregate_type: "account".to_owned(),
                description: None,
                state_version: 1,
                state_schema: None,
                snapshot_interval: None,
                commands: vec![command("Deposit", Some(schema)), command("Close", None)],
                events: vec![EventDescriptor {
                    event_type: "Deposited".to_owned(),
                    schema_version: 2,
                    description: None,
                    schema: None,
                }],
                upcasts: vec![EventKind { event_type: "Deposited".to_owned(), schema_version: 1 }],
                rejections: Vec::new(),
            },
        )
    }

    const DEPOSIT: &str = r#"{"type": "object", "required": ["amount"],
        "properties": {"amount": {"type": "integer", "minimum": 1}, "lines": {"items": {"type": "string"}}}}"#;

    fn check(name: &str, payload: &str) -> Result<(), CommandCheck> {
        account(DEPOSIT).expect("valid").check_command(name, &Json::parse(payload.as_bytes()).expect("JSON"))
    }

    #[test]
    fn a_payload_is_refused_with_the_place_of_its_fault() {
        assert_eq!(check("Deposit", r#"{"amount": 1}"#), Ok(()));
        assert_eq!(check("Close", "[1, null]"), Ok(()), "without a schema any JSON is taken");
        assert_eq!(check("Withdraw", "{}"), Err(CommandCheck::Unknown));
        let Err(CommandCheck::Invalid { message, pointer }) = check("Deposit", r#"{"amount": 1, "lines": ["a", 7]}"#)
        else {
            panic!("7 is no string")
        };
        assert_eq!((message.as_str(), pointer.as_str()), (r#"7 is not of type "string" (at /lines/1)"#, "/lines/1"));
    }

    #[test]
    fn several_faults_are_told_at_once() {
        let Err(CommandCheck::Invalid { message, .. }) = check("Deposit", r#"{"amount": 0, "lines": [1]}"#) else {
            panic!("two faults")
        };
        assert!(message.contains("/amount") && message.contains("/lines/0"), "{message}");
    }

    #[test]
    fn events_are_declared_in_one_version_and_read_in_several() {
        let account = account(DEPOSIT).expect("valid");
        assert!(account.declares("Deposited", 2) && account.reads("Deposited", 2));
        assert!(!account.declares("Deposited", 1) && account.reads("Deposited", 1));
        assert!(!account.reads("Deposited", 3) && !account.reads("Withdrawn", 1));
    }

    #[test]
    fn unusable_schemas_are_refused_with_their_owner() {
        for schema in
            ["{", r#"{"type": "number?"}"#, r#"{"$ref": "https://example.org/a.json"}"#, r#"{"pattern": "(?=a)"}"#]
        {
            let error = account(schema).expect_err(schema).to_string();
            assert!(error.starts_with(r#"command "Deposit" of aggregate type "account" has a schema"#), "{error}");
        }
    }
}
