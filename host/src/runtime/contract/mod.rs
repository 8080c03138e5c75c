//! The released versions of `everfold:domain`, each bound in a file of its own, behind one pair of traits.
//!
//! A later version is one more file here and one more arm in [`prepare`].

mod v0_1_0;

use semver::Version;
use wasmtime::Store;
use wasmtime::component::{Component, Linker, ResourceAny};

use super::guest::Guest;
use super::values::{DecideContext, FoldEvent, RefusedEvent};
use super::wasi;
use crate::model::ModuleDescriptor;

/// The interface that makes a component a domain module, without its version.
const MODULE_INTERFACE: &str = "everfold:domain/aggregates";
/// The interface that a module may import, without its version.
const LOG_INTERFACE: &str = "everfold:domain/log";
/// The contract versions that this host runs, for people.
const KNOWN_VERSIONS: &str = "0.1.x";

/// A module's code, bound to its version of the contract.
pub(super) trait Prepared: Send + Sync {
    /// A new instance in an empty store.
    fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Box<dyn Exports>>;
}

/// The functions of one instance. An outer error means that the guest failed, and that its store is of no more use.
pub(super) trait Exports: Send {
    fn describe(&self, store: &mut Store<Guest>) -> wasmtime::Result<ModuleDescriptor>;

    fn create(&self, store: &mut Store<Guest>, aggregate_type: &str) -> wasmtime::Result<Result<ResourceAny, NotMade>>;

    fn restore(
        &self,
        store: &mut Store<Guest>,
        aggregate_type: &str,
        state_version: u32,
        state: &[u8],
    ) -> wasmtime::Result<Result<ResourceAny, NotMade>>;

    fn apply(
        &self,
        store: &mut Store<Guest>,
        aggregate: ResourceAny,
        events: &[FoldEvent<'_>],
    ) -> wasmtime::Result<Result<(), RefusedEvent>>;

    fn decide(
        &self,
        store: &mut Store<Guest>,
        aggregate: ResourceAny,
        request: &Request<'_>,
    ) -> wasmtime::Result<RawDecision>;

    fn state(&self, store: &mut Store<Guest>, aggregate: ResourceAny) -> wasmtime::Result<Vec<u8>>;

    fn upcast(
        &self,
        store: &mut Store<Guest>,
        aggregate_type: &str,
        events: &[FoldEvent<'_>],
    ) -> wasmtime::Result<Result<Vec<Vec<RawEvent>>, RefusedEvent>>;
}

/// A command with all that its decision may depend on.
pub(super) struct Request<'a> {
    pub(super) command: &'a str,
    pub(super) payload: &'a str,
    pub(super) tenant: &'a str,
    pub(super) context: &'a DecideContext<'a>,
}

/// Why a guest made no aggregate.
#[derive(Debug)]
pub(super) enum NotMade {
    UnknownAggregateType,
    OtherStateVersion,
    InvalidState(String),
}

/// What `decide` answered, unchecked.
pub(super) enum RawDecision {
    Events(Vec<RawNewEvent>),
    Rejected { code: String, message: String, details: Option<Vec<u8>> },
    Invalid { message: String, pointer: String },
    UnknownCommand,
}

/// An event that `decide` answered, unchecked.
pub(super) struct RawNewEvent {
    pub(super) event_type: String,
    pub(super) schema_version: u32,
    pub(super) payload: Vec<u8>,
}

/// An event that `upcast` answered, unchecked.
pub(super) struct RawEvent {
    pub(super) event: RawNewEvent,
    pub(super) version: i64,
    pub(super) occurred_at: i64,
}

/// A component that is bound to no version of the contract.
#[derive(Debug)]
pub(super) enum Unbound {
    /// It exports no `everfold:domain/aggregates`.
    NoContract,
    /// It exports one that this host doesn't know.
    UnknownVersion { found: String, known: &'static str },
    /// It exports a known one in another shape.
    Mismatch(wasmtime::Error),
}

/// Whether a module may import this interface, given as `namespace:package/interface@version`.
pub(super) fn may_import(interface: &str) -> bool {
    version_of(interface, LOG_INTERFACE).and_then(|version| Version::parse(version).ok()).is_some_and(is_0_1)
}

/// Binds a component to the version of the contract that it exports, and to a virtual WASI where it may have one.
pub(super) fn prepare(
    engine: &wasmtime::Engine,
    component: &Component,
    with_wasi: bool,
) -> Result<Box<dyn Prepared>, Unbound> {
    let ty = component.component_type();
    let found = ty.exports(engine).find_map(|(name, _)| version_of(name, MODULE_INTERFACE).map(str::to_owned));
    let found = found.ok_or(Unbound::NoContract)?;
    match Version::parse(&found) {
        Ok(version) if is_0_1(version.clone()) => {
            let mut linker = Linker::new(engine);
            if with_wasi {
                wasi::link(&mut linker, engine, component).map_err(Unbound::Mismatch)?;
            }
            v0_1_0::prepare(linker, component).map_err(Unbound::Mismatch)
        }
        _ => Err(Unbound::UnknownVersion { found, known: KNOWN_VERSIONS }),
    }
}

/// The version in `name@version`; empty where there is none, `None` where it's another interface.
fn version_of<'a>(interface: &'a str, name: &str) -> Option<&'a str> {
    let rest = interface.strip_prefix(name)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('@') }
}

/// Before 1.0 the minor number is the one that breaks.
fn is_0_1(version: Version) -> bool {
    (version.major, version.minor) == (0, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_log_of_a_known_contract_may_be_imported() {
        assert!(may_import("everfold:domain/log@0.1.0"));
        assert!(may_import("everfold:domain/log@0.1.7"));
        for foreign in [
            "everfold:domain/log",
            "everfold:domain/log@0.2.0",
            "everfold:domain/logs@0.1.0",
            "everfold:domain/aggregates@0.1.0",
            "wasi:clocks/wall-clock@0.2.0",
        ] {
            assert!(!may_import(foreign), "{foreign}");
        }
    }
}
