//! The one trait that a domain author implements.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{CommandSet, Context, EventSet, Rejection};

/// An aggregate: the state of one stream, how events change it and how commands are decided.
///
/// Its [`Default`] is the state before the first event.
pub trait Aggregate: State {
    /// Name of the aggregate type, such as `account`: part of every stream's name, so it never changes.
    const TYPE: &'static str;

    /// Number for the shape of the state's JSON; raise it when that shape or its meaning changes. Snapshots of
    /// another number are ignored, and the events folded instead.
    const STATE_VERSION: u32 = 1;

    /// A snapshot is due after so many events; 0 is never, `None` leaves it to the host (100 by default).
    const SNAPSHOT_INTERVAL: Option<u32> = None;

    /// The events that make up its history.
    type Event: EventSet;
    /// The commands it takes.
    type Command: CommandSet;
    /// The ways it says no.
    type Rejection: Rejection;

    /// Folds one event into the state. The event has happened: there is nothing to check or refuse here, and a panic
    /// makes the stream unreadable.
    fn apply(&mut self, event: Self::Event);

    /// Decides a command on the present state. The events that it answers take effect when they come back through
    /// [`apply`](Self::apply); none at all is a success that leaves the stream as it is.
    ///
    /// # Errors
    /// The domain's "no", as an outcome for the caller.
    fn decide(&self, command: Self::Command, ctx: &Context) -> Result<Vec<Self::Event>, Self::Rejection>;
}

/// A type that can be an aggregate's state. [`#[state]`](macro@crate::state) makes a struct or enum one, and derives
/// all that it asks for. Without it, implement this by hand, for a [`Default`] of your own for instance:
///
/// ```
/// use everfold_sdk::{State, serde};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// #[serde(crate = "everfold_sdk::serde")]
/// struct Limits { per_day: u32 }
///
/// impl Default for Limits {
///     fn default() -> Self { Self { per_day: 100 } }
/// }
///
/// impl State for Limits {
///     const DESCRIPTION: Option<&'static str> = None;
/// }
/// ```
///
/// Equal states must have equal JSON: keep maps in a `BTreeMap`, not in a `HashMap`, whose order differs from one
/// instance to the next. The [test kit](crate::testing) checks that.
pub trait State: Default + Serialize + DeserializeOwned + 'static {
    /// What the aggregate is, for people: the type's doc comment.
    const DESCRIPTION: Option<&'static str>;

    /// JSON Schema (2020-12) of the state, for those who read it; `None` says nothing about it.
    fn schema() -> Option<String> {
        None
    }
}
