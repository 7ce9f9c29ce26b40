//! Rows: the only way anything gets into a table or into the state. A decision names its rows; the same rows are
//! folded into the state and written, many to a statement, when the batch commits.

use super::entity::{
    assignment, category, command, contest, contestant, criterion, entry, event, lane, log_entry, log_head, log_text,
    mark, race, race_participant, session, user,
};
use sea_orm::{Iden, Iterable, ModelTrait, PrimaryKeyToColumn, Value};
use std::collections::HashMap;

/// A table as the writer sees it.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, in the order of [`Row::values`].
    pub columns: Vec<String>,
    /// Which columns are the key, as positions in `columns`.
    pub key: Vec<usize>,
    /// Rows are only ever added: a second row with the same key is a fault, not an update.
    pub append_only: bool,
}

fn table_of<E>() -> Table
where
    E: sea_orm::EntityTrait,
    E::PrimaryKey: PrimaryKeyToColumn<Column = E::Column>,
{
    let columns: Vec<String> = E::Column::iter().map(|column| column.to_string()).collect();
    let key_names: Vec<String> = E::PrimaryKey::iter().map(|key| key.into_column().to_string()).collect();
    let key = columns.iter().enumerate().filter(|(_, name)| key_names.contains(name)).map(|(at, _)| at).collect();
    let name = E::default().table_name().to_owned();
    let append_only = matches!(name.as_str(), "log_entry" | "command");
    Table { name, columns, key, append_only }
}

fn values_of<M: ModelTrait>(model: &M) -> Vec<Value> {
    <M::Entity as sea_orm::EntityTrait>::Column::iter().map(|column| model.get(column)).collect()
}

macro_rules! rows {
    ($($variant:ident($module:ident)),* $(,)?) => {
        /// One row of one table.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "each variant is the row of the table of that name")]
        pub enum Row {
            $($variant($module::Model)),*
        }

        impl Row {
            /// The values, in the order of the table's columns.
            #[must_use]
            pub fn values(&self) -> Vec<Value> {
                match self { $(Self::$variant(model) => values_of(model)),* }
            }

            /// Which table it belongs to, as a position in [`tables`].
            #[must_use]
            pub fn table(&self) -> usize {
                match self { $(Self::$variant(_) => TableNumber::$variant as usize),* }
            }
        }

        enum TableNumber { $($variant),* }

        /// Every table, in the order of the rows' variants.
        #[must_use]
        pub fn tables() -> Vec<Table> {
            vec![$(table_of::<$module::Entity>()),*]
        }

        $(impl From<$module::Model> for Row {
            fn from(model: $module::Model) -> Self { Self::$variant(model) }
        })*
    };
}

rows!(
    Assignment(assignment),
    Category(category),
    Command(command),
    Contest(contest),
    Contestant(contestant),
    Criterion(criterion),
    Entry(entry),
    Event(event),
    Lane(lane),
    LogEntry(log_entry),
    LogHead(log_head),
    LogText(log_text),
    Mark(mark),
    Race(race),
    RaceParticipant(race_participant),
    Session(session),
    User(user),
);

/// What a decision does to a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Insert, or replace what has the same key.
    Put(Row),
    /// Remove what has the same key.
    Drop(Row),
}

/// Everything a batch writes: per table the last state of each key, so that one statement never meets a key twice.
#[derive(Debug, Default)]
pub struct Writes {
    puts: Vec<Vec<Vec<Value>>>,
    places: HashMap<(usize, String), usize>,
    drops: Vec<(usize, Vec<Value>)>,
}

impl Writes {
    /// Adds a change.
    pub fn add(&mut self, tables: &[Table], change: &Change) {
        self.puts.resize_with(tables.len(), Vec::new);
        match change {
            Change::Put(row) => {
                let (number, values) = (row.table(), row.values());
                let place = (number, key_text(&tables[number], &values));
                if let Some(at) = self.places.get(&place) {
                    self.puts[number][*at] = values
                } else {
                    self.places.insert(place, self.puts[number].len());
                    self.puts[number].push(values);
                }
            }
            Change::Drop(row) => {
                let (number, values) = (row.table(), row.values());
                let key = tables[number].key.iter().map(|at| values[*at].clone()).collect();
                self.drops.push((number, key));
            }
        }
    }

    /// The rows to put, per table.
    pub fn puts(&self) -> impl Iterator<Item = (usize, &[Vec<Value>])> {
        self.puts
            .iter()
            .enumerate()
            .filter(|(_, rows)| !rows.is_empty())
            .map(|(number, rows)| (number, rows.as_slice()))
    }

    /// The keys to drop; they go before the puts.
    #[must_use]
    pub fn drops(&self) -> &[(usize, Vec<Value>)] {
        &self.drops
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.drops.is_empty() && self.puts.iter().all(Vec::is_empty)
    }
}

fn key_text(table: &Table, values: &[Value]) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for at in &table.key {
        // `Debug` of a value quotes strings, so no two keys can read alike.
        write!(text, "{:?};", values[*at]).expect("writing to a String cannot fail");
    }
    text
}

/// `INSERT … ON CONFLICT (key) DO UPDATE …` for `rows` rows, with `?` or `$n` placeholders; a plain `INSERT` into an
/// append-only table.
#[must_use]
pub fn upsert_sql(table: &Table, rows: usize, numbered: bool) -> String {
    let quoted = |names: &mut dyn Iterator<Item = &String>| {
        names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",")
    };
    let width = table.columns.len();
    let mut next = 0;
    let mut placeholder = || {
        next += 1;
        if numbered { format!("${next}") } else { "?".to_owned() }
    };
    let tuples = (0..rows)
        .map(|_| format!("({})", (0..width).map(|_| placeholder()).collect::<Vec<_>>().join(",")))
        .collect::<Vec<_>>()
        .join(",");
    let updates = table
        .columns
        .iter()
        .enumerate()
        .filter(|(at, _)| !table.key.contains(at))
        .map(|(_, name)| format!("\"{name}\"=excluded.\"{name}\""))
        .collect::<Vec<_>>()
        .join(",");
    let insert = format!("INSERT INTO \"{}\" ({}) VALUES {tuples}", table.name, quoted(&mut table.columns.iter()));
    if table.append_only {
        return insert;
    }
    let action = if updates.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {updates}") };
    format!("{insert} ON CONFLICT ({}) DO {action}", quoted(&mut table.key.iter().map(|at| &table.columns[*at])))
}
