//! Orders: items are added and removed, then the order is placed, paid, or cancelled.

use std::collections::BTreeMap;
use std::fmt;

use everfold_sdk::prelude::*;

use crate::values::{Cents, Sku};

/// The most pieces that one order may have, over all its items.
pub const MOST_PIECES: u32 = 10_000;

/// An order. Amounts are in cents.
#[state]
pub struct Order {
    pub status: Status,
    pub customer: Option<String>,
    // In a `BTreeMap`, whose order is always the same: equal states have equal bytes.
    pub items: BTreeMap<Sku, Item>,
    pub total: Cents,
    pub paid: Cents,
}

#[data]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    #[default]
    Draft,
    Placed,
    Paid,
    Cancelled,
}

/// Some pieces of one article.
#[data]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub quantity: u32,
    /// Of one piece.
    pub price: Cents,
}

#[derive(EventSet)]
pub enum Event {
    /// Pieces of an article were added.
    ItemAdded { sku: Sku, quantity: u32, price: Cents },
    /// All pieces of an article were removed.
    ItemRemoved { sku: Sku },
    /// The customer ordered what is in it.
    Placed { customer: String, total: Cents },
    /// Some or all of the total was paid.
    Paid { amount: Cents },
    /// The order was given up.
    Cancelled { reason: String },
    /// What had been paid went back.
    Refunded { amount: Cents },
}

#[derive(CommandSet)]
pub enum Command {
    /// Adds pieces of an article; those of an article that is there already must have the same price.
    AddItem {
        sku: Sku,
        #[schemars(range(min = 1, max = 1000))]
        quantity: u32,
        #[schemars(range(min = 1, max = 100_000_000))]
        price: Cents,
    },
    /// Removes all pieces of an article.
    RemoveItem { sku: Sku },
    /// Orders what is in it. From then on the items stay as they are.
    Place {
        #[schemars(length(min = 1, max = 200))]
        customer: String,
    },
    /// Pays some or all of the total.
    Pay {
        #[schemars(range(min = 1))]
        amount: Cents,
    },
    /// Gives the order up. What was paid goes back.
    Cancel {
        #[schemars(length(min = 1, max = 1000))]
        reason: String,
    },
}

#[derive(Rejection)]
pub enum Error {
    /// Only a draft can be changed.
    #[reject("the order is {status}: its items can't be changed")]
    NotADraft { status: Status },
    /// An order holds no more than 10,000 pieces.
    #[reject("{asked} pieces are too many: there is room for {room}")]
    TooManyPieces { asked: u32, room: u32 },
    #[reject("{sku} is in the order for {price}")]
    OtherPrice { sku: Sku, price: Cents },
    #[reject("{sku} isn't in the order")]
    NoSuchItem { sku: Sku, items: Vec<Sku> },
    #[reject("the order is empty")]
    Empty,
    /// Only a placed order is paid.
    #[reject("the order is {status}: nothing is to be paid")]
    NothingDue { status: Status },
    #[reject("{due} is still to be paid, not {offered}")]
    TooMuch { due: Cents, offered: Cents },
}

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    // Orders of wholesalers have hundreds of items, each an event, and are looked at often.
    const SNAPSHOT_INTERVAL: Option<u32> = Some(20);
    type Event = Event;
    type Command = Command;
    type Rejection = Error;

    fn apply(&mut self, event: Event) {
        match event {
            Event::ItemAdded { sku, quantity, price } => {
                self.total += price * quantity;
                self.items.entry(sku).or_insert(Item { quantity: 0, price }).quantity += quantity;
            }
            Event::ItemRemoved { sku } => {
                if let Some(item) = self.items.remove(&sku) {
                    self.total -= item.price * item.quantity;
                }
            }
            Event::Placed { customer, .. } => {
                self.status = Status::Placed;
                self.customer = Some(customer);
            }
            Event::Paid { amount } => {
                self.paid += amount;
                if self.paid == self.total {
                    self.status = Status::Paid;
                }
            }
            Event::Cancelled { .. } => self.status = Status::Cancelled,
            Event::Refunded { amount } => self.paid -= amount,
        }
    }

    fn decide(&self, command: Command, _ctx: &Context) -> Result<Vec<Event>, Error> {
        match command {
            Command::AddItem { sku, quantity, price } => self.add(sku, quantity, price),
            Command::RemoveItem { sku } => self.remove(sku),
            Command::Place { customer } => self.place(customer),
            Command::Pay { amount } => self.pay(amount),
            Command::Cancel { reason } => Ok(self.cancel(reason)),
        }
    }
}

/// One function for each command.
impl Order {
    fn add(&self, sku: Sku, quantity: u32, price: Cents) -> Result<Vec<Event>, Error> {
        self.must_be_draft()?;
        let room = MOST_PIECES - self.items.values().map(|item| item.quantity).sum::<u32>();
        match self.items.get(&sku) {
            _ if quantity > room => Err(Error::TooManyPieces { asked: quantity, room }),
            Some(item) if item.price != price => Err(Error::OtherPrice { sku, price: item.price }),
            _ => Ok(vec![Event::ItemAdded { sku, quantity, price }]),
        }
    }

    fn remove(&self, sku: Sku) -> Result<Vec<Event>, Error> {
        self.must_be_draft()?;
        if !self.items.contains_key(&sku) {
            return Err(Error::NoSuchItem { sku, items: self.items.keys().cloned().collect() });
        }
        Ok(vec![Event::ItemRemoved { sku }])
    }

    fn place(&self, customer: String) -> Result<Vec<Event>, Error> {
        match self.status {
            // Ordered by them already: nothing to do.
            Status::Placed if self.customer.as_ref() == Some(&customer) => Ok(vec![]),
            Status::Draft if self.items.is_empty() => Err(Error::Empty),
            Status::Draft => Ok(vec![Event::Placed { customer, total: self.total }]),
            status => Err(Error::NotADraft { status }),
        }
    }

    fn pay(&self, amount: Cents) -> Result<Vec<Event>, Error> {
        let due = self.total - self.paid;
        match self.status {
            Status::Placed if amount > due => Err(Error::TooMuch { due, offered: amount }),
            Status::Placed => Ok(vec![Event::Paid { amount }]),
            status => Err(Error::NothingDue { status }),
        }
    }

    /// Two events of one decision are committed together.
    fn cancel(&self, reason: String) -> Vec<Event> {
        match self.status {
            Status::Cancelled => vec![],
            _ if self.paid > Cents(0) => vec![Event::Cancelled { reason }, Event::Refunded { amount: self.paid }],
            _ => vec![Event::Cancelled { reason }],
        }
    }

    fn must_be_draft(&self) -> Result<(), Error> {
        match self.status {
            Status::Draft => Ok(()),
            status => Err(Error::NotADraft { status }),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draft => "a draft",
            Self::Placed => "placed",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
        })
    }
}
