//! Certification: how far a category has come, who signed what, and the decisions that several people take.

use super::shapes::{index, table};
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_integer_null, boolean, string, string_null, text, text_null};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0002_certification"
    }
}

fn tables() -> Vec<TableCreateStatement> {
    vec![
        table(
            "certification",
            vec![
                string("category_id"),
                string("stage"),
                text_null("rejection_reason"),
                boolean("voided"),
                string_null("tally_hash"),
                big_integer_null("certified_at"),
                string_null("certified_by"),
                big_integer("updated_at"),
            ],
            &["category_id"],
        ),
        table(
            "sheet",
            vec![
                string("category_id"),
                string("judge_id"),
                string("contestant_id"),
                string("sheet_hash"),
                text("signature_name"),
                big_integer("at"),
            ],
            &["category_id", "judge_id", "contestant_id"],
        ),
        table(
            "judge_final",
            vec![string("category_id"), string("judge_id"), text("signature_name"), big_integer("at")],
            &["category_id", "judge_id"],
        ),
        table(
            "signature",
            vec![
                string("category_id"),
                string("stage"),
                string("user_id"),
                text("signature_name"),
                string("tally_hash"),
                text_null("comments"),
                boolean("overridden"),
                big_integer("at"),
            ],
            &["category_id", "stage"],
        ),
        table(
            "tie_break",
            vec![
                string("category_id"),
                string("id"),
                text("contestants"),
                text("reason"),
                string("resolved_by"),
                big_integer("at"),
            ],
            &["category_id", "id"],
        ),
        table(
            "decision",
            vec![
                string("id"),
                string("category_id"),
                string("kind"),
                string("status"),
                text("body"),
                string("requested_by"),
                big_integer("requested_at"),
                big_integer_null("decided_at"),
            ],
            &["id"],
        ),
        table(
            "contest_lock",
            vec![
                string("contest_id"),
                string("event_id"),
                string("locked_by"),
                text_null("reason"),
                big_integer("locked_at"),
            ],
            &["contest_id"],
        ),
        table(
            "notification",
            vec![
                string("user_id"),
                string("id"),
                string("level"),
                text("title"),
                text("message"),
                text_null("link"),
                string_null("category_id"),
                boolean("read"),
                big_integer("created_at"),
            ],
            &["user_id", "id"],
        ),
        table(
            "approval",
            vec![
                string("decision_id"),
                string("hat"),
                string("category_id"),
                string("user_id"),
                text("signature_name"),
                big_integer("at"),
            ],
            &["decision_id", "hat"],
        ),
    ]
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for create in tables() {
            manager.create_table(create).await?;
        }
        manager.create_index(index("decision_category", "decision", &["category_id"], false)).await?;
        manager.create_index(index("approval_category", "approval", &["category_id"], false)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for create in tables() {
            if let Some(name) = create.get_table_name() {
                manager.drop_table(Table::drop().table(name.clone()).to_owned()).await?;
            }
        }
        Ok(())
    }
}
