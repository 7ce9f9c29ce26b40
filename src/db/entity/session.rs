//! One sign-in: the current refresh token is kept as a hash.

use crate::clock::Micros;
use crate::ids::{SessionId, UserId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: SessionId,
    pub user_id: UserId,
    pub created_at: Micros,
    pub expires_at: Micros,
    pub revoked_at: Option<Micros>,
    pub generation: i64,
    pub rotated_at: Micros,
    pub refresh_hash: String,
    pub user_agent: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Whether it can still be used: neither ended nor left alone for too long.
    #[must_use]
    pub fn is_open(&self, now: Micros) -> bool {
        self.revoked_at.is_none() && self.expires_at > now
    }

    /// When its refresh token was last exchanged, if it ever was.
    #[must_use]
    pub fn last_used_at(&self) -> Option<Micros> {
        (self.generation > 1).then_some(self.rotated_at)
    }
}
