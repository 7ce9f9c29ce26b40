//! Somebody on an ergometer; what it measured as JSON.

use super::race_report::Irm;
use crate::ids::RaceId;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "indoor_participant")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub race_id: RaceId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub ergrace_id: String,
    pub place: Option<i64>,
    pub time_ms: Option<i64>,
    pub status: Option<Irm>,
    pub detail: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
