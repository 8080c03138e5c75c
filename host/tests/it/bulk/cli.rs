//! The command line's verbs against a running host: what they bring, show and leave behind.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::{event, log, places, texts};
use crate::support::host::{Client, TestHost};
use crate::support::postgres::TestDatabase;
use crate::support::process::everfold;

const SOON: Duration = Duration::from_secs(60);

/// Runs a verb against the host.
pub(super) async fn run(host: &Client, arguments: &[&str], input: &str) -> Output {
    let mut command = everfold();
    command.args(arguments).env("EVERFOLD_URL", host.url());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // Who doesn't read it all isn't at fault.
    let fed = tokio::spawn(async move { stdin.write_all(input.as_bytes()).await });
    let output = timeout(2 * SOON, child.wait_with_output()).await.unwrap().unwrap();
    let _ = fed.await.unwrap();
    output
}

fn said(output: &Output) -> (&str, &str) {
    (std::str::from_utf8(&output.stdout).unwrap(), std::str::from_utf8(&output.stderr).unwrap())
}

/// The verb went well: its output.
#[track_caller]
pub(super) fn ok(output: &Output) -> &str {
    let (out, err) = said(output);
    assert!(output.status.success(), "{err}");
    out
}

fn account() -> Vec<Value> {
    vec![
        event("account/a", 0, "Opened", json!({"owner": "Zoë"})),
        event("account/b", 0, "Opened", json!({"owner": "Bob"})),
        event("account/a", 1, "Deposited", json!({"amount": 7})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_an_import_somewhere_else() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &["bank-account"]).await;
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    // A payload with line breaks between its parts, and metadata of the host's own.
    host.command("account/a", "Open", "{\n  \"owner\":\r\n  \"Zo\\u00eb\"\n}", &[("everfold-actor", "ann")]).await.ok();
    host.append("note/n", r#"{"events":[{"event_type":"A","payload":"\n1"}]}"#, &[]).await.ok();

    ok(&run(&host, &["export", path(&first)], "").await);
    ok(&run(&host, &["import", path(&first), "--tenant", "other"], "").await);
    ok(&run(&host, &["export", path(&second), "--tenant", "other"], "").await);
    let exported = std::fs::read_to_string(&first).unwrap();
    assert_eq!(exported, std::fs::read_to_string(&second).unwrap());
    assert!(exported.contains(r#""payload":{   "owner":    "Zo\u00eb" },"metadata":{"command_id""#), "{exported}");
    assert_eq!(exported, ok(&run(&host, &["export"], "").await), "the same without a file");
    let some = run(&host, &["export", "--aggregate-type", "note"], "").await;
    assert_eq!(ok(&some), exported.lines().last().unwrap().to_owned() + "\n");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing but the files");
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_names_faulty_lines_and_goes_on() {
    let database = TestDatabase::new().await;
    let host = TestHost::start(&database, &["bank-account"]).await;
    let mut lines = texts(&account());
    lines.insert(1, "no event".to_owned());
    lines.insert(2, event("account/c", 3, "Deposited", json!({"amount": 1})).to_string());
    let output = run(&host, &["import", "-"], &lines.join("\n")).await;
    let (_, err) = said(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("line 2: invalid (400)") && err.contains("line 3: version-conflict (409)"), "{err}");
    assert!(err.contains("imported 3 events") && err.contains("2 of 5 lines were not imported"), "{err}");
    assert_eq!(log(&database).await, places(&account()));

    let output = run(&host, &["import", "-"], &texts(&account()).join("\n")).await;
    ok(&output);
    assert!(said(&output).1.contains("3 of them there already"), "{}", said(&output).1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_in_a_sentence() {
    let host = TestHost::start(&TestDatabase::new().await, &[]).await;
    let cases: [(&[&str], &str); 6] = [
        (&["import", "no/such/file"], "can't read no/such/file"),
        (&["import", "/"], "is a folder"),
        (&["export", "no/such/folder/file"], "can't write no/such/folder/file"),
        (&["export", "--tenant", "a/b"], "invalid (400): Everfold-Tenant"),
        (&["stream", "show", "note", "none"], "stream-not-found (404)"),
        (&["module", "list", "--url", "http://127.0.0.1:1"], "is a host there?"),
    ];
    for (arguments, reason) in cases {
        let output = run(&host, arguments, "").await;
        let (_, err) = said(&output);
        assert!(output.status.code() == Some(1) && err.contains(reason), "{arguments:?}: {err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_modules_are_shown() {
    let host = TestHost::start(&TestDatabase::new().await, &["bank-account"]).await;
    ok(&run(&host, &["import", "-"], &texts(&account()).join("\n")).await);
    let shown = run(&host, &["stream", "show", "account", "a", "--state"], "").await;
    let shown = ok(&shown);
    let rows: Vec<_> = shown.lines().collect();
    assert!(rows[0].starts_with("VERSION  POSITION  OCCURRED"), "{shown}");
    assert!(rows[2].starts_with("1        3") && rows[2].ends_with(r#"Deposited v1  {"amount":7}"#), "{shown}");
    assert!(
        shown.contains("state at version 1, by bank-account 1.0.0:") && shown.contains(r#""balance": 7"#),
        "{shown}"
    );
    let lines = run(&host, &["stream", "show", "account", "a", "--from-version", "1", "--json", "--state"], "").await;
    let lines: Vec<Value> = ok(&lines).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["version"], &lines[1]["state"]["balance"]), (&1.into(), &7.into()));

    let listed = run(&host, &["module", "list"], "").await;
    let row = ok(&listed).lines().nth(1).unwrap().to_owned();
    assert!(row.starts_with("bank-account  1.0.0    active  account"), "{row}");
    let json: Value = serde_json::from_str(ok(&run(&host, &["module", "list", "--json"], "").await)).unwrap();
    assert_eq!(json, host.get("/v1/modules").await.ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_followed_as_it_grows() {
    let host = TestHost::start(&TestDatabase::new().await, &["bank-account"]).await;
    ok(&run(&host, &["import", "-"], &texts(&account()).join("\n")).await);
    let follow = |arguments: &[&str]| {
        let mut command = everfold();
        command.args(["events", "tail"]).args(arguments).env("EVERFOLD_URL", host.url()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    };
    let (_all, mut all) = follow(&["--from-start"]);
    let (_some, mut some) = follow(&["--from-start", "--event-type", "Deposited", "--json"]);
    let line =
        async |lines: &mut tokio::io::Lines<_>| timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(line(&mut all).await.ends_with(r#"account/a@0  Opened  {"owner":"Zoë"}"#));
    line(&mut all).await;
    line(&mut all).await;
    let deposited: Value = serde_json::from_str(&line(&mut some).await).unwrap();
    host.command("account/b", "Deposit", r#"{"amount":9}"#, &[]).await.ok();
    assert!(line(&mut all).await.ends_with(r#"account/b@1  Deposited  {"amount":9}"#));
    let next: Value = serde_json::from_str(&line(&mut some).await).unwrap();
    assert_eq!((&next["position"], &next["payload"]["amount"]), (&4.into(), &9.into()));
    let (_behind, mut behind) = follow(&["--after", deposited["cursor"].as_str().unwrap()]);
    assert!(line(&mut behind).await.contains("account/b@1"));
}
