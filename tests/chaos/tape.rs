//! A recording of four minutes, played as fast as it goes, at sixty times its speed and at its own: it comes to the same
//! results and the same course each time. It is here because it takes its time, not because it is broken on the way.

use super::{Plan, Report, long};
use crate::canoe::afternoon;

/// How long the recording is, in milliseconds.
const LENGTH_MS: u128 = 247_000;

/// Plays it at every speed.
pub async fn run(plan: Plan) -> Report {
    let mut report = Report::new("tape", plan);
    let times = afternoon(&[0, 60, 1]).await;
    if times[2].as_millis() < LENGTH_MS {
        report.findings.fault(format!("at its own speed it took {:?}", times[2]));
    }
    report.count("speeds", times.len());
    for (name, took) in ["as fast as it goes", "sixty times", "its own speed"].into_iter().zip(&times) {
        report.took(name, std::slice::from_ref(took));
    }
    report
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long run, by make chaos"]
async fn long_tape() {
    long("tape", 1, 1, run).await;
}
