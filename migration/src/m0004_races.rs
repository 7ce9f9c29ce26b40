//! Races: classes, what timing says of those who start, who may say so, and results of ergometers.

use super::shapes::{clustered, index, table};
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_integer_null, string, string_null, text, text_null};
use sea_orm_migration::sea_orm::DatabaseBackend;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0004_races"
    }
}

fn tables(backend: DatabaseBackend) -> Vec<TableCreateStatement> {
    let clustered = |name, columns, key| clustered(backend, name, columns, key);
    vec![
        table(
            "race_class",
            vec![
                string("event_id"),
                string("id"),
                text("name"),
                text_null("long_title"),
                big_integer("position"),
                text("categories"),
            ],
            &["event_id", "id"],
        ),
        clustered(
            "race_report",
            vec![
                string("race_id"),
                string("participant_id"),
                string("source"),
                big_integer("at"),
                big_integer_null("time_ms"),
                big_integer_null("pen_ms"),
                big_integer_null("total_ms"),
                big_integer_null("placing"),
                string_null("status"),
                text_null("gates"),
            ],
            &["race_id", "participant_id", "source"],
        ),
        clustered(
            "race_result",
            vec![
                string("race_id"),
                string("participant_id"),
                string("source"),
                big_integer("at"),
                big_integer_null("bib"),
                big_integer_null("rank"),
                big_integer_null("category_rank"),
                big_integer_null("time_ms"),
                big_integer_null("pen_ms"),
                big_integer_null("total_ms"),
                big_integer_null("behind_ms"),
                string_null("status"),
                text_null("gates"),
            ],
            &["race_id", "participant_id"],
        ),
        clustered(
            "race_split",
            vec![
                string("race_id"),
                string("participant_id"),
                string("timing_point_id"),
                text("label"),
                big_integer("distance_m"),
                big_integer("time_ms"),
                big_integer("order_index"),
            ],
            &["race_id", "participant_id", "timing_point_id"],
        ),
        table(
            "indoor_race",
            vec![string("race_id"), string("id"), string("ergrace_race_id"), text("detail")],
            &["race_id"],
        ),
        table(
            "indoor_participant",
            vec![
                string("race_id"),
                string("id"),
                string("ergrace_id"),
                big_integer_null("place"),
                big_integer_null("time_ms"),
                string_null("status"),
                text("detail"),
            ],
            &["race_id", "id"],
        ),
        table(
            "api_key",
            vec![
                string("id"),
                string("event_id"),
                text("name"),
                string("hash"),
                string("created_by"),
                big_integer("created_at"),
                big_integer_null("valid_from"),
                big_integer_null("valid_until"),
                big_integer_null("revoked_at"),
            ],
            &["id"],
        ),
    ]
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for create in tables(manager.get_database_backend()) {
            manager.create_table(create).await?;
        }
        manager.create_index(index("api_key_event", "api_key", &["event_id"], false)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for create in tables(manager.get_database_backend()) {
            if let Some(name) = create.get_table_name() {
                manager.drop_table(Table::drop().table(name.clone()).to_owned()).await?;
            }
        }
        Ok(())
    }
}
