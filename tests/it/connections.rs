//! Nobody stays who should go: stalled, silent, revoked, too slow or too many; and how everybody goes when the server ends.

use crate::support::client::{Client, ConnectError};
use crate::support::people::{self, email, mark};
use crate::support::process::ServerProcess;
use crate::support::wire::{FLOOD_FRAMES, LIMIT, Wire, places};
use crate::support::{Reply, TestApp};
use clap::{Args, FromArgMatches};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use scorecast::config::Config;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite;

/// The contract's bound on how long a server may take to end.
const STOP_MAX: Duration = Duration::from_secs(10);

/// The value of a metric, by its line without the number; nothing was counted yet where there is no such line.
pub fn metric(app: &TestApp, line: &str) -> u64 {
    let text = app.app.metrics.encode().expect("metrics are text");
    text.lines().find_map(|text| text.strip_prefix(line)?.trim().parse().ok()).unwrap_or(0)
}

pub async fn until(what: &str, reached: impl AsyncFn() -> bool) {
    let polled = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, polled).await.unwrap_or_else(|_| panic!("{what} never happened"));
}

pub async fn until_metric(app: &TestApp, line: &str, wanted: u64) {
    until(&format!("{line} {wanted}"), async || metric(app, line) == wanted).await;
}

pub fn nobody_is_left_in_a_room(app: &TestApp) -> bool {
    let text = app.app.metrics.encode().expect("metrics are text");
    text.lines().filter(|line| line.starts_with("scorecast_room_members{")).all(|line| line.ends_with(" 0"))
}

pub const OPEN: &str = "scorecast_connections_open";
const ACTIVE: &str = "scorecast_socket_connections_active{plane=\"scoring\"}";
const REFUSED: &str = "scorecast_socket_events_total{direction=\"in\",event=\"unknown\",outcome=\"refused\"}";
const CLOSED: &str = "scorecast_slow_consumers_total{action=\"closed\",plane=\"scoring\"}";

pub fn cut(reason: &str) -> String {
    format!("scorecast_connections_cut_total{{reason=\"{reason}\"}}")
}

pub fn refused(reason: &str) -> String {
    format!("scorecast_connections_refused_total{{reason=\"{reason}\"}}")
}

async fn cup(change: impl FnOnce(&mut Config)) -> TestApp {
    let app = TestApp::start_with(|config| {
        config.rate_limit_scores_per_minute = 1_000_000;
        config.rate_limit_commands_per_minute = 1_000_000;
        change(config);
    })
    .await;
    app.import(people::document()).await;
    app
}

#[tokio::test]
async fn a_client_that_never_reads_is_gone_and_so_is_everything_of_it() {
    let app = cup(|config| config.write_timeout_ms = 300).await;
    let token = app.token(&email("ada")).await;
    let mut stalled = Wire::signed_in(app.address, &token).await;
    until_metric(&app, ACTIVE, 1).await;
    assert!(!nobody_is_left_in_a_room(&app));
    stalled.stall().await;
    until_metric(&app, &cut("stalled"), 1).await;
    until_metric(&app, ACTIVE, 0).await;
    until_metric(&app, OPEN, 0).await;
    assert!(nobody_is_left_in_a_room(&app));
    app.stop().await;
}

#[tokio::test]
async fn who_says_nothing_or_half_of_it_is_sent_away_and_a_quiet_socket_is_not() {
    let app = cup(|config| config.header_timeout_ms = 200).await;
    let ada = app.connect(&email("ada")).await;
    for beginning in ["", "G", "GET /healthz HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = TcpStream::connect(app.address).await.expect("the server listens");
        stream.write_all(beginning.as_bytes()).await.expect("it is open");
        let mut said = Vec::new();
        let ended = tokio::time::timeout(LIMIT, stream.read_to_end(&mut said)).await;
        assert!(ended.is_ok(), "{beginning:?} is kept open");
    }
    assert_eq!(ada.call("user:active", Value::Null).await["ok"], true, "a websocket is no request");
    app.stop().await;
}

pub async fn revoke(app: &TestApp, name: &str) {
    let path = format!("/api/v1/admin/users/{}/revoke-sessions", app.user_id(&email(name)));
    let reply = app.post(&path, &email("admin"), Value::Null).await;
    assert!(reply.status.is_success(), "{reply:?}");
}

#[tokio::test]
async fn a_revoked_socket_is_told_so_and_its_connection_ends_whatever_the_client_does() {
    let app = cup(|config| config.write_timeout_ms = 600_000).await;
    let ben = app.connect(&email("ben")).await;
    let token = app.token(&email("ada")).await;
    let mut ignores_it = Wire::signed_in(app.address, &token).await;
    let mut reads_nothing = Wire::signed_in(app.address, &token).await;
    reads_nothing.stall().await;
    until_metric(&app, ACTIVE, 3).await;
    // Who still talks in a namespace it was sent out of is cut by the library itself.
    until_metric(&app, REFUSED, FLOOD_FRAMES as u64).await;
    revoke(&app, "ada").await;
    let came = ignores_it.to_the_end().await;
    assert!(came.iter().any(|text| text == "41"), "it is told before it is cut: {came:?}");
    until_metric(&app, &cut("told"), 2).await;
    until_metric(&app, ACTIVE, 1).await;
    assert_eq!(ben.call("user:active", Value::Null).await["ok"], true, "nobody else is cut");
    app.stop().await;
}

/// A session by long polling: the path of its requests.
pub async fn poll_session(app: &TestApp) -> String {
    let path = "/socket.io/?EIO=4&transport=polling";
    let opened = app.raw_request(Method::GET, path, &[], "").await;
    assert_eq!(opened.status, StatusCode::OK, "{opened:?}");
    let text = opened.body.as_str().expect("a packet is text").to_owned();
    let handshake: Value = serde_json::from_str(text.trim_start_matches('0')).expect("the handshake is JSON");
    format!("&sid={}", handshake["sid"].as_str().expect("a session id"))
}

/// Writes a request for a websocket, and reads the head of the answer.
async fn ask_for_websocket(app: &TestApp, stream: &mut TcpStream, session: &str, headers: &str) -> String {
    let path = format!("/socket.io/?EIO=4&transport=websocket{session}");
    let asked = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", app.address);
    stream.write_all(asked.as_bytes()).await.expect("it is open");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("the whole head comes"));
    }
    String::from_utf8(head).expect("a head is text")
}

/// The answer that makes a websocket waits for what the server says next; of a session that goes on it says nothing before
/// its client has, whatever was refused over the connection before.
#[tokio::test]
async fn who_goes_on_over_a_websocket_is_answered_before_it_has_said_anything() {
    const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let app = cup(|_| {}).await;
    let session = poll_session(&app).await;
    let mut stream = TcpStream::connect(app.address).await.expect("the server listens");
    let refused = ask_for_websocket(&app, &mut stream, "", "").await;
    assert!(refused.starts_with("HTTP/1.1 400 "), "it is no request for a websocket: {refused}");
    let length = refused.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    stream.read_exact(&mut vec![0; length.expect("a length")]).await.expect("the rest of it");
    let answer = ask_for_websocket(&app, &mut stream, &session, UPGRADE).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    app.stop().await;
}

async fn poll(app: &TestApp, session: &str) -> Reply {
    app.raw_request(Method::GET, &format!("/socket.io/?EIO=4&transport=polling{session}"), &[], "").await
}

pub async fn post(app: &TestApp, session: &str, packet: String) -> Reply {
    app.raw_request(Method::POST, &format!("/socket.io/?EIO=4&transport=polling{session}"), &[], packet).await
}

/// Polls until a packet that begins so, or until the session is refused.
pub async fn poll_until(app: &TestApp, session: &str, begin: &str) -> bool {
    loop {
        let polled = tokio::time::timeout(LIMIT, poll(app, session)).await.expect("a poll is answered");
        if polled.status != StatusCode::OK {
            return false;
        }
        let text = polled.body.as_str().map_or_else(|| polled.body.to_string(), str::to_owned);
        if text.split('\u{1e}').any(|packet| packet.starts_with(begin)) {
            return true;
        }
        if text.contains('2') {
            post(app, session, "3".to_owned()).await;
        }
    }
}

/// The websocket a session by long polling goes on as.
pub async fn upgrade(app: &TestApp, session: &str) -> Wire {
    let mut wire = Wire::open_at(app.address, session).await.expect("the session is known");
    wire.say("2probe").await;
    wire.until("3probe").await;
    wire.say("5").await;
    wire
}

#[tokio::test]
async fn a_revoked_session_cannot_go_on_polling_nor_as_the_websocket_it_became() {
    let app = cup(|_| {}).await;
    let token = app.token(&email("ada")).await;
    let hello = format!("40{}", json!({ "token": token }));
    let (polls, upgraded) = (poll_session(&app).await, poll_session(&app).await);
    for session in [&polls, &upgraded] {
        assert_eq!(post(&app, session, hello.clone()).await.status, StatusCode::OK);
        assert!(poll_until(&app, session, "42[\"session:ready\"").await);
    }
    let mut websocket = upgrade(&app, &upgraded).await;
    websocket.say("42[\"user:active\"]").await;
    until_metric(&app, ACTIVE, 2).await;
    revoke(&app, "ada").await;
    assert!(poll_until(&app, &polls, "41").await, "it is told");
    let ended = async || !poll_until(&app, &polls, "no such packet").await;
    until("the end of the session", ended).await;
    let came = websocket.to_the_end().await;
    assert!(came.iter().any(|text| text == "41"), "{came:?}");
    until_metric(&app, ACTIVE, 0).await;
    app.stop().await;
}

/// Announcements to everybody, of the largest size there is.
async fn announce(app: &TestApp, count: usize) {
    let token = app.token(&email("organizer")).await;
    let message = json!({"message": "🏅".repeat(2_000), "type": "info"});
    for _ in 0..count {
        let reply = app.request(Method::POST, "/api/v1/announcements", Some(&token), Some(message.clone())).await;
        assert!(reply.status.is_success(), "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_keep_up_is_cut_off_at_the_first_loss_and_the_others_are_not_delayed() {
    who_cannot_keep_up(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_no_other_where_each_message_is_a_call_of_its_own() {
    who_cannot_keep_up(false).await;
}

async fn who_cannot_keep_up(io_uring: bool) {
    let app = cup(|config| {
        config.io_uring = io_uring;
        config.write_timeout_ms = 600_000;
        config.socket_buffer_max = 100;
    })
    .await;
    let ben = app.connect(&email("ben")).await;
    let mut slow = Wire::signed_in(app.address, &app.token(&email("ada")).await).await;
    until_metric(&app, ACTIVE, 2).await;
    announce(&app, 10).await;
    let mut came = Vec::new();
    for _ in 0..10 {
        came.push(slow.until("42[\"system:announcement\"").await);
    }
    // Until the machine keeps no more for it and its buffer is full; then some that it must not see.
    until("the cut", async || {
        announce(&app, 20).await;
        metric(&app, CLOSED) > 0
    })
    .await;
    announce(&app, 10).await;
    let sent = app.app.state().lanes.iter().find(|(lane, _)| lane.to_string() == "sys").expect("a lane").1.seq;
    let heard = || ben.transcript().last().and_then(|frame| frame.meta()?["seq"].as_i64());
    until("everything at the other", async || heard() == Some(sent)).await;
    came.extend(slow.to_the_end().await);
    let places = places(&came, "sys");
    let (first, last) = (places[0], places[places.len() - 1]);
    assert_eq!(places, (first..=last).collect::<Vec<_>>(), "nothing came after what was lost");
    assert!(last < sent, "something was lost");
    assert_eq!(metric(&app, CLOSED), 1, "nobody else was cut");
    until_metric(&app, ACTIVE, 1).await;
    assert!(ben.is_open());
    app.stop().await;
}

/// Where buffers are read from while they overflow, what is told apart is hard: nobody may stay with a gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_stays_who_has_missed_a_fact_however_fast_they_read() {
    let app = cup(|config| config.socket_buffer_max = 32).await;
    let token = app.token(&email("tally")).await;
    let judge = app.token(&email("ada")).await;
    let mut readers = Vec::new();
    for _ in 0..12 {
        let client = app.connect_by(&token).await.expect("the token is good");
        client.next("session:ready").await;
        readers.push(client);
    }
    let vault =
        async || app.app.state().lanes.iter().find(|(lane, _)| lane.to_string() == "cat:vault").map(|lane| lane.1.seq);
    let first = vault().await.unwrap_or(0);
    for round in 0..30 {
        let items: Vec<Value> = (0..100)
            .map(|number| {
                let score = f64::from((round + number) % 40) / 4.0;
                mark(["x", "y", "z"][usize::try_from(number % 3).expect("small")], "form", score)
            })
            .collect();
        let body = json!({ "items": items });
        let reply = app.request(Method::POST, "/api/v1/categories/vault/scores/batch", Some(&judge), Some(body)).await;
        assert!(reply.status.is_success(), "{reply:?}");
    }
    let last = vault().await.expect("there are facts");
    assert!(last > first + 100, "{first} {last}");
    let mut whole = 0;
    for client in &readers {
        let seen = || -> Vec<i64> {
            let frames = client.transcript();
            let meta = frames.iter().filter_map(|frame| frame.meta().or_else(|| frame.args.first()));
            meta.filter(|meta| meta["lane"] == "cat:vault").filter_map(|meta| meta["seq"].as_i64()).collect()
        };
        until("all of it, or the end", async || !client.is_open() || seen().last() == Some(&last)).await;
        let seen = seen();
        let until = first + i64::try_from(seen.len()).expect("a small number");
        assert_eq!(seen, (first + 1..=until).collect::<Vec<_>>(), "no gap, up to the end");
        whole += usize::from(client.is_open());
    }
    println!("{whole} of {} kept up", readers.len());
    app.stop().await;
}

/// Whether a new connection is served.
async fn is_served(app: &TestApp) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(app.address).await.ok()?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.ok()?;
    let mut first = [0];
    let read = tokio::time::timeout(LIMIT, stream.read(&mut first)).await.expect("an answer, or the end");
    (read.ok()? > 0).then_some(stream)
}

/// Settings that take this machine for a proxy.
fn behind_a_proxy(config: &mut Config) {
    let command = Config::augment_args(clap::Command::new("it")).mut_args(|argument| argument.env(None::<&str>));
    let matches = command.get_matches_from(["it", "--trusted-proxies", "127.0.0.1"]);
    config.trusted_proxies = Config::from_arg_matches(&matches).expect("a good setting").trusted_proxies;
}

#[tokio::test]
async fn connections_are_bounded_in_all_and_by_address() {
    for (reason, all, by_address) in [("all", 3, 100), ("address", 100, 3)] {
        let app = TestApp::start_with(|config| {
            config.connections_max = all;
            config.connections_per_address_max = by_address;
        })
        .await;
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(is_served(&app).await.expect("there is room"));
        }
        assert!(is_served(&app).await.is_none(), "{reason}");
        assert_eq!((metric(&app, &refused(reason)), metric(&app, OPEN)), (1, 3));
        open.pop();
        until_metric(&app, OPEN, 2).await;
        assert!(is_served(&app).await.is_some(), "who leaves makes room");
        app.stop().await;
    }
    let app = TestApp::start_with(|config| {
        config.connections_per_address_max = 3;
        behind_a_proxy(config);
    })
    .await;
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(is_served(&app).await.expect("everybody comes through the proxy"));
    }
    app.stop().await;
}

#[tokio::test]
async fn guests_are_few_and_leave_soon() {
    let app = cup(|config| config.unauthenticated_max = 3).await;
    let token = app.token(&email("ada")).await;
    let mut signs_in = Wire::open(app.address).await.expect("there is room");
    let mut stays_mute = Wire::open(app.address).await.expect("there is room");
    poll_session(&app).await;
    let full = Wire::open(app.address).await.expect_err("three are there");
    assert!(matches!(&full, tungstenite::Error::Http(answer) if answer.status() == 503), "{full}");
    let polled = poll(&app, "").await;
    assert_eq!((polled.status, &polled.body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("OVERLOADED")));
    assert_eq!(metric(&app, &refused("unauthenticated")), 2);
    // Who signs in makes room, and stays.
    signs_in.sign_in(&token).await;
    let next = Wire::open(app.address).await.expect("there is room again");
    // Who does not is sent away, over either transport.
    stays_mute.to_the_end().await;
    drop(next);
    let room_for_all = async || {
        let opened = join_all((0..3).map(|_| Wire::open(app.address))).await;
        opened.iter().all(Result::is_ok)
    };
    until("room for three at once", room_for_all).await;
    signs_in.say("420[\"user:active\"]").await;
    signs_in.until("430").await;
    app.stop().await;
}

#[tokio::test]
async fn a_user_has_so_many_sockets_and_no_more() {
    let app = cup(|config| config.sockets_per_user_max = 3).await;
    let token = app.token(&email("ada")).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(app.connect_by(&token).await.expect("there is room"));
    }
    let too_many = ConnectError::Refused("Too many connections".to_owned());
    for _ in 0..2 {
        assert_eq!(app.connect_by(&token).await.err(), Some(too_many.clone()));
    }
    assert_eq!(metric(&app, &refused("user")), 2);
    assert_eq!(open[0].call("user:active", Value::Null).await["ok"], true, "those there stay");
    app.connect(&email("ben")).await;
    open.pop().expect("three are there").close().await;
    until("room for one", async || app.connect_by(&token).await.is_ok()).await;
    app.stop().await;
}

const HALL: usize = 20;

fn judge(number: usize) -> String {
    format!("judge{number}@drain.example")
}

/// A judge for each healthy client, and somebody who wears no hat for those that stall.
fn document() -> Value {
    let judges =
        (0..HALL).map(|number| json!({"email": judge(number), "name": format!("Judge {number}"), "role": "JUDGE"}));
    let users: Vec<Value> =
        judges.chain([json!({"email": "idle@drain.example", "name": "Idle", "role": "EMCEE"})]).collect();
    let hats: Vec<Value> = (0..HALL).map(|number| json!({"email": judge(number), "hat": "JUDGE"})).collect();
    json!({
        "event": {"id": "drain", "mainTitle": "Drain", "status": "running"}, "users": users,
        "contestants": [{"id": "c", "name": "Gymnast"}],
        "contests": [{"id": "all", "name": "All", "categories": [{"id": "vault", "name": "Vault",
            "rules": {"method": "mean"}, "criteria": [{"id": "form", "name": "Form", "min": 0, "max": 10, "step": 0.25}],
            "entries": [{"contestantId": "c"}], "assignments": hats}]}],
    })
}

/// Submits until the server has gone; the version of the last mark that was acknowledged.
async fn submit_to_the_end(client: Client, first: mpsc::Sender<()>) -> (Client, i64) {
    let (mut version, mut number) = (0, 0);
    loop {
        number += 1;
        let score = f64::from(number % 40) / 4.0;
        let mark = json!({"categoryId": "vault", "contestantId": "c", "criterionId": "form", "score": score});
        let Some(answer) = client.call_later("scores:submit", mark).await else { return (client, version) };
        if answer["ok"] == true {
            if version == 0 {
                first.send(()).await.expect("the test waits");
            }
            version = answer["data"]["score"]["version"].as_i64().expect("a version");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_end_does_so_in_time_and_keeps_what_it_has_acknowledged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let setup = ServerProcess::settings(folder.path());
    setup.import(&document());
    let idle = setup.token("idle@drain.example");
    let tokens: Vec<String> = (0..HALL).map(|number| setup.token(&judge(number))).collect();
    let server = setup.start();
    let address = server.address;
    let mut stalled = join_all((0..HALL).map(|_| Wire::signed_in(address, &idle))).await;
    join_all(stalled.iter_mut().map(Wire::stall)).await;
    let healthy = join_all(tokens.iter().map(|token| Client::connect(address, json!({ "token": token })))).await;
    let (first, mut answered) = mpsc::channel(HALL);
    let mut working = JoinSet::new();
    for (number, client) in healthy.into_iter().enumerate() {
        let submitting = submit_to_the_end(client.expect("the token is good"), first.clone());
        working.spawn(async move { (number, submitting.await) });
    }
    for _ in 0..HALL {
        answered.recv().await.expect("everybody has an answer");
    }
    let told = Instant::now();
    tokio::task::spawn_blocking(|| server.stop()).await.expect("it ends well");
    let took = told.elapsed();
    assert!(took < STOP_MAX, "it took {took:?}");
    println!("stopped in {took:?}");
    let mut versions = BTreeMap::new();
    for (number, (client, version)) in working.join_all().await {
        assert!(!client.raw_text().lines().any(|line| line == "41"), "who is told to leave does not come back");
        versions.insert(number, version);
    }
    drop(stalled);
    let server = setup.start();
    for (number, version) in versions {
        let client =
            Client::connect(server.address, json!({ "token": tokens[number] })).await.expect("it serves again");
        let scores = client.call("scores:request", json!("vault")).await["data"]["scores"].take();
        let own = scores.as_array().expect("a list").iter().find(|view| view["masked"] == false).cloned();
        let kept = own.expect("the mark is there")["version"].as_i64().expect("a version");
        assert!(kept >= version, "judge {number}: {version} was acknowledged, {kept} is there");
    }
    server.stop();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn there_is_room_for_every_connection_from_the_start_as_far_as_the_system_allows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let setup = ServerProcess::settings(folder.path());
    setup.import(&document());
    let token = setup.token("idle@drain.example");
    // Connections, open files the system allows at first and if it is asked; what is allowed then, and what there is room for.
    for (connections, files, most, allowed, room) in [
        (500, 256, 4_000, 500 + 1_024, 2_048),
        (500, 3_000, 4_000, 3_000, 2_048),
        (500, 256, 900, 900, 1_024),
        (1_000_000, 256, 900, 900, 1_024),
    ] {
        let mut command = setup.command_within(files, most);
        let server = setup.start_as(command.env("CONNECTIONS_MAX", connections.to_string()));
        let told = |name: &str, of: &str| {
            let text = std::fs::read_to_string(format!("/proc/{}/{of}", server.id())).expect("the system tells");
            let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned)).expect("it is there");
            line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).expect("a number")
        };
        let found = (told("Max open files", "limits"), told("FDSize:", "status"));
        assert_eq!(found, (allowed, room), "{connections} connections, {files} files of {most}");
        Client::connect(server.address, json!({ "token": token })).await.expect("it serves").close().await;
        server.stop();
    }
}
