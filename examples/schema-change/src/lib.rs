//! Subscriptions, as an Everfold domain module: version 1.0, which writes the history that version 2.0 has to live with.
//!
//! Three things in it are regretted later. Prices don't say their currency. `EmailChanged` is too narrow a name. And
//! `PlanChanged` says two things at once, so a price can't change by itself.

use everfold_sdk::prelude::*;

/// A subscription. Prices are in cents a month.
#[state]
pub struct Subscription {
    pub customer: Option<String>,
    pub email: Option<String>,
    pub plan: String,
    pub price: u64,
}

#[derive(EventSet)]
pub enum Event {
    /// The subscription began.
    Started { customer: String, plan: String, price: u64 },
    /// Letters go to another address.
    EmailChanged { email: String },
    /// Another plan was chosen, with a price of its own.
    PlanChanged { plan: String, price: u64 },
}

#[derive(CommandSet)]
pub enum Command {
    /// Begins the subscription.
    Start {
        #[schemars(length(min = 1, max = 200))]
        customer: String,
        plan: String,
        #[schemars(range(max = 1_000_000))]
        price: u64,
    },
    /// Sets the address that letters go to.
    ChangeEmail {
        #[schemars(length(min = 3, max = 320))]
        email: String,
    },
    /// Chooses another plan.
    ChangePlan {
        plan: String,
        #[schemars(range(max = 1_000_000))]
        price: u64,
    },
}

#[derive(Rejection)]
pub enum Error {
    #[reject("the subscription has started")]
    AlreadyStarted,
    #[reject("there is no such subscription")]
    NotStarted,
}

impl Aggregate for Subscription {
    const TYPE: &'static str = "subscription";
    // Often, so that the swap to version 2.0 meets snapshots.
    const SNAPSHOT_INTERVAL: Option<u32> = Some(5);
    type Event = Event;
    type Command = Command;
    type Rejection = Error;

    fn apply(&mut self, event: Event) {
        match event {
            Event::Started { customer, plan, price } => {
                self.customer = Some(customer);
                self.plan = plan;
                self.price = price;
            }
            Event::EmailChanged { email } => self.email = Some(email),
            Event::PlanChanged { plan, price } => {
                self.plan = plan;
                self.price = price;
            }
        }
    }

    fn decide(&self, command: Command, _ctx: &Context) -> Result<Vec<Event>, Error> {
        match command {
            Command::Start { .. } if self.customer.is_some() => Err(Error::AlreadyStarted),
            Command::Start { customer, plan, price } => Ok(vec![Event::Started { customer, plan, price }]),
            _ if self.customer.is_none() => Err(Error::NotStarted),
            Command::ChangeEmail { email } if self.email.as_ref() == Some(&email) => Ok(vec![]),
            Command::ChangeEmail { email } => Ok(vec![Event::EmailChanged { email }]),
            Command::ChangePlan { plan, price } => Ok(vec![Event::PlanChanged { plan, price }]),
        }
    }
}

everfold_sdk::export!(Subscription);
