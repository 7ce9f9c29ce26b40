//! Passwords: argon2id with the library's recommended cost, always computed off the runtime's threads and never in the
//! writer.

use crate::error::AppError;
use anyhow::anyhow;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use std::sync::LazyLock;
use tokio::sync::Semaphore;

/// Hashes at a time: each takes 19 MiB and a core.
const HASHING_MAX: usize = 4;
/// Longest password, in bytes; longer ones would only burn time.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Shortest password, in characters.
pub const PASSWORD_CHARS_MIN: usize = 8;

static HASHING: Semaphore = Semaphore::const_new(HASHING_MAX);

/// Checked when there is no such user, so that an answer takes as long as for one who exists.
static NOBODY: LazyLock<Option<String>> = LazyLock::new(|| hash_now("nobody has this password").ok());

fn hash_now(password: &str) -> anyhow::Result<String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|cause| anyhow!("{cause}"))
}

/// The hash to keep of a password.
///
/// # Errors
/// When hashing fails.
pub async fn hash(password: String) -> Result<String, AppError> {
    let _permit = HASHING.acquire().await.map_err(anyhow::Error::from)?;
    Ok(tokio::task::spawn_blocking(move || hash_now(&password)).await.map_err(anyhow::Error::from)??)
}

/// Whether a password fits a hash; takes its time also where there is no hash.
///
/// # Errors
/// When the work cannot be done.
pub async fn fits(password: String, hash: Option<String>) -> Result<bool, AppError> {
    let _permit = HASHING.acquire().await.map_err(anyhow::Error::from)?;
    let fits = move || {
        let known = hash.is_some();
        let hash = hash.or_else(|| NOBODY.clone());
        let parsed = hash.as_deref().and_then(|hash| PasswordHash::new(hash).ok());
        parsed.is_some_and(|parsed| Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok()) && known
    };
    Ok(tokio::task::spawn_blocking(fits).await.map_err(anyhow::Error::from)?)
}
