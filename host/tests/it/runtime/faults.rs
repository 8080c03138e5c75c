//! What a bad guest costs: its own call, at most its instance, never another one.

use everfold::model::Tenant;
use everfold::runtime::{ApplyError, DecideError, Decision, FoldMode, GuestFault, Instances, Placement};

use super::{Shard, history};
use crate::support::guests;
use crate::support::liar::liar;

/// What a bad decision costs the other residents of its instance.
enum Cost {
    Instance,
    Nothing,
    DependsOnTheMachine,
}

/// Makes a bad decision beside a good resident, checks what it costs that one, and answers how it failed.
fn fault_of(command: &str, cost: Cost) -> GuestFault {
    let mut shard = Shard::unruly();
    let good = shard.create("t", Placement::Shared);
    let elsewhere = shard.create("other", Placement::Shared);
    let bad = shard.create("t", Placement::Shared);
    let Err(DecideError::Fault(fault)) = shard.decide(&bad, command, "{}") else { panic!("{command} went well") };

    let others = shard.instances.state(&good).map(drop);
    match cost {
        Cost::Instance => assert_eq!(others, Err(GuestFault::Gone), "{command}"),
        Cost::Nothing => assert_eq!(others, Ok(()), "{command}"),
        Cost::DependsOnTheMachine => {}
    }
    shard.instances.state(&elsewhere).unwrap();
    let again = shard.create("t", Placement::Shared);
    assert!(matches!(shard.decide(&again, "Ok", "{}"), Ok(Decision::Events(events)) if events.len() == 1));
    for resident in [good, bad, again, elsewhere] {
        shard.instances.release(resident);
    }
    fault
}

#[test]
fn a_trap_costs_its_instance() {
    assert!(matches!(fault_of("Trap", Cost::Instance), GuestFault::Trapped(_)));
    assert!(matches!(fault_of("Overflow", Cost::Instance), GuestFault::Trapped(_)));
}

#[test]
fn a_guest_that_loops_is_stopped() {
    assert_eq!(fault_of("Loop", Cost::Instance), GuestFault::Deadline);
}

#[test]
fn a_guest_that_eats_memory_is_stopped_with_the_reason() {
    let GuestFault::Memory(reason) = fault_of("EatMemory", Cost::Instance) else { panic!("another fault") };
    assert!(reason.contains("at most 67108864 are allowed"), "{reason}");
}

#[test]
fn an_answer_without_sense_costs_nothing() {
    for command in ["Garbage", "Undeclared"] {
        assert!(matches!(fault_of(command, Cost::Nothing), GuestFault::AnswerInvalid(_)), "{command}");
    }
}

#[test]
fn an_answer_without_measure_is_not_read() {
    assert!(!matches!(fault_of("HugeAnswer", Cost::Instance), GuestFault::Trapped(_)));
    // A slow machine stops it at its deadline, a fast one reads the answer and refuses it.
    let fault = fault_of("ManyEvents", Cost::DependsOnTheMachine);
    assert!(matches!(fault, GuestFault::AnswerInvalid(_) | GuestFault::Deadline), "{fault}");
}

#[test]
fn a_trap_alone_costs_nobody_else() {
    let mut shard = Shard::unruly();
    let good = shard.create("t", Placement::Shared);
    let bad = shard.create("t", Placement::Alone);
    assert!(matches!(shard.decide(&bad, "Trap", "{}"), Err(DecideError::Fault(GuestFault::Trapped(_)))));
    shard.instances.state(&good).unwrap();
}

#[test]
fn poisoned_history_fails_its_fold() {
    let mut shard = Shard::unruly();
    for (event_type, fault) in [("Poison", None), ("Quicksand", Some(GuestFault::Deadline))] {
        let resident = shard.create("t", Placement::Alone);
        let events = [history("Fine", 1, "{}"), history(event_type, 1, "{}")];
        let Err(ApplyError::Fault(found)) = shard.instances.apply(&resident, &events, FoldMode::Replay) else {
            panic!("{event_type} was applied")
        };
        assert!(fault.is_none_or(|fault| fault == found), "{event_type}: {found}");
    }
}

/// One event, upcast by a liar of this way.
fn upcast(way: &str) -> ApplyError {
    let engine = guests::engine();
    let module = engine.load(&liar(way)).unwrap();
    let aggregate_type = module.aggregate_types().next().unwrap().clone();
    let tenant = Tenant::new("t").unwrap();
    let mut instances = Instances::new(engine);
    instances.upcast(&module, &tenant, &aggregate_type, &[history("Gone", 1, "{}")]).unwrap_err()
}

#[test]
fn upcasting_fails_as_every_other_call() {
    assert!(matches!(upcast("upcast-traps"), ApplyError::Fault(GuestFault::Trapped(_))));
    assert_eq!(upcast("upcast-loops"), ApplyError::Fault(GuestFault::Deadline));
    assert!(matches!(upcast("upcast-eats"), ApplyError::Fault(GuestFault::Memory(_))));
    assert!(matches!(upcast("upcast-forgets"), ApplyError::Fault(GuestFault::AnswerInvalid(_))));
    assert!(matches!(upcast("upcast-refuses"), ApplyError::Refused(_)));
}
