//! Sessions are ended and hats taken away at random while marks are given. No fact comes to anybody whose place in the log
//! is after the fact that took the right away; the checker compares places, so no clock is asked. How long it takes until
//! the viewer notices is measured.

use super::checker::Log;
use super::judge::Judge;
use super::viewer::Viewer;
use super::{Plan, Report, a_moment, generous, long};
use crate::support::TestApp;
use crate::support::client::{Client, Frame};
use crate::support::people::{self, email};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use scorecast::ids::UserId;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

const HATS: [&str; 4] = ["TALLY_MASTER", "EMCEE", "JUDGE", "AUDITOR"];
/// Users with a hat to lose.
const USERS: usize = 20;
/// How long anything of it may take at most.
const LIMIT: Duration = Duration::from_secs(20);

fn name(number: usize) -> String {
    format!("watcher{number}")
}

fn document() -> Value {
    let mut document = people::document();
    for number in 0..USERS {
        let user = json!({"email": email(&name(number)), "name": name(number), "role": "JUDGE"});
        let hat = json!({"email": email(&name(number)), "hat": HATS[number % HATS.len()]});
        document["users"].as_array_mut().expect("a list").push(user);
        document["assignments"].as_array_mut().expect("a list").push(hat);
    }
    document
}

/// A viewer, and who they are.
struct Watcher {
    email: String,
    user: UserId,
    hat: &'static str,
    viewer: Viewer,
}

impl Watcher {
    /// Ends all their sessions; they sign in again. Says how long they stayed after the answer.
    async fn lose_session(&mut self, app: &TestApp) -> Option<Duration> {
        let path = format!("/api/v1/admin/users/{}/revoke-sessions", self.user);
        let answer = app.post(&path, &email("organizer"), Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let begun = Instant::now();
        let client = self.viewer.client().expect("they were connected");
        let gone = timeout(LIMIT, client.closed()).await.is_ok();
        let took = begun.elapsed();
        self.viewer.leave();
        self.viewer.token = app.token(&self.email).await;
        gone.then_some(took)
    }

    /// Takes the hat away, and gives it again. Says how long it took until they were told.
    async fn lose_hat(&mut self, app: &TestApp) -> Option<Duration> {
        let state = app.app.state();
        let hat = state.hats_worn(&self.user).next().expect("they wear one").id.to_string();
        let client = self.viewer.client().expect("they were connected");
        let before = changes(&client.transcript());
        app.take_hat(&hat).await;
        let begun = Instant::now();
        let told = timeout(LIMIT, client.wait_until(|frames| changes(frames) > before)).await.is_ok();
        let took = begun.elapsed();
        self.viewer.absorb();
        let hat = json!({"judgeId": self.user, "hat": self.hat, "eventId": "cup"});
        assert_eq!(app.post("/api/v1/admin/assignments", &email("organizer"), hat).await.status, 201);
        told.then_some(took)
    }
}

fn changes(frames: &[Frame]) -> usize {
    frames.iter().filter(|frame| frame.event == "session:changed").count()
}

async fn watchers(app: &TestApp, chance: &mut StdRng) -> Vec<Watcher> {
    let mut watchers = Vec::new();
    for number in 0..USERS {
        let email = email(&name(number));
        let (user, token) = (app.user_id(&email), app.token(&email).await);
        let mut viewer = Viewer::new(number, &user, token, StdRng::seed_from_u64(chance.random()));
        viewer.connect(app.address).await;
        let user = user.parse().expect("an id");
        watchers.push(Watcher { email, user, hat: HATS[number % HATS.len()], viewer });
    }
    watchers
}

/// As many revocations as the plan is large.
pub async fn run(plan: Plan) -> Report {
    let (mut report, mut chance) = (Report::new("revoke", plan), plan.chance());
    let app = TestApp::start_with(generous).await;
    app.import(document()).await;
    let mut watchers = watchers(&app, &mut chance).await;
    // One in twenty never reads.
    let sleeper =
        Client::connect(app.address, json!({"token": app.token(&email("board")).await})).await.expect("a token");
    sleeper.pause();
    let (mut working, contestants) = (JoinSet::new(), ["x", "y", "z"].map(str::to_owned));
    let mut until = Vec::new();
    for (number, name) in ["ada", "ben", "cleo"].iter().enumerate() {
        let judge = Judge::new(number, app.token(&email(name)).await, "vault", &contestants, &mut chance);
        until.push(judge.until.clone());
        working.spawn(judge.work(app.address, usize::MAX));
    }
    let (mut sessions, mut hats) = (Vec::new(), Vec::new());
    for _ in 0..plan.size {
        let watcher = &mut watchers[chance.random_range(0..USERS)];
        watcher.viewer.absorb();
        if !watcher.viewer.is_connected() {
            watcher.viewer.connect(app.address).await;
        }
        a_moment(&mut chance, 30).await;
        let (took, times) = if chance.random() {
            (watcher.lose_session(&app).await, &mut sessions)
        } else {
            (watcher.lose_hat(&app).await, &mut hats)
        };
        match took {
            Some(took) => times.push(took),
            None => report.findings.fault(format!("{} was not told within {LIMIT:?}", watcher.email)),
        }
    }
    for until in &until {
        until.cancel();
    }
    let judges = working.join_all().await;
    drop(sleeper);
    join_all(watchers.iter_mut().map(|watcher| watcher.viewer.converge(app.address))).await;
    let promises: Vec<_> = judges.iter().flat_map(|judge| judge.promises.iter().cloned()).collect();
    let transcripts: Vec<_> = watchers.into_iter().map(|watcher| watcher.viewer.transcript).collect();
    report.findings.add(Log::read(&app.app.db).await.judge(&transcripts, &promises));
    for judge in judges {
        report.findings.add(judge.findings);
    }
    report.count("sessions ended", sessions.len());
    report.count("hats taken", hats.len());
    report.took("until the socket is gone", &sessions);
    report.took("until the hat is off", &hats);
    app.stop().await;
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_by_a_right_that_was_taken_away() {
    run(Plan::short(30)).await.must_be_green();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long run, by make chaos"]
async fn long_revoke() {
    long("revoke", 5, 400, async |plan| {
        let mut report = run(plan).await;
        for what in ["until the socket is gone", "until the hat is off"] {
            if report.percentile(what, 99).is_some_and(|most| most >= 1_000) {
                report.findings.fault(format!("{what}: p99 is not below a second"));
            }
        }
        report
    })
    .await;
}
