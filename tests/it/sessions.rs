//! Where somebody is signed in, and that nobody stays who should go: sessions that are ended, tokens that run out, hats
//! that are taken away, on every socket and before the next fact.

use crate::auth::{ACCESS, PASSWORD, Session, cup_where_sign_in, greeted, outcome, refresh};
use crate::support::client::{Client, Frame};
use crate::support::people::{email, mark};
use crate::support::{Reply, START, TestApp};
use reqwest::{Method, StatusCode};
use scorecast::auth::actor::Actor;
use scorecast::auth::sessions::RevokeSession;
use scorecast::command::parse;
use scorecast::ids::{AssignmentId, SessionId, UserId};
use scorecast::scores::SubmitScore;
use scorecast::setup::assignments::RemoveAssignment;
use serde_json::{Value, json};
use std::time::Duration;

/// How long before its end a socket is warned.
const WARNING: Duration = Duration::from_mins(1);

async fn sessions(app: &TestApp, token: &str) -> Vec<Value> {
    let reply = app.request(Method::GET, "/api/v1/me/sessions", Some(token), None).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    reply.body["items"].as_array().expect("a list").clone()
}

/// The id of the session a token is of.
async fn session_of(app: &TestApp, token: &str) -> String {
    let all = sessions(app, token).await;
    let current: Vec<&Value> = all.iter().filter(|session| session["current"] == true).collect();
    assert_eq!(current.len(), 1, "{all:?}");
    current[0]["id"].as_str().expect("an id").to_owned()
}

async fn end(app: &TestApp, token: &str, path: &str) -> Reply {
    app.request(Method::DELETE, path, Some(token), None).await
}

async fn lives(client: &Client) -> bool {
    client.call("user:active", Value::Null).await["ok"] == true
}

#[tokio::test]
async fn everybody_sees_where_they_are_signed_in_and_nobody_elses() {
    let app = cup_where_sign_in(&["ada"]).await;
    let login = json!({"email": email("ada"), "password": PASSWORD}).to_string();
    let headers = [("content-type", "application/json"), ("user-agent", "Tablet 7")];
    let signed_in = app.raw_request(Method::POST, "/api/v1/auth/login", &headers, login).await;
    let tablet = signed_in.body["accessToken"].as_str().expect("a token").to_owned();
    app.clock.advance(Duration::from_mins(1));
    let desk = app.token(&email("ada")).await;
    app.token(&email("ben")).await;

    let seen = sessions(&app, &tablet).await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    let first = &seen[1];
    assert_eq!(
        (&first["current"], &first["userAgent"], &first["createdAt"], &first["expiresAt"], first.get("lastUsedAt")),
        (&json!(true), &json!("Tablet 7"), &json!(START), &json!(START.plus_seconds(30 * 24 * 3600)), None)
    );
    assert_eq!((&seen[0]["current"], &seen[0]["createdAt"]), (&json!(false), &json!(START.plus_seconds(60))));

    // Used again, it says so.
    Session::of(&refresh(&app, &Session::of(&signed_in).refresh).await);
    let seen = sessions(&app, &desk).await;
    assert_eq!((&seen[1]["lastUsedAt"], &seen[1]["current"]), (&json!(START.plus_seconds(60)), &json!(false)));

    // One that has ended is not among them.
    let out = app.request(Method::POST, "/api/v1/auth/logout", Some(&tablet), None).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert_eq!(sessions(&app, &desk).await.len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn a_lost_tablet_is_signed_out_from_another_and_its_sockets_go() {
    let app = TestApp::with_people().await;
    let (lost, here) = (app.token(&email("ada")).await, app.token(&email("ada")).await);
    let (one, two) = (greeted(&app, &lost).await, greeted(&app, &lost).await);
    let (stays, ben) = (greeted(&app, &here).await, app.connect(&email("ben")).await);
    let id = session_of(&app, &lost).await;
    let path = format!("/api/v1/me/sessions/{id}");
    assert_eq!(end(&app, &here, &path).await.status, StatusCode::NO_CONTENT);
    one.closed().await;
    two.closed().await;
    assert!(lives(&stays).await && lives(&ben).await, "nobody else is thrown out");
    let me = app.request(Method::GET, "/api/v1/me", Some(&lost), None).await;
    assert_eq!(outcome(&me), (401, "SESSION_REVOKED"));
    assert_eq!(outcome(&end(&app, &here, &path).await), (404, "NOT_FOUND"), "what has ended is not there any more");
    // One's own ends like any other.
    let own = format!("/api/v1/me/sessions/{}", session_of(&app, &here).await);
    assert_eq!(end(&app, &here, &own).await.status, StatusCode::NO_CONTENT);
    stays.closed().await;
    app.stop().await;
}

#[tokio::test]
async fn a_foreign_session_is_not_there_and_goes_on() {
    let app = TestApp::with_people().await;
    let (ada, ben, admin) =
        (app.token(&email("ada")).await, app.token(&email("ben")).await, app.token(&email("admin")).await);
    let socket = greeted(&app, &ben).await;
    let of_ben = session_of(&app, &ben).await;
    for id in [&of_ben, "nobodys"] {
        let path = format!("/api/v1/me/sessions/{id}");
        assert_eq!(outcome(&end(&app, &ada, &path).await), (404, "NOT_FOUND"), "{id}");
        // Who runs the installation names the user, too; by way of one's own sessions they reach no other's.
        assert_eq!(outcome(&end(&app, &admin, &path).await), (404, "NOT_FOUND"), "{id}");
    }
    let as_adas = format!("/api/v1/admin/users/{}/sessions/{of_ben}", app.user_id(&email("ada")));
    assert_eq!(outcome(&end(&app, &admin, &as_adas).await), (404, "NOT_FOUND"));
    assert!(lives(&socket).await);
    app.stop().await;
}

#[tokio::test]
async fn organisers_see_and_end_the_sessions_of_anybody_and_nobody_else_does() {
    let app = TestApp::with_people().await;
    let (lost, other) = (app.token(&email("ada")).await, app.token(&email("ada")).await);
    let (gone, stays) = (greeted(&app, &lost).await, greeted(&app, &other).await);
    let list = format!("/api/v1/admin/users/{}/sessions", app.user_id(&email("ada")));
    let one = format!("{list}/{}", session_of(&app, &lost).await);
    for name in ["ada", "ben", "tally", "auditor", "board", "emcee", "gymnast"] {
        assert_eq!(outcome(&app.get(&list, &email(name)).await), (403, "FORBIDDEN"), "{name}");
        let refused = app.send(Method::DELETE, &one, &email(name), Value::Null).await;
        assert_eq!(outcome(&refused), (403, "FORBIDDEN"), "{name}");
    }
    for name in ["admin", "organizer"] {
        let seen = app.get(&list, &email(name)).await;
        let items = seen.body["items"].as_array().expect("a list");
        assert!(items.len() >= 2 && items.iter().all(|session| session["current"] == false), "{name}: {seen:?}");
    }
    let ended = app.send(Method::DELETE, &one, &email("organizer"), Value::Null).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT, "{ended:?}");
    gone.closed().await;
    assert!(lives(&stays).await);
    let nobody = app.get("/api/v1/admin/users/nobody/sessions", &email("admin")).await;
    assert_eq!(outcome(&nobody), (404, "NOT_FOUND"));
    app.stop().await;
}

/// When a token issued at the start of the test ends.
fn end_of_first() -> Value {
    json!(START.plus_seconds(15 * 60))
}

fn before_the_end(by: Duration) -> Duration {
    ACCESS.checked_sub(by).expect("less than a token lives")
}

fn count(client: &Client, event: &str) -> usize {
    client.transcript().iter().filter(|frame| frame.event == event).count()
}

#[tokio::test]
async fn a_socket_is_warned_a_minute_before_its_token_ends_and_not_before() {
    let app = TestApp::with_people().await;
    let early = app.connect(&email("ada")).await;
    app.clock.advance(Duration::from_secs(1));
    let late = app.connect(&email("ada")).await;
    app.clock.advance(before_the_end(WARNING + Duration::from_secs(1)));
    let warning = early.next("session:expiring").await;
    assert_eq!(warning.args, [json!({"exp": end_of_first()})], "what is no fact has no meta");
    // The look that found the early one has seen the late one too.
    assert!(lives(&late).await);
    assert_eq!(count(&late, "session:expiring"), 0);
    app.clock.advance(Duration::from_secs(1));
    late.next("session:expiring").await;
    assert!(lives(&early).await);
    assert_eq!(count(&early, "session:expiring"), 1, "once is enough");
    app.stop().await;
}

#[tokio::test]
async fn who_comes_with_a_token_about_to_end_is_warned_after_the_greeting() {
    let app = TestApp::with_people().await;
    let token = app.token(&email("ada")).await;
    app.clock.advance(before_the_end(Duration::from_secs(5)));
    let ada = app.connect_by(&token).await.expect("the token is good");
    assert_eq!(ada.next("session:expiring").await.data()["exp"], end_of_first());
    let first: Vec<String> = ada.transcript().into_iter().map(|frame: Frame| frame.event).take(2).collect();
    assert_eq!(first, ["session:ready", "session:expiring"]);
    app.stop().await;
}

#[tokio::test]
async fn when_a_token_ends_its_sockets_are_cut_and_get_nothing_more() {
    let app = TestApp::with_people().await;
    let token = app.token(&email("ada")).await;
    let (one, two) = (greeted(&app, &token).await, greeted(&app, &token).await);
    app.clock.advance(Duration::from_mins(10));
    let (ben, later) = (app.connect(&email("ben")).await, app.connect(&email("ada")).await);
    app.clock.advance(Duration::from_mins(5));
    // At once, before anybody had time to look at the clock.
    let asked = one.call_later("scores:submit", mark("y", "form", 3.0));
    assert_eq!(ben.call("scores:submit", mark("x", "form", 9.0)).await["ok"], true);
    if let Some(answer) = asked.await {
        assert_eq!(answer["error"]["code"], "TOKEN_EXPIRED", "{answer}");
    }
    for cut in [&one, &two] {
        cut.closed().await;
        assert_eq!(count(cut, "scores:updated"), 0, "{cut:?}");
    }
    let seen = later.next("scores:updated").await;
    assert_eq!(seen.data()["judgeId"], app.user_id(&email("ben")), "the socket with a later token goes on");
    assert_eq!(count(&later, "scores:updated"), 1, "nothing of who was refused");
    app.stop().await;
}

#[tokio::test]
async fn a_new_token_of_the_same_session_lets_a_socket_stay() {
    let app = cup_where_sign_in(&["ada"]).await;
    let first = Session::open(&app, "ada").await;
    let ada = greeted(&app, &first.access).await;
    app.clock.advance(before_the_end(WARNING));
    ada.next("session:expiring").await;
    let second = Session::of(&refresh(&app, &first.refresh).await);
    let answer = ada.call("auth:refresh", json!({"token": second.access})).await;
    let exp = json!(START.plus_seconds(29 * 60));
    assert_eq!(answer, json!({"ok": true, "data": {"exp": exp}}));
    app.clock.advance(before_the_end(WARNING));
    assert_eq!(ada.next("session:expiring").await.data()["exp"], exp, "past the end of the first, it is warned anew");
    assert!(lives(&ada).await);
    app.clock.advance(WARNING);
    ada.closed().await;
    app.stop().await;
}

#[tokio::test]
async fn a_token_that_is_not_good_leaves_a_socket_as_it_was() {
    let app = TestApp::with_people().await;
    let (stale, ended) = (app.token(&email("ada")).await, app.token(&email("ada")).await);
    let out = app.request(Method::POST, "/api/v1/auth/logout", Some(&ended), None).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    app.clock.advance(ACCESS);
    let of_ben = app.token(&email("ben")).await;
    let ada = app.connect(&email("ada")).await;
    for (what, token) in [("ben's", &of_ben), ("an old one", &stale), ("an ended one", &ended), ("none", &"x".into())] {
        let answer = ada.call("auth:refresh", json!({ "token": token })).await;
        assert_eq!(answer["error"]["code"], "INVALID_TOKEN", "{what}: {answer}");
    }
    for nothing in [Value::Null, json!({}), json!({"token": 7}), json!([of_ben])] {
        assert_eq!(ada.call("auth:refresh", nothing).await["error"]["code"], "INVALID_DATA");
    }
    let given = ada.call("scores:submit", mark("x", "form", 5.0)).await;
    assert_eq!(given["data"]["score"]["judgeId"], app.user_id(&email("ada")), "still who they were: {given}");
    app.clock.advance(ACCESS);
    ada.closed().await;
    app.stop().await;
}

#[tokio::test]
async fn a_token_of_another_session_takes_the_socket_along() {
    let app = TestApp::with_people().await;
    let (old, new) = (app.token(&email("ada")).await, app.token(&email("ada")).await);
    let moved = greeted(&app, &old).await;
    let left = greeted(&app, &old).await;
    let answer = moved.call("auth:refresh", json!({ "token": new })).await;
    assert_eq!(answer["ok"], true, "{answer}");
    let path = async |token: &str| format!("/api/v1/me/sessions/{}", session_of(&app, token).await);
    let of_old = path(&old).await;
    assert_eq!(end(&app, &new, &of_old).await.status, StatusCode::NO_CONTENT);
    left.closed().await;
    assert_eq!(moved.call("scores:submit", mark("x", "form", 5.0)).await["ok"], true, "by the session it is of now");
    let of_new = path(&new).await;
    assert_eq!(end(&app, &new, &of_new).await.status, StatusCode::NO_CONTENT);
    moved.closed().await;
    app.stop().await;
}

/// A change and, in the same breath and after it in the log, ten marks of ben's.
async fn followed_by_marks(app: &TestApp, change: impl Into<scorecast::commands::Command>) {
    let ben = app.actor(&email("ben"));
    let none = Value::Null;
    let marks = (0..10).map(|n| {
        let submit: SubmitScore = parse(mark("x", "form", f64::from(n))).expect("a mark");
        app.app.carry_out(ben.clone(), submit.into(), None, &none)
    });
    let marks = futures_util::future::join_all(marks);
    let (changed, given) = tokio::join!(app.app.carry_out(Actor::Operator, change.into(), None, &none), marks);
    changed.expect("it is allowed");
    assert!(given.iter().all(Result::is_ok), "{given:?}");
}

#[tokio::test]
async fn no_socket_of_an_ended_session_gets_what_follows_in_the_log() {
    let app = TestApp::with_people().await;
    let (lost, other) = (app.token(&email("ada")).await, app.token(&email("ada")).await);
    let mut gone = Vec::new();
    for _ in 0..5 {
        gone.push(greeted(&app, &lost).await);
    }
    let (stays, _ben) = (greeted(&app, &other).await, app.connect(&email("ben")).await);
    let (user, session): (UserId, SessionId) =
        (app.user_id(&email("ada")).parse().expect("an id"), session_of(&app, &lost).await.parse().expect("an id"));
    followed_by_marks(&app, RevokeSession { user, session }).await;
    stays.wait_until(|frames| frames.iter().filter(|frame| frame.event == "scores:updated").count() == 10).await;
    for socket in &gone {
        socket.closed().await;
        assert_eq!(count(socket, "scores:updated"), 0, "{socket:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn no_socket_of_a_judge_without_the_hat_gets_what_follows_in_the_log() {
    let app = TestApp::with_people().await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(app.connect(&email("ada")).await);
    }
    let ben = app.connect(&email("ben")).await;
    let user: UserId = app.user_id(&email("ada")).parse().expect("an id");
    let hat: AssignmentId = app.app.state().hats_worn(&user).next().expect("ada wears a hat").id.clone();
    followed_by_marks(&app, RemoveAssignment { id: hat }).await;
    ben.wait_until(|frames| frames.iter().filter(|frame| frame.event == "scores:updated").count() == 10).await;
    for socket in &sockets {
        socket.next("session:changed").await;
        // The answer comes after whatever was sent before it.
        assert!(lives(socket).await);
        let of_lane = |frame: &Frame| frame.args.iter().any(|arg| arg["lane"] == "cat:vault");
        assert!(!socket.transcript().iter().any(of_lane), "{socket:?}");
    }
    app.stop().await;
}
