//! What holds whatever is asked: random requests against small models of what must come of them. A case that breaks a
//! property shrinks to the few steps that do, and is told step by step.

mod batch_model;
mod batches;
mod comparison;
mod counter;
mod json_text;
mod log_model;
mod paging;
mod round_trip;
mod sequences;
mod steps;

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, FileFailurePersistence, TestError, TestRunner};
use tokio::time::timeout;

/// How long a case may take that comes to an end at all.
const SOON: Duration = Duration::from_secs(90);

/// How long a failing case is made smaller, in milliseconds and in attempts.
const SHRINKING: (u32, u32) = (60_000, 2_000);

/// Something that holds in every case.
struct Property {
    /// The file, below the crate's folder, that keeps the seeds of failures: they are tried first from then on.
    seeds: &'static str,
    /// Cases that are tried where `PROPTEST_CASES` doesn't say how many.
    cases: u32,
}

impl Property {
    /// Tries cases one after the other in a world that is made once; each case has a number to name its own things by.
    /// Panics with the smallest case that fails.
    fn holds<W, S>(&self, world: impl Future<Output = W>, cases: S, case: impl AsyncFn(&W, u32, S::Value))
    where
        S: Strategy,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let world = runtime.block_on(world);
        let tried = Cell::new(0);
        let outcome = TestRunner::new(self.config()).run(&cases, |value| {
            tried.set(tried.get() + 1);
            // On the heap: the futures of whole requests are large.
            let case = Box::pin(case(&world, tried.get(), value));
            runtime.block_on(async { timeout(SOON, case).await }).expect("the case comes to an end");
            Ok(())
        });
        match outcome {
            Ok(()) => {}
            Err(TestError::Abort(reason)) => panic!("no cases could be made: {reason}"),
            Err(TestError::Fail(reason, smallest)) => {
                panic!("{reason}\n\nThe smallest case that fails so: {smallest:?}\nIts seed is in {}.", self.seeds)
            }
        }
    }

    fn config(&self) -> Config {
        let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
        Config {
            cases: asked.unwrap_or(self.cases),
            failure_persistence: Some(Box::new(FileFailurePersistence::Direct(self.seeds))),
            max_shrink_time: SHRINKING.0,
            max_shrink_iters: SHRINKING.1,
            ..Config::default()
        }
    }
}

/// The steps of a case, told one a line.
#[derive(Clone)]
struct Steps<T>(Vec<T>);

impl<T: fmt::Debug> fmt::Debug for Steps<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            write!(f, "\n  {number:2}  {step:?}")?;
        }
        Ok(())
    }
}
