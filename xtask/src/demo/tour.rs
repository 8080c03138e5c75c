//! The guided tour: what a host does with commands, shown one request at a time, each answer checked.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::MODULE;
use super::client::{Client, Request};

/// The aggregate type of the module that is shown.
pub(super) const ACCOUNT: &str = "account";

/// The stream that the tour writes.
const ALICE: &str = "alice";

/// The payload of `Open`.
pub(super) fn open(owner: &str) -> Value {
    json!({ "owner": owner })
}

/// The payload of `Deposit` and `Withdraw`.
pub(super) fn amount(amount: i64) -> Value {
    json!({ "amount": amount })
}

/// Shows everything up to the swap.
pub(super) fn run(client: &Client) -> Result<()> {
    commands(client)?;
    retries(client)?;
    conflicts(client)?;
    reads(client)
}

fn commands(client: &Client) -> Result<()> {
    chapter("Commands: the module decides, the events are committed, the answer says where");
    client.show(&alice("Open", open("Alice")))?.expect(200)?.expect_version(0)?;
    client.show(&alice("Deposit", amount(100)))?.expect(200)?.expect_version(1)?;
    chapter("A rejection is the domain's own \"no\"");
    client.show(&alice("Withdraw", amount(1000)))?.expect_rejection("insufficient-funds")?;
    chapter("A payload that the module's schema refuses never reaches the module");
    client.show(&alice("Deposit", json!({ "amount": "much" })))?.expect_problem(400, "invalid")?;
    Ok(())
}

fn retries(client: &Client) -> Result<()> {
    chapter("A retry with the same Idempotency-Key gets the first outcome, and nothing happens twice");
    let deposit = || alice("Deposit", amount(50)).header("Idempotency-Key", "payment-17");
    client.show(&deposit())?.expect(200)?.expect_version(2)?;
    client.show(&deposit())?.expect(200)?.expect_version(2)?;
    let reused = alice("Deposit", amount(51)).header("Idempotency-Key", "payment-17");
    client.show(&reused)?.expect_problem(422, "idempotency-key-reused")?;
    Ok(())
}

fn conflicts(client: &Client) -> Result<()> {
    chapter("A command may demand the version that its sender has seen");
    let stale = alice("Withdraw", amount(10)).header("Expected-Version", "1");
    client.show(&stale)?.expect_problem(409, "version-conflict")?;
    let current = alice("Withdraw", amount(10)).header("Expected-Version", "2");
    client.show(&current)?.expect(200)?.expect_version(3)?;
    Ok(())
}

fn reads(client: &Client) -> Result<()> {
    chapter("State is the fold of the stream's events");
    client.show(&Request::get(format!("/v1/aggregates/{ACCOUNT}/{ALICE}")))?.expect(200)?.expect_balance(140)?;
    chapter("The stream, and the whole log in commit order");
    let expected = ["Opened", "Deposited", "Deposited", "Withdrawn"];
    for path in [format!("/v1/streams/{ACCOUNT}/{ALICE}/events"), "/v1/events".to_owned()] {
        let page = client.show(&Request::get(path))?.expect(200)?;
        ensure!(page.event_types()? == expected, "expected the events {expected:?}, got {:?}", page.event_types()?);
    }
    chapter("The modules that serve");
    let modules = client.show(&Request::get("/v1/modules"))?.expect(200)?;
    let version = modules.module_version(MODULE);
    ensure!(version == Some("1.0.0"), "expected {MODULE} 1.0.0 among the modules, got {version:?}");
    Ok(())
}

/// A command to the tour's account.
pub(super) fn alice(command: &str, payload: Value) -> Request {
    Request::command(ACCOUNT, ALICE, command, payload)
}

/// Prints the line over a part of the tour.
pub(super) fn chapter(title: &str) {
    println!("== {title}");
}
