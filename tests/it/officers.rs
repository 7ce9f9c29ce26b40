//! What the office does beside signing: entries withdrawn and reinstated, ties decided by hand, stages overridden, marks
//! entered for a judge.

use crate::support::hall::{Hall, code, ok};
use crate::support::people::{email, mark};
use serde_json::{Value, json};

/// Why `z` does not start; nobody but the office may read it.
const ANKLE: &str = "a sprained ankle";

fn entry(contestant: &str) -> Value {
    json!({"categoryId": "vault", "contestantId": contestant, "reason": ANKLE})
}

// Entries.

#[tokio::test]
async fn a_withdrawal_after_signatures_voids_them_and_leaves_the_others_ranked() {
    let hall = Hall::certified().await;
    let organizer = hall.app.connect(&email("organizer")).await;
    let before = hall.hash().await;
    let gone = organizer.call("entry:withdraw", entry("z")).await;
    assert_eq!(
        (&ok(&gone)["entry"]["contestantId"], &ok(&gone)["entry"]["withdrawn"]),
        (&json!("z"), &json!(true)),
        "{gone}"
    );
    let view = hall.view("board").await;
    assert_eq!((&view["stage"], &view["voided"], &view["signatures"]), (&json!("JUDGED"), &json!(true), &json!([])));
    assert_eq!(view["judgeProgress"], json!({"judges": 3, "finals": 3, "sheets": 6, "expectedSheets": 6}));
    assert_ne!(hall.hash().await, before);
    let tally = hall.app.get("/api/v1/categories/vault/tally", &email("tally")).await.body;
    let ranked: Vec<&Value> =
        tally["ranking"].as_array().expect("a ranking").iter().map(|row| &row["contestantId"]).collect();
    assert_eq!(ranked, ["x", "y"]);
    let told = hall.board.next("notification").await;
    assert_eq!(told.data()["message"], "your approval is needed");
    hall.board
        .wait_until(|frames| {
            frames.iter().any(|frame| frame.event == "notification" && frame.data()["type"] == "warning")
        })
        .await;
    for (officer, stage) in [(&hall.tally, "TALLIED"), (&hall.auditor, "AUDITED"), (&hall.board, "CERTIFIED")] {
        ok(&hall.sign(officer, stage).await);
    }
    hall.app.stop().await;
}

#[tokio::test]
async fn the_office_reads_why_somebody_withdrew_and_nobody_else_does() {
    let hall = Hall::marked().await;
    let organizer = hall.app.connect(&email("organizer")).await;
    let emcee = hall.app.connect(&email("emcee")).await;
    let both = hall.app.connect(&email("both")).await;
    for event in ["entry:withdraw", "entry:reinstate"] {
        ok(&organizer.call(event, entry("z")).await);
    }
    for reader in [&organizer, &hall.tally, &hall.auditor, &hall.board] {
        for event in ["entry:withdrawn", "entry:reinstated"] {
            assert_eq!(reader.next(event).await.data()["reason"], ANKLE);
        }
    }
    for reader in [&hall.judges[0], &emcee, &both] {
        for event in ["entry:withdrawn", "entry:reinstated"] {
            let told = reader.next(event).await;
            assert_eq!(told.data()["contestantId"], "z");
        }
        assert!(!reader.raw_text().contains(ANKLE));
    }
    hall.app.stop().await;
}

#[tokio::test]
async fn whoever_is_reinstated_is_to_be_marked_before_the_category_is_judged_again() {
    let hall = Hall::marked().await;
    let organizer = hall.app.connect(&email("organizer")).await;
    ok(&organizer.call("entry:withdraw", entry("z")).await);
    assert_eq!(code(&hall.judges[0].call("scores:submit", mark("z", "form", 1.0)).await), "STATE");
    for judge in &hall.judges {
        ok(&judge.call("scores:certify", json!({"categoryId": "vault"})).await);
        ok(&judge.call("scores:final", json!({"categoryId": "vault"})).await);
    }
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    ok(&organizer.call("entry:reinstate", entry("z")).await);
    let view = hall.view("board").await;
    assert_eq!((&view["stage"], &view["judgeProgress"]["finals"]), (&json!("OPEN"), &json!(0)));
    for judge in &hall.judges {
        ok(&judge.call("scores:certify", json!({"categoryId": "vault", "contestantId": "z"})).await);
        ok(&judge.call("scores:final", json!({"categoryId": "vault"})).await);
    }
    assert_eq!(hall.view("board").await["stage"], "JUDGED");
    hall.app.stop().await;
}

#[tokio::test]
async fn an_entry_is_withdrawn_once_with_a_reason_and_not_below_a_lock() {
    let hall = Hall::marked().await;
    let path = |contestant: &str, what: &str| format!("/api/v1/categories/vault/entries/{contestant}/{what}");
    let post = async |contestant: &str, what: &str, body: Value| {
        let reply = hall.app.post(&path(contestant, what), &email("organizer"), body).await;
        reply.body["code"].as_str().unwrap_or("ok").to_owned()
    };
    assert_eq!(post("z", "reinstate", json!({"reason": "fit"})).await, "STATE");
    assert_eq!(post("z", "withdraw", json!({"reason": " "})).await, "INVALID_DATA");
    assert_eq!(post("z", "withdraw", json!({})).await, "INVALID_DATA");
    assert_eq!(post("nobody", "withdraw", json!({"reason": "ill"})).await, "NOT_FOUND");
    assert_eq!(post("z", "withdraw", json!({"reason": "ill"})).await, "ok");
    assert_eq!(post("z", "withdraw", json!({"reason": "ill"})).await, "STATE");
    let category = hall.app.get("/api/v1/admin/categories/vault", &email("organizer")).await.body;
    let out: Vec<&Value> =
        category["entries"].as_array().expect("a list").iter().map(|entry| &entry["withdrawn"]).collect();
    assert_eq!(out, [false, false, true]);
    let by_tally = hall.app.post(&path("z", "reinstate"), &email("tally"), json!({"reason": "fit"})).await;
    assert_eq!(by_tally.status, 403);
    assert_eq!(hall.app.post("/api/v1/contests/women/lock", &email("organizer"), Value::Null).await.status, 200);
    assert_eq!(post("z", "reinstate", json!({"reason": "fit"})).await, "LOCKED");
    let app = hall.app.restart().await;
    let category = app.get("/api/v1/admin/categories/vault", &email("organizer")).await.body;
    assert_eq!(category["entries"][2]["withdrawn"], true, "it outlives a restart");
    app.stop().await;
}
