//! Readers that never read, beside others that do. Those who read get every fact; those who do not are cut off, come back
//! and catch up, and are never skipped in silence.

use super::checker::Log;
use super::viewer::Viewer;
use super::{Plan, Report, becomes, generous, long};
use crate::support::TestApp;
use crate::support::people::{self, email, mark};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use scorecast::traps::{Trap, Traps};
use serde_json::{Value, json};
use std::time::Duration;

/// Packets that may wait for a socket.
const BUFFER: usize = 64;
/// Marks at a time; fewer than the buffer holds, so that whoever reads is never behind.
const BATCH: usize = 12;
/// More than the buffer and the two kernels hold of what the office is shown, which is 3 MiB or so.
const BATCHES: usize = 50;
/// How long it may take until the stalled are cut off.
const CUT_MAX: Duration = Duration::from_mins(1);
/// How long nothing comes when nothing is on its way.
const QUIET: Duration = Duration::from_millis(500);
/// How long readers may take for a batch.
const BATCH_MAX: Duration = Duration::from_secs(30);

async fn viewers(app: &TestApp, chance: &mut StdRng, names: &[&str], count: usize, stalled: bool) -> Vec<Viewer> {
    let mut viewers = Vec::new();
    for number in 0..count {
        let email = email(names[number % names.len()]);
        let dice = StdRng::seed_from_u64(chance.random());
        let mut viewer = Viewer::new(number, &app.user_id(&email), app.token(&email).await, dice);
        viewer.wire.receive_bytes = stalled.then_some(65_536);
        viewer.connect(app.address).await;
        if let (Some(client), true) = (viewer.client(), stalled) {
            client.next("session:ready").await;
            client.pause();
        }
        viewers.push(viewer);
    }
    viewers
}

fn batch(chance: &mut StdRng, comment: &str) -> Value {
    let mut one = || {
        let contestant = ["x", "y", "z"][chance.random_range(0..3)];
        let mut mark = mark(contestant, "form", f64::from(chance.random_range(0..=20)) / 2.0);
        mark["comment"] = json!(comment);
        mark
    };
    json!({ "items": (0..BATCH).map(|_| one()).collect::<Vec<_>>() })
}

fn connected(app: &TestApp) -> i64 {
    app.app.metrics.connections_active.with_label_values(&["scoring"]).get()
}

/// As many stalled readers as the plan is large, beside five times as many who read.
pub async fn run(plan: Plan, traps: Traps) -> Report {
    let (mut report, mut chance) = (Report::new("stalled", plan), plan.chance());
    let trapped = traps != Traps::default();
    let app = TestApp::start_trapped(traps, |config| {
        generous(config);
        config.socket_buffer_max = BUFFER;
        if trapped {
            // Whoever sleeps wakes up on the connection they had, and sees what came after the loss.
            config.write_timeout_ms = 600_000;
        }
    })
    .await;
    app.import(people::document()).await;
    let panel = ["ben", "cleo", "head", "emcee", "both"];
    let mut readers = viewers(&app, &mut chance, &panel, plan.size * 5 - 2, false).await;
    readers.extend(viewers(&app, &mut chance, &["admin", "tally"], 2, false).await);
    let judge = app.connect(&email("ada")).await;
    let healthy = connected(&app);
    let mut stalled = viewers(&app, &mut chance, &["tally", "auditor", "board", "organizer"], plan.size, true).await;
    // The longest there is: the sooner is a buffer full, and the less has to be kept for the checker.
    let comment = "\u{1f3c5}".repeat(2_000);
    for number in 1..=BATCHES {
        let answer = judge.call("scores:submitBatch", batch(&mut chance, &comment)).await;
        assert_eq!(answer["ok"], true, "{answer}");
        let end = i64::try_from(number * BATCH).expect("a small number");
        let come = becomes(BATCH_MAX, async || {
            readers.iter_mut().for_each(Viewer::absorb);
            readers.iter().all(|reader| reader.knows("cat:vault") >= end)
        });
        if !come.await {
            report.findings.fault(format!("not all readers had mark {end} within {BATCH_MAX:?}"));
            break;
        }
    }
    if !trapped && !becomes(CUT_MAX, async || connected(&app) <= healthy).await {
        report.findings.fault(format!("{} of those who never read are still there", connected(&app) - healthy));
    }
    let cut = app.app.metrics.slow_consumers.with_label_values(&["scoring", "closed"]).get();
    // Whoever is cut off wakes up one day, and must find that nothing was left out.
    for sleeper in &mut stalled {
        sleeper.patience = if trapped { Duration::from_secs(4) } else { sleeper.patience };
        sleeper.client().inspect(|client| client.go_on());
    }
    if trapped {
        // What waited is read; what comes then shows what did not.
        let read = async |stalled: &mut Vec<Viewer>| {
            stalled.iter_mut().for_each(Viewer::absorb);
            stalled.iter().map(|sleeper| sleeper.knows("cat:vault")).sum::<i64>()
        };
        let mut before = -1;
        becomes(BATCH_MAX, async || {
            tokio::time::sleep(QUIET).await;
            let now = read(&mut stalled).await;
            std::mem::replace(&mut before, now) == now
        })
        .await;
        judge.call("scores:submitBatch", batch(&mut chance, &comment)).await;
        tokio::time::sleep(QUIET).await;
    }
    join_all(stalled.iter_mut().map(|sleeper| sleeper.converge(app.address))).await;
    let times = join_all(readers.iter_mut().map(|reader| reader.converge(app.address))).await;
    report.count("stalled", plan.size);
    report.count("readers", readers.len());
    report.count("cut off", usize::try_from(cut).expect("a count"));
    let transcripts: Vec<_> = readers.into_iter().chain(stalled).map(|viewer| viewer.transcript).collect();
    report.findings.add(Log::read(&app.app.db).await.judge(&transcripts, &[]));
    report.took("convergence", &times);
    app.stop().await;
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_never_read_hold_up_nobody() {
    run(Plan::short(10), Traps::default()).await.must_be_green();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_did_not_fit_and_was_forgotten_is_found() {
    run(Plan::short(1), Traps::of(Trap::EmitDropIgnored)).await.must_be_red();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long run, by make chaos"]
async fn long_stalled() {
    long("stalled", 2, 200, async |plan| run(plan, Traps::default()).await).await;
}
