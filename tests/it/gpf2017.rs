//! The Grand Prix Final 2017 through the sockets: 72 judges, 4,320 marks, 96 official totals.

use crate::support::TestApp;
use crate::support::client::{Client, Frame};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use scorecast::db::entity::publication::PublicationState;
use scorecast::evidence::key::PublicKey;
use scorecast::evidence::verify;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const EVENT: &str = include_str!("../data/gpf2017/event.json");
const MARKS: &str = include_str!("../data/gpf2017/marks.ndjson");
const OFFICIAL: &str = include_str!("../data/gpf2017/official.csv");

/// Submits a judge's marks, in order, as fast as the answers come.
async fn judge(client: &Client, marks: &[Value]) {
    let answers: Vec<_> = marks
        .iter()
        .map(|mark| {
            client.call_later(
                "scores:submit",
                json!({
                    "commandId": uuid::Uuid::new_v4(), "categoryId": mark["categoryId"],
                    "contestantId": mark["contestantId"], "criterionId": mark["criterionId"], "score": mark["score"],
                }),
            )
        })
        .collect();
    for answer in join_all(answers).await {
        let answer = answer.expect("the connection lives");
        assert_eq!(answer["ok"], true, "{answer}");
    }
}

/// Who reads every mark of the event.
const OFFICE: [&str; 5] = ["admin", "organizer", "tally", "auditor", "board"];

/// Waits for all marks, and checks that each came in full, once, and that no place of a lane is missing.
async fn sees_everything_once(officer: &Client) {
    let marks = |frames: &[Frame]| frames.iter().filter(|frame| frame.event == "scores:updated").count();
    officer.wait_until(|frames| marks(frames) >= 4320).await;
    let mut lanes: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for frame in officer.transcript().iter().filter(|frame| frame.event == "scores:updated") {
        assert!(frame.data()["score"].is_number() && frame.data()["masked"] == false, "{frame}");
        let meta = frame.meta().expect("a fact says where it stands");
        let lane = meta["lane"].as_str().expect("a lane").to_owned();
        lanes.entry(lane).or_default().push(meta["seq"].as_i64().expect("a place"));
    }
    assert_eq!(lanes.len(), 16);
    for (lane, seqs) in lanes {
        assert_eq!(seqs, (1..=270).collect::<Vec<_>>(), "{lane} comes in order and without a gap");
    }
}

/// Every judge certifies every sheet and signs FINAL; tally master, auditor and board sign each of the 16 categories.
async fn certify_everything(
    app: &TestApp,
    by_judge: &BTreeMap<String, Vec<Value>>,
    clients: &BTreeMap<&String, Client>,
    office: &[Client],
) {
    let accepted = |answer: Value| {
        assert_eq!(answer["ok"], true, "{answer}");
        answer["data"].clone()
    };
    let categories = |marks: &[Value]| -> BTreeSet<String> {
        marks.iter().filter_map(|mark| mark["categoryId"].as_str().map(str::to_owned)).collect()
    };
    join_all(by_judge.iter().map(async |(email, marks)| {
        for category in categories(marks) {
            let payload = json!({"categoryId": category, "signatureName": email});
            accepted(clients[email].call("scores:certify", payload.clone()).await);
            accepted(clients[email].call("scores:final", payload).await);
        }
    }))
    .await;
    let all: BTreeSet<String> = by_judge.values().flat_map(|marks| categories(marks)).collect();
    assert_eq!(all.len(), 16);
    for category in all {
        let path = format!("/api/v1/categories/{category}/tally");
        let hash = app.get(&path, "tally@gpf2017.example").await.body["tallyHash"].clone();
        for (officer, stage) in [(&office[2], "TALLIED"), (&office[3], "AUDITED"), (&office[4], "CERTIFIED")] {
            let payload = json!({"categoryId": category, "stage": stage, "tallyHash": hash, "signatureName": stage});
            let view = accepted(officer.call("certification:sign", payload).await);
            assert_eq!(view["stage"], stage);
        }
        let after = app.get(&path, "auditor@gpf2017.example").await.body;
        assert_eq!(
            (&after["tallyHash"], &after["stage"]),
            (&hash, &json!("CERTIFIED")),
            "what was signed still stands"
        );
    }
}

/// Publishes each of the 16 categories as official, and checks the evidence of each as anyone would.
async fn publish_everything(app: &TestApp, tallies: &BTreeMap<String, Value>, office: &[Client]) {
    let (organizer, judge) = ("organizer@gpf2017.example", "board@gpf2017.example");
    let keys = app.request(Method::GET, "/.well-known/scorecast-keys.json", None, None).await.body;
    let key: PublicKey = keys["keys"][0]["x"].as_str().expect("a key").parse().expect("an Ed25519 key");
    let mut bundles = Vec::new();
    for (category, before) in tallies {
        let path = format!("/api/v1/categories/{category}");
        let published = app.post(&format!("{path}/publish"), organizer, json!({"state": "official"})).await;
        assert_eq!(published.status, 201, "{}", published.body);
        let bundle = app.bytes(&format!("{path}/evidence.zip"), judge).await;
        let found = verify::verify(&bundle, std::slice::from_ref(&key), &[]).expect("the evidence is accepted");
        assert_eq!(found.statement.category.id.as_str(), category);
        assert_eq!(
            (found.statement.state, found.statement.revision, found.marks),
            (PublicationState::Official, 1, 270)
        );
        let told = |line: &Value| (line["contestantId"].clone(), line["rank"].clone(), line["total"].clone());
        let ranking = serde_json::to_value(&found.statement.ranking).expect("plain data");
        let lines = |list: &Value| list.as_array().expect("a list").iter().map(told).collect::<Vec<_>>();
        assert_eq!(lines(&ranking), lines(&before["ranking"]), "what is published is what was tallied");
        bundles.push(bundle);
    }
    office[1].wait_until(|frames| frames.iter().filter(|frame| frame.event == "results:published").count() >= 16).await;
    let public = app.request(Method::GET, "/api/v1/events/gpf2017/judged", None, None).await.body;
    assert_eq!(public["items"].as_array().map(Vec::len), Some(16), "{public}");
    every_flipped_bit_is_found(&bundles[0], &key);
    let (one, other) = (&bundles[0], &bundles[1]);
    let offline = crate::support::process::verify_offline(one, &key.to_string());
    assert!(offline.status.success(), "{}", String::from_utf8_lossy(&offline.stderr));
    let stranger = crate::support::process::verify_offline(other, &"A".repeat(43));
    assert!(!stranger.status.success(), "another key signed nothing of this");
}

/// A thousand bundles, each with one bit changed; where is drawn from a fixed seed.
fn every_flipped_bit_is_found(bundle: &[u8], key: &PublicKey) {
    let mut dice = StdRng::seed_from_u64(2017);
    let flips: BTreeSet<usize> =
        std::iter::repeat_with(|| dice.random_range(0..bundle.len() * 8)).take(1_100).collect();
    let flips: Vec<usize> = flips.into_iter().take(1_000).collect();
    assert_eq!(flips.len(), 1_000);
    // Each core takes every second one.
    std::thread::scope(|scope| {
        for part in 0..2 {
            let flips = &flips;
            scope.spawn(move || {
                for bit in flips.iter().skip(part).step_by(2) {
                    let mut changed = bundle.to_vec();
                    changed[bit / 8] ^= 1 << (bit % 8);
                    let outcome = verify::verify(&changed, std::slice::from_ref(key), &[]);
                    assert!(outcome.is_err(), "bit {bit} of {} can be changed", bundle.len() * 8);
                }
            });
        }
    });
}

/// A recording of the whole competition, taken into a server that knows nothing of it, and played there.
async fn a_rehearsal_elsewhere_ends_with_the_same_places(app: &TestApp) {
    let (organizer, admin) = ("organizer@gpf2017.example", "admin@it.example");
    let new = json!({ "name": "final", "event_id": "gpf2017", "audience": "office", "from_seq": 0 });
    let made = app.post("/api/cassettes", organizer, new).await;
    assert_eq!(made.status, 201, "{made:?}");
    let file = app.bytes("/api/cassettes/final/download", organizer).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let other = TestApp::start_with(|config| folder.path().clone_into(&mut config.cassettes)).await;
    other.import(crate::support::people::document()).await;
    let authorization = format!("Bearer {}", other.token(admin).await);
    let headers = [("authorization", &*authorization), ("content-type", "application/x-ndjson")];
    let taken = other.raw_request(Method::POST, "/api/cassettes/import?name=final", &headers, file).await;
    assert_eq!(taken.status, 201, "{taken:?}");
    let playing = other.post("/api/cassettes/final/replay", admin, json!({ "speed": 0, "public": true })).await;
    assert_eq!(playing.status, 202, "{playing:?}");
    let event = playing.body["event_id"].as_str().expect("an event").to_owned();
    let path = format!("/api/v1/events/{event}/judged");
    let published = async || {
        let items = other.public(&path).await.body["items"].as_array().cloned().unwrap_or_default();
        (items.len() == 16).then_some(items)
    };
    let begun = std::time::Instant::now();
    let items = loop {
        if let Some(items) = published().await {
            break items;
        }
        assert!(begun.elapsed() < std::time::Duration::from_mins(2), "the rehearsal comes to its end");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let public = app.public("/api/v1/events/gpf2017/judged").await.body;
    let places = |items: &[Value], prefix: &str| -> BTreeMap<String, Vec<(String, Value, Value)>> {
        let plain = |id: &Value| id.as_str().expect("an id").trim_start_matches(prefix).to_owned();
        let lines = |item: &Value| {
            let lines = item["ranking"].as_array().expect("a ranking").iter();
            lines.map(|line| (plain(&line["contestantId"]), line["rank"].clone(), line["total"].clone())).collect()
        };
        items.iter().map(|item| (plain(&item["category"]["id"]), lines(item))).collect()
    };
    let real = places(public["items"].as_array().expect("items"), "");
    assert_eq!(places(&items, &format!("{event}.")), real);
    let shown = other.public(&format!("/api/v1/events/{event}")).await.body;
    assert_eq!(shown["rehearsal"], true, "{shown}");
    assert!(items.iter().all(|item| item["rehearsal"] == true), "{items:?}");
    let real = other.public("/api/v1/events").await.body;
    assert_eq!(real["items"].as_array().map(Vec::len), Some(1), "only what is real: {real}");
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_official_totals_come_out_of_the_marks_and_no_judge_sees_a_foreign_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = TestApp::start_with(|config| folder.path().clone_into(&mut config.cassettes)).await;
    app.import(serde_json::from_str(EVENT).expect("a well-formed document")).await;
    let mut by_judge: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in MARKS.lines() {
        let mark: Value = serde_json::from_str(line).expect("a well-formed mark");
        by_judge.entry(mark["judge"].as_str().expect("a judge").to_owned()).or_default().push(mark);
    }
    assert_eq!(by_judge.len(), 72);
    let clients: BTreeMap<&String, Client> =
        join_all(by_judge.keys().map(async |email| (email, app.connect(email).await))).await.into_iter().collect();
    let office = join_all(OFFICE.map(async |name| app.connect(&format!("{name}@gpf2017.example")).await)).await;
    join_all(by_judge.iter().map(|(email, marks)| judge(&clients[email], marks))).await;
    for officer in &office {
        sees_everything_once(officer).await;
    }

    let admin = app.token("admin@gpf2017.example").await;
    let mut reader = csv::Reader::from_reader(OFFICIAL.as_bytes());
    let mut checked = 0;
    let mut tallies: BTreeMap<String, Value> = BTreeMap::new();
    for row in reader.records() {
        let row = row.expect("a well-formed row");
        let (category, contestant, official) = (&row[0], &row[1], &row[2]);
        if !tallies.contains_key(category) {
            let path = format!("/api/v1/categories/{category}/tally");
            let reply = app.request(reqwest::Method::GET, &path, Some(&admin), None).await;
            assert_eq!(reply.body["complete"], true, "{}", reply.body["missing"]);
            tallies.insert(category.to_owned(), reply.body);
        }
        let ranking = tallies[category]["ranking"].as_array().expect("a ranking");
        let line = ranking.iter().find(|line| line["contestantId"] == contestant).expect("the contestant is ranked");
        assert_eq!(
            line["total"].to_string().parse::<f64>().ok(),
            official.parse::<f64>().ok(),
            "{category} {contestant}"
        );
        checked += 1;
    }
    assert_eq!((checked, tallies.len()), (96, 16));

    certify_everything(&app, &by_judge, &clients, &office).await;
    publish_everything(&app, &tallies, &office).await;

    let total: usize = by_judge.values().map(Vec::len).sum();
    assert_eq!(total, 4320);
    for (email, client) in &clients {
        let me = app.user_id(email);
        let mine = &by_judge[*email];
        let categories: BTreeSet<&str> = mine.iter().filter_map(|mark| mark["categoryId"].as_str()).collect();
        // Nine judges mark what this one marks: every mark of it arrives, masked unless it is their own.
        let expected = mine.len() * 9;
        client
            .wait_until(|frames| frames.iter().filter(|frame| frame.event == "scores:updated").count() >= expected)
            .await;
        let mut own = 0;
        for frame in client.transcript() {
            assert!(
                ["session:ready", "scores:updated", "certification:updated", "results:published"]
                    .contains(&frame.event.as_str()),
                "{frame}"
            );
            assert!(
                ["session:ready", "results:published"].contains(&frame.event.as_str())
                    || !frame.to_string().contains("tallyHash"),
                "{frame}"
            );
            if frame.event != "scores:updated" {
                continue;
            }
            let view = frame.data();
            assert!(categories.contains(view["categoryId"].as_str().expect("a category")), "{frame}");
            if view["judgeId"] == me.as_str() {
                // Once certified or locked, a mark comes again with its status.
                own += usize::from(view["status"] == "submitted");
                assert!(view["score"].is_number() && view["masked"] == false, "{frame}");
            } else {
                assert_eq!(
                    (&view["score"], &view["version"], &view["masked"]),
                    (&Value::Null, &Value::Null, &json!(true))
                );
                assert!(view.get("comment").is_none(), "{frame}");
            }
        }
        assert_eq!(own, mine.len(), "{email} sees each own mark once");
    }
    a_rehearsal_elsewhere_ends_with_the_same_places(&app).await;
    app.stop().await;
}
