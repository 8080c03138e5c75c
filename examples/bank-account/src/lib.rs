//! Bank accounts, as an Everfold domain module.

use everfold_sdk::prelude::*;

/// A bank account. Amounts are in cents.
#[state]
pub struct Account {
    pub owner: Option<String>,
    pub balance: u64,
}

#[derive(EventSet)]
pub enum Event {
    /// The account was opened.
    Opened { owner: String },
    /// Money was paid in.
    Deposited { amount: u64 },
    /// Money was paid out.
    Withdrawn { amount: u64 },
}

#[derive(CommandSet)]
pub enum Command {
    /// Opens the account.
    Open { owner: String },
    /// Pays money in.
    Deposit {
        #[schemars(range(min = 1, max = 1_000_000_000))]
        amount: u64,
    },
    /// Pays money out, as far as the balance goes.
    Withdraw {
        #[schemars(range(min = 1, max = 1_000_000_000))]
        amount: u64,
    },
}

#[derive(Rejection)]
pub enum Error {
    #[reject("the account is open already")]
    AlreadyOpen,
    #[reject("the account is not open")]
    NotOpen,
    #[reject("the balance is {balance}")]
    InsufficientFunds { balance: u64 },
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Event = Event;
    type Command = Command;
    type Rejection = Error;

    fn apply(&mut self, event: Event) {
        match event {
            Event::Opened { owner } => self.owner = Some(owner),
            Event::Deposited { amount } => self.balance += amount,
            Event::Withdrawn { amount } => self.balance -= amount,
        }
    }

    fn decide(&self, command: Command, _ctx: &Context) -> Result<Vec<Event>, Error> {
        match command {
            Command::Open { .. } if self.owner.is_some() => Err(Error::AlreadyOpen),
            Command::Open { owner } => Ok(vec![Event::Opened { owner }]),
            _ if self.owner.is_none() => Err(Error::NotOpen),
            Command::Deposit { amount } => Ok(vec![Event::Deposited { amount }]),
            Command::Withdraw { amount } if amount > self.balance => {
                Err(Error::InsufficientFunds { balance: self.balance })
            }
            Command::Withdraw { amount } => Ok(vec![Event::Withdrawn { amount }]),
        }
    }
}

everfold_sdk::export!(Account);
