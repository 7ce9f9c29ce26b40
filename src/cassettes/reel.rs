//! The file of a recording while it is read, some lines at a time: it is never in memory as a whole.
//!
//! Invariant: the file is the one that was kept; it was checked line by line when it came.

use super::file::Line;
use crate::events::log::sha256_hex_of;
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};

/// Lines read at a time, and the length of text after which no more are.
const LINES_MAX: usize = 256;
const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// A frame that was read.
#[derive(Clone, Debug)]
pub struct Said {
    /// Milliseconds since the recording began.
    pub ts: i64,
    /// The name of the event.
    pub kind: String,
    /// What it says.
    pub data: Value,
}

/// An open recording.
#[derive(Debug)]
pub struct Reel(BufReader<File>);

impl Reel {
    /// Takes a file, if it has this hash.
    ///
    /// # Errors
    /// When it cannot be read; `None` where it is another file.
    pub(super) fn of(file: File, sha256: &str) -> io::Result<Option<Self>> {
        let mut reader = BufReader::new(file);
        if sha256_hex_of(&mut reader)? != sha256 {
            return Ok(None);
        }
        let mut reel = Self(reader);
        reel.rewind()?;
        Ok(Some(reel))
    }

    /// Begins again.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn rewind(&mut self) -> io::Result<()> {
        self.0.rewind()
    }

    /// The next lines; none at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_lines(&mut self) -> io::Result<Vec<Said>> {
        let (mut lines, mut length, mut text) = (Vec::new(), 0, String::new());
        while lines.len() < LINES_MAX && length < TEXT_BYTES_MAX {
            text.clear();
            let read = self.0.read_line(&mut text)?;
            if read == 0 {
                break;
            }
            length += read;
            let line: Line = serde_json::from_str(&text).map_err(io::Error::other)?;
            let data = serde_json::from_str(line.data.get()).map_err(io::Error::other)?;
            lines.push(Said { ts: line.ts, kind: line.kind, data });
        }
        Ok(lines)
    }
}
