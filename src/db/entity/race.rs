//! A timed race; `number` is the integer the race feed knows it by.

use crate::ids::{EventId, RaceId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "race")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: RaceId,
    pub number: i64,
    pub event_id: EventId,
    pub race_type: String,
    pub name: Option<String>,
    pub class_id: Option<String>,
    pub start_time: Option<String>,
    pub meta: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
