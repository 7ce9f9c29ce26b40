//! The spine: identity, set-up, marks, the log and what makes commands idempotent.

use super::shapes::{clustered, index, table};
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_integer_null, boolean, string, string_null, text, text_null};
use sea_orm_migration::sea_orm::DatabaseBackend;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0001_spine"
    }
}

fn tables(backend: DatabaseBackend) -> Vec<TableCreateStatement> {
    let clustered = |name, columns, key| clustered(backend, name, columns, key);
    vec![
        clustered("log_head", vec![string("id"), big_integer("seq"), string("hash"), string("epoch")], &["id"]),
        clustered("lane", vec![string("name"), big_integer("seq"), string("hash")], &["name"]),
        table(
            "log_entry",
            vec![
                big_integer("seq"),
                string("lane"),
                big_integer("lane_seq"),
                string("epoch"),
                big_integer("at"),
                string("actor"),
                string("command_id"),
                string("kind"),
                text("fact"),
                string("salt"),
                string("lane_hash"),
                string("prev_hash"),
                string("hash"),
            ],
            &["seq"],
        ),
        table("log_text", vec![big_integer("seq"), string("field"), string("salt"), text("body")], &["seq", "field"]),
        table(
            "command",
            vec![string("user_id"), string("command_id"), string("fingerprint"), text("answer"), big_integer("at")],
            &["user_id", "command_id"],
        ),
        table(
            "user_account",
            vec![
                string("id"),
                string("email"),
                text("name"),
                string("role"),
                string_null("password_hash"),
                boolean("active"),
                big_integer("session_version"),
                big_integer("created_at"),
                big_integer("updated_at"),
            ],
            &["id"],
        ),
        table(
            "session",
            vec![
                string("id"),
                string("user_id"),
                big_integer("created_at"),
                big_integer("expires_at"),
                big_integer_null("revoked_at"),
                big_integer("generation"),
                big_integer("rotated_at"),
                string("refresh_hash"),
                text_null("user_agent"),
            ],
            &["id"],
        ),
        table(
            "event",
            vec![
                string("id"),
                text("main_title"),
                text_null("sub_title"),
                text_null("location"),
                text_null("facility"),
                text_null("image_url"),
                string_null("start_date"),
                string_null("end_date"),
                text_null("discipline"),
                string("status"),
                boolean("single_officer"),
                big_integer_null("frozen_at"),
                boolean("allow_override"),
                string("results_from"),
                boolean("rehearsal"),
                big_integer("created_at"),
                big_integer("updated_at"),
            ],
            &["id"],
        ),
        table(
            "contest",
            vec![string("id"), string("event_id"), text("name"), text("standings"), big_integer("position")],
            &["id"],
        ),
        table(
            "category",
            vec![
                string("id"),
                string("contest_id"),
                text("name"),
                text("rules"),
                big_integer("min_judges"),
                string("judge_visibility"),
                boolean("proxy_entry"),
                big_integer("position"),
            ],
            &["id"],
        ),
        table(
            "criterion",
            vec![
                string("category_id"),
                string("id"),
                text("name"),
                big_integer("min"),
                big_integer("max"),
                big_integer("step"),
                string("weight"),
                big_integer("position"),
            ],
            &["category_id", "id"],
        ),
        table(
            "contestant",
            vec![
                string("id"),
                text("name"),
                string_null("number"),
                text_null("club"),
                string_null("country"),
                string_null("user_id"),
            ],
            &["id"],
        ),
        clustered(
            "entry",
            vec![
                string("category_id"),
                string("contestant_id"),
                big_integer("start_order"),
                string("factor"),
                boolean("withdrawn"),
            ],
            &["category_id", "contestant_id"],
        ),
        table(
            "assignment",
            vec![
                string("id"),
                string("user_id"),
                string("hat"),
                string("event_id"),
                string_null("contest_id"),
                string_null("category_id"),
                boolean("counts"),
                string("status"),
                string("assigned_by"),
                big_integer("assigned_at"),
                big_integer_null("removed_at"),
            ],
            &["id"],
        ),
        clustered(
            "mark",
            vec![
                string("id"),
                string("category_id"),
                string("contestant_id"),
                string("judge_id"),
                string("criterion_id"),
                big_integer("score"),
                text_null("comment"),
                string("status"),
                big_integer("version"),
                string("salt"),
                string_null("entered_by"),
                string_null("confirmed_by"),
                big_integer_null("made_at"),
                big_integer("created_at"),
                big_integer("updated_at"),
            ],
            // The place, not the id: a client may choose the id, and must never reach another mark's row with it.
            &["category_id", "contestant_id", "judge_id", "criterion_id"],
        ),
        table(
            "race",
            vec![
                string("id"),
                big_integer("number"),
                string("event_id"),
                string("race_type"),
                text_null("name"),
                string_null("class_id"),
                string_null("start_time"),
                big_integer_null("position"),
                big_integer("status"),
                text("meta"),
            ],
            &["id"],
        ),
        table(
            "race_participant",
            vec![string("race_id"), string("id"), big_integer("number"), big_integer_null("bib"), text("detail")],
            &["race_id", "id"],
        ),
    ]
}

fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        index("log_entry_lane", "log_entry", &["lane", "lane_seq"], true),
        // Not unique: one batch may hand an email on from user to user, and a statement meets the rows in any order. The
        // writer decides it on the state, and writes only where the log still ends where it was decided.
        index("user_account_email", "user_account", &["email"], false),
        index("session_user", "session", &["user_id"], false),
        index("contest_event", "contest", &["event_id"], false),
        index("category_contest", "category", &["contest_id"], false),
        index("assignment_user", "assignment", &["user_id"], false),
        index("assignment_event", "assignment", &["event_id"], false),
        index("race_number", "race", &["number"], false),
        index("race_event", "race", &["event_id"], false),
    ]
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for create in tables(manager.get_database_backend()) {
            manager.create_table(create).await?;
        }
        for create in indexes() {
            manager.create_index(create).await?;
        }
        Ok(())
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
