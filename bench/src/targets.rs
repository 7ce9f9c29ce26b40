//! What was aimed at, compared with what was measured. Verdicts are computed. Why a target is missed stands here, beside
//! it, and is shown only when it is; a cause is named only once it has been measured.

use crate::record::Part;
use crate::svg::{figure, shown};
use std::collections::BTreeMap;

/// All parts that were measured, by their keys.
pub type Parts = BTreeMap<&'static str, Part>;

/// One target.
pub struct Target {
    /// What it is about.
    pub what: String,
    /// As it was set.
    pub aim: &'static str,
    /// What was measured, and how much of it is allowed: both in the same unit.
    pub measured: Option<(f64, f64)>,
    /// Whether more is better.
    pub more: bool,
    /// Unit of both.
    pub unit: &'static str,
    /// Why it is missed, where it is.
    pub reason: String,
}

impl Target {
    /// Whether it is met; none when it was not measured.
    pub fn met(&self) -> Option<bool> {
        self.measured.map(|(measured, limit)| if self.more { measured >= limit } else { measured <= limit })
    }

    /// `met`, or by how much it is missed.
    pub fn verdict(&self) -> String {
        match (self.met(), self.measured) {
            (Some(true), _) => "met".to_owned(),
            (Some(false), Some((measured, limit))) => {
                let off = if self.more { limit / measured } else { measured / limit };
                format!("**missed** by a factor of {}", figure(off))
            }
            _ => "not measured".to_owned(),
        }
    }
}

/// Where nobody has looked yet. A guess does not belong beside what was measured.
const UNKNOWN: &str = "Not looked into yet.";

/// Members every submit of the first part is delivered to.
const MEMBERS: f64 = crate::parts::MEMBERS as f64;

/// Something that does less than we do, beside what the target allows.
fn beside(what: &str, needs: Option<f64>, unit: &str, allowed: Option<f64>) -> String {
    let Some((needs, allowed)) = needs.zip(allowed) else { return String::new() };
    let (said, limit) = (format!("{what}: {} {unit}", figure(needs)), figure(allowed));
    if needs > allowed {
        format!(" **{said}, more than the {limit} allowed.**")
    } else {
        let left = figure(allowed - needs);
        format!(" **{said}, within the {limit} allowed, which leaves {left} {unit} for all that it does not do.**")
    }
}

/// Where the time of a delivery goes, by what was measured beside it in the same run; what it would be if we were the hub
/// that writes as we do (on the scoring plane with frames as long as ours) and had a submit durable as we do; and what it
/// would be if there were nothing outside the kernel but that submit.
fn spent(parts: &Parts, case: &str, ours: &str, allowed: Option<f64>) -> String {
    let of = |server: &str, metric: &str| parts.get("fanout")?.median(server, case, metric);
    let busiest = if case == "W=32" { "W=64" } else { case };
    let command = |metric: &str| parts.get("durable")?.median(ours, busiest, metric);
    let share = command("cpu_us").map(|us| us / MEMBERS);
    let outside = share.zip(command("kernel_us")).map(|(share, kernel)| share - kernel / MEMBERS);
    let bare = of(ours, "kernel_us").zip(outside).map(|(kernel, outside)| kernel + outside);
    let rest = of(ours, "cpu_us").zip(share).map(|(all, share)| all - share);
    let of_long = |metric: &str| parts.get("fanout")?.median("hub-together", &format!("{case}, long"), metric);
    let writes = if ours == "scorecast" { of_long("cpu_us") } else { of("hub-together", "cpu_us") };
    let least = writes.zip(share).map(|(writes, share)| writes + share);
    let said = format!(
        "At {case} a delivery takes {} µs, {} of them in the kernel, {} leave together. To read, decide, \
         commit and answer one submit takes {} µs, {} of them in the kernel, in the durable part ({busiest}; with its judge's \
         own delivery, so it is an upper bound), {} µs a delivery; the hub reads and answers. Without it {} µs are left, for \
         frames of {} bytes; the hub needs {} µs, {} of them in the kernel, for {} bytes, {} together. One that writes by \
         `io_uring`, as Scorecast does, needs {} µs, and {} µs for {} bytes, or {} µs if it waits for the disk.",
        shown(of(ours, "cpu_us")),
        shown(of(ours, "kernel_us")),
        shown(of(ours, "together")),
        shown(command("cpu_us")),
        shown(command("kernel_us")),
        shown(share),
        shown(rest),
        shown(of(ours, "bytes")),
        shown(of("hub", "cpu_us")),
        shown(of("hub", "kernel_us")),
        shown(of("hub", "bytes")),
        shown(of("hub", "together")),
        shown(of("hub-together", "cpu_us")),
        shown(of_long("cpu_us")),
        shown(of_long("bytes")),
        shown(of("hub-durable", "cpu_us")),
    );
    said + &beside("The writes of that hub and our durable part together", least, "µs", allowed)
        + &beside("What the kernel takes of ours, and the durable part outside of it", bare, "µs", allowed)
}

/// What a commit of ours takes at modest load, what the hub that waits for the disk takes to append to its file, and by how
/// much ours is more, in ms.
fn commits(parts: &Parts) -> (Option<f64>, Option<f64>, Option<f64>) {
    let modest = |server: &str, case: &str, metric: &str| parts.get("modest")?.median(server, case, metric);
    let (commit, append) = (modest("scorecast", "10/s", "commit_ms"), modest("disk", "scorecast", "p50_ms"));
    (commit, append, commit.zip(append).map(|(commit, append)| commit - append))
}

/// What a submit takes to another viewer at modest load; and what it would if the hub that waits for the disk committed as we
/// do.
fn modest(parts: &Parts, allowed: Option<f64>) -> String {
    let of = |server: &str, case: &str, metric: &str| parts.get("modest")?.median(server, case, metric);
    let hub = of("hub-durable", "10/s", "p99_ms");
    let said = format!(
        "Half of them come within {} ms. Of this its commit takes {} ms, as the server measures it, on average; a submit \
         and its 25 deliveries take {} ms of CPU at this pace. Half of the writes of 4 KiB this disk is given one after \
         the other take {} ms, 99 of 100 up to {} ms: that is what the target allows for. The server writes {} kB for a \
         mark, ten times a second: with as much, as seldom, half of the writes take this disk {} ms, 99 of 100 up to {} \
         ms; by these the target would allow {} ms. The hub that waits for the disk, and does nothing else, has a p50 of {} ms \
         here and a p99 of {} ms: that is two marks of two hundred, and what else the machine does.",
        shown(of("scorecast", "10/s", "p50_ms")),
        shown(of("scorecast", "10/s", "commit_ms")),
        shown(of("scorecast", "10/s", "cpu_ms")),
        shown(of("disk", "scorecast", "p50_ms")),
        shown(of("disk", "scorecast", "p99_ms")),
        shown(of("disk", "10/s", "bytes").map(|bytes| bytes / 1e3)),
        shown(of("disk", "10/s", "p50_ms")),
        shown(of("disk", "10/s", "p99_ms")),
        shown(of("disk", "10/s", "p99_ms").map(|fsync| 2.0 * fsync + 2.0)),
        shown(of("hub-durable", "10/s", "p50_ms")),
        shown(hub),
    );
    let (_, _, more) = commits(parts);
    said + &beside(
        "The p99 of that hub, with our commit in place of its append",
        hub.zip(more).map(|(hub, more)| hub + more),
        "ms",
        allowed,
    )
}

/// When the last of a thousand can have a mark at the earliest; and when they would if a hub waited for what our commits
/// take, not for what its own do.
fn late(parts: &Parts) -> String {
    let of = |server: &str, case: &str, metric: &str| parts.get("fanout")?.median(server, case, metric);
    let pass = |server: &str| shown(of(server, "W=1", "cpu_us").map(|us| us * MEMBERS / 1e3));
    let (commit, append, more) = commits(parts);
    let durable = of("hub-durable", "20/s", "p99_ms");
    format!(
        "A mark alone is one write to each: at W=1 all of them take {} ms of CPU, and the last has it then; the bare \
         hub, which commits nothing, takes {} ms. At this pace its p50 is {} ms and its p99 {} ms; where it writes as we \
         do, with frames as long, and waits for the disk, {} and {} ms; ours are {} and {} ms. It appends to a file, in {} ms where marks \
         are few; a commit of ours takes {} ms then.",
        pass("scorecast"),
        pass("hub"),
        shown(of("hub", "20/s", "p50_ms")),
        shown(of("hub", "20/s", "p99_ms")),
        shown(of("hub-durable", "20/s", "p50_ms")),
        shown(durable),
        shown(of("scorecast", "20/s", "p50_ms")),
        shown(of("scorecast", "20/s", "p99_ms")),
        shown(append),
        shown(commit),
    ) + &beside(
        "The p99 of the hub that waits for the disk, with our commit in place of its append",
        durable.zip(more).map(|(durable, more)| durable + more),
        "ms",
        of("node", "20/s", "p50_ms"),
    )
}

/// What is another in a case of the growth part than with a thousand and nothing else.
fn dearer(parts: &Parts, case: &str) -> String {
    let median =
        |server: &str, case: &str, metric: &str| parts.get("growth").and_then(|part| part.median(server, case, metric));
    let of = |case: &str, metric: &str| shown(median("scorecast", case, metric));
    let hub = |case: &str| median("hub", case, "cpu_us");
    let grows = hub(case).zip(hub("1000")).map(|(most, few)| most / few);
    format!(
        "{} µs of it are the kernel's, against {}; {} deliveries leave together, against {}.{}",
        of(case, "kernel_us"),
        of("1000", "kernel_us"),
        of(case, "together"),
        of("1000", "together"),
        beside("What a delivery of the bare hub grows by", grows, "times", Some(GROWTH)),
    )
}

/// The targets, with what was measured.
pub fn targets(parts: &Parts) -> Vec<Target> {
    let median = |part: &str, server: &str, case: &str, metric: &str| parts.get(part)?.median(server, case, metric);
    let cpu = |server: &str, case: &str| median("fanout", server, case, "cpu_us");
    let connected = |server: &str, metric: &str| median("connections", server, "idle", metric);
    let durable = |server: &str| median("durable", server, "W=64", "per_second");
    let against = |measured: Option<f64>, other: Option<f64>, factor: f64| Some((measured?, other? * factor));
    let target = |more: bool| {
        move |what: String, aim: &'static str, unit: &'static str, measured: Option<(f64, f64)>, reason: String| {
            Target { what, aim, measured, more, unit, reason }
        }
    };
    let (at_most, at_least) = (target(false), target(true));
    let mut all = Vec::new();
    for (in_flight, aim, factor) in
        [("1", "≤ 1/2 of Node", 2.0), ("8", "≤ 1/12 of Node", 12.0), ("32", "≤ 1/30 of Node", 30.0)]
    {
        let case = format!("W={in_flight}");
        let mut aims = vec![(aim, against(cpu("scorecast", &case), cpu("node", &case), 1.0 / factor))];
        if in_flight != "1" {
            aims.push(("≤ 1.2 × the bare hub", against(cpu("scorecast", &case), cpu("hub", &case), 1.2)));
        }
        for (aim, measured) in aims {
            let reason = spent(parts, &case, "scorecast", measured.map(|(_, allowed)| allowed));
            all.push(at_most(format!("server CPU per delivery, {in_flight} in flight"), aim, "µs", measured, reason));
        }
    }
    all.push(at_most(
        "delivery p99 at 20 events/s to 1,000 viewers".to_owned(),
        "≤ Node's p50",
        "ms",
        against(median("fanout", "scorecast", "20/s", "p99_ms"), median("fanout", "node", "20/s", "p50_ms"), 1.0),
        late(parts),
    ));
    for in_flight in ["1", "8", "32"] {
        let case = format!("W={in_flight}");
        let measured = against(cpu("scorecast-feed", &case), cpu("hub", &case), 1.1);
        all.push(at_most(
            format!("plain feed, server CPU per delivery, {in_flight} in flight"),
            "≤ 1.1 × the bare hub",
            "µs",
            measured,
            spent(parts, &case, "scorecast-feed", measured.map(|(_, allowed)| allowed)),
        ));
    }
    let held =
        |server: &str, limit: f64| against(connected(server, "bytes").map(|bytes| bytes / 1e3), Some(limit), 1.0);
    let kilobytes = |server: &str| shown(connected(server, "bytes").map(|bytes| bytes / 1e3));
    let count = figure(connected("scorecast", "count").unwrap_or_default());
    all.push(at_most(
        format!("plain feed, memory a connection, {count} of them"),
        "≤ 3 kB",
        "kB",
        held("scorecast-feed", 3.0),
        format!(
            "Not physics: the bare hub holds {} kB. A viewer has a task, which keeps its pings and deadlines and takes leave, and \
             a WebSocket that reads. What less of them would hold was not tried.",
            kilobytes("hub")
        ),
    ));
    all.push(at_most(
        format!("memory an authenticated Socket.IO connection, {count} of them"),
        "≤ 12 kB",
        "kB",
        held("scorecast", 12.0),
        format!(
            "socketioxide as it comes, without rights, presence, signs of life or a wire, holds {} kB a connection in this run.",
            kilobytes("socketioxide")
        ) + &beside(
            "socketioxide as it comes",
            connected("socketioxide", "bytes").map(|bytes| bytes / 1e3),
            "kB",
            Some(12.0),
        ),
    ));
    let handshakes = against(connected("scorecast", "per_second"), connected("node", "per_second"), 8.0);
    all.push(at_least(
        "handshakes with a JWT".to_owned(),
        "≥ 8 × Node",
        "/s",
        handshakes,
        {
            let cpu = |server: &str| shown(connected(server, "cpu_us"));
            format!(
                "One takes {} µs of CPU. socketioxide as it comes, with a token and a room, takes {} µs, Node {} µs, the bare hub \
                 {} µs.",
                cpu("scorecast"),
                cpu("socketioxide"),
                cpu("node"),
                cpu("hub"),
            ) + &beside(
                "socketioxide as it comes",
                connected("socketioxide", "cpu_us"),
                "µs",
                handshakes.map(|(_, allowed)| 1e6 / allowed),
            )
        },
    ));
    all.push(at_least(
        "durable marks, 64 judges at once".to_owned(),
        "≥ 10 × the founding stack",
        "/s",
        against(durable("scorecast"), durable("founding"), 10.0),
        {
            let cpu = median("durable", "scorecast", "W=64", "cpu_us");
            format!(
                "One takes {} µs of the one core a server has here, so that there can be {} in a second, and no more.",
                shown(cpu),
                shown(cpu.map(|us| 1e6 / us)),
            )
        },
    ));
    let disk = median("modest", "disk", "scorecast", "p99_ms").map(|fsync| 2.0 * fsync + 2.0);
    all.push(at_most(
        "submit → other viewer, p99".to_owned(),
        "≤ 2 × fsync (p99) + 2 ms",
        "ms",
        median("modest", "scorecast", "10/s", "p99_ms").zip(disk),
        modest(parts, disk),
    ));
    all.push(at_most(
        "resume of 1,000 missed facts, server CPU".to_owned(),
        "≤ 5 ms",
        "ms",
        against(median("resume", "scorecast", "1000", "cpu_ms"), Some(5.0), 1.0),
        UNKNOWN.to_owned(),
    ));
    let grown = |case: &str| {
        let cpu = |case: &str| median("growth", "scorecast", case, "cpu_us");
        against(cpu(case), cpu("1000"), GROWTH)
    };
    let most = parts.get("growth").and_then(|part| viewers(part).pop()).unwrap_or_default();
    let size = |case: &str, metric: &str| median("growth", "scorecast", case, metric).map_or("?".to_owned(), figure);
    for (what, case) in [
        (format!("server CPU per delivery, {most} viewers (aimed at 20,000)"), &*most),
        (format!("the same, 1,000 viewers, {} more rooms and lanes", size("rooms", "categories")), "rooms"),
        (format!("the same, 1,000 viewers, {} facts in the log", size("log", "facts")), "log"),
    ] {
        all.push(at_most(what, "≤ 1.25 × with 1,000 and none of it", "µs", grown(case), dearer(parts, case)));
    }
    all
}

/// How much dearer a delivery may become before growth no longer counts as linear. The target says "linear" and no
/// number; this is our reading of it.
const GROWTH: f64 = 1.25;

/// The numbers of viewers that were tried, as cases, in their order.
pub fn viewers(growth: &Part) -> Vec<String> {
    let mut numbers: Vec<u64> = growth.samples.iter().filter_map(|sample| sample.case.parse().ok()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.iter().map(u64::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_verdict_says_by_how_much() {
        let target =
            |measured, more| Target { what: String::new(), aim: "", measured, more, unit: "", reason: String::new() };
        assert_eq!(target(Some((4.0, 5.0)), false).verdict(), "met");
        assert_eq!(target(Some((10.0, 5.0)), false).verdict(), "**missed** by a factor of 2");
        assert_eq!(target(Some((4.0, 6.0)), true).verdict(), "**missed** by a factor of 1.50");
        assert_eq!(target(None, true).verdict(), "not measured");
    }
}
