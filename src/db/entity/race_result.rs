//! What a race comes to for a racer, by the source that counts, with the place; times in milliseconds.

use super::race_report::{Irm, Source};
use crate::clock::Micros;
use crate::ids::RaceId;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "race_result")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub race_id: RaceId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub participant_id: String,
    pub source: Source,
    pub at: Micros,
    pub bib: Option<i64>,
    pub rank: Option<i64>,
    pub category_rank: Option<i64>,
    pub time_ms: Option<i64>,
    pub pen_ms: Option<i64>,
    pub total_ms: Option<i64>,
    pub behind_ms: Option<i64>,
    pub status: Option<Irm>,
    pub gates: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
