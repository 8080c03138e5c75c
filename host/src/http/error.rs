//! What the rooms below answer instead of a result, as problem documents.

use std::error::Error;

use axum::extract::rejection::QueryRejection;

use super::problem::{Code, Problem};
use crate::model::{JsonError, NameError, Rejection};
use crate::pipeline::{ModuleFault, RequestError};
use crate::store::StoreError;

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::UnknownAggregate { aggregate_type, known } => {
                Self::new(Code::UnknownAggregate, unknown("aggregate type", aggregate_type.as_str(), &known))
                    .with(|body| body.known = Some(known))
            }
            RequestError::UnknownCommand { aggregate_type, command, known } => {
                Self::new(Code::UnknownCommand, unknown(&format!("command of {aggregate_type}"), &command, &known))
                    .with(|body| body.known = Some(known))
            }
            RequestError::StreamNotFound { stream } => {
                Self::new(Code::StreamNotFound, format!("{stream} has no events: check tenant, type and id"))
            }
            RequestError::VersionNotFound { stream, asked, actual } => {
                Self::new(Code::NotFound, format!("{stream} is at version {actual}: it has no version {asked} yet"))
                    .with(|body| body.actual = Some(actual))
            }
            RequestError::Invalid { message, pointer } => {
                Self::invalid(message).with(|body| body.pointer = Some(pointer))
            }
            RequestError::TooLarge { message } => Self::new(Code::TooLarge, message),
            RequestError::Conflict { stream, expected, actual } => {
                Self::new(Code::VersionConflict, conflict(&stream.to_string(), expected, actual)).with(|body| {
                    body.expected = Some(expected.into());
                    body.actual = Some(actual);
                })
            }
            RequestError::KeyReused => {
                Self::new(Code::IdempotencyKeyReused, "repeat a request unchanged, or send another one with a new key")
            }
            RequestError::Module(fault) => fault.into(),
            RequestError::Held(held) => Self::of_held(&held),
            RequestError::UnfoldableEvent { event_type, schema_version, version, module, reason } => Self::new(
                Code::UnfoldableEvent,
                format!(
                    "the event at version {version} is {event_type} in schema version {schema_version}, and {module} \
                     can't fold it ({reason}): deploy a module that declares it"
                ),
            ),
            RequestError::Internal(message) => Self::internal(&message),
            RequestError::Overloaded
            | RequestError::Deadline
            | RequestError::Unavailable
            | RequestError::OutcomeUnknown => Self::of_circumstances(&error),
        }
    }
}

impl Problem {
    /// Failures that say nothing of the request itself.
    fn of_circumstances(error: &RequestError) -> Self {
        match error {
            RequestError::Overloaded => {
                Self::new(Code::Overloaded, "nothing was executed: repeat the request after Retry-After seconds")
            }
            RequestError::Deadline => Self::deadline(),
            RequestError::Unavailable => Self::database_unavailable(),
            _ => Self::new(
                Code::OutcomeUnknown,
                "repeat the request with the same Idempotency-Key to learn its outcome; without a key read the stream \
                 before repeating it",
            ),
        }
    }

    /// The request's time is over, and it was surely not executed.
    pub(super) fn deadline() -> Self {
        Self::new(Code::Deadline, "nothing was executed: repeat the request, or allow more time by Everfold-Timeout")
    }

    fn database_unavailable() -> Self {
        Self::new(Code::DatabaseUnavailable, "nothing was executed: repeat the request after Retry-After seconds")
    }

    /// A fault of the host: the log gets the description, the caller is told to look there.
    pub(super) fn internal(description: &str) -> Self {
        tracing::error!(description, "a request failed");
        Self::new(Code::Internal, "the host's log has the description")
    }

    /// The domain's "no".
    pub(super) fn rejected(rejection: Rejection, replayed: bool) -> Self {
        Self::new(Code::Rejected, rejection.message.clone()).with(|body| {
            body.rejection = Some(rejection);
            body.replayed = Some(replayed);
        })
    }
}

impl From<ModuleFault> for Problem {
    fn from(fault: ModuleFault) -> Self {
        let (code, detail) = told(&fault);
        Self::new(code, detail)
    }
}

/// A module's fault, as its code and what is told of it.
pub(super) fn told(fault: &ModuleFault) -> (Code, String) {
    match fault {
        ModuleFault::Trapped(message) => (Code::ModuleTrapped, message.clone()),
        ModuleFault::Deadline => (Code::ModuleDeadline, "the module's time for one command ran out".to_owned()),
        ModuleFault::Memory(message) => (Code::ModuleMemory, message.clone()),
        ModuleFault::AnswerInvalid(message) => (Code::ModuleAnswerInvalid, message.clone()),
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                tracing::warn!(error = chain(&error), "the database can't be reached");
                Self::database_unavailable()
            }
            StoreError::EpochChanged { asked, current } => Self::new(
                Code::LogEpochChanged,
                "the log was restored or replaced since the cursor was answered: what was read may differ from what \
                 is there now; read again from the start",
            )
            .with(|body| {
                body.asked = Some(asked.to_string());
                body.current = Some(current.to_string());
            }),
            StoreError::Failed(_) | StoreError::Corrupt(_) => Self::internal(&chain(&error)),
        }
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Self {
        Self::invalid(format!("the body is {error}")).with(|body| body.pointer = Some(String::new()))
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        let reason = rejection.source().map_or_else(|| rejection.body_text(), chain);
        Self::invalid(format!("the query string: {reason}"))
    }
}

impl Problem {
    /// A body that ended before its end.
    pub(super) fn broken_off() -> Self {
        Self::invalid("the body ended early: send as many bytes as Content-Length says")
    }

    /// A body that isn't JSON by its own word.
    pub(super) fn unsupported(kind: &str) -> Self {
        let detail = format!("{kind} is not taken here: send JSON, with Content-Type: application/json or without any");
        Self::new(Code::UnsupportedMediaType, detail)
    }

    /// A path that is there, but not for this method.
    pub(super) fn wrong_method(method: &str, path: &str) -> Self {
        let detail = format!("{method} is not for {path}: the header Allow lists what is");
        Self::new(Code::MethodNotAllowed, detail)
    }

    /// A body above the limit.
    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(Code::TooLarge, format!("the body has more than {limit} bytes: send less at once"))
            .with(|body| body.limit = Some(limit))
    }
}

fn unknown(what: &str, asked: &str, known: &[String]) -> String {
    match known {
        [] => format!("{asked:?} is no {what}, and there is none yet: add a module that has it"),
        known => format!("{asked:?} is no {what}; there are: {}", known.join(", ")),
    }
}

fn conflict(stream: &str, expected: impl std::fmt::Display, actual: i64) -> String {
    let is = if actual < 0 { "has no events".to_owned() } else { format!("is at version {actual}") };
    format!("{stream} {is}, expected was {expected}: read it again and decide anew")
}

/// The error and its causes in one line.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.ends_with(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AggregateType, Cursor, ExpectedVersion, StreamId, StreamKey, Tenant};

    fn stream() -> StreamKey {
        StreamKey {
            tenant: Tenant::default_tenant(),
            aggregate_type: AggregateType::new("account").expect("valid"),
            stream_id: StreamId::new("a/1").expect("valid"),
        }
    }

    #[test]
    fn every_request_error_has_its_status_and_code() {
        let aggregate_type = stream().aggregate_type;
        let invalid = RequestError::Invalid { message: "too small".into(), pointer: "/amount".into() };
        let conflict = RequestError::Conflict { stream: stream(), expected: ExpectedVersion::NoStream, actual: 3 };
        let unfoldable = RequestError::UnfoldableEvent {
            event_type: "Old".into(),
            schema_version: 1,
            version: 2,
            module: "bank 1.0.0".into(),
            reason: "unknown event".into(),
        };
        let cases = [
            (
                RequestError::UnknownAggregate { aggregate_type: aggregate_type.clone(), known: vec![] },
                404,
                "unknown-aggregate",
            ),
            (
                RequestError::UnknownCommand { aggregate_type, command: "Dance".into(), known: vec![] },
                404,
                "unknown-command",
            ),
            (RequestError::StreamNotFound { stream: stream() }, 404, "stream-not-found"),
            (RequestError::VersionNotFound { stream: stream(), asked: 9, actual: 3 }, 404, "not-found"),
            (invalid, 400, "invalid"),
            (RequestError::TooLarge { message: "1001 events".into() }, 413, "too-large"),
            (conflict, 409, "version-conflict"),
            (RequestError::KeyReused, 422, "idempotency-key-reused"),
            (RequestError::Overloaded, 429, "overloaded"),
            (RequestError::Deadline, 503, "deadline"),
            (RequestError::Unavailable, 503, "database-unavailable"),
            (RequestError::OutcomeUnknown, 504, "outcome-unknown"),
            (RequestError::Module(ModuleFault::Trapped("unreachable".into())), 500, "module-trapped"),
            (RequestError::Module(ModuleFault::Deadline), 500, "module-deadline"),
            (RequestError::Module(ModuleFault::Memory("65 MiB".into())), 500, "module-memory"),
            (RequestError::Module(ModuleFault::AnswerInvalid("no JSON".into())), 500, "module-answer-invalid"),
            (unfoldable, 500, "unfoldable-event"),
            (RequestError::Internal("secret".into()), 500, "internal"),
        ];
        for (error, status, code) in cases {
            assert_eq!(error.code(), code, "what the metrics count is what the caller is told");
            assert_eq!(Problem::from(error).summary(), (status, code));
        }
    }

    #[test]
    fn what_the_caller_needs_to_go_on_is_in_the_members() {
        let conflict = RequestError::Conflict { stream: stream(), expected: ExpectedVersion::Exact(4), actual: 3 };
        let json = serde_json::to_value(Problem::from(conflict).body()).expect("JSON");
        assert_eq!((&json["expected"], &json["actual"]), (&4.into(), &3.into()));

        let invalid = RequestError::Invalid { message: "too small".into(), pointer: "/amount".into() };
        assert_eq!(Problem::from(invalid).body().pointer.as_deref(), Some("/amount"));

        let known = vec!["Open".to_owned(), "Deposit".to_owned()];
        let aggregate_type = stream().aggregate_type;
        let problem = Problem::from(RequestError::UnknownCommand {
            aggregate_type,
            command: "Dance".into(),
            known: known.clone(),
        });
        assert_eq!(problem.body().detail, r#""Dance" is no command of account; there are: Open, Deposit"#);
        assert_eq!(problem.body().known, Some(known));

        let epochs = StoreError::EpochChanged {
            asked: Cursor { epoch: 1, position: 9 },
            current: Cursor { epoch: 2, position: 5 },
        };
        let problem = Problem::from(epochs);
        assert_eq!(problem.summary(), (410, "log-epoch-changed"));
        assert_eq!((problem.body().asked.as_deref(), problem.body().current.as_deref()), (Some("1-9"), Some("2-5")));
    }

    #[test]
    fn faults_of_the_host_are_not_told_to_callers() {
        for problem in [
            Problem::from(RequestError::Internal("secret".into())),
            Problem::from(StoreError::Corrupt("secret".into())),
        ] {
            assert_eq!(problem.summary(), (500, "internal"));
            assert!(!problem.body().detail.contains("secret"));
        }
    }
}
