//! Who failed how often, and who is therefore not called: the decisions, without a clock or a lock of their own.
//!
//! A stream is set aside after faults in a row; a module is shut for one tenant when most of that tenant's calls fail,
//! and for everyone when that has happened to several tenants and to most of those who use it. So one tenant's data or
//! commands never take a module away from another tenant. A probe that goes well opens every gate it passed; one that
//! fails counts against the narrowest of them, so that a stream with a poisoned history can't keep its module shut.

use std::collections::HashMap;
use std::time::Instant;

use super::gate::Gate;
use super::module::ModuleRecord;
use super::streams::Streams;
use super::words::{Change, Of, Probes, QuarantineOptions, Shut, Verdict};
use crate::model::{Digest, StreamKey, Tenant};

/// All records.
#[derive(Debug)]
pub(super) struct Ledger {
    options: QuarantineOptions,
    pub(super) streams: Streams,
    pub(super) modules: HashMap<Digest, ModuleRecord>,
}

impl Ledger {
    pub(super) fn new(options: QuarantineOptions) -> Self {
        Self { options, streams: Streams::default(), modules: HashMap::new() }
    }

    /// Lets a request through, as a probe where a gate is shut, or says why not.
    pub(super) fn admit(&mut self, stream: &StreamKey, digest: Digest, now: Instant) -> Result<Probes, Shut> {
        let mut record = self.streams.of(stream, digest);
        let mut module = self.modules.get_mut(&digest);
        let by_stream = record.as_ref().and_then(|record| {
            Shut::by(record.gate.as_ref(), Of::Stream, record.faults.into(), Some(&record.last), now)
        });
        let breaker = module.as_ref().and_then(|module| module.tenants.get(&stream.tenant));
        let by_tenant = breaker.and_then(|breaker| {
            let last = breaker.last.as_ref().map(|(fault, _)| fault);
            Shut::by(breaker.gate.as_ref(), Of::Tenant, breaker.faults, last, now)
        });
        let by_everyone = module.as_ref().and_then(|module| {
            // What went wrong is other tenants' business.
            let own = breaker.map_or(0, |breaker| breaker.faults);
            Shut::by(module.everyone.as_ref(), Of::Everyone, own, None, now)
        });
        if let Some(shut) = by_stream.or(by_tenant).or(by_everyone) {
            return Err(shut);
        }
        let everyone = module.as_mut().and_then(|module| module.everyone.as_mut()).map(Gate::probe).is_some();
        let breaker = module.and_then(|module| module.tenants.get_mut(&stream.tenant));
        let tenant = breaker.and_then(|breaker| breaker.gate.as_mut()).map(Gate::probe).is_some();
        let stream = record.as_mut().and_then(|record| record.gate.as_mut()).map(Gate::probe).is_some();
        Ok(Probes { stream, tenant, everyone })
    }

    /// Takes note of how a request ended that was let through.
    pub(super) fn settle(
        &mut self,
        stream: &StreamKey,
        digest: Digest,
        probes: Probes,
        verdict: &Verdict,
        now: Instant,
    ) -> Vec<Change> {
        match verdict {
            Verdict::Nothing => {
                self.told_nothing(stream, digest, probes);
                Vec::new()
            }
            Verdict::Well => {
                let released = self.streams.forget(stream).then_some(Change::Opened(Of::Stream));
                let module = self.modules.get_mut(&digest);
                let opened = module.map(|module| module.well(&stream.tenant, probes, now)).unwrap_or_default();
                released.into_iter().chain(opened).collect()
            }
            Verdict::Failed(fault) => {
                self.told_nothing(stream, digest, probes.but_the_narrowest());
                let (failed, options) = (probes.narrowest(), &self.options);
                let set_aside = self.streams.failed(stream, digest, failed.stream, fault, options, now);
                let module = self.modules.entry(digest).or_insert_with(|| ModuleRecord::new(now));
                set_aside.into_iter().chain(module.failed(stream, failed, fault, options, now)).collect()
            }
        }
    }

    /// Opens the gates of a module that keep this tenant out, and those of its streams; answers how many streams.
    pub(super) fn reset(&mut self, tenant: &Tenant, digest: Digest) -> usize {
        if let Some(module) = self.modules.get_mut(&digest) {
            module.everyone = None;
            module.tenants.remove(tenant);
        }
        let mut released = 0;
        self.streams.0.retain(|stream, record| {
            let its = stream.tenant == *tenant && record.digest == digest;
            released += usize::from(its && record.gate.is_some());
            !its
        });
        released
    }

    /// Forgets modules that are no longer active, with what is known of their streams.
    pub(super) fn retain_modules(&mut self, active: impl Fn(Digest) -> bool) {
        self.modules.retain(|digest, _| active(*digest));
        self.streams.0.retain(|_, record| active(record.digest));
    }

    fn told_nothing(&mut self, stream: &StreamKey, digest: Digest, probes: Probes) {
        let record = self.streams.0.get_mut(stream).filter(|_| probes.stream);
        if let Some(gate) = record.and_then(|record| record.gate.as_mut()) {
            gate.probe_told_nothing();
        }
        if let Some(module) = self.modules.get_mut(&digest) {
            module.told_nothing(&stream.tenant, probes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{AggregateType, StreamId};
    use crate::pipeline::ModuleFault;

    const PAUSE: Duration = Duration::from_secs(10);
    const MODULE: Digest = Digest([1; 32]);

    /// A ledger and its clock.
    struct Host {
        ledger: Ledger,
        now: Instant,
    }

    impl Host {
        fn new(stream_faults: u32, module_faults: u32) -> Self {
            let options = QuarantineOptions { stream_faults, module_faults, pause: PAUSE };
            Self { ledger: Ledger::new(options), now: Instant::now() }
        }

        /// One request from admission to its end; what kept it out, where it was.
        fn call(&mut self, tenant: &str, id: &str, well: bool) -> Result<Vec<Change>, Of> {
            let stream = stream(tenant, id);
            let probes = self.ledger.admit(&stream, MODULE, self.now).map_err(|shut| shut.of)?;
            let verdict = if well { Verdict::Well } else { Verdict::Failed(ModuleFault::Deadline) };
            Ok(self.ledger.settle(&stream, MODULE, probes, &verdict, self.now))
        }

        fn fail(&mut self, tenant: &str, streams: std::ops::Range<u32>) {
            for id in streams {
                let _ = self.call(tenant, &id.to_string(), false);
            }
        }

        fn wait(&mut self, time: Duration) {
            self.now += time;
        }
    }

    fn stream(tenant: &str, id: &str) -> StreamKey {
        StreamKey {
            tenant: Tenant::new(tenant).expect("a name"),
            aggregate_type: AggregateType::new("account").expect("a name"),
            stream_id: StreamId::new(id).expect("a name"),
        }
    }

    #[test]
    fn a_stream_that_keeps_failing_is_set_aside_alone_until_a_probe_goes_well() {
        let mut host = Host::new(3, 0);
        for _ in 0..2 {
            assert_eq!(host.call("t", "bad", false), Ok(vec![]));
        }
        assert_eq!(host.call("t", "bad", false), Ok(vec![Change::Shut(Of::Stream)]));
        assert_eq!(host.call("t", "bad", true), Err(Of::Stream));
        assert_eq!(host.call("t", "good", true), Ok(vec![]));
        assert_eq!(host.call("u", "bad", true), Ok(vec![]), "another tenant's stream of that name");

        host.wait(PAUSE);
        assert_eq!(host.call("t", "bad", false), Ok(vec![]), "a probe");
        host.wait(PAUSE);
        assert_eq!(host.call("t", "bad", true), Err(Of::Stream), "the pause has doubled");
        host.wait(PAUSE);
        assert_eq!(host.call("t", "bad", true), Ok(vec![Change::Opened(Of::Stream)]));
        assert_eq!(host.call("t", "bad", false), Ok(vec![]), "and counts from the start");
    }

    #[test]
    fn success_in_between_is_no_row() {
        let mut host = Host::new(2, 0);
        for _ in 0..9 {
            assert_eq!(host.call("t", "s", false), Ok(vec![]));
            assert_eq!(host.call("t", "s", true), Ok(vec![]));
        }
    }

    #[test]
    fn a_probe_that_meets_no_guest_leaves_its_place_to_the_next() {
        let mut host = Host::new(1, 0);
        host.fail("t", 1..2);
        host.wait(PAUSE);
        let bad = stream("t", "1");
        let probes = host.ledger.admit(&bad, MODULE, host.now).expect("a probe");
        assert_eq!(host.ledger.admit(&bad, MODULE, host.now).expect_err("one at a time").of, Of::Stream);
        host.ledger.settle(&bad, MODULE, probes, &Verdict::Nothing, host.now);
        assert!(host.ledger.admit(&bad, MODULE, host.now).is_ok());
    }

    #[test]
    fn a_module_that_fails_on_several_streams_is_shut_for_their_tenant_alone() {
        let mut host = Host::new(0, 10);
        host.fail("t", 0..10);
        assert_eq!(host.call("t", "new", true), Err(Of::Tenant));
        assert_eq!(host.call("u", "new", true), Ok(vec![]));
        host.wait(PAUSE);
        assert_eq!(host.call("t", "new", true), Ok(vec![Change::Opened(Of::Tenant)]));
        assert_eq!(host.call("t", "other", true), Ok(vec![]));
    }

    #[test]
    fn a_module_that_fails_for_most_tenants_is_shut_for_everyone() {
        let mut host = Host::new(0, 10);
        for tenant in ["a", "b", "c"] {
            assert!(host.call("d", "s", true).is_ok(), "before {tenant}");
            host.fail(tenant, 0..10);
        }
        assert_eq!(host.call("d", "s", true), Err(Of::Everyone));
        let shut = host.ledger.admit(&stream("d", "s"), MODULE, host.now).expect_err("shut");
        assert_eq!((shut.faults, shut.last), (0, None), "nobody hears of other tenants' faults");
        host.wait(PAUSE);
        assert_eq!(host.call("d", "s", true), Ok(vec![Change::Opened(Of::Everyone)]));
        assert_eq!(host.call("e", "s", true), Ok(vec![]));
    }

    #[test]
    fn a_few_tenants_cannot_take_the_module_from_many() {
        let mut host = Host::new(0, 10);
        host.fail("a", 0..1);
        for tenant in ["d", "e", "f", "g"] {
            assert_eq!(host.call(tenant, "s", true), Ok(vec![]));
        }
        for tenant in ["a", "b", "c"] {
            host.fail(tenant, 0..30);
        }
        assert_eq!(host.call("a", "s", true), Err(Of::Tenant));
        assert_eq!(host.call("d", "s", true), Ok(vec![]));
    }

    #[test]
    fn a_poisoned_stream_does_not_keep_its_module_shut() {
        let mut host = Host::new(2, 10);
        for _ in 0..2 {
            host.fail("t", 0..5);
        }
        assert_eq!(host.call("t", "healthy", true), Err(Of::Tenant));
        for _ in 0..3 {
            host.wait(PAUSE);
            let _ = host.call("t", "0", false);
        }
        assert_eq!(host.call("t", "healthy", true), Ok(vec![Change::Opened(Of::Tenant)]));
        assert_eq!(host.call("t", "0", true), Err(Of::Stream));
    }

    #[test]
    fn resets_and_swaps_open_every_gate() {
        let mut host = Host::new(2, 10);
        (0..2).for_each(|_| host.fail("t", 0..5));
        (0..2).for_each(|_| host.fail("u", 0..5));
        assert_eq!(host.ledger.reset(&Tenant::new("t").expect("a name"), MODULE), 5);
        assert_eq!(host.call("t", "0", true), Ok(vec![]));
        assert_eq!(host.call("u", "0", true), Err(Of::Stream), "another tenant's stay");
        host.ledger.retain_modules(|_| false);
        assert_eq!(host.call("u", "0", true), Ok(vec![]));
        assert_eq!(host.ledger.modules.len(), 0);
    }
}
