//! The tour's last part: the module is replaced while commands run, and none of them fails.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::MODULE;
use super::client::{Client, Request};
use super::tour::{ACCOUNT, alice, amount, chapter, open};

/// The accounts that receive deposits all the time.
const STREAMS: usize = 4;

/// Deposits that must have gone through before the swap, and again after it.
const ENOUGH: u64 = 50;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Swaps the module by calling `install` under load, and uses what only its next version has.
pub(super) fn run(client: &Client, install: impl FnOnce() -> Result<()>) -> Result<()> {
    chapter("The module is swapped while commands run");
    client.show(&alice("Close", json!({})))?.expect_problem(404, "unknown-command")?;
    for number in 0..STREAMS {
        client.send(&Request::command(ACCOUNT, &stream(number), "Open", open("Busy")))?.expect(200)?;
    }
    let load = Load::default();
    std::thread::scope(|scope| {
        let load = &load;
        let spawn = |number| scope.spawn(move || load.deposit(client, &stream(number)));
        let workers: Vec<_> = (0..STREAMS).map(spawn).collect();
        let swapped = swap_under(load, client, install);
        load.stop.store(true, Ordering::Relaxed);
        // A deposit that failed says more than the wait that it broke off.
        for worker in workers {
            worker.join().ok().context("a sender of deposits panicked")??;
        }
        swapped
    })?;
    println!("{} deposits were sent during the swap, and 0 failed\n", load.done.load(Ordering::Relaxed));
    let balances = (0..STREAMS).try_fold(0, |sum, number| -> Result<i64> {
        let state = client.send(&Request::get(format!("/v1/aggregates/{ACCOUNT}/{}", stream(number))))?;
        Ok(sum + state.expect(200)?.balance()?)
    })?;
    let done = load.done.load(Ordering::Relaxed);
    ensure!(
        u64::try_from(balances)? == done,
        "{done} deposits of 1 were acknowledged, but the balances say {balances}"
    );
    client.show(&alice("Withdraw", amount(140)))?.expect(200)?.expect_version(4)?;
    client.show(&alice("Close", json!({})))?.expect(200)?.expect_version(5)?;
    Ok(())
}

/// The id of a busy account.
fn stream(number: usize) -> String {
    format!("busy-{number}")
}

/// Waits for load, swaps, waits for the new version and for load on it.
fn swap_under(load: &Load, client: &Client, install: impl FnOnce() -> Result<()>) -> Result<()> {
    load.wait_for(ENOUGH)?;
    install()?;
    let started = Instant::now();
    let modules = Request::get("/v1/modules");
    loop {
        let answer = client.send(&modules)?.expect(200)?;
        if answer.module_version(MODULE) == Some("1.1.0") {
            break;
        }
        ensure!(!load.stop.load(Ordering::Relaxed), "a deposit failed during the swap");
        ensure!(started.elapsed() < PATIENCE, "{MODULE} 1.1.0 didn't serve within {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("{MODULE} 1.1.0 serves, {} ms after its file was put in place", started.elapsed().as_millis());
    load.wait_for(load.done.load(Ordering::Relaxed) + ENOUGH)
}

/// Deposits of 1, sent one after the other, by several senders at once.
#[derive(Default)]
struct Load {
    done: AtomicU64,
    stop: AtomicBool,
}

impl Load {
    /// Sends until told to stop; the first that fails stops all.
    fn deposit(&self, client: &Client, stream: &str) -> Result<()> {
        let deposit = Request::command(ACCOUNT, stream, "Deposit", amount(1));
        while !self.stop.load(Ordering::Relaxed) {
            if let Err(error) = client.send(&deposit).and_then(|answer| answer.expect(200)) {
                self.stop.store(true, Ordering::Relaxed);
                return Err(error.context("a deposit failed while the module was swapped"));
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn wait_for(&self, count: u64) -> Result<()> {
        let started = Instant::now();
        while self.done.load(Ordering::Relaxed) < count {
            if self.stop.load(Ordering::Relaxed) || started.elapsed() > PATIENCE {
                bail!("the deposits stalled at {}", self.done.load(Ordering::Relaxed));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}
