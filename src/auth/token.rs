//! The token gate. The JWT library signs and checks signatures; what is signed is read here, once, because the library
//! accepts more than is good even when strict (FACTS: unknown `crit`, any `typ`, embedded keys, endless lifetimes, lists of
//! audiences, megabytes), and reads a token five times over.
//!
//! Invariant: only a token this installation signed, of the one shape it signs, for a session that stands, passes.

use crate::auth::actor::Actor;
use crate::auth::role::Role;
use crate::clock::Micros;
use crate::error::Refusal;
use crate::ids::{SessionId, UserId};
use crate::state::State;
use anyhow::bail;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Seconds an access token lives.
pub const ACCESS_SECONDS: i64 = 15 * 60;
/// Largest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;
/// Seconds by which clocks may differ.
const CLOCK_SKEW_SECONDS: i64 = 60;
const ISSUER: &str = "scorecast";
const AUDIENCE: &str = "scorecast";
const TYPE: &str = "at+jwt";
/// HMAC with SHA-256 (RFC 7518, 3.2).
const ALGORITHM: &str = "HS256";
/// The secret of `.env.example`: known to everybody, so it guards nothing.
pub const EXAMPLE_SECRET: &str = "change-me-to-at-least-32-random-bytes";
/// Shortest secret, in bytes.
pub const SECRET_BYTES_MIN: usize = 32;

/// What an access token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    iss: String,
    aud: String,
    iat: i64,
    /// When it ends, seconds since 1970.
    pub exp: i64,
    sub: UserId,
    /// For readers of the token; the server takes the role from the database.
    role: Role,
    sid: SessionId,
    sv: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictHeader {
    alg: String,
    typ: String,
    #[serde(rename = "kid", default)]
    _kid: Option<String>,
}

impl Claims {
    /// The session it was issued for.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        &self.sid
    }

    /// When it ends.
    #[must_use]
    pub fn expires_at(&self) -> Micros {
        Micros(0).plus_seconds(self.exp)
    }
}

/// Signs and checks access tokens.
#[derive(Clone)]
pub struct Tokens {
    signing: EncodingKey,
    checking: DecodingKey,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// From the secret of the installation.
    ///
    /// # Errors
    /// When the secret is too short, or the one of the example.
    pub fn new(secret: &str) -> anyhow::Result<Self> {
        if secret.len() < SECRET_BYTES_MIN {
            bail!("JWT_SECRET must have at least {SECRET_BYTES_MIN} bytes; make one with: openssl rand -hex 32");
        }
        if secret == EXAMPLE_SECRET {
            bail!("JWT_SECRET is the one of .env.example, which everybody knows; make one with: openssl rand -hex 32");
        }
        Ok(Self {
            signing: EncodingKey::from_secret(secret.as_bytes()),
            checking: DecodingKey::from_secret(secret.as_bytes()),
        })
    }

    /// A new access token for a session.
    ///
    /// # Errors
    /// When signing fails.
    pub fn issue(
        &self,
        user: &UserId,
        role: Role,
        session: &SessionId,
        version: i64,
        now: Micros,
    ) -> anyhow::Result<String> {
        let claims = Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            iat: now.seconds(),
            exp: now.seconds() + ACCESS_SECONDS,
            sub: user.clone(),
            role,
            sid: session.clone(),
            sv: version,
        };
        let header = Header { typ: Some(TYPE.into()), ..Header::new(Algorithm::HS256) };
        Ok(jsonwebtoken::encode(&header, &claims, &self.signing)?)
    }

    /// Reads a token, without asking yet whether its session stands.
    ///
    /// # Errors
    /// `INVALID_TOKEN`, or `TOKEN_EXPIRED`.
    pub fn read(&self, token: &str, now: Micros) -> Result<Claims, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::InvalidToken);
        }
        let claims = self.signed(token).ok_or(Refusal::InvalidToken)?;
        let lifetime_ok =
            claims.exp.checked_sub(claims.iat).is_some_and(|seconds| (0..=ACCESS_SECONDS).contains(&seconds));
        if !lifetime_ok || claims.iat > now.seconds() + CLOCK_SKEW_SECONDS {
            return Err(Refusal::InvalidToken);
        }
        if claims.exp <= now.seconds() {
            return Err(Refusal::TokenExpired);
        }
        Ok(claims)
    }

    /// What a token says, if this installation signed it, for itself. Nothing but its header is read before that is known.
    fn signed(&self, token: &str) -> Option<Claims> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let StrictHeader { alg, typ, .. } = part(header)?;
        if alg != ALGORITHM || typ != TYPE {
            return None;
        }
        let checked = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.checking, Algorithm::HS256);
        if !checked.unwrap_or(false) {
            return None;
        }
        part(claims).filter(|claims: &Claims| claims.iss == ISSUER && claims.aud == AUDIENCE)
    }

    /// Reads a token and asks whether its session stands.
    ///
    /// # Errors
    /// `INVALID_TOKEN`, `TOKEN_EXPIRED` or `SESSION_REVOKED`.
    pub fn admit(&self, token: &str, state: &State, now: Micros) -> Result<(Actor, Claims), Refusal> {
        let claims = self.read(token, now)?;
        Ok((claims.admit(state, now)?, claims))
    }
}

impl Claims {
    /// Asks whether the session of a token that was read stands.
    ///
    /// # Errors
    /// `INVALID_TOKEN` or `SESSION_REVOKED`.
    pub fn admit(&self, state: &State, now: Micros) -> Result<Actor, Refusal> {
        let user = state.users.get(&self.sub).ok_or(Refusal::InvalidToken)?;
        let actor = Actor::User { id: self.sub.clone(), session: self.sid.clone() };
        if user.session_version != self.sv {
            return Err(Refusal::SessionRevoked);
        }
        actor.must_be_signed_in(state, now)?;
        Ok(actor)
    }
}

/// Reads a part of a token.
fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const NOW: Micros = Micros(1_700_000_000_000_000);

    /// Signs any header and payload with the right key, as the library would not let us.
    fn forge(header: &Value, payload: &Value) -> String {
        forge_text(&header.to_string(), &payload.to_string())
    }

    fn forge_text(header: &str, payload: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = jsonwebtoken::crypto::sign(
            message.as_bytes(),
            &EncodingKey::from_secret(SECRET.as_bytes()),
            Algorithm::HS256,
        )
        .expect("HS256 signs anything");
        format!("{message}.{signature}")
    }

    fn payload() -> Value {
        let now = NOW.seconds();
        json!({"iss": "scorecast", "aud": "scorecast", "iat": now, "exp": now + 900, "sub": "u", "role": "JUDGE", "sid": "s", "sv": 1})
    }

    fn with(mut base: Value, key: &str, value: Value) -> Value {
        base.as_object_mut().expect("an object").insert(key.into(), value);
        base
    }

    #[test]
    fn only_a_token_of_our_own_shape_passes() {
        let tokens = Tokens::new(SECRET).expect("a good secret");
        let header = json!({"alg": "HS256", "typ": "at+jwt"});
        assert!(tokens.read(&forge(&header, &payload()), NOW).is_ok());
        let now = NOW.seconds();
        let cases: Vec<(&str, String)> = vec![
            ("crit", forge(&with(header.clone(), "crit", json!(["b64"])), &payload())),
            ("typ", forge(&with(header.clone(), "typ", json!("JWT")), &payload())),
            ("no typ", forge(&json!({"alg": "HS256"}), &payload())),
            ("jwk", forge(&with(header.clone(), "jwk", json!({"kty": "oct", "k": "AA"})), &payload())),
            ("jku", forge(&with(header.clone(), "jku", json!("https://x.example/k")), &payload())),
            ("alg none", forge(&with(header.clone(), "alg", json!("none")), &payload())),
            ("alg HS384", forge(&with(header.clone(), "alg", json!("HS384")), &payload())),
            ("endless", forge(&header, &with(payload(), "exp", json!(u64::MAX)))),
            ("too long", forge(&header, &with(payload(), "exp", json!(now + 901)))),
            ("backwards", forge(&header, &with(payload(), "exp", json!(now - 1)))),
            (
                "iat in the future",
                forge(&header, &with(with(payload(), "iat", json!(now + 3600)), "exp", json!(now + 3700))),
            ),
            ("iss list", forge(&header, &with(payload(), "iss", json!(["scorecast"])))),
            ("aud list", forge(&header, &with(payload(), "aud", json!(["scorecast", "x"])))),
            ("aud other", forge(&header, &with(payload(), "aud", json!("other")))),
            ("iss other", forge(&header, &with(payload(), "iss", json!("other")))),
            ("role unknown", forge(&header, &with(payload(), "role", json!("ROOT")))),
            ("extra claim", forge(&header, &with(payload(), "admin", json!(true)))),
            ("huge", format!("{}{}", forge(&header, &payload()), "A".repeat(10_000_000))),
            ("cut", forge(&header, &payload())[..40].to_owned()),
            ("empty", String::new()),
            ("dots", "..".into()),
            ("a part more", forge(&header, &payload()).replacen('.', "..", 1)),
            ("a part before", format!("e30.{}", forge(&header, &payload()))),
            (
                "a claim twice",
                forge_text(&header.to_string(), &payload().to_string().replacen('{', r#"{"sub":"v","#, 1)),
            ),
            ("alg twice", forge_text(r#"{"alg":"none","alg":"HS256","typ":"at+jwt"}"#, &payload().to_string())),
            ("no claims", forge(&header, &json!({}))),
            ("another payload", {
                let (ours, theirs) = (forge(&header, &payload()), forge(&header, &with(payload(), "sub", json!("v"))));
                let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
                format!("{}.{}.{}", parts(&ours)[0], parts(&theirs)[1], parts(&ours)[2])
            }),
            ("unsigned", {
                let token = forge(&header, &payload());
                token[..=token.rfind('.').expect("three parts")].to_owned()
            }),
        ];
        for (what, token) in cases {
            assert!(matches!(tokens.read(&token, NOW), Err(Refusal::InvalidToken)), "{what} was taken");
        }
        let other = Tokens::new("another-secret-of-more-than-32-bytes").expect("a good secret");
        assert!(matches!(other.read(&forge(&header, &payload()), NOW), Err(Refusal::InvalidToken)));
        let later = NOW.plus_seconds(900);
        assert!(matches!(tokens.read(&forge(&header, &payload()), later), Err(Refusal::TokenExpired)));
    }

    #[test]
    fn a_weak_secret_does_not_start() {
        assert!(Tokens::new("").is_err());
        assert!(Tokens::new("0123456789abcdef0123456789abcde").is_err());
        assert!(Tokens::new(EXAMPLE_SECRET).is_err());
    }
}
