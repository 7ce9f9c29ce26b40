//! What timing software posts: when it is taken, what is passed over and why, and what it comes to.

use crate::support::TestApp;
use crate::support::people::email;
use crate::support::timing::{RESULTS, boat, class, file, race, regatta, result, timed};
use crate::support::watch::Viewer;
use reqwest::Method;
use scorecast::events::event::Event;
use scorecast::events::replay;
use scorecast::events::room::Lane;
use serde_json::{Value, json};
use std::time::Duration;

/// A small export: one race of two boats who have a time each.
fn small() -> String {
    file(&[
        class("K1M", "U23"),
        boat("a", "K1M", 11, "ALFA", "U23"),
        boat("b", "K1M", 12, "BRAVO", "U23"),
        race("K1M_FIN", 3, "K1M", "F", 7),
        result("K1M_FIN", "a", 11, ["91270", "2", "93270"], ""),
        result("K1M_FIN", "b", 12, ["91274", "2", "93274"], ""),
    ])
}

/// The code and the detail of a refusal, and its status.
fn refusal(answer: &crate::support::Reply) -> (u16, &str, &str) {
    let text = |field: &str| answer.body[field].as_str().unwrap_or_default();
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{answer:?}");
    (answer.status.as_u16(), text("code"), text("detail"))
}

#[tokio::test]
async fn what_is_posted_is_taken_only_where_the_event_is_at_that_point() {
    let (app, _) = timed("draft").await;
    // draft, startlist, running, finished, official
    let table = [
        ("xml", [true, true, true, true, false]),
        ("results", [false, false, true, true, false]),
        ("oncourse", [false, false, true, false, false]),
        ("odds", [false, true, true, false, false]),
    ];
    for (column, status) in ["draft", "startlist", "running", "finished", "official"].into_iter().enumerate() {
        let id = format!("at-{status}");
        let race = format!("race-{status}");
        app.import(json!({
            "event": { "id": id, "mainTitle": "One", "status": status },
            "races": [{ "id": race, "number": 100 * (column + 1), "raceType": "heat", "participants": [{ "id": "1", "bib": 1 }] }],
        }))
        .await;
        let key = app.key(&id).await;
        let one = json!({ "raceId": race, "participantId": "1", "time": 9_000 });
        for (post, taken) in table {
            let before = app.log_end();
            let path = format!("/api/v1/ingest/{post}");
            let answer = match post {
                "xml" => app.post_xml(&key, small()).await,
                "results" => app.keyed(&key, &path, &json!({ "results": [one] })).await,
                "oncourse" => {
                    let boat = json!({ "raceId": race, "participantId": "1", "pen": 0 });
                    app.keyed(&key, &path, &json!({ "oncourse": [boat] })).await
                }
                _ => {
                    let odds = json!([{ "horse_id": 1, "odds": 2.5 }]);
                    app.keyed(&key, &path, &json!({ "race_id": race, "odds": odds })).await
                }
            };
            if taken[column] {
                assert_eq!((answer.status.as_u16(), &answer.body["skipped"]), (200, &json!([])), "{post} {status}");
                continue;
            }
            assert_eq!((refusal(&answer).0, refusal(&answer).1), (403, "FORBIDDEN"), "{post} {status}: {answer:?}");
            assert!(refusal(&answer).2.contains(status), "{answer:?}");
            assert_eq!(app.log_end(), before, "{post} {status}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn what_is_unknown_is_reported_with_its_place_and_the_rest_is_taken() {
    let (app, key) = timed("running").await;
    let foreign = json!({ "event": { "id": "other", "mainTitle": "Other", "status": "running" },
        "races": [{ "id": "theirs", "raceType": "heat", "participants": [{ "id": "p1", "bib": 1 }] }] });
    app.import(foreign).await;
    let items = json!([
        { "raceId": "r1", "participantId": "p1", "time": 9_000 },
        { "raceId": "r9", "participantId": "p1", "time": 9_000 },
        { "raceId": "theirs", "participantId": "p1", "time": 9_000 },
        { "raceId": "r1", "participantId": "p9", "time": 9_000 },
        { "raceId": "r1", "bib": 77, "time": 9_000 },
        { "raceId": "r1", "participantId": "p2", "bib": 3, "time": 9_000 },
        { "raceId": "r1", "time": 9_000 },
        { "raceId": "r1", "participantId": "p2", "time": -1 },
        { "raceId": "r1", "participantId": "p2", "time": 1.5 },
        { "raceId": "r1", "participantId": "p2", "status": "LOST" },
        { "raceId": "r1", "participantId": "p2", "time": 9_000, "pen": 100, "total": 9_000 },
        { "raceId": "r1", "participantId": "p2", "colour": "red" },
        ["r1", "p2", null, 9_000],
        "r1",
        { "raceId": "r1", "bib": 2, "time": 9_100 },
    ]);
    let answer = app.keyed(&key, RESULTS, &json!({ "results": items })).await;
    assert_eq!((answer.status.as_u16(), &answer.body["accepted"]), (200, &json!(2)), "{answer:?}");
    let skipped: Vec<(&str, &str)> = answer.body["skipped"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| (one["ref"].as_str().unwrap_or_default(), one["reason"].as_str().unwrap_or_default()))
        .collect();
    let told = [
        (1, "race r9 does not exist"),
        (2, "race theirs does not exist"),
        (3, "participant p9 does not exist"),
        (4, "nobody wears bib 77"),
        (5, "participant p2 wears bib 2, not 3"),
        (6, "names no participant"),
        (7, "time is 0 to"),
        (8, "time: "),
        (9, "status: "),
        (10, "total is not time and pen"),
        (11, "colour: "),
        (12, "expected an object"),
        (13, ""),
    ];
    assert_eq!(skipped.len(), told.len(), "{skipped:#?}");
    for ((place, reason), (index, begins)) in skipped.iter().zip(told) {
        assert_eq!(*place, format!("results[{index}]"));
        assert!(reason.starts_with(begins) && !reason.is_empty(), "{place}: {reason}");
    }
    assert_eq!(app.lines("r1", &["bib", "rnk", "total"]).await, json!([[1, 1, 9_000], [2, 2, 9_100]]));
    let odds = json!({ "race_id": "theirs", "odds": [] });
    assert_eq!(app.keyed(&key, "/api/v1/ingest/odds", &odds).await.status, 404, "a race of another event");
    let course = json!({ "oncourse": [{ "raceId": "theirs", "participantId": "p1", "pen": 0 }, { "raceId": "r1", "bib": 1, "pen": 0 }] });
    let answer = app.keyed(&key, "/api/v1/ingest/oncourse", &course).await;
    assert_eq!((&answer.body["accepted"], &answer.body["skipped"][0]["ref"]), (&json!(1), &json!("oncourse[0]")));
    app.stop().await;
}

#[tokio::test]
async fn a_post_that_is_sent_again_is_answered_as_the_first_time_and_takes_effect_once() {
    let (app, key) = timed("running").await;
    let post = async |id: &str, path: &str, kind: &str, body: String| {
        let headers = [("x-api-key", key.as_str()), ("content-type", kind), ("idempotency-key", id)];
        app.raw_request(Method::POST, path, &headers, body).await
    };
    let (one, two) = ("10000000-0000-4000-8000-000000000001", "10000000-0000-4000-8000-000000000002");
    let body = |time: i64| json!({ "results": [{ "raceId": "r1", "bib": 1, "time": time }] }).to_string();
    let first = post(one, RESULTS, "application/json", body(9_000)).await;
    assert_eq!((first.status.as_u16(), &first.body["accepted"]), (200, &json!(1)));
    app.results(&key, json!([{ "raceId": "r1", "bib": 1, "time": 8_000 }])).await;
    let end = app.log_end();
    let again = post(one, RESULTS, "application/json", body(9_000)).await;
    assert_eq!((again.status, &again.body, app.log_end()), (first.status, &first.body, end));
    assert_eq!(app.lines("r1", &["total"]).await, json!([[8_000]]), "the late retry took nothing back");
    let other = post(one, RESULTS, "application/json", body(7_000)).await;
    assert_eq!(refusal(&other).1, "IDEMPOTENCY_MISMATCH");
    let xml = post(two, "/api/v1/ingest/xml", "application/xml", small()).await;
    let end = app.log_end();
    let again = post(two, "/api/v1/ingest/xml", "application/xml", small()).await;
    assert_eq!((again.status.as_u16(), &again.body, app.log_end()), (200, &xml.body, end));
    let wrong = post("soon", RESULTS, "application/json", body(9_000)).await;
    assert_eq!(refusal(&wrong).1, "INVALID_DATA");
    app.stop().await;
}

/// A race both sources report of, twice: `a` first by the export, `b` first by the feed.
fn both(times: [&str; 2]) -> String {
    let [a, b] = times;
    file(&[
        class("K1M", "U23"),
        boat("a", "K1M", 1, "ALFA", "U23"),
        boat("b", "K1M", 2, "BRAVO", "U23"),
        race("K1M_FIN", 1, "K1M", "F", 7),
        result("K1M_FIN", "a", 1, [a, "2", &(a.parse::<i64>().expect("a time") + 2_000).to_string()], ""),
        result("K1M_FIN", "b", 2, [b, "2", &(b.parse::<i64>().expect("a time") + 2_000).to_string()], ""),
    ])
}

#[tokio::test]
async fn which_source_counts_is_the_organisers_choice_and_may_be_changed_later() {
    let (app, key) = timed("running").await;
    app.export(&key, both(["90000", "95000"])).await;
    let fields = ["bib", "rnk", "time"];
    assert_eq!(app.lines("K1M_FIN", &fields).await, json!([[1, 1, 9_000], [2, 2, 9_500]]), "the export alone");
    app.clock.advance(Duration::from_secs(1));
    let feed = json!([{ "raceId": "K1M_FIN", "bib": 1, "time": 9_900 }]);
    let mut seq = app.results(&key, feed).await.expect("a change");
    let by_feed = json!([[2, 1, 9_500], [1, 2, 9_900]]);
    assert_eq!(app.lines("K1M_FIN", &fields).await, by_feed, "the feed, where it says anything");

    // A later export: it counts only where the newest does, or exports do.
    app.clock.advance(Duration::from_secs(1));
    app.export(&key, both(["80000", "95000"])).await;
    assert_eq!(app.lines("K1M_FIN", &fields).await, by_feed);
    let mut viewer = Viewer::watch(&app, "regatta").await;
    let by_xml = json!([[1, 1, 8_000], [2, 2, 9_500]]);
    for (policy, expected) in [("xml", &by_xml), ("feed", &by_feed), ("newest", &by_xml), ("feed", &by_feed)] {
        let changed = app.change_regatta(json!({ "status": "running", "merge": { "results": policy } })).await;
        assert_eq!((changed.status.as_u16(), &changed.body["merge"]["results"]), (200, &json!(policy)), "{changed:?}");
        assert_eq!(app.lines("K1M_FIN", &fields).await, *expected, "{policy}");
        let head = app.public("/api/v1/events/regatta").await.headers["x-seq"].clone();
        let head: i64 = head.to_str().expect("text").parse().expect("a number");
        assert!(head > seq, "the public is told");
        seq = head;
        viewer.read_to(head).await;
        assert_eq!(viewer.folded.of_race("K1M_FIN"), app.read_results("K1M_FIN").await, "{policy}");
    }
    // Newest: the feed again, later than the export.
    app.change_regatta(json!({ "status": "running", "merge": { "results": "newest" } })).await;
    app.clock.advance(Duration::from_secs(1));
    app.results(&key, json!([{ "raceId": "K1M_FIN", "bib": 1, "time": 9_800 }])).await;
    assert_eq!(app.lines("K1M_FIN", &fields).await, json!([[2, 1, 9_500], [1, 2, 9_800]]));
    // What the feed takes back leaves what the export says.
    app.results(&key, json!([{ "raceId": "K1M_FIN", "bib": 1 }])).await;
    assert_eq!(app.lines("K1M_FIN", &fields).await, by_xml);

    for status in ["finished", "official"] {
        app.set_status("regatta", status).await;
    }
    let late = app.change_regatta(json!({ "status": "official", "merge": { "results": "xml" } })).await;
    assert_eq!(refusal(&late).1, "STATE", "what is official stays");
    app.stop().await;
}

#[tokio::test]
async fn viewers_hear_of_bibs_that_change_and_of_results_that_go() {
    let (app, key) = timed("running").await;
    let mut viewer = Viewer::watch(&app, "regatta").await;
    let times = json!([{ "raceId": "r1", "bib": 1, "time": 9_000 }, { "raceId": "r1", "bib": 2, "time": 9_100 }]);
    viewer.read_to(app.results(&key, times).await.expect("news")).await;
    let seq = app.results(&key, json!([{ "raceId": "r1", "bib": 1 }])).await.expect("news");
    let frame = viewer.read().await;
    assert_eq!(frame["seq"], seq);
    assert_eq!(frame["data"]["removed"], json!([{ "raceId": "r1", "bib": 1 }]));
    assert_eq!(frame["data"]["results"][0]["rnk"], 1, "who is left moves up: {frame}");
    // Bib 2 is worn by another boat from now on, and its boat wears 20.
    let mut race = regatta("running")["races"][0].clone();
    race["participants"][0]["bib"] = json!(2);
    race["participants"][1]["bib"] = json!(20);
    let mut spec = race.as_object().expect("fields").clone();
    spec.remove("id");
    spec.insert("eventId".into(), json!("regatta"));
    let put = app.send(Method::PUT, "/api/v1/admin/races/r1", &email("organizer"), Value::Object(spec)).await;
    assert_eq!(put.status, 200, "{put:?}");
    assert_eq!(app.lines("r1", &["bib", "name", "rnk"]).await, json!([[20, "BOAT 2", 1]]), "the line has the new bib");
    let frame = viewer.read().await;
    assert_eq!((&frame["type"], &frame["data"]["results"][0]["bib"]), (&json!("full"), &json!(20)), "{frame}");
    let seq = app.results(&key, json!([{ "raceId": "r1", "bib": 2, "time": 9_500 }])).await.expect("news");
    viewer.read_to(seq).await;
    assert_eq!(viewer.folded.of_race("r1"), app.read_results("r1").await);
    assert_eq!(viewer.gaps, 0);
    app.stop().await;
}

#[tokio::test]
async fn of_two_who_wear_one_bib_the_one_who_stays_is_not_taken_for_gone() {
    let (app, key) = timed("running").await;
    let twins = json!({
        "event": { "id": "regatta", "mainTitle": "The Regatta", "location": "Troja", "status": "running" },
        "races": [{ "id": "r3", "raceType": "heat", "participants": [
            { "id": "x", "bib": 7, "name": "X" }, { "id": "y", "bib": 7, "name": "Y" } ] }],
    });
    app.import(twins).await;
    let mut viewer = Viewer::watch(&app, "regatta").await;
    let item = |id: &str, time: i64| json!([{ "raceId": "r3", "participantId": id, "time": time }]);
    app.results(&key, item("x", 9_000)).await;
    app.results(&key, item("y", 9_000)).await;
    let seq = app.results(&key, json!([{ "raceId": "r3", "participantId": "x" }])).await.expect("news");
    viewer.read_to(seq).await;
    assert_eq!(viewer.folded.of_race("r3"), app.read_results("r3").await);
    app.stop().await;
}

#[tokio::test]
async fn equal_times_share_a_place_and_who_has_none_comes_last() {
    let (app, key) = timed("running").await;
    let items = json!([
        { "raceId": "r1", "bib": 4, "time": 9_100 },
        { "raceId": "r1", "bib": 1, "time": 8_900, "pen": 200, "total": 9_100, "gates": [0, 2, null] },
        { "raceId": "r1", "bib": 2, "time": 9_000 },
        { "raceId": "r1", "bib": 3, "time": 1_000, "status": "DSQ" },
    ]);
    app.results(&key, items).await;
    let fields = ["bib", "rnk", "catRnk", "time", "pen", "total", "totalBehind", "status", "gates"];
    let lines = app.lines("r1", &fields).await;
    assert_eq!(
        lines,
        json!([
            [2, 1, 1, 9_000, null, 9_000, 0, null, null],
            [1, 2, 1, 8_900, 200, 9_100, 100, null, [0, 2, null]],
            [4, 2, 2, 9_100, null, 9_100, 100, null, null],
            [3, null, null, 1_000, null, null, null, "DSQ", null],
        ])
    );
    for status in ["DNS", "DNF", "CAP", "DSQ"] {
        app.results(&key, json!([{ "raceId": "r1", "bib": 2, "time": 100, "status": status }])).await;
        let lines = app.lines("r1", &["bib", "rnk", "status", "total"]).await;
        assert_eq!(lines[0][1], 1, "{status}");
        assert_eq!(lines[2], json!([2, null, status, null]), "{status}: {lines}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_thousandth_decides_a_place_and_is_not_shown() {
    let (app, key) = timed("running").await;
    app.export(&key, small()).await;
    let fields = ["bib", "rnk", "time", "pen", "total", "totalBehind"];
    assert_eq!(
        app.lines("K1M_FIN", &fields).await,
        json!([[11, 1, 9_127, 200, 9_327, 0], [12, 2, 9_127, 200, 9_327, 0]])
    );
    // The feed speaks in hundredths.
    app.results(&key, json!([{ "raceId": "K1M_FIN", "bib": 12, "time": 9_126, "pen": 200 }])).await;
    assert_eq!(app.lines("K1M_FIN", &["bib", "rnk", "total"]).await, json!([[12, 1, 9_326], [11, 2, 9_327]]));
    app.stop().await;
}

#[tokio::test]
async fn of_two_runs_the_better_counts_and_the_other_decides_between_equal_ones() {
    let (app, key) = timed("running").await;
    // Another event had the ids first.
    let taken = json!({ "event": { "id": "before", "mainTitle": "Before", "status": "running" },
        "races": [{ "id": "K1M_BR2_6", "raceType": "heat" }] });
    app.import(taken).await;
    let mut records = vec![class("K1M", "U23")];
    for (index, id) in ["a", "b", "c", "d"].into_iter().enumerate() {
        records.push(boat(id, "K1M", i64::try_from(index).expect("small") + 1, &id.to_uppercase(), "U23"));
    }
    records.extend([race("K1M_BR1_6", 1, "K1M", "BR1", 7), race("K1M_BR2_6", 2, "K1M", "BR2", 7)]);
    for run in ["K1M_BR1_6", "K1M_BR2_6"] {
        records
            .extend(["a", "b", "c", "d"].into_iter().zip(1..).map(|(id, bib)| result(run, id, bib, ["", "", ""], "")));
    }
    app.export(&key, file(&records)).await;
    let first = |bib: i64, time: i64| json!({ "raceId": "K1M_BR1_6", "bib": bib, "time": time });
    let second = |bib: i64, time: i64| json!({ "raceId": "K1M_BR2_6", "bib": bib, "time": time });
    app.results(&key, json!([first(1, 9_000), first(2, 9_200), first(3, 9_500), first(4, 8_000)])).await;
    let fields = ["bib", "rnk", "total", "status"];
    let after_one = json!([[4, 1, 8_000, null], [1, 2, 9_000, null], [2, 3, 9_200, null], [3, 4, 9_500, null]]);
    assert_eq!(app.lines("K1M_BR1_6", &fields).await, after_one);
    assert_eq!(app.lines("K1M_BR2_6", &fields).await, after_one, "the second run begins with what the first was");
    let missed = json!({ "raceId": "K1M_BR2_6", "bib": 4, "status": "DNF" });
    app.results(&key, json!([second(1, 9_600), second(2, 9_000), second(3, 9_000), missed])).await;
    assert_eq!(
        app.lines("K1M_BR2_6", &fields).await,
        // Three have 9,000: the other runs were 9,600, 9,200 and 9,500.
        json!([[4, 1, 8_000, "DNF"], [2, 2, 9_000, null], [3, 3, 9_000, null], [1, 4, 9_000, null]])
    );
    // A correction of the first run reaches the second.
    let mut viewer = Viewer::watch(&app, "regatta").await;
    let seq = app.results(&key, json!([first(3, 8_500)])).await.expect("news");
    viewer.read_to(seq).await;
    assert_eq!(app.lines("K1M_BR2_6", &fields).await[1], json!([3, 2, 8_500, null]));
    for race in ["K1M_BR1_6", "regatta.K1M_BR2_6"] {
        assert_eq!(viewer.folded.of_race(race), app.read_results(race).await, "{race}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_file_that_is_read_again_changes_nothing() {
    let (app, key) = timed("startlist").await;
    let seq = app.export(&key, small()).await.expect("it is news");
    let end = app.log_end();
    let again = app.post_xml(&key, small()).await;
    let said = &again.body;
    assert_eq!((again.status.as_u16(), &said["accepted"], &said["receipt"]), (200, &json!(2), &Value::Null), "{said}");
    assert_eq!((&said["classes"], &said["races"], &said["participants"]), (&json!(1), &json!(1), &json!(2)));
    assert_eq!(app.log_end(), end);
    // The same as JSON.
    let json = app.keyed(&key, "/api/v1/ingest/xml", &json!({ "xml": small() })).await;
    assert_eq!((json.status.as_u16(), app.log_end()), (200, end), "{json:?}");
    let told: i64 =
        app.public("/api/v1/events/regatta").await.headers["x-seq"].to_str().expect("text").parse().expect("a number");
    assert_eq!(told, seq);
    // Without one of them, it is not on the list any more; nor has it a result.
    let without = file(&[
        class("K1M", "U23"),
        boat("b", "K1M", 12, "BRAVO", "U23"),
        race("K1M_FIN", 3, "K1M", "F", 7),
        result("K1M_FIN", "b", 12, ["91274", "2", "93274"], ""),
    ]);
    app.export(&key, without).await.expect("news");
    assert_eq!(app.lines("K1M_FIN", &["bib", "rnk"]).await, json!([[12, 1]]));
    let list = app.public("/api/v1/events/regatta/startlist/K1M_FIN").await.body;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    app.stop().await;
}

#[tokio::test]
async fn the_ids_of_timing_computers_are_their_own() {
    let (app, key) = timed("running").await;
    app.import(json!({ "event": { "id": "next-year", "mainTitle": "Next", "status": "running" } })).await;
    let next = app.key("next-year").await;
    app.export(&key, small()).await;
    app.export(&next, small()).await;
    let races = |event: &str| format!("/api/v1/events/{event}/races");
    let ours = app.public(&races("regatta")).await.body["items"].clone();
    let theirs = app.public(&races("next-year")).await.body["items"].clone();
    assert_eq!((&ours[2]["raceId"], &theirs[0]["raceId"]), (&json!("K1M_FIN"), &json!("next-year.K1M_FIN")));
    assert_ne!(ours[2]["number"], theirs[0]["number"]);
    // Each posts to its own by the one id.
    app.results(&next, json!([{ "raceId": "K1M_FIN", "bib": 11, "status": "DNF" }])).await;
    assert_eq!(app.lines("K1M_FIN", &["bib", "status"]).await, json!([[11, null], [12, null]]));
    let there = app.public("/api/v1/events/next-year/results/K1M_FIN").await.body;
    assert_eq!(
        (&there["items"][1]["status"], &there["items"][1]["raceId"]),
        (&json!("DNF"), &json!("next-year.K1M_FIN"))
    );
    // An id of a participant is one of a class.
    let two_classes = file(&[
        class("C1M", "SEN"),
        class("C1W", "SEN"),
        boat("7", "C1M", 1, "MAN", "SEN"),
        boat("7", "C1W", 2, "WOMAN", "SEN"),
        race("C1M_FIN", 1, "C1M", "F", 3),
        race("C1W_FIN", 2, "C1W", "F", 3),
        result("C1M_FIN", "7", 1, ["", "", ""], ""),
        result("C1W_FIN", "7", 2, ["", "", ""], ""),
    ]);
    app.export(&next, two_classes).await;
    for (race, name) in [("C1M_FIN", "MAN"), ("C1W_FIN", "WOMAN")] {
        let list = app.public(&format!("/api/v1/events/next-year/startlist/{race}")).await.body;
        assert_eq!(list["items"][0]["name"], name, "{race}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_race_that_is_official_stays_so() {
    let (app, key) = timed("running").await;
    let with = |status: i64| {
        file(&[
            class("K1M", "U23"),
            boat("a", "K1M", 11, "ALFA", "U23"),
            race("K1M_FIN", 3, "K1M", "F", status),
            result("K1M_FIN", "a", 11, ["91270", "2", "93270"], ""),
        ])
    };
    app.export(&key, with(11)).await;
    let answer = app.post_xml(&key, with(7)).await;
    assert_eq!(
        answer.body["skipped"],
        json!([{ "ref": "Schedule[0]", "reason": "race K1M_FIN is official and stays so" }])
    );
    let races = app.public("/api/v1/events/regatta/races").await.body;
    assert_eq!(races["items"][2]["raceStatus"], 11, "{races}");
    app.stop().await;
}

#[tokio::test]
async fn who_is_on_the_course_is_told_at_once_and_forgotten_after_ten_seconds() {
    let (app, key) = timed("running").await;
    let mut viewer = Viewer::watch(&app, "regatta").await;
    let end = app.log_end();
    let boat =
        |bib: i64, pen: i64| json!({ "raceId": "r1", "bib": bib, "position": bib, "pen": pen, "gates": [0, null] });
    let post = async |boats: Value| app.keyed(&key, "/api/v1/ingest/oncourse", &json!({ "oncourse": boats })).await;
    assert_eq!(post(json!([boat(1, 0), boat(2, 200)])).await.body, json!({ "accepted": 2, "skipped": [] }));
    let frame = viewer.read().await;
    let expected = json!([
        { "raceId": "r1", "bib": 1, "name": "BOAT 1", "club": "Harbour", "position": 1, "gates": [0, null],
          "completed": false, "pen": 0 },
        { "raceId": "r1", "bib": 2, "name": "BOAT 2", "club": "Harbour", "position": 2, "gates": [0, null],
          "completed": false, "pen": 200 },
    ]);
    assert_eq!(frame, json!({ "type": "diff", "data": { "oncourse": expected }, "epoch": viewer.folded.epoch }));
    assert_eq!(app.public("/api/v1/events/regatta/oncourse").await.body["items"], expected);
    // A later post keeps it there.
    app.clock.advance(Duration::from_secs(9));
    post(json!([boat(2, 200)])).await;
    assert_eq!(viewer.read().await["data"]["oncourse"].as_array().map(Vec::len), Some(1));
    app.clock.advance(Duration::from_secs(9));
    assert_eq!(app.public("/api/v1/events/regatta/oncourse").await.body["items"].as_array().map(Vec::len), Some(1));
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(app.public("/api/v1/events/regatta/oncourse").await.body["items"], json!([]));
    assert_eq!(viewer.read().await["data"], json!({ "oncourse": [] }));
    assert_eq!(app.log_end(), end, "it stands in no log");
    app.stop().await;
}

#[tokio::test]
async fn splits_say_how_far_behind_the_fastest_they_were() {
    let (app, key) = timed("running").await;
    let split = |bib: i64, point: &str, ms: i64| json!([{ "raceId": "r1", "bib": bib, "splits": [{ "timingPointId": point, "label": "500 m", "distanceM": 500, "timeMs": ms }] }]);
    let relative = async |seq: i64| {
        let lane = Lane::Public("regatta".parse().expect("an id"));
        let page = replay::page(&app.app.db, &lane, &(seq - 1..seq)).await.expect("the log is read");
        let Some(Event::SplitsPassed(fact)) = page.first().map(|entry| entry.event.clone()) else { panic!("{page:?}") };
        fact.splits.iter().map(|split| split.relative_ms).collect::<Vec<_>>()
    };
    let seq = app.results(&key, split(1, "500", 60_000)).await.expect("a first");
    assert_eq!(relative(seq).await, [None], "nobody was there before");
    let seq = app.results(&key, split(2, "500", 61_500)).await.expect("a second");
    assert_eq!(relative(seq).await, [Some(1_500)]);
    assert_eq!(app.results(&key, split(2, "500", 61_500)).await, None, "said again, it is no news");
    assert_eq!(app.read_results("r1").await, Vec::<Value>::new(), "a split is no result");
    let seq = app.results(&key, split(1, "500", 62_000)).await.expect("a correction");
    assert_eq!(relative(seq).await, [Some(500)], "not behind what oneself had before");
    let both = json!([split(3, "500", 61_000)[0], split(4, "500", 63_000)[0]]);
    let seq = app.results(&key, both).await.expect("two at once");
    assert_eq!(relative(seq).await, [Some(-500), Some(2_000)]);
    // Extremes of numbers are refused, not computed with.
    for (field, value) in [
        ("timeMs", i64::MAX),
        ("timeMs", i64::MIN),
        ("distanceM", i64::MAX),
        ("orderIndex", i64::MIN),
        ("orderIndex", i64::MAX),
    ] {
        let mut item = split(1, "500", 60_000);
        item[0]["splits"][0][field] = json!(value);
        let answer = app.keyed(&key, RESULTS, &json!({ "results": item })).await;
        assert_eq!((answer.status.as_u16(), &answer.body["accepted"]), (200, &json!(0)), "{field} {value}: {answer:?}");
    }
    for (field, value) in
        [("time", i64::MAX), ("pen", i64::MAX), ("total", i64::MIN), ("placing", i64::MAX), ("bib", i64::MIN)]
    {
        let mut item = json!({ "raceId": "r1", "participantId": "p1", "time": 1 });
        item[field] = json!(value);
        let answer = app.keyed(&key, RESULTS, &json!({ "results": [item] })).await;
        assert_eq!((answer.status.as_u16(), &answer.body["accepted"]), (200, &json!(0)), "{field} {value}: {answer:?}");
    }
    // A race has a hundred timing points, however they come.
    let points = |from: i64, to: i64| {
        let split = |point: i64| json!({ "timingPointId": point.to_string(), "timeMs": point });
        json!([{ "raceId": "r1", "bib": 3, "splits": (from..to).map(split).collect::<Vec<_>>() }])
    };
    app.results(&key, points(1_000, 1_099)).await.expect("with 500 they are a hundred");
    let more = app.keyed(&key, RESULTS, &json!({ "results": points(2_000, 2_001) })).await;
    assert_eq!(more.body["skipped"][0]["reason"], "a race has at most 100 timing points");
    app.results(&key, split(3, "500", 70_000)).await.expect("known ones go on");
    app.stop().await;
}

#[tokio::test]
async fn a_bad_body_is_refused_by_a_stable_code_and_changes_nothing() {
    let (app, key) = timed("running").await;
    let end = app.log_end();
    let post = async |kind: &str, body: Vec<u8>| {
        let headers = [("x-api-key", key.as_str()), ("content-type", kind)];
        app.raw_request(Method::POST, "/api/v1/ingest/xml", &headers, body).await
    };
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE lolz [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><Canoe123Data>&b;</Canoe123Data>";
    let foreign = "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><Canoe123Data>&f;</Canoe123Data>";
    let latin = b"<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><Canoe123Data>\xE9</Canoe123Data>".to_vec();
    let mut deep = b"{\"xml\":".to_vec();
    deep.extend(std::iter::repeat_n(b'[', 100_000));
    for (what, kind, body, code, says) in [
        ("no XML", "application/xml", b"hello".to_vec(), "INVALID_DATA", "not XML"),
        ("nothing", "application/xml", Vec::new(), "INVALID_DATA", "empty"),
        ("cut off", "application/xml", b"<Canoe123Data><Results>".to_vec(), "INVALID_DATA", "cut off"),
        ("ill-formed", "application/xml", b"<Canoe123Data></Results>".to_vec(), "INVALID_DATA", "xml"),
        ("a bomb", "application/xml", bomb.as_bytes().to_vec(), "INVALID_DATA", "document type"),
        ("a foreign entity", "text/xml", foreign.as_bytes().to_vec(), "INVALID_DATA", "document type"),
        ("latin letters", "application/xml", latin, "INVALID_DATA", "only UTF-8"),
        ("no UTF-8", "application/xml", b"<Canoe123Data>\xE9</Canoe123Data>".to_vec(), "INVALID_DATA", "only UTF-8"),
        ("no kind", "text/plain", small().into_bytes(), "INVALID_DATA", "application/xml"),
        ("a form", "application/x-www-form-urlencoded", b"xml=1".to_vec(), "INVALID_DATA", "application/xml"),
        ("XML as JSON", "application/json", small().into_bytes(), "INVALID_DATA", ""),
        ("JSON without it", "application/json", b"{}".to_vec(), "INVALID_DATA", "xml"),
        ("deep JSON", "application/json", deep, "INVALID_DATA", "recursion"),
        ("a byte too many", "application/xml", vec![b' '; 10 * 1024 * 1024 + 1], "TOO_LARGE", "10485760"),
    ] {
        let answer = post(kind, body).await;
        let (status, found, detail) = refusal(&answer);
        assert_eq!((status, found), (if code == "TOO_LARGE" { 413 } else { 400 }, code), "{what}: {answer:?}");
        assert!(detail.contains(says), "{what}: {detail}");
        assert_eq!(app.log_end(), end, "{what}");
    }
    let nested = format!("{{\"results\":{}", "[".repeat(100_000));
    let headers = [("x-api-key", key.as_str()), ("content-type", "application/json")];
    for (body, code) in [
        (nested, "INVALID_DATA"),
        ("[]".to_owned(), "INVALID_DATA"),
        (String::new(), "INVALID_DATA"),
        ("{\"results\":{}}".to_owned(), "INVALID_DATA"),
        (json!({ "results": vec![json!({}); 2_001] }).to_string(), "TOO_LARGE"),
    ] {
        let answer = app.raw_request(Method::POST, RESULTS, &headers, body).await;
        assert_eq!(refusal(&answer).1, code, "{answer:?}");
    }
    let big = app.raw_request(Method::POST, RESULTS, &headers, " ".repeat(2 * 1024 * 1024 + 1)).await;
    assert_eq!(refusal(&big), (413, "TOO_LARGE", "more than 2097152 bytes in a body"));
    assert_eq!(app.log_end(), end);
    // The largest there may be is read.
    let mut largest = small().into_bytes();
    largest.resize(10 * 1024 * 1024, b' ');
    assert_eq!(post("application/xml; charset=utf-8", largest).await.status, 200);
    assert_eq!(app.lines("K1M_FIN", &["bib"]).await, json!([[11], [12]]), "the server is fine");
    for outcome in ["taken", "refused"] {
        assert!(app.metric(&format!("scorecast_ingest_total{{outcome=\"{outcome}\",source=\"xml\"}}")) > 0);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_hostile_key_does_not_keep_the_writer_busy() {
    let (app, key) = timed("running").await;
    let boats = |number: i64| json!({ "id": format!("n{number}"), "bib": number, "name": "N" });
    app.import(json!({
        "event": { "id": "regatta", "mainTitle": "The Regatta", "location": "Troja", "status": "running" },
        "races": [{ "id": "big", "raceType": "heat", "participants": (1..=2_000).map(boats).collect::<Vec<_>>() }],
    }))
    .await;
    let all = |from: i64| {
        (1..=2_000).map(|bib| json!({ "raceId": "big", "bib": bib, "time": from + bib })).collect::<Value>()
    };
    let splits = |bib: i64| {
        let split = |point: i64| json!({ "timingPointId": point.to_string(), "timeMs": 1_000 + bib + point });
        json!({ "raceId": "big", "bib": bib, "splits": (0..25).map(split).collect::<Vec<_>>() })
    };
    for (what, items) in
        [("results", all(1_000)), ("other results", all(500)), ("splits", (1..=2_000).map(splits).collect())]
    {
        let answer = app.keyed(&key, RESULTS, &json!({ "results": items })).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["accepted"]),
            (200, &json!(2_000)),
            "{what}: {:?}",
            answer.body
        );
    }
    assert_eq!(app.lines("big", &["bib", "rnk"]).await[1_999], json!([2_000, 2_000]));
    // Read and settled well within the time a request has, as all of these.
    let mut records = vec![class("K1M", "U23")];
    let ids: Vec<String> = (1..=2_000).map(|id| format!("b{id}")).collect();
    records.extend(ids.iter().zip(1..).map(|(id, bib)| boat(id, "K1M", bib, "N", "U23")));
    for index in 0..5 {
        let id = format!("K1M_X{index}");
        records.push(race(&id, index, "K1M", "F", 7));
        records.extend(
            ids.iter().zip(1..).map(|(one, bib)| result(&id, one, bib, [&(90_000 + bib).to_string(), "", ""], "")),
        );
    }
    app.export(&key, file(&records)).await;
    app.stop().await;
}

#[tokio::test]
async fn an_event_with_results_is_not_deleted() {
    let (app, key) = timed("running").await;
    app.results(&key, json!([{ "raceId": "r1", "bib": 1, "time": 9_000 }])).await;
    let gone = app.send(Method::DELETE, "/api/v1/admin/events/regatta", &email("admin"), Value::Null).await;
    assert_eq!(refusal(&gone), (409, "STATE", "race r1 has results; what happened is kept"));
    assert_eq!(app.lines("r1", &["bib"]).await, json!([[1]]));
    app.stop().await;
}

/// Somebody else's key, and none.
#[tokio::test]
async fn without_a_good_key_nothing_is_taken() {
    let (app, key) = timed("running").await;
    let item = json!({ "results": [{ "raceId": "r1", "bib": 1, "time": 9_000 }] });
    let other: &TestApp = &app;
    let cup = other.key("cup").await;
    assert_eq!(app.keyed(&cup, RESULTS, &item).await.body["accepted"], 0, "it is of another event");
    let none = app.request(Method::POST, RESULTS, None, Some(item.clone())).await;
    assert_eq!(refusal(&none).0, 401);
    let user = app.post(RESULTS, &email("admin"), item.clone()).await;
    assert_eq!(refusal(&user).0, 403, "results are posted by keys");
    let wrong = app.keyed(&key.replace(|c: char| c.is_ascii_digit(), "0"), RESULTS, &item).await;
    assert_eq!(refusal(&wrong).0, 401);
    app.stop().await;
}
