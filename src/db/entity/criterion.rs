//! What a judge marks: bounds and step in thousandths, the weight as exact decimal text.

use crate::ids::{CategoryId, CriterionId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "criterion")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub category_id: CategoryId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CriterionId,
    pub name: String,
    pub min: i64,
    pub max: i64,
    pub step: i64,
    pub weight: String,
    pub position: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
