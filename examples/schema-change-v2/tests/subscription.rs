//! What version 2.0 makes of the history that version 1.0 wrote, and what it writes itself.

use everfold_sdk::serde_json::json;
use everfold_sdk::testing::{History, given_nothing};
use schema_change_v2::{Command, Event, Price, Subscription};

fn euros(amount: u64) -> Price {
    Price { amount, currency: "EUR".into() }
}

/// A stream as version 1.0 left it: types, schema versions and payloads are those in the log.
fn old_history() -> History<Subscription> {
    given_nothing::<Subscription>()
        .recorded("Started", 1, json!({ "customer": "Ann", "plan": "basic", "price": 500 }))
        .recorded("EmailChanged", 1, json!({ "email": "ann@example.org" }))
        .recorded("PlanChanged", 1, json!({ "plan": "pro", "price": 900 }))
}

#[test]
fn old_events_are_read_as_what_they_mean_today() {
    old_history().then_state(|it| {
        assert_eq!((it.customer.as_deref(), it.contact.as_deref()), (Some("Ann"), Some("ann@example.org")));
        assert_eq!((it.plan.as_str(), &it.price, it.agreements), ("pro", &euros(900), 2));
    });
}

#[test]
fn old_and_new_events_share_a_stream() {
    old_history()
        .when(Command::ChangeEmail { email: "ann@example.org".into() })
        .then_nothing()
        .when(Command::ChangePlan { plan: "max".into(), price: 1900 })
        .then([Event::PlanChosen { plan: "max".into() }, Event::PriceAgreed { price: 1900, currency: "EUR".into() }])
        .when(Command::AgreePrice { price: 2100, currency: "USD".into() })
        .then([Event::PriceAgreed { price: 2100, currency: "USD".into() }])
        .then_state(|it| assert_eq!((it.plan.as_str(), it.agreements), ("max", 4)));
}

#[test]
fn a_new_subscription_says_its_currency() {
    let start = |currency: &str| Command::Start {
        customer: "Bob".into(),
        plan: "basic".into(),
        price: 500,
        currency: currency.into(),
    };
    given_nothing::<Subscription>()
        .when(start("USD"))
        .then([Event::Started { customer: "Bob".into(), plan: "basic".into(), price: 500, currency: "USD".into() }])
        .when(start("USD"))
        .then_rejected("already-started");
    given_nothing::<Subscription>()
        .when(Command::AgreePrice { price: 1, currency: "EUR".into() })
        .then_rejected("not-started");
}
