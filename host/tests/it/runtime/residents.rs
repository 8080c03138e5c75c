//! Aggregates in their instances: they decide, fold, are stored and come back.

use everfold::model::{AggregateType, Tenant};
use everfold::runtime::{
    ApplyError, DecideError, Decision, Engine, EngineOptions, EventRefusal, FoldMode, Instances, Placement,
    RestoreError,
};
use serde_json::json;

use super::{Shard, history};
use crate::support::guests;

#[test]
fn decisions_take_effect_through_apply_only() {
    let mut shard = Shard::counter();
    let resident = shard.create("t", Placement::Shared);
    shard.decide(&resident, "Add", r#"{"n": 5}"#).unwrap();
    assert_eq!(shard.state(&resident)["total"], 0);
    shard.execute(&resident, "Add", r#"{"n": 5}"#);
    assert_eq!(shard.state(&resident)["total"], 5);
    assert!(shard.execute(&resident, "Nothing", "{}").is_empty());
}

#[test]
fn a_rejection_keeps_its_code_and_details() {
    let mut shard = Shard::counter();
    let resident = shard.create("t", Placement::Shared);
    let Ok(Decision::Rejected(no)) = shard.decide(&resident, "Add", r#"{"n": -1}"#) else { panic!("accepted") };
    assert_eq!(no.code, "below-zero");
    assert_eq!(no.message, "0 and -1 is below zero");
}

#[test]
fn a_wrong_command_is_told_apart_from_a_wrong_payload() {
    let mut shard = Shard::counter();
    let resident = shard.create("t", Placement::Shared);
    assert_eq!(shard.decide(&resident, "Shrink", "{}"), Err(DecideError::UnknownCommand));
    assert!(matches!(shard.decide(&resident, "Add", r#"{"n": "x"}"#), Err(DecideError::Invalid { .. })));
}

#[test]
fn the_context_reaches_the_guest() {
    let mut shard = Shard::counter();
    let resident = shard.create("acme", Placement::Shared);
    let noted = shard.execute(&resident, "NoteContext", "{}");
    let payload: serde_json::Value = serde_json::from_str(noted[0].payload.as_str()).unwrap();
    let told: serde_json::Value = serde_json::from_str(payload["text"].as_str().unwrap()).unwrap();
    let expected = json!({
        "time": 1_700_000_000_000_i64, "command_id": "00000000-0000-0000-0000-000000000000", "seed": 7,
        "actor": "ada", "tenant": "acme", "stream_id": "s-1", "version": 41, "correlation_id": null,
    });
    assert_eq!(told, expected);
}

#[test]
fn a_state_comes_back_as_it_was() {
    let mut shard = Shard::counter();
    let resident = shard.create("t", Placement::Shared);
    shard.execute(&resident, "Many", r#"{"n": 900}"#);
    let state = shard.instances.state(&resident).unwrap();
    shard.instances.release(resident);

    let tenant = Tenant::new("t").unwrap();
    let module = shard.module.clone();
    let aggregate_type = shard.aggregate_type.clone();
    let mut restore = |state_version: u32, state: &[u8]| {
        shard.instances.restore(&module, &tenant, &aggregate_type, Placement::Shared, state_version, state)
    };
    let restored = restore(1, state.as_str().as_bytes()).unwrap();
    assert_eq!(restore(2, state.as_str().as_bytes()).unwrap_err(), RestoreError::OtherStateVersion);
    assert!(matches!(restore(1, b"[]").unwrap_err(), RestoreError::InvalidState(_)));
    assert_eq!(shard.state(&restored)["total"], 900);
}

#[test]
fn the_same_events_give_the_same_bytes_in_every_engine() {
    let states = ["one", "another"].map(|tenant| {
        let mut shard = Shard::counter();
        if tenant == "another" {
            // As another host would: an engine of its own, and code that it compiled itself.
            let engine = Engine::new(EngineOptions { max_instances: 8, ..EngineOptions::default() }).unwrap();
            shard.module = engine.load(&guests::wasm("counter")).unwrap();
            shard.instances = Instances::new(engine);
        }
        let resident = shard.create(tenant, Placement::Shared);
        shard.execute(&resident, "Many", r#"{"n":50}"#);
        shard.execute(&resident, "Add", r#"{"n":7}"#);
        shard.instances.state(&resident).unwrap().as_str().to_owned()
    });
    assert_eq!(states[0], states[1]);
    assert!(states[0].contains("57"), "{}", states[0]);
}

#[test]
fn long_histories_are_folded_in_chunks_and_the_bad_event_is_named() {
    let mut shard = Shard::counter();
    let resident = shard.create("t", Placement::Shared);
    let mut events = vec![history("Added", 1, r#"{"n": 2}"#); 1700];
    shard.instances.apply(&resident, &events, FoldMode::Replay).unwrap();
    assert_eq!(shard.state(&resident)["total"], 3400);

    events[1234] = history("Vanished", 1, "{}");
    let Err(ApplyError::Refused(refused)) = shard.instances.apply(&resident, &events, FoldMode::Replay) else {
        panic!("an unknown event was taken")
    };
    assert_eq!((refused.index, refused.reason), (1234, EventRefusal::Unknown));
}

#[test]
fn old_events_are_brought_into_their_newest_form() {
    let mut shard = Shard::counter();
    let (module, tenant) = (shard.module.clone(), Tenant::new("t").unwrap());
    let events = [
        history("Added", 1, r#"{"n":1}"#),
        history("Noted", 1, r#"{"label":"old"}"#),
        history("Reset", 1, r#"{"held":0}"#),
    ];
    let upcast = shard.instances.upcast(&module, &tenant, &shard.aggregate_type, &events).unwrap();
    let kinds: Vec<Vec<_>> =
        upcast.iter().map(|list| list.iter().map(|e| (e.event_type.as_str(), e.schema_version)).collect()).collect();
    assert_eq!(kinds, [vec![("Added", 1)], vec![("Noted", 2)], vec![]]);
}

#[test]
fn tenants_share_no_instance() {
    let mut shard = Shard::counter();
    let one = shard.create("one", Placement::Shared);
    let _other = shard.create("other", Placement::Shared);
    let _again = shard.create("one", Placement::Shared);
    assert_eq!((shard.instances.stats().instances, shard.instances.stats().residents), (2, 3));
    let alone = shard.create("one", Placement::Alone);
    assert_eq!(shard.instances.stats().instances, 3);
    shard.instances.release(alone);
    shard.instances.release(one);
    assert_eq!((shard.instances.stats().instances, shard.instances.stats().residents), (2, 2));
}

#[test]
fn a_full_instance_takes_no_more_and_serves_on() {
    let limits = everfold::runtime::Limits { residents_per_instance: 2, ..guests::engine().limits().clone() };
    let options = everfold::runtime::EngineOptions { limits, max_instances: 3, ..Default::default() };
    let engine = everfold::runtime::Engine::new(options).unwrap();
    let module = engine.load(&guests::wasm("counter")).unwrap();
    let mut instances = Instances::new(engine);
    let aggregate_type = AggregateType::new("counter").unwrap();
    let create = |instances: &mut Instances, tenant: &str| {
        instances.create(&module, &Tenant::new(tenant).unwrap(), &aggregate_type, Placement::Shared).unwrap()
    };
    let residents: Vec<_> = (0..4).map(|_| create(&mut instances, "t")).collect();
    assert_eq!(instances.stats().instances, 2);
    for resident in &residents {
        instances.state(resident).unwrap();
    }
    let fifth = create(&mut instances, "t");
    assert_eq!(instances.stats().instances, 2, "the third one ends the first");
    instances.state(&residents[0]).unwrap_err();
    instances.state(&residents[2]).unwrap();
    instances.state(&fifth).unwrap();

    // All three places taken: the least recently used instance gives way.
    let _other = create(&mut instances, "u");
    let _third = create(&mut instances, "v");
    assert_eq!(instances.stats().instances, 3);
    instances.state(&residents[2]).unwrap_err();
    instances.state(&fifth).unwrap();
    residents.into_iter().for_each(|resident| instances.release(resident));
}

#[test]
fn instances_of_retired_modules_are_dropped() {
    let mut shard = Shard::counter();
    let resident = shard.create("t", Placement::Shared);
    let digest = shard.module.digest();
    shard.instances.retain_modules(|needed| needed == digest);
    shard.instances.state(&resident).unwrap();
    shard.instances.retain_modules(|_| false);
    shard.instances.state(&resident).unwrap_err();
}
