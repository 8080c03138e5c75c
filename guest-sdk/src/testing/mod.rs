//! Given events, when a command, then events or a rejection: tests of an aggregate that run natively, in microseconds.
//!
//! ```
//! use everfold_sdk::prelude::*;
//! use everfold_sdk::testing::given;
//! # #[state] struct Account { balance: u64 }
//! # #[derive(EventSet)] enum Event { Deposited { amount: u64 }, Withdrawn { amount: u64 } }
//! # #[derive(CommandSet)] enum Command { Withdraw { amount: u64 } }
//! # #[derive(Rejection)] enum Error { InsufficientFunds { balance: u64 } }
//! # impl Aggregate for Account {
//! #     const TYPE: &'static str = "account";
//! #     type Event = Event; type Command = Command; type Rejection = Error;
//! #     fn apply(&mut self, event: Event) {
//! #         match event {
//! #             Event::Deposited { amount } => self.balance += amount,
//! #             Event::Withdrawn { amount } => self.balance -= amount,
//! #         }
//! #     }
//! #     fn decide(&self, command: Command, _: &Context) -> Result<Vec<Event>, Error> {
//! #         let Command::Withdraw { amount } = command;
//! #         if amount > self.balance { return Err(Error::InsufficientFunds { balance: self.balance }) }
//! #         Ok(vec![Event::Withdrawn { amount }])
//! #     }
//! # }
//!
//! given::<Account>([Event::Deposited { amount: 100 }])
//!     .when(Command::Withdraw { amount: 30 })
//!     .then([Event::Withdrawn { amount: 30 }])
//!     .then_state(|account| assert_eq!(account.balance, 70))
//!     .when(Command::Withdraw { amount: 71 })
//!     .then_reject(Error::InsufficientFunds { balance: 70 });
//! ```
//!
//! Nothing takes a short cut: events and commands pass through their JSON encoding and the code that the component
//! runs. Before and after each step the state goes through its own encoding as well: the restored state must have the
//! same bytes, take the same events to the same bytes, and decide the same. So a state that loses a field, or whose
//! bytes depend on a `HashMap`'s order, fails its tests here, and not on a production host.

mod outcome;
mod replica;

use serde_json::Value;

pub use self::outcome::Outcome;
use self::replica::Replica;
use crate::{Aggregate, Context, EventSet};

/// A stream with events, on which a command can be decided.
#[derive(Debug)]
pub struct History<A: Aggregate> {
    replica: Replica<A>,
    context: Context,
}

/// A stream that holds these events.
#[must_use = "a history alone tests nothing: go on with `when`"]
#[track_caller]
pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> History<A> {
    let mut history = History { replica: Replica::new(), context: context() };
    for event in events {
        let event = event.encode();
        history.replica.apply(event.kind.event_type, event.kind.schema_version, &event.payload);
    }
    history
}

/// A stream without events.
#[must_use = "a history alone tests nothing: go on with `when`"]
#[track_caller]
pub fn given_nothing<A: Aggregate>() -> History<A> {
    given([])
}

/// The context of the first command in a test: the time is 1,700,000,000,000 (November 2023), the seed 1, the tenant
/// `default`, the stream `test`, and the rest is empty. Each further command has an id and a seed of its own.
pub fn context() -> Context {
    Context {
        time: 1_700_000_000_000,
        command_id: command_id(1),
        seed: 1,
        actor: None,
        tenant: "default".into(),
        stream_id: "test".into(),
        version: -1,
        correlation_id: None,
    }
}

fn command_id(seed: u64) -> String {
    format!("00000000-0000-7000-8000-{seed:012x}")
}

impl<A: Aggregate> History<A> {
    /// Adds an event as history holds it: of any type and schema version, also older ones.
    #[track_caller]
    pub fn recorded(mut self, event_type: &str, schema_version: u32, payload: Value) -> Self {
        self.replica.apply(event_type, schema_version, payload.to_string().as_bytes());
        self
    }

    /// Sets the time of the commands that follow, in milliseconds since 1970-01-01 UTC.
    #[must_use = "a history alone tests nothing: go on with `when`"]
    pub fn at(self, time: i64) -> Self {
        self.with(|context| context.time = time)
    }

    /// Sets who sends the commands that follow.
    #[must_use = "a history alone tests nothing: go on with `when`"]
    pub fn by(self, actor: impl Into<String>) -> Self {
        self.with(|context| context.actor = Some(actor.into()))
    }

    /// Changes the context of the commands that follow. Its `version` is always the stream's.
    #[must_use = "a history alone tests nothing: go on with `when`"]
    pub fn with(mut self, change: impl FnOnce(&mut Context)) -> Self {
        change(&mut self.context);
        self
    }

    /// Decides a command.
    #[track_caller]
    pub fn when(mut self, command: A::Command) -> Outcome<A> {
        self.context.version = self.replica.version();
        let decided = self.replica.decide(command, &self.context);
        Outcome::new(self, decided)
    }

    /// Looks at the state: `check` asserts.
    pub fn then_state(self, check: impl FnOnce(&A)) -> Self {
        check(self.replica.aggregate());
        self
    }
}
