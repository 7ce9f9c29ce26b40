//! From the last mark to the board's signature, and what undoes it.

use crate::support::client::Client;
use crate::support::hall::{Hall, code, ok, signed};
use crate::support::people::{email, mark};
use crate::support::{START, TestApp};
use reqwest::Method;
use scorecast::auth::actor::Actor;
use scorecast::clock::Chance;
use scorecast::command::{Draft, parse};
use scorecast::commands::Command;
use scorecast::error::Refusal;
use scorecast::ids::CategoryId;
use scorecast::setup::{Mode, PutEvent};
use scorecast::state::State;
use serde_json::{Value, json};

#[tokio::test]
async fn three_judges_and_three_officers_bring_a_category_from_its_marks_to_certified() {
    let hall = Hall::certified().await;
    let seen: Vec<(Value, Value)> = hall
        .tally
        .transcript()
        .into_iter()
        .filter(|frame| frame.event == "certification:updated")
        .map(|frame| (frame.data()["stage"].clone(), frame.data()["currentStep"].clone()))
        .collect();
    let mut stages: Vec<&str> = seen.iter().filter_map(|(stage, _)| stage.as_str()).collect();
    stages.dedup();
    assert_eq!(stages, ["OPEN", "JUDGED", "TALLIED", "AUDITED", "CERTIFIED"]);
    let view = hall.view("tally").await;
    assert_eq!(
        (&view["status"], &view["currentStep"], &view["totalSteps"]),
        (&json!("CERTIFIED"), &json!(4), &json!(4))
    );
    assert_eq!(view["judgeProgress"], json!({"judges": 3, "finals": 3, "sheets": 9, "expectedSheets": 9}));
    let signed: Vec<&Value> = view["signatures"].as_array().expect("a list").iter().map(|row| &row["stage"]).collect();
    assert_eq!(signed, ["TALLIED", "AUDITED", "CERTIFIED"]);
    assert_eq!(view["certifiedBy"], hall.app.user_id(&email("board")));
    let scores = hall.app.get("/api/v1/categories/vault/scores", &email("tally")).await.body;
    assert!(scores["scores"].as_array().expect("a list").iter().all(|score| score["status"] == "locked"), "{scores}");
    hall.app.stop().await;
}

#[tokio::test]
async fn a_judge_never_learns_the_hash_and_the_office_does() {
    let hall = Hall::judged().await;
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    let tallied = |frames: &[crate::support::client::Frame]| {
        frames.iter().any(|frame| frame.event == "certification:updated" && frame.data()["stage"] == "TALLIED")
    };
    let hash = hall.hash().await;
    let hash = hash.as_str().expect("a hash");
    for judge in &hall.judges {
        judge.wait_until(tallied).await;
        assert!(!judge.raw_text().contains(hash));
    }
    hall.auditor.wait_until(tallied).await;
    assert!(hall.auditor.raw_text().contains(hash));
    assert!(hall.view("ada").await.get("tallyHash").is_none());
    assert_eq!(hall.view("auditor").await["tallyHash"], hash);
    hall.app.stop().await;
}

#[tokio::test]
async fn a_sheet_is_certified_whole_as_it_was_seen_and_edited_no_more() {
    let app = TestApp::with_people().await;
    let ada = app.connect(&email("ada")).await;
    ok(&ada.call("scores:submit", mark("x", "form", 5.0)).await);
    let sheet = json!({"categoryId": "vault", "contestantId": "x"});
    assert_eq!(code(&ada.call("scores:certify", sheet.clone()).await), "STATE", "a mark is missing");
    ok(&ada.call("scores:submit", mark("x", "height", 6.1)).await);
    let other = json!({"categoryId": "vault", "contestantId": "x", "sheetHash": "00"});
    let mismatch = ada.call("scores:certify", other).await;
    assert_eq!(code(&mismatch), "HASH_MISMATCH");
    let seen = json!({"categoryId": "vault", "contestantId": "x", "sheetHash": mismatch["error"]["current"]});
    ok(&ada.call("scores:certify", seen).await);
    assert_eq!(code(&ada.call("scores:submit", mark("x", "form", 7.0)).await), "CERTIFIED");
    assert_eq!(code(&ada.call("scores:certify", sheet).await), "CERTIFIED");
    assert_eq!(code(&ada.call("scores:final", json!({"categoryId": "vault"})).await), "STATE", "two sheets are open");
    assert_eq!(code(&ada.call("scores:certify", json!({"categoryId": "beam"})).await), "NOT_ASSIGNED");
    app.stop().await;
}

#[tokio::test]
async fn each_stage_wants_its_hat_its_turn_and_the_hash_that_stands() {
    let hall = Hall::judged().await;
    let admin = hall.app.connect(&email("admin")).await;
    let both = hall.app.connect(&email("both")).await;
    assert_eq!(code(&hall.sign(&hall.auditor, "AUDITED").await), "STATE", "the tally master comes first");
    assert_eq!(code(&hall.sign(&hall.auditor, "TALLIED").await), "FORBIDDEN");
    assert_eq!(code(&hall.sign(&admin, "TALLIED").await), "FORBIDDEN", "an admin does not sign");
    assert_eq!(code(&hall.sign(&both, "TALLIED").await), "SEPARATION_OF_DUTIES", "a judge does not sign");
    assert_eq!(code(&hall.sign(&hall.judges[0], "TALLIED").await), "SEPARATION_OF_DUTIES");
    let wrong = json!({"categoryId": "vault", "stage": "TALLIED", "tallyHash": "00", "signatureName": "T."});
    let mismatch = hall.tally.call("certification:sign", wrong).await;
    assert_eq!((code(&mismatch), &mismatch["error"]["current"]), ("HASH_MISMATCH", &hall.hash().await));
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    assert_eq!(code(&hall.sign(&hall.tally, "TALLIED").await), "STATE", "it is signed already");
    hall.app.stop().await;
}

#[tokio::test]
async fn nobody_signs_two_stages_unless_the_event_says_so() {
    let hall = Hall::judged().await;
    hall.app.give_hat("tally", json!({"hat": "AUDITOR", "eventId": "cup"})).await;
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    assert_eq!(code(&hall.sign(&hall.tally, "AUDITED").await), "SEPARATION_OF_DUTIES");
    let event = json!({"mainTitle": "The Cup", "singleOfficer": true});
    assert_eq!(hall.app.send(Method::PUT, "/api/v1/admin/events/cup", &email("organizer"), event).await.status, 200);
    ok(&hall.sign(&hall.tally, "AUDITED").await);
    hall.app.stop().await;
}

#[tokio::test]
async fn whoever_ever_judged_a_category_cannot_lay_down_the_hat_and_sign_it() {
    let hall = Hall::judged().await;
    hall.app.take_hat(&hall.app.hat_of("head").await).await;
    hall.app.give_hat("head", json!({"hat": "TALLY_MASTER", "eventId": "cup"})).await;
    let head = hall.app.connect(&email("head")).await;
    assert_eq!(code(&hall.sign(&head, "TALLIED").await), "SEPARATION_OF_DUTIES");
    hall.app.stop().await;
}

#[tokio::test]
async fn a_rule_that_changes_after_the_audit_voids_the_signatures_and_the_board_cannot_sign_the_old_hash() {
    let hall = Hall::judged().await;
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    ok(&hall.sign(&hall.auditor, "AUDITED").await);
    let old = hall.hash().await;
    hall.change_vault(|vault| vault["criteria"][0]["weight"] = json!(3)).await;
    let view = hall.view("board").await;
    assert_eq!((&view["stage"], &view["voided"], &view["signatures"]), (&json!("JUDGED"), &json!(true), &json!([])));
    let stale = json!({"categoryId": "vault", "stage": "CERTIFIED", "tallyHash": old, "signatureName": "B."});
    assert_eq!(code(&hall.board.call("certification:sign", stale).await), "STATE");
    let stale = json!({"categoryId": "vault", "stage": "TALLIED", "tallyHash": old, "signatureName": "T."});
    assert_eq!(code(&hall.tally.call("certification:sign", stale).await), "HASH_MISMATCH");
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    assert!(hall.view("board").await.get("voided").is_none(), "a new signature stands");
    hall.app.stop().await;
}

#[tokio::test]
async fn a_new_judge_opens_the_category_again_and_a_judge_who_leaves_closes_it() {
    let hall = Hall::judged().await;
    let hat = hall.app.give_hat("idle", json!({"categoryId": "vault"})).await;
    assert_eq!(hall.view("board").await["stage"], "OPEN");
    hall.app.take_hat(&hat).await;
    assert_eq!(hall.view("board").await["stage"], "JUDGED");
    hall.app.stop().await;
}

#[tokio::test]
async fn what_is_sent_back_says_why_and_is_signed_again() {
    let hall = Hall::certified().await;
    let no_reason = hall.board.call("certification:reject", json!({"categoryId": "vault", "reason": " "})).await;
    assert_eq!((code(&no_reason), &no_reason["error"]["field"]), ("INVALID_DATA", &json!("reason")));
    let by_tally = hall.tally.call("certification:reject", json!({"categoryId": "vault", "reason": "no"})).await;
    assert_eq!(code(&by_tally), "FORBIDDEN");
    let back = json!({"categoryId": "vault", "reason": "x was marked as y", "toStage": "JUDGED"});
    let view = ok(&hall.auditor.call("certification:reject", back).await).clone();
    assert_eq!((&view["status"], &view["currentStep"]), (&json!("REJECTED"), &json!(2)));
    assert_eq!(view["rejectionReason"], "x was marked as y");
    let scores = hall.app.get("/api/v1/categories/vault/scores", &email("tally")).await.body;
    assert!(
        scores["scores"].as_array().expect("a list").iter().all(|score| score["status"] == "certified"),
        "unlocked"
    );
    let again = ok(&hall.sign(&hall.tally, "TALLIED").await).clone();
    assert_eq!((&again["status"], again.get("rejectionReason")), (&json!("IN_PROGRESS"), None));
    hall.app.stop().await;
}

#[tokio::test]
async fn two_deductions_each_approved_by_four_people_add_up() {
    let hall = Hall::marked().await;
    let head = hall.app.connect(&email("head")).await;
    let total = async || {
        let tally = hall.app.get("/api/v1/categories/vault/tally", &email("tally")).await.body;
        let rows = tally["ranking"].as_array().expect("a ranking").clone();
        let row = rows.into_iter().find(|row| row["contestantId"] == "x").expect("x is ranked");
        (row["total"].clone(), row["deductions"].clone())
    };
    // Mean 6 in both criteria, the second of which counts twice.
    assert_eq!(total().await, (json!(18), json!(0)));
    for amount in [0.5, 1.25] {
        let asked = json!({"categoryId": "vault", "contestantId": "x", "amount": amount, "reason": "out of bounds"});
        let id = hall.ask(&hall.judges[0], "deduction:requested", asked).await;
        let pending = head.next("deduction:pending").await;
        assert_eq!(pending.data()["missing"], json!(["HEAD_JUDGE", "TALLY_MASTER", "AUDITOR", "BOARD"]));
        assert_eq!(code(&hall.judges[1].call("deduction:approve", signed(&id)).await), "FORBIDDEN");
        for officer in [&hall.board, &head, &hall.tally] {
            let moved = officer.call("deduction:approve", signed(&id)).await;
            assert_eq!(ok(&moved)["deduction"]["status"], "PENDING");
        }
        assert_eq!(code(&hall.board.call("deduction:approve", signed(&id)).await), "SEPARATION_OF_DUTIES");
        let last = hall.auditor.call("deduction:approve", signed(&id)).await;
        assert_eq!(ok(&last)["deduction"]["status"], "APPROVED");
        assert_eq!(code(&hall.tally.call("deduction:reject", json!({"id": id, "reason": "late"})).await), "STATE");
    }
    assert_eq!(total().await, (json!(16.25), json!(1.75)));
    let fellow = hall.judges[2].transcript();
    assert!(fellow.iter().all(|frame| !frame.event.starts_with("deduction:")), "a fellow judge sees ticks only");
    hall.app.stop().await;
}

#[tokio::test]
async fn a_deduction_that_is_not_decided_stops_the_signatures_and_an_approved_one_voids_them() {
    let hall = Hall::judged().await;
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    let asked = json!({"categoryId": "vault", "contestantId": "y", "amount": 1, "reason": "music"});
    let id = hall.ask(&hall.auditor, "deduction:requested", asked.clone()).await;
    assert_eq!(code(&hall.sign(&hall.auditor, "AUDITED").await), "STATE");
    ok(&hall.auditor.call("deduction:withdraw", json!({"id": id})).await);
    ok(&hall.sign(&hall.auditor, "AUDITED").await);
    let head = hall.app.connect(&email("head")).await;
    let id = hall.ask(&hall.auditor, "deduction:requested", asked).await;
    for officer in [&head, &hall.tally, &hall.auditor, &hall.board] {
        ok(&officer.call("deduction:approve", signed(&id)).await);
    }
    let view = hall.view("board").await;
    assert_eq!((&view["stage"], &view["voided"]), (&json!("JUDGED"), &json!(true)));
    hall.app.stop().await;
}

#[tokio::test]
async fn three_who_sign_a_removal_at_the_same_time_execute_it_once() {
    let hall = Hall::judged().await;
    let ada = hall.app.user_id(&email("ada"));
    assert_eq!(
        code(
            &hall
                .tally
                .call("score:removal-requested", json!({"categoryId": "vault", "judgeId": ada, "reason": "bias"}))
                .await
        ),
        "FORBIDDEN"
    );
    let id = hall
        .ask(&hall.board, "score:removal-requested", json!({"categoryId": "vault", "judgeId": ada, "reason": "bias"}))
        .await;
    let (one, two, three) = tokio::join!(
        hall.tally.call("score:removal-sign", signed(&id)),
        hall.auditor.call("score:removal-sign", signed(&id)),
        hall.board.call("score:removal-sign", signed(&id)),
    );
    let executed =
        [&one, &two, &three].into_iter().filter(|answer| ok(answer)["removal"]["status"] == "EXECUTED").count();
    assert_eq!(executed, 1);
    hall.judges[1]
        .wait_until(|frames| frames.iter().filter(|frame| frame.event == "scores:deleted").count() >= 6)
        .await;
    let told: Vec<_> =
        hall.judges[1].transcript().into_iter().filter(|frame| frame.event == "scores:deleted").collect();
    assert_eq!(told.len(), 6, "each mark is taken out once");
    assert!(told.iter().all(|frame| frame.data().get("reason").is_none()), "judges are not told why");
    let office = hall.auditor.next("scores:deleted").await;
    assert_eq!((&office.data()["reason"], &office.data()["removalId"]), (&json!("bias"), &json!(id)));
    let scores = hall.app.get("/api/v1/categories/vault/scores", &email("tally")).await.body;
    assert_eq!(scores["scores"].as_array().map(Vec::len), Some(12));
    assert_eq!(hall.view("board").await["stage"], "OPEN", "the judge has sheets to do again");
    let again = ok(&hall.judges[0].call("scores:submit", mark("x", "form", 4.0)).await).clone();
    assert_eq!(again["score"]["version"], 2, "the version goes on behind the tombstone");
    hall.app.stop().await;
}

#[tokio::test]
async fn a_judge_who_slipped_gets_the_sheet_back_by_the_office_and_after_the_audit_by_the_board_too() {
    let hall = Hall::judged().await;
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    let asked = json!({"categoryId": "vault", "contestantId": "x", "reason": "a slip of the finger"});
    assert_eq!(
        code(
            &hall.judges[1]
                .call(
                    "uncertification:request",
                    json!({"categoryId": "vault", "judgeId": hall.app.user_id(&email("ada")), "reason": "x"})
                )
                .await
        ),
        "FORBIDDEN"
    );
    let id = hall.ask(&hall.judges[0], "uncertification:request", asked.clone()).await;
    let done = hall.auditor.call("uncertification:approve", signed(&id)).await;
    assert_eq!(ok(&done)["uncertification"]["status"], "EXECUTED");
    let view = hall.view("board").await;
    assert_eq!(
        (&view["stage"], &view["voided"], &view["judgeProgress"]["sheets"]),
        (&json!("OPEN"), &json!(true), &json!(8))
    );
    ok(&hall.judges[0].call("scores:submit", mark("x", "form", 8.0)).await);
    assert_eq!(code(&hall.judges[0].call("scores:submit", mark("y", "form", 8.0)).await), "CERTIFIED");
    ok(&hall.judges[0].call("scores:certify", json!({"categoryId": "vault"})).await);
    ok(&hall.judges[0].call("scores:final", json!({"categoryId": "vault"})).await);
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    ok(&hall.sign(&hall.auditor, "AUDITED").await);
    let id = hall.ask(&hall.judges[0], "uncertification:request", asked).await;
    let first = hall.tally.call("uncertification:approve", signed(&id)).await;
    assert_eq!(ok(&first)["uncertification"]["missing"], json!(["BOARD"]));
    ok(&hall.board.call("uncertification:approve", signed(&id)).await);
    assert_eq!(hall.view("board").await["stage"], "OPEN");
    hall.app.stop().await;
}

#[tokio::test]
async fn an_open_flag_stops_the_signature_until_somebody_else_answers_it() {
    let hall = Hall::judged().await;
    let id = hall.ask(&hall.tally, "flag:raise", json!({"categoryId": "vault", "text": "who is z?"})).await;
    assert_eq!(code(&hall.sign(&hall.tally, "TALLIED").await), "OPEN_FLAGS");
    let answer = json!({"id": id, "decision": "rejected", "reason": "z is z"});
    assert_eq!(code(&hall.tally.call("flag:resolve", answer.clone()).await), "FORBIDDEN", "not by who raised it");
    assert_eq!(code(&hall.judges[0].call("flag:resolve", answer.clone()).await), "FORBIDDEN");
    let closed = hall.auditor.call("flag:resolve", answer).await;
    assert_eq!(
        (&ok(&closed)["flag"]["status"], &ok(&closed)["flag"]["answer"]),
        (&json!("rejected"), &json!("z is z"))
    );
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    hall.app.stop().await;
}

#[tokio::test]
async fn decisions_over_http_are_the_same_and_are_listed_to_those_they_concern() {
    let hall = Hall::marked().await;
    let asked = json!({"contestantId": "x", "amount": 0.3, "reason": "fall"});
    let made = hall.app.post("/api/v1/categories/vault/deductions", &email("ada"), asked).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.body["deduction"]["id"].as_str().expect("an id").to_owned();
    let refused = hall.app.post(&format!("/api/v1/deductions/{id}/reject"), &email("board"), json!({})).await;
    assert_eq!((refused.status.as_u16(), &refused.body["errors"][0]["field"]), (400, &json!("reason")));
    let stranger =
        hall.app.post(&format!("/api/v1/deductions/{id}/approve"), &email("beam"), json!({"signatureName": "B"})).await;
    assert_eq!(stranger.status, 404, "{}", stranger.body);
    for (name, expected) in [("tally", 1), ("ada", 1), ("head", 1), ("ben", 0), ("emcee", 0)] {
        let list = hall.app.get("/api/v1/categories/vault/deductions", &email(name)).await.body;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(expected), "{name}: {list}");
    }
    let gone = hall.app.post(&format!("/api/v1/deductions/{id}/withdraw"), &email("ada"), Value::Null).await;
    assert_eq!(gone.body["deduction"]["status"], "WITHDRAWN");
    hall.app.stop().await;
}

#[tokio::test]
async fn signatures_outlive_a_restart() {
    let hall = Hall::certified().await;
    let before = hall.view("auditor").await;
    let Hall { app, judges, tally, auditor, board } = hall;
    drop((judges, tally, auditor, board));
    let app = app.restart().await;
    let after = app.get("/api/v1/categories/vault/certification", &email("auditor")).await.body;
    assert_eq!(after, before);
    app.stop().await;
}

fn notices(client: &Client, level: &str) -> Vec<Value> {
    let frames = client.transcript().into_iter().filter(|frame| frame.event == "notification");
    frames.map(|frame| frame.data().clone()).filter(|notice| notice["type"] == level).collect()
}

#[tokio::test]
async fn the_board_is_alerted_twice_once_by_hat_and_once_by_role() {
    let hall = Hall::judged().await;
    let other = json!({"email": "other@it.example", "name": "Other", "role": "BOARD"});
    assert_eq!(hall.app.post("/api/v1/admin/users", &email("organizer"), other).await.status, 201);
    let other = hall.app.connect("other@it.example").await;
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    ok(&hall.sign(&hall.auditor, "AUDITED").await);
    let needed = hall.board.next("notification").await;
    assert_eq!(
        (&needed.data()["message"], &needed.data()["categoryId"]),
        (&json!("your approval is needed"), &json!("vault"))
    );
    ok(&hall.sign(&hall.board, "CERTIFIED").await);
    let done = other.next("notification").await;
    assert_eq!(
        (&done.data()["type"], &done.data()["message"]),
        (&json!("success"), &json!("Category certification completed"))
    );
    assert_eq!(notices(&other, "info").len(), 0, "no hat on the category, nothing to approve");
    hall.board.wait_until(|frames| frames.iter().filter(|frame| frame.event == "notification").count() == 2).await;
    assert_eq!(notices(&hall.tally, "success").len(), 0);
    hall.app.stop().await;
}

#[tokio::test]
async fn notices_are_kept_counted_read_and_removed_by_their_owner_only() {
    let hall = Hall::certified().await;
    let list = hall.app.get("/api/v1/notifications?limit=1", &email("board")).await.body;
    assert_eq!((&list["unread"], list["items"].as_array().map(Vec::len)), (&json!(2), Some(1)));
    assert_eq!(list["items"][0]["message"], "Category certification completed", "the latest first");
    let path = format!("/api/v1/notifications?cursor={}", list["nextCursor"].as_str().expect("there is more"));
    let rest = hall.app.get(&path, &email("board")).await.body;
    assert_eq!(rest["items"][0]["message"], "your approval is needed");
    let id = rest["items"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        hall.app.post(&format!("/api/v1/notifications/{id}/read"), &email("tally"), Value::Null).await.status,
        404
    );
    ok(&hall.board.call("notification:read", json!({"id": id})).await);
    assert_eq!(hall.board.next("notification:read").await.data(), &json!({"id": id}));
    assert_eq!(hall.app.get("/api/v1/notifications?unread=true", &email("board")).await.body["unread"], 1);
    assert_eq!(hall.app.post("/api/v1/notifications/read-all", &email("board"), Value::Null).await.status, 200);
    assert_eq!(hall.board.next("notification:read").await.data(), &json!({"all": true}));
    let gone =
        hall.app.send(Method::DELETE, &format!("/api/v1/notifications/{id}"), &email("board"), Value::Null).await;
    assert_eq!(gone.status, 204);
    assert_eq!(hall.board.next("notification:deleted").await.data(), &json!({"id": id}));
    let app = hall.app.restart().await;
    let kept = app.get("/api/v1/notifications", &email("board")).await.body;
    assert_eq!((&kept["unread"], kept["items"].as_array().map(Vec::len)), (&json!(0), Some(1)));
    app.stop().await;
}

#[tokio::test]
async fn whoever_signed_what_has_changed_is_told() {
    let hall = Hall::judged().await;
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    let id =
        hall.ask(&hall.judges[0], "uncertification:request", json!({"categoryId": "vault", "reason": "slip"})).await;
    ok(&hall.auditor.call("uncertification:approve", signed(&id)).await);
    let told = hall.tally.next("notification").await;
    assert_eq!((&told.data()["type"], &told.data()["categoryId"]), (&json!("warning"), &json!("vault")));
    hall.app.stop().await;
}

#[tokio::test]
async fn a_locked_contest_takes_no_marks_no_signatures_and_no_set_up_but_flags() {
    let hall = Hall::judged().await;
    let locked = hall.app.post("/api/v1/contests/women/lock", &email("organizer"), json!({"reason": "protest"})).await;
    assert_eq!((locked.status.as_u16(), &locked.body["reason"]), (200, &json!("protest")));
    assert_eq!(hall.judges[0].next("contest:locked").await.data()["contestId"], "women");
    let beam = hall.app.connect(&email("beam")).await;
    let on_beam = json!({"categoryId": "beam", "contestantId": "x", "criterionId": "form", "score": 5});
    assert_eq!(code(&beam.call("scores:submit", on_beam.clone()).await), "LOCKED");
    let batch = beam.call("scores:submitBatch", json!({"items": [on_beam]})).await;
    assert_eq!(ok(&batch)["results"][0]["error"]["code"], "LOCKED");
    assert_eq!(code(&hall.sign(&hall.tally, "TALLIED").await), "LOCKED");
    let entries = json!({"entries": [{"contestantId": "x"}]});
    let set_up =
        hall.app.send(Method::PUT, "/api/v1/admin/categories/beam/entries", &email("organizer"), entries).await;
    assert_eq!(set_up.body["code"], "LOCKED", "{}", set_up.body);
    ok(&hall.tally.call("flag:raise", json!({"categoryId": "vault", "text": "see the protest"})).await);
    assert_eq!(hall.app.post("/api/v1/contests/women/lock", &email("tally"), Value::Null).await.status, 403);
    assert_eq!(hall.app.post("/api/v1/contests/women/lock", &email("admin"), Value::Null).await.body["code"], "LOCKED");
    assert_eq!(hall.app.post("/api/v1/contests/women/unlock", &email("admin"), Value::Null).await.status, 200);
    assert_eq!(hall.judges[0].next("contest:unlocked").await.data()["locked"], false);
    ok(&beam
        .call("scores:submit", json!({"categoryId": "beam", "contestantId": "x", "criterionId": "form", "score": 5}))
        .await);
    hall.app.stop().await;
}

#[tokio::test]
async fn an_announcement_reaches_those_it_is_for_and_only_admins_organizers_and_the_board_may_make_one() {
    let hall = Hall::marked().await;
    let idle = hall.app.connect(&email("idle")).await;
    let post = async |name: &str, body: Value| hall.app.post("/api/v1/announcements", &email(name), body).await;
    assert_eq!(post("tally", json!({"message": "hello"})).await.status, 403);
    assert_eq!(post("organizer", json!({"message": " "})).await.status, 400);
    let staff = json!({"message": "lunch", "type": "warning", "audience": {"event": "cup"}});
    assert_eq!(post("board", staff).await.status, 201);
    let heard = hall.judges[0].next("system:announcement").await;
    assert_eq!((&heard.data()["message"], &heard.data()["type"]), (&json!("lunch"), &json!("warning")));
    assert_eq!(heard.meta().expect("a fact")["lane"], "evt:cup");
    let judges = json!({"message": "judges, please", "audience": {"role": "JUDGE"}});
    assert!(post("organizer", judges).await.body["told"].as_i64() >= Some(4));
    assert_eq!(
        idle.next("system:announcement").await.data()["message"],
        "judges, please",
        "idle is no staff of the cup"
    );
    let public = json!({"message": "welcome", "audience": {"public": "cup"}});
    assert_eq!(post("organizer", public).await.status, 201);
    assert_eq!(post("admin", json!({"message": "good night"})).await.status, 201);
    let all = hall.tally.next("system:announcement").await;
    assert_eq!(all.data()["message"], "lunch");
    assert_eq!(hall.tally.next("system:announcement").await.data()["message"], "good night", "no judge, not called");
    idle.next("system:announcement").await;
    for member in [&idle, &hall.tally, &hall.judges[0]] {
        assert!(!member.raw_text().contains("pub:cup"), "the public's lane has no member here");
    }
    hall.app.stop().await;
}

#[tokio::test]
async fn final_stands_only_over_whole_sheets_and_a_late_entry_takes_it_back() {
    let hall = Hall::judged().await;
    let late = json!({"id": "late", "name": "Late"});
    assert_eq!(hall.app.post("/api/v1/admin/contestants", &email("organizer"), late).await.status, 201);
    let entries = ["x", "y", "z", "late"].map(|id| json!({"contestantId": id}));
    let entries = json!({ "entries": entries });
    let path = "/api/v1/admin/categories/vault/entries";
    assert_eq!(hall.app.send(Method::PUT, path, &email("organizer"), entries).await.status, 200);
    let view = hall.view("board").await;
    assert_eq!((&view["stage"], &view["judgeProgress"]["finals"]), (&json!("OPEN"), &json!(0)));
    assert_eq!(code(&hall.judges[0].call("scores:final", json!({"categoryId": "vault"})).await), "STATE");
    ok(&hall.judges[0].call("scores:submit", mark("late", "form", 3.0)).await);
    hall.app.stop().await;
}

#[tokio::test]
async fn a_judge_who_does_not_count_cannot_undo_what_the_officers_signed() {
    let hall = Hall::judged().await;
    let head = hall.app.connect(&email("head")).await;
    for (officer, stage) in [(&hall.tally, "TALLIED"), (&hall.auditor, "AUDITED")] {
        ok(&hall.sign(officer, stage).await);
    }
    ok(&head.call("scores:submit", mark("x", "form", 1.0)).await);
    assert_eq!(hall.view("board").await["stage"], "AUDITED", "the mark decides nothing");
    ok(&hall.sign(&hall.board, "CERTIFIED").await);
    assert_eq!(code(&head.call("scores:submit", mark("y", "form", 1.0)).await), "LOCKED");
    assert_eq!(code(&head.call("scores:certify", json!({"categoryId": "vault", "contestantId": "x"})).await), "LOCKED");
    hall.app.stop().await;
}

#[tokio::test]
async fn whoever_signed_and_then_judges_has_signed_nothing() {
    let hall = Hall::judged().await;
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    ok(&hall.sign(&hall.auditor, "AUDITED").await);
    hall.app.give_hat("auditor", json!({"hat": "JUDGE", "categoryId": "vault", "counts": false})).await;
    let view = hall.view("board").await;
    assert_eq!((&view["stage"], &view["voided"]), (&json!("TALLIED"), &json!(true)));
    hall.app.stop().await;
}

#[tokio::test]
async fn one_person_does_not_keep_two_signatures_once_the_event_no_longer_allows_it() {
    let hall = Hall::judged().await;
    hall.app.give_hat("tally", json!({"hat": "AUDITOR", "eventId": "cup"})).await;
    let allow = async |single: bool| {
        let event = json!({"mainTitle": "The Cup", "singleOfficer": single});
        assert_eq!(
            hall.app.send(Method::PUT, "/api/v1/admin/events/cup", &email("organizer"), event).await.status,
            200
        );
    };
    allow(true).await;
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    ok(&hall.sign(&hall.tally, "AUDITED").await);
    allow(false).await;
    assert_eq!(hall.view("board").await["stage"], "TALLIED");
    hall.app.stop().await;
}

#[tokio::test]
async fn an_approval_falls_with_the_hat_it_was_given_under() {
    let hall = Hall::judged().await;
    let ada = json!({"categoryId": "vault", "judgeId": hall.app.user_id(&email("ada")), "reason": "bias"});
    let id = hall.ask(&hall.board, "score:removal-requested", ada).await;
    ok(&hall.tally.call("score:removal-sign", signed(&id)).await);
    hall.app.take_hat(&hall.app.hat_of("tally").await).await;
    ok(&hall.auditor.call("score:removal-sign", signed(&id)).await);
    let third = hall.board.call("score:removal-sign", signed(&id)).await;
    assert_eq!(ok(&third)["removal"]["status"], "PENDING");
    assert_eq!(third["data"]["removal"]["missing"], json!(["TALLY_MASTER"]));
    hall.app.give_hat("idle", json!({"hat": "TALLY_MASTER", "eventId": "cup"})).await;
    let idle = hall.app.connect(&email("idle")).await;
    assert_eq!(ok(&idle.call("score:removal-sign", signed(&id)).await)["removal"]["status"], "EXECUTED");
    hall.app.stop().await;
}

#[tokio::test]
async fn a_deduction_is_taken_when_the_last_party_missing_falls_away() {
    let hall = Hall::judged().await;
    let asked = json!({"categoryId": "vault", "contestantId": "x", "amount": 1, "reason": "fall"});
    let id = hall.ask(&hall.tally, "deduction:requested", asked).await;
    for officer in [&hall.tally, &hall.auditor, &hall.board] {
        ok(&officer.call("deduction:approve", signed(&id)).await);
    }
    hall.app.take_hat(&hall.app.hat_of("head").await).await;
    let list = hall.app.get("/api/v1/categories/vault/deductions", &email("tally")).await.body;
    assert_eq!(list["items"][0]["status"], "APPROVED");
    hall.app.stop().await;
}

#[tokio::test]
async fn an_admin_who_judges_misses_no_place_of_the_lane_and_signs_nothing() {
    let hall = Hall::marked().await;
    let both = hall.app.connect(&email("both")).await;
    let first = both.transcript().iter().find(|frame| frame.event == "session:ready").expect("a greeting").clone();
    let lanes = first.data()["lanes"].as_array().expect("a list").clone();
    let head =
        lanes.iter().find(|lane| lane["lane"] == "cat:vault").expect("the vault")["seq"].as_i64().expect("a number");
    let asked = json!({"categoryId": "vault", "contestantId": "x", "amount": 1, "reason": "fall"});
    hall.ask(&hall.judges[0], "deduction:requested", asked).await;
    ok(&hall.judges[0].call("scores:certify", json!({"categoryId": "vault"})).await);
    both.wait_until(|frames| frames.iter().any(|frame| frame.event == "certification:updated")).await;
    let seqs: Vec<i64> = both
        .transcript()
        .iter()
        .filter_map(|frame| frame.args.last().filter(|meta| meta["lane"] == "cat:vault")?["seq"].as_i64())
        .collect();
    let dense: Vec<i64> = (head + 1..).take(seqs.len()).collect();
    assert_eq!(seqs, dense);
    assert!(both.transcript().iter().all(|frame| frame.event != "deduction:pending"));
    hall.app.give_hat("admin", json!({"hat": "TALLY_MASTER", "eventId": "cup"})).await;
    let admin = hall.app.connect(&email("admin")).await;
    assert_eq!(code(&hall.sign(&admin, "TALLIED").await), "FORBIDDEN", "not under a hat given to oneself");
    hall.app.stop().await;
}

#[tokio::test]
async fn a_judge_who_was_done_and_leaves_takes_no_signature_along_and_one_who_was_not_opens_the_category() {
    let hall = Hall::judged().await;
    hall.change_vault(|vault| vault["minJudges"] = json!(3)).await;
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    let hash = hall.hash().await;
    hall.app.take_hat(&hall.app.hat_of("ada").await).await;
    let view = hall.view("board").await;
    assert_eq!((&view["stage"], view["signatures"].as_array().map(Vec::len)), (&json!("TALLIED"), Some(1)));
    assert_eq!(view["judgeProgress"], json!({"judges": 3, "finals": 3, "sheets": 9, "expectedSheets": 9}));
    assert_eq!(hall.hash().await, hash);
    ok(&hall.sign(&hall.auditor, "AUDITED").await);
    // A sheet of theirs that is opened makes them one of two, where three are needed.
    let ben = json!({"categoryId": "vault", "judgeId": hall.app.user_id(&email("ben")), "reason": "slip"});
    let id = hall.ask(&hall.tally, "uncertification:request", ben).await;
    ok(&hall.auditor.call("uncertification:approve", signed(&id)).await);
    ok(&hall.board.call("uncertification:approve", signed(&id)).await);
    hall.app.take_hat(&hall.app.hat_of("ben").await).await;
    let view = hall.view("board").await;
    assert_eq!((&view["stage"], &view["judgeProgress"]["judges"]), (&json!("OPEN"), &json!(2)));
    hall.app.stop().await;
}

#[tokio::test]
async fn the_boards_a_change_of_the_event_needs_are_all_asked_for_at_once() {
    let hall = Hall::marked().await;
    let beam = hall.app.connect(&email("beam")).await;
    let on_beam = json!({"categoryId": "beam", "contestantId": "x", "criterionId": "form", "score": 5});
    ok(&beam.call("scores:submit", on_beam).await);
    let Hall { app, judges, tally, auditor, board } = hall;
    drop((judges, tally, auditor, board, beam));
    let app = app.restart().await;
    let spec = parse(json!({"id": "cup", "mainTitle": "The Cup", "singleOfficer": true})).expect("an event");
    let command = Command::from(PutEvent { mode: Mode::Update, spec });
    let state = State::clone(&app.app.state());
    let mut draft = Draft::new(state, Actor::Operator, "c".into(), START, Chance::seeded(1));
    let Err(Refusal::BoardNeeded(asked)) = command.decide(&mut draft) else { panic!("no board is in memory") };
    let asked: Vec<&str> = asked.iter().map(CategoryId::as_str).collect();
    assert_eq!(asked, ["beam", "vault"], "and nothing was written on the rings");
    app.app.carry_out(Actor::Operator, command, None, &Value::Null).await.expect("the writer reads what is asked for");
    app.stop().await;
}

#[tokio::test]
async fn a_removal_of_all_marks_takes_those_there_were_when_it_was_asked_for() {
    let hall = Hall::marked_by(&["ada", "ben"]).await;
    let cleo = &hall.judges[2];
    let first = ok(&cleo.call("scores:submit", mark("x", "form", 5.0)).await)["score"]["id"].clone();
    let all = json!({"categoryId": "vault", "judgeId": hall.app.user_id(&email("cleo")), "reason": "the wrong sheet"});
    let id = hall.ask(&hall.board, "score:removal-requested", all).await;
    let pending = hall.tally.next("score:removal-pending").await;
    assert_eq!(pending.data()["scoreIds"], json!([first]), "whoever signs reads which");
    ok(&hall.tally.call("score:removal-sign", signed(&id)).await);
    ok(&hall.auditor.call("score:removal-sign", signed(&id)).await);
    let later = ok(&cleo.call("scores:submit", mark("y", "form", 6.0)).await)["score"]["id"].clone();
    ok(&hall.board.call("score:removal-sign", signed(&id)).await);
    let own = hall.app.get("/api/v1/categories/vault/scores", &email("tally")).await.body;
    let left: Vec<&Value> = own["scores"].as_array().expect("a list").iter().map(|score| &score["id"]).collect();
    assert!(left.contains(&&later) && !left.contains(&&first), "{own}");
    hall.app.stop().await;
}

#[tokio::test]
async fn a_flag_on_a_mark_names_its_contestant_or_none() {
    let hall = Hall::marked().await;
    let score = ok(&hall.judges[0].call("scores:submit", mark("x", "form", 5.0)).await)["score"]["id"].clone();
    let flag =
        |contestant: &str| json!({"categoryId": "vault", "contestantId": contestant, "scoreId": score, "text": "look"});
    let refused = hall.tally.call("flag:raise", flag("y")).await;
    assert_eq!((code(&refused), &refused["error"]["field"]), ("INVALID_DATA", &json!("contestantId")));
    ok(&hall.tally.call("flag:raise", flag("x")).await);
    ok(&hall.tally.call("flag:raise", json!({"categoryId": "vault", "scoreId": score, "text": "look"})).await);
    hall.app.stop().await;
}

#[tokio::test]
async fn a_decision_shows_the_approvals_that_stand_and_keeps_those_it_was_taken_by() {
    let hall = Hall::marked().await;
    let ada = json!({"categoryId": "vault", "judgeId": hall.app.user_id(&email("ada")), "reason": "bias"});
    let id = hall.ask(&hall.board, "score:removal-requested", ada).await;
    ok(&hall.tally.call("score:removal-sign", signed(&id)).await);
    hall.app.take_hat(&hall.app.hat_of("tally").await).await;
    let signers = |removal: &Value| -> Vec<Value> {
        removal["signatures"].as_array().expect("a list").iter().map(|approval| approval["userId"].clone()).collect()
    };
    let [idle, auditor, board] = ["idle", "auditor", "board"].map(|name| json!(hall.app.user_id(&email(name))));
    let second = hall.auditor.call("score:removal-sign", signed(&id)).await;
    assert_eq!(
        signers(&ok(&second)["removal"]),
        std::slice::from_ref(&auditor),
        "the tally master has no hat any more"
    );
    ok(&hall.board.call("score:removal-sign", signed(&id)).await);
    let hat = hall.app.give_hat("idle", json!({"hat": "TALLY_MASTER", "eventId": "cup"})).await;
    let successor = hall.app.connect(&email("idle")).await;
    let last = successor.call("score:removal-sign", signed(&id)).await;
    assert_eq!(ok(&last)["removal"]["status"], "EXECUTED");
    hall.app.take_hat(&hat).await;
    let list = hall.app.get("/api/v1/categories/vault/removals", &email("board")).await.body;
    let mut kept = signers(&list["items"][0]);
    kept.sort_by_key(Value::to_string);
    let mut expected = vec![idle, auditor, board];
    expected.sort_by_key(Value::to_string);
    assert_eq!(kept, expected, "what was decided stays as it was decided");
    hall.app.stop().await;
}

#[tokio::test]
async fn an_approval_that_fell_before_the_decision_is_not_among_those_it_was_taken_by() {
    let hall = Hall::judged().await;
    ok(&hall.sign(&hall.tally, "TALLIED").await);
    ok(&hall.sign(&hall.auditor, "AUDITED").await);
    let id =
        hall.ask(&hall.judges[0], "uncertification:request", json!({"categoryId": "vault", "reason": "slip"})).await;
    ok(&hall.tally.call("uncertification:approve", signed(&id)).await);
    hall.app.take_hat(&hall.app.hat_of("tally").await).await;
    for officer in [&hall.auditor, &hall.board] {
        ok(&officer.call("uncertification:approve", signed(&id)).await);
    }
    let list = hall.app.get("/api/v1/categories/vault/uncertifications", &email("board")).await.body;
    let decision = &list["items"][0];
    assert_eq!(decision["status"], "EXECUTED");
    let by: Vec<&Value> =
        decision["approvals"].as_array().expect("a list").iter().map(|approval| &approval["hat"]).collect();
    assert_eq!(by, ["AUDITOR", "BOARD"]);
    hall.app.stop().await;
}

#[tokio::test]
async fn whoever_catches_up_learns_which_marks_were_taken_out_and_a_fellow_judge_no_more_than_live() {
    let hall = Hall::marked().await;
    let seq = hall.app.get("/api/v1/categories/vault/scores", &email("tally")).await.body["seq"].clone();
    let again = async |name: &str| {
        let path = format!("/api/v1/categories/vault/scores?sinceSeq={seq}");
        hall.app.get(&path, &email(name)).await.body
    };
    assert_eq!(again("tally").await["removed"], json!([]));
    let marks = hall.app.get("/api/v1/categories/vault/scores?contestantId=x", &email("tally")).await.body;
    assert!(marks.get("removed").is_none(), "nothing was asked to catch up with: {marks}");
    let ada = hall.app.user_id(&email("ada"));
    let of_ada = |mark: &&Value| mark["judgeId"] == ada.as_str();
    let ids: Vec<Value> =
        marks["scores"].as_array().expect("a list").iter().filter(of_ada).map(|mark| mark["id"].clone()).collect();
    let asked = json!({"categoryId": "vault", "judgeId": ada, "scoreIds": ids, "reason": "bias"});
    let removal = hall.ask(&hall.board, "score:removal-requested", asked).await;
    for officer in [&hall.tally, &hall.auditor, &hall.board] {
        ok(&officer.call("score:removal-sign", signed(&removal)).await);
    }
    let sorted = |ids: &[Value]| {
        let mut ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        ids.sort();
        ids
    };
    for name in ["tally", "ada", "ben"] {
        let view = again(name).await;
        assert_eq!(view["scores"], json!([]), "{name}");
        assert_eq!(sorted(view["removed"].as_array().expect("a list")), sorted(&ids), "{name}");
    }
    let over_socket = hall.auditor.call("scores:request", json!({"categoryId": "vault", "sinceSeq": seq})).await;
    assert_eq!(ok(&over_socket)["removed"].as_array().map(Vec::len), Some(2));
    // Given anew, the mark stands again.
    ok(&hall.judges[0].call("scores:submit", mark("x", "form", 4.0)).await);
    let view = again("tally").await;
    assert_eq!((view["scores"].as_array().map(Vec::len), view["removed"].as_array().map(Vec::len)), (Some(1), Some(1)));
    // Where fellow judges see nothing of each other's marks, they do not learn of removals either.
    hall.change_vault(|vault| vault["judgeVisibility"] = json!("own")).await;
    assert_eq!(again("ben").await["removed"], json!([]));
    assert_eq!(again("ada").await["removed"].as_array().map(Vec::len), Some(1));
    hall.app.stop().await;
}

#[tokio::test]
async fn the_office_is_told_the_hash_again_when_it_changes_before_anybody_has_signed() {
    let hall = Hall::judged().await;
    let last_told = |client: &Client| {
        let frames = client.transcript();
        let last = frames.iter().rev().find(|frame| frame.event == "certification:updated").expect("a frame");
        last.data()["tallyHash"].clone()
    };
    let told = |hash: &Value| {
        let hash = hash.clone();
        move |frames: &[crate::support::client::Frame]| {
            frames.iter().any(|frame| frame.event == "certification:updated" && frame.data()["tallyHash"] == hash)
        }
    };
    let first = hall.hash().await;
    hall.board.wait_until(told(&first)).await;
    hall.change_vault(|vault| vault["criteria"][0]["weight"] = json!(3)).await;
    let second = hall.hash().await;
    assert_ne!(first, second);
    hall.board.wait_until(told(&second)).await;
    let asked = json!({"categoryId": "vault", "contestantId": "x", "amount": 1, "reason": "fall"});
    let id = hall.ask(&hall.tally, "deduction:requested", asked).await;
    let head = hall.app.connect(&email("head")).await;
    for officer in [&head, &hall.tally, &hall.auditor, &hall.board] {
        ok(&officer.call("deduction:approve", signed(&id)).await);
    }
    let third = hall.hash().await;
    assert_ne!(second, third);
    hall.board.wait_until(told(&third)).await;
    assert_eq!(last_told(&hall.board), third);
    assert_eq!(hall.view("board").await["stage"], "JUDGED", "nothing else has moved");
    // What changes nothing of the tally is not told again.
    let count =
        |client: &Client| client.transcript().iter().filter(|frame| frame.event == "certification:updated").count();
    let before = count(&hall.board);
    ok(&hall.tally.call("flag:raise", json!({"categoryId": "vault", "text": "look"})).await);
    hall.board.next("flag:updated").await;
    assert_eq!(count(&hall.board), before);
    hall.app.stop().await;
}
