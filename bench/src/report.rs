//! Writes what was measured: `docs/benchmarks.md` with its plots, and the table README quotes.

use crate::parts::{MEMBERS, NOT_ASKED_FOR, PLANS};
use crate::peers::Peer;
use crate::record::{Part, Spread, Stamp};
use crate::svg::{Row, bars, figure, lines, shown};
use crate::targets::{Parts, targets, viewers};
use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Around what README quotes.
const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

/// A column of a table: its head, the case and metric it shows, and what a value is multiplied with first.
type Column<'a> = (&'a str, &'a str, &'a str, f64);

/// Reads all parts of a folder.
///
/// # Errors
/// When one cannot be read, or there is none.
pub fn read(folder: &Path) -> anyhow::Result<Parts> {
    let mut parts = Parts::new();
    for plan in PLANS {
        if let Some(part) = Part::load(&folder.join(format!("{}.json", plan.key)))? {
            parts.insert(plan.key, part);
        }
    }
    ensure!(!parts.is_empty(), "nothing was measured yet");
    Ok(parts)
}

/// Writes the report and its plots into a folder.
///
/// # Errors
/// When a file cannot be written.
pub fn write(parts: &Parts, folder: &Path) -> anyhow::Result<()> {
    let plots = folder.join("benchmarks");
    std::fs::create_dir_all(&plots)?;
    let mut page = Page { text: String::new(), parts, plots: &plots };
    page.head();
    page.targets();
    page.fanout()?;
    page.connections()?;
    page.durable()?;
    page.modest();
    page.resume();
    page.growth()?;
    page.tail();
    std::fs::write(folder.join("benchmarks.md"), page.text)?;
    Ok(())
}

struct Page<'a> {
    text: String,
    parts: &'a Parts,
    plots: &'a Path,
}

/// The name of a server in a table.
fn name(key: &str) -> &str {
    Peer::ALL.into_iter().find(|peer| peer.key() == key).map_or(key, |peer| peer.name())
}

/// Median, and the spread where there is one.
fn cell(spread: Option<Spread>, factor: f64) -> String {
    let Some(Spread { median, min, max }) = spread else { return "–".to_owned() };
    let (median, min, max) = (figure(median * factor), figure(min * factor), figure(max * factor));
    if min == max { median } else { format!("{median} ({min}–{max})") }
}

impl Page<'_> {
    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn paragraph(&mut self, text: &str) {
        self.line(text);
        self.line("");
    }

    /// A table with a row for each server that has a value in one of the columns.
    fn table(&mut self, part: &Part, first: &str, columns: &[Column<'_>]) {
        let heads: Vec<&str> = columns.iter().map(|(head, ..)| *head).collect();
        self.line(&format!("| {first} | {} |", heads.join(" | ")));
        self.line(&format!("|---|{}", "---|".repeat(columns.len())));
        for peer in Peer::ALL {
            let cells: Vec<String> = columns
                .iter()
                .map(|(_, case, metric, factor)| cell(part.spread(peer.key(), case, metric), *factor))
                .collect();
            if cells.iter().any(|cell| cell != "–") {
                self.line(&format!("| {} | {} |", peer.name(), cells.join(" | ")));
            }
        }
        self.line("");
    }

    /// How often it was repeated, and who is missing, wholly or from some repetition on.
    fn left_out(&mut self, part: &Part) {
        let times = if part.repeats == 1 {
            "Measured once".to_owned()
        } else {
            format!("Median of {} repetitions", part.repeats)
        };
        self.paragraph(&format!("{times}."));
        let unasked = |(key, reason): (&String, &String)| (*reason == NOT_ASKED_FOR).then(|| key.clone());
        let unasked: Vec<String> = part.skipped.iter().filter_map(unasked).collect();
        if !unasked.is_empty() {
            self.paragraph(&format!("Not asked for in this run: {}.", unasked.join(", ")));
        }
        for (key, reason) in part.skipped.iter().filter(|(_, reason)| *reason != NOT_ASKED_FOR) {
            let reason: String = reason.lines().next().unwrap_or_default().chars().take(300).collect();
            self.paragraph(&format!("Left out: {} ({reason}).", name(key).replace("**", "")));
        }
    }

    /// A plot of one metric over some cases.
    fn bars(&mut self, file: &str, title: &str, part: &Part, columns: &[Column<'_>]) -> anyhow::Result<()> {
        let rows: Vec<Row> = Peer::ALL
            .into_iter()
            .map(|peer| {
                let value =
                    |(_, case, metric, factor): &Column<'_>| Some(part.median(peer.key(), case, metric)? * factor);
                (short(peer).to_owned(), columns.iter().map(value).collect::<Vec<_>>())
            })
            .filter(|(_, values)| values.iter().any(Option::is_some))
            .collect();
        let series: Vec<&str> = columns.iter().map(|(head, ..)| *head).collect();
        std::fs::write(self.plots.join(file), bars(title, &series, &rows))?;
        self.paragraph(&format!("![{title}](benchmarks/{file})"));
        Ok(())
    }

    fn head(&mut self) {
        let stamp = self.parts.values().next().map(|part| part.stamp.clone()).unwrap_or_default();
        self.paragraph("# Benchmarks");
        self.paragraph(&format!("*Written by `{}`; every number and verdict here is computed by it.*", stamp.command));
        if self.parts.values().any(|part| part.stamp.trial) {
            self.paragraph(
                "**A trial run: short, and on a machine that may have been busy. These numbers mean nothing.**",
            );
        }
        self.line("| | |");
        self.line("|---|---|");
        let Stamp { when, commit, machine, kernel, .. } = &stamp;
        for (what, value) in [("machine", machine), ("kernel", kernel), ("commit", commit), ("when", when)] {
            self.line(&format!("| {what} | {value} |"));
        }
        self.line("");
        self.paragraph(
            "Each server is one process (with as many threads as it likes) pinned to one core; the load comes from the other \
             core over loopback, which does not sleep meanwhile: whoever sends wakes whoever sleeps, and the server \
             would be charged for it. Within a repetition the servers take turns, so that a slow minute hits all of them. \
             Tables show the median of the repetitions and, in brackets, the least and the greatest. Absolute times differ \
             from machine to machine and from day to day; what holds are ratios within one run.",
        );
        self.paragraph(
            "The work: an access token (JWT, HS256) is checked at the handshake, everybody joins the room of one category, a \
             judge submits a mark, is acknowledged, and every member gets `scores:updated`, about 280 bytes of JSON. **Scorecast and \
             the founding stack also write each mark to disk before they acknowledge it**, and Scorecast checks range, \
             step and version, masks the mark for fellow judges, chains it to its log and numbers every frame, so its \
             frames are longer, and those of its plain feed, which tell something else, shorter (a column says by how \
             much). Scorecast gives its writes to the kernel together, where there is `io_uring`; the bare hub makes one after \
             the other, as everybody else does. Two more hubs show what is to be had: one writes as Scorecast does; the other \
             also appends what it is given to a file and waits for the disk, with frames as long as Scorecast's. The other \
             servers store nothing. All connections belong to some 30 users. NATS and mosquitto check a password instead of \
             a JWT, and pass on what they are given.",
        );
        let older: Vec<String> = self
            .parts
            .iter()
            .filter(|(_, part)| part.stamp.commit != stamp.commit || part.stamp.when != stamp.when)
            .map(|(key, part)| format!("{key}: {} at {}", part.stamp.when, part.stamp.commit))
            .collect();
        if !older.is_empty() {
            self.paragraph(&format!("Measured at another time: {}.", older.join("; ")));
        }
    }

    fn targets(&mut self) {
        self.paragraph("## Targets");
        self.line("| what | target | measured | allowed | |");
        self.line("|---|---|---|---|---|");
        let all = targets(self.parts);
        for target in &all {
            let shown = |value: Option<f64>| {
                value.map_or("–".to_owned(), |value| format!("{} {}", figure(value), target.unit))
            };
            let (measured, limit) =
                (shown(target.measured.map(|pair| pair.0)), shown(target.measured.map(|pair| pair.1)));
            self.line(&format!("| {} | {} | {measured} | {limit} | {} |", target.what, target.aim, target.verdict()));
        }
        self.line("");
        let met = all.iter().filter(|target| target.met() == Some(true)).count();
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for target in all.iter().filter(|target| target.met() == Some(false)) {
            match reasons.iter_mut().find(|(reason, _)| *reason == target.reason) {
                Some((_, whats)) => whats.push(&target.what),
                None => reasons.push((&target.reason, vec![&target.what])),
            }
        }
        for (_, whats) in &mut reasons {
            whats.dedup();
        }
        self.paragraph(&format!("{met} of {} are met.", all.len()));
        if !reasons.is_empty() {
            self.paragraph("Of those that are missed is known:");
            for (reason, whats) in reasons {
                self.line(&format!("- {}: {reason}", whats.join("; ")));
            }
            self.line("");
        }
    }

    fn fanout(&mut self) -> anyhow::Result<()> {
        let Some(part) = self.parts.get("fanout") else { return Ok(()) };
        self.paragraph(&format!("## {MEMBERS} viewers"));
        self.paragraph(
            "**W** is how many submits are in flight: one is, until it is acknowledged and everybody has it. Server CPU per \
             delivered message in µs. Scorecast's plain feed is driven by its timing software over HTTP (`/ingest/results`), \
             and its peers are the bare hub and axum.",
        );
        let cpu = [("W=1", "W=1", "cpu_us", 1.0), ("W=8", "W=8", "cpu_us", 1.0), ("W=32", "W=32", "cpu_us", 1.0)];
        let mut columns = cpu.to_vec();
        columns.push(("bytes a delivery", "W=8", "bytes", 1.0));
        self.table(part, "µs of server CPU a delivery", &columns);
        self.paragraph(
            "Of this, what the kernel needs; and how many deliveries left together in one segment, which over loopback is one \
             write.",
        );
        self.table(part, "µs in the kernel a delivery", &cpu.map(|(head, case, ..)| (head, case, "kernel_us", 1.0)));
        self.table(part, "deliveries a segment", &cpu.map(|(head, case, ..)| (head, case, "together", 1.0)));
        self.bars("fanout-cpu.svg", "Server CPU per delivery, µs (less is better)", part, &cpu)?;
        let rate = cpu.map(|(head, case, ..)| (head, case, "per_second", 1.0));
        self.table(part, "deliveries/s", &rate);
        self.bars("fanout-rate.svg", "Deliveries per second (more is better)", part, &rate)?;
        self.paragraph("Five judges at a fixed pace; from submit to delivery, in ms.");
        let pace = [
            ("10/s p50", "10/s", "p50_ms", 1.0),
            ("10/s p99", "10/s", "p99_ms", 1.0),
            ("20/s p50", "20/s", "p50_ms", 1.0),
            ("20/s p99", "20/s", "p99_ms", 1.0),
        ];
        self.table(part, "ms from submit to delivery", &pace);
        self.bars("fanout-latency.svg", "From submit to delivery at a fixed pace, ms (less is better)", part, &pace)?;
        self.left_out(part);
        Ok(())
    }

    fn connections(&mut self) -> anyhow::Result<()> {
        let Some(part) = self.parts.get("connections") else { return Ok(()) };
        let count = part.samples.iter().find(|sample| sample.metric == "count").map_or(0.0, |sample| sample.value);
        self.paragraph("## Connections");
        self.paragraph(&format!(
            "{count} connections come, 64 at a time, are authenticated, greeted and let into their rooms, and stay. Memory is what \
             the process holds more than before (VmRSS), without what the kernel keeps for the sockets. Nobody signs in to \
             Scorecast's public feed.",
        ));
        let memory = [("kB a connection", "idle", "bytes", 1e-3)];
        let rate = [("handshakes/s", "idle", "per_second", 1.0)];
        self.table(part, "", &[memory[0], rate[0], ("µs of server CPU a handshake", "idle", "cpu_us", 1.0)]);
        self.bars("memory.svg", "Memory per idle connection, kB (less is better)", part, &memory)?;
        self.bars("handshakes.svg", "Handshakes per second (more is better)", part, &rate)?;
        self.left_out(part);
        Ok(())
    }

    fn durable(&mut self) -> anyhow::Result<()> {
        let Some(part) = self.parts.get("durable") else { return Ok(()) };
        self.paragraph("## Durable marks");
        self.paragraph(
            "1, 8 and 64 judges submit over Socket.IO as fast as they are acknowledged, each in a category of their own. The \
             assignment is checked, the mark written, the log appended to, and the answer comes after the fsync: both on \
             SQLite (WAL, `synchronous=FULL`) on the same disk. The plain feed's row is of results by HTTP to a race nobody \
             watches: what they cost before anybody is told.",
        );
        let columns =
            [("1 judge", "W=1", "per_second", 1.0), ("8", "W=8", "per_second", 1.0), ("64", "W=64", "per_second", 1.0)];
        self.table(part, "submits/s", &columns);
        let cost = columns.map(|(head, case, ..)| (head, case, "cpu_us", 1.0));
        self.table(part, "µs of server CPU a submit", &cost);
        self.bars("durable.svg", "Durable submits per second (more is better)", part, &columns)?;
        self.left_out(part);
        Ok(())
    }

    fn modest(&mut self) {
        let Some(part) = self.parts.get("modest") else { return };
        self.paragraph("## From a judge to another viewer");
        self.paragraph("Five judges, ten marks a second, 25 members; beside it one write of 4 KiB and `fdatasync` on the same disk, just before and just after. What the target allows follows the disk: \
             where writes stall now and then, it allows much.");
        let columns = [("p50 ms", "10/s", "p50_ms", 1.0), ("p99 ms", "10/s", "p99_ms", 1.0)];
        self.table(part, "submit → delivery", &columns);
        for peer in [Peer::Scorecast, Peer::Founding] {
            let [p50, p99] =
                columns.map(|(_, _, metric, factor)| cell(part.spread("disk", peer.key(), metric), factor));
            self.paragraph(&format!("The disk alone, around the runs of {}: p50 {p50} ms, p99 {p99} ms.", short(peer)));
        }
        self.left_out(part);
    }

    fn resume(&mut self) {
        let Some(part) = self.parts.get("resume") else { return };
        let of = |metric: &str| cell(part.spread("scorecast", "1000", metric), 1.0);
        let (cpu, took) = (of("cpu_ms"), of("took_ms"));
        self.paragraph("## Coming back");
        self.paragraph(&format!(
            "A viewer who has missed the last 1,000 facts, which the server still has in memory, and asks for them by `sync:resume`: {cpu} ms of server CPU, {took} ms until the \
             last has come.",
        ));
        self.left_out(part);
    }

    fn growth(&mut self) -> anyhow::Result<()> {
        let Some(part) = self.parts.get("growth") else { return Ok(()) };
        let steps = viewers(part);
        self.paragraph("## Growth");
        self.paragraph(
            "Eight in flight to more and more viewers; the most is 20,000, or what the limit of open files here allows. Then Scorecast \
             with 1,000 viewers in an event of many more categories, which have judges of their own, and with a long log.",
        );
        let size = |case: &str, metric: &str| shown(part.median("scorecast", case, metric));
        let (rooms, facts, hats) = (size("rooms", "categories"), size("log", "facts"), size("rooms", "hats_cpu_ms"));
        let idle = self.parts.get("connections");
        let one = shown(idle.and_then(|idle| idle.median("scorecast", "idle", "cpu_us")).map(|us| us / 1e3));
        self.paragraph(&format!(
            "Many rooms: {rooms} more categories. Long log: {facts} facts. Signing in is another matter: somebody with a hat on \
             each of those categories costs {hats} ms of server CPU to let in and greet, somebody with one hat {one} ms.",
        ));
        let heads: Vec<String> = steps.iter().map(|step| format!("{step} viewers")).collect();
        let mut columns: Vec<Column<'_>> =
            heads.iter().zip(&steps).map(|(head, step)| (&**head, &**step, "cpu_us", 1.0)).collect();
        columns.extend([("many rooms", "rooms", "cpu_us", 1.0), ("long log", "log", "cpu_us", 1.0)]);
        self.table(part, "µs of server CPU a delivery", &columns);
        let xs: Vec<f64> = steps.iter().filter_map(|step| step.parse().ok()).collect();
        let rows: Vec<Row> = Peer::ALL
            .into_iter()
            .map(|peer| {
                let values = steps.iter().map(|step| part.median(peer.key(), step, "cpu_us")).collect::<Vec<_>>();
                (short(peer).to_owned(), values)
            })
            .filter(|(_, values)| values.iter().any(Option::is_some))
            .collect();
        let title = "Server CPU per delivery, µs, eight in flight";
        std::fs::write(self.plots.join("growth.svg"), lines(title, "viewers", &xs, &rows))?;
        self.paragraph(&format!("![{title}](benchmarks/growth.svg)"));
        self.left_out(part);
        Ok(())
    }

    /// The committed counts of instructions, where there are any for this architecture.
    fn instructions(&mut self) {
        let file = format!("{}/micro/counts.{}.json", env!("CARGO_MANIFEST_DIR"), std::env::consts::ARCH);
        let Ok(text) = std::fs::read_to_string(file) else { return };
        let Ok(counts) = serde_json::from_str::<BTreeMap<String, f64>>(&text) else { return };
        self.paragraph("## Instructions");
        self.paragraph("What is done for every mark, counted by callgrind: no clock in it, so a change shows. `make bench-counts` guards it.");
        self.line("| | instructions |");
        self.line("|---|---|");
        for (name, count) in counts {
            self.line(&format!("| {} | {} |", name.replace('_', " "), figure(count)));
        }
        self.line("");
    }

    fn tail(&mut self) {
        self.paragraph("## Versions");
        let mut versions: Vec<(String, String)> = Vec::new();
        for (key, version) in self.parts.values().flat_map(|part| &part.stamp.versions) {
            if !versions.iter().any(|(known, _)| known == key) {
                versions.push((key.clone(), version.clone()));
            }
        }
        for (key, version) in versions {
            self.line(&format!("- {}: {version}", name(&key).replace("**", "")));
        }
        self.line("");
        self.instructions();
        self.paragraph("## Again");
        self.line("`make bench` runs all of it; `BENCH_ONLY=fanout,growth`, `BENCH_PEERS=scorecast,node`, `BENCH_REPEATS=3` some of it; `BENCH_QUICK=1`");
        self.line("is a trial that changes nothing here. Instruction counts, which do not depend on the clock: `make bench-counts`.");
    }
}

/// The name of a server in a plot.
fn short(peer: Peer) -> &'static str {
    match peer {
        Peer::Scorecast => "Scorecast (durable)",
        Peer::ScorecastFeed => "Scorecast feed (durable)",
        Peer::Founding => "founding stack (durable)",
        Peer::Python => "python-socketio",
        Peer::Nats => "nats-server",
        Peer::Mosquitto => "mosquitto",
        Peer::Oxide => "socketioxide",
        Peer::Axum => "axum ws",
        Peer::Hub => "bare hub",
        Peer::HubTogether => "bare hub, io_uring",
        Peer::HubDurable => "bare hub, io_uring (durable)",
        Peer::Node | Peer::Bun => peer.name(),
    }
}

/// Puts the comparison between README's marks.
///
/// # Errors
/// When the marks are missing or the file cannot be written.
pub fn quote(parts: &Parts, readme: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(readme)?;
    let (before, rest) = text.split_once(BEGIN).context("README.md has no <!-- bench:begin -->")?;
    let (_, after) = rest.split_once(END).context("README.md has no <!-- bench:end -->")?;
    let quoted = comparison(parts);
    std::fs::write(readme, format!("{before}{BEGIN}\n{quoted}{END}{after}"))?;
    Ok(())
}

fn comparison(parts: &Parts) -> String {
    let median = |part: &str, peer: Peer, case: &str, metric: &str, factor: f64| {
        let value = parts.get(part).and_then(|part| part.median(peer.key(), case, metric));
        shown(value.map(|value| value * factor))
    };
    let mut out = String::from(
        "| 1,000 viewers | µs of server CPU a delivery, 1 / 8 / 32 in flight | p99 at 20 events/s, ms | kB a connection | handshakes/s | durable marks/s |\n\
         |---|---|---|---|---|---|\n",
    );
    for peer in Peer::ALL {
        let cpu = ["W=1", "W=8", "W=32"].map(|case| median("fanout", peer, case, "cpu_us", 1.0)).join(" / ");
        let others = [
            median("fanout", peer, "20/s", "p99_ms", 1.0),
            median("connections", peer, "idle", "bytes", 1e-3),
            median("connections", peer, "idle", "per_second", 1.0),
            median("durable", peer, "W=64", "per_second", 1.0),
        ];
        if cpu != "– / – / –" || others.iter().any(|cell| cell != "–") {
            let _ = writeln!(out, "| {} | {cpu} | {} |", peer.name(), others.join(" | "));
        }
    }
    let stamp = parts.values().next().map(|part| part.stamp.clone()).unwrap_or_default();
    let all = targets(parts);
    let met = all.iter().filter(|target| target.met() == Some(true)).count();
    let _ = writeln!(
        out,
        "\n{}; commit {}. {met} of {} targets are met: [docs/benchmarks.md](docs/benchmarks.md) has them all, how it was measured, and by how \
         much the others are missed.",
        stamp.machine,
        stamp.commit,
        all.len()
    );
    out
}
