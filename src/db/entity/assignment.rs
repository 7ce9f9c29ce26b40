//! A hat given to a user on a category, a contest or an event; removed ones stay as history.

use crate::auth::role::Hat;
use crate::clock::Micros;
use crate::ids::{AssignmentId, CategoryId, ContestId, EventId, UserId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "assignment")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AssignmentId,
    pub user_id: UserId,
    pub hat: Hat,
    pub event_id: EventId,
    pub contest_id: Option<ContestId>,
    pub category_id: Option<CategoryId>,
    pub counts: bool,
    pub status: AssignmentStatus,
    pub assigned_by: String,
    pub assigned_at: Micros,
    pub removed_at: Option<Micros>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Whether the hat is worn.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AssignmentStatus {
    /// The hat is worn.
    Active,
    /// The hat was laid down; that it was worn stays known.
    Removed,
}
