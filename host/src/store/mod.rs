//! The log in PostgreSQL: appends through one writer, reads by stream and by position, snapshots, receipts.
//!
//! All SQL of the host stands in this room.

mod append;
mod chain;
mod connect;
mod error;
mod import;
mod load;
mod log;
mod migrate;
mod modules;
mod page;
mod receipts;
mod settle;
mod snapshots;
mod streams;
mod ticket;
mod watchdog;
mod writer;

pub use chain::{AppendReply, Submission};
pub use connect::{Store, StoreOptions};
pub use error::{AppendError, StoreError};
pub use import::{Place, Standing};
pub use load::{LoadedStream, TailEvent};
pub use log::{LogPage, LogQuery, RecordedKind, StreamPage};
pub use migrate::{MigrateError, migrate, schema_is_current};
pub use modules::Registered;
pub use receipts::Receipt;
pub use streams::{StreamSummary, StreamsQuery};
pub use ticket::Ticket;
pub use writer::{Writer, WriterOptions};
