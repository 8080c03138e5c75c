//! An answer comes after the commit: what fails only there was never said to be done.

use everfold::model::Append;
use everfold::store::AppendError;
use sqlx::Executor;

use super::{Log, answer, append, appended, receipt, stream, submit};

/// The statement succeeds and its rows are on their way when this fails the transaction.
const FAIL_AT_COMMIT: &str = "
    CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the commit fails'; END $$;
    CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON everfold.event_store DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION public.fail()";

#[tokio::test]
async fn what_fails_at_the_commit_is_not_answered_before() {
    let log = Log::new().await;
    let mut owner = log.owner().await;
    owner.execute(FAIL_AT_COMMIT).await.unwrap();
    let keyed = || Append { receipt: receipt("key", 1), ..append(&stream("s"), 2) };
    let appends = || vec![keyed(), append(&stream("t"), 1), append(&stream("t"), 0)];
    for outcome in answer(submit(&log.writer, appends())).await {
        assert!(matches!(outcome, Err(AppendError::Unavailable(_))), "{outcome:?}");
    }
    assert_eq!(log.store.head().await.unwrap().position, 0);

    owner.execute("DROP TRIGGER fails ON everfold.event_store").await.unwrap();
    let outcomes = answer(submit(&log.writer, appends())).await;
    assert_eq!(outcomes[..2], [Ok(appended(0, 1)), Ok(appended(0, 3))], "nothing was left, no receipt either");
}
