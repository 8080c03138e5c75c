//! Subscriptions, as an Everfold domain module: version 2.0, whose events differ from those that version 1.0 wrote.
//!
//! The history stays as it is. Each old event is read as what it means today: `Started` gets a currency, `EmailChanged`
//! has a new name, and `PlanChanged` stands for two events. Commands are as before, so that callers needn't change in the
//! same minute; what is new is optional.

use everfold_sdk::prelude::*;

/// A subscription. Prices are in cents a month.
#[state]
pub struct Subscription {
    pub customer: Option<String>,
    pub contact: Option<String>,
    pub plan: String,
    pub price: Price,
    /// How often the price was agreed upon, the first time included.
    pub agreements: u32,
}

#[data]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Price {
    pub amount: u64,
    /// Three letters, as in ISO 4217.
    pub currency: String,
}

#[derive(EventSet)]
#[events(retired("PlanChanged", 1 = plan_changed))]
pub enum Event {
    /// The subscription began.
    #[event(version = 2, upcast(1 = started_v1))]
    Started { customer: String, plan: String, price: u64, currency: String },
    /// The customer is reached in another way.
    #[event(renamed_from = "EmailChanged")]
    ContactChanged { email: String },
    /// Another plan was chosen.
    PlanChosen { plan: String },
    /// Another price was agreed upon.
    PriceAgreed { price: u64, currency: String },
}

/// What all prices were in, before they said so.
const FORMER_CURRENCY: &str = "EUR";

/// Version 2 says the currency.
fn started_v1(mut old: Value) -> Value {
    old["currency"] = FORMER_CURRENCY.into();
    old
}

/// The payload of `PlanChanged`, as version 1.0 wrote it.
#[data]
struct PlanChanged {
    plan: String,
    price: u64,
}

/// It said two things at once.
fn plan_changed(old: PlanChanged) -> Vec<Event> {
    vec![
        Event::PlanChosen { plan: old.plan },
        Event::PriceAgreed { price: old.price, currency: FORMER_CURRENCY.into() },
    ]
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
        /// Euros where it isn't said.
        #[serde(default = "former_currency")]
        #[schemars(regex(pattern = "^[A-Z]{3}$"))]
        currency: String,
    },
    /// Sets the address that letters go to.
    ChangeEmail {
        #[schemars(length(min = 3, max = 320))]
        email: String,
    },
    /// Chooses another plan and its price, in the currency as it is.
    ChangePlan {
        plan: String,
        #[schemars(range(max = 1_000_000))]
        price: u64,
    },
    /// Changes the price alone.
    AgreePrice {
        #[schemars(range(max = 1_000_000))]
        price: u64,
        #[schemars(regex(pattern = "^[A-Z]{3}$"))]
        currency: String,
    },
}

fn former_currency() -> String {
    FORMER_CURRENCY.into()
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
    // The state has another shape than in version 1.0: no snapshot of that is read.
    const STATE_VERSION: u32 = 2;
    const SNAPSHOT_INTERVAL: Option<u32> = Some(5);
    type Event = Event;
    type Command = Command;
    type Rejection = Error;

    fn apply(&mut self, event: Event) {
        match event {
            Event::Started { customer, plan, price, currency } => {
                self.customer = Some(customer);
                self.plan = plan;
                self.agree(price, currency);
            }
            Event::ContactChanged { email } => self.contact = Some(email),
            Event::PlanChosen { plan } => self.plan = plan,
            Event::PriceAgreed { price, currency } => self.agree(price, currency),
        }
    }

    fn decide(&self, command: Command, _ctx: &Context) -> Result<Vec<Event>, Error> {
        match command {
            Command::Start { .. } if self.customer.is_some() => Err(Error::AlreadyStarted),
            Command::Start { customer, plan, price, currency } => {
                Ok(vec![Event::Started { customer, plan, price, currency }])
            }
            _ if self.customer.is_none() => Err(Error::NotStarted),
            Command::ChangeEmail { email } if self.contact.as_ref() == Some(&email) => Ok(vec![]),
            Command::ChangeEmail { email } => Ok(vec![Event::ContactChanged { email }]),
            Command::ChangePlan { plan, price } => {
                let currency = self.price.currency.clone();
                Ok(vec![Event::PlanChosen { plan }, Event::PriceAgreed { price, currency }])
            }
            Command::AgreePrice { price, currency } => Ok(vec![Event::PriceAgreed { price, currency }]),
        }
    }
}

impl Subscription {
    fn agree(&mut self, amount: u64, currency: String) {
        self.price = Price { amount, currency };
        self.agreements += 1;
    }
}

everfold_sdk::export!(Subscription);
