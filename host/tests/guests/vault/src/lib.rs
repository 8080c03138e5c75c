//! A vault, for the torture harness: amounts go in and out, and what is in it tells which events were folded, in which
//! order. `torture/src/vault.rs` says the same natively; a test holds the two together.

use everfold_sdk::prelude::*;
use everfold_sdk::serde::Deserialize as _;
use everfold_sdk::serde::de::{Deserializer, Error as _};

/// A vault whose balance no command takes below zero.
#[state]
#[derive(Clone, Debug, PartialEq)]
pub struct Vault {
    /// The sum of all amounts.
    pub balance: i64,
    /// How many events were folded.
    pub entries: u64,
    /// A hash over the tokens and amounts of all events, in order.
    pub digest: u64,
    /// The token of the last event.
    pub last: String,
    /// The largest amount.
    #[cfg(feature = "v2")]
    pub largest: i64,
}

#[derive(Clone, Debug, EventSet)]
pub enum Event {
    /// An amount went in, or out where it is negative.
    Moved {
        token: String,
        #[serde(deserialize_with = "amount")]
        amount: i64,
        /// Which event of its command or append it is, from 0.
        nth: u32,
    },
}

/// The amount of an event, where events can be taken at all. With the feature `unfolding` they can't, though the module
/// describes itself like the others: the host can't know before it folds.
fn amount<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let amount = i64::deserialize(from)?;
    if cfg!(feature = "unfolding") {
        return Err(D::Error::custom("no event is good enough"));
    }
    Ok(amount)
}

#[derive(Clone, Debug, CommandSet)]
pub enum Command {
    /// Moves amounts, an event for each.
    Move { token: String, amounts: Vec<i64> },
    /// Answers no events.
    Touch { token: String },
    /// Panics.
    Trap { token: String },
}

#[derive(Clone, Debug, Rejection)]
pub enum Error {
    /// The balance would fall below zero on the way.
    #[reject("there is {balance}: not enough")]
    Short { balance: i64 },
}

impl Aggregate for Vault {
    const TYPE: &'static str = "vault";
    const STATE_VERSION: u32 = if cfg!(feature = "v2") { 2 } else { 1 };
    // Small, so that a run takes and restores many.
    const SNAPSHOT_INTERVAL: Option<u32> = Some(5);
    type Event = Event;
    type Command = Command;
    type Rejection = Error;

    fn apply(&mut self, Event::Moved { token, amount, .. }: Event) {
        self.balance += amount;
        self.entries += 1;
        self.digest = digest(self.digest, &token, amount);
        self.last = token;
        #[cfg(feature = "v2")]
        {
            self.largest = self.largest.max(amount);
        }
    }

    fn decide(&self, command: Command, _: &Context) -> Result<Vec<Event>, Error> {
        if cfg!(feature = "poison") {
            panic!("this version fails on everything");
        }
        match command {
            Command::Move { token, amounts } => self.move_all(&token, &amounts),
            Command::Touch { .. } => Ok(vec![]),
            Command::Trap { token } => panic!("{token} wants it so"),
        }
    }
}

impl Vault {
    fn move_all(&self, token: &str, amounts: &[i64]) -> Result<Vec<Event>, Error> {
        let mut left = self.balance;
        for amount in amounts {
            left += amount;
            if left < 0 {
                return Err(Error::Short { balance: self.balance });
            }
        }
        let moved = |(nth, amount): (u32, &i64)| Event::Moved { token: token.to_owned(), amount: *amount, nth };
        Ok((0..).zip(amounts).map(moved).collect())
    }
}

/// FNV-1a over what was there, the token and the amount.
fn digest(before: u64, token: &str, amount: i64) -> u64 {
    let bytes = before.to_le_bytes().into_iter().chain(token.bytes()).chain(amount.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

everfold_sdk::export!(Vault);
