//! From a file's bytes to a module that may serve: every check that can be made before the first command.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use super::aggregate::AggregateInfo;
use super::contract::{self, Prepared, Unbound};
use super::engine::Engine;
use super::fault::GuestFault;
use super::imports::Foreign;
use super::instance::Instance;
use super::module::{Code, Module};
use super::{descriptor_check, imports};
use crate::model::{AggregateType, Digest, ModuleDescriptor};

/// How a component begins, and how a core module does.
const COMPONENT_HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
const CORE_MODULE_HEADER: &[u8] = b"\0asm\x01\0\0\0";

/// Why a file is no module that may serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It's native code, which would run unchecked.
    #[error(
        "this is precompiled native code, which is never taken from outside; give the .wasm component it came from"
    )]
    Precompiled,
    /// It's a core module.
    #[error(
        "this is a core WebAssembly module, not a component; run `everfold module componentize FILE --out COMPONENT`"
    )]
    CoreModule,
    /// It's no WebAssembly at all.
    #[error("this is not a WebAssembly component: it doesn't begin as one")]
    NotWasm,
    /// It's damaged, cut short, or needs what the host doesn't allow.
    #[error("the component can't be compiled; it may be damaged or cut short: {0}")]
    NotCompiled(String),
    /// It reaches for more than its arguments.
    #[error(
        "the module imports what this host doesn't provide: {}; a domain module imports nothing but \
         everfold:domain/log: build it for a target without WASI, such as wasm32-unknown-unknown", .0.join("; ")
    )]
    ForeignImports(Vec<String>),
    /// It imports WASI, and isn't allowed a virtual one.
    #[error(
        "the module imports WASI, which this host gives to no module that isn't allowed it: {}; build it for a target \
         without WASI, such as wasm32-unknown-unknown, or add {} to the setting `wasi_modules`: it then gets a virtual \
         WASI, without files and network, whose clocks and random numbers never change",
        imports.join("; "), name.as_ref().map_or_else(|| "its name".to_owned(), |name| format!("{name:?}"))
    )]
    WasiNotAllowed {
        /// What it imports.
        imports: Vec<String>,
        /// Its name, where it was asked.
        name: Option<String>,
    },
    /// It's a component, but no domain module.
    #[error(
        "the component exports no everfold:domain/aggregates, so it is no domain module; build it with the guest SDK"
    )]
    NoContract,
    /// It was built against a contract that this host doesn't know.
    #[error(
        "the module exports version {found:?} of everfold:domain; this host knows {known}: rebuild the module with the \
         matching guest SDK, or update the host"
    )]
    UnknownContract {
        /// What it exports.
        found: String,
        /// What the host knows.
        known: &'static str,
    },
    /// It names a known contract, and has another shape.
    #[error(
        "the module doesn't have the shape of the contract version that it names; rebuild it with the guest SDK: {0}"
    )]
    ContractMismatch(String),
    /// It says of itself what can't be.
    #[error("the module's description is wrong: {0}")]
    Description(String),
    /// It failed while it was tried.
    #[error("the module failed on {during}: {fault}")]
    Fault {
        /// What it was asked.
        during: String,
        /// How it failed.
        fault: GuestFault,
    },
    /// It can't take back the state that it answered.
    #[error("aggregate type {aggregate_type:?} doesn't take back the state it answered itself: {problem}")]
    StateLost {
        /// The aggregate type.
        aggregate_type: String,
        /// What went wrong.
        problem: String,
    },
}

impl Engine {
    /// Compiles a component, or takes it from the cache, checks it and tries it. Takes up to seconds: never call it
    /// on the path of commands.
    ///
    /// # Errors
    /// A [`LoadError`] that says what is wrong with the module and what to do.
    pub fn load(&self, wasm: &[u8]) -> Result<Arc<Module>, LoadError> {
        check_format(wasm)?;
        let digest = Self::digest(wasm);
        let component = self.compile(wasm, digest)?;
        let wasi = match imports::foreign(&self.wasm, &component) {
            None => None,
            Some(Foreign { imports, are_virtual: false }) => return Err(LoadError::ForeignImports(imports)),
            Some(Foreign { imports, .. }) if !self.shared.wasi.allows_any() => {
                return Err(LoadError::WasiNotAllowed { imports, name: None });
            }
            Some(Foreign { imports, .. }) => Some(imports),
        };
        let prepared = contract::prepare(&self.wasm, &component, wasi.is_some()).map_err(unbound)?;
        let (descriptor, aggregates, code) = self.try_out(prepared, wasi)?;
        Ok(Arc::new(Module { digest, descriptor, aggregates, code }))
    }

    /// The digest of a component's bytes.
    #[must_use]
    pub fn digest(wasm: &[u8]) -> Digest {
        Digest(Sha256::digest(wasm).into())
    }

    fn compile(&self, wasm: &[u8], digest: Digest) -> Result<Component, LoadError> {
        let cache = self.shared.cache.as_ref();
        if let Some(component) = cache.and_then(|cache| cache.get(&self.wasm, digest)) {
            return Ok(component);
        }
        let component =
            Component::new(&self.wasm, wasm).map_err(|error| LoadError::NotCompiled(format!("{error:#}")))?;
        if let Some(cache) = cache {
            cache.put(digest, &component);
        }
        Ok(component)
    }

    /// Asks the module what it is, and makes one aggregate of each type. `wasi` is what it imports of WASI: only its own
    /// words tell whether it may, and a virtual WASI does no harm until then.
    fn try_out(&self, prepared: Box<dyn Prepared>, wasi: Option<Vec<String>>) -> Result<TriedOut, LoadError> {
        let mut code = Code { prepared, label: "(loading)".into() };
        // What the trial before this one left behind is of no interest.
        let trial = self.shared.trial.lock().unwrap_or_else(PoisonError::into_inner);
        let mut instance = Instance::start_on_trial(self, &code, &trial).map_err(fault_on("its start"))?;
        let deadline = self.limits().apply_deadline;
        let mut describe =
            || instance.call(deadline, false, |exports, store| exports.describe(store)).map_err(fault_on("`describe`"));
        let descriptor = describe()?;
        if let Some(imports) = wasi.filter(|_| !self.shared.wasi.allows(&descriptor.name)) {
            return Err(LoadError::WasiNotAllowed { imports, name: Some(descriptor.name) });
        }
        if describe()? != descriptor {
            return Err(LoadError::Description("`describe` answers differently on each call".to_owned()));
        }
        let aggregates = descriptor_check::aggregates(&descriptor).map_err(LoadError::Description)?;
        for aggregate in aggregates.values() {
            self.try_aggregate(&mut instance, aggregate)?;
        }
        code.label = descriptor.name.as_str().into();
        Ok((descriptor, aggregates, code))
    }

    /// A new aggregate's state must survive being stored.
    fn try_aggregate(&self, instance: &mut Instance, aggregate: &AggregateInfo) -> Result<(), LoadError> {
        let name = aggregate.aggregate_type().as_str();
        let state_version = aggregate.descriptor().state_version;
        let on = |function: &str| fault_on(format!("`{function}` of aggregate type {name:?}"));
        let lost = |problem: String| LoadError::StateLost { aggregate_type: name.to_owned(), problem };
        let deadline = self.limits().apply_deadline;

        let made =
            instance.call(deadline, false, |exports, store| exports.create(store, name)).map_err(on("create"))?;
        let made =
            made.map_err(|why| LoadError::Description(format!("aggregate type {name:?} can't be created: {why:?}")))?;
        let state = instance.call(deadline, false, |exports, store| exports.state(store, made)).map_err(on("state"))?;
        super::answer::state(&state).map_err(on("state"))?;
        let restored = instance
            .call(deadline, false, |exports, store| exports.restore(store, name, state_version, &state))
            .map_err(on("restore"))?
            .map_err(|why| lost(format!("{why:?}")))?;
        let again =
            instance.call(deadline, false, |exports, store| exports.state(store, restored)).map_err(on("state"))?;
        if again != state { Err(lost("the restored state differs".to_owned())) } else { Ok(()) }
    }
}

type TriedOut = (ModuleDescriptor, HashMap<AggregateType, Arc<AggregateInfo>>, Code);

fn check_format(wasm: &[u8]) -> Result<(), LoadError> {
    if wasmtime::Engine::detect_precompiled(wasm).is_some() {
        Err(LoadError::Precompiled)
    } else if wasm.starts_with(CORE_MODULE_HEADER) {
        Err(LoadError::CoreModule)
    } else if !wasm.starts_with(COMPONENT_HEADER) {
        Err(LoadError::NotWasm)
    } else {
        Ok(())
    }
}

fn fault_on(during: impl Into<String>) -> impl FnOnce(GuestFault) -> LoadError {
    let during = during.into();
    move |fault| LoadError::Fault { during, fault }
}

fn unbound(unbound: Unbound) -> LoadError {
    match unbound {
        Unbound::NoContract => LoadError::NoContract,
        Unbound::UnknownVersion { found, known } => LoadError::UnknownContract { found, known },
        Unbound::Mismatch(error) => LoadError::ContractMismatch(format!("{error:#}")),
    }
}
