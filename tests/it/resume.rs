//! Catching up: after whatever was missed, a viewer has every fact of every lane once, in the variant of their rights now.

use crate::support::TestApp;
use crate::support::client::{Client, Frame, Wire};
use crate::support::people::{self, email, mark};
use futures_util::StreamExt;
use reqwest::Method;
use scorecast::traps::{Trap, Traps};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a viewer knows: the last fact of each lane, and every fact they ever got.
#[derive(Default)]
struct Viewer {
    epoch: String,
    heads: BTreeMap<String, i64>,
    facts: BTreeMap<(String, i64), (Value, bool)>,
}

impl Viewer {
    /// Takes over what a connection has brought; nothing may come twice, and nothing may be missing.
    #[track_caller]
    fn take(&mut self, client: &Client) {
        for frame in client.transcript() {
            if frame.event == "session:ready" {
                for lane in frame.data()["lanes"].as_array().expect("a list") {
                    lane["epoch"].as_str().expect("an epoch").clone_into(&mut self.epoch);
                    let name = lane["lane"].as_str().expect("a lane").to_owned();
                    self.heads.entry(name).or_insert_with(|| lane["seq"].as_i64().expect("a place"));
                }
            }
            let Some(meta) = frame.meta().cloned().or_else(|| tick(&frame)) else { continue };
            let lane = meta["lane"].as_str().expect("a lane").to_owned();
            let seq = meta["seq"].as_i64().expect("a place");
            let told = (json!([frame.event, frame.args]), meta["replay"] == true);
            assert!(self.facts.insert((lane.clone(), seq), told).is_none(), "{lane} {seq} came twice");
        }
        for (lane, head) in &mut self.heads {
            for seq in self.facts.range((lane.clone(), 0)..=(lane.clone(), i64::MAX)).map(|((_, seq), _)| *seq) {
                if seq == *head + 1 {
                    *head = seq;
                }
                assert!(seq <= *head, "{lane} has a gap after {head}");
            }
        }
    }

    fn missed(&self) -> Value {
        let lanes: BTreeMap<&String, Value> =
            self.heads.iter().map(|(lane, seq)| (lane, json!({"epoch": self.epoch, "seq": seq}))).collect();
        json!({ "lanes": lanes })
    }

    fn of(&self, lane: &str) -> Vec<&(Value, bool)> {
        self.facts.range((lane.to_owned(), 0)..=(lane.to_owned(), i64::MAX)).map(|(_, told)| told).collect()
    }
}

/// The `meta` of a tick is its only argument.
fn tick(frame: &Frame) -> Option<Value> {
    (frame.event == "sync:tick").then(|| frame.args[0].clone())
}

/// Connects, saying what is missing.
async fn come_back(app: &TestApp, name: &str, missed: Value) -> Client {
    let auth = json!({"token": app.token(&email(name)).await, "resume": missed});
    Client::connect(app.address, auth).await.expect("the token is good")
}

async fn reconnect(app: &TestApp, name: &str, viewer: &Viewer) -> Client {
    let client = come_back(app, name, viewer.missed()).await;
    client.next("session:ready").await;
    client
}

async fn give(judge: &Client, count: u32) {
    for number in 0..count {
        let answer = judge.call("scores:submit", mark("x", "form", f64::from(number % 40) * 0.25)).await;
        assert_eq!(answer["ok"], true, "{answer}");
    }
}

fn generous(config: &mut scorecast::config::Config) {
    config.rate_limit_scores_per_minute = 1_000_000;
    config.rate_limit_lists_per_minute = 1_000_000;
}

async fn app_with(change: impl FnOnce(&mut scorecast::config::Config)) -> TestApp {
    let app = TestApp::start_with(|config| {
        generous(config);
        change(config);
    })
    .await;
    app.import(people::document()).await;
    app
}

/// One judge gives this many marks at once, with the longest comment there is.
async fn give_long(judge: &Client, category: &str, count: usize) {
    let mut one = mark("x", "form", 5.0);
    one["categoryId"] = json!(category);
    one["comment"] = json!("\u{1f3c5}".repeat(2_000));
    let answer = judge.call("scores:submitBatch", json!({ "items": vec![one; count] })).await;
    assert_eq!(answer["ok"], true, "{answer}");
}

/// Where a lane ends in the log.
fn end_of(app: &TestApp, lane: &str) -> i64 {
    app.app.state().lane_seq(&lane.parse().expect("a lane"))
}

/// The places of a lane's facts, in the order they came.
fn of_lane(client: &Client, lane: &str) -> Vec<i64> {
    let facts = client.transcript();
    let metas = facts.iter().filter_map(|frame| frame.meta().cloned().or_else(|| tick(frame)));
    metas.filter(|meta| meta["lane"] == lane).filter_map(|meta| meta["seq"].as_i64()).collect()
}

/// Waits until the vault's lane has come to this place, live or again.
async fn until(client: &Client, seq: i64) {
    let at = move |frame: &Frame| {
        let meta = frame.meta().cloned().or_else(|| tick(frame)).unwrap_or_default();
        meta["lane"] == "cat:vault" && meta["seq"] == seq
    };
    client.wait_until(|frames| frames.iter().any(at)).await;
}

#[tokio::test]
async fn whoever_comes_back_has_every_fact_once_and_masked_as_it_would_have_been() {
    let app = app_with(|_| {}).await;
    let ada = app.connect(&email("ada")).await;
    let (mut fellow, mut office) = (Viewer::default(), Viewer::default());
    let (ben, tally) = (app.connect(&email("ben")).await, app.connect(&email("tally")).await);
    give(&ada, 3).await;
    until(&ben, 3).await;
    until(&tally, 3).await;
    fellow.take(&ben);
    office.take(&tally);
    drop((ben, tally));
    give(&ada, 600).await;
    let (ben, tally) = (reconnect(&app, "ben", &fellow).await, reconnect(&app, "tally", &office).await);
    until(&ben, 603).await;
    until(&tally, 603).await;
    give(&ada, 2).await;
    until(&ben, 605).await;
    until(&tally, 605).await;
    fellow.take(&ben);
    office.take(&tally);
    for (viewer, open) in [(&fellow, false), (&office, true)] {
        let vault = viewer.of("cat:vault");
        assert_eq!(vault.len(), 605);
        for (seq, (told, again)) in (1..).zip(vault) {
            assert_eq!(told[1][0]["score"].is_number(), open, "{told}");
            assert_eq!(*again, (4..=603).contains(&seq), "{told}");
        }
    }
    // The author alone learns the id of the command, live or again.
    let mut author = Viewer::default();
    let again = app.connect(&email("ada")).await;
    let asked = json!({"lanes": {"cat:vault": {"epoch": fellow.epoch, "seq": 600}}});
    assert_eq!(again.call("sync:resume", asked).await["data"]["lanes"]["cat:vault"], "replayed");
    author.take(&again);
    let own = author.of("cat:vault");
    assert!(own.len() == 5 && own.iter().all(|(told, _)| told[1][1]["commandId"].is_string()), "{own:?}");
    assert!(fellow.of("cat:vault").iter().all(|(told, _)| !told.to_string().contains("commandId")));
    app.stop().await;
}

#[tokio::test]
async fn nothing_is_carried_out_for_a_client_before_it_was_greeted_and_caught_up() {
    let app = TestApp::start_trapped(Traps::of(Trap::GreetLate), generous).await;
    app.import(people::document()).await;
    let ada = app.connect_by(&app.token(&email("ada")).await).await.expect("the token is good");
    let epoch = ada.next("session:ready").await.data()["lanes"][0]["epoch"].clone();
    give(&ada, 5).await;
    until(&ada, 5).await;
    let missed = json!({"lanes": {"cat:vault": {"epoch": epoch, "seq": 0}}});
    let ben = come_back(&app, "ben", missed).await;
    let answer = ben.call("sync:resume", json!({"lanes": {"cat:vault": {"epoch": epoch, "seq": 4}}})).await;
    assert_eq!(answer["data"]["lanes"]["cat:vault"], "replayed");
    assert_eq!(of_lane(&ben, "cat:vault"), [1, 2, 3, 4, 5, 5], "what was missed, then what was asked for");
    let raw = ben.raw_text();
    let line = |begins: &str| raw.lines().position(|line| line.starts_with(begins)).expect("it came");
    assert!(line("42[\"session:ready\"") < line("43"), "{raw}");
    app.stop().await;
}

#[tokio::test]
async fn a_lane_that_is_lost_and_given_back_while_another_is_caught_up_on_brings_nothing_twice() {
    let app = app_with(|config| config.socket_buffer_max = 64).await;
    let ada = app.connect(&email("ada")).await;
    let beam = app.connect(&email("beam")).await;
    // More than the queue and the two kernels hold.
    for _ in 0..50 {
        give_long(&beam, "beam", 12).await;
    }
    beam.close().await;
    let mut hat = app.give_hat("beam", json!({"hat": "JUDGE", "categoryId": "vault"})).await;
    let vault = end_of(&app, "cat:vault");
    let epoch = app.app.state().head.epoch.to_string();
    let missed = json!({"cat:beam": {"epoch": epoch, "seq": 0}, "cat:vault": {"epoch": epoch, "seq": vault}});
    give(&ada, 1).await;
    let auth = json!({"token": app.token(&email("beam")).await, "resume": {"lanes": missed}});
    let wire = Wire { receive_bytes: Some(65_536), ..Wire::default() };
    let beam = Client::connect_over(app.address, auth, wire).await.expect("the token is good");
    beam.pause();
    // Waits until these two are caught up on, while more facts come live and the lane is lost and given back.
    let had = json!({"epoch": epoch, "seq": vault + 1, "until": vault + 1});
    let asked = beam.call_later("sync:resume", json!({"lanes": {"cat:vault": had}}));
    for _ in 0..3 {
        give(&ada, 1).await;
        app.take_hat(&hat).await;
        hat = app.give_hat("beam", json!({"hat": "JUDGE", "categoryId": "vault"})).await;
    }
    give(&ada, 1).await;
    let caught_up = app.app.metrics.resume.with_label_values(&["replayed"]);
    assert_eq!(caught_up.get(), 0, "it still waits for the first lane");
    beam.go_on();
    let answer = asked.await.expect("the connection stands");
    assert_eq!(answer["data"]["lanes"]["cat:vault"], "replayed");
    assert_eq!(caught_up.get(), 3);
    let told = beam.transcript();
    let mut marks: Vec<(&str, i64)> = told
        .iter()
        .filter(|frame| frame.event == "scores:updated")
        .filter_map(Frame::meta)
        .map(|meta| (meta["lane"].as_str().expect("a lane"), meta["seq"].as_i64().expect("a place")))
        .collect();
    marks.sort_unstable();
    let count = marks.len();
    marks.dedup();
    assert_eq!((count, marks.len()), (600 + 5, 600 + 5));
    app.stop().await;
}

#[tokio::test]
async fn what_is_asked_for_when_connecting_ends_at_the_greeting_however_late_it_is_taken_up() {
    let app = TestApp::start_trapped(Traps::of(Trap::ResumeLate), generous).await;
    app.import(people::document()).await;
    let ada = app.connect(&email("ada")).await;
    give(&ada, 2).await;
    let hat = app.give_hat("beam", json!({"hat": "JUDGE", "categoryId": "vault"})).await;
    let epoch = app.app.state().head.epoch.to_string();
    let vault = end_of(&app, "cat:vault");
    let missed = json!({"lanes": {"cat:vault": {"epoch": epoch, "seq": 0}}});
    let beam = come_back(&app, "beam", missed).await;
    beam.next("session:ready").await;
    give(&ada, 1).await;
    until(&beam, vault + 1).await;
    let caught_up = app.app.metrics.resume.with_label_values(&["replayed"]);
    assert_eq!(caught_up.get(), 0, "it is not taken up before the lane was lost and given back");
    app.take_hat(&hat).await;
    app.give_hat("beam", json!({"hat": "JUDGE", "categoryId": "vault"})).await;
    assert_eq!(beam.call("user:active", Value::Null).await["ok"], true);
    assert_eq!(caught_up.get(), 1);
    let came = of_lane(&beam, "cat:vault");
    let once = came.iter().filter(|seq| **seq == vault + 1).count();
    assert_eq!((came.len(), once), (usize::try_from(vault).expect("a place") + 1, 1), "{came:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_question_ends_where_the_client_says_or_where_its_live_facts_began() {
    let app = app_with(|_| {}).await;
    let ada = app.connect(&email("ada")).await;
    give(&ada, 5).await;
    let epoch = app.app.state().head.epoch.to_string();
    let ben = app.connect(&email("ben")).await;
    give(&ada, 1).await;
    until(&ben, 6).await;
    let mut expected = vec![6];
    let all: &[i64] = &[2, 3, 4, 5];
    let none: &[i64] = &[];
    let untils = [
        (json!(null), all),
        (json!(5), all),
        (json!(6), all),
        (json!(i64::MAX), all),
        (json!(3), &all[..2]),
        (json!(1), none),
        (json!(-1), none),
        (json!(i64::MIN), none),
    ];
    for (until, again) in untils {
        let asked = json!({"lanes": {"cat:vault": {"epoch": epoch, "seq": 1, "until": until}}});
        assert_eq!(ben.call("sync:resume", asked).await["data"]["lanes"]["cat:vault"], "replayed", "{until}");
        expected.extend(again);
        assert_eq!(of_lane(&ben, "cat:vault"), expected, "{until}");
    }
    let asked = json!({"lanes": {"cat:vault": {"epoch": epoch, "seq": 1, "until": "5"}}});
    assert_eq!(ben.call("sync:resume", asked).await["error"]["code"], "INVALID_DATA");
    app.stop().await;
}

#[tokio::test]
async fn a_lane_nobody_is_told_of_is_caught_up_on_when_it_is_given_back() {
    let app = TestApp::start_with(generous).await;
    let mut document = people::document();
    document["event"]["status"] = json!("official");
    app.import(document).await;
    let ada = app.connect(&email("ada")).await;
    let hat = json!({"hat": "BOARD", "categoryId": "vault"});
    let given = app.give_hat("idle", hat.clone()).await;
    let idle = app.connect(&email("idle")).await;
    assert!(!idle.transcript()[0].data()["lanes"].to_string().contains("cat:"), "an official event");
    let epoch = app.app.state().head.epoch.to_string();
    give(&ada, 1).await;
    let had = end_of(&app, "cat:vault");
    until(&idle, had).await;
    app.take_hat(&given).await;
    give(&ada, 2).await;
    app.give_hat("idle", hat).await;
    give(&ada, 1).await;
    let end = end_of(&app, "cat:vault");
    until(&idle, end).await;
    let missed = json!({"lanes": {"cat:vault": {"epoch": epoch, "seq": had}}});
    assert_eq!(idle.call("sync:resume", missed.clone()).await["data"]["lanes"]["cat:vault"], "replayed");
    let mut came = of_lane(&idle, "cat:vault");
    came.sort_unstable();
    assert_eq!(came, (had..=end).collect::<Vec<_>>());
    // The same when connecting.
    let again = come_back(&app, "idle", missed).await;
    assert_eq!(again.call("user:active", Value::Null).await["ok"], true);
    assert_eq!(of_lane(&again, "cat:vault"), (had + 1..=end).collect::<Vec<_>>());
    app.stop().await;
}

#[tokio::test]
async fn a_lane_is_caught_up_by_the_rights_of_now() {
    let app = app_with(|_| {}).await;
    let ada = app.connect(&email("ada")).await;
    give(&ada, 5).await;
    let tally = app.connect(&email("tally")).await;
    let mut viewer = Viewer::default();
    viewer.take(&tally);
    let epoch = viewer.epoch.clone();
    let ask = async |client: &Client, lane: &str| {
        let asked = json!({"lanes": {lane: {"epoch": epoch, "seq": 0}}});
        client.call("sync:resume", asked).await["data"]["lanes"][lane].clone()
    };
    assert_eq!(ask(&tally, "cat:vault").await, "replayed");
    // The hat is gone: the same question has another answer, on the connection that is open.
    app.take_hat(&app.hat_of("tally").await).await;
    tally.next("session:changed").await;
    assert_eq!(ask(&tally, "cat:vault").await, "forbidden");
    let own = format!("usr:{}", app.user_id(&email("tally")));
    assert_eq!(ask(&tally, &own).await, "replayed");
    let foreign = format!("usr:{}", app.user_id(&email("ada")));
    for lane in [foreign.as_str(), "cat:nothing", "evt:cup", "nonsense", "cat:", "pub:nothing"] {
        assert_eq!(ask(&tally, lane).await, "forbidden", "{lane}");
    }
    assert_eq!(ask(&tally, "pub:cup").await, "replayed", "anyone may know what the public is told");
    assert_eq!(ask(&tally, "sys").await, "replayed");
    // A tally master from now on, who once judged: foreign marks stay masked in what is sent again.
    app.take_hat(&app.hat_of("ben").await).await;
    app.give_hat("ben", json!({"hat": "TALLY_MASTER", "eventId": "cup"})).await;
    let ben = app.connect(&email("ben")).await;
    assert_eq!(ask(&ben, "cat:vault").await, "replayed");
    let marks: Vec<Frame> = ben.transcript().into_iter().filter(|frame| frame.event == "scores:updated").collect();
    assert!(marks.len() == 5 && marks.iter().all(|frame| frame.data()["score"].is_null()), "{marks:?}");
    app.stop().await;
}

#[tokio::test]
async fn too_far_behind_or_of_another_history_means_a_snapshot() {
    let app = app_with(|config| config.resume_max_facts = 10).await;
    let ada = app.connect(&email("ada")).await;
    give(&ada, 12).await;
    let mut viewer = Viewer::default();
    let ben = app.connect(&email("ben")).await;
    viewer.take(&ben);
    let ask = async |epoch: &str, seq: i64| {
        let asked = json!({"lanes": {"cat:vault": {"epoch": epoch, "seq": seq}}});
        ben.call("sync:resume", asked).await["data"]["lanes"]["cat:vault"].clone()
    };
    assert_eq!(ask(&viewer.epoch, 2).await, "replayed", "ten are not too many");
    assert_eq!(ask(&viewer.epoch, 1).await, "snapshot");
    let snapshot = ben.next("sync:snapshot").await;
    let told = snapshot.data();
    assert_eq!((&told["lane"], &told["seq"], &told["epoch"]), (&json!("cat:vault"), &json!(12), &json!(viewer.epoch)));
    assert_eq!(told["state"]["certification"]["stage"], "OPEN");
    let marks = told["state"]["scores"].as_array().expect("a list");
    assert!(marks.len() == 1 && marks[0]["masked"] == true && marks[0]["score"].is_null(), "{told}");
    assert_eq!(ask("0000000000000000", 12).await, "snapshot", "another history");
    assert_eq!(ask(&viewer.epoch, 13).await, "snapshot", "a fact that never was");
    assert_eq!(ask(&viewer.epoch, -1).await, "snapshot");
    assert_eq!(ask(&viewer.epoch, i64::MIN).await, "snapshot");
    for lane in ["evt:cup", "sys", "pub:cup", &format!("usr:{}", app.user_id(&email("ben")))] {
        let asked = json!({"lanes": {lane: {"epoch": "other", "seq": 0}}});
        assert_eq!(ben.call("sync:resume", asked).await["data"]["lanes"][lane], "snapshot", "{lane}");
        let of_lane = |frame: &Frame| frame.event == "sync:snapshot" && frame.data()["lane"] == lane;
        assert_eq!(ben.transcript().iter().filter(|frame| of_lane(frame)).count(), 1, "{lane}");
    }
    assert_eq!(ben.call("sync:resume", json!({"lanes": []})).await["error"]["code"], "INVALID_DATA");
    app.stop().await;
}

#[tokio::test]
async fn a_small_buffer_is_filled_again_and_again_until_all_is_sent() {
    let app = app_with(|config| config.socket_buffer_max = 64).await;
    let ada = app.connect(&email("ada")).await;
    give(&ada, 1_000).await;
    let viewer = Viewer::default();
    let ben = reconnect(&app, "ben", &viewer).await;
    let epoch = app.app.state().head.epoch.to_string();
    let asked = json!({"lanes": {"cat:vault": {"epoch": epoch, "seq": 0}}});
    assert_eq!(ben.call("sync:resume", asked).await["data"]["lanes"]["cat:vault"], "replayed");
    let mut all = Viewer::default();
    all.take(&ben);
    assert_eq!(all.of("cat:vault").len(), 1_000);
    // However often there was no room, each was taken out once.
    let taken = |source| app.app.metrics.resume_facts.with_label_values(&[source]).get();
    assert_eq!(taken("memory") + taken("log"), 1_000);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_and_goes_while_marks_are_given_misses_nothing() {
    let app = app_with(|_| {}).await;
    let ada = app.connect(&email("ada")).await;
    let giving = async { give(&ada, 1_500).await };
    let watching = async {
        let mut viewer = Viewer::default();
        viewer.take(&app.connect(&email("cleo")).await);
        let first = viewer.heads["cat:vault"] - i64::try_from(viewer.of("cat:vault").len()).expect("a small number");
        while viewer.heads["cat:vault"] < 1_500 {
            let before = viewer.heads["cat:vault"];
            let cleo = reconnect(&app, "cleo", &viewer).await;
            until(&cleo, (before + 37).min(1_500)).await;
            cleo.call("user:active", Value::Null).await;
            viewer.take(&cleo);
        }
        (viewer, first)
    };
    let ((), (viewer, first)) = tokio::join!(giving, watching);
    assert_eq!(i64::try_from(viewer.of("cat:vault").len()).ok(), Some(1_500 - first));
    app.stop().await;
}

#[tokio::test]
async fn a_database_that_was_put_back_goes_on_under_another_epoch() {
    let app = app_with(|_| {}).await;
    let ada = app.connect(&email("ada")).await;
    give(&ada, 3).await;
    drop(ada);
    let epoch = |app: &TestApp| app.app.state().head.epoch.to_string();
    let first = epoch(&app);
    let copy = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        move |folder: &std::path::Path| {
            std::fs::copy(folder.join(from), folder.join(to)).expect("a copy");
        }
    };
    let app = app.restart_after(copy("it.db", "backup.db")).await;
    assert_eq!(epoch(&app), first, "a restart is no other history");
    let ada = app.connect(&email("ada")).await;
    give(&ada, 4).await;
    let mut viewer = Viewer::default();
    viewer.take(&ada);
    viewer.heads.insert("cat:vault".into(), 7);
    drop(ada);
    let app = app.restart_after(copy("backup.db", "it.db")).await;
    assert_ne!(
        epoch(&app),
        first,
        "what was acknowledged since the backup is gone, and nobody takes that for progress"
    );
    let ben = app.connect(&email("ben")).await;
    let asked = json!({"lanes": {"cat:vault": {"epoch": first, "seq": 7}}});
    assert_eq!(ben.call("sync:resume", asked).await["data"]["lanes"]["cat:vault"], "snapshot");
    let told = ben.next("sync:snapshot").await;
    assert_eq!((&told.data()["seq"], &told.data()["epoch"]), (&json!(3), &json!(epoch(&app))));
    let (_, lines) = feed(&app, "ben", "/api/v1/lanes/cat:vault/feed").await;
    assert!(lines.len() == 3 && lines.iter().all(|line| line["meta"]["epoch"] == epoch(&app).as_str()), "{lines:?}");
    // A file from elsewhere: nothing beside it says what it is.
    let second = epoch(&app);
    let app =
        app.restart_after(|folder| std::fs::remove_file(folder.join("it.generation")).expect("it is there")).await;
    assert_ne!(epoch(&app), second);
    app.stop().await;
}

// Over plain HTTP.

/// The lines of a feed.
async fn feed(app: &TestApp, name: &str, path: &str) -> (u16, Vec<Value>) {
    let bearer = format!("Bearer {}", app.token(&email(name)).await);
    let reply = app.raw_request(Method::GET, path, &[("authorization", &bearer)], "").await;
    let text = reply.body.as_str().map_or_else(|| reply.body.to_string(), str::to_owned);
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    (reply.status.as_u16(), lines)
}

#[tokio::test]
async fn a_lane_is_read_as_lines_from_any_place_by_the_rights_of_who_asks() {
    let app = app_with(|_| {}).await;
    let ada = app.connect(&email("ada")).await;
    give(&ada, 300).await;
    for (name, open) in [("tally", true), ("ben", false)] {
        let (status, lines) = feed(&app, name, "/api/v1/lanes/cat:vault/feed?since=10").await;
        assert_eq!((status, lines.len()), (200, 290));
        for (seq, line) in (11..).zip(&lines) {
            assert_eq!((&line["event"], &line["meta"]["seq"]), (&json!("scores:updated"), &json!(seq)), "{line}");
            assert_eq!(line["data"]["score"].is_number(), open, "{line}");
        }
    }
    let (_, ticks) = feed(&app, "emcee", "/api/v1/lanes/cat:vault/feed?since=298").await;
    assert!(ticks.len() == 2 && ticks.iter().all(|line| line["event"] == "sync:tick" && line.get("data").is_none()));
    assert_eq!(feed(&app, "idle", "/api/v1/lanes/cat:vault/feed").await.0, 403);
    assert_eq!(feed(&app, "idle", "/api/v1/lanes/nonsense/feed").await.0, 403);
    assert_eq!(feed(&app, "tally", "/api/v1/lanes/cat:vault/feed?since=301").await.0, 409);
    assert_eq!(feed(&app, "tally", "/api/v1/lanes/cat:vault/feed?since=1&epoch=other").await.0, 409);
    assert_eq!(feed(&app, "tally", "/api/v1/lanes/cat:vault/feed?since=300").await, (200, vec![]));
    app.stop().await;
}

#[tokio::test]
async fn a_stream_of_events_goes_on_from_the_last_one_until_the_session_ends() {
    let app = app_with(|_| {}).await;
    let ada = app.connect(&email("ada")).await;
    give(&ada, 3).await;
    let token = app.token(&email("ben")).await;
    let epoch = app.app.state().head.epoch.to_string();
    let url = format!("http://{}/api/v1/lanes/cat:vault/feed", app.address);
    let stream = async |last: &str| {
        let request = reqwest::Client::new().get(&url).bearer_auth(&token).header("accept", "text/event-stream");
        let response = request.header("last-event-id", last.to_owned()).send().await.expect("an answer");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        response.bytes_stream().map(|chunk| chunk.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    let mut events = stream(&format!("{epoch}:2")).await;
    let mut text = events.next().await.expect("a first event").expect("text");
    assert!(text.contains(&format!("id: {epoch}:3")) && text.contains("event: scores:updated"), "{text}");
    assert!(text.contains("\"score\":null") && !text.contains(":2\n"), "{text}");
    give(&ada, 1).await;
    text = events.next().await.expect("the next event").expect("text");
    assert!(text.contains(&format!("id: {epoch}:4")), "{text}");
    let user = app.user_id(&email("ben"));
    let path = format!("/api/v1/admin/users/{user}/revoke-sessions");
    assert_eq!(app.post(&path, &email("organizer"), Value::Null).await.status, 200);
    give(&ada, 1).await;
    assert!(events.next().await.is_none_or(|chunk| chunk.is_err()), "it ends with the session");
    app.stop().await;
}

#[tokio::test]
async fn what_the_public_is_told_is_caught_up_on_to_its_end_because_it_does_not_come_live() {
    let app = app_with(|_| {}).await;
    let ben = app.connect(&email("ben")).await;
    let mut document = people::document();
    document["event"]["mainTitle"] = json!("A cup of another name");
    app.import(document).await;
    let (lane, epoch) = ("pub:cup", app.app.state().head.epoch.to_string());
    let end = end_of(&app, lane);
    assert!(end > 1, "{end}");
    // What was committed before this has been sent, too.
    let ada = app.connect(&email("ada")).await;
    give(&ada, 1).await;
    until(&ben, 1).await;
    let ask = async |seq: i64| {
        let asked = json!({"lanes": {lane: {"epoch": epoch, "seq": seq}}});
        assert_eq!(ben.call("sync:resume", asked).await["data"]["lanes"][lane], "replayed");
    };
    ask(0).await;
    ask(end - 1).await;
    assert_eq!(of_lane(&ben, lane), (1..=end).chain([end]).collect::<Vec<_>>());
    app.stop().await;
}
