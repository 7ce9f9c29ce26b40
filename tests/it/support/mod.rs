//! The real application on a port of its own, with people who sign in, submit and look.

pub mod client;
pub mod hall;
pub mod people;
pub mod process;
pub mod timing;
pub mod watch;
pub mod wire;

use client::{Client, ConnectError};
use reqwest::{Method, StatusCode};
use scorecast::app::{App, Setting};
use scorecast::auth::actor::Actor;
use scorecast::cli::access_token;
use scorecast::clock::{Chance, Clock, Micros};
use scorecast::config::Config;
use scorecast::db::connect::{self, Target};
use scorecast::ids::UserId;
use scorecast::setup::import::{self, ImportDocument};
use scorecast::transport::rest::setup::hashed;
use scorecast::transport::serve::{self, Server};
use scorecast::traps::Traps;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;

/// 14 November 2023, when the manual clock begins.
pub const START: Micros = Micros(1_700_000_000_000_000);

/// The application, serving.
pub struct TestApp {
    pub address: SocketAddr,
    pub clock: Clock,
    pub app: App,
    server: Server,
    folder: TempDir,
    http: reqwest::Client,
}

/// What a request came to.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

/// The settings of a test: a database in `folder`, a port of its own, generous limits where a test does not ask for
/// others.
pub fn config(folder: &TempDir) -> Config {
    Config {
        database_url: format!("sqlite://{}?mode=rwc", folder.path().join("it.db").display()),
        bind: "127.0.0.1:0".parse().expect("an address"),
        jwt_secret: "it-0123456789abcdef0123456789abcdef".into(),
        cassettes: folder.path().join("cassettes"),
        ..Config::defaults()
    }
}

impl TestApp {
    /// An empty server under a clock that stands still.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// An empty server with other settings.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = config(&folder);
        change(&mut settings);
        Self::serve(folder, settings, Clock::manual(START)).await
    }

    /// An empty server with other settings and a fault that is put back.
    pub async fn start_trapped(traps: Traps, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = config(&folder);
        change(&mut settings);
        Self::serve_trapped(folder, settings, Clock::manual(START), Chance::from_system(), traps).await
    }

    /// A server with the document of [`people::document`]: one vault with three judges, and everybody else.
    pub async fn with_people() -> Self {
        let app = Self::start().await;
        app.import(people::document()).await;
        app
    }

    async fn serve(folder: TempDir, config: Config, clock: Clock) -> Self {
        Self::serve_with(folder, config, clock, Chance::from_system()).await
    }

    /// An empty server under a clock that stands still and dice that fall the same in every run.
    pub async fn seeded(seed: u64) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings =
            Config { rate_limit_commands_per_minute: 100_000, rate_limit_lists_per_minute: 100_000, ..config(&folder) };
        Self::serve_with(folder, settings, Clock::manual(START), Chance::seeded(seed)).await
    }

    async fn serve_with(folder: TempDir, config: Config, clock: Clock, chance: Chance) -> Self {
        Self::serve_trapped(folder, config, clock, chance, Traps::default()).await
    }

    async fn serve_trapped(folder: TempDir, config: Config, clock: Clock, chance: Chance, traps: Traps) -> Self {
        let target = Target::parse(&config.database_url).expect("our own url");
        connect::migrate(&target).await.expect("the schema is made");
        let setting = Setting { config, clock: clock.clone(), chance, traps };
        let (app, running) = App::start(setting).await.expect("the application starts");
        let server = serve::start(app, running).await.expect("the server listens");
        let (address, app) = (server.address, server.app().clone());
        // The server closes what lies idle for twice as long: a request that comes at that moment would have no answer.
        let http = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(5)).build().expect("a client");
        Self { address, clock, app, server, folder, http }
    }

    /// Stops, and starts again on the same database.
    pub async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// The same with other settings.
    pub async fn restart_with(self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::clone(&self.app.config);
        change(&mut config);
        let Self { server, folder, clock, app, .. } = self;
        let traps = app.traps;
        drop(app);
        server.stop().await.expect("the server stops");
        Self::serve_trapped(folder, config, clock, Chance::from_system(), traps).await
    }

    /// The same, with something done to the folder of the database in between.
    pub async fn restart_after(self, between: impl FnOnce(&std::path::Path)) -> Self {
        let config = Config::clone(&self.app.config);
        let Self { server, folder, clock, .. } = self;
        server.stop().await.expect("the server stops");
        between(folder.path());
        Self::serve(folder, config, clock).await
    }

    /// Stops the server.
    pub async fn stop(self) {
        self.server.stop().await.expect("the server stops");
    }

    /// Imports a document as the operator does.
    pub async fn import(&self, document: Value) {
        let read = import::read(&document.to_string()).expect("a well-formed document");
        let command = hashed(&self.app, read).await.expect("hashed passwords");
        self.app.carry_out(Actor::Operator, command.into(), None, &Value::Null).await.expect("the document is taken");
    }

    /// An access token for a user.
    pub async fn token(&self, email: &str) -> String {
        access_token(&self.app, email).await.expect("the user exists")
    }

    /// The id of a user.
    pub fn user_id(&self, email: &str) -> String {
        self.app.user_by_email(email).expect("the user exists").to_string()
    }

    /// A user who is signed in, for what is carried out in the same breath as something else.
    pub fn actor(&self, email: &str) -> Actor {
        let id: UserId = self.user_id(email).parse().expect("an id");
        let state = self.app.state();
        let session = state.sessions.values().find(|session| session.user_id == id).expect("they are signed in");
        Actor::User { session: session.id.clone(), id }
    }

    /// Imports a large document: what comes meanwhile waits, and becomes one batch.
    pub async fn hold_the_writer_up(&self) {
        let name = |number: u32| format!("newcomer{number}");
        let user = |number| json!({"email": people::email(&name(number)), "name": name(number), "role": "EMCEE"});
        let users: Vec<Value> = (0..2000).map(user).collect();
        let large = json!({"event": {"id": "other", "mainTitle": "Another Cup"}, "users": users});
        let document = import::read(&large.to_string()).expect("a well-formed document");
        // Without a pause before it waits for the writer: it is to be the first who does.
        let large = ImportDocument { document, hashes: BTreeMap::new(), rehearsal: false };
        self.app.carry_out(Actor::Operator, large.into(), None, &Value::Null).await.expect("the document is taken");
    }

    /// A socket of a user that has been greeted.
    pub async fn connect(&self, email: &str) -> Client {
        let token = self.token(email).await;
        let client = self.connect_by(&token).await.expect("the token is good");
        client.next("session:ready").await;
        client
    }

    /// A socket by a token.
    pub async fn connect_by(&self, token: &str) -> Result<Client, ConnectError> {
        Client::connect(self.address, json!({ "token": token })).await
    }

    /// A request with a token, or without one.
    pub async fn request(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Reply {
        let mut request = self.http.request(method, format!("http://{}{path}", self.address));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Reply { status, headers, body }
    }

    /// `GET` as a user.
    pub async fn get(&self, path: &str, email: &str) -> Reply {
        let token = self.token(email).await;
        self.request(Method::GET, path, Some(&token), None).await
    }

    /// What `GET` brings as a user, byte for byte.
    pub async fn bytes(&self, path: &str, email: &str) -> Vec<u8> {
        let token = self.token(email).await;
        let request = self.http.get(format!("http://{}{path}", self.address)).bearer_auth(token);
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.bytes().await.expect("a body").to_vec()
    }

    /// `GET` as anyone.
    pub async fn public(&self, path: &str) -> Reply {
        self.request(Method::GET, path, None, None).await
    }

    /// `POST` as a user.
    pub async fn post(&self, path: &str, email: &str, body: Value) -> Reply {
        let token = self.token(email).await;
        self.request(Method::POST, path, Some(&token), Some(body)).await
    }

    /// Any request as a user.
    pub async fn send(&self, method: Method, path: &str, email: &str, body: Value) -> Reply {
        let token = self.token(email).await;
        self.request(method, path, Some(&token), Some(body)).await
    }

    /// Gives somebody a hat, and gives its id.
    pub async fn give_hat(&self, name: &str, mut hat: Value) -> String {
        hat["judgeId"] = json!(self.user_id(&people::email(name)));
        let given = self.post("/api/v1/admin/assignments", &people::email("organizer"), hat).await;
        assert_eq!(given.status, StatusCode::CREATED, "{}", given.body);
        given.body["assignment"]["id"].as_str().expect("an id").to_owned()
    }

    /// Takes a hat away.
    pub async fn take_hat(&self, assignment: &str) {
        let path = format!("/api/v1/admin/assignments/{assignment}");
        let taken = self.send(Method::DELETE, &path, &people::email("organizer"), Value::Null).await;
        assert_eq!(taken.status, StatusCode::NO_CONTENT, "{}", taken.body);
    }

    /// The first hat of somebody.
    pub async fn hat_of(&self, name: &str) -> String {
        let path = format!("/api/v1/admin/assignments?userId={}", self.user_id(&people::email(name)));
        let hats = self.get(&path, &people::email("organizer")).await.body;
        hats["items"][0]["id"].as_str().expect("they wear a hat").to_owned()
    }
}

impl TestApp {
    /// A request with any headers and any body.
    pub async fn raw_request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let mut request = self.http.request(method, format!("http://{}{path}", self.address)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Reply { status, headers, body }
    }

    /// Where the log ends: as long as it stays, nothing happened.
    pub fn log_end(&self) -> i64 {
        self.app.state().head.seq
    }

    /// The folder of the database.
    pub fn database_folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}
