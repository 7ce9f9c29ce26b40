//! Who sees what of a mark.

use crate::support::TestApp;
use crate::support::people::{email, mark};
use serde_json::json;

#[tokio::test]
async fn a_fellow_judge_sees_that_a_score_came_but_not_which() {
    let app = TestApp::with_people().await;
    let (ada, ben) = (app.connect(&email("ada")).await, app.connect(&email("ben")).await);
    let answer = ada.call("scores:submit", mark("x", "form", 9.5)).await;
    assert_eq!(answer["ok"], true, "{answer}");
    let own = ada.next("scores:updated").await;
    let masked = ben.next("scores:updated").await;
    assert_eq!((&own.data()["score"], &masked.data()["score"]), (&json!(9.5), &json!(null)));
    assert_eq!((&own.data()["id"], &masked.data()["masked"]), (&masked.data()["id"], &json!(true)));
    app.stop().await;
}
