//! Checks of what a guest answers: from here on events, rejections and states are what the log can keep.

use super::aggregate::AggregateInfo;
use super::contract::{RawDecision, RawEvent, RawNewEvent};
use super::engine::Limits;
use super::fault::GuestFault;
use super::guest::shortened;
use super::values::{DecideError, Decided, Decision, FoldEvent, UpcastEvent};
use crate::model::{Json, Rejection};

/// Longest rejection code, in bytes.
const MAX_CODE_BYTES: usize = 100;
/// Longest message of a rejection, in bytes.
const MAX_MESSAGE_BYTES: usize = 4096;

/// Checks what `decide` answered.
pub(super) fn decision(raw: RawDecision, aggregate: &AggregateInfo, limits: &Limits) -> Result<Decision, DecideError> {
    match raw {
        RawDecision::Events(events) => Ok(Decision::Events(decided(events, aggregate, limits)?)),
        RawDecision::Rejected { code, message, details } => {
            Ok(Decision::Rejected(rejection(code, message, details, limits)?))
        }
        RawDecision::Invalid { message, pointer } => Err(DecideError::Invalid {
            message: shortened(&message, MAX_MESSAGE_BYTES).to_owned(),
            pointer: if pointer.starts_with('/') { pointer } else { String::new() },
        }),
        RawDecision::UnknownCommand => Err(DecideError::UnknownCommand),
    }
}

/// Checks what `state` answered.
pub(super) fn state(bytes: &[u8]) -> Result<Json, GuestFault> {
    Json::parse(bytes).map_err(|error| invalid(format!("the state is {error}")))
}

/// Checks what `upcast` answered to these events.
pub(super) fn upcast(
    raw: Vec<Vec<RawEvent>>,
    events: &[FoldEvent<'_>],
    aggregate: &AggregateInfo,
    limits: &Limits,
) -> Result<Vec<Vec<UpcastEvent>>, GuestFault> {
    if raw.len() != events.len() {
        return Err(invalid(format!("{} events were upcast into {} lists", events.len(), raw.len())));
    }
    let upcast = |(list, from): (Vec<RawEvent>, &FoldEvent<'_>)| {
        list.into_iter().map(|raw| upcast_event(raw, from, aggregate, limits)).collect()
    };
    raw.into_iter().zip(events).map(upcast).collect()
}

fn upcast_event(
    raw: RawEvent,
    from: &FoldEvent<'_>,
    aggregate: &AggregateInfo,
    limits: &Limits,
) -> Result<UpcastEvent, GuestFault> {
    if (raw.version, raw.occurred_at) != (from.version, from.occurred_at) {
        return Err(invalid(format!("upcasting changed version or time of the event at version {}", from.version)));
    }
    let Decided { event_type, schema_version, payload } = event(raw.event, aggregate, limits)?;
    Ok(UpcastEvent { event_type, schema_version, payload })
}

fn decided(events: Vec<RawNewEvent>, aggregate: &AggregateInfo, limits: &Limits) -> Result<Vec<Decided>, GuestFault> {
    if events.len() > limits.decision_events {
        let (count, limit) = (events.len(), limits.decision_events);
        return Err(invalid(format!("it decided on {count} events; at most {limit} are allowed")));
    }
    events.into_iter().map(|raw| event(raw, aggregate, limits)).collect()
}

fn event(raw: RawNewEvent, aggregate: &AggregateInfo, limits: &Limits) -> Result<Decided, GuestFault> {
    let RawNewEvent { event_type, schema_version, payload } = raw;
    if !aggregate.declares(&event_type, schema_version) {
        let event_type = shortened(&event_type, MAX_CODE_BYTES);
        return Err(invalid(format!("event {event_type:?} in schema version {schema_version} is not declared")));
    }
    if payload.len() > limits.payload_bytes {
        let (size, limit) = (payload.len(), limits.payload_bytes);
        return Err(invalid(format!("an event {event_type:?} has {size} bytes; at most {limit} are allowed")));
    }
    let payload =
        Json::parse(&payload).map_err(|error| invalid(format!("the payload of an event {event_type:?} is {error}")))?;
    Ok(Decided { event_type, schema_version, payload })
}

fn rejection(
    code: String,
    message: String,
    details: Option<Vec<u8>>,
    limits: &Limits,
) -> Result<Rejection, GuestFault> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if code.is_empty() || code.len() > MAX_CODE_BYTES || !code.chars().all(plain) {
        let code = shortened(&code, MAX_CODE_BYTES);
        return Err(invalid(format!("{code:?} is no rejection code: use letters, digits, '.', '_' and '-'")));
    }
    if message.len() > MAX_MESSAGE_BYTES || message.contains('\0') {
        return Err(invalid(format!("the message of rejection {code:?} is longer than a sentence, or holds a NUL")));
    }
    let details = details
        .map(|bytes| match bytes.len() <= limits.payload_bytes {
            true => {
                Json::parse(&bytes).map_err(|error| invalid(format!("the details of rejection {code:?} are {error}")))
            }
            false => Err(invalid(format!("the details of rejection {code:?} have {} bytes", bytes.len()))),
        })
        .transpose()?;
    Ok(Rejection { code, message, details })
}

fn invalid(problem: String) -> GuestFault {
    GuestFault::AnswerInvalid(problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AggregateDescriptor, AggregateType, EventDescriptor};

    fn counter() -> AggregateInfo {
        let event = EventDescriptor { event_type: "Added".into(), schema_version: 2, description: None, schema: None };
        let descriptor = AggregateDescriptor {
            aggregate_type: "counter".into(),
            description: None,
            state_version: 1,
            state_schema: None,
            snapshot_interval: None,
            commands: Vec::new(),
            events: vec![event],
            upcasts: Vec::new(),
            rejections: Vec::new(),
        };
        AggregateInfo::new(AggregateType::new("counter").expect("a name"), descriptor).expect("valid")
    }

    fn limits() -> Limits {
        Limits { decision_events: 2, payload_bytes: 10, ..Limits::default() }
    }

    fn added(schema_version: u32, payload: &str) -> RawNewEvent {
        RawNewEvent { event_type: "Added".into(), schema_version, payload: payload.into() }
    }

    fn events_fault(events: Vec<RawNewEvent>) -> Option<String> {
        match decision(RawDecision::Events(events), &counter(), &limits()) {
            Ok(_) => None,
            Err(DecideError::Fault(GuestFault::AnswerInvalid(problem))) => Some(problem),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn events_are_kept_only_as_declared_and_within_limits() {
        assert_eq!(events_fault(vec![added(2, r#"{"n":1}"#), added(2, "1")]), None);
        let fault = |event| events_fault(vec![event]).expect("refused");
        assert_eq!(fault(added(1, "1")), r#"event "Added" in schema version 1 is not declared"#);
        assert_eq!(fault(added(2, "12345678901")), r#"an event "Added" has 11 bytes; at most 10 are allowed"#);
        assert!(fault(added(2, "{")).starts_with(r#"the payload of an event "Added" is not valid JSON"#));
        let three = vec![added(2, "1"), added(2, "1"), added(2, "1")];
        assert_eq!(events_fault(three).as_deref(), Some("it decided on 3 events; at most 2 are allowed"));
    }

    #[test]
    fn a_rejection_has_a_code_that_callers_can_act_on() {
        let reject = |code: &str, message: &str, details: Option<&str>| {
            rejection(code.into(), message.into(), details.map(Into::into), &limits())
                .map_err(|fault| fault.to_string())
        };
        assert!(reject("insufficient-funds", "not enough", Some("{}")).is_ok());
        assert!(reject("", "x", None).is_err());
        assert!(reject("not enough", "x", None).is_err());
        assert!(reject("no", &"x".repeat(5000), None).is_err());
        assert!(reject("no", "x", Some("{")).is_err());
        assert!(reject("no", "x", Some("12345678901")).is_err());
    }

    #[test]
    fn upcasting_keeps_place_and_time() {
        let from = FoldEvent { event_type: "Old", schema_version: 1, version: 7, occurred_at: 70, payload: "1" };
        let to = |version| RawEvent { event: added(2, "1"), version, occurred_at: 70 };
        let answer = |raw| upcast(raw, &[from], &counter(), &limits());
        assert_eq!(answer(vec![vec![to(7), to(7)]]).expect("a split").concat().len(), 2);
        assert!(answer(vec![vec![to(8)]]).is_err());
        assert!(answer(vec![]).is_err());
    }
}
