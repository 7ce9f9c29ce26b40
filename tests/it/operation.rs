//! What operators ask of a server, and the program on the command line beside it.

use crate::support::client::Client;
use crate::support::people::{self, email, mark};
use crate::support::process::ServerProcess;
use crate::support::{Reply, TestApp};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// How long anything may take that only polling can see.
const LIMIT: Duration = Duration::from_secs(30);

async fn ask(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> Reply {
    app.raw_request(Method::GET, path, headers, "").await
}

/// The health of the sockets, once as many are connected.
async fn when_connected(app: &TestApp, count: u64) -> Value {
    let mut seen = Value::Null;
    let reached = async {
        loop {
            seen = ask(app, "/socket-health", &[]).await.body;
            if seen["connectedClients"] == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, reached).await.unwrap_or_else(|_| panic!("never {count} connected clients"));
    seen
}

async fn metrics(app: &TestApp) -> String {
    let reply = ask(app, "/metrics", &[]).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    reply.body.as_str().expect("metrics are text").to_owned()
}

/// The value of a line of metrics; nothing if there is no such line.
fn value(metrics: &str, line: &str) -> Option<f64> {
    metrics.lines().find_map(|text| text.strip_prefix(line)?.trim().parse().ok())
}

#[tokio::test]
async fn a_server_says_that_it_lives_and_is_ready() {
    let app = TestApp::with_people().await;
    for path in ["/healthz", "/readyz"] {
        let reply = ask(&app, path, &[]).await;
        assert_eq!((reply.status, &reply.body), (StatusCode::OK, &json!({"status": "ok"})), "{path}");
        assert!(!reply.headers["x-request-id"].is_empty());
    }
    app.app.refuse_newcomers();
    let reply = ask(&app, "/readyz", &[]).await;
    assert_eq!((reply.status, &reply.body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("OVERLOADED")));
    assert_eq!(ask(&app, "/healthz", &[]).await.status, StatusCode::OK, "about to end is not dead");
    app.stop().await;
}

#[tokio::test]
async fn the_number_of_clients_goes_up_and_comes_exactly_back_down() {
    let app = TestApp::start_with(|config| config.sockets_per_user_max = 100).await;
    app.import(people::document()).await;
    let token = app.token(&email("ada")).await;
    let empty = when_connected(&app, 0).await;
    assert_eq!(
        (&empty["status"], &empty["dispatchLagMs"], &empty["publicClients"]),
        (&json!("ok"), &json!(0), &json!(0))
    );
    assert!(empty["uptime"].is_u64(), "{empty}");
    let stays = app.connect(&email("ben")).await;
    when_connected(&app, 1).await;
    // Twenty that leave in order, and fifty that are cut off the moment they are in.
    let twenty = join_all((0..20).map(|_| app.connect_by(&token))).await;
    when_connected(&app, 21).await;
    for client in twenty {
        client.expect("the token is good").close().await;
    }
    when_connected(&app, 1).await;
    let dropped = join_all((0..50).map(|_| async { app.connect_by(&token).await.map(drop) })).await;
    assert_eq!(dropped.iter().filter(|outcome| outcome.is_ok()).count(), 50);
    when_connected(&app, 1).await;
    // Nobody is counted who was refused.
    for _ in 0..5 {
        assert!(Client::connect(app.address, json!({"token": "x"})).await.is_err());
    }
    when_connected(&app, 1).await;
    assert_eq!(stays.call("user:active", Value::Null).await["ok"], true);
    stays.close().await;
    when_connected(&app, 0).await;
    let gauge = "scorecast_socket_connections_active{plane=\"scoring\"}";
    let gone = async {
        while value(&metrics(&app).await, gauge) != Some(0.0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.expect("the gauge comes down as the list does");
    let text = metrics(&app).await;
    for line in text.lines().filter(|line| line.starts_with("scorecast_room_members{")) {
        assert!(line.ends_with(" 0"), "somebody was left in a room: {line}");
    }
    assert_eq!(value(&text, "scorecast_socket_connections_total{outcome=\"accepted\",plane=\"scoring\"}"), Some(71.0));
    assert_eq!(
        value(&text, "scorecast_socket_connections_total{outcome=\"INVALID_TOKEN\",plane=\"scoring\"}"),
        Some(5.0)
    );
    app.stop().await;
}

#[tokio::test]
async fn the_metrics_of_the_contract_are_there_with_bounded_labels() {
    let app = TestApp::start_with(|config| config.rate_limit_scores_per_minute = 1).await;
    app.import(people::document()).await;
    let (ada, ben) = (app.connect(&email("ada")).await, app.connect(&email("ben")).await);
    assert_eq!(ada.call("scores:submit", mark("x", "form", 9.5)).await["ok"], true);
    assert_eq!(ada.call("scores:submit", mark("x", "form", 9.25)).await["error"]["code"], "RATE_LIMIT");
    ben.next("scores:updated").await;
    for made_up in ["made:up", "x{} 1 scorecast_evil 1", &"y".repeat(10_000)] {
        assert_eq!(ada.call(made_up, json!(1)).await["error"]["code"], "INVALID_EVENT");
    }
    let text = metrics(&app).await;
    let families: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for name in [
        "socket_connections_active",
        "socket_connections_total",
        "socket_events_total",
        "command_duration_seconds",
        "rate_limited_total",
        "masked_frames_total",
        "log_appended_total",
        "dispatch_lag_seconds",
        "room_members",
        "commit_duration_seconds",
        "commit_batch_size",
        "certification_stage",
    ] {
        assert!(families.contains(format!("scorecast_{name}").as_str()), "{name} is not among {families:?}");
    }
    assert!(
        families.contains("process_resident_memory_bytes") && families.contains("process_open_fds"),
        "{families:?}"
    );
    let lines = |event: &str, direction: &str, outcome: &str| {
        value(
            &text,
            &format!(
                "scorecast_socket_events_total{{direction=\"{direction}\",event=\"{event}\",outcome=\"{outcome}\"}}"
            ),
        )
    };
    assert_eq!(lines("scores:submit", "in", "ok"), Some(1.0));
    assert_eq!(lines("scores:submit", "in", "refused"), Some(1.0));
    assert_eq!(lines("unknown", "in", "refused"), Some(3.0), "what clients make up is one label");
    assert!(!text.contains("made:up") && !text.contains("evil") && !text.contains("yyyy"));
    assert_eq!(value(&text, "scorecast_rate_limited_total{command=\"scores:submit\"}"), Some(1.0));
    assert_eq!(value(&text, "scorecast_command_duration_seconds_count{command=\"scores:submit\"}"), Some(2.0));
    let appended = format!("scorecast_log_appended_total{{event=\"{}\"}}", "scores:updated");
    assert!(value(&text, &appended) == Some(1.0) || text.contains("scorecast_log_appended_total{event="), "{text}");
    assert!(value(&text, "scorecast_masked_frames_total").is_some_and(|frames| frames >= 1.0));
    let at = |stage: &str| value(&text, &format!("scorecast_certification_stage{{stage=\"{stage}\"}}"));
    assert_eq!((at("OPEN"), at("PUBLISHED")), (Some(3.0), Some(0.0)));
    // Nobody is named in a metric.
    for secret in [app.user_id(&email("ada")), email("ada"), "9.5".to_owned()] {
        assert!(
            !text.lines().filter(|line| line.contains('{')).any(|line| line.contains(&format!("\"{secret}\""))),
            "{secret}"
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn metrics_are_for_this_machine_or_by_token() {
    let app = TestApp::start_with(|config| config.metrics_token = "let-me-count".into()).await;
    let by = async |headers: &[(&str, &str)]| ask(&app, "/metrics", headers).await.status.as_u16();
    let (proxied, token) = (("x-forwarded-for", "203.0.113.9"), ("authorization", "Bearer let-me-count"));
    assert_eq!(by(&[]).await, 200);
    assert_eq!(by(&[proxied]).await, 403, "a proxy on this machine passes on what comes from outside");
    assert_eq!(by(&[("x-forwarded-for", "127.0.0.1")]).await, 403, "whatever the client writes into it");
    assert_eq!(by(&[("x-forwarded-for", "")]).await, 403);
    assert_eq!(by(&[("forwarded", "for=127.0.0.1")]).await, 403);
    assert_eq!(by(&[proxied, token]).await, 200);
    for wrong in ["Bearer let-me-coun", "Bearer let-me-count-x", "Bearer ", "let-me-count", "Basic let-me-count"] {
        assert_eq!(by(&[proxied, ("authorization", wrong)]).await, 403, "{wrong}");
    }
    let refused = ask(&app, "/metrics", &[proxied]).await;
    assert_eq!(
        (&refused.headers["content-type"].to_str().ok(), &refused.body["code"]),
        (&Some("application/problem+json"), &json!("FORBIDDEN"))
    );
    app.stop().await;
    let app = TestApp::start().await;
    for given in ["Bearer ", "Bearer", "Bearer  "] {
        let reply = ask(&app, "/metrics", &[proxied, ("authorization", given)]).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "no token is set, so none is right: {given:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn an_unknown_route_is_404_and_a_wrong_method_405() {
    let app = TestApp::with_people().await;
    for path in ["/nothing", "/api", "/api/v1", "/api/v2/me", "/api/v1/me/", "/healthz/x", "/.env", "/api/v1/admin"] {
        let reply = ask(&app, path, &[]).await;
        assert_eq!(
            (reply.status, &reply.body["code"], &reply.body["status"]),
            (StatusCode::NOT_FOUND, &json!("NOT_FOUND"), &json!(404)),
            "{path}"
        );
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        assert_eq!(reply.body["correlationId"], reply.headers["x-request-id"].to_str().expect("text"));
    }
    for (method, path, allowed) in [
        (Method::DELETE, "/healthz", "GET"),
        (Method::POST, "/api/v1/me", "GET"),
        (Method::GET, "/api/v1/auth/login", "POST"),
        (Method::PUT, "/api/v1/admin/users", "GET"),
        (Method::PATCH, "/api/v1/categories/vault/scores", "POST"),
    ] {
        let reply = app.raw_request(method.clone(), path, &[], "").await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        let allow = reply.headers.get("allow").and_then(|allow| allow.to_str().ok()).unwrap_or_default();
        assert!(allow.contains(allowed), "{method} {path}: Allow: {allow}");
    }
    app.stop().await;
}

#[tokio::test]
async fn the_body_of_a_405_says_405() {
    let app = TestApp::start().await;
    let reply = app.raw_request(Method::DELETE, "/healthz", &[], "").await;
    assert_eq!(
        (reply.status.as_u16(), &reply.body["status"], &reply.body["title"]),
        (405, &json!(405), &json!("Method Not Allowed"))
    );
    app.stop().await;
}

/// The routes of the contract that are there so far.
const ROUTES: [(&str, &str); 25] = [
    ("/api/v1/auth/login", "post"),
    ("/api/v1/auth/refresh", "post"),
    ("/api/v1/auth/logout", "post"),
    ("/api/v1/me", "get"),
    ("/api/v1/me/sessions", "get"),
    ("/api/v1/me/sessions/{id}", "delete"),
    ("/api/v1/admin/users/{id}/sessions", "get"),
    ("/api/v1/admin/users/{id}/sessions/{sessionId}", "delete"),
    ("/api/v1/categories/{id}/scores", "get post"),
    ("/api/v1/categories/{id}/scores/batch", "post"),
    ("/api/v1/categories/{id}/tally", "get"),
    ("/api/v1/categories/{id}/completeness", "get"),
    ("/api/v1/admin/import", "post"),
    ("/api/v1/admin/users/{id}/revoke-sessions", "post"),
    ("/api/v1/admin/events/{id}/status", "patch"),
    ("/api/v1/admin/categories/{id}/entries", "put"),
    ("/api/v1/races/{id}/status", "patch"),
    ("/healthz", "get"),
    ("/readyz", "get"),
    ("/socket-health", "get"),
    ("/metrics", "get"),
    ("/api/v1/admin/users", "get post"),
    ("/api/v1/admin/events", "get post"),
    ("/api/v1/admin/contests", "get post"),
    ("/api/v1/admin/categories", "get post"),
];

#[tokio::test]
async fn the_interface_description_is_openapi_3_1_and_lists_every_route() {
    let app = TestApp::with_people().await;
    let description = ask(&app, "/api-docs/openapi.json", &[]).await;
    assert_eq!(description.status, StatusCode::OK);
    let paths = &description.body["paths"];
    assert!(
        description.body["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")),
        "{}",
        description.body["openapi"]
    );
    for (path, methods) in ROUTES {
        for method in methods.split(' ') {
            assert!(paths[path][method].is_object(), "{method} {path} is not described");
        }
    }
    for part in ["users", "events", "contests", "categories", "contestants", "assignments", "races", "api-keys"] {
        for (path, methods) in [("", ["get", "post"].as_slice()), ("/{id}", &["get", "put", "delete"])] {
            for method in methods {
                assert!(paths[format!("/api/v1/admin/{part}{path}")][*method].is_object(), "{method} {part}{path}");
            }
        }
    }
    // The other way round: whatever is described answers, and not by "there is no such page".
    let bearer = format!("Bearer {}", app.token(&email("idle")).await);
    for (path, operations) in paths.as_object().expect("an object") {
        for (method, operation) in operations.as_object().expect("an object") {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
            let real = path.replace("{id}", "vault");
            let reply = app.raw_request(method.clone(), &real, &[("authorization", &bearer)], "").await;
            let detail = reply.body["detail"].as_str().unwrap_or_default();
            assert!(
                reply.status != StatusCode::METHOD_NOT_ALLOWED && !detail.starts_with("page "),
                "{method} {path}: {reply:?}"
            );
            assert!(
                operation["responses"].as_object().is_some_and(|responses| !responses.is_empty()),
                "{method} {path}"
            );
            // What is open to all says so; all else asks for the token.
            let open = operation["security"] == json!([{}]);
            let nobody = app.raw_request(method.clone(), &real, &[], "").await.status;
            assert_eq!(
                !open,
                nobody == StatusCode::UNAUTHORIZED && path != "/api/v1/auth/login",
                "{method} {path}: {nobody}"
            );
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn the_interface_description_has_a_page_to_read_it() {
    let app = TestApp::start().await;
    for page in ["/api-docs", "/api-docs/"] {
        let reply = ask(&app, page, &[]).await;
        assert_eq!(reply.status, StatusCode::OK, "{page}: {reply:?}");
        // We said nothing of compression, so what comes has to be plain.
        assert_eq!(reply.headers.get("content-encoding"), None, "{page}");
        assert!(reply.body.as_str().is_some_and(|text| text.contains("<html")), "{page}: {reply:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn browsers_of_allowed_origins_may_ask_with_credentials_and_others_not() {
    let app = TestApp::with_people().await;
    let preflight = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,content-type,idempotency-key"),
        ];
        app.raw_request(Method::OPTIONS, "/api/v1/categories/vault/scores", &headers, "").await
    };
    let known = preflight("http://localhost:3000").await;
    let told =
        |name: &str| known.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_lowercase();
    assert_eq!(
        (told("access-control-allow-origin").as_str(), told("access-control-allow-credentials").as_str()),
        ("http://localhost:3000", "true")
    );
    for header in ["authorization", "content-type", "idempotency-key"] {
        assert!(told("access-control-allow-headers").contains(header), "{header}");
    }
    let foreign = preflight("https://evil.example").await;
    assert!(!foreign.headers.contains_key("access-control-allow-origin"), "{foreign:?}");
    app.stop().await;
}

// The program as a process.

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs the program to its end.
fn run(program: &mut Command, input: &str) -> Output {
    let mut child =
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
    let mut pipe = child.stdin.take().expect("a pipe was asked for");
    // It may end without reading.
    let _ended = pipe.write_all(input.as_bytes());
    drop(pipe);
    child.wait_with_output().expect("the program ends")
}

fn settings(folder: &tempfile::TempDir) -> ServerProcess {
    ServerProcess::settings(folder.path())
}

#[test]
fn serve_refuses_to_start_without_a_secret_of_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (secret, says) in [
        (None, "JWT_SECRET is not set"),
        (Some(""), "JWT_SECRET is not set"),
        (Some("too-short"), "JWT_SECRET must have at least 32 bytes"),
        (Some("change-me-to-at-least-32-random-bytes"), "JWT_SECRET is the one of .env.example"),
    ] {
        for action in [&["serve"][..], &[]] {
            let mut program = settings(&folder).command();
            program.env_remove("JWT_SECRET").args(action);
            if let Some(secret) = secret {
                program.env("JWT_SECRET", secret);
            }
            let output = run(&mut program, "");
            let told = text(&output.stderr);
            assert!(
                !output.status.success() && told.contains(says) && told.contains("openssl rand"),
                "{secret:?}: {told}"
            );
            assert!(!told.contains("too-short"), "a secret is not repeated: {told}");
        }
    }
    assert!(!folder.path().join("process.db").exists(), "a server that does not start makes no database");
}

#[test]
fn import_and_migrate_refuse_beside_a_server_and_name_the_rest_call() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = settings(&folder);
    settings.import(&people::document());
    let server = settings.start();
    let document = people::document().to_string();
    for action in [&["import", "-"][..], &["migrate"], &["serve"]] {
        let output = run(settings.command().args(action), &document);
        let told = text(&output.stderr);
        assert!(
            !output.status.success() && told.contains("a server holds") && told.contains("/api/v1/admin/import"),
            "{action:?}: {told}"
        );
    }
    server.stop();
    for action in [&["import", "-"][..], &["migrate"]] {
        let output = run(settings.command().args(action), &document);
        assert!(output.status.success(), "{action:?}: {}", text(&output.stderr));
    }
    let output = run(settings.command().args(["import", "-"]), &document.replace("0.25", "0"));
    let told = text(&output.stderr);
    assert!(!output.status.success() && told.contains("contests[0].categories[0].criteria[0].step"), "{told}");
}

#[tokio::test]
async fn users_are_added_and_disabled_beside_a_running_server() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = settings(&folder);
    settings.import(&people::document());
    let token = settings.token(&email("ada"));
    let server = settings.start();
    let ada = Client::connect(server.address, json!({"token": token})).await.expect("the token is good");
    ada.next("session:ready").await;

    // A user added by another process can sign in at once, at the latest when the server has looked.
    let added = run(
        settings.command().args([
            "user",
            "add",
            "new@it.example",
            "--name",
            "New",
            "--role",
            "judge",
            "--password-stdin",
        ]),
        "a password by pipe\n",
    );
    assert!(added.status.success(), "{}", text(&added.stderr));
    let told = text(&added.stdout);
    assert!(told.contains("new@it.example") && !told.contains("a password by pipe"), "{told}");
    let again = run(
        settings.command().args([
            "user",
            "add",
            "new@it.example",
            "--name",
            "New",
            "--role",
            "judge",
            "--password-stdin",
        ]),
        "another one\n",
    );
    assert!(!again.status.success() && text(&again.stderr).contains("exists already"), "{}", text(&again.stderr));
    let http = reqwest::Client::new();
    let login = async {
        loop {
            let body = json!({"email": "new@it.example", "password": "a password by pipe"});
            let reply = http.post(format!("http://{}/api/v1/auth/login", server.address)).json(&body).send().await;
            match reply.expect("an answer").status() {
                StatusCode::OK => return,
                _not_yet => tokio::time::sleep(Duration::from_millis(150)).await,
            }
        }
    };
    // Wrong passwords are limited, so it is not asked more often than that.
    tokio::time::timeout(Duration::from_secs(5), login).await.expect("the server learns of the new user");
    let listed = text(&run(settings.command().args(["user", "list"]), "").stdout);
    assert!(
        listed.contains("new@it.example") && listed.contains(&email("ada")) && !listed.contains("disabled"),
        "{listed}"
    );

    let disabled = run(settings.command().args(["user", "disable", &email("ada")]), "");
    assert!(disabled.status.success(), "{}", text(&disabled.stderr));
    ada.closed().await;
    let listed = text(&run(settings.command().args(["user", "list"]), "").stdout);
    assert!(listed.lines().any(|line| line.contains(&email("ada")) && line.contains("disabled")), "{listed}");
    let token = run(settings.command().args(["token", &email("ada")]), "");
    assert!(!token.status.success() && token.stdout.is_empty(), "no token for who is switched off");
    for ghost in [&["token", "ghost@it.example"][..], &["user", "disable", "ghost@it.example"]] {
        let output = run(settings.command().args(ghost), "");
        assert!(
            !output.status.success() && text(&output.stderr).contains("no user has the email ghost@it.example"),
            "{ghost:?}"
        );
    }
    // A user without a password by pipe gets one, told once.
    let made = text(
        &run(settings.command().args(["user", "add", "made@it.example", "--name", "Made", "--role", "AUDITOR"]), "")
            .stdout,
    );
    assert!(made.contains("password: "), "{made}");
    server.stop();
}

#[tokio::test]
async fn a_server_told_to_end_ends_well_with_clients_connected() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = settings(&folder);
    settings.import(&people::document());
    let token = settings.token(&email("ada"));
    let server = settings.start();
    let client = Client::connect(server.address, json!({"token": token})).await.expect("the token is good");
    client.next("session:ready").await;
    assert_eq!(client.call("scores:submit", mark("x", "form", 9.5)).await["ok"], true);
    // `stop` sends SIGTERM and insists on exit code 0.
    tokio::task::spawn_blocking(move || server.stop()).await.expect("the server ends well");
    client.closed().await;
    let token = settings.token(&email("ada"));
    let again = settings.start();
    let client = Client::connect(again.address, json!({"token": token})).await.expect("the token is good");
    let scores = client.call("scores:request", json!("vault")).await;
    assert_eq!(scores["data"]["scores"][0]["score"], 9.5, "{scores}");
    drop(client);
    tokio::task::spawn_blocking(move || again.stop()).await.expect("the server ends well");
}

#[tokio::test]
async fn a_token_made_beside_a_running_server_is_good_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = settings(&folder);
    settings.import(&people::document());
    let server = settings.start();
    let mut refused = Vec::new();
    for _ in 0..5 {
        let token = settings.token(&email("ada"));
        refused.extend(Client::connect(server.address, json!({"token": token})).await.err());
    }
    assert!(refused.is_empty(), "{refused:?}");
    server.stop();
}

#[test]
fn the_program_explains_itself() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = || settings(&folder).command();
    let help = text(&run(program().arg("--help"), "").stdout);
    for word in [
        "serve",
        "demo",
        "migrate",
        "import",
        "user",
        "token",
        "api-key",
        "openapi",
        "completions",
        "DATABASE_URL",
        "JWT_SECRET",
        "ALLOWED_ORIGINS",
    ] {
        assert!(help.contains(word), "{word} is not in the help");
    }
    assert!(!help.contains("process-0123456789"), "the help repeats the secret");
    for action in ["serve", "demo", "migrate", "import", "user", "token", "api-key", "openapi", "completions"] {
        let output = run(program().args([action, "--help"]), "");
        assert!(output.status.success() && output.stdout.len() > 100, "{action} --help");
    }
    let openapi: Value = serde_json::from_slice(&run(program().arg("openapi"), "").stdout).expect("it prints JSON");
    assert!(openapi["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")));
    assert!(run(program().args(["completions", "bash"]), "").stdout.len() > 1000);
    let unknown = run(program().arg("explode"), "");
    assert!(!unknown.status.success() && !unknown.stderr.is_empty());
    for (name, bad) in [
        ("BIND", "here"),
        ("PING_INTERVAL_MS", "soon"),
        ("TRANSPORTS", "pigeon"),
        ("TRUSTED_PROXIES", "me"),
        ("DATABASE_URL", "mysql://x"),
    ] {
        let output = run(program().env(name, bad).arg("serve"), "");
        assert!(!output.status.success() && !output.stderr.is_empty(), "{name}={bad}");
    }
}
