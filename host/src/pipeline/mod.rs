//! The path of a command: routed to its stream's shard, decided there on folded state, appended, answered.
//!
//! One shard handles a stream's requests in order, so there are no conflicts inside a host, only between hosts. Guests
//! are called on the shards' own threads: one that loops until its deadline stalls its shard, and nothing else.

mod command;
mod error;
mod fingerprint;
mod fold;
mod import;
mod metrics;
mod newcomers;
mod pipelining;
mod quarantine;
mod raw;
mod receipts;
mod request;
mod route;
mod served;
mod shard;
mod snapshots;
mod state;
mod upcast;

pub use error::{ModuleFault, RequestError};
pub use import::{Diverged, ImportError, ImportEvent, Imported, Importing};
pub(crate) use metrics::METRICS;
pub use quarantine::{
    BreakerState, Held, HeldBy, ModuleHealth, QuarantineOptions, QuarantineReport, QuarantinedStream,
};
pub use request::{RawAppend, RawEvent, StateQuery, StateView};
pub use route::{Pipeline, PipelineOptions, PipelineTasks, Queued};
pub use served::ServedAggregate;
pub use upcast::{Form, NewestEvent, NewestEvents};
