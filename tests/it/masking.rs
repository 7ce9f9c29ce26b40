//! Who sees what of a mark: what arrives at the sockets, what is read over them, and what is read over REST.
//!
//! Absence is proved by a fence: facts go out in the order of the log, so whoever has a later one, and not an earlier
//! one, will never get the earlier one.

use crate::connections::{poll_session, poll_until, post, upgrade};
use crate::support::TestApp;
use crate::support::client::{Client, Frame};
use crate::support::people::{self, PEOPLE, email, mark};
use crate::support::wire::Wire;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use scorecast::auth::actor::Actor;
use scorecast::events::room::Lane;
use scorecast::ids::{AssignmentId, UserId};
use scorecast::scores::SubmitScore;
use scorecast::setup::assignments::RemoveAssignment;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Those who read every mark of the vault.
const OFFICE: [&str; 5] = ["admin", "organizer", "tally", "auditor", "board"];
/// Its panel; `both` is an admin, too.
const PANEL: [&str; 5] = ["ada", "ben", "cleo", "head", "both"];
/// Those to whom its marks are nothing.
const STRANGERS: [&str; 3] = ["beam", "gymnast", "idle"];

/// The competition with everybody at their tablets.
struct Hall {
    app: TestApp,
    sockets: BTreeMap<&'static str, Client>,
}

impl Hall {
    async fn open(app: TestApp) -> Self {
        let connected = PEOPLE.map(async |(name, _)| (name, app.connect(&email(name)).await));
        let sockets = join_all(connected).await.into_iter().collect();
        Self { app, sockets }
    }

    fn of(&self, name: &str) -> &Client {
        &self.sockets[name]
    }

    /// Gives a mark and returns what the ack holds.
    async fn submit(&self, name: &str, payload: Value) -> Value {
        taken(self.of(name).call("scores:submit", payload).await)
    }

    /// Waits until everything that has happened so far has been sent to everybody.
    async fn fence(&self) {
        join_all(self.sockets.iter().map(|(name, client)| fence(&self.app, name, client))).await;
    }

    /// What the lane of the vault brought somebody, one word a fact.
    fn vault(&self, name: &str) -> Vec<&'static str> {
        let me = self.app.user_id(&email(name));
        of_lane(self.of(name), "cat:vault").iter().map(|frame| variant(frame, &me)).collect()
    }
}

/// Waits until everything that has happened so far has been sent to this socket of somebody: signing in once more is a
/// fact that each of their sockets gets, whoever they are.
async fn fence(app: &TestApp, name: &str, client: &Client) {
    app.token(&email(name)).await;
    let lane = format!("usr:{}", app.user_id(&email(name)));
    let seq = app.app.state().lane_seq(&lane.parse::<Lane>().expect("a lane"));
    let arrived = |frame: &Frame| meta(frame).is_some_and(|meta| meta["lane"] == lane.as_str() && meta["seq"] == seq);
    client.wait_until(|frames| frames.iter().any(arrived)).await;
}

/// What an ack holds that says yes.
#[track_caller]
fn taken(answer: Value) -> Value {
    let Value::Object(mut fields) = answer else { panic!("an ack is an object, not {answer}") };
    assert_eq!(fields["ok"], true, "{fields:?}");
    fields.remove("data").expect("a taken command is answered with data")
}

/// Where a fact stands: the second argument, or all that a tick carries.
fn meta(frame: &Frame) -> Option<&Value> {
    let meta = if frame.event == "sync:tick" { frame.args.first() } else { frame.args.get(1) };
    meta.filter(|meta| meta["lane"].is_string())
}

fn of_lane(client: &Client, lane: &str) -> Vec<Frame> {
    client.transcript().into_iter().filter(|frame| meta(frame).is_some_and(|meta| meta["lane"] == lane)).collect()
}

fn variant(frame: &Frame, me: &str) -> &'static str {
    if frame.event == "sync:tick" {
        assert_eq!(frame.args.len(), 1, "a tick has nothing but its meta: {frame}");
        return "tick";
    }
    assert_eq!((frame.event.as_str(), frame.args.len()), ("scores:updated", 2), "{frame}");
    match (frame.data()["masked"].as_bool(), frame.data()["judgeId"] == me) {
        (Some(true), _) => "masked",
        (Some(false), true) => "own",
        (Some(false), false) => "full",
        (None, _) => panic!("neither masked nor open: {frame}"),
    }
}

fn with(mut payload: Value, field: &str, value: impl Into<Value>) -> Value {
    payload[field] = value.into();
    payload
}

/// Ada gives a mark with a comment and changes it; Cleo gives two in a batch in which two others are refused.
async fn a_mark_an_update_and_a_batch(hall: &Hall) -> [Value; 4] {
    let first = hall.submit("ada", with(mark("x", "form", 7.75), "comment", "marker-ada")).await;
    hall.app.clock.advance(Duration::from_millis(1500));
    let second = hall.submit("ada", with(mark("x", "form", 6.25), "baseVersion", 1)).await;
    hall.app.clock.advance(Duration::from_millis(1500));
    let items = json!([
        with(mark("x", "form", 2.75), "comment", "marker-cleo"),
        mark("y", "form", 11.25),
        with(mark("y", "form", 3.75), "categoryId", "beam"),
        mark("z", "form", 1.75),
    ]);
    let batch = taken(hall.of("cleo").call("scores:submitBatch", json!({ "items": items })).await);
    let results = batch["results"].as_array().expect("results").clone();
    let codes: Vec<&Value> = results.iter().map(|result| &result["error"]["code"]).collect();
    assert_eq!(codes, [&json!(null), &json!("OUT_OF_RANGE"), &json!("NOT_ASSIGNED"), &json!(null)], "{batch}");
    [first["score"].clone(), second["score"].clone(), results[0]["score"].clone(), results[3]["score"].clone()]
}

/// What fellow judges may know of a mark.
fn masked(open: &Value) -> Value {
    let mut masked = json!({"score": null, "masked": true, "version": null});
    for field in
        ["id", "categoryId", "contestId", "eventId", "contestantId", "judgeId", "criterionId", "status", "updatedAt"]
    {
        masked[field] = open[field].clone();
    }
    masked
}

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

#[tokio::test]
async fn a_mark_an_update_and_a_batch_reach_everybody_in_the_variant_of_their_seat() {
    let hall = Hall::open(TestApp::with_people().await).await;
    let marks = a_mark_an_update_and_a_batch(&hall).await;
    hall.fence().await;

    assert_eq!(hall.vault("ada"), ["own", "own", "masked", "masked"]);
    assert_eq!(hall.vault("cleo"), ["masked", "masked", "own", "own"]);
    for name in ["ben", "head", "both"] {
        assert_eq!(hall.vault(name), ["masked"; 4], "{name}");
    }
    for name in OFFICE {
        assert_eq!(hall.vault(name), ["full"; 4], "{name}");
    }
    assert_eq!(hall.vault("emcee"), ["tick"; 4]);
    for name in STRANGERS {
        assert_eq!(hall.vault(name), [""; 0], "{name}");
        assert!(!hall.of(name).raw_text().contains("vault"), "{name} hears of the vault\n{}", hall.of(name).raw_text());
    }

    let user = |name: &str| hall.app.user_id(&email(name));
    assert_eq!(
        marks[0],
        json!({
            "id": marks[0]["id"], "categoryId": "vault", "contestId": "women", "eventId": "cup", "contestantId": "x",
            "judgeId": user("ada"), "criterionId": "form", "score": 7.75, "masked": false, "comment": "marker-ada",
            "status": "submitted", "version": 1, "createdAt": "2023-11-14T22:13:20Z",
            "updatedAt": "2023-11-14T22:13:20Z",
        })
    );
    assert_eq!((&marks[1]["score"], &marks[1]["version"]), (&json!(6.25), &json!(2)));
    for name in OFFICE.into_iter().chain(PANEL) {
        for (frame, open) in of_lane(hall.of(name), "cat:vault").iter().zip(&marks) {
            let may = OFFICE.contains(&name) || open["judgeId"] == user(name).as_str();
            assert_eq!(*frame.data(), if may { open.clone() } else { masked(open) }, "{name}");
        }
    }
    hall.app.stop().await;
}

#[tokio::test]
async fn both_sockets_of_a_judge_get_each_fact_once() {
    let hall = Hall::open(TestApp::with_people().await).await;
    let another = hall.app.connect(&email("ada")).await;
    let another_tally = hall.app.connect(&email("tally")).await;
    a_mark_an_update_and_a_batch(&hall).await;
    hall.fence().await;
    for (name, again) in [("ada", &another), ("tally", &another_tally)] {
        fence(&hall.app, name, again).await;
        let (one, two) = (of_lane(hall.of(name), "cat:vault"), of_lane(again, "cat:vault"));
        assert_eq!(one.len(), 4, "{name}");
        assert_eq!(one, two, "{name}");
    }
    hall.app.stop().await;
}

/// Ada, Cleo, and Ben loses his hat between: mostly one batch, so what comes before the hat is pushed at once, and the rest.
#[tokio::test]
async fn facts_that_leave_together_are_each_for_whom_they_are_and_come_in_order() {
    let hall = Hall::open(TestApp::with_people().await).await;
    let another = hall.app.connect(&email("tally")).await;
    let (ada, cleo, hat) = (hall.app.actor(&email("ada")), hall.app.actor(&email("cleo")), hat_of(&hall.app, "ben"));
    let none = Value::Null;
    let submit = |judge: &Actor, payload: Value| {
        let submit: SubmitScore = serde_json::from_value(payload).expect("a mark");
        hall.app.app.carry_out(judge.clone(), submit.into(), None, &none)
    };
    let ((), one, two, taken, three, four) = tokio::join!(
        hall.app.hold_the_writer_up(),
        submit(&ada, with(mark("x", "form", 7.75), "comment", "marker-ada")),
        submit(&cleo, mark("x", "form", 2.75)),
        hall.app.app.carry_out(Actor::Operator, RemoveAssignment { id: hat }.into(), None, &none),
        submit(&ada, mark("y", "form", 6.25)),
        submit(&cleo, with(mark("y", "form", 3.75), "comment", "marker-cleo")),
    );
    for done in [one, two, taken, three, four] {
        done.expect("it is taken");
    }
    hall.fence().await;
    fence(&hall.app, "tally", &another).await;

    assert_eq!(hall.vault("ada"), ["own", "masked", "own", "masked"]);
    assert_eq!(hall.vault("cleo"), ["masked", "own", "masked", "own"]);
    assert_eq!(hall.vault("ben"), ["masked", "masked"], "none after the hat was taken");
    for name in ["head", "both"] {
        assert_eq!(hall.vault(name), ["masked"; 4], "{name}");
    }
    for name in OFFICE {
        assert_eq!(hall.vault(name), ["full"; 4], "{name}");
        let scores = of_lane(hall.of(name), "cat:vault").iter().map(|frame| frame.data()["score"].clone()).collect();
        assert_eq!(Value::Array(scores), json!([7.75, 2.75, 6.25, 3.75]), "{name}");
    }
    assert_eq!(of_lane(&another, "cat:vault"), of_lane(hall.of("tally"), "cat:vault"));
    assert_eq!(hall.vault("emcee"), ["tick"; 4]);
    for (name, client) in &hall.sockets {
        let places: Vec<Value> =
            of_lane(client, "cat:vault").iter().filter_map(meta).map(|meta| meta["seq"].clone()).collect();
        assert_eq!(places, (1..=places.len()).collect::<Vec<_>>(), "{name}");
        for (word, of) in [("marker-ada", "ada"), ("marker-cleo", "cleo")] {
            let reads = client.raw_text().contains(word);
            assert_eq!(reads, name == &of || OFFICE.contains(name), "{name} reads {word}");
        }
    }
    hall.app.stop().await;
}

/// More facts than leave together, and as many frames as a round has bits for; to those, too, who began by polling, whom
/// the library serves.
#[tokio::test]
async fn a_long_batch_comes_whole_and_in_order_by_whatever_way() {
    let hall = Hall::open(TestApp::with_people().await).await;
    let (mut judge, mut office) = (upgraded(&hall.app, "ben").await, upgraded(&hall.app, "tally").await);
    let scores: Vec<f64> = (0..40).map(|number| f64::from(number) / 4.0).collect();
    let items = scores.iter().enumerate().map(|(number, score)| mark(["x", "y", "z"][number % 3], "form", *score));
    let batch = json!({"items": items.collect::<Vec<_>>()});
    taken(hall.of("ada").call("scores:submitBatch", batch).await);
    hall.fence().await;

    let one_by_one: Vec<usize> = (1..=40).collect();
    for (names, word) in [(&["ada"][..], "own"), (&["ben", "cleo", "head", "both"], "masked"), (&OFFICE, "full")] {
        for name in names {
            assert_eq!(hall.vault(name), [word; 40], "{name}");
            let frames = of_lane(hall.of(name), "cat:vault");
            let places: Vec<Value> = frames.iter().filter_map(meta).map(|meta| meta["seq"].clone()).collect();
            assert_eq!(places, one_by_one, "{name}");
            if word != "masked" {
                assert_eq!(frames.iter().map(|frame| frame.data()["score"].clone()).collect::<Vec<_>>(), scores);
            }
        }
    }
    assert_eq!(hall.vault("emcee"), ["tick"; 40]);
    for (wire, sees) in [(&mut judge, false), (&mut office, true)] {
        for (place, score) in one_by_one.iter().zip(&scores) {
            let text = wire.until("42[\"scores:updated\"").await;
            let frame: Value = serde_json::from_str(&text[2..]).expect("an event");
            assert_eq!((frame[1]["score"].as_f64(), &frame[2]["seq"]), (sees.then_some(*score), &json!(place)));
        }
    }
    hall.app.stop().await;
}

/// A socket of somebody that began by polling and has become a websocket.
async fn upgraded(app: &TestApp, name: &str) -> Wire {
    let session = poll_session(app).await;
    let hello = format!("40{}", json!({"token": app.token(&email(name)).await}));
    assert_eq!(post(app, &session, hello).await.status, StatusCode::OK);
    assert!(poll_until(app, &session, "42[\"session:ready\"").await);
    upgrade(app, &session).await
}

#[tokio::test]
async fn every_member_of_the_lane_counts_the_same_facts_without_a_gap() {
    let hall = Hall::open(TestApp::with_people().await).await;
    a_mark_an_update_and_a_batch(&hall).await;
    hall.fence().await;
    let ready = hall.of("ada").transcript().into_iter().find(|frame| frame.event == "session:ready");
    let ready = ready.expect("ada was greeted");
    let told = |ready: &Frame| -> Vec<Value> {
        let lanes = ready.data()["lanes"].as_array().expect("lanes").clone();
        lanes.into_iter().filter(|lane| lane["lane"] == "cat:vault").collect()
    };
    let epoch = &told(&ready)[0]["epoch"];
    assert_eq!(told(&ready), [json!({"lane": "cat:vault", "seq": 0, "epoch": epoch})]);
    assert!(epoch.as_str().is_some_and(|epoch| !epoch.is_empty()), "{epoch}");
    let times = ["2023-11-14T22:13:20Z", "2023-11-14T22:13:21.5Z", "2023-11-14T22:13:23Z", "2023-11-14T22:13:23Z"];
    for name in OFFICE.into_iter().chain(PANEL).chain(["emcee"]) {
        let metas: Vec<Value> = of_lane(hall.of(name), "cat:vault")
            .iter()
            .filter_map(meta)
            .map(|meta| {
                let mut meta = meta.clone();
                meta.as_object_mut().expect("an object").remove("commandId");
                meta
            })
            .collect();
        let expected: Vec<Value> = times
            .iter()
            .zip(1..)
            .map(|(ts, seq)| json!({"lane": "cat:vault", "seq": seq, "epoch": epoch, "ts": ts}))
            .collect();
        assert_eq!(metas, expected, "{name}");
    }
    hall.app.stop().await;
}

#[tokio::test]
async fn the_id_of_a_command_comes_back_to_all_sockets_of_its_author_and_to_nobody_elses() {
    let hall = Hall::open(TestApp::with_people().await).await;
    let another = hall.app.connect(&email("ada")).await;
    let (of_mark, of_batch) = (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
    let given = with(mark("x", "form", 7.75), "commandId", of_mark.as_str());
    let first = hall.submit("ada", given.clone()).await;
    let items = json!([mark("y", "form", 6.75), mark("z", "form", 5.75)]);
    let batch = json!({"commandId": of_batch, "items": items});
    taken(hall.of("ada").call("scores:submitBatch", batch).await);
    // A retry is answered again, and happens once.
    assert_eq!(hall.submit("ada", given).await, first);
    hall.submit("ben", mark("x", "form", 4.75)).await;
    hall.fence().await;
    fence(&hall.app, "ada", &another).await;

    let mine = [json!(of_mark), json!(of_batch), json!(of_batch)];
    for client in [hall.of("ada"), &another] {
        let frames = of_lane(client, "cat:vault");
        let ids: Vec<&Value> = frames.iter().filter_map(meta).map(|meta| &meta["commandId"]).collect();
        assert_eq!(ids, [&mine[0], &mine[1], &mine[2], &json!(null)], "ada's three facts, then ben's");
    }
    for (name, client) in hall.sockets.iter().filter(|(name, _)| **name != "ada") {
        let raw = client.raw_text();
        assert!(!raw.contains(&of_mark) && !raw.contains(&of_batch), "{name} learns a command of ada's");
    }
    // Who gave no id is told the server's, and only they are.
    let told = |name: &str| {
        let frame = of_lane(hall.of(name), "cat:vault").pop().expect("ben's mark");
        meta(&frame).expect("a fact").get("commandId").is_some()
    };
    let tellers: Vec<&str> = PANEL.into_iter().chain(OFFICE).chain(["emcee"]).filter(|name| told(name)).collect();
    assert_eq!(tellers, ["ben"]);
    hall.app.stop().await;
}

#[tokio::test]
async fn the_tally_reaches_the_office_and_no_admin_who_judges() {
    let hall = Hall::open(TestApp::with_people().await).await;
    hall.submit("ada", mark("x", "form", 7.75)).await;
    for name in OFFICE {
        let frame = hall.of(name).next("tally:updated").await;
        assert_eq!((frame.args.len(), &frame.data()["categoryId"]), (1, &json!("vault")), "a tally has no meta");
        assert!(frame.to_string().contains("7.75"), "{name}: {frame}");
    }
    // It goes to all of its readers at once, so a fact after it is a fence behind it.
    hall.fence().await;
    for name in PANEL.into_iter().chain(STRANGERS).chain(["emcee"]) {
        let got = hall.of(name).transcript().iter().filter(|frame| frame.event == "tally:updated").count();
        assert_eq!(got, 0, "{name}");
    }
    for name in PANEL.into_iter().chain(STRANGERS).chain(["emcee"]) {
        for path in ["tally", "completeness"] {
            let reply = hall.app.get(&format!("/api/v1/categories/vault/{path}"), &email(name)).await;
            assert_eq!((reply.status, &reply.body["code"]), (StatusCode::FORBIDDEN, &json!("FORBIDDEN")), "{name}");
        }
    }
    // On the beam `both` is an admin like any other.
    hall.submit("beam", with(mark("x", "form", 5.25), "categoryId", "beam")).await;
    let frame = hall.of("both").next("tally:updated").await;
    assert_eq!(frame.data()["categoryId"], "beam");
    hall.app.stop().await;
}

#[tokio::test]
async fn where_judges_see_only_their_own_a_fellow_judge_gets_a_tick_and_learns_not_even_who_marked() {
    let app = TestApp::start().await;
    let mut document = people::document();
    document["contests"][0]["categories"][0]["judgeVisibility"] = json!("own");
    app.import(document).await;
    let hall = Hall::open(app).await;
    a_mark_an_update_and_a_batch(&hall).await;
    hall.fence().await;
    assert_eq!(hall.vault("ada"), ["own", "own", "tick", "tick"]);
    assert_eq!(hall.vault("cleo"), ["tick", "tick", "own", "own"]);
    for name in ["ben", "head", "both", "emcee"] {
        assert_eq!(hall.vault(name), ["tick"; 4], "{name}");
        assert!(!hall.of(name).raw_text().contains(&hall.app.user_id(&email("ada"))), "{name} learns who marked");
    }
    for name in OFFICE {
        assert_eq!(hall.vault(name), ["full"; 4], "{name}");
    }
    for (name, marks) in [("ada", 1), ("ben", 0), ("both", 0), ("tally", 3)] {
        let reply = hall.app.get("/api/v1/categories/vault/scores", &email(name)).await;
        assert_eq!(reply.body["scores"].as_array().expect("marks").len(), marks, "{name}");
    }
    hall.app.stop().await;
}

fn hat_of(app: &TestApp, name: &str) -> AssignmentId {
    let user: UserId = app.user_id(&email(name)).parse().expect("an id");
    let state = app.app.state();
    state.hats_worn(&user).next().map(|hat| hat.id.clone()).expect("they wear a hat")
}

/// The lanes a session was told of, with their heads.
fn lanes(changed: &Frame) -> BTreeMap<String, i64> {
    let lanes = changed.data()["lanes"].as_array().expect("lanes");
    let entry =
        |lane: &Value| (lane["lane"].as_str().expect("a lane").to_owned(), lane["seq"].as_i64().expect("a seq"));
    lanes.iter().map(entry).collect()
}

#[tokio::test]
async fn a_removed_judge_hears_no_more_and_sees_no_foreign_mark_whatever_they_become() {
    let hall = Hall::open(TestApp::with_people().await).await;
    let (ben, admin) = (hall.of("ben"), hall.of("admin"));
    let ben_id = hall.app.user_id(&email("ben"));
    hall.submit("ben", mark("x", "form", 3.25)).await;
    hall.submit("ada", mark("x", "form", 7.75)).await;
    taken(admin.call("assignment:remove", json!({"id": hat_of(&hall.app, "ben")})).await);
    let removed = ben.next("assignment:removed").await;
    assert_eq!((&removed.data()["judgeId"], &removed.data()["status"]), (&json!(ben_id), &json!("REMOVED")));
    let changed = ben.next("session:changed").await;
    assert_eq!((&changed.data()["role"], &changed.data()["hats"]), (&json!("JUDGE"), &json!([])));
    let told: BTreeSet<String> = lanes(&changed).into_keys().collect();
    assert_eq!(told, BTreeSet::from(["sys".to_owned(), format!("usr:{ben_id}")]));

    hall.submit("ada", mark("y", "form", 7.75)).await;
    fence(&hall.app, "ben", ben).await;
    assert_eq!(hall.vault("ben"), ["own", "masked"], "nothing after the hat went");
    let refused = ben.call("scores:submit", mark("z", "form", 3.25)).await;
    assert_eq!(refused["error"]["code"], "NOT_ASSIGNED");
    let refused = ben.call("scores:request", json!("vault")).await;
    assert_eq!(
        refused["error"]["code"], "FORBIDDEN",
        "not even their own: there is no hat to see the category through"
    );

    // A tally master by hat: a member again, but a former judge.
    let hat = json!({"judgeId": ben_id, "hat": "TALLY_MASTER", "categoryId": "vault"});
    taken(admin.call("assignment:created", hat).await);
    let changed = ben.next("session:changed").await;
    assert_eq!(lanes(&changed)["cat:vault"], 3, "three marks so far; the next frame is the fourth");
    hall.submit("ada", mark("z", "form", 7.75)).await;
    fence(&hall.app, "ben", ben).await;
    assert_eq!(hall.vault("ben"), ["own", "masked", "masked"]);
    assert_eq!(meta(of_lane(ben, "cat:vault").last().expect("a frame")).expect("a fact")["seq"], 4);

    // An admin: still a former judge.
    let promoted = json!({"email": email("ben"), "name": "ben", "role": "ADMIN"});
    let path = format!("/api/v1/admin/users/{ben_id}");
    let reply = hall.app.send(Method::PUT, &path, &email("organizer"), promoted).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(ben.next("session:changed").await.data()["role"], "ADMIN");
    hall.submit("ada", with(mark("x", "height", 7.5), "comment", "marker-ada")).await;
    hall.submit("beam", with(mark("x", "form", 5.25), "categoryId", "beam")).await;
    fence(&hall.app, "ben", ben).await;
    assert_eq!(hall.vault("ben"), ["own", "masked", "masked", "masked"]);
    let on_beam = of_lane(ben, "cat:beam").pop().expect("an admin is a member of every lane");
    assert_eq!(on_beam.data()["score"], 5.25, "on the beam, which they never judged, they are an admin like any other");
    hall.of("tally").next("tally:updated").await;
    let marks = taken(ben.call("scores:request", json!("vault")).await);
    let open: Vec<&Value> =
        marks["scores"].as_array().expect("marks").iter().filter(|mark| mark["masked"] == false).collect();
    assert_eq!((open.len(), &open[0]["judgeId"]), (1, &json!(ben_id)), "of five marks their own alone is open");
    let reply = hall.app.get("/api/v1/categories/vault/tally", &email("ben")).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    let raw = ben.raw_text();
    assert!(!raw.contains("7.75") && !raw.contains("7.5") && !raw.contains("marker-ada"), "{raw}");
    let tallies = ben.transcript().into_iter().filter(|frame| frame.event == "tally:updated");
    assert!(tallies.into_iter().all(|frame| frame.data()["categoryId"] == "beam"));
    hall.app.stop().await;
}

#[tokio::test]
async fn who_is_switched_off_is_cut_off_before_the_next_mark() {
    let hall = Hall::open(TestApp::with_people().await).await;
    hall.submit("ada", mark("x", "form", 7.75)).await;
    for name in ["auditor", "ben"] {
        let path = format!("/api/v1/admin/users/{}", hall.app.user_id(&email(name)));
        let reply = hall.app.send(Method::DELETE, &path, &email("admin"), Value::Null).await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.body);
    }
    hall.submit("ada", mark("x", "form", 6.25)).await;
    for (name, seen) in [("auditor", "full"), ("ben", "masked")] {
        hall.of(name).closed().await;
        assert_eq!(hall.vault(name), [seen], "{name}");
    }
    hall.app.stop().await;
}

fn by_id(views: &Value) -> BTreeMap<String, Value> {
    let views = views.as_array().expect("a list of marks");
    let known: BTreeMap<String, Value> =
        views.iter().map(|view| (view["id"].as_str().expect("an id").to_owned(), view.clone())).collect();
    assert_eq!(known.len(), views.len(), "each mark once");
    known
}

/// The last state of each mark that was pushed.
fn pushed(client: &Client, category: &str) -> BTreeMap<String, Value> {
    let frames = of_lane(client, &format!("cat:{category}"));
    let views = frames.iter().filter(|frame| frame.event == "scores:updated").map(Frame::data);
    views.map(|view| (view["id"].as_str().expect("an id").to_owned(), view.clone())).collect()
}

#[tokio::test]
async fn what_is_pushed_asked_for_and_read_over_rest_is_the_same_for_every_viewer() {
    let hall = Hall::open(TestApp::with_people().await).await;
    a_mark_an_update_and_a_batch(&hall).await;
    for (name, score) in [("head", 8.25), ("both", 9.25), ("ben", 3.25)] {
        hall.app.clock.advance(Duration::from_millis(1));
        hall.submit(name, with(mark("x", "form", score), "comment", format!("marker-{name}"))).await;
    }
    hall.fence().await;
    let path = "/api/v1/categories/vault/scores";
    for name in PANEL.into_iter().chain(OFFICE) {
        let client = hall.of(name);
        let read = hall.app.get(path, &email(name)).await;
        assert_eq!(read.status, StatusCode::OK, "{name}: {}", read.body);
        let asked = taken(client.call("scores:request", json!("vault")).await);
        client.emit("scores:request", json!({"categoryId": "vault"})).await;
        let data = client.next("scores:data").await;
        assert_eq!(data.args.len(), 1, "an answer has no meta");
        let pushed = pushed(client, "vault");
        assert_eq!(pushed.len(), 6, "{name}");
        assert_eq!(by_id(&read.body["scores"]), pushed, "{name} over REST");
        assert_eq!(by_id(&asked["scores"]), pushed, "{name} by scores:request");
        assert_eq!(by_id(data.data()), pushed, "{name} by scores:data");
        assert_eq!((&read.body["seq"], &asked["seq"]), (&json!(7), &json!(7)), "{name}");
        let of_x = taken(client.call("scores:request", json!({"categoryId": "vault", "contestantId": "x"})).await);
        let mut expected = pushed.clone();
        expected.retain(|_, view| view["contestantId"] == "x");
        assert_eq!(by_id(&of_x["scores"]), expected, "{name} of one contestant");
        // The fourth fact was the last of the batch; head, both and ben marked after it.
        let late = taken(client.call("scores:request", json!({"categoryId": "vault", "sinceSeq": 4})).await);
        let mut expected = pushed;
        let last = ["head", "both", "ben"].map(|name| json!(hall.app.user_id(&email(name))));
        expected.retain(|_, view| last.contains(&view["judgeId"]));
        assert_eq!((by_id(&late["scores"]), &late["seq"]), (expected, &json!(7)), "{name} since a place in the lane");
    }
    for name in STRANGERS.into_iter().chain(["emcee"]) {
        let read = hall.app.get(path, &email(name)).await;
        assert_eq!((read.status, &read.body["code"]), (StatusCode::FORBIDDEN, &json!("FORBIDDEN")), "{name}");
        let asked = hall.of(name).call("scores:request", json!("vault")).await;
        let error = (&asked["error"]["code"], &asked["error"]["message"]);
        assert_eq!(error, (&json!("FORBIDDEN"), &json!("Access denied")), "{name}");
        hall.of(name).emit("scores:request", json!("vault")).await;
        assert_eq!(hall.of(name).next("error").await.data()["code"], "FORBIDDEN", "{name}");
    }
    hall.app.stop().await;
}

/// Every number in a message, however it is nested.
fn numbers(value: &Value, found: &mut Vec<f64>) {
    match value {
        Value::Number(number) => found.extend(number.as_f64()),
        Value::Array(items) => items.iter().for_each(|item| numbers(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| numbers(field, found)),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Everything somebody could try to learn a foreign mark.
async fn pry(hall: &Hall, name: &str, foreign: &Value) -> String {
    let client = hall.of(name);
    let mut answers = Vec::new();
    let stale = with(mark("x", "form", 0.25), "baseVersion", 99);
    let under_foreign_id = with(mark("y", "height", 0.5), "id", foreign["id"].clone());
    let in_foreign_name = with(with(mark("x", "form", 0.25), "judgeId", foreign["judgeId"].clone()), "baseVersion", 99);
    for payload in [stale, under_foreign_id, in_foreign_name] {
        answers.push(client.call("scores:submit", payload.clone()).await);
        answers.push(client.call("scores:submitBatch", json!({"items": [payload]})).await);
    }
    for (event, payload) in [
        ("scores:request", json!("vault")),
        ("scores:request", json!({"categoryId": "vault", "contestantId": "x", "sinceSeq": 0})),
        ("user:active", json!(null)),
    ] {
        answers.push(client.call(event, payload.clone()).await);
        client.emit(event, payload).await;
    }
    let token = hall.app.token(&email(name)).await;
    for path in ["categories/vault/scores", "categories/vault/tally", "categories/vault/completeness", "me"] {
        let reply = hall.app.request(Method::GET, &format!("/api/v1/{path}"), Some(&token), None).await;
        answers.push(json!({"headers": format!("{:?}", reply.headers), "body": reply.body}));
    }
    let mut seen = Vec::new();
    numbers(&Value::from(answers.clone()), &mut seen);
    client.transcript().iter().flat_map(|frame| &frame.args).for_each(|argument| numbers(argument, &mut seen));
    assert!(!seen.contains(&(foreign["score"].as_f64().expect("a mark") * 1000.0)), "{name} sees thousandths");
    format!("{}\n{}", client.raw_text(), Value::from(answers))
}

#[tokio::test]
async fn nothing_a_judge_receives_holds_a_foreign_mark_or_comment() {
    let hall = Hall::open(TestApp::with_people().await).await;
    let given = [("ada", 7.75), ("ben", 3.25), ("cleo", 1.75), ("head", 8.25), ("both", 9.75)];
    let mut marks = BTreeMap::new();
    for (name, score) in given {
        // Twice, so that the log holds a version before the last.
        for (score, comment) in [(score - 1.0, "first"), (score, "then")] {
            let payload = with(mark("x", "form", score), "comment", format!("marker-{name}-{comment}"));
            marks.insert(name, hall.submit(name, payload).await["score"].clone());
        }
    }
    hall.of("tally").next("tally:updated").await;
    hall.fence().await;
    for (reader, _) in PEOPLE.into_iter().filter(|(name, _)| !OFFICE.contains(name)) {
        for (author, score) in given {
            let all = pry(&hall, reader, &marks[author]).await;
            let holds = [score - 1.0, score].map(|score| all.contains(&score.to_string()));
            let expected = reader == author;
            assert_eq!(holds, [expected; 2], "{reader} and the marks of {author}");
            assert_eq!(all.contains(&format!("marker-{author}")), expected, "{reader} and {author}'s comment");
        }
    }
    hall.app.stop().await;
}

#[tokio::test]
async fn an_admin_who_once_judged_the_event_sees_a_new_category_alike_by_push_and_by_rest() {
    let app = TestApp::start().await;
    let mut document = people::document();
    let once = json!({"email": email("once"), "name": "once", "role": "ADMIN"});
    document["users"].as_array_mut().expect("users").push(once);
    let hat = json!({"email": email("once"), "hat": "JUDGE"});
    document["assignments"].as_array_mut().expect("hats").push(hat);
    app.import(document.clone()).await;
    let admin = app.connect(&email("admin")).await;
    taken(admin.call("assignment:remove", json!({"id": hat_of(&app, "once")})).await);
    let once = app.connect(&email("once")).await;

    let floor = json!({
        "contestId": "men", "id": "floor", "name": "Floor", "rules": {"method": "mean"},
        "criteria": document["contests"][0]["categories"][0]["criteria"],
        "entries": [{"contestantId": "x"}], "assignments": [{"email": email("ada"), "hat": "JUDGE"}],
    });
    let reply = app.post("/api/v1/admin/categories", &email("admin"), floor).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
    let ada = app.connect(&email("ada")).await;
    taken(ada.call("scores:submit", with(mark("x", "form", 7.75), "categoryId", "floor")).await);
    fence(&app, "once", &once).await;

    let read = app.get("/api/v1/categories/floor/scores", &email("once")).await;
    assert_eq!(read.status, StatusCode::OK, "{}", read.body);
    assert_eq!(pushed(&once, "floor"), by_id(&read.body["scores"]), "one right, whichever way it is asked");
    app.stop().await;
}

#[tokio::test]
async fn a_judge_whose_hat_goes_in_the_same_breath_is_never_shown_their_own_mark_masked() {
    let app = TestApp::with_people().await;
    let (ada, tally) = (app.connect(&email("ada")).await, app.connect(&email("tally")).await);
    let (judge, hat) = (app.actor(&email("ada")), hat_of(&app, "ada"));
    let submit: SubmitScore = serde_json::from_value(mark("x", "form", 7.75)).expect("a mark");
    let none = Value::Null;
    // The mark and the removal become one batch.
    let ((), submitted, removed) = tokio::join!(
        app.hold_the_writer_up(),
        app.app.carry_out(judge, submit.into(), None, &none),
        app.app.carry_out(Actor::Operator, RemoveAssignment { id: hat }.into(), None, &none),
    );
    submitted.expect("the hat is still worn");
    removed.expect("the hat was worn");
    tally.next("scores:updated").await;
    fence(&app, "ada", &ada).await;
    let me = app.user_id(&email("ada"));
    let seen: Vec<&str> = of_lane(&ada, "cat:vault").iter().map(|frame| variant(frame, &me)).collect();
    assert!(seen.is_empty() || seen == ["own"], "own by the rights of then, nothing by those of now: {seen:?}");
    app.stop().await;
}
