//! An officer's signature under a stage, over the tally hash it saw.

use super::certification::Stage;
use crate::clock::Micros;
use crate::ids::{CategoryId, UserId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signature")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub category_id: CategoryId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub stage: Stage,
    pub user_id: UserId,
    pub signature_name: String,
    pub tally_hash: String,
    pub comments: Option<String>,
    pub overridden: bool,
    pub at: Micros,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
