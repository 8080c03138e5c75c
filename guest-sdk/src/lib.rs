//! Write Everfold domain modules in plain Rust.
//!
//! A domain module is what an Everfold host runs for you: the rules of your business, compiled to WebAssembly. The host
//! keeps the events, delivers the commands and swaps modules while it runs; the module says what a command means. It
//! is a library crate with this one dependency:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"] # cdylib is the module, rlib is for the tests
//!
//! [dependencies]
//! everfold-sdk = { path = "…/everfold/guest-sdk" } # or by git
//! ```
//!
//! # A module from start to end
//!
//! An aggregate is the state of one thing (an account, an order) as its events made it. It takes four types and one
//! trait. **Events** are facts: they are stored as JSON, for ever.
//!
//! ```
//! use everfold_sdk::prelude::*;
//!
//! #[derive(EventSet)]
//! pub enum Event {
//!     /// Doc comments are shown to the people who use the module.
//!     Opened { owner: String },
//!     Deposited { amount: u64 },
//!     Withdrawn { amount: u64 },
//! }
//! # fn main() {}
//! ```
//!
//! **Commands** are requests. `schemars` attributes narrow what the host lets through: it checks each payload against
//! the JSON Schema before the module sees it.
//!
//! ```
//! # use everfold_sdk::prelude::*;
//! #[derive(CommandSet)]
//! pub enum Command {
//!     Open { owner: String },
//!     Deposit { #[schemars(range(min = 1))] amount: u64 },
//!     Withdraw { #[schemars(range(min = 1))] amount: u64 },
//! }
//! # fn main() {}
//! ```
//!
//! **Rejections** are the domain's ways of saying no. Callers act on the code, which is the variant's name in kebab
//! case, here `insufficient-funds`, and get the fields as details.
//!
//! ```
//! # use everfold_sdk::prelude::*;
//! #[derive(Rejection)]
//! pub enum Error {
//!     NotOpen,
//!     #[reject("the balance is {balance}")]
//!     InsufficientFunds { balance: u64 },
//! }
//! # fn main() {}
//! ```
//!
//! The **state** is whatever the decisions need, and begins as its `Default`. [`Aggregate`] ties them together:
//! `apply` folds one event into the state, `decide` answers a command with events, or with a rejection.
//!
//! ```
//! # use everfold_sdk::prelude::*;
//! # #[derive(EventSet)]
//! # pub enum Event { Opened { owner: String }, Deposited { amount: u64 }, Withdrawn { amount: u64 } }
//! # #[derive(CommandSet)]
//! # pub enum Command { Open { owner: String }, Deposit { amount: u64 }, Withdraw { amount: u64 } }
//! # #[derive(Rejection)]
//! # pub enum Error { NotOpen, InsufficientFunds { balance: u64 } }
//! /// A bank account.
//! #[state]
//! pub struct Account {
//!     owner: Option<String>,
//!     balance: u64,
//! }
//!
//! impl Aggregate for Account {
//!     const TYPE: &'static str = "account";
//!     type Event = Event;
//!     type Command = Command;
//!     type Rejection = Error;
//!
//!     fn apply(&mut self, event: Event) {
//!         match event {
//!             Event::Opened { owner } => self.owner = Some(owner),
//!             Event::Deposited { amount } => self.balance += amount,
//!             Event::Withdrawn { amount } => self.balance -= amount,
//!         }
//!     }
//!
//!     fn decide(&self, command: Command, _ctx: &Context) -> Result<Vec<Event>, Error> {
//!         match command {
//!             Command::Open { .. } if self.owner.is_some() => Ok(vec![]), // nothing to do: a success too
//!             Command::Open { owner } => Ok(vec![Event::Opened { owner }]),
//!             _ if self.owner.is_none() => Err(Error::NotOpen),
//!             Command::Deposit { amount } => Ok(vec![Event::Deposited { amount }]),
//!             Command::Withdraw { amount } if amount > self.balance => {
//!                 Err(Error::InsufficientFunds { balance: self.balance })
//!             }
//!             Command::Withdraw { amount } => Ok(vec![Event::Withdrawn { amount }]),
//!         }
//!     }
//! }
//!
//! everfold_sdk::export!(Account);
//!
//! // In tests/: the same code, natively.
//! use everfold_sdk::testing::{given, given_nothing};
//!
//! given::<Account>([Event::Opened { owner: "Ann".into() }, Event::Deposited { amount: 30 }])
//!     .when(Command::Withdraw { amount: 31 })
//!     .then_reject(Error::InsufficientFunds { balance: 30 })
//!     .when(Command::Withdraw { amount: 30 })
//!     .then([Event::Withdrawn { amount: 30 }])
//!     .then_state(|account| assert_eq!(account.balance, 0));
//! given_nothing::<Account>().when(Command::Deposit { amount: 1 }).then_rejected("not-open");
//! ```
//!
//! A module may hold several aggregates: `export!(Account, Transfer)`.
//!
//! # What a module can reach
//!
//! Its arguments, and nothing else: there is no clock, no randomness, no file, no network. So the same events give the
//! same state on every host, today and in ten years. What a decision needs beside state and command is in the
//! [`Context`]: the time, a seed, the command's id, who sent it. [`log`] writes to the host's own log.
//!
//! # Payloads
//!
//! A variant's named fields are its payload, as a JSON object; a variant without fields has the payload `{}`; a
//! variant with one unnamed field has that type's JSON. Types inside payloads and states are marked [`#[data]`](data),
//! and all of `serde`'s and `schemars`' field attributes work. No crate but this one need be named in `Cargo.toml`.
//!
//! ```
//! # use everfold_sdk::prelude::*;
//! #[data]
//! pub struct Address {
//!     street: String,
//!     #[serde(default)]
//!     lines: Vec<String>,
//! }
//!
//! #[derive(EventSet)]
//! #[events(rename_all_fields = "camelCase")]
//! pub enum Event {
//!     Moved { new_address: Address, moved_by: Option<String> },
//!     Delivered(Address),
//! }
//! # fn main() {}
//! ```
//!
//! From these types the module tells the host the JSON Schemas of its commands, events, states and rejections' details.
//!
//! Commands refuse fields that aren't declared; events pass over them, so that an older module can read what a newer
//! one wrote.
//!
//! # When events change
//!
//! History is never rewritten. A field may be added with `#[serde(default)]` or as an `Option`, without more. For any
//! other change raise the event's schema version and say how the old payload becomes the new one; upcasters run one
//! after the other, so each is written once. Renamed and retired event types are declared too. An upcaster answers
//! the next version's payload, or the events that the old one now stands for: one, several or none.
//!
//! ```
//! use everfold_sdk::prelude::*;
//!
//! #[derive(EventSet)]
//! #[events(retired("OpenedWithDeposit", 1 = opened_with_deposit))]
//! pub enum Event {
//!     #[event(version = 3, upcast(1 = opened_v1, 2 = opened_v2), renamed_from = "Created")]
//!     Opened { owner: String, currency: String },
//!     Deposited { amount: u64 },
//! }
//!
//! /// Version 2 has a currency.
//! fn opened_v1(mut old: Value) -> Value {
//!     old["currency"] = json!("EUR");
//!     old
//! }
//!
//! /// Version 3 calls the name the owner.
//! fn opened_v2(old: Value) -> Value {
//!     json!({ "owner": old["name"], "currency": old["currency"] })
//! }
//!
//! /// The shape of an old payload, where that is nicer to work with than a `Value`.
//! #[data]
//! struct OpenedWithDeposit { owner: String, amount: u64 }
//!
//! fn opened_with_deposit(old: OpenedWithDeposit) -> Vec<Event> {
//!     vec![
//!         Event::Opened { owner: old.owner, currency: "EUR".into() },
//!         Event::Deposited { amount: old.amount },
//!     ]
//! }
//! # fn main() {}
//! ```
//!
//! The state is another matter: it is only a cache of the events. Change it at will; where its JSON changes shape or
//! meaning, raise [`Aggregate::STATE_VERSION`], and the host folds the events anew.
//!
//! # When something goes wrong
//!
//! Payloads that can't be decoded and names that aren't declared are errors with a text for the caller; the SDK sees
//! to it. A panic in `apply` or `decide` fails that command alone: what it says goes to the host's log, and the caller
//! hears `module-trapped`. A panic in `apply` makes the stream unreadable until a better module is there, so check in
//! `decide`, and let `apply` only take note. Release builds of Rust wrap sums that overflow: turn `overflow-checks` on
//! for a domain that counts money.

// The derives name this crate as its users do; its own tests use them too.
#[cfg(test)]
extern crate self as everfold_sdk;

mod aggregate;
#[cfg(any(all(target_arch = "wasm32", not(target_feature = "atomics"), feature = "allocator"), test))]
mod allocator;
mod command;
mod context;
pub mod descriptor;
mod event;
#[cfg(target_arch = "wasm32")]
mod guest;
mod instance;
pub mod log;
mod rejection;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use everfold_sdk_macros::{CommandSet, EventSet, Rejection, data, state};
pub use {schemars, serde, serde_json};

pub use crate::aggregate::{Aggregate, State};
pub use crate::command::{CommandError, CommandSet, CommandType, EncodedCommand};
pub use crate::context::Context;
pub use crate::event::{EncodedEvent, EventError, EventKind, EventSet, EventType, IntoEvents, IntoUpcast, Upcast};
pub use crate::rejection::{Rejection, RejectionType};

/// All that a module's source needs: `use everfold_sdk::prelude::*;`
pub mod prelude {
    pub use serde_json::{Value, json};

    pub use crate::{Aggregate, CommandSet, Context, EventSet, Rejection, data, log, state};
}

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

/// Makes a module of one or more [`Aggregate`]s: `export!(Account);` or `export!(Account, Transfer);`, once, at the
/// root of the crate. The module's name and version are the crate's own.
///
/// On targets other than WebAssembly it makes nothing, so that tests run natively.
#[macro_export]
macro_rules! export {
    ($($aggregate:ty),+ $(,)?) => {
        const _: () = {
            $crate::__private::assert_distinct(&[$(<$aggregate as $crate::Aggregate>::TYPE),+]);

            #[cfg(target_arch = "wasm32")]
            pub struct Module;

            #[cfg(target_arch = "wasm32")]
            impl $crate::__private::Module for Module {
                const NAME: &'static str = env!("CARGO_PKG_NAME");
                const VERSION: &'static str = env!("CARGO_PKG_VERSION");
                const TYPES: &'static [$crate::__private::AggregateType] =
                    &[$($crate::__private::AggregateType::of::<$aggregate>()),+];
            }

            #[cfg(target_arch = "wasm32")]
            type Exports = $crate::__private::Glue<Module>;

            #[cfg(target_arch = "wasm32")]
            $crate::__private::bindings::export_component!(
                Exports with_types_in $crate::__private::bindings
            );
        };
    };
}
