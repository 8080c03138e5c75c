//! `GET /v1/event-types`: which events the log holds and the active modules declare, and how the two fit together.

use std::collections::BTreeMap;

use axum::Json as JsonAnswer;
use axum::extract::State;

use super::body::{EventType, EventTypes, Reading, StateModule};
use super::description::problems::{READING, problems};
use super::extract::Caller;
use super::problem::Problem;
use super::{Api, within};
use crate::model::Json;
use crate::pipeline::ServedAggregate;
use crate::store::RecordedKind;

problems!(Problems: READING);

/// List event types
///
/// Those that the log holds or an active module declares, of all tenants: they are what modules declare, not what
/// tenants own.
#[utoipa::path(
    get,
    path = "/v1/event-types",
    operation_id = "listEventTypes",
    tag = "modules",
    params(Caller),
    responses((status = 200, description = "The event types.", body = EventTypes), Problems),
)]
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Result<JsonAnswer<EventTypes>, Problem> {
    let recorded = within(caller.deadline, api.store.event_kinds()).await?;
    Ok(JsonAnswer(EventTypes { event_types: joined(recorded, &api.pipeline.served()) }))
}

/// Both lists as one, by aggregate type, event type and schema version.
fn joined(recorded: Vec<RecordedKind>, served: &[ServedAggregate]) -> Vec<EventType> {
    let mut kinds = BTreeMap::new();
    for RecordedKind { aggregate_type, event_type, schema_version, first_position } in recorded {
        kinds.insert((aggregate_type, event_type, schema_version), Some(first_position));
    }
    for ServedAggregate { aggregate, .. } in served {
        for event in &aggregate.events {
            let kind = (aggregate.aggregate_type.clone(), event.event_type.clone(), event.schema_version);
            kinds.entry(kind).or_insert(None);
        }
    }
    let described = |((aggregate_type, event_type, schema_version), first_position)| {
        let owner = served.iter().find(|served| served.aggregate.aggregate_type == aggregate_type);
        describe(
            EventType {
                aggregate_type,
                event_type,
                schema_version,
                first_position,
                reading: Reading::Unknown,
                module: None,
                description: None,
                schema: None,
            },
            owner,
        )
    };
    kinds.into_iter().map(described).collect()
}

/// What the module that serves the aggregate type says of the event type.
fn describe(kind: EventType, owner: Option<&ServedAggregate>) -> EventType {
    let Some(ServedAggregate { aggregate, module, module_version, digest }) = owner else { return kind };
    let is_declared = aggregate
        .events
        .iter()
        .find(|event| event.event_type == kind.event_type && event.schema_version == kind.schema_version);
    let is_upcast = aggregate
        .upcasts
        .iter()
        .any(|old| old.event_type == kind.event_type && old.schema_version == kind.schema_version);
    let reading = match (is_declared, is_upcast) {
        (Some(_), _) => Reading::Declared,
        (None, true) => Reading::Upcast,
        (None, false) => return kind,
    };
    EventType {
        reading,
        module: Some(StateModule { name: module.clone(), version: module_version.clone(), digest: *digest }),
        description: is_declared.and_then(|event| event.description.clone()),
        // It was checked to be JSON when the module was loaded.
        schema: is_declared.and_then(|event| Json::parse(event.schema.as_ref()?.as_bytes()).ok()),
        ..kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AggregateDescriptor, Digest, EventDescriptor, EventKind};

    fn served() -> ServedAggregate {
        let event = |event_type: &str, schema_version| EventDescriptor {
            event_type: event_type.into(),
            schema_version,
            description: Some(format!("{event_type}.")),
            schema: Some(r#"{"type":"object"}"#.into()),
        };
        let aggregate = AggregateDescriptor {
            aggregate_type: "account".into(),
            description: None,
            state_version: 1,
            state_schema: None,
            snapshot_interval: None,
            commands: Vec::new(),
            events: vec![event("Moved", 2), event("Closed", 1)],
            upcasts: vec![EventKind { event_type: "Moved".into(), schema_version: 1 }],
            rejections: Vec::new(),
        };
        ServedAggregate { aggregate, module: "bank".into(), module_version: "1.0.0".into(), digest: Digest([7; 32]) }
    }

    #[test]
    fn what_is_recorded_and_what_is_declared_are_one_list() {
        let recorded = |aggregate_type: &str, event_type: &str, schema_version, first_position| RecordedKind {
            aggregate_type: aggregate_type.into(),
            event_type: event_type.into(),
            schema_version,
            first_position,
        };
        let log = vec![
            recorded("account", "Moved", 1, 1),
            recorded("account", "Moved", 2, 9),
            recorded("account", "Gone", 1, 4),
            recorded("order", "Moved", 1, 5),
        ];
        let list = joined(log, &[served()]);
        let told: Vec<_> = list
            .iter()
            .map(|kind| {
                let name = format!("{} {} {}", kind.aggregate_type, kind.event_type, kind.schema_version);
                (name, kind.first_position, kind.reading, kind.module.is_some(), kind.schema.is_some())
            })
            .collect();
        let expected = [
            ("account Closed 1", None, Reading::Declared, true, true),
            ("account Gone 1", Some(4), Reading::Unknown, false, false),
            ("account Moved 1", Some(1), Reading::Upcast, true, false),
            ("account Moved 2", Some(9), Reading::Declared, true, true),
            ("order Moved 1", Some(5), Reading::Unknown, false, false),
        ];
        assert_eq!(
            told,
            expected.map(|(name, position, reading, module, schema)| {
                (name.to_owned(), position, reading, module, schema)
            })
        );
        assert_eq!(list[3].description.as_deref(), Some("Moved."));
    }
}
