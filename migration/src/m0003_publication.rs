//! Publications: what was published, signed, and the keys that sign.

use super::shapes::{index, table};
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, boolean, string, text};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0003_publication"
    }
}

fn tables() -> Vec<TableCreateStatement> {
    vec![
        table(
            "publication",
            vec![
                string("category_id"),
                big_integer("revision"),
                string("id"),
                string("event_id"),
                string("state"),
                string("tally_hash"),
                big_integer("lane_seq"),
                text("publication"),
                text("tally"),
                boolean("hidden"),
                text("revealed"),
                big_integer("published_at"),
            ],
            &["category_id", "revision"],
        ),
        table(
            "signing_key",
            vec![string("id"), string("public_key"), text("sealed"), big_integer("created_at")],
            &["id"],
        ),
    ]
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for create in tables() {
            manager.create_table(create).await?;
        }
        manager.create_index(index("publication_id", "publication", &["id"], true)).await?;
        manager.create_index(index("publication_event", "publication", &["event_id"], false)).await
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
