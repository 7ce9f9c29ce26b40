//! The organiser's desk: the import document, each part of it alone, and that nothing of a password is ever seen.

use crate::support::people::{self, PEOPLE, email, mark};
use crate::support::{Reply, TestApp};
use imbl::OrdMap;
use reqwest::{Method, StatusCode};
use rusqlite::types::ValueRef;
use scorecast::config::Config;
use scorecast::ids::RaceId;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Nobody is slowed down here.
fn unlimited(config: &mut Config) {
    config.rate_limit_commands_per_minute = 1_000_000;
    config.rate_limit_lists_per_minute = 1_000_000;
    config.rate_limit_scores_per_minute = 1_000_000;
}

/// The cup, without limits.
async fn cup() -> TestApp {
    let app = TestApp::start_with(unlimited).await;
    app.import(people::document()).await;
    app
}

/// A document in which every field there is says something.
fn regatta() -> Value {
    let criterion = |id: &str, weight: Value| json!({"id": id, "name": format!("For {id}"), "min": 0, "max": 10, "step": 0.25, "weight": weight});
    json!({
        "event": {"id": "regatta", "mainTitle": "Regatta", "subTitle": "Slalom and Trot", "location": "Račice",
            "startDate": "2026-05-01", "endDate": "2026-05-03", "discipline": "slalom", "status": "startlist",
            "singleOfficer": true, "allowOverride": true},
        "users": [
            {"email": "Chief@Regatta.example", "name": "Chief", "role": "JUDGE"},
            {"email": "second@regatta.example", "name": "Second", "role": "JUDGE"},
            {"email": "third@regatta.example", "name": "Third", "role": "JUDGE", "active": true},
            {"email": "office@regatta.example", "name": "Office", "role": "TALLY_MASTER"},
            {"email": "paddler@regatta.example", "name": "Paddler", "role": "CONTESTANT"},
        ],
        "contestants": [
            {"id": "p1", "name": "Paddler One", "number": 7, "club": "USK", "country": "CZE", "userEmail": "paddler@regatta.example"},
            {"id": "p2", "name": "Paddler Two", "number": "8a"},
            {"id": "p3", "name": "Paddler Three"},
        ],
        "contests": [
            {"id": "k1m", "name": "K1 Men", "standings": {"combine": "placings", "weights": {"technique": 2, "style": "0.5"}},
             "categories": [
                {"id": "technique", "name": "Technique", "minJudges": 3, "judgeVisibility": "own", "proxyEntry": true,
                 "rules": {"method": "trimmed_mean", "trim": {"low": 1, "high": 1}, "missing": "mean_of_others",
                    "rounding": {"criterion": 2, "weighted": 2, "total": 3, "mode": "half_even"},
                    "tieBreaks": ["criterion:line", "drop:highest", "manual"], "rankStyle": "dense", "floorZero": false},
                 "criteria": [criterion("line", json!(1)), criterion("speed", json!("1.5"))],
                 "entries": [{"contestantId": "p2", "startOrder": 2, "factor": 1.25}, {"contestantId": "p1", "startOrder": 1}],
                 "assignments": [{"email": "chief@regatta.example", "hat": "HEAD_JUDGE", "counts": true},
                    {"email": "second@regatta.example", "hat": "JUDGE", "counts": false},
                    {"email": "third@regatta.example", "hat": "JUDGE"}]},
                {"id": "style", "name": "Style", "rules": {"method": "sum"}, "criteria": [criterion("line", json!(1)), criterion("air", json!(2))],
                 "entries": [{"contestantId": "p3"}]},
             ]},
            {"id": "k1w", "name": "K1 Women", "categories": []},
        ],
        "assignments": [{"email": "office@regatta.example", "hat": "TALLY_MASTER"}, {"email": "third@regatta.example", "hat": "EMCEE"}],
        "races": [
            {"id": "heat-1", "number": 41, "raceType": "slalom", "name": "Heat 1", "classId": "K1M", "startTime": "2026-05-01T10:00:00+02:00",
             "participants": [
                {"id": "c1", "bib": 1, "name": "Paddler One", "club": {"name": "USK Praha", "code": "USK"},
                 "category": {"id": "u23", "code": "U23", "label": "Under 23"}, "lane": 4},
                {"id": "c2", "bib": 2, "name": "Paddler Two"}]},
            {"id": "trot-1", "raceType": "trot",
             "meta": {"meetingId": 5, "raceNumber": 1, "distanceM": 2100, "startType": "volte", "gait": "trot",
                "weather": "fine", "trackCondition": "good", "venue": "Vincennes", "meetingDate": "2026-05-02"},
             "participants": [{"id": "r1", "barrier": 3, "handicapM": 25, "horse": {"id": 9, "name": "Bold Eagle"},
                "driver": {"id": 10, "name": "F. Nivard"}, "trainer": {"id": 11, "name": "S. Guarato"}}]},
        ],
    })
}

async fn import(app: &TestApp, document: &Value) -> Reply {
    app.post("/api/v1/admin/import", &email("admin"), document.clone()).await
}

fn outcome(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), reply.body["code"].as_str().unwrap_or("ok"))
}

fn good(reply: Reply, status: u16) -> Value {
    assert_eq!(reply.status.as_u16(), status, "{reply:?}");
    reply.body
}

/// Every row of every table, as text, read by a connection of its own.
fn tables(app: &TestApp) -> BTreeMap<String, Vec<String>> {
    let file = app.database_folder().join("it.db");
    let db = rusqlite::Connection::open(file).expect("the database opens");
    let names: Vec<String> = db
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
        .and_then(|mut query| query.query_map([], |row| row.get(0))?.collect())
        .expect("the tables are listed");
    let rows = |table: &String| -> rusqlite::Result<Vec<String>> {
        let mut query = db.prepare(&format!("SELECT * FROM \"{table}\""))?;
        let columns = query.column_count();
        let mut rows = query.query([])?;
        let mut texts = Vec::new();
        while let Some(row) = rows.next()? {
            let cells: Vec<String> = (0..columns)
                .map(|column| {
                    Ok(match row.get_ref(column)? {
                        ValueRef::Null => "null".to_owned(),
                        ValueRef::Integer(number) => number.to_string(),
                        ValueRef::Real(number) => number.to_string(),
                        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    })
                })
                .collect::<rusqlite::Result<_>>()?;
            texts.push(cells.join(" | "));
        }
        texts.sort();
        Ok(texts)
    };
    names.iter().map(|table| (table.clone(), rows(table).expect("the rows are read"))).collect()
}

/// As [`tables`], but without what signing in writes: the tests sign in all the time.
fn rows_that_matter(app: &TestApp) -> BTreeMap<String, Vec<String>> {
    let mut tables = tables(app);
    for table in ["session", "log_entry", "log_text", "log_head", "lane"] {
        tables.remove(table);
    }
    tables
}

#[tokio::test]
async fn a_document_with_every_field_is_taken_and_read_back() {
    let app = cup().await;
    let taken = good(import(&app, &regatta()).await, 200);
    assert_eq!(
        taken,
        json!({"eventId": "regatta", "users": 5, "contestants": 3, "contests": 2, "categories": 2, "races": 2})
    );
    let admin = email("admin");
    let document = regatta();
    let event = app.get("/api/v1/admin/events/regatta", &admin).await.body;
    for (field, value) in document["event"].as_object().expect("an object") {
        assert_eq!(event[field], *value, "event.{field}");
    }
    let contest = app.get("/api/v1/admin/contests/k1m", &admin).await.body;
    assert_eq!((&contest["eventId"], &contest["name"]), (&json!("regatta"), &json!("K1 Men")));
    assert_eq!(contest["categories"], json!(["technique", "style"]));
    assert_eq!(
        (&contest["standings"]["combine"], &contest["standings"]["weights"]["technique"]),
        (&json!("placings"), &json!(2))
    );
    let category = app.get("/api/v1/admin/categories/technique", &admin).await.body;
    let asked = &document["contests"][0]["categories"][0];
    for field in ["id", "name", "minJudges", "judgeVisibility", "proxyEntry", "rules"] {
        assert_eq!(category[field], asked[field], "{field}");
    }
    let seen: Vec<_> = category["criteria"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|criterion| (&criterion["id"], &criterion["step"]))
        .collect();
    assert_eq!(seen, [(&json!("line"), &json!(0.25)), (&json!("speed"), &json!(0.25))]);
    let entries: Vec<_> = category["entries"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| (entry["contestantId"].as_str(), entry["startOrder"].as_u64()))
        .collect();
    assert_eq!(entries, [(Some("p1"), Some(1)), (Some("p2"), Some(2))], "in starting order");
    let contestant = app.get("/api/v1/admin/contestants/p1", &admin).await.body;
    assert_eq!(
        contestant,
        json!({"id": "p1", "name": "Paddler One", "number": "7", "club": "USK", "country": "CZE",
            "userId": app.user_id("paddler@regatta.example")})
    );
    let hats = app.get("/api/v1/admin/assignments?eventId=regatta", &admin).await.body;
    let hats: BTreeSet<_> = hats["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|hat| {
            (
                hat["judgeId"].as_str().map(str::to_owned),
                hat["hat"].to_string(),
                hat["categoryId"].to_string(),
                hat["counts"].clone().to_string(),
            )
        })
        .collect();
    let hat = |who: &str, hat: &str, category: &str, counts: bool| {
        (
            Some(app.user_id(&format!("{who}@regatta.example"))),
            json!(hat).to_string(),
            category.to_owned(),
            counts.to_string(),
        )
    };
    let technique = "\"technique\"";
    assert_eq!(
        hats,
        BTreeSet::from([
            hat("chief", "HEAD_JUDGE", technique, true),
            hat("second", "JUDGE", technique, false),
            hat("third", "JUDGE", technique, true),
            hat("office", "TALLY_MASTER", "null", false),
            hat("third", "EMCEE", "null", false),
        ])
    );
    for (asked, number) in document["races"].as_array().expect("a list").iter().zip([41, 42]) {
        let id = asked["id"].as_str().expect("an id");
        let race = app.get(&format!("/api/v1/admin/races/{id}"), &admin).await.body;
        for (field, value) in asked.as_object().expect("an object").iter().filter(|(field, _)| *field != "meta") {
            assert_eq!(race[field], *value, "{id}.{field}");
        }
        assert_eq!(
            (&race["number"], &race["eventId"], &race["status"]),
            (&json!(number), &json!("regatta"), &json!("not_started"))
        );
    }
    let meta = app.get("/api/v1/admin/races/trot-1", &admin).await.body["meta"].clone();
    let mut asked = document["races"][1]["meta"].clone();
    asked["meetingId"] = json!("5");
    assert_eq!(meta, asked, "ids are texts, however they were written");
    app.stop().await;
}

#[tokio::test]
async fn yaml_says_the_same_as_json() {
    let as_json = cup().await;
    good(import(&as_json, &regatta()).await, 200);
    let as_yaml = cup().await;
    let token = as_yaml.token(&email("admin")).await;
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/yaml")];
    let send = async |source: String| as_yaml.raw_request(Method::POST, "/api/v1/admin/import", &headers, source).await;
    good(send(format!("# flow style\n---\n{}\n", regatta())).await, 200);
    for path in ["events/regatta", "contests/k1m", "categories/technique", "categories/style", "contestants/p2"] {
        let path = format!("/api/v1/admin/{path}");
        let (json, yaml) =
            (as_json.get(&path, &email("admin")).await.body, as_yaml.get(&path, &email("admin")).await.body);
        assert_eq!(json, yaml, "{path}");
    }
    let block = "event:\n  id: night\n  mainTitle: The Night\n  startDate: 2026-11-01\ncontestants:\n  - id: n1\n    name: Nora\n    number: 12\n\
        contests:\n  - id: solo\n    name: Solo\n    categories:\n      - id: dance\n        name: Dance\n        rules: {method: median}\n        \
        criteria:\n          - {id: art, name: Art, min: 0, max: 10, step: 0.1}\n        entries:\n          - contestantId: n1\n";
    good(send(block.to_owned()).await, 200);
    let category = as_yaml.get("/api/v1/admin/categories/dance", &email("admin")).await.body;
    assert_eq!(
        (&category["criteria"][0]["step"], &category["entries"][0]["contestantId"]),
        (&json!(0.1), &json!("n1"))
    );
    let wrong = send(block.replace("step: 0.1", "step: 0")).await;
    assert_eq!(wrong.body["errors"][0]["field"], "contests[0].categories[0].criteria[0].step", "{wrong:?}");
    as_json.stop().await;
    as_yaml.stop().await;
}

#[tokio::test]
async fn an_error_in_the_last_category_leaves_nothing_of_the_document() {
    let app = cup().await;
    let token = app.token(&email("admin")).await;
    let (before, end) = (rows_that_matter(&app), app.log_end());
    let mut document = regatta();
    document["contests"][0]["categories"][1]["criteria"][1]["step"] = json!(0.3);
    let reply = app.request(Method::POST, "/api/v1/admin/import", Some(&token), Some(document)).await;
    assert_eq!(outcome(&reply), (400, "INVALID_DATA"));
    assert_eq!(reply.body["errors"][0]["field"], "contests[0].categories[1].criteria[1].step", "{reply:?}");
    assert_eq!(app.log_end(), end, "nothing happened");
    assert_eq!(rows_that_matter(&app), before, "no row is there");
    let state = app.app.state();
    assert!(state.events.keys().all(|id| id.as_str() == "cup"));
    assert!(state.emails.keys().all(|address| !address.contains("regatta")));
    app.stop().await;
}

/// Imports a document twice; how many facts the second time brought.
async fn facts_of_the_second_time(document: &Value) -> i64 {
    let app = cup().await;
    let token = app.token(&email("admin")).await;
    let send = async || app.request(Method::POST, "/api/v1/admin/import", Some(&token), Some(document.clone())).await;
    let first = good(send().await, 200);
    let end = app.log_end();
    assert_eq!(good(send().await, 200), first);
    let new = app.log_end() - end;
    app.stop().await;
    new
}

#[tokio::test]
async fn the_same_document_again_changes_nothing() {
    let mut document = regatta();
    document.as_object_mut().expect("an object").remove("races");
    assert_eq!(facts_of_the_second_time(&document).await, 0);
}

#[tokio::test]
async fn the_same_races_again_change_nothing() {
    assert_eq!(facts_of_the_second_time(&regatta()).await, 0);
}

#[tokio::test]
async fn the_same_passwords_again_change_nothing() {
    let mut document = regatta();
    document.as_object_mut().expect("an object").remove("races");
    document["users"][0]["password"] = json!("a password of the chief");
    assert_eq!(facts_of_the_second_time(&document).await, 0);
}

#[tokio::test]
async fn what_a_later_document_says_otherwise_is_changed_and_keeps_its_id() {
    let app = cup().await;
    good(import(&app, &regatta()).await, 200);
    let chief = app.user_id("chief@regatta.example");
    let mut document = regatta();
    document["event"]["location"] = json!("Troja");
    document["event"]["status"] = json!("running");
    document["users"][0]["name"] = json!("The Chief");
    document["users"][0]["role"] = json!("BOARD");
    document["contestants"][1]["club"] = json!("Dukla");
    document["contests"][0]["name"] = json!("Kayak Men");
    document["contests"][0]["categories"][0]["criteria"][1]["weight"] = json!(2);
    document["contests"][0]["categories"][0]["criteria"][1]["max"] = json!(20);
    document["contests"][0]["categories"][0]["assignments"][1]["counts"] = json!(true);
    document["races"][0]["name"] = json!("Heat One");
    document["races"][0]["participants"][0]["club"]["name"] = json!("USK");
    good(import(&app, &document).await, 200);
    let get = async |path: &str| app.get(&format!("/api/v1/admin/{path}"), &email("admin")).await.body;
    assert_eq!(
        (&get("events/regatta").await["location"], &get("events/regatta").await["status"]),
        (&json!("Troja"), &json!("running"))
    );
    let user = get(&format!("users/{chief}")).await;
    assert_eq!((&user["name"], &user["role"]), (&json!("The Chief"), &json!("BOARD")));
    assert_eq!(get("contestants/p2").await["club"], "Dukla");
    assert_eq!(get("contests/k1m").await["name"], "Kayak Men");
    let criterion = get("categories/technique").await["criteria"][1].clone();
    assert_eq!((&criterion["max"], criterion["weight"].as_f64()), (&json!(20), Some(2.0)));
    let second = app.user_id("second@regatta.example");
    let hats = get(&format!("assignments?userId={second}")).await;
    assert_eq!((hats["items"].as_array().map(Vec::len), &hats["items"][0]["counts"]), (Some(1), &json!(true)));
    let tables = tables(&app);
    assert!(tables["race"].join("\n").contains("Heat One"));
    assert!(!tables["race_participant"].join("\n").contains("USK Praha"));
    app.stop().await;
}

/// Sets what a JSON pointer names, also where nothing was.
fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, last) = pointer.rsplit_once('/').expect("a pointer");
    match document.pointer_mut(parent).unwrap_or_else(|| panic!("nothing at {pointer}")) {
        Value::Object(fields) => {
            fields.insert(last.to_owned(), value);
        }
        Value::Array(items) => items[last.parse::<usize>().expect("an index")] = value,
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            panic!("{pointer} lies in {other}")
        }
    }
    document
}

/// Imports each of them; all whose refusal does not name the place, in words.
async fn misplaced(app: &TestApp, cases: Vec<(&str, Value, &str)>) -> Vec<String> {
    let token = app.token(&email("admin")).await;
    let mut wrong = Vec::new();
    for (pointer, value, place) in cases {
        let document = with(regatta(), pointer, value.clone());
        let reply = app.request(Method::POST, "/api/v1/admin/import", Some(&token), Some(document)).await;
        let told = reply.body["errors"][0]["field"].as_str().unwrap_or("nowhere");
        if outcome(&reply) != (400, "INVALID_DATA") || told != place {
            wrong.push(format!("{pointer} = {value:.60}: {} {} at {told}, not {place}", reply.status, reply.body));
        }
    }
    wrong
}

#[tokio::test]
async fn a_bad_document_is_told_the_place() {
    let app = cup().await;
    let (before, end) = (rows_that_matter(&app), app.log_end());
    let category = "contests[0].categories[0]";
    let at = |rest: &str| format!("{category}.{rest}");
    let long = "x".repeat(301);
    let (method, trim, total, breaker) =
        (at("rules.method"), at("rules.trim"), at("rules.rounding.total"), at("rules.tieBreaks[0]"));
    let (judges, sees, criteria) = (at("minJudges"), at("judgeVisibility"), at("criteria"));
    let (id1, min0, max0, step1, weight0) = (
        at("criteria[1].id"),
        at("criteria[0].min"),
        at("criteria[0].max"),
        at("criteria[1].step"),
        at("criteria[0].weight"),
    );
    let (entry0, entry1, order, factor) = (
        at("entries[0].contestantId"),
        at("entries[1].contestantId"),
        at("entries[0].startOrder"),
        at("entries[0].factor"),
    );
    let (who, hat, counts) = (at("assignments[0].email"), at("assignments[0].hat"), at("assignments[2].counts"));
    let p = "/contests/0/categories/0";
    let pointers: Vec<String> = [
        "/rules/method",
        "/rules/trim",
        "/rules/rounding/total",
        "/rules/tieBreaks/0",
        "/minJudges",
        "/judgeVisibility",
        "/criteria",
        "/criteria/1/id",
        "/criteria/0/min",
        "/criteria/0/max",
        "/criteria/1/step",
        "/criteria/0/weight",
        "/entries/0/contestantId",
        "/entries/1/contestantId",
        "/entries/0/startOrder",
        "/entries/0/factor",
        "/assignments/0/email",
        "/assignments/0/hat",
        "/assignments/2/counts",
    ]
    .iter()
    .map(|rest| format!("{p}{rest}"))
    .collect();
    let pointer = |index: usize| pointers[index].as_str();
    let cases = vec![
        ("/event/id", json!("a:b"), "event.id"),
        ("/event/id", json!(""), "event.id"),
        ("/event/id", json!(5), "event.id"),
        ("/event/mainTitle", json!("  "), "event.mainTitle"),
        ("/event/mainTitle", json!(5), "event.mainTitle"),
        ("/event/mainTitle", json!(long), "event.mainTitle"),
        ("/event/location", json!("a\u{0}b"), "event.location"),
        ("/event/startDate", json!("1.5.2026"), "event.startDate"),
        ("/event/startDate", json!("2026-02-30"), "event.startDate"),
        ("/event/endDate", json!("2026-04-30"), "event.endDate"),
        ("/event/status", json!("paused"), "event.status"),
        ("/event/singleOfficer", json!("yes"), "event.singleOfficer"),
        ("/event/allowOverride", json!("yes"), "event.allowOverride"),
        ("/users/0/email", json!("nobody"), "users[0].email"),
        ("/users/1/email", json!("a b@c"), "users[1].email"),
        ("/users/1/name", json!(""), "users[1].name"),
        ("/users/2/role", json!("KING"), "users[2].role"),
        ("/users/0/password", json!("short77"), "users[0].password"),
        ("/users/3/active", json!("no"), "users[3].active"),
        ("/contestants/0/id", json!("../p1"), "contestants[0].id"),
        ("/contestants/1/name", json!(""), "contestants[1].name"),
        ("/contestants/0/number", json!([7]), "contestants[0].number"),
        ("/contestants/0/userEmail", json!("ghost@regatta.example"), "contestants[0].userEmail"),
        ("/contests/1/id", json!("-x"), "contests[1].id"),
        ("/contests/1/name", json!(""), "contests[1].name"),
        ("/contests/1/categories", json!(null), "contests[1].categories"),
        ("/contests/0/standings/combine", json!("average"), "contests[0].standings.combine"),
        ("/contests/0/standings/weights/style", json!(-1), "contests[0].standings"),
        (pointer(0), json!("best_guess"), &method),
        (pointer(1), json!({"low": 2, "high": 1}), &trim),
        (pointer(2), json!(10), &total),
        (pointer(3), json!("criterion:ghost"), &breaker),
        (pointer(3), json!("coin"), &breaker),
        (pointer(4), json!(-1), &judges),
        (pointer(5), json!("all"), &sees),
        ("/contests/0/categories/1/criteria", json!([]), "contests[0].categories[1].criteria"),
        (pointer(6), json!("all"), &criteria),
        (pointer(7), json!("line"), &id1),
        (pointer(8), json!("zero"), &min0),
        (pointer(9), json!(0), &max0),
        (pointer(9), json!(1e12), &max0),
        (pointer(10), json!(0), &step1),
        (pointer(10), json!(-0.25), &step1),
        (pointer(10), json!(0.3), &step1),
        (pointer(10), json!(0.0001), &step1),
        (pointer(10), json!("0.25"), &step1),
        (pointer(11), json!(-1), &weight0),
        (pointer(11), json!("heavy"), &weight0),
        (pointer(12), json!("ghost"), &entry0),
        (pointer(13), json!("p2"), &entry1),
        (pointer(14), json!(-1), &order),
        (pointer(15), json!(0), &factor),
        (pointer(16), json!("ghost@regatta.example"), &who),
        (pointer(17), json!("KING"), &hat),
        (pointer(18), json!(1), &counts),
        ("/assignments/1/email", json!("ghost@regatta.example"), "assignments[1].email"),
        ("/assignments/0/hat", json!("CONTESTANT"), "assignments[0].hat"),
        ("/races/0/id", json!(":"), "races[0].id"),
        ("/races/0/raceType", json!(""), "races[0].raceType"),
        ("/races/0/number", json!("seven"), "races[0].number"),
        ("/races/1/number", json!(41), "races[1].number"),
        ("/races/0/participants/1/id", json!("c1"), "races[0].participants[1].id"),
        ("/races/0/participants/0/bib", json!("one"), "races[0].participants[0].bib"),
        ("/races/0/participants/0/club", json!({"code": 5}), "races[0].participants[0].club.code"),
        ("/races/1/participants/0/horse/id", json!("nine"), "races[1].participants[0].horse.id"),
        ("/users", json!({}), "users"),
        ("/races/0/participants", json!("all"), "races[0].participants"),
    ];
    assert!(cases.len() > 60);
    let wrong = misplaced(&app, cases).await;
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    // Not one of them has left anything.
    assert_eq!(rows_that_matter(&app), before);
    assert_eq!(app.log_end(), end + 1, "one sign-in, nothing else");
    app.stop().await;
}

#[tokio::test]
async fn a_race_that_no_feed_could_show_is_refused_at_its_place() {
    // The race feed promises integers and times (contract 5.3); what it is to show is checked when it is taken.
    let app = cup().await;
    let cases = vec![
        ("/races/0/startTime", json!("tomorrow"), "races[0].startTime"),
        ("/races/0/name", json!("a\u{0}b"), "races[0].name"),
        ("/races/1/meta", json!(5), "races[1].meta"),
        ("/races/1/meta/raceNumber", json!("one"), "races[1].meta.raceNumber"),
        ("/races/1/meta/distanceM", json!(2100.5), "races[1].meta.distanceM"),
        ("/races/1/meta/colour", json!("red"), "races[1].meta.colour"),
        ("/races/0/number", json!(-1), "races[0].number"),
    ];
    let wrong = misplaced(&app, cases).await;
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    app.stop().await;
}

#[tokio::test]
async fn the_same_race_twice_in_a_document_is_refused() {
    let app = cup().await;
    let mut document = regatta();
    let mut again = document["races"][0].clone();
    again["number"] = json!(99);
    document["races"].as_array_mut().expect("a list").push(again);
    let reply = import(&app, &document).await;
    assert_eq!((outcome(&reply), &reply.body["errors"][0]["field"]), ((400, "INVALID_DATA"), &json!("races[2].id")));
    app.stop().await;
}

#[tokio::test]
async fn a_missing_or_unknown_field_is_told_with_the_part_it_is_about() {
    let app = cup().await;
    let mut cases = Vec::new();
    for (part, field) in [
        ("/event", "mainTitle"),
        ("/users/1", "role"),
        ("/contests/0/categories/0/criteria/1", "step"),
        ("/contests/0/categories/1", "rules"),
        ("/races/0/participants/1", "id"),
    ] {
        let mut document = regatta();
        document.pointer_mut(part).and_then(Value::as_object_mut).expect("an object").remove(field);
        cases.push((document, part, field));
        cases.push((with(regatta(), &format!("{part}/colour"), json!("red")), part, "colour"));
    }
    let mut wrong = Vec::new();
    for (document, part, field) in cases {
        let reply = import(&app, &document).await;
        let part = part[1..].split('/').fold(String::new(), |place, step| match step.parse::<usize>() {
            Ok(index) => format!("{place}[{index}]"),
            Err(_) if place.is_empty() => step.to_owned(),
            Err(_) => format!("{place}.{step}"),
        });
        let told = reply.body["errors"][0]["field"].as_str().unwrap_or("nowhere");
        let named = reply.body["detail"].as_str().is_some_and(|detail| detail.contains(field));
        if outcome(&reply) != (400, "INVALID_DATA") || !(told == part || told == format!("{part}.{field}")) || !named {
            wrong.push(format!("{part}.{field}: {} at {told}: {}", reply.status, reply.body));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    app.stop().await;
}

#[tokio::test]
async fn a_hat_for_somebody_switched_off_is_told_the_place() {
    let app = cup().await;
    let mut document = regatta();
    document["users"][1]["active"] = json!(false);
    let reply = import(&app, &document).await;
    assert_eq!(reply.body["errors"][0]["field"], "contests[0].categories[0].assignments[1].email", "{reply:?}");
    app.stop().await;
}

#[tokio::test]
async fn an_import_that_would_turn_an_event_back_is_told_the_place() {
    let app = cup().await;
    good(import(&app, &regatta()).await, 200);
    let reply = import(&app, &with(regatta(), "/event/status", json!("official"))).await;
    assert_eq!((reply.status.as_u16(), &reply.body["currentStatus"]), (400, &json!("startlist")), "{reply:?}");
    assert_eq!(reply.body["errors"][0]["field"], "event.status", "{reply:?}");
    app.stop().await;
}

#[tokio::test]
async fn what_belongs_to_one_event_is_not_taken_away_by_another() {
    let app = cup().await;
    good(import(&app, &regatta()).await, 200);
    for (part, place) in [("contests", "contests[0].id"), ("races", "races[0].id")] {
        let mut other = json!({"event": {"id": "thief", "mainTitle": "Thief"}});
        other[part] = regatta()[part].clone();
        other["contestants"] = regatta()["contestants"].clone();
        let reply = import(&app, &other).await;
        assert_eq!((outcome(&reply), &reply.body["errors"][0]["field"]), ((400, "INVALID_DATA"), &json!(place)));
    }
    let mut other = regatta();
    other["contests"][1]["categories"] = json!([regatta()["contests"][0]["categories"][1]]);
    other["contests"][0]["categories"] = json!([]);
    let reply = import(&app, &other).await;
    assert_eq!(reply.body["errors"][0]["field"], "contests[1].categories[0].id", "{reply:?}");
    app.stop().await;
}

/// A collection with something to make in it.
struct Part {
    name: &'static str,
    id: &'static str,
    make: Value,
    change: Value,
    /// A field that the change sets.
    changed: (&'static str, Value),
}

fn parts() -> Vec<Part> {
    let criteria = json!([{"id": "only", "name": "Only", "min": 0, "max": 10, "step": 1}]);
    vec![
        Part {
            name: "events",
            id: "gala",
            make: json!({"id": "gala", "mainTitle": "Gala"}),
            change: json!({"id": "gala", "mainTitle": "Great Gala", "location": "Brno"}),
            changed: ("location", json!("Brno")),
        },
        Part {
            name: "contests",
            id: "juniors",
            make: json!({"eventId": "cup", "id": "juniors", "name": "Juniors"}),
            change: json!({"eventId": "cup", "name": "Young", "standings": {"combine": "best"}}),
            changed: ("name", json!("Young")),
        },
        Part {
            name: "categories",
            id: "floor",
            make: json!({"contestId": "women", "id": "floor", "name": "Floor", "rules": {"method": "sum"}, "criteria": criteria,
                "entries": [{"contestantId": "x"}]}),
            change: json!({"contestId": "women", "name": "Floor", "rules": {"method": "median"}, "criteria": criteria, "minJudges": 2}),
            changed: ("minJudges", json!(2)),
        },
        Part {
            name: "contestants",
            id: "new",
            make: json!({"id": "new", "name": "Newcomer", "number": 12}),
            change: json!({"name": "Newcomer", "club": "Sokol"}),
            changed: ("club", json!("Sokol")),
        },
        Part {
            name: "races",
            id: "heat",
            make: json!({"eventId": "cup", "id": "heat", "raceType": "slalom", "participants": [{"id": "p", "bib": 7}]}),
            change: json!({"eventId": "cup", "raceType": "slalom", "name": "Heat 1"}),
            changed: ("name", json!("Heat 1")),
        },
    ]
}

#[tokio::test]
async fn each_part_is_made_read_changed_and_removed() {
    let app = cup().await;
    let admin = email("admin");
    for Part { name, id, make, change, changed: (field, value) } in parts() {
        let (list, one) = (format!("/api/v1/admin/{name}"), format!("/api/v1/admin/{name}/{id}"));
        assert_eq!(outcome(&app.get(&one, &admin).await), (404, "NOT_FOUND"), "{name}");
        let put = app.send(Method::PUT, &one, &admin, change.clone()).await;
        assert_eq!(outcome(&put), (404, "NOT_FOUND"), "a change makes nothing: {name}");
        assert_eq!(outcome(&app.send(Method::DELETE, &one, &admin, Value::Null).await), (404, "NOT_FOUND"), "{name}");

        let made = good(app.post(&list, &admin, make.clone()).await, 201);
        assert_eq!(made["id"], id);
        assert_eq!(outcome(&app.post(&list, &admin, make).await), (409, "DUPLICATE"), "{name}");
        assert_eq!(good(app.get(&one, &admin).await, 200), made, "{name}");
        let listed = good(app.get(&format!("{list}?limit=200"), &admin).await, 200);
        assert!(listed["items"].as_array().expect("a list").contains(&made), "{listed}");

        let after = good(app.send(Method::PUT, &one, &admin, change.clone()).await, 200);
        assert_eq!((&after["id"], &after[field]), (&json!(id), &value), "{name}");
        assert_eq!(good(app.get(&one, &admin).await, 200), after);
        let mut other = change;
        other["id"] = json!("another");
        let mismatch = app.send(Method::PUT, &one, &admin, other).await;
        assert_eq!((outcome(&mismatch), &mismatch.body["errors"][0]["field"]), ((400, "INVALID_DATA"), &json!("id")));

        let gone = app.send(Method::DELETE, &one, &admin, Value::Null).await;
        assert_eq!((gone.status, &gone.body), (StatusCode::NO_CONTENT, &json!("")), "{name}");
        assert_eq!(outcome(&app.get(&one, &admin).await), (404, "NOT_FOUND"), "{name}");
        assert_eq!(outcome(&app.send(Method::DELETE, &one, &admin, Value::Null).await), (404, "NOT_FOUND"), "{name}");
    }
    app.stop().await;
}

#[tokio::test]
async fn users_are_made_changed_and_switched_off_but_never_removed() {
    let app = cup().await;
    let admin = email("admin");
    let body = json!({"email": "New@It.example", "name": "New", "role": "JUDGE"});
    let made = good(app.post("/api/v1/admin/users", &admin, body.clone()).await, 201);
    assert_eq!((&made["email"], &made["active"]), (&json!("new@it.example"), &json!(true)));
    assert_eq!(outcome(&app.post("/api/v1/admin/users", &admin, body.clone()).await), (409, "DUPLICATE"));
    let one = format!("/api/v1/admin/users/{}", made["id"].as_str().expect("an id"));
    assert_eq!(good(app.get(&one, &admin).await, 200), made);
    let renamed = json!({"email": "newer@it.example", "name": "Newer", "role": "AUDITOR"});
    let after = good(app.send(Method::PUT, &one, &admin, renamed.clone()).await, 200);
    assert_eq!(
        (&after["id"], &after["email"], &after["role"]),
        (&made["id"], &json!("newer@it.example"), &json!("AUDITOR"))
    );
    let mut taken = renamed;
    taken["email"] = json!(email("ada"));
    assert_eq!(outcome(&app.send(Method::PUT, &one, &admin, taken).await), (409, "DUPLICATE"));
    // The old address is free again.
    good(app.post("/api/v1/admin/users", &admin, body).await, 201);
    assert_eq!(app.send(Method::DELETE, &one, &admin, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(good(app.get(&one, &admin).await, 200)["active"], false);
    let ghost = "/api/v1/admin/users/ghost";
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(outcome(&app.send(method, ghost, &admin, Value::Null).await), (404, "NOT_FOUND"));
    }
    assert_eq!(outcome(&app.post(&format!("{ghost}/revoke-sessions"), &admin, Value::Null).await), (404, "NOT_FOUND"));
    app.stop().await;
}

#[tokio::test]
async fn hats_are_given_changed_and_taken_away() {
    let app = cup().await;
    let admin = email("admin");
    let idle = app.user_id(&email("idle"));
    let list = "/api/v1/admin/assignments";
    let body = json!({"judgeId": idle, "hat": "JUDGE", "categoryId": "rings"});
    let made = good(app.post(list, &admin, body.clone()).await, 201)["assignment"].clone();
    assert_eq!(
        (&made["status"], &made["eventId"], &made["contestId"], &made["counts"]),
        (&json!("ACTIVE"), &json!("cup"), &json!("men"), &json!(true))
    );
    let end = app.log_end();
    let again = good(app.post(list, &admin, body).await, 201)["assignment"].clone();
    assert_eq!(again["id"], made["id"], "an equal hat is the same one");
    assert_eq!(app.log_end(), end + 1, "one sign-in, nothing else");
    let one = format!("{list}/{}", made["id"].as_str().expect("an id"));
    assert_eq!(good(app.get(&one, &admin).await, 200), made);
    let shadow = good(app.send(Method::PUT, &one, &admin, json!({"counts": false})).await, 200);
    assert_eq!((&shadow["assignment"]["id"], &shadow["assignment"]["counts"]), (&made["id"], &json!(false)));
    assert_eq!(app.send(Method::DELETE, &one, &admin, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(good(app.get(&one, &admin).await, 200)["status"], "REMOVED", "that it was worn stays known");
    assert_eq!(outcome(&app.send(Method::DELETE, &one, &admin, Value::Null).await), (409, "STATE"));
    assert_eq!(outcome(&app.send(Method::PUT, &one, &admin, json!({"counts": true})).await), (409, "STATE"));
    for bad in [
        json!({"judgeId": idle, "hat": "JUDGE"}),
        json!({"judgeId": idle, "hat": "JUDGE", "categoryId": "rings", "eventId": "cup"}),
        json!({"judgeId": idle, "hat": "KING", "categoryId": "rings"}),
        json!({"hat": "JUDGE", "categoryId": "rings"}),
    ] {
        assert_eq!(outcome(&app.post(list, &admin, bad.clone()).await), (400, "INVALID_DATA"), "{bad}");
    }
    for ghost in [
        json!({"judgeId": "ghost", "categoryId": "rings"}),
        json!({"judgeId": idle, "categoryId": "ghost"}),
        json!({"judgeId": idle, "contestId": "ghost"}),
        json!({"judgeId": idle, "eventId": "ghost"}),
    ] {
        assert_eq!(outcome(&app.post(list, &admin, ghost.clone()).await), (404, "NOT_FOUND"), "{ghost}");
    }
    app.stop().await;
}

#[tokio::test]
async fn nobody_but_admin_and_organizer_comes_near_the_desk() {
    let app = cup().await;
    let user = app.user_id(&email("idle"));
    let mut requests = vec![
        (Method::POST, "/api/v1/admin/import".to_owned(), regatta()),
        (Method::PUT, "/api/v1/admin/categories/vault/entries".to_owned(), json!({"entries": [{"contestantId": "x"}]})),
        (Method::PATCH, "/api/v1/admin/events/cup/status".to_owned(), json!({"status": "finished"})),
        (Method::GET, "/api/v1/admin/users".to_owned(), Value::Null),
        (Method::GET, format!("/api/v1/admin/users/{user}"), Value::Null),
        (Method::POST, "/api/v1/admin/users".to_owned(), json!({"email": "a@b.example", "name": "A", "role": "ADMIN"})),
        (
            Method::PUT,
            format!("/api/v1/admin/users/{user}"),
            json!({"email": email("idle"), "name": "A", "role": "ADMIN"}),
        ),
        (Method::DELETE, format!("/api/v1/admin/users/{user}"), Value::Null),
        (Method::POST, format!("/api/v1/admin/users/{user}/revoke-sessions"), Value::Null),
        (Method::GET, "/api/v1/admin/assignments".to_owned(), Value::Null),
        (Method::GET, "/api/v1/admin/assignments/ghost".to_owned(), Value::Null),
        (Method::POST, "/api/v1/admin/assignments".to_owned(), json!({"judgeId": user, "categoryId": "vault"})),
        (Method::PUT, "/api/v1/admin/assignments/ghost".to_owned(), json!({"counts": true})),
        (Method::DELETE, "/api/v1/admin/assignments/ghost".to_owned(), Value::Null),
        (Method::GET, "/api/v1/admin/api-keys".to_owned(), Value::Null),
        (Method::GET, "/api/v1/admin/api-keys/ghost".to_owned(), Value::Null),
        (Method::POST, "/api/v1/admin/api-keys".to_owned(), json!({"eventId": "cup", "name": "Mine"})),
        (Method::PUT, "/api/v1/admin/api-keys/ghost".to_owned(), json!({"name": "Mine"})),
        (Method::DELETE, "/api/v1/admin/api-keys/ghost".to_owned(), Value::Null),
    ];
    let known = BTreeMap::from([
        ("events", "cup"),
        ("contests", "women"),
        ("categories", "vault"),
        ("contestants", "x"),
        ("races", "ghost"),
    ]);
    for Part { name, make, mut change, .. } in parts() {
        let (list, one) = (format!("/api/v1/admin/{name}"), format!("/api/v1/admin/{name}/{}", known[name]));
        change.as_object_mut().expect("an object").remove("id");
        requests.extend([
            (Method::GET, list.clone(), Value::Null),
            (Method::GET, one.clone(), Value::Null),
            (Method::POST, list, make),
            (Method::PUT, one.clone(), change),
            (Method::DELETE, one, Value::Null),
        ]);
    }
    let before = rows_that_matter(&app);
    let mut wrong = Vec::new();
    for (name, role) in PEOPLE {
        if ["ADMIN", "ORGANIZER"].contains(&role) {
            continue;
        }
        let token = app.token(&email(name)).await;
        for (method, path, body) in &requests {
            let reply = app.request(method.clone(), path, Some(&token), Some(body.clone())).await;
            if outcome(&reply) != (403, "FORBIDDEN") {
                wrong.push(format!("{name}: {method} {path}: {} {}", reply.status, reply.body));
            }
        }
    }
    for (method, path, body) in &requests {
        let reply = app.request(method.clone(), path, None, Some(body.clone())).await;
        if outcome(&reply) != (401, "AUTH_REQUIRED") {
            wrong.push(format!("nobody: {method} {path}: {} {}", reply.status, reply.body));
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(rows_that_matter(&app), before);
    app.stop().await;
}

/// Reads a list to its end; the ids in the order they came.
async fn read_through(app: &TestApp, token: &str, path: &str, limit: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page = format!("/api/v1/admin/{path}{separator}limit={limit}{cursor}");
        let body = good(app.request(Method::GET, &page, Some(token), None).await, 200);
        let items = body["items"].as_array().expect("a list");
        assert!(items.len() <= limit, "{} on a page of {limit}", items.len());
        ids.extend(items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()));
        match body["nextCursor"].as_str() {
            Some(next) => {
                assert_eq!(items.len(), limit, "only the last page is short");
                cursor = format!("&cursor={next}");
            }
            None => return ids,
        }
    }
}

#[tokio::test]
async fn a_list_read_page_by_page_shows_everything_once() {
    let app = cup().await;
    let token = app.token(&email("admin")).await;
    let many: Vec<Value> = (0..230).map(|number| json!({"id": format!("c{number}"), "name": "Somebody"})).collect();
    app.import(json!({"event": {"id": "many", "mainTitle": "Many"}, "contestants": many})).await;
    for limit in [7, 50, 199, 200] {
        let ids = read_through(&app, &token, "contestants", limit).await;
        let once: BTreeSet<&String> = ids.iter().collect();
        assert_eq!((ids.len(), once.len()), (233, 233), "limit {limit}");
    }
    for (path, count) in [
        ("users", 14),
        ("events", 2),
        ("contests", 2),
        ("categories", 3),
        ("assignments", 10),
        ("contests?eventId=cup", 2),
        ("contests?eventId=many", 0),
        ("categories?contestId=women", 2),
        ("contestants?categoryId=vault", 3),
        ("assignments?categoryId=vault", 5),
        ("assignments?eventId=ghost", 0),
    ] {
        for limit in [1, 2, count.max(1), 200] {
            let ids = read_through(&app, &token, path, limit).await;
            let once: BTreeSet<&String> = ids.iter().collect();
            assert_eq!((ids.len(), once.len()), (count, count), "{path} by {limit}");
        }
    }
    for bad in ["limit=0", "limit=201", "limit=-1", "limit=many", "cursor=x", "cursor=!!", "cursor=", "colour=red"] {
        let reply = app.request(Method::GET, &format!("/api/v1/admin/contestants?{bad}"), Some(&token), None).await;
        assert_eq!(outcome(&reply), (400, "INVALID_DATA"), "{bad}: {reply:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn what_was_judged_is_not_removed() {
    let app = cup().await;
    let admin = email("admin");
    let given = app.post("/api/v1/categories/vault/scores", &email("ada"), mark("x", "form", 9.5)).await;
    assert_eq!(given.status, StatusCode::OK, "{given:?}");
    for path in ["categories/vault", "contests/women", "events/cup", "contestants/x"] {
        let reply = app.send(Method::DELETE, &format!("/api/v1/admin/{path}"), &admin, Value::Null).await;
        assert_eq!(outcome(&reply), (409, "STATE"), "{path}");
    }
    let entries =
        async |list: Value| app.send(Method::PUT, "/api/v1/admin/categories/vault/entries", &admin, list).await;
    assert_eq!(outcome(&entries(json!({"entries": [{"contestantId": "y"}]})).await), (409, "STATE"));
    // Whoever has no marks may still go, and the order may change.
    let after =
        good(entries(json!({"entries": [{"contestantId": "y"}, {"contestantId": "x", "factor": 2}]})).await, 200);
    let ids: Vec<_> =
        after["entries"].as_array().expect("a list").iter().map(|entry| entry["contestantId"].as_str()).collect();
    assert_eq!(ids, [Some("y"), Some("x")]);
    // The range of what was marked by stays.
    let mut category = good(app.get("/api/v1/admin/categories/vault", &admin).await, 200);
    category["criteria"][0]["max"] = json!(20);
    for field in ["eventId", "entries"] {
        category.as_object_mut().expect("an object").remove(field);
    }
    let reply = app.send(Method::PUT, "/api/v1/admin/categories/vault", &admin, category).await;
    assert_eq!(outcome(&reply), (409, "STATE"), "{reply:?}");
    assert_eq!(
        app.get("/api/v1/categories/vault/scores", &admin).await.body["scores"].as_array().map(Vec::len),
        Some(1)
    );
    app.stop().await;
}

#[tokio::test]
async fn criteria_stay_once_there_are_marks_and_not_for_a_flag() {
    let app = cup().await;
    let admin = email("admin");
    let flag = app.post("/api/v1/categories/vault/flags", &email("tally"), json!({"text": "is ten enough?"})).await;
    assert_eq!(flag.status, StatusCode::CREATED, "{flag:?}");
    // The marks are not in memory when they are asked for.
    let app = app.restart().await;
    let mut category = good(app.get("/api/v1/admin/categories/vault", &admin).await, 200);
    for field in ["eventId", "entries"] {
        category.as_object_mut().expect("an object").remove(field);
    }
    let put = async |category: &Value| {
        app.send(Method::PUT, "/api/v1/admin/categories/vault", &admin, category.clone()).await
    };
    category["criteria"][0]["max"] = json!(20);
    let changed = good(put(&category).await, 200);
    assert_eq!(changed["criteria"][0]["max"], 20, "nobody has marked yet");
    let gone = app.send(Method::DELETE, "/api/v1/admin/categories/vault", &admin, Value::Null).await;
    assert_eq!(outcome(&gone), (409, "STATE"), "what was flagged is kept");
    let given = app.post("/api/v1/categories/vault/scores", &email("ada"), mark("x", "form", 19.5)).await;
    assert_eq!(given.status, StatusCode::OK, "{given:?}");
    category["criteria"][0]["max"] = json!(10);
    assert_eq!(outcome(&put(&category).await), (409, "STATE"));
    category["criteria"][0]["max"] = json!(20);
    category["criteria"][0]["weight"] = json!(5);
    good(put(&category).await, 200);
    category["criteria"].as_array_mut().expect("a list").pop();
    assert_eq!(outcome(&put(&category).await), (409, "STATE"));
    app.stop().await;
}

#[tokio::test]
async fn a_category_that_is_removed_leaves_no_hat_behind() {
    let app = cup().await;
    let gone = app.send(Method::DELETE, "/api/v1/admin/categories/beam", &email("admin"), Value::Null).await;
    let me = good(app.get("/api/v1/me", &email("beam")).await, 200);
    let left = me["hats"].as_array().expect("a list").iter().any(|hat| hat["categoryId"] == "beam");
    assert!(
        gone.status == StatusCode::CONFLICT || !left,
        "{}: the category is gone, its judge still has a hat on it: {me}",
        gone.status
    );
    app.stop().await;
}

#[tokio::test]
async fn no_race_outlives_its_event() {
    let app = cup().await;
    let races = regatta()["races"].clone();
    let event = |id: &str| json!({"event": {"id": id, "mainTitle": "Races"}, "races": races});
    good(import(&app, &event("first")).await, 200);
    let gone = app.send(Method::DELETE, "/api/v1/admin/events/first", &email("admin"), Value::Null).await;
    let tables = tables(&app);
    let left = (tables["race"].len(), tables["race_participant"].len());
    if gone.status == StatusCode::CONFLICT {
        // The event stays, and so does all that is in it.
        assert_eq!((outcome(&gone), left), ((409, "STATE"), (2, 3)));
        assert_eq!(app.get("/api/v1/admin/events/first", &email("admin")).await.status, StatusCode::OK);
    } else {
        assert_eq!((gone.status, left), (StatusCode::NO_CONTENT, (0, 0)));
        good(import(&app, &event("second")).await, 200);
    }
    app.stop().await;
}

/// Timing has told something of a racer.
fn report(folder: &std::path::Path, race: &str, participant: &str) {
    let db = rusqlite::Connection::open(folder.join("it.db")).expect("the database opens");
    let insert =
        "INSERT INTO race_report (race_id, participant_id, source, at, time_ms) VALUES (?1, ?2, 'feed', 0, 80500)";
    db.execute(insert, [race, participant]).expect("the row is written");
}

/// Who starts in a race, each by id and the number the race feed knows them by.
fn starters(app: &TestApp, race: &str) -> Vec<(String, i64)> {
    let state = app.app.state();
    let starters = state.starters.get(&race.parse::<RaceId>().expect("an id"));
    starters.into_iter().flat_map(OrdMap::values).map(|starter| (starter.row.id.clone(), starter.row.number)).collect()
}

#[tokio::test]
async fn a_race_put_with_its_participants_has_those_and_no_others() {
    let app = cup().await;
    let admin = email("admin");
    let (list, one) = ("/api/v1/admin/races", "/api/v1/admin/races/heat");
    let people =
        |ids: &[&str]| ids.iter().map(|id| json!({"id": id, "name": format!("Paddler {id}")})).collect::<Value>();
    let race = |participants: Value| json!({"eventId": "cup", "raceType": "slalom", "participants": participants});
    let put = async |body: Value| app.send(Method::PUT, one, &admin, body).await;
    let named =
        |names: &[(&str, i64)]| names.iter().map(|(id, number)| ((*id).to_owned(), *number)).collect::<Vec<_>>();

    let mut make = race(people(&["a", "b", "c"]));
    make["id"] = json!("heat");
    let made = good(app.post(list, &admin, make).await, 201);
    assert_eq!(
        (&made["number"], &made["raceStatus"], &made["participants"][2]["name"]),
        (&json!(1), &json!(1), &json!("Paddler c"))
    );
    assert_eq!(starters(&app, "heat"), named(&[("a", 1), ("b", 2), ("c", 3)]));

    // Nothing said of them leaves them, an empty list does not.
    let end = app.log_end();
    good(put(json!({"eventId": "cup", "raceType": "slalom"})).await, 200);
    good(put(json!({"eventId": "cup", "raceType": "slalom", "participants": null})).await, 200);
    assert_eq!((starters(&app, "heat").len(), app.log_end()), (3, end + 2), "two sign-ins, nothing else");
    let after = good(put(race(people(&["c", "d", "a"]))).await, 200);
    assert_eq!(after["participants"].as_array().map(Vec::len), Some(3));
    assert_eq!(starters(&app, "heat"), named(&[("a", 1), ("c", 3), ("d", 4)]), "nobody is given the number of b");
    let twice = put(race(people(&["a", "a"]))).await;
    assert_eq!(
        (outcome(&twice), &twice.body["errors"][0]["field"]),
        ((400, "INVALID_DATA"), &json!("participants[1].id"))
    );

    // An import adds and never removes.
    app.import(json!({"event": {"id": "cup", "mainTitle": "The Cup"}, "races": [
        {"id": "heat", "raceType": "slalom", "participants": [{"id": "e"}]}]}))
        .await;
    assert_eq!(starters(&app, "heat").len(), 4);

    // What timing has told of somebody keeps them in, and the race.
    let app = app.restart_after(|folder| report(folder, "heat", "d")).await;
    let put = async |body: Value| app.send(Method::PUT, one, &admin, body).await;
    let before = rows_that_matter(&app);
    assert_eq!(outcome(&put(race(people(&["a"]))).await), (409, "STATE"));
    assert_eq!(outcome(&put(race(json!([]))).await), (409, "STATE"));
    assert_eq!(outcome(&app.send(Method::DELETE, one, &admin, Value::Null).await), (409, "STATE"));
    assert_eq!(rows_that_matter(&app), before);
    good(put(race(people(&["d"]))).await, 200);
    assert_eq!(starters(&app, "heat"), named(&[("d", 4)]));
    let mut known = tables(&app).remove("race_participant").expect("there is such a table");
    known.retain(|row| row.starts_with("heat"));
    assert_eq!(known.len(), 1, "who was taken out is in no table: {known:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_race_stays_in_its_event_and_its_number_is_its_own() {
    let app = cup().await;
    let admin = email("admin");
    app.import(json!({"event": {"id": "gala", "mainTitle": "Gala"}})).await;
    let make = async |event: &str, id: &str, number: Value| {
        let body = json!({"eventId": event, "id": id, "raceType": "trot", "number": number});
        app.post("/api/v1/admin/races", &admin, body).await
    };
    assert_eq!(good(make("cup", "one", json!(7)).await, 201)["number"], 7);
    assert_eq!(good(make("gala", "two", Value::Null).await, 201)["number"], 8, "the server gives the next one");
    let taken = make("cup", "three", json!(8)).await;
    assert_eq!((outcome(&taken), &taken.body["errors"][0]["field"]), ((400, "INVALID_DATA"), &json!("number")));
    assert_eq!(outcome(&make("ghost", "three", Value::Null).await), (404, "NOT_FOUND"));
    let before = rows_that_matter(&app);
    let moved = json!({"eventId": "gala", "raceType": "trot"});
    assert_eq!(outcome(&app.send(Method::PUT, "/api/v1/admin/races/one", &admin, moved).await), (400, "INVALID_DATA"));
    assert_eq!(rows_that_matter(&app), before);
    let kept = json!({"eventId": "cup", "raceType": "trot", "name": "First"});
    assert_eq!(good(app.send(Method::PUT, "/api/v1/admin/races/one", &admin, kept).await, 200)["number"], 7);
    for (query, ids) in [("", vec!["one", "two"]), ("?eventId=cup", vec!["one"]), ("?eventId=ghost", vec![])] {
        let token = app.token(&admin).await;
        assert_eq!(read_through(&app, &token, &format!("races{query}"), 1).await, ids, "{query}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_start_list_is_replaced_as_a_whole() {
    let app = cup().await;
    let admin = email("admin");
    let put = async |list: Value| app.send(Method::PUT, "/api/v1/admin/categories/vault/entries", &admin, list).await;
    let after = good(put(json!({"entries": [{"contestantId": "z", "startOrder": 9}, {"contestantId": "y", "startOrder": 3, "factor": 1.5}]})).await, 200);
    let seen: Vec<_> = after["entries"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| (entry["contestantId"].as_str(), entry["startOrder"].as_u64(), entry["factor"].as_f64()))
        .collect();
    assert_eq!(seen, [(Some("y"), Some(3), Some(1.5)), (Some("z"), Some(9), Some(1.0))]);
    for (list, place) in [
        (json!({"entries": [{"contestantId": "y"}, {"contestantId": "ghost"}]}), "entries[1].contestantId"),
        (json!({"entries": [{"contestantId": "y"}, {"contestantId": "y"}]}), "entries[1].contestantId"),
        (json!({"entries": [{"contestantId": "y", "factor": -1}]}), "entries[0].factor"),
        (json!({"entries": "all"}), "entries"),
    ] {
        let reply = put(list).await;
        assert_eq!((outcome(&reply), &reply.body["errors"][0]["field"]), ((400, "INVALID_DATA"), &json!(place)));
    }
    let ghost = app.send(Method::PUT, "/api/v1/admin/categories/ghost/entries", &admin, json!({"entries": []})).await;
    assert_eq!(outcome(&ghost), (404, "NOT_FOUND"));
    assert_eq!(good(put(json!({"entries": []})).await, 200)["entries"], json!([]));
    app.stop().await;
}

const STATUSES: [&str; 5] = ["draft", "startlist", "running", "finished", "official"];

#[tokio::test]
async fn an_event_goes_its_way_and_back_only_where_corrections_are_made() {
    let app = cup().await;
    let token = app.token(&email("admin")).await;
    let valid = BTreeMap::from([
        ("draft", vec!["startlist"]),
        ("startlist", vec!["running", "draft"]),
        ("running", vec!["finished"]),
        ("finished", vec!["official", "running"]),
        ("official", vec![]),
    ]);
    for from in STATUSES {
        for to in STATUSES {
            let id = format!("{from}-{to}");
            app.import(json!({"event": {"id": id, "mainTitle": id, "status": from}})).await;
            let path = format!("/api/v1/admin/events/{id}/status");
            let reply = app.request(Method::PATCH, &path, Some(&token), Some(json!({"status": to}))).await;
            let now = app.request(Method::GET, &format!("/api/v1/admin/events/{id}"), Some(&token), None).await.body["status"].clone();
            if from == to || valid[from].contains(&to) {
                assert_eq!((reply.status.as_u16(), &reply.body["status"], &now), (200, &json!(to), &json!(to)), "{id}");
                continue;
            }
            assert_eq!((outcome(&reply), &now), ((400, "INVALID_DATA"), &json!(from)), "{id}");
            assert_eq!((&reply.body["currentStatus"], &reply.body["requestedStatus"]), (&json!(from), &json!(to)));
            let told: BTreeSet<&str> =
                reply.body["validTransitions"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
            assert_eq!(told, valid[from].iter().copied().collect(), "{id}");
        }
    }
    let patch = async |path: &str, body: Value| app.request(Method::PATCH, path, Some(&token), Some(body)).await;
    assert_eq!(
        outcome(&patch("/api/v1/admin/events/ghost/status", json!({"status": "running"})).await),
        (404, "NOT_FOUND")
    );
    for bad in [json!({"status": "paused"}), json!({}), json!("running"), json!({"status": null})] {
        assert_eq!(
            outcome(&patch("/api/v1/admin/events/cup/status", bad.clone()).await),
            (400, "INVALID_DATA"),
            "{bad}"
        );
    }
    app.stop().await;
}

async fn with_key(app: &TestApp, token: &str, method: Method, path: &str, key: &str, body: &Value) -> Reply {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", key)];
    app.raw_request(method, path, &headers, body.to_string()).await
}

#[tokio::test]
async fn a_request_sent_again_under_its_key_gets_the_first_answer() {
    let mut app = cup().await;
    let token = app.token(&email("admin")).await;
    let hat = json!({"judgeId": app.user_id(&email("idle")), "categoryId": "rings"});
    let user = json!({"email": "key@it.example", "name": "Key", "role": "JUDGE", "password": "a long password"});
    let category = parts().remove(2).make;
    let requests = [
        (
            "10000000-0000-4000-8000-000000000001",
            Method::POST,
            "/api/v1/admin/contestants",
            json!({"id": "k", "name": "K"}),
            201,
        ),
        ("10000000-0000-4000-8000-000000000002", Method::POST, "/api/v1/admin/users", user, 201),
        ("10000000-0000-4000-8000-000000000003", Method::POST, "/api/v1/admin/assignments", hat, 201),
        ("10000000-0000-4000-8000-000000000004", Method::POST, "/api/v1/admin/categories", category, 201),
        ("10000000-0000-4000-8000-000000000005", Method::POST, "/api/v1/admin/import", regatta(), 200),
        (
            "10000000-0000-4000-8000-000000000006",
            Method::PATCH,
            "/api/v1/admin/events/cup/status",
            json!({"status": "finished"}),
            200,
        ),
        ("10000000-0000-4000-8000-000000000007", Method::DELETE, "/api/v1/admin/contestants/k", json!({}), 204),
    ];
    let mut first = Vec::new();
    for (key, method, path, body, status) in &requests {
        let reply = with_key(&app, &token, method.clone(), path, key, body).await;
        assert_eq!(reply.status.as_u16(), *status, "{path}: {reply:?}");
        first.push(reply.body);
    }
    let end = app.log_end();
    for restarted in [false, true] {
        for ((key, method, path, body, status), first) in requests.iter().zip(&first) {
            let again = with_key(&app, &token, method.clone(), path, &key.to_uppercase(), body).await;
            assert_eq!((again.status.as_u16(), &again.body), (*status, first), "{path}, restarted: {restarted}");
        }
        assert_eq!(app.log_end(), end, "a retry is no new fact");
        if !restarted {
            app = app.restart().await;
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn a_key_used_for_something_else_is_refused() {
    let app = cup().await;
    let token = app.token(&email("admin")).await;
    let key = "20000000-0000-4000-8000-000000000001";
    let path = "/api/v1/admin/contestants";
    assert_eq!(
        with_key(&app, &token, Method::POST, path, key, &json!({"id": "k", "name": "K"})).await.status,
        StatusCode::CREATED
    );
    let end = app.log_end();
    let other = with_key(&app, &token, Method::POST, path, key, &json!({"id": "k2", "name": "K"})).await;
    assert_eq!(outcome(&other), (422, "IDEMPOTENCY_MISMATCH"));
    let elsewhere =
        with_key(&app, &token, Method::POST, "/api/v1/admin/events", key, &json!({"id": "k", "mainTitle": "K"})).await;
    assert_eq!(outcome(&elsewhere), (422, "IDEMPOTENCY_MISMATCH"));
    for bad in ["1", "", "not-a-uuid", "20000000-0000-4000-8000-00000000000", "20000000-0000-4000-8000-000000000001x"] {
        let reply = with_key(&app, &token, Method::POST, path, bad, &json!({"id": "k3", "name": "K"})).await;
        assert_eq!(outcome(&reply), (400, "INVALID_DATA"), "{bad:?}");
        assert_eq!(reply.body["errors"][0]["field"], "Idempotency-Key");
    }
    assert_eq!(app.log_end(), end);
    // Another user may happen to choose the same key.
    let organizer = app.token(&email("organizer")).await;
    let theirs = with_key(&app, &organizer, Method::POST, path, key, &json!({"id": "k4", "name": "K"})).await;
    assert_eq!(theirs.status, StatusCode::CREATED, "{theirs:?}");
    // Over a socket the key is the commandId: one id, one command, whichever way it comes.
    let judge = app.token(&email("ada")).await;
    let mut payload = mark("x", "form", 9.5);
    let posted = with_key(&app, &judge, Method::POST, "/api/v1/categories/vault/scores", key, &payload).await;
    assert_eq!(posted.status, StatusCode::OK, "{posted:?}");
    payload["commandId"] = json!(key);
    let socket = app.connect(&email("ada")).await;
    let answer = socket.call("scores:submit", payload).await;
    assert_eq!(answer, json!({"ok": true, "data": posted.body}));
    app.stop().await;
}

#[tokio::test]
async fn a_password_is_seen_nowhere_again() {
    let app = cup().await;
    let token = app.token(&email("admin")).await;
    let secret = |n: usize| format!("Pa55w0rd-n0b0dy-guesses-{n}");
    let mut told: Vec<String> = Vec::new();
    let user =
        |n: usize| json!({"email": "secret@it.example", "name": "Secret", "role": "JUDGE", "password": secret(n)});
    let key = |n: usize| format!("30000000-0000-4000-8000-00000000000{n}");
    let users = "/api/v1/admin/users";
    let made = with_key(&app, &token, Method::POST, users, &key(1), &user(1)).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let one = format!("{users}/{}", made.body["id"].as_str().expect("an id"));
    told.push(format!("{made:?}"));
    for (method, path, n) in [(Method::POST, users, 1), (Method::POST, users, 2), (Method::PUT, one.as_str(), 3)] {
        told.push(format!("{:?}", with_key(&app, &token, method, path, &key(n), &user(n)).await));
    }
    told.push(format!("{:?}", app.request(Method::GET, &one, Some(&token), None).await));
    told.push(format!("{:?}", app.request(Method::GET, users, Some(&token), None).await));
    let mut document = regatta();
    document["users"][0]["password"] = json!(secret(4));
    told.push(format!("{:?}", with_key(&app, &token, Method::POST, "/api/v1/admin/import", &key(4), &document).await));
    // Also where it is refused: a parse error must not quote what it could not read.
    document["users"][1]["password"] = json!({"is": secret(5)});
    told.push(format!("{:?}", import(&app, &document).await));
    let broken = document.to_string().replace("\"races\"", "races");
    let bearer = format!("Bearer {token}");
    told.push(format!(
        "{:?}",
        app.raw_request(Method::POST, "/api/v1/admin/import", &[("authorization", &bearer)], broken).await
    ));
    for n in [3, 6] {
        let login = json!({"email": "secret@it.example", "password": secret(n)});
        told.push(format!("{:?}", app.request(Method::POST, "/api/v1/auth/login", None, Some(login)).await));
    }
    for text in &told {
        assert!(!text.contains("Pa55w0rd") && !text.contains("$argon2") && !text.contains("asswordHash"), "{text}");
    }
    let tables = tables(&app);
    assert!(tables["user_account"].join("\n").contains("$argon2id$"), "only the hash is kept, and only there");
    for (table, rows) in &tables {
        let text = rows.join("\n");
        assert!(!text.contains("Pa55w0rd"), "a password is in the table {table}");
        assert!(table == "user_account" || !text.contains("$argon2"), "a hash is in the table {table}");
        assert!(!text.contains("eyJ"), "an access token is in the table {table}");
    }
    for entry in std::fs::read_dir(app.database_folder()).expect("the folder is there") {
        let path = entry.expect("the entry can be read").path();
        let bytes = std::fs::read(&path).expect("the file can be read");
        assert!(!bytes.windows(8).any(|window| window == b"Pa55w0rd"), "a password is in {}", path.display());
    }
    app.stop().await;
}
