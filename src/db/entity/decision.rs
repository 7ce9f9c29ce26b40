//! Something several people decide: a deduction, a removal, an uncertification, a flag. Its body is JSON.

use crate::clock::Micros;
use crate::ids::{CategoryId, UserId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "decision")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub category_id: CategoryId,
    pub kind: DecisionKind,
    pub status: DecisionStatus,
    pub body: String,
    pub requested_by: UserId,
    pub requested_at: Micros,
    pub decided_at: Option<Micros>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What is decided.
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
pub enum DecisionKind {
    /// Points off a contestant's total.
    Deduction,
    /// Marks of a judge are taken out.
    Removal,
    /// A judge's certified sheets are opened again.
    Uncertification,
    /// Something to look at before anybody signs.
    Flag,
}

/// How it stands.
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
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DecisionStatus {
    /// Not decided yet.
    Pending,
    /// Approved, and in force.
    Approved,
    /// Approved, and carried out.
    Executed,
    /// Turned down.
    Rejected,
    /// Taken back by whoever asked.
    Withdrawn,
}
