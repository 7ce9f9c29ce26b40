//! A judge's mark in thousandths.

use crate::clock::Micros;
use crate::ids::{CategoryId, ContestantId, CriterionId, MarkId, UserId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mark")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub category_id: CategoryId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub contestant_id: ContestantId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub judge_id: UserId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub criterion_id: CriterionId,
    pub id: MarkId,
    pub score: i64,
    pub comment: Option<String>,
    pub status: MarkStatus,
    pub version: i64,
    pub salt: String,
    pub entered_by: Option<UserId>,
    pub confirmed_by: Option<UserId>,
    pub made_at: Option<Micros>,
    pub created_at: Micros,
    pub updated_at: Micros,
}

impl Model {
    /// Whether it was not taken out.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.status != MarkStatus::Removed
    }

    /// Whether it was entered for its judge and nobody else has confirmed it yet: then it does not count.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.stands() && self.entered_by.is_some() && self.confirmed_by.is_none()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// How far a mark has come.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum MarkStatus {
    /// Given, may still be changed by its judge.
    Submitted,
    /// Certified by its judge.
    Certified,
    /// Locked by the board.
    Locked,
    /// Taken out by the tally master, the auditor and the board together; kept, and counted no more.
    Removed,
}
