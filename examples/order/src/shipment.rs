//! Shipments: the parcels of an order are packed, shipped and delivered.

use everfold_sdk::prelude::*;

/// The parcels of one order on their way.
#[state]
pub struct Shipment {
    /// The id of the order's stream.
    pub order: Option<String>,
    pub parcels: u32,
    pub carrier: Option<String>,
    pub tracking: Option<String>,
    pub signed_by: Option<String>,
}

#[derive(EventSet)]
pub enum Event {
    /// An order's items were packed.
    Packed { order: String, parcels: u32 },
    /// A carrier has the parcels.
    Shipped { carrier: String, tracking: String },
    /// Somebody took them in.
    Delivered { signed_by: String },
}

#[derive(CommandSet)]
pub enum Command {
    /// Packs an order's items.
    Pack {
        #[schemars(length(min = 1, max = 200))]
        order: String,
        #[schemars(range(min = 1, max = 50))]
        parcels: u32,
    },
    /// Hands the parcels to a carrier.
    Ship {
        #[schemars(length(min = 1, max = 100))]
        carrier: String,
        /// Made by the module where it isn't given.
        #[schemars(length(min = 1, max = 100))]
        tracking: Option<String>,
    },
    /// Notes who took them in.
    Deliver {
        #[schemars(length(min = 1, max = 200))]
        signed_by: String,
    },
}

#[derive(Rejection)]
pub enum Error {
    #[reject("the shipment is of order {order}")]
    OtherOrder { order: String },
    #[reject("nothing is packed")]
    NotPacked,
    #[reject("{carrier} has the parcels")]
    AlreadyShipped { carrier: String, tracking: String },
    #[reject("no carrier has the parcels")]
    NotShipped,
    #[reject("the parcels were taken in by {signed_by}")]
    AlreadyDelivered { signed_by: String },
}

impl Aggregate for Shipment {
    const TYPE: &'static str = "shipment";
    // It has three events at most: a snapshot would save nothing.
    const SNAPSHOT_INTERVAL: Option<u32> = Some(0);
    type Event = Event;
    type Command = Command;
    type Rejection = Error;

    fn apply(&mut self, event: Event) {
        match event {
            Event::Packed { order, parcels } => {
                self.order = Some(order);
                self.parcels = parcels;
            }
            Event::Shipped { carrier, tracking } => {
                self.carrier = Some(carrier);
                self.tracking = Some(tracking);
            }
            Event::Delivered { signed_by } => self.signed_by = Some(signed_by),
        }
    }

    fn decide(&self, command: Command, ctx: &Context) -> Result<Vec<Event>, Error> {
        match (command, &self.order) {
            (Command::Pack { order, parcels }, None) => Ok(vec![Event::Packed { order, parcels }]),
            (Command::Pack { order, .. }, Some(packed)) if order == *packed => Ok(vec![]),
            (Command::Pack { .. }, Some(packed)) => Err(Error::OtherOrder { order: packed.clone() }),
            (_, None) => Err(Error::NotPacked),
            (Command::Ship { carrier, tracking }, _) => self.ship(carrier, tracking, ctx),
            (Command::Deliver { signed_by }, _) => self.deliver(signed_by),
        }
    }
}

impl Shipment {
    fn ship(&self, carrier: String, tracking: Option<String>, ctx: &Context) -> Result<Vec<Event>, Error> {
        if let (Some(carrier), Some(tracking)) = (self.carrier.clone(), self.tracking.clone()) {
            return Err(Error::AlreadyShipped { carrier, tracking });
        }
        // The command is the module's only source of new ids: decided again, it gives the same one.
        let tracking = tracking.unwrap_or_else(|| ctx.derive_id("tracking"));
        Ok(vec![Event::Shipped { carrier, tracking }])
    }

    fn deliver(&self, signed_by: String) -> Result<Vec<Event>, Error> {
        match &self.signed_by {
            _ if self.carrier.is_none() => Err(Error::NotShipped),
            Some(before) if *before == signed_by => Ok(vec![]),
            Some(before) => Err(Error::AlreadyDelivered { signed_by: before.clone() }),
            None => Ok(vec![Event::Delivered { signed_by }]),
        }
    }
}
