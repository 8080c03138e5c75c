//! Aggregates with their types erased: what the contract's glue calls, and the test kit too.

use crate::descriptor::AggregateDescriptor;
use crate::{
    Aggregate, CommandError, CommandSet as _, Context, EncodedEvent, EventError, EventSet,
    Rejection as _,
};

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
    pub restore: fn(u32, &[u8]) -> Result<Box<dyn Instance>, RestoreError>,
    /// What an event (type, schema version, payload) now stands for.
    pub upcast: fn(&str, u32, Vec<u8>) -> Result<Vec<EncodedEvent>, EventError>,
}

/// One aggregate of any type.
pub trait Instance {
    /// Takes the stream's next event.
    fn apply(
        &mut self,
        event_type: &str,
        schema_version: u32,
        payload: &[u8],
    ) -> Result<(), EventError>;
    /// Decides a command.
    fn decide(
        &self,
        command: &str,
        payload: &[u8],
        ctx: &Context,
    ) -> Result<Vec<EncodedEvent>, DecideError>;
    /// The present state, JSON.
    fn state(&self) -> Vec<u8>;
}

/// Why `decide` answered no events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecideError {
    /// The domain says no.
    Rejected {
        code: &'static str,
        message: String,
        details: Option<Vec<u8>>,
    },
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
            restore: |state_version, state| {
                Ok(Box::new(Resident::<A>::restore(state_version, state)?))
            },
            upcast: upcast::<A::Event>,
        }
    }
}

impl<A: Aggregate> Resident<A> {
    pub(crate) fn new(aggregate: A) -> Self {
        Self {
            aggregate,
            decoded: Vec::new(),
        }
    }

    pub(crate) fn restore(state_version: u32, state: &[u8]) -> Result<Self, RestoreError> {
        if state_version != A::STATE_VERSION {
            return Err(RestoreError::OtherStateVersion);
        }
        let aggregate = serde_json::from_slice(state)
            .map_err(|error| RestoreError::Invalid(error.to_string()))?;
        Ok(Self::new(aggregate))
    }
}

impl<A: Aggregate> Instance for Resident<A> {
    fn apply(
        &mut self,
        event_type: &str,
        schema_version: u32,
        payload: &[u8],
    ) -> Result<(), EventError> {
        A::Event::decode(event_type, schema_version, payload, &mut self.decoded)?;
        for event in self.decoded.drain(..) {
            self.aggregate.apply(event);
        }
        Ok(())
    }

    fn decide(
        &self,
        command: &str,
        payload: &[u8],
        ctx: &Context,
    ) -> Result<Vec<EncodedEvent>, DecideError> {
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
        serde_json::to_vec(&self.aggregate)
            .expect("a state has a JSON form: the keys of its maps are strings")
    }
}

/// The events that one of history now stands for; one in its newest form is passed on as it is, byte for byte.
fn upcast<E: EventSet>(
    event_type: &str,
    schema_version: u32,
    payload: Vec<u8>,
) -> Result<Vec<EncodedEvent>, EventError> {
    let mut kinds = E::CURRENT.iter().map(|event| event.kind);
    if let Some(kind) =
        kinds.find(|kind| kind.event_type == event_type && kind.schema_version == schema_version)
    {
        return Ok(vec![EncodedEvent { kind, payload }]);
    }
    let mut events = Vec::new();
    E::decode(event_type, schema_version, &payload, &mut events)?;
    Ok(events.into_iter().map(E::encode).collect())
}
