//! Any board as it stood at a place of the log: for whoever may see it now, and for nobody else.

use crate::publication::{correct_before_the_officers, judged, publish, publish_beam};
use crate::support::people::email;
use crate::support::timing::{boat, class, file, race, result, timed, timed_with};
use crate::support::{Reply, TestApp, client::Client};
use reqwest::Method;
use serde_json::{Value, json};

const RACES: [&str; 2] = ["r1", "K1M_FIN"];

/// An export of one race of two boats; a boat without a time has not come in.
fn export(boats: &[(&str, i64, [&str; 3])]) -> String {
    let mut records = vec![class("K1M", "SEN"), race("K1M_FIN", 3, "K1M", "FIN", 7)];
    records.extend(boats.iter().map(|(id, bib, _)| boat(id, "K1M", *bib, &format!("BOAT {id}"), "SEN")));
    records.extend(boats.iter().map(|(id, bib, times)| result("K1M_FIN", id, *bib, *times, "")));
    file(&records)
}

fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply.headers[name].to_str().expect("text")
}

/// Results and start list of each race, as anyone reads them; none of a race that is not there.
async fn lists(app: &TestApp, query: &str) -> Vec<Value> {
    let mut lists = Vec::new();
    for race in RACES {
        for kind in ["results", "startlist"] {
            let read = app.public(&format!("/api/v1/events/regatta/{kind}/{race}{query}")).await;
            lists.push(if read.status == 404 { json!([]) } else { read.body["items"].clone() });
        }
    }
    lists
}

#[tokio::test]
async fn results_and_start_lists_can_be_seen_as_they_stood() {
    let (app, key) = timed("running").await;
    let mut stood = vec![(0, vec![json!([]); 4])];
    let mut note = async |seq: Option<i64>| {
        stood.push((seq.expect("a place"), lists(&app, "").await));
    };
    note(app.results(&key, json!([{ "raceId": "r1", "participantId": "p1", "time": 9_000 }])).await).await;
    note(app.export(&key, export(&[("a", 1, ["80.00", "2", "82.00"]), ("b", 2, ["", "", ""])])).await).await;
    // Another bib, another time, and somebody who is on the list no more.
    note(app.export(&key, export(&[("a", 2, ["79.00", "2", "81.00"]), ("c", 1, ["90.00", "0", "90.00"])])).await).await;
    note(app.results(&key, json!([{ "raceId": "r1", "participantId": "p2", "time": 8_900 }])).await).await;
    note(app.export(&key, export(&[("c", 3, ["90.00", "0", "90.00"])])).await).await;
    let swapped = json!({
        "eventId": "regatta", "raceType": "final", "name": "Final", "raceOrder": 1,
        "participants": [{ "id": "p1", "bib": 9, "name": "BOAT 1" }, { "id": "p2", "bib": 2, "name": "BOAT 2", "startOrder": 1 }],
    });
    let put = app.send(Method::PUT, "/api/v1/admin/races/r1", &email("organizer"), swapped).await;
    assert!(put.status.is_success(), "{put:?}");
    let head = header(&app.public("/api/v1/events/regatta/results/r1").await, "x-seq").parse().ok();
    note(head).await;
    let unnamed = |lists: &[Value]| -> Vec<Vec<Value>> {
        let lines = |list: &Value| list.as_array().expect("a list").clone();
        let plain = |mut line: Value| {
            for name in ["name", "club", "noc", "catId"] {
                line.as_object_mut().expect("a line").remove(name);
            }
            line
        };
        lists.iter().map(|list| lines(list).into_iter().map(plain).collect()).collect()
    };
    for (seq, expected) in &stood {
        let then = lists(&app, &format!("?at={seq}")).await;
        // Before the first fact of all nothing had been told of anything.
        assert_eq!(unnamed(&then), unnamed(expected), "at {seq}");
    }
    let read = app.public("/api/v1/events/regatta/results/r1?at=2").await;
    assert_eq!(header(&read, "x-seq"), "2");
    assert!(header(&read, "etag").starts_with("W/"), "{read:?}");
    for kind in ["results", "startlist"] {
        for (path, status) in [
            (format!("regatta/{kind}/r1?at=-1"), 400),
            (format!("regatta/{kind}/r1?at=100000"), 400),
            (format!("regatta/{kind}/r1?at=soon"), 400),
            (format!("regatta/{kind}/none?at=1"), 404),
            (format!("none/{kind}/r1?at=1"), 404),
        ] {
            assert_eq!(app.public(&format!("/api/v1/events/{path}")).await.status, status, "{path}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn what_came_while_an_event_was_a_draft_is_there_once_it_is_open() {
    let (app, key) = timed("draft").await;
    assert_eq!(app.export(&key, export(&[("a", 1, ["80.00", "2", "82.00"])])).await, None, "nobody is told of a draft");
    assert_eq!(app.public("/api/v1/events/regatta/results/K1M_FIN?at=0").await.status, 404);
    app.set_status("regatta", "startlist").await;
    let now = lists(&app, "").await;
    assert_eq!(now[2].as_array().map(Vec::len), Some(1), "{now:?}");
    assert_eq!(lists(&app, "?at=1").await, now);
    app.stop().await;
}

#[tokio::test]
async fn a_race_that_found_no_room_in_the_log_is_told_as_such() {
    let (app, _key) = timed("startlist").await;
    let starters: Vec<Value> = (1..=1_900).map(|bib| json!({ "id": format!("s{bib}"), "bib": bib })).collect();
    let race = |id: &str| json!({ "id": id, "raceType": "heat", "participants": starters });
    app.import(json!({
        "event": { "id": "regatta", "mainTitle": "The Regatta" }, "races": [race("big1"), race("big2"), race("big3")],
    }))
    .await;
    let read = async |race: &str| app.public(&format!("/api/v1/events/regatta/startlist/{race}?at=2")).await;
    for race in ["big1", "big2"] {
        assert_eq!(read(race).await.body["items"].as_array().map(Vec::len), Some(1_900), "{race}");
    }
    let refused = read("big3").await;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (409, &json!("STATE")), "{refused:?}");
    app.stop().await;
}

#[tokio::test]
async fn standings_and_what_is_published_can_be_seen_as_they_stood() {
    let hall = judged().await;
    let app = &hall.app;
    let standings =
        async |at: &str, who: &str| app.get(&format!("/api/v1/contests/women/standings{at}"), &email(who)).await;
    let seq = |body: &Value| body["seq"].as_i64().expect("a place");
    let empty = standings("", "tally").await.body;
    publish_beam(&hall).await;
    let before = standings("", "tally").await.body;
    assert_ne!(empty["standings"], before["standings"]);
    publish(app, "unofficial").await;
    let first = standings("", "emcee").await.body;
    correct_before_the_officers(&hall).await;
    hall.certify().await;
    publish(app, "official").await;
    let (after, last) = (standings("", "tally").await.body, standings("", "emcee").await.body);
    assert_ne!(before["standings"], after["standings"]);
    for expected in [&empty, &before, &after] {
        assert_eq!(&standings(&format!("?at={}", seq(expected)), "tally").await.body, expected);
    }
    for expected in [&first, &last] {
        assert_eq!(&standings(&format!("?at={}", seq(expected)), "emcee").await.body, expected);
    }
    for (at, who, status) in [
        (seq(&before), "emcee", 403),
        (seq(&before), "ada", 403),
        (seq(&last), "ada", 200),
        (seq(&last), "idle", 403),
        (-1, "tally", 400),
        (1_000_000, "tally", 400),
        (1_000_000, "idle", 403),
    ] {
        assert_eq!(standings(&format!("?at={at}"), who).await.status, status, "{who} at {at}");
    }

    // The same category by category, in its own numbers, and what anyone was shown, in those of the public lane.
    let tally = async |at: i64, who: &str| {
        let path = format!("/api/v1/categories/vault/tally?at={at}");
        app.get(&path, &email(who)).await
    };
    let head = app.get("/api/v1/categories/vault/scores", &email("tally")).await.body["seq"].as_i64().expect("a place");
    assert_eq!(tally(1, "emcee").await.status, 403, "nothing was published by then");
    assert_eq!(tally(head, "emcee").await.body["stage"], "PUBLISHED");
    assert_eq!(tally(head, "gymnast").await.status, 403);
    let judged = async |query: &str| app.public(&format!("/api/v1/events/cup/judged{query}")).await;
    let revisions = |body: &Value| -> Vec<(Value, Value)> {
        let items = body["items"].as_array().expect("items").iter();
        items.map(|item| (item["category"]["id"].clone(), item["revision"].clone())).collect()
    };
    let now: i64 = header(&judged("").await, "x-seq").parse().expect("a place");
    assert_eq!(revisions(&judged(&format!("?at={now}")).await.body), revisions(&judged("").await.body));
    assert_eq!(revisions(&judged("?at=2").await.body), [(json!("beam"), json!(1))]);
    assert_eq!(
        revisions(&judged(&format!("?at={}", now - 1)).await.body),
        [(json!("beam"), json!(1)), (json!("vault"), json!(1))]
    );
    assert_eq!(revisions(&judged("?at=1").await.body), []);
    for at in [-1, now + 1] {
        assert_eq!(judged(&format!("?at={at}")).await.status, 400, "{at}");
    }
    hall.app.stop().await;
}

async fn ok(client: &Client, event: &str, payload: Value) {
    let answer = client.call(event, payload).await;
    assert_eq!(answer["ok"], true, "{event}: {answer}");
}

#[tokio::test]
async fn certification_completeness_and_decisions_can_be_seen_as_they_stood() {
    let hall = judged().await;
    let app = &hall.app;
    let paths = ["certification", "completeness", "deductions", "flags"];
    let read = async |query: &str, who: &str| {
        let mut read = Vec::new();
        for path in paths {
            let answer = app.get(&format!("/api/v1/categories/vault/{path}{query}"), &email(who)).await;
            read.push(if answer.status.is_success() { answer.body } else { json!(answer.status.as_u16()) });
        }
        read
    };
    let seq = async || {
        app.get("/api/v1/categories/vault/scores", &email("tally")).await.body["seq"].as_i64().expect("a place")
    };
    let mut stood = vec![(seq().await, read("", "tally").await, read("", "ada").await)];
    let asked = json!({ "contestantId": "y", "amount": 0.5, "reason": "fall" });
    let asked = app.post("/api/v1/categories/vault/deductions", &email("tally"), asked).await;
    let id = asked.body["deduction"]["id"].as_str().expect("an id").to_owned();
    stood.push((seq().await, read("", "tally").await, read("", "ada").await));
    let closed = json!({ "reason": "it was none" });
    let closed = app.post(&format!("/api/v1/deductions/{id}/reject"), &email("auditor"), closed).await;
    assert!(closed.status.is_success(), "{closed:?}");
    ok(&hall.tally, "flag:raise", json!({ "categoryId": "vault", "text": "look at it" })).await;
    stood.push((seq().await, read("", "tally").await, read("", "ada").await));
    for (seq, office, judge) in &stood {
        let query = format!("?at={seq}");
        assert_eq!((&read(&query, "tally").await, &read(&query, "ada").await), (office, judge), "at {seq}");
    }
    let begin = read("?at=0", "tally").await;
    assert_eq!(
        (&begin[0]["status"], &begin[1]["given"], &begin[2]["items"]),
        (&json!("PENDING"), &json!(0), &json!([]))
    );
    assert_eq!(read("?at=-1", "tally").await, [400, 400, 400, 400]);
    assert_eq!(read("?at=100000", "tally").await, [400, 400, 400, 400]);
    assert_eq!(read("?at=1", "idle").await, [403, 403, 403, 403], "whoever may not see it now");
    hall.app.stop().await;
}

#[tokio::test]
async fn a_recording_of_the_past_has_what_only_an_export_brought() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (app, key) = timed_with("running", |config| folder.path().clone_into(&mut config.cassettes)).await;
    app.export(&key, export(&[("a", 1, ["80.00", "2", "82.00"]), ("b", 2, ["81.00", "0", "81.00"])])).await;
    app.export(&key, export(&[("a", 1, ["79.00", "0", "79.00"]), ("b", 2, ["81.00", "0", "81.00"])])).await;
    let tape = json!({ "name": "past", "event_id": "regatta", "from_seq": 0 });
    let made = app.post("/api/cassettes", &email("admin"), tape).await;
    assert_eq!(made.status, 201, "{made:?}");
    let file = app.bytes("/api/cassettes/past/download", &email("admin")).await;
    let lines: Vec<Value> =
        String::from_utf8(file).expect("text").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<Vec<(Value, Value)>> = lines
        .iter()
        .filter_map(|line| Some(line["data"]["results"].as_array()?.iter()))
        .map(|lines| lines.map(|line| (line["bib"].clone(), line["rnk"].clone())).collect())
        .collect();
    let places = |one: i64, two: i64| vec![(json!(1), json!(one)), (json!(2), json!(two))];
    assert_eq!(told, [places(2, 1), places(1, 2)]);
    let seqs: Vec<i64> = lines[2..].iter().map(|line| line["seq"].as_i64().expect("a place")).collect();
    assert_eq!(seqs, (1..=i64::try_from(seqs.len()).expect("a count")).collect::<Vec<_>>(), "every fact is there once");
    app.stop().await;
}

#[test]
fn the_description_of_the_interface_says_where_the_past_can_be_asked_for() {
    let text = scorecast::transport::http::openapi().expect("it can be written");
    let description: Value = serde_json::from_str(&text).expect("JSON");
    let category =
        ["scores", "tally", "completeness", "certification", "deductions", "removals", "uncertifications", "flags"]
            .map(|end| format!("/api/v1/categories/{{id}}/{end}"));
    let others = [
        "/api/v1/contests/{id}/standings",
        "/api/v1/events/{id}/results/{race_id}",
        "/api/v1/events/{id}/startlist/{race_id}",
        "/api/v1/events/{id}/judged",
        "/indoor-results/race/{id}",
    ];
    for path in category.iter().map(String::as_str).chain(others) {
        let parameters = description["paths"][path]["get"]["parameters"].as_array();
        let parameters = parameters.unwrap_or_else(|| panic!("{path} is described"));
        assert!(parameters.iter().any(|one| one["name"] == "at" && one["in"] == "query"), "{path}: {parameters:?}");
    }
}
