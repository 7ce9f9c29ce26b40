//! Who is judged; known to the whole installation.

use crate::ids::{ContestantId, UserId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "contestant")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ContestantId,
    pub name: String,
    pub number: Option<String>,
    pub club: Option<String>,
    pub country: Option<String>,
    pub user_id: Option<UserId>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
