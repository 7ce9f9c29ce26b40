//! Ergometers: what their software exports or says while they row, what it comes to, and what the public is told of it.

use crate::support::client::{Client, Frame};
use crate::support::people::{self, email};
use crate::support::{Reply, TestApp};
use reqwest::Method;
use scorecast::events::room::Lane;
use serde_json::{Value, json};

const IMPORT: &str = "/indoor-results/import";
const UPDATE: &str = "/indoor-results/participants";

/// The cup with a race of three crews, one without a start list, and one that nothing happens in; another event, and a
/// draft.
async fn regatta() -> (TestApp, String) {
    let app = TestApp::start_with(|config| {
        config.rate_limit_commands_per_minute = 1_000_000;
        config.rate_limit_public_reads_per_minute = 1_000_000;
    })
    .await;
    let crew = |id: &str| {
        let category = json!({"id": "J18", "code": "J18W", "label": "Juniors"});
        json!({"id": id, "name": format!("Crew {id}"), "club": {"name": "Rowing Club", "code": "RC"}, "category": category})
    };
    let mut document = people::document();
    document["races"] = json!([
        {"id": "erg", "raceType": "indoor", "participants": [crew("c1"), crew("c2"), crew("c3")]},
        {"id": "open", "raceType": "indoor"},
        {"id": "marker", "raceType": "slalom"},
    ]);
    app.import(document).await;
    let race = json!([{"id": "gala-erg", "raceType": "indoor"}]);
    app.import(json!({"event": {"id": "gala", "mainTitle": "Gala", "status": "running"}, "races": race})).await;
    let race = json!([{"id": "secret", "raceType": "indoor"}]);
    app.import(json!({"event": {"id": "plan", "mainTitle": "A Plan"}, "races": race})).await;
    let key = app.key("cup").await;
    (app, key)
}

/// Somebody named, with a time.
fn erg(id: &str, time: &str) -> Value {
    json!({"id": id, "participant": format!("N. {id}"), "time": time, "distance": 2000, "avg_pace": "1:45.0", "spm": 30,
        "calories": 120})
}

fn results(race: &str, participants: &[Value]) -> Value {
    json!({"results": {"race_id": format!("sw-{race}"), "c2_race_id": race, "participants": participants}})
}

/// Somebody on `/live` who has joined the rooms of the cup and of a race.
async fn follower(app: &TestApp, race: &str) -> Client {
    let client = Client::connect_with(app.address, "/live", None, &[]).await.expect("anyone may");
    let joined = client.call("joinRoom", json!({"event_id": "cup", "race_id": race})).await;
    assert_eq!(joined["ok"], true, "{joined}");
    client
}

/// What came since, up to a mark that is set now: each by its name and what it says in short.
async fn told(app: &TestApp, client: &Client, seen: &mut usize) -> Vec<String> {
    let path = "/api/v1/races/marker/status";
    for status in ["in_progress", "not_started"] {
        let set = app.send(Method::PATCH, path, &email("admin"), json!({"status": status})).await;
        assert_eq!(set.status, 200, "{set:?}");
    }
    let is_mark = |frame: &Frame| frame.data()["race_id"] == "marker" && frame.data()["status"] == "not_started";
    let from = *seen;
    client.wait_until(|frames| frames[from..].iter().any(is_mark)).await;
    let came = client.transcript_after(from);
    *seen = from + came.len();
    let of_marker = |frame: &&Frame| frame.data()["race_id"] != "marker";
    came.iter().filter(of_marker).map(in_short).collect()
}

fn in_short(frame: &Frame) -> String {
    let data = frame.data();
    let one = &data["participant"];
    match frame.event.as_str() {
        "indoorParticipantUpdate" => format!("update {} {}", one["time_display"].as_str().unwrap_or(""), one["place"]),
        "indoorResultsImported" => format!("imported {} {}", data["participants_count"], data["race_status"]),
        "indoorRaceResultsComplete" => format!("complete {} {}", data["total_participants"], data["race_status"]),
        other => other.to_owned(),
    }
}

async fn shown(app: &TestApp, race: &str) -> Value {
    let reply = app.public(&format!("/indoor-results/race/{race}")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body
}

/// Place, time and id of everybody, as REST lists them.
async fn list(app: &TestApp, race: &str) -> Vec<(Value, Value, String)> {
    let race = shown(app, race).await;
    let one =
        |one: &Value| (one["place"].clone(), one["time_ms"].clone(), one["id"].as_str().expect("an id").to_owned());
    race["participants"].as_array().expect("a list").iter().map(one).collect()
}

async fn places(app: &TestApp, race: &str) -> Vec<Value> {
    list(app, race).await.into_iter().map(|(place, _, _)| place).collect()
}

/// How many facts the public of an event was told.
fn public_facts(app: &TestApp, event: &str) -> i64 {
    app.app.state().lane_seq(&Lane::Public(event.parse().expect("an id")))
}

fn outcome(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), reply.body["code"].as_str().unwrap_or("ok"))
}

#[tokio::test]
async fn an_import_is_answered_201_and_again_200_and_everybody_keeps_their_id() {
    let (app, key) = regatta().await;
    let live = follower(&app, "erg").await;
    let file = results(
        "erg",
        &[
            erg("c2", "1:32.40"),
            erg("c1", "0:24.1"),
            json!({"id": "0", "participant": "EMPTY LANE 3", "time": "", "distance": 0, "avg_pace": "", "spm": 0, "calories": 0}),
            json!({"id": null, "participant": "", "time": "0:00.0", "distance": "0", "avg_pace": null, "spm": null, "calories": "0"}),
            erg("guest", "0:24.05"),
        ],
    );
    let first = app.keyed(&key, IMPORT, &file).await;
    assert_eq!(first.status, 201, "{first:?}");
    let result = first.body["data"]["indoor_race_result_id"].clone();
    let data = json!({
        "indoor_race_result_id": result, "race_id": "erg", "ergrace_race_id": "sw-erg", "participants_count": 3,
        "linked_crews_count": 2, "unlinked_participants_count": 1, "skipped_empty_lanes": 2,
    });
    assert_eq!(first.body, json!({"status": "success", "data": data}));
    let before = list(&app, "erg").await;
    let times: Vec<_> = before.iter().map(|(place, ms, _)| (place.clone(), ms.clone())).collect();
    let ranked = [(1, 24_050), (2, 24_100), (3, 92_400)];
    assert_eq!(times, ranked.map(|(place, ms)| (json!(place), json!(ms))));

    let again = app.keyed(&key, IMPORT, &file).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &first.body));
    assert_eq!(list(&app, "erg").await, before);
    let update = json!({"race_id": "erg", "participant": erg("c2", "0:20.0")});
    let updated = app.keyed(&key, UPDATE, &update).await;
    assert_eq!(updated.status, 200, "{updated:?}");
    let after = list(&app, "erg").await;
    assert_eq!(
        (&after[0].0, &after[0].1, &after[0].2),
        (&json!(1), &json!(20_000), &before[2].2),
        "another place, the same id"
    );

    // What is sent, exactly, to whom it is linked and to whom it is not.
    let came = live.next("indoorResultsImported").await;
    let imported = json!({"race_id": "erg", "event_id": "cup", "participants_count": 3, "linked_crews_count": 2,
        "race_status": "non_official"});
    assert_eq!(came.data(), &imported);
    assert_eq!(came.meta().expect("meta")["lane"], "pub:cup");
    let crew = json!({"id": "c1", "club_name": "Rowing Club", "club_code": "RC",
        "category": {"id": "J18", "code": "J18W", "label": "Juniors"}});
    let linked = json!({"id": before[1].2, "place": 2, "time_display": "0:24.1", "time_ms": 24_100, "distance": 2000,
        "avg_pace": "1:45.0", "spm": 30, "calories": 120, "crew_id": "c1", "crew": crew});
    let unlinked = json!({"id": before[0].2, "place": 1, "time_display": "0:24.05", "time_ms": 24_050, "distance": 2000,
        "avg_pace": "1:45.0", "spm": 30, "calories": 120, "crew_id": null, "crew": null});
    let mut updates = Vec::new();
    for _ in 0..3 {
        updates.push(live.next("indoorParticipantUpdate").await.data().clone());
    }
    for one in [&linked, &unlinked] {
        let expected = json!({"race_id": "erg", "event_id": "cup", "participant": one});
        assert!(updates.contains(&expected), "{expected} is not in {updates:?}");
    }
    let complete = live.next("indoorRaceResultsComplete").await;
    let expected = json!({"race_id": "erg", "event_id": "cup", "total_participants": 3, "race_status": "non_official"});
    assert_eq!(complete.data(), &expected);
    // The participant of REST is that of the events.
    let update =
        live.wait_until(|frames| frames.iter().filter(|one| one.event == "indoorParticipantUpdate").count() == 6);
    update.await;
    let rest = shown(&app, "erg").await;
    assert_eq!(
        (&rest["race_id"], &rest["event_id"], &rest["race_status"]),
        (&json!("erg"), &json!("cup"), &json!("non_official"))
    );
    for frame in live.transcript().iter().rev().filter(|frame| frame.event == "indoorParticipantUpdate").take(3) {
        assert!(rest["participants"].as_array().expect("a list").contains(&frame.data()["participant"]), "{frame}");
    }
    let app = app.restart().await;
    assert_eq!(shown(&app, "erg").await, rest);
    app.stop().await;
}

#[tokio::test]
async fn places_are_computed_whatever_the_file_says() {
    let (app, key) = regatta().await;
    let mut said = [
        erg("a", "7:00.0"),
        erg("b", "6:30.5"),
        erg("c", "6:30.50"),
        erg("d", "6:30.0"),
        erg("e", ""),
        erg("f", "DNF"),
    ];
    for (index, one) in said.iter_mut().enumerate() {
        one["place"] = json!(index + 1);
    }
    assert_eq!(app.keyed(&key, IMPORT, &results("erg", &said)).await.status, 201);
    assert_eq!(places(&app, "erg").await, [json!(1), json!(2), json!(2), json!(4), Value::Null, Value::Null]);
    let last = shown(&app, "erg").await["participants"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["status"].clone())
        .collect::<Vec<_>>();
    assert!(last.contains(&json!("DNF")), "{last:?}");

    // Who rowed for the same time is ranked by how far they came; one who stopped early too.
    let rowed = |id: &str, time: &str, distance: i64| {
        let mut one = erg(id, time);
        one["distance"] = json!(distance);
        one
    };
    let rows =
        [rowed("a", "1:00.0", 280), rowed("b", "1:00.0", 310), rowed("c", "0:40.0", 150), rowed("d", "1:00.0", 310)];
    let mut piece = results("open", &rows);
    piece["results"]["duration"] = json!(60);
    assert_eq!(app.keyed(&key, IMPORT, &piece).await.status, 201);
    let far = async |app: &TestApp| {
        let race = shown(app, "open").await;
        let one = |one: &Value| (one["place"].clone(), one["distance"].clone());
        race["participants"].as_array().expect("a list").iter().map(one).collect::<Vec<_>>()
    };
    let ranked = [(1, 310), (1, 310), (3, 280), (4, 150)].map(|(place, distance)| (json!(place), json!(distance)));
    assert_eq!(far(&app).await, ranked);
    // A live update of that piece is ranked like it; the software may say which kind it is.
    let update = json!({"race_id": "open", "participant": rowed("a", "1:00.0", 1_000_000)});
    assert_eq!(app.keyed(&key, UPDATE, &update).await.body["participant"]["place"], 1);
    piece["results"]["duration_type"] = json!("meters");
    assert_eq!(app.keyed(&key, IMPORT, &piece).await.status, 200);
    assert_eq!(far(&app).await[0], (json!(1), json!(150)), "the shortest time");
    app.stop().await;
}

#[tokio::test]
async fn a_race_that_is_not_there_is_made_in_the_event_of_the_key() {
    let (app, key) = regatta().await;
    let mut feed = crate::support::watch::Viewer::watch(&app, "cup").await;
    let mut file = results("heat-9", &[erg("x", "6:00.0")]);
    file["results"]["race_file_name"] = json!("Heat 9");
    let made = app.keyed(&key, IMPORT, &file).await;
    assert_eq!((made.status.as_u16(), &made.body["data"]["race_id"]), (201, &json!("heat-9")));
    let races = app.public("/api/v1/events/cup/races").await.body;
    let race = races["items"].as_array().expect("a list").iter().find(|race| race["raceId"] == "heat-9").cloned();
    let race = race.expect("it is listed");
    assert_eq!(
        (&race["name"], &race["raceType"], &race["raceStatus"]),
        (&json!("Heat 9"), &json!("indoor"), &json!(10))
    );
    // Whoever folds the feed has what REST says.
    feed.read_to(public_facts(&app, "cup")).await;
    assert_eq!(feed.folded.full["races"], races["items"]);
    // So too when the race alone moves on.
    app.keyed(&key, UPDATE, &json!({"race_id": "open", "participant": erg("y", "")})).await;
    feed.read_to(public_facts(&app, "cup")).await;
    let races = app.public("/api/v1/events/cup/races").await.body;
    assert_eq!(feed.folded.full["races"], races["items"]);
    assert_eq!(feed.gaps, 0);

    // Without an id of ours it is the one the software has named before, else a new one.
    let unnamed = json!({"results": {"race_id": "sw-heat-9", "participants": [erg("x", "5:59.0")]}});
    let again = app.keyed(&key, IMPORT, &unnamed).await;
    assert_eq!((again.status.as_u16(), &again.body["data"]["race_id"]), (200, &json!("heat-9")));
    let unknown = json!({"results": {"race_id": 77, "participants": [erg("x", "5:59.0")]}});
    let made = app.keyed(&key, IMPORT, &unknown).await;
    assert_eq!((made.status.as_u16(), &made.body["data"]["ergrace_race_id"]), (201, &json!("77")));
    // What another event calls so is another race.
    let other = app.keyed(&key, IMPORT, &results("gala-erg", &[erg("x", "5:59.0")])).await;
    assert_eq!((other.status.as_u16(), &other.body["data"]["race_id"]), (201, &json!("cup.gala-erg")));
    assert_eq!(app.public("/indoor-results/race/gala-erg").await.status, 404, "that one was not touched");
    let read = app.raw_request(Method::GET, "/indoor-results/race/gala-erg", &[("x-api-key", &key)], "").await;
    assert_eq!((read.status.as_u16(), &read.body["race_id"]), (200, &json!("cup.gala-erg")), "the key's own");
    let update = json!({"race_id": "secret", "participant": erg("x", "5:00.0")});
    assert_eq!(outcome(&app.keyed(&key, UPDATE, &update).await), (404, "NOT_FOUND"));
    app.stop().await;
}

#[tokio::test]
async fn who_times_the_event_may_and_nobody_else() {
    let (app, _) = regatta().await;
    let file = results("erg", &[erg("c1", "6:00.0")]);
    let update = json!({"race_id": "erg", "participant": erg("c1", "6:00.0")});
    let facts = || ["cup", "gala", "plan"].map(|event| public_facts(&app, event));
    let before = facts();
    for name in ["ada", "auditor", "board", "emcee", "gymnast", "idle"] {
        assert_eq!(outcome(&app.post(IMPORT, &email(name), file.clone()).await), (403, "FORBIDDEN"), "{name}");
        assert_eq!(outcome(&app.post(UPDATE, &email(name), update.clone()).await), (403, "FORBIDDEN"), "{name}");
    }
    assert_eq!(app.request(Method::POST, IMPORT, None, Some(file.clone())).await.status, 401);
    let other = app.key("gala").await;
    assert_eq!(outcome(&app.keyed(&other, UPDATE, &update).await), (404, "NOT_FOUND"));
    // A tally master of one event is nobody in another, and does not learn of a draft.
    let at = |race: &str| results(race, &[erg("x", "6:00.0")]);
    assert_eq!(outcome(&app.post(IMPORT, &email("tally"), at("gala-erg")).await), (403, "FORBIDDEN"));
    assert_eq!(outcome(&app.post(IMPORT, &email("tally"), at("secret")).await), (404, "NOT_FOUND"));
    assert_eq!(outcome(&app.post(IMPORT, &email("tally"), at("ghost")).await), (404, "NOT_FOUND"));
    // Users name the race; only a key has an event to make one in.
    let unnamed = json!({"results": {"race_id": "sw", "participants": []}});
    let refused = app.post(IMPORT, &email("admin"), unnamed).await;
    assert_eq!(
        (outcome(&refused), &refused.body["errors"][0]["field"]),
        ((400, "INVALID_DATA"), &json!("results.c2_race_id"))
    );
    assert_eq!(facts(), before);
    for (name, status) in [("tally", 201), ("organizer", 200), ("admin", 200)] {
        assert_eq!(app.post(IMPORT, &email(name), file.clone()).await.status, status, "{name}");
        assert_eq!(app.post(UPDATE, &email(name), update.clone()).await.status, 200, "{name}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_race_is_shown_once_it_is_over_and_before_that_to_those_who_time_it() {
    let (app, key) = regatta().await;
    let path = "/indoor-results/race/erg";
    let read = async |token: Option<&str>| {
        let token = match token {
            Some(name) => Some(app.token(&email(name)).await),
            None => None,
        };
        app.request(Method::GET, path, token.as_deref(), None).await.status.as_u16()
    };
    assert_eq!((read(None).await, read(Some("admin")).await), (404, 404), "nothing was measured there");
    app.keyed(&key, UPDATE, &json!({"race_id": "erg", "participant": erg("c1", "")})).await;
    assert_eq!(read(None).await, 404);
    for (name, status) in [("ada", 404), ("auditor", 404), ("tally", 200), ("organizer", 200), ("admin", 200)] {
        assert_eq!(read(Some(name)).await, status, "{name}");
    }
    let by_key = app.raw_request(Method::GET, path, &[("x-api-key", &key)], "").await;
    assert_eq!((by_key.status.as_u16(), &by_key.body["race_status"]), (200, &json!("in_progress")));
    let foreign = app.key("gala").await;
    assert_eq!(app.raw_request(Method::GET, path, &[("x-api-key", &foreign)], "").await.status, 404);
    app.keyed(&key, IMPORT, &results("erg", &[erg("c1", "6:00.0")])).await;
    assert_eq!((read(None).await, read(Some("ada")).await), (200, 200));
    for (status, seen) in [("in_progress", 404), ("official", 200)] {
        app.send(Method::PATCH, "/api/v1/races/erg/status", &email("admin"), json!({"status": status})).await;
        assert_eq!(read(None).await, seen, "{status}");
    }
    // Of a draft nothing is shown, and nothing was told when it is none any more.
    let plan = app.key("plan").await;
    assert_eq!(app.keyed(&plan, IMPORT, &results("secret", &[erg("x", "6:00.0")])).await.status, 201);
    assert_eq!(app.public("/indoor-results/race/secret").await.status, 404);
    assert_eq!(public_facts(&app, "plan"), 0, "told to the public of a draft");
    app.set_status("plan", "startlist").await;
    assert_eq!(app.public("/indoor-results/race/secret").await.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn what_is_official_changes_only_by_a_correction() {
    let (app, key) = regatta().await;
    let live = follower(&app, "erg").await;
    let mut seen = 0;
    let file = results("erg", &[erg("c1", "6:00.0"), erg("c2", "")]);
    app.keyed(&key, IMPORT, &file).await;
    let came = told(&app, &live, &mut seen).await;
    assert_eq!(came[0], "imported 2 \"non_official\"");
    assert!(came.contains(&"update 6:00.0 1".into()) && came.len() == 3, "{came:?}");
    app.send(Method::PATCH, "/api/v1/races/erg/status", &email("tally"), json!({"status": "official"})).await;
    // Complete when it is official, whoever is missing.
    assert_eq!(told(&app, &live, &mut seen).await, ["raceStatusUpdate", "complete 2 \"official\""]);

    let update = json!({"race_id": "erg", "participant": erg("c2", "5:00.0")});
    let end = app.log_end();
    assert_eq!(outcome(&app.keyed(&key, IMPORT, &file).await), (409, "STATE"));
    assert_eq!(outcome(&app.keyed(&key, UPDATE, &update).await), (409, "STATE"));
    assert_eq!(app.log_end(), end);
    let mut correction = update.clone();
    correction["correction"] = json!(true);
    let corrected = app.keyed(&key, UPDATE, &correction).await;
    assert_eq!((corrected.status.as_u16(), &corrected.body["race_status"]), (200, &json!("official")));
    let came = told(&app, &live, &mut seen).await;
    assert!(came.contains(&"update 5:00.0 1".into()) && came.contains(&"update 6:00.0 2".into()), "{came:?}");
    assert_eq!(came[2..], ["complete 2 \"official\""], "now everybody is in");
    let mut correction = results("erg", &[erg("c1", "4:00.0")]);
    correction["correction"] = json!(true);
    let corrected = app.keyed(&key, IMPORT, &correction).await;
    assert_eq!((corrected.status.as_u16(), &corrected.body["data"]["participants_count"]), (200, &json!(2)));
    let came = told(&app, &live, &mut seen).await;
    assert_eq!(came[0], "imported 2 \"official\"");
    assert!(!came.iter().any(|came| came.starts_with("complete")), "it was: {came:?}");

    // So too below an event that is official.
    for status in ["finished", "official"] {
        app.set_status("cup", status).await;
    }
    let late = results("open", &[erg("x", "6:00.0")]);
    assert_eq!(outcome(&app.keyed(&key, IMPORT, &late).await), (409, "STATE"));
    let mut correction = late;
    correction["correction"] = json!(true);
    assert_eq!(app.keyed(&key, IMPORT, &correction).await.status, 201);
    app.stop().await;
}

#[tokio::test]
async fn a_race_is_complete_exactly_when_everybody_is_in() {
    let (app, key) = regatta().await;
    let live = follower(&app, "erg").await;
    let mut seen = 0;
    // With a start list nobody takes the first one in for all of them.
    let update = async |race: &str, one: Value| {
        let reply = app.keyed(&key, UPDATE, &json!({"race_id": race, "participant": one})).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    };
    update("erg", erg("c1", "6:00.0")).await;
    assert_eq!(told(&app, &live, &mut seen).await, ["update 6:00.0 1"]);
    update("erg", erg("c2", "6:10.0")).await;
    assert_eq!(told(&app, &live, &mut seen).await, ["update 6:10.0 2"]);
    update("erg", erg("c3", "DNS")).await;
    assert_eq!(told(&app, &live, &mut seen).await, ["update DNS null", "complete 3 \"in_progress\""]);
    // The same again is no news; another time is, and moves the others; complete it was already.
    update("erg", erg("c2", "6:10.0")).await;
    assert!(told(&app, &live, &mut seen).await.is_empty());
    update("erg", erg("c2", "5:50.0")).await;
    let mut came = told(&app, &live, &mut seen).await;
    came.sort();
    assert_eq!(came, ["update 5:50.0 1", "update 6:00.0 2"]);
    // A time that is taken back makes it incomplete, and the next one complete again.
    update("erg", erg("c2", "")).await;
    assert_eq!(told(&app, &live, &mut seen).await.len(), 2);
    update("erg", erg("c2", "6:20.0")).await;
    assert_eq!(told(&app, &live, &mut seen).await, ["update 6:20.0 2", "complete 3 \"in_progress\""]);
    // The export at the end says the same: it is told, and nothing else.
    let file = results("erg", &[erg("c1", "6:00.0"), erg("c2", "6:20.0"), erg("c3", "DNS")]);
    assert_eq!(app.keyed(&key, IMPORT, &file).await.status, 200);
    assert_eq!(told(&app, &live, &mut seen).await, ["imported 3 \"non_official\""]);
    let rows = app.app.state();
    assert_eq!(app.keyed(&key, IMPORT, &file).await.status, 200);
    assert_eq!(told(&app, &live, &mut seen).await, ["imported 3 \"non_official\""]);
    let race = "erg".parse().expect("an id");
    let now = app.app.state();
    assert!(
        rows.racing.indoor(&race).eq(now.racing.indoor(&race))
            && rows.racing.indoor_race(&race) == now.racing.indoor_race(&race)
    );

    // Without a start list, somebody new may not be the last.
    update("open", erg("x", "")).await;
    update("open", erg("y", "6:00.0")).await;
    update("open", erg("x", "5:00.0")).await;
    let mut came = told(&app, &live, &mut seen).await;
    assert_eq!(came.pop().expect("the last"), "complete 2 \"in_progress\"");
    update("open", erg("z", "4:00.0")).await;
    assert!(!told(&app, &live, &mut seen).await.iter().any(|came| came.starts_with("complete")));
    app.stop().await;
}

#[tokio::test]
async fn a_large_change_is_told_as_one_import_and_a_live_one_in_full() {
    let (app, key) = regatta().await;
    let live = follower(&app, "open").await;
    let mut seen = 0;
    let field =
        |count: usize| (0..count).map(|lane| erg(&format!("l{lane}"), &format!("6:{:02}.{}", lane / 10, lane % 10)));
    let post = async |participants: Vec<Value>| {
        let reply = app.keyed(&key, IMPORT, &results("open", &participants)).await;
        assert!(reply.status.is_success(), "{reply:?}");
    };
    post(field(51).collect()).await;
    assert_eq!(told(&app, &live, &mut seen).await, ["imported 51 \"non_official\""]);
    // A few of them later are told one by one.
    let mut some: Vec<Value> = field(51).collect();
    some[50] = erg("l50", "7:00.0");
    post(some.clone()).await;
    assert_eq!(told(&app, &live, &mut seen).await, ["imported 51 \"non_official\"", "update 7:00.0 51"]);
    some.extend((51..101).map(|lane| erg(&format!("l{lane}"), &format!("8:{:02}.0", lane - 51))));
    post(some).await;
    assert_eq!(told(&app, &live, &mut seen).await.len(), 51, "fifty more");
    // Who comes in late as the first moves everybody, and all are told.
    app.keyed(&key, UPDATE, &json!({"race_id": "open", "participant": erg("l100", "5:00.0")})).await;
    let came = told(&app, &live, &mut seen).await;
    assert!(came.len() == 101 && came.contains(&"update 5:00.0 1".into()), "{came:?}");
    app.stop().await;
}

#[tokio::test]
async fn an_empty_lane_is_nobody_unless_it_is_a_crew_of_ours() {
    let (app, key) = regatta().await;
    let nameless = |id: &str| json!({"id": id, "time": "", "distance": 0, "avg_pace": "", "spm": 0, "calories": 0});
    let end = app.log_end();
    let update = app.keyed(&key, UPDATE, &json!({"race_id": "erg", "participant": nameless("lane 7")})).await;
    assert_eq!((update.status.as_u16(), &update.body["participant"]), (200, &Value::Null));
    let marked = app.log_end();
    assert_eq!(marked, end, "nothing happened");
    let file = results("erg", &[nameless("c1"), nameless("lane 7"), nameless("lane 7"), erg("c2", "6:00.0")]);
    let data = app.keyed(&key, IMPORT, &file).await.body["data"].clone();
    assert_eq!(
        (&data["participants_count"], &data["linked_crews_count"], &data["skipped_empty_lanes"]),
        (&json!(2), &json!(2), &json!(2))
    );
    // Whoever has left the ergometer before the time stays in the race.
    app.keyed(&key, UPDATE, &json!({"race_id": "erg", "participant": erg("guest", "6:30.0")})).await;
    let data = app.keyed(&key, IMPORT, &results("erg", &[nameless("guest")])).await.body["data"].clone();
    assert_eq!((&data["participants_count"], &data["skipped_empty_lanes"]), (&json!(3), &json!(0)));
    app.stop().await;
}

#[tokio::test]
async fn a_post_sent_again_is_answered_as_the_first_time() {
    let (app, key) = regatta().await;
    let headers = [
        ("x-api-key", key.as_str()),
        ("content-type", "application/json"),
        ("idempotency-key", "10000000-0000-4000-8000-000000000001"),
    ];
    let file = results("erg", &[erg("c1", "6:00.0")]).to_string();
    let send = async |body: String| app.raw_request(Method::POST, IMPORT, &headers, body).await;
    let first = send(file.clone()).await;
    let end = app.log_end();
    let again = send(file).await;
    assert_eq!((again.status.as_u16(), &again.body), (201, &first.body));
    assert_eq!(outcome(&send(results("erg", &[erg("c1", "5:00.0")]).to_string()).await), (422, "IDEMPOTENCY_MISMATCH"));
    assert_eq!(app.log_end(), end);
    app.stop().await;
}

/// A participant with another value somewhere.
fn with(field: &str, value: Value) -> Value {
    let mut one = erg("c1", "6:00.0");
    one[field] = value;
    one
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_place_and_changes_nothing() {
    let (app, key) = regatta().await;
    assert_eq!(app.keyed(&key, IMPORT, &results("erg", &[erg("c1", "6:00.0")])).await.status, 201);
    let (end, before) = (app.log_end(), shown(&app, "erg").await);
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let bad = [
        ("time", json!("NaN")),
        ("time", json!("inf")),
        ("time", json!("1:60.0")),
        ("time", json!("-1:00.0")),
        ("time", json!("99999999999999999999:00.0")),
        ("time", json!("6:00.0\u{0}")),
        ("time", json!({})),
        ("time", json!(true)),
        ("time", json!("٦:٠٠.٠")),
        ("time", json!("6:00.".to_owned() + &"1".repeat(1_000))),
        ("distance", json!(i64::MAX)),
        ("distance", json!(i64::MIN)),
        ("distance", json!(-1)),
        ("distance", json!(u64::MAX)),
        ("distance", json!("NaN")),
        ("distance", json!(1e308)),
        ("distance", json!(0.5)),
        ("distance", json!([1])),
        ("spm", json!(i64::MAX)),
        ("calories", json!("99999999999999999999")),
        ("spm", json!("many")),
        ("id", json!("")),
        ("id", Value::Null),
        ("id", json!(["c1"])),
        ("id", json!("x".repeat(201))),
        ("id", json!("a\nb")),
        ("participant", json!("a\u{7}b")),
        ("class", json!("x".repeat(201))),
        ("avg_pace", json!("\u{1b}[2J")),
        ("serial_number", json!("\r\n")),
        ("score", json!({"a": 1})),
        ("logged_time", json!(7)),
        ("status", json!("FINE")),
        ("splits", json!("x".repeat(40_000))),
        ("splits", json!([{"time": "x".repeat(33_000)}])),
    ];
    for (field, value) in bad {
        let one = with(field, value.clone());
        let told = format!("{field} {:.60}", value.to_string());
        let reply = app.keyed(&key, IMPORT, &results("erg", &[erg("c2", "5:00.0"), one.clone()])).await;
        assert_eq!(outcome(&reply), (400, "INVALID_DATA"), "{told}: {reply:?}");
        let place = reply.body["errors"][0]["field"].as_str().unwrap_or_default();
        assert_eq!(place, format!("results.participants[1].{field}"), "{told}: {reply:?}");
        let reply = app.keyed(&key, UPDATE, &json!({"race_id": "erg", "participant": one})).await;
        assert_eq!(
            (outcome(&reply), &reply.body["errors"][0]["field"]),
            ((400, "INVALID_DATA"), &json!(format!("participant.{field}"))),
            "{told}"
        );
    }
    let whole = [
        ("race_id", json!("")),
        ("race_id", Value::Null),
        ("race_id", json!([])),
        ("race_id", json!("x".repeat(201))),
        ("race_id", json!("a\u{0}")),
        ("c2_race_id", json!("a b")),
        ("c2_race_id", json!("x".repeat(1_000))),
        ("c2_race_id", json!(7)),
        ("race_file_name", json!("\u{8}")),
        ("race_file_name", json!("x".repeat(201))),
        ("race_start_time", json!("\u{1}")),
        ("race_end_time", json!("x".repeat(201))),
        ("duration", json!(i64::MIN)),
        ("duration", json!(i64::MAX)),
        ("duration", json!("x")),
        ("time_cap", json!(-1)),
        ("duration_type", json!("\u{2}")),
        ("participants", json!({})),
        ("participants", Value::Null),
        ("participants", json!([[]])),
        ("participants", json!(["c1"])),
        ("participants", json!([erg("c2", "1:00.0"), erg("c2", "1:00.0")])),
    ];
    for (field, value) in whole {
        let mut file = results("erg", &[erg("c1", "5:00.0")]);
        file["results"][field] = value.clone();
        let reply = app.keyed(&key, IMPORT, &file).await;
        let told = format!("{field} {:.60}", value.to_string());
        assert_eq!(outcome(&reply), (400, "INVALID_DATA"), "{told}: {reply:?}");
        let place = reply.body["errors"][0]["field"].as_str().unwrap_or_default();
        assert!(place.starts_with(&format!("results.{field}")), "{told}: {reply:?}");
    }
    let crowd: Vec<Value> = (0..501).map(|lane| erg(&format!("l{lane}"), "6:00.0")).collect();
    assert_eq!(outcome(&app.keyed(&key, IMPORT, &results("erg", &crowd)).await), (413, "TOO_LARGE"));
    for body in
        [json!(null), json!([]), json!("x"), json!({}), json!({"results": []}), json!({"results": {}, "more": 1})]
    {
        assert_eq!(outcome(&app.keyed(&key, IMPORT, &body).await), (400, "INVALID_DATA"), "{body}");
        assert_eq!(outcome(&app.keyed(&key, UPDATE, &body).await), (400, "INVALID_DATA"), "{body}");
    }
    let headers = [("x-api-key", key.as_str()), ("content-type", "application/json")];
    for body in ["NaN".to_owned(), "{\"results\":{\"race_id\":NaN}}".to_owned(), format!("{{\"results\":{deep}}}")] {
        let reply = app.raw_request(Method::POST, IMPORT, &headers, body).await;
        assert_eq!(outcome(&reply), (400, "INVALID_DATA"), "{reply:?}");
    }
    let reply = app.raw_request(Method::POST, IMPORT, &headers, "x".repeat(3 << 20)).await;
    assert_eq!(outcome(&reply), (413, "TOO_LARGE"));
    assert_eq!((app.log_end(), shown(&app, "erg").await), (end, before), "nothing changed");

    // What is odd and has a meaning is taken.
    let odd = json!({"id": 17, "participant": "N.", "time": " 7:00.0 ", "distance": "2000.0", "avg_pace": null, "spm": 28.0,
        "calories": "", "serial_number": 430_000_000, "splits": [{"time": "1:45.0"}], "place": "first", "unknown": {}});
    let reply = app.keyed(&key, UPDATE, &json!({"race_id": "erg", "participant": odd})).await;
    let one = &reply.body["participant"];
    assert_eq!(
        (&one["time_ms"], &one["distance"], &one["spm"]),
        (&json!(420_000), &json!(2000), &json!(28)),
        "{reply:?}"
    );
    // As many as there may be, and not one more beside them.
    let crowd: Vec<Value> = (0..500).map(|lane| erg(&format!("l{lane}"), "6:00.0")).collect();
    assert_eq!(app.keyed(&key, IMPORT, &results("open", &crowd)).await.status, 201);
    let more = json!({"race_id": "open", "participant": erg("one more", "6:00.0")});
    assert_eq!(outcome(&app.keyed(&key, UPDATE, &more).await), (413, "TOO_LARGE"));
    app.stop().await;
}

#[tokio::test]
async fn ergometers_can_be_seen_as_they_stood() {
    let (app, key) = regatta().await;
    let place = || app.app.state().lane_seq(&Lane::Public("cup".parse().expect("an id")));
    let crowd = |late: &str| -> Vec<Value> {
        let all = (10..70).map(|number| erg(&format!("r{number}"), &format!("6:{number}.{}", number % 10)));
        all.chain([erg("r70", late)])
            .map(|mut one| {
                // Two digits of seconds.
                if one["time"].as_str().is_some_and(|time| time > "6:59.9") {
                    one["time"] = json!("7:01.5");
                }
                one
            })
            .collect()
    };
    let mut stood = Vec::new();
    for (race, participants) in [
        ("erg", vec![erg("c1", "6:00.0")]),
        ("erg", vec![erg("c1", "6:00.0"), erg("c2", "5:59.0"), erg("c3", "6:10.0")]),
        ("open", crowd("7:20.0")),
        ("open", crowd("5:20.0")),
        ("erg", vec![erg("c1", "5:58.0"), erg("c2", "5:59.0"), erg("c3", "6:10.0")]),
    ] {
        let answer = app.keyed(&key, IMPORT, &results(race, &participants)).await;
        assert!(answer.status.is_success(), "{answer:?}");
        stood.push((race, place(), shown(&app, race).await));
    }
    for (race, seq, expected) in &stood {
        assert_eq!(&shown(&app, &format!("{race}?at={seq}")).await, expected, "{race} at {seq}");
    }
    assert_eq!(shown(&app, "erg?at=0").await["participants"], json!([]));
    for (at, status) in [(-1, 400), (place() + 1, 400)] {
        assert_eq!(app.public(&format!("/indoor-results/race/erg?at={at}")).await.status, status, "{at}");
    }
    // What was measured in a draft is there once it is open, and nobody sees it before.
    app.post(IMPORT, &email("admin"), results("secret", &[erg("c1", "6:00.0")])).await;
    assert_eq!(app.public("/indoor-results/race/secret?at=0").await.status, 404);
    app.set_status("plan", "startlist").await;
    assert_eq!(shown(&app, "secret?at=1").await, shown(&app, "secret").await);
    app.stop().await;
}
