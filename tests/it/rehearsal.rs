//! Rehearsals while they are played: what they come to, who sees them, and how they are stopped.

use crate::cassettes::{race_of_two, take_in};
use crate::publication::publish;
use crate::support::TestApp;
use crate::support::client::Client;
use crate::support::hall::Hall;
use crate::support::people::{self, email, mark};
use crate::support::process::ServerProcess;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_mins(1);

/// The rehearsal of an event once it is over, as it is listed.
async fn over(app: &TestApp, event: &str) -> Value {
    let begun = Instant::now();
    loop {
        let listed = app.get("/api/rehearsals", &email("admin")).await.body;
        let items = listed["items"].as_array().expect("a list");
        let one = items.iter().find(|one| one["event_id"] == event).expect("it is listed").clone();
        if one["phase"] != "playing" {
            return one;
        }
        assert!(begun.elapsed() < PATIENCE, "it comes to an end: {one}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The list, once the latest rehearsal waits for the frame of an hour later.
async fn waits(app: &TestApp) -> Value {
    let begun = Instant::now();
    loop {
        let listed = app.get("/api/rehearsals", &email("organizer")).await.body["items"].clone();
        if listed[0]["ts"] == 3_600_000 {
            return listed;
        }
        assert!(begun.elapsed() < PATIENCE, "{listed}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn play(app: &TestApp, name: &str, playing: Value) -> String {
    let begun = app.post(&format!("/api/cassettes/{name}/replay"), &email("admin"), playing).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{begun:?}");
    begun.body["event_id"].as_str().expect("an event").to_owned()
}

async fn ok(client: &Client, event: &str, payload: Value) -> Value {
    let answer = client.call(event, payload).await;
    assert_eq!(answer["ok"], true, "{event}: {answer}");
    answer["data"].clone()
}

/// The vault as it is judged on a bad day: a flag, a removal, a judge who changes their mind, one who leaves.
async fn bad_day() -> Hall {
    let hall = Hall::marked().await;
    let app = &hall.app;
    let flag = json!({ "categoryId": "vault", "contestantId": "x", "text": "look at it" });
    let flag = ok(&hall.judges[0], "flag:raise", flag).await["flag"]["id"].clone();
    let answer = json!({ "id": flag, "decision": "accepted", "reason": "there was something" });
    ok(&hall.auditor, "flag:resolve", answer).await;
    let cleo = app.user_id(&email("cleo"));
    let removal = json!({ "categoryId": "vault", "judgeId": cleo, "reason": "the wrong glasses" });
    let asked = app.post("/api/v1/categories/vault/removals", &email("board"), removal).await;
    let id = asked.body["removal"]["id"].as_str().unwrap_or_else(|| panic!("{asked:?}")).to_owned();
    for officer in ["auditor", "board", "tally"] {
        let signed =
            app.post(&format!("/api/v1/removals/{id}/sign"), &email(officer), json!({ "signatureName": "O." })).await;
        assert!(signed.status.is_success(), "{signed:?}");
    }
    for contestant in ["x", "y", "z"] {
        for criterion in ["form", "height"] {
            ok(&hall.judges[2], "scores:submit", mark(contestant, criterion, 9.0)).await;
        }
    }
    ok(&hall.judges[0], "scores:certify", json!({ "categoryId": "vault", "contestantId": "x" })).await;
    let opened = json!({ "categoryId": "vault", "contestantId": "x", "reason": "a slip" });
    let opened = app.post("/api/v1/categories/vault/uncertifications", &email("ada"), opened).await;
    let id = opened.body["uncertification"]["id"].as_str().unwrap_or_else(|| panic!("{opened:?}")).to_owned();
    let approval = json!({ "signatureName": "T." });
    let approved = app.post(&format!("/api/v1/uncertifications/{id}/approve"), &email("tally"), approval).await;
    assert!(approved.status.is_success(), "{approved:?}");
    ok(&hall.judges[0], "scores:submit", mark("x", "form", 5.5)).await;
    hall.finish_judging().await;
    hall.certify().await;
    publish(app, "official").await;
    hall
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_and_removals_are_played_and_what_is_not_played_is_counted() {
    let hall = bad_day().await;
    let tape = json!({ "name": "day", "event_id": "cup", "audience": "office", "from_seq": 0 });
    let made = hall.app.post("/api/cassettes", &email("organizer"), tape).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let file = hall.app.bytes("/api/cassettes/day/download", &email("organizer")).await;
    let other = TestApp::start().await;
    other.import(people::document()).await;
    take_in(&other, "day", String::from_utf8(file).expect("UTF-8")).await;
    let event = play(&other, "day", json!({ "speed": 0, "public": true })).await;
    let one = over(&other, &event).await;
    assert_eq!((&one["phase"], &one["cassette"]), (&json!("ended"), &json!("day")), "{one}");
    let counted = |counts: &str, kind: &str| one[counts][kind].as_u64().unwrap_or(0);
    for (kind, played, skipped) in [
        // 18 marks, six given again, one slip, and the two of a sheet that was opened, told once more.
        ("scores:updated", 27, 0),
        ("flag:updated", 2, 0),
        ("score:removal-updated", 1, 0),
        ("uncertification:updated", 0, 1),
        ("results:published", 1, 0),
    ] {
        assert_eq!((counted("played", kind), counted("not_played", kind)), (played, skipped), "{kind}: {one}");
    }
    let ranking = async |app: &TestApp, event: &str, prefix: &str| {
        let judged = app.public(&format!("/api/v1/events/{event}/judged")).await.body;
        let lines = judged["items"][0]["ranking"].as_array().unwrap_or_else(|| panic!("{judged}")).clone();
        let plain = |id: &Value| id.as_str().expect("an id").trim_start_matches(prefix).to_owned();
        lines.iter().map(|line| (plain(&line["contestantId"]), line["total"].clone())).collect::<Vec<_>>()
    };
    let real = ranking(&hall.app, "cup", "").await;
    assert_eq!(ranking(&other, &event, &format!("{event}.")).await, real);
    let removals = other.get(&format!("/api/v1/categories/{event}.vault/removals"), &email("admin")).await.body;
    assert_eq!(removals["items"][0]["status"], "EXECUTED", "{removals}");
    assert_eq!(removals["items"][0]["scoreIds"].as_array().map(Vec::len), Some(6));

    // Its evidence says that nothing of it is real.
    let bundle = other.bytes(&format!("/api/v1/categories/{event}.vault/evidence.zip"), &email("admin")).await;
    let checked = other.raw_request(Method::POST, "/verify", &[], bundle).await;
    assert_eq!((&checked.body["accepted"], &checked.body["rehearsal"]), (&json!(true), &json!(true)));
    let bundle = hall.app.bytes("/api/v1/categories/vault/evidence.zip", &email("organizer")).await;
    let checked = hall.app.raw_request(Method::POST, "/verify", &[], bundle).await;
    assert_eq!((&checked.body["accepted"], &checked.body["rehearsal"]), (&json!(true), &json!(false)));
    other.stop().await;
    hall.app.stop().await;
}

/// A recording of a race that takes an hour.
fn an_hour() -> String {
    let last = json!({ "ts": 3_600_000, "src": "pub:regatta", "type": "diff", "data": { "announcement": {} } });
    format!("{}{last}\n", race_of_two())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_is_listed_and_stopped_by_those_who_may_start_one() {
    let app = TestApp::start().await;
    app.import(people::document()).await;
    take_in(&app, "hour", an_hour()).await;
    take_in(&app, "two", race_of_two()).await;
    let event = play(&app, "hour", json!({})).await;
    let listed = waits(&app).await;
    assert_eq!(
        (&listed[0]["event_id"], &listed[0]["phase"], &listed[0]["started_by"], &listed[0]["played"]["results"]),
        (&json!(event), &json!("playing"), &json!(app.user_id(&email("admin"))), &json!(4)),
        "{listed}"
    );
    let stop = format!("/api/rehearsals/{event}/stop");
    for who in ["tally", "ada", "emcee"] {
        assert_eq!(app.get("/api/rehearsals", &email(who)).await.status, StatusCode::FORBIDDEN, "{who}");
        assert_eq!(app.post(&stop, &email(who), json!({})).await.status, StatusCode::FORBIDDEN, "{who}");
    }
    assert_eq!(app.post("/api/rehearsals/none/stop", &email("admin"), json!({})).await.status, StatusCode::NOT_FOUND);
    let stopped = app.post(&stop, &email("organizer"), json!({})).await;
    assert_eq!(stopped.status, StatusCode::ACCEPTED, "{stopped:?}");
    assert_eq!(over(&app, &event).await["phase"], "stopped");
    let again = app.post(&stop, &email("organizer"), json!({})).await;
    assert_eq!((again.status, &again.body["code"]), (StatusCode::CONFLICT, &json!("STATE")));
    let event = play(&app, "two", json!({ "speed": 0 })).await;
    let one = over(&app, &event).await;
    assert_eq!((&one["phase"], &one["not_played"]), (&json!("ended"), &json!({})), "{one}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_made_for_a_rehearsal_is_switched_off_when_it_is_stopped() {
    let hall = bad_day().await;
    let tape = json!({ "name": "day", "event_id": "cup", "audience": "office", "from_seq": 0 });
    assert_eq!(hall.app.post("/api/cassettes", &email("organizer"), tape).await.status, StatusCode::CREATED);
    let file = hall.app.bytes("/api/cassettes/day/download", &email("organizer")).await;
    // Under a clock that stands still all of it happened at once: here its last frame is an hour later.
    let text = String::from_utf8(file).expect("UTF-8");
    let (rest, last) = text.trim_end().rsplit_once('\n').expect("lines");
    let mut last: Value = serde_json::from_str(last).expect("JSON");
    last["ts"] = json!(3_600_000);
    let other = TestApp::start().await;
    other.import(people::document()).await;
    take_in(&other, "day", format!("{rest}\n{last}\n")).await;
    let event = play(&other, "day", json!({})).await;
    waits(&other).await;
    let made = || {
        let state = other.app.state();
        let made = state.users.values().filter(|user| user.email.ends_with(&format!("@{event}.invalid")));
        made.map(|user| user.active).collect::<Vec<_>>()
    };
    assert!(made().len() > 4 && made().iter().all(|active| *active), "they are there while it is played");
    let stopped = other.post(&format!("/api/rehearsals/{event}/stop"), &email("admin"), json!({})).await;
    assert_eq!(stopped.status, StatusCode::ACCEPTED, "{stopped:?}");
    assert_eq!(over(&other, &event).await["phase"], "stopped");
    assert!(made().iter().all(|active| !active), "{:?}", made());
    other.stop().await;
    hall.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_stops_cleanly_when_it_is_interrupted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = ServerProcess::settings(folder.path());
    settings.import(&people::document());
    let mut serve = settings.command();
    let shelf = folder.path().join("cassettes");
    let server = settings.start_as(serve.env("CASSETTES", &shelf));
    let client = reqwest::Client::new();
    let taken = client.post(format!("http://{}/api/cassettes/import?name=hour", server.address));
    let taken = taken.bearer_auth(settings.token(&email("admin"))).body(an_hour());
    assert_eq!(taken.send().await.expect("an answer").status(), StatusCode::CREATED);
    let mut replay = settings.command();
    replay.env("CASSETTES", &shelf).args(["replay", "hour"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut replay = replay.spawn().expect("the program runs");
    let mut event = String::new();
    let stdout = replay.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut event).expect("a line");
    assert!(event.starts_with("rehearsal-"), "{event}");
    // All but the last frame is played; then it waits.
    let shown = format!("http://{}/api/v1/events/{}", server.address, event.trim());
    let begun = Instant::now();
    while client.get(&shown).send().await.expect("an answer").json::<Value>().await.expect("JSON")["status"]
        != "finished"
    {
        assert!(begun.elapsed() < PATIENCE, "it is played");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let asked = Command::new("kill").args(["-INT", &replay.id().to_string()]).status().expect("kill runs");
    assert!(asked.success());
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = replay.try_wait().expect("a child of ours") {
            break status;
        }
        assert!(begun.elapsed() < PATIENCE, "it ends, an hour before its time");
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut told = String::new();
    replay.stderr.take().expect("a pipe").read_to_string(&mut told).expect("text");
    assert!(status.success(), "{status}: {told}");
    assert!(told.contains("not played: nothing"), "{told}");
    server.stop();
}
