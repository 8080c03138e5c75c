//! Events: the types in which an aggregate's history is written, and how they pass through their encoding.

use serde_json::Value;

/// The events of one aggregate: an enum whose variants are the event types. Derived with
/// [`#[derive(EventSet)]`](macro@crate::EventSet); its items are called by the SDK.
pub trait EventSet: Sized + 'static {
    /// The event types in their newest schema versions: what `decide` answers.
    const CURRENT: &'static [EventType];
    /// Older types and schema versions that history may still hold, and that have an upcaster.
    const OLD: &'static [EventKind];

    /// Decodes one event of history and appends it to `into`; an old one may become several events, or none.
    ///
    /// # Errors
    /// When no event of that type and version is declared, or the payload can't be decoded.
    fn decode(event_type: &str, schema_version: u32, payload: &[u8], into: &mut Vec<Self>) -> Result<(), EventError>;

    /// The event in its newest schema version.
    ///
    /// # Panics
    /// When a payload has no JSON form, such as a map whose keys aren't strings.
    fn encode(self) -> EncodedEvent;
}

/// An event type in one of its schema versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventKind {
    /// Name of the event type.
    pub event_type: &'static str,
    /// The schema version; 1 is the first.
    pub schema_version: u32,
}

/// One declared event type.
#[derive(Clone, Copy, Debug)]
pub struct EventType {
    /// Its name and newest schema version.
    pub kind: EventKind,
    /// What it says, for people: the variant's doc comment.
    pub description: Option<&'static str>,
    /// Makes the JSON Schema (2020-12) of the payload.
    pub schema: fn() -> String,
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedEvent {
    /// Its type and schema version.
    pub kind: EventKind,
    /// The payload, JSON.
    pub payload: Vec<u8>,
}

/// Why an event of history can't be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventError {
    /// No event of that type and schema version is declared.
    Unknown,
    /// The payload can't be decoded; the text says why.
    Invalid(String),
}

/// What an upcaster of an event type's older schema version answers: the next version's payload, as a [`Value`], or
/// the events that the old one now stands for (`Event`, `Option<Event>` or `Vec<Event>`).
pub trait IntoUpcast<E> {
    /// The answer in one shape.
    fn into_upcast(self) -> Upcast<E>;
}

/// What an upcaster of a retired event type answers: the events that the old one now stands for (`Event`,
/// `Option<Event>` or `Vec<Event>`).
pub trait IntoEvents<E> {
    /// The events, in order.
    fn into_events(self) -> Vec<E>;
}

/// What became of an old event.
#[derive(Clone, Debug)]
pub enum Upcast<E> {
    /// The payload in the next schema version of the same type; that version's upcaster takes over, if it is old too.
    Payload(Value),
    /// The events that it now stands for.
    Events(Vec<E>),
}

impl<E: EventSet> IntoEvents<E> for E {
    fn into_events(self) -> Vec<E> {
        vec![self]
    }
}

impl<E: EventSet> IntoEvents<E> for Option<E> {
    fn into_events(self) -> Vec<E> {
        self.into_iter().collect()
    }
}

impl<E: EventSet> IntoEvents<E> for Vec<E> {
    fn into_events(self) -> Self {
        self
    }
}

impl<E> IntoUpcast<E> for Value {
    fn into_upcast(self) -> Upcast<E> {
        Upcast::Payload(self)
    }
}

impl<E: EventSet> IntoUpcast<E> for E {
    fn into_upcast(self) -> Upcast<E> {
        Upcast::Events(vec![self])
    }
}

impl<E: EventSet> IntoUpcast<E> for Option<E> {
    fn into_upcast(self) -> Upcast<E> {
        Upcast::Events(self.into_events())
    }
}

impl<E: EventSet> IntoUpcast<E> for Vec<E> {
    fn into_upcast(self) -> Upcast<E> {
        Upcast::Events(self)
    }
}
