//! A guest that keeps failing isn't called any more: its stream, or its module, is set aside, visibly and not for ever.

use std::time::Duration;

use everfold::pipeline::QuarantineOptions;
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{SOON, state};
use crate::support::guests::wasm;
use crate::support::host::{Answer, Setup, TestHost};
use crate::support::postgres::TestDatabase;

/// Long enough that no test sees a probe that it doesn't wait for.
const LONG: Duration = Duration::from_secs(600);

async fn host(stream_faults: u32, module_faults: u32, pause: Duration) -> TestHost {
    let mut setup = Setup::new(TestDatabase::new().await.options());
    setup.pipeline.quarantine = QuarantineOptions { stream_faults, module_faults, pause };
    TestHost::launch(setup, &["unruly", "bank-account"]).await
}

async fn trap(host: &TestHost, tenant: &str, stream: &str, times: usize) {
    for _ in 0..times {
        let answer = host.command(stream, "Trap", "", &[("everfold-tenant", tenant)]).await;
        answer.problem(500, "module-trapped");
    }
}

async fn list(host: &TestHost, tenant: &str) -> Value {
    host.send(Method::GET, "/v1/quarantine", &[("everfold-tenant", tenant)], "").await.ok()
}

fn module<'a>(list: &'a Value, name: &str) -> &'a Value {
    list["modules"].as_array().unwrap().iter().find(|module| module["name"] == name).unwrap()
}

async fn until_ok(send: impl AsyncFn() -> Answer) -> Value {
    let deadline = Instant::now() + SOON;
    loop {
        let answer = send().await;
        if answer.status == 200 {
            return answer.json();
        }
        assert!(Instant::now() < deadline, "{}", answer.text);
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_keeps_failing_is_set_aside_alone() {
    let host = host(3, 0, LONG).await;
    let before = host.command("unruly/bad", "Ok", "", &[("idempotency-key", "k")]).await.ok();
    trap(&host, "default", "unruly/bad", 3).await;

    let answer = host.command("unruly/bad", "Ok", "", &[]).await;
    let problem = answer.problem(500, "module-quarantined");
    assert!(answer.retry_after.is_some_and(|seconds| seconds.parse::<u64>().unwrap() > 500));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("module-trapped") && detail.contains("DELETE /v1/quarantine/unruly/bad"), "{detail}");
    assert!(problem["since"].is_string(), "{problem}");
    host.get("/v1/aggregates/unruly/bad").await.problem(500, "module-quarantined");

    // A request that was carried out before has its answer, and reading and raw appends need no guest.
    let again = host.command("unruly/bad", "Ok", "", &[("idempotency-key", "k")]).await.ok();
    assert_eq!((&again["events"], &again["replayed"]), (&before["events"], &Value::from(true)));
    assert_eq!(host.get("/v1/streams/unruly/bad/events").await.ok()["version"], 0);
    host.append("unruly/bad", r#"{"events":[{"event_type":"Fine","payload":{}}]}"#, &[]).await.ok();

    // Nobody else is kept out: another stream, another module, another tenant.
    host.command("unruly/good", "Ok", "", &[]).await.ok();
    host.command("account/a", "Open", super::OPEN, &[]).await.ok();
    host.command("unruly/bad", "Ok", "", &[("everfold-tenant", "other")]).await.ok();

    let listed = list(&host, "default").await;
    let [stream] = &listed["streams"].as_array().unwrap()[..] else { panic!("one stream: {listed}") };
    assert_eq!((&stream["stream_id"], &stream["faults"]), (&"bad".into(), &3.into()));
    assert_eq!(stream["last_fault"]["code"], "module-trapped");
    assert_eq!(module(&listed, "unruly")["faults"], 3);
    let others = list(&host, "other").await;
    assert_eq!((&others["streams"], &module(&others, "unruly")["faults"]), (&Value::Array(vec![]), &0.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_a_probe_or_another_module_ends_a_quarantine() {
    let released = host(2, 0, LONG).await;
    trap(&released, "default", "unruly/a b", 2).await;
    let stream = "/v1/quarantine/unruly/a%20b";
    let of_other = released.send(Method::DELETE, stream, &[("everfold-tenant", "other")], "").await;
    of_other.problem(404, "not-found");
    released.command("unruly/a b", "Ok", "", &[]).await.problem(500, "module-quarantined");
    assert_eq!(released.send(Method::DELETE, stream, &[], "").await.status, 204);
    released.command("unruly/a b", "Ok", "", &[]).await.ok();
    released.send(Method::DELETE, stream, &[], "").await.problem(404, "not-found");

    trap(&released, "default", "unruly/swapped", 2).await;
    released.command("unruly/swapped", "Ok", "", &[]).await.problem(500, "module-quarantined");
    let mut mended = wasm("unruly");
    // The same module under another digest: a custom section says nothing.
    mended.extend([0, 2, 1, b'x']);
    released.put_module("unruly.wasm", &mended);
    released.until_active(&mended).await;
    released.command("unruly/swapped", "Ok", "", &[]).await.ok();

    let patient = host(2, 0, Duration::from_millis(300)).await;
    trap(&patient, "default", "unruly/s", 2).await;
    until_ok(async || patient.command("unruly/s", "Ok", "", &[]).await).await;
    assert_eq!(list(&patient, "default").await["streams"], Value::Array(vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_history_is_not_folded_again_and_again() {
    let host = host(3, 0, LONG).await;
    host.append("unruly/p", r#"{"events":[{"event_type":"Poison","payload":{}}]}"#, &[]).await.ok();
    for _ in 0..2 {
        host.command("unruly/p", "Ok", "", &[]).await.problem(500, "module-trapped");
    }
    host.get("/v1/aggregates/unruly/p").await.problem(500, "module-trapped");
    host.command("unruly/p", "Ok", "", &[]).await.problem(500, "module-quarantined");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_guests_fault_sets_nothing_aside() {
    let host = host(2, 2, LONG).await;
    for _ in 0..4 {
        host.command("account/a", "Withdraw", r#"{"amount":1}"#, &[]).await.problem(422, "rejected");
        host.command("account/a", "Open", "{}", &[]).await.problem(400, "invalid");
        host.command("account/a", "Open", super::OPEN, &[("expected-version", "7")])
            .await
            .problem(409, "version-conflict");
        host.command("unruly/g", "Garbage", "", &[]).await.problem(500, "module-answer-invalid");
    }
    host.command("account/a", "Open", super::OPEN, &[]).await.ok();
    host.command("unruly/g", "Ok", "", &[]).await.ok();
    assert_eq!(module(&list(&host, "default").await, "unruly")["faults"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_keeps_one_tenant_from_a_module_that_fails_it() {
    let host = host(0, 6, LONG).await;
    for stream in ["unruly/1", "unruly/2", "unruly/3"] {
        trap(&host, "t", stream, 2).await;
    }
    let of = |tenant: &'static str| [("everfold-tenant", tenant)];
    let problem = host.command("unruly/new", "Ok", "", &of("t")).await.problem(500, "module-quarantined");
    assert!(problem["detail"].as_str().unwrap().contains("POST /v1/modules/unruly/reset"), "{problem}");
    host.command("unruly/1", "Ok", "", &of("u")).await.ok();
    host.command("account/a", "Open", super::OPEN, &of("t")).await.ok();
    let listed = list(&host, "t").await;
    let unruly = module(&listed, "unruly");
    assert_eq!(
        (&unruly["breaker"], &unruly["everyone"], &unruly["faults"]),
        (&"open".into(), &false.into(), &6.into())
    );
    assert_eq!(module(&listed, "bank-account")["breaker"], "closed");
    assert_eq!(module(&list(&host, "u").await, "unruly")["breaker"], "closed");

    host.send(Method::POST, "/v1/modules/nobody/reset", &of("t"), "").await.problem(404, "not-found");
    host.send(Method::POST, "/v1/modules/unruly/reset", &of("u"), "").await.ok();
    host.command("unruly/new", "Ok", "", &of("t")).await.problem(500, "module-quarantined");
    host.send(Method::POST, "/v1/modules/unruly/reset", &of("t"), "").await.ok();
    host.command("unruly/new", "Ok", "", &of("t")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_read_though_another_stream_spoilt_its_instance() {
    let host = host(5, 0, LONG).await;
    for stream in ["unruly/a", "unruly/b"] {
        host.command(stream, "Ok", "", &[]).await.ok();
    }
    for _ in 0..4 {
        trap(&host, "default", "unruly/a", 1).await;
        assert_eq!(state(&host, "unruly/b").await, 1);
    }
}
