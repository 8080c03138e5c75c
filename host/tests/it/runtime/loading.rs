//! What is loaded, and what is refused with which words.

use std::fs;

use everfold::model::{AggregateType, Json, Tenant};
use everfold::runtime::{CommandCheck, Engine, EngineOptions, GuestFault, Instances, LoadError, Placement};

use crate::support::guests;

fn refusal(wasm: &[u8]) -> LoadError {
    guests::engine().load(wasm).unwrap_err()
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn a_module_tells_what_it_is() {
    let wasm = guests::wasm("counter");
    let module = guests::engine().load(&wasm).unwrap();
    assert_eq!(module.descriptor().name, "counter");
    assert_eq!(module.digest(), Engine::digest(&wasm));
    let counter = module.aggregate(&AggregateType::new("counter").unwrap()).unwrap();
    assert_eq!(counter.descriptor().snapshot_interval, Some(10));
    assert!(counter.declares("Added", 1) && counter.declares("Noted", 2));
    assert!(counter.reads("Noted", 1) && !counter.declares("Noted", 1));
    assert!(module.aggregate(&AggregateType::new("account").unwrap()).is_none());
}

#[test]
fn payloads_are_checked_against_the_modules_schemas() {
    let module = guests::module("bank-account");
    let account = module.aggregate(&AggregateType::new("account").unwrap()).unwrap();
    let check = |payload: &str| account.check_command("Deposit", &Json::parse(payload.as_bytes()).unwrap());
    assert_eq!(check(r#"{"amount": 5}"#), Ok(()));
    let Err(CommandCheck::Invalid { pointer, message }) = check(r#"{"amount": -5}"#) else { panic!("-5 fits") };
    assert_eq!(pointer, "/amount", "{message}");
    let unknown = account.check_command("Burn", &Json::parse(b"{}").unwrap());
    assert_eq!(unknown, Err(CommandCheck::Unknown));
}

#[test]
fn what_is_no_component_is_refused() {
    assert_eq!(refusal(b""), LoadError::NotWasm);
    assert_eq!(refusal(b"PK\x03\x04 something else"), LoadError::NotWasm);
    assert_eq!(refusal(&component("(module)")), LoadError::CoreModule);
    assert_eq!(refusal(&component("(component)")), LoadError::NoContract);
    let wasm = guests::wasm("counter");
    for cut in [9, 1000, wasm.len() - 1] {
        let error = refusal(&wasm[..cut]);
        assert!(matches!(error, LoadError::NotCompiled(_) | LoadError::NoContract), "{cut} bytes: {error}");
    }
}

#[test]
fn native_code_is_never_taken() {
    let mut config = wasmtime::Config::new();
    let engine = wasmtime::Engine::new(config.wasm_component_model(true)).unwrap();
    let native = engine.precompile_component(&component("(component)")).unwrap();
    assert_eq!(refusal(&native), LoadError::Precompiled);
}

#[test]
fn every_foreign_import_is_named() {
    let error = refusal(&component(
        r#"(component
            (import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func (result u64)))))
            (import "acme:net/http@1.2.0" (instance (export "get" (func)) (export "put" (func))))
            (import "everfold:domain/log@0.1.0" (instance))
            (import "acme:types/shapes@1.0.0" (instance (type $size u32) (export "size" (type (eq $size)))))
            (import "ask" (func)))"#,
    ));
    let foreign = ["wasi:clocks/wall-clock@0.2.0 {now}", "acme:net/http@1.2.0 {get, put}", "ask"];
    assert_eq!(error, LoadError::ForeignImports(foreign.map(str::to_owned).to_vec()));
}

#[test]
fn an_unknown_contract_is_named() {
    let exporting = |version: &str| {
        component(&format!(
            r#"(component (instance $i) (export "everfold:domain/aggregates@{version}" (instance $i)))"#
        ))
    };
    let error = refusal(&exporting("0.9.0"));
    assert_eq!(error, LoadError::UnknownContract { found: "0.9.0".to_owned(), known: "0.1.x" });
    assert!(matches!(refusal(&exporting("0.1.0")), LoadError::ContractMismatch(_)), "it has no functions");
}

#[test]
fn compiled_code_is_kept_and_a_damaged_entry_is_compiled_anew() {
    let dir = tempfile::tempdir().unwrap();
    let cache_dir = dir.path().join("compiled");
    let options = EngineOptions { cache_dir: Some(cache_dir.clone()), max_instances: 4, ..EngineOptions::default() };
    let wasm = guests::wasm("unruly");
    let load = || Engine::new(options.clone()).unwrap().load(&wasm).unwrap().descriptor().clone();
    let entries = || fs::read_dir(&cache_dir).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();

    let compiled = load();
    let [entry] = &entries()[..] else { panic!("one entry") };
    let sound = fs::read(entry).unwrap();
    assert_eq!(load(), compiled);
    assert_eq!(fs::read(entry).unwrap(), sound, "a sound entry is used as it is");
    fs::write(entry, &sound[..sound.len() / 2]).unwrap();
    assert_eq!(load(), compiled);
    assert_eq!(entries().len(), 1);
    assert_eq!(fs::read(entry).unwrap().len(), sound.len(), "the damaged one was replaced");
}

#[test]
fn a_module_is_tried_out_though_every_place_is_taken() {
    let engine = Engine::new(EngineOptions { max_instances: 2, ..EngineOptions::default() }).unwrap();
    let module = engine.load(&guests::wasm("counter")).unwrap();
    let mut instances = Instances::new(engine.clone());
    let (tenants, counter) = (["a", "b", "c"], AggregateType::new("counter").unwrap());
    for tenant in tenants {
        instances.create(&module, &Tenant::new(tenant).unwrap(), &counter, Placement::Shared).unwrap();
    }
    assert_eq!(instances.stats().instances, 2, "no more than there are places for");
    let mut others = Instances::new(engine.clone());
    let created = others.create(&module, &Tenant::new("a").unwrap(), &counter, Placement::Shared);
    assert!(matches!(created, Err(GuestFault::NoCapacity(_))), "{created:?}");
    engine.load(&guests::wasm("counter-v2")).unwrap();
    drop(instances);
    others.create(&module, &Tenant::new("a").unwrap(), &counter, Placement::Shared).unwrap();
}
