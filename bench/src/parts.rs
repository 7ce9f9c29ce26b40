//! What is measured, part by part. Within a repetition the servers take turns, so that a slow minute hits all of them.

use crate::load::{Hall, Outcome, fsync_ms, gather, long_mark, mark, mark_at_desk, result, view};
use crate::peers::{House, Peer, Yard};
use crate::process::{Cpu, segments};
use crate::record::Part;
use crate::scorecast::Scale;
use crate::speech::Speech;
use crate::swarm::{NUMBERS, Swarm};
use anyhow::{Context, ensure};
use std::time::{Duration, Instant};

/// How thorough a run is.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Repetitions of everything.
    pub repeats: usize,
    /// Whether it is a trial of two minutes.
    pub quick: bool,
}

impl Effort {
    fn pick<T>(self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    fn seconds(self, quick: f64, full: f64) -> Duration {
        Duration::from_secs_f64(self.pick(quick, full))
    }
}

/// A part: its name, what it tells, who takes part, and how one of them is measured.
pub struct Plan {
    /// In `BENCH_ONLY` and in the names of files.
    pub key: &'static str,
    /// Most repetitions that are worth their time.
    pub repeats_max: usize,
    /// Who takes part.
    pub peers: &'static [Peer],
    /// One repetition with one of them.
    pub measure: fn(&Yard, Peer, Effort, &mut Part) -> anyhow::Result<()>,
}

/// Why a server is left out that was not named in `BENCH_PEERS`.
pub const NOT_ASKED_FOR: &str = "not asked for";

/// All parts, in their order.
pub const PLANS: [Plan; 6] = [
    Plan { key: "fanout", repeats_max: 9, peers: &Peer::ALL, measure: fanout },
    Plan { key: "connections", repeats_max: 3, peers: Peer::CONNECTED, measure: connections },
    Plan {
        key: "durable",
        repeats_max: 9,
        peers: &[Peer::Scorecast, Peer::ScorecastFeed, Peer::Founding],
        measure: durable,
    },
    Plan {
        key: "modest",
        repeats_max: 3,
        peers: &[Peer::Scorecast, Peer::Founding, Peer::HubDurable],
        measure: modest,
    },
    Plan { key: "resume", repeats_max: 9, peers: &[Peer::Scorecast], measure: resume },
    Plan {
        key: "growth",
        repeats_max: 3,
        peers: &[Peer::Scorecast, Peer::Node, Peer::Nats, Peer::Hub],
        measure: growth,
    },
];

/// Viewers and judges of the first part, together.
pub const MEMBERS: usize = 1000;
/// Connections that submit in the first part.
const JUDGES: usize = 32;
/// Connections asked for at once.
const AT_ONCE: usize = 64;
/// Every so manieth viewer's deliveries are timed.
const SAMPLED_EVERY: usize = 50;
/// How long a server is left alone before what it holds is looked at.
const REST: Duration = Duration::from_millis(300);

/// Fills a house: `judges` connections that submit, and viewers up to `members` of them together.
fn fill(house: &House, judges: usize, members: usize, sampled_every: usize) -> anyhow::Result<Hall> {
    let mut swarm = Swarm::new(house.server.address)?;
    gather(&mut swarm, &mut (0..judges).map(|number| house.judge(number)), judges, AT_ONCE)?;
    let feed = house.peer == Peer::ScorecastFeed;
    let viewers = if feed { members } else { members - judges };
    let mut callers = (0..viewers).map(|number| house.viewer(number, number % sampled_every == sampled_every - 1));
    gather(&mut swarm, &mut callers, viewers, AT_ONCE)?;
    let payload = match house.peer.speech() {
        Speech::Feed | Speech::Http => result,
        Speech::Nats | Speech::Mqtt => view,
        Speech::Plain if house.peer == Peer::HubDurable => long_mark,
        Speech::SocketIo { .. } | Speech::Plain => mark,
    };
    let mut hall = Hall { swarm, judges: (0..judges).collect(), members: members as u64, payload };
    // The founding document lets a socket into its rooms after it has been admitted.
    hall.settle(2 * REST)?;
    if feed {
        // Every boat has its place before it counts: until then a result moves others.
        let mut given = 0;
        while given < NUMBERS as u64 {
            given += hall.keep_in_flight(8, REST)?.submits;
        }
    }
    Ok(hall)
}

/// What so many submits in flight took.
struct Burst {
    outcome: Outcome,
    cpu: Cpu,
    /// Segments the server sent, more or less: those of the load are taken off, one a submit.
    segments: f64,
}

fn burst(house: &House, hall: &mut Hall, in_flight: u64, time: Duration) -> anyhow::Result<Burst> {
    let (before, sent) = (house.server.cpu()?, segments()?);
    let outcome = hall.keep_in_flight(in_flight, time)?;
    let (after, segments) = (house.server.cpu()?, segments()? - sent - outcome.submits as f64);
    ensure!(outcome.submits > 0, "nothing was submitted");
    let cpu = Cpu { total: after.total - before.total, kernel: after.kernel - before.kernel };
    Ok(Burst { outcome, cpu, segments })
}

fn note_burst(part: &mut Part, peer: Peer, case: &str, burst: &Burst) {
    let Burst { outcome, cpu, segments } = burst;
    let deliveries = outcome.deliveries as f64;
    part.note(peer.key(), case, "cpu_us", cpu.total * 1e6 / deliveries);
    part.note(peer.key(), case, "kernel_us", cpu.kernel * 1e6 / deliveries);
    part.note(peer.key(), case, "together", deliveries / segments);
    part.note(peer.key(), case, "per_second", deliveries / outcome.seconds);
    part.note(peer.key(), case, "bytes", outcome.bytes as f64 / deliveries);
    part.note(peer.key(), case, "cores", cpu.total / outcome.seconds);
}

/// A thousand members: one submit in flight, eight, 32; then five judges at a fixed pace.
fn fanout(yard: &Yard, peer: Peer, effort: Effort, part: &mut Part) -> anyhow::Result<()> {
    let house = yard.open(peer)?;
    let mut hall = fill(&house, JUDGES, MEMBERS, SAMPLED_EVERY)?;
    hall.keep_in_flight(8, effort.seconds(0.3, 1.0))?;
    for in_flight in [1, 8, 32] {
        hall.settle(REST)?;
        let burst = burst(&house, &mut hall, in_flight, effort.seconds(0.8, 3.0))?;
        note_burst(part, peer, &format!("W={in_flight}"), &burst);
    }
    if peer == Peer::HubTogether {
        let payload = std::mem::replace(&mut hall.payload, long_mark);
        for in_flight in [1, 8, 32] {
            hall.settle(REST)?;
            let burst = burst(&house, &mut hall, in_flight, effort.seconds(0.8, 3.0))?;
            note_burst(part, peer, &format!("W={in_flight}, long"), &burst);
        }
        hall.payload = payload;
    }
    hall.judges.truncate(5);
    for per_second in [10, 20] {
        hall.settle(REST)?;
        let outcome = hall.keep_pace(per_second, effort.seconds(2.0, 10.0))?;
        let case = format!("{per_second}/s");
        for (metric, quantile) in [("p50_ms", 0.50), ("p99_ms", 0.99)] {
            part.note(peer.key(), &case, metric, outcome.latency_ms(quantile).context("nothing was timed")?);
        }
    }
    Ok(())
}

/// Ten thousand who come, are greeted and stay: how many a second, at what cost, and what each holds.
fn connections(yard: &Yard, peer: Peer, effort: Effort, part: &mut Part) -> anyhow::Result<()> {
    let count = effort.pick(2_000, 10_000);
    let house = yard.open(peer)?;
    let mut swarm = Swarm::new(house.server.address)?;
    // A first few, so that what a server makes once is not counted.
    gather(&mut swarm, &mut (0..100).map(|number| house.viewer(number, false)), 100, AT_ONCE)?;
    std::thread::sleep(REST);
    let (memory, cpu) = (house.server.memory_bytes()?, house.server.cpu_seconds()?);
    let seconds = gather(&mut swarm, &mut (100..).map(|number| house.viewer(number, false)), count, AT_ONCE)?;
    let until = Instant::now() + effort.seconds(1.0, 3.0);
    let cpu = house.server.cpu_seconds()? - cpu;
    while Instant::now() < until {
        swarm.turn(Duration::from_millis(50))?;
    }
    ensure!(swarm.heap.gone == 0, "{} connections were lost", swarm.heap.gone);
    let held = house.server.memory_bytes()? - memory;
    let case = "idle";
    part.note(peer.key(), case, "count", swarm.len() as f64 - 100.0);
    part.note(peer.key(), case, "per_second", count as f64 / seconds);
    part.note(peer.key(), case, "cpu_us", cpu * 1e6 / count as f64);
    part.note(peer.key(), case, "bytes", held / count as f64);
    Ok(())
}

/// Marks that are on the disk when they are acknowledged, each judge in a category of their own; and results of a race
/// that nobody watches.
fn durable(yard: &Yard, peer: Peer, effort: Effort, part: &mut Part) -> anyhow::Result<()> {
    let desks = 64;
    let house = yard.open_scaled(peer, Scale { desks, ..Scale::default() })?;
    let mut swarm = Swarm::new(house.server.address)?;
    gather(&mut swarm, &mut (0..desks).map(|number| house.judge(number)), desks, AT_ONCE)?;
    let payload = if peer == Peer::ScorecastFeed { result } else { mark_at_desk };
    let mut hall = Hall { swarm, judges: (0..desks).collect(), members: 0, payload };
    hall.settle(2 * REST)?;
    hall.keep_in_flight(8, effort.seconds(0.3, 1.0))?;
    for in_flight in [1, 8, 64] {
        hall.settle(REST)?;
        let Burst { outcome, cpu, .. } = burst(&house, &mut hall, in_flight, effort.seconds(1.0, 4.0))?;
        let case = format!("W={in_flight}");
        part.note(peer.key(), &case, "per_second", outcome.submits as f64 / outcome.seconds);
        part.note(peer.key(), &case, "cpu_us", cpu.total * 1e6 / outcome.submits as f64);
        part.note(peer.key(), &case, "kernel_us", cpu.kernel * 1e6 / outcome.submits as f64);
    }
    Ok(())
}

/// How long all commits have taken together, in seconds, and how many there were; of Scorecast, which says so.
fn commits(house: &House) -> anyhow::Result<Option<(f64, f64)>> {
    if house.peer != Peer::Scorecast {
        return Ok(None);
    }
    let of = |what: &str| house.server.metric(&format!("scorecast_commit_duration_seconds_{what}"));
    Ok(Some((of("sum")?, of("count")?)))
}

/// Five judges, ten marks a second, twenty viewers; and what the disk takes for one small write, just before and after.
fn modest(yard: &Yard, peer: Peer, effort: Effort, part: &mut Part) -> anyhow::Result<()> {
    let house = yard.open(peer)?;
    let mut hall = fill(&house, 5, 25, 1)?;
    let probes = effort.pick(50, 200);
    let small = || fsync_ms(&yard.scratch, 4096, Duration::from_millis(5), probes);
    let before = small()?;
    hall.keep_pace(10, effort.seconds(0.5, 1.0))?;
    let (case, commits_before, cpu_before) = ("10/s", commits(&house)?, house.server.cpu_seconds()?);
    let written_before = house.server.written_bytes()?;
    let outcome = hall.keep_pace(10, effort.seconds(3.0, 20.0))?;
    let (cpu, written) = (house.server.cpu_seconds()? - cpu_before, house.server.written_bytes()? - written_before);
    let commits = commits(&house)?;
    part.note(peer.key(), case, "cpu_ms", cpu * 1e3 / outcome.submits as f64);
    if let (Some((seconds, count)), Some((seconds_before, count_before))) = (commits, commits_before) {
        part.note(peer.key(), case, "commit_ms", (seconds - seconds_before) * 1e3 / (count - count_before));
    }
    let after = small()?;
    for (metric, quantile) in [("p50_ms", 0.50), ("p99_ms", 0.99)] {
        part.note(peer.key(), case, metric, outcome.latency_ms(quantile).context("nothing was timed")?);
    }
    if peer == Peer::Scorecast {
        // The disk alone, with as much at once, as seldom.
        let bytes = written / outcome.submits as f64;
        let (p50, p99) = fsync_ms(&yard.scratch, bytes as usize, Duration::from_millis(100), effort.pick(20, 100))?;
        for (metric, value) in [("bytes", bytes), ("p50_ms", p50), ("p99_ms", p99)] {
            part.note("disk", "10/s", metric, value);
        }
    }
    part.note("disk", peer.key(), "p50_ms", f64::midpoint(before.0, after.0));
    part.note("disk", peer.key(), "p99_ms", f64::midpoint(before.1, after.1));
    Ok(())
}

/// Facts a viewer has missed.
const MISSED: u64 = 1000;

/// Viewers who come back one after the other and are sent what they have missed.
fn resume(yard: &Yard, peer: Peer, effort: Effort, part: &mut Part) -> anyhow::Result<()> {
    let house = yard.open(peer)?;
    let mut hall = fill(&house, 8, 8, SAMPLED_EVERY)?;
    let mut given = 0;
    while given < MISSED {
        given += hall.keep_in_flight(8, Duration::from_millis(200))?.submits;
    }
    let mut swarm = Swarm::new(house.server.address)?;
    let viewers = effort.pick(40, 200);
    // Not the office: it would be sent tallies besides.
    gather(&mut swarm, &mut (2..).map(|number| house.viewer(number, false)), viewers, AT_ONCE)?;
    let greeting = swarm.heap.greeting.take().context("nobody was greeted")?;
    let (epoch, seq) = lane(&greeting).context("the greeting does not name the lane")?;
    let wish = serde_json::json!(["sync:resume", {"lanes": {"cat:final": {"epoch": epoch, "seq": seq - MISSED}}}]);
    let mut hall = Hall { swarm, judges: Vec::new(), members: 0, payload: mark };
    hall.settle(REST)?;
    let (cpu, began) = (house.server.cpu_seconds()?, Instant::now());
    for viewer in 0..viewers {
        hall.swarm.say(viewer, &format!("420{wish}"));
        let asked = Instant::now();
        let wanted = (viewer as u64 + 1) * MISSED;
        while hall.swarm.heap.acks.len() <= viewer || hall.swarm.heap.deliveries < wanted {
            hall.swarm.turn(Duration::from_millis(20))?;
            let heap = &hall.swarm.heap;
            let (refused, complaint) = (heap.refused + heap.gone as u64, heap.complaint.as_deref().unwrap_or_default());
            ensure!(refused == 0, "a resume was refused: {complaint}");
            ensure!(asked.elapsed() < Duration::from_secs(10), "{} of {wanted} facts came", heap.deliveries);
        }
    }
    let (cpu, took) = (house.server.cpu_seconds()? - cpu, began.elapsed());
    part.note(peer.key(), "1000", "cpu_ms", cpu * 1e3 / viewers as f64);
    part.note(peer.key(), "1000", "took_ms", took.as_secs_f64() * 1e3 / viewers as f64);
    Ok(())
}

/// Epoch and place of the lane of the final, from `session:ready`.
fn lane(greeting: &str) -> Option<(String, u64)> {
    let parsed: serde_json::Value = serde_json::from_str(greeting.trim_start_matches("42")).ok()?;
    let lane = parsed[1]["lanes"].as_array()?.iter().find(|lane| lane["lane"] == "cat:final")?;
    Some((lane["epoch"].as_str()?.to_owned(), lane["seq"].as_u64()?))
}

/// Facts of a long log.
const LONG_LOG: u64 = 100_000;
/// Categories of a large event.
const MANY_CATEGORIES: usize = 500;
/// Files this process needs besides its connections.
const OTHER_FILES: usize = 500;

/// More viewers; more rooms and lanes; a longer log.
fn growth(yard: &Yard, peer: Peer, effort: Effort, part: &mut Part) -> anyhow::Result<()> {
    let most = files_max()?.saturating_sub(OTHER_FILES).min(20_000);
    let steps = effort.pick(vec![1_000, 3_000], vec![1_000, 5_000, 10_000, most]);
    for members in steps {
        let house = yard.open(peer)?;
        grown(&house, members, &members.to_string(), effort, part)?;
    }
    if peer == Peer::Scorecast {
        let scale = Scale { other_categories: effort.pick(50, MANY_CATEGORIES), ..Scale::default() };
        part.note(peer.key(), "rooms", "categories", scale.other_categories as f64);
        let house = yard.open_scaled(peer, scale)?;
        grown(&house, MEMBERS, "rooms", effort, part)?;
        part.note(peer.key(), "rooms", "hats_cpu_ms", greeting_cpu_ms(&house)?);
        let house = yard.open(peer)?;
        let (mut given, began) = (0, Instant::now());
        {
            let mut judges = fill(&house, JUDGES, JUDGES, SAMPLED_EVERY)?;
            while given < effort.pick(5_000, LONG_LOG) && began.elapsed() < Duration::from_secs(90) {
                given += judges.keep_in_flight(32, Duration::from_secs(1))?.submits;
            }
        }
        part.note(peer.key(), "log", "facts", given as f64);
        grown(&house, MEMBERS, "log", effort, part)?;
    }
    Ok(())
}

/// Sign-ins by somebody with a hat on every other category.
const MANY_HATS: usize = 20;

/// Server time for one of them, in ms.
fn greeting_cpu_ms(house: &House) -> anyhow::Result<f64> {
    let mut swarm = Swarm::new(house.server.address)?;
    let caller = || house.everywhere().context("nobody judges everywhere");
    let before = house.server.cpu_seconds()?;
    for _ in 0..MANY_HATS {
        gather(&mut swarm, &mut std::iter::once(caller()?), 1, 1)?;
    }
    Ok((house.server.cpu_seconds()? - before) * 1e3 / MANY_HATS as f64)
}

fn grown(house: &House, members: usize, case: &str, effort: Effort, part: &mut Part) -> anyhow::Result<()> {
    let mut hall = fill(house, 8, members, SAMPLED_EVERY)?;
    hall.keep_in_flight(8, effort.seconds(0.3, 1.0))?;
    hall.settle(REST)?;
    let burst = burst(house, &mut hall, 8, effort.seconds(1.0, 4.0))?;
    note_burst(part, house.peer, case, &burst);
    Ok(())
}

/// Files a process may have open.
fn files_max() -> anyhow::Result<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).context("no limit of files")?;
    let soft = line.split_whitespace().next().context("no soft limit")?;
    Ok(soft.parse().unwrap_or(usize::MAX))
}
