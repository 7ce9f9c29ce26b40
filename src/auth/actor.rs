//! Who a command comes from. Made by the token gate or by the command line, never from what a client says of itself.

use crate::auth::role::{Hat, Role};
use crate::clock::Micros;
use crate::db::entity::api_key;
use crate::error::Refusal;
use crate::ids::{ApiKeyId, EventId, SessionId, UserId};
use crate::state::rights::Seat;
use crate::state::{Category, State};
use std::sync::Arc;

/// The name the log gives to the command line.
pub const OPERATOR: &str = "operator";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Somebody signed in.
    User {
        /// Who.
        id: UserId,
        /// By which session.
        session: SessionId,
    },
    /// Timing software of one event.
    Key {
        /// Its key.
        id: ApiKeyId,
        /// The event.
        event: EventId,
    },
    /// Whoever can read and write the database file anyway.
    Operator,
}

impl Actor {
    /// The name in the log and in the table of command ids.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        match self {
            Self::User { id, .. } => id.text(),
            // No user's id holds a colon.
            Self::Key { id, .. } => format!("key:{id}").into(),
            Self::Operator => OPERATOR.into(),
        }
    }

    /// The user, if it is one.
    ///
    /// # Errors
    /// `FORBIDDEN` for the command line and for keys: they cannot judge.
    pub fn user(&self) -> Result<&UserId, Refusal> {
        match self {
            Self::User { id, .. } => Ok(id),
            Self::Key { .. } | Self::Operator => Err(Refusal::Forbidden),
        }
    }

    /// Passes ADMIN, ORGANIZER and the command line.
    ///
    /// # Errors
    /// `FORBIDDEN` for all others.
    pub fn must_run_installation(&self, state: &State) -> Result<(), Refusal> {
        match self {
            Self::Operator => Ok(()),
            Self::User { id, .. } if state.role_of(id).is_some_and(Role::runs_installation) => Ok(()),
            Self::User { .. } | Self::Key { .. } => Err(Refusal::Forbidden),
        }
    }

    /// Where the actor sits in a category.
    #[must_use]
    pub fn seat(&self, state: &State, category: &Category) -> Seat {
        match self {
            Self::User { id, .. } => state.seat(id, category),
            Self::Key { .. } | Self::Operator => Seat::Stranger,
        }
    }

    /// Checks that the session still stands: not ended, not outdated, its user active; or that the key is not revoked and
    /// this is its time.
    ///
    /// # Errors
    /// `SESSION_REVOKED`; `INVALID_TOKEN` and `TOKEN_EXPIRED` for a key.
    pub fn must_be_signed_in(&self, state: &State, now: Micros) -> Result<(), Refusal> {
        match self {
            Self::Operator => Ok(()),
            Self::Key { id, .. } => state.racing.keys.get(id).ok_or(Refusal::InvalidToken)?.must_be_valid(now),
            Self::User { id, session } => {
                let stands = state.role_of(id).is_some()
                    && state.sessions.get(session).is_some_and(|row| row.revoked_at.is_none() && row.user_id == *id);
                if stands { Ok(()) } else { Err(Refusal::SessionRevoked) }
            }
        }
    }

    /// Passes who may report the times of an event: those who run the installation, those who wear a tally master's hat on
    /// all of it, its keys.
    ///
    /// # Errors
    /// `FORBIDDEN` for all others.
    pub fn must_time(&self, state: &State, event: &EventId) -> Result<(), Refusal> {
        match self {
            Self::Operator => Ok(()),
            Self::Key { event: own, .. } if own == event => Ok(()),
            Self::Key { .. } => Err(Refusal::Forbidden),
            Self::User { id, .. } => {
                let runs = state.role_of(id).is_some_and(Role::runs_installation);
                let tallies = || {
                    state.hats_worn(id).any(|hat| {
                        let whole = hat.contest_id.is_none() && hat.category_id.is_none();
                        hat.hat == Hat::TallyMaster && hat.event_id == *event && whole
                    })
                };
                if runs || tallies() { Ok(()) } else { Err(Refusal::Forbidden) }
            }
        }
    }
}

impl api_key::Model {
    /// Whether it opens anything at this moment.
    ///
    /// # Errors
    /// `INVALID_TOKEN` when it was revoked or its time has not come, `TOKEN_EXPIRED` when its time is over.
    pub fn must_be_valid(&self, now: Micros) -> Result<(), Refusal> {
        if self.revoked_at.is_some() || self.valid_from.is_some_and(|from| now < from) {
            return Err(Refusal::InvalidToken);
        }
        if self.valid_until.is_some_and(|until| now >= until) { Err(Refusal::TokenExpired) } else { Ok(()) }
    }
}
