//! What was measured: one value for each part, server, case, metric and repetition; kept as JSON, a file for each part.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// One value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Key of the server.
    pub server: String,
    /// `W=8`, `5000`.
    pub case: String,
    /// `cpu_us`, `p99_ms`.
    pub metric: String,
    /// In the metric's unit.
    pub value: f64,
}

/// What is known of where and when it was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Day and minute, UTC.
    pub when: String,
    /// Commit of Scorecast, with `+` when files were changed.
    pub commit: String,
    /// Processor, cores, memory.
    pub machine: String,
    /// Kernel.
    pub kernel: String,
    /// What was typed.
    pub command: String,
    /// Whether it was a trial: short, and on a machine that may have been busy.
    pub trial: bool,
    /// Versions of what was measured.
    pub versions: BTreeMap<String, String>,
}

/// A part of the run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// Where and when.
    pub stamp: Stamp,
    /// Repetitions.
    pub repeats: usize,
    /// All values.
    pub samples: Vec<Sample>,
    /// Servers that are not in it, or not in all of it, and why.
    pub skipped: BTreeMap<String, String>,
}

/// The middle of some values, with the least and the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Median.
    pub median: f64,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
}

impl Spread {
    /// Of some values, none of none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { median, min, max })
    }
}

impl Part {
    /// Notes a value.
    pub fn note(&mut self, server: &str, case: &str, metric: &str, value: f64) {
        let sample = Sample { server: server.to_owned(), case: case.to_owned(), metric: metric.to_owned(), value };
        self.samples.push(sample);
    }

    /// What a metric came to.
    pub fn spread(&self, server: &str, case: &str, metric: &str) -> Option<Spread> {
        let matching = |sample: &&Sample| sample.server == server && sample.case == case && sample.metric == metric;
        Spread::of(self.samples.iter().filter(matching).map(|sample| sample.value).collect())
    }

    /// Its median.
    pub fn median(&self, server: &str, case: &str, metric: &str) -> Option<f64> {
        self.spread(server, case, metric).map(|spread| spread.median)
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        Ok(std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")?)
    }

    /// Reads it, if it was ever written.
    ///
    /// # Errors
    /// When it is not what [`Self::save`] writes.
    pub fn load(path: &Path) -> anyhow::Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(path)?;
        serde_json::from_str(&text).map(Some).with_context(|| format!("{} is not a part of a run", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_middle_of_an_even_number_lies_between_two() {
        let spread = Spread::of(vec![4.0, 1.0, 3.0, 2.0]).expect("values");
        assert_eq!(spread, Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
