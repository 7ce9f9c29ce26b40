//! Viewers of every seat lose their connections, by a reset, a close or a restart of the server, sleep for a while, and
//! come back, while marks are given and hats go to and fro. In the end each has every fact of every lane once.

use super::checker::Log;
use super::judge::{CRITERIA, Judge};
use super::viewer::Viewer;
use super::{Plan, Report, a_moment, becomes, generous, long};
use crate::support::TestApp;
use crate::support::people::{self, email};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use scorecast::traps::{Trap, Traps};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Those who watch: each seat there is, some twice.
const VIEWERS: [&str; 14] = [
    "ada",
    "ben",
    "cleo",
    "head",
    "both",
    "beam",
    "admin",
    "organizer",
    "tally",
    "auditor",
    "board",
    "emcee",
    "tally",
    "gymnast",
];
/// Those whose hats go to and fro, and the hats.
const CHANGING: [&str; 4] = ["idle", "gymnast", "emcee", "auditor"];
const HATS: [&str; 5] = ["TALLY_MASTER", "AUDITOR", "BOARD", "EMCEE", "JUDGE"];
/// How long a server may leave a request without an answer or an end.
const REQUEST_MAX: Duration = Duration::from_mins(1);
/// Times the server is started in a run.
const STARTS: usize = 3;

/// Whoever gives hats and takes them away.
struct Wardrobe {
    token: String,
    chance: StdRng,
    users: Vec<String>,
    given: Vec<String>,
    changes: usize,
    unanswered: usize,
}

impl Wardrobe {
    /// Gives and takes until it is told to stop.
    async fn work(mut self, address: SocketAddr, until: CancellationToken) -> Self {
        let http = reqwest::Client::builder().timeout(REQUEST_MAX).build().expect("a client");
        while !until.is_cancelled() {
            let url = format!("http://{address}/api/v1/admin/assignments");
            let request = if self.given.len() > 4 || (!self.given.is_empty() && self.chance.random()) {
                let hat = self.given.swap_remove(self.chance.random_range(0..self.given.len()));
                http.delete(format!("{url}/{hat}"))
            } else {
                http.post(url).json(&self.hat())
            };
            match request.bearer_auth(&self.token).send().await {
                Ok(answer) => {
                    self.changes += usize::from(answer.status().is_success());
                    let body: Value = answer.json().await.unwrap_or_default();
                    self.given.extend(body["assignment"]["id"].as_str().map(str::to_owned));
                }
                // A server that is going down may answer nothing, but not keep anybody waiting.
                Err(error) => self.unanswered += usize::from(error.is_timeout()),
            }
            a_moment(&mut self.chance, 60).await;
        }
        self
    }

    fn hat(&mut self) -> Value {
        let user = self.users.choose(&mut self.chance).expect("there is somebody").clone();
        let hat = *HATS.choose(&mut self.chance).expect("there are hats");
        let place = [("categoryId", "vault"), ("categoryId", "beam"), ("contestId", "women"), ("eventId", "cup")];
        let (field, id) = *place.choose(&mut self.chance).expect("there are places");
        json!({"judgeId": user, "hat": hat, field: id})
    }
}

/// Starts of the server, each with as many marks as the plan is large.
pub async fn run(plan: Plan, traps: Traps) -> Report {
    // It holds a server and all its viewers: too much for a stack.
    Box::pin(drive(plan, traps)).await
}

async fn drive(plan: Plan, traps: Traps) -> Report {
    let (mut report, mut chance) = (Report::new("resume", plan), plan.chance());
    let mut app = TestApp::start_trapped(traps, generous).await;
    app.import(people::document()).await;
    let mut judges = Vec::new();
    let contestants = ["x", "y", "z"].map(str::to_owned);
    for (number, name) in ["ada", "ben", "cleo", "beam"].iter().enumerate() {
        let category = if *name == "beam" { "beam" } else { "vault" };
        let mut judge = Judge::new(number, app.token(&email(name)).await, category, &contestants, &mut chance);
        judge.refused_of = 20;
        judges.push(judge);
    }
    let mut viewers = Vec::new();
    for (number, name) in VIEWERS.iter().chain(&CHANGING).enumerate() {
        let dice = StdRng::seed_from_u64(chance.random());
        let mut viewer = Viewer::new(number, &app.user_id(&email(name)), app.token(&email(name)).await, dice);
        viewer.wild = true;
        viewer.patience = if traps == Traps::default() { viewer.patience } else { Duration::from_secs(3) };
        viewers.push(viewer);
    }
    let mut wardrobe = Wardrobe {
        token: app.token(&email("organizer")).await,
        chance: StdRng::seed_from_u64(chance.random()),
        users: CHANGING.iter().map(|name| app.user_id(&email(name))).collect(),
        given: Vec::new(),
        changes: 0,
        unanswered: 0,
    };
    for start in 0..STARTS {
        let (mut working, mut watching, mut changing) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        let (worked, watched) = (CancellationToken::new(), CancellationToken::new());
        for judge in judges.drain(..) {
            working.spawn(judge.work(app.address, plan.size));
        }
        for viewer in viewers.drain(..) {
            watching.spawn(viewer.watch(app.address, watched.clone()));
        }
        changing.spawn(wardrobe.work(app.address, worked.clone()));
        if start + 1 < STARTS {
            // While they are at it; how long it takes to have come there depends on the machine, so it is no time.
            let middle = app.log_end() + chance.random_range(10..i64::try_from(plan.size * 3).expect("a size"));
            becomes(Duration::from_mins(1), async || app.log_end() > middle).await;
            app = app.restart().await;
        }
        judges = working.join_all().await;
        worked.cancel();
        wardrobe = changing.join_all().await.pop().expect("there is one");
        watched.cancel();
        viewers = watching.join_all().await;
        judges.sort_by_key(|judge| judge.number);
        viewers.sort_by_key(|viewer| viewer.number);
    }
    for judge in &mut judges {
        judge.settle(app.address).await;
    }
    let times = join_all(viewers.iter_mut().map(|viewer| viewer.converge(app.address))).await;
    let log = Log::read(&app.app.db).await;
    let promises: Vec<_> = judges.iter().flat_map(|judge| judge.promises.iter().cloned()).collect();
    let transcripts: Vec<_> = viewers.into_iter().map(|viewer| viewer.transcript).collect();
    report.findings = log.judge(&transcripts, &promises);
    for judge in judges {
        report.findings.add(judge.findings);
    }
    if wardrobe.unanswered > 0 {
        report.findings.fault(format!("{} requests had no answer within {REQUEST_MAX:?}", wardrobe.unanswered));
    }
    report.count("acknowledged", promises.len());
    report.count("connections", transcripts.iter().map(|viewer| viewer.connections.len()).sum());
    report.count("hats given and taken", wardrobe.changes);
    report.count("restarts", STARTS - 1);
    report.took("convergence", &times);
    app.stop().await;
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_and_goes_has_every_fact_once_in_the_variant_of_their_seat() {
    let report = run(Plan::short(100), Traps::default()).await;
    report.must_be_green();
    assert!(report.findings.replayed > 0 && report.counts.iter().all(|(_, count)| *count > 0), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_used_up_by_a_refused_command_is_found() {
    run(Plan::short(20), Traps::of(Trap::SeqBeforeCommit)).await.must_be_red();
}

#[test]
fn judges_mark_what_there_is() {
    let criteria = people::document()["contests"][0]["categories"][0]["criteria"].clone();
    assert!(
        criteria
            .as_array()
            .expect("a list")
            .iter()
            .all(|criterion| CRITERIA.contains(&criterion["id"].as_str().expect("an id")))
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long run, by make chaos"]
async fn long_resume() {
    long("resume", 150, 600, async |plan| run(plan, Traps::default()).await).await;
}
