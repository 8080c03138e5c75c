//! How far a long verb is: a bar on a terminal, now and then a line elsewhere, always on the standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a line is said where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Tells how far a verb is.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
    said: Instant,
}

impl Progress {
    /// Begins to tell; `whole` is how much there is to do, where that is known.
    pub(super) fn begin(whole: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(whole, ProgressDrawTarget::stderr());
            let template = if whole.is_some() { "{bar:32} {percent:>3} %  {msg}" } else { "{spinner} {msg}" };
            bar.with_style(ProgressStyle::with_template(template).expect("the templates are right"))
        });
        Self { bar, began: Instant::now(), said: Instant::now() }
    }

    /// Tells that so much of the whole is done.
    pub(super) fn at(&mut self, done: u64, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(message());
        } else if self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            self.say(&message());
        }
    }

    /// Says a line for itself.
    pub(super) fn say(&self, line: &str) {
        let say = || {
            // A standard error that nobody reads is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{line}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }

    /// Ends the telling with how many events were done in which time.
    pub(super) fn end(self, verb: &str, events: u64, rest: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.began.elapsed().as_secs_f64();
        let rate = HumanCount((events as f64 / seconds.max(0.001)) as u64);
        self.say(&format!("{verb} {} events in {seconds:.1} s ({rate}/s){rest}", HumanCount(events)));
    }
}
