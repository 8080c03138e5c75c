//! Modules in execution: the one room that knows WebAssembly.
//!
//! State and events come in as values and leave as values; nothing here waits for anything but a guest. A module is
//! compiled and checked by [`Engine::load`], off the path of commands. A shard owns one [`Instances`], and calls its
//! residents on its own thread: every call is bounded in time, memory and size of the answer.

mod active;
mod aggregate;
mod answer;
mod compiled_cache;
mod contract;
mod descriptor_check;
mod engine;
mod fault;
mod guest;
mod imports;
mod instance;
mod instances;
mod load;
mod metrics;
mod module;
mod values;
mod wasi;

pub use active::{ActiveModules, Generation};
pub use aggregate::{AggregateInfo, CommandCheck};
pub use engine::{Engine, EngineError, EngineOptions, Limits};
pub use fault::GuestFault;
pub use instances::{InstanceStats, Instances, Placement, Resident};
pub use load::LoadError;
pub(crate) use metrics::METRICS;
pub use module::Module;
pub use values::{
    ApplyError, DecideContext, DecideError, Decided, Decision, EventRefusal, FoldEvent, FoldMode, RefusedEvent,
    RestoreError, UpcastEvent,
};
pub use wasi::WasiPolicy;
