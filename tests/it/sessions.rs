//! Where somebody is signed in, and that nobody stays who should go: sessions that are ended, tokens that run out, hats
//! that are taken away, on every socket and before the next fact.

use crate::support::client::Client;
use crate::support::people::{self, email};
use crate::support::{Reply, START, TestApp};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

const PASSWORD: &str = "correct horse battery";

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

async fn greeted(app: &TestApp, token: &str) -> Client {
    let client = app.connect_by(token).await.expect("the token is good");
    client.next("session:ready").await;
    client
}

async fn end(app: &TestApp, token: &str, path: &str) -> Reply {
    app.request(Method::DELETE, path, Some(token), None).await
}

fn outcome(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), reply.body["code"].as_str().unwrap_or("ok"))
}

async fn lives(client: &Client) -> bool {
    client.call("user:active", Value::Null).await["ok"] == true
}

#[tokio::test]
async fn everybody_sees_where_they_are_signed_in_and_nobody_elses() {
    let app = TestApp::start().await;
    let mut document = people::document();
    for user in document["users"].as_array_mut().expect("a list") {
        if user["email"] == email("ada") {
            user["password"] = json!(PASSWORD);
        }
    }
    app.import(document).await;
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
    let refresh = json!({"refreshToken": signed_in.body["refreshToken"]});
    let again = app.request(Method::POST, "/api/v1/auth/refresh", None, Some(refresh)).await;
    assert_eq!(again.status, StatusCode::OK, "{again:?}");
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
