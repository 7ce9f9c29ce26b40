//! Where a batch becomes durable. The writer's own connection: one transaction a batch, one fsync, and for each table one
//! prepared statement, which is carried out for each of its rows. Several rows to a statement are no faster, because there
//! is nobody to hand them over to, and cost a journal of their own: such a statement must be undone alone when it fails.
//!
//! Invariant: a batch is appended only to the log head it was decided on; otherwise nothing of it is written.

use super::connect::BUSY_TIMEOUT;
use super::row::{Change, Row, Table, Writes, delete_sql, tables, upsert_sql};
use crate::clock::Micros;
use crate::events::log::LogHead;
use anyhow::Context;
use rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY;
use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use sea_orm::Value;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Pages of 4 KiB that are written to the WAL before it is copied into the database: what many batches have changed is
/// copied once, and few of those who wait for a commit wait for that, too.
const CHECKPOINT_PAGES: u32 = 4_000;
/// Bytes of a page, and of what the WAL says of it (SQLite's file format, section 4.1).
const PAGE_BYTES: u32 = 4_096;
const FRAME_BYTES: u32 = PAGE_BYTES + 24;
/// Bytes the WAL is cut back to.
const WAL_BYTES_MAX: u32 = 64 << 20;
/// Pages kept in memory while room is made; what is kept is not written.
const CACHE_PAGES_MIN: u32 = 16;

/// Old answers forgotten in one go.
const FORGET_MAX: i64 = 1_000;

/// An answer given before to the same command id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorAnswer {
    /// A keyed hash of the command's name and payload.
    pub fingerprint: String,
    /// The ack's data, as JSON text.
    pub answer: String,
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody else appended first; the batch must be decided again.
    #[error("the log has moved on")]
    HeadMoved,
    /// A command id of it was answered before; the batch must be decided again, by what was answered.
    #[error("a command id is known")]
    IdKnown,
    /// The database failed.
    #[error("the batch could not be committed")]
    Failed(#[source] anyhow::Error),
}

impl From<rusqlite::Error> for CommitError {
    fn from(cause: rusqlite::Error) -> Self {
        Self::Failed(cause.into())
    }
}

/// What the writer needs of a database.
pub trait Store: Send {
    /// The answer a user's command id got before.
    ///
    /// # Errors
    /// When the database fails.
    fn prior_answer(&mut self, user: &str, command_id: &str) -> anyhow::Result<Option<PriorAnswer>>;

    /// Writes all, or nothing, and returns when it is on the disk.
    ///
    /// # Errors
    /// `HeadMoved` when the log does not end at `expected`. From then on nobody else appends until the next commit, or
    /// until it is let go: whoever decides again comes through, however busy the others are. `IdKnown` when a command id
    /// was answered before; then the others may append.
    fn commit(&mut self, expected: &LogHead, writes: &Writes) -> Result<(), CommitError>;

    /// Lets others append again, if they were kept from it.
    fn let_go(&mut self);

    /// The log's end as it stands there.
    ///
    /// # Errors
    /// When the database fails.
    fn head(&mut self) -> anyhow::Result<Option<LogHead>>;

    /// Takes the room on the disk that is written to next, if it has not been taken: a commit that finds it is faster.
    ///
    /// # Errors
    /// When the database fails, or the disk is full.
    fn make_room(&mut self) -> anyhow::Result<()>;

    /// Forgets answers to command ids given before a moment, a bounded number at a time.
    ///
    /// # Errors
    /// When the database fails.
    fn forget_answers(&mut self, before: Micros) -> anyhow::Result<usize>;
}

/// SQLite through its own prepared statements: a hand-over to an asynchronous driver would cost more than the statement.
pub struct SqliteStore {
    connection: Connection,
    wal: PathBuf,
    tables: Vec<Table>,
    statements: Vec<Statements>,
}

/// What is said to put a row into a table, or to take one out.
struct Statements {
    put: String,
    drop: String,
}

struct Param<'a>(&'a Value);

#[expect(clippy::wildcard_enum_match_arm, reason = "the columns of our tables have no other types")]
impl rusqlite::ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Bool(Some(flag)) => ToSqlOutput::Owned(SqlValue::Integer(i64::from(*flag))),
            Value::Int(Some(number)) => ToSqlOutput::Owned(SqlValue::Integer(i64::from(*number))),
            Value::BigInt(Some(number)) => ToSqlOutput::Owned(SqlValue::Integer(*number)),
            Value::String(Some(text)) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Bool(None) | Value::Int(None) | Value::BigInt(None) | Value::String(None) => {
                ToSqlOutput::Owned(SqlValue::Null)
            }
            other => return Err(rusqlite::Error::ToSqlConversionFailure(format!("a row holds {other:?}").into())),
        })
    }
}

impl SqliteStore {
    /// Opens the writer's connection.
    ///
    /// # Errors
    /// When the file cannot be opened or is not a database.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // FULL: with NORMAL the last commits are lost at a power cut. The WAL is checkpointed by this connection alone.
        connection.execute_batch(&format!(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}; \
             PRAGMA journal_size_limit={WAL_BYTES_MAX};"
        ))?;
        connection.set_prepared_statement_cache_capacity(128);
        let tables = tables();
        let statements =
            tables.iter().map(|table| Statements { put: upsert_sql(table), drop: delete_sql(table) }).collect();
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        Ok(Self { connection, wal: wal.into(), tables, statements })
    }

    /// The hash in a place of the log.
    ///
    /// # Errors
    /// When the database fails.
    pub fn hash_at(&self, seq: i64) -> anyhow::Result<Option<String>> {
        let query = self.connection.query_row("SELECT hash FROM log_entry WHERE seq = ?", [seq], |row| row.get(0));
        Ok(query.optional()?)
    }

    /// Goes on under another epoch.
    ///
    /// # Errors
    /// When the database fails.
    pub fn begin_epoch(&self, epoch: &str) -> anyhow::Result<()> {
        self.connection.execute("UPDATE log_head SET epoch = ?", [epoch])?;
        Ok(())
    }

    /// Writes the first row of a log, unless another process did so meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub fn begin(&mut self, head: Row) -> anyhow::Result<()> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if read_head(&tx)?.is_none() {
            let mut writes = Writes::default();
            writes.add(&self.tables, Change::Put(head));
            write_all(&tx, &self.statements, &writes).map_err(|(_, cause)| cause)?;
        }
        Ok(tx.commit()?)
    }
}

impl SqliteStore {
    /// Has the WAL grow by as much as is written between two checkpoints, and takes it back: what is rolled back stays in the
    /// file, which is written over from where the last commit ends.
    fn grow(&mut self) -> rusqlite::Result<()> {
        let filler = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        filler.execute_batch("CREATE TABLE filler (bytes)")?;
        filler
            .execute("INSERT INTO filler VALUES (zeroblob(?))", [(CHECKPOINT_PAGES + CACHE_PAGES_MIN) * PAGE_BYTES])?;
        filler.rollback()
    }

    /// Writes all, if the log ends where it was expected to. Else the transaction stays open.
    fn write(&mut self, expected: &LogHead, writes: &Writes) -> Result<(), CommitError> {
        // IMMEDIATE: a deferred transaction that upgrades fails at once with BUSY and ignores the busy timeout.
        if self.connection.is_autocommit() {
            self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        }
        if read_head(&self.connection)?.as_ref() != Some(expected) {
            return Err(CommitError::HeadMoved);
        }
        write_all(&self.connection, &self.statements, writes).map_err(|(number, cause)| {
            let known = cause.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_CONSTRAINT_PRIMARYKEY);
            if known && self.tables[number].name == "command" { CommitError::IdKnown } else { cause.into() }
        })?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

fn read_head(connection: &Connection) -> rusqlite::Result<Option<LogHead>> {
    connection
        .prepare_cached("SELECT seq, hash, epoch FROM log_head WHERE id = 'head'")?
        .query_row([], |row| {
            Ok(LogHead {
                seq: row.get(0)?,
                hash: row.get::<_, String>(1)?.into(),
                epoch: row.get::<_, String>(2)?.into(),
            })
        })
        .optional()
}

/// Writes all rows; where one could not be written, says in which table.
fn write_all(
    connection: &Connection,
    statements: &[Statements],
    writes: &Writes,
) -> Result<(), (usize, rusqlite::Error)> {
    for (number, keys) in writes.drops() {
        for_each(connection, &statements[number].drop, keys).map_err(|cause| (number, cause))?;
    }
    for (number, rows) in writes.puts() {
        for_each(connection, &statements[number].put, rows).map_err(|cause| (number, cause))?;
    }
    Ok(())
}

/// Carries a statement out for each of these.
fn for_each(
    connection: &Connection,
    sql: &str,
    rows: impl Iterator<Item = impl AsRef<[Value]>>,
) -> rusqlite::Result<()> {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(sql)?;
    for row in rows {
        statement.execute(rusqlite::params_from_iter(row.as_ref().iter().map(Param)))?;
    }
    Ok(())
}

impl Store for SqliteStore {
    fn head(&mut self) -> anyhow::Result<Option<LogHead>> {
        read_head(&self.connection).context("cannot read the end of the log")
    }

    fn make_room(&mut self) -> anyhow::Result<()> {
        // Once it is long, it stays so: after a checkpoint it is written over from the beginning.
        if self.wal.metadata().is_ok_and(|file| file.len() >= u64::from(CHECKPOINT_PAGES * FRAME_BYTES)) {
            return Ok(());
        }
        let cache: i64 = self.connection.pragma_query_value(None, "cache_size", |row| row.get(0))?;
        self.connection.pragma_update(None, "cache_size", CACHE_PAGES_MIN)?;
        let grown = self.grow();
        self.connection.pragma_update(None, "cache_size", cache)?;
        grown.context("no room could be made for commits")?;
        // Without this the next commit would wait for it.
        File::open(&self.wal).and_then(|file| file.sync_all()).context("the room for commits did not reach the disk")
    }

    fn forget_answers(&mut self, before: Micros) -> anyhow::Result<usize> {
        // In the order they came in, which is that of their places: an index by time would be written with every command.
        // Those given while a clock was ahead keep later ones from being forgotten until that time has come; none is
        // forgotten too early.
        self.connection
            .execute(
                "DELETE FROM command WHERE rowid IN (SELECT rowid FROM command ORDER BY rowid LIMIT ?2) AND at < ?1",
                (before.0, FORGET_MAX),
            )
            .context("cannot forget old answers")
    }

    fn prior_answer(&mut self, user: &str, command_id: &str) -> anyhow::Result<Option<PriorAnswer>> {
        self.connection
            .prepare_cached("SELECT fingerprint, answer FROM command WHERE user_id = ?1 AND command_id = ?2")
            .and_then(|mut statement| {
                statement
                    .query_row([user, command_id], |row| {
                        Ok(PriorAnswer { fingerprint: row.get(0)?, answer: row.get(1)? })
                    })
                    .optional()
            })
            .context("cannot look up a command id")
    }

    fn commit(&mut self, expected: &LogHead, writes: &Writes) -> Result<(), CommitError> {
        let written = self.write(expected, writes);
        if let Err(CommitError::IdKnown | CommitError::Failed(_)) = &written {
            self.let_go();
        }
        written
    }

    fn let_go(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be given up");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CHECKPOINT_PAGES, FRAME_BYTES, SqliteStore, Store};
    use std::path::Path;

    fn bytes(path: &Path) -> u64 {
        path.metadata().expect("it is there").len()
    }

    #[test]
    fn room_is_made_once_and_nothing_else_changes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.db");
        let mut store = SqliteStore::open(&path).expect("it opens");
        store
            .connection
            .execute_batch("CREATE TABLE kept (number); INSERT INTO kept VALUES (1)")
            .expect("it is written");
        let cache = |store: &SqliteStore| {
            store.connection.pragma_query_value(None, "cache_size", |row| row.get::<_, i64>(0)).expect("it is told")
        };
        let (cache_before, before) = (cache(&store), bytes(&store.wal));
        store.make_room().expect("there is room");
        let room = bytes(&store.wal);
        assert!(before < room && room >= u64::from(CHECKPOINT_PAGES * FRAME_BYTES), "{before} to {room}");
        assert_eq!(cache(&store), cache_before);
        store.connection.execute_batch("INSERT INTO kept VALUES (2)").expect("it is written");
        store.make_room().expect("there is room");
        assert_eq!(bytes(&store.wal), room, "it is written over, and not made again");
        let read = || {
            let reader = rusqlite::Connection::open(&path).expect("it opens");
            let tables = "SELECT group_concat(name) || (SELECT sum(number) FROM kept) FROM sqlite_master";
            reader.query_row(tables, [], |row| row.get::<_, String>(0)).expect("a row")
        };
        assert_eq!(read(), "kept3");
        drop(store);
        assert_eq!(read(), "kept3");
        assert!(bytes(&path) <= 4 * 4_096, "the database holds nothing of it");
    }
}
