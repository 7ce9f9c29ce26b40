//! When a racer passed a timing point, in milliseconds from the start.

use crate::ids::RaceId;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "race_split")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub race_id: RaceId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub participant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub timing_point_id: String,
    pub label: String,
    pub distance_m: i64,
    pub time_ms: i64,
    pub order_index: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
