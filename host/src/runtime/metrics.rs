//! What guests cost: instances, memory, time, faults.

use std::sync::LazyLock;
use std::time::Duration;

use metrics::Histogram;

use super::GuestFault;
use crate::model::metric_table;

metric_table! {
    /// Instances of modules, over all shards and tenants.
    gauge INSTANCES = "everfold_guest_instances";
    /// Aggregates that live in instances.
    gauge AGGREGATES = "everfold_guest_aggregates";
    /// Linear memory that instances hold.
    gauge MEMORY = "everfold_guest_memory_bytes";
    /// Time in guests, by the function that was called: apply and upcast take a batch of events at once.
    histogram GUEST_SECONDS {"call"} = "everfold_guest_seconds" in TIMES;
    /// Calls that gave no usable answer, by module: trapped, deadline, memory, answer-invalid.
    counter FAULTS {"module", "kind"} = "everfold_guest_faults_total";
    /// Instances that weren't started because every place was taken; one that was idle made room where there was one.
    counter NO_CAPACITY = "everfold_guest_instances_refused_total";
}

/// The function of a guest that is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Create,
    Restore,
    Apply,
    Decide,
    State,
    Upcast,
    Drop,
}

impl Call {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Create, "create"),
        (Self::Restore, "restore"),
        (Self::Apply, "apply"),
        (Self::Decide, "decide"),
        (Self::State, "state"),
        (Self::Upcast, "upcast"),
        (Self::Drop, "drop"),
    ];

    /// Whether it takes batches of events, which have more time.
    pub(super) fn takes_batches(self) -> bool {
        matches!(self, Self::Apply | Self::Upcast)
    }

    pub(super) fn took(self, time: Duration) {
        static TIMES: LazyLock<[Histogram; 7]> =
            LazyLock::new(|| Call::ALL.map(|(_, name)| GUEST_SECONDS.histogram([name])));
        TIMES[self as usize].record(time);
    }
}

/// Counts a guest that failed. An instance that is gone failed under another call, and was counted there.
pub(super) fn count_fault(module: &str, fault: &GuestFault) {
    let kind = match fault {
        GuestFault::Trapped(_) => "trapped",
        GuestFault::Deadline => "deadline",
        GuestFault::Memory(_) => "memory",
        GuestFault::AnswerInvalid(_) => "answer-invalid",
        GuestFault::NoCapacity(_) => return NO_CAPACITY.increment(1),
        GuestFault::Gone => return,
    };
    FAULTS.counter([module.to_owned(), kind.to_owned()]).increment(1);
}

/// What one instance adds to the gauges, for as long as it lives.
pub(super) struct Footprint {
    aggregates: usize,
    memory_bytes: usize,
}

impl Footprint {
    pub(super) fn new() -> Self {
        INSTANCES.increment(1.0);
        Self { aggregates: 0, memory_bytes: 0 }
    }

    /// Brings the gauges up to date.
    pub(super) fn update(&mut self, aggregates: usize, memory_bytes: usize) {
        if self.aggregates != aggregates {
            AGGREGATES.increment(aggregates as f64 - self.aggregates as f64);
            self.aggregates = aggregates;
        }
        if self.memory_bytes != memory_bytes {
            MEMORY.increment(memory_bytes as f64 - self.memory_bytes as f64);
            self.memory_bytes = memory_bytes;
        }
    }
}

impl Drop for Footprint {
    fn drop(&mut self) {
        self.update(0, 0);
        INSTANCES.decrement(1.0);
    }
}
