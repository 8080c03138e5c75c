//! A module that misbehaves in one way of the test's choice: in what it says of itself, or in one of its calls. The way is
//! a text in its data, which the tests overwrite in the finished component, so that one build serves them all.
//!
//! What begins with `later-` is only done in instances that nobody asks to describe themselves: past the checks at loading.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use bindings::everfold::domain::types::{
    AggregateDescriptor, Command, CommandDescriptor, Context, DecideError, Descriptor, Event, EventDescriptor,
    EventError, EventErrorReason, LoadError, NewEvent, Rejection,
};
use bindings::exports::everfold::domain::aggregates::{Aggregate, Guest, GuestAggregate};

mod bindings {
    wit_bindgen::generate!({ world: "module", path: "../../../../wit/v0.1.0" });
}

/// The way to misbehave, after the `=` and up to the dots.
static WAY: [u8; 48] = *b"the liar's way=honest...........................";

/// How often `describe` was called.
static DESCRIBED: AtomicU32 = AtomicU32::new(0);
/// How often `state` was called.
static TOLD: AtomicU32 = AtomicU32::new(0);

/// Aggregates that are alive.
static ALIVE: AtomicU32 = AtomicU32::new(0);

const TYPE: &str = "liar";

struct Liar(Cell<u64>);

struct Module;

/// An aggregate with so many events.
fn alive(events: u64) -> Aggregate {
    ALIVE.fetch_add(1, Ordering::Relaxed);
    Aggregate::new(Liar(events.into()))
}

fn way() -> &'static str {
    let way = std::str::from_utf8(black_box(&WAY)).unwrap_or_default();
    let way = way.split_once('=').map_or("", |(_, way)| way).trim_end_matches('.');
    match way.strip_prefix("later-") {
        Some(_) if DESCRIBED.load(Ordering::Relaxed) > 0 => "honest",
        Some(later) => later,
        None => way,
    }
}

/// Misbehaves in this call, if that is the way.
fn misbehave(call: &str) {
    match way().strip_prefix(call) {
        Some("-traps") => panic!("{call} was told to trap"),
        Some("-loops") => loop {
            black_box(call);
        },
        Some("-eats") => {
            let mut eaten = Vec::new();
            loop {
                eaten.push(black_box(vec![1_u8; 1 << 20]));
            }
        }
        Some("-overflows") => drop(black_box(recurse(black_box(1)))),
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "that is the point: it ends where the stack does")]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(black_box(depth + 1))) + depth
}

fn command(name: &str) -> CommandDescriptor {
    CommandDescriptor { name: name.into(), description: None, schema: None }
}

impl Guest for Module {
    type Aggregate = Liar;

    fn describe() -> Descriptor {
        let way = way();
        misbehave("describe");
        let described = DESCRIBED.fetch_add(1, Ordering::Relaxed);
        let event = EventDescriptor { event_type: "Gone".into(), schema_version: 1, description: None, schema: None };
        let mut liar = AggregateDescriptor {
            aggregate_type: TYPE.into(),
            description: None,
            state_version: 1,
            state_schema: None,
            snapshot_interval: Some(1),
            commands: vec![command("Go"), command("Refuse")],
            events: vec![event.clone()],
            upcasts: vec![],
            rejections: vec![],
        };
        match way {
            "describe-many" => liar.commands = (0..5_000).map(|n| command(&format!("C{n}"))).collect(),
            "describe-huge" => liar.commands = (0..400_000).map(|n| command(&format!("Command{n:030}"))).collect(),
            "describe-long" => liar.description = Some("x".repeat(8 << 20)),
            "bad-aggregate" => liar.aggregate_type = "a/b".into(),
            "twin-commands" => liar.commands.push(command("Go")),
            "twin-events" => liar.events.push(event),
            "bad-command-schema" => liar.commands[0].schema = Some("{".into()),
            "bad-event-schema" => liar.events[0].schema = Some(r#"{"type":"some"}"#.into()),
            "zero-schema-version" => liar.events[0].schema_version = 0,
            _ => {}
        }
        let aggregates = match way {
            "no-aggregates" => vec![],
            "twin-aggregates" => vec![liar.clone(), liar],
            _ => vec![liar],
        };
        let version = match way {
            "bad-version" => "one".into(),
            "describe-differs" => format!("1.0.{described}"),
            _ => env!("CARGO_PKG_VERSION").into(),
        };
        let name = if way == "no-name" { "" } else { env!("CARGO_PKG_NAME") };
        Descriptor { name: name.into(), version, aggregates }
    }

    fn upcast(_aggregate_type: String, events: Vec<Event>) -> Result<Vec<Vec<Event>>, EventError> {
        misbehave("upcast");
        match way() {
            "upcast-forgets" => Ok(vec![]),
            "upcast-refuses" => Err(EventError { index: 99, reason: EventErrorReason::UnknownEvent }),
            _ => Ok(events.into_iter().map(|event| vec![event]).collect()),
        }
    }
}

impl GuestAggregate for Liar {
    fn create(_aggregate_type: String) -> Result<Aggregate, LoadError> {
        misbehave("create");
        if way() == "create-refuses" { Err(LoadError::UnknownAggregateType) } else { Ok(alive(0)) }
    }

    fn restore(_aggregate_type: String, _state_version: u32, state: Vec<u8>) -> Result<Aggregate, LoadError> {
        misbehave("restore");
        let events = std::str::from_utf8(&state).ok().and_then(|text| text.parse::<u64>().ok());
        match way() {
            "restore-refuses" => Err(LoadError::InvalidState("it may not be".into())),
            "restore-forgets" => Ok(alive(7)),
            _ => Ok(alive(events.unwrap_or_default())),
        }
    }

    fn apply(&self, events: Vec<Event>) -> Result<(), EventError> {
        misbehave("apply");
        if way() == "apply-refuses" {
            return Err(EventError { index: 99, reason: EventErrorReason::UnknownEvent });
        }
        self.0.set(self.0.get() + events.len() as u64);
        Ok(())
    }

    fn decide(&self, command: Command, _context: Context) -> Result<Vec<NewEvent>, DecideError> {
        misbehave("decide");
        let no =
            |code: &str| DecideError::Rejected(Rejection { code: code.into(), message: String::new(), details: None });
        match (way(), command.name.as_str()) {
            ("decide-forgets", _) => Err(DecideError::UnknownCommand),
            ("decide-babbles", _) => Err(no("two words")),
            (way, "Go") => {
                let schema_version = if way == "decide-misversions" { 7 } else { 1 };
                Ok(vec![NewEvent { event_type: "Gone".into(), schema_version, payload: b"{}".into() }])
            }
            _ => Err(no("refused")),
        }
    }

    fn state(&self) -> Vec<u8> {
        misbehave("state");
        let told = TOLD.fetch_add(1, Ordering::Relaxed);
        match way() {
            "state-crowds" if ALIVE.load(Ordering::Relaxed) > 1 => panic!("it is only told alone"),
            "state-differs" => told.to_string().into(),
            "state-babbles" => b"{".into(),
            "state-is-no-text" => vec![b'"', 0xff, b'"'],
            // A number of 17 MiB.
            "state-is-huge" => vec![b'1'; 17 << 20],
            _ => self.0.get().to_string().into(),
        }
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
        misbehave("drop");
    }
}

bindings::export!(Module with_types_in bindings);
