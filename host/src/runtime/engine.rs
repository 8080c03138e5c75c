//! The WebAssembly engine: one for the process, deterministic, every instance bounded.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Acquire};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::compiled_cache::CompiledCache;
use super::fault::GuestFault;
use super::guest::MAX_TABLE_ELEMENTS;
use super::wasi::WasiPolicy;

/// How finely deadlines are measured. An interrupted guest may have had one tick more than its deadline.
const TICK: Duration = Duration::from_millis(10);
/// Core instances and tables of one component: what `wit-component` links takes up to four (shim, fix-ups, adapter).
const CORE_PER_COMPONENT: u32 = 4;
/// Stack of a guest: threads that call guests need well above it.
const MAX_STACK_BYTES: usize = 512 << 10;
/// Memory that a pooled slot keeps when its instance is dropped, so that the next one starts without page faults.
const KEEP_RESIDENT_BYTES: usize = 256 << 10;

/// What guests may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Memory of one instance, in bytes.
    pub memory_bytes: usize,
    /// An instance that holds more memory than this takes no new residents, in bytes. A guest's memory never shrinks.
    pub high_water_bytes: usize,
    /// An instance that holds so many residents takes no more.
    pub residents_per_instance: usize,
    /// Time of one `decide`, `state`, `create` or `restore`.
    pub decide_deadline: Duration,
    /// Time of one `apply` or `upcast` of some hundred events, of an instance's start, and of each call at loading.
    pub apply_deadline: Duration,
    /// Largest answer to one call, in bytes.
    pub answer_bytes: usize,
    /// Most events of one decision.
    pub decision_events: usize,
    /// Largest payload of one event, in bytes.
    pub payload_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            high_water_bytes: 48 << 20,
            // The engine traps beyond 100,000 handles; a call lends one more.
            residents_per_instance: 40_000,
            // Decisions take microseconds: this is for a guest that loops, and leaves room for a busy machine.
            decide_deadline: Duration::from_millis(500),
            apply_deadline: Duration::from_secs(2),
            answer_bytes: 16 << 20,
            decision_events: 1000,
            payload_bytes: 1 << 20,
        }
    }
}

/// How to make an [`Engine`].
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Where compiled code is kept: a directory of the host's own, made with mode 0700. Without one every start
    /// compiles.
    pub cache_dir: Option<PathBuf>,
    /// What guests may use.
    pub limits: Limits,
    /// Which modules are given a virtual WASI.
    pub wasi: WasiPolicy,
    /// Most instances that serve at one time, over all shards, tenants and modules. Each reserves 4 GiB of address space, not of
    /// memory.
    pub max_instances: u32,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { cache_dir: None, limits: Limits::default(), wasi: WasiPolicy::default(), max_instances: 512 }
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The directory for compiled code can't be used.
    #[error("the directory {} for compiled modules can't be used: {problem}", path.display())]
    CacheDirectory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The machine refuses what the engine needs.
    #[error(
        "the WebAssembly engine can't start with places for {max_instances} instances, lower their number: {problem}"
    )]
    Start {
        /// The number asked for.
        max_instances: u32,
        /// What the engine said.
        problem: String,
    },
    /// The thread that measures deadlines can't be started.
    #[error("the thread that measures the deadlines of modules can't be started")]
    Ticker(#[source] io::Error),
}

/// The engine, and what all its instances have in common. Cloning it is cheap.
#[derive(Clone)]
pub struct Engine {
    pub(super) wasm: wasmtime::Engine,
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) cache: Option<CompiledCache>,
    pub(super) wasi: WasiPolicy,
    /// Places for instances that serve, and how many of them are free.
    places: u32,
    free: AtomicU32,
    /// Held while a module is tried out.
    pub(super) trial: Mutex<()>,
}

/// A place for an instance that serves; free again when it's dropped.
pub(super) struct Place(Arc<Shared>);

impl Shared {
    /// Takes a place, if one is free.
    pub(super) fn place(self: &Arc<Self>) -> Result<Place, GuestFault> {
        let taken = self.free.fetch_update(AcqRel, Acquire, |free| free.checked_sub(1));
        taken.map_err(|_| GuestFault::NoCapacity(format!("all {} places are taken", self.places)))?;
        Ok(Place(Arc::clone(self)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, AcqRel);
    }
}

impl Engine {
    /// Starts the engine and the thread that measures deadlines; it ends after the last engine, module and instance.
    ///
    /// # Errors
    /// Where the cache directory is unusable, or the machine refuses memory reservations or the thread.
    pub fn new(options: EngineOptions) -> Result<Self, EngineError> {
        let EngineOptions { cache_dir, limits, wasi, max_instances } = options;
        let wasm = wasmtime::Engine::new(&config(&limits, max_instances))
            .map_err(|error| EngineError::Start { max_instances, problem: format!("{error:#}") })?;
        let cache = cache_dir
            .map(|path| {
                CompiledCache::open(&path, &wasm)
                    .map_err(|error| EngineError::CacheDirectory { path, problem: error.to_string() })
            })
            .transpose()?;
        start_ticker(&wasm).map_err(EngineError::Ticker)?;
        let (places, free, trial) = (max_instances, AtomicU32::new(max_instances), Mutex::default());
        Ok(Self { wasm, shared: Arc::new(Shared { limits, cache, wasi, places, free, trial }) })
    }

    /// What guests may use.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }
}

/// A deadline in ticks from now; the running tick is partly over.
pub(super) fn ticks(deadline: Duration) -> u64 {
    let whole = deadline.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(whole).unwrap_or(u64::MAX / 2).saturating_add(1)
}

fn config(limits: &Limits, max_instances: u32) -> Config {
    // One more than may serve: instances are kept as long as nobody needs their place, and a new module has to be tried
    // out all the same.
    let max_instances = max_instances.saturating_add(1);
    let parts = max_instances.saturating_mul(CORE_PER_COMPONENT);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(max_instances)
        .total_core_instances(parts)
        .total_memories(max_instances)
        .total_tables(parts)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_memory_size(limits.memory_bytes)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES);
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // Asynchronous tasks are outside the contract, and cost every plain call three times its price.
        .concurrency_support(false)
        // The same bits on every host: the two places where WebAssembly leaves a choice to the machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .shared_memory(false)
        .epoch_interruption(true)
        .max_wasm_stack(MAX_STACK_BYTES)
        .memory_init_cow(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn start_ticker(engine: &wasmtime::Engine) -> io::Result<()> {
    let engine = engine.weak();
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    thread::Builder::new().name("everfold-epoch".to_owned()).spawn(tick).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_cut_short() {
        assert_eq!(ticks(Duration::ZERO), 1);
        assert_eq!(ticks(Duration::from_millis(10)), 2);
        assert_eq!(ticks(Duration::from_millis(11)), 3);
        assert!(ticks(Duration::MAX) > 1 << 40);
    }
}
