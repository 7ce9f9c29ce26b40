//! The keys timing software signs in with: `sck_` and 32 bytes, base64url. A key is shown in the answer of its creation;
//! what is kept of it is its SHA-256, and that is what is compared.
//!
//! Invariant: a key is in no row, no fact, no stored answer and no log line.

use crate::auth::secret::DerivedKey;
use crate::events::log::sha256_hex;
use crate::ids::ApiKeyId;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What every key begins with, so that one that got out is found.
const PREFIX: &str = "sck_";
/// What comes after it: 32 bytes in base64url.
const SECRET_CHARS: usize = 43;

/// Makes keys: each is derived from the secret of the installation and its own id, as refresh tokens are. So whoever
/// made a key and lost the answer gets the same one again by asking again, though it was stored nowhere.
///
/// This is as good as 32 random bytes to whoever does not know the secret: the code is HMAC-SHA-256 under a key of its
/// own purpose, and shows nothing of the secret or of the key of another id. Whoever knows the secret signs access tokens
/// anyway. Another secret makes other keys and leaves those there are as they were, because they are found by their
/// hash; where a secret has leaked, the keys made under it are to be revoked too.
#[derive(Clone, Debug)]
pub struct KeyMaker(DerivedKey);

impl KeyMaker {
    /// Derived from the secret of the installation.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(DerivedKey::new(secret, "api keys"))
    }

    /// The key with an id.
    #[must_use]
    pub fn key(&self, id: &ApiKeyId) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0.mac(id.as_str().as_bytes())))
    }
}

/// What is kept of a key. One round of SHA-256 is enough: slow hashes are for passwords, which can be guessed; nobody
/// guesses 256 bits. Hashes are looked up, so the time it takes says nothing of where two keys differ.
#[must_use]
pub fn hash_of(key: &str) -> String {
    sha256_hex(key.as_bytes())
}

/// Whether a text could be a key: what is not need not be looked for.
#[must_use]
pub fn is_well_formed(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|secret| {
        secret.len() == SECRET_CHARS
            && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_again_from_its_id_and_from_nothing_else() {
        let (maker, other) = (KeyMaker::new("0123456789abcdef0123456789abcdef"), KeyMaker::new("another"));
        let [one, two]: [ApiKeyId; 2] = ["k.1", "k.2"].map(|id| id.parse().expect("a well-formed id"));
        let key = maker.key(&one);
        assert_eq!(maker.key(&one), key);
        assert!(maker.key(&two) != key && other.key(&one) != key);
        assert!(is_well_formed(&key) && key.len() == PREFIX.len() + SECRET_CHARS, "{key}");
    }

    #[test]
    fn what_has_another_shape_is_no_key() {
        let key = KeyMaker::new("secret").key(&"k".parse().expect("a well-formed id"));
        let cut = &key[..key.len() - 1];
        for bad in [
            "",
            "sck_",
            cut,
            &format!("{key}A"),
            &key.to_uppercase(),
            &key[1..],
            &key.replace("sck_", "sck "),
            &format!("{cut}="),
        ] {
            assert!(!is_well_formed(bad), "{bad:?}");
        }
    }
}
