//! `job`: created, started, failed, started again and completed; and each command more than once.

use serde_json::{Value, json};

use super::{assert_valid, descriptor, event_types, rejection, state};
use crate::support::host::TestHost;
use crate::support::postgres::TestDatabase;

async fn send(host: &TestHost, command: &str, body: &Value) -> Value {
    host.command("job/j-1", command, &body.to_string(), &[]).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_retried_to_its_end_and_repeated_commands_change_nothing() {
    let host = TestHost::start(&TestDatabase::new().await, &["job"]).await;
    let story = [
        ("Create", json!({"task": "resize"}), "JobCreated"),
        ("Start", json!({"worker": "w1"}), "JobStarted"),
        ("Fail", json!({"reason": "no memory"}), "JobFailed"),
        ("Start", json!({"worker": "w2"}), "JobStarted"),
        ("Complete", json!({"result": {"files": 3}}), "JobCompleted"),
    ];
    for (version, (command, body, event)) in story.iter().enumerate() {
        let answer = send(&host, command, body).await;
        assert_eq!((&answer["version"], &answer["events"][0]["event_type"]), (&version.into(), &(*event).into()));
        let again = send(&host, command, body).await;
        assert_eq!((&again["version"], &again["events"]), (&version.into(), &json!([])), "{command} is so already");
    }
    assert_eq!(event_types(&host, "job/j-1").await, story.map(|(_, _, event)| event));

    let state = state(&host, "job/j-1").await;
    assert_eq!((&state["status"], &state["attempts"]), (&"completed".into(), &2.into()));
    assert_eq!(
        (&state["worker"], &state["result"], &state["failure"]),
        (&"w2".into(), &json!({"files": 3}), &Value::Null)
    );
    assert_valid(descriptor("job", "job").state_schema.as_ref(), &state);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_run_by_one_worker_and_not_for_ever() {
    let host = TestHost::start(&TestDatabase::new().await, &["job"]).await;
    let start =
        async |worker: &str| host.command("job/j-1", "Start", &json!({ "worker": worker }).to_string(), &[]).await;
    assert_eq!(rejection(&start("w1").await)["code"], "not-created");
    send(&host, "Create", &json!({"task": "resize", "max_attempts": 1})).await;
    start("w1").await.ok();
    let elsewhere =
        json!({"code": "running-elsewhere", "message": "w1 is running the job", "details": {"worker": "w1"}});
    assert_eq!(rejection(&start("w2").await), elsewhere);
    send(&host, "Fail", &json!({"reason": "no memory"})).await;
    let out = rejection(&start("w2").await);
    assert_eq!((&out["code"], &out["details"]), (&"out-of-attempts".into(), &json!({"max_attempts": 1})));

    let body = json!({"task": "resize", "max_attempts": 0}).to_string();
    let problem = host.command("job/j-2", "Create", &body, &[]).await.problem(400, "invalid");
    assert_eq!(problem["pointer"], "/max_attempts", "the schema's word, before the module is asked");
}
