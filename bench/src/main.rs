//! The benchmark: Scorecast and its peers, each a process pinned to one core, under the same work from the other.
//! `make bench` runs it and writes `docs/benchmarks.md`; README's table is quoted from there.

#![allow(clippy::cast_precision_loss, reason = "what is measured is not known to 52 bits")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "indexes are computed from lengths and quantiles between 0 and 1"
)]

mod frames;
mod load;
mod parts;
mod peers;
mod process;
mod record;
mod report;
mod scorecast;
mod speech;
mod svg;
mod swarm;
mod targets;
mod token;

use crate::parts::{Effort, NOT_ASKED_FOR, PLANS, Plan};
use crate::peers::{Peer, Yard};
use crate::process::{output, pin_self};
use crate::record::{Part, Stamp};
use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is asked for.
#[derive(Parser)]
#[command(about = "Measures Scorecast and its peers under the same work")]
struct Options {
    /// Parts to measure, separated by commas; all without it.
    #[arg(long, env = "BENCH_ONLY", value_delimiter = ',')]
    only: Vec<String>,
    /// Servers to measure, separated by commas; all without it.
    #[arg(long, env = "BENCH_PEERS", value_delimiter = ',')]
    peers: Vec<String>,
    /// Repetitions.
    #[arg(long, env = "BENCH_REPEATS")]
    repeats: Option<usize>,
    /// `1` for a trial of some minutes.
    #[arg(long, env = "BENCH_QUICK", default_value = "")]
    quick: String,
    /// Scorecast's program; else the one beside this.
    #[arg(long, env = "SCORECAST_BIN")]
    scorecast: Option<PathBuf>,
    /// Folder for the report and what it is made of; else `docs/`, and README is brought up to date with it.
    #[arg(long, env = "BENCH_OUT")]
    out: Option<PathBuf>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Measures, then writes the report.
    Run,
    /// Writes the report of what was measured last.
    Report,
}

/// The workspace.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    // Beside the programs, so that the folder is the one cargo was told of.
    let place = std::env::current_exe()?.parent().and_then(Path::parent).context("no target folder")?.join("bench");
    let trial = !matches!(&*options.quick, "" | "0");
    let apart = options.out.clone().or_else(|| trial.then(|| place.join("trial")));
    let data = apart.clone().unwrap_or_else(|| place.join("data"));
    if !matches!(options.action, Some(Action::Report)) {
        run(&options, trial, &place, &data)?;
    }
    let parts = report::read(&data)?;
    // A trial leaves what is committed alone.
    let docs = apart.clone().unwrap_or_else(|| root().join("docs"));
    report::write(&parts, &docs)?;
    if apart.is_none() {
        report::quote(&parts, &root().join("README.md"))?;
    }
    println!("written: {}", docs.join("benchmarks.md").display());
    for target in targets::targets(&parts) {
        println!("{:<62} {:<36} {}", target.what, target.aim, target.verdict().replace("**", ""));
    }
    Ok(())
}

fn run(options: &Options, quick: bool, place: &Path, data: &Path) -> anyhow::Result<()> {
    let effort = Effort { repeats: options.repeats.unwrap_or(if quick { 1 } else { 5 }), quick };
    let plans: Vec<&Plan> =
        PLANS.iter().filter(|plan| options.only.is_empty() || options.only.iter().any(|key| key == plan.key)).collect();
    let known = PLANS.map(|plan| plan.key);
    ensure!(options.only.iter().all(|key| known.contains(&&**key)), "BENCH_ONLY: there are {}", known.join(", "));
    let peers: Vec<Peer> = chosen(&options.peers)?;
    let scorecast = scorecast::binary(options.scorecast.as_deref())?;
    let until: u64 = output(Command::new("date").arg("+%s"))?.parse::<u64>()? + token::LIFE_SECONDS;
    let scratch = place.join("scratch");
    std::fs::create_dir_all(&scratch)?;
    let installed = place.join("peers");
    let sources = root().join("bench/peers").canonicalize()?;
    let mut yard = Yard { sources, installed, scratch, scorecast, until, versions: BTreeMap::new() };
    for peer in &peers {
        let version = yard.install(*peer).map_err(|missing| format!("{missing:#}"));
        match &version {
            Ok(version) => eprintln!("{:<15} {version}", peer.key()),
            Err(reason) => eprintln!("{:<15} skipped: {reason}", peer.key()),
        }
        yard.versions.insert(*peer, version);
    }
    pin_self()?;
    let stamp = stamp(&yard, options, effort)?;
    for plan in plans {
        let part = measure(plan, &yard, &peers, effort, &stamp);
        part.save(&data.join(format!("{}.json", plan.key)))?;
    }
    Ok(())
}

fn chosen(keys: &[String]) -> anyhow::Result<Vec<Peer>> {
    if keys.is_empty() {
        return Ok(Peer::ALL.to_vec());
    }
    keys.iter()
        .map(|key| {
            let found = Peer::ALL.into_iter().find(|peer| peer.key() == key);
            found.with_context(|| format!("BENCH_PEERS: no {key}; there are {}", Peer::ALL.map(Peer::key).join(", ")))
        })
        .collect()
}

/// One part: repetition by repetition, the servers in turn. Whoever fails is named and left out from then on.
fn measure(plan: &Plan, yard: &Yard, peers: &[Peer], effort: Effort, stamp: &Stamp) -> Part {
    let repeats = effort.repeats.min(plan.repeats_max);
    let mut part = Part { stamp: stamp.clone(), repeats, ..Part::default() };
    let mut taking_part: Vec<Peer> = Vec::new();
    for peer in plan.peers {
        match yard.versions.get(peer) {
            Some(Ok(_)) => taking_part.push(*peer),
            Some(Err(reason)) => drop(part.skipped.insert(peer.key().to_owned(), format!("not installed: {reason}"))),
            None if peers.contains(peer) => {}
            None => drop(part.skipped.insert(peer.key().to_owned(), NOT_ASKED_FOR.to_owned())),
        }
    }
    for repeat in 1..=repeats {
        taking_part.retain(|peer| {
            let before = part.samples.len();
            eprintln!("{} {repeat}/{repeats}: {}", plan.key, peer.key());
            let measured = (plan.measure)(yard, *peer, effort, &mut part);
            for sample in &part.samples[before..] {
                eprintln!("    {:<10} {:<8} {:<10} {:>12.3}", sample.server, sample.case, sample.metric, sample.value);
            }
            match measured {
                Ok(()) => true,
                Err(failed) => {
                    eprintln!("    failed: {failed:#}");
                    let reason = format!("failed in repetition {repeat}, what it did before is shown: {failed:#}");
                    part.skipped.insert(peer.key().to_owned(), reason);
                    false
                }
            }
        });
    }
    part
}

/// What has to be typed to have the same again.
fn typed(options: &Options, effort: Effort) -> String {
    let given = [
        ("BENCH_QUICK", if effort.quick { "1".to_owned() } else { String::new() }),
        ("BENCH_ONLY", options.only.join(",")),
        ("BENCH_PEERS", options.peers.join(",")),
        ("BENCH_REPEATS", options.repeats.map(|repeats| repeats.to_string()).unwrap_or_default()),
        ("SCORECAST_BIN", options.scorecast.as_ref().map(|_| "…".to_owned()).unwrap_or_default()),
    ];
    let given = given.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}={value}"));
    std::iter::once("make bench".to_owned()).chain(given).collect::<Vec<_>>().join(" ")
}

fn stamp(yard: &Yard, options: &Options, effort: Effort) -> anyhow::Result<Stamp> {
    let git = |arguments: &[&str]| output(Command::new("git").arg("-C").arg(root()).args(arguments));
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|_no_git| "unknown".to_owned());
    let changed = git(&["status", "--porcelain", "--", "src", "migration", "Cargo.lock", "bench"])
        .is_ok_and(|said| !said.is_empty());
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, model)| model);
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let kilobytes: f64 = memory.split_whitespace().nth(1).context("no MemTotal")?.parse()?;
    if cores < 2 {
        bail!("two cores are needed: one for the server, one for the load");
    }
    let versions =
        yard.versions.iter().filter_map(|(peer, version)| Some((peer.key().to_owned(), version.clone().ok()?)));
    Ok(Stamp {
        when: output(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?,
        commit: commit + if changed { "+" } else { "" },
        machine: format!("{model}, {cores} cores, {:.0} GB", kilobytes / 1e6),
        kernel: output(Command::new("uname").args(["-sr"]))?,
        command: typed(options, effort),
        trial: effort.quick,
        versions: versions.collect(),
    })
}
