//! The account's rules, given events, when a command, then events or a rejection.

use bank_account::{Account, Command, Error, Event};
use everfold_sdk::testing::{History, given, given_nothing};

fn opened() -> Event {
    Event::Opened { owner: "Ann".into() }
}

fn account_with(amount: u64) -> History<Account> {
    given([opened(), Event::Deposited { amount }])
}

#[test]
fn an_account_is_opened_once() {
    given_nothing::<Account>()
        .when(Command::Open { owner: "Ann".into() })
        .then([opened()])
        .then_state(|account| assert_eq!(account.owner.as_deref(), Some("Ann")))
        .when(Command::Open { owner: "Bob".into() })
        .then_rejected("already-open");
}

#[test]
fn nothing_goes_before_open() {
    given_nothing::<Account>().when(Command::Deposit { amount: 5 }).then_rejected("not-open");
    given_nothing::<Account>().when(Command::Withdraw { amount: 5 }).then_rejected("not-open");
}

#[test]
fn deposits_add_up() {
    account_with(40)
        .when(Command::Deposit { amount: 2 })
        .then([Event::Deposited { amount: 2 }])
        .then_state(|account| assert_eq!(account.balance, 42));
}

#[test]
fn the_balance_can_be_withdrawn_and_no_more() {
    account_with(30)
        .when(Command::Withdraw { amount: 31 })
        .then_reject(Error::InsufficientFunds { balance: 30 })
        .when(Command::Withdraw { amount: 30 })
        .then([Event::Withdrawn { amount: 30 }])
        .then_state(|account| assert_eq!(account.balance, 0));
}
