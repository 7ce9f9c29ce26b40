//! What the office does beside signing: entries withdrawn and reinstated, ties decided by hand, stages overridden, marks
//! entered for a judge.

use crate::support::hall::{Hall, code, ok, signed};
use crate::support::people::{email, mark};
use reqwest::Method;
use scorecast::db::entity::log_entry;
use scorecast::events::event::{Event, Scope};
use scorecast::events::log::read_entries;
use scorecast::ids::{CategoryId, MarkId};
use scorecast::state::{State, load};
use sea_orm::{EntityTrait, QueryOrder};
use serde_json::{Value, json};

/// Why `z` does not start; nobody but the office may read it.
const ANKLE: &str = "a sprained ankle";

fn entry(contestant: &str) -> Value {
    json!({"categoryId": "vault", "contestantId": contestant, "reason": ANKLE})
}

/// The places as the tally master sees them: contestant, rank, and what decided.
async fn places(hall: &Hall) -> Vec<(String, i64, Option<String>)> {
    let tally = hall.app.get("/api/v1/categories/vault/tally", &email("tally")).await.body;
    let place = |row: &Value| {
        let text = |field: &str| row[field].as_str().map(str::to_owned);
        (text("contestantId").expect("an id"), row["rank"].as_i64().expect("a rank"), text("decidedBy"))
    };
    tally["ranking"].as_array().expect("a ranking").iter().map(place).collect()
}

fn order(contestants: &[&str]) -> Value {
    json!({"categoryId": "vault", "order": contestants, "reason": "the higher difficulty"})
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

// Ties.

#[tokio::test]
async fn a_tie_is_put_in_order_by_the_tally_master_and_only_the_office_learns_how() {
    let hall = Hall::judged().await;
    hall.change_vault(|vault| vault["rules"]["tieBreaks"] = json!(["manual"])).await;
    let shared = places(&hall).await;
    assert!(shared.iter().all(|(_, rank, _)| *rank == 1), "{shared:?}");
    let before = hall.hash().await;
    let resolved = hall.tally.call("tie:resolve", order(&["z", "x", "y"])).await;
    assert_eq!(ok(&resolved)["tie"]["order"], json!(["z", "x", "y"]));
    let manual = || Some("manual".to_owned());
    let by_hand = [("z", 1, None), ("x", 2, manual()), ("y", 3, manual())];
    assert_eq!(places(&hall).await, by_hand.map(|(id, rank, by)| (id.to_owned(), rank, by)));
    let first = hall.hash().await;
    assert_ne!(first, before, "a signature binds the order");
    // A later word on the same contestants takes the place of the earlier.
    ok(&hall.tally.call("tie:resolve", order(&["y", "x", "z"])).await);
    let ranked: Vec<String> = places(&hall).await.into_iter().map(|(id, ..)| id).collect();
    assert_eq!(ranked, ["y", "x", "z"]);
    assert_ne!(hall.hash().await, first);
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    assert_eq!(code(&hall.tally.call("tie:resolve", order(&["z", "x", "y"])).await), "STATE", "it is signed");
    let told = hall.auditor.next("tie:resolved").await;
    assert_eq!(
        (&told.data()["order"], &told.data()["reason"]),
        (&json!(["z", "x", "y"]), &json!("the higher difficulty"))
    );
    let emcee = hall.app.connect(&email("emcee")).await;
    let both = hall.app.connect(&email("both")).await;
    ok(&hall.auditor.call("certification:reject", json!({"categoryId": "vault", "reason": "again"})).await);
    ok(&hall.tally.call("tie:resolve", order(&["z", "x", "y"])).await);
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    for reader in [&hall.judges[0], &emcee, &both] {
        reader
            .wait_until(|frames| {
                frames.iter().any(|frame| {
                    frame.event == "certification:updated"
                        && frame.data()["stage"] == "TALLIED"
                        && frame.data().get("rejectionReason").is_none()
                })
            })
            .await;
        assert!(reader.transcript().iter().all(|frame| frame.event != "tie:resolved"));
        assert!(!reader.raw_text().contains("the higher difficulty"));
    }
    let kept = places(&hall).await;
    let Hall { app, judges, tally, auditor, board } = hall;
    drop((judges, tally, auditor, board));
    let app = app.restart().await;
    let tally = app.get("/api/v1/categories/vault/tally", &email("tally")).await.body;
    assert_eq!(tally["ranking"][0]["contestantId"], kept[0].0.as_str(), "the order outlives a restart");
    assert_eq!(tally["stage"], "TALLIED");
    app.stop().await;
}

#[tokio::test]
async fn only_a_whole_tie_is_put_in_order_and_only_where_the_rules_leave_it_to_hand() {
    let hall = Hall::marked().await;
    let by_hand = async |contestants: &[&str]| {
        let answer = hall.tally.call("tie:resolve", order(contestants)).await;
        (code(&answer).to_owned(), answer["error"]["message"].as_str().unwrap_or_default().to_owned())
    };
    let (refused, why) = by_hand(&["x", "y", "z"]).await;
    assert_eq!(refused, "STATE");
    assert!(why.contains("manual"), "{why}");
    hall.change_vault(|vault| vault["rules"]["tieBreaks"] = json!(["fewest_deductions", "manual"])).await;
    let (refused, why) = by_hand(&["x", "y"]).await;
    assert_eq!((refused.as_str(), why.contains("x, y, z")), ("STATE", true), "{why}");
    ok(&hall.judges[0].call("scores:submit", mark("z", "form", 9.0)).await);
    let (refused, why) = by_hand(&["x", "z"]).await;
    assert_eq!((refused.as_str(), why.contains("do not share")), ("STATE", true), "{why}");
    assert_eq!(by_hand(&["x", "y", "z"]).await.0, "STATE");
    assert_eq!(by_hand(&["x", "y", "x"]).await.0, "INVALID_DATA");
    assert_eq!(by_hand(&["x"]).await.0, "INVALID_DATA");
    assert_eq!(by_hand(&["x", "nobody"]).await.0, "NOT_FOUND");
    assert_eq!(code(&hall.auditor.call("tie:resolve", order(&["x", "y"])).await), "FORBIDDEN");
    let both = hall.app.connect(&email("both")).await;
    assert_eq!(code(&both.call("tie:resolve", order(&["x", "y"])).await), "SEPARATION_OF_DUTIES");
    let made = hall
        .app
        .post("/api/v1/categories/vault/ties", &email("tally"), json!({"order": ["y", "x"], "reason": "difficulty"}))
        .await;
    assert_eq!((made.status.as_u16(), &made.body["tie"]["order"]), (201, &json!(["y", "x"])), "{}", made.body);
    let ranked: Vec<(String, i64)> = places(&hall).await.into_iter().map(|(id, rank, _)| (id, rank)).collect();
    assert_eq!(ranked, [("z".to_owned(), 1), ("y".to_owned(), 2), ("x".to_owned(), 3)]);
    // What nobody put in order stays shared: now all three are tied again, and nobody has put z anywhere.
    ok(&hall.judges[0].call("scores:submit", mark("z", "form", 5.0)).await);
    assert!(places(&hall).await.iter().all(|(_, rank, _)| *rank == 1));
    hall.app.stop().await;
}

// Overrides.

/// Sets what the cup allows.
async fn allow(hall: &Hall, settings: Value) {
    let mut event = json!({"mainTitle": "The Cup"});
    event.as_object_mut().expect("an object").extend(settings.as_object().expect("an object").clone());
    let changed = hall.app.send(Method::PUT, "/api/v1/admin/events/cup", &email("organizer"), event).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
}

fn instead(stage: &str) -> Value {
    json!({"categoryId": "vault", "stage": stage, "reason": "taken ill"})
}

/// Every mark of the vault is given, and all but cleo have signed FINAL.
async fn all_but_cleo() -> Hall {
    let hall = Hall::marked().await;
    for judge in &hall.judges[..2] {
        ok(&judge.call("scores:certify", json!({"categoryId": "vault"})).await);
        ok(&judge.call("scores:final", json!({"categoryId": "vault"})).await);
    }
    hall
}

#[tokio::test]
async fn an_admin_stands_in_for_a_judge_who_is_gone_and_everybody_reads_why() {
    let hall = all_but_cleo().await;
    let admin = hall.app.connect(&email("admin")).await;
    assert_eq!(code(&admin.call("certification:override", instead("JUDGED")).await), "FORBIDDEN", "not in this event");
    allow(&hall, json!({"allowOverride": true})).await;
    let organizer = hall.app.connect(&email("organizer")).await;
    assert_eq!(code(&organizer.call("certification:override", instead("JUDGED")).await), "FORBIDDEN");
    let view = ok(&admin.call("certification:override", instead("JUDGED")).await).clone();
    assert_eq!((&view["stage"], &view["judgeProgress"]["finals"]), (&json!("JUDGED"), &json!(2)));
    let told = &hall.view("ada").await["signatures"][0];
    assert_eq!(
        (&told["stage"], &told["override"], &told["reason"], &told["signatureName"]),
        (&json!("JUDGED"), &json!(true), &json!("taken ill"), &json!("admin"))
    );
    for (officer, stage) in [(&hall.tally, "TALLIED"), (&hall.auditor, "AUDITED"), (&hall.board, "CERTIFIED")] {
        ok(&hall.sign(officer, stage).await);
    }
    let scores = hall.app.get("/api/v1/categories/vault/scores", &email("tally")).await.body;
    assert!(scores["scores"].as_array().expect("a list").iter().all(|score| score["status"] == "locked"));
    assert_eq!(code(&hall.judges[2].call("scores:submit", mark("x", "form", 1.0)).await), "LOCKED");
    // Sent back as far as it goes: what was overridden falls last.
    let back = |to: &str| json!({"categoryId": "vault", "reason": "look again", "toStage": to});
    let view = ok(&hall.board.call("certification:reject", back("JUDGED")).await).clone();
    assert_eq!((&view["stage"], view["signatures"].as_array().map(Vec::len)), (&json!("JUDGED"), Some(1)));
    let view = ok(&hall.board.call("certification:reject", back("OPEN")).await).clone();
    assert_eq!((&view["stage"], &view["status"]), (&json!("OPEN"), &json!("REJECTED")));
    ok(&hall.judges[2].call("scores:certify", json!({"categoryId": "vault"})).await);
    ok(&hall.judges[2].call("scores:final", json!({"categoryId": "vault"})).await);
    assert_eq!(hall.view("board").await["stage"], "JUDGED");
    let refused = hall.board.call("certification:reject", back("OPEN")).await;
    assert_eq!(code(&refused), "INVALID_DATA", "what judges have signed is opened by an uncertification");
    hall.app.stop().await;
}

#[tokio::test]
async fn an_override_binds_the_tally_and_falls_with_it() {
    let hall = all_but_cleo().await;
    allow(&hall, json!({"allowOverride": true})).await;
    let admin = hall.app.connect(&email("admin")).await;
    ok(&admin.call("certification:override", instead("JUDGED")).await);
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    ok(&hall.judges[2].call("scores:submit", mark("x", "form", 1.0)).await);
    let view = hall.view("board").await;
    assert_eq!((&view["stage"], &view["voided"], &view["signatures"]), (&json!("OPEN"), &json!(true), &json!([])));
    let told = admin.next("notification").await;
    assert_eq!((&told.data()["type"], &told.data()["categoryId"]), (&json!("warning"), &json!("vault")));
    ok(&admin.call("certification:override", instead("JUDGED")).await);
    // Once the panel is done the category is judged without it, and what else changes leaves it so.
    ok(&hall.judges[2].call("scores:certify", json!({"categoryId": "vault"})).await);
    ok(&hall.judges[2].call("scores:final", json!({"categoryId": "vault"})).await);
    hall.change_vault(|vault| vault["criteria"][0]["weight"] = json!(3)).await;
    let view = hall.view("board").await;
    assert_eq!((&view["stage"], &view["signatures"]), (&json!("JUDGED"), &json!([])));
    hall.app.stop().await;
}

#[tokio::test]
async fn an_override_passes_the_guards_of_every_signature() {
    let hall = all_but_cleo().await;
    allow(&hall, json!({"allowOverride": true})).await;
    let admin = hall.app.connect(&email("admin")).await;
    let both = hall.app.connect(&email("both")).await;
    let by = async |who: &crate::support::client::Client, stage: &str| {
        code(&who.call("certification:override", instead(stage)).await).to_owned()
    };
    assert_eq!(by(&both, "JUDGED").await, "SEPARATION_OF_DUTIES", "an admin who judges it");
    assert_eq!(by(&admin, "OPEN").await, "INVALID_DATA");
    assert_eq!(by(&admin, "TALLIED").await, "STATE", "JUDGED comes first");
    let no_reason = json!({"categoryId": "vault", "stage": "JUDGED", "reason": " "});
    assert_eq!(code(&admin.call("certification:override", no_reason).await), "INVALID_DATA");
    let id = hall.ask(&hall.tally, "flag:raise", json!({"categoryId": "vault", "text": "who is z?"})).await;
    assert_eq!(by(&admin, "JUDGED").await, "OPEN_FLAGS");
    ok(&hall.auditor.call("flag:resolve", json!({"id": id, "decision": "rejected", "reason": "z"})).await);
    hall.app.give_hat("idle", json!({"categoryId": "vault"})).await;
    assert_eq!(by(&admin, "JUDGED").await, "STATE", "idle has not marked: the tally is not complete");
    hall.app.take_hat(&hall.app.hat_of("idle").await).await;
    let over_http = hall
        .app
        .post(
            "/api/v1/categories/vault/certification/override",
            &email("admin"),
            json!({"stage": "JUDGED", "reason": "ill"}),
        )
        .await;
    assert_eq!((over_http.status.as_u16(), &over_http.body["stage"]), (200, &json!("JUDGED")), "{}", over_http.body);
    assert_eq!(by(&admin, "TALLIED").await, "SEPARATION_OF_DUTIES", "nobody signs two stages");
    allow(&hall, json!({"allowOverride": true, "singleOfficer": true})).await;
    for stage in ["TALLIED", "AUDITED", "CERTIFIED"] {
        assert_eq!(by(&admin, stage).await, "ok", "{stage}");
    }
    assert_eq!(hall.view("board").await["certifiedBy"], hall.app.user_id(&email("admin")));
    assert_eq!(code(&hall.judges[2].call("scores:submit", mark("x", "form", 1.0)).await), "LOCKED");
    hall.app.stop().await;
}

#[tokio::test]
async fn the_reason_of_an_override_is_kept_beside_the_log_and_not_in_it() {
    let hall = all_but_cleo().await;
    allow(&hall, json!({"allowOverride": true})).await;
    let admin = hall.app.connect(&email("admin")).await;
    ok(&admin.call("certification:override", instead("JUDGED")).await);
    let rows =
        log_entry::Entity::find().order_by_asc(log_entry::Column::Seq).all(&hall.app.app.db).await.expect("rows");
    assert!(rows.iter().all(|row| !row.fact.contains("taken ill")));
    let entries = read_entries(&hall.app.app.db, rows).await.expect("facts");
    let reason = |event: &Event| {
        let Event::CertificationUpdated(fact) = event else { return None };
        fact.signatures.first()?.reason.as_ref()?.body().map(str::to_owned)
    };
    let reasons: Vec<String> = entries.iter().filter_map(|entry| reason(&entry.event)).collect();
    assert_eq!(reasons, ["taken ill"], "and comes back to its place when the log is read");
    hall.app.stop().await;
}

// Marks entered for a judge.

/// Ada and ben have marked the vault, cleo has not; a tally master may enter marks there.
async fn cleo_on_paper() -> Hall {
    let hall = Hall::marked_by(&["ada", "ben"]).await;
    hall.change_vault(|vault| vault["proxyEntry"] = json!(true)).await;
    hall
}

/// A mark for cleo, read from paper.
fn for_cleo(hall: &Hall, contestant: &str, criterion: &str, score: f64) -> Value {
    let mut payload = mark(contestant, criterion, score);
    payload["judgeId"] = json!(hall.app.user_id(&email("cleo")));
    payload
}

/// How many marks count.
async fn given(hall: &Hall) -> i64 {
    let view = hall.app.get("/api/v1/categories/vault/completeness", &email("tally")).await.body;
    view["given"].as_i64().expect("a number")
}

#[tokio::test]
async fn a_mark_entered_for_a_judge_counts_once_somebody_else_has_confirmed_it() {
    let hall = cleo_on_paper().await;
    let entered = hall.tally.call("scores:submit", for_cleo(&hall, "x", "form", 7.0)).await;
    let score = ok(&entered)["score"].clone();
    let (tally, cleo) = (hall.app.user_id(&email("tally")), hall.app.user_id(&email("cleo")));
    assert_eq!((&score["score"], &score["enteredBy"], &score["judgeId"]), (&json!(7), &json!(tally), &json!(cleo)));
    assert!(score.get("confirmedBy").is_none());
    assert_eq!(given(&hall).await, 12, "it does not count yet");
    let hash = hall.hash().await;
    let confirm = json!({"scoreId": score["id"]});
    assert_eq!(code(&hall.tally.call("scores:confirm", confirm.clone()).await), "SEPARATION_OF_DUTIES");
    for (name, refused) in [
        ("ada", "FORBIDDEN"),
        ("both", "FORBIDDEN"),
        ("admin", "FORBIDDEN"),
        ("emcee", "FORBIDDEN"),
        ("beam", "NOT_FOUND"),
    ] {
        let somebody = hall.app.connect(&email(name)).await;
        assert_eq!(code(&somebody.call("scores:confirm", confirm.clone()).await), refused, "{name}");
    }
    let confirmed = hall.auditor.call("scores:confirm", confirm.clone()).await;
    let view = &ok(&confirmed)["score"];
    assert_eq!((&view["version"], &view["confirmedBy"]), (&json!(1), &json!(hall.app.user_id(&email("auditor")))));
    assert_eq!(given(&hall).await, 13);
    assert_ne!(hall.hash().await, hash);
    assert_eq!(code(&hall.board.call("scores:confirm", confirm).await), "NOT_FOUND", "it is confirmed");
    // What everybody was told: cleo the mark, ada that there is one, the office who entered and confirmed it.
    let twice = |frames: &[crate::support::client::Frame]| {
        frames.iter().filter(|frame| frame.event == "scores:updated" && frame.data()["id"] == score["id"]).count() == 2
    };
    for (reader, number, names) in
        [(&hall.judges[2], json!(7), true), (&hall.judges[0], Value::Null, false), (&hall.board, json!(7), true)]
    {
        reader.wait_until(twice).await;
        let frames = reader.transcript();
        let last = frames.iter().rev().find(|frame| frame.event == "scores:updated").expect("a frame").data();
        assert_eq!(
            (&last["score"], last.get("enteredBy").is_some(), last.get("confirmedBy").is_some()),
            (&number, names, names)
        );
    }
    hall.app.stop().await;
}

#[tokio::test]
async fn a_judge_confirms_what_was_entered_for_them_and_certifies_it_only_then() {
    let hall = cleo_on_paper().await;
    let mut items = Vec::new();
    for contestant in ["x", "y", "z"] {
        for criterion in ["form", "height"] {
            items.push(for_cleo(&hall, contestant, criterion, 6.0));
        }
    }
    let batch = hall.tally.call("scores:submitBatch", json!({"items": items})).await;
    let ids: Vec<Value> =
        ok(&batch)["results"].as_array().expect("a list").iter().map(|item| item["score"]["id"].clone()).collect();
    let cleo = &hall.judges[2];
    assert_eq!(
        code(&cleo.call("scores:certify", json!({"categoryId": "vault"})).await),
        "STATE",
        "nothing is confirmed"
    );
    for id in &ids {
        let confirmed = cleo.call("scores:confirm", json!({"scoreId": id, "categoryId": "vault"})).await;
        assert_eq!(ok(&confirmed)["score"]["confirmedBy"], hall.app.user_id(&email("cleo")));
    }
    for judge in &hall.judges {
        ok(&judge.call("scores:certify", json!({"categoryId": "vault"})).await);
        ok(&judge.call("scores:final", json!({"categoryId": "vault"})).await);
    }
    assert_eq!(code(&hall.tally.call("scores:submit", for_cleo(&hall, "x", "form", 1.0)).await), "CERTIFIED");
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    hall.app.stop().await;
}

#[tokio::test]
async fn marks_are_entered_only_where_the_category_has_it_so_and_never_over_what_a_judge_gave() {
    let hall = Hall::marked_by(&["ada", "ben"]).await;
    let for_cleo = |score: f64| for_cleo(&hall, "x", "form", score);
    assert_eq!(code(&hall.tally.call("scores:submit", for_cleo(7.0)).await), "FORBIDDEN", "not in this category");
    hall.change_vault(|vault| vault["proxyEntry"] = json!(true)).await;
    let admin = hall.app.connect(&email("admin")).await;
    for somebody in [&hall.auditor, &hall.judges[0], &admin] {
        assert_eq!(code(&somebody.call("scores:submit", for_cleo(7.0)).await), "FORBIDDEN");
    }
    let mut for_idle = for_cleo(7.0);
    for_idle["judgeId"] = json!(hall.app.user_id(&email("idle")));
    assert_eq!(code(&hall.tally.call("scores:submit", for_idle).await), "FORBIDDEN", "idle does not judge it");
    let mut chosen = for_cleo(7.0);
    chosen["id"] = json!("018f0000-0000-7000-8000-000000000000");
    let refused = hall.tally.call("scores:submit", chosen).await;
    assert_eq!((code(&refused), &refused["error"]["field"]), ("INVALID_DATA", &json!("id")));
    let mut over_ada = for_cleo(7.0);
    over_ada["judgeId"] = json!(hall.app.user_id(&email("ada")));
    assert_eq!(code(&hall.tally.call("scores:submit", over_ada).await), "STATE", "ada gave that mark herself");
    assert_eq!(code(&hall.tally.call("scores:submit", for_cleo(7.1)).await), "BAD_STEP");
    // Entered, confirmed, entered again: to be confirmed again.
    let first = ok(&hall.tally.call("scores:submit", for_cleo(7.0)).await)["score"].clone();
    ok(&hall.auditor.call("scores:confirm", json!({"scoreId": first["id"]})).await);
    let again = ok(&hall.tally.call("scores:submit", for_cleo(7.5)).await)["score"].clone();
    assert_eq!((&again["id"], &again["version"], again.get("confirmedBy")), (&first["id"], &json!(2), None));
    assert_eq!(given(&hall).await, 12);
    // The judge's own mark takes its place and needs nobody.
    let own = ok(&hall.judges[2].call("scores:submit", mark("x", "form", 8.0)).await)["score"].clone();
    assert_eq!((&own["version"], own.get("enteredBy"), own.get("confirmedBy")), (&json!(3), None, None));
    assert_eq!(given(&hall).await, 13);
    assert_eq!(code(&hall.tally.call("scores:submit", for_cleo(7.0)).await), "STATE");
    assert_eq!(code(&hall.auditor.call("scores:confirm", json!({"scoreId": first["id"]})).await), "NOT_FOUND");
    hall.app.stop().await;
}

#[tokio::test]
async fn a_mark_that_waits_is_found_again_after_a_restart() {
    let hall = cleo_on_paper().await;
    let score = ok(&hall.tally.call("scores:submit", for_cleo(&hall, "x", "form", 7.0)).await)["score"].clone();
    let Hall { app, judges, tally, auditor, board } = hall;
    drop((judges, tally, auditor, board));
    let app = app.restart().await;
    let auditor = app.connect(&email("auditor")).await;
    ok(&auditor.call("scores:confirm", json!({"scoreId": score["id"]})).await);
    let path = format!("/api/v1/categories/vault/scores/{}/confirm", score["id"].as_str().expect("an id"));
    assert_eq!(app.post(&path, &email("board"), Value::Null).await.status, 404, "it was confirmed");
    let app = app.restart().await;
    assert_eq!(app.post(&path, &email("board"), Value::Null).await.status, 404, "and stays so");
    let scores = app.get("/api/v1/categories/vault/scores?contestantId=x", &email("tally")).await.body;
    let mark =
        scores["scores"].as_array().expect("a list").iter().find(|mark| mark["id"] == score["id"]).expect("kept");
    assert_eq!(mark["confirmedBy"], app.user_id(&email("auditor")));
    app.stop().await;
}

#[tokio::test]
async fn another_process_finds_a_mark_that_waits_by_what_the_fact_names() {
    let hall = cleo_on_paper().await;
    let mut elsewhere = State::clone(&hall.app.app.state());
    let score = ok(&hall.tally.call("scores:submit", for_cleo(&hall, "x", "form", 7.0)).await)["score"].clone();
    let id: MarkId = score["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let vault: CategoryId = "vault".parse().expect("an id");
    let scope = Scope::Marks(vault.clone());
    let db = &hall.app.app.db;
    load::reload(db, &mut elsewhere, &scope).await.expect("the tables can be read");
    let waits_in = |state: &State| state.unconfirmed.get(&id).cloned().unwrap_or_default();
    assert_eq!(waits_in(&elsewhere).into_iter().collect::<Vec<_>>(), [vault]);
    ok(&hall.auditor.call("scores:confirm", json!({"scoreId": id})).await);
    load::reload(db, &mut elsewhere, &scope).await.expect("the tables can be read");
    assert!(waits_in(&elsewhere).is_empty());
    hall.app.stop().await;
}

#[tokio::test]
async fn a_mark_id_that_waits_in_two_categories_needs_the_category_named() {
    let hall = cleo_on_paper().await;
    let mut beam = hall.app.get("/api/v1/admin/categories/beam", &email("organizer")).await.body;
    for field in ["id", "eventId", "entries"] {
        beam.as_object_mut().expect("an object").remove(field);
    }
    beam["proxyEntry"] = json!(true);
    let path = "/api/v1/admin/categories/beam";
    assert_eq!(hall.app.send(Method::PUT, path, &email("organizer"), beam).await.status, 200);
    // A client may choose the same id in each; once such a mark was taken out, its place keeps the id.
    let id = "018f0000-0000-7000-8000-000000000000";
    let judge_of_beam = hall.app.connect(&email("beam")).await;
    for (category, name, judge) in [("vault", "cleo", &hall.judges[2]), ("beam", "beam", &judge_of_beam)] {
        let own = json!({"categoryId": category, "id": id, "contestantId": "x", "criterionId": "form", "score": 5});
        ok(&judge.call("scores:submit", own).await);
        let by = hall.app.user_id(&email(name));
        let removal = json!({"categoryId": category, "judgeId": by, "reason": "the wrong gymnast"});
        let removal = hall.ask(&hall.board, "score:removal-requested", removal).await;
        for officer in [&hall.tally, &hall.auditor, &hall.board] {
            ok(&officer.call("score:removal-sign", signed(&removal)).await);
        }
        let entered =
            json!({"categoryId": category, "judgeId": by, "contestantId": "x", "criterionId": "form", "score": 6});
        assert_eq!(ok(&hall.tally.call("scores:submit", entered).await)["score"]["id"], id);
    }
    let unclear = hall.auditor.call("scores:confirm", json!({"scoreId": id})).await;
    assert_eq!((code(&unclear), &unclear["error"]["field"]), ("INVALID_DATA", &json!("categoryId")));
    let named = hall.auditor.call("scores:confirm", json!({"scoreId": id, "categoryId": "beam"})).await;
    assert_eq!(ok(&named)["score"]["categoryId"], "beam");
    let left = hall.auditor.call("scores:confirm", json!({"scoreId": id})).await;
    assert_eq!(ok(&left)["score"]["categoryId"], "vault", "only one waits now");
    hall.app.stop().await;
}

// Warnings.

#[tokio::test]
async fn a_judge_is_warned_by_their_own_marks_alone_and_the_office_by_those_of_the_panel() {
    let hall = Hall::marked_by(&["ada", "ben"]).await;
    let cleo = &hall.judges[2];
    let warned = |answer: &Value| answer["warnings"].as_array().map_or(0, Vec::len);
    // Five points from what ada and ben gave: cleo is not told, whose first mark it is.
    let first = cleo.call("scores:submit", mark("x", "form", 9.75)).await;
    assert_eq!(warned(ok(&first)), 0, "{first}");
    let end = cleo.call("scores:submit", mark("x", "height", 10.0)).await;
    assert_eq!(ok(&end)["warnings"], json!(["10 is at the end of the range of Height"]));
    assert_eq!(ok(&end)["score"]["score"], 10, "and given all the same");
    let over_http = json!({"contestantId": "y", "criterionId": "height", "score": 0});
    let over_http = hall.app.post("/api/v1/categories/vault/scores", &email("cleo"), over_http).await;
    assert_eq!(warned(&over_http.body), 1, "{}", over_http.body);
    let items = [("y", 5.0), ("z", 0.0)].map(|(contestant, score)| mark(contestant, "form", score));
    let batch = cleo.call("scores:submitBatch", json!({"items": items})).await;
    let each: Vec<usize> = ok(&batch)["results"].as_array().expect("a list").iter().map(warned).collect();
    assert_eq!(each, [0, 1]);
    let tally = hall.app.get("/api/v1/categories/vault/tally", &email("tally")).await.body;
    let doubts: Vec<&str> = tally["warnings"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let cleo_id = hall.app.user_id(&email("cleo"));
    let far = |place: &str| format!("{place}: the mark of judge {cleo_id} is far from the median of the panel");
    for place in ["x, form", "x, height", "y, height", "z, form"] {
        assert!(doubts.contains(&far(place).as_str()), "{place}: {doubts:?}");
    }
    assert!(!doubts.contains(&far("y, form").as_str()), "{doubts:?}");
    for judge in &hall.judges {
        assert!(!judge.raw_text().contains("median"));
    }
    hall.app.stop().await;
}

#[tokio::test]
async fn the_tally_names_marks_that_wait_to_be_confirmed() {
    let hall = cleo_on_paper().await;
    let entered = hall.tally.call("scores:submit", for_cleo(&hall, "x", "form", 6.0)).await;
    let waiting =
        format!("x, form: the mark entered for judge {} waits to be confirmed", hall.app.user_id(&email("cleo")));
    let warned = async || {
        let tally = hall.app.get("/api/v1/categories/vault/tally", &email("tally")).await.body;
        tally["warnings"].as_array().expect("a list").iter().any(|warning| *warning == waiting.as_str())
    };
    assert!(warned().await);
    ok(&hall.auditor.call("scores:confirm", json!({"scoreId": ok(&entered)["score"]["id"]})).await);
    assert!(!warned().await);
    hall.app.stop().await;
}
