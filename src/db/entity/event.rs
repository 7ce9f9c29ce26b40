//! A competition.

use crate::clock::Micros;
use crate::ids::EventId;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: EventId,
    pub main_title: String,
    pub sub_title: Option<String>,
    pub location: Option<String>,
    pub facility: Option<String>,
    pub image_url: Option<String>,
    pub start_date: Option<String>,
    pub end_date: Option<String>,
    pub discipline: Option<String>,
    pub status: EventStatus,
    pub single_officer: bool,
    pub frozen_at: Option<Micros>,
    pub allow_override: bool,
    pub results_from: ResultsFrom,
    pub rehearsal: bool,
    pub created_at: Micros,
    pub updated_at: Micros,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Where a competition stands; what may follow what is decided in `setup`.
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
pub enum EventStatus {
    /// Being set up; nobody outside sees it.
    #[default]
    Draft,
    /// The start lists are out.
    Startlist,
    /// Under way.
    Running,
    /// Over, not yet confirmed.
    Finished,
    /// Confirmed.
    Official,
}

/// Whose results count where the export and the live feed of the timing computer both have one.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Default,
    EnumIter,
    DeriveActiveEnum,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum ResultsFrom {
    /// The live feed's.
    #[default]
    Feed,
    /// The export's.
    Xml,
    /// Those that came last.
    Newest,
}
