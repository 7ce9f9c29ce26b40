//! Somebody's approval of a decision, under one hat.

use crate::auth::role::Hat;
use crate::clock::Micros;
use crate::ids::{CategoryId, UserId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "approval")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub decision_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub hat: Hat,
    pub category_id: CategoryId,
    pub user_id: UserId,
    pub signature_name: String,
    pub at: Micros,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
