//! A shard's instances and the aggregates that live in them.
//!
//! One instance per module and tenant holds many aggregates, so tenants share no guest memory. An instance is a
//! cache: it may be gone at any call, and its residents are folded again by their owner.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use wasmtime::Store;
use wasmtime::component::ResourceAny;

use super::aggregate::AggregateInfo;
use super::answer;
use super::contract::{Exports, NotMade, Request};
use super::engine::Engine;
use super::fault::GuestFault;
use super::guest::Guest;
use super::instance::Instance;
use super::metrics::{Call, Footprint, count_fault};
use super::module::Module;
use super::values::{
    ApplyError, DecideContext, DecideError, Decision, FoldEvent, FoldMode, RefusedEvent, RestoreError, UpcastEvent,
};
use crate::model::{AggregateType, Digest, Json, Tenant};

/// Most events of one `apply`: hundreds make the price of a call vanish, and keep its deadline meaningful.
const CHUNK_EVENTS: usize = 500;
/// Most payload of one `apply`, in bytes, unless a single event has more.
const CHUNK_BYTES: usize = 1 << 20;

/// Numbers of instances, in the whole process: a resident of one shard never fits an instance of another.
static NEXT_INSTANCE: AtomicU64 = AtomicU64::new(0);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct InstanceId(u64);

/// An aggregate in an instance. Hand it back to [`Instances::release`]; nothing else frees its memory.
#[derive(Debug)]
pub struct Resident {
    instance: InstanceId,
    handle: ResourceAny,
    aggregate: Arc<AggregateInfo>,
}

impl Resident {
    /// Its aggregate type, as its module describes it.
    #[must_use]
    pub fn aggregate(&self) -> &Arc<AggregateInfo> {
        &self.aggregate
    }
}

/// Where an aggregate is to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// With the other aggregates of its module and tenant.
    Shared,
    /// In a fresh instance of its own, dropped on release: for the second try after a trap, whose outcome then depends
    /// on nothing else.
    Alone,
}

/// Instances of one shard, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InstanceStats {
    /// Instances.
    pub instances: usize,
    /// Aggregates in them.
    pub residents: usize,
    /// Memory that they hold, in bytes.
    pub memory_bytes: usize,
}

type SharedKey = (Digest, Tenant);

struct Slot {
    instance: Instance,
    key: SharedKey,
    placement: Placement,
    residents: usize,
    last_used: u64,
    footprint: Footprint,
    /// Names the module in the metrics.
    module: Arc<str>,
}

impl Slot {
    fn measure(&mut self) {
        self.footprint.update(self.residents, self.instance.memory_bytes());
    }
}

/// The instances of one shard. Calls are synchronous, and bounded by the engine's limits.
pub struct Instances {
    engine: Engine,
    /// A handful, found several times in each command: comparing a few numbers is cheaper than hashing one.
    slots: BTreeMap<InstanceId, Slot>,
    /// The instance that takes new residents.
    open: HashMap<SharedKey, InstanceId>,
    /// The instance before it, which takes none: it serves those it has until the next one is full too.
    full: HashMap<SharedKey, InstanceId>,
    clock: u64,
}

impl Instances {
    /// No instances yet.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { engine, slots: BTreeMap::new(), open: HashMap::new(), full: HashMap::new(), clock: 0 }
    }

    /// Makes the aggregate of a stream without events.
    ///
    /// # Errors
    /// The guest failed, or there is no place for it.
    pub fn create(
        &mut self,
        module: &Arc<Module>,
        tenant: &Tenant,
        aggregate_type: &AggregateType,
        placement: Placement,
    ) -> Result<Resident, GuestFault> {
        let aggregate = declared(module, aggregate_type)?;
        let name = aggregate_type.as_str();
        let made = self
            .make(Call::Create, module, tenant, aggregate, placement, |exports, store| exports.create(store, name))?;
        made.map_err(|why| GuestFault::AnswerInvalid(format!("aggregate type {name:?} can't be created: {why:?}")))
    }

    /// Makes an aggregate from the state that [`state`](Self::state) once answered.
    ///
    /// # Errors
    /// The state can't be used by this module, or the guest failed.
    pub fn restore(
        &mut self,
        module: &Arc<Module>,
        tenant: &Tenant,
        aggregate_type: &AggregateType,
        placement: Placement,
        state_version: u32,
        state: &[u8],
    ) -> Result<Resident, RestoreError> {
        let aggregate = declared(module, aggregate_type)?;
        if aggregate.descriptor().state_version != state_version {
            return Err(RestoreError::OtherStateVersion);
        }
        let name = aggregate_type.as_str();
        let made = self.make(Call::Restore, module, tenant, aggregate, placement, |exports, store| {
            exports.restore(store, name, state_version, state)
        })?;
        made.map_err(|why| match why {
            NotMade::OtherStateVersion => RestoreError::OtherStateVersion,
            NotMade::InvalidState(why) => RestoreError::InvalidState(why),
            NotMade::UnknownAggregateType => {
                GuestFault::AnswerInvalid(format!("it declares aggregate type {name:?}, and doesn't know it")).into()
            }
        })
    }

    /// Applies events, in chunks that each have their own deadline.
    ///
    /// # Errors
    /// The module can't take one of the events (its index is that in `events`), or the guest failed. The resident is
    /// then of no further use, and must be released.
    pub fn apply(&mut self, resident: &Resident, events: &[FoldEvent<'_>], mode: FoldMode) -> Result<(), ApplyError> {
        let mut done = 0;
        while done < events.len() {
            let chunk = chunk(&events[done..]);
            let handle = resident.handle;
            let applied =
                self.call(resident.instance, Call::Apply, mode, |exports, store| exports.apply(store, handle, chunk))?;
            applied.map_err(|refused| RefusedEvent { index: done + refused.index, ..refused })?;
            done += chunk.len();
        }
        Ok(())
    }

    /// Decides a command. The aggregate stays as it is.
    ///
    /// # Errors
    /// The command or its payload isn't one, or the guest failed. A wrong answer costs the resident nothing.
    pub fn decide(
        &mut self,
        resident: &Resident,
        command: &str,
        payload: &str,
        context: &DecideContext<'_>,
    ) -> Result<Decision, DecideError> {
        let tenant = self.slots.get(&resident.instance).ok_or(GuestFault::Gone)?.key.1.clone();
        let request = Request { command, payload, tenant: tenant.as_str(), context };
        let handle = resident.handle;
        let raw = self.call(resident.instance, Call::Decide, FoldMode::Live, |exports, store| {
            exports.decide(store, handle, &request)
        })?;
        answer::decision(raw, &resident.aggregate, self.engine.limits()).inspect_err(|error| {
            if let (DecideError::Fault(fault), Some(slot)) = (error, self.slots.get(&resident.instance)) {
                count_fault(&slot.module, fault);
            }
        })
    }

    /// The aggregate's state, as the module writes it.
    ///
    /// # Errors
    /// The guest failed, or answered no JSON.
    pub fn state(&mut self, resident: &Resident) -> Result<Json, GuestFault> {
        let handle = resident.handle;
        let bytes =
            self.call(resident.instance, Call::State, FoldMode::Replay, |exports, store| exports.state(store, handle))?;
        answer::state(&bytes)
    }

    /// Brings events of one aggregate type into their newest form: for each, what it now stands for.
    ///
    /// # Errors
    /// The module can't take one of the events (its index is that in `events`), or the guest failed.
    pub fn upcast(
        &mut self,
        module: &Arc<Module>,
        tenant: &Tenant,
        aggregate_type: &AggregateType,
        events: &[FoldEvent<'_>],
    ) -> Result<Vec<Vec<UpcastEvent>>, ApplyError> {
        let aggregate = declared(module, aggregate_type)?;
        let mut upcast = Vec::with_capacity(events.len());
        while upcast.len() < events.len() {
            let chunk = chunk(&events[upcast.len()..]);
            let id = self.place(module, tenant, Placement::Shared)?;
            let raw = self.call(id, Call::Upcast, FoldMode::Replay, |exports, store| {
                exports.upcast(store, aggregate_type.as_str(), chunk)
            })?;
            let raw = raw.map_err(|refused| RefusedEvent { index: upcast.len() + refused.index, ..refused })?;
            upcast.extend(answer::upcast(raw, chunk, &aggregate, self.engine.limits())?);
        }
        Ok(upcast)
    }

    /// Frees an aggregate.
    pub fn release(&mut self, resident: Resident) {
        let Some(slot) = self.slots.get_mut(&resident.instance) else { return };
        slot.residents -= 1;
        let last_of_full = slot.residents == 0 && self.full.get(&slot.key) == Some(&resident.instance);
        if slot.placement == Placement::Alone || last_of_full {
            self.discard(resident.instance);
            return;
        }
        // The guest's destructor runs; if it fails, the call has discarded the instance.
        let _ =
            self.call(resident.instance, Call::Drop, FoldMode::Replay, |_, store| resident.handle.resource_drop(store));
    }

    /// Drops the instances of modules that are no longer needed.
    pub fn retain_modules(&mut self, needed: impl Fn(Digest) -> bool) {
        let unneeded: Vec<_> = self.slots.iter().filter(|(_, slot)| !needed(slot.key.0)).map(|(id, _)| *id).collect();
        for id in unneeded {
            self.discard(id);
        }
    }

    /// Counts the instances.
    #[must_use]
    pub fn stats(&self) -> InstanceStats {
        self.slots.values().fold(InstanceStats::default(), |sum, slot| InstanceStats {
            instances: sum.instances + 1,
            residents: sum.residents + slot.residents,
            memory_bytes: sum.memory_bytes + slot.instance.memory_bytes(),
        })
    }

    /// Makes a resident by one call into the instance where it is to live.
    fn make(
        &mut self,
        call: Call,
        module: &Arc<Module>,
        tenant: &Tenant,
        aggregate: Arc<AggregateInfo>,
        placement: Placement,
        make: impl FnOnce(&dyn Exports, &mut Store<Guest>) -> wasmtime::Result<Result<ResourceAny, NotMade>>,
    ) -> Result<Result<Resident, NotMade>, GuestFault> {
        let instance = self.place(module, tenant, placement)?;
        let made = self.call(instance, call, FoldMode::Replay, make)?;
        match (&made, self.slots.get_mut(&instance)) {
            (Ok(_), Some(slot)) => {
                slot.residents += 1;
                slot.measure();
            }
            (Err(_), _) if placement == Placement::Alone => self.discard(instance),
            _ => {}
        }
        Ok(made.map(|handle| Resident { instance, handle, aggregate }))
    }

    /// The instance for a new resident.
    fn place(&mut self, module: &Arc<Module>, tenant: &Tenant, placement: Placement) -> Result<InstanceId, GuestFault> {
        let key = (module.digest(), tenant.clone());
        if placement == Placement::Shared
            && let Some(id) = self.open.get(&key).copied()
        {
            if !self.is_full(id) {
                return Ok(id);
            }
            self.open.remove(&key);
            if let Some(before) = self.full.insert(key.clone(), id) {
                self.discard(before);
            }
        }
        let instance = self.start(module)?;
        let id = InstanceId(NEXT_INSTANCE.fetch_add(1, Ordering::Relaxed));
        if placement == Placement::Shared {
            self.open.insert(key.clone(), id);
        }
        let (footprint, module) = (Footprint::new(), module.code.label.clone());
        let slot = Slot { instance, key, placement, residents: 0, last_used: self.clock, footprint, module };
        self.slots.insert(id, slot);
        Ok(id)
    }

    fn is_full(&self, id: InstanceId) -> bool {
        let limits = self.engine.limits();
        self.slots.get(&id).is_some_and(|slot| {
            slot.instance.memory_bytes() > limits.high_water_bytes || slot.residents >= limits.residents_per_instance
        })
    }

    /// Starts an instance; where there is no place, that of this shard's least recently used one is taken.
    fn start(&mut self, module: &Module) -> Result<Instance, GuestFault> {
        loop {
            match Instance::start(&self.engine, &module.code) {
                Err(GuestFault::NoCapacity(why)) => {
                    let idle = self.slots.iter().filter(|(_, slot)| slot.placement == Placement::Shared);
                    let Some(id) = idle.min_by_key(|(_, slot)| slot.last_used).map(|(id, _)| *id) else {
                        count_fault(&module.code.label, &GuestFault::NoCapacity(why.clone()));
                        return Err(GuestFault::NoCapacity(why));
                    };
                    self.discard(id);
                }
                Err(fault) => {
                    count_fault(&module.code.label, &fault);
                    return Err(fault);
                }
                started => return started,
            }
        }
    }

    /// Makes one call; a fault costs the instance.
    fn call<T>(
        &mut self,
        id: InstanceId,
        what: Call,
        mode: FoldMode,
        call: impl FnOnce(&dyn Exports, &mut Store<Guest>) -> wasmtime::Result<T>,
    ) -> Result<T, GuestFault> {
        self.clock += 1;
        let slot = self.slots.get_mut(&id).ok_or(GuestFault::Gone)?;
        slot.last_used = self.clock;
        let limits = self.engine.limits();
        let deadline = if what.takes_batches() { limits.apply_deadline } else { limits.decide_deadline };
        let begun = Instant::now();
        let answer = slot.instance.call(deadline, mode == FoldMode::Replay, call);
        what.took(begun.elapsed());
        slot.measure();
        if let Err(fault) = &answer {
            count_fault(&slot.module, fault);
            self.discard(id);
        }
        answer
    }

    fn discard(&mut self, id: InstanceId) {
        let Some(slot) = self.slots.remove(&id) else { return };
        for index in [&mut self.open, &mut self.full] {
            if index.get(&slot.key) == Some(&id) {
                index.remove(&slot.key);
            }
        }
    }
}

/// What the module says of an aggregate type that it was routed for.
fn declared(module: &Module, aggregate_type: &AggregateType) -> Result<Arc<AggregateInfo>, GuestFault> {
    module.aggregate(aggregate_type).cloned().ok_or_else(|| {
        GuestFault::AnswerInvalid(format!("the module has no aggregate type {:?}", aggregate_type.as_str()))
    })
}

/// The first events of a list, as many as one call takes; at least one.
fn chunk<'a, 'e>(events: &'a [FoldEvent<'e>]) -> &'a [FoldEvent<'e>] {
    let mut bytes = 0;
    let fits = events.iter().take(CHUNK_EVENTS).take_while(|event| {
        bytes += event.payload.len();
        bytes <= CHUNK_BYTES
    });
    &events[..fits.count().max(1).min(events.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_bounded_in_events_and_bytes() {
        let event = |payload| FoldEvent { event_type: "A", schema_version: 1, version: 0, occurred_at: 0, payload };
        let (small, large) = ("x".repeat(1000), "x".repeat(CHUNK_BYTES + 1));
        assert_eq!(chunk(&[]).len(), 0);
        assert_eq!(chunk(&vec![event("1"); CHUNK_EVENTS + 1]).len(), CHUNK_EVENTS);
        assert_eq!(chunk(&[event(&small), event(&large)]).len(), 1);
        assert_eq!(chunk(&[event(&large), event(&small)]).len(), 1, "a large event goes alone");
    }

    #[test]
    fn a_shard_can_be_moved_to_its_thread() {
        fn is_send<T: Send>() {}
        is_send::<Instances>();
        is_send::<Resident>();
    }
}
