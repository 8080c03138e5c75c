//! Why a request has no outcome, cut by what its caller can do.

use super::Held;
use crate::model::{AggregateType, ExpectedVersion, StreamKey};
use crate::runtime::GuestFault;
use crate::store::{AppendError, StoreError};

/// A request without an outcome. All but [`OutcomeUnknown`](Self::OutcomeUnknown) mean: surely not executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No active module has the aggregate type.
    #[error("no active module has the aggregate type {aggregate_type}")]
    UnknownAggregate {
        /// The type that was asked for.
        aggregate_type: AggregateType,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The aggregate type has no such command.
    #[error("{aggregate_type} has no command {command:?}")]
    UnknownCommand {
        /// The type.
        aggregate_type: AggregateType,
        /// The command that was asked for.
        command: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The stream has no events.
    #[error("the stream {stream} has no events")]
    StreamNotFound {
        /// The stream.
        stream: StreamKey,
    },
    /// The stream hasn't reached the version yet.
    #[error("the stream {stream} is at version {actual}, before {asked}")]
    VersionNotFound {
        /// The stream.
        stream: StreamKey,
        /// The version that was asked for.
        asked: i64,
        /// The stream's version.
        actual: i64,
    },
    /// The payload isn't what its schema, or the module, asks for.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// JSON pointer to where.
        pointer: String,
    },
    /// More or larger than the host takes.
    #[error("{message}")]
    TooLarge {
        /// What, and the limit.
        message: String,
    },
    /// The stream isn't where the caller demands it.
    #[error("the stream {stream} is at version {actual}, and {expected} was expected")]
    Conflict {
        /// The stream.
        stream: StreamKey,
        /// What was demanded.
        expected: ExpectedVersion,
        /// The stream's version; -1 for none.
        actual: i64,
    },
    /// The idempotency key belongs to another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Too much is waiting.
    #[error("the host has as much to do as it takes")]
    Overloaded,
    /// The time was up before the request was carried out.
    #[error("the deadline passed before the request was carried out")]
    Deadline,
    /// PostgreSQL can't be reached, or can't write.
    #[error("the database is unavailable")]
    Unavailable,
    /// The connection to PostgreSQL was lost while the request was out, and the time was up before that was settled.
    /// Repeating it with the same idempotency key settles it.
    #[error("it isn't known whether the request was carried out")]
    OutcomeUnknown,
    /// The module failed.
    #[error(transparent)]
    Module(#[from] ModuleFault),
    /// The module failed before, so often that it isn't called for now.
    #[error("the module {} isn't called for now: it failed too often", .0.module)]
    Held(Box<Held>),
    /// History holds an event that the active module can't take.
    #[error(
        "event {version} of the stream, {event_type} in schema version {schema_version}, can't be folded by {module}: {reason}"
    )]
    UnfoldableEvent {
        /// Its type.
        event_type: String,
        /// Its schema version.
        schema_version: u32,
        /// Its version in the stream.
        version: i64,
        /// Name and version of the module.
        module: String,
        /// Why.
        reason: String,
    },
    /// A fault of the host or of the database's set-up.
    #[error("{0}")]
    Internal(String),
}

impl RequestError {
    /// The stable code of the problem that it is answered as.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownAggregate { .. } => "unknown-aggregate",
            Self::UnknownCommand { .. } => "unknown-command",
            Self::StreamNotFound { .. } => "stream-not-found",
            Self::VersionNotFound { .. } => "not-found",
            Self::Invalid { .. } => "invalid",
            Self::TooLarge { .. } => "too-large",
            Self::Conflict { .. } => "version-conflict",
            Self::KeyReused => "idempotency-key-reused",
            Self::Overloaded => "overloaded",
            Self::Deadline => "deadline",
            Self::Unavailable => "database-unavailable",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::Module(ModuleFault::Trapped(_)) => "module-trapped",
            Self::Module(ModuleFault::Deadline) => "module-deadline",
            Self::Module(ModuleFault::Memory(_)) => "module-memory",
            Self::Module(ModuleFault::AnswerInvalid(_)) => "module-answer-invalid",
            Self::Held(_) => "module-quarantined",
            Self::UnfoldableEvent { .. } => "unfoldable-event",
            Self::Internal(_) => "internal",
        }
    }
}

/// How the module failed a request, when it had been tried again in a fresh instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleFault {
    /// It panicked, or did what WebAssembly forbids.
    #[error("the module trapped: {0}")]
    Trapped(String),
    /// It didn't answer in time.
    #[error("the module didn't answer within its deadline")]
    Deadline,
    /// It asked for more memory than it may have.
    #[error("{0}")]
    Memory(String),
    /// It answered what the contract, or its own declaration, doesn't allow.
    #[error("the module's answer is invalid: {0}")]
    AnswerInvalid(String),
}

impl From<GuestFault> for RequestError {
    fn from(fault: GuestFault) -> Self {
        match fault {
            GuestFault::Trapped(what) => ModuleFault::Trapped(what).into(),
            GuestFault::Deadline => ModuleFault::Deadline.into(),
            GuestFault::Memory(what) => ModuleFault::Memory(what).into(),
            GuestFault::AnswerInvalid(what) => ModuleFault::AnswerInvalid(what).into(),
            // Other guests took the place, time after time.
            GuestFault::Gone | GuestFault::NoCapacity(_) => Self::Overloaded,
        }
    }
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(source) => {
                tracing::warn!(error = %source, "PostgreSQL can't be reached");
                Self::Unavailable
            }
            error => Self::Internal(chain(&error)),
        }
    }
}

impl From<AppendError> for RequestError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Overloaded => Self::Overloaded,
            AppendError::Deadline => Self::Deadline,
            AppendError::Stopping | AppendError::Unavailable(_) => Self::Unavailable,
            AppendError::Refused(why) => Self::Internal(format!("PostgreSQL refused the events: {why}")),
            AppendError::Unknown => Self::OutcomeUnknown,
        }
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
