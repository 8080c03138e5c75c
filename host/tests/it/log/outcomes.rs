//! Batches whose connection is lost: what was committed is found, what wasn't is sent again, and nothing happens twice.

use std::collections::HashMap;
use std::time::Duration;

use everfold::model::{Append, AppendOutcome, Head, StoredOutcome};
use everfold::store::{AppendError, AppendReply, Submission, Writer, WriterOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Log, SOON, answer, append, appended, follow, host, number, receipt, stream, submit, ticket, until};
use crate::support::proxy::{Network, Proxy};

/// A host that reaches its database through a network that fails on demand; `log` has a network of its own.
struct Remote {
    log: Log,
    proxy: Proxy,
    writer: Writer,
}

impl Remote {
    /// The writer has sent a first event, so that it has its connection, and knows both ways into the log.
    async fn new() -> Self {
        let log = Log::new().await;
        let login = log.database.options();
        Self::of(log, &login).await
    }

    /// The same under another login.
    async fn of(log: Log, login: &PgConnectOptions) -> Self {
        let proxy = Proxy::start(login).await;
        let (_, writer) = host(&proxy.options(login), options());
        assert_eq!(answer(submit(&writer, vec![append(&stream("first"), 1)])).await, [Ok(appended(0, 1))]);
        let checks = vec![append(&stream("first"), 0), append(&stream("first"), 0)];
        answer(submit(&writer, checks)).await.into_iter().for_each(|checked| drop(checked.unwrap()));
        Self { log, proxy, writer }
    }

    async fn is_usable(&self) {
        let outcome = answer(submit(&self.writer, vec![append(&stream("afterwards"), 1)])).await;
        assert!(matches!(outcome[..], [Ok(AppendOutcome::Appended { first_version: 0, .. })]), "{outcome:?}");
    }
}

/// Waits that suit a test. Half of what the watchdog waits: only the writer's own time-outs are at work here.
fn options() -> WriterOptions {
    let (batch_timeout, reconnect_pause) = (Duration::from_secs(1), Duration::from_millis(50));
    WriterOptions { batch_timeout, reconnect_pause, ..WriterOptions::default() }
}

/// Every event of the log once, at dense positions.
async fn ids(log: &Log) -> Vec<Uuid> {
    let events = log.events_of("default").await;
    assert!(events.iter().map(|event| event.position).eq(1..=events.len() as i64), "positions are dense");
    events.into_iter().map(|event| event.event_id).collect()
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found() {
    find_a_lost_answer(Remote::new().await).await;
}

/// What such a login sees by itself is one tenant's, and none where it has set none.
#[tokio::test]
async fn a_login_that_may_take_the_readers_role_finds_it_too() {
    let log = Log::new().await;
    let mut superuser = log.owner().await;
    let roles = "CREATE ROLE member LOGIN; GRANT everfold_runtime_postgres, everfold_reader_postgres TO member";
    superuser.execute(roles).await.unwrap();
    let login = log.database.options().username("member");
    find_a_lost_answer(Remote::of(log, &login).await).await;
}

async fn find_a_lost_answer(remote: Remote) {
    let a = Append { base: Some(None), ..append(&stream("chain"), 2) };
    let b = follow(&a, None, 1);
    let check = Append { receipt: receipt("check", 1), ..append(&stream("check"), 0) };
    let keyed = Append { receipt: receipt("key", 1), ..append(&stream("keyed"), 1) };
    let chains = vec![vec![a, b], vec![check], vec![keyed], vec![append(&stream("raw"), 1)]];
    let outcomes = lose_answer(&remote, chains, "SELECT count(*) = 6 FROM everfold.event_store").await;
    let expected = [
        Ok(appended(0, 2)),
        Ok(appended(2, 4)),
        Ok(AppendOutcome::Replayed(StoredOutcome::Nothing { version: -1 })),
        Ok(appended(0, 5)),
        Ok(appended(0, 6)),
    ];
    assert_eq!(outcomes, expected);
    remote.is_usable().await;
    assert_eq!(ids(&remote.log).await.len(), 7);
}

/// Sends chains as one batch, cuts the connection once that is committed, and gives the answers back.
async fn lose_answer(remote: &Remote, chains: Vec<Vec<Append>>, is_committed: &'static str) -> AppendReply {
    remote.proxy.set(Network::LosesAnswers);
    let answers: Vec<_> = chains.into_iter().map(|chain| submit(&remote.writer, chain)).collect();
    let mut owner = remote.log.owner().await;
    until(&mut owner, "the commit", is_committed).await;
    remote.proxy.silenced(1, SOON).await;
    remote.proxy.set(Network::Up);
    remote.proxy.cut();
    let mut outcomes = Vec::new();
    for reply in answers {
        outcomes.extend(answer(reply).await);
    }
    outcomes
}

#[tokio::test]
async fn what_a_found_append_goes_on_from_was_confirmed() {
    let remote = Remote::new().await;
    let a = append(&stream("chain"), 2);
    let of_a = Some(Head { version: 1, event_id: a.events[1].event_id });
    // Two decisions without events, each on what is before it, and one that goes on from both; and one behind it.
    let [one, other] = [(), ()].map(|()| Append { base: Some(of_a), ..follow(&a, None, 0) });
    let c = Append { base: Some(of_a), ..follow(&a, None, 1) };
    let of_c = Some(Head { version: 2, event_id: c.events[0].event_id });
    let last = Append { base: Some(of_c), ..follow(&c, None, 0) };
    let first = Append { base: Some(None), ..append(&stream("chain"), 0) };
    let chain = vec![first, Append { base: Some(None), continues: true, ..a }, one, other, c, last];
    let outcomes = lose_answer(&remote, vec![chain], "SELECT count(*) = 4 FROM everfold.event_store").await;
    let confirmed = |version| Ok(AppendOutcome::Confirmed { version });
    let expected = [confirmed(-1), Ok(appended(0, 2)), confirmed(1), confirmed(1), Ok(appended(2, 4)), confirmed(2)];
    assert_eq!(outcomes, expected);
    remote.is_usable().await;
}

#[tokio::test]
async fn so_is_one_of_a_batch_that_was_written_as_a_whole() {
    let remote = Remote::new().await;
    let keyed = Append { receipt: receipt("key", 1), ..append(&stream("keyed"), 1) };
    let chains = vec![vec![append(&stream("many"), 3)], vec![keyed], vec![append(&stream("raw"), 1)]];
    let outcomes = lose_answer(&remote, chains, "SELECT count(*) = 6 FROM everfold.event_store").await;
    assert_eq!(outcomes, [Ok(appended(0, 2)), Ok(appended(0, 5)), Ok(appended(0, 6))]);
    remote.is_usable().await;
    assert_eq!(ids(&remote.log).await.len(), 7);
}

#[tokio::test]
async fn a_batch_that_never_arrived_is_sent_again() {
    let remote = Remote::new().await;
    let a = Append { base: Some(None), ..append(&stream("chain"), 1) };
    let b = follow(&a, None, 1);
    remote.proxy.set(Network::LosesRequests);
    let answers = [vec![a, b], vec![append(&stream("raw"), 1)]].map(|chain| submit(&remote.writer, chain));
    remote.proxy.silenced(1, SOON).await;
    assert_eq!(remote.log.store.head().await.unwrap().position, 1);
    remote.proxy.set(Network::Up);
    remote.proxy.cut();

    let [chain, raw] = answers;
    assert_eq!(answer(chain).await, [Ok(appended(0, 2)), Ok(appended(1, 3))]);
    assert_eq!(answer(raw).await, [Ok(appended(0, 4))]);
    remote.is_usable().await;
    assert_eq!(ids(&remote.log).await.len(), 5);
}

#[tokio::test]
async fn a_silent_network_is_given_up_and_the_batch_settled() {
    let remote = Remote::new().await;
    remote.proxy.set(Network::LosesAnswers);
    let reply = submit(&remote.writer, vec![append(&stream("s"), 1)]);
    // Neither the writer's connection nor the one that shall settle the batch is ever closed: they say nothing more.
    remote.proxy.silenced(2, SOON).await;
    remote.proxy.set(Network::Up);
    assert_eq!(answer(reply).await, [Ok(appended(0, 2))]);
    remote.is_usable().await;
}

#[tokio::test]
async fn a_session_that_may_still_commit_is_ended_before_its_batch_is_sent_again() {
    let log = Log::with(options()).await;
    let (mut owner, mut holder) = (log.owner().await, log.owner().await);
    holder.execute("BEGIN; SELECT FROM everfold.log_head FOR UPDATE").await.unwrap();
    let reply = submit(&log.writer, vec![append(&stream("s"), 1)]);
    let waiting = "CREATE FUNCTION pg_temp.waiting() RETURNS SETOF integer LANGUAGE sql AS $$
        SELECT pid FROM pg_stat_activity WHERE application_name = 'everfold-writer' AND datname = current_database()
                                           AND wait_event_type = 'Lock' $$";
    owner.execute(waiting).await.unwrap();
    // The server doesn't notice that nobody waits any more for the session that waits for the head.
    until(&mut owner, "the wait of the batch", "SELECT EXISTS (SELECT FROM pg_temp.waiting())").await;
    owner.execute("CREATE TEMP TABLE lost AS SELECT * FROM pg_temp.waiting()").await.unwrap();
    let again = "SELECT EXISTS (SELECT * FROM pg_temp.waiting() EXCEPT SELECT * FROM lost)";
    until(&mut owner, "the wait of the batch that was sent again", again).await;
    holder.execute("COMMIT").await.unwrap();
    assert_eq!(answer(reply).await, [Ok(appended(0, 1))]);
    assert_eq!(ids(&log).await.len(), 1);
}

#[tokio::test]
async fn what_a_caller_gave_up_is_never_run_afterwards() {
    let remote = Remote::new().await;
    let tickets = [ticket(SOON), ticket(SOON), ticket(Duration::from_millis(1))];
    let send = |name: &str, number: usize| {
        let submission = Submission { append: append(&stream(name), 1), ticket: tickets[number].clone() };
        remote.writer.submit(vec![submission]).unwrap()
    };
    remote.proxy.set(Network::LosesRequests);
    let out = send("out", 0);
    remote.proxy.silenced(1, SOON).await;
    remote.proxy.set(Network::Down);
    remote.proxy.cut();
    let (queued, late) = (send("queued", 1), send("late", 2));
    let patient = submit(&remote.writer, vec![append(&stream("patient"), 1)]);
    assert!(!tickets[0].give_up(), "it was out: nobody can know");
    assert!(tickets[1].give_up(), "it was never out");
    tokio::time::sleep_until(tickets[2].deadline()).await;
    remote.proxy.set(Network::Up);

    assert_eq!(answer(out).await, [Err(AppendError::Unknown)]);
    assert_eq!(answer(queued).await, [Err(AppendError::Deadline)]);
    assert_eq!(answer(late).await, [Err(AppendError::Deadline)]);
    assert_eq!(answer(patient).await, [Ok(appended(0, 2))]);
    remote.is_usable().await;
    for name in ["out", "queued", "late"] {
        assert_eq!(remote.log.head(&stream(name)).await, None, "{name}");
    }
}

#[tokio::test]
async fn a_writer_without_postgresql_answers_those_whose_time_is_up() {
    let log = Log::new().await;
    let proxy = Proxy::start(&log.database.options()).await;
    proxy.set(Network::Down);
    let (_, writer) = host(&proxy.options(&log.database.options()), options());
    let submission = Submission { append: append(&stream("s"), 1), ticket: ticket(Duration::from_millis(100)) };
    let reply = writer.submit(vec![submission]).unwrap();
    let patient = submit(&writer, vec![append(&stream("patient"), 1)]);
    assert_eq!(answer(reply).await, [Err(AppendError::Deadline)]);
    assert!(!writer.is_connected());
    proxy.set(Network::Up);
    assert_eq!(answer(patient).await, [Ok(appended(0, 1))]);
    assert!(writer.is_connected());
    assert_eq!(log.head(&stream("s")).await, None);
}

/// Ends the writer's session, wherever it is; answers whether there was one.
async fn end_writer(owner: &mut PgConnection) -> bool {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE application_name = 'everfold-writer' AND datname = current_database()";
    number(owner, sql).await > 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_killed_under_load_lose_and_repeat_nothing() {
    const TASKS: usize = 8;
    const APPENDS: usize = 60;
    let log = Log::new().await;
    let mut load = JoinSet::new();
    for task in 0..TASKS {
        let writer = log.writer.clone();
        load.spawn(async move {
            let mut acknowledged = HashMap::new();
            for n in 0..APPENDS {
                let append = append(&stream(&format!("{}", (task + n) % 5)), 1 + n % 3);
                let first_id = append.events[0].event_id;
                let reply = answer(submit(&writer, vec![append])).await.remove(0);
                let Ok(AppendOutcome::Appended { first_version, first_position }) = reply else { panic!("{reply:?}") };
                acknowledged.insert(first_id, (first_version, first_position));
            }
            acknowledged
        });
    }
    let mut owner = log.owner().await;
    let mut kills = 0;
    // After each kill the load goes on a little, until half of it is done.
    let (mut head, enough, deadline) = (0, (TASKS * APPENDS) as i64, Instant::now() + SOON);
    while head < enough {
        assert!(Instant::now() < deadline, "the load stands still at {head} events");
        let grown = number(&mut owner, "SELECT count(*) FROM everfold.event_store").await;
        if grown > head + 10 && end_writer(&mut owner).await {
            (kills, head) = (kills + 1, grown);
        }
        tokio::task::yield_now().await;
    }
    assert!(kills >= 3, "the load outran the kills: {kills}");

    let acknowledged: HashMap<_, _> = load.join_all().await.into_iter().flatten().collect();
    assert_eq!(acknowledged.len(), TASKS * APPENDS);
    let events = log.events_of("default").await;
    assert_eq!(events.len(), TASKS * (APPENDS / 3) * (1 + 2 + 3), "nothing lost, nothing twice");
    let stored: HashMap<_, _> = events.iter().map(|event| (event.event_id, (event.version, event.position))).collect();
    assert_eq!(stored.len(), events.len());
    for (id, place) in acknowledged {
        assert_eq!(stored[&id], place);
    }
    owner.close().await.unwrap();
}
