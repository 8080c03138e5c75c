//! Modules that come and go while commands run: no command is lost or refused by a swap, and a bad file changes nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, join_all};

use super::{OPEN, amount, state};
use crate::support::guests::wasm;
use crate::support::host::TestHost;
use crate::support::postgres::TestDatabase;

const FILE: &str = "bank-account.wasm";
const STREAMS: usize = 4;

/// A host with open accounts.
async fn host() -> TestHost {
    let host = TestHost::start(&TestDatabase::new().await, &["bank-account"]).await;
    for stream in 0..STREAMS {
        host.command(&format!("account/{stream}"), "Open", OPEN, &[]).await.ok();
    }
    host
}

/// Pays in, one after the other, until told to stop; each must succeed. Answers how many.
async fn client(host: &TestHost, number: usize, over: &AtomicBool) -> u64 {
    let stream = format!("account/{}", number % STREAMS);
    let mut deposits = 0;
    while !over.load(Ordering::Relaxed) {
        host.command(&stream, "Deposit", &amount(1), &[]).await.ok();
        deposits += 1;
    }
    deposits
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_under_load_fails_no_command() {
    let host = host().await;
    let over = AtomicBool::new(false);
    let swaps = async {
        for name in ["bank-account-v1.1", "bank-account"].repeat(3) {
            host.put_module(FILE, &wasm(name));
            host.until_active(&wasm(name)).await;
            let is_known = host.command("account/0", "Close", "", &[]).await.status != 404;
            assert_eq!(is_known, name == "bank-account-v1.1", "the commands are those of {name}");
        }
        over.store(true, Ordering::Relaxed);
    };
    let clients = join_all((0..8).map(|number| client(&host, number, &over)));
    let deposits: Vec<u64> = join(clients, swaps).await.0;
    assert!(deposits.iter().all(|deposits| *deposits > 0), "{deposits:?}");
    for stream in 0..STREAMS {
        let expected: u64 = deposits.iter().skip(stream).step_by(STREAMS).sum();
        assert_eq!(state(&host, &format!("account/{stream}")).await["balance"], expected);
        let version = host.get(&format!("/v1/streams/account/{stream}/events?limit=1")).await.ok()["version"].clone();
        assert_eq!(version, expected, "one event for each deposit after the opening");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_leaves_the_module_serving_and_is_reported() {
    let host = host().await;
    let over = AtomicBool::new(false);
    let bad_files = async {
        let truncated = &wasm("bank-account-v1.1")[..20_000];
        for content in [&b"no component"[..], truncated, &wat::parse_str("(module)").unwrap()] {
            host.put_module(FILE, content);
            host.until_modules("the refusal", |modules| {
                let is_refused =
                    |state: &str| modules.iter().any(|module| module["file"] == FILE && module["state"] == state);
                is_refused("refused") && is_refused("active")
            })
            .await;
            // Mended, so that the next one is a change again.
            host.put_module(FILE, &wasm("bank-account"));
            host.until_modules("the file is fine", |modules| modules.iter().all(|module| module["state"] == "active"))
                .await;
        }
        over.store(true, Ordering::Relaxed);
    };
    let deposits = join(client(&host, 0, &over), bad_files).await.0;
    assert_eq!(state(&host, "account/0").await["balance"], deposits);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_is_removed_and_comes_back_goes_on_with_its_history() {
    let host = host().await;
    host.command("account/0", "Deposit", &amount(7), &[]).await.ok();
    host.remove_module(FILE);
    host.until_modules("the module retires", <[_]>::is_empty).await;
    let problem = host.command("account/0", "Deposit", &amount(7), &[]).await.problem(404, "unknown-aggregate");
    assert_eq!(problem["known"], serde_json::json!([]));
    host.get("/v1/aggregates/account/0").await.problem(404, "unknown-aggregate");
    assert_eq!(host.get("/v1/streams/account/0/events").await.ok()["version"], 1, "the log needs no module");

    host.put_module(FILE, &wasm("bank-account"));
    host.until_active(&wasm("bank-account")).await;
    host.command("account/0", "Withdraw", &amount(7), &[]).await.ok();
    assert_eq!(state(&host, "account/0").await["balance"], 0);
}
