//! The words of an event store as plain types: no I/O, no clock, nothing of the rooms above.

mod append;
mod command;
mod cursor;
mod descriptor;
mod direction;
mod event;
mod expected;
mod json;
pub(crate) mod metric;
mod names;
mod snapshot;

pub use append::{Append, AppendOutcome, Base, Head, ReceiptRequest, StoredOutcome};
pub use command::{Command, Executed, Origin, Outcome, Rejection};
pub use cursor::{Cursor, CursorError};
pub use descriptor::{
    AggregateDescriptor, CommandDescriptor, Digest, DigestError, EventDescriptor, EventKind, ModuleDescriptor,
    RejectionDescriptor,
};
pub use direction::Direction;
pub use event::{EventRef, NewEvent, RecordedEvent};
pub use expected::{ExpectedVersion, ExpectedVersionError};
pub use json::{Json, JsonError};
pub(crate) use metric::metric_table;
pub use metric::{Metric, MetricKind};
pub use names::{AggregateType, IdempotencyKey, NameError, StreamId, StreamKey, Tenant};
pub use snapshot::{EveryN, Snapshot, SnapshotStrategy};

/// Target of the spans that only traces are made of: no usual log filter lets it pass, so without traces they cost nothing.
pub(crate) const TRACE: &str = "trace::everfold";

/// Version of a stream that has no events.
pub const NO_STREAM: i64 = -1;
