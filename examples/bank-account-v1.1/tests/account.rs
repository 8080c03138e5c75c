//! What version 1.1 adds: closing. Its other rules are tested in version 1.0.

use bank_account_v1_1::{Account, Command, Error, Event};
use everfold_sdk::serde_json::json;
use everfold_sdk::testing::{given, given_nothing};

fn opened() -> Event {
    Event::Opened { owner: "Ann".into() }
}

#[test]
fn an_empty_account_is_closed_and_can_be_opened_anew() {
    given::<Account>([opened()])
        .when(Command::Close)
        .then([Event::Closed])
        .when(Command::Deposit { amount: 1 })
        .then_rejected("not-open")
        .when(Command::Open { owner: "Bob".into() })
        .then([Event::Opened { owner: "Bob".into() }]);
}

#[test]
fn an_account_that_holds_money_stays_open() {
    given::<Account>([opened(), Event::Deposited { amount: 7 }])
        .when(Command::Close)
        .then_reject(Error::NotEmpty { balance: 7 });
}

#[test]
fn what_is_not_open_is_not_closed() {
    given_nothing::<Account>().when(Command::Close).then_rejected("not-open");
}

#[test]
fn the_history_of_version_1_0_folds() {
    given_nothing::<Account>()
        .recorded("Opened", 1, json!({ "owner": "Ann" }))
        .recorded("Deposited", 1, json!({ "amount": 50 }))
        .recorded("Withdrawn", 1, json!({ "amount": 8 }))
        .then_state(|account| assert_eq!(account.balance, 42));
}
