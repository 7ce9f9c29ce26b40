//! The schema runs unchanged on PostgreSQL. Needs a server: `TEST_POSTGRES` names one by a URL; without it the test says
//! that it was skipped.

use scorecast::db::connect::{Target, migrate};
use scorecast::db::row::tables;
use sea_orm::{ConnectionTrait, Database, Statement};
use std::collections::BTreeSet;

#[expect(clippy::disallowed_methods, reason = "which database a test may use is no setting of the product")]
fn server() -> Option<String> {
    std::env::var("TEST_POSTGRES").ok().filter(|url| !url.is_empty())
}

#[tokio::test]
async fn three_nodes_that_start_together_make_one_schema_on_postgresql() {
    let Some(server) = server() else {
        println!("skipped: TEST_POSTGRES names no PostgreSQL server");
        return;
    };
    let admin = Database::connect(&server).await.expect("the server of TEST_POSTGRES answers");
    let name = format!("scorecast_it_{}", std::process::id());
    admin.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name}")).await.expect("an old database goes");
    admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("a new database comes");
    let (base, _) = server.rsplit_once('/').expect("a URL names a database");
    let target = Target::parse(&format!("{base}/{name}")).expect("a PostgreSQL URL");
    let (first, second, third) = tokio::join!(migrate(&target), migrate(&target), migrate(&target));
    for outcome in [first, second, third] {
        outcome.expect("every node finds the schema");
    }
    let Target::Postgres(url) = &target else { unreachable!("the URL is PostgreSQL's") };
    let db = Database::connect(url).await.expect("the new database answers");
    for table in tables() {
        let sql = "SELECT column_name FROM information_schema.columns WHERE table_name = $1";
        let rows = db
            .query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, [table.name.clone().into()]))
            .await
            .expect("the catalogue answers");
        let found: BTreeSet<String> =
            rows.iter().map(|row| row.try_get("", "column_name").expect("a name is text")).collect();
        assert_eq!(found, table.columns.iter().cloned().collect(), "table {}", table.name);
    }
    db.close().await.expect("the connection closes");
    admin.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.expect("the database goes");
}
