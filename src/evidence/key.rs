//! Ed25519 keys: how publications are signed, and how keys are told and kept.
//!
//! Invariant: the secret half leaves this file only sealed under the secret of the installation.

use crate::auth::secret::DerivedKey;
use crate::clock::{Chance, Micros};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::str::FromStr;

const SEED_BYTES: usize = 32;

/// Why a text is no key or signature, or a kept key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is not base64url of the right length.
    #[error("is not {0} bytes as base64url")]
    Malformed(usize),
    /// It was sealed under another secret, or changed.
    #[error("the signing key was sealed under another secret")]
    Sealed,
}

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; $bytes]);

        impl FromStr for $name {
            type Err = KeyError;
            fn from_str(text: &str) -> Result<Self, KeyError> {
                // One text for one value: what has stray bits at its end is refused by the decoder.
                let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_wrong| KeyError::Malformed($bytes))?;
                bytes.try_into().map(Self).map_err(|_length| KeyError::Malformed($bytes))
            }
        }

        impl TryFrom<String> for $name {
            type Error = KeyError;
            fn try_from(text: String) -> Result<Self, KeyError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
            }
        }
    };
}

fixed_bytes!(
    /// The half of a key that everyone may have.
    PublicKey,
    32
);
fixed_bytes!(
    /// An Ed25519 signature.
    Signature,
    64
);

/// The name of a key: the first 16 hex digits of the SHA-256 of its public half.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl PublicKey {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(hex::encode(&Sha256::digest(self.0)[..8]))
    }

    /// Whether a signature over a message was made with the other half.
    #[must_use]
    pub fn accepts(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, &signature.0).is_ok()
    }
}

/// A key that signs.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
    id: KeyId,
}

impl std::fmt::Debug for Signer {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Signer {
    fn from_seed(seed: &[u8; SEED_BYTES]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are an Ed25519 seed");
        let public = PublicKey(pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes"));
        Self { id: public.id(), public, pair }
    }

    /// A new key, and its secret half sealed under the installation's secret.
    #[must_use]
    pub fn generate(chance: &Chance, secret: &DerivedKey) -> (Self, String) {
        let seed = chance.bytes::<SEED_BYTES>();
        let signer = Self::from_seed(&seed);
        let nonce = chance.bytes::<NONCE_LEN>();
        let mut sealed = seed.to_vec();
        sealing_key(secret)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(&signer.id), &mut sealed)
            .expect("32 bytes are far below the bound of AES-GCM");
        sealed.splice(0..0, nonce);
        (signer, URL_SAFE_NO_PAD.encode(sealed))
    }

    /// A key that was kept sealed.
    ///
    /// # Errors
    /// When it was sealed under another secret.
    pub fn open(id: &KeyId, sealed: &str, secret: &DerivedKey) -> Result<Self, KeyError> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_wrong| KeyError::Sealed)?;
        if bytes.len() < NONCE_LEN {
            return Err(KeyError::Sealed);
        }
        let mut rest = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_length| KeyError::Sealed)?;
        let seed = sealing_key(secret).open_in_place(nonce, aad(id), &mut rest).map_err(|_seal| KeyError::Sealed)?;
        let seed: &[u8; SEED_BYTES] = (&*seed).try_into().map_err(|_length| KeyError::Sealed)?;
        Ok(Self::from_seed(seed))
    }

    /// Its name.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.id
    }

    /// The half that everyone may have.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public.clone()
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.pair.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes"))
    }
}

fn sealing_key(secret: &DerivedKey) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, &secret.mac(b"seal")).expect("HMAC-SHA-256 gives the 32 bytes of the key");
    LessSafeKey::new(key)
}

fn aad(id: &KeyId) -> Aad<Vec<u8>> {
    Aad::from(id.0.clone().into_bytes())
}

/// The keys of an installation, as a JSON Web Key Set (RFC 7517, RFC 8037).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeySet {
    /// Every key that ever signed, the newest first.
    pub keys: Vec<Jwk>,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Jwk {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    pub crv: String,
    /// `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// `EdDSA`.
    pub alg: String,
    /// The name of the key.
    #[schema(value_type = String)]
    pub kid: KeyId,
    /// The key, base64url.
    #[schema(value_type = String)]
    pub x: PublicKey,
    /// Since when it signs.
    #[serde(rename = "createdAt")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Micros,
}

impl Jwk {
    /// A key that signs publications.
    #[must_use]
    pub fn new(key: PublicKey, created_at: Micros) -> Self {
        let text = str::to_owned;
        let (kty, crv, usage, alg) = (text("OKP"), text("Ed25519"), text("sig"), text("EdDSA"));
        Self { kty, crv, usage, alg, kid: key.id(), x: key, created_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> DerivedKey {
        DerivedKey::new(text, "signing keys")
    }

    #[test]
    fn a_kept_key_signs_like_the_new_one_and_opens_under_its_own_secret_only() {
        let (signer, sealed) = Signer::generate(&Chance::seeded(1), &secret("one"));
        let again = Signer::open(signer.key_id(), &sealed, &secret("one")).expect("it opens");
        let signature = again.sign(b"a result");
        assert_eq!(signature, signer.sign(b"a result"));
        assert!(signer.public_key().accepts(b"a result", &signature));
        assert!(!signer.public_key().accepts(b"another result", &signature));
        let (other, _) = Signer::generate(&Chance::seeded(2), &secret("one"));
        assert!(!other.public_key().accepts(b"a result", &signature));
        assert!(Signer::open(signer.key_id(), &sealed, &secret("two")).is_err());
        assert!(Signer::open(other.key_id(), &sealed, &secret("one")).is_err(), "a key cannot take another's name");
        assert!(Signer::open(signer.key_id(), "", &secret("one")).is_err());
    }

    #[test]
    fn a_key_has_one_text() {
        let (signer, _) = Signer::generate(&Chance::seeded(1), &secret("one"));
        let text = signer.public_key().to_string();
        assert_eq!(text.parse::<PublicKey>().ok(), Some(signer.public_key()));
        for wrong in [format!("{text}="), text[1..].to_owned(), String::new(), "not base64".to_owned()] {
            assert!(wrong.parse::<PublicKey>().is_err(), "{wrong}");
        }
        // The last character of 32 bytes carries four bits only; another with the same four is another text.
        let last = text.chars().last().expect("not empty");
        let stray = ('A'..='z').filter(char::is_ascii_alphanumeric).filter(|letter| *letter != last);
        let same = stray.filter_map(|letter| format!("{}{letter}", &text[..text.len() - 1]).parse::<PublicKey>().ok());
        assert!(same.into_iter().all(|key| key != signer.public_key()));
    }
}
