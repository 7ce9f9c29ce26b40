//! A key that timing software of one event signs in with; of the key itself only the hash is kept.

use crate::clock::Micros;
use crate::ids::{ApiKeyId, EventId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_key")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ApiKeyId,
    pub event_id: EventId,
    pub name: String,
    pub hash: String,
    pub created_by: String,
    pub created_at: Micros,
    pub valid_from: Option<Micros>,
    pub valid_until: Option<Micros>,
    pub revoked_at: Option<Micros>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
