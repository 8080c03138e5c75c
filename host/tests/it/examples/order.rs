//! `order`: two aggregate types of one module, what they say no with, and their snapshots.

use serde_json::{Value, json};
use sqlx::{ConnectOptions, Executor, Row};
use tokio::time::{Duration, Instant, sleep};

use super::{assert_valid, descriptor, event_types, rejection, state};
use crate::support::host::{Answer, TestHost};
use crate::support::postgres::TestDatabase;

async fn send(host: &TestHost, stream: &str, command: &str, body: Value) -> Answer {
    host.command(stream, command, &body.to_string(), &[]).await
}

fn item(sku: &str, quantity: u32, price: u64) -> Value {
    json!({ "sku": sku, "quantity": quantity, "price": price })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_leads_to_its_shipment_by_way_of_the_log() {
    let host = TestHost::start(&TestDatabase::new().await, &["order"]).await;
    let order = "order/o-1";
    send(&host, order, "AddItem", item("MUG", 2, 1250)).await.ok();
    send(&host, order, "AddItem", item("PEN", 10, 99)).await.ok();
    send(&host, order, "RemoveItem", json!({"sku": "PEN"})).await.ok();
    send(&host, order, "Place", json!({"customer": "Ann"})).await.ok();
    send(&host, order, "Pay", json!({"amount": 2500})).await.ok();
    let expected = json!({
        "status": "paid", "customer": "Ann", "items": {"MUG": {"quantity": 2, "price": 1250}}, "total": 2500, "paid": 2500,
    });
    let seen = state(&host, order).await;
    assert_eq!(seen, expected);
    assert_valid(descriptor("order", "order").state_schema.as_ref(), &seen);

    // Who packs reads the log, and takes the event's id as the key: read twice, packed once.
    let log = host.get("/v1/events?event_type=Paid").await.ok();
    let paid = &log["events"][0];
    let key = [("idempotency-key", paid["event_id"].as_str().unwrap())];
    let pack = json!({"order": paid["stream_id"], "parcels": 1}).to_string();
    for replayed in [false, true] {
        let packed = host.command("shipment/s-1", "Pack", &pack, &key).await.ok();
        assert_eq!((&packed["version"], &packed["replayed"]), (&0.into(), &replayed.into()));
    }
    send(&host, "shipment/s-1", "Ship", json!({"carrier": "Swift"})).await.ok();
    send(&host, "shipment/s-1", "Deliver", json!({"signed_by": "Ann"})).await.ok();
    assert_eq!(event_types(&host, "shipment/s-1").await, ["Packed", "Shipped", "Delivered"]);
    let shipment = state(&host, "shipment/s-1").await;
    assert_eq!((&shipment["order"], &shipment["signed_by"]), (&"o-1".into(), &"Ann".into()));
    assert_eq!(shipment["tracking"].as_str().unwrap().len(), 36, "an id that the module derived: {shipment}");
    assert_valid(descriptor("order", "shipment").state_schema.as_ref(), &shipment);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_comes_with_its_details_as_their_schema_says() {
    let host = TestHost::start(&TestDatabase::new().await, &["order"]).await;
    let order = "order/o-1";
    send(&host, order, "AddItem", item("MUG", 2, 1250)).await.ok();
    let mut seen = vec![
        (
            rejection(&send(&host, order, "RemoveItem", json!({"sku": "PEN"})).await),
            json!({"sku": "PEN", "items": ["MUG"]}),
        ),
        (rejection(&send(&host, order, "AddItem", item("MUG", 1, 1300)).await), json!({"sku": "MUG", "price": 1250})),
    ];
    send(&host, order, "Place", json!({"customer": "Ann"})).await.ok();
    let pay = send(&host, order, "Pay", json!({"amount": 2600})).await;
    assert_eq!(pay.problem(422, "rejected")["detail"], "25.00 is still to be paid, not 26.00");
    seen.push((rejection(&pay), json!({"due": 2500, "offered": 2600})));
    seen.push((rejection(&send(&host, order, "AddItem", item("PEN", 1, 99)).await), json!({"status": "placed"})));

    let codes = ["no-such-item", "other-price", "too-much", "not-a-draft"];
    let declared = descriptor("order", "order").rejections;
    for (code, (rejection, details)) in codes.iter().zip(seen) {
        assert_eq!((&rejection["code"], &rejection["details"]), (&(*code).into(), &details));
        let declared = declared.iter().find(|it| it.code.as_str() == *code).unwrap();
        assert_valid(declared.details_schema.as_ref(), &details);
    }

    for (body, pointer) in
        [(item("mug!", 1, 1), "/sku"), (item("MUG", 1, 0), "/price"), (item("MUG", 0, 1), "/quantity")]
    {
        let problem = send(&host, order, "AddItem", body).await.problem(400, "invalid");
        assert_eq!(problem["pointer"], pointer, "{problem}");
    }
    // A number that JSON Schema lets through, and the module's type doesn't take.
    let body = r#"{"amount": 18446744073709551616}"#;
    let problem = host.command(order, "Pay", body, &[]).await.problem(400, "invalid");
    assert_eq!(problem["pointer"], "/amount", "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_and_refunded_is_one_commit() {
    let host = TestHost::start(&TestDatabase::new().await, &["order"]).await;
    send(&host, "order/o-1", "AddItem", item("MUG", 2, 1250)).await.ok();
    send(&host, "order/o-1", "Place", json!({"customer": "Ann"})).await.ok();
    send(&host, "order/o-1", "Pay", json!({"amount": 500})).await.ok();
    let cancelled = send(&host, "order/o-1", "Cancel", json!({"reason": "too late"})).await.ok();
    let types: Vec<_> = cancelled["events"].as_array().unwrap().iter().map(|event| &event["event_type"]).collect();
    assert_eq!(types, ["Cancelled", "Refunded"]);
    assert_eq!(cancelled["version"], 4);
}

/// Notes every snapshot that is written, also those that a later one replaces.
const NOTE_SNAPSHOTS: &str = "
    CREATE TABLE written (aggregate_type text, version bigint);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN INSERT INTO public.written VALUES (NEW.aggregate_type, NEW.version); RETURN NULL; END $$;
    CREATE TRIGGER note AFTER INSERT OR UPDATE ON everfold.snapshots FOR EACH ROW EXECUTE FUNCTION note();";

#[tokio::test(flavor = "multi_thread")]
async fn each_aggregate_type_has_its_own_snapshot_interval() {
    let database = TestDatabase::new().await;
    let mut owner = database.options().connect().await.unwrap();
    owner.execute(NOTE_SNAPSHOTS).await.unwrap();
    let host = TestHost::start(&database, &["order"]).await;
    send(&host, "shipment/s-1", "Pack", json!({"order": "o-1", "parcels": 1})).await.ok();
    send(&host, "shipment/s-1", "Ship", json!({"carrier": "Swift"})).await.ok();
    let mut expected = Vec::new();
    for newest in [19, 39] {
        for _ in 0..22 {
            send(&host, "order/o-1", "AddItem", item("PEN", 1, 99)).await.ok();
        }
        expected.push(("order".to_owned(), newest));
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let rows = owner.fetch_all("SELECT aggregate_type, version FROM written ORDER BY version").await.unwrap();
            let written: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            if written == expected {
                break;
            }
            assert!(Instant::now() < deadline, "expected these snapshots {expected:?}, and no others: {written:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
    let fresh = TestHost::start(&database, &["order"]).await;
    assert_eq!(state(&fresh, "order/o-1").await["total"], 44 * 99, "from the snapshot and the events after it");
}
