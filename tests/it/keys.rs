//! Keys of timing software: shown once, kept as a hash, good for one event and for a while; and the first thing they
//! open, the status of a race.

use crate::support::people::{self, email};
use crate::support::process::ServerProcess;
use crate::support::{Reply, START, TestApp};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, StatusCode};
use scorecast::auth::actor::Actor;
use scorecast::clock::Micros;
use scorecast::command::parse;
use scorecast::config::Config;
use scorecast::db::entity::race::{RacePhase, RaceStatus};
use scorecast::events::room::Lane;
use scorecast::ids::{ApiKeyId, EventId};
use scorecast::races::indoor::ImportIndoor;
use scorecast::races::status::SetRaceStatus;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

const KEYS: &str = "/api/v1/admin/api-keys";

fn unlimited(config: &mut Config) {
    config.rate_limit_commands_per_minute = 1_000_000;
    config.rate_limit_lists_per_minute = 1_000_000;
}

/// The cup with two races, the gala with one, and a draft with one.
async fn regatta_with(change: impl FnOnce(&mut Config)) -> TestApp {
    let app = TestApp::start_with(|config| {
        unlimited(config);
        change(config);
    })
    .await;
    let race = |id: &str| json!({"id": id, "raceType": "slalom", "participants": [{"id": "p"}]});
    let mut document = people::document();
    document["races"] = json!([race("heat"), race("final")]);
    app.import(document).await;
    let gala = json!({"event": {"id": "gala", "mainTitle": "Gala", "status": "running"}, "races": [race("gala-heat")]});
    app.import(gala).await;
    app.import(json!({"event": {"id": "plan", "mainTitle": "A Plan"}, "races": [race("secret-heat")]})).await;
    app
}

async fn regatta() -> TestApp {
    regatta_with(|_| {}).await
}

fn outcome(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), reply.body["code"].as_str().unwrap_or("ok"))
}

/// A key made by the admin; the whole answer.
async fn make(app: &TestApp, body: Value) -> Value {
    let reply = app.post(KEYS, &email("admin"), body).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
    reply.body
}

async fn key_of(app: &TestApp, event: &str) -> String {
    text(&make(app, json!({"eventId": event, "name": "Timing"})).await["key"])
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The status of a race set with some headers.
async fn set(app: &TestApp, race: &str, headers: &[(&str, &str)], body: Value) -> Reply {
    let headers = [&[("content-type", "application/json")], headers].concat();
    app.raw_request(Method::PATCH, &format!("/api/v1/races/{race}/status"), &headers, body.to_string()).await
}

/// The status of a race set with a key.
async fn by_key(app: &TestApp, race: &str, key: &str, status: &str) -> Reply {
    set(app, race, &[("x-api-key", key)], json!({"status": status})).await
}

/// The status of a race set by somebody signed in.
async fn by(app: &TestApp, name: &str, race: &str, body: Value) -> Reply {
    app.send(Method::PATCH, &format!("/api/v1/races/{race}/status"), &email(name), body).await
}

/// A moment, by seconds from the beginning of the manual clock.
fn at(seconds: i64) -> String {
    Micros(START.0).plus_seconds(seconds).to_string()
}

fn facts(app: &TestApp, lane: &Lane) -> i64 {
    app.app.state().lane_seq(lane)
}

fn event(id: &str) -> EventId {
    id.parse().expect("an id")
}

#[tokio::test]
async fn a_key_is_shown_when_it_is_made_and_never_again() {
    let app = regatta().await;
    let lanes = [Lane::Event(event("cup")), Lane::Public(event("cup"))];
    let before = lanes.clone().map(|lane| facts(&app, &lane));
    let made = make(&app, json!({"eventId": "cup", "name": " Finish line ", "validUntil": at(3600)})).await;
    assert_eq!(lanes.map(|lane| facts(&app, &lane)), [before[0] + 1, before[1]], "the staff's lane alone");
    let mut kept = made.clone();
    let key = text(&kept.as_object_mut().expect("an object").remove("key").expect("the key"));
    let secret = key.strip_prefix("sck_").and_then(|secret| URL_SAFE_NO_PAD.decode(secret).ok());
    assert_eq!(secret.map(|bytes| bytes.len()), Some(32), "{key}");
    let expected = json!({
        "id": made["id"], "eventId": "cup", "name": "Finish line", "validFrom": null, "validUntil": at(3600),
        "createdBy": app.user_id(&email("admin")), "createdAt": at(0), "revokedAt": null,
    });
    assert_eq!(kept, expected);

    let one = format!("{KEYS}/{}", text(&made["id"]));
    let mut told = vec![app.get(&one, &email("organizer")).await.body];
    assert_eq!(told[0], kept);
    let other = make(&app, json!({"eventId": "gala", "name": "Gala"})).await;
    for (query, ids) in [
        ("", vec![&made["id"], &other["id"]]),
        ("?eventId=cup", vec![&made["id"]]),
        ("?eventId=gala", vec![&other["id"]]),
        ("?eventId=ghost", vec![]),
    ] {
        let list = app.get(&format!("{KEYS}{query}"), &email("admin")).await.body;
        // Both were made in the same millisecond: their order is chance.
        let listed: BTreeSet<String> =
            list["items"].as_array().expect("a list").iter().map(|key| text(&key["id"])).collect();
        assert_eq!(listed, ids.into_iter().map(text).collect(), "{query}");
        told.push(list);
    }
    told.push(app.send(Method::PUT, &one, &email("admin"), json!({"name": "Start"})).await.body);
    let gone = app.send(Method::DELETE, &one, &email("admin"), Value::Null).await;
    assert_eq!((gone.status, &gone.body), (StatusCode::NO_CONTENT, &json!("")));
    told.push(app.get(&one, &email("admin")).await.body);
    assert_eq!(told.last().expect("some")["revokedAt"], at(0), "a revoked key stays on record");
    for view in &told {
        let view = view.to_string();
        assert!(!view.contains("sck_") && !view.contains("\"key\"") && !view.contains("hash"), "{view}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_key_opens_the_races_of_its_event() {
    let app = regatta().await;
    let (cup, gala) = (key_of(&app, "cup").await, key_of(&app, "gala").await);
    let reply = by_key(&app, "heat", &cup, "in_progress").await;
    let answer = json!({"raceId": "heat", "eventId": "cup", "status": "in_progress", "raceStatus": 8});
    assert_eq!((reply.status, reply.body), (StatusCode::OK, answer));
    let race = app.get("/api/v1/admin/races/heat", &email("admin")).await.body;
    assert_eq!((&race["status"], &race["raceStatus"]), (&json!("in_progress"), &json!(8)));

    let end = app.log_end();
    for race in ["gala-heat", "secret-heat", "ghost"] {
        let reply = by_key(&app, race, &cup, "in_progress").await;
        assert_eq!(outcome(&reply), (404, "NOT_FOUND"), "{race}: what another event holds is not known to be");
    }
    assert_eq!(outcome(&by_key(&app, "heat", &gala, "official").await), (404, "NOT_FOUND"));
    assert_eq!(app.log_end(), end);
    // Where both are given, the key is who asks.
    let token = format!("Bearer {}", app.token(&email("admin")).await);
    let both = async |key: &str, token: &str| {
        let headers = [("x-api-key", key), ("authorization", token)];
        set(&app, "heat", &headers, json!({"status": "non_official"})).await
    };
    assert_eq!(outcome(&both("sck_nonsense", &token).await), (401, "INVALID_TOKEN"));
    assert_eq!(outcome(&both("", &token).await), (401, "INVALID_TOKEN"));
    assert_eq!(outcome(&both(&gala, &token).await), (404, "NOT_FOUND"));
    assert_eq!(outcome(&both(&cup, "Bearer nonsense").await), (200, "ok"));
    // The rest of the interface knows no keys.
    for path in ["/api/v1/me", KEYS, "/api/v1/categories/vault/scores"] {
        let reply = app.raw_request(Method::GET, path, &[("x-api-key", &cup)], "").await;
        assert_eq!(outcome(&reply), (401, "AUTH_REQUIRED"), "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_key_that_is_not_good_is_refused() {
    let app = regatta().await;
    let (early, late) = (json!({"validFrom": at(60)}), json!({"validUntil": at(60)}));
    let window = json!({"validFrom": at(60), "validUntil": at(120)});
    let mut keys = Vec::new();
    for window in [early, late, window, json!({}), json!({})] {
        let mut body = json!({"eventId": "cup", "name": "Timing"});
        body.as_object_mut().expect("an object").extend(window.as_object().expect("an object").clone());
        keys.push(make(&app, body).await);
    }
    let revoked = format!("{KEYS}/{}", text(&keys[4]["id"]));
    assert_eq!(app.send(Method::DELETE, &revoked, &email("admin"), Value::Null).await.status, StatusCode::NO_CONTENT);
    let good = (200, "ok");
    let (never, over) = ((401, "INVALID_TOKEN"), (401, "TOKEN_EXPIRED"));
    for (seconds, expected) in [
        (0, [never, good, never, good, never]),
        (59, [never, good, never, good, never]),
        (60, [good, over, good, good, never]),
        (119, [good, over, good, good, never]),
        (120, [good, over, over, good, never]),
    ] {
        let now = app.clock.now().0 - START.0;
        app.clock.advance(Duration::from_micros(u64::try_from(seconds * 1_000_000 - now).expect("time goes on")));
        for (key, expected) in keys.iter().zip(expected) {
            let reply = by_key(&app, "heat", &text(&key["key"]), "in_progress").await;
            assert_eq!(outcome(&reply), expected, "after {seconds} s: {key}");
        }
    }
    let known = text(&keys[3]["key"]);
    let end = app.log_end();
    let unknown = format!("sck_{}", URL_SAFE_NO_PAD.encode([7; 32]));
    let one_off = format!("{}{}", &known[..known.len() - 1], if known.ends_with('A') { 'B' } else { 'A' });
    for bad in [
        unknown.as_str(),
        &one_off,
        &known.to_uppercase(),
        &known["sck_".len()..],
        &format!("{known}="),
        &format!("{known} {known}"),
        "sck_",
        "-",
        &"x".repeat(129),
        &format!("sck_{}", "x".repeat(8000)),
    ] {
        assert_eq!(outcome(&by_key(&app, "heat", bad, "official").await), (401, "INVALID_TOKEN"), "{bad:.60}");
    }
    assert_eq!(outcome(&set(&app, "heat", &[], json!({"status": "official"})).await), (401, "AUTH_REQUIRED"));
    let bearer = format!("Bearer {known}");
    let as_token = set(&app, "heat", &[("authorization", &bearer)], json!({"status": "official"})).await;
    assert_eq!(outcome(&as_token), (401, "INVALID_TOKEN"), "a key is no access token");
    assert_eq!(app.log_end(), end);
    app.stop().await;
}

#[tokio::test]
async fn a_key_is_looked_at_again_when_its_command_is_decided() {
    let app = regatta().await;
    let made = make(&app, json!({"eventId": "cup", "name": "Timing", "validUntil": at(60)})).await;
    let id: ApiKeyId = text(&made["id"]).parse().expect("an id");
    let actor = Actor::Key { id: id.clone(), event: event("cup") };
    let command_id = "10000000-0000-4000-8000-000000000001";
    // What passed the door waits in the writer's queue, and time goes on.
    let carry = async |actor: &Actor| {
        let payload = json!({"raceId": "heat", "status": "in_progress"});
        let command: SetRaceStatus = parse(payload.clone()).expect("a payload");
        let outcome = app.app.carry_out(actor.clone(), command.into(), Some(command_id.into()), &payload).await;
        outcome.map_or_else(|refusal| refusal.code().as_str(), |_| "ok")
    };
    assert_eq!(carry(&actor).await, "ok");
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(carry(&actor).await, "TOKEN_EXPIRED", "not even the first answer is given again");
    let one = format!("{KEYS}/{id}");
    app.send(Method::PUT, &one, &email("admin"), json!({"name": "Timing"})).await;
    assert_eq!(carry(&actor).await, "ok");
    app.send(Method::DELETE, &one, &email("admin"), Value::Null).await;
    assert_eq!(carry(&actor).await, "INVALID_TOKEN");
    let ghost = Actor::Key { id: "ghost".parse().expect("an id"), event: event("cup") };
    assert_eq!(carry(&ghost).await, "INVALID_TOKEN");
    app.stop().await;
}

#[tokio::test]
async fn a_creation_sent_again_shows_the_same_key() {
    let app = regatta().await;
    let token = format!("Bearer {}", app.token(&email("admin")).await);
    let send = async |app: &TestApp, token: &str, name: &str| {
        let idempotency = ("idempotency-key", "10000000-0000-4000-8000-000000000001");
        let headers = [("authorization", token), ("content-type", "application/json"), idempotency];
        let body = json!({"eventId": "cup", "name": name}).to_string();
        app.raw_request(Method::POST, KEYS, &headers, body).await
    };
    let first = send(&app, &token, "Timing").await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    let end = app.log_end();
    let again = send(&app, &token, "Timing").await;
    assert_eq!((again.status, &again.body), (StatusCode::CREATED, &first.body));
    assert_eq!(outcome(&send(&app, &token, "Another").await), (422, "IDEMPOTENCY_MISMATCH"));
    assert_eq!((app.log_end(), app.app.state().racing.keys.len()), (end, 1));
    // Somebody else who comes upon the same id makes a key of their own.
    let organizer = format!("Bearer {}", app.token(&email("organizer")).await);
    let theirs = send(&app, &organizer, "Timing").await;
    assert!(theirs.status == StatusCode::CREATED && theirs.body["key"] != first.body["key"], "{theirs:?}");

    let app = app.restart().await;
    let again = send(&app, &token, "Timing").await;
    assert_eq!((again.status, &again.body), (StatusCode::CREATED, &first.body));
    // Under another secret keys are good as before, and are not told any more.
    let app = app.restart_with(|config| config.jwt_secret = "another-0123456789abcdef0123456789abcdef".into()).await;
    let key = text(&first.body["key"]);
    assert_eq!(outcome(&by_key(&app, "heat", &key, "in_progress").await), (200, "ok"));
    let token = format!("Bearer {}", app.token(&email("admin")).await);
    let again = send(&app, &token, "Timing").await;
    assert!(again.status != StatusCode::CREATED && !again.body.to_string().contains("sck_"), "{again:?}");
    app.stop().await;
}

/// Whether a file below a folder holds a text, and which.
fn files_with(folder: &Path, needle: &[u8]) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry").path());
    let holding = files.filter(|path| {
        std::fs::read(path).expect("the file can be read").windows(needle.len()).any(|window| window == needle)
    });
    holding.map(|path| path.display().to_string()).collect()
}

#[tokio::test]
async fn a_key_is_nowhere_on_the_disk() {
    let app = regatta().await;
    let bearer = format!("Bearer {}", app.token(&email("admin")).await);
    let idempotency = ("idempotency-key", "10000000-0000-4000-8000-000000000001");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), idempotency];
    let body = json!({"eventId": "cup", "name": "A name to be found"});
    let made = app.raw_request(Method::POST, KEYS, &headers, body.to_string()).await;
    let key = text(&made.body["key"]);
    // Used, sent where it does not belong, changed and revoked.
    let second = ("idempotency-key", "10000000-0000-4000-8000-000000000002");
    let used = set(&app, "heat", &[("x-api-key", &key), second], json!({"status": "in_progress"})).await;
    assert_eq!(outcome(&used), (200, "ok"));
    by_key(&app, "ghost", &key, "in_progress").await;
    let one = format!("{KEYS}/{}", text(&made.body["id"]));
    app.send(Method::PUT, &one, &email("admin"), json!({"name": "Another name to be found"})).await;
    app.send(Method::DELETE, &one, &email("admin"), Value::Null).await;
    by_key(&app, "heat", &key, "official").await;
    let secret = URL_SAFE_NO_PAD.decode(&key["sck_".len()..]).expect("base64url");
    let folder = app.database_folder();
    for (what, needle) in [
        ("the key", key.as_bytes()),
        ("the key without its beginning", &key.as_bytes()["sck_".len()..]),
        ("its bytes", &secret),
        ("its bytes in hex", hex::encode(&secret).as_bytes()),
    ] {
        assert_eq!(files_with(folder, needle), Vec::<String>::new(), "{what}");
    }
    assert!(!files_with(folder, b"A name to be found").is_empty(), "what is there is found");
    let hash = scorecast::events::log::sha256_hex(key.as_bytes());
    assert!(!files_with(folder, hash.as_bytes()).is_empty(), "the hash is what is kept");
    let db = rusqlite::Connection::open(folder.join("it.db")).expect("the database opens");
    let answers: Vec<String> = db
        .prepare("SELECT answer FROM command")
        .and_then(|mut query| query.query_map([], |row| row.get(0))?.collect())
        .expect("the answers are read");
    assert!(answers.iter().any(|answer| answer.contains("A name to be found")), "{answers:?}");
    assert!(!answers.iter().any(|answer| answer.contains(&hash) || answer.contains("\"key\"")), "{answers:?}");
    app.stop().await;
}

#[tokio::test]
async fn keys_that_nobody_made_are_limited_and_good_ones_are_not() {
    let app = regatta_with(|config| config.rate_limit_handshakes_per_minute = 3).await;
    let key = key_of(&app, "cup").await;
    let made_up = |n: u8| format!("sck_{}", URL_SAFE_NO_PAD.encode([n; 32]));
    for n in 0..3 {
        assert_eq!(outcome(&by_key(&app, "heat", &made_up(n), "official").await), (401, "INVALID_TOKEN"));
    }
    let limited = by_key(&app, "heat", &made_up(3), "official").await;
    assert_eq!(outcome(&limited), (429, "RATE_LIMIT"));
    assert!(limited.headers.contains_key("retry-after"), "{limited:?}");
    for _ in 0..5 {
        assert_eq!(outcome(&by_key(&app, "heat", &key, "in_progress").await), (200, "ok"));
        assert_eq!(outcome(&by_key(&app, "heat", "sck_short", "official").await), (401, "INVALID_TOKEN"));
    }
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(outcome(&by_key(&app, "heat", &made_up(4), "official").await), (401, "INVALID_TOKEN"));
    app.stop().await;
}

#[tokio::test]
async fn a_key_has_a_limit_of_its_own() {
    let app = regatta_with(|config| config.rate_limit_ingest_per_minute = 2).await;
    let (key, other) = (key_of(&app, "cup").await, key_of(&app, "cup").await);
    for _ in 0..2 {
        assert_eq!(outcome(&by_key(&app, "heat", &key, "in_progress").await), (200, "ok"));
    }
    assert_eq!(outcome(&by_key(&app, "heat", &key, "in_progress").await), (429, "RATE_LIMIT"));
    assert_eq!(outcome(&by_key(&app, "heat", &other, "in_progress").await), (200, "ok"));
    assert_eq!(outcome(&by(&app, "admin", "heat", json!({"status": "in_progress"})).await), (200, "ok"));
    app.stop().await;
}

#[tokio::test]
async fn an_event_has_100_keys_that_are_not_revoked() {
    let app = regatta().await;
    let token = app.token(&email("admin")).await;
    let make = async |event: &str| {
        let body = json!({"eventId": event, "name": "Timing"});
        app.request(Method::POST, KEYS, Some(&token), Some(body)).await
    };
    let mut last = Value::Null;
    for _ in 0..100 {
        last = make("cup").await.body["id"].clone();
    }
    assert_eq!(outcome(&make("cup").await), (413, "TOO_LARGE"));
    assert_eq!(outcome(&make("gala").await), (201, "ok"));
    app.request(Method::DELETE, &format!("{KEYS}/{}", text(&last)), Some(&token), None).await;
    assert_eq!(outcome(&make("cup").await), (201, "ok"));
    assert_eq!(outcome(&make("cup").await), (413, "TOO_LARGE"));
    app.stop().await;
}

#[tokio::test]
async fn what_a_key_is_called_and_when_it_is_good_is_changed() {
    let app = regatta().await;
    let admin = email("admin");
    for bad in [
        json!({"eventId": "cup"}),
        json!({"name": "Timing"}),
        json!({"eventId": "cup", "name": " "}),
        json!({"eventId": "cup", "name": "a\u{0}b"}),
        json!({"eventId": "cup", "name": "x".repeat(301)}),
        json!({"eventId": "cup", "name": "Timing", "validUntil": "tomorrow"}),
        json!({"eventId": "cup", "name": "Timing", "validUntil": 5}),
        json!({"eventId": "cup", "name": "Timing", "validFrom": "0000-01-01T00:00:00+23:59"}),
        json!({"eventId": "cup", "name": "Timing", "validFrom": at(60), "validUntil": at(60)}),
        json!({"eventId": "cup", "name": "Timing", "validFrom": at(60), "validUntil": at(0)}),
        json!({"eventId": "cup", "name": "Timing", "hash": "00"}),
        json!({"eventId": "cup", "name": "Timing", "key": "sck_mine"}),
    ] {
        assert_eq!(outcome(&app.post(KEYS, &admin, bad.clone()).await), (400, "INVALID_DATA"), "{bad}");
    }
    let ghost = app.post(KEYS, &admin, json!({"eventId": "ghost", "name": "Timing"})).await;
    assert_eq!(outcome(&ghost), (404, "NOT_FOUND"));

    let made = make(&app, json!({"eventId": "cup", "name": "Timing"})).await;
    let one = format!("{KEYS}/{}", text(&made["id"]));
    let put = async |body: Value| app.send(Method::PUT, &one, &admin, body).await;
    let wanted =
        json!({"name": "Finish", "eventId": "cup", "validFrom": "2023-11-14T12:00:00+01:00", "validUntil": at(60)});
    let changed = put(wanted.clone()).await.body;
    assert_eq!(
        (&changed["name"], &changed["validFrom"], &changed["validUntil"], &changed["createdAt"]),
        (&json!("Finish"), &json!("2023-11-14T11:00:00Z"), &json!(at(60)), &made["createdAt"])
    );
    let end = app.log_end();
    assert_eq!(put(wanted).await.body, changed);
    assert_eq!(app.log_end(), end + 1, "one sign-in, nothing else");
    for (bad, field) in [
        (json!({"name": "Finish", "eventId": "gala"}), "eventId"),
        (json!({"name": "Finish", "id": "another"}), "id"),
        (json!({"name": "Finish", "validFrom": at(1), "validUntil": at(1)}), "validUntil"),
        (json!({"validUntil": at(60)}), "name"),
        (json!({"name": "Finish", "revokedAt": null}), "revokedAt"),
    ] {
        let reply = put(bad.clone()).await;
        let place = reply.body["errors"][0]["field"].as_str().unwrap_or_default();
        assert!(outcome(&reply) == (400, "INVALID_DATA") && place == field, "{bad}: {reply:?}");
    }
    assert_eq!(put(json!({"name": "Finish"})).await.body["validUntil"], Value::Null, "what is not said is not so");
    assert_eq!(by_key(&app, "heat", &text(&made["key"]), "in_progress").await.status, StatusCode::OK);

    assert_eq!(app.send(Method::DELETE, &one, &admin, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(outcome(&app.send(Method::DELETE, &one, &admin, Value::Null).await), (409, "STATE"));
    assert_eq!(outcome(&put(json!({"name": "Again"})).await), (409, "STATE"));
    let ghost = format!("{KEYS}/ghost");
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(outcome(&app.send(method, &ghost, &admin, Value::Null).await), (404, "NOT_FOUND"));
    }
    let reply = app.send(Method::PUT, &ghost, &admin, json!({"name": "Timing"})).await;
    assert_eq!(outcome(&reply), (404, "NOT_FOUND"));
    app.stop().await;
}

#[tokio::test]
async fn a_key_goes_with_its_event() {
    let app = regatta().await;
    let key = key_of(&app, "plan").await;
    assert_eq!(outcome(&by_key(&app, "secret-heat", &key, "in_progress").await), (200, "ok"));
    let gone = app.send(Method::DELETE, "/api/v1/admin/events/plan", &email("admin"), Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(outcome(&by_key(&app, "secret-heat", &key, "in_progress").await), (401, "INVALID_TOKEN"));
    app.import(
        json!({"event": {"id": "plan", "mainTitle": "Another Plan"}, "races": [{"id": "r", "raceType": "trot"}]}),
    )
    .await;
    assert_eq!(outcome(&by_key(&app, "r", &key, "in_progress").await), (401, "INVALID_TOKEN"));
    app.stop().await;
}

// Where a race stands.

#[tokio::test]
async fn who_times_an_event_says_where_its_races_stand() {
    let app = regatta().await;
    let mut said = Vec::new();
    for (name, _) in people::PEOPLE {
        for race in ["heat", "secret-heat", "ghost"] {
            let reply = by(&app, name, race, json!({"status": "in_progress"})).await;
            said.push((name, race, outcome(&reply).1.to_owned()));
        }
    }
    let of = |name: &str| -> Vec<&str> {
        said.iter().filter(|(who, ..)| *who == name).map(|(.., outcome)| outcome.as_str()).collect()
    };
    for runs in ["admin", "organizer", "both"] {
        assert_eq!(of(runs), ["ok", "ok", "NOT_FOUND"], "{runs}");
    }
    assert_eq!(of("tally"), ["ok", "NOT_FOUND", "NOT_FOUND"], "a tally master of the cup knows no draft of others");
    for other in ["auditor", "board", "emcee", "ada", "head", "gymnast", "idle"] {
        assert_eq!(of(other), ["FORBIDDEN", "NOT_FOUND", "NOT_FOUND"], "{other}");
    }
    let hat = json!({"judgeId": app.user_id(&email("tally")), "hat": "TALLY_MASTER", "eventId": "plan"});
    assert_eq!(app.post("/api/v1/admin/assignments", &email("admin"), hat).await.status, StatusCode::CREATED);
    assert_eq!(outcome(&by(&app, "tally", "secret-heat", json!({"status": "non_official"})).await), (200, "ok"));
    app.stop().await;
}

#[tokio::test]
async fn a_race_goes_anywhere_but_back_from_official() {
    let app = regatta().await;
    let key = key_of(&app, "cup").await;
    let words = ["not_started", "in_progress", "non_official", "official"];
    let numbers = [1, 8, 10, 11];
    let correct = async |status: &str| {
        set(&app, "heat", &[("x-api-key", &key)], json!({"status": status, "correction": true})).await
    };
    for from in words {
        for (to, number) in words.into_iter().zip(numbers) {
            assert_eq!(correct(from).await.status, StatusCode::OK);
            let reply = by_key(&app, "heat", &key, to).await;
            let now = app.get("/api/v1/admin/races/heat", &email("admin")).await.body["status"].clone();
            if from == "official" && to != "official" {
                assert_eq!((outcome(&reply), now), ((409, "STATE"), json!("official")), "{from} to {to}");
            } else {
                let answer = json!({"raceId": "heat", "eventId": "cup", "status": to, "raceStatus": number});
                assert_eq!((reply.body, now), (answer, json!(to)), "{from} to {to}");
            }
        }
    }
    for bad in [
        json!({}),
        json!(null),
        json!([]),
        json!({"status": "done"}),
        json!({"status": "OFFICIAL"}),
        json!({"status": 11}),
        json!({"status": "official", "correction": "yes"}),
        json!({"status": "official", "raceId": "final"}),
        json!({"status": "official", "commandId": "x"}),
    ] {
        let reply = set(&app, "heat", &[("x-api-key", &key)], bad.clone()).await;
        assert_eq!(outcome(&reply), (400, "INVALID_DATA"), "{bad}");
    }
    app.stop().await;
}

#[tokio::test]
async fn races_of_an_official_event_move_by_a_correction_only() {
    let app = regatta().await;
    let key = key_of(&app, "cup").await;
    for status in ["finished", "official"] {
        assert_eq!(outcome(&by_key(&app, "heat", &key, "in_progress").await), (200, "ok"));
        let path = "/api/v1/admin/events/cup/status";
        let moved = app.send(Method::PATCH, path, &email("admin"), json!({"status": status})).await;
        assert_eq!(moved.status, StatusCode::OK);
    }
    let end = app.log_end();
    for status in ["not_started", "in_progress", "official"] {
        assert_eq!(outcome(&by_key(&app, "heat", &key, status).await), (409, "STATE"), "{status}");
    }
    let plain = json!({"status": "official", "correction": false});
    assert_eq!(outcome(&set(&app, "heat", &[("x-api-key", &key)], plain).await), (409, "STATE"));
    assert_eq!(app.log_end(), end);
    let correction = json!({"status": "official", "correction": true});
    assert_eq!(outcome(&set(&app, "heat", &[("x-api-key", &key)], correction).await), (200, "ok"));
    app.stop().await;
}

#[tokio::test]
async fn the_public_is_told_of_a_race_that_moved_and_of_no_draft() {
    let app = regatta().await;
    let (cup, plan) = (key_of(&app, "cup").await, key_of(&app, "plan").await);
    let told = |event_id: &str| {
        (facts(&app, &Lane::Event(event(event_id))), facts(&app, &Lane::Public(event(event_id))), app.log_end())
    };
    let (staff, public, end) = told("cup");
    assert_eq!(outcome(&by_key(&app, "heat", &cup, "in_progress").await), (200, "ok"));
    assert_eq!(told("cup"), (staff, public + 1, end + 1));
    assert_eq!(outcome(&by_key(&app, "heat", &cup, "in_progress").await), (200, "ok"));
    assert_eq!(told("cup"), (staff, public + 1, end + 1), "where it stood already is no news");
    let (staff, public, end) = told("plan");
    assert_eq!(outcome(&by_key(&app, "secret-heat", &plan, "official").await), (200, "ok"));
    assert_eq!(told("plan"), (staff + 1, public, end + 1));
    // A command sent again is one command.
    let idempotency = ("idempotency-key", "10000000-0000-4000-8000-000000000001");
    let headers = [("x-api-key", cup.as_str()), idempotency];
    let first = set(&app, "heat", &headers, json!({"status": "official"})).await;
    let end = app.log_end();
    let again = set(&app, "heat", &headers, json!({"status": "official"})).await;
    assert_eq!((again.status, again.body, app.log_end()), (StatusCode::OK, first.body, end));
    let other = set(&app, "heat", &headers, json!({"status": "not_started"})).await;
    assert_eq!(outcome(&other), (422, "IDEMPOTENCY_MISMATCH"));
    app.stop().await;
}

/// Ergometers report one of two crews.
async fn row(app: &TestApp, actor: &Actor, race: &str) {
    let crews = json!([{"id": "p", "time": "1:20.5", "distance": 500}, {"id": "stranger", "time": ""}]);
    let results = json!({"race_id": "erg-1", "c2_race_id": race, "participants": crews});
    let import = ImportIndoor { results: parse(results.clone()).expect("results"), correction: false };
    app.app.carry_out(actor.clone(), import.into(), None, &results).await.expect("they are taken");
}

#[tokio::test]
async fn a_race_on_ergometers_is_complete_when_it_is_official() {
    let app = regatta().await;
    let key = key_of(&app, "cup").await;
    row(&app, &Actor::Operator, "heat").await;
    let end = app.log_end();
    assert_eq!(outcome(&by_key(&app, "heat", &key, "in_progress").await), (200, "ok"));
    assert_eq!(app.log_end(), end + 1);
    assert_eq!(outcome(&by_key(&app, "heat", &key, "official").await), (200, "ok"));
    assert_eq!(app.log_end(), end + 3, "where it stands, and that it is complete");
    let db = rusqlite::Connection::open(app.database_folder().join("it.db")).expect("the database opens");
    let last = "SELECT fact FROM log_entry ORDER BY seq DESC LIMIT 1";
    let fact: String = db.query_row(last, [], |row| row.get(0)).expect("the last fact");
    let fact: Value = serde_json::from_str(&fact).expect("JSON");
    assert_eq!((&fact["kind"], &fact["phase"]), (&json!("indoor_completed"), &json!("official")), "{fact}");
    // A crew an ergometer knows stays in the race.
    let nobody = json!({"eventId": "cup", "raceType": "indoor", "participants": []});
    let struck = app.send(Method::PUT, "/api/v1/admin/races/heat", &email("admin"), nobody).await;
    assert_eq!(outcome(&struck), (409, "STATE"));
    app.stop().await;
}

#[tokio::test]
async fn a_key_calls_its_races_as_its_software_does() {
    let app = regatta().await;
    let made = make(&app, json!({"eventId": "gala", "name": "Timing"})).await;
    let id: ApiKeyId = text(&made["id"]).parse().expect("an id");
    // Another event has the id already: the race is kept under another, and timing software need not know.
    row(&app, &Actor::Key { id, event: event("gala") }, "final").await;
    let reply = by_key(&app, "final", &text(&made["key"]), "official").await;
    assert_eq!((&reply.body["raceId"], &reply.body["eventId"]), (&json!("gala.final"), &json!("gala")), "{reply:?}");
    let other = app.get("/api/v1/admin/races/final", &email("admin")).await.body;
    assert_eq!((&other["eventId"], &other["status"]), (&json!("cup"), &json!("not_started")));
    app.stop().await;
}

#[tokio::test]
async fn a_word_does_not_blur_the_number_of_the_timing_computer() {
    let app = regatta().await;
    let key = key_of(&app, "cup").await;
    let app = app
        .restart_after(|folder| {
            let db = rusqlite::Connection::open(folder.join("it.db")).expect("the database opens");
            db.execute("UPDATE race SET status = 9 WHERE id = 'heat'", []).expect("the row is changed");
        })
        .await;
    let held = by_key(&app, "heat", &key, "in_progress").await;
    assert_eq!((&held.body["status"], &held.body["raceStatus"]), (&json!("in_progress"), &json!(9)), "on hold");
    for number in 1..=12 {
        let status = RaceStatus::of(number).expect("one of the twelve");
        assert_eq!(status.phase().status().phase(), status.phase(), "{number}");
    }
    assert_eq!(RacePhase::InProgress.status().number(), 8);
    app.stop().await;
}

// The command line.

fn settings(folder: &tempfile::TempDir) -> ServerProcess {
    let settings = ServerProcess::settings(folder.path());
    let mut document = people::document();
    document["races"] = json!([{"id": "heat", "raceType": "slalom"}]);
    settings.import(&document);
    settings
}

fn api_key(settings: &ServerProcess, arguments: &[&str]) -> Output {
    settings.command().env("LOG_LEVEL", "trace").arg("api-key").args(arguments).output().expect("the program runs")
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).expect("a key is text");
    let key = text.strip_suffix('\n').expect("a line").to_owned();
    assert!(key.starts_with("sck_") && key.len() == 47, "the key alone: {text:?}");
    key
}

#[tokio::test]
async fn a_key_printed_beside_a_running_server_is_good_at_once_and_never_logged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = settings(&folder);
    let log = folder.path().join("server.log");
    let mut server = settings
        .command()
        .env("LOG_LEVEL", "trace")
        .arg("serve")
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&log).expect("a file"))
        .spawn()
        .expect("the program runs");
    let address = BufReader::new(server.stdout.take().expect("a pipe was asked for"))
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("Scorecast listens on http://").map(str::to_owned))
        .expect("the server says where it listens");
    let http = reqwest::Client::new();
    let set = async |key: &str, status: &str| {
        let request = http.patch(format!("http://{address}/api/v1/races/heat/status")).header("x-api-key", key);
        let reply = request.json(&json!({"status": status})).send().await.expect("an answer");
        let code = reply.status().as_u16();
        (code, text(&reply.json::<Value>().await.expect("a body").get("code").cloned().unwrap_or(json!("ok"))))
    };
    let mut told = Vec::new();
    for status in ["in_progress", "non_official", "official"] {
        let made = api_key(&settings, &["cup"]);
        let key = printed(&made);
        assert_eq!(set(&key, status).await, (200, "ok".to_owned()), "{status}");
        assert!(!String::from_utf8_lossy(&made.stderr).contains(&key), "the command line logs it");
        told.push(key);
    }
    let made = api_key(&settings, &["cup", "--name", "Finish", "--valid-until", "2020-01-01T00:00:00Z"]);
    told.push(printed(&made));
    assert_eq!(set(&told[3], "official").await, (401, "TOKEN_EXPIRED".to_owned()));
    // It needs no secret: nothing is signed.
    let bare = settings.command().env_remove("JWT_SECRET").args(["api-key", "cup"]).output().expect("the program runs");
    told.push(printed(&bare));
    assert_eq!(set(&told[4], "official").await, (200, "ok".to_owned()));
    for (wrong, says) in [
        (&["ghost"][..], "event ghost does not exist"),
        (&["a:b"], "an id is"),
        (&["cup", "--valid-until", "tomorrow"], "--valid-until"),
        (&["cup", "--name", " "], "name"),
        (&[], "EVENT"),
    ] {
        let output = api_key(&settings, wrong);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty() && said.contains(says), "{wrong:?}: {said}");
    }
    server.kill().expect("it was running");
    server.wait().expect("it ends");
    assert!(!files_with(folder.path(), b"/api/v1/races/heat/status").is_empty(), "the requests were logged");
    for key in &told {
        assert_eq!(files_with(folder.path(), key.as_bytes()), Vec::<String>::new());
        assert_eq!(files_with(folder.path(), &key.as_bytes()["sck_".len()..]), Vec::<String>::new());
    }
    // Without a server too, and by the name it was given.
    printed(&api_key(&settings, &["cup"]));
    let db = rusqlite::Connection::open(folder.path().join("process.db")).expect("the database opens");
    let names: Vec<String> = db
        .prepare("SELECT name FROM api_key ORDER BY id")
        .and_then(|mut query| query.query_map([], |row| row.get(0))?.collect())
        .expect("the names are read");
    assert_eq!((names.len(), names[3].as_str(), names[0].as_str()), (6, "Finish", "made on the command line"));
}
