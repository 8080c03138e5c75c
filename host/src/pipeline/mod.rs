//! The path of a command: routed to its stream's shard, decided there on folded state, appended, answered.
//!
//! One shard handles a stream's requests in order, so there are no conflicts inside a host, only between hosts. Guests
//! are called on the shards' own threads: one that loops until its deadline stalls its shard, and nothing else.

mod command;
mod error;
mod fingerprint;
mod fold;
mod import;
mod raw;
mod receipts;
mod request;
mod route;
mod shard;
mod snapshots;
mod state;

pub use error::{ModuleFault, RequestError};
pub use import::{ImportError, ImportEvent, Imported, Importing};
pub use request::{RawAppend, RawEvent, StateQuery, StateView};
pub use route::{Pipeline, PipelineOptions, PipelineTasks, Queued};
