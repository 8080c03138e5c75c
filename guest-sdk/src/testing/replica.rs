//! An aggregate that is compared at each step with a copy restored from its own bytes.

use std::fmt;

use crate::instance::{DecideError, Instance as _, Resident};
use crate::{Aggregate, CommandSet as _, Context, EncodedEvent, EventError, EventSet as _};

/// Why a state and its restored copy mostly differ.
const HINT: &str = "  Is a field skipped, or a HashMap used where a BTreeMap keeps its order?";

/// An aggregate with the number of its events.
pub(super) struct Replica<A: Aggregate> {
    live: Resident<A>,
    events: i64,
}

impl<A: Aggregate> Replica<A> {
    #[track_caller]
    pub(super) fn new() -> Self {
        let replica = Self { live: Resident::new(A::default()), events: 0 };
        replica.restored();
        replica
    }

    /// Version of the last event; -1 where there is none.
    pub(super) fn version(&self) -> i64 {
        self.events - 1
    }

    pub(super) fn aggregate(&self) -> &A {
        &self.live.aggregate
    }

    #[track_caller]
    pub(super) fn apply(&mut self, event_type: &str, schema_version: u32, payload: &[u8]) {
        let mut restored = self.restored();
        for resident in [&mut self.live, &mut restored] {
            match resident.apply(event_type, schema_version, payload) {
                Ok(()) => {}
                Err(EventError::Unknown) => {
                    panic!("no event `{event_type}` of schema version {schema_version} is declared")
                }
                Err(EventError::Invalid(why)) => {
                    panic!("`{event_type}` can't be decoded: {why}\n  payload: {}", text(payload))
                }
            }
        }
        let (live, restored) = (self.live.state(), restored.state());
        assert!(
            live == restored,
            "after `{event_type}` a restored state differs from the one that was never stored\n  \
             never stored: {}\n      restored: {}\n{HINT}",
            text(&live),
            text(&restored),
        );
        self.events += 1;
    }

    #[track_caller]
    pub(super) fn decide(&self, command: A::Command, context: &Context) -> Result<Vec<EncodedEvent>, DecideError> {
        let command = command.encode();
        let decide = |resident: &Resident<A>| resident.decide(command.name, &command.payload, context);
        let (live, restored) = (decide(&self.live), decide(&self.restored()));
        assert!(
            live == restored,
            "`{}` is decided otherwise on a restored state\n  never stored: {live:?}\n      restored: {restored:?}",
            command.name,
        );
        if let Err(DecideError::Command(error)) = &live {
            panic!("`{}` can't be decoded: {error:?}\n  payload: {}", command.name, text(&command.payload));
        }
        live.iter().flatten().for_each(round_trip::<A>);
        live
    }

    /// The state through its encoding.
    #[track_caller]
    fn restored(&self) -> Resident<A> {
        let state = self.live.state();
        let restored = Resident::<A>::restore(A::STATE_VERSION, &state)
            .unwrap_or_else(|error| panic!("the state can't be restored: {error:?}\n  state: {}", text(&state)));
        let again = restored.state();
        assert!(
            state == again,
            "a restored state has other bytes than the one it was stored from\n    stored: {}\n  restored: {}\n{HINT}",
            text(&state),
            text(&again),
        );
        restored
    }
}

/// An answered event must come back from the log as what it was.
#[track_caller]
fn round_trip<A: Aggregate>(event: &EncodedEvent) {
    let mut decoded = Vec::new();
    let result = A::Event::decode(event.kind.event_type, event.kind.schema_version, &event.payload, &mut decoded);
    let again: Vec<_> = decoded.into_iter().map(A::Event::encode).collect();
    assert!(
        result.is_ok() && again == [event.clone()],
        "an answered `{}` is lost in its own encoding: {result:?}\n  answered: {}\n   decoded: {again:?}",
        event.kind.event_type,
        text(&event.payload),
    );
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl<A: Aggregate> fmt::Debug for Replica<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("state", &text(&self.live.state())).field("events", &self.events).finish()
    }
}
