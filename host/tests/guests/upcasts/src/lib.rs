//! A module with every fate that an old event can have when it is brought into its newest form: renamed, split, gone,
//! refused, and the death of the instance. It is written on the bare contract, because the SDK refuses to fail.

use std::cell::Cell;
use std::hint::black_box;

use bindings::everfold::domain::types::{
    AggregateDescriptor, Command, CommandDescriptor, Context, DecideError, Descriptor, Event, EventDescriptor,
    EventError, EventErrorReason, EventKind, LoadError, NewEvent,
};
use bindings::exports::everfold::domain::aggregates::{Aggregate, Guest, GuestAggregate};

mod bindings {
    wit_bindgen::generate!({ world: "module", path: "../../../../wit/v0.1.0" });
}

const TYPE: &str = "parcel";

/// What is still read, and becomes `Moved`, or nothing, or trouble.
const OLD: [(&str, u32); 7] =
    [("Moved", 1), ("Renamed", 1), ("Split", 1), ("Gone", 1), ("Refused", 1), ("Trap", 1), ("Loop", 1)];

/// Counts the events it took.
struct Parcel(Cell<u64>);

struct Module;

impl Guest for Module {
    type Aggregate = Parcel;

    fn describe() -> Descriptor {
        let old =
            |(event_type, schema_version): (&str, u32)| EventKind { event_type: event_type.into(), schema_version };
        Descriptor {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            aggregates: vec![AggregateDescriptor {
                aggregate_type: TYPE.into(),
                description: None,
                state_version: 1,
                state_schema: None,
                snapshot_interval: None,
                commands: vec![CommandDescriptor { name: "Move".into(), description: None, schema: None }],
                events: vec![EventDescriptor {
                    event_type: "Moved".into(),
                    schema_version: 2,
                    description: Some("The parcel was moved.".into()),
                    schema: Some(r#"{"type":"object","required":["to"]}"#.into()),
                }],
                upcasts: OLD.map(old).into(),
                rejections: vec![],
            }],
        }
    }

    fn upcast(_aggregate_type: String, events: Vec<Event>) -> Result<Vec<Vec<Event>>, EventError> {
        let mut answer = Vec::with_capacity(events.len());
        for (index, event) in (0..).zip(&events) {
            let to = |place: &str| Event {
                event_type: "Moved".into(),
                schema_version: 2,
                payload: format!(r#"{{"to":"{place}"}}"#).into_bytes(),
                ..event.clone()
            };
            answer.push(match event.event_type.as_str() {
                "Moved" => vec![to("here")],
                "Renamed" => vec![to("there")],
                "Split" => vec![to("first"), to("second"), to("third")],
                "Gone" => vec![],
                "Trap" => panic!("told to trap"),
                "Loop" => spin(),
                _ => {
                    let reason = EventErrorReason::Invalid("told to refuse".into());
                    return Err(EventError { index, reason });
                }
            });
        }
        Ok(answer)
    }
}

impl GuestAggregate for Parcel {
    fn create(_aggregate_type: String) -> Result<Aggregate, LoadError> {
        Ok(Aggregate::new(Parcel(0.into())))
    }

    fn restore(_aggregate_type: String, _state_version: u32, state: Vec<u8>) -> Result<Aggregate, LoadError> {
        let count = std::str::from_utf8(&state).ok().and_then(|text| text.parse::<u64>().ok());
        let count = count.ok_or_else(|| LoadError::InvalidState("not a number".into()))?;
        Ok(Aggregate::new(Parcel(count.into())))
    }

    fn apply(&self, events: Vec<Event>) -> Result<(), EventError> {
        self.0.set(self.0.get() + events.len() as u64);
        Ok(())
    }

    fn decide(&self, _command: Command, _context: Context) -> Result<Vec<NewEvent>, DecideError> {
        let payload = br#"{"to":"door"}"#.to_vec();
        Ok(vec![NewEvent { event_type: "Moved".into(), schema_version: 2, payload }])
    }

    fn state(&self) -> Vec<u8> {
        self.0.get().to_string().into_bytes()
    }
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

bindings::export!(Module with_types_in bindings);
