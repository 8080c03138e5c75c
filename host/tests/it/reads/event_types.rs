//! The list of event types: what the log holds beside what the active modules declare.

use serde_json::{Value, json};

use super::append;
use crate::support::host::TestHost;
use crate::support::postgres::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn event_types_are_told_with_their_place_and_their_schema() {
    let database = TestDatabase::new().await;
    let bare = TestHost::start(&database, &[]).await;
    append(&bare, "parcel/1", &["Unheard", "Split"]).await;
    append(&bare, "letter/1", &["Sent"]).await;
    let told = |kind: &Value| {
        json!([
            kind["aggregate_type"],
            kind["event_type"],
            kind["schema_version"],
            kind["first_position"],
            kind["reading"]
        ])
    };
    let list =
        async |host: &TestHost| host.get("/v1/event-types").await.ok()["event_types"].as_array().unwrap().clone();
    let unread = list(&bare).await;
    assert!(
        unread.iter().all(|kind| kind["reading"] == "unknown" && kind["module"].is_null() && kind["schema"].is_null())
    );

    let host = TestHost::start(&database, &["upcasts"]).await;
    let kinds = list(&host).await;
    let expected = json!([
        ["letter", "Sent", 1, 3, "unknown"],
        ["parcel", "Moved", 2, null, "declared"],
        ["parcel", "Split", 1, 2, "upcast"],
        ["parcel", "Unheard", 1, 1, "unknown"],
    ]);
    assert_eq!(Value::from_iter(kinds.iter().map(told)), expected);
    assert_eq!(kinds[1]["schema"], json!({"type": "object", "required": ["to"]}));
    assert_eq!(kinds[1]["description"], "The parcel was moved.");
    assert_eq!((&kinds[1]["module"]["name"], &kinds[2]["module"]["name"]), (&"upcasts".into(), &"upcasts".into()));
    assert!(kinds[0]["module"].is_null() && kinds[3]["module"].is_null() && kinds[2]["schema"].is_null());

    host.command("parcel/2", "Move", "", &[]).await.ok();
    assert!(list(&host).await[1]["first_position"].is_i64(), "recorded now");
}
