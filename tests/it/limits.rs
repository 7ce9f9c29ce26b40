//! How often who may: the limits people meet, under a clock that stands still until it is moved.

use crate::support::client::{Client, ConnectError};
use crate::support::people::{self, email, mark};
use crate::support::{Reply, TestApp};
use clap::{Args, FromArgMatches};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use scorecast::config::Config;
use serde_json::{Value, json};
use std::time::Duration;

const PASSWORD: &str = "correct horse battery";

async fn cup(change: impl FnOnce(&mut Config)) -> TestApp {
    let app = TestApp::start_with(change).await;
    let mut document = people::document();
    for user in document["users"].as_array_mut().expect("a list") {
        if user["email"] == email("ada") || user["email"] == email("ben") {
            user["password"] = json!(PASSWORD);
        }
    }
    app.import(document).await;
    app
}

/// The n-th mark: always another value, always a good one.
fn nth(n: usize) -> Value {
    let quarters = u32::try_from(n % 40).expect("less than 40");
    mark("x", "form", f64::from(quarters) / 4.0)
}

/// Sends them all at once; what was answered, in order.
async fn at_once(clients: &[&Client], event: &str, payloads: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut clients = clients.iter().cycle();
    let calls: Vec<_> = payloads
        .into_iter()
        .map(|payload| clients.next().expect("there is a client").call_later(event, payload))
        .collect();
    join_all(calls).await.into_iter().map(|answer| answer.expect("the connection lives")).collect()
}

/// How many passed. All others must have been told in the words of the contract that the limit was reached.
fn passed(answers: &[Value]) -> usize {
    let (good, refused): (Vec<&Value>, Vec<&Value>) = answers.iter().partition(|answer| answer["ok"] == true);
    for answer in refused {
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["message"]),
            (&json!("RATE_LIMIT"), &json!("Rate limit exceeded")),
            "{answer}"
        );
        assert!(wait(answer) >= 1, "{answer}");
    }
    good.len()
}

fn wait(answer: &Value) -> u64 {
    answer["error"]["retryAfterMs"].as_u64().unwrap_or_else(|| panic!("no retryAfterMs in {answer}"))
}

/// The facts of the vault.
async fn facts(app: &TestApp) -> u64 {
    let reply = app.get("/api/v1/categories/vault/scores", &email("admin")).await;
    reply.body["seq"].as_u64().unwrap_or_else(|| panic!("{reply:?}"))
}

#[tokio::test]
async fn of_130_marks_sent_at_once_60_pass() {
    let app = TestApp::with_people().await;
    let ada = app.connect(&email("ada")).await;
    let answers = at_once(&[&ada], "scores:submit", (0..130).map(nth)).await;
    assert_eq!(passed(&answers), 60);
    assert!(answers[..60].iter().all(|answer| answer["ok"] == true), "the first 60 are those that pass");
    assert_eq!(facts(&app).await, 60);
    // As long as was said, and one more passes.
    app.clock.advance(Duration::from_millis(wait(&answers[60])));
    let answers = at_once(&[&ada], "scores:submit", (0..3).map(nth)).await;
    assert_eq!(passed(&answers), 1);
    assert_eq!(facts(&app).await, 61);
    // Another judge has a budget of their own, and after a minute this one is whole again.
    let ben = app.connect(&email("ben")).await;
    assert_eq!(passed(&at_once(&[&ben], "scores:submit", (0..60).map(nth)).await), 60);
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(passed(&at_once(&[&ada], "scores:submit", (0..130).map(nth)).await), 60);
    app.stop().await;
}

#[tokio::test]
async fn two_sockets_of_a_judge_share_the_60() {
    let app = TestApp::with_people().await;
    let (one, two) = (app.connect(&email("ada")).await, app.connect(&email("ada")).await);
    let answers = at_once(&[&one, &two], "scores:submit", (0..130).map(nth)).await;
    assert_eq!(answers.len(), 130);
    assert_eq!(passed(&answers), 60);
    assert_eq!(facts(&app).await, 60);
    app.clock.advance(Duration::from_millis(wait(answers.iter().find(|answer| answer["ok"] == false).expect("one"))));
    assert_eq!(passed(&at_once(&[&one, &two], "scores:submit", (0..10).map(nth)).await), 1);
    app.stop().await;
}

#[tokio::test]
async fn a_refused_mark_without_an_ack_is_told_as_an_error_event() {
    let app = TestApp::with_people().await;
    let ada = app.connect(&email("ada")).await;
    assert_eq!(passed(&at_once(&[&ada], "scores:submit", (0..60).map(nth)).await), 60);
    ada.emit("scores:submit", nth(0)).await;
    let error = ada.next("error").await;
    assert_eq!((&error.data()["code"], &error.data()["event"]), (&json!("RATE_LIMIT"), &json!("scores:submit")));
    assert_eq!(error.data()["retryAfterMs"], 1000);
    assert_eq!(error.meta(), None, "errors carry no meta");
    app.stop().await;
}

fn retry_after(reply: &Reply) -> u64 {
    let value = reply.headers.get("retry-after").and_then(|value| value.to_str().ok());
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no Retry-After in {reply:?}"))
}

#[tokio::test]
async fn a_judge_has_one_budget_over_sockets_and_http() {
    let app = TestApp::with_people().await;
    let token = app.token(&email("ada")).await;
    let ada = app.connect(&email("ada")).await;
    let post =
        async |n: usize| app.request(Method::POST, "/api/v1/categories/vault/scores", Some(&token), Some(nth(n))).await;
    assert_eq!(passed(&at_once(&[&ada], "scores:submit", (0..30).map(nth)).await), 30);
    for n in 0..30 {
        let reply = post(n).await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    }
    let refused = post(30).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("RATE_LIMIT")));
    assert_eq!((&refused.body["detail"], &refused.body["retryAfterMs"]), (&json!("Rate limit exceeded"), &json!(1000)));
    assert_eq!(retry_after(&refused), 1);
    assert_eq!(passed(&at_once(&[&ada], "scores:submit", [nth(1)]).await), 0);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(post(31).await.status, StatusCode::OK);
    assert_eq!(passed(&at_once(&[&ada], "scores:submit", [nth(1)]).await), 0, "the second was spent over HTTP");
    app.stop().await;
}

#[tokio::test]
async fn whoever_waits_as_long_as_told_is_let_through_whatever_the_number() {
    // 7 a minute is one in 8,571.43 ms: cut down to whole milliseconds or seconds, the wait would be too short.
    let app = cup(|config| config.rate_limit_scores_per_minute = 7).await;
    let ada = app.connect(&email("ada")).await;
    let answers = at_once(&[&ada], "scores:submit", (0..8).map(nth)).await;
    assert_eq!(passed(&answers), 7);
    app.clock.advance(Duration::from_millis(wait(&answers[7])));
    assert_eq!(passed(&at_once(&[&ada], "scores:submit", [nth(1)]).await), 1, "after {} ms", wait(&answers[7]));
    app.stop().await;
}

#[tokio::test]
async fn retry_after_is_never_shorter_than_the_wait() {
    let app = cup(|config| config.rate_limit_scores_per_minute = 7).await;
    let token = app.token(&email("ada")).await;
    let path = "/api/v1/categories/vault/scores";
    let post = async || app.request(Method::POST, path, Some(&token), Some(nth(1))).await;
    for _ in 0..7 {
        assert_eq!(post().await.status, StatusCode::OK);
    }
    let refused = post().await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    app.clock.advance(Duration::from_secs(retry_after(&refused)));
    assert_eq!(post().await.status, StatusCode::OK, "Retry-After: {}", retry_after(&refused));
    app.stop().await;
}

fn batch(items: usize) -> Value {
    json!({"items": (0..items).map(nth).collect::<Vec<_>>()})
}

#[tokio::test]
async fn a_batch_costs_one_and_one_more_for_each_ten_marks_begun() {
    for (items, cost) in [(0, 1), (1, 2), (10, 2), (11, 3), (199, 21), (200, 21)] {
        let app = TestApp::with_people().await;
        let ada = app.connect(&email("ada")).await;
        let answer = ada.call("scores:submitBatch", batch(items)).await;
        assert_eq!(answer["ok"], true, "{answer}");
        assert_eq!(answer["data"]["results"].as_array().map(Vec::len), Some(items));
        let left = passed(&at_once(&[&ada], "scores:submit", (0..70).map(nth)).await);
        assert_eq!(left, 60 - cost, "a batch of {items}");
        app.stop().await;
    }
}

#[tokio::test]
async fn a_batch_that_does_not_fit_any_more_takes_nothing() {
    let app = TestApp::with_people().await;
    let (ada, token) = (app.connect(&email("ada")).await, app.token(&email("ada")).await);
    for _ in 0..2 {
        assert_eq!(ada.call("scores:submitBatch", batch(200)).await["ok"], true);
    }
    let before = facts(&app).await;
    let refused = ada.call("scores:submitBatch", batch(200)).await;
    assert_eq!(passed(std::slice::from_ref(&refused)), 0);
    assert_eq!(wait(&refused), 3000, "18 are left of the 21 it needs");
    let path = "/api/v1/categories/vault/scores/batch";
    let twin = app.request(Method::POST, path, Some(&token), Some(batch(200))).await;
    assert_eq!((twin.status, retry_after(&twin)), (StatusCode::TOO_MANY_REQUESTS, 3));
    assert_eq!(facts(&app).await, before);
    assert_eq!(passed(&at_once(&[&ada], "scores:submit", (0..20).map(nth)).await), 18);
    app.stop().await;
}

#[tokio::test]
async fn other_commands_are_100_a_minute_and_lists_300() {
    let app = TestApp::with_people().await;
    let admin = app.connect(&email("admin")).await;
    let hat = json!({"judgeId": app.user_id(&email("idle")), "hat": "JUDGE", "categoryId": "beam"});
    let answers = at_once(&[&admin], "assignment:created", (0..120).map(|_| hat.clone())).await;
    assert_eq!(passed(&answers), 100);
    assert_eq!(wait(&answers[100]), 600);
    let twin = app.post("/api/v1/admin/assignments", &email("admin"), hat.clone()).await;
    assert_eq!((twin.status, retry_after(&twin)), (StatusCode::TOO_MANY_REQUESTS, 1));
    app.clock.advance(Duration::from_millis(600));
    assert_eq!(passed(&at_once(&[&admin], "assignment:created", [hat.clone(), hat]).await), 1);

    // Reading is counted apart; sent in pieces that the socket's queue holds.
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.extend(at_once(&[&admin], "scores:request", (0..80).map(|_| json!("vault"))).await);
    }
    assert_eq!(passed(&answers), 300);
    assert_eq!(wait(&answers[300]), 200);
    let token = app.token(&email("admin")).await;
    for path in
        ["/api/v1/categories/vault/scores", "/api/v1/admin/users", "/api/v1/me", "/api/v1/categories/vault/tally"]
    {
        let twin = app.request(Method::GET, path, Some(&token), None).await;
        assert_eq!(
            (twin.status, twin.body["retryAfterMs"].as_u64()),
            (StatusCode::TOO_MANY_REQUESTS, Some(200)),
            "{path}"
        );
    }
    app.clock.advance(Duration::from_millis(200));
    assert_eq!(passed(&at_once(&[&admin], "scores:request", [json!("vault"), json!("vault")]).await), 1);
    app.stop().await;
}

#[tokio::test]
async fn nonsense_is_limited_like_commands() {
    let app = TestApp::with_people().await;
    let ada = app.connect(&email("ada")).await;
    let answers = at_once(&[&ada], "scores:submit", (0..110).map(|_| json!({"score": "nine"}))).await;
    let told: Vec<_> = answers.iter().filter_map(|answer| answer["error"]["code"].as_str()).collect();
    assert_eq!(told.iter().filter(|code| **code == "INVALID_DATA").count(), 100);
    assert_eq!(told.iter().filter(|code| **code == "RATE_LIMIT").count(), 10);
    // The judge's own marks are not held up by it.
    assert_eq!(passed(&at_once(&[&ada], "scores:submit", (0..60).map(nth)).await), 60);
    app.stop().await;
}

async fn login_from(app: &TestApp, address: Option<&str>, email: &str, password: &str) -> Reply {
    let body = json!({"email": email, "password": password}).to_string();
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(address.map(|address| ("x-forwarded-for", address)));
    app.raw_request(Method::POST, "/api/v1/auth/login", &headers, body).await
}

async fn login(app: &TestApp, name: &str, password: &str) -> Reply {
    login_from(app, None, &email(name), password).await
}

#[tokio::test]
async fn the_11th_wrong_password_for_an_account_is_not_even_looked_at() {
    let app = cup(|_| {}).await;
    for attempt in 0..10 {
        let reply = login(&app, "ada", &format!("wrong password {attempt}")).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{reply:?}");
    }
    let refused = login(&app, "ada", "wrong password 10").await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("RATE_LIMIT")));
    assert_eq!((refused.body["retryAfterMs"].as_u64(), retry_after(&refused)), (Some(6000), 6));
    // Guessing on does not help, not even by guessing right.
    assert_eq!(login(&app, "ada", PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(login(&app, "ADA", PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS, "capitals are no way around");
    assert_eq!(login(&app, "ben", PASSWORD).await.status, StatusCode::OK, "a neighbour is not held up");
    app.clock.advance(Duration::from_secs(6));
    assert_eq!(login(&app, "ada", PASSWORD).await.status, StatusCode::OK);
    app.stop().await;
}

/// Settings that believe what a proxy on this machine says of the client's address.
fn behind_a_proxy(config: &mut Config) {
    let command = Config::augment_args(clap::Command::new("it")).mut_args(|argument| argument.env(None::<&str>));
    let matches = command.get_matches_from(["it", "--trusted-proxies", "127.0.0.1"]);
    config.trusted_proxies = Config::from_arg_matches(&matches).expect("a good setting").trusted_proxies;
}

#[tokio::test]
async fn nobody_can_lock_a_judge_out_from_elsewhere() {
    let app = cup(behind_a_proxy).await;
    for _ in 0..11 {
        login_from(&app, Some("203.0.113.9"), &email("ada"), "wrong password").await;
    }
    let there = login_from(&app, Some("203.0.113.9"), &email("ada"), PASSWORD).await;
    assert_eq!(there.status, StatusCode::TOO_MANY_REQUESTS);
    let forged = login_from(&app, Some("198.51.100.7, 203.0.113.9"), &email("ada"), PASSWORD).await;
    assert_eq!(forged.status, StatusCode::TOO_MANY_REQUESTS, "what the client itself wrote does not count");
    let here = login_from(&app, Some("198.51.100.7"), &email("ada"), PASSWORD).await;
    assert_eq!(here.status, StatusCode::OK, "{here:?}");
    app.stop().await;
}

#[tokio::test]
async fn without_a_trusted_proxy_the_header_changes_nothing() {
    let app = cup(|config| config.rate_limit_failed_logins_per_minute = 2).await;
    for number in 0..3 {
        login_from(&app, Some(&format!("203.0.113.{number}")), &email("ada"), "wrong password").await;
    }
    let reply = login_from(&app, Some("198.51.100.7"), &email("ada"), PASSWORD).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    app.stop().await;
}

#[tokio::test]
async fn the_121st_wrong_password_from_one_address_is_refused() {
    let app = cup(behind_a_proxy).await;
    let emails: Vec<String> = (0..121).map(|number| format!("guess{number}@it.example")).collect();
    let tries = emails.iter().map(|email| login_from(&app, Some("203.0.113.9"), email, "wrong password"));
    let mut refused = 0;
    for reply in join_all(tries).await {
        match reply.status {
            StatusCode::UNAUTHORIZED => {}
            StatusCode::TOO_MANY_REQUESTS => {
                assert_eq!((reply.body["retryAfterMs"].as_u64(), retry_after(&reply)), (Some(500), 1));
                refused += 1;
            }
            other => panic!("{other}: {reply:?}"),
        }
    }
    assert_eq!(refused, 1);
    let elsewhere = login_from(&app, Some("198.51.100.7"), &email("ada"), PASSWORD).await;
    assert_eq!(elsewhere.status, StatusCode::OK, "{elsewhere:?}");
    app.clock.advance(Duration::from_millis(500));
    let later = login_from(&app, Some("203.0.113.9"), &email("ada"), PASSWORD).await;
    assert_eq!(later.status, StatusCode::OK, "{later:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_whole_hall_signs_in_through_one_address() {
    let app = cup(|_| {}).await;
    let replies =
        join_all((0..150).map(|number| login(&app, if number % 3 == 0 { "ada" } else { "ben" }, PASSWORD))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == StatusCode::OK).count(), 150);
    app.stop().await;
}

#[tokio::test]
async fn every_limit_is_a_setting() {
    let app = cup(|config| {
        config.rate_limit_scores_per_minute = 5;
        config.rate_limit_commands_per_minute = 4;
        config.rate_limit_lists_per_minute = 6;
        config.rate_limit_failed_logins_per_minute = 2;
        config.rate_limit_failed_logins_per_address_per_minute = 4;
        config.socket_queue_max = 77;
    })
    .await;
    let admin = app.connect(&email("admin")).await;
    let ada = app.connect_by(&app.token(&email("ada")).await).await.expect("the token is good");
    let limits = ada.next("session:ready").await.data()["limits"].clone();
    for (name, number) in
        [("scoresPerMinute", 5), ("commandsPerMinute", 4), ("listsPerMinute", 6), ("queuedCommands", 77)]
    {
        assert_eq!(limits[name], number, "{limits}");
    }
    assert_eq!(passed(&at_once(&[&ada], "scores:submit", (0..9).map(nth)).await), 5);
    assert_eq!(passed(&at_once(&[&ada], "scores:request", (0..9).map(|_| json!("vault"))).await), 6);
    let hat = json!({"judgeId": app.user_id(&email("idle")), "hat": "JUDGE", "categoryId": "beam"});
    assert_eq!(passed(&at_once(&[&admin], "assignment:create", (0..9).map(|_| hat.clone())).await), 4);
    let mut told = Vec::new();
    for name in ["ada", "ada", "ada", "ben", "cleo", "cleo"] {
        told.push(login(&app, name, "wrong password").await.status.as_u16());
    }
    assert_eq!(told, [401, 401, 429, 401, 429, 429], "two for an account, four for the address");
    app.stop().await;
}

#[tokio::test]
async fn handshakes_without_a_token_are_limited_and_those_with_one_are_not() {
    let app = cup(|config| config.rate_limit_handshakes_per_minute = 3).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        let refused = Client::connect(app.address, json!({"token": "x"})).await.expect_err("it is no token");
        told.push(refused);
    }
    let invalid = ConnectError::Refused("Invalid token".to_owned());
    assert_eq!(told[..3], [invalid.clone(), invalid.clone(), invalid.clone()]);
    assert_eq!(told[3], ConnectError::Refused("Rate limit exceeded".to_owned()));
    for _ in 0..10 {
        app.connect(&email("ada")).await;
    }
    app.clock.advance(Duration::from_secs(20));
    assert_eq!(Client::connect(app.address, json!({"token": "x"})).await.err(), Some(invalid));
    app.stop().await;
}

#[tokio::test]
async fn a_socket_that_asks_faster_than_it_is_served_is_told_so_and_lives() {
    let app = cup(|config| {
        config.socket_queue_max = 4;
        config.rate_limit_scores_per_minute = 1_000_000;
    })
    .await;
    let (ada, ben) = (app.connect(&email("ada")).await, app.connect(&email("ben")).await);
    let answers = at_once(&[&ada], "scores:submit", (0..400).map(nth)).await;
    let overloaded: Vec<&Value> = answers.iter().filter(|answer| answer["ok"] == false).collect();
    assert!(!overloaded.is_empty(), "nothing was too much for a queue of four");
    for answer in &overloaded {
        assert_eq!(answer["error"]["code"], "OVERLOADED", "{answer}");
        assert!(wait(answer) >= 1, "{answer}");
    }
    let taken = answers.len() - overloaded.len();
    assert!(taken >= 4, "what waited was carried out: {taken}");
    assert_eq!(facts(&app).await, u64::try_from(taken).expect("a small number"), "each taken mark is one fact");
    // The connection lives, and nobody else has noticed.
    assert_eq!(ada.call("scores:submit", nth(3)).await["ok"], true);
    assert_eq!(ben.call("scores:submit", nth(4)).await["ok"], true);
    assert!(ada.is_open());
    app.stop().await;
}
