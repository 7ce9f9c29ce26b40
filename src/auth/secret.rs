//! Keys derived from the one secret of the installation, each for one purpose.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A key for one purpose.
#[derive(Clone)]
pub struct DerivedKey([u8; 32]);

impl std::fmt::Debug for DerivedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DerivedKey")
    }
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

impl DerivedKey {
    /// The key of a purpose.
    #[must_use]
    pub fn new(secret: &str, purpose: &str) -> Self {
        Self(hmac_sha256(secret.as_bytes(), format!("scorecast {purpose}").as_bytes()))
    }

    /// A code that only the holder of the key can make.
    #[must_use]
    pub fn mac(&self, message: &[u8]) -> [u8; 32] {
        hmac_sha256(&self.0, message)
    }
}
