//! The file of a recording: NDJSON, one frame a line. It can be read without us, and a broken or hostile one is refused
//! with the line that is wrong.
//!
//! Invariant: a line that is too long, goes back in time or is no frame is found before anything is made of the file.

use crate::error::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// Largest file, in bytes.
pub const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Largest line, in bytes.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest source or type, in characters.
const WORD_CHARS_MAX: usize = 200;
/// The first line says what this is.
pub const BEGIN: &str = "cassette:begin";
/// The format of a file of today.
pub const FORMAT: i64 = 1;

/// A frame: when, from where, what.
#[derive(Clone, Debug, Serialize)]
pub struct Frame<'a, D: Serialize> {
    /// Milliseconds since the recording began.
    pub ts: i64,
    /// The lane, or `live` for what stands in none.
    pub src: &'a str,
    /// The name of the event.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// What it says; null of a tick.
    pub data: D,
    /// The place in its lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<i64>,
}

/// A frame as it is read back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as written")]
pub struct Line {
    pub ts: i64,
    pub src: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub data: Box<RawValue>,
    #[serde(default)]
    pub seq: Option<i64>,
}

/// The lines of a recording in the making.
#[derive(Clone, Debug)]
pub struct Tape {
    text: Vec<u8>,
    lines: i64,
    bytes_max: usize,
    full: bool,
}

impl Tape {
    /// An empty one that takes so many bytes.
    #[must_use]
    pub fn holding(bytes_max: usize) -> Self {
        Self { text: Vec::new(), lines: 0, bytes_max: bytes_max.min(BYTES_MAX), full: false }
    }

    /// Adds a frame. One that finds no room is the end: nothing after it is taken either.
    ///
    /// # Errors
    /// `TOO_LARGE`.
    pub fn push(&mut self, frame: &Frame<'_, impl Serialize>) -> Result<(), Refusal> {
        let before = self.text.len();
        serde_json::to_writer(&mut self.text, frame).map_err(|_plain_data| Refusal::Internal)?;
        self.text.push(b'\n');
        if self.full || self.text.len() > self.bytes_max || self.text.len() - before > LINE_BYTES_MAX {
            self.text.truncate(before);
            self.full = true;
            return Err(Refusal::TooLarge { what: "bytes in a cassette", max: self.bytes_max });
        }
        self.lines += 1;
        Ok(())
    }

    /// Whether there was more than it took.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The bytes, and how many interactions they are.
    #[must_use]
    pub fn finish(self) -> (Vec<u8>, i64) {
        (self.text, self.lines)
    }
}

/// Reads a file, and says how many interactions it holds.
///
/// # Errors
/// `INVALID_DATA` with the line that is wrong, `TOO_LARGE`.
pub fn check(bytes: &[u8]) -> Result<i64, Refusal> {
    if bytes.len() > BYTES_MAX {
        return Err(Refusal::TooLarge { what: "bytes in a cassette", max: BYTES_MAX });
    }
    let text = std::str::from_utf8(bytes).map_err(|wrong| {
        let line = bytes[..wrong.valid_up_to()].split(|byte| *byte == b'\n').count();
        Refusal::invalid(format!("line {line}"), "is not UTF-8")
    })?;
    let (mut count, mut last) = (0, 0);
    for (number, text) in (1..).zip(text.lines()) {
        let wrong = |message: String| Refusal::invalid(format!("line {number}"), message);
        if text.len() > LINE_BYTES_MAX {
            return Err(wrong(format!("has more than {LINE_BYTES_MAX} bytes")));
        }
        let line: Line = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if line.ts < last {
            return Err(wrong("goes back in time".to_owned()));
        }
        if [&line.src, &line.kind].iter().any(|word| word.is_empty() || word.chars().count() > WORD_CHARS_MAX) {
            return Err(wrong(format!("src and type are 1 to {WORD_CHARS_MAX} characters")));
        }
        if number == 1 {
            begins_well(&line).map_err(wrong)?;
        } else if line.kind == BEGIN {
            return Err(wrong("a recording begins once".to_owned()));
        }
        last = line.ts;
        count += 1;
    }
    if count == 0 {
        return Err(Refusal::invalid("line 1", "there is none"));
    }
    Ok(count)
}

fn begins_well(line: &Line) -> Result<(), String> {
    let said: Value = serde_json::from_str(line.data.get()).map_err(|error| error.to_string())?;
    if line.kind != BEGIN {
        return Err(format!("a recording begins with {BEGIN}"));
    }
    if said["format"] == FORMAT { Ok(()) } else { Err(format!("its format is {}, not {FORMAT}", said["format"])) }
}

/// What a file that was checked says it is of.
#[must_use]
pub fn source(bytes: &[u8]) -> Option<String> {
    let first = bytes.split(|byte| *byte == b'\n').next()?;
    let begin: Line = serde_json::from_slice(first).ok()?;
    let said: Value = serde_json::from_str(begin.data.get()).ok()?;
    said["source"].as_str().map(str::to_owned)
}
