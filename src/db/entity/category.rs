//! A category: one panel, one set of criteria, one ranking.

use crate::ids::{CategoryId, ContestId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "category")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CategoryId,
    pub contest_id: ContestId,
    pub name: String,
    pub rules: String,
    pub min_judges: i64,
    pub judge_visibility: JudgeVisibility,
    pub proxy_entry: bool,
    pub position: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What a judge learns of a fellow judge's mark before publication.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Default,
    EnumIter,
    DeriveActiveEnum,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum JudgeVisibility {
    /// That it was given, never which it is.
    #[default]
    Presence,
    /// Nothing at all.
    Own,
}
