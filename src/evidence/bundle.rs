//! `evidence.zip`: what is signed, what it was computed from, and the same for people to read.
//!
//! Three files say everything (`publication.json`, `tally.json`, `log.ndjson`); the others follow from them. A bundle is
//! written in one way only: fixed order, stored, fixed times.

use super::Publication;
use super::line::Line;
use crate::ranking::Ranking;
use crate::tally::record::Record;
use serde::Serialize;
use std::io::{Cursor, Read, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// What is signed, with the signature.
pub const PUBLICATION: &str = "publication.json";
/// What the officers signed: its SHA-256 is the tally hash.
pub const TALLY: &str = "tally.json";
/// Every fact of the category's lane.
pub const LOG: &str = "log.ndjson";
/// The ranking with every mark that led to it.
pub const RESULT_JSON: &str = "result.json";
/// The ranking.
pub const RESULT_CSV: &str = "result.csv";
/// Every mark by contestant, criterion and judge.
pub const MARKS_CSV: &str = "marks.csv";
/// Who signed what.
pub const SIGNATURES_CSV: &str = "signatures.csv";
/// How to check all this.
pub const README: &str = "README.txt";

const README_TEXT: &str = "\
A published result, with everything that led to it.

publication.json  what was published, signed with Ed25519 over the JSON of \"statement\"
tally.json        rules, marks, deductions, places: its SHA-256 is \"tallyHash\", which the officers signed
log.ndjson        every fact of the category, each chained to the one before, with the salt that sealed it
result.json       the ranking with every mark, as it is computed from tally.json
result.csv        the ranking
marks.csv         every mark by contestant, criterion and judge
signatures.csv    who signed what, and when

The chain: hash = hex(SHA-256(B || SHA-256(N || H || SHA-256(S || F)))), where || puts bytes one after the other,
B is the text of the hash before (64 zeros for the first), H is seq, lane, laneSeq, epoch, at in microseconds since
1970, actor, commandId and kind with line feeds between them, N is the length of H in bytes as 8 bytes, the highest
first, S is the text of the salt and F the text of the fact. The lane is \"log.lane\" of the statement.

What is proven: marks, rules, deductions, places, who signed which tally and when. Names of people are what the server
says of the ids beside them. The log holds every mark ever given in the category, also those that were replaced, taken
out or did not count; free texts are sealed and not in it.

To check it, without a network:

    scorecast verify evidence.zip --key PUBLIC_KEY

The public key is in /.well-known/scorecast-keys.json of the server that published it. Take it from there once and keep
it: the key in publication.json proves nothing by itself.
";

/// Largest bundle that is read, in bytes.
pub const BUNDLE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a bundle says.
#[derive(Debug)]
pub struct Bundle {
    /// What is signed.
    pub publication: Publication,
    /// What it was computed from.
    pub record: Record,
    /// The log it was taken from.
    pub log: Vec<Line>,
}

/// Why bytes are no bundle.
#[derive(Debug, thiserror::Error)]
pub enum NotABundle {
    /// It is too large to be one.
    #[error("it is larger than {BUNDLE_BYTES_MAX} bytes")]
    TooLarge,
    /// It is no ZIP archive.
    #[error("it is no ZIP archive: {0}")]
    Archive(String),
    /// A file cannot be read.
    #[error("{file} cannot be read: {cause}")]
    File {
        /// Which.
        file: &'static str,
        /// Why.
        cause: String,
    },
    /// It cannot be written.
    #[error("it cannot be written: {0}")]
    Written(String),
}

impl Bundle {
    /// Every file of it, in order; `ranking` is what the record comes to.
    ///
    /// # Errors
    /// When a table cannot be written.
    pub fn files(&self, ranking: &Ranking) -> Result<Vec<(&'static str, Vec<u8>)>, NotABundle> {
        let written = |wrong: &dyn std::fmt::Display| NotABundle::Written(wrong.to_string());
        let mut log = String::new();
        for line in &self.log {
            log.push_str(&serde_json::to_string(line).map_err(|wrong| written(&wrong))?);
            log.push('\n');
        }
        let result = serde_json::to_string_pretty(ranking).map_err(|wrong| written(&wrong))?;
        Ok(vec![
            (README, README_TEXT.as_bytes().to_vec()),
            (PUBLICATION, self.publication.to_json().into_bytes()),
            (TALLY, self.record.to_json().into_bytes()),
            (LOG, log.into_bytes()),
            (RESULT_JSON, result.into_bytes()),
            (RESULT_CSV, self.result_csv().map_err(|wrong| written(&wrong))?),
            (MARKS_CSV, self.marks_csv(ranking).map_err(|wrong| written(&wrong))?),
            (SIGNATURES_CSV, self.signatures_csv().map_err(|wrong| written(&wrong))?),
        ])
    }

    /// The bundle as bytes; `ranking` is what the record comes to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn encode(&self, ranking: &Ranking) -> Result<Vec<u8>, NotABundle> {
        let written = |wrong: &dyn std::fmt::Display| NotABundle::Written(wrong.to_string());
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(0o644);
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in self.files(ranking)? {
            archive.start_file(name, options).map_err(|wrong| written(&wrong))?;
            archive.write_all(&content).map_err(|wrong| written(&wrong))?;
        }
        Ok(archive.finish().map_err(|wrong| written(&wrong))?.into_inner())
    }

    /// Reads the three files that say everything.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotABundle> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(NotABundle::TooLarge);
        }
        let mut archive = opened(bytes)?;
        let publication = text_of(&mut archive, PUBLICATION)?;
        let record = text_of(&mut archive, TALLY)?;
        let log = text_of(&mut archive, LOG)?;
        let line = |(at, text): (usize, &str)| {
            serde_json::from_str(text)
                .map_err(|wrong| NotABundle::File { file: LOG, cause: format!("line {}: {wrong}", at + 1) })
        };
        Ok(Self {
            publication: json_of(PUBLICATION, &publication)?,
            record: json_of(TALLY, &record)?,
            log: log.lines().enumerate().map(line).collect::<Result<_, _>>()?,
        })
    }

    fn result_csv(&self) -> csv::Result<Vec<u8>> {
        /// A line of the table.
        #[derive(Serialize)]
        struct Row<'a> {
            rank: Option<u32>,
            contestant_id: &'a str,
            number: String,
            name: String,
            club: String,
            country: String,
            total: String,
            deductions: String,
            decided_by: &'a str,
        }
        table(self.publication.statement.ranking.iter().map(|line| Row {
            rank: line.rank,
            contestant_id: line.contestant_id.as_str(),
            number: cell(line.number.as_deref()),
            name: cell(Some(&line.name)),
            club: cell(line.club.as_deref()),
            country: cell(line.country.as_deref()),
            total: line.total.as_ref().map(ToString::to_string).unwrap_or_default(),
            deductions: line.deductions.to_string(),
            decided_by: line.decided_by.as_deref().unwrap_or_default(),
        }))
    }

    fn marks_csv(&self, ranking: &Ranking) -> csv::Result<Vec<u8>> {
        /// A line of the table.
        #[derive(Serialize)]
        struct Row<'a> {
            contestant_id: &'a str,
            contestant: String,
            criterion_id: &'a str,
            criterion: String,
            judge_id: &'a str,
            judge: String,
            score: String,
            dropped: bool,
        }
        let statement = &self.publication.statement;
        let contestant = |id: &str| {
            cell(statement.ranking.iter().find(|line| line.contestant_id.as_str() == id).map(|line| &*line.name))
        };
        let criterion =
            |id: &str| cell(statement.criteria.iter().find(|named| named.id.as_str() == id).map(|named| &*named.name));
        let judge =
            |id: &str| cell(statement.judges.iter().find(|named| named.id.as_str() == id).map(|named| &*named.name));
        table(ranking.ranking.iter().flat_map(|row| {
            row.criteria.iter().flat_map(move |of| {
                of.marks.iter().map(move |mark| Row {
                    contestant_id: &row.contestant_id,
                    contestant: contestant(&row.contestant_id),
                    criterion_id: &of.criterion_id,
                    criterion: criterion(&of.criterion_id),
                    judge_id: &mark.judge_id,
                    judge: judge(&mark.judge_id),
                    score: mark.score.to_string(),
                    dropped: mark.dropped,
                })
            })
        }))
    }

    fn signatures_csv(&self) -> csv::Result<Vec<u8>> {
        /// A line of the table.
        #[derive(Serialize)]
        struct Row<'a> {
            stage: crate::db::entity::certification::Stage,
            user_id: &'a str,
            signature_name: String,
            at: String,
            tally_hash: &'a str,
            overridden: bool,
        }
        table(self.publication.statement.signatures.iter().map(|signed| Row {
            stage: signed.stage,
            user_id: signed.user_id.as_str(),
            signature_name: cell(Some(&signed.signature_name)),
            at: signed.at.to_string(),
            tally_hash: &signed.tally_hash,
            overridden: signed.overridden,
        }))
    }
}

/// A text of a person in a table: a spreadsheet must not take it for a formula.
fn cell(text: Option<&str>) -> String {
    let text = text.unwrap_or_default();
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

fn table<R: Serialize>(rows: impl Iterator<Item = R>) -> csv::Result<Vec<u8>> {
    let mut table = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in rows {
        table.serialize(row)?;
    }
    table.into_inner().map_err(|unwritten| unwritten.into_error().into())
}

fn opened(bytes: &[u8]) -> Result<ZipArchive<Cursor<&[u8]>>, NotABundle> {
    ZipArchive::new(Cursor::new(bytes)).map_err(|wrong| NotABundle::Archive(wrong.to_string()))
}

/// A file of a bundle as it lies in it.
///
/// # Errors
/// When it is not there, or cannot be read.
pub fn text(bytes: &[u8], file: &'static str) -> Result<String, NotABundle> {
    text_of(&mut opened(bytes)?, file)
}

fn text_of(archive: &mut ZipArchive<Cursor<&[u8]>>, file: &'static str) -> Result<String, NotABundle> {
    let unread = |cause: String| NotABundle::File { file, cause };
    let mut entry = archive.by_name(file).map_err(|wrong| unread(wrong.to_string()))?;
    // Stored, so that no file is larger than the bundle it lies in.
    if entry.compression() != CompressionMethod::Stored {
        return Err(unread("it is compressed".to_owned()));
    }
    let mut text = String::new();
    entry.read_to_string(&mut text).map_err(|wrong| unread(wrong.to_string()))?;
    Ok(text)
}

fn json_of<T: serde::de::DeserializeOwned>(file: &'static str, text: &str) -> Result<T, NotABundle> {
    serde_json::from_str(text).map_err(|wrong| NotABundle::File { file, cause: wrong.to_string() })
}
