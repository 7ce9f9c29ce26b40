//! Who of the judges is there: told to the office of what they judge, once for each change, and never to a judge.

use crate::support::client::{Client, Frame};
use crate::support::people::{email, mark};
use crate::support::{START, TestApp};
use scorecast::clock::Micros;
use serde_json::{Value, json};
use std::time::Duration;

/// What this client was told of a judge of the vault, in order: online, unsent, since when.
fn told(app: &TestApp, client: &Client, name: &str) -> Vec<(bool, i64, Value)> {
    told_in(app, client, name, "vault")
}

fn told_in(app: &TestApp, client: &Client, name: &str, category: &str) -> Vec<(bool, i64, Value)> {
    told_by(app, &client.transcript(), name, category)
}

fn told_by(app: &TestApp, frames: &[Frame], name: &str, category: &str) -> Vec<(bool, i64, Value)> {
    let judge = app.user_id(&email(name));
    let about = |frame: &&Frame| {
        frame.event == "judge:presence" && frame.data()["judgeId"] == *judge && frame.data()["categoryId"] == category
    };
    let read = |frame: &Frame| {
        assert_eq!(frame.args.len(), 1, "what is no fact has no meta: {frame}");
        let data = frame.data();
        let (online, unsent) = (data["online"].as_bool(), data["unsent"].as_i64());
        (online.expect("a boolean"), unsent.expect("a number"), data["oldestUnsentAt"].clone())
    };
    frames.iter().filter(about).map(read).collect()
}

/// Waits until what a client was told last of a judge of the vault is this.
async fn learns(app: &TestApp, client: &Client, name: &str, what: (bool, i64, Value)) {
    client.wait_until(|frames| told_by(app, frames, name, "vault").last() == Some(&what)).await;
}

async fn beat(client: &Client, payload: Value) -> Value {
    client.call("user:active", payload).await
}

fn at(seconds: i64) -> Value {
    json!(Micros(START.0).plus_seconds(seconds))
}

const THERE: (bool, i64, Value) = (true, 0, Value::Null);
const AWAY: (bool, i64, Value) = (false, 0, Value::Null);

#[tokio::test]
async fn an_officer_learns_on_coming_who_is_there_and_who_is_not() {
    let app = TestApp::with_people().await;
    let _ada = app.connect(&email("ada")).await;
    app.clock.advance(Duration::from_secs(5));
    let tally = app.connect(&email("tally")).await;
    // The answer comes after whatever was sent before it.
    beat(&tally, Value::Null).await;
    assert_eq!(tally.transcript()[0].event, "session:ready");
    for (name, category, expected) in [
        ("ada", "vault", THERE),
        ("ben", "vault", AWAY),
        ("both", "vault", AWAY),
        ("head", "vault", AWAY),
        ("beam", "beam", AWAY),
    ] {
        assert_eq!(told_in(&app, &tally, name, category).first(), Some(&expected), "{name}: {tally:?}");
    }
    let of = |name: &str| {
        let judge = app.user_id(&email(name));
        let frames = tally.transcript();
        let frame = frames.iter().find(|frame| frame.event == "judge:presence" && frame.data()["judgeId"] == *judge);
        frame.expect("told").data()["lastSeen"].clone()
    };
    assert_eq!((of("ada"), of("ben")), (at(0), Value::Null));
    app.stop().await;
}

#[tokio::test]
async fn the_office_learns_when_the_first_tablet_comes_and_the_last_one_goes_and_not_between() {
    let app = TestApp::with_people().await;
    let (tally, admin) = (app.connect(&email("tally")).await, app.connect(&email("admin")).await);
    let token = app.token(&email("ada")).await;
    let one = app.connect_by(&token).await.expect("the token is good");
    for officer in [&tally, &admin] {
        learns(&app, officer, "ada", THERE).await;
    }
    // Somebody else comes after each step: whoever knows of them was told of all that happened with ada before.
    let two = app.connect(&email("ada")).await;
    let _ben = app.connect(&email("ben")).await;
    for officer in [&tally, &admin] {
        learns(&app, officer, "ben", THERE).await;
    }
    one.close().await;
    let _cleo = app.connect(&email("cleo")).await;
    for officer in [&tally, &admin] {
        learns(&app, officer, "cleo", THERE).await;
        assert_eq!(told(&app, officer, "ada"), [AWAY, THERE]);
    }
    app.clock.advance(Duration::from_secs(90));
    drop(two);
    for officer in [&tally, &admin] {
        learns(&app, officer, "ada", AWAY).await;
        assert_eq!(told(&app, officer, "ada"), [AWAY, THERE, AWAY]);
        let last = officer.transcript().into_iter().rfind(|frame| frame.event == "judge:presence").expect("told");
        assert_eq!(last.data()["lastSeen"], at(90));
    }
    app.stop().await;
}

#[tokio::test]
async fn a_tablet_says_what_it_has_not_sent_and_that_stays_known_when_it_is_gone() {
    let app = TestApp::with_people().await;
    let (tally, token) = (app.connect(&email("tally")).await, app.token(&email("ada")).await);
    let tablet = app.connect_by(&token).await.expect("the token is good");
    tablet.next("session:ready").await;
    let second = app.connect(&email("ada")).await;
    learns(&app, &tally, "ada", THERE).await;
    let waiting = json!({"unsent": 3, "oldestUnsentAt": at(-60)});
    assert_eq!(beat(&tablet, waiting.clone()).await["ok"], true);
    learns(&app, &tally, "ada", (true, 3, at(-60))).await;
    // The same again is no change; neither is a sign of life that says nothing, or what another tablet does not hold.
    for (client, payload) in
        [(&tablet, waiting), (&tablet, Value::Null), (&tablet, json!({})), (&second, json!({"unsent": 0}))]
    {
        assert_eq!(beat(client, payload).await["ok"], true);
    }
    assert_eq!(beat(&second, json!({"unsent": 2})).await["ok"], true);
    learns(&app, &tally, "ada", (true, 5, at(-60))).await;
    drop(tablet);
    drop(second);
    learns(&app, &tally, "ada", (false, 5, at(-60))).await;
    assert_eq!(told(&app, &tally, "ada").len(), 5, "{tally:?}");
    // An officer who comes only now learns of it too.
    let board = app.connect(&email("board")).await;
    beat(&board, Value::Null).await;
    assert_eq!(told(&app, &board, "ada"), [(false, 5, at(-60))]);
    // The tablet comes back by its session, and what it sends is not missed twice.
    let back = app.connect_by(&token).await.expect("the token is good");
    assert_eq!(beat(&back, json!({"unsent": 0, "oldestUnsentAt": at(-60)})).await["ok"], true);
    learns(&app, &tally, "ada", (true, 2, Value::Null)).await;
    app.stop().await;
}

#[tokio::test]
async fn no_judge_learns_who_of_the_others_is_there() {
    let app = TestApp::with_people().await;
    let mut others = Vec::new();
    for name in ["ben", "cleo", "head", "both", "beam", "emcee", "gymnast", "idle"] {
        others.push((name, app.connect(&email(name)).await));
    }
    let tally = app.connect(&email("tally")).await;
    let ada = app.connect(&email("ada")).await;
    beat(&ada, json!({"unsent": 7})).await;
    learns(&app, &tally, "ada", (true, 7, Value::Null)).await;
    for (name, client) in &others {
        beat(client, Value::Null).await;
        // Both is an admin, and as such in the office of what he does not judge.
        let of_vault = |frame: &Frame| frame.data()["categoryId"] == "vault" || *name != "both";
        let frames = client.transcript();
        let told = frames.iter().filter(|frame| frame.event == "judge:presence").any(of_vault);
        assert!(!told, "{name}: {client:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_judge_who_is_switched_off_or_loses_the_hat_is_there_no_more() {
    let app = TestApp::with_people().await;
    let tally = app.connect(&email("tally")).await;
    let (_ada, ben) = (app.connect(&email("ada")).await, app.connect(&email("ben")).await);
    learns(&app, &tally, "ada", THERE).await;
    learns(&app, &tally, "ben", THERE).await;
    let user = format!("/api/v1/admin/users/{}", app.user_id(&email("ada")));
    app.send(reqwest::Method::DELETE, &user, &email("admin"), Value::Null).await;
    learns(&app, &tally, "ada", AWAY).await;
    app.take_hat(&app.hat_of("ben").await).await;
    learns(&app, &tally, "ben", AWAY).await;
    // With another hat he is there again, for the office of that.
    app.give_hat("ben", json!({"hat": "JUDGE", "categoryId": "beam"})).await;
    let judge = app.user_id(&email("ben"));
    let on_beam = |frame: &Frame| {
        frame.event == "judge:presence" && frame.data()["judgeId"] == *judge && frame.data()["categoryId"] == "beam"
    };
    tally.wait_until(|frames| frames.iter().any(on_beam)).await;
    assert_eq!(told_in(&app, &tally, "ben", "beam"), [THERE]);
    assert_eq!(ben.call("scores:submit", mark("x", "form", 1.0)).await["error"]["code"], "NOT_ASSIGNED");
    app.stop().await;
}

#[tokio::test]
async fn who_becomes_an_officer_learns_who_is_there() {
    let app = TestApp::with_people().await;
    let (_ada, idle) = (app.connect(&email("ada")).await, app.connect(&email("idle")).await);
    app.give_hat("idle", json!({"hat": "AUDITOR", "categoryId": "vault"})).await;
    idle.next("session:changed").await;
    beat(&idle, Value::Null).await;
    assert_eq!(told(&app, &idle, "ada").first(), Some(&THERE));
    assert_eq!(told(&app, &idle, "ben").first(), Some(&AWAY));
    assert_eq!(told_in(&app, &idle, "beam", "beam"), []);
    app.stop().await;
}

#[tokio::test]
async fn a_heartbeat_that_makes_no_sense_is_refused() {
    let app = TestApp::with_people().await;
    let ada = app.connect(&email("ada")).await;
    for bad in [
        json!({"unsent": -1}),
        json!({"unsent": 10_001}),
        json!({"unsent": 1.5}),
        json!({"unsent": "3"}),
        json!({"unsent": true}),
        json!({"unsent": 4_294_967_296_i64}),
        json!({"unsent": 1, "oldestUnsentAt": "yesterday"}),
        json!({"unsent": 1, "oldestUnsentAt": 1_700_000_000}),
        json!({"unsent": 1, "oldestUnsentAt": "0000-01-01T00:00:00+23:59"}),
        json!([]),
        json!(7),
        json!(true),
        json!("not an id"),
    ] {
        let answer = beat(&ada, bad.clone()).await;
        assert_eq!(answer["error"]["code"], "INVALID_DATA", "{bad}: {answer}");
    }
    let tally = app.connect(&email("tally")).await;
    for good in
        [json!({"unsent": 10_000}), json!({"unsent": 0}), json!({"x": 1}), json!({"unsent": null}), json!("ada")]
    {
        let answer = beat(&ada, good.clone()).await;
        assert_eq!((&answer["ok"], &answer["data"]["heads"]["cat:vault"]), (&json!(true), &json!(0)), "{good}");
    }
    beat(&tally, Value::Null).await;
    app.stop().await;
}
