//! The only place that reads the clock and rolls the dice, so that a test can hold both.

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;

/// Microseconds since 1970-01-01T00:00:00Z: what the database and the log hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sea_orm::DeriveValueType)]
pub struct Micros(pub i64);

impl Micros {
    /// This moment plus `seconds`.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// Whole seconds since 1970, as JWTs count them.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

impl std::fmt::Display for Micros {
    /// RFC 3339 in UTC with `Z`, as every time on the wire.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000)
            .ok()
            .and_then(|moment| moment.format(&Rfc3339).ok())
            .ok_or(std::fmt::Error)?;
        f.write_str(&text)
    }
}

impl serde::Serialize for Micros {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Micros {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(input)?;
        let moment = OffsetDateTime::parse(&text, &Rfc3339).map_err(serde::de::Error::custom)?;
        // An offset can carry a moment out of the years that RFC 3339 can write; it could never be told again.
        let in_utc = moment.checked_to_offset(UtcOffset::UTC).filter(|moment| (0..=9999).contains(&moment.year()));
        let in_utc = in_utc.ok_or_else(|| serde::de::Error::custom("lies outside the years 0000 to 9999 in UTC"))?;
        i64::try_from(in_utc.unix_timestamp_nanos().div_euclid(1000)).map(Micros).map_err(serde::de::Error::custom)
    }
}

/// Where the monotonic clock begins to count.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that stands still until it is moved: for tests and rehearsals.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that shows `start` until it is moved.
    #[must_use]
    pub fn manual(start: Micros) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.0)))
    }

    /// The time now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    pub fn now(&self) -> Micros {
        match self {
            Self::System => {
                Micros(i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX))
            }
            Self::Manual(at) => Micros(at.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock on; the machine's clock cannot be moved.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(at) = self {
            at.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
}

/// A moment as the rate limiter counts: nanoseconds since some beginning.
impl governor::clock::Clock for Clock {
    type Instant = governor::nanos::Nanos;
    fn now(&self) -> Self::Instant {
        match self {
            // Monotonic: a limit must not open or close because the machine's clock is put right.
            Self::System => BEGINNING.elapsed().into(),
            Self::Manual(_) => {
                let micros = u64::try_from(Clock::now(self).0).unwrap_or(0);
                governor::nanos::Nanos::new(micros.saturating_mul(1000))
            }
        }
    }
}

/// Where ids and salts come from.
#[derive(Clone, Debug)]
pub struct Chance(Arc<Mutex<StdRng>>);

impl Chance {
    /// Unpredictable, seeded by the operating system.
    #[must_use]
    pub fn from_system() -> Self {
        Self(Arc::new(Mutex::new(StdRng::from_os_rng())))
    }

    /// Repeatable, for tests that compare two runs.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }

    /// A new id that sorts by time (UUID version 7).
    #[must_use]
    pub fn id(&self, now: Micros) -> Uuid {
        let millis = u64::try_from(now.0.div_euclid(1000)).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_that_is_read_can_be_told_again() {
        for (text, told) in [
            ("2026-05-01T19:30:00+12:00", "2026-05-01T07:30:00Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("1969-12-31T23:59:59.9999995Z", "1969-12-31T23:59:59.999999Z"),
        ] {
            let read: Micros = serde_json::from_value(text.into()).expect("a moment");
            assert_eq!(read.to_string(), told, "{text}");
        }
        for out in ["0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+23:59"] {
            assert!(serde_json::from_value::<Micros>(out.into()).is_err(), "{out} could not be told again");
        }
    }
}
