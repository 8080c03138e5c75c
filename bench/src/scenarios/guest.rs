//! What a guest costs: a command decided and its event applied in the component, through the host's runtime, and the
//! same Rust natively with the same JSON decoded and encoded.
//!
//! Both sides get the same: names and payloads as text, and a context that is made anew for each command, whose ids a
//! native caller writes into the strings that `decide` takes, as the host writes them into the guest's memory. What that
//! alone costs is shown by a second native figure, with one context for all commands.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bank_account::{Account, Command, Event};
use everfold::model::{AggregateType, Tenant};
use everfold::runtime::{
    DecideContext, Decision, Engine, EngineOptions, FoldEvent, FoldMode, Instances, Placement, Resident,
};
use everfold_sdk::{Aggregate, CommandSet as _, Context, EventSet as _};
use uuid::Uuid;

use crate::results::Results;
use crate::site::Site;
use crate::stats::median;

/// Cycles of one measurement.
const CYCLES: u32 = 20_000;

/// Measurements of each, in turn.
const ROUNDS: usize = 15;

/// Events of one `apply` when a stream is folded.
const FOLDED: usize = 500;

const DEPOSIT: (&str, &str) = ("Deposit", r#"{"amount":1}"#);
const DEPOSITED: (&str, &str) = ("Deposited", r#"{"amount":1}"#);
const OPENED: (&str, &str) = ("Opened", r#"{"owner":"Ann"}"#);

pub(super) fn measure(site: &Site, results: &mut Results) -> Result<()> {
    let mut guest = Guest::new(&site.plan.module("bank-account")?)?;
    let mut native = Native::new()?;
    let mut rounds = Vec::new();
    // The first round warms up.
    for round in 0..=ROUNDS {
        let one = Costs {
            guest: guest.cycles()?,
            native: native.cycles(Contexts::Each)?,
            bare: native.cycles(Contexts::One)?,
            apply: guest.fold()?,
            fold: native.fold()?,
        };
        if round > 0 {
            rounds.push(one);
        }
    }
    ensure!(native.account.balance > 0, "nothing was applied");
    let of = |what: fn(&Costs) -> f64| median(rounds.iter().map(what)).unwrap_or(f64::NAN);
    results.measure("decide + apply in the guest", of(|costs| costs.guest) * 1e6, "µs");
    results.measure("decide + apply natively, same JSON", of(|costs| costs.native) * 1e6, "µs");
    results.measure("decide + apply natively, one context for all", of(|costs| costs.bare) * 1e6, "µs");
    results.measure("apply in the guest, 500 at a time", of(|costs| costs.apply) * 1e6, "µs an event");
    results.measure("apply natively, same JSON", of(|costs| costs.fold) * 1e6, "µs an event");
    results.guest_ratio = median(rounds.iter().map(|costs| costs.guest / costs.native));
    Ok(())
}

/// Seconds of one cycle, and of one event.
struct Costs {
    guest: f64,
    native: f64,
    bare: f64,
    apply: f64,
    fold: f64,
}

/// An account in the component.
struct Guest {
    instances: Instances,
    resident: Resident,
    version: i64,
}

impl Guest {
    fn new(wasm: &[u8]) -> Result<Self> {
        let engine = Engine::new(EngineOptions::default())?;
        let module = engine.load(wasm)?;
        let mut instances = Instances::new(engine);
        let aggregate = AggregateType::new("account")?;
        let resident = instances.create(&module, &Tenant::default_tenant(), &aggregate, Placement::Shared)?;
        instances.apply(&resident, &[event(OPENED, 0)], FoldMode::Live)?;
        Ok(Self { instances, resident, version: 0 })
    }

    fn cycles(&mut self) -> Result<f64> {
        let command_id = Uuid::from_u128(7);
        let begin = Instant::now();
        for _ in 0..CYCLES {
            let context = DecideContext {
                time: 1_700_000_000_000,
                command_id,
                seed: 1,
                actor: None,
                stream_id: "test",
                version: self.version,
                correlation_id: None,
            };
            let decided = self.instances.decide(&self.resident, DEPOSIT.0, DEPOSIT.1, &context)?;
            let Decision::Events(events) = decided else { bail!("a deposit was rejected") };
            for decided in &events {
                self.version += 1;
                let event = event((&decided.event_type, decided.payload.as_str()), self.version);
                self.instances.apply(&self.resident, &[event], FoldMode::Live)?;
            }
        }
        Ok(each(begin.elapsed(), CYCLES))
    }

    fn fold(&mut self) -> Result<f64> {
        let events = vec![event(DEPOSITED, self.version); FOLDED];
        let times = CYCLES / u32::try_from(FOLDED)?;
        let begin = Instant::now();
        for _ in 0..times {
            self.instances.apply(&self.resident, &events, FoldMode::Replay)?;
        }
        Ok(each(begin.elapsed(), CYCLES))
    }
}

/// Whether each command has a context of its own, as in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contexts {
    Each,
    One,
}

/// The same account as plain Rust.
struct Native {
    account: Account,
    context: Context,
    events: Vec<Event>,
}

impl Native {
    fn new() -> Result<Self> {
        let mut context = everfold_sdk::testing::context();
        // What is written anew for each command isn't copied before.
        context.command_id = String::new();
        let mut native = Self { account: Account::default(), context, events: Vec::new() };
        native.apply(OPENED.0, 1, OPENED.1.as_bytes())?;
        Ok(native)
    }

    fn cycles(&mut self, contexts: Contexts) -> Result<f64> {
        let command_id = Uuid::from_u128(7);
        let begin = Instant::now();
        for _ in 0..CYCLES {
            let (name, payload) = black_box(DEPOSIT);
            let mut own = None;
            if contexts == Contexts::Each {
                let context = own.insert(black_box(&self.context).clone());
                context.command_id = black_box(command_id).hyphenated().to_string();
            }
            let context = black_box(own.as_ref().unwrap_or(&self.context));
            let command = Command::decode(name, payload.as_bytes()).ok().context("the command can't be decoded")?;
            let decided = self.account.decide(command, context).ok().context("a deposit was rejected")?;
            for event in decided {
                let event = black_box(event.encode());
                self.apply(event.kind.event_type, event.kind.schema_version, &event.payload)?;
            }
        }
        Ok(each(begin.elapsed(), CYCLES))
    }

    fn fold(&mut self) -> Result<f64> {
        let begin = Instant::now();
        for _ in 0..CYCLES {
            let (kind, payload) = black_box(DEPOSITED);
            self.apply(kind, 1, payload.as_bytes())?;
        }
        Ok(each(begin.elapsed(), CYCLES))
    }

    fn apply(&mut self, kind: &str, schema_version: u32, payload: &[u8]) -> Result<()> {
        Event::decode(kind, schema_version, payload, &mut self.events).ok().context("the event can't be decoded")?;
        self.events.drain(..).for_each(|event| self.account.apply(event));
        Ok(())
    }
}

fn event<'a>((event_type, payload): (&'a str, &'a str), version: i64) -> FoldEvent<'a> {
    FoldEvent { event_type, schema_version: 1, version, occurred_at: 1_700_000_000_000, payload }
}

fn each(took: Duration, times: u32) -> f64 {
    took.as_secs_f64() / f64::from(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_native_account_does_what_is_measured() {
        let mut native = Native::new().unwrap();
        assert!(native.cycles(Contexts::Each).unwrap() > 0.0 && native.fold().unwrap() > 0.0);
        assert!(native.cycles(Contexts::One).unwrap() > 0.0);
        assert_eq!(native.account.balance, u64::from(3 * CYCLES));
    }
}
