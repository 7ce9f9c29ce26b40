//! A contest nothing may be written below, as long as the row is there.

use crate::clock::Micros;
use crate::ids::{ContestId, EventId, UserId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "contest_lock")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub contest_id: ContestId,
    pub event_id: EventId,
    pub locked_by: UserId,
    pub reason: Option<String>,
    pub locked_at: Micros,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
