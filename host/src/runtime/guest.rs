//! What the host keeps beside a guest's memory: how much of it there is, and what the guest wrote to the log.

use std::sync::Arc;

pub(super) use tracing::Level;
use wasmtime::ResourceLimiter;

use super::wasi::Random;

/// Largest table of a guest, in elements: far above what compilers make, and the size of a pooled table's slot.
pub(super) const MAX_TABLE_ELEMENTS: usize = 20_000;
/// Longest message that reaches the log, in bytes.
const MAX_MESSAGE_BYTES: usize = 4096;
/// Most messages of one call that reach the log.
const MAX_MESSAGES_PER_CALL: u32 = 50;

/// The host's side of one store.
pub(super) struct Guest {
    pub(super) memory: MemoryLimit,
    pub(super) log: GuestLog,
    /// Only for modules with a virtual WASI.
    pub(super) random: Random,
}

impl Guest {
    pub(super) fn new(module: Arc<str>, memory_bytes: usize) -> Self {
        Self { memory: MemoryLimit::new(memory_bytes), log: GuestLog::new(module), random: Random::default() }
    }

    /// Starts one call: nothing that an earlier one took is missing in it.
    pub(super) fn begin_call(&mut self, replaying: bool) {
        self.log.begin_call(replaying);
        self.random = Random::default();
    }
}

/// Bounds the memory of all instances in one store.
pub(super) struct MemoryLimit {
    limit: usize,
    used: usize,
}

/// The guest asked for more memory than it may have.
#[derive(Debug, thiserror::Error)]
#[error("the module asked for {wanted} bytes of memory; at most {limit} are allowed")]
pub(super) struct MemoryLimitExceeded {
    wanted: usize,
    limit: usize,
}

impl MemoryLimit {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: 0 }
    }

    /// Memory that the guest holds, in bytes; it never falls.
    pub(super) fn used(&self) -> usize {
        self.used
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.used.saturating_sub(current).saturating_add(desired);
        if wanted > self.limit {
            // A refusal would make the guest's allocator abort, and nobody would learn why.
            return Err(MemoryLimitExceeded { wanted, limit: self.limit }.into());
        }
        self.used = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

/// Where a guest with a virtual WASI prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Standard,
    Error,
}

/// The guest's messages on their way to the host's log.
pub(super) struct GuestLog {
    module: Arc<str>,
    replaying: bool,
    written: u32,
    last_error: Option<String>,
}

impl GuestLog {
    pub(super) fn new(module: Arc<str>) -> Self {
        Self { module, replaying: false, written: 0, last_error: None }
    }

    /// Starts the count for one call; messages of a replay are dropped.
    pub(super) fn begin_call(&mut self, replaying: bool) {
        self.replaying = replaying;
        self.written = 0;
        self.last_error = None;
    }

    /// What the guest wrote last at error level in this call: the message of its panic, if the call then trapped.
    pub(super) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref().map(str::trim_end)
    }

    pub(super) fn write(&mut self, level: Level, message: &str) {
        let message = shortened(message, MAX_MESSAGE_BYTES);
        if level == Level::ERROR {
            self.last_error = Some(message.to_owned());
        }
        self.tell(level, message);
    }

    /// Takes what the guest prints. Panics are printed to standard error, in several pieces.
    pub(super) fn print(&mut self, output: Output, bytes: &[u8]) {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_MESSAGE_BYTES)]);
        if output == Output::Error {
            let words = self.last_error.get_or_insert_default();
            let room = MAX_MESSAGE_BYTES.saturating_sub(words.len());
            words.push_str(shortened(&text, room));
        }
        let level = if output == Output::Error { Level::WARN } else { Level::INFO };
        text.lines().filter(|line| !line.trim().is_empty()).for_each(|line| self.tell(level, line));
    }

    fn tell(&mut self, level: Level, message: &str) {
        if self.replaying || self.written > MAX_MESSAGES_PER_CALL {
            return;
        }
        self.written += 1;
        let module = &*self.module;
        if self.written > MAX_MESSAGES_PER_CALL {
            tracing::warn!(
                target: "everfold::guest", module,
                "the module wrote more than {MAX_MESSAGES_PER_CALL} messages in one call; the others are dropped"
            );
            return;
        }
        match level {
            Level::ERROR => tracing::error!(target: "everfold::guest", module, "{message}"),
            Level::WARN => tracing::warn!(target: "everfold::guest", module, "{message}"),
            Level::INFO => tracing::info!(target: "everfold::guest", module, "{message}"),
            Level::DEBUG => tracing::debug!(target: "everfold::guest", module, "{message}"),
            Level::TRACE => tracing::trace!(target: "everfold::guest", module, "{message}"),
        }
    }
}

/// At most so many bytes of a text, whole characters.
pub(super) fn shortened(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_summed_over_all_memories_of_a_store() {
        let mut memory = MemoryLimit::new(100);
        assert!(memory.memory_growing(0, 40, None).expect("within the limit"));
        assert!(memory.memory_growing(0, 50, None).expect("a second memory, within the limit"));
        let error = memory.memory_growing(40, 60, None).expect_err("110 of 100");
        assert_eq!(error.to_string(), "the module asked for 110 bytes of memory; at most 100 are allowed");
        assert_eq!(memory.used(), 90, "what was refused is not counted");
    }

    #[test]
    fn what_is_printed_as_an_error_is_kept_whole_and_bounded() {
        let mut log = GuestLog::new("m".into());
        log.print(Output::Standard, b"hello");
        assert_eq!(log.last_error(), None);
        for piece in ["panicked at ", "src/lib.rs:7:", "\noh no", "\n"] {
            log.print(Output::Error, piece.as_bytes());
        }
        assert_eq!(log.last_error(), Some("panicked at src/lib.rs:7:\noh no"));
        (0..9).for_each(|_| log.print(Output::Error, &[b'x'; MAX_MESSAGE_BYTES]));
        assert_eq!(log.last_error().map(str::len), Some(MAX_MESSAGE_BYTES));
    }

    #[test]
    fn the_last_error_of_a_call_is_kept_also_while_replaying() {
        let mut log = GuestLog::new("m".into());
        log.begin_call(true);
        log.write(Level::ERROR, &"ä".repeat(MAX_MESSAGE_BYTES));
        assert_eq!(log.last_error().map(str::len), Some(MAX_MESSAGE_BYTES));
        log.begin_call(true);
        assert_eq!(log.last_error(), None);
    }
}
