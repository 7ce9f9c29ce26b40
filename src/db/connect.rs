//! Opens the database: migrations, the pool for reads, the lock that keeps a second server out of a SQLite file.

use anyhow::{Context, bail};
use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Connections of the read pool.
const READERS_MAX: u32 = 4;
/// How long a statement waits for another process's write.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Which database a `DATABASE_URL` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(String),
}

impl Target {
    /// Reads a `DATABASE_URL`: `sqlite://path?mode=rwc` or `postgres://…`.
    ///
    /// # Errors
    /// When it is neither, or asks for a SQLite database that is not a file.
    pub fn parse(url: &str) -> anyhow::Result<Self> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        let Some(rest) = url.strip_prefix("sqlite:") else {
            bail!("DATABASE_URL must begin with sqlite:// or postgres://");
        };
        let path = rest.strip_prefix("//").unwrap_or(rest).split('?').next().unwrap_or_default();
        if path.is_empty() || path == ":memory:" {
            bail!("DATABASE_URL must name a file: what is acknowledged has to outlive the process");
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

/// Holds the SQLite file for one server; released when dropped, also by a crash.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "held open, never read: the lock lives as long as the handle")] File);

impl FileLock {
    /// Whether another process holds the lock.
    #[must_use]
    pub fn is_held(database: &Path) -> bool {
        let file = File::options().write(true).open(database.with_extension("lock"));
        file.is_ok_and(|file| matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)))
    }

    /// Takes the lock beside the database file.
    ///
    /// # Errors
    /// When another process holds it, or the file cannot be made.
    pub fn take(database: &Path) -> anyhow::Result<Self> {
        let path = database.with_extension("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open the lock file {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(std::fs::TryLockError::WouldBlock) => bail!(
                "a server holds {}; stop it, or use its REST interface instead (POST /api/v1/admin/import to import)",
                database.display()
            ),
            Err(std::fs::TryLockError::Error(cause)) => {
                Err(cause).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }
}

fn sqlite_options(path: &Path, readers: u32, write: bool) -> ConnectOptions {
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rwc", path.display()));
    options.max_connections(readers).sqlx_logging(false).test_before_acquire(false);
    options.map_sqlx_sqlite_opts(move |sqlite| {
        let sqlite =
            sqlite.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full).busy_timeout(BUSY_TIMEOUT);
        if write { sqlite } else { sqlite.pragma("query_only", "ON") }
    });
    options
}

/// Makes the folder a database file is to lie in.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder(database: &Path) -> anyhow::Result<()> {
    match database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))
        }
        None => Ok(()),
    }
}

/// Brings the schema up to date.
///
/// # Errors
/// When the database cannot be opened or a migration fails.
pub async fn migrate(target: &Target) -> anyhow::Result<()> {
    match target {
        Target::Sqlite(path) => {
            make_folder(path)?;
            let pool = Database::connect(sqlite_options(path, 1, true)).await?;
            Migrator::up(&pool, None).await?;
            pool.close().await?;
        }
        Target::Postgres(url) => {
            use sea_orm::{ConnectionTrait, TransactionTrait};
            let pool = Database::connect(ConnectOptions::new(url)).await?;
            // sea-orm-migration takes no lock of its own: nodes that start together on a fresh database would collide.
            let tx = pool.begin().await?;
            tx.execute_unprepared("SELECT pg_advisory_xact_lock(7305801)").await?;
            Migrator::up(&tx, None).await?;
            tx.commit().await?;
            pool.close().await?;
        }
    }
    Ok(())
}

/// Whether the schema is the one this program was built for.
///
/// # Errors
/// When it is not, or the database fails.
pub async fn check_schema(db: &DatabaseConnection) -> anyhow::Result<()> {
    let pending = Migrator::get_pending_migrations(db).await.context("cannot compare the schema")?;
    if !pending.is_empty() {
        bail!("the schema of the database is not this program's; stop the server and run: scorecast migrate");
    }
    Ok(())
}

/// The pool for reads; on SQLite it cannot write.
///
/// # Errors
/// When the database cannot be opened.
pub async fn read_pool(target: &Target) -> anyhow::Result<DatabaseConnection> {
    let options = match target {
        Target::Sqlite(path) => sqlite_options(path, READERS_MAX, false),
        Target::Postgres(url) => {
            let mut options = ConnectOptions::new(url);
            options.max_connections(READERS_MAX).sqlx_logging(false);
            options
        }
    };
    Ok(Database::connect(options).await?)
}
