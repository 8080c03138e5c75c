//! A virtual WASI, for modules that are allowed one: the imports that many toolchains can't do without, with nothing
//! behind them.
//!
//! No files, sockets, environment or arguments; standard input is at its end, standard output and error go to the
//! host's log. Clocks stand still, and random numbers begin anew with each call of the host: whatever a module takes
//! from here is the same in every call, in every instance and on every host, so that history folds alike for ever.
//!
//! It's linked function by function, as a component imports them. A function that isn't here traps when it's called, with
//! its name. `wasmtime-wasi` is another thing: its clocks' timers are real, and its synchronous functions block on a
//! runtime of their own, which a shard's thread must not, and which no deadline of a guest interrupts.

mod io;
mod random;

use std::collections::BTreeSet;

use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentNamedList, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType,
};

use self::io::{InputStream, IoError, OutputStream, Pollable};
use super::guest::Guest;

pub(super) use self::random::Random;

/// The one minor version that there is, of all packages.
const VERSION: &str = "0.2.";
/// What every clock of day shows, in seconds since 1970: the first second of 2000. Some runtimes take 0 for a fault.
const WALL_SECONDS: u64 = 946_684_800;
/// What every monotonic clock shows, in nanoseconds.
const MONOTONIC_NANOSECONDS: u64 = 1_000_000_000;
/// Most random bytes of one request.
const MAX_RANDOM_BYTES: u64 = 64 << 10;

/// The interfaces that a virtual WASI has, by package. Those of which no function is defined below, such as sockets, are
/// there for components that import but never call them.
const INTERFACES: [(&str, &[&str]); 6] = [
    (
        "cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("clocks", &["monotonic-clock", "wall-clock"]),
    ("filesystem", &["preopens", "types"]),
    ("io", &["error", "poll", "streams"]),
    ("random", &["insecure", "insecure-seed", "random"]),
    (
        "sockets",
        &["instance-network", "ip-name-lookup", "network", "tcp", "tcp-create-socket", "udp", "udp-create-socket"],
    ),
];

/// Which modules are given a virtual WASI.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WasiPolicy {
    /// None: a module that imports WASI is refused.
    #[default]
    Nobody,
    /// Those that call themselves by one of these names.
    Modules(BTreeSet<String>),
    /// Any module, to inspect it.
    Everyone,
}

impl WasiPolicy {
    /// Whether there may be a module that it allows: else none is started to be asked for its name.
    pub(super) fn allows_any(&self) -> bool {
        match self {
            Self::Nobody => false,
            Self::Modules(names) => !names.is_empty(),
            Self::Everyone => true,
        }
    }

    /// Whether it allows the module of this name.
    pub(super) fn allows(&self, name: &str) -> bool {
        match self {
            Self::Nobody => false,
            Self::Modules(names) => names.contains(name),
            Self::Everyone => true,
        }
    }
}

/// What a module did that a virtual WASI has no answer to: it traps.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotVirtual {
    #[error("it called {0}, which a virtual WASI doesn't have")]
    Function(String),
    #[error("it waits for time to pass, and the clocks of a virtual WASI stand still")]
    Waits,
    #[error("it asked for {0} random bytes at once; at most {MAX_RANDOM_BYTES} are given")]
    RandomBytes(u64),
}

/// Whether a virtual WASI has this interface, given as `namespace:package/interface@version`.
pub(super) fn has(import: &str) -> bool {
    interface(import).is_some()
}

/// `package/interface` of an interface that a virtual WASI has.
fn interface(import: &str) -> Option<&str> {
    let (path, version) = import.strip_prefix("wasi:")?.split_once('@')?;
    let (package, interface) = path.split_once('/')?;
    let (_, interfaces) = INTERFACES.iter().find(|(name, _)| *name == package)?;
    (version.starts_with(VERSION) && interfaces.contains(&interface)).then_some(path)
}

/// Links what a component imports of WASI.
pub(super) fn link(
    linker: &mut Linker<Guest>,
    engine: &wasmtime::Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    for (import, item) in component.component_type().imports(engine) {
        let (Some(interface), ComponentItem::ComponentInstance(instance)) = (interface(import), item.ty) else {
            continue;
        };
        let mut link = Link { to: linker.instance(import)?, interface };
        for (name, item) in instance.exports(engine) {
            match item.ty {
                ComponentItem::Resource(_) => link.resource(name)?,
                ComponentItem::ComponentFunc(_) => link.function(name)?,
                // Types have nothing to link.
                _ => {}
            }
        }
    }
    Ok(())
}

/// One interface on its way into a linker.
struct Link<'a> {
    to: LinkerInstance<'a, Guest>,
    interface: &'a str,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

/// Resources of which none is ever made: terminals, files, sockets.
struct Nothing;

impl Link<'_> {
    fn resource(&mut self, name: &str) -> wasmtime::Result<()> {
        // By name alone: an interface that uses another's resource exports it too.
        let ty = match name {
            "error" => ResourceType::host::<IoError>(),
            "pollable" => ResourceType::host::<Pollable>(),
            "input-stream" => ResourceType::host::<InputStream>(),
            "output-stream" => ResourceType::host::<OutputStream>(),
            _ => ResourceType::host::<Nothing>(),
        };
        // Handles are numbers with nothing behind them.
        self.to.resource(name, ty, |_, _| Ok(()))
    }

    fn function(&mut self, name: &str) -> wasmtime::Result<()> {
        let wall = || Datetime { seconds: WALL_SECONDS, nanoseconds: 0 };
        match (self.interface, name) {
            ("clocks/wall-clock", "now") => self.answer(name, move |()| (wall(),)),
            ("clocks/wall-clock", "resolution") => self.answer(name, |()| (Datetime { seconds: 1, nanoseconds: 0 },)),
            ("clocks/monotonic-clock", "now") => self.answer(name, |()| (MONOTONIC_NANOSECONDS,)),
            ("clocks/monotonic-clock", "resolution") => self.answer(name, |()| (1_u64,)),
            ("clocks/monotonic-clock", "subscribe-instant") => {
                self.answer(name, |(when,): (u64,)| (io::pollable(when <= MONOTONIC_NANOSECONDS),))
            }
            ("clocks/monotonic-clock", "subscribe-duration") => {
                self.answer(name, |(time,): (u64,)| (io::pollable(time == 0),))
            }
            ("random/random", "get-random-bytes") | ("random/insecure", "get-insecure-random-bytes") => {
                self.to.func_wrap(name, random_bytes)
            }
            ("random/random", "get-random-u64") | ("random/insecure", "get-insecure-random-u64") => self
                .to
                .func_wrap(name, |mut store: StoreContextMut<'_, Guest>, ()| Ok((store.data_mut().random.next(),))),
            ("random/insecure-seed", "insecure-seed") => self.answer(name, |()| (Random::seed(),)),
            ("cli/environment", "get-environment") => self.answer(name, |()| (Vec::<(String, String)>::new(),)),
            ("cli/environment", "get-arguments") => self.answer(name, |()| (Vec::<String>::new(),)),
            ("cli/environment", "initial-cwd") => self.answer(name, |()| (None::<String>,)),
            ("cli/terminal-stdin" | "cli/terminal-stdout" | "cli/terminal-stderr", _) => {
                self.answer(name, |()| (None::<Resource<Nothing>>,))
            }
            ("filesystem/preopens", "get-directories") => {
                self.answer(name, |()| (Vec::<(Resource<Nothing>, String)>::new(),))
            }
            ("cli/stdin" | "cli/stdout" | "cli/stderr" | "io/poll" | "io/streams", _) => self.io(name),
            _ => self.trap(name),
        }
    }

    /// A function that depends on nothing but its arguments.
    fn answer<P, R>(&mut self, name: &str, answer: impl Fn(P) -> R + Send + Sync + 'static) -> wasmtime::Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
    {
        self.to.func_wrap(name, move |_: StoreContextMut<'_, Guest>, arguments: P| Ok(answer(arguments)))
    }

    /// A function that there isn't.
    fn trap(&mut self, name: &str) -> wasmtime::Result<()> {
        let called = format!("wasi:{} {name}", self.interface);
        self.to.func_new(name, move |_, _, _, _| Err(NotVirtual::Function(called.clone()).into()))
    }
}

fn random_bytes(mut store: StoreContextMut<'_, Guest>, (length,): (u64,)) -> wasmtime::Result<(Vec<u8>,)> {
    match usize::try_from(length) {
        Ok(few) if length <= MAX_RANDOM_BYTES => Ok((store.data_mut().random.bytes(few),)),
        _ => Err(NotVirtual::RandomBytes(length).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_of_wasi_is_virtual() {
        for known in ["wasi:clocks/wall-clock@0.2.0", "wasi:io/poll@0.2.12", "wasi:sockets/tcp@0.2.3"] {
            assert!(has(known), "{known}");
        }
        for other in [
            "wasi:clocks/wall-clock",
            "wasi:clocks/wall-clock@0.3.0",
            "wasi:clocks/timezone@0.2.0",
            "wasi:http/outgoing-handler@0.2.0",
            "acme:clocks/wall-clock@0.2.0",
        ] {
            assert!(!has(other), "{other}");
        }
    }

    #[test]
    fn a_policy_names_modules() {
        let some = WasiPolicy::Modules(BTreeSet::from(["a".to_owned()]));
        assert!(some.allows_any() && some.allows("a") && !some.allows("b"));
        assert!(!WasiPolicy::Modules(BTreeSet::new()).allows_any());
        assert!(!WasiPolicy::default().allows_any() && !WasiPolicy::default().allows("a"));
    }
}
