//! A tablet that was offline: it sends what it has kept, again if the answer was lost, and is told what has changed
//! meanwhile.

use crate::support::TestApp;
use crate::support::hall::{code, ok};
use crate::support::people::{email, mark};
use crate::support::{START, client::Client};
use reqwest::Method;
use scorecast::clock::Micros;
use scorecast::command::parse;
use scorecast::error::Refusal;
use scorecast::ids::CategoryId;
use scorecast::scores::SubmitScore;
use serde_json::{Value, json};
use std::time::Duration;

const FLUSH: &str = "40000000-0000-4000-8000-000000000001";

fn with(mut payload: Value, field: &str, value: impl Into<Value>) -> Value {
    payload[field] = value.into();
    payload
}

/// What a tablet has kept while it was offline: two good marks around one that is none.
fn kept() -> Value {
    let items = [mark("x", "form", 5.0), mark("x", "height", 11.0), mark("y", "form", 6.0)];
    json!({"commandId": FLUSH, "items": items.map(|item| with(item, "baseVersion", 0))})
}

/// The scores of a batch's items, or why they were refused.
fn results(answer: &Value) -> Vec<Value> {
    let of =
        |item: &Value| if item["ok"] == true { item["score"]["score"].clone() } else { item["error"]["code"].clone() };
    ok(answer)["results"].as_array().expect("a list").iter().map(of).collect()
}

async fn marks_seen(client: &Client, count: usize) {
    client.wait_until(|frames| frames.iter().filter(|frame| frame.event == "scores:updated").count() == count).await;
}

/// The marks of a judge as they see them: contestant, criterion, score, version.
async fn own_marks(client: &Client) -> Vec<Value> {
    let answer = client.call("scores:request", json!("vault")).await;
    let own = ok(&answer)["scores"].as_array().expect("a list").iter().filter(|mark| mark["masked"] == false);
    own.map(|mark| json!([mark["contestantId"], mark["criterionId"], mark["score"], mark["version"]])).collect()
}

#[tokio::test]
async fn what_is_sent_again_after_a_lost_answer_has_the_first_answers_and_is_done_once() {
    let app = TestApp::with_people().await;
    let (tally, tablet) = (app.connect(&email("tally")).await, app.connect(&email("ada")).await);
    // Without an ack: whatever the answer is, it never arrives.
    tablet.emit("scores:submitBatch", kept()).await;
    marks_seen(&tally, 2).await;
    drop(tablet);
    // Meanwhile she changes one of the marks on another tablet.
    let other = app.connect(&email("ada")).await;
    ok(&other.call("scores:submit", with(mark("x", "form", 7.0), "baseVersion", 1)).await);
    let end = app.log_end();

    let back = app.connect(&email("ada")).await;
    let again = back.call("scores:submitBatch", kept()).await;
    assert_eq!(results(&again), [json!(5), json!("OUT_OF_RANGE"), json!(6)]);
    assert_eq!(again["data"]["results"][0]["score"]["version"], 1, "as it was answered then");
    assert_eq!(again["data"]["receipt"]["seq"], 2, "the second fact of the vault");
    let log_end_of_signing_in = app.log_end();
    assert_eq!(back.call("scores:submitBatch", kept()).await, again, "as often as one likes");
    assert_eq!(app.log_end(), log_end_of_signing_in, "nothing happens twice");
    assert_eq!(log_end_of_signing_in, end + 1, "only the signing in is new");
    assert_eq!(own_marks(&back).await, [json!(["x", "form", 7, 2]), json!(["y", "form", 6, 1])]);

    // Whichever way it comes, and whatever has become of the category.
    let lock = app.post("/api/v1/contests/women/lock", &email("organizer"), json!({})).await;
    assert_eq!(lock.status, 200, "{lock:?}");
    let token = app.token(&email("ada")).await;
    let body = json!({"items": kept()["items"]}).to_string();
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", &*bearer), ("idempotency-key", FLUSH), ("content-type", "application/json")];
    let posted = app.raw_request(Method::POST, "/api/v1/categories/vault/scores/batch", &headers, body).await;
    assert_eq!((posted.status.as_u16(), &posted.body), (200, &again["data"]));
    // The id of the batch stands for these marks and no others.
    let changed = with(kept(), "items", json!([mark("z", "form", 1.0)]));
    assert_eq!(code(&back.call("scores:submitBatch", changed).await), "IDEMPOTENCY_MISMATCH");
    // Somebody else's batch of the same id is their own.
    let ben = app.connect(&email("ben")).await;
    let locked = results(&ben.call("scores:submitBatch", kept()).await);
    assert_eq!(locked, [json!("LOCKED"), json!("LOCKED"), json!("LOCKED")]);
    app.stop().await;
}

#[tokio::test]
async fn marks_sent_again_amid_others_have_their_first_answers_and_hold_none_of_them_up() {
    let app = TestApp::with_people().await;
    let client = app.connect(&email("ada")).await;
    let (ada, id) = (app.actor(&email("ada")), |number: u8| format!("40000000-0000-4000-8000-00000000000{number}"));
    let carry = async |id: Option<String>, mark: Value| {
        let command: SubmitScore = parse(mark.clone()).expect("a mark");
        app.app.carry_out(ada.clone(), command.into(), id, &mark).await
    };
    let version = |outcome: &Result<Value, Refusal>| outcome.as_ref().expect("it is taken")["score"]["version"].clone();
    // One that would be refused now, for its version, and one that would be taken once more.
    let strict = with(mark("x", "form", 5.0), "baseVersion", 0);
    let lenient = mark("y", "form", 6.0);
    let first = carry(Some(id(1)), strict.clone()).await.expect("a mark");
    let second = carry(Some(id(2)), lenient.clone()).await.expect("a mark");
    let end = app.log_end();

    // In one batch, mostly: the document comes first, and the others wait while it is written.
    let ((), strictly, leniently, new, refused, twin, again, other) = tokio::join!(
        app.hold_the_writer_up(),
        carry(Some(id(1)), strict.clone()),
        carry(Some(id(2)), lenient.clone()),
        carry(None, mark("z", "form", 7.0)),
        carry(Some(id(3)), mark("x", "height", 11.0)),
        carry(Some(id(3)), mark("x", "height", 4.0)),
        carry(Some(id(3)), mark("x", "height", 4.0)),
        carry(Some(id(3)), mark("x", "height", 3.0)),
    );
    assert_eq!((strictly.expect("known"), leniently.expect("known")), (first, second));
    assert_eq!(version(&new), 1);
    assert!(matches!(refused, Err(Refusal::OutOfRange { .. })), "what is refused takes no id: {refused:?}");
    assert_eq!(version(&twin), 1);
    assert_eq!(again.expect("known"), twin.expect("checked"));
    assert!(matches!(other, Err(Refusal::IdempotencyMismatch)), "{other:?}");
    let marks = [("x", "form", 5), ("x", "height", 4), ("y", "form", 6), ("z", "form", 7)];
    let marks = marks.map(|(contestant, criterion, score)| json!([contestant, criterion, score, 1]));
    assert_eq!(own_marks(&client).await, marks);
    let of_marks = app.log_end() - end;

    // Whether it would be taken or refused.
    for (number, score) in [(1, 4.0), (2, 4.0), (2, 11.0)] {
        let other = carry(Some(id(number)), with(strict.clone(), "score", score)).await;
        assert!(matches!(other, Err(Refusal::IdempotencyMismatch)), "{other:?}");
    }
    assert_eq!(app.log_end() - end, of_marks);
    app.stop().await;
}

#[tokio::test]
async fn the_first_answers_outlive_the_server() {
    let app = TestApp::with_people().await;
    let ada = app.connect(&email("ada")).await;
    let first = ada.call("scores:submitBatch", kept()).await;
    let one = with(mark("z", "form", 4.0), "commandId", "40000000-0000-4000-8000-000000000002");
    let single = ada.call("scores:submit", one.clone()).await;
    ok(&single);
    let app = app.restart().await;
    app.clock.advance(Duration::from_hours(24));
    let ada = app.connect(&email("ada")).await;
    assert_eq!(ada.call("scores:submitBatch", kept()).await, first);
    assert_eq!(ada.call("scores:submit", one).await, single);
    app.stop().await;
}

#[tokio::test]
async fn of_what_a_tablet_kept_only_the_mark_that_changed_meanwhile_is_refused_and_shown() {
    let app = TestApp::with_people().await;
    let (desk, tally) = (app.connect(&email("ada")).await, app.connect(&email("tally")).await);
    ok(&desk.call("scores:submit", mark("x", "form", 5.0)).await);
    ok(&desk.call("scores:submit", with(mark("x", "form", 8.0), "baseVersion", 1)).await);
    let tablet = app.connect(&email("ada")).await;
    let items = json!([
        with(mark("y", "form", 7.0), "baseVersion", 0),
        with(with(mark("x", "form", 6.0), "baseVersion", 1), "comment", "kept"),
        with(mark("x", "height", 3.0), "baseVersion", 0),
        with(mark("y", "form", 7.25), "baseVersion", 1),
    ]);
    let answer = tablet.call("scores:submitBatch", json!({"commandId": FLUSH, "items": items})).await;
    assert_eq!(results(&answer), [json!(7), json!("CONFLICT_VERSION"), json!(3), json!(7.25)]);
    let current = &answer["data"]["results"][1]["error"]["current"];
    assert_eq!(
        (&current["score"], &current["version"], &current["contestantId"], &current["criterionId"]),
        (&json!(8), &json!(2), &json!("x"), &json!("form")),
        "the judge chooses between this one and their own"
    );
    // In their order, one after the other, and nothing of the refused one.
    marks_seen(&tally, 5).await;
    let seen: Vec<Value> = tally
        .transcript()
        .iter()
        .filter(|frame| frame.event == "scores:updated")
        .map(|frame| json!([frame.args[1]["seq"], frame.data()["score"]]))
        .collect();
    assert_eq!(seen, [json!([1, 5]), json!([2, 8]), json!([3, 7]), json!([4, 3]), json!([5, 7.25])]);
    // Their own, on what they were shown.
    let chosen = with(mark("x", "form", 6.0), "baseVersion", current["version"].clone());
    assert_eq!(ok(&tablet.call("scores:submit", chosen).await)["score"]["version"], 3);
    app.stop().await;
}

#[tokio::test]
async fn a_mark_keeps_when_it_was_made_and_none_is_made_in_the_future() {
    let app = TestApp::with_people().await;
    let ada = app.connect(&email("ada")).await;
    let made = |contestant: &str, seconds: i64| {
        with(mark(contestant, "form", 5.0), "madeAt", json!(Micros(START.0).plus_seconds(seconds)))
    };
    let answer = ada
        .call(
            "scores:submitBatch",
            json!({"items": [made("x", -7200), made("y", 300), made("z", 301), mark("z", "form", 4.0)]}),
        )
        .await;
    assert_eq!(results(&answer), [json!(5), json!(5), json!("INVALID_DATA"), json!(4)]);
    assert_eq!(answer["data"]["results"][2]["error"]["field"], "madeAt");
    assert_eq!(answer["data"]["results"][0]["score"]["createdAt"], json!(START), "when it came is another matter");
    let vault: CategoryId = "vault".parse().expect("an id");
    let kept = async || {
        let state = app.app.state_with(&vault).await.expect("it is there");
        let mut marks: Vec<_> =
            state.boards[&vault].marks().map(|mark| (mark.contestant_id.to_string(), mark.made_at)).collect();
        marks.sort();
        marks.into_iter().map(|(_, made)| made).collect::<Vec<_>>()
    };
    assert_eq!(kept().await, [Some(START.plus_seconds(-7200)), Some(START.plus_seconds(300)), None]);
    // A change that was made at once is not as old as what it replaces.
    ok(&ada.call("scores:submit", mark("x", "form", 6.0)).await);
    assert_eq!(kept().await[0], None);
    app.stop().await;
}
