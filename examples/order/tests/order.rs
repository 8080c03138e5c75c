//! The order's rules, given events, when a command, then events, nothing, or a rejection.

use everfold_sdk::Rejection as _;
use everfold_sdk::testing::{History, given, given_nothing};
use order::order::{Command, Error, Event, Order, Status};
use order::values::{Cents, Sku};

fn sku(name: &str) -> Sku {
    Sku(name.into())
}

fn added(name: &str, quantity: u32, price: u64) -> Event {
    Event::ItemAdded { sku: sku(name), quantity, price: Cents(price) }
}

fn add(name: &str, quantity: u32, price: u64) -> Command {
    Command::AddItem { sku: sku(name), quantity, price: Cents(price) }
}

fn pay(amount: u64) -> Command {
    Command::Pay { amount: Cents(amount) }
}

fn cancel() -> Command {
    Command::Cancel { reason: "too late".into() }
}

/// An order of 2 mugs for 12.50 each.
fn placed() -> History<Order> {
    given::<Order>([added("MUG", 2, 1250), Event::Placed { customer: "Ann".into(), total: Cents(2500) }])
}

#[test]
fn an_order_is_the_sum_of_its_items() {
    given_nothing::<Order>()
        .when(add("MUG", 2, 1250))
        .then([added("MUG", 2, 1250)])
        .when(add("PEN", 10, 99))
        .then([added("PEN", 10, 99)])
        .when(add("MUG", 1, 1250))
        .then([added("MUG", 1, 1250)])
        .then_state(|order| assert_eq!((order.total, order.items[&sku("MUG")].quantity), (Cents(4740), 3)))
        .when(Command::RemoveItem { sku: sku("MUG") })
        .then([Event::ItemRemoved { sku: sku("MUG") }])
        .then_state(|order| assert_eq!(order.total, Cents(990)))
        .when(Command::RemoveItem { sku: sku("MUG") })
        .then_reject(Error::NoSuchItem { sku: sku("MUG"), items: vec![sku("PEN")] });
}

#[test]
fn an_article_has_one_price_and_an_order_room_for_so_much() {
    given::<Order>([added("MUG", 1, 1250)])
        .when(add("MUG", 1, 1300))
        .then_reject(Error::OtherPrice { sku: sku("MUG"), price: Cents(1250) });
    given::<Order>([added("PEN", 9999, 1)])
        .when(add("MUG", 2, 1250))
        .then_reject(Error::TooManyPieces { asked: 2, room: 1 })
        .when(add("MUG", 1, 1250))
        .then([added("MUG", 1, 1250)]);
}

#[test]
fn what_is_placed_stays_as_it_is() {
    let place = |customer: &str| Command::Place { customer: customer.into() };
    given_nothing::<Order>().when(place("Ann")).then_rejected("empty");
    given::<Order>([added("MUG", 2, 1250)])
        .when(place("Ann"))
        .then([Event::Placed { customer: "Ann".into(), total: Cents(2500) }])
        .when(place("Ann"))
        .then_nothing()
        .when(place("Bob"))
        .then_reject(Error::NotADraft { status: Status::Placed })
        .when(add("PEN", 1, 99))
        .then_reject(Error::NotADraft { status: Status::Placed })
        .when(Command::RemoveItem { sku: sku("MUG") })
        .then_rejected("not-a-draft");
}

#[test]
fn an_order_is_paid_at_once_or_in_parts_but_not_beyond() {
    placed()
        .when(pay(500))
        .then([Event::Paid { amount: Cents(500) }])
        .then_state(|order| assert_eq!(order.status, Status::Placed))
        .when(pay(2001))
        .then_reject(Error::TooMuch { due: Cents(2000), offered: Cents(2001) })
        .when(pay(2000))
        .then([Event::Paid { amount: Cents(2000) }])
        .then_state(|order| assert_eq!(order.status, Status::Paid))
        .when(pay(1))
        .then_reject(Error::NothingDue { status: Status::Paid });
    given_nothing::<Order>().when(pay(1)).then_reject(Error::NothingDue { status: Status::Draft });
}

#[test]
fn a_cancelled_order_gives_back_what_was_paid() {
    let cancelled = || Event::Cancelled { reason: "too late".into() };
    placed().when(cancel()).then([cancelled()]).when(cancel()).then_nothing();
    placed()
        .when(pay(500))
        .then([Event::Paid { amount: Cents(500) }])
        .when(cancel())
        .then([cancelled(), Event::Refunded { amount: Cents(500) }])
        .then_state(|order| assert_eq!((order.status, order.paid), (Status::Cancelled, Cents(0))))
        .when(pay(500))
        .then_reject(Error::NothingDue { status: Status::Cancelled });
}

#[test]
fn amounts_read_as_money() {
    assert_eq!(Cents(123_405).to_string(), "1234.05");
    assert_eq!(Error::TooMuch { due: Cents(5), offered: Cents(1200) }.message(), "0.05 is still to be paid, not 12.00");
}
