//! Access tokens for the peers: HS256, with what the founding document reads from one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

/// The secret of every server of a run; they listen on loopback only, and for minutes.
pub const SECRET: &str = "bench-0123456789abcdef0123456789abcdef";

/// How long tokens of the peers are good.
pub const LIFE_SECONDS: u64 = 24 * 3600;

/// A token for a user, good until then (seconds since 1970).
pub fn sign(user: &str, role: &str, until: u64) -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({"alg": "HS256", "typ": "JWT"}));
    let body = part(json!({"userId": user, "role": role, "iat": until - LIFE_SECONDS - 60, "exp": until}));
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(SECRET.as_bytes()).expect("any length will do");
    mac.update(format!("{head}.{body}").as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{head}.{body}.{signature}")
}
