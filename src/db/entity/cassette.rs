//! A recording: of what, for whom, and how far it has come. Its lines lie in a file.

use crate::clock::Micros;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "cassette")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub description: Option<String>,
    pub audience: Audience,
    pub owner: String,
    pub seat: Option<String>,
    pub source: Option<String>,
    pub phase: Phase,
    pub from_seq: Option<i64>,
    pub to_seq: Option<i64>,
    pub epoch: Option<String>,
    pub interactions: i64,
    pub bytes: i64,
    pub sha256: Option<String>,
    pub file: Option<String>,
    pub recorded_at: Micros,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// For whom something was recorded: nobody else is ever shown it.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    EnumIter,
    DeriveActiveEnum,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Anyone.
    Public,
    /// Those who read every mark of what was recorded.
    Office,
    /// Whoever recorded it, in the seat they had.
    Own,
}

/// How far a recording has come.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    EnumIter,
    DeriveActiveEnum,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing is in it.
    Empty,
    /// It is being recorded.
    Recording,
    /// It changes no more.
    Done,
}
