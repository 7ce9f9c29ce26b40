//! Thousands who watch one event while results come as fast as they are taken in. Every viewer gets every change, each
//! where the last one ended, and has in the end what REST says. Some do not read for a while: they are told to read anew.

use super::{Plan, Report, becomes, generous, long};
use crate::support::TestApp;
use crate::support::people;
use crate::support::watch::Viewer;
use futures_util::future::join_all;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Those who start in the race.
const STARTERS: usize = 12;
/// Posts on the way at a time.
const AT_ONCE: usize = 8;
/// Frames a viewer may be behind before the next posts are made: less than may wait for one.
const BEHIND_MAX: i64 = 128;
/// How long viewers may take to come that near.
const BEHIND_TIME_MAX: Duration = Duration::from_mins(1);
/// How many connect at a time.
const CONNECT_AT_ONCE: usize = 100;

/// A viewer that reads on its own, and how far it has come.
struct Reader {
    seq: Arc<AtomicI64>,
    task: tokio::task::JoinHandle<Viewer>,
}

impl Reader {
    #[expect(clippy::disallowed_methods, reason = "a viewer is no task of the server")]
    fn start(mut viewer: Viewer, end: i64) -> Self {
        let seq = Arc::new(AtomicI64::new(viewer.folded.seq));
        let come = Arc::clone(&seq);
        let task = tokio::spawn(async move {
            while viewer.folded.seq < end {
                let frame = viewer.read().await;
                if frame.get("cut").is_some() || frame.get("close").is_some() {
                    break;
                }
                come.store(viewer.folded.seq, Ordering::Relaxed);
            }
            viewer
        });
        Self { seq, task }
    }
}

fn document() -> Value {
    let starter = |bib: usize| json!({ "id": format!("p{bib}"), "bib": bib, "name": format!("Racer {bib}") });
    json!({
        "event": { "id": "live", "mainTitle": "Live", "status": "startlist" },
        "races": [{ "id": "run", "raceType": "final", "participants": (1..=STARTERS).map(starter).collect::<Vec<_>>() }],
    })
}

/// A new time for somebody: it is always another than before, so that every post is a change.
fn post(chance: &mut StdRng, number: usize) -> Value {
    let time = 10_000 * i64::from(chance.random_range(1..=9)) + i64::try_from(number % 10_000).expect("a small number");
    let who = number % STARTERS + 1;
    json!({ "results": [{ "raceId": "run", "participantId": format!("p{who}"), "time": time, "pen": 0 }] })
}

/// Five changes for each of `plan.size` viewers.
pub async fn run(plan: Plan) -> Report {
    let (mut report, mut chance) = (Report::new("watch", plan), plan.chance());
    let changes = plan.size * 5;
    let app = TestApp::start_with(|config| {
        generous(config);
        config.rate_limit_ingest_per_minute = 100_000_000;
        config.rate_limit_public_reads_per_minute = 100_000_000;
        config.live_max_per_event = plan.size + 1;
        config.connections_per_address_max = plan.size + 1_000;
    })
    .await;
    app.import(people::document()).await;
    app.import(document()).await;
    let key = app.key("live").await;
    app.set_status("live", "running").await;
    let begun = app.public("/api/v1/events/live").await.headers["x-seq"].to_str().expect("a number").parse::<i64>();
    let end = begun.expect("a number") + i64::try_from(changes).expect("a count");

    let mut readers = Vec::new();
    while readers.len() < plan.size {
        let more = CONNECT_AT_ONCE.min(plan.size - readers.len());
        let come = join_all((0..more).map(|_| Viewer::watch(&app, "live"))).await;
        readers.extend(come.into_iter().map(|viewer| Reader::start(viewer, end)));
    }
    let mut posted = 0;
    while posted < changes {
        let count = AT_ONCE.min(changes - posted);
        let bodies: Vec<Value> = (posted..posted + count).map(|number| post(&mut chance, number)).collect();
        let answers = join_all(bodies.iter().map(|body| app.keyed(&key, "/api/v1/ingest/results", body))).await;
        if let Some(refused) = answers.iter().find(|answer| answer.body["accepted"] != json!(1)) {
            report.findings.fault(format!("a post was refused: {refused:?}"));
            break;
        }
        posted += count;
        let due = end - i64::try_from(changes - posted).expect("a count") - BEHIND_MAX;
        let near = async || readers.iter().all(|reader| reader.seq.load(Ordering::Relaxed) >= due);
        if !becomes(BEHIND_TIME_MAX, near).await {
            report.findings.fault(format!("not every viewer had come to {due} within {BEHIND_TIME_MAX:?}"));
            break;
        }
    }
    let said = app.public("/api/v1/events/live/results/run").await;
    for reader in readers {
        let viewer = reader.task.await.expect("a viewer does not panic");
        report.findings.deliveries += u64::try_from(viewer.diffs).expect("a count");
        report.findings.gaps += u64::try_from(viewer.gaps).expect("a count");
        if viewer.refreshes > 0 {
            report
                .findings
                .fault(format!("a viewer who read all the time was told to read anew {}x", viewer.refreshes));
        }
        if viewer.diffs != changes || viewer.gaps > 0 {
            report.findings.fault(format!("{} changes of {changes}, {} gaps", viewer.diffs, viewer.gaps));
        }
        if Some(&viewer.folded.of_race("run")) != said.body["items"].as_array() {
            report.findings.fault("a viewer shows something else than REST says".to_owned());
        }
    }
    report.count("viewers", plan.size);
    report.count("changes", changes);
    if !becomes(Duration::from_secs(20), async || {
        app.app.metrics.connections_active.with_label_values(&["live"]).get() == 0
    })
    .await
    {
        report.findings.fault("places of viewers who have left were not given back".to_owned());
    }
    app.stop().await;
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn every_viewer_gets_every_change() {
    run(Plan::short(60)).await.must_be_green();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long run, by make chaos"]
async fn long_watch() {
    long("watch", 1, 2_000, run).await;
}
