//! A module that breaks every promise a module makes, one command for each, so that the host's tests can watch what
//! becomes of the others. It is written on the bare contract, because the SDK refuses to misbehave.

use std::hint::black_box;

use bindings::everfold::domain::types::{
    AggregateDescriptor, Command, CommandDescriptor, Context, DecideError, Descriptor, Event, EventDescriptor,
    EventError, EventErrorReason, LoadError, NewEvent,
};
use bindings::exports::everfold::domain::aggregates::{Aggregate, Guest, GuestAggregate};

mod bindings {
    wit_bindgen::generate!({ world: "module", path: "../../../../wit/v0.1.0" });
}

const TYPE: &str = "unruly";

/// What a module can do wrong while it decides. `Ok` and `TrapOnApply` decide well.
const COMMANDS: [&str; 11] = [
    "Ok",
    "Trap",
    "Loop",
    "EatMemory",
    "Overflow",
    "HugeAnswer",
    "ManyEvents",
    "Garbage",
    "Undeclared",
    "TrapOnApply",
    "LoopOnApply",
];

/// Counts the events it took; `Poison` traps and `Quicksand` loops in `apply`.
struct Unruly {
    events: std::cell::Cell<u64>,
}

struct Module;

impl Guest for Module {
    type Aggregate = Unruly;

    fn describe() -> Descriptor {
        Descriptor {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            aggregates: vec![AggregateDescriptor {
                aggregate_type: TYPE.into(),
                description: None,
                state_version: 1,
                state_schema: None,
                snapshot_interval: None,
                commands: COMMANDS
                    .map(|name| CommandDescriptor { name: name.into(), description: None, schema: None })
                    .into(),
                events: ["Fine", "Poison", "Quicksand"]
                    .map(|event_type| EventDescriptor {
                        event_type: event_type.into(),
                        schema_version: 1,
                        description: None,
                        schema: None,
                    })
                    .into(),
                upcasts: vec![],
                rejections: vec![],
            }],
        }
    }

    fn upcast(_aggregate_type: String, events: Vec<Event>) -> Result<Vec<Vec<Event>>, EventError> {
        Ok(events.into_iter().map(|event| vec![event]).collect())
    }
}

impl GuestAggregate for Unruly {
    fn create(aggregate_type: String) -> Result<Aggregate, LoadError> {
        if aggregate_type != TYPE {
            return Err(LoadError::UnknownAggregateType);
        }
        Ok(Aggregate::new(Unruly { events: 0.into() }))
    }

    fn restore(aggregate_type: String, state_version: u32, state: Vec<u8>) -> Result<Aggregate, LoadError> {
        if aggregate_type != TYPE {
            return Err(LoadError::UnknownAggregateType);
        }
        if state_version != 1 {
            return Err(LoadError::OtherStateVersion);
        }
        let events = std::str::from_utf8(&state).ok().and_then(|text| text.parse::<u64>().ok());
        let events = events.ok_or_else(|| LoadError::InvalidState("not a number".into()))?;
        Ok(Aggregate::new(Unruly { events: events.into() }))
    }

    fn apply(&self, events: Vec<Event>) -> Result<(), EventError> {
        for (index, event) in events.iter().enumerate() {
            match event.event_type.as_str() {
                "Fine" => {}
                "Poison" => panic!("poisoned"),
                "Quicksand" => spin(),
                _ => {
                    return Err(EventError { index: index as u32, reason: EventErrorReason::UnknownEvent });
                }
            }
            self.events.set(self.events.get() + 1);
        }
        Ok(())
    }

    fn decide(&self, command: Command, _context: Context) -> Result<Vec<NewEvent>, DecideError> {
        match command.name.as_str() {
            "Ok" => Ok(vec![event("Fine", "{}")]),
            "Trap" => panic!("told to trap"),
            "Loop" => spin(),
            "EatMemory" => eat_memory(),
            "Overflow" => {
                black_box(recurse(black_box(1)));
                Ok(vec![])
            }
            // 64 MB in one payload, and valid JSON.
            "HugeAnswer" => Ok(vec![event("Fine", &format!("\"{}\"", "x".repeat(64 << 20)))]),
            "ManyEvents" => Ok((0..200_000).map(|_| event("Fine", "{}")).collect()),
            "Garbage" => Ok(vec![event("Fine", "{\"half\":")]),
            "Undeclared" => Ok(vec![event("Surprise", "{}")]),
            "TrapOnApply" => Ok(vec![event("Poison", "{}")]),
            "LoopOnApply" => Ok(vec![event("Quicksand", "{}")]),
            _ => Err(DecideError::UnknownCommand),
        }
    }

    fn state(&self) -> Vec<u8> {
        self.events.get().to_string().into_bytes()
    }
}

fn event(event_type: &str, payload: &str) -> NewEvent {
    NewEvent { event_type: event_type.into(), schema_version: 1, payload: payload.as_bytes().to_vec() }
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Takes memory, a megabyte at a time and touched, until it gets no more: then the allocation fails, and with it
/// this call.
fn eat_memory() -> ! {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(black_box(vec![1; 1 << 20]));
    }
}

#[expect(unconditional_recursion, reason = "that is the point: it ends where the stack does")]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(black_box(depth + 1))) + depth
}

bindings::export!(Module with_types_in bindings);
