//! The live plane over plain connections: who is let in, what they are shown first, and that whoever folds what comes has
//! what the pages say.

use crate::support::hall::{Hall, JUDGES, ok};
use crate::support::people::email;
use crate::support::timing::{boat, class, file, race, regatta, result, timed, timed_with};
use crate::support::watch::{Events, Folded, Viewer};
use crate::support::{Reply, TestApp};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

const WS: &str = "/api/v1/events/regatta/ws";
const FEED: &str = "/api/v1/events/regatta/feed";

/// An export with one race of one boat.
fn export(time: &str) -> String {
    file(&[
        class("K1M", "U23"),
        boat("a", "K1M", 11, "ALFA", "U23"),
        race("K1M_FIN", 3, "K1M", "F", 7),
        result("K1M_FIN", "a", 11, [time, "", time], ""),
    ])
}

async fn rejected(app: &TestApp, path: &str) -> (u16, Value) {
    let rejected = Viewer::connect(app.address, path).await.err().unwrap_or_else(|| panic!("{path} let somebody in"));
    let body = rejected.body;
    for field in ["type", "title", "detail", "code", "correlationId"] {
        assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{path} {field}: {body}");
    }
    assert_eq!(body["status"], rejected.status);
    (rejected.status, body)
}

async fn until_let_in(app: &TestApp, path: &str) -> Viewer {
    let entering = async {
        loop {
            if let Ok(viewer) = Viewer::connect(app.address, path).await {
                return viewer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), entering).await.expect("a place is free in the end")
}

fn seq_of(reply: &Reply) -> i64 {
    reply.headers["x-seq"].to_str().expect("text").parse().expect("a number")
}

async fn announce(app: &TestApp, event: &str, message: &str) {
    let body = json!({ "message": message, "audience": { "public": event } });
    let told = app.post("/api/v1/announcements", &email("organizer"), body).await;
    assert_eq!(told.status, 201, "{told:?}");
}

#[tokio::test]
async fn whoever_may_not_watch_is_told_before_the_connection_is_one() {
    let (app, _) = timed("running").await;
    for status in ["draft", "official"] {
        app.import(json!({ "event": { "id": status, "mainTitle": "E", "status": status } })).await;
    }
    let ws = |event: &str| format!("/api/v1/events/{event}/ws");
    for (event, status, error, code) in [
        ("nothing", 404, "EventNotFound", "NOT_FOUND"),
        ("draft", 404, "EventNotFound", "NOT_FOUND"),
        ("official", 410, "EventOfficial", "STATE"),
    ] {
        let (found, body) = rejected(&app, &ws(event)).await;
        assert_eq!((found, &body["error"], &body["code"]), (status, &json!(error), &json!(code)), "{event}");
        let plain = app.public(&ws(event)).await;
        assert_eq!(plain.status.as_u16(), status, "{event} without an upgrade");
        assert_eq!(plain.headers["content-type"], "application/problem+json");
    }
    let plain = app.public(WS).await;
    assert_eq!((plain.status.as_u16(), &plain.body["code"]), (400, &json!("INVALID_DATA")), "{plain:?}");
    assert!(plain.body["detail"].as_str().is_some_and(|text| text.contains("WebSocket")), "{plain:?}");
    for query in ["include=everything", "include=results,everything", "since=x"] {
        let (status, body) = rejected(&app, &format!("{WS}?{query}")).await;
        assert_eq!((status, &body["code"]), (400, &json!("INVALID_DATA")), "{query}");
    }
    for reason in ["not_found", "official"] {
        assert!(app.metric(&format!("scorecast_live_rejected_total{{reason=\"{reason}\"}}")) > 0, "{reason}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_two_hundred_get_in_and_a_place_comes_back_with_whoever_leaves() {
    let (app, _) = timed("running").await;
    let mut inside = Vec::new();
    let mut outside = 0;
    for entered in join_all((0..230).map(|_| Viewer::connect(app.address, WS))).await {
        match entered {
            Ok(viewer) => inside.push(viewer),
            Err(rejected) => {
                assert_eq!((rejected.status, &rejected.body["error"]), (503, &json!("ConnectionLimitReached")));
                assert_eq!(rejected.body["maxConnections"], 200);
                outside += 1;
            }
        }
    }
    assert_eq!((inside.len(), outside), (200, 30));
    assert_eq!(app.metric("scorecast_live_rejected_total{reason=\"full\"}"), 30);
    // Another event has places of its own.
    drop(Viewer::connect(app.address, "/api/v1/events/cup/ws").await.expect("it is another event"));
    for viewer in &mut inside {
        assert_eq!(viewer.read().await["type"], "full");
    }
    inside.truncate(190);
    for _ in 0..10 {
        inside.push(until_let_in(&app, WS).await);
    }
    rejected(&app, WS).await;
    drop(inside);
    app.stop().await;
}

#[tokio::test]
async fn everything_comes_at_once_in_the_shape_of_the_contract() {
    let (app, key) = timed("running").await;
    app.export(&key, export("91270")).await;
    app.results(&key, json!([{ "raceId": "r1", "bib": 2, "time": 9_000 }])).await;
    let on = json!({ "oncourse": [{ "raceId": "r1", "bib": 1, "pen": 0 }] });
    assert_eq!(app.keyed(&key, "/api/v1/ingest/oncourse", &on).await.status, 200);
    let mut viewer = Viewer::connect(app.address, WS).await.expect("is let in");
    let frame = viewer.read().await;
    let head = app.public("/api/v1/events/regatta").await;
    assert_eq!(
        frame,
        json!({
            "type": "full",
            "data": {
                "event": { "eventId": "regatta", "mainTitle": "The Regatta", "location": "Troja", "status": "running" },
                "classes": [{ "classId": "K1M", "name": "K1M", "longTitle": "Class K1M",
                    "categories": [{ "catId": "U23", "name": "Cat U23", "firstYear": 2004 }] }],
                "races": [
                    { "raceId": "r1", "number": 1, "name": "Final", "raceType": "final", "raceOrder": 1, "raceStatus": 1 },
                    { "raceId": "r2", "number": 2, "raceType": "heat", "raceOrder": 2, "raceStatus": 1 },
                    { "raceId": "K1M_FIN", "number": 3, "classId": "K1M", "raceType": "final", "raceOrder": 3, "raceStatus": 7 },
                ],
                "categories": [{ "catId": "U23", "name": "Cat U23", "firstYear": 2004, "classIds": ["K1M"] }],
            },
            "seq": seq_of(&head), "epoch": app.app.state().head.epoch,
        })
    );
    assert_eq!(frame["data"]["event"], head.body);
    for (include, results, course) in
        [("results", true, false), ("oncourse", false, true), ("results,oncourse", true, true)]
    {
        let mut viewer = Viewer::connect(app.address, &format!("{WS}?include={include}")).await.expect("is let in");
        let data = viewer.read().await["data"].clone();
        assert_eq!((data.get("results").is_some(), data.get("oncourse").is_some()), (results, course), "{include}");
        if results {
            let all: Vec<Value> = [app.read_results("r1").await, app.read_results("K1M_FIN").await].concat();
            assert_eq!(data["results"], json!(all));
        }
        if course {
            assert_eq!(data["oncourse"], app.public("/api/v1/events/regatta/oncourse").await.body["items"]);
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn each_change_follows_the_one_before_and_an_import_shows_everything_anew() {
    let (app, key) = timed("startlist").await;
    let mut viewer = Viewer::watch(&app, "regatta").await;
    let (mut last, epoch) = (viewer.folded.seq, viewer.folded.epoch.clone());
    let imported = app.export(&key, export("91270")).await.expect("news");
    let frame = viewer.read().await;
    assert_eq!((&frame["type"], &frame["seq"], &frame["epoch"]), (&json!("full"), &json!(imported), &json!(epoch)));
    assert_eq!(imported, last + 1);
    assert_eq!(viewer.folded.of_race("K1M_FIN"), app.read_results("K1M_FIN").await);
    assert!(frame["data"]["classes"].as_array().is_some_and(|classes| classes.len() == 1));
    last = imported;
    app.set_status("regatta", "running").await;
    let frame = viewer.read().await;
    let expected =
        json!({ "type": "diff", "data": { "status": "running" }, "seq": last + 1, "prev": last, "epoch": epoch });
    assert_eq!(frame, expected);
    let seq = app.results(&key, json!([{ "raceId": "r1", "bib": 2, "time": 9_000 }])).await.expect("news");
    let frame = viewer.read().await;
    assert_eq!(
        frame,
        json!({
            "type": "diff", "seq": seq, "prev": last + 1, "epoch": epoch,
            "data": { "raceId": "r1", "results": [{ "raceId": "r1", "bib": 2, "rnk": 1, "name": "BOAT 2", "club": "Harbour",
                "noc": "CZE", "catId": "SEN", "catRnk": 1, "time": 9_000, "total": 9_000, "totalBehind": 0, "status": null }] },
        })
    );
    // What cannot be said by a diff: where a race stands.
    let moved = app
        .send(Method::PATCH, "/api/v1/races/r1/status", &email("organizer"), json!({ "status": "in_progress" }))
        .await;
    assert_eq!(moved.status, 200, "{moved:?}");
    assert_eq!(viewer.read().await, json!({ "type": "refresh", "seq": seq + 1, "epoch": epoch }));
    // An import that changes nothing is no news: what comes next is the next thing.
    app.export(&key, export("91270")).await;
    announce(&app, "regatta", "welcome").await;
    let frame = viewer.read().await;
    assert_eq!((&frame["seq"], &frame["data"]["announcement"]["message"]), (&json!(seq + 2), &json!("welcome")));
    assert_eq!(viewer.gaps, 0);
    app.stop().await;
}

#[tokio::test]
async fn whoever_watches_an_event_that_becomes_official_is_told_and_soon_taken_leave_of() {
    let (app, _) = timed("finished").await;
    let mut viewer = Viewer::watch(&app, "regatta").await;
    let mut events = Events::follow(&app, FEED, None).await;
    assert_eq!(events.next().await.expect("everything").1["type"], "full");
    app.set_status("regatta", "official").await;
    assert_eq!(viewer.read().await["data"], json!({ "status": "official" }));
    assert_eq!(rejected(&app, WS).await.0, 410);
    // Not before its time: two announcements come, each looks at the clock.
    app.clock.advance(Duration::from_millis(4_999));
    for message in ["one", "two"] {
        announce(&app, "regatta", message).await;
        assert_eq!(viewer.read().await["data"]["announcement"]["message"], message);
    }
    app.clock.advance(Duration::from_millis(1));
    assert_eq!(viewer.next().await, json!({ "close": 1000, "reason": "The event is official" }));
    for _ in 0..3 {
        assert!(events.next().await.is_some());
    }
    assert!(events.next().await.is_none(), "the stream ends, too");
    app.until_metric("scorecast_socket_connections_total{outcome=\"refused\",plane=\"live\"}", 1).await;
    app.stop().await;
}

#[tokio::test]
async fn an_event_that_is_taken_back_is_hidden_and_comes_again_as_a_whole() {
    let (app, key) = timed("startlist").await;
    app.export(&key, export("91270")).await;
    let mut viewer = Viewer::watch(&app, "regatta").await;
    let mut room = Viewer::connect(app.address, "/ws/races/1").await.expect("is let in");
    assert_eq!(room.next().await["type"], "initial_state");
    let before = viewer.folded.clone();
    app.set_status("regatta", "draft").await;
    let mut said = Vec::new();
    let closed = loop {
        let frame = viewer.next().await;
        if frame.get("close").is_some() {
            break frame;
        }
        said.push(frame);
    };
    assert_eq!(closed["close"], 4004);
    assert!(!json!(said).to_string().contains("draft"), "{said:?}");
    assert_eq!(room.next().await["close"], 4004);
    nothing_is_seen_of_it(&app, "regatta", "r1", 1).await;
    // What changes now is told to nobody, so the next appearance is a whole one.
    app.export(&key, export("81270")).await;
    app.set_status("regatta", "startlist").await;
    let query = format!("{WS}?since={}&epoch={}&include=results", before.seq, before.epoch);
    let mut back = Viewer::connect(app.address, &query).await.expect("is let in");
    assert_eq!(back.read().await["type"], "full");
    assert_eq!(back.folded.of_race("K1M_FIN"), app.read_results("K1M_FIN").await);
    let lines = app.public(&format!("{FEED}?since={}", before.seq)).await.body;
    assert!(!lines.to_string().contains("draft"), "{lines}");
    app.stop().await;
}

/// No page, list, feed or room says that there is an event.
async fn nothing_is_seen_of_it(app: &TestApp, event: &str, race: &str, number: i64) {
    let list = app.public("/api/v1/events").await.body;
    assert!(!list.to_string().contains(event), "{list}");
    let paths = ["", "/races", "/categories", "/oncourse", "/judged", "/feed", "/ws"].map(str::to_owned);
    let of_race = ["results", "startlist"].map(|page| format!("/{page}/{race}"));
    for path in paths.into_iter().chain(of_race) {
        let answer = app.public(&format!("/api/v1/events/{event}{path}")).await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (404, &json!("NOT_FOUND")), "{path}: {answer:?}");
        let nothing = app.public(&format!("/api/v1/events/no-such{path}")).await;
        let text = |body: &Value| body["detail"].as_str().unwrap_or_default().replace(event, "no-such");
        assert_eq!((answer.status, text(&answer.body)), (nothing.status, text(&nothing.body)), "{path}");
    }
    let stream = [("accept", "text/event-stream")];
    assert_eq!(app.raw_request(Method::GET, &format!("/api/v1/events/{event}/feed"), &stream, "").await.status, 404);
    let lane = app.get(&format!("/api/v1/lanes/pub:{event}/feed"), &email("admin")).await;
    assert_eq!(lane.status, 403, "the public lane of a draft has no reader");
    assert_eq!(app.public(&format!("/indoor-results/race/{race}")).await.status, 404);
    assert_eq!(rejected(app, &format!("/api/v1/events/{event}/ws")).await.0, 404);
    let mut room = Viewer::connect(app.address, &format!("/ws/races/{number}")).await.expect("an upgrade");
    assert_eq!(room.next().await, json!({ "close": 4004, "reason": "Race not found" }));
}

#[tokio::test]
async fn a_draft_is_seen_nowhere() {
    let (app, key) = timed("draft").await;
    nothing_is_seen_of_it(&app, "regatta", "r1", 1).await;
    app.export(&key, export("91270")).await;
    nothing_is_seen_of_it(&app, "regatta", "K1M_FIN", 3).await;
    app.stop().await;
}

#[tokio::test]
async fn an_event_goes_only_where_it_may_go() {
    const STATES: [&str; 5] = ["draft", "startlist", "running", "finished", "official"];
    const MAY: [&[&str]; 5] = [&["startlist"], &["running", "draft"], &["finished"], &["official", "running"], &[]];
    let app = TestApp::start_with(|config| config.rate_limit_commands_per_minute = 10_000).await;
    app.import(crate::support::people::document()).await;
    let token = app.token(&email("organizer")).await;
    for (from, valid) in STATES.into_iter().zip(MAY) {
        for to in STATES {
            let event = format!("from-{from}-to-{to}");
            app.import(json!({ "event": { "id": event, "mainTitle": "E", "status": from } })).await;
            let path = format!("/api/v1/admin/events/{event}/status");
            let end = app.log_end();
            let answer = app.request(Method::PATCH, &path, Some(&token), Some(json!({ "status": to }))).await;
            if from == to || valid.contains(&to) {
                assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &json!(to)), "{event}: {answer:?}");
                assert_eq!(app.log_end() == end, from == to, "{event}");
                continue;
            }
            assert_eq!((answer.status.as_u16(), &answer.body["code"]), (400, &json!("INVALID_DATA")), "{event}");
            let said = ["currentStatus", "requestedStatus", "validTransitions"].map(|field| answer.body[field].clone());
            assert_eq!(said, [json!(from), json!(to), json!(valid)], "{event}");
            assert_eq!(app.log_end(), end, "{event}");
        }
    }
    app.import(json!({ "event": { "id": "one", "mainTitle": "E" } })).await;
    let path = "/api/v1/admin/events/one/status";
    let unknown = app.send(Method::PATCH, path, &email("organizer"), json!({ "status": "over" })).await;
    assert_eq!((unknown.status.as_u16(), &unknown.body["code"]), (400, &json!("INVALID_DATA")));
    app.stop().await;
}

/// What a viewer shows, however it came to it.
fn shown(folded: &Folded) -> (Value, Value, &[Value], i64) {
    let lines: Vec<&Value> = folded.results.values().collect();
    (folded.full["event"].clone(), json!(lines), &folded.oncourse, folded.seq)
}

#[tokio::test]
async fn whoever_comes_back_has_the_same_as_whoever_stayed() {
    let (app, key) = timed_with("running", |config| config.resume_max_facts = 5).await;
    let mut stays = Viewer::watch(&app, "regatta").await;
    let mut leaves = Viewer::watch(&app, "regatta").await;
    let course = |bib: i64| json!({ "oncourse": [{ "raceId": "r1", "bib": bib, "pen": 0 }] });
    app.keyed(&key, "/api/v1/ingest/oncourse", &course(1)).await;
    leaves.read().await;
    let before = leaves.folded.clone();
    assert_eq!(before.oncourse.len(), 1);
    drop(leaves);
    let mut head = 0;
    for (bib, time) in [(1, 9_000), (2, 8_900), (3, 9_500)] {
        head = app.results(&key, json!([{ "raceId": "r1", "bib": bib, "time": time }])).await.expect("news");
    }
    head = head.max(app.results(&key, json!([{ "raceId": "r1", "bib": 3 }])).await.expect("news"));
    // The course has emptied meanwhile, which is in no log.
    app.clock.advance(Duration::from_secs(10));
    stays.read_to(head).await;
    while !stays.folded.oncourse.is_empty() {
        stays.read().await;
    }
    assert_eq!(stays.gaps, 0);

    let path = |since: i64, epoch: &str| format!("{WS}?since={since}&epoch={epoch}&include=results,oncourse");
    let mut back = Viewer::connect(app.address, &path(before.seq, &before.epoch)).await.expect("is let in");
    back.folded = before.clone();
    while back.folded != stays.folded {
        assert_eq!(back.read().await["type"], "diff");
    }
    assert_eq!((back.gaps, back.diffs), (0, 4));
    // With nothing missed, the course is told all the same.
    let mut again = Viewer::connect(app.address, &path(head, &before.epoch)).await.expect("is let in");
    assert_eq!(again.read().await, json!({ "type": "diff", "data": { "oncourse": [] }, "epoch": before.epoch }));
    // Everything anew: another history, a place that is yet to come, and too many changes.
    for (since, epoch) in [
        (before.seq, "another"),
        (head + 1, &before.epoch),
        (-1, &before.epoch),
        (i64::MIN, &before.epoch),
        (i64::MAX, &before.epoch),
    ] {
        let mut viewer = Viewer::connect(app.address, &path(since, epoch)).await.expect("is let in");
        assert_eq!(viewer.read().await["type"], "full", "{since} {epoch}");
        assert_eq!(shown(&viewer.folded), shown(&stays.folded));
    }
    for time in [7_000, 7_100] {
        head = app.results(&key, json!([{ "raceId": "r1", "bib": 4, "time": time }])).await.expect("news");
    }
    let mut late = Viewer::connect(app.address, &path(before.seq, &before.epoch)).await.expect("is let in");
    assert_eq!(late.read().await["type"], "full", "six are too many");
    stays.read_to(head).await;
    assert_eq!(shown(&late.folded), shown(&stays.folded));

    // The same over HTTP: as lines, and as a stream that goes on.
    let lines = app.public(&format!("{FEED}?since={}&epoch={}", before.seq, before.epoch)).await;
    assert_eq!((seq_of(&lines), lines.headers["content-type"].to_str().ok()), (head, Some("application/x-ndjson")));
    let mut folded = before.clone();
    let text = lines.body.as_str().expect("lines").to_owned();
    for line in text.lines() {
        folded.take(&serde_json::from_str(line).expect("a line is JSON"));
    }
    assert_eq!((&folded.results, folded.seq), (&stays.folded.results, head));
    let foreign = app.public(&format!("{FEED}?since={}&epoch=another", before.seq)).await;
    assert_eq!((foreign.status.as_u16(), &foreign.body["code"]), (409, &json!("STATE")));
    let since = head - 3;
    let mut events = Events::follow(&app, FEED, Some(&format!("{}:{since}", before.epoch))).await;
    let mut told = Vec::new();
    for seq in since + 1..=head {
        let (id, frame) = events.next().await.expect("an event");
        assert_eq!(id, Some(format!("{}:{seq}", before.epoch)));
        told.push(frame);
    }
    let of_lines: Vec<Value> =
        text.lines().skip(text.lines().count() - 3).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(told, of_lines);
    let (id, frame) = events.next().await.expect("the course");
    assert_eq!((id, &frame["data"]), (None, &json!({ "oncourse": [] })));
    let seq = app.results(&key, json!([{ "raceId": "r1", "bib": 4, "time": 7_200 }])).await.expect("news");
    let (_, by_stream) = events.next().await.expect("what comes next");
    stays.read_to(seq - 1).await;
    assert_eq!(by_stream, stays.read().await, "one frame for all");
    let mut whole = Events::follow(&app, &format!("{FEED}?include=results"), None).await;
    let mut folded = Folded::default();
    folded.take(&whole.next().await.expect("everything").1);
    assert_eq!(folded.results, stays.folded.results);
    for wrong in ["x", "a:b", ":"] {
        let headers = [("accept", "text/event-stream"), ("last-event-id", wrong)];
        assert_eq!(app.raw_request(Method::GET, FEED, &headers, "").await.body["code"], "INVALID_DATA", "{wrong}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_page_says_where_it_stands_and_is_short_for_those_who_have_it() {
    let (app, key) = timed("running").await;
    let many = |bib: i64| json!({ "raceId": "r1", "bib": bib, "time": 9_000 + bib });
    app.results(&key, (1..=4).map(many).collect()).await;
    let head = app.app.state().lane_seq(&scorecast::events::room::Lane::Public("regatta".parse().expect("an id")));
    let pages = ["", "/races", "/categories", "/oncourse", "/judged", "/results/r1", "/startlist/r1"];
    let mut tags = Vec::new();
    for page in pages {
        let path = format!("/api/v1/events/regatta{page}");
        let first = app.public(&path).await;
        assert_eq!((first.status.as_u16(), seq_of(&first)), (200, head), "{page}");
        let tag = first.headers["etag"].to_str().expect("text").to_owned();
        for known in [tag.clone(), format!("\"other\", {tag}"), tag.trim_start_matches("W/").to_owned(), "*".to_owned()]
        {
            let again = app.raw_request(Method::GET, &path, &[("if-none-match", &known)], "").await;
            assert_eq!((again.status.as_u16(), &again.body), (304, &json!("")), "{page} {known}");
            assert_eq!((again.headers["etag"].to_str().ok(), seq_of(&again)), (Some(&*tag), head), "{page}");
        }
        let other = app.raw_request(Method::GET, &path, &[("if-none-match", "\"other\"")], "").await;
        assert_eq!((other.status.as_u16(), other.body), (200, first.body), "{page}");
        tags.push((path, tag));
    }
    for packed in ["gzip", "br"] {
        let answer =
            app.raw_request(Method::GET, "/api/v1/events/regatta/results/r1", &[("accept-encoding", packed)], "").await;
        assert_eq!(answer.headers["content-encoding"], packed);
        assert_eq!(seq_of(&answer), head);
    }
    app.results(&key, json!([many(1), { "raceId": "r1", "bib": 2, "time": 1 }])).await;
    let (path, tag) = &tags[5];
    assert_eq!(app.raw_request(Method::GET, path, &[("if-none-match", tag)], "").await.status, 200, "it has changed");
    app.stop().await;
}

#[tokio::test]
async fn of_the_scoring_the_public_hears_what_is_published_and_nothing_else() {
    let better = |contestant: &str| f64::from(u8::from(contestant != "x") + u8::from(contestant == "z"));
    let people = TestApp::with_people().await;
    let hall = Hall::marked_in(people, &JUDGES, |at, contestant, _| 5.0 + at + better(contestant)).await;
    let app = &hall.app;
    let mut viewer = Viewer::watch(app, "cup").await;
    let start = viewer.folded.seq;
    hall.finish_judging().await;
    hall.certify().await;
    announce(app, "cup", "the results are near").await;
    let frame = viewer.read().await;
    assert_eq!(
        frame["data"].as_object().map(|data| data.keys().map(String::as_str).collect()),
        Some(vec!["announcement"])
    );
    assert_eq!((&frame["prev"], &frame["seq"]), (&json!(start), &json!(start + 1)), "nothing came before it");
    let publish = async |state: &str| {
        let body = json!({ "state": state });
        let made = app.post("/api/v1/categories/vault/publish", &email("organizer"), body).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.body
    };
    let published = publish("unofficial").await;
    let frame = viewer.read().await;
    let told = &frame["data"]["published"];
    for field in ["publicationId", "revision", "state", "tallyHash"] {
        assert_eq!(told[field], published[field], "{frame}");
    }
    assert_eq!(told["categoryId"], "vault");
    ok(&hall.board.call("results:freeze", json!({ "eventId": "cup" })).await);
    assert_eq!(viewer.read().await["data"]["frozen"]["eventId"], "cup");
    publish("official").await;
    let reveal = json!({ "categoryId": "vault", "ranks": [3] });
    ok(&hall.board.call("results:reveal", reveal).await);
    let frame = loop {
        let frame = viewer.read().await;
        if frame["data"].get("revealed").is_some() {
            break frame;
        }
        // That something was published while it is frozen is told by no more than its count.
        assert!(frame["data"].get("published").is_none(), "{frame}");
    };
    assert_eq!(
        (&frame["data"]["revealed"]["categoryId"], &frame["data"]["revealed"]["lines"][0]["rank"]),
        (&json!("vault"), &json!(3))
    );
    ok(&hall.board.call("results:thaw", json!({ "eventId": "cup" })).await);
    let mut keys = Vec::new();
    while !keys.iter().any(|key| key == "thawed") {
        let frame = viewer.read().await;
        keys.extend(frame["data"].as_object().into_iter().flat_map(|data| data.keys().cloned()));
    }
    assert!(keys.iter().all(|key| ["published", "thawed"].contains(&key.as_str())), "{keys:?}");
    assert_eq!(viewer.gaps, 0);
    hall.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_answer_is_closed_and_whoever_does_stays() {
    let (app, key) = timed_with("running", |config| {
        config.live_ping_interval_ms = 20;
        config.live_pong_timeout_ms = 1_500;
    })
    .await;
    let mut reads = Viewer::watch(&app, "regatta").await;
    let mut silent = Viewer::watch(&app, "regatta").await;
    let closed = async {
        app.until_metric("scorecast_slow_consumers_total{action=\"unanswered\",plane=\"live\"}", 1).await;
        app.results(&key, json!([{ "raceId": "r1", "bib": 2, "time": 9_000 }])).await;
    };
    let (frame, ()) = tokio::join!(reads.read(), closed);
    assert_eq!(frame["data"]["raceId"], "r1");
    assert!(silent.next().await.get("cut").is_some(), "it was closed");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_falls_behind_reads_anew_and_nobody_else_notices() {
    let (app, key) = timed_with("running", |config| {
        config.live_queue_max = 4;
        config.write_timeout_ms = 120_000;
        config.rate_limit_public_reads_per_minute = 100_000;
    })
    .await;
    let boat = |bib: i64| json!({ "id": format!("n{bib}"), "bib": bib, "name": "A BOAT WITH A LONG NAME ".repeat(8) });
    app.import(json!({
        "event": { "id": "regatta", "mainTitle": "The Regatta", "location": "Troja", "status": "running" },
        "races": [{ "id": "big", "raceType": "heat", "participants": (1..=400).map(boat).collect::<Vec<_>>() }],
    }))
    .await;
    let mut fast = Viewer::watch(&app, "regatta").await;
    let path = format!("{WS}?include=results,oncourse");
    let mut slow = Viewer::connect_narrow(app.address, &path).await.expect("is let in");
    slow.read().await;
    let times = |first: i64| {
        let item =
            |bib: i64| json!({ "raceId": "big", "bib": bib, "time": if bib == 1 { first } else { 9_000 + bib } });
        (1..=400).map(item).collect::<Value>()
    };
    // A new leader each time: every line is another by what it is behind.
    let (mut first, mut head) = (5_000, 0);
    let behind = "scorecast_slow_consumers_total{action=\"refresh\",plane=\"live\"}";
    while app.metric(behind) == 0 {
        assert!(first > 4_000, "it never fell behind");
        head = app.results(&key, times(first)).await.expect("news");
        fast.read_to(head).await;
        first -= 1;
    }
    assert_eq!((fast.gaps, fast.refreshes), (0, 0));
    while slow.refreshes == 0 {
        slow.read().await;
    }
    // What comes after it begins where it stands.
    slow.read_to(head).await;
    assert_eq!(slow.gaps, 0);
    // Told so, it reads the page, and takes what comes later.
    let page = app.public("/api/v1/events/regatta/results/big").await;
    slow.folded.take(&json!({ "type": "full", "data": { "results": page.body["items"] }, "seq": seq_of(&page), "epoch": slow.folded.epoch }));
    assert!(slow.folded.seq >= head);
    let head = app.results(&key, times(first)).await.expect("news");
    slow.read_to(head).await;
    fast.read_to(head).await;
    assert_eq!(slow.folded.of_race("big"), fast.folded.of_race("big"));
    assert_eq!(fast.folded.of_race("big"), app.read_results("big").await);
    app.stop().await;
}

/// A race on horseback.
fn trot() -> Value {
    json!({
        "event": { "id": "trot", "mainTitle": "Harness", "status": "running" },
        "races": [{
            "id": "t7", "number": 12_345, "raceType": "harness", "startTime": "2026-05-01T19:30:00+12:00",
            "meta": { "meetingId": "NZ_20260501_AUK", "raceNumber": 7, "distanceM": 1980, "startType": "mobile", "gait": "pace",
                "weather": "fine", "trackCondition": "good", "venue": "Addington", "meetingDate": "2026-05-01" },
            "participants": [
                { "id": "9876", "bib": 3, "barrier": 3, "horse": { "id": 42, "name": "Some Delight" },
                  "driver": { "id": 101, "name": "Ricky May" }, "trainer": { "id": 201, "name": "Mark Purdon" } },
                { "id": "9877", "bib": 4, "handicapM": 10, "horse": { "id": 43 } },
                { "id": "nag", "name": "Unnumbered" },
            ],
        }, { "id": "t8", "raceType": "harness", "participants": [{ "id": "1" }] }],
    })
}

async fn course(change: impl FnOnce(&mut scorecast::config::Config)) -> (TestApp, String) {
    let app = TestApp::start_with(change).await;
    app.import(crate::support::people::document()).await;
    app.import(trot()).await;
    let key = app.key("trot").await;
    (app, key)
}

#[tokio::test]
async fn the_room_of_a_race_begins_with_the_race_and_those_who_start() {
    let (app, key) = course(|_| {}).await;
    let mut room = Viewer::connect(app.address, "/ws/races/12345").await.expect("an upgrade");
    let frame = room.next().await;
    assert_eq!(
        frame,
        json!({
            "type": "initial_state", "race_id": 12_345, "seq": frame["seq"], "epoch": app.app.state().head.epoch,
            "data": {
                "race": {
                    "id": 12_345, "meeting_id": "NZ_20260501_AUK", "race_number": 7, "distance_m": 1980, "start_type": "mobile",
                    "gait": "pace", "weather": "fine", "track_condition": "good",
                    "race_datetime": "2026-05-01T19:30:00+12:00", "venue": "Addington", "meeting_date": "2026-05-01",
                },
                "starters": [
                    { "id": 9876, "horse_id": 42, "horse_name": "Some Delight", "driver_id": 101, "driver_name": "Ricky May",
                      "trainer_id": 201, "trainer_name": "Mark Purdon", "runner_number": 3, "barrier": 3, "handicap_m": null,
                      "placing": null, "did_not_finish": false },
                    { "id": 9877, "horse_id": 43, "horse_name": null, "driver_id": null, "driver_name": null,
                      "trainer_id": null, "trainer_name": null, "runner_number": 4, "barrier": null, "handicap_m": 10,
                      "placing": null, "did_not_finish": false },
                    { "id": 9878, "horse_id": 9878, "horse_name": "Unnumbered", "driver_id": null, "driver_name": null,
                      "trainer_id": null, "trainer_name": null, "runner_number": null, "barrier": null,
                      "handicap_m": null, "placing": null, "did_not_finish": false },
                ],
                "starter_count": 3,
            },
        })
    );
    assert!(frame["seq"].is_i64());
    // Odds, and results as they come in: always all there are.
    let odds = json!({ "race_id": 12_345, "odds": [
        { "horse_id": 42, "odds": 3.50 }, { "horse_id": 43, "odds": 8.2 }, { "horse_id": 7, "odds": 2 },
        { "horse_id": 42, "odds": 0.9 }, { "horse_id": 42, "odds": 1e12 } ] });
    let answer = app.keyed(&key, "/api/v1/ingest/odds", &odds).await;
    assert_eq!((answer.status.as_u16(), &answer.body["accepted"]), (200, &json!(2)), "{answer:?}");
    assert_eq!(answer.body["skipped"].as_array().map(Vec::len), Some(3));
    let frame = room.next().await;
    assert_eq!(frame["timestamp"].as_str().map(|text| text.ends_with('Z')), Some(true));
    let expected = json!({
        "type": "odds_update", "race_id": 12_345, "timestamp": frame["timestamp"], "seq": answer.body["receipt"]["seq"],
        "epoch": app.app.state().head.epoch, "odds": [{ "horse_id": 42, "odds": 3.5 }, { "horse_id": 43, "odds": 8.2 }],
    });
    assert_eq!(frame, expected, "and it is not marked as simulated");
    let post = async |id: &str, fields: Value| {
        let mut item = json!({ "raceId": "t7", "participantId": id });
        item.as_object_mut().expect("an object").extend(fields.as_object().cloned().expect("fields"));
        app.results(&key, json!([item])).await.expect("news")
    };
    let seq = post("9877", json!({ "placing": 1 })).await;
    let frame = room.next().await;
    let expected = json!({
        "type": "result_update", "race_id": 12_345, "timestamp": frame["timestamp"], "seq": seq,
        "epoch": app.app.state().head.epoch, "results": [{ "horse_id": 43, "placing": 1, "finished": true }],
    });
    assert_eq!(frame, expected);
    post("9876", json!({ "placing": 2 })).await;
    let both =
        json!([{ "horse_id": 43, "placing": 1, "finished": true }, { "horse_id": 42, "placing": 2, "finished": true }]);
    assert_eq!(room.next().await["results"], both);
    post("nag", json!({ "status": "DNF" })).await;
    assert_eq!(room.next().await["results"][2], json!({ "horse_id": 9878, "placing": null, "finished": false }));
    post("9877", json!({})).await;
    let left = json!([{ "horse_id": 42, "placing": 1, "finished": true }, { "horse_id": 9878, "placing": null, "finished": false }]);
    assert_eq!(room.next().await["results"], left, "a result that was taken back is gone");
    let mut late = Viewer::connect(app.address, "/ws/races/12345").await.expect("an upgrade");
    let starters = late.next().await["data"]["starters"].clone();
    assert_eq!(
        (&starters[0]["placing"], &starters[1]["placing"], &starters[2]["did_not_finish"]),
        (&json!(1), &Value::Null, &json!(true))
    );
    app.stop().await;
}

#[tokio::test]
async fn what_a_viewer_of_a_race_says_is_answered_and_changes_nothing() {
    let (app, key) = course(|_| {}).await;
    for path in [
        "/ws/races/99",
        "/ws/races/0",
        "/ws/races/-1",
        "/ws/races/t7",
        "/ws/races/1.0",
        "/ws/races/99999999999999999999",
    ] {
        let mut nowhere = Viewer::connect(app.address, path).await.expect("it is accepted first");
        // It talks before it knows; what it is told must arrive all the same.
        nowhere.say(&json!({ "type": "subscribe", "race_id": 99 }).to_string()).await;
        assert_eq!(nowhere.next().await, json!({ "close": 4004, "reason": "Race not found" }), "{path}");
    }
    let plain = app.public("/ws/races/12345").await;
    assert_eq!((plain.status.as_u16(), &plain.body["code"]), (400, &json!("INVALID_DATA")));
    let mut room = Viewer::connect(app.address, "/ws/races/12345").await.expect("an upgrade");
    room.next().await;
    let mut other = Viewer::connect(app.address, "/ws/races/12345").await.expect("an upgrade");
    other.next().await;
    let end = app.log_end();
    room.say(&json!({ "type": "subscribe", "race_id": 12_345 }).to_string()).await;
    assert_eq!(room.next().await, json!({ "type": "subscribed", "race_id": 12_345 }));
    let deep = "[".repeat(2_000);
    for (said, code) in [
        ("{\"type\":\"subscribe\",\"race_id\":12346}", "NOT_FOUND"),
        ("{\"type\":\"subscribe\",\"race_id\":\"12345\"}", "INVALID_DATA"),
        ("{\"type\":\"subscribe\"}", "INVALID_DATA"),
        ("{\"type\":\"odds_update\",\"race_id\":12345,\"odds\":[]}", "INVALID_EVENT"),
        ("{}", "INVALID_DATA"),
        ("[]", "INVALID_DATA"),
        ("null", "INVALID_DATA"),
        ("subscribe", "INVALID_DATA"),
        ("", "INVALID_DATA"),
        (&deep, "INVALID_DATA"),
    ] {
        room.say(said).await;
        let answer = room.next().await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{said}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    }
    // Too long: this connection ends, the other hears on.
    room.say(&"x".repeat(5_000)).await;
    let end_of_it = room.next().await;
    assert!(end_of_it["close"] == 1009 || end_of_it.get("cut").is_some(), "{end_of_it}");
    assert_eq!(app.log_end(), end, "nothing that was said is in the log");
    app.results(&key, json!([{ "raceId": "t7", "participantId": "9876", "placing": 1 }])).await;
    assert_eq!(other.next().await["type"], "result_update");
    // Neither does the feed of an event hear anything.
    let mut viewer = Viewer::watch(&app, "trot").await;
    for said in ["{}", "subscribe", ""] {
        viewer.say(said).await;
    }
    announce(&app, "trot", "hello").await;
    assert_eq!(viewer.read().await["data"]["announcement"]["message"], "hello");
    app.stop().await;
}

#[tokio::test]
async fn the_room_of_a_race_that_is_removed_is_closed() {
    let (app, _) = course(|_| {}).await;
    let number = app.get("/api/v1/admin/races/t8", &email("organizer")).await.body["number"].clone();
    let mut room = Viewer::connect(app.address, &format!("/ws/races/{number}")).await.expect("an upgrade");
    assert_eq!(room.next().await["type"], "initial_state");
    let mut stays = Viewer::connect(app.address, "/ws/races/12345").await.expect("an upgrade");
    stays.next().await;
    assert_eq!(app.send(Method::DELETE, "/api/v1/admin/races/t8", &email("admin"), Value::Null).await.status, 204);
    assert_eq!(room.next().await["close"], 4004);
    assert_eq!(stays.next().await["type"], "initial_state", "the others of the event are shown it anew");
    app.stop().await;
}

#[tokio::test]
async fn a_race_is_simulated_in_the_demo_and_only_there() {
    let (demo, key) = course(|config| config.simulate = true).await;
    let end = demo.log_end();
    let mut room = Viewer::connect(demo.address, "/ws/races/12345").await.expect("an upgrade");
    assert_eq!(room.next().await["type"], "initial_state");
    let frame = room.next().await;
    assert_eq!((&frame["type"], &frame["simulated"]), (&json!("odds_update"), &json!(true)), "{frame}");
    assert!(frame.get("seq").is_none() && frame.get("epoch").is_none(), "it has no place: {frame}");
    let odds = frame["odds"].as_array().expect("odds");
    assert_eq!(odds.iter().map(|line| line["horse_id"].clone()).collect::<Vec<_>>(), [42, 43, 9878]);
    assert!(odds.iter().all(|line| line["odds"].as_f64().is_some_and(|odds| (1.1..22.0).contains(&odds))));
    // Another who comes is shown the same simulation, and begins none.
    let mut second = Viewer::connect(demo.address, "/ws/races/12345").await.expect("an upgrade");
    assert_eq!(second.next().await["type"], "initial_state");
    assert_eq!(demo.log_end(), end, "nothing of it is in the log");
    demo.results(&key, json!([{ "raceId": "t7", "participantId": "9876", "placing": 1 }])).await;
    let frame = second.next().await;
    assert_eq!((&frame["type"], frame.get("simulated")), (&json!("result_update"), None));
    demo.stop().await;

    let (app, key) = course(|_| {}).await;
    let mut room = Viewer::connect(app.address, "/ws/races/12345").await.expect("an upgrade");
    assert_eq!(room.next().await["type"], "initial_state");
    app.results(&key, json!([{ "raceId": "t7", "participantId": "9876", "placing": 1 }])).await;
    assert_eq!(room.next().await["type"], "result_update", "no odds came before");
    app.stop().await;
}

#[tokio::test]
async fn a_room_is_shown_the_race_anew_when_it_is_set_up_anew() {
    let (app, key) = timed("running").await;
    let mut room = Viewer::connect(app.address, "/ws/races/1").await.expect("an upgrade");
    assert_eq!(room.next().await["data"]["starter_count"], 4);
    let mut changed = regatta("running");
    changed["races"] = json!([{ "id": "r1", "raceType": "final", "name": "Final", "raceOrder": 1,
        "participants": [{ "id": "p5", "bib": 5, "name": "BOAT 5" }] }]);
    app.import(changed).await;
    let frame = room.next().await;
    assert_eq!((&frame["type"], &frame["data"]["starter_count"]), (&json!("initial_state"), &json!(5)));
    app.export(&key, export("91270")).await;
    assert_eq!(room.next().await["type"], "initial_state");
    app.stop().await;
}
