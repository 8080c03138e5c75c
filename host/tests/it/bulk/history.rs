//! A history of 100,000 events: brought in by the command line, folded by a module, and taken out again as it was.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::cli::{ok, run};
use crate::support::process::HostProcess;

const STREAMS: usize = 4_000;
const EVENTS: usize = 100_000;

/// What the host may have of memory, whatever the length of the history: what it has anyway, and a few batches.
const MOST_MEMORY: u64 = 400 << 20;

/// An account as the history leaves it.
#[derive(Clone, Default)]
struct Account {
    version: i64,
    owner: String,
    balance: u64,
}

/// Numbers that are the same on every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Writes the history, one line an event in the form that an export has; answers what is to come of each stream.
fn write_history(path: &Path) -> Vec<Account> {
    const OWNERS: [(&str, &str); 5] = [
        ("Ann", r#""Ann""#),
        ("Zoë 😀", r#""Zoë 😀""#),
        ("Ян\t\"Я\"", r#""Ян\t\"Я\"""#),
        ("李 雷", r#""\u674e 雷""#),
        ("عمر\u{200f}/a\\b", r#""عمر\u200f/a\\b""#),
    ];
    let mut numbers = Numbers(7);
    let mut accounts = vec![None::<Account>; STREAMS];
    let mut out = BufWriter::new(File::create(path).unwrap());
    let mut line = String::new();
    for n in 0..EVENTS {
        // Now and then several events of one account in a row.
        let at = if n < STREAMS { n } else { numbers.below(STREAMS as u64) as usize };
        let (event_type, payload) = match &mut accounts[at] {
            account @ None => {
                let (owner, text) = OWNERS[numbers.below(5) as usize];
                *account = Some(Account { owner: owner.to_owned(), ..Account::default() });
                ("Opened", format!(r#"{{"owner": {text}}}"#))
            }
            Some(account) => {
                account.version += 1;
                let amount = 1 + numbers.below(100_000);
                if amount <= account.balance && numbers.below(2) == 0 {
                    account.balance -= amount;
                    ("Withdrawn", format!(r#"{{"amount":{amount}}}"#))
                } else {
                    account.balance += amount;
                    ("Deposited", format!(r#"{{ "note" : "№ {n} – {}", "amount":{amount} }}"#, "x".repeat(n % 97)))
                }
            }
        };
        let version = accounts[at].as_ref().map_or(0, |account| account.version);
        let id = Uuid::from_u64_pair(numbers.next(), numbers.next());
        let micros = i128::from(numbers.below(1_700_000_000_000_000));
        let time = OffsetDateTime::from_unix_timestamp_nanos(micros * 1000).unwrap().format(&Rfc3339).unwrap();
        line.clear();
        writeln!(
            line,
            r#"{{"aggregate_type":"account","stream_id":"konto/{at} ä","version":{version},"event_id":"{id}","event_type":"{event_type}","schema_version":1,"occurred_at":"{time}","payload":{payload},"metadata":{{"source":"old store","row":{n}.0}}}}"#
        )
        .unwrap();
        out.write_all(line.as_bytes()).unwrap();
    }
    out.flush().unwrap();
    accounts.into_iter().map(Option::unwrap).collect()
}

fn hash(path: &Path) -> String {
    Sha256::digest(std::fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_of_100_000_events_comes_out_as_it_went_in() {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (file, exported) = (home.path().join("history.ndjson"), home.path().join("exported.ndjson"));
    let accounts = write_history(&file);
    let database = crate::support::postgres::TestDatabase::new().await;
    let host = HostProcess::start(home.path(), Some(&database.url()), &["bank-account"]).await;
    let before = host.peak_memory();

    let begin = Instant::now();
    ok(&run(&host, &["import", file.to_str().unwrap()], "").await);
    let imported = begin.elapsed();
    let head = host.get("/v1/events?limit=1").await.ok()["head"].as_str().unwrap().to_owned();
    assert!(head.ends_with(&format!("-{EVENTS}")), "{head}");

    let begin = Instant::now();
    ok(&run(&host, &["export", exported.to_str().unwrap()], "").await);
    let taken_out = begin.elapsed();
    assert_eq!(hash(&file), hash(&exported));

    let begin = Instant::now();
    check_states(&host, &accounts).await;
    let folded = begin.elapsed();

    let begin = Instant::now();
    let again = run(&host, &["import", file.to_str().unwrap()], "").await;
    ok(&again);
    assert!(String::from_utf8_lossy(&again.stderr).contains("100,000 of them there already"));
    let repeated = begin.elapsed();
    assert_eq!(host.get("/v1/events?limit=1").await.ok()["head"], head);

    let peak = host.peak_memory();
    let rate = |time: Duration| EVENTS as f64 / time.as_secs_f64();
    println!(
        "{EVENTS} events in {STREAMS} streams: import {:.0}/s, export {:.0}/s, folded {:.0}/s, import again {:.0}/s; \
         host's peak memory {} MiB, {} MiB before",
        rate(imported),
        rate(taken_out),
        rate(folded),
        rate(repeated),
        peak >> 20,
        before >> 20,
    );
    assert!(peak < MOST_MEMORY, "{} MiB", peak >> 20);
    host.terminate().await;
}

/// Every account is what its events make of it.
async fn check_states(host: &HostProcess, accounts: &[Account]) {
    let states = futures_util::stream::iter(accounts.iter().enumerate()).map(async |(n, account)| {
        let state: Value = host.get(&format!("/v1/aggregates/account/konto%2F{n}%20%C3%A4")).await.ok();
        let expected = json!({"owner": account.owner, "balance": account.balance});
        assert_eq!((&state["version"], &state["state"]), (&account.version.into(), &expected), "account {n}");
    });
    assert_eq!(states.buffer_unordered(16).count().await, accounts.len());
}
