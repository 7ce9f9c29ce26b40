//! A race on ergometers, as their software knows it.

use crate::ids::RaceId;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "indoor_race")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub race_id: RaceId,
    pub id: String,
    pub ergrace_race_id: String,
    pub detail: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
