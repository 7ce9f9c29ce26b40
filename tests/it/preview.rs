//! What a command would come to, before anybody carries it out.

use crate::support::TestApp;
use crate::support::client::Client;
use crate::support::people::{email, mark};
use serde_json::{Value, json};

/// Ada, Ben and Cleo have marked the vault: x 6, y 5, z 4 in both criteria, the second counting twice.
async fn marked() -> (TestApp, Vec<Client>) {
    let app = TestApp::with_people().await;
    let mut judges = Vec::new();
    for name in ["ada", "ben", "cleo"] {
        let judge = app.connect(&email(name)).await;
        for (contestant, score) in [("x", 6.0), ("y", 5.0), ("z", 4.0)] {
            for criterion in ["form", "height"] {
                assert_eq!(judge.call("scores:submit", mark(contestant, criterion, score)).await["ok"], true);
            }
        }
        judges.push(judge);
    }
    (app, judges)
}

fn deduction(amount: f64) -> Value {
    let payload = json!({"categoryId": "vault", "contestantId": "x", "amount": amount, "reason": "late"});
    json!({"command": "deduction:requested", "payload": payload})
}

#[tokio::test]
async fn a_deduction_is_foreseen_as_if_everybody_had_approved_and_nothing_has_happened() {
    let (app, _judges) = marked().await;
    let tally = app.connect(&email("tally")).await;
    let hash = async || app.get("/api/v1/categories/vault/tally", &email("tally")).await.body["tallyHash"].clone();
    let (before, end) = (hash().await, app.log_end());
    let foreseen = tally.call("preview", deduction(4.0)).await["data"].clone();
    assert_eq!(app.log_end(), end, "nothing has happened");
    let change = |contestant: &str, ranks: [u32; 2], totals: [f64; 2]| {
        json!({
            "categoryId": "vault", "contestantId": contestant, "rankBefore": ranks[0], "rankAfter": ranks[1],
            "totalBefore": totals[0], "totalAfter": totals[1],
        })
    };
    let changes: Vec<Value> = foreseen["rankChanges"].as_array().expect("a list").clone();
    let shown: Vec<String> = changes.iter().map(ToString::to_string).collect();
    let expected = [change("x", [1, 2], [18.0, 14.0]), change("y", [2, 1], [15.0, 15.0])];
    for (change, wanted) in changes.iter().zip(&expected) {
        for field in ["contestantId", "rankBefore", "rankAfter"] {
            assert_eq!(change[field], wanted[field], "{shown:?}");
        }
        for field in ["totalBefore", "totalAfter"] {
            assert_eq!(change[field].as_f64(), wanted[field].as_f64(), "{shown:?}");
        }
    }
    assert_eq!(changes.len(), 2, "z stays where it is: {shown:?}");
    assert_ne!(foreseen["tallyHash"], before);
    assert_eq!(hash().await, before);
    let over_http = app.post("/api/v1/preview", &email("board"), deduction(4.0)).await;
    assert_eq!((over_http.status.as_u16(), &over_http.body["rankChanges"]), (200, &foreseen["rankChanges"]));
    app.stop().await;
}

#[tokio::test]
async fn signatures_that_would_fall_are_named() {
    let (app, judges) = marked().await;
    for judge in &judges {
        assert_eq!(judge.call("scores:certify", json!({"categoryId": "vault"})).await["ok"], true);
        assert_eq!(judge.call("scores:final", json!({"categoryId": "vault"})).await["ok"], true);
    }
    let tally = app.connect(&email("tally")).await;
    let hash = app.get("/api/v1/categories/vault/tally", &email("tally")).await.body["tallyHash"].clone();
    let sign = json!({"categoryId": "vault", "stage": "TALLIED", "tallyHash": hash, "signatureName": "T."});
    assert_eq!(tally.call("certification:sign", sign).await["ok"], true);
    let voids = json!([{"categoryId": "vault", "stage": "TALLIED", "userId": app.user_id(&email("tally"))}]);
    assert_eq!(tally.call("preview", deduction(0.5)).await["data"]["voids"], voids);
    let mut category = app.get("/api/v1/admin/categories/vault", &email("organizer")).await.body;
    category["rules"]["method"] = json!("median");
    for field in ["eventId", "entries"] {
        category.as_object_mut().expect("an object").remove(field);
    }
    let rules = json!({"command": "admin:category", "payload": category});
    let foreseen = app.post("/api/v1/preview", &email("organizer"), rules).await;
    assert_eq!((foreseen.status.as_u16(), &foreseen.body["voids"]), (200, &voids), "{}", foreseen.body);
    let hat =
        json!({"command": "assignment:created", "payload": {"judgeId": app.user_id(&email("idle")), "eventId": "cup"}});
    let foreseen = app.post("/api/v1/preview", &email("organizer"), hat).await.body;
    assert_eq!(foreseen["voids"], voids, "a judge more for every category: {foreseen}");
    assert!(foreseen["tallyHashes"].as_object().is_some_and(|hashes| hashes.len() > 1), "{foreseen}");
    assert_eq!(app.get("/api/v1/categories/vault/certification", &email("tally")).await.body["stage"], "TALLIED");
    app.stop().await;
}

#[tokio::test]
async fn only_the_office_foresees_and_only_what_it_may_do_itself() {
    let (app, judges) = marked().await;
    let own = json!({"command": "scores:submit", "payload": mark("x", "form", 1.0)});
    let code = async |client: &Client, request: Value| client.call("preview", request).await["error"]["code"].clone();
    assert_eq!(code(&judges[0], own).await, "FORBIDDEN", "a judge would read the others' marks in the ranks");
    assert_eq!(code(&judges[0], deduction(1.0)).await, "FORBIDDEN");
    let both = app.connect(&email("both")).await;
    assert_eq!(code(&both, deduction(1.0)).await, "FORBIDDEN", "an admin who judges it is a judge there");
    let tally = app.connect(&email("tally")).await;
    let removal = json!({"categoryId": "vault", "judgeId": app.user_id(&email("ada")), "reason": "bias"});
    let removal = json!({"command": "score:removal-requested", "payload": removal});
    assert_eq!(code(&tally, removal.clone()).await, "FORBIDDEN", "a tally master does not ask for removals");
    let board = app.connect(&email("board")).await;
    let foreseen = board.call("preview", removal).await;
    assert_eq!(foreseen["ok"], true, "{foreseen}");
    assert_eq!(code(&tally, json!({"command": "notification:read", "payload": {"all": true}})).await, "STATE");
    assert_eq!(code(&tally, json!({"command": "user:active", "payload": {}})).await, "INVALID_EVENT");
    assert_eq!(code(&tally, json!({"command": "nonsense", "payload": {}})).await, "INVALID_EVENT");
    assert_eq!(code(&tally, json!({"payload": {}})).await, "INVALID_DATA");
    app.stop().await;
}
