//! Recordings: who may make and read which, what is in them, and who is told.

use crate::support::TestApp;
use crate::support::people::{self, email, mark};
use crate::support::process::ServerProcess;
use crate::support::watch::Viewer;
use futures_util::StreamExt;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

const PATIENCE: Duration = Duration::from_secs(20);

async fn start() -> TestApp {
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    let app = TestApp::start_with(|config| {
        config.cassettes = folder;
        config.rate_limit_commands_per_minute = 100_000;
        config.rate_limit_lists_per_minute = 100_000;
        config.rate_limit_ingest_per_minute = 100_000;
    })
    .await;
    app.import(people::document()).await;
    app
}

async fn lines(app: &TestApp, name: &str, who: &str) -> Vec<Value> {
    let bytes = app.bytes(&format!("/api/cassettes/{name}/download"), &email(who)).await;
    let text = String::from_utf8(bytes).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

async fn names(app: &TestApp, who: &str) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let listed = app.get(&format!("/api/cassettes?limit=200{cursor}"), &email(who)).await;
        let items = listed.body["items"].as_array().expect("a list");
        names.extend(items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()));
        let Some(next) = listed.body["nextCursor"].as_str() else { return names };
        cursor = format!("&cursor={next}");
    }
}

/// Ada, Ben and Cleo mark everybody; Ada says something in confidence.
async fn judge(app: &TestApp) {
    for (judge, score) in [("ada", 9.5), ("ben", 8.25), ("cleo", 7.75)] {
        for contestant in ["x", "y", "z"] {
            let mut given = mark(contestant, "form", score);
            given["comment"] = json!(format!("{judge} says so"));
            let answer = app.post("/api/v1/categories/vault/scores", &email(judge), given).await;
            assert!(answer.status.is_success(), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_cassette_is_made_read_described_and_removed() {
    let app = start().await;
    for (name, good) in [
        ("tape-1", true),
        ("A.b_c-9", true),
        (&"x".repeat(100) as &str, true),
        ("", false),
        (".hidden", false),
        ("../up", false),
        ("a/b", false),
        ("a\\b", false),
        ("a b", false),
        ("-a", false),
        ("ä", false),
        ("nul\u{0}", false),
        (&"x".repeat(101) as &str, false),
    ] {
        let made = app.post("/api/cassettes", &email("admin"), json!({ "name": name, "mode": "auto" })).await;
        let expected = if good { StatusCode::CREATED } else { StatusCode::BAD_REQUEST };
        assert_eq!(made.status, expected, "{name:?}: {made:?}");
    }
    let again = app.post("/api/cassettes", &email("admin"), json!({ "name": "tape-1" })).await;
    assert_eq!((again.status, again.body["code"].as_str()), (StatusCode::CONFLICT, Some("DUPLICATE")));
    let shown = app.get("/api/cassettes/tape-1", &email("ada")).await;
    assert_eq!(shown.body["interactions_count"], 0);
    assert_eq!(shown.body["recorded_at"], "2023-11-14T22:13:20Z");
    let described = json!({ "description": "the finals" });
    let put = app.send(Method::PUT, "/api/cassettes/tape-1", &email("admin"), described.clone()).await;
    assert_eq!((put.status, &put.body["description"]), (StatusCode::OK, &json!("the finals")));
    let foreign = app.send(Method::PUT, "/api/cassettes/tape-1", &email("ada"), described).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN, "who did not make it does not describe it");
    let empty = app.get("/api/cassettes/tape-1/download", &email("admin")).await;
    assert_eq!((empty.status, empty.body["code"].as_str()), (StatusCode::CONFLICT, Some("STATE")));
    let foreign = app.send(Method::DELETE, "/api/cassettes/tape-1", &email("ada"), json!({})).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let gone = app.send(Method::DELETE, "/api/cassettes/tape-1", &email("admin"), json!({})).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    for path in ["/api/cassettes/tape-1", "/api/cassettes/none", "/api/cassettes/none/download"] {
        assert_eq!(app.get(path, &email("admin")).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(app.public("/api/cassettes").await.status, StatusCode::UNAUTHORIZED);
    app.stop().await;
}

#[tokio::test]
async fn a_recording_holds_what_its_audience_was_shown() {
    let app = start().await;
    judge(&app).await;
    let past =
        |name: &str, audience: &str| json!({ "name": name, "lane": "cat:vault", "audience": audience, "from_seq": 0 });
    for (who, name, audience, expected) in [
        ("tally", "office", "office", StatusCode::CREATED),
        ("ada", "ada", "own", StatusCode::CREATED),
        ("ada", "stolen", "office", StatusCode::FORBIDDEN),
        ("both", "stolen", "office", StatusCode::FORBIDDEN),
        ("emcee", "stolen", "office", StatusCode::FORBIDDEN),
        ("gymnast", "stolen", "own", StatusCode::FORBIDDEN),
        ("admin", "stolen", "public", StatusCode::BAD_REQUEST),
    ] {
        let made = app.post("/api/cassettes", &email(who), past(name, audience)).await;
        assert_eq!(made.status, expected, "{who} {audience}: {made:?}");
    }
    let scores = |lines: &[Value]| -> Vec<(String, Value)> {
        let marks = lines.iter().filter(|line| line["type"] == "scores:updated");
        marks.map(|line| (line["data"]["judgeId"].to_string(), line["data"]["score"].clone())).collect()
    };
    let office = lines(&app, "office", "tally").await;
    assert_eq!(office[0]["type"], "cassette:begin");
    assert_eq!(scores(&office).len(), 9);
    assert!(scores(&office).iter().all(|(_, score)| score.is_number()));
    let ada = lines(&app, "ada", "ada").await;
    let me = json!(app.user_id(&email("ada"))).to_string();
    for (judge, score) in scores(&ada) {
        assert_eq!(score.is_null(), judge != me, "a judge's cassette contains no foreign mark");
    }
    let text = serde_json::to_string(&ada).expect("text");
    assert!(text.contains("ada says so") && !text.contains("ben says so"), "nor what was said of one");
    let seqs: Vec<i64> = ada[1..].iter().map(|line| line["seq"].as_i64().expect("a place")).collect();
    assert_eq!(seqs, (1..=i64::try_from(seqs.len()).expect("a count")).collect::<Vec<_>>(), "every fact is there once");

    assert_eq!(
        (names(&app, "tally").await, names(&app, "ada").await),
        (vec!["office".to_owned()], vec!["ada".to_owned()])
    );
    assert_eq!(names(&app, "ben").await, Vec::<String>::new());
    // Taken in again, it is bound to what it says it is of: an admin who judges that reads no foreign mark of it.
    let file = app.bytes("/api/cassettes/office/download", &email("tally")).await;
    take_in(&app, "again", String::from_utf8(file).expect("UTF-8")).await;
    assert_eq!((names(&app, "organizer").await.len(), names(&app, "both").await), (2, vec![]));
    let gone = app.send(Method::DELETE, "/api/cassettes/again", &email("organizer"), json!({})).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(names(&app, "admin").await, ["office"], "what a judge recorded is the judge's own");
    app.give_hat("tally", json!({ "hat": "JUDGE", "categoryId": "vault" })).await;
    assert_eq!(names(&app, "tally").await, Vec::<String>::new(), "whoever judges it now reads no foreign mark of it");
    let path = "/api/cassettes/office/download";
    assert_eq!(app.get(path, &email("tally")).await.status, StatusCode::NOT_FOUND);
    app.stop().await;
}

#[tokio::test]
async fn a_lane_is_recorded_from_now_on_until_it_is_stopped() {
    let app = start().await;
    judge(&app).await;
    let made = app.post("/api/cassettes", &email("tally"), json!({ "name": "later", "audience": "office" })).await;
    assert_eq!((made.status, &made.body["phase"]), (StatusCode::CREATED, &json!("empty")));
    let source = json!({ "lane": "cat:vault" });
    let begun = app.post("/api/cassettes/later/start", &email("admin"), source.clone()).await;
    assert_eq!(begun.body["phase"], "recording", "{begun:?}");
    let twice = app.post("/api/cassettes/later/start", &email("admin"), source).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    let given = app.post("/api/v1/categories/vault/scores", &email("ada"), mark("x", "form", 4.25)).await;
    assert!(given.status.is_success());
    assert_eq!(app.get("/api/cassettes/later", &email("admin")).await.body["interactions_count"], 1);
    let done = app.post("/api/cassettes/later/stop", &email("admin"), json!({})).await;
    assert_eq!((done.status, &done.body["phase"]), (StatusCode::OK, &json!("done")), "{done:?}");
    let held = lines(&app, "later", "admin").await;
    let marks: Vec<&Value> = held.iter().filter(|line| line["type"] == "scores:updated").collect();
    assert_eq!(marks.len(), 1);
    assert_eq!(marks[0]["data"]["score"], 4.25);
    let again = app.post("/api/cassettes/later/stop", &email("admin"), json!({})).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let bytes = app.bytes("/api/cassettes/later/download", &email("admin")).await;
    assert_eq!(done.body["sha256"], json!(scorecast::events::log::sha256_hex(&bytes)));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_is_recorded_with_who_is_on_the_course() {
    let app = start().await;
    let starters = json!([{ "id": "a", "bib": 1, "name": "A" }, { "id": "b", "bib": 2, "name": "B" }]);
    app.import(json!({
        "event": { "id": "regatta", "mainTitle": "Regatta", "status": "startlist" },
        "races": [{ "id": "final", "raceType": "final", "participants": starters }],
    }))
    .await;
    app.set_status("regatta", "running").await;
    let key = app.key("regatta").await;
    let new = json!({ "name": "regatta", "event_id": "regatta" });
    assert_eq!(app.post("/api/cassettes", &email("admin"), new).await.status, StatusCode::CREATED);
    let mut viewer = Viewer::watch(&app, "regatta").await;
    for (bib, time) in [(1, 9_100), (2, 9_050)] {
        let course = json!({ "oncourse": [{ "raceId": "final", "bib": bib, "gates": [], "pen": 0 }] });
        app.keyed(&key, "/api/v1/ingest/oncourse", &course).await;
        let result = json!({ "results": [{ "raceId": "final", "bib": bib, "time": time }] });
        let answer = app.keyed(&key, "/api/v1/ingest/results", &result).await;
        viewer.read_to(answer.body["receipt"]["seq"].as_i64().expect("a place")).await;
    }
    for stranger in ["gymnast", "ada", "tally"] {
        let refused = app.post("/api/cassettes/regatta/stop", &email(stranger), json!({})).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "who did not begin it does not end it: {refused:?}");
    }
    let done = app.post("/api/cassettes/regatta/stop", &email("admin"), json!({})).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    let held = lines(&app, "regatta", "ada").await;
    assert_eq!(held[1]["type"], "full");
    let course = held.iter().filter(|line| line["data"]["oncourse"].as_array().is_some_and(|list| !list.is_empty()));
    assert_eq!(course.count(), 2, "{held:#?}");
    let past = json!({ "name": "past", "event_id": "regatta", "from_seq": 0 });
    assert_eq!(app.post("/api/cassettes", &email("admin"), past).await.status, StatusCode::CREATED);
    let played = app.post("/api/cassettes/past/replay", &email("admin"), json!({ "speed": 0 })).await;
    assert_eq!(played.status, StatusCode::ACCEPTED, "what was read from the log can be played too: {played:?}");
    let event = played.body["event_id"].as_str().expect("an event");
    let mut rehearsal = Viewer::watch(&app, event).await;
    while rehearsal.folded.of_race(&format!("{event}.final")).len() < 2 {
        let frame = rehearsal.read().await;
        assert!(frame.get("cut").is_none(), "{frame}");
    }
    let results: Vec<&Value> =
        held.iter().filter(|line| line["data"]["results"].is_array() && line["type"] == "diff").collect();
    assert_eq!(results.len(), 2);
    let places =
        results[1]["data"]["results"].as_array().expect("lines").iter().map(|line| (&line["bib"], &line["rnk"]));
    assert_eq!(places.collect::<Vec<_>>(), [(&json!(1), &json!(2)), (&json!(2), &json!(1))]);
    app.stop().await;
}

#[tokio::test]
async fn a_broken_file_is_refused_with_the_line_that_is_wrong() {
    let app = start().await;
    let token = app.token(&email("admin")).await;
    let authorization = format!("Bearer {token}");
    let begin = r#"{"ts":0,"src":"cassette","type":"cassette:begin","data":{"format":1}}"#;
    let good = format!("{begin}\n{}\n", r#"{"ts":5,"src":"pub:e","type":"diff","data":{},"seq":1}"#);
    let import = async |name: &str, body: Vec<u8>| {
        let headers = [("authorization", &*authorization), ("content-type", "application/x-ndjson")];
        app.raw_request(Method::POST, &format!("/api/cassettes/import?name={name}"), &headers, body).await
    };
    let end = app.log_end();
    for (wrong, place) in [
        (String::new(), "line 1"),
        ("nonsense".to_owned(), "line 1"),
        (r#"{"ts":0,"src":"pub:e","type":"diff","data":{}}"#.to_owned(), "line 1"),
        (begin.replace(":1}", ":2}"), "line 1"),
        (format!("{good}{{\"ts\":4,\"src\":\"pub:e\",\"type\":\"diff\",\"data\":{{}}}}"), "line 3"),
        (format!("{good}{begin}"), "line 3"),
        (format!("{good}[]"), "line 3"),
        (format!("{good}{{\"ts\":9,\"src\":\"\",\"type\":\"diff\",\"data\":1}}"), "line 3"),
        (format!("{good}{{\"ts\":9,\"src\":\"a\",\"type\":\"b\",\"data\":1,\"more\":1}}"), "line 3"),
        (format!("{good}{{\"ts\":9,\"src\":\"a\",\"type\":\"b\",\"data\":{}1", "[".repeat(10_000)), "line 3"),
        (format!("{good}{{\"ts\":9,\"src\":\"a\",\"type\":\"b\",\"data\":\"{}\"}}", "x".repeat(17_000_000)), "line 3"),
    ] {
        let refused = import("bad", wrong.into_bytes()).await;
        assert_eq!(refused.body["errors"][0]["field"], place, "{refused:?}");
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    }
    let mut torn = good.clone().into_bytes();
    torn.extend([0xff, 0xfe]);
    assert_eq!(import("bad", torn).await.body["errors"][0]["field"], "line 3");
    for name in ["..", "a/b", "%2e%2e%2fup"] {
        assert_eq!(import(name, good.clone().into_bytes()).await.status, StatusCode::BAD_REQUEST, "{name}");
    }
    assert_eq!(app.log_end(), end, "nothing was changed by any of it");
    let taken = import("good", good.clone().into_bytes()).await;
    assert_eq!((taken.status, &taken.body["interactions_count"]), (StatusCode::CREATED, &json!(2)), "{taken:?}");
    assert_eq!(app.bytes("/api/cassettes/good/download", &email("organizer")).await, good.as_bytes());
    assert_eq!(names(&app, "tally").await, Vec::<String>::new(), "those who run the installation answer for it");
    let headers = [("content-type", "application/x-ndjson")];
    let anonymous = app.raw_request(Method::POST, "/api/cassettes/import?name=n", &headers, good.clone()).await;
    assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
    app.stop().await;
}

#[tokio::test]
async fn the_board_can_be_seen_as_it_stood() {
    let app = start().await;
    judge(&app).await;
    let seq = async || {
        app.get("/api/v1/categories/vault/scores", &email("tally")).await.body["seq"].as_i64().expect("a place")
    };
    let tally = async |at: &str, who: &str| app.get(&format!("/api/v1/categories/vault/tally{at}"), &email(who)).await;
    let (early, before) = (seq().await, tally("", "tally").await.body);
    assert!(
        app.post("/api/v1/categories/vault/scores", &email("ada"), mark("x", "form", 1.0)).await.status.is_success()
    );
    let deduction = json!({ "contestantId": "y", "amount": 0.5, "reason": "fall" });
    let asked = app.post("/api/v1/categories/vault/deductions", &email("tally"), deduction).await;
    let id = asked.body["deduction"]["id"].as_str().expect("an id").to_owned();
    for who in ["head", "tally", "auditor", "board"] {
        let approval = json!({ "signatureName": who });
        let approved = app.post(&format!("/api/v1/deductions/{id}/approve"), &email(who), approval).await;
        assert!(approved.status.is_success(), "{approved:?}");
    }
    let withdrawal = json!({ "reason": "injured" });
    let path = "/api/v1/categories/vault/entries/z/withdraw";
    let withdrawn = app.post(path, &email("admin"), withdrawal).await;
    assert!(withdrawn.status.is_success(), "{withdrawn:?}");
    let (late, after) = (seq().await, tally("", "tally").await.body);
    assert_ne!(before["ranking"], after["ranking"]);
    for (at, expected) in [(early, &before), (late, &after)] {
        let then = tally(&format!("?at={at}"), "tally").await.body;
        assert_eq!(then["ranking"], expected["ranking"], "at {at}");
    }
    let given = app.get("/api/v1/categories/vault/scores?contestantId=x&at=1", &email("admin")).await.body;
    assert_eq!(given["scores"].as_array().map(Vec::len), Some(1), "{given}");
    assert_eq!((&given["scores"][0]["score"], &given["seq"]), (&json!(9.5), &json!(1)));
    let ben = app.get(&format!("/api/v1/categories/vault/scores?at={early}"), &email("ben")).await.body;
    let me = app.user_id(&email("ben"));
    for score in ben["scores"].as_array().expect("scores") {
        assert_eq!(score["score"].is_null(), score["judgeId"] != me.as_str(), "the past shows a judge no foreign mark");
    }
    for (at, who, status) in [
        ("?at=-1", "tally", StatusCode::BAD_REQUEST),
        ("?at=99999", "tally", StatusCode::BAD_REQUEST),
        ("?at=1", "ben", StatusCode::FORBIDDEN),
        ("?at=1", "both", StatusCode::FORBIDDEN),
        ("?at=1", "emcee", StatusCode::FORBIDDEN),
    ] {
        assert_eq!(tally(at, who).await.status, status, "{at} {who}");
    }
    app.stop().await;
}

#[tokio::test]
async fn the_list_comes_in_pages() {
    let app = start().await;
    for number in 0..5 {
        let made = app.post("/api/cassettes", &email("admin"), json!({ "name": format!("tape-{number}") })).await;
        assert_eq!(made.status, StatusCode::CREATED);
    }
    let page = async |query: &str| app.get(&format!("/api/cassettes{query}"), &email("ada")).await;
    let shown = |body: &Value| -> Vec<Value> {
        body["items"].as_array().expect("a list").iter().map(|item| item["name"].clone()).collect()
    };
    let first = page("?limit=2").await.body;
    assert_eq!(shown(&first), ["tape-0", "tape-1"]);
    let cursor = first["nextCursor"].as_str().expect("there is more").to_owned();
    let rest = page(&format!("?limit=3&cursor={cursor}")).await.body;
    assert_eq!(
        (shown(&rest), &rest["nextCursor"]),
        (vec![json!("tape-2"), json!("tape-3"), json!("tape-4")], &Value::Null)
    );
    assert_eq!(shown(&page("").await.body).len(), 5);
    for wrong in ["?limit=0", "?limit=201", "?limit=many", "?cursor=!", "?after=tape-1"] {
        assert_eq!(page(wrong).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_full_says_so() {
    let app = TestApp::start_with(|config| {
        config.cassette_bytes_max = 3_000;
        config.rate_limit_commands_per_minute = 100_000;
    })
    .await;
    app.import(people::document()).await;
    app.import(json!({
        "event": { "id": "regatta", "mainTitle": "Regatta", "status": "running" },
        "races": [{ "id": "final", "raceType": "final", "participants": [{ "id": "a", "bib": 1, "name": "A" }] }],
    }))
    .await;
    let key = app.key("regatta").await;
    let feed = json!({ "name": "regatta", "event_id": "regatta", "description": "all of it" });
    assert_eq!(app.post("/api/cassettes", &email("admin"), feed).await.status, StatusCode::CREATED);
    let lane = json!({ "name": "vault", "lane": "cat:vault", "audience": "office" });
    assert_eq!(app.post("/api/cassettes", &email("admin"), lane).await.status, StatusCode::CREATED);
    let mut line = listen(&app, "admin").await;
    for time in 0..40 {
        let result = json!({ "results": [{ "raceId": "final", "bib": 1, "time": 9_000 + time }] });
        assert_eq!(app.keyed(&key, "/api/v1/ingest/results", &result).await.status, StatusCode::OK);
    }
    let full = "Full: what came later is not in it.";
    let told = loop {
        let told = news(&mut line).await;
        if told["cassette"]["description"] != "all of it" && told["cassette"]["name"] == "regatta" {
            break told;
        }
    };
    assert_eq!(
        (&told["type"], &told["cassette"]["description"]),
        (&json!("CassetteUpdated"), &json!(format!("{full} all of it")))
    );
    let done = app.post("/api/cassettes/regatta/stop", &email("admin"), json!({})).await.body;
    assert_eq!((&done["phase"], &done["description"]), (&json!("done"), &json!(format!("{full} all of it"))));
    assert!(done["bytes"].as_i64().is_some_and(|bytes| (2_000..=3_000).contains(&bytes)), "{done}");
    assert!(lines(&app, "regatta", "admin").await.len() > 5, "what it held is there");

    // One that is read from the log when it ends holds its first facts.
    judge(&app).await;
    let done = app.post("/api/cassettes/vault/stop", &email("admin"), json!({})).await.body;
    assert_eq!((&done["phase"], &done["description"]), (&json!("done"), &json!(full)));
    let held = lines(&app, "vault", "admin").await;
    assert!(held.iter().any(|line| line["seq"] == 1) && !held.iter().any(|line| line["seq"] == 9), "{held:#?}");
    let past = json!({ "name": "past", "lane": "cat:vault", "audience": "office", "from_seq": 0 });
    let refused = app.post("/api/cassettes", &email("admin"), past).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("TOO_LARGE")));
    app.stop().await;
}

#[tokio::test]
async fn a_file_that_nobody_names_goes_and_one_that_is_missing_is_told() {
    let app = TestApp::start().await;
    app.import(people::document()).await;
    judge(&app).await;
    for name in ["one", "two", "three"] {
        let tape = json!({ "name": name, "lane": "cat:vault", "audience": "office", "from_seq": 0 });
        assert_eq!(app.post("/api/cassettes", &email("admin"), tape).await.status, StatusCode::CREATED);
    }
    let file = |name: &str| app.app.state().cassettes.get(name).and_then(|row| row.file.clone()).expect("a file");
    let (missing, changed, kept) = (file("one"), file("two"), file("three"));
    let (stray, other, aside) = ("stray.ndjson", "notes.txt", "unnamed");
    let app = app
        .restart_after(|folder| {
            let shelf = folder.join("cassettes");
            std::fs::write(shelf.join(stray), "{}").expect("a file");
            std::fs::write(shelf.join(other), "not ours").expect("a file");
            std::fs::remove_file(shelf.join(&missing)).expect("it was there");
            std::fs::write(shelf.join(&changed), "another").expect("a file");
            std::fs::create_dir(shelf.join(aside)).expect("a folder");
            std::fs::rename(shelf.join(&kept), shelf.join(aside).join(&kept)).expect("it was there");
        })
        .await;
    for (name, word) in [("one", "missing"), ("two", "not the one that was kept")] {
        for refused in [
            app.get(&format!("/api/cassettes/{name}/download"), &email("admin")).await,
            app.post(&format!("/api/cassettes/{name}/replay"), &email("admin"), json!({})).await,
        ] {
            assert_eq!((refused.status, &refused.body["code"]), (StatusCode::CONFLICT, &json!("STATE")), "{refused:?}");
            assert!(refused.body["detail"].as_str().is_some_and(|detail| detail.contains(word)), "{refused:?}");
        }
    }
    assert_eq!(app.get("/api/cassettes/three/download", &email("admin")).await.status, StatusCode::OK, "it is back");
    let app = app
        .restart_after(|folder| {
            let shelf = folder.join("cassettes");
            assert!(!shelf.join(stray).exists() && shelf.join(aside).join(stray).exists(), "it was laid aside");
        })
        .await;
    let shelf = app.database_folder().join("cassettes");
    assert!(!shelf.join(aside).join(stray).exists(), "and removed at the next start");
    assert!(shelf.join(other).exists() && shelf.join(&kept).exists());
    app.stop().await;
}

type Line = WebSocketStream<TcpStream>;

async fn listen_with(app: &TestApp, name: &'static str, value: &str) -> Result<(Line, Option<HeaderValue>), u16> {
    let stream = TcpStream::connect(app.address).await.expect("the server listens");
    let mut request = format!("ws://{}/ws", app.address).into_client_request().expect("a request");
    request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a header"));
    match client_async(request, stream).await {
        Ok((line, response)) => Ok((line, response.headers().get("sec-websocket-protocol").cloned())),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

async fn listen(app: &TestApp, who: &str) -> Line {
    let offer = format!("scorecast, bearer.{}", app.token(&email(who)).await);
    let (line, protocol) = listen_with(app, "sec-websocket-protocol", &offer).await.expect("is let in");
    assert_eq!(protocol, Some(HeaderValue::from_static("scorecast")));
    line
}

async fn next(line: &mut Line) -> Message {
    tokio::time::timeout(PATIENCE, line.next()).await.expect("in time").expect("a message").expect("a good one")
}

async fn news(line: &mut Line) -> Value {
    loop {
        if let Message::Text(text) = next(line).await {
            return serde_json::from_str(&text).expect("JSON");
        }
    }
}

#[tokio::test]
async fn who_listens_is_told_of_what_they_may_read() {
    let app = start().await;
    for (name, value) in
        [("x-nothing", "at all"), ("authorization", "Bearer nonsense"), ("sec-websocket-protocol", "scorecast")]
    {
        assert_eq!(listen_with(&app, name, value).await.err(), Some(401), "{name}: {value}");
    }
    let token = format!("Bearer {}", app.token(&email("admin")).await);
    let (mut admin, protocol) = listen_with(&app, "authorization", &token).await.expect("is let in");
    assert_eq!(protocol, None);
    assert!(matches!(next(&mut admin).await, Message::Ping(_)), "a ping comes at once");
    let mut ada = listen(&app, "ada").await;
    let office = json!({ "name": "office", "audience": "office", "lane": "cat:vault", "from_seq": 0 });
    app.post("/api/cassettes", &email("tally"), office).await;
    app.post("/api/cassettes", &email("admin"), json!({ "name": "open", "description": "for all" })).await;
    let told = news(&mut admin).await;
    assert_eq!((&told["type"], &told["cassette"]["name"]), (&json!("CassetteCreated"), &json!("office")));
    let told = [news(&mut admin).await, news(&mut ada).await];
    let expected = json!({
        "type": "CassetteCreated", "timestamp": "2023-11-14T22:13:20Z",
        "cassette": { "name": "open", "description": "for all", "recorded_at": "2023-11-14T22:13:20Z", "interactions_count": 0 },
    });
    assert_eq!(told, [expected.clone(), expected], "a judge is told of nothing of the office");
    app.send(Method::PUT, "/api/cassettes/open", &email("admin"), json!({ "description": "closed" })).await;
    for line in [&mut admin, &mut ada] {
        let told = news(line).await;
        assert_eq!((&told["type"], &told["cassette"]["description"]), (&json!("CassetteUpdated"), &json!("closed")));
    }
    for name in ["office", "open"] {
        app.send(Method::DELETE, &format!("/api/cassettes/{name}"), &email("admin"), json!({})).await;
    }
    let told = news(&mut admin).await;
    assert_eq!((&told["type"], &told["name"]), (&json!("CassetteDeleted"), &json!("office")));
    let gone = json!({ "type": "CassetteDeleted", "name": "open", "timestamp": "2023-11-14T22:13:20Z" });
    assert_eq!([news(&mut admin).await, news(&mut ada).await], [gone.clone(), gone]);
    let path = format!("/api/v1/admin/users/{}/revoke-sessions", app.user_id(&email("ada")));
    app.post(&path, &email("admin"), json!({})).await;
    let closed = loop {
        if let Message::Close(frame) = next(&mut ada).await {
            break frame;
        }
    };
    assert_eq!(closed.map(|frame| u16::from(frame.code)), Some(1008), "who is signed out hears no more");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_falls_behind_is_told_the_whole_list() {
    let app = start().await;
    let mut slow = listen(&app, "admin").await;
    assert!(matches!(next(&mut slow).await, Message::Ping(_)));
    // Nothing is read while there is more news than may wait, each too long for the buffers on the way to hold it all.
    let description = "x".repeat(900);
    let mut number = 0;
    let list = loop {
        for _ in 0..200 {
            let body = json!({ "name": format!("tape-{number:04}"), "description": description });
            let made = app.post("/api/cassettes", &email("admin"), body).await;
            assert!(made.status.is_success() || made.body["code"] == "TOO_LARGE", "{made:?}");
            number += 1;
            let name = format!("/api/cassettes/tape-{:04}", number - 1);
            for _ in 0..20 {
                let text = json!({ "description": format!("{description}{}", rand::random::<u32>()) });
                app.send(Method::PUT, &name, &email("admin"), text).await;
            }
        }
        if let Some(list) = first_reset(&mut slow).await {
            break list;
        }
        assert!(number < 900, "a listener that does not read falls behind at some time");
    };
    assert!(app.app.metrics.slow_consumers.with_label_values(&["cassettes", "list"]).get() > 0, "it is counted");
    let told: Vec<&Value> = list["cassettes"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    let known = names(&app, "admin").await;
    assert_eq!(told.len(), known.len());
    assert!(known.iter().all(|name| told.contains(&&json!(name))));
    app.stop().await;
}

/// Reads what waits; the list, if it was told.
async fn first_reset(line: &mut Line) -> Option<Value> {
    while let Ok(Some(Ok(message))) = tokio::time::timeout(Duration::from_secs(1), line.next()).await {
        if let Message::Text(text) = message {
            let said: Value = serde_json::from_str(&text).expect("JSON");
            if said["type"] == "CassetteListReset" {
                return Some(said);
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_come_at_most_twice_a_second_and_in_the_end_the_last() {
    let app = start().await;
    let new = json!({ "name": "vault", "lane": "cat:vault", "audience": "office" });
    assert_eq!(app.post("/api/cassettes", &email("admin"), new).await.status, StatusCode::CREATED);
    let mut line = listen(&app, "admin").await;
    // The first look notes where it stands.
    tokio::time::sleep(Duration::from_millis(600)).await;
    judge(&app).await;
    let mut counts = Vec::new();
    while counts.last() != Some(&json!(9)) {
        let told = news(&mut line).await;
        assert_eq!((&told["type"], &told["cassette"]["name"]), (&json!("CassetteUpdated"), &json!("vault")));
        counts.push(told["cassette"]["interactions_count"].clone());
    }
    assert!(counts.len() < 9, "nine marks are fewer updates: {counts:?}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_hundred_listen_at_once() {
    let app = start().await;
    let mut lines = join_all((0..120).map(|_| listen(&app, "emcee"))).await;
    app.post("/api/cassettes", &email("admin"), json!({ "name": "heard" })).await;
    let told = join_all(lines.iter_mut().map(news)).await;
    assert!(told.iter().all(|told| told["cassette"]["name"] == "heard"));
    app.stop().await;
}

/// A recording of a race of two, written by hand.
pub fn race_of_two() -> String {
    let line = |ts: i64, kind: &str, data: Value| {
        json!({ "ts": ts, "src": "pub:regatta", "type": kind, "data": data }).to_string()
    };
    let result = |bib: i64, name: &str, time: i64| json!({ "raceId": "final", "bib": bib, "name": name, "time": time });
    let lines = [
        json!({ "ts": 0, "src": "cassette", "type": "cassette:begin", "data": { "format": 1, "audience": "public" } })
            .to_string(),
        line(
            0,
            "full",
            json!({
                "event": { "eventId": "regatta", "mainTitle": "Regatta", "status": "running" }, "classes": [], "categories": [],
                "races": [{ "raceId": "final", "number": 1, "raceType": "final", "raceStatus": 7 }],
            }),
        ),
        line(40, "diff", json!({ "raceId": "final", "results": [result(7, "Ada", 9_100)] })),
        line(80, "diff", json!({ "raceId": "final", "results": [result(8, "Ben", 9_050), result(7, "Ada", 9_100)] })),
        line(120, "diff", json!({ "removed": [{ "raceId": "final", "bib": 7 }] })),
        line(160, "diff", json!({ "status": "finished" })),
    ];
    lines.join("\n") + "\n"
}

pub async fn take_in(app: &TestApp, name: &str, file: String) {
    let authorization = format!("Bearer {}", app.token(&email("admin")).await);
    let headers = [("authorization", &*authorization), ("content-type", "application/x-ndjson")];
    let taken = app.raw_request(Method::POST, &format!("/api/cassettes/import?name={name}"), &headers, file).await;
    assert_eq!(taken.status, StatusCode::CREATED, "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_played_into_a_rehearsal_that_is_never_among_what_is_real() {
    let app = start().await;
    take_in(&app, "two", race_of_two()).await;
    for (who, body, status) in [
        ("admin", json!({ "speed": -1 }), StatusCode::BAD_REQUEST),
        ("admin", json!({ "speed": 1e9 }), StatusCode::BAD_REQUEST),
        ("admin", json!({ "from": 5, "to": 4 }), StatusCode::BAD_REQUEST),
        ("admin", json!({ "speed": "fast" }), StatusCode::BAD_REQUEST),
        ("tally", json!({}), StatusCode::FORBIDDEN),
        ("ada", json!({}), StatusCode::FORBIDDEN),
    ] {
        let refused = app.post("/api/cassettes/two/replay", &email(who), body).await;
        assert_eq!(refused.status, status, "{who}: {refused:?}");
    }
    assert_eq!(
        app.public("/api/v1/events?rehearsal=true").await.body["items"],
        json!([]),
        "nothing was made by any of it"
    );
    // Up to the third of a second everything, then in part.
    for (playing, bibs, status) in [
        (json!({ "speed": 0 }), vec![8], "finished"),
        (json!({ "speed": 60 }), vec![8], "finished"),
        (json!({ "speed": 1, "from": 80 }), vec![8], "finished"),
        (json!({ "speed": 0, "to": 80 }), vec![8, 7], "running"),
    ] {
        let begun = app.post("/api/cassettes/two/replay", &email("admin"), playing.clone()).await;
        assert_eq!(begun.status, StatusCode::ACCEPTED, "{begun:?}");
        let event = begun.body["event_id"].as_str().expect("an event").to_owned();
        let mut viewer = Viewer::watch(&app, &event).await;
        let race = format!("{event}.final");
        let shows = |viewer: &Viewer| {
            let lines = viewer.folded.of_race(&race);
            let bibs: Vec<i64> = lines.iter().filter_map(|line| line["bib"].as_i64()).collect();
            (bibs, viewer.folded.full["event"]["status"].as_str().unwrap_or_default().to_owned())
        };
        while shows(&viewer) != (bibs.clone(), status.to_owned()) {
            let frame = viewer.read().await;
            assert!(frame.get("cut").is_none(), "{playing}: {frame}");
        }
        assert_eq!(viewer.folded.full["event"]["rehearsal"], true);
    }
    let listed = |body: &Value| body["items"].as_array().expect("a list").len();
    assert_eq!(listed(&app.public("/api/v1/events?rehearsal=true").await.body), 4);
    assert_eq!(listed(&app.public("/api/v1/events").await.body), 1, "the cup alone is real");
    let own = json!({ "name": "mine", "lane": "cat:vault", "audience": "own", "from_seq": 0 });
    assert_eq!(app.post("/api/cassettes", &email("admin"), own).await.status, StatusCode::CREATED);
    let refused = app.post("/api/cassettes/mine/replay", &email("admin"), json!({})).await;
    assert_eq!((refused.status, refused.body["code"].as_str()), (StatusCode::CONFLICT, Some("STATE")));
    app.stop().await;
}

#[tokio::test]
async fn a_hostile_set_up_is_refused_and_takes_nothing_down() {
    let app = start().await;
    let begin = r#"{"ts":0,"src":"cassette","type":"cassette:begin","data":{"format":1,"audience":"office"}}"#;
    let good = json!({ "event": { "mainTitle": "T", "discipline": null }, "contestants": [], "contests": [] });
    let with = |field: &str, value: Value| {
        let mut setup = good.clone();
        setup[field] = value;
        setup
    };
    let user = json!([{ "id": "x", "name": "X", "club": null, "country": null, "userEmail": email("ada") }]);
    for (number, setup) in [
        json!(5),
        json!([]),
        json!(null),
        with("contestants", json!([1])),
        with("contestants", user),
        with("contests", json!([{ "id": "../c", "name": "C", "categories": [] }])),
        with("races", json!([{ "id": "r", "raceType": "final" }])),
        with("users", json!([{ "email": "new@it.example", "name": "N", "role": "ADMIN" }])),
    ]
    .into_iter()
    .enumerate()
    {
        let frame = json!({ "ts": 0, "src": "cassette", "type": "cassette:setup", "data": setup });
        let name = format!("bad-{number}");
        take_in(&app, &name, format!("{begin}\n{frame}\n")).await;
        let refused = app.post(&format!("/api/cassettes/{name}/replay"), &email("admin"), json!({})).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{frame}: {refused:?}");
    }
    assert_eq!(app.public("/api/v1/events?rehearsal=true").await.body["items"], json!([]));
    assert_eq!(app.public("/healthz").await.status, StatusCode::OK);
    app.stop().await;
}

#[tokio::test]
async fn what_is_still_a_secret_here_is_not_played_here() {
    let app = start().await;
    judge(&app).await;
    let office = json!({ "name": "vault", "lane": "cat:vault", "audience": "office", "from_seq": 0 });
    assert_eq!(app.post("/api/cassettes", &email("organizer"), office).await.status, StatusCode::CREATED);
    let refused = app.post("/api/cassettes/vault/replay", &email("organizer"), json!({ "speed": 0 })).await;
    assert_eq!((refused.status, refused.body["code"].as_str()), (StatusCode::CONFLICT, Some("STATE")), "{refused:?}");
    let file = app.bytes("/api/cassettes/vault/download", &email("organizer")).await;
    let other = start().await;
    take_in(&other, "vault", String::from_utf8(file).expect("UTF-8")).await;
    let state = other.app.state();
    assert!(state.categories.keys().any(|id| id.as_str() == "vault") && state.boards.is_empty());
    drop(state);
    // There, nobody has marked it: it is played, and hidden from the public unless that is asked for.
    let begun = other.post("/api/cassettes/vault/replay", &email("admin"), json!({ "speed": 0 })).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{begun:?}");
    let event = begun.body["event_id"].as_str().expect("an event").to_owned();
    let path = format!("/api/v1/categories/{event}.vault/scores");
    let begun = std::time::Instant::now();
    while other.get(&path, &email("admin")).await.body["scores"].as_array().map(Vec::len) != Some(9) {
        assert!(begun.elapsed() < PATIENCE, "all nine marks are given again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(other.public(&format!("/api/v1/events/{event}")).await.status, StatusCode::NOT_FOUND);
    other.stop().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_plays_a_recording_beside_a_server() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = ServerProcess::settings(folder.path());
    settings.import(&people::document());
    let mut serve = settings.command();
    let shelf = folder.path().join("cassettes");
    let server = settings.start_as(serve.env("CASSETTES", &shelf));
    let token = settings.token(&email("admin"));
    let client = reqwest::Client::new();
    let url = format!("http://{}", server.address);
    let taken = client.post(format!("{url}/api/cassettes/import?name=two")).bearer_auth(token).body(race_of_two());
    assert_eq!(taken.send().await.expect("an answer").status(), StatusCode::CREATED);
    let played = settings.command().env("CASSETTES", &shelf).args(["replay", "two", "--speed", "0"]).output();
    let played = played.expect("the program runs");
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    let event = String::from_utf8(played.stdout).expect("an id is text");
    let results = format!("{url}/api/v1/events/{0}/results/{0}.final", event.trim());
    let begun = std::time::Instant::now();
    let shown = loop {
        let shown: Value = client.get(&results).send().await.expect("an answer").json().await.expect("JSON");
        if shown["items"].as_array().is_some_and(|lines| lines.len() == 2) || begun.elapsed() > PATIENCE {
            break shown;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((&shown["items"][0]["name"], &shown["items"][0]["rnk"]), (&json!("Ben"), &json!(1)), "{shown}");
    let unknown =
        settings.command().env("CASSETTES", &shelf).args(["replay", "none"]).output().expect("the program runs");
    assert!(!unknown.status.success() && String::from_utf8_lossy(&unknown.stderr).contains("no cassette none"));
    server.stop();
}
