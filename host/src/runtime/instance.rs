//! One instance of a module in a store of its own: what a trap costs.

use std::sync::MutexGuard;
use std::time::Duration;

use wasmtime::Store;

use super::contract::Exports;
use super::engine::{Engine, Place, ticks};
use super::fault::GuestFault;
use super::guest::Guest;
use super::module::Code;

/// Spare handles above the residents: each call lends one, and a guest may keep some of its own.
const SPARE_HANDLES: usize = 10_000;

/// A running instance. After a fault that isn't an answer it's of no more use.
pub(super) struct Instance {
    store: Store<Guest>,
    exports: Box<dyn Exports>,
    /// Given back after the store is gone. None on trial.
    _place: Option<Place>,
}

impl Instance {
    /// Starts an instance that serves.
    ///
    /// # Errors
    /// The guest's start code failed, or there is no place for another instance.
    pub(super) fn start(engine: &Engine, code: &Code) -> Result<Self, GuestFault> {
        Self::start_at(engine, code, Some(engine.shared.place()?))
    }

    /// Starts an instance to try a module out, at the one place that is kept for that: the caller holds the trial.
    ///
    /// # Errors
    /// The guest's start code failed.
    pub(super) fn start_on_trial(
        engine: &Engine,
        code: &Code,
        _trial: &MutexGuard<'_, ()>,
    ) -> Result<Self, GuestFault> {
        Self::start_at(engine, code, None)
    }

    fn start_at(engine: &Engine, code: &Code, place: Option<Place>) -> Result<Self, GuestFault> {
        let limits = engine.limits();
        let mut store = Store::new(&engine.wasm, Guest::new(code.label.clone(), limits.memory_bytes));
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(limits.answer_bytes);
        store.set_max_component_handles(limits.residents_per_instance + SPARE_HANDLES);
        store.set_epoch_deadline(ticks(limits.apply_deadline));
        match code.prepared.instantiate(&mut store) {
            Ok(exports) => Ok(Self { store, exports, _place: place }),
            Err(error) => Err(GuestFault::of_start(&error, &store.data().log)),
        }
    }

    /// Makes one call. A fault here is the end of the instance.
    pub(super) fn call<T>(
        &mut self,
        deadline: Duration,
        replaying: bool,
        call: impl FnOnce(&dyn Exports, &mut Store<Guest>) -> wasmtime::Result<T>,
    ) -> Result<T, GuestFault> {
        self.store.set_epoch_deadline(ticks(deadline));
        self.store.data_mut().begin_call(replaying);
        call(&*self.exports, &mut self.store).map_err(|error| GuestFault::of_call(&error, &self.store.data().log))
    }

    /// Memory that the instance holds, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().memory.used()
    }
}
