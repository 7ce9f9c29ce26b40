//! The keys an installation signs with: made when the first one is needed, kept sealed, told to everyone.

use crate::auth::actor::Actor;
use crate::clock::Micros;
use crate::command::{Decide, Draft};
use crate::db::entity::signing_key;
use crate::error::Refusal;
use crate::evidence::key::{Jwk, KeyId, KeySet, PublicKey};
use sea_orm::{DatabaseConnection, DbErr, EntityTrait, QueryOrder};
use serde_json::{Value, json};

/// Keeps a new key: something the server itself asks for, nobody else.
#[derive(Clone, Debug)]
pub struct KeepKey {
    /// Its name.
    pub id: KeyId,
    /// The half that everyone may have.
    pub public: PublicKey,
    /// The other half, sealed.
    pub sealed: String,
}

impl Decide for KeepKey {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        match draft.actor {
            Actor::Operator => {}
            Actor::User { .. } | Actor::Key { .. } => return Err(Refusal::Forbidden),
        }
        draft.put(signing_key::Model {
            id: self.id.to_string(),
            public_key: self.public.to_string(),
            sealed: self.sealed.clone(),
            created_at: draft.now,
        });
        Ok(json!({ "keyId": self.id }))
    }
}

/// A key as it is kept.
#[derive(Debug)]
pub struct KeptKey {
    /// Its name and its public half.
    pub public: PublicKey,
    /// The other half, sealed.
    pub sealed: String,
    /// Since when it signs.
    pub created_at: Micros,
}

/// Every key there is, the newest first.
///
/// # Errors
/// When the database fails.
pub async fn all(db: &DatabaseConnection) -> Result<Vec<KeptKey>, DbErr> {
    let rows = signing_key::Entity::find().order_by_desc(signing_key::Column::CreatedAt).all(db).await?;
    let known = rows.into_iter().filter_map(|row| match row.public_key.parse() {
        Ok(public) => Some(KeptKey { public, sealed: row.sealed, created_at: row.created_at }),
        Err(error) => {
            tracing::error!(%error, key = row.id, "a key cannot be read; it is left out");
            None
        }
    });
    Ok(known.collect())
}

/// What is told of them.
#[must_use]
pub fn key_set(keys: &[KeptKey]) -> KeySet {
    KeySet { keys: keys.iter().map(|key| Jwk::new(key.public.clone(), key.created_at)).collect() }
}
