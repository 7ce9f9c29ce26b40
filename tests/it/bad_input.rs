//! What nobody should send: every event and every body, malformed in hundreds of ways. Each is answered with a code of
//! the contract or the connection is closed; nothing changes, nobody else notices, the server goes on.

use crate::support::client::{Client, ConnectError};
use crate::support::people::{email, mark};
use crate::support::{Reply, TestApp, people};
use futures_util::{SinkExt, StreamExt};
use proptest::prelude::{Strategy, any, prop};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reqwest::{Method, StatusCode};
use scorecast::config::Config;
use scorecast::error::Code;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// Largest frame a client may send.
const FRAME_BYTES_MAX: usize = 128 * 1024;
/// Largest body.
const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;
/// How long an answer may take, on the slowest machine that runs the tests.
const LIMIT: Duration = Duration::from_secs(30);
/// Commands that are sent before their answers are awaited: fewer than a socket's queue holds.
const AT_ONCE: usize = 100;

fn unlimited(config: &mut Config) {
    config.rate_limit_commands_per_minute = 1_000_000;
    config.rate_limit_lists_per_minute = 1_000_000;
    config.rate_limit_scores_per_minute = 1_000_000;
}

async fn cup() -> TestApp {
    let app = TestApp::start_with(unlimited).await;
    app.import(people::document()).await;
    app
}

fn known(code: &Value) -> bool {
    code != "INTERNAL" && Code::ALL.iter().any(|known| *code == known.as_str())
}

/// Whether an answer is a refusal as the contract describes it.
fn is_refusal(answer: &Value, event: &str) -> bool {
    let error = &answer["error"];
    answer["ok"] == false
        && answer.get("data").is_none()
        && known(&error["code"])
        && error["message"].as_str().is_some_and(|message| !message.is_empty())
        && error["correlationId"].as_str().is_some_and(|id| !id.is_empty())
        && error["event"] == event
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

/// What is no id, and what is one that names nothing.
fn not_ids() -> Vec<Value> {
    let mut bad: Vec<Value> = [
        "",
        " ",
        "vault ",
        "va ult",
        "vault:JUDGE",
        "cat:vault",
        "a:b",
        "..",
        "../vault",
        "vault/../beam",
        "./vault",
        "-vault",
        "\u{0}",
        "vault\u{0}",
        "väult",
        "vault\n",
        "%00",
        "'; DROP TABLE mark; --",
        "${jndi:ldap://x}",
        "ghost",
        "00000000-0000-0000-0000-000000000000",
        "__proto__",
        "constructor",
        "NaN",
        "null",
        "\u{202e}tluav",
        "😀",
    ]
    .into_iter()
    .map(|text| json!(text))
    .collect();
    bad.extend([
        json!("x".repeat(129)),
        json!("x".repeat(100_000)),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(true),
        json!([]),
        json!({}),
        json!(["vault"]),
        json!({"id": "vault"}),
        nested(50),
    ]);
    bad
}

fn not_marks() -> Vec<Value> {
    let mut bad: Vec<Value> = [
        json!(null),
        json!("9.5"),
        json!(""),
        json!("NaN"),
        json!("Infinity"),
        json!("-Infinity"),
        json!("1e400"),
        json!("0x9"),
        json!(true),
        json!([]),
        json!([9.5]),
        json!({}),
        json!({"$serde_json::private::Number": "9.5"}),
        nested(60),
        json!(9.123),
        json!(9.1234),
        json!(9.1),
        json!(0.1),
        json!(-0.25),
        json!(-1),
        json!(10.25),
        json!(11),
        json!(1e3),
        json!(1e15),
        json!(1e18),
        json!(1e300),
        json!(-1e300),
        json!(1e-300),
        json!(f64::MIN_POSITIVE),
        json!(f64::MAX),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(9_007_199_254_740_993_i64),
    ]
    .into();
    bad.extend((1..=9).map(|digit| json!(f64::from(digit) + 0.001)));
    bad
}

/// Payloads that are wrong for every event that takes an object.
fn no_payloads() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(""),
        json!("x".repeat(100_000)),
        json!([]),
        json!({}),
        json!([{}]),
        json!([[]]),
        json!({"": ""}),
        json!({"\u{0}": 1}),
        json!({"payload": {}}),
        nested(50),
        nested(100),
        json!({"__proto__": {"categoryId": "vault"}}),
        json!({"commandId": "x"}),
        json!({"commandId": 5}),
        json!({"commandId": {}}),
        json!({"commandId": ""}),
        json!({"commandId": "10000000-0000-4000-8000-00000000000g"}),
    ]
}

/// A good payload with one field after the other made bad, or left out.
fn spoiled(good: &Value, bad: &[(&str, Vec<Value>)], needed: &[&str]) -> Vec<Value> {
    let mut all = Vec::new();
    for (field, values) in bad {
        for value in values {
            let mut payload = good.clone();
            payload[*field] = value.clone();
            all.push(payload);
        }
    }
    for field in needed {
        let mut payload = good.clone();
        payload.as_object_mut().expect("an object").remove(*field);
        all.push(payload);
    }
    all
}

/// Everything wrong there is for each event.
fn malformed(idle: &str) -> Vec<(&'static str, Value)> {
    let command_ids = || {
        vec![
            json!(5),
            json!(""),
            json!("x"),
            json!([]),
            json!({}),
            json!(true),
            json!("../x"),
            json!("1".repeat(50_000)),
        ]
    };
    let good_mark = mark("x", "form", 9.5);
    let mut events: Vec<(&'static str, Vec<Value>)> = Vec::new();
    let marks = spoiled(
        &good_mark,
        &[
            ("categoryId", not_ids()),
            ("contestantId", not_ids()),
            ("criterionId", not_ids()),
            ("score", not_marks()),
            ("value", not_marks()), // beside `score`: the same field twice
            ("commandId", command_ids()),
            ("id", vec![json!("x"), json!(5), json!(""), json!({}), json!([1]), json!("018bcfe5-6800-77c8-9a4d")]),
            (
                "comment",
                vec![
                    json!(5),
                    json!({}),
                    json!([]),
                    json!("x".repeat(2001)),
                    json!("a\u{0}b"),
                    json!("x".repeat(100_000)),
                ],
            ),
            (
                "baseVersion",
                vec![
                    json!("1"),
                    json!(1),
                    json!(1.5),
                    json!(-1),
                    json!(i64::MAX),
                    json!(i64::MIN),
                    json!(u64::MAX),
                    json!(1e300),
                    json!({}),
                ],
            ),
            (
                "madeAt",
                vec![
                    json!("yesterday"),
                    json!(5),
                    json!(""),
                    json!("9999-12-31T23:59:59Z"),
                    json!("2023-11-14"),
                    json!({}),
                    json!("+292277026596-12-04T15:30:08Z"),
                    json!("0000-01-01T00:00:00+23:59"),
                    json!("9999-12-31T23:59:59-23:59"),
                ],
            ),
        ],
        &["categoryId", "contestantId", "criterionId", "score"],
    );
    let mut batches: Vec<Value> = [json!(null), json!({}), json!("x"), json!(5), json!({"0": good_mark}), json!(true)]
        .into_iter()
        .map(|items| json!({"items": items}))
        .collect();
    batches.push(json!({"items": vec![json!(1); 201]}));
    batches.push(json!({"items": vec![good_mark; 201]}));
    let hat = json!({"judgeId": idle, "hat": "JUDGE", "categoryId": "beam"});
    let places = || not_ids().into_iter().chain([json!("vault")]).collect::<Vec<_>>();
    let hats = spoiled(
        &hat,
        &[
            ("judgeId", not_ids()),
            ("categoryId", not_ids()),
            ("contestId", places()),
            ("eventId", places()),
            ("hat", vec![json!("KING"), json!("judge"), json!(""), json!(5), json!([]), json!({}), json!("ADMIN")]),
            ("counts", vec![json!("yes"), json!(1), json!({}), json!([])]),
            ("commandId", command_ids()),
        ],
        &["judgeId", "categoryId"],
    );
    let requests: Vec<Value> =
        not_ids().into_iter().chain(not_ids().into_iter().map(|id| json!({"categoryId": id}))).collect();
    events.push(("scores:submit", marks));
    events.push(("scores:submitBatch", batches));
    events.push(("scores:request", requests));
    events.push(("assignment:created", hats.clone()));
    events.push(("assignment:create", hats));
    events.push(("assignment:remove", not_ids().into_iter().map(|id| json!({"id": id})).collect()));
    for (_, payloads) in &mut events {
        payloads.extend(no_payloads());
    }
    for unknown in [
        "scores:erase",
        "",
        "SCORES:SUBMIT",
        "scores:submit ",
        "connect",
        "disconnect",
        "error",
        "session:ready",
        "join",
        "category:vault:TALLY_MASTER",
        "admin:user",
        "auth:login",
    ] {
        events.push((unknown, no_payloads()));
    }
    // Lists have a test of their own.
    for (_, payloads) in &mut events {
        payloads.retain(|payload| !payload.is_array());
    }
    events.into_iter().flat_map(|(event, payloads)| payloads.into_iter().map(move |payload| (event, payload))).collect()
}

/// What is shown of something long.
fn cut(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
}

/// Sends each of them; all whose answer is none of the contract's, in words.
async fn badly_answered(client: &Client, sent: &[(&str, Value)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for some in sent.chunks(AT_ONCE) {
        let calls: Vec<_> = some.iter().map(|(event, payload)| client.call_later(event, payload.clone())).collect();
        for ((event, payload), call) in some.iter().zip(calls) {
            let answer = call.await.unwrap_or(json!("the connection was closed"));
            if !is_refusal(&answer, event) {
                wrong.push(format!("{event:?} {}: {}", cut(payload), cut(&answer)));
            }
        }
    }
    wrong
}

#[tokio::test]
async fn hundreds_of_malformed_events_change_nothing_and_are_all_answered() {
    let app = cup().await;
    let sent = malformed(&app.user_id(&email("idle")));
    assert!(sent.len() > 700, "{}", sent.len());
    let (judge, other) = (app.connect(&email("ada")).await, app.connect(&email("ben")).await);
    let admin = app.connect(&email("admin")).await;
    let end = app.log_end();
    // The judge for marks; an admin, who may give hats, for the rest: rights must not be what refuses them.
    let (theirs, desk): (Vec<_>, Vec<_>) = sent.into_iter().partition(|(event, _)| event.starts_with("scores:submit"));
    let mut wrong = badly_answered(&judge, &theirs).await;
    wrong.extend(badly_answered(&admin, &desk).await);
    // What a judge may do is narrower: the same again, as one.
    wrong.extend(badly_answered(&judge, &desk).await);
    assert!(wrong.is_empty(), "{} are wrong:\n{}\n{judge:?}\n{admin:?}", wrong.len(), wrong.join("\n"));
    assert_eq!(app.log_end(), end, "nothing happened");
    for client in [&judge, &admin, &other] {
        assert_eq!(client.call("user:active", json!({"unsent": 0})).await["ok"], true);
        let told: Vec<_> = client
            .transcript()
            .iter()
            .map(|frame| frame.event.clone())
            // Who is there has nothing to do with what is sent.
            .filter(|event| event != "session:ready" && event != "judge:presence")
            .collect();
        assert!(told.is_empty(), "{told:?}");
    }
    assert_eq!(other.call("scores:submit", mark("x", "form", 9.5)).await["ok"], true, "the server serves");
    app.stop().await;
}

#[tokio::test]
async fn a_list_is_not_taken_for_an_object() {
    let app = cup().await;
    let (ada, admin) = (app.connect(&email("ada")).await, app.connect(&email("admin")).await);
    let end = app.log_end();
    let idle = app.user_id(&email("idle"));
    let mut wrong = badly_answered(
        &ada,
        &[
            ("scores:submit", json!([null, "vault", "x", "form", 9.5, null, null, null])),
            ("scores:submit", json!([null, "vault", "x", "form", 9.5])),
            ("scores:submitBatch", json!([[]])),
            ("scores:submitBatch", json!([[mark("x", "form", 9.5)]])),
            ("scores:request", json!(["vault"])),
            ("scores:request", json!(["vault", "x"])),
            ("scores:request", json!([])),
            ("scores:submit", nested(50)),
        ],
    )
    .await;
    let sent = [
        ("assignment:created", json!([idle, "JUDGE", "beam", null, null, null])),
        ("assignment:remove", json!([idle])),
    ];
    wrong.extend(badly_answered(&admin, &sent).await);
    for (path, body) in [
        ("/api/v1/categories/vault/scores/batch", json!([[]])),
        ("/api/v1/admin/users", json!(["list@it.example", "List", "JUDGE", null, null])),
        ("/api/v1/admin/assignments", json!([idle, "JUDGE", "rings", null, null, null])),
        ("/api/v1/admin/contestants", json!(["list", "List", null, null, null, null])),
    ] {
        let reply = app.post(path, &email("admin"), body).await;
        if reply.status != StatusCode::BAD_REQUEST {
            wrong.push(format!("{path}: {} {}", reply.status, cut(&reply.body)));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(app.log_end(), end + 4, "four sign-ins, nothing else");
    app.stop().await;
}

#[tokio::test]
async fn an_event_whose_name_needs_escapes_is_answered_or_ends_the_connection() {
    let app = cup().await;
    let token = app.token(&email("ada")).await;
    for name in ["\u{0}", "a\"b", "a\\", "\\", "\"", "a\nb", "x\"} 1\nscorecast_evil 1", "\",{}]", "\u{7f}"] {
        let client = app.connect_by(&token).await.expect("the token is good");
        client.next("session:ready").await;
        match client.call_later(name, json!({})).await {
            Some(answer) => assert_eq!(answer["error"]["code"], "INVALID_EVENT", "{name:?}: {answer}"),
            None => client.closed().await,
        }
    }
    app.connect(&email("ada")).await;
    app.stop().await;
}

#[tokio::test]
async fn a_bad_mark_is_told_what_is_wrong_with_it() {
    let app = cup().await;
    let ada = app.connect(&email("ada")).await;
    for (score, code) in [
        (json!(9.123), "BAD_STEP"),
        (json!(9.1), "BAD_STEP"),
        (json!(9.1234), "BAD_STEP or INVALID_DATA"),
        (json!(1e-7), "BAD_STEP or INVALID_DATA"),
        (json!(10.25), "OUT_OF_RANGE"),
        (json!(-0.25), "OUT_OF_RANGE"),
        (json!(1e3), "OUT_OF_RANGE"),
        (json!(i64::MAX), "OUT_OF_RANGE or INVALID_DATA"),
        (json!(u64::MAX), "OUT_OF_RANGE or INVALID_DATA"),
        (json!(1e300), "OUT_OF_RANGE or INVALID_DATA"),
        (json!("9.5"), "INVALID_DATA"),
        (json!("NaN"), "INVALID_DATA"),
        (json!(null), "INVALID_DATA"),
    ] {
        let mut payload = mark("x", "form", 0.0);
        payload["score"] = score.clone();
        let answer = ada.call("scores:submit", payload).await;
        let told = answer["error"]["code"].as_str().unwrap_or("nothing");
        assert!(code.split(" or ").any(|code| code == told), "{score} is {code}: {answer}");
        assert_eq!(answer["error"]["field"], "score", "{score}: {answer}");
    }
    // Minus nothing is nothing.
    let mut payload = mark("x", "form", 0.0);
    payload["score"] = json!(-0.0);
    let answer = ada.call("scores:submit", payload).await;
    assert_eq!(
        (&answer["ok"], answer["data"]["score"]["score"].to_string()),
        (&json!(true), "0".to_owned()),
        "{answer}"
    );
    app.stop().await;
}

#[tokio::test]
async fn bad_marks_of_a_batch_are_refused_alone_and_in_their_places() {
    let app = cup().await;
    let ada = app.connect(&email("ada")).await;
    let mut items = Vec::new();
    // What is no payload at all is no item either; as a score, some of it would be good.
    let no_items = no_payloads().into_iter().filter(|bad| bad.is_object() && *bad != json!({"\u{0}": 1}));
    for bad in not_marks().into_iter().chain(no_items) {
        let mut item = mark("x", "form", 0.0);
        if bad.is_object() || bad.is_null() {
            item = bad;
        } else {
            item["score"] = bad;
        }
        items.push(item);
    }
    let bad = items.len();
    assert!(bad > 50 && bad < 200, "{bad}");
    items.insert(bad / 2, mark("x", "height", 9.5));
    let end = app.log_end();
    let mut sinking = Vec::new();
    for item in &items {
        let alone = ada.call("scores:submitBatch", json!({"items": [item]})).await;
        if alone["ok"] != true {
            sinking.push(format!("{}: {}", cut(item), cut(&alone)));
        }
    }
    assert!(sinking.is_empty(), "these sink their whole batch:\n{}", sinking.join("\n"));
    let end_alone = app.log_end();
    let answer = ada.call("scores:submitBatch", json!({"items": items})).await;
    assert_eq!(answer["ok"], true, "{answer}");
    for (index, result) in answer["data"]["results"].as_array().expect("a list").iter().enumerate() {
        if index == bad / 2 {
            assert_eq!(result["ok"], true, "{result}");
            continue;
        }
        assert!(result["ok"] == false && known(&result["error"]["code"]), "{index} {}: {result}", items[index]);
    }
    assert_eq!((end_alone, app.log_end()), (end + 1, end + 2), "one good mark each time");
    app.stop().await;
}

#[tokio::test]
async fn escapes_in_the_names_of_fields_do_not_hide_the_payload() {
    let app = cup().await;
    let ada = app.connect(&email("ada")).await;
    // The same JSON as with plain names; some writers escape more than they must.
    ada.send_raw(
        "42777[\"scores:submit\",{\"category\\u0049d\":\"vault\",\"contestantId\":\"x\",\"criterionId\":\"form\",\"score\":9.5}]",
    )
    .await;
    assert_eq!(ada.call("made:up", json!(1)).await["error"]["code"], "INVALID_EVENT");
    let raw = ada.raw_text();
    let answer = raw.lines().find(|line| line.starts_with("43777[")).expect("it was answered before");
    assert!(answer.contains("\"ok\":true"), "{answer}");
    app.stop().await;
}

/// Any JSON, of modest size.
fn anything() -> impl Strategy<Value = Value> {
    let text = "\\PC{0,12}";
    let leaf = proptest::prop_oneof![
        proptest::strategy::Just(Value::Null),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
        text.prop_map(|value| json!(value)),
        prop::sample::select(vec!["vault", "x", "form", "beam", "cup", "JUDGE"]).prop_map(|value| json!(value)),
    ];
    let key = prop::sample::select(vec![
        "categoryId",
        "contestantId",
        "criterionId",
        "score",
        "items",
        "judgeId",
        "hat",
        "commandId",
        "id",
        "comment",
        "baseVersion",
        "madeAt",
        "value",
        "criteriaId",
        "counts",
        "eventId",
        "x",
    ]);
    leaf.prop_recursive(4, 40, 8, move |inner| {
        proptest::prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Value>()),
        ]
    })
}

#[tokio::test]
async fn whatever_is_made_up_is_answered() {
    let app = cup().await;
    // Nobody who could do any of it: chance must not hit upon something good.
    let idle = app.connect(&email("idle")).await;
    let end = app.log_end();
    let (mut runner, strategy) = (TestRunner::deterministic(), anything());
    let events = [
        "scores:submit",
        "scores:submitBatch",
        "scores:request",
        "assignment:created",
        "assignment:remove",
        "user:active",
        "made:up",
    ];
    let mut wrong = Vec::new();
    for _ in 0..10 {
        let sent: Vec<_> = (0..AT_ONCE)
            .map(|number| (events[number % events.len()], strategy.new_tree(&mut runner).expect("a value").current()))
            .collect();
        let calls: Vec<_> = sent.iter().map(|(event, payload)| idle.call_later(event, payload.clone())).collect();
        for ((event, payload), call) in sent.iter().zip(calls) {
            let answer = call.await.unwrap_or(json!("the connection was closed"));
            // A heartbeat takes what looks like an id, and a batch refuses its items one by one.
            let harmless = answer["ok"] == true
                && match *event {
                    "user:active" => true,
                    "scores:submitBatch" => {
                        answer["data"]["results"].as_array().is_some_and(|all| all.iter().all(|one| one["ok"] == false))
                    }
                    _ => false,
                };
            if !harmless && !is_refusal(&answer, event) {
                wrong.push(format!("{event} {}: {}", cut(payload), cut(&answer)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(app.log_end(), end, "nothing happened");
    app.stop().await;
}

#[tokio::test]
async fn without_an_ack_every_malformed_event_is_told_as_an_error() {
    let app = cup().await;
    let ada = app.connect(&email("ada")).await;
    for (event, payload) in [
        ("scores:submit", json!(5)),
        ("scores:submitBatch", json!([])),
        ("scores:request", json!({})),
        ("made:up", json!(1)),
    ] {
        ada.emit(event, payload).await;
        let error = ada.next("error").await;
        assert!(known(&error.data()["code"]) && error.data()["event"] == event, "{error}");
        assert_eq!(error.meta(), None);
    }
    ada.emit("made:up", json!(1)).await;
    let error = ada.next("error").await;
    assert_eq!(
        (&error.data()["code"], &error.data()["message"]),
        (&json!("INVALID_EVENT"), &json!("Invalid event type"))
    );
    app.stop().await;
}

#[tokio::test]
async fn an_oversized_frame_costs_its_sender_the_connection_and_nobody_else_anything() {
    let app = cup().await;
    let (ada, ben) = (app.connect(&email("ada")).await, app.connect(&email("ben")).await);
    let end = app.log_end();
    // Just small enough: read, and refused for what it says.
    let mut large = mark("x", "form", 9.5);
    large["comment"] = json!("x".repeat(FRAME_BYTES_MAX - 300));
    let answer = ada.call("scores:submit", large.clone()).await;
    assert_eq!(answer["error"]["code"], "INVALID_DATA", "{answer:.200}");
    for bytes in [FRAME_BYTES_MAX + 1, 1024 * 1024, 4 * 1024 * 1024] {
        let one = app.connect(&email("ada")).await;
        large["comment"] = json!("x".repeat(bytes));
        match one.call_later("scores:submit", large.clone()).await {
            Some(answer) => assert!(is_refusal(&answer, "scores:submit"), "{answer:.200}"),
            None => one.closed().await,
        }
    }
    assert_eq!(app.log_end(), end + 3, "three sign-ins, nothing else");
    assert_eq!(ben.call("scores:submit", mark("x", "form", 9.5)).await["ok"], true);
    assert_eq!(ada.call("scores:submit", mark("x", "form", 9.5)).await["ok"], true);
    app.stop().await;
}

/// Text frames that are no events at all, or not well-formed ones. After each, the connection is closed, or it lives
/// and still answers.
const GARBAGE: &[&str] = &[
    "",
    "2",
    "3",
    "3probe",
    "2probe",
    "6",
    "1x",
    "5",
    "5upgrade",
    "7",
    "9",
    "x",
    " ",
    "\u{0}",
    "😀",
    "4",
    "44",
    "45",
    "46",
    "47",
    "49",
    "4x",
    "42",
    "42 ",
    "42[",
    "42]",
    "42[]",
    "42[1]",
    "42[null]",
    "42[[]]",
    "42[{}]",
    "42{}",
    "42null",
    "42\"scores:submit\"",
    "42[\"scores:submit\"",
    "42[\"scores:submit\",",
    "42[\"scores:submit\",}]",
    "42[\"scores:submit\",1e400]",
    "42[\"scores:submit\",{\"score\":1e400}]",
    "42[\"scores:submit\",{\"score\":-1e400}]",
    "42[\"scores:submit\",NaN]",
    "42[\"scores:submit\",{\"score\":NaN}]",
    "42[\"scores:submit\",{\"score\":Infinity}]",
    "42[\"scores:submit\",{\"score\":01}]",
    "42[\"scores:submit\",{\"score\":.5}]",
    "42[\"scores:submit\",\"\\ud800\"]",
    "42[\"scores:submit\",'x']",
    "42[\"scores:submit\"]trailing",
    "42[\"scores:submit\"][]",
    "42[\"\"]",
    "42[\"scores:submit\"]",
    "42[\"scores:submit\",{},{},{}]",
    "42[\"user:active\",1,2,3,4,5]",
    "42-1[\"user:active\"]",
    "4218446744073709551616[\"user:active\"]",
    "429223372036854775808[\"user:active\"]",
    "4299999999999999999999999999999999999999[\"user:active\"]",
    "42007[\"made:up\"]",
    "42/,[\"user:active\"]",
    "42/admin,[\"user:active\"]",
    "42/admin[\"user:active\"]",
    "42//,[\"user:active\"]",
    "42?x=1,[\"user:active\"]",
    "40",
    "40{}",
    "40{\"token\":1}",
    "40{",
    "40/admin,",
    "40/admin,{}",
    "40/%2e%2e,",
    "41/admin,",
    "43[]",
    "430[]",
    "43999999[\"x\"]",
    "4318446744073709551616[]",
    "43",
    "430{}",
    "44{}",
    "44{\"message\":\"x\"}",
    "45",
    "450-[\"scores:submit\"]",
    "451-[\"scores:submit\",{\"_placeholder\":true,\"num\":0}]",
    "4510-[\"scores:submit\"]",
    "4599999999-[\"scores:submit\",{\"_placeholder\":true,\"num\":0}]",
    "45-1-[\"x\"]",
    "451[\"x\"]",
    "461-0[]",
    "46999999999999999999-1[]",
    "b4AAAA",
    "bAAAA",
    "b!!",
    "0{}",
    "0{\"sid\":\"x\",\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":1,\"maxPayload\":1}",
    "42[\"scores:submit\",\u{1e}1]",
    "\u{1e}",
    "42[\"a\"]\u{1e}42[\"b\"]",
    "<script>",
    "GET / HTTP/1.1\r\n\r\n",
    "42[\"__proto__\",{}]",
];

#[tokio::test]
async fn garbage_closes_the_connection_or_is_passed_over() {
    let app = cup().await;
    let witness = app.connect(&email("ben")).await;
    let token = app.token(&email("ada")).await;
    let end = app.log_end();
    let deep = format!("42[\"scores:submit\",{}1{}]", "[".repeat(50_000), "]".repeat(50_000));
    let long = format!("42{}", "1".repeat(100_000));
    let many = format!("42[{}1]", "1,".repeat(50_000));
    let mut wrong = Vec::new();
    for text in GARBAGE.iter().copied().chain([deep.as_str(), long.as_str(), many.as_str()]) {
        let client = app.connect_by(&token).await.expect("the token is good");
        client.next("session:ready").await;
        client.send_raw(text).await;
        // None: closed. Otherwise it must still be served; that takes no longer than any answer.
        if let Some(answer) = client.call_later("made:up", json!(1)).await
            && answer["error"]["code"] != "INVALID_EVENT"
        {
            wrong.push(format!("{text:.80?}: {answer}"));
        }
        for line in client.raw_text().lines().filter(|line| line.contains("\"error\"")) {
            if line.contains("INTERNAL") {
                wrong.push(format!("{text:.80?}: {line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(app.log_end(), end, "nothing happened");
    assert_eq!(witness.call("scores:submit", mark("x", "form", 9.5)).await["ok"], true);
    app.stop().await;
}

#[tokio::test]
async fn the_largest_ack_ids_are_answered() {
    let app = cup().await;
    let ada = app.connect(&email("ada")).await;
    for id in ["0", "2147483648", "9007199254740993", "9223372036854775807"] {
        ada.send_raw(&format!("42{id}[\"made:up\",1]")).await;
    }
    // In order: when this one is answered, the others have been.
    assert_eq!(ada.call("made:up", json!(1)).await["ok"], false);
    for id in ["2147483648", "9007199254740993", "9223372036854775807"] {
        assert!(ada.raw_text().contains(&format!("43{id}[{{")), "{id}: {}", ada.raw_text());
    }
    app.stop().await;
}

#[tokio::test]
async fn other_namespaces_do_not_exist() {
    let app = cup().await;
    let token = app.token(&email("admin")).await;
    for namespace in ["/admin", "/judges", "/../", "/category:vault", "/%00", "/LIVE", "/socket.io", "//"] {
        let refused = Client::connect_with(app.address, namespace, Some(json!({"token": token})), &[]).await;
        assert!(
            matches!(refused, Err(ConnectError::Refused(_) | ConnectError::Transport(_))),
            "{namespace}: {refused:?}"
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn binary_frames_close_the_connection_or_are_passed_over() {
    let app = cup().await;
    let token = app.token(&email("ada")).await;
    let end = app.log_end();
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", app.address);
    let placeholder = "451-7[\"scores:submit\",{\"categoryId\":{\"_placeholder\":true,\"num\":0}}]";
    for frames in [
        vec![Message::binary(vec![0_u8; 10])],
        vec![Message::binary(Vec::new())],
        vec![Message::text(placeholder), Message::binary(b"vault".to_vec())],
        vec![Message::text(placeholder), Message::text("42[\"user:active\"]")],
        vec![
            Message::text("452-8[\"scores:submit\",{\"_placeholder\":true,\"num\":1}]"),
            Message::binary(vec![1]),
            Message::binary(vec![2]),
        ],
        vec![Message::text("461-1[{\"_placeholder\":true,\"num\":0}]"), Message::binary(vec![1])],
        vec![Message::text(placeholder); 50],
        vec![Message::binary(vec![0_u8; 1024 * 1024])],
        vec![Message::binary(vec![0xff_u8; 1000]); 100],
    ] {
        let stream = TcpStream::connect(app.address).await.expect("the server listens");
        let (mut socket, _) = tokio_tungstenite::client_async(&url, stream).await.expect("the upgrade is taken");
        socket.send(Message::text(format!("40{}", json!({"token": token})))).await.expect("it is open");
        for frame in frames {
            // The server may have closed already: then the rest cannot be sent.
            let _closed = socket.send(frame).await;
        }
        let _closed = socket.send(Message::text("42999[\"made:up\",1]")).await;
        // It ends, or the last event is answered.
        let served = async {
            while let Some(Ok(message)) = socket.next().await {
                let Ok(text) = message.into_text() else { return };
                if text.as_str() == "2" {
                    let _closed = socket.send(Message::text("3")).await;
                } else if text.as_str().starts_with("43999[") {
                    assert!(text.as_str().contains("INVALID_EVENT"), "{text}");
                    return;
                }
            }
        };
        tokio::time::timeout(LIMIT, served).await.expect("it is answered or ends");
    }
    assert_eq!(app.log_end(), end, "nothing happened");
    let ada = app.connect(&email("ada")).await;
    assert_eq!(ada.call("scores:submit", mark("x", "form", 9.5)).await["ok"], true);
    app.stop().await;
}

#[tokio::test]
async fn bad_polling_is_refused_by_http() {
    let app = cup().await;
    let end = app.log_end();
    for (method, query, body) in [
        (Method::GET, "", ""),
        (Method::GET, "?EIO=3&transport=polling", ""),
        (Method::GET, "?EIO=4", ""),
        (Method::GET, "?EIO=4&transport=carrier-pigeon", ""),
        (Method::GET, "?EIO=4&transport=websocket", ""),
        (Method::GET, "?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA", ""),
        (Method::GET, "?EIO=4&transport=polling&sid=../../etc", ""),
        (Method::POST, "?EIO=4&transport=polling", "40"),
        (Method::POST, "?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA", "40"),
        (Method::DELETE, "?EIO=4&transport=polling", ""),
        (Method::PUT, "?EIO=4&transport=polling&sid=x", "x"),
        (Method::GET, "?EIO=999999999999999999999&transport=polling", ""),
    ] {
        let reply = app.raw_request(method.clone(), &format!("/socket.io/{query}"), &[], body).await;
        assert!(reply.status.is_client_error(), "{method} {query}: {reply:?}");
    }
    // A session by polling whose packets are garbage or too large.
    for body in ["", "x", "42[", "40{", "\u{1e}\u{1e}", "b!!!!", &"x".repeat(200 * 1024), &"4".repeat(2 * 1024 * 1024)]
    {
        let opened = app.raw_request(Method::GET, "/socket.io/?EIO=4&transport=polling", &[], "").await;
        let text = opened.body.as_str().expect("a packet").trim_start_matches('0').to_owned();
        let sid =
            serde_json::from_str::<Value>(&text).expect("a handshake")["sid"].as_str().expect("a session").to_owned();
        let path = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        let reply = app.raw_request(Method::POST, &path, &[], body.to_owned()).await;
        assert!(!reply.status.is_server_error(), "{body:.20?}: {reply:?}");
        assert!(body.len() < 1000 || reply.status.is_client_error(), "{} bytes: {reply:?}", body.len());
    }
    assert_eq!(app.log_end(), end, "nothing happened");
    app.stop().await;
}

/// What a problem lacks of what RFC 9457 and the contract ask, in words.
fn flaws(reply: &Reply) -> Vec<String> {
    let mut flaws = Vec::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            flaws.push(what.to_owned());
        }
    };
    let header = |name: &str| reply.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (body, code) = (&reply.body, reply.body["code"].as_str().unwrap_or_default());
    check(header("content-type") == "application/problem+json", "the content type");
    check(body["status"].as_u64() == Some(u64::from(reply.status.as_u16())), "the status in the body");
    check(body["type"].as_str().is_some_and(|kind| kind.ends_with(code)), "the type");
    check(body["title"].as_str().is_some_and(|title| !title.is_empty()), "the title");
    check(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "the detail");
    check(known(&body["code"]), "the code");
    check(!header("x-request-id").is_empty() && body["correlationId"] == header("x-request-id"), "the correlation id");
    if let Some(errors) = body.get("errors") {
        let whole = |error: &Value| error["field"].is_string() && error["message"].is_string();
        check(errors.as_array().is_some_and(|errors| errors.iter().all(whole)), "the errors");
    }
    flaws
}

#[tokio::test]
async fn every_http_error_is_a_problem_in_one_shape() {
    let app = cup().await;
    let bearer = format!("Bearer {}", app.token(&email("admin")).await);
    let end = app.log_end();
    let deep = "[".repeat(100_000);
    let deep_yaml = "- ".repeat(5_000);
    let bodies: Vec<(&str, String)> = vec![
        ("not JSON", "x".into()), ("half", "{\"a\":".into()), ("a list", "[]".into()), ("a number", "5".into()), ("null", "null".into()),
        ("empty", String::new()), ("text", "\"x\"".into()), ("deep", deep.clone()), ("deep objects", "{\"a\":".repeat(50_000)),
        ("deep YAML", deep_yaml), ("NUL", "\u{0}".into()), ("1e400", "{\"id\":1e400}".into()), ("a lone surrogate", "{\"id\":\"\\ud800\"}".into()),
        ("two values", "{} {}".into()), ("twice", "{\"id\":\"a\",\"id\":\"b\"}".into()), ("a form", "id=a&name=b".into()),
        ("wrong types", "{\"id\":5,\"name\":[],\"event\":1,\"email\":{},\"password\":1,\"items\":1,\"entries\":5,\"status\":5,\"refreshToken\":5}".into()),
        ("XML", "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><x>&a;</x>".into()),
    ];
    let routes = [
        (Method::POST, "/api/v1/auth/login"),
        (Method::POST, "/api/v1/auth/refresh"),
        (Method::POST, "/api/v1/admin/import"),
        (Method::POST, "/api/v1/admin/users"),
        (Method::PUT, "/api/v1/admin/users/ghost"),
        (Method::POST, "/api/v1/admin/events"),
        (Method::PUT, "/api/v1/admin/events/cup"),
        (Method::PATCH, "/api/v1/admin/events/cup/status"),
        (Method::POST, "/api/v1/admin/contests"),
        (Method::PUT, "/api/v1/admin/contests/women"),
        (Method::POST, "/api/v1/admin/categories"),
        (Method::PUT, "/api/v1/admin/categories/vault"),
        (Method::PUT, "/api/v1/admin/categories/vault/entries"),
        (Method::POST, "/api/v1/admin/contestants"),
        (Method::PUT, "/api/v1/admin/contestants/x"),
        (Method::POST, "/api/v1/admin/assignments"),
        (Method::PUT, "/api/v1/admin/assignments/ghost"),
        (Method::POST, "/api/v1/admin/races"),
        (Method::PUT, "/api/v1/admin/races/ghost"),
        (Method::POST, "/api/v1/admin/api-keys"),
        (Method::PUT, "/api/v1/admin/api-keys/ghost"),
        (Method::PATCH, "/api/v1/races/ghost/status"),
        (Method::POST, "/api/v1/categories/vault/scores"),
        (Method::POST, "/api/v1/categories/vault/scores/batch"),
    ];
    let mut wrong = Vec::new();
    for (method, path) in &routes {
        for (what, body) in &bodies {
            for content in ["application/json", "text/plain", "application/x-www-form-urlencoded"] {
                let headers = [("authorization", bearer.as_str()), ("content-type", content)];
                let reply = app.raw_request(method.clone(), path, &headers, body.clone()).await;
                let flaws = flaws(&reply);
                if !reply.status.is_client_error() || !flaws.is_empty() {
                    wrong.push(format!(
                        "{method} {path} {what}: {} {flaws:?} {:.200}",
                        reply.status,
                        reply.body.to_string()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(app.log_end(), end, "nothing happened");
    app.stop().await;
}

#[tokio::test]
async fn paths_and_queries_that_mean_nothing_are_problems_too() {
    let app = cup().await;
    let bearer = format!("Bearer {}", app.token(&email("admin")).await);
    let mut wrong = Vec::new();
    for (method, path) in [
        (Method::GET, "/api/v1/categories/a:b/scores"),
        (Method::GET, "/api/v1/categories/%2e%2e/scores"),
        (Method::GET, "/api/v1/categories/%00/scores"),
        (Method::GET, "/api/v1/categories/%ff/scores"),
        (Method::GET, "/api/v1/categories/ghost/scores"),
        (Method::GET, "/api/v1/categories/ghost/tally"),
        (Method::GET, "/api/v1/categories/ghost/completeness"),
        (Method::GET, "/api/v1/categories/vault/scores?contestantId=a:b"),
        (Method::GET, "/api/v1/categories/vault/scores?colour=red"),
        (Method::GET, "/api/v1/admin/users/a:b"),
        (Method::GET, "/api/v1/admin/users?limit=x"),
        (Method::GET, "/api/v1/admin/users?limit=99999999999999999999"),
        (Method::GET, "/api/v1/admin/events/%F0%9F%98%80"),
        (Method::DELETE, "/api/v1/admin/events/a%3Ab"),
        (Method::GET, "/api/v1/admin/races/a:b"),
        (Method::DELETE, "/api/v1/admin/api-keys/a:b"),
        (Method::PATCH, "/api/v1/races/a:b/status"),
        (Method::GET, "/api/v1/nothing"),
        (Method::GET, "/"),
        (Method::GET, "/%2e%2e/%2e%2e/etc/passwd"),
        (Method::POST, "/api/v1/admin/users/a:b/revoke-sessions"),
    ] {
        let reply = app.raw_request(method.clone(), path, &[("authorization", &bearer)], "").await;
        let flaws = flaws(&reply);
        if !reply.status.is_client_error() || !flaws.is_empty() {
            wrong.push(format!("{method} {path}: {} {flaws:?} {}", reply.status, reply.body));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    app.stop().await;
}

#[tokio::test]
async fn a_missing_field_is_named_in_errors() {
    let app = cup().await;
    for (path, body, field) in [
        ("/api/v1/auth/login", json!({"email": "a@b.example"}), "password"),
        ("/api/v1/auth/refresh", json!({}), "refreshToken"),
        ("/api/v1/admin/contestants", json!({"id": "a"}), "name"),
        ("/api/v1/admin/races", json!({"id": "a", "raceType": "trot"}), "eventId"),
        ("/api/v1/admin/races", json!({"id": "a", "eventId": "cup"}), "raceType"),
        ("/api/v1/admin/api-keys", json!({"name": "Timing"}), "eventId"),
        ("/api/v1/admin/api-keys", json!({"eventId": "cup"}), "name"),
    ] {
        let reply = app.post(path, &email("admin"), body).await;
        let named =
            reply.body["errors"].as_array().is_some_and(|errors| errors.iter().any(|error| error["field"] == field));
        assert!(reply.status == StatusCode::BAD_REQUEST && named, "{path}: {reply:?}");
    }
    app.stop().await;
}

/// Sends a body of that many blanks and reads the answer, which may come before the last of them.
async fn send_blanks(app: &TestApp, path: &str, bearer: &str, bytes: usize) -> (String, Value) {
    let stream = TcpStream::connect(app.address).await.expect("the server listens");
    let (mut incoming, mut outgoing) = stream.into_split();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: it\r\nauthorization: {bearer}\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\n\r\n"
    );
    let write = async {
        // Once the server has heard enough it may close: then the rest cannot be sent.
        let _closed = outgoing.write_all(head.as_bytes()).await;
        let _closed = outgoing.write_all(&vec![b' '; bytes]).await;
    };
    let read = async {
        let mut answer = Vec::new();
        let mut piece = [0_u8; 4096];
        loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            if text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.ends_with('}')) {
                break text;
            }
            match incoming.read(&mut piece).await {
                Ok(count) if count > 0 => answer.extend_from_slice(&piece[..count]),
                Ok(_) | Err(_) => break text,
            }
        }
    };
    let ((), text) = tokio::join!(write, read);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (head.to_lowercase(), serde_json::from_str(body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_body_of_ten_megabytes_and_one_byte_is_too_large() {
    let app = cup().await;
    let token = app.token(&email("admin")).await;
    let bearer = format!("Bearer {token}");
    for path in
        ["/api/v1/auth/login", "/api/v1/admin/import", "/api/v1/admin/users", "/api/v1/categories/vault/scores/batch"]
    {
        let (head, body) = send_blanks(&app, path, &bearer, BODY_BYTES_MAX + 1).await;
        assert!(head.starts_with("http/1.1 413"), "{path}: {head}");
        assert!(head.contains("application/problem+json"), "{path}: {head}");
        assert_eq!((&body["code"], &body["status"]), (&json!("TOO_LARGE"), &json!(413)), "{path}: {body}");
        let id = body["correlationId"].as_str().expect("an id");
        assert!(head.contains(&format!("x-request-id: {id}")), "{path}: {head}");
    }
    // One byte less is read, and refused for what it says.
    let full = " ".repeat(BODY_BYTES_MAX - 2) + "{}";
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let reply = app.raw_request(Method::POST, "/api/v1/admin/import", &headers, full).await;
    assert_eq!((reply.status.as_u16(), &reply.body["code"]), (400, &json!("INVALID_DATA")), "{reply:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_small_document_that_unfolds_to_a_huge_one_is_refused() {
    let app = cup().await;
    let bearer = format!("Bearer {}", app.token(&email("admin")).await);
    let end = app.log_end();
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        writeln!(bomb, "a{level}: &a{level} [{}]", vec![below; 10].join(",")).expect("a string takes everything");
    }
    bomb.push_str("event: {id: bomb, mainTitle: Bomb}\nusers: *a11\n");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/yaml")];
    let reply = app.raw_request(Method::POST, "/api/v1/admin/import", &headers, bomb).await;
    assert_eq!((reply.status.as_u16(), flaws(&reply)), (400, vec![]), "{reply:?}");
    let latin1 = app.raw_request(Method::POST, "/api/v1/admin/import", &headers, vec![b'{', 0xe4, b'}']).await;
    assert_eq!((latin1.status.as_u16(), flaws(&latin1)), (400, vec![]), "{latin1:?}");
    assert_eq!(app.log_end(), end);
    app.stop().await;
}

#[tokio::test]
async fn a_hostile_request_id_is_replaced_and_a_plain_one_kept() {
    let app = cup().await;
    let long = "x".repeat(129);
    for hostile in
        ["a b", "<script>alert(1)</script>", "a\tb", "id=1;x", "{\"a\":1}", long.as_str(), "%0d%0ax: y", "a/b", "\"a\""]
    {
        for path in ["/api/v1/me", "/healthz", "/nothing"] {
            let reply = app.raw_request(Method::GET, path, &[("x-request-id", hostile)], "").await;
            let id = reply.headers["x-request-id"].to_str().expect("text").to_owned();
            assert!(uuid::Uuid::parse_str(&id).is_ok(), "{hostile:?} became {id:?}");
            assert!(path == "/healthz" || reply.body["correlationId"] == id.as_str(), "{reply:?}");
        }
    }
    for plain in ["a", "req-1.2_3", &"x".repeat(128)] {
        let reply = app.raw_request(Method::GET, "/api/v1/me", &[("x-request-id", plain)], "").await;
        assert_eq!(
            (&reply.headers["x-request-id"].to_str().ok(), &reply.body["correlationId"]),
            (&Some(plain), &json!(plain))
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn an_empty_request_id_is_replaced() {
    let app = cup().await;
    let reply = app.raw_request(Method::GET, "/api/v1/me", &[("x-request-id", "")], "").await;
    assert!(!reply.headers["x-request-id"].is_empty(), "an empty id names nothing: {reply:?}");
    app.stop().await;
}
