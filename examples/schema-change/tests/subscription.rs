//! The subscription's rules in version 1.0.

use everfold_sdk::testing::{given, given_nothing};
use schema_change::{Command, Event, Subscription};

fn started() -> Event {
    Event::Started { customer: "Ann".into(), plan: "basic".into(), price: 500 }
}

fn start() -> Command {
    Command::Start { customer: "Ann".into(), plan: "basic".into(), price: 500 }
}

fn change_email() -> Command {
    Command::ChangeEmail { email: "ann@example.org".into() }
}

#[test]
fn a_subscription_starts_once() {
    given_nothing::<Subscription>().when(start()).then([started()]).when(start()).then_rejected("already-started");
    given_nothing::<Subscription>().when(change_email()).then_rejected("not-started");
}

#[test]
fn its_address_and_plan_change() {
    given::<Subscription>([started()])
        .when(change_email())
        .then([Event::EmailChanged { email: "ann@example.org".into() }])
        .when(change_email())
        .then_nothing()
        .when(Command::ChangePlan { plan: "pro".into(), price: 900 })
        .then([Event::PlanChanged { plan: "pro".into(), price: 900 }])
        .then_state(|it| assert_eq!((it.plan.as_str(), it.price), ("pro", 900)));
}
