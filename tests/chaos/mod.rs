//! Chaos: seeded drivers that do to the real server what a bad day does, and a checker that knows nothing of them.
//!
//! A driver takes a [`Plan`] and comes back with a [`Report`]: transcripts of what every viewer got, judged by the
//! [checker](checker) against the log as it lies in the database at the end. Each has a short run here and a long one by
//! `make chaos`; the same seed makes the same choices, though not the same order of threads. A fault of the server that
//! is put back on purpose ([`Traps`](scorecast::traps::Traps)) must turn its driver's report red.

pub mod checker;
pub mod drain;
pub mod judge;
pub mod kill;
pub mod lives;
pub mod resume;
pub mod revoke;
pub mod stalled;
pub mod tape;
pub mod viewer;
pub mod watch;

use checker::Findings;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use scorecast::config::Config;
use std::fmt;
use std::time::{Duration, Instant};

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Where all choices come from.
    pub seed: u64,
    /// How much of it; each driver says of what.
    pub size: usize,
}

impl Plan {
    /// A short run: another seed each time.
    pub fn short(size: usize) -> Self {
        Self { seed: rand::random(), size }
    }

    /// The dice of the run.
    pub fn chance(self) -> StdRng {
        StdRng::seed_from_u64(self.seed)
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    pub driver: &'static str,
    pub plan: Plan,
    pub findings: Findings,
    /// What was done, by name.
    pub counts: Vec<(&'static str, u64)>,
    /// How long what took, in milliseconds.
    pub times: Vec<(&'static str, Vec<u64>)>,
}

impl Report {
    /// Nothing yet.
    pub fn new(driver: &'static str, plan: Plan) -> Self {
        Self { driver, plan, findings: Findings::default(), counts: Vec::new(), times: Vec::new() }
    }

    /// Adds to what was done.
    pub fn count(&mut self, name: &'static str, more: usize) {
        let more = u64::try_from(more).expect("a count");
        match self.counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += more,
            None => self.counts.push((name, more)),
        }
    }

    /// Adds how long something took.
    pub fn took(&mut self, name: &'static str, times: &[Duration]) {
        let millis = times.iter().map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        match self.times.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.extend(millis),
            None => self.times.push((name, millis.collect())),
        }
    }

    /// Adds another run of the same driver.
    pub fn add(&mut self, other: Self) {
        self.findings.add(other.findings);
        for (name, count) in other.counts {
            self.count(name, usize::try_from(count).expect("a count"));
        }
        for (name, times) in other.times {
            self.took(name, &times.into_iter().map(Duration::from_millis).collect::<Vec<_>>());
        }
    }

    /// What that much of the times stays below, in milliseconds.
    pub fn percentile(&self, name: &str, percent: usize) -> Option<u64> {
        let mut times = self.times.iter().find(|(known, _)| *known == name)?.1.clone();
        times.sort_unstable();
        times.get((times.len() * percent / 100).min(times.len().checked_sub(1)?)).copied()
    }

    /// Whether something is wrong.
    pub fn is_red(&self) -> bool {
        !self.findings.faults.is_empty()
    }

    /// Nothing may be wrong.
    #[track_caller]
    pub fn must_be_green(&self) {
        println!("{self}");
        assert!(!self.is_red(), "{self}");
    }

    /// What was put back must have been found.
    #[track_caller]
    pub fn must_be_red(&self) {
        println!("{self}");
        assert!(self.is_red(), "the driver does not see the fault that was put back: {self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, size } = self.plan;
        write!(f, "chaos {}: seed {seed}, size {size}; {}", self.driver, self.findings)?;
        self.counts.iter().try_for_each(|(name, count)| write!(f, "; {count} {name}"))?;
        for (name, _) in &self.times {
            if let (Some(half), Some(most)) = (self.percentile(name, 50), self.percentile(name, 99)) {
                write!(f, "; {name} p50 {half} ms, p99 {most} ms")?;
            }
        }
        self.findings.faults.iter().take(20).try_for_each(|fault| write!(f, "\n    {fault}"))
    }
}

/// Runs a driver again and again, each time with the next seed: `CHAOS_SCALE` times what is one unit of it.
pub async fn long(driver: &'static str, unit: usize, size: usize, run: impl AsyncFn(Plan) -> Report) {
    let first = setting("CHAOS_SEED").unwrap_or_else(rand::random);
    let rounds = setting("CHAOS_SCALE").unwrap_or(1) * u64::try_from(unit).expect("a number");
    let mut all = Report::new(driver, Plan { seed: first, size });
    for round in 0..rounds {
        let report = run(Plan { seed: first.wrapping_add(round), size }).await;
        report.must_be_green();
        all.add(report);
    }
    println!("TOTAL {all}");
}

#[expect(clippy::disallowed_methods, reason = "how long a test runs is no setting of the program")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Limits that a storm does not touch, and no snapshots: whatever was missed is told fact by fact.
pub fn generous(config: &mut Config) {
    config.rate_limit_scores_per_minute = 10_000_000;
    config.rate_limit_commands_per_minute = 10_000_000;
    config.rate_limit_lists_per_minute = 10_000_000;
    config.rate_limit_handshakes_per_minute = 10_000_000;
    config.resume_max_facts = 10_000_000;
    config.sockets_per_user_max = 100_000;
}

/// Looks again and again until it is so; false when it is not in time.
pub async fn becomes(limit: Duration, mut so: impl AsyncFnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !so().await {
        if begun.elapsed() > limit {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

/// Waits for a moment, not longer than that.
pub async fn a_moment(chance: &mut StdRng, millis_max: u64) {
    tokio::time::sleep(Duration::from_millis(chance.random_range(0..=millis_max))).await;
}
