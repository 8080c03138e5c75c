//! Appends decided one upon the other, and independent ones of one stream, in one call.

use std::time::Duration;

use everfold::model::{Append, AppendOutcome, ExpectedVersion, Head};
use everfold::store::{AppendError, Submission};
use uuid::Uuid;

use super::{Log, answer, append, appended, follow, number, receipt, stream, ticket};

const PREDECESSOR_FAILED: AppendOutcome = AppendOutcome::PredecessorFailed;

#[tokio::test]
async fn a_chain_commits_in_one_transaction() {
    let log = Log::new().await;
    let a = Append { base: Some(None), ..append(&stream("s"), 2) };
    let b = follow(&a, None, 1);
    let b_head = b.base.flatten();
    // A check between appends is part of the chain.
    let check = follow(&b, b_head, 0);
    let c = follow(&check, check.base.flatten(), 3);
    let outcomes = log.chain(vec![a, b, check, c]).await;
    let expected = [appended(0, 1), appended(2, 3), AppendOutcome::Confirmed { version: 2 }, appended(3, 4)];
    assert_eq!(outcomes, expected);
    assert_eq!(number(&mut log.owner().await, "SELECT count(DISTINCT xmin::text) FROM everfold.event_store").await, 1);
}

#[tokio::test]
async fn what_goes_on_from_a_failed_append_fails_whatever_it_demands() {
    let log = Log::new().await;
    let stream = stream("s");
    log.append(append(&stream, 1)).await;
    let stale = Append { base: Some(None), ..append(&stream, 1) };
    let on = || Append { continues: true, ..append(&stream, 1) };
    // Its base is even the true head: what it was decided on never came to be.
    let base = Some(log.head(&stream).await);
    let outcomes = log.chain(vec![stale, on(), Append { base, ..on() }, append(&stream, 1), on()]).await;
    let [first, b, c, independent, last] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(*first, AppendOutcome::Stale { actual: 0 });
    assert_eq!((b, c), (&PREDECESSOR_FAILED, &PREDECESSOR_FAILED));
    assert_eq!((independent, last), (&appended(1, 2), &appended(2, 3)), "what goes on from nothing isn't touched");
}

#[tokio::test]
async fn an_expected_version_breaks_a_chain_in_its_middle() {
    let log = Log::new().await;
    let a = Append { base: Some(None), ..append(&stream("s"), 1) };
    let b = Append { expected: ExpectedVersion::NoStream, ..follow(&a, None, 1) };
    let c = follow(&b, b.base.flatten(), 1);
    let outcomes = log.chain(vec![a, b, c]).await;
    assert_eq!(outcomes, [appended(0, 1), AppendOutcome::Conflict { actual: 0 }, PREDECESSOR_FAILED]);
    assert_eq!(log.head(&stream("s")).await.unwrap().version, 0);
}

#[tokio::test]
async fn a_chain_checks_the_event_it_goes_on_from() {
    let log = Log::new().await;
    let a = append(&stream("s"), 1);
    let base = Some(Some(Head { version: 0, event_id: Uuid::now_v7() }));
    let b = Append { base, ..follow(&a, None, 1) };
    assert_eq!(log.chain(vec![a, b]).await, [appended(0, 1), AppendOutcome::Stale { actual: 0 }]);
}

#[tokio::test]
async fn what_goes_on_from_a_replayed_append_fails() {
    let log = Log::new().await;
    let first = Append { receipt: receipt("key", 1), ..append(&stream("s"), 1) };
    log.append(first.clone()).await;
    let again = Append { events: append(&stream("s"), 1).events, ..first };
    let outcomes = log.chain(vec![again.clone(), follow(&again, None, 1)]).await;
    assert!(matches!(outcomes[0], AppendOutcome::Replayed(_)), "{outcomes:?}");
    assert_eq!(outcomes[1], PREDECESSOR_FAILED);
    assert_eq!(log.head(&stream("s")).await.unwrap().version, 0);
}

#[tokio::test]
async fn independent_appends_of_one_stream_share_a_batch() {
    let log = Log::new().await;
    let new = || Append { expected: ExpectedVersion::NoStream, ..append(&stream("s"), 2) };
    let exact = |version| Append { expected: ExpectedVersion::Exact(version), ..append(&stream("s"), 1) };
    let outcomes = log.singles(vec![new(), new(), exact(1), append(&stream("t"), 1), exact(1), exact(2)]).await;
    let conflict = |actual| Ok(AppendOutcome::Conflict { actual });
    let expected =
        [Ok(appended(0, 1)), conflict(1), Ok(appended(2, 3)), Ok(appended(0, 4)), conflict(2), Ok(appended(3, 5))];
    assert_eq!(outcomes, expected);
    assert_eq!(number(&mut log.owner().await, "SELECT count(DISTINCT xmin::text) FROM everfold.event_store").await, 1);
}

#[tokio::test]
async fn a_chain_whose_first_caller_is_gone_is_not_run() {
    let log = Log::new().await;
    let a = append(&stream("s"), 1);
    let b = follow(&a, None, 1);
    let gone = ticket(Duration::ZERO);
    let submissions = vec![
        Submission { append: a, ticket: gone.clone() },
        Submission { append: b, ticket: ticket(super::SOON) },
        Submission { append: append(&stream("s"), 1), ticket: ticket(super::SOON) },
    ];
    let outcomes = answer(log.writer.submit(submissions).unwrap()).await;
    assert_eq!(outcomes, [Err(AppendError::Deadline), Ok(PREDECESSOR_FAILED), Ok(appended(0, 1))]);
    assert!(gone.give_up(), "surely never executed");
}
