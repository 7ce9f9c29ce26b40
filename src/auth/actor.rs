//! Who a command comes from. Made by the token gate or by the command line, never from what a client says of itself.

use crate::auth::role::Role;
use crate::error::Refusal;
use crate::ids::{SessionId, UserId};
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
    /// Whoever can read and write the database file anyway.
    Operator,
}

impl Actor {
    /// The name in the log and in the table of command ids.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        match self {
            Self::User { id, .. } => id.text(),
            Self::Operator => OPERATOR.into(),
        }
    }

    /// The user, if it is one.
    ///
    /// # Errors
    /// `FORBIDDEN` for the command line: it cannot judge.
    pub fn user(&self) -> Result<&UserId, Refusal> {
        match self {
            Self::User { id, .. } => Ok(id),
            Self::Operator => Err(Refusal::Forbidden),
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
            Self::User { .. } => Err(Refusal::Forbidden),
        }
    }

    /// Where the actor sits in a category.
    #[must_use]
    pub fn seat(&self, state: &State, category: &Category) -> Seat {
        match self {
            Self::User { id, .. } => state.seat(id, category),
            Self::Operator => Seat::Stranger,
        }
    }

    /// Checks that the session still stands: not ended, not outdated, its user active.
    ///
    /// # Errors
    /// `SESSION_REVOKED`.
    pub fn must_be_signed_in(&self, state: &State) -> Result<(), Refusal> {
        match self {
            Self::Operator => Ok(()),
            Self::User { id, session } => {
                let stands = state.role_of(id).is_some()
                    && state.sessions.get(session).is_some_and(|row| row.revoked_at.is_none() && row.user_id == *id);
                if stands { Ok(()) } else { Err(Refusal::SessionRevoked) }
            }
        }
    }
}
