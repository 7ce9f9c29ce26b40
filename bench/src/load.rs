//! The loads: so many submits in flight, so many a second, so many connections.

use crate::speech::{Caller, Speech};
use crate::swarm::{NUMBERS, Swarm};
use anyhow::{Context, bail, ensure};
use std::time::{Duration, Instant};

/// How long nothing may happen before a server counts as hanging.
const STALL_MAX: Duration = Duration::from_secs(10);
/// Longest wait for the next wake-up, where nothing is measured.
const TICK: Duration = Duration::from_millis(20);
/// While something is measured nobody sleeps here: over loopback whoever sends wakes whoever receives, and that would
/// count as the server's time, the more the slower it is.
const AWAKE: Duration = Duration::ZERO;

/// Everybody of an event: judges first, then viewers. All of them are members of the category.
pub struct Hall {
    /// All connections.
    pub swarm: Swarm,
    /// The connections that submit.
    pub judges: Vec<usize>,
    /// How many get every delivery.
    pub members: u64,
    /// What a connection submits under a number.
    pub payload: fn(u64, usize) -> String,
}

/// How a load went.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Submits that were acknowledged and delivered to everybody.
    pub submits: u64,
    /// Deliveries in all.
    pub deliveries: u64,
    /// Bytes of payload in them.
    pub bytes: u64,
    /// Seconds from the first submit to the last delivery.
    pub seconds: f64,
    /// From submit to delivery, sampled, in nanoseconds, sorted.
    pub latencies: Vec<u64>,
}

impl Outcome {
    /// A quantile of the sampled latencies, in milliseconds.
    pub fn latency_ms(&self, quantile: f64) -> Option<f64> {
        let last = self.latencies.len().checked_sub(1)?;
        let at = (last as f64 * quantile).round() as usize;
        Some(self.latencies[at] as f64 / 1e6)
    }
}

/// Connects everybody, so many at once; seconds it took.
///
/// # Errors
/// When one is refused, or the server hangs.
pub fn gather(
    swarm: &mut Swarm,
    callers: &mut dyn Iterator<Item = (Speech, Caller, bool)>,
    count: usize,
    at_once: usize,
) -> anyhow::Result<f64> {
    let began = Instant::now();
    let (mut asked, before) = (0, swarm.heap.ready);
    let mut moved = Instant::now();
    loop {
        let ready = swarm.heap.ready - before;
        while asked < count && asked - ready < at_once {
            let Some((speech, caller, sampled)) = callers.next() else { bail!("too few callers") };
            swarm.connect(speech, caller, sampled)?;
            asked += 1;
        }
        if ready == count {
            return Ok(began.elapsed().as_secs_f64());
        }
        swarm.turn(AWAKE)?;
        let complaint = swarm.heap.complaint.as_deref().unwrap_or("no reason");
        ensure!(swarm.heap.gone == 0, "a connection was refused ({} were ready): {complaint}", swarm.heap.ready);
        if swarm.heap.ready - before > ready {
            moved = Instant::now();
        }
        ensure!(moved.elapsed() < STALL_MAX, "connecting stalled at {ready} of {count}: {complaint}");
    }
}

impl Hall {
    /// Lets what is under way arrive, and forgets it.
    ///
    /// # Errors
    /// When the poll fails.
    pub fn settle(&mut self, quiet: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + quiet;
        while Instant::now() < until {
            self.swarm.turn(TICK)?;
        }
        self.forget();
        Ok(())
    }

    fn forget(&mut self) {
        let heap = &mut self.swarm.heap;
        (heap.deliveries, heap.bytes, heap.refused) = (0, 0, 0);
        heap.acks.clear();
        heap.latencies.clear();
    }

    /// Submits as long as `for_how_long`, never more than `in_flight` at once: one is in flight until it is acknowledged
    /// and everybody has it. Each judge's connection has at most one.
    ///
    /// # Errors
    /// When the server refuses, loses or hangs.
    pub fn keep_in_flight(&mut self, in_flight: u64, for_how_long: Duration) -> anyhow::Result<Outcome> {
        self.forget();
        let mut idle: Vec<usize> = self.judges.iter().rev().copied().collect();
        let (mut submitted, mut acked) = (0_u64, 0_u64);
        let began = Instant::now();
        let mut moved = (began, 0, 0);
        loop {
            // Where nobody is counted, an acknowledgement is all that is waited for.
            let everywhere = self.swarm.heap.deliveries.checked_div(self.members).unwrap_or(acked);
            let done = acked.min(everywhere);
            let over = began.elapsed() >= for_how_long;
            while !over && submitted - done < in_flight {
                let Some(judge) = idle.pop() else { break };
                self.swarm.submit(judge, self.payload);
                submitted += 1;
            }
            if over && done == submitted {
                break;
            }
            self.swarm.turn(AWAKE)?;
            let acks = std::mem::take(&mut self.swarm.heap.acks);
            acked += acks.len() as u64;
            idle.splice(0..0, acks);
            self.check()?;
            if (moved.1, moved.2) != (acked, self.swarm.heap.deliveries) {
                moved = (Instant::now(), acked, self.swarm.heap.deliveries);
            }
            let missing = || {
                let wanted = submitted * self.members;
                format!(
                    "stalled: {acked} of {submitted} acknowledged, {} of {wanted} delivered",
                    self.swarm.heap.deliveries
                )
            };
            ensure!(moved.0.elapsed() < STALL_MAX, "{}", missing());
        }
        Ok(self.outcome(submitted, began))
    }

    /// Submits so many times a second, whatever is still under way, and waits for the last delivery.
    ///
    /// # Errors
    /// When the server refuses, loses or hangs.
    pub fn keep_pace(&mut self, per_second: u64, for_how_long: Duration) -> anyhow::Result<Outcome> {
        self.forget();
        let began = Instant::now();
        let count = (for_how_long.as_secs_f64() * per_second as f64) as u64;
        let due = |number: u64| began + Duration::from_secs_f64(number as f64 / per_second as f64);
        let (mut submitted, mut acked) = (0_u64, 0_u64);
        while submitted < count || acked < submitted || self.swarm.heap.deliveries < submitted * self.members {
            let now = Instant::now();
            if submitted < count && now >= due(submitted) {
                let judge = self.judges[usize::try_from(submitted)? % self.judges.len()];
                self.swarm.submit(judge, self.payload);
                submitted += 1;
                continue;
            }
            self.swarm.turn(AWAKE)?;
            acked += std::mem::take(&mut self.swarm.heap.acks).len() as u64;
            self.check()?;
            let late = began.elapsed().saturating_sub(for_how_long);
            let delivered = self.swarm.heap.deliveries;
            ensure!(late < STALL_MAX, "stalled: {delivered} of {} delivered", submitted * self.members);
        }
        Ok(self.outcome(submitted, began))
    }

    fn check(&self) -> anyhow::Result<()> {
        let heap = &self.swarm.heap;
        let complaint = heap.complaint.as_deref().unwrap_or("no reason");
        ensure!(heap.refused == 0, "a submit was refused: {complaint}");
        ensure!(heap.gone == 0, "the server cut {} connections: {complaint}", heap.gone);
        Ok(())
    }

    fn outcome(&mut self, submits: u64, began: Instant) -> Outcome {
        let mut latencies = std::mem::take(&mut self.swarm.heap.latencies);
        latencies.sort_unstable();
        let (deliveries, bytes) = (self.swarm.heap.deliveries, self.swarm.heap.bytes);
        Outcome { submits, deliveries, bytes, seconds: began.elapsed().as_secs_f64(), latencies }
    }
}

/// A mark for the category everybody is in, for one of its contestants.
pub fn mark(number: u64, _: usize) -> String {
    mark_in("final", number)
}

/// A mark a server that passes on what it is given makes frames of, as long as those of Scorecast.
pub fn long_mark(number: u64, judge: usize) -> String {
    let criterion = format!("\"criterionId\":\"form{}\"", "-".repeat(118));
    mark(number, judge).replace("\"criterionId\":\"form\"", &criterion)
}

/// A mark for the category of the judge's own.
pub fn mark_at_desk(number: u64, judge: usize) -> String {
    mark_in(&format!("desk{judge}"), number)
}

fn mark_in(category: &str, number: u64) -> String {
    format!(
        "{{\"commandId\":\"00000000-0000-4000-8000-{:012x}\",\"categoryId\":\"{category}\",\"contestantId\":\"k{:04}\",\
         \"criterionId\":\"form\",\"score\":{}.{:02}}}",
        number + 1,
        number % NUMBERS as u64,
        1 + number / 25 % 9,
        number % 25 * 4,
    )
}

/// What the others deliver, for servers that pass on what they are given: the mark of a fellow judge.
pub fn view(number: u64, _: usize) -> String {
    format!(
        "{{\"id\":\"01995f2e-7c1a-7d33-9b5e-3f6f0a5c7e11\",\"categoryId\":\"final\",\"contestId\":\"gala\",\"eventId\":\"cup\",\
         \"contestantId\":\"k{:04}\",\"judgeId\":\"01995f2e-7c1a-7d33-9b5e-0123456789ab\",\"criterionId\":\"form\",\
         \"score\":null,\"masked\":true,\"status\":\"submitted\",\"version\":{number},\
         \"updatedAt\":\"2026-01-01T00:00:00.000Z\"}}",
        number % NUMBERS as u64,
    )
}

/// A result of a race. The totals of its boats stand, each a second behind the one before; what changes with every
/// number is what was read at the gates, so each result changes one line and no place.
pub fn result(number: u64, _: usize) -> String {
    let boat = boat(number);
    let total = 10_000 + 100 * boat;
    let gates = [number % 1000, number / 1000 % 1000, number / 1_000_000];
    format!(
        "{{\"results\":[{{\"raceId\":\"r1\",\"participantId\":\"p{boat}\",\"bib\":{boat},\"time\":{total},\"pen\":0,\
         \"total\":{total},\"gates\":{gates:?}}}]}}"
    )
}

/// Which boat a result is of: its number, 1 to 64, tells the submit's.
fn boat(number: u64) -> u64 {
    match number % NUMBERS as u64 {
        0 => NUMBERS as u64,
        other => other,
    }
}

/// How long one write of so many bytes at the end of a file takes to reach the disk, with a pause after each, in
/// milliseconds: median and 99th of a hundred, the slowest of fewer.
///
/// # Errors
/// When the file cannot be written.
pub fn fsync_ms(folder: &std::path::Path, bytes: usize, pause: Duration, times: usize) -> anyhow::Result<(f64, f64)> {
    use std::io::Write as _;
    let path = folder.join("fsync.probe");
    let mut file = std::fs::File::create(&path).context("no file beside the databases")?;
    let (mut took, block) = (Vec::new(), vec![7; bytes]);
    for _ in 0..times {
        let began = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(pause);
    }
    std::fs::remove_file(path)?;
    took.sort_by(f64::total_cmp);
    let last = took.len().saturating_sub(1);
    Ok((took[last / 2], took[(last as f64 * 0.99).round() as usize]))
}
