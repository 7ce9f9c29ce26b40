//! Who starts in a race; `number` is the integer the race feed knows them by.

use crate::ids::RaceId;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "race_participant")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub race_id: RaceId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub number: i64,
    pub bib: Option<i64>,
    pub detail: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
