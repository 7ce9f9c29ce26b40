//! A judge has certified the marks given to a contestant.

use crate::clock::Micros;
use crate::ids::{CategoryId, ContestantId, UserId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sheet")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub category_id: CategoryId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub judge_id: UserId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub contestant_id: ContestantId,
    pub sheet_hash: String,
    pub signature_name: String,
    pub at: Micros,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
