//! Aggregates with their types erased: what the contract's glue calls, and the test kit too.

use crate::descriptor::AggregateDescriptor;
use crate::{Aggregate, CommandError, CommandSet as _, Context, EncodedEvent, EventError, EventSet, Rejection as _};

/// One aggregate type of a module.
#[derive(Clone, Copy)]
pub struct AggregateType {
    /// Its name.
    pub name: &'static str,
    /// What it tells the host about itself.
    pub describe: fn() -> AggregateDescriptor,
    /// The aggregate before its first event.
    pub create: fn() -> Box<dyn Instance>,
    /// The aggregate of a state version and its bytes.
    pub restore: fn(u32, &[u8]) -> Restored,
    /// What an event (type, schema version, payload) now stands for.
    pub upcast: fn(&str, u32, Vec<u8>) -> Upcast,
}

type Restored = Result<Box<dyn Instance>, RestoreError>;
type Upcast = Result<Vec<EncodedEvent>, EventError>;

/// One aggregate of any type.
pub trait Instance {
    /// Takes the stream's next event.
    fn apply(&mut self, event_type: &str, schema_version: u32, payload: &[u8]) -> Result<(), EventError>;
    /// Decides a command.
    fn decide(&self, command: &str, payload: &[u8], ctx: &Context) -> Result<Vec<EncodedEvent>, DecideError>;
    /// The present state, JSON.
    fn state(&self) -> Vec<u8>;
}

/// Why `decide` answered no events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecideError {
    /// The domain says no.
    Rejected { code: &'static str, message: String, details: Option<Vec<u8>> },
    /// The command can't be taken.
    Command(CommandError),
}

/// Why a state can't be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// The state was written under another state version.
    OtherStateVersion,
    /// The bytes can't be decoded; the text says why.
    Invalid(String),
}

/// An aggregate, and the room in which its events are decoded.
pub(crate) struct Resident<A: Aggregate> {
    pub(crate) aggregate: A,
    decoded: Vec<A::Event>,
}

impl AggregateType {
    /// The type that `A` is.
    pub const fn of<A: Aggregate>() -> Self {
        Self {
            name: A::TYPE,
            describe: AggregateDescriptor::of::<A>,
            create: || Box::new(Resident::<A>::new(A::default())),
            restore: |state_version, state| Ok(Box::new(Resident::<A>::restore(state_version, state)?)),
            upcast: upcast::<A::Event>,
        }
    }
}

impl<A: Aggregate> Resident<A> {
    pub(crate) fn new(aggregate: A) -> Self {
        Self { aggregate, decoded: Vec::new() }
    }

    pub(crate) fn restore(state_version: u32, state: &[u8]) -> Result<Self, RestoreError> {
        if state_version != A::STATE_VERSION {
            return Err(RestoreError::OtherStateVersion);
        }
        let aggregate = serde_json::from_slice(state).map_err(|error| RestoreError::Invalid(error.to_string()))?;
        Ok(Self::new(aggregate))
    }
}

impl<A: Aggregate> Instance for Resident<A> {
    fn apply(&mut self, event_type: &str, schema_version: u32, payload: &[u8]) -> Result<(), EventError> {
        A::Event::decode(event_type, schema_version, payload, &mut self.decoded)?;
        for event in self.decoded.drain(..) {
            self.aggregate.apply(event);
        }
        Ok(())
    }

    fn decide(&self, command: &str, payload: &[u8], ctx: &Context) -> Result<Vec<EncodedEvent>, DecideError> {
        let command = A::Command::decode(command, payload).map_err(DecideError::Command)?;
        match self.aggregate.decide(command, ctx) {
            Ok(events) => Ok(events.into_iter().map(EventSet::encode).collect()),
            Err(rejection) => Err(DecideError::Rejected {
                code: rejection.code(),
                message: rejection.message(),
                details: rejection.details(),
            }),
        }
    }

    fn state(&self) -> Vec<u8> {
        serde_json::to_vec(&self.aggregate).expect("a state has a JSON form: the keys of its maps are strings")
    }
}

/// The events that one of history now stands for; one in its newest form is passed on as it is, byte for byte.
fn upcast<E: EventSet>(event_type: &str, schema_version: u32, payload: Vec<u8>) -> Upcast {
    let mut kinds = E::CURRENT.iter().map(|event| event.kind);
    if let Some(kind) = kinds.find(|kind| kind.event_type == event_type && kind.schema_version == schema_version) {
        return Ok(vec![EncodedEvent { kind, payload }]);
    }
    let mut events = Vec::new();
    E::decode(event_type, schema_version, &payload, &mut events)?;
    Ok(events.into_iter().map(E::encode).collect())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::prelude::*;
    use crate::{CommandType, EventKind, EventType};

    #[state]
    struct Sum {
        sum: i64,
    }

    #[derive(EventSet)]
    #[events(retired("Split", 1 = split))]
    enum Event {
        #[event(version = 2, upcast(1 = added_v1))]
        Added { n: i64 },
    }

    fn added_v1(old: i64) -> Value {
        json!({ "n": old })
    }

    fn split(old: Vec<i64>) -> Vec<Event> {
        old.into_iter().map(|n| Event::Added { n }).collect()
    }

    enum NoCommand {}

    impl CommandSet for NoCommand {
        const COMMANDS: &'static [CommandType] = &[];

        fn decode(_name: &str, _payload: &[u8]) -> Result<Self, CommandError> {
            Err(CommandError::Unknown)
        }

        fn encode(self) -> crate::EncodedCommand {
            match self {}
        }
    }

    impl Aggregate for Sum {
        const TYPE: &'static str = "sum";
        const STATE_VERSION: u32 = 3;
        type Event = Event;
        type Command = NoCommand;
        type Rejection = Infallible;

        fn apply(&mut self, Event::Added { n }: Event) {
            self.sum += n;
        }

        fn decide(&self, command: NoCommand, _: &Context) -> Result<Vec<Event>, Infallible> {
            match command {}
        }
    }

    const TYPE: AggregateType = AggregateType::of::<Sum>();

    fn upcast(event_type: &str, schema_version: u32, payload: &str) -> Result<Vec<EncodedEvent>, EventError> {
        (TYPE.upcast)(event_type, schema_version, payload.as_bytes().to_vec())
    }

    fn added(payload: &str) -> EncodedEvent {
        let kind = EventKind { event_type: "Added", schema_version: 2 };
        EncodedEvent { kind, payload: payload.as_bytes().to_vec() }
    }

    #[test]
    fn a_state_is_restored_from_its_own_version_only() {
        let mut aggregate = (TYPE.create)();
        aggregate.apply("Added", 2, br#"{"n":4}"#).unwrap();
        let state = aggregate.state();
        assert_eq!(state, br#"{"sum":4}"#);
        assert_eq!((TYPE.restore)(3, &state).map(|restored| restored.state()), Ok(state.clone()));
        assert_eq!((TYPE.restore)(2, &state).err(), Some(RestoreError::OtherStateVersion));
        assert!(matches!((TYPE.restore)(3, b"{}").err(), Some(RestoreError::Invalid(_))));
    }

    #[test]
    fn an_event_in_its_newest_form_is_passed_on_byte_for_byte() {
        let odd = "{ \"n\" : 1, \"more\": null }";
        assert_eq!(upcast("Added", 2, odd), Ok(vec![added(odd)]));
    }

    #[test]
    fn old_events_are_answered_in_their_newest_form() {
        assert_eq!(upcast("Added", 1, "7"), Ok(vec![added(r#"{"n":7}"#)]));
        assert_eq!(upcast("Split", 1, "[1,2]"), Ok(vec![added(r#"{"n":1}"#), added(r#"{"n":2}"#)]));
        assert_eq!(upcast("Added", 3, "7"), Err(EventError::Unknown));
    }

    #[test]
    fn an_unknown_command_is_a_typed_error() {
        let decided = (TYPE.create)().decide("Add", b"{}", &crate::testing::context());
        assert_eq!(decided, Err(DecideError::Command(CommandError::Unknown)));
    }

    #[test]
    fn a_descriptor_is_the_same_on_every_call() {
        let descriptor = (TYPE.describe)();
        assert_eq!(descriptor, (TYPE.describe)());
        assert_eq!((descriptor.aggregate_type, descriptor.state_version), ("sum", 3));
        let [EventType { kind, .. }] = Event::CURRENT else { panic!("one event is declared") };
        assert_eq!(descriptor.events[0].kind, *kind);
        let schema: Value = descriptor.state_schema.unwrap().parse().unwrap();
        assert_eq!(schema["required"], json!(["sum"]));
    }
}
