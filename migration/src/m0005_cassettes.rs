//! Cassettes: recordings of a lane or of an event. What was recorded lies in a file each.

use super::shapes::table;
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_integer_null, string, string_null, text_null};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0005_cassettes"
    }
}

fn cassette() -> TableCreateStatement {
    table(
        "cassette",
        vec![
            string("name"),
            text_null("description"),
            string("audience"),
            string("owner"),
            string_null("seat"),
            string_null("source"),
            string("phase"),
            big_integer_null("from_seq"),
            big_integer_null("to_seq"),
            string_null("epoch"),
            big_integer("interactions"),
            big_integer("bytes"),
            string_null("sha256"),
            string_null("file"),
            big_integer("recorded_at"),
        ],
        &["name"],
    )
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(cassette()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("cassette").to_owned()).await
    }
}
