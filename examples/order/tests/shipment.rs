//! The shipment's rules, given events, when a command, then events, nothing, or a rejection.

use everfold_sdk::testing::{context, given, given_nothing};
use order::shipment::{Command, Error, Event, Shipment};

fn packed() -> Event {
    Event::Packed { order: "o-1".into(), parcels: 2 }
}

fn shipped(tracking: &str) -> Event {
    Event::Shipped { carrier: "Swift".into(), tracking: tracking.into() }
}

fn pack(order: &str) -> Command {
    Command::Pack { order: order.into(), parcels: 2 }
}

fn ship(tracking: Option<&str>) -> Command {
    Command::Ship { carrier: "Swift".into(), tracking: tracking.map(Into::into) }
}

fn deliver(signed_by: &str) -> Command {
    Command::Deliver { signed_by: signed_by.into() }
}

#[test]
fn parcels_are_packed_shipped_and_delivered() {
    given_nothing::<Shipment>()
        .when(pack("o-1"))
        .then([packed()])
        .when(pack("o-1"))
        .then_nothing()
        .when(pack("o-2"))
        .then_reject(Error::OtherOrder { order: "o-1".into() })
        .when(ship(Some("T1")))
        .then([shipped("T1")])
        .when(ship(None))
        .then_reject(Error::AlreadyShipped { carrier: "Swift".into(), tracking: "T1".into() })
        .when(deliver("Ann"))
        .then([Event::Delivered { signed_by: "Ann".into() }])
        .when(deliver("Ann"))
        .then_nothing()
        .when(deliver("Bob"))
        .then_reject(Error::AlreadyDelivered { signed_by: "Ann".into() });
}

#[test]
fn one_thing_comes_after_the_other() {
    given_nothing::<Shipment>().when(ship(None)).then_rejected("not-packed");
    given_nothing::<Shipment>().when(deliver("Ann")).then_rejected("not-packed");
    given::<Shipment>([packed()]).when(deliver("Ann")).then_rejected("not-shipped");
}

#[test]
fn a_tracking_number_that_is_not_given_follows_from_the_command() {
    let expected = shipped(&context().derive_id("tracking"));
    given::<Shipment>([packed()]).when(ship(None)).then([expected]);
}
