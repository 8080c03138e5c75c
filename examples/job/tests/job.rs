//! The job's rules, given events, when a command, then events, nothing, or a rejection.

use everfold_sdk::serde_json::{Value, json};
use everfold_sdk::testing::{History, given, given_nothing};
use job::{Command, Error, Event, Job, Status};

const NOON: i64 = 1_700_000_000_000;

fn created() -> Event {
    Event::Created { task: "resize".into(), max_attempts: 2 }
}

fn started(worker: &str, attempt: u32) -> Event {
    Event::Started { worker: worker.into(), attempt, started_at: NOON }
}

fn failed(attempt: u32) -> Event {
    Event::Failed { reason: "no memory".into(), attempt }
}

fn create(task: &str) -> Command {
    Command::Create { task: task.into(), max_attempts: 2 }
}

fn start(worker: &str) -> Command {
    Command::Start { worker: worker.into() }
}

fn fail() -> Command {
    Command::Fail { reason: "no memory".into() }
}

fn running() -> History<Job> {
    given([created(), started("w1", 1)]).at(NOON + 250)
}

#[test]
fn a_job_is_created_started_and_completed() {
    given_nothing::<Job>()
        .at(NOON)
        .when(create("resize"))
        .then([created()])
        .when(start("w1"))
        .then([started("w1", 1)])
        .at(NOON + 250)
        .when(Command::Complete { result: json!({ "files": 3 }) })
        .then([Event::Completed { result: json!({ "files": 3 }), took_ms: 250 }])
        .then_state(|job| assert_eq!((job.status, &job.result), (Status::Completed, &Some(json!({ "files": 3 })))));
}

#[test]
fn what_was_asked_for_before_needs_no_event() {
    running()
        .when(create("resize"))
        .then_nothing()
        .when(start("w1"))
        .then_nothing()
        .when(fail())
        .then([failed(1)])
        .when(fail())
        .then_nothing();
    running()
        .when(Command::Complete { result: Value::Null })
        .then([Event::Completed { result: Value::Null, took_ms: 250 }])
        .when(Command::Complete { result: Value::Null })
        .then_nothing();
}

#[test]
fn a_failed_job_is_started_again_while_it_has_attempts_left() {
    given::<Job>([created(), started("w1", 1), failed(1)])
        .at(NOON)
        .when(start("w2"))
        .then([started("w2", 2)])
        .when(fail())
        .then([failed(2)])
        .when(start("w2"))
        .then_reject(Error::OutOfAttempts { max_attempts: 2 });
}

#[test]
fn one_worker_has_the_job_at_a_time() {
    running().when(start("w2")).then_reject(Error::RunningElsewhere { worker: "w1".into() });
}

#[test]
fn the_order_of_things_is_kept() {
    given_nothing::<Job>().when(start("w1")).then_rejected("not-created");
    given::<Job>([created()])
        .when(fail())
        .then_rejected("not-running")
        .when(Command::Complete { result: Value::Null })
        .then_rejected("not-running")
        .when(create("rotate"))
        .then_reject(Error::CreatedOtherwise { task: "resize".into() });
    running()
        .when(Command::Complete { result: Value::Null })
        .then([Event::Completed { result: Value::Null, took_ms: 250 }])
        .when(start("w1"))
        .then_rejected("already-completed")
        .when(fail())
        .then_rejected("already-completed");
}
