//! One file of the directory, over time: when it's complete, and what was found in it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::directory::{Print, Seen};
use crate::runtime::{LoadError, Module};

/// A file that can't be read as a component is reported only after it has stayed as it is for so long: until then it
/// may still be on its way, over a slow network.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of one file.
#[derive(Debug)]
pub(super) struct File {
    print: Print,
    seen_since: Instant,
    missed: bool,
    /// What its present content is; none until it was judged.
    pub(super) verdict: Option<Verdict>,
    /// Why it couldn't be judged though it's complete: the log or the disk doesn't answer.
    waits_for: Option<String>,
    /// The last content that was accepted, with its file time: it serves on while a later one is refused.
    pub(super) accepted: Option<(Arc<Module>, SystemTime)>,
}

/// What a file's content is.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    /// It may serve.
    Accepted,
    /// It may not; the module, where it could be loaded at all.
    Refused(String, Option<Arc<Module>>),
}

impl File {
    pub(super) fn new(seen: &Seen, now: Instant) -> Self {
        Self { print: seen.print, seen_since: now, missed: false, verdict: None, waits_for: None, accepted: None }
    }

    /// Takes another look; answers whether the file is complete and has to be judged.
    pub(super) fn seen_again(&mut self, seen: &Seen, now: Instant) -> bool {
        self.missed = false;
        if self.print != seen.print {
            let accepted = self.accepted.take();
            *self = Self { accepted, ..Self::new(seen, now) };
            return false;
        }
        self.verdict.is_none()
    }

    /// The file wasn't there; answers whether it's gone for good: seen missing twice, as a file that is replaced by
    /// removing it first is only missed once.
    pub(super) fn missed(&mut self) -> bool {
        std::mem::replace(&mut self.missed, true)
    }

    /// Whether another look is due soon, rather than at the next poll.
    pub(super) fn is_unsettled(&self) -> bool {
        self.missed || (self.verdict.is_none() && self.waits_for.is_none())
    }

    /// It couldn't be judged; the next poll tries again.
    pub(super) fn wait(&mut self, reason: String) {
        self.waits_for = Some(reason);
    }

    /// What a file without a verdict waits for.
    pub(super) fn waits_for(&self) -> &str {
        self.waits_for.as_deref().unwrap_or("it may still be written")
    }

    pub(super) fn accept(&mut self, module: Arc<Module>) {
        self.accepted = Some((module, self.print.modified));
        self.verdict = Some(Verdict::Accepted);
    }

    /// The content couldn't be loaded; a file that may be incomplete gets some time first.
    pub(super) fn refuse_load(&mut self, error: &LoadError, now: Instant) {
        let may_be_incomplete = matches!(error, LoadError::NotWasm | LoadError::NotCompiled(_));
        if may_be_incomplete && now.duration_since(self.seen_since) < PATIENCE {
            return;
        }
        self.verdict = Some(Verdict::Refused(error.to_string(), None));
    }
}

#[cfg(test)]
mod tests {
    use super::super::directory;
    use super::*;

    fn write(dir: &tempfile::TempDir, content: &[u8]) -> Seen {
        std::fs::write(dir.path().join("a.wasm"), content).expect("written");
        directory::list(dir.path()).expect("listed").remove(0)
    }

    #[test]
    fn a_file_is_judged_when_two_looks_saw_the_same() {
        let dir = tempfile::tempdir().expect("a directory");
        let now = Instant::now();
        let seen = write(&dir, b"1");
        let mut file = File::new(&seen, now);
        let grown = write(&dir, b"12");
        assert!(!file.seen_again(&grown, now), "it has grown");
        assert!(file.seen_again(&grown, now));
        file.verdict = Some(Verdict::Accepted);
        assert!(!file.seen_again(&grown, now), "it's judged once");
    }

    #[test]
    fn a_file_that_may_be_incomplete_gets_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let now = Instant::now();
        let mut file = File::new(&write(&dir, b"1"), now);
        file.refuse_load(&LoadError::NotWasm, now);
        assert!(file.is_unsettled());
        file.refuse_load(&LoadError::NotWasm, now + PATIENCE);
        assert!(!file.is_unsettled());
        let mut file = File::new(&write(&dir, b"2"), now);
        file.refuse_load(&LoadError::CoreModule, now);
        assert!(!file.is_unsettled(), "this can't mend itself");
    }

    #[test]
    fn a_file_is_gone_when_it_was_missed_twice() {
        let dir = tempfile::tempdir().expect("a directory");
        let now = Instant::now();
        let seen = write(&dir, b"1");
        let mut file = File::new(&seen, now);
        assert!(!file.missed());
        file.seen_again(&seen, now);
        assert!(!file.missed());
        assert!(file.missed());
    }
}
