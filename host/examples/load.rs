//! How many commands a running host takes: opens bank accounts and pays money in, a given number of requests at a time.
//!
//! `cargo run --release -p everfold --example load -- http://127.0.0.1:7400 --in-flight 64 --seconds 10`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser;
use uuid::Uuid;

/// Deposits to an account before a new one is opened.
const DEPOSITS: usize = 9;

#[derive(Parser)]
struct Options {
    /// The host, with the module bank-account
    url: String,
    /// Requests at a time
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// How long, after a second to warm up
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

#[expect(clippy::print_stdout, reason = "the result goes to the terminal")]
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Its client of HTTP has no TLS provider of its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = Arc::new(Options::parse());
    let counted = Arc::new(AtomicU64::new(0));
    let begin = Instant::now() + Duration::from_secs(1);
    let end = begin + Duration::from_secs(options.seconds);
    let clients: Vec<_> =
        (0..options.in_flight).map(|_| tokio::spawn(client(options.clone(), counted.clone(), begin, end))).collect();
    let mut latencies = Vec::new();
    for client in clients {
        latencies.extend(client.await??);
    }
    latencies.sort_unstable();
    let at = |part: f64| latencies.get((latencies.len() as f64 * part) as usize).copied().unwrap_or_default();
    println!(
        "{} in flight: {} commands/s, p50 {:.2?}, p99 {:.2?}",
        options.in_flight,
        counted.load(Ordering::Relaxed) / options.seconds,
        at(0.5),
        at(0.99),
    );
    Ok(())
}

async fn client(
    options: Arc<Options>,
    counted: Arc<AtomicU64>,
    begin: Instant,
    end: Instant,
) -> anyhow::Result<Vec<Duration>> {
    // Each client has its own connection, and keeps it.
    let client = reqwest::Client::builder().build()?;
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let account = format!("{}/v1/aggregates/account/{}/commands", options.url, Uuid::new_v4());
        for step in 0..=DEPOSITS {
            let (command, payload) =
                if step == 0 { ("Open", r#"{"owner":"Ann"}"#) } else { ("Deposit", r#"{"amount":1}"#) };
            let sent = Instant::now();
            let request = client.post(format!("{account}/{command}")).header("content-type", "application/json");
            let answer = request.body(payload).send().await.context("is the host there?")?;
            if !answer.status().is_success() {
                bail!("{}: {}", answer.status(), answer.text().await?);
            }
            answer.bytes().await?;
            if sent >= begin && Instant::now() < end {
                counted.fetch_add(1, Ordering::Relaxed);
                latencies.push(sent.elapsed());
            }
        }
    }
    Ok(latencies)
}
