//! `SIGTERM` while marks are submitted and viewers watch, some of whom never read: the server ends well and in time, and
//! the next one has all that was acknowledged.

use super::judge::Judge;
use super::viewer::Viewer;
use super::{Plan, Report, a_moment, kill, long};
use crate::support::process::ServerProcess;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a drain may take: ten seconds, and some for a machine that is busy with other tests.
const DRAIN_MAX: Duration = Duration::from_secs(15);

/// As many drains as the plan is large.
pub async fn run(plan: Plan) -> Report {
    let (mut report, mut chance) = (Report::new("drain", plan), plan.chance());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let setup = ServerProcess::settings(folder.path());
    setup.import(&kill::document());
    let mut judges: Vec<Judge> = kill::judges(&setup, &mut chance);
    let mut viewers: Vec<Viewer> = kill::viewers(&setup, &mut chance).await;
    let mut times = Vec::new();
    for _ in 0..plan.size {
        let server = setup.start();
        let (mut working, mut watching) = (JoinSet::new(), JoinSet::new());
        let gone = CancellationToken::new();
        for judge in judges.drain(..) {
            working.spawn(judge.work(server.address, usize::MAX));
        }
        for viewer in viewers.drain(..) {
            watching.spawn(viewer.watch(server.address, gone.clone()));
        }
        let mut sleepers = kill::viewers(&setup, &mut chance).await;
        for sleeper in &mut sleepers {
            sleeper.wire.receive_bytes = Some(65_536);
            sleeper.connect(server.address).await;
            sleeper.client().inspect(|client| client.pause());
        }
        a_moment(&mut chance, 200).await;
        let begun = Instant::now();
        let ended = tokio::task::spawn_blocking(move || server.terminate(DRAIN_MAX)).await.expect("it is waited for");
        times.push(begun.elapsed());
        if ended.is_none_or(|status| !status.success()) {
            report.findings.fault(format!("the server ended with {ended:?}"));
        }
        gone.cancel();
        judges = working.join_all().await;
        viewers = watching.join_all().await;
        judges.sort_by_key(|judge| judge.number);
        viewers.sort_by_key(|viewer| viewer.number);
    }
    report.count("drains", plan.size);
    kill::settle(&setup, judges, viewers, &mut report).await;
    report.took("drain", &times);
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_end_ends_well_and_keeps_its_word() {
    run(Plan::short(4)).await.must_be_green();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long run, by make chaos"]
async fn long_drain() {
    long("drain", 4, 50, async |plan| run(plan).await).await;
}
