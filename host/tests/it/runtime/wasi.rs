//! Virtual WASI: given to none that isn't allowed it, the same to everyone in every call, and with nothing behind it.

use std::collections::BTreeSet;

use everfold::model::Tenant;
use everfold::runtime::{
    DecideError, Engine, EngineOptions, FoldMode, GuestFault, Instances, LoadError, Placement, Resident, WasiPolicy,
};
use serde_json::{Value, json};

use super::{Shard, history};
use crate::support::guests::wasm;

const IMPORTS: [&str; 16] = [
    "wasi:cli/environment@0.2.0 {get-environment, get-arguments, initial-cwd}",
    "wasi:cli/exit@0.2.0 {exit}",
    "wasi:cli/stderr@0.2.0 {get-stderr}",
    "wasi:cli/stdin@0.2.0 {get-stdin}",
    "wasi:cli/stdout@0.2.0 {get-stdout}",
    "wasi:cli/terminal-stdout@0.2.0 {get-terminal-stdout}",
    "wasi:clocks/monotonic-clock@0.2.0",
    "wasi:clocks/wall-clock@0.2.3 {now}",
    "wasi:filesystem/preopens@0.2.0 {get-directories}",
    "wasi:io/poll@0.2.0",
    "wasi:io/streams@0.2.0",
    "wasi:random/insecure-seed@0.2.0 {insecure-seed}",
    "wasi:random/insecure@0.2.0",
    "wasi:random/random@0.2.0",
    "wasi:sockets/instance-network@0.2.0 {instance-network}",
    "wasi:sockets/network@0.2.0",
];

/// An engine as another host has it, which compiles for itself.
fn engine(allowed: &[&str]) -> Engine {
    let names: BTreeSet<_> = allowed.iter().map(|name| (*name).to_owned()).collect();
    let wasi = WasiPolicy::Modules(names);
    Engine::new(EngineOptions { max_instances: 16, wasi, ..EngineOptions::default() }).unwrap()
}

fn probe() -> Shard {
    let engine = engine(&["wasi-probe"]);
    let module = engine.load(&wasm("wasi-probe")).unwrap();
    let aggregate_type = module.aggregate_types().next().unwrap().clone();
    Shard { instances: Instances::new(engine), module, aggregate_type }
}

/// What the module sees while it decides, applies and tells its state.
fn seen(shard: &mut Shard, resident: &Resident) -> [Value; 3] {
    let decided = shard.execute(resident, "Look", "{}").remove(0);
    let mut state = shard.state(resident);
    [serde_json::from_str(decided.payload.as_str()).unwrap(), state["applied"].take(), state["told"].take()]
}

#[test]
fn who_isnt_allowed_is_refused_with_every_import_and_the_way_out() {
    for (allowed, name) in [(&[][..], None), (&["another"], Some("wasi-probe".to_owned()))] {
        let error = engine(allowed).load(&wasm("wasi-probe")).unwrap_err();
        let LoadError::WasiNotAllowed { imports, name: told } = &error else { panic!("{error}") };
        assert_eq!(*told, name);
        for import in IMPORTS {
            assert!(imports.iter().any(|found| found.starts_with(import)), "{import}: {imports:#?}");
        }
        assert!(error.to_string().contains("`wasi_modules`"), "{error}");
    }
    engine(&["another", "wasi-probe"]).load(&wasm("wasi-probe")).unwrap();
}

#[test]
fn other_imports_beside_wasi_are_refused_whatever_is_allowed() {
    let mixed = r#"(component
        (import "wasi:clocks/wall-clock@0.2.0" (instance (export "resolution" (func (result u64)))))
        (import "wasi:http/outgoing-handler@0.2.0" (instance (export "handle" (func)))))"#;
    let error = engine(&["wasi-probe"]).load(&wat::parse_str(mixed).unwrap()).unwrap_err();
    let LoadError::ForeignImports(imports) = &error else { panic!("{error}") };
    assert_eq!(imports.len(), 2, "{imports:?}");
}

#[test]
fn a_module_sees_the_same_in_every_call_instance_and_host() {
    let (mut one, mut other) = (probe(), probe());
    let fresh = one.create("t", Placement::Alone);
    let first = seen(&mut one, &fresh);
    assert_eq!([&first[1], &first[2]], [&first[0], &first[0]], "in decide, apply and state");
    let old = other.create("t", Placement::Shared);
    for round in 0..20 {
        // Calls that take much of the random numbers, and such that take none.
        let events = vec![history("Seen", 1, "{}"); round];
        other.instances.apply(&old, &events, FoldMode::Replay).unwrap();
        assert_eq!(seen(&mut other, &old), first, "round {round}");
    }
    let restored = other.instances.state(&old).unwrap();
    let (module, aggregate_type, tenant) =
        (other.module.clone(), other.aggregate_type.clone(), Tenant::new("u").unwrap());
    let restored = other
        .instances
        .restore(&module, &tenant, &aggregate_type, Placement::Shared, 1, restored.as_str().as_bytes())
        .unwrap();
    assert_eq!(seen(&mut other, &restored), first);
}

#[test]
fn there_is_nothing_to_see() {
    let mut shard = probe();
    let resident = shard.create("t", Placement::Shared);
    let [seen, ..] = seen(&mut shard, &resident);
    let expected = json!({
        "wall": [946_684_800, 0], "monotonic": 1_000_000_000, "environment": 0, "arguments": 0, "cwd": false,
        "directories": 0, "terminal": false, "input": "closed", "timers": [true, false],
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(seen[name], *value, "{name}");
    }
    let numbers = seen["numbers"].as_str().unwrap();
    let distinct: BTreeSet<_> = numbers.trim_matches(['(', ')']).split(", ").collect();
    assert_eq!(distinct.len(), 3, "within a call each number is another: {numbers}");
    shard.execute(&resident, "Print", "{}");
}

#[test]
fn what_there_isnt_traps_at_once_and_a_loop_ends_at_its_deadline() {
    let mut shard = probe();
    for (command, words) in [
        ("Sleep", "clocks of a virtual WASI stand still"),
        ("Poll", "clocks of a virtual WASI stand still"),
        ("Connect", "it called wasi:sockets/instance-network instance-network, which"),
        ("Exit", "it called wasi:cli/exit exit, which"),
        ("Gamble", "1099511627776 random bytes"),
    ] {
        let resident = shard.create("t", Placement::Shared);
        let Err(DecideError::Fault(GuestFault::Trapped(why))) = shard.decide(&resident, command, "{}") else {
            panic!("{command}")
        };
        assert!(why.contains(words), "{command}: {why}");
    }
    let resident = shard.create("t", Placement::Shared);
    assert_eq!(shard.decide(&resident, "Spin", "{}"), Err(DecideError::Fault(GuestFault::Deadline)));
}
