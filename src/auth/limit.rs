//! Rate limits (GCRA), keyed by user over all their sockets and HTTP requests, or by address where nobody is known yet.

use crate::clock::Clock;
use crate::command::Limit;
use crate::config::Config;
use crate::error::Refusal;
use crate::ids::{ApiKeyId, UserId};
use crate::metrics::Metrics;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

type Keyed<K> = RateLimiter<K, DashMapStateStore<K>, Clock, NoOpMiddleware<Nanos>>;

/// All limiters of a node.
pub struct Limits {
    scores: Keyed<UserId>,
    commands: Keyed<UserId>,
    lists: Keyed<UserId>,
    failed_logins: Keyed<(String, IpAddr)>,
    failed_logins_from: Keyed<IpAddr>,
    handshakes: Keyed<IpAddr>,
    public_reads: Keyed<IpAddr>,
    ingest: Keyed<ApiKeyId>,
    /// Until when logins are refused unseen, by account and address, or by address alone (no account).
    refused_logins: Mutex<HashMap<(Option<String>, IpAddr), Nanos>>,
    clock: Clock,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limits")
    }
}

fn per_minute<K: Clone + Hash + Eq>(count: u32, clock: &Clock) -> Keyed<K> {
    let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
    RateLimiter::new(Quota::per_minute(count), DashMapStateStore::default(), clock.clone())
}

/// What an address counts as: whoever has one IPv6 address has the 2^64 of its network.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        },
    }
}

impl Limits {
    /// As configured.
    #[must_use]
    pub fn new(config: &Config, clock: &Clock) -> Self {
        Self {
            scores: per_minute(config.rate_limit_scores_per_minute, clock),
            commands: per_minute(config.rate_limit_commands_per_minute, clock),
            lists: per_minute(config.rate_limit_lists_per_minute, clock),
            failed_logins: per_minute(config.rate_limit_failed_logins_per_minute, clock),
            failed_logins_from: per_minute(config.rate_limit_failed_logins_per_address_per_minute, clock),
            handshakes: per_minute(config.rate_limit_handshakes_per_minute, clock),
            public_reads: per_minute(config.rate_limit_public_reads_per_minute, clock),
            ingest: per_minute(config.rate_limit_ingest_per_minute, clock),
            refused_logins: Mutex::default(),
            clock: clock.clone(),
        }
    }

    fn moment(&self) -> Nanos {
        governor::clock::Clock::now(&self.clock)
    }

    fn take<K: Clone + Hash + Eq>(&self, limiter: &Keyed<K>, key: &K, cost: u32) -> Result<(), Refusal> {
        let cost = NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN);
        match limiter.check_key_n(key, cost) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(wait)) => Err(Refusal::RateLimit { retry_after: wait.wait_time_from(self.moment()) }),
            // More at once than the limit holds at all: no waiting helps, a minute is the honest answer.
            Err(_) => Err(Refusal::RateLimit { retry_after: Duration::from_mins(1) }),
        }
    }

    /// Takes `cost` from a user's limit.
    ///
    /// # Errors
    /// `RATE_LIMIT`.
    pub fn user(&self, limit: Limit, user: &UserId, cost: u32) -> Result<(), Refusal> {
        match limit {
            Limit::Scores => self.take(&self.scores, user, cost),
            Limit::Commands => self.take(&self.commands, user, cost),
            Limit::Lists => self.take(&self.lists, user, cost),
            Limit::None => Ok(()),
        }
    }

    /// Takes `cost` from the limit of a key of timing software.
    ///
    /// # Errors
    /// `RATE_LIMIT`.
    pub fn key(&self, key: &ApiKeyId, cost: u32) -> Result<(), Refusal> {
        self.take(&self.ingest, key, cost)
    }

    /// Whether a login may be tried at all. Where too many failed, the next is refused before its password is looked
    /// at: guessing must not go on at full speed and be told when it was right.
    ///
    /// # Errors
    /// `RATE_LIMIT`.
    pub fn may_log_in(&self, email: &str, from: IpAddr) -> Result<(), Refusal> {
        let now = self.moment();
        let from = network(from);
        let refused = self.refused_logins.lock().unwrap_or_else(PoisonError::into_inner);
        let until =
            [(Some(email.to_owned()), from), (None, from)].iter().filter_map(|key| refused.get(key)).max().copied();
        match until {
            Some(until) if until > now => {
                Err(Refusal::RateLimit { retry_after: Duration::from_nanos(until.as_u64() - now.as_u64()) })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Counts a failed login. Successful ones are not counted, so a whole hall can sign in through one address, and
    /// nobody can lock a judge out from elsewhere.
    ///
    /// # Errors
    /// `RATE_LIMIT`.
    pub fn failed_login(&self, email: &str, from: IpAddr) -> Result<(), Refusal> {
        let from = network(from);
        let pair = (email.to_owned(), from);
        let by_pair = self.take(&self.failed_logins, &pair, 1);
        let by_address = self.take(&self.failed_logins_from, &from, 1);
        for (key, outcome) in [((Some(pair.0), from), &by_pair), ((None, from), &by_address)] {
            if let Err(Refusal::RateLimit { retry_after }) = outcome {
                let until = self.moment() + Nanos::from(*retry_after);
                self.refused_logins.lock().unwrap_or_else(PoisonError::into_inner).insert(key, until);
            }
        }
        by_pair.and(by_address)
    }

    /// Counts a handshake without a valid token.
    ///
    /// # Errors
    /// `RATE_LIMIT`.
    pub fn anonymous_handshake(&self, from: IpAddr) -> Result<(), Refusal> {
        self.take(&self.handshakes, &network(from), 1)
    }

    /// Takes `cost` from what an address may read without a token.
    ///
    /// # Errors
    /// `RATE_LIMIT`.
    pub fn public_read(&self, from: IpAddr, cost: u32) -> Result<(), Refusal> {
        self.take(&self.public_reads, &network(from), cost)
    }

    /// Forgets the keys whose limit is whole again.
    pub fn evict_idle(&self, metrics: &Metrics) {
        fn evict<K: Clone + Hash + Eq>(limiter: &Keyed<K>, name: &str, metrics: &Metrics) {
            limiter.retain_recent();
            limiter.shrink_to_fit();
            metrics.limit_keys.with_label_values(&[name]).set(i64::try_from(limiter.len()).unwrap_or(i64::MAX));
        }
        let now = self.moment();
        self.refused_logins.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, until| *until > now);
        evict(&self.scores, "scores", metrics);
        evict(&self.commands, "commands", metrics);
        evict(&self.lists, "lists", metrics);
        evict(&self.failed_logins, "failed_logins", metrics);
        evict(&self.failed_logins_from, "failed_logins_from", metrics);
        evict(&self.handshakes, "handshakes", metrics);
        evict(&self.public_reads, "public_reads", metrics);
        evict(&self.ingest, "ingest", metrics);
    }
}
