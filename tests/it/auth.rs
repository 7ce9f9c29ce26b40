//! Signing in, staying in and signing out, and what becomes of open sockets when somebody's rights change.

use crate::support::client::{Client, ConnectError};
use crate::support::people::{self, email, mark};
use crate::support::{Reply, TestApp};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

pub const PASSWORD: &str = "correct horse battery";
/// How long an access token lives.
pub const ACCESS: Duration = Duration::from_mins(15);

/// The people of the cup; those named can sign in with [`PASSWORD`].
pub async fn cup_where_sign_in(names: &[&str]) -> TestApp {
    let app = TestApp::start().await;
    let mut document = people::document();
    for user in document["users"].as_array_mut().expect("a list") {
        if names.iter().any(|name| user["email"] == email(name)) {
            user["password"] = json!(PASSWORD);
        }
    }
    app.import(document).await;
    app
}

async fn try_login(app: &TestApp, email: &str, password: &str) -> Reply {
    let body = json!({"email": email, "password": password});
    app.request(Method::POST, "/api/v1/auth/login", None, Some(body)).await
}

pub struct Session {
    pub access: String,
    pub refresh: String,
}

impl Session {
    pub fn of(reply: &Reply) -> Self {
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        let text = |field: &str| reply.body[field].as_str().expect("a token is text").to_owned();
        Self { access: text("accessToken"), refresh: text("refreshToken") }
    }

    pub async fn open(app: &TestApp, name: &str) -> Self {
        Self::of(&try_login(app, &email(name), PASSWORD).await)
    }
}

pub async fn refresh(app: &TestApp, token: &str) -> Reply {
    app.request(Method::POST, "/api/v1/auth/refresh", None, Some(json!({"refreshToken": token}))).await
}

async fn me(app: &TestApp, access: &str) -> Reply {
    app.request(Method::GET, "/api/v1/me", Some(access), None).await
}

/// The status and the code of an answer.
pub fn outcome(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), reply.body["code"].as_str().unwrap_or("ok"))
}

pub async fn greeted(app: &TestApp, access: &str) -> Client {
    let client = app.connect_by(access).await.expect("the token is good");
    client.next("session:ready").await;
    client
}

fn refused(message: &str) -> ConnectError {
    ConnectError::Refused(message.to_owned())
}

fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn signing_in_answers_with_two_tokens_and_who_one_is() {
    let app = cup_where_sign_in(&["ada"]).await;
    let reply = try_login(&app, &email("ada"), PASSWORD).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert_eq!(names(&reply.body), ["accessToken", "expiresIn", "refreshToken", "user"]);
    assert_eq!(reply.body["expiresIn"], 900);
    let user = &reply.body["user"];
    assert_eq!(names(user), ["email", "hats", "id", "name", "role"]);
    assert_eq!(
        (&user["email"], &user["role"], &user["id"]),
        (&json!(email("ada")), &json!("JUDGE"), &json!(app.user_id(&email("ada"))))
    );
    assert_eq!(
        (&user["hats"][0]["hat"], &user["hats"][0]["categoryId"], user["hats"].as_array().map(Vec::len)),
        (&json!("JUDGE"), &json!("vault"), Some(1))
    );
    let seen = me(&app, &Session::of(&reply).access).await;
    assert_eq!((seen.status, &seen.body), (StatusCode::OK, user));
    // Emails are what people type on a tablet: capitals and blanks around them do not matter.
    let typed = try_login(&app, &format!("  {} ", email("ada").to_uppercase()), PASSWORD).await;
    assert_eq!(typed.status, StatusCode::OK, "{typed:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_wrong_password_tells_no_more_than_an_unknown_email() {
    let app = cup_where_sign_in(&["ada", "ben"]).await;
    let ben = app.user_id(&email("ben"));
    let off = app.send(Method::DELETE, &format!("/api/v1/admin/users/{ben}"), &email("admin"), Value::Null).await;
    assert_eq!(off.status, StatusCode::NO_CONTENT, "{off:?}");
    let mut told = Vec::new();
    for (who, password) in [
        (email("ada"), "wrong horse battery"),
        (email("nobody"), PASSWORD),
        (email("ben"), PASSWORD),  // switched off
        (email("cleo"), PASSWORD), // has no password at all
        (email("ada"), ""),
        (email("ada"), &PASSWORD[1..]),
    ] {
        let mut reply = try_login(&app, &who, password).await;
        assert_eq!(outcome(&reply), (401, "INVALID_TOKEN"), "{who} {reply:?}");
        let correlation = reply.body.as_object_mut().and_then(|body| body.remove("correlationId"));
        assert_eq!(correlation, reply.headers["x-request-id"].to_str().ok().map(|id| json!(id)));
        told.push(reply.body);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "the answers differ: {told:#?}");
    app.stop().await;
}

#[tokio::test]
async fn a_lost_answer_to_a_refresh_is_given_again_for_30_seconds() {
    let app = cup_where_sign_in(&["ada"]).await;
    let first = Session::open(&app, "ada").await;
    app.clock.advance(Duration::from_mins(10));
    let reply = refresh(&app, &first.refresh).await;
    assert_eq!(names(&reply.body), ["accessToken", "expiresIn", "refreshToken", "user"]);
    let second = Session::of(&reply);
    assert_ne!(first.refresh, second.refresh);
    app.clock.advance(Duration::from_secs(30));
    let again = Session::of(&refresh(&app, &first.refresh).await);
    assert_eq!(again.refresh, second.refresh, "the successor is the same one");
    assert_eq!(me(&app, &again.access).await.status, StatusCode::OK);
    // The successor is as good as if the answer had never been lost, and is exchanged in its turn.
    let third = Session::of(&refresh(&app, &again.refresh).await);
    assert_ne!(third.refresh, second.refresh);
    assert_eq!(me(&app, &third.access).await.status, StatusCode::OK);
    app.stop().await;
}

#[tokio::test]
async fn a_refresh_token_used_too_late_ends_its_whole_family_and_no_other() {
    let app = cup_where_sign_in(&["ada"]).await;
    let (first, other) = (Session::open(&app, "ada").await, Session::open(&app, "ada").await);
    let second = Session::of(&refresh(&app, &first.refresh).await);
    let (stolen, apart) = (greeted(&app, &second.access).await, greeted(&app, &other.access).await);
    app.clock.advance(Duration::from_secs(30) + Duration::from_micros(1));
    assert_eq!(outcome(&refresh(&app, &first.refresh).await), (401, "SESSION_REVOKED"));
    stolen.closed().await;
    for access in [&first.access, &second.access] {
        assert_eq!(outcome(&me(&app, access).await), (401, "SESSION_REVOKED"));
        assert_eq!(app.connect_by(access).await.err(), Some(refused("Session revoked")));
    }
    for token in [&first.refresh, &second.refresh] {
        assert_eq!(outcome(&refresh(&app, token).await), (401, "SESSION_REVOKED"));
    }
    // The tablet that signed in by itself goes on.
    assert_eq!(me(&app, &other.access).await.status, StatusCode::OK);
    assert_eq!(apart.call("user:active", Value::Null).await["ok"], true);
    Session::of(&refresh(&app, &other.refresh).await);
    app.stop().await;
}

#[tokio::test]
async fn a_token_before_the_one_before_ends_the_family_at_once() {
    let app = cup_where_sign_in(&["ada"]).await;
    let first = Session::open(&app, "ada").await;
    let second = Session::of(&refresh(&app, &first.refresh).await);
    let third = Session::of(&refresh(&app, &second.refresh).await);
    assert_eq!(outcome(&refresh(&app, &first.refresh).await), (401, "SESSION_REVOKED"));
    assert_eq!(outcome(&me(&app, &third.access).await), (401, "SESSION_REVOKED"));
    app.stop().await;
}

#[tokio::test]
async fn what_is_no_refresh_token_is_refused_and_ends_nothing() {
    let app = cup_where_sign_in(&["ada"]).await;
    let session = Session::open(&app, "ada").await;
    let mut forged = session.refresh.clone();
    let last = forged.pop().expect("it is not empty");
    forged.push(if last == 'A' { 'B' } else { 'A' });
    for token in ["", "x", "....", &session.access, &forged, &"A".repeat(100_000)] {
        assert_eq!(outcome(&refresh(&app, token).await), (401, "INVALID_TOKEN"), "{token:.40}");
    }
    let missing = app.request(Method::POST, "/api/v1/auth/refresh", None, Some(json!({}))).await;
    assert_eq!(outcome(&missing), (400, "INVALID_DATA"));
    Session::of(&refresh(&app, &session.refresh).await);
    // A session nobody uses ends by itself after thirty days.
    let idle = Session::open(&app, "ada").await;
    app.clock.advance(Duration::from_hours(30 * 24));
    assert_eq!(outcome(&refresh(&app, &idle.refresh).await), (401, "TOKEN_EXPIRED"));
    app.stop().await;
}

#[tokio::test]
async fn signing_out_ends_this_session_and_its_socket_and_leaves_the_other_tablet_alone() {
    let app = cup_where_sign_in(&["ada"]).await;
    let (here, there) = (Session::open(&app, "ada").await, Session::open(&app, "ada").await);
    let (gone, stays) = (greeted(&app, &here.access).await, greeted(&app, &there.access).await);
    let out = app.request(Method::POST, "/api/v1/auth/logout", Some(&here.access), None).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT, "{out:?}");
    gone.closed().await;
    assert_eq!(outcome(&me(&app, &here.access).await), (401, "SESSION_REVOKED"));
    assert_eq!(outcome(&refresh(&app, &here.refresh).await), (401, "SESSION_REVOKED"));
    let again = app.request(Method::POST, "/api/v1/auth/logout", Some(&here.access), None).await;
    assert_eq!(outcome(&again), (401, "SESSION_REVOKED"));
    assert_eq!(app.connect_by(&here.access).await.err(), Some(refused("Session revoked")));
    assert_eq!(stays.call("user:active", Value::Null).await["ok"], true);
    assert_eq!(me(&app, &there.access).await.status, StatusCode::OK);
    app.stop().await;
}

#[tokio::test]
async fn a_token_is_good_for_15_minutes_and_no_longer() {
    let app = TestApp::with_people().await;
    let token = app.token(&email("ada")).await;
    app.clock.advance(ACCESS.checked_sub(Duration::from_secs(1)).expect("more than a second"));
    assert_eq!(me(&app, &token).await.status, StatusCode::OK);
    greeted(&app, &token).await;
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(outcome(&me(&app, &token).await), (401, "TOKEN_EXPIRED"));
    assert_eq!(app.connect_by(&token).await.err(), Some(refused("Invalid token")));
    app.stop().await;
}

fn user_body(name: &str, role: &str) -> Value {
    json!({"email": email(name), "name": name, "role": role})
}

#[tokio::test]
async fn a_demoted_admin_is_none_at_once_whatever_the_token_says() {
    let app = TestApp::with_people().await;
    let token = app.token(&email("admin")).await;
    let socket = greeted(&app, &token).await;
    let ask = async || app.request(Method::GET, "/api/v1/admin/users", Some(&token), None).await;
    assert_eq!(ask().await.status, StatusCode::OK);
    let path = format!("/api/v1/admin/users/{}", app.user_id(&email("admin")));
    let demoted = app.send(Method::PUT, &path, &email("organizer"), user_body("admin", "JUDGE")).await;
    assert_eq!(demoted.status, StatusCode::OK, "{demoted:?}");
    // The same tokens, the very next requests.
    assert_eq!(outcome(&ask().await), (403, "FORBIDDEN"));
    let post = app.request(Method::POST, "/api/v1/admin/import", Some(&token), Some(people::document())).await;
    assert_eq!(outcome(&post), (403, "FORBIDDEN"));
    assert_eq!(me(&app, &token).await.body["role"], "JUDGE");
    let changed = socket.next("session:changed").await;
    assert_eq!(changed.data()["role"], "JUDGE");
    let hat = json!({"judgeId": app.user_id(&email("idle")), "hat": "JUDGE", "categoryId": "beam"});
    let answer = socket.call("assignment:created", hat).await;
    assert_eq!(answer["error"]["code"], "FORBIDDEN", "{answer}");
    let scores = socket.call("scores:request", json!("vault")).await;
    assert_eq!((&scores["error"]["code"], &scores["error"]["message"]), (&json!("FORBIDDEN"), &json!("Access denied")));
    app.stop().await;
}

#[tokio::test]
async fn a_promoted_judge_needs_no_new_token() {
    let app = TestApp::with_people().await;
    let token = app.token(&email("idle")).await;
    let ask = async || app.request(Method::GET, "/api/v1/admin/users", Some(&token), None).await.status;
    assert_eq!(ask().await, StatusCode::FORBIDDEN);
    let path = format!("/api/v1/admin/users/{}", app.user_id(&email("idle")));
    app.send(Method::PUT, &path, &email("admin"), user_body("idle", "ORGANIZER")).await;
    assert_eq!(ask().await, StatusCode::OK);
    app.stop().await;
}

#[tokio::test]
async fn whoever_is_switched_off_or_sent_out_is_gone_from_every_socket() {
    let app = TestApp::with_people().await;
    let ben = app.connect(&email("ben")).await;
    let id = app.user_id(&email("ada"));
    let path = format!("/api/v1/admin/users/{id}");
    let body = |extra: Value| {
        let mut body = user_body("ada", "JUDGE");
        body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        body
    };
    let ways = [
        ("revoked", Method::POST, format!("{path}/revoke-sessions"), Value::Null),
        ("a new password", Method::PUT, path.clone(), body(json!({"password": "another horse battery"}))),
        ("not active", Method::PUT, path.clone(), body(json!({"active": false}))),
        ("active again", Method::PUT, path.clone(), body(json!({"active": true}))),
        ("deleted", Method::DELETE, path.clone(), Value::Null),
    ];
    for (way, method, path, body) in ways {
        if way == "active again" {
            let reply = app.send(method, &path, &email("admin"), body).await;
            assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
            continue;
        }
        let token = app.token(&email("ada")).await;
        let (one, two) = (greeted(&app, &token).await, app.connect(&email("ada")).await);
        let reply = app.send(method, &path, &email("admin"), body).await;
        assert!(reply.status.is_success(), "{way}: {reply:?}");
        assert_eq!(outcome(&me(&app, &token).await), (401, "SESSION_REVOKED"), "{way}");
        one.closed().await;
        two.closed().await;
        assert_eq!(app.connect_by(&token).await.err(), Some(refused("Session revoked")), "{way}");
    }
    assert_eq!(ben.call("user:active", Value::Null).await["ok"], true, "nobody else is thrown out");
    app.stop().await;
}

/// A session by long polling, which shows the handshake as plain HTTP: the answer to CONNECT.
async fn polled_connect(app: &TestApp, query: &str, headers: &[(&str, &str)], hello: &str) -> String {
    let base = format!("/socket.io/?EIO=4&transport=polling{query}");
    let opened = app.raw_request(Method::GET, &base, headers, "").await;
    assert_eq!(opened.status, StatusCode::OK, "{opened:?}");
    let text = opened.body.as_str().expect("a packet is text").to_owned();
    let handshake: Value = serde_json::from_str(text.trim_start_matches('0')).expect("the handshake is JSON");
    let session = format!("{base}&sid={}", handshake["sid"].as_str().expect("a session id"));
    let sent = app.raw_request(Method::POST, &session, headers, hello.to_owned()).await;
    assert_eq!(sent.status, StatusCode::OK, "{sent:?}");
    for _ in 0..3 {
        let polled = app.raw_request(Method::GET, &session, headers, "").await;
        let text = polled.body.as_str().map_or_else(|| polled.body.to_string(), str::to_owned);
        if let Some(answer) = text.split('\u{1e}').find(|packet| packet.starts_with("40") || packet.starts_with("44")) {
            return answer.to_owned();
        }
    }
    panic!("no answer to CONNECT");
}

#[tokio::test]
async fn a_socket_is_let_in_by_auth_or_bearer_and_never_by_its_address() {
    let app = TestApp::with_people().await;
    let token = app.token(&email("ada")).await;
    let bearer = format!("Bearer {token}");
    let connect = async |auth: Option<Value>, headers: &[(&str, &str)]| {
        Client::connect_with(app.address, "/", auth, headers).await.map(|_| ()).map_err(|error| error.to_string())
    };
    let missing = Err("refused: Authentication token missing".to_owned());
    let invalid = Err("refused: Invalid token".to_owned());
    assert_eq!(connect(Some(json!({"token": token})), &[]).await, Ok(()));
    assert_eq!(connect(None, &[("authorization", &bearer)]).await, Ok(()));
    assert_eq!(connect(Some(json!({})), &[("authorization", &bearer)]).await, Ok(()));
    assert_eq!(connect(Some(json!({"token": ""})), &[("authorization", &bearer)]).await, Ok(()));
    assert_eq!(connect(Some(json!({"token": "x"})), &[("authorization", &bearer)]).await, invalid, "auth goes first");
    assert_eq!(connect(None, &[("authorization", &format!("Basic {token}"))]).await, missing);
    for auth in [json!(null), json!({}), json!({"token": null}), json!({"token": ""}), json!([]), json!(7)] {
        assert_eq!(connect(Some(auth.clone()), &[]).await, missing, "{auth}");
    }
    assert_eq!(connect(None, &[]).await, missing);
    for bad in ["x", "a.b.c", &token[..token.len() - 1], &format!("{token}x"), &"A".repeat(100_000)] {
        assert_eq!(connect(Some(json!({"token": bad})), &[]).await, invalid, "{bad:.40}");
    }
    let by_query = polled_connect(&app, &format!("&token={token}&auth[token]={token}"), &[], "40").await;
    assert!(by_query.starts_with("44") && by_query.contains("Authentication token missing"), "{by_query}");
    let by_auth = polled_connect(&app, "", &[], &format!("40{}", json!({"token": token}))).await;
    assert!(by_auth.starts_with("40"), "{by_auth}");
    app.stop().await;
}

#[tokio::test]
async fn over_http_too_only_a_bearer_token_counts() {
    let app = TestApp::with_people().await;
    let token = app.token(&email("ada")).await;
    let ask = async |path: &str, headers: &[(&str, &str)]| {
        let reply = app.raw_request(Method::GET, path, headers, "").await;
        (reply.status.as_u16(), reply.body["code"].as_str().unwrap_or("ok").to_owned())
    };
    let refused = |code: &str| (401, code.to_owned());
    assert_eq!(ask("/api/v1/me", &[]).await, refused("AUTH_REQUIRED"));
    assert_eq!(ask(&format!("/api/v1/me?token={token}&access_token={token}"), &[]).await, refused("AUTH_REQUIRED"));
    assert_eq!(ask("/api/v1/me", &[("cookie", &format!("token={token}"))]).await, refused("AUTH_REQUIRED"));
    assert_eq!(ask("/api/v1/me", &[("authorization", "Bearer x")]).await, refused("INVALID_TOKEN"));
    assert_eq!(ask("/api/v1/me", &[("authorization", &format!("bearer {token}"))]).await, (200, "ok".to_owned()));
    app.stop().await;
}

const FOREIGN: [&str; 5] = [
    "https://evil.example",
    "http://localhost:3000.evil.example",
    "https://localhost:3000",
    "http://localhost:3001",
    "null",
];

#[tokio::test]
async fn a_page_of_a_foreign_origin_gets_no_socket() {
    let app = TestApp::with_people().await;
    let token = app.token(&email("ada")).await;
    for origin in FOREIGN {
        let auth = Some(json!({"token": token}));
        let upgrade = Client::connect_with(app.address, "/", auth, &[("origin", origin)]).await;
        assert_eq!(upgrade.err(), Some(ConnectError::Http(403)), "{origin}");
        for method in [Method::GET, Method::POST] {
            let path = "/socket.io/?EIO=4&transport=polling";
            let polling = app.raw_request(method, path, &[("origin", origin)], "").await;
            assert_eq!(outcome(&polling), (403, "FORBIDDEN"), "{origin}");
            assert_eq!(polling.headers["content-type"], "application/problem+json");
            assert!(!polling.headers.contains_key("access-control-allow-origin"), "{origin}");
        }
    }
    for headers in [&[("origin", "http://localhost:3000")][..], &[][..]] {
        let auth = Some(json!({"token": token}));
        let client = Client::connect_with(app.address, "/", auth, headers).await.expect("a known page may come");
        client.next("session:ready").await;
    }
    app.stop().await;
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_read_what_polling_answers() {
    let app = TestApp::with_people().await;
    let origin = "http://localhost:3000";
    let path = "/socket.io/?EIO=4&transport=polling";
    let opened = app.raw_request(Method::GET, path, &[("origin", origin)], "").await;
    assert_eq!(opened.status, StatusCode::OK, "{opened:?}");
    // Without these two a browser hands the page nothing of the answer (contract 3: CORS, credentials on).
    let told = |name: &str| opened.headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(
        (told("access-control-allow-origin"), told("access-control-allow-credentials")),
        (Some(origin), Some("true")),
        "{:?}",
        opened.headers
    );
    app.stop().await;
}

#[tokio::test]
async fn a_refused_origin_still_gets_a_request_id() {
    let app = TestApp::with_people().await;
    let path = "/socket.io/?EIO=4&transport=polling";
    let reply = app.raw_request(Method::GET, path, &[("origin", FOREIGN[0])], "").await;
    let id = reply.headers.get("x-request-id").and_then(|id| id.to_str().ok());
    assert_eq!((reply.status, id), (StatusCode::FORBIDDEN, reply.body["correlationId"].as_str()));
    app.stop().await;
}

/// The marks a client has been told of.
fn marks_seen(client: &Client) -> usize {
    client.transcript().iter().filter(|frame| frame.event == "scores:updated").count()
}

#[tokio::test]
async fn every_socket_of_a_judge_follows_a_change_of_assignment() {
    let app = TestApp::with_people().await;
    let (admin, judge) = (app.connect(&email("admin")).await, app.connect(&email("beam")).await);
    let (one, two) = (app.connect(&email("idle")).await, app.connect(&email("idle")).await);
    let on_beam = |score: f64| {
        let mut mark = mark("x", "form", score);
        mark["categoryId"] = json!("beam");
        mark
    };
    assert_eq!(judge.call("scores:submit", on_beam(1.0)).await["ok"], true);
    let hat = json!({"judgeId": app.user_id(&email("idle")), "hat": "JUDGE", "categoryId": "beam"});
    let given = admin.call("assignment:created", hat).await;
    assert_eq!(given["ok"], true, "{given}");
    for socket in [&one, &two] {
        let changed = socket.next("session:changed").await;
        assert_eq!(names(changed.data()), ["hats", "lanes", "role"]);
        assert_eq!(changed.data()["hats"][0]["categoryId"], "beam");
        let lanes: Vec<&str> = changed.data()["lanes"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|lane| lane["lane"].as_str())
            .collect();
        assert!(
            lanes.contains(&"cat:beam") && lanes.contains(&"evt:cup") && !lanes.contains(&"cat:vault"),
            "{lanes:?}"
        );
        assert_eq!(marks_seen(socket), 0, "what was marked before they came is not theirs");
    }
    assert_eq!(judge.call("scores:submit", on_beam(2.0)).await["ok"], true);
    for socket in [&one, &two] {
        let seen = socket.next("scores:updated").await;
        assert_eq!((&seen.data()["score"], &seen.data()["masked"]), (&Value::Null, &json!(true)));
        let own = socket.call("scores:submit", on_beam(3.0)).await;
        assert_eq!(own["ok"], true, "{own}");
    }
    for socket in [&one, &two] {
        socket.wait_until(|frames| frames.iter().filter(|frame| frame.event == "scores:updated").count() == 3).await;
    }
    // The hat goes again: the rooms are left, not only the rights.
    let removed = admin.call("assignment:remove", json!({"id": given["data"]["assignment"]["id"]})).await;
    assert_eq!(removed["ok"], true, "{removed}");
    for socket in [&one, &two] {
        let changed = socket.next("session:changed").await;
        assert_eq!(changed.data()["hats"], json!([]));
    }
    assert_eq!(judge.call("scores:submit", on_beam(4.0)).await["ok"], true);
    judge.wait_until(|frames| frames.iter().filter(|frame| frame.event == "scores:updated").count() == 5).await;
    for socket in [&one, &two] {
        // The answer comes after whatever was sent before it.
        let refused = socket.call("scores:submit", on_beam(5.0)).await;
        assert_eq!(refused["error"]["code"], "NOT_ASSIGNED", "{refused}");
        assert_eq!(marks_seen(socket), 3, "{socket:?}");
        assert_eq!(socket.call("scores:request", json!("beam")).await["error"]["message"], "Access denied");
    }
    app.stop().await;
}
