//! Passwords: argon2id with the library's recommended cost, always computed off the runtime's threads and never in the
//! writer.

use crate::error::{AppError, Refusal};
use anyhow::anyhow;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use std::sync::LazyLock;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Logins that may wait for their turn; more are told to come again.
const WAITING_MAX: usize = 512;
/// Hashes at a time: each takes 19 MiB and a core.
const HASHING_MAX: usize = 4;
/// Longest password, in bytes; longer ones would only burn time.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Shortest password, in characters.
pub const PASSWORD_CHARS_MIN: usize = 8;

static HASHING: Semaphore = Semaphore::const_new(HASHING_MAX);
static WAITING: Semaphore = Semaphore::const_new(WAITING_MAX);

/// A login's turn to have its password checked. Few have it at a time, so that limits looked at within it see the failures
/// of those before.
#[derive(Debug)]
pub struct Turn {
    _hashing: SemaphorePermit<'static>,
}

/// Waits for a turn.
///
/// # Errors
/// `OVERLOADED` when too many wait already.
pub async fn turn() -> Result<Turn, AppError> {
    let _waiting = WAITING.try_acquire().map_err(|_too_many| Refusal::Overloaded)?;
    place().await
}

/// Checked when there is no such user, so that an answer takes as long as for one who exists.
static NOBODY: LazyLock<Option<String>> = LazyLock::new(|| hash_now("nobody has this password").ok());

fn hash_now(password: &str) -> anyhow::Result<String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|cause| anyhow!("{cause}"))
}

/// A turn for an organiser's import, which nobody but organisers can make long.
///
/// # Errors
/// When the work cannot be done.
pub async fn place() -> Result<Turn, AppError> {
    let hashing = HASHING.acquire().await.map_err(anyhow::Error::from)?;
    Ok(Turn { _hashing: hashing })
}

/// The hash to keep of a password.
///
/// # Errors
/// When hashing fails.
pub async fn hash(password: String) -> Result<String, AppError> {
    let _turn = place().await?;
    Ok(tokio::task::spawn_blocking(move || hash_now(&password)).await.map_err(anyhow::Error::from)??)
}

/// Whether a password fits a hash, in the caller's turn; takes its time also where there is no hash.
///
/// # Errors
/// When the work cannot be done.
pub async fn fits(_: &Turn, password: String, hash: Option<String>) -> Result<bool, AppError> {
    let fits = move || {
        let known = hash.is_some();
        let hash = hash.or_else(|| NOBODY.clone());
        let parsed = hash.as_deref().and_then(|hash| PasswordHash::new(hash).ok());
        parsed.is_some_and(|parsed| Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok()) && known
    };
    Ok(tokio::task::spawn_blocking(fits).await.map_err(anyhow::Error::from)?)
}
