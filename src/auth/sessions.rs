//! Sessions: opened by a password, kept alive by a refresh token that is rotated at each use, ended by logout, by an
//! organiser, or by the reuse of an old refresh token.
//!
//! Invariant: of a refresh token only the hash is kept; the one before it is honoured for [`GRACE_SECONDS`] with the
//! same successor, because an answer that got lost must not throw a judge out.

use crate::auth::role::Role;
use crate::auth::secret::DerivedKey;
use crate::command::{Decide, Draft};
use crate::db::entity::session;
use crate::error::Refusal;
use crate::events::event::{Event, SessionChanged, UserChanged};
use crate::events::log::sha256_hex;
use crate::ids::{SessionId, UserId};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::Arc;

/// How long the refresh token before the current one still works, in seconds.
pub const GRACE_SECONDS: i64 = 30;
/// How long a session lasts without being used, in seconds.
pub const SESSION_SECONDS: i64 = 30 * 24 * 3600;
/// What is kept of a user agent, in characters.
const USER_AGENT_CHARS_MAX: usize = 200;

/// Makes refresh tokens: each is derived from the session and its generation, so the successor of a token can be given
/// again without being stored.
#[derive(Clone, Debug)]
pub struct RefreshKey(DerivedKey);

impl RefreshKey {
    /// Derived from the secret of the installation.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(DerivedKey::new(secret, "refresh tokens"))
    }

    /// The refresh token of a session's generation.
    #[must_use]
    pub fn token(&self, session: &SessionId, generation: i64) -> String {
        let text = format!("{session}.{generation}");
        let mac = hex::encode(self.0.mac(text.as_bytes()));
        URL_SAFE_NO_PAD.encode(format!("{text}.{mac}"))
    }

    /// The session and generation of a token we made.
    #[must_use]
    pub fn read(&self, token: &str) -> Option<(SessionId, i64)> {
        if token.len() > 512 {
            return None;
        }
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let mut parts = text.rsplitn(3, '.');
        let (_mac, generation, session) = (parts.next()?, parts.next()?, parts.next()?);
        let (session, generation) = (session.parse().ok()?, generation.parse().ok()?);
        // Hashes are compared, so that the time it takes says nothing of where two tokens differ.
        let ours = sha256_hex(self.token(&session, generation).as_bytes());
        (ours == sha256_hex(token.as_bytes())).then_some((session, generation))
    }
}

/// Opens a session for a user whose password was right.
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// Whose.
    pub user: UserId,
    /// The hash the password fitted; a session is not opened on a password that was changed meanwhile. None for the
    /// command line, which needs no password.
    pub proof: Option<String>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// Makes the refresh token.
    pub key: Arc<RefreshKey>,
}

/// Uses a refresh token.
#[derive(Clone, Debug)]
pub struct RotateSession {
    /// The token.
    pub refresh_token: String,
    /// Made it.
    pub key: Arc<RefreshKey>,
}

/// Ends the session that asks.
#[derive(Clone, Debug)]
pub struct EndSession;

/// Ends one session: one's own, or, for those who run the installation, anybody's.
#[derive(Clone, Debug)]
pub struct RevokeSession {
    /// Whose it must be.
    pub user: UserId,
    /// Which.
    pub session: SessionId,
}

/// Ends all sessions of a user.
#[derive(Clone, Debug)]
pub struct RevokeSessions {
    /// Whose.
    pub user: UserId,
}

fn put_session(draft: &mut Draft, session: session::Model, ended: bool) {
    let fact = SessionChanged { user_id: session.user_id.clone(), session_id: session.id.clone(), ended };
    draft.put(session);
    draft.append(Event::SessionChanged(fact));
}

/// What the access token is made from; the refresh token only where there is one.
fn answer(draft: &Draft, user: &UserId, session: &SessionId, refresh_token: &str) -> Result<Value, Refusal> {
    let user = draft.state.users.get(user).filter(|user| user.active).ok_or(Refusal::SessionRevoked)?;
    Ok(json!({
        "userId": user.id, "role": user.role, "sessionId": session,
        "sessionVersion": user.session_version, "refreshToken": refresh_token,
    }))
}

/// What a session command answers, for the door that turns it into tokens.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionGrant {
    /// Whose session.
    pub user_id: UserId,
    /// Their role now.
    pub role: Role,
    /// The session.
    pub session_id: SessionId,
    /// Which tokens of the user still count.
    pub session_version: i64,
    /// The refresh token.
    pub refresh_token: String,
}

impl Decide for OpenSession {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let user = draft.state.users.get(&self.user).filter(|user| user.active).ok_or(Refusal::WrongPassword)?;
        if self.proof.is_some() && self.proof != user.password_hash {
            return Err(Refusal::WrongPassword);
        }
        let id: SessionId = draft.new_id();
        let token = self.key.token(&id, 1);
        let session = session::Model {
            id: id.clone(),
            user_id: self.user.clone(),
            created_at: draft.now,
            expires_at: draft.now.plus_seconds(SESSION_SECONDS),
            revoked_at: None,
            generation: 1,
            rotated_at: draft.now,
            refresh_hash: sha256_hex(token.as_bytes()),
            user_agent: self.user_agent.as_ref().map(|text| text.chars().take(USER_AGENT_CHARS_MAX).collect()),
        };
        put_session(draft, session, false);
        answer(draft, &self.user, &id, &token)
    }
}

impl Decide for RotateSession {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let (id, generation) = self.key.read(&self.refresh_token).ok_or(Refusal::InvalidToken)?;
        let session = draft.state.sessions.get(&id).ok_or(Refusal::InvalidToken)?.as_ref().clone();
        if session.revoked_at.is_some() {
            return Err(Refusal::SessionRevoked);
        }
        if session.expires_at <= draft.now {
            return Err(Refusal::TokenExpired);
        }
        let user = session.user_id.clone();
        if generation == session.generation {
            if sha256_hex(self.refresh_token.as_bytes()) != session.refresh_hash {
                return Err(Refusal::InvalidToken);
            }
            let token = self.key.token(&id, generation + 1);
            let rotated = session::Model {
                generation: generation + 1,
                rotated_at: draft.now,
                expires_at: draft.now.plus_seconds(SESSION_SECONDS),
                refresh_hash: sha256_hex(token.as_bytes()),
                ..session
            };
            put_session(draft, rotated, false);
            return answer(draft, &user, &id, &token);
        }
        if generation + 1 == session.generation && draft.now <= session.rotated_at.plus_seconds(GRACE_SECONDS) {
            return answer(draft, &user, &id, &self.key.token(&id, session.generation));
        }
        // Somebody uses a token that was already exchanged: a copy is about, so the whole family ends. The refusal is
        // given by whoever asked for the answer; ending the session is what has to be committed.
        let ended = session::Model { revoked_at: Some(draft.now), ..session };
        put_session(draft, ended, true);
        Ok(Value::Null)
    }
}

impl Decide for EndSession {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let crate::auth::actor::Actor::User { session, .. } = &draft.actor else { return Err(Refusal::Forbidden) };
        let session = draft.state.sessions.get(session).ok_or(Refusal::SessionRevoked)?.as_ref().clone();
        let ended = session::Model { revoked_at: Some(draft.now), ..session };
        put_session(draft, ended, true);
        Ok(json!({}))
    }
}

impl Decide for RevokeSession {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let own = matches!(&draft.actor, crate::auth::actor::Actor::User { id, .. } if *id == self.user);
        if !own {
            draft.actor.must_run_installation(&draft.state)?;
        }
        let session = draft.state.sessions.get(&self.session);
        let open = session.filter(|session| session.user_id == self.user && session.is_open(draft.now));
        let open = open.ok_or_else(|| Refusal::not_found("session", &self.session))?.as_ref().clone();
        let ended = session::Model { revoked_at: Some(draft.now), ..open };
        put_session(draft, ended, true);
        Ok(json!({}))
    }
}

impl Decide for RevokeSessions {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let revoked = end_all(draft, &self.user)?;
        Ok(json!({ "userId": self.user, "revoked": revoked }))
    }
}

/// Ends every session of a user and makes all their tokens worthless.
///
/// # Errors
/// `NOT_FOUND`.
pub fn end_all(draft: &mut Draft, user: &UserId) -> Result<usize, Refusal> {
    let mut row = draft.state.users.get(user).ok_or_else(|| Refusal::not_found("user", user))?.as_ref().clone();
    let open: Vec<session::Model> = draft
        .state
        .sessions
        .values()
        .filter(|session| session.user_id == *user && session.revoked_at.is_none())
        .map(|session| session.as_ref().clone())
        .collect();
    for session in &open {
        draft.put(session::Model { revoked_at: Some(draft.now), ..session.clone() });
    }
    row.session_version += 1;
    row.updated_at = draft.now;
    draft.put(row);
    draft.append(Event::UserChanged(UserChanged { user_id: user.clone() }));
    Ok(open.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_refresh_tokens_are_read() {
        let key = RefreshKey::new("0123456789abcdef0123456789abcdef");
        let session: SessionId = "s.1".parse().expect("a well-formed id");
        let token = key.token(&session, 7);
        assert_eq!(key.read(&token), Some((session.clone(), 7)));
        assert_eq!(RefreshKey::new("another").read(&token), None);
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(&token).expect("base64")).expect("text");
        assert_eq!(key.read(&URL_SAFE_NO_PAD.encode(text.replace(".7.", ".8."))), None);
        for bad in ["", "a", "....", &"A".repeat(10_000)] {
            assert_eq!(key.read(bad), None, "{bad:?}");
        }
    }
}
