//! A result that was published: what was signed, and the record it was computed from, each as the text that was signed.

use crate::clock::Micros;
use crate::ids::{CategoryId, EventId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "publication")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub category_id: CategoryId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision: i64,
    pub id: String,
    pub event_id: EventId,
    pub state: PublicationState,
    pub tally_hash: String,
    pub lane_seq: i64,
    pub publication: String,
    pub tally: String,
    pub hidden: bool,
    pub revealed: String,
    pub published_at: Micros,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// How much a published result is worth.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum PublicationState {
    /// Not published: evidence as it stands, for the office.
    Draft,
    /// The judges are done; the officers are not.
    Unofficial,
    /// The board has signed.
    Official,
}
