//! The log in PostgreSQL: appends through one writer, reads by stream and by position, snapshots, receipts.
//!
//! All SQL of the host stands in this room.

mod append;
mod chain;
mod columns;
mod connect;
mod doctor;
mod error;
mod events;
mod import;
mod kinds;
mod known_kinds;
mod load;
mod log;
mod metrics;
mod migrate;
mod modules;
mod observe;
mod page;
mod receipts;
mod settle;
mod snapshots;
mod stream;
mod streams;
mod tenant;
mod ticket;
mod watchdog;
mod writer;

pub use chain::{AppendReply, Submission};
pub use connect::{Store, StoreOptions};
pub use doctor::{Examination, LogFacts, Pooler, RoleFacts, SchemaFacts, ServerFacts, TriggerFacts, examine};
pub use error::{AppendError, StoreError};
pub use import::{Place, Standing};
pub use kinds::RecordedKind;
pub use load::{LoadedStream, TailEvent};
pub use log::{LogPage, LogQuery};
pub(crate) use metrics::METRICS;
pub use migrate::{MigrateError, migrate, schema_is_current};
pub use modules::Registered;
pub use receipts::Receipt;
pub use snapshots::StoredSnapshot;
pub use stream::{StreamPage, StreamQuery};
pub use streams::{StreamSummary, StreamsQuery};
pub use tenant::TenantSession;
pub use ticket::Ticket;
pub use writer::{Writer, WriterOptions};
