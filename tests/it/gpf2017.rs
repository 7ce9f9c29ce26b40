//! The Grand Prix Final 2017 through the sockets: 72 judges, 4,320 marks, 96 official totals.

use crate::support::TestApp;
use crate::support::client::{Client, Frame};
use futures_util::future::join_all;
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

#[tokio::test(flavor = "multi_thread")]
async fn all_official_totals_come_out_of_the_marks_and_no_judge_sees_a_foreign_one() {
    let app = TestApp::start().await;
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
                ["session:ready", "scores:updated", "certification:updated"].contains(&frame.event.as_str()),
                "{frame}"
            );
            assert!(frame.event == "session:ready" || !frame.to_string().contains("tallyHash"), "{frame}");
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
    app.stop().await;
}
