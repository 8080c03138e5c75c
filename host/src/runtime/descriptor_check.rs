//! Checks of what a module says of itself, before anything stands on it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::aggregate::AggregateInfo;
use crate::model::{AggregateDescriptor, AggregateType, ModuleDescriptor};

/// Longest name of a module, command, event type or rejection, in bytes.
const MAX_NAME_BYTES: usize = 100;

/// Most aggregate types of a module.
const MAX_AGGREGATES: usize = 100;

/// Most commands, event types, upcasts or rejections of an aggregate type.
const MAX_ENTRIES: usize = 1000;

/// Most bytes of all that a module says of itself: the host keeps it, and answers it to whoever asks.
const MAX_BYTES: usize = 1 << 20;

/// Highest version of a state or a schema: what the log's columns hold.
const MAX_VERSION: u32 = i32::MAX as u32;

/// The aggregate types of a descriptor, or what is wrong with it.
pub(super) fn aggregates(module: &ModuleDescriptor) -> Result<HashMap<AggregateType, Arc<AggregateInfo>>, String> {
    check_size(module)?;
    check_name("the module's name", &module.name)?;
    semver::Version::parse(&module.version).map_err(|error| {
        format!("the module's version {:?} is no semantic version such as 1.1.0: {error}", module.version)
    })?;
    if module.aggregates.is_empty() {
        return Err("it has no aggregate type".to_owned());
    }
    let mut aggregates = HashMap::new();
    for descriptor in &module.aggregates {
        let name = AggregateType::new(&descriptor.aggregate_type).map_err(|error| error.to_string())?;
        check_aggregate(descriptor).map_err(|problem| format!("aggregate type {:?}: {problem}", name.as_str()))?;
        let info = AggregateInfo::new(name.clone(), descriptor.clone()).map_err(|error| error.to_string())?;
        if aggregates.insert(name, Arc::new(info)).is_some() {
            return Err(format!("it has aggregate type {:?} twice", descriptor.aggregate_type));
        }
    }
    Ok(aggregates)
}

/// Keeps a description from being a burden, before anything is made of it.
fn check_size(module: &ModuleDescriptor) -> Result<(), String> {
    let too_many =
        |what: &str, count: usize, limit: usize| format!("it has {count} {what}; at most {limit} are allowed");
    if module.aggregates.len() > MAX_AGGREGATES {
        return Err(too_many("aggregate types", module.aggregates.len(), MAX_AGGREGATES));
    }
    for aggregate in &module.aggregates {
        let lists = [
            ("commands", aggregate.commands.len()),
            ("event types", aggregate.events.len()),
            ("upcasts", aggregate.upcasts.len()),
            ("rejections", aggregate.rejections.len()),
        ];
        if let Some((what, count)) = lists.into_iter().find(|(_, count)| *count > MAX_ENTRIES) {
            return Err(too_many(what, count, MAX_ENTRIES));
        }
    }
    let bytes = serde_json::to_vec(module).map_or(usize::MAX, |json| json.len());
    if bytes > MAX_BYTES {
        return Err(format!("it has {bytes} bytes, with all schemas; at most {MAX_BYTES} are allowed"));
    }
    Ok(())
}

fn check_aggregate(aggregate: &AggregateDescriptor) -> Result<(), String> {
    if aggregate.state_version > MAX_VERSION {
        return Err(format!("its state version {} is above {MAX_VERSION}", aggregate.state_version));
    }
    all_different("command", aggregate.commands.iter().map(|command| command.name.as_str()))?;
    all_different("event type", aggregate.events.iter().map(|event| event.event_type.as_str()))?;
    all_different("rejection", aggregate.rejections.iter().map(|rejection| rejection.code.as_str()))?;
    let newest = aggregate.events.iter().map(|event| (event.event_type.as_str(), event.schema_version));
    let older = aggregate.upcasts.iter().map(|kind| (kind.event_type.as_str(), kind.schema_version));
    let mut kinds = HashSet::new();
    for (event_type, schema_version) in newest.chain(older) {
        check_name("an event type", event_type)?;
        if schema_version == 0 {
            return Err(format!("event type {event_type:?} has schema version 0; 1 is the first"));
        }
        if schema_version > MAX_VERSION {
            return Err(format!("event type {event_type:?} has schema version {schema_version}, above {MAX_VERSION}"));
        }
        if !kinds.insert((event_type, schema_version)) {
            return Err(format!("it has event type {event_type:?} in schema version {schema_version} twice"));
        }
    }
    Ok(())
}

fn all_different<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = HashSet::new();
    for name in names {
        check_name(&format!("the {what}'s name"), name)?;
        if !seen.insert(name) {
            return Err(format!("it has {what} {name:?} twice"));
        }
    }
    Ok(())
}

/// Names become parts of paths, topics and log lines.
fn check_name(what: &str, name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name.chars().find(|c| !plain(*c)) {
        _ if name.is_empty() => Err(format!("{what} must not be empty")),
        _ if name.len() > MAX_NAME_BYTES => {
            Err(format!("{what} has {} bytes; at most {MAX_NAME_BYTES} are allowed", name.len()))
        }
        Some(c) => Err(format!("{what} {name:?} contains {c:?}; use letters, digits, '.', '_' and '-'")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CommandDescriptor, EventDescriptor, EventKind};

    fn module(change: impl FnOnce(&mut ModuleDescriptor)) -> Result<(), String> {
        let command = CommandDescriptor { name: "Add".into(), description: None, schema: None };
        let event = EventDescriptor { event_type: "Added".into(), schema_version: 2, description: None, schema: None };
        let counter = AggregateDescriptor {
            aggregate_type: "counter".into(),
            description: None,
            state_version: 1,
            state_schema: None,
            snapshot_interval: None,
            commands: vec![command],
            events: vec![event],
            upcasts: vec![EventKind { event_type: "Added".into(), schema_version: 1 }],
            rejections: Vec::new(),
        };
        let mut module =
            ModuleDescriptor { name: "counter".into(), version: "1.0.0".into(), aggregates: vec![counter] };
        change(&mut module);
        aggregates(&module).map(drop)
    }

    #[test]
    fn a_module_is_refused_with_what_is_wrong_with_it() {
        assert_eq!(module(|_| {}), Ok(()));
        let fault = |change: fn(&mut ModuleDescriptor)| module(change).expect_err("refused");
        assert!(fault(|m| m.name.clear()).contains("must not be empty"));
        assert!(fault(|m| m.version = "1.0".into()).contains("no semantic version"));
        assert!(fault(|m| m.aggregates.clear()).contains("no aggregate type"));
        assert!(fault(|m| m.aggregates.push(m.aggregates[0].clone())).contains(r#""counter" twice"#));
        assert!(fault(|m| m.aggregates[0].aggregate_type = "a b".into()).contains("contains ' '"));
        assert!(fault(|m| m.aggregates[0].commands[0].name = "a/b".into()).contains("contains '/'"));
        let twice = fault(|m| {
            let command = m.aggregates[0].commands[0].clone();
            m.aggregates[0].commands.push(command);
        });
        assert_eq!(twice, r#"aggregate type "counter": it has command "Add" twice"#);
        let many = fault(|m| m.aggregates[0].commands = vec![m.aggregates[0].commands[0].clone(); 1001]);
        assert_eq!(many, "it has 1001 commands; at most 1000 are allowed");
        assert!(fault(|m| m.aggregates = vec![m.aggregates[0].clone(); 101]).contains("101 aggregate types"));
        assert!(fault(|m| m.aggregates[0].description = Some("x".repeat(MAX_BYTES))).contains("with all schemas"));
        assert!(fault(|m| m.aggregates[0].events[0].schema_version = 0).contains("1 is the first"));
        assert!(fault(|m| m.aggregates[0].events[0].schema_version = 1).contains("schema version 1 twice"));
    }
}
