//! One fact of the log; never updated, never deleted.

use crate::clock::Micros;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "log_entry")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub lane: String,
    pub lane_seq: i64,
    pub epoch: String,
    pub at: Micros,
    pub actor: String,
    pub command_id: String,
    pub kind: String,
    pub fact: String,
    pub salt: String,
    pub lane_hash: String,
    pub prev_hash: String,
    pub hash: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
