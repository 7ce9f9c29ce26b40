//! `kill -9` at random moments while eight judges submit and others watch. Whatever was acknowledged is there exactly
//! once, the log is one unbroken chain, and whoever watched misses nothing and sees nothing that was not kept.

use super::checker::Log;
use super::judge::{CRITERIA, Judge};
use super::viewer::Viewer;
use super::{Plan, Report, a_moment, long};
use crate::support::process::ServerProcess;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use scorecast::db::connect::{Target, read_pool};
use scorecast::db::entity::user;
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const JUDGES: usize = 8;
const CONTESTANTS: usize = 10;
/// Who watches, by role and hat.
const VIEWERS: [(&str, &str); 3] = [("tally", "TALLY_MASTER"), ("fellow", "JUDGE"), ("emcee", "EMCEE")];
/// Kills after which everybody signs in anew: an access token lasts a quarter of an hour.
const SIGN_IN_EVERY: usize = 200;

fn email(name: &str) -> String {
    format!("{name}@kill.example")
}

fn names() -> Vec<String> {
    (0..JUDGES).map(|number| format!("judge{number}")).collect()
}

pub fn contestants() -> Vec<String> {
    (0..CONTESTANTS).map(|number| format!("c{number}")).collect()
}

pub fn document() -> Value {
    let mut users: Vec<Value> =
        names().iter().map(|name| json!({"email": email(name), "name": name, "role": "JUDGE"})).collect();
    let mut hats: Vec<Value> = names().iter().map(|name| json!({"email": email(name), "hat": "JUDGE"})).collect();
    users.extend(VIEWERS.map(|(name, role)| json!({"email": email(name), "name": name, "role": role})));
    hats.extend(VIEWERS.map(|(name, hat)| json!({"email": email(name), "hat": hat})));
    let people: Vec<Value> =
        contestants().iter().map(|id| json!({"id": id, "name": format!("Gymnast {id}")})).collect();
    let entries: Vec<Value> = contestants().iter().map(|id| json!({"contestantId": id})).collect();
    let criteria = CRITERIA.map(|id| json!({"id": id, "name": id, "min": 0, "max": 10, "step": 0.5}));
    json!({
        "event": {"id": "kill", "mainTitle": "Kill", "status": "running"}, "users": users, "contestants": people,
        "contests": [{"id": "all", "name": "All", "categories": [{"id": "vault", "name": "Vault",
            "rules": {"method": "mean"}, "criteria": criteria, "entries": entries, "assignments": hats}]}],
    })
}

/// Everybody of the document, with a token each.
pub fn judges(setup: &ServerProcess, chance: &mut StdRng) -> Vec<Judge> {
    let token = |name: &String| setup.token(&email(name));
    let judge = |(number, name)| Judge::new(number, token(name), "vault", &contestants(), chance);
    names().iter().enumerate().map(judge).collect()
}

/// Those who watch, with a token each.
pub async fn viewers(setup: &ServerProcess, chance: &mut StdRng) -> Vec<Viewer> {
    let db = read_pool(&Target::parse(&setup.database_url).expect("our own url")).await.expect("a database");
    let users = user::Entity::find().all(&db).await.expect("users");
    let id = |name: &str| users.iter().find(|user| user.email == email(name)).expect("a user").id.to_string();
    let dice = |chance: &mut StdRng| StdRng::seed_from_u64(chance.random());
    let viewer = |(number, (name, _)): (usize, (&str, &str))| {
        Viewer::new(number, &id(name), setup.token(&email(name)), dice(chance))
    };
    VIEWERS.into_iter().enumerate().map(viewer).collect()
}

/// The log of a database nobody serves any more.
pub async fn read_log(setup: &ServerProcess) -> Log {
    let db = read_pool(&Target::parse(&setup.database_url).expect("our own url")).await.expect("a database");
    Log::read(&db).await
}

fn sign_in_again(setup: &ServerProcess, judges: &mut [Judge], viewers: &mut [Viewer]) {
    for (judge, name) in judges.iter_mut().zip(names()) {
        judge.token = setup.token(&email(&name));
    }
    for (viewer, (name, _)) in viewers.iter_mut().zip(VIEWERS) {
        viewer.leave();
        viewer.token = setup.token(&email(name));
    }
}

/// A server that lives settles what was left open and lets everybody catch up; then all of it is judged and reported.
pub async fn settle(setup: &ServerProcess, mut judges: Vec<Judge>, mut viewers: Vec<Viewer>, report: &mut Report) {
    let server = setup.start();
    for judge in &mut judges {
        judge.settle(server.address).await;
    }
    let times = join_all(viewers.iter_mut().map(|viewer| viewer.converge(server.address))).await;
    tokio::task::spawn_blocking(move || server.stop()).await.expect("it ends well");
    let log = read_log(setup).await;
    let promises: Vec<_> = judges.iter().flat_map(|judge| judge.promises.iter().cloned()).collect();
    let transcripts: Vec<_> = viewers.into_iter().map(|viewer| viewer.transcript).collect();
    report.findings.add(log.judge(&transcripts, &promises));
    for judge in judges {
        report.findings.add(judge.findings);
    }
    report.count("acknowledged", promises.len());
    report.count("connections", transcripts.iter().map(|viewer| viewer.connections.len()).sum());
    report.took("convergence", &times);
}

/// As many kills as the plan is large.
pub async fn run(plan: Plan, trap: Option<&'static str>) -> Report {
    let (mut report, mut chance) = (Report::new("kill", plan), plan.chance());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut setup = ServerProcess::settings(folder.path());
    setup.import(&document());
    setup.trap = trap;
    let mut judges = judges(&setup, &mut chance);
    let mut viewers = viewers(&setup, &mut chance).await;
    for kill in 0..plan.size {
        if kill % SIGN_IN_EVERY == SIGN_IN_EVERY - 1 {
            sign_in_again(&setup, &mut judges, &mut viewers);
        }
        let mut server = setup.start();
        let (mut working, mut watching) = (JoinSet::new(), JoinSet::new());
        let gone = CancellationToken::new();
        for judge in judges.drain(..) {
            working.spawn(judge.work(server.address, usize::MAX));
        }
        for viewer in viewers.drain(..) {
            watching.spawn(viewer.watch(server.address, gone.clone()));
        }
        a_moment(&mut chance, 230).await;
        server.kill();
        gone.cancel();
        judges = working.join_all().await;
        viewers = watching.join_all().await;
        // Whoever ends first comes first: the order of the tokens must be that of the names.
        judges.sort_by_key(|judge| judge.number);
        viewers.sort_by_key(|viewer| viewer.number);
    }
    report.count("kills", plan.size);
    settle(&setup, judges, viewers, &mut report).await;
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_is_there_after_every_kill() {
    let report = run(Plan::short(25), None).await;
    report.must_be_green();
    assert!(report.findings.deliveries > 0 && report.counts.iter().all(|(_, count)| *count > 0), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_commit_is_found() {
    run(Plan::short(6), Some("ack_before_commit")).await.must_be_red();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long run, by make chaos"]
async fn long_kill() {
    long("kill", 10, 100, async |plan| run(plan, None).await).await;
}
