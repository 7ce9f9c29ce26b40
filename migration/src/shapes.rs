//! How tables and indexes are said, in few words.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

/// A table by name, its columns, its key.
pub fn table(name: &'static str, columns: Vec<ColumnDef>, key: &[&'static str]) -> TableCreateStatement {
    let mut create = Table::create();
    create.table(Alias::new(name));
    for column in columns {
        create.col(column);
    }
    let mut primary = Index::create();
    for column in key {
        primary.col(Alias::new(*column));
    }
    create.primary_key(&mut primary);
    create
}

/// The same for short rows with a key that is no number: in SQLite the rows themselves lie in the order of the key, so that
/// a change touches one page, not one of the rows and one of the key.
pub fn clustered(
    backend: DatabaseBackend,
    name: &'static str,
    columns: Vec<ColumnDef>,
    key: &[&'static str],
) -> TableCreateStatement {
    let mut create = table(name, columns, key);
    if backend == DatabaseBackend::Sqlite {
        create.extra("WITHOUT ROWID");
    }
    create
}

/// An index by name, its table, its columns.
pub fn index(name: &'static str, on: &'static str, columns: &[&'static str], unique: bool) -> IndexCreateStatement {
    let mut create = Index::create();
    create.name(name).table(Alias::new(on));
    for column in columns {
        create.col(Alias::new(*column));
    }
    if unique {
        create.unique();
    }
    create
}
