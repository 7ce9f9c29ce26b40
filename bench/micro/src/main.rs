//! Counts instructions with callgrind and compares them with what is committed: `make bench-counts`. Clock times are noisy,
//! counts hardly are.
//!
//! A case is run so many times and twice as many; the difference is the work itself, without making it ready.

use anyhow::{Context, bail, ensure};
use clap::Parser;
use scorecast_bench_micro::CASES;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How often a case is done, and how often the other time.
const TIMES: u32 = 40;

#[derive(Parser)]
#[command(about = "Instruction counts of what is done for every mark")]
struct Options {
    /// Writes the committed counts anew.
    #[arg(long)]
    write: bool,
    /// How many more instructions are let pass, in percent.
    #[arg(long, env = "COUNTS_TOLERANCE", default_value_t = 3.0)]
    tolerance: f64,
    /// What callgrind runs: one case, so many times.
    #[arg(long, num_args = 2, value_names = ["CASE", "TIMES"], hide = true)]
    once: Vec<String>,
}

/// Counts by case.
type Counts = BTreeMap<String, u64>;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let [name, times] = &*options.once {
        return repeat(name, times.parse()?);
    }
    let have = Command::new("valgrind").arg("--version").output();
    ensure!(
        have.is_ok_and(|said| said.status.success()),
        "valgrind is missing\n    get: Debian: apt-get install valgrind"
    );
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("counts.{}.json", std::env::consts::ARCH));
    let counted = count_all()?;
    if options.write {
        std::fs::write(&file, serde_json::to_string_pretty(&counted)? + "\n")?;
        println!("written: {}", file.display());
        return Ok(());
    }
    let text = std::fs::read_to_string(&file).with_context(|| {
        format!(
            "no counts are committed for this architecture: {}; `make bench-counts WRITE=1` makes them",
            file.display()
        )
    })?;
    let committed: Counts = serde_json::from_str(&text).context("the committed counts cannot be read")?;
    compare(&committed, &counted, options.tolerance)
}

fn repeat(name: &str, times: u32) -> anyhow::Result<()> {
    let case = CASES.iter().find(|case| case.name == name).with_context(|| format!("there is no case {name}"))?;
    let mut once = (case.prepare)();
    for _ in 0..times {
        once();
    }
    Ok(())
}

fn count_all() -> anyhow::Result<Counts> {
    let mut counts = Counts::new();
    for case in &CASES {
        let (some, twice) = (instructions(case.name, TIMES)?, instructions(case.name, 2 * TIMES)?);
        let each = twice.checked_sub(some).context("callgrind counted less for more")? / u64::from(TIMES);
        println!("{:<45} {each:>12}", case.name);
        counts.insert(case.name.to_owned(), each);
    }
    Ok(counts)
}

/// Instructions of a run of this program that does a case so many times.
fn instructions(case: &str, times: u32) -> anyhow::Result<u64> {
    let out = PathBuf::from(format!("{}.{case}.callgrind", std::env::current_exe()?.display()));
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display()));
    valgrind.arg(std::env::current_exe()?).args(["--once", case, &times.to_string()]);
    let done = valgrind.stdin(Stdio::null()).output()?;
    if !done.status.success() {
        bail!("{case} failed under valgrind: {}", String::from_utf8_lossy(&done.stderr));
    }
    let text = std::fs::read_to_string(&out)?;
    std::fs::remove_file(&out)?;
    let line = text.lines().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    line.context("callgrind's file has no total")?.trim().parse().context("callgrind's total is no number")
}

/// Says what changed.
///
/// # Errors
/// When a case takes more than it may, or is not among the committed.
#[expect(clippy::cast_precision_loss, reason = "a ratio of two counts")]
fn compare(committed: &Counts, counted: &Counts, tolerance: f64) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for (name, now) in counted {
        let Some(before) = committed.get(name) else {
            failed.push(format!("{name} is not among the committed counts"));
            continue;
        };
        let change = (*now as f64 / *before as f64 - 1.0) * 100.0;
        if change > tolerance {
            failed.push(format!("{name}: {before} → {now} instructions ({change:+.1} %)"));
        } else if change < -tolerance {
            println!("{name}: {before} → {now} ({change:+.1} %): less; `make bench-counts WRITE=1` keeps it");
        }
    }
    if !failed.is_empty() {
        bail!(
            "more than {tolerance} % above what is committed; if that is meant, `make bench-counts WRITE=1`:\n    {}",
            failed.join("\n    ")
        );
    }
    println!("No case takes more than {tolerance} % above what is committed.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Counts, compare};

    #[test]
    fn more_than_the_tolerance_fails_and_less_does_not() {
        let counts = |count: u64| Counts::from([("rank".to_owned(), count)]);
        assert!(compare(&counts(1000), &counts(1029), 3.0).is_ok());
        assert!(compare(&counts(1000), &counts(500), 3.0).is_ok());
        assert!(compare(&counts(1000), &counts(1031), 3.0).is_err());
        assert!(compare(&Counts::new(), &counts(1), 3.0).is_err());
    }
}
