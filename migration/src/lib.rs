//! The schema, one migration a change. The tables are the same on SQLite and on PostgreSQL, in the portable types of
//! sea-query: text, big integers, booleans; in SQLite some lie in the order of their key. Times are microseconds since
//! 1970 UTC, marks thousandths, hashes lower-case hex, documents JSON text.
//!
//! There are deliberately no foreign keys: rows are written in sets by one writer that has decided every reference in
//! memory, and an upsert of a whole batch must not depend on the order of its tables.

pub use sea_orm_migration::prelude::*;

mod m0001_spine;
mod m0002_certification;
mod m0003_publication;
mod m0004_races;
mod m0005_cassettes;
mod shapes;

pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_spine::Migration),
            Box::new(m0002_certification::Migration),
            Box::new(m0003_publication::Migration),
            Box::new(m0004_races::Migration),
            Box::new(m0005_cassettes::Migration),
        ]
    }
}
