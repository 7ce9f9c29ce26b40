//! The namespace of the public: who comes, joins and leaves, what they are told and when, and how they go.

use crate::connections::{
    OPEN, metric, nobody_is_left_in_a_room, poll_session, poll_until, post, revoke, until, until_metric,
};
use crate::support::client::{Client, ConnectError, Frame};
use crate::support::hall::{Hall, code, ok};
use crate::support::people::{self, email, mark};
use crate::support::wire::{Wire, places};
use crate::support::{Reply, TestApp};
use futures_util::future::join_all;
use reqwest::Method;
use scorecast::auth::actor::Actor;
use scorecast::command::parse;
use scorecast::config::Config;
use scorecast::events::room::Lane;
use scorecast::races::status::SetRaceStatus;
use serde_json::{Value, json};
use std::time::Duration;

const LIVE: &str = "scorecast_socket_connections_active{plane=\"live\"}";
const SCORING: &str = "scorecast_socket_connections_active{plane=\"scoring\"}";
const CLOSED: &str = "scorecast_slow_consumers_total{action=\"closed\",plane=\"live\"}";
const IN_EVENTS: &str = "scorecast_room_members{kind=\"public_event\"}";
const IN_RACES: &str = "scorecast_room_members{kind=\"race\"}";

/// The cup with a race of three, and as many races as are asked for; another event with one, and a draft with one.
async fn regatta_of(races: usize, change: impl FnOnce(&mut Config)) -> TestApp {
    let app = TestApp::start_with(|config| {
        config.rate_limit_commands_per_minute = 1_000_000;
        config.rate_limit_public_reads_per_minute = 1_000_000;
        config.rate_limit_handshakes_per_minute = 1_000_000;
        change(config);
    })
    .await;
    let three = json!([{"id": "p1", "bib": 1, "name": "One"}, {"id": "p2", "bib": 2}, {"id": "p3", "bib": 3}]);
    let mut document = people::document();
    let more = (1..=races).map(|number| json!({"id": format!("r{number}"), "raceType": "slalom"}));
    document["races"] =
        std::iter::once(json!({"id": "heat", "raceType": "slalom", "participants": three})).chain(more).collect();
    app.import(document).await;
    let race = |id: &str| json!([{"id": id, "raceType": "slalom"}]);
    app.import(json!({"event": {"id": "gala", "mainTitle": "Gala", "status": "running"}, "races": race("gala-heat")}))
        .await;
    app.import(json!({"event": {"id": "plan", "mainTitle": "A Plan"}, "races": race("secret")})).await;
    app
}

async fn regatta() -> TestApp {
    regatta_of(1, |_| {}).await
}

async fn visitor(app: &TestApp) -> Client {
    Client::connect_with(app.address, "/live", None, &[]).await.expect("anyone may come")
}

async fn follower(app: &TestApp, rooms: Value) -> Client {
    let client = visitor(app).await;
    let joined = client.call("joinRoom", rooms).await;
    assert_eq!(joined["ok"], true, "{joined}");
    client
}

fn facts(app: &TestApp, event: &str) -> i64 {
    app.app.state().lane_seq(&Lane::Public(event.parse().expect("an id")))
}

/// Moves a race, which is one fact for the public of its event, and one event of `/live`.
async fn set(app: &TestApp, race: &str, status: &str) -> i64 {
    let payload = json!({"raceId": race, "status": status});
    let command: SetRaceStatus = parse(payload.clone()).expect("a payload");
    app.app.carry_out(Actor::Operator, command.into(), None, &payload).await.expect("it is set");
    facts(app, "cup")
}

/// A fact, and the other one the next time.
async fn toggle(app: &TestApp, race: &str, count: usize) -> i64 {
    set(app, race, if count.is_multiple_of(2) { "in_progress" } else { "not_started" }).await
}

fn seq(frame: &Frame) -> i64 {
    frame.meta().and_then(|meta| meta["seq"].as_i64()).unwrap_or_else(|| panic!("{frame} has no place"))
}

async fn heard(client: &Client, last: i64) {
    client.wait_until(|frames| frames.iter().any(|frame| seq(frame) == last)).await;
}

fn seqs(client: &Client) -> Vec<i64> {
    client.transcript().iter().map(seq).collect()
}

#[tokio::test]
async fn joining_and_leaving_are_answered_with_where_the_event_stands() {
    let app = regatta().await;
    let client = visitor(&app).await;
    let last = set(&app, "heat", "in_progress").await;
    let epoch = app.app.state().head.epoch.to_string();
    let answer = json!({"ok": true, "seq": last, "epoch": epoch});
    for (event, rooms) in [
        ("joinPublicEvent", json!({"event_id": "cup"})),
        ("joinRoom", json!({"race_id": "heat"})),
        ("joinRoom", json!({"race_id": "heat", "event_id": "cup"})),
        ("joinRoom", json!({"event_id": "cup", "race_id": null})),
        ("leaveRoom", json!({"race_id": "heat"})),
        ("leavePublicEvent", json!({"event_id": "cup"})),
        ("leavePublicEvent", json!({"event_id": "cup"})),
    ] {
        assert_eq!(client.call(event, rooms.clone()).await, answer, "{event} {rooms}");
    }
    let members = async |inside: u64| {
        until_metric(&app, IN_EVENTS, inside).await;
        until_metric(&app, IN_RACES, inside).await;
    };
    members(0).await;
    client.call("joinRoom", json!({"race_id": "heat", "event_id": "cup"})).await;
    members(1).await;
    for (event, rooms, wanted) in [
        ("joinPublicEvent", json!({"event_id": "plan"}), "NOT_FOUND"),
        ("joinPublicEvent", json!({"event_id": "ghost"}), "NOT_FOUND"),
        ("joinRoom", json!({"race_id": "secret"}), "NOT_FOUND"),
        ("joinRoom", json!({"race_id": "ghost"}), "NOT_FOUND"),
        ("joinRoom", json!({"race_id": "gala-heat", "event_id": "cup"}), "NOT_FOUND"),
        ("joinRoom", json!({"race_id": "heat", "event_id": "plan"}), "NOT_FOUND"),
        ("leaveRoom", json!({"race_id": "ghost"}), "NOT_FOUND"),
        ("joinPublicEvent", json!({"race_id": "heat"}), "INVALID_DATA"),
        ("joinPublicEvent", Value::Null, "INVALID_DATA"),
        ("joinPublicEvent", json!("cup"), "INVALID_DATA"),
        ("joinPublicEvent", json!(["cup"]), "INVALID_DATA"),
        ("joinPublicEvent", json!({"event_id": 7}), "INVALID_DATA"),
        ("joinPublicEvent", json!({"event_id": "a b"}), "INVALID_DATA"),
        ("joinPublicEvent", json!({"event_id": "x".repeat(1_000)}), "INVALID_DATA"),
        ("joinRoom", json!({}), "INVALID_DATA"),
        ("leaveRoom", json!({}), "INVALID_DATA"),
        ("join", json!({"event_id": "cup"}), "INVALID_EVENT"),
        ("scores:request", json!("vault"), "INVALID_EVENT"),
        ("user:active", Value::Null, "INVALID_EVENT"),
    ] {
        let refused = client.call(event, rooms.clone()).await;
        assert_eq!((&refused["ok"], code(&refused)), (&json!(false), wanted), "{event} {rooms}: {refused}");
        assert_eq!(refused["error"]["event"], event);
        // The same without an ack.
        client.emit(event, rooms).await;
        assert_eq!(client.next("error").await.data()["code"], wanted, "{event}");
    }
    members(1).await;
    // What was a draft is there once it is none.
    app.set_status("plan", "startlist").await;
    assert_eq!(client.call("joinRoom", json!({"race_id": "secret"})).await["ok"], true);
    client.close().await;
    until_metric(&app, LIVE, 0).await;
    members(0).await;
    app.stop().await;
}

#[tokio::test]
async fn who_is_in_both_rooms_gets_one_copy_and_who_is_in_none_gets_nothing() {
    let app = regatta().await;
    let both = follower(&app, json!({"event_id": "cup", "race_id": "heat"})).await;
    let (event, race) =
        (follower(&app, json!({"event_id": "cup"})).await, follower(&app, json!({"race_id": "heat"})).await);
    let (elsewhere, nowhere) = (follower(&app, json!({"event_id": "gala"})).await, visitor(&app).await);
    let left = follower(&app, json!({"event_id": "cup", "race_id": "heat"})).await;
    left.call("leavePublicEvent", json!({"event_id": "cup"})).await;
    let one = set(&app, "heat", "in_progress").await;
    heard(&left, one).await;
    left.call("leaveRoom", json!({"race_id": "heat"})).await;
    let other = set(&app, "r1", "in_progress").await;
    let last = set(&app, "heat", "not_started").await;
    for client in [&both, &event, &race] {
        heard(client, last).await;
    }
    assert_eq!((seqs(&both), seqs(&event)), (vec![one, other, last], vec![one, other, last]));
    assert_eq!((seqs(&race), seqs(&left)), (vec![one, last], vec![one]));
    // Whatever was on its way to those is there before the answer to what they ask now.
    for client in [&elsewhere, &nowhere, &left] {
        client.call("joinRoom", json!({"event_id": "gala"})).await;
    }
    assert!(elsewhere.transcript().is_empty() && nowhere.transcript().is_empty() && seqs(&left) == [one]);
    assert_eq!(both.transcript()[0].args[0], json!({"race_id": "heat", "status": "in_progress"}));
    let meta = &both.transcript()[0].args[1];
    assert_eq!((&meta["lane"], meta.get("commandId"), meta.get("replay")), (&json!("pub:cup"), None, None));
    app.stop().await;
}

#[tokio::test]
async fn the_rooms_of_the_staff_and_of_the_public_never_mix() {
    let app = regatta().await;
    let (ada, tally, admin) =
        (app.connect(&email("ada")).await, app.connect(&email("tally")).await, app.connect(&email("admin")).await);
    // Somebody who could know everything on the other plane, and one who tries every name there is.
    let token = app.token(&email("admin")).await;
    let bearer = format!("Bearer {token}");
    let auth = Some(json!({"token": token}));
    let staff =
        Client::connect_with(app.address, "/live", auth, &[("authorization", &bearer)]).await.expect("anyone may");
    let thief = visitor(&app).await;
    let user = app.user_id(&email("ada"));
    for name in [
        "category:vault",
        "category:vault:JUDGE",
        "event:cup",
        "contest:women",
        "role:ADMIN",
        "everyone",
        &format!("user:{user}"),
    ] {
        for client in [&staff, &thief] {
            for (event, rooms) in [
                ("joinRoom", json!({"race_id": name})),
                ("joinRoom", json!({"event_id": name})),
                ("joinRoom", json!({"room": name})),
                ("joinPublicEvent", json!({"event_id": name})),
                ("join", json!(name)),
            ] {
                assert_eq!(client.call(event, rooms).await["ok"], false, "{event} {name}");
            }
        }
    }
    let joined = json!({"event_id": "cup", "race_id": "heat"});
    for client in [&staff, &thief] {
        assert_eq!(client.call("joinRoom", joined.clone()).await["ok"], true);
    }
    let given = ada.call("scores:submit", mark("x", "form", 9.25)).await;
    let place = ok(&given)["receipt"]["seq"].clone();
    let is_it =
        |frame: &Frame| frame.event == "scores:updated" && frame.meta().is_some_and(|meta| meta["seq"] == place);
    for client in [&tally, &admin] {
        client.wait_until(|frames| frames.iter().any(is_it)).await;
    }
    let last = set(&app, "heat", "in_progress").await;
    for client in [&staff, &thief] {
        heard(client, last).await;
        let came: Vec<_> = client.transcript().into_iter().map(|frame| frame.event).collect();
        assert_eq!(came, ["raceStatusUpdate"]);
        assert!(!client.raw_text().contains("9.25") && !client.raw_text().contains("vault\""), "{client:?}");
    }
    for client in [&ada, &tally, &admin] {
        assert_eq!(client.call("user:active", Value::Null).await["ok"], true);
        assert!(
            !client.raw_text().contains("raceStatusUpdate") && !client.raw_text().contains("pub:cup"),
            "{client:?}"
        );
        // Nor does anybody get there by the public's names.
        let refused = client.call("joinRoom", joined.clone()).await;
        assert_eq!(code(&refused), "INVALID_EVENT");
    }
    app.stop().await;
}

async fn results(app: &TestApp, key: &str, items: Value) -> Reply {
    let reply = app.keyed(key, "/api/v1/ingest/results", &json!({"results": items})).await;
    assert_eq!((reply.status.as_u16(), &reply.body["skipped"]), (200, &json!([])), "{reply:?}");
    reply
}

#[tokio::test]
async fn splits_finishes_and_statuses_of_races_are_told() {
    let app = regatta().await;
    let key = app.key("cup").await;
    let client = follower(&app, json!({"race_id": "heat"})).await;
    let split = |time: i64| json!([{"timingPointId": "t1", "label": "Half way", "distanceM": 1000, "timeMs": time, "orderIndex": 1}]);
    let item = |id: &str| json!({"raceId": "heat", "participantId": id});
    let with = |mut item: Value, field: &str, value: Value| {
        item[field] = value;
        item
    };
    results(&app, &key, json!([with(item("p1"), "splits", split(61_230))])).await;
    results(&app, &key, json!([with(item("p2"), "splits", split(62_000))])).await;
    results(&app, &key, json!([with(item("p1"), "time", json!(9_500))])).await;
    results(&app, &key, json!([with(with(item("p2"), "time", json!(9_600)), "pen", json!(200))])).await;
    results(&app, &key, json!([with(item("p3"), "status", json!("DNF"))])).await;
    // Nothing new, and then taken back.
    results(&app, &key, json!([with(item("p3"), "status", json!("DNF"))])).await;
    results(&app, &key, json!([item("p2")])).await;
    let last = set(&app, "heat", "official").await;
    heard(&client, last).await;
    let came: Vec<(String, Value)> =
        client.transcript().into_iter().map(|frame| (frame.event.clone(), frame.args[0].clone())).collect();
    let halfway = |id: &str, time: &str, relative: Value| {
        let payload = json!({"race_id": "heat", "crew_id": id, "timing_point_id": "t1", "timing_point_label": "Half way",
            "distance_m": 1000, "time_ms": time, "relative_time_ms": relative, "order_index": 1});
        ("raceIntermediateUpdate".to_owned(), payload)
    };
    let finish = |id: &str, time: Value, relative: Value| {
        let payload = json!({"race_id": "heat", "crew_id": id, "final_time": time, "relative_time_ms": relative});
        ("raceFinalUpdate".to_owned(), payload)
    };
    let expected = vec![
        halfway("p1", "61230", Value::Null),
        halfway("p2", "62000", json!(770)),
        finish("p1", json!("95000"), json!(0)),
        finish("p2", json!("98000"), json!(3000)),
        finish("p3", Value::Null, Value::Null),
        finish("p2", Value::Null, Value::Null),
        ("raceStatusUpdate".to_owned(), json!({"race_id": "heat", "status": "official"})),
    ];
    assert_eq!(came, expected);
    let places = seqs(&client);
    assert!(places.is_sorted() && *places.last().expect("some") == facts(&app, "cup"));
    app.stop().await;
}

#[tokio::test]
async fn what_the_judges_publish_is_told_too() {
    let Hall { app, .. } = Hall::certified().await;
    let client = follower(&app, json!({"event_id": "cup"})).await;
    let post = async |path: &str, body: Value| {
        let reply = app.post(path, &email("organizer"), body).await;
        assert!(reply.status.is_success(), "{reply:?}");
    };
    post("/api/v1/events/cup/results/freeze", json!({})).await;
    post("/api/v1/events/cup/results/thaw", json!({})).await;
    post("/api/v1/categories/vault/publish", json!({"state": "official"})).await;
    let announcement = json!({"message": "Lunch", "type": "info", "audience": {"public": "cup"}});
    post("/api/v1/announcements", announcement).await;
    let first = facts(&app, "cup") - 3;
    for (place, event) in
        ["results:frozen", "results:thawed", "results:published", "system:announcement"].into_iter().enumerate()
    {
        let frame = client.next(event).await;
        let place = first + i64::try_from(place).expect("a small number");
        assert_eq!((seq(&frame), &frame.args[1]["lane"]), (place, &json!("pub:cup")));
    }
    let published = &client.transcript()[2].args[0];
    assert_eq!((&published["categoryId"], &published["state"]), (&json!("vault"), &json!("official")));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_answer_to_a_join_on_nothing_is_missed() {
    let app = regatta_of(0, |config| config.live_sockets_max = 200).await;
    let mut clients = Vec::new();
    let joining = async {
        for _ in 0..60 {
            let before = facts(&app, "cup");
            until("a fact", async || facts(&app, "cup") > before).await;
            let client = visitor(&app).await;
            let joined = client.call("joinPublicEvent", json!({"event_id": "cup"})).await;
            clients.push((client, joined["seq"].as_i64().unwrap_or_else(|| panic!("{joined}"))));
        }
    };
    let stop = tokio_util::sync::CancellationToken::new();
    let flowing = async {
        let mut count = 0;
        while !stop.is_cancelled() {
            toggle(&app, "heat", count).await;
            count += 1;
        }
        count
    };
    let (count, ()) = tokio::join!(flowing, async {
        joining.await;
        stop.cancel();
    });
    // Whoever came last may have been told of all that flowed.
    let last = toggle(&app, "heat", count).await;
    let (first, newest) = (clients[0].1, clients[clients.len() - 1].1);
    assert!(newest > first + 50, "facts were flowing while they joined: {first} to {newest}");
    for (client, joined) in &clients {
        heard(client, last).await;
        let after: Vec<i64> = seqs(client).into_iter().filter(|seq| seq > joined).collect();
        assert_eq!(after, (joined + 1..=last).collect::<Vec<_>>());
    }
    app.stop().await;
}

#[tokio::test]
async fn sockets_rooms_and_requests_are_bounded() {
    let app = regatta_of(101, |config| config.live_sockets_max = 2).await;
    let (first, second) = (visitor(&app).await, visitor(&app).await);
    let full = ConnectError::Refused("Too many connections".to_owned());
    let come = async || Client::connect_with(app.address, "/live", None, &[]).await;
    assert_eq!(come().await.err(), Some(full));
    assert_eq!((metric(&app, "scorecast_live_rejected_total{reason=\"full\"}"), metric(&app, LIVE)), (1, 2));
    assert_eq!(app.public("/socket-health").await.body["publicClients"], 2);
    second.close().await;
    until("a place", async || come().await.is_ok()).await;

    for number in 1..=100 {
        let joined = first.call("joinRoom", json!({"race_id": format!("r{number}")})).await;
        assert_eq!(joined["ok"], true, "{number}: {joined}");
    }
    let refused = first.call("joinRoom", json!({"race_id": "r101"})).await;
    assert_eq!(code(&refused), "TOO_LARGE");
    assert_eq!(code(&first.call("joinRoom", json!({"race_id": "r1", "event_id": "cup"})).await), "TOO_LARGE");
    assert_eq!(first.call("joinRoom", json!({"race_id": "r100"})).await["ok"], true, "there it is already");
    until_metric(&app, IN_RACES, 100).await;
    first.call("leaveRoom", json!({"race_id": "r1"})).await;
    assert_eq!(first.call("joinRoom", json!({"race_id": "r101"})).await["ok"], true);
    app.stop().await;

    let app = regatta_of(0, |config| {
        config.rate_limit_public_reads_per_minute = 5;
        config.rate_limit_handshakes_per_minute = 3;
    })
    .await;
    let (client, other) = (visitor(&app).await, visitor(&app).await);
    // Nonsense costs as much.
    for event in ["joinPublicEvent", "leavePublicEvent", "nonsense", "joinRoom", "joinPublicEvent"] {
        assert_ne!(code(&client.call(event, json!({"event_id": "cup"})).await), "RATE_LIMIT", "{event}");
    }
    for client in [&client, &other] {
        let refused = client.call("joinPublicEvent", json!({"event_id": "cup"})).await;
        assert_eq!((code(&refused), refused["error"]["retryAfterMs"].is_u64()), ("RATE_LIMIT", true), "{refused}");
    }
    visitor(&app).await;
    let refused = Client::connect_with(app.address, "/live", None, &[]).await.err();
    assert_eq!(refused, Some(ConnectError::Refused("Rate limit exceeded".to_owned())));
    app.stop().await;
}

/// Announcements to the public of the cup, of the largest size there is.
async fn announce(app: &TestApp, token: &str, count: usize) {
    let message = json!({"message": "🏅".repeat(2_000), "type": "info", "audience": {"public": "cup"}});
    for _ in 0..count {
        let reply = app.request(Method::POST, "/api/v1/announcements", Some(token), Some(message.clone())).await;
        assert!(reply.status.is_success(), "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_too_slowly_is_cut_at_the_first_loss_and_the_others_are_not_delayed() {
    let app = regatta_of(0, |config| {
        config.write_timeout_ms = 600_000;
        config.socket_buffer_max = 50;
    })
    .await;
    let quick = follower(&app, json!({"event_id": "cup"})).await;
    let mut slow = Wire::open(app.address).await.expect("there is room");
    slow.say("40/live,").await;
    slow.until("40/live,").await;
    slow.say("42/live,0[\"joinPublicEvent\",{\"event_id\":\"cup\"}]").await;
    slow.until("43/live,0").await;
    let token = app.token(&email("organizer")).await;
    announce(&app, &token, 5).await;
    let mut came = Vec::new();
    for _ in 0..5 {
        came.push(slow.until("42/live,[\"system:announcement\"").await);
    }
    until("the cut", async || {
        announce(&app, &token, 20).await;
        metric(&app, CLOSED) > 0
    })
    .await;
    announce(&app, &token, 10).await;
    let last = facts(&app, "cup");
    heard(&quick, last).await;
    came.extend(slow.to_the_end().await);
    let came: Vec<String> = came.iter().map(|text| text.replacen("42/live,", "42", 1)).collect();
    let places = places(&came, "pub:cup");
    let (first, end) = (places[0], places[places.len() - 1]);
    assert_eq!(places, (first..=end).collect::<Vec<_>>(), "nothing came after what was lost");
    assert!(end < last, "something was lost");
    let all = seqs(&quick);
    assert_eq!(all, (all[0]..=last).collect::<Vec<_>>());
    assert_eq!(metric(&app, CLOSED), 1, "nobody else was cut");
    until_metric(&app, LIVE, 1).await;
    until_metric(&app, IN_EVENTS, 1).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_of_many_events_cuts_nobody_who_reads() {
    let app = regatta_of(0, |config| config.socket_buffer_max = 64).await;
    let many: Vec<Value> = (0..600).map(|number| json!({"id": format!("m{number}")})).collect();
    let mass = json!({"eventId": "cup", "id": "mass", "raceType": "mass", "participants": many});
    let made = app.post("/api/v1/admin/races", &email("admin"), mass).await;
    assert_eq!(made.status, 201, "{made:?}");
    let key = app.key("cup").await;
    let clients = join_all((0..20).map(|_| follower(&app, json!({"race_id": "mass"})))).await;
    let items =
        (0..600).map(|number| json!({"raceId": "mass", "participantId": format!("m{number}"), "time": 9_000 + number}));
    results(&app, &key, items.collect()).await;
    for client in &clients {
        client.wait_until(|frames| frames.len() == 600).await;
    }
    assert_eq!(metric(&app, CLOSED), 0);
    app.stop().await;
}

/// A websocket that is in both namespaces, and follows the cup.
async fn in_both(app: &TestApp, token: &str) -> Wire {
    let mut wire = Wire::signed_in(app.address, token).await;
    join_live(&mut wire).await;
    wire
}

async fn join_live(wire: &mut Wire) {
    wire.say("40/live,").await;
    wire.until("40/live,").await;
    wire.say("42/live,7[\"joinRoom\",{\"event_id\":\"cup\"}]").await;
    assert!(wire.until("43/live,7").await.contains("\"ok\":true"));
}

/// Waits until all is done that was begun for sockets which have left.
async fn settled(app: &TestApp, tasks: usize) {
    until("the end of the grace", async || app.app.tasks.len() == tasks).await;
}

#[tokio::test]
async fn one_namespace_may_be_left_and_the_connection_stays_for_the_other() {
    let app = regatta().await;
    let token = app.token(&email("ada")).await;
    let none = app.app.tasks.len();
    let mut wire = in_both(&app, &token).await;
    let both = app.app.tasks.len();
    wire.say("41").await;
    until_metric(&app, SCORING, 0).await;
    settled(&app, both).await;
    let last = set(&app, "heat", "in_progress").await;
    assert!(wire.until("42/live,[\"raceStatusUpdate\"").await.contains(&format!("\"seq\":{last}")));
    // Back into the one, and out of the other.
    wire.sign_in(&token).await;
    wire.say("41/live,").await;
    until_metric(&app, LIVE, 0).await;
    settled(&app, both).await;
    wire.say("420[\"user:active\"]").await;
    assert!(wire.until("430").await.contains("\"ok\":true"));
    // Out of both, and the connection ends; the client does not have to do it.
    join_live(&mut wire).await;
    wire.say("41/live,").await;
    wire.say("41").await;
    wire.to_the_end().await;
    until_metric(&app, OPEN, 0).await;
    until_metric(&app, LIVE, 0).await;
    until_metric(&app, SCORING, 0).await;
    settled(&app, none).await;
    app.stop().await;
}

#[tokio::test]
async fn who_comes_back_at_once_is_not_cut_for_having_left() {
    let app = regatta().await;
    let token = app.token(&email("ada")).await;
    let mut scoring = Wire::signed_in(app.address, &token).await;
    let mut live = Wire::open(app.address).await.expect("there is room");
    join_live(&mut live).await;
    let there = app.app.tasks.len();
    scoring.say("41").await;
    scoring.sign_in(&token).await;
    live.say("41/live,").await;
    join_live(&mut live).await;
    settled(&app, there).await;
    scoring.say("420[\"user:active\"]").await;
    assert!(scoring.until("430").await.contains("\"ok\":true"));
    let last = set(&app, "heat", "in_progress").await;
    assert!(live.until("42/live,[\"raceStatusUpdate\"").await.contains(&format!("\"seq\":{last}")));
    app.stop().await;
}

#[tokio::test]
async fn a_revoked_session_takes_the_connection_with_it() {
    let app = regatta().await;
    let mut wire = in_both(&app, &app.token(&email("ada")).await).await;
    let live = follower(&app, json!({"event_id": "cup"})).await;
    revoke(&app, "ada").await;
    let came = wire.to_the_end().await;
    assert!(came.iter().any(|text| text == "41"), "it is told: {came:?}");
    until_metric(&app, LIVE, 1).await;
    until_metric(&app, IN_EVENTS, 1).await;
    let last = set(&app, "heat", "in_progress").await;
    heard(&live, last).await;
    app.stop().await;
}

#[tokio::test]
async fn who_joins_the_public_is_no_guest_any_more() {
    let app = regatta_of(0, |config| config.unauthenticated_max = 1).await;
    let mut wire = Wire::open(app.address).await.expect("there is room");
    assert!(Wire::open(app.address).await.is_err(), "the one place is taken");
    join_live(&mut wire).await;
    let mut other = Wire::open(app.address).await.expect("there is room again");
    join_live(&mut other).await;
    let polls = poll_session(&app).await;
    assert!(Wire::open(app.address).await.is_err());
    post(&app, &polls, "40/live,".to_owned()).await;
    assert!(poll_until(&app, &polls, "40/live,").await);
    assert!(Wire::open(app.address).await.is_ok());
    app.stop().await;
}

#[tokio::test]
async fn over_polling_it_is_the_same() {
    let app = regatta().await;
    let polls = poll_session(&app).await;
    post(&app, &polls, "40/live,".to_owned()).await;
    assert!(poll_until(&app, &polls, "40/live,").await);
    post(&app, &polls, "42/live,0[\"joinRoom\",{\"race_id\":\"heat\"}]".to_owned()).await;
    assert!(poll_until(&app, &polls, "43/live,0").await);
    set(&app, "heat", "in_progress").await;
    assert!(poll_until(&app, &polls, "42/live,[\"raceStatusUpdate\"").await);
    post(&app, &polls, "41/live,".to_owned()).await;
    until("the end of the session", async || !poll_until(&app, &polls, "no such packet").await).await;
    until_metric(&app, LIVE, 0).await;
    assert!(nobody_is_left_in_a_room(&app));
    app.stop().await;
}

/// One life of somebody who behaves as they like.
async fn misbehave(app: &TestApp, token: &str, way: usize) {
    let join = "42/live,0[\"joinRoom\",{\"event_id\":\"cup\",\"race_id\":\"heat\"}]";
    if way.is_multiple_of(8) {
        let session = poll_session(app).await;
        post(app, &session, "40/live,".to_owned()).await;
        if way.is_multiple_of(16) {
            poll_until(app, &session, "40/live,").await;
            post(app, &session, join.to_owned()).await;
        }
        post(app, &session, if way.is_multiple_of(3) { "1" } else { "41/live," }.to_owned()).await;
        return;
    }
    let Ok(mut wire) = Wire::open(app.address).await else { return };
    if way % 8 == 1 {
        wire.say(&format!("40{}", json!({"token": token}))).await;
    }
    wire.say("40/live,").await;
    if way % 8 == 2 {
        return;
    }
    wire.until("40/live,").await;
    match way % 8 {
        3 => {
            for number in 0..200 {
                wire.say(&join.replace("live,0", &format!("live,{number}"))).await;
            }
        }
        4 => {
            wire.say(join).await;
            wire.say("41/live,").await;
            wire.say(join).await;
        }
        5 => {
            for nonsense in [
                "42/live,[",
                "42/live,[1]",
                "42/live,{}",
                "43/live,1[]",
                "44/live,",
                "40/live,",
                "40/nowhere,",
                "42/nowhere,[\"x\"]",
            ] {
                wire.say(nonsense).await;
            }
        }
        6 => {
            for _ in 0..3 {
                wire.say(join).await;
                wire.say("41/live,").await;
                wire.say("40/live,").await;
            }
        }
        _ => {
            wire.say(join).await;
            wire.until("43/live,0").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_the_public_that_comes_and_goes_as_it_likes() {
    const PLACES: usize = 80;
    let app = regatta_of(0, |config| {
        config.live_sockets_max = PLACES;
        config.unauthenticated_max = PLACES;
        // Who polls no more is given up soon.
        config.ping_interval_ms = 300;
        config.ping_timeout_ms = 300;
    })
    .await;
    let token = app.token(&email("ada")).await;
    let tasks = app.app.tasks.len();
    let stop = tokio_util::sync::CancellationToken::new();
    let flowing = async {
        let mut count = 0;
        while !stop.is_cancelled() {
            toggle(&app, "heat", count).await;
            count += 1;
        }
    };
    tokio::join!(flowing, async {
        for batch in 0..20 {
            let life = |number: usize| {
                tokio::time::timeout(Duration::from_secs(20), misbehave(&app, &token, batch * 24 + number))
            };
            for ended in join_all((0..24).map(life)).await {
                ended.expect("nobody waits for ever");
            }
        }
        stop.cancel();
    });
    until_metric(&app, LIVE, 0).await;
    until_metric(&app, SCORING, 0).await;
    until("empty rooms", async || nobody_is_left_in_a_room(&app)).await;
    settled(&app, tasks).await;
    // Every place was given back: of the public and of guests.
    let all = join_all((0..PLACES).map(|_| visitor(&app))).await;
    until_metric(&app, LIVE, u64::try_from(PLACES).expect("a small number")).await;
    drop(all);
    until_metric(&app, LIVE, 0).await;
    let guests = join_all((0..PLACES).map(|_| Wire::open(app.address))).await;
    assert!(guests.iter().all(Result::is_ok));
    app.stop().await;
}
