//! Limits of what requests name, which no setting changes: they are part of the log's and the API's shape. Those that
//! settings do change are in [`HttpOptions`](super::HttpOptions) and
//! [`PipelineOptions`](crate::pipeline::PipelineOptions); all stand in one table in `docs/limits.md`.

/// Longest name of an event type in bytes.
pub const MAX_EVENT_TYPE_BYTES: usize = 200;

/// Longest actor, correlation or causation id in bytes: they are kept with every event.
pub const MAX_LABEL_BYTES: usize = 256;

/// The largest schema version that the log can hold.
pub const MAX_SCHEMA_VERSION: u32 = i32::MAX.unsigned_abs();

/// The most snapshots that one request drops.
pub const MAX_DROPPED_SNAPSHOTS: i64 = 100_000;
