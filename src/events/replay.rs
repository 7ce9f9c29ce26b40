//! Reading a lane of the log again, a page at a time.

use super::log::{LogEntry, read_entries};
use super::room::Lane;
use crate::db::entity::log_entry;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use std::ops::Range;

/// Facts read at a time.
pub const PAGE: usize = 256;

/// The first facts of a lane after `missed.start`, up to `missed.end`; at most a page of them.
///
/// # Errors
/// When the log cannot be read.
pub async fn page(db: &DatabaseConnection, lane: &Lane, missed: &Range<i64>) -> anyhow::Result<Vec<LogEntry>> {
    let rows = log_entry::Entity::find()
        .filter(log_entry::Column::Lane.eq(lane.to_string()))
        .filter(log_entry::Column::LaneSeq.gt(missed.start))
        .filter(log_entry::Column::LaneSeq.lte(missed.end))
        .order_by_asc(log_entry::Column::LaneSeq)
        .limit(PAGE as u64)
        .all(db)
        .await?;
    read_entries(db, rows).await
}
