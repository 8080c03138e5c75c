//! How a guest can fail, and how the engine's errors are told apart.

use wasmtime::Trap;

use super::guest::{GuestLog, MemoryLimitExceeded, shortened};
use super::wasi::NotVirtual;

/// Longest description of a fault, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 1000;

/// A guest that gave no usable answer.
///
/// A trap, a deadline, a memory fault or an answer that can't even be read costs the whole instance: the next call on
/// each of its residents answers [`Gone`](Self::Gone).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestFault {
    /// It trapped: it panicked, or did what WebAssembly forbids.
    #[error("the module trapped: {0}")]
    Trapped(String),
    /// It didn't answer in time.
    #[error("the module didn't answer within its deadline")]
    Deadline,
    /// It asked for more memory than it may have.
    #[error("{0}")]
    Memory(String),
    /// It answered what the contract doesn't allow.
    #[error("the module's answer is invalid: {0}")]
    AnswerInvalid(String),
    /// The instance is gone, with the state of this resident: fold it again.
    #[error("the resident's instance is gone")]
    Gone,
    /// All places for instances are taken: a limit of the host, no fault of the module.
    #[error("there is no place for another instance of the module: {0}")]
    NoCapacity(String),
}

impl GuestFault {
    /// Tells the errors of a call apart.
    pub(super) fn of_call(error: &wasmtime::Error, log: &GuestLog) -> Self {
        Self::of_guest(error, log).unwrap_or_else(|| Self::unreadable(error))
    }

    /// Tells the errors of an instantiation apart.
    pub(super) fn of_start(error: &wasmtime::Error, log: &GuestLog) -> Self {
        Self::of_guest(error, log).unwrap_or_else(|| Self::NoCapacity(error.root_cause().to_string()))
    }

    /// What the guest's own code did.
    fn of_guest(error: &wasmtime::Error, log: &GuestLog) -> Option<Self> {
        tracing::debug!(target: "everfold::guest", ?error, "a guest failed");
        if let Some(exceeded) = error.downcast_ref::<MemoryLimitExceeded>() {
            return Some(Self::Memory(exceeded.to_string()));
        }
        if let Some(not_virtual) = error.downcast_ref::<NotVirtual>() {
            return Some(Self::Trapped(not_virtual.to_string()));
        }
        error.downcast_ref::<Trap>().map(|trap| match trap {
            Trap::Interrupt => Self::Deadline,
            trap => Self::Trapped(trapped(*trap, log.last_error())),
        })
    }

    /// An error without a trap: the answer couldn't be read.
    fn unreadable(error: &wasmtime::Error) -> Self {
        let cause = error.root_cause().to_string();
        // The engine has no public type for it.
        if cause.contains("fuel allocated for hostcalls has been exhausted") {
            return Self::AnswerInvalid("it is larger than the host takes".to_owned());
        }
        Self::AnswerInvalid(shortened(&cause, MAX_DESCRIPTION_BYTES).to_owned())
    }
}

/// What happened, in the guest's own words where it left some.
fn trapped(trap: Trap, last_words: Option<&str>) -> String {
    let trap = trap.to_string();
    let trap = trap.strip_prefix("wasm trap: ").unwrap_or(&trap);
    match last_words {
        Some(words) => format!("{} ({trap})", shortened(words, MAX_DESCRIPTION_BYTES)),
        None => trap.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::guest::Level;

    #[test]
    fn a_trap_is_told_in_the_guests_last_words() {
        let mut log = GuestLog::new("m".into());
        let of = |log: &GuestLog| GuestFault::of_call(&Trap::UnreachableCodeReached.into(), log).to_string();
        assert_eq!(of(&log), "the module trapped: wasm `unreachable` instruction executed");
        log.write(Level::ERROR, "panicked at src/lib.rs:7: oh no");
        assert_eq!(
            of(&log),
            "the module trapped: panicked at src/lib.rs:7: oh no (wasm `unreachable` instruction executed)"
        );
    }

    #[test]
    fn a_deadline_is_no_trap() {
        let log = GuestLog::new("m".into());
        assert_eq!(GuestFault::of_call(&Trap::Interrupt.into(), &log), GuestFault::Deadline);
    }
}
