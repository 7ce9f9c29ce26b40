//! The folder of the recordings.
//!
//! Invariants: each attempt writes a file of its own, which counts once a row names it; a file that no row names is laid
//! aside at one start and removed at the next, so that a database that was put back too far loses nothing at once.

use super::reel::Reel;
use crate::error::Refusal;
use crate::events::log::sha256_hex;
use anyhow::Context;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The end of the name of every file.
const KIND: &str = "ndjson";
/// Where files lie that no row names.
const ASIDE: &str = "unnamed";

/// The folder of the recordings.
#[derive(Clone, Debug)]
pub struct Shelf(PathBuf);

impl Shelf {
    /// A folder, which is made when something is kept in it.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// Keeps a file under a name that no other has; its hash.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, file: &str, bytes: &[u8]) -> anyhow::Result<String> {
        fs::create_dir_all(&self.0).with_context(|| format!("cannot make the folder {}", self.0.display()))?;
        let path = self.path(file);
        let mut kept = File::create_new(&path).with_context(|| format!("cannot write {}", path.display()))?;
        kept.write_all(bytes)?;
        kept.sync_all()?;
        File::open(&self.0)?.sync_all()?;
        Ok(sha256_hex(bytes))
    }

    /// Reads a file, which has to be the one that was kept.
    ///
    /// # Errors
    /// `STATE` where it is gone or was changed since; `INTERNAL` when it cannot be read.
    pub fn read(&self, file: &str, sha256: &str) -> Result<Vec<u8>, Refusal> {
        let bytes = fs::read(self.path(file)).map_err(|error| self.lost(file, &error))?;
        if sha256_hex(&bytes) == sha256 { Ok(bytes) } else { Err(self.changed(file)) }
    }

    /// Opens a file to be read line by line, which has to be the one that was kept.
    ///
    /// # Errors
    /// `STATE` where it is gone or was changed since; `INTERNAL` when it cannot be read.
    pub fn open(&self, file: &str, sha256: &str) -> Result<Reel, Refusal> {
        let opened = File::open(self.path(file)).and_then(|opened| Reel::of(opened, sha256));
        opened.map_err(|error| self.lost(file, &error))?.ok_or_else(|| self.changed(file))
    }

    fn lost(&self, file: &str, error: &io::Error) -> Refusal {
        tracing::error!(%error, path = %self.path(file).display(), "the file of a recording cannot be read");
        if error.kind() == ErrorKind::NotFound {
            return Refusal::State("the file of this recording is missing on the server".into());
        }
        Refusal::Internal
    }

    fn changed(&self, file: &str) -> Refusal {
        tracing::error!(path = %self.path(file).display(), "the file of a recording is not the one that was kept");
        Refusal::State("the file of this recording is not the one that was kept".into())
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, file: &str) {
        if let Err(error) = fs::remove_file(self.path(file))
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, file, "a recording's file could not be removed");
        }
    }

    /// Lays aside what no row names, and removes what lay aside already; says what a row names and is not there.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn sweep(&self, named: &BTreeSet<String>) -> io::Result<()> {
        let aside = Self(self.path(ASIDE));
        let is_named = |file: &OsString| file.to_str().is_some_and(|file| named.contains(file));
        for file in aside.files()? {
            if is_named(&file) {
                fs::rename(aside.0.join(&file), self.0.join(&file))?;
            } else {
                tracing::info!(file = %file.display(), "a recording's file that no cassette names is removed");
                fs::remove_file(aside.0.join(&file))?;
            }
        }
        let here = self.files()?;
        for file in here.iter().filter(|file| !is_named(file)) {
            tracing::warn!(file = %file.display(), "no cassette names a recording's file; it is laid aside");
            fs::create_dir_all(&aside.0)?;
            fs::rename(self.0.join(file), aside.0.join(file))?;
        }
        for missing in named.iter().filter(|file| !here.iter().any(|known| *known == file.as_str())) {
            if !self.path(missing).exists() {
                tracing::warn!(file = missing, "the file of a recording is missing");
            }
        }
        Ok(())
    }

    /// The names of the recordings' files.
    fn files(&self) -> io::Result<Vec<OsString>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() && entry.path().extension().is_some_and(|kind| kind == KIND) {
                files.push(entry.file_name());
            }
        }
        Ok(files)
    }
}
