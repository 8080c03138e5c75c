//! One problem of each code, made as the host makes it, so that no example says what no host would.

use time::{Duration, OffsetDateTime};

use crate::http::problem::{Code, Problem};
use crate::model::{AggregateType, Cursor, ExpectedVersion, Json, Rejection, StreamId, StreamKey, Tenant};
use crate::pipeline::{Held, HeldBy, ModuleFault, RequestError};
use crate::store::StoreError;

/// A problem with this code.
pub(super) fn example(code: Code) -> Problem {
    match code {
        Code::LogEpochChanged => {
            let [asked, current] = [(1, 4711), (2, 4000)].map(|(epoch, position)| Cursor { epoch, position });
            StoreError::EpochChanged { asked, current }.into()
        }
        Code::MethodNotAllowed => Problem::wrong_method("DELETE", "/v1/events"),
        Code::UnsupportedMediaType => Problem::unsupported("text/xml"),
        Code::Rejected => Problem::rejected(rejection(), false),
        Code::NotReady => {
            let detail = "PostgreSQL can't be reached: Connection refused (os error 111)";
            Problem::new(code, detail).with(|body| body.check = Some("database"))
        }
        Code::TooLarge => Problem::too_large(4 * 1024 * 1024),
        // Not by its own way, which writes to the log.
        Code::Internal => Problem::new(code, "the host's log has the description"),
        _ => error(code).into(),
    }
}

/// What the rooms below answer where this becomes of it.
fn error(code: Code) -> RequestError {
    let text = str::to_owned;
    match code {
        Code::Invalid => RequestError::Invalid {
            message: text("0 is less than the minimum of 1 (at /amount)"),
            pointer: text("/amount"),
        },
        Code::UnknownAggregate => {
            RequestError::UnknownAggregate { aggregate_type: aggregate_type("acount"), known: vec![text("account")] }
        }
        Code::UnknownCommand => RequestError::UnknownCommand {
            aggregate_type: aggregate_type("account"),
            command: text("Dance"),
            known: ["Open", "Deposit", "Withdraw"].map(text).to_vec(),
        },
        Code::StreamNotFound => RequestError::StreamNotFound { stream: stream() },
        Code::NotFound => RequestError::VersionNotFound { stream: stream(), asked: 9, actual: 1 },
        Code::VersionConflict => {
            RequestError::Conflict { stream: stream(), expected: ExpectedVersion::Exact(7), actual: 1 }
        }
        Code::IdempotencyKeyReused => RequestError::KeyReused,
        Code::Overloaded => RequestError::Overloaded,
        Code::Deadline => RequestError::Deadline,
        Code::DatabaseUnavailable => RequestError::Unavailable,
        Code::OutcomeUnknown => RequestError::OutcomeUnknown,
        Code::ModuleTrapped => ModuleFault::Trapped(text("wasm `unreachable` instruction executed")).into(),
        Code::ModuleDeadline => ModuleFault::Deadline.into(),
        Code::ModuleMemory => ModuleFault::Memory(text("the guest asked for more than 64 MiB of memory")).into(),
        Code::ModuleAnswerInvalid => {
            ModuleFault::AnswerInvalid(text("decide answered an event \"Closed\", which isn't declared")).into()
        }
        Code::ModuleQuarantined => RequestError::Held(Box::new(held())),
        Code::UnfoldableEvent => RequestError::UnfoldableEvent {
            event_type: text("Closed"),
            schema_version: 2,
            version: 7,
            module: text("bank-account 1.0.0"),
            reason: text("unknown event type"),
        },
        code => RequestError::Internal(code.title().to_owned()),
    }
}

fn held() -> Held {
    // Of no importance, but the same at every look.
    let since = OffsetDateTime::UNIX_EPOCH;
    Held {
        by: HeldBy::Stream(stream()),
        module: "bank-account".to_owned(),
        module_version: "1.0.0".to_owned(),
        faults: 5,
        last: Some(ModuleFault::Deadline),
        since,
        probe_at: since + Duration::seconds(30),
    }
}

fn rejection() -> Rejection {
    let details = Json::of(&serde_json::json!({ "balance": 100 }));
    Rejection {
        code: "insufficient-funds".to_owned(),
        message: "the balance is 100".to_owned(),
        details: Some(details),
    }
}

fn aggregate_type(name: &str) -> AggregateType {
    AggregateType::new(name).expect("a valid name")
}

fn stream() -> StreamKey {
    let stream_id = StreamId::new("ann").expect("a valid id");
    StreamKey { tenant: Tenant::default_tenant(), aggregate_type: aggregate_type("account"), stream_id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_example_of_its_own() {
        for code in Code::ALL {
            assert_eq!(example(code).summary().1, code.as_str());
        }
    }
}
