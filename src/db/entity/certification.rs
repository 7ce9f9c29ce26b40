//! How far the certification of a category has come; none means that nothing was signed yet.

use crate::clock::Micros;
use crate::ids::{CategoryId, UserId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "certification")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub category_id: CategoryId,
    pub stage: Stage,
    pub rejection_reason: Option<String>,
    pub voided: bool,
    pub tally_hash: Option<String>,
    pub certified_at: Option<Micros>,
    pub certified_by: Option<UserId>,
    pub updated_at: Micros,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// How far a category has come.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    EnumIter,
    DeriveActiveEnum,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Stage {
    /// Judges are marking.
    #[default]
    Open,
    /// Every counting judge has signed FINAL.
    Judged,
    /// The tally master has signed.
    Tallied,
    /// The auditor has signed.
    Audited,
    /// The board has signed; the scores are locked.
    Certified,
    /// It is published as official.
    Published,
}
