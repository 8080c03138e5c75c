//! A snapshot that comes late: the newer one of another host stays.

use sqlx::{Executor, Row};

use super::{Gate, SNAPSHOTS, two_hosts};

async fn kept(gate: &mut Gate) -> i64 {
    gate.owner.fetch_one("SELECT version FROM everfold.snapshots").await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_snapshot_does_not_go_backward() {
    let (mut gate, a, b) = two_hosts("counter", SNAPSHOTS).await;
    gate.shut().await;
    a.command("counter/c", "Many", r#"{"n":10}"#, &[]).await.ok();
    gate.until_held().await;
    b.command("counter/c", "Many", r#"{"n":10}"#, &[]).await.ok();
    gate.until("the newer snapshot", "SELECT count(*) = 1 FROM everfold.snapshots").await;
    assert_eq!(kept(&mut gate).await, 19);
    gate.open().await;
    let over = "SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory' AND database =
                (SELECT oid FROM pg_database WHERE datname = current_database())";
    gate.until("the end of the late one", over).await;
    assert_eq!(kept(&mut gate).await, 19);
    for host in [&a, &b] {
        assert_eq!(host.get("/v1/aggregates/counter/c").await.ok()["state"]["total"], 20);
    }
}
