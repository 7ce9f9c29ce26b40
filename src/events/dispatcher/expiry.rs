//! Until when a socket may stay: as long as the access token it gave last is good. It is warned before, and cut then.
//!
//! Invariant: no fact goes to a socket whose token has run out when its round begins, however late the next look is.

use super::{Outlet, Turn};
use crate::auth::actor::Actor;
use crate::clock::Micros;
use crate::error::Refusal;
use crate::events::listener::Listener;
use crate::ids::{SessionId, UserId};
use serde_json::json;
use socketioxide::extract::SocketRef;

/// How long before its end a socket is warned, in seconds.
const WARNING_SECONDS: i64 = 60;
/// When nothing is to be done: no clock gets there.
pub(super) const NEVER: Micros = Micros(i64::MAX);

/// Until when a socket may stay.
#[derive(Debug)]
pub(super) struct Stay {
    until: Micros,
    warned: bool,
}

impl Stay {
    pub(super) fn new(until: Micros) -> Self {
        Self { until, warned: false }
    }

    /// When something is to be done about it next.
    pub(super) fn due(&self) -> Micros {
        if self.warned { self.until } else { self.until.plus_seconds(-WARNING_SECONDS) }
    }
}

impl Outlet {
    /// Cuts the sockets whose token has run out, and warns those whose soon will.
    pub fn look_at_expiry(&self) {
        self.expire(&mut self.turn());
    }

    /// The same within a turn; costs nothing as long as nothing is due.
    pub(super) fn expire(&self, turn: &mut Turn) {
        let now = self.clock.now();
        if now < turn.due {
            return;
        }
        turn.due = NEVER;
        for (user, members) in &mut turn.members {
            members.retain(|_, member| {
                if member.stay.until <= now {
                    self.cut(&mut turn.rooms, member);
                    turn.presence.touch(user, now);
                    return false;
                }
                // One that was not greeted yet is told then: nothing comes before `session:ready`.
                if member.told.is_some() && member.stay.due() <= now {
                    member.stay.warned = true;
                    self.send_to(&member.listener, "session:expiring", &json!({ "exp": member.stay.until }));
                }
                turn.due = turn.due.min(if member.told.is_some() { member.stay.due() } else { member.stay.until });
                true
            });
        }
        turn.members.retain(|_, members| !members.is_empty());
    }

    /// Lets a socket stay until `until`, by another token of its user; if that is of another session, the socket goes
    /// with that one from now on.
    ///
    /// # Errors
    /// `SESSION_REVOKED` when the session has ended meanwhile, or the socket is on its way out.
    pub fn extend(&self, socket: &SocketRef, user: &UserId, session: &SessionId, until: Micros) -> Result<(), Refusal> {
        let mut turn = self.turn();
        // Under the turn: the fact that ends this session has not been sent yet, and will find the socket in it.
        let actor = Actor::User { id: user.clone(), session: session.clone() };
        actor.must_be_signed_in(&self.state.load(), self.clock.now())?;
        let listener = Listener::of(socket).ok_or(Refusal::SessionRevoked)?;
        let member = turn.members.get_mut(user).and_then(|members| members.get_mut(&listener.number()));
        let member = member.ok_or(Refusal::SessionRevoked)?;
        let before = std::mem::replace(&mut member.session, session.clone());
        member.stay = Stay::new(until);
        let due = member.stay.due();
        turn.due = turn.due.min(due);
        turn.presence.rename(user, &before, session);
        Ok(())
    }
}
