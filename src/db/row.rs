//! Rows: the only way anything gets into a table or into the state. A decision names its rows; the same rows are
//! folded into the state and written when the batch commits.

use super::entity::{
    api_key, approval, assignment, cassette, category, certification, command, contest, contest_lock, contestant,
    criterion, decision, entry, event, indoor_participant, indoor_race, judge_final, lane, log_entry, log_head,
    log_text, mark, notification, publication, race, race_class, race_participant, race_report, race_result,
    race_split, session, sheet, signature, signing_key, tie_break, user,
};
use crate::ids::CategoryId;
use indexmap::IndexMap;
use sea_orm::{ActiveModelTrait, EntityTrait, Iden, IntoActiveModel, Iterable, ModelTrait, PrimaryKeyToColumn, Value};

/// A table as the writer sees it.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, in the order of [`Row::into_values`].
    pub columns: Vec<String>,
    /// Which columns are the key, as positions in `columns`.
    pub key: Vec<usize>,
    /// Rows are only ever added: a second row with the same key is a fault, not an update.
    pub append_only: bool,
}

fn table_of<E>() -> Table
where
    E: EntityTrait,
    E::PrimaryKey: PrimaryKeyToColumn<Column = E::Column>,
{
    let columns: Vec<String> = E::Column::iter().map(|column| column.to_string()).collect();
    let key_names: Vec<String> = E::PrimaryKey::iter().map(|key| key.into_column().to_string()).collect();
    let key = columns.iter().enumerate().filter(|(_, name)| key_names.contains(name)).map(|(at, _)| at).collect();
    let name = E::default().table_name().to_owned();
    let append_only = matches!(name.as_str(), "log_entry" | "command");
    Table { name, columns, key, append_only }
}

fn values_of<M>(model: M) -> Vec<Value>
where
    M: ModelTrait + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
{
    let mut model = model.into_active_model();
    let value = |column| model.take(column).into_value().expect("a row has all its columns");
    <M::Entity as EntityTrait>::Column::iter().map(value).collect()
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
            pub fn into_values(self) -> Vec<Value> {
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
    RaceClass(race_class),
    RaceParticipant(race_participant),
    RaceReport(race_report),
    RaceResult(race_result),
    RaceSplit(race_split),
    IndoorRace(indoor_race),
    IndoorParticipant(indoor_participant),
    ApiKey(api_key),
    Cassette(cassette),
    Session(session),
    Approval(approval),
    Certification(certification),
    Decision(decision),
    JudgeFinal(judge_final),
    Sheet(sheet),
    Signature(signature),
    TieBreak(tie_break),
    ContestLock(contest_lock),
    Notification(notification),
    Publication(publication),
    SigningKey(signing_key),
    User(user),
);

impl Row {
    /// The category whose board it belongs to.
    #[must_use]
    pub fn board(&self) -> Option<&CategoryId> {
        match self {
            Self::Mark(row) => Some(&row.category_id),
            Self::Certification(row) => Some(&row.category_id),
            Self::Sheet(row) => Some(&row.category_id),
            Self::JudgeFinal(row) => Some(&row.category_id),
            Self::Signature(row) => Some(&row.category_id),
            Self::Decision(row) => Some(&row.category_id),
            Self::Approval(row) => Some(&row.category_id),
            Self::Publication(row) => Some(&row.category_id),
            Self::TieBreak(row) => Some(&row.category_id),
            Self::Assignment(_)
            | Self::Category(_)
            | Self::Command(_)
            | Self::Contest(_)
            | Self::ContestLock(_)
            | Self::Notification(_)
            | Self::Contestant(_)
            | Self::Criterion(_)
            | Self::Entry(_)
            | Self::Event(_)
            | Self::Lane(_)
            | Self::LogEntry(_)
            | Self::LogHead(_)
            | Self::LogText(_)
            | Self::Race(_)
            | Self::RaceClass(_)
            | Self::RaceParticipant(_)
            | Self::RaceReport(_)
            | Self::RaceResult(_)
            | Self::RaceSplit(_)
            | Self::IndoorRace(_)
            | Self::IndoorParticipant(_)
            | Self::ApiKey(_)
            | Self::Cassette(_)
            | Self::Session(_)
            | Self::SigningKey(_)
            | Self::User(_) => None,
        }
    }
}

/// What a decision does to a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Insert, or replace what has the same key.
    Put(Row),
    /// Remove what has the same key.
    Drop(Row),
}

/// What becomes of a key in a batch.
#[derive(Debug)]
enum Fate {
    Put(Vec<Value>),
    Drop,
}

impl Fate {
    fn values(&self) -> Option<&[Value]> {
        match self {
            Self::Put(values) => Some(values),
            Self::Drop => None,
        }
    }
}

/// Everything a batch writes: per table the last fate of each key, so that no statement meets a key twice and a row that
/// was put and dropped is gone.
#[derive(Debug, Default)]
pub struct Writes {
    fates: Vec<IndexMap<Vec<KeyPart>, Fate>>,
}

/// A value of a key, as it can be compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum KeyPart {
    Text(String),
    Number(i64),
}

impl KeyPart {
    fn of(value: &Value) -> Self {
        if let Value::BigInt(Some(number)) = value {
            return Self::Number(*number);
        }
        if let Value::String(Some(text)) = value {
            return Self::Text(text.clone());
        }
        unreachable!("the keys of our tables are texts and big integers, never null: {value:?}")
    }

    fn value(&self) -> Value {
        match self {
            Self::Text(text) => Value::String(Some(text.clone())),
            Self::Number(number) => Value::BigInt(Some(*number)),
        }
    }
}

impl Writes {
    /// Adds a change.
    pub fn add(&mut self, tables: &[Table], change: Change) {
        self.fates.resize_with(tables.len(), IndexMap::new);
        let is_put = matches!(change, Change::Put(_));
        let (Change::Put(row) | Change::Drop(row)) = change;
        let number = row.table();
        let values = row.into_values();
        let key = tables[number].key.iter().map(|at| KeyPart::of(&values[*at])).collect();
        let fate = if is_put { Fate::Put(values) } else { Fate::Drop };
        self.fates[number].insert(key, fate);
    }

    /// The rows to put, table by table.
    pub fn puts(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = &[Value]>)> {
        self.fates.iter().map(|fates| fates.values().filter_map(Fate::values)).enumerate()
    }

    /// The keys to drop, table by table.
    pub fn drops(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = Vec<Value>>)> {
        let key = |(key, fate): (&Vec<KeyPart>, &Fate)| {
            matches!(fate, Fate::Drop).then(|| key.iter().map(KeyPart::value).collect())
        };
        self.fates.iter().map(move |fates| fates.iter().filter_map(key)).enumerate()
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fates.iter().all(IndexMap::is_empty)
    }
}

/// `INSERT … ON CONFLICT (key) DO UPDATE …` for a row; a plain `INSERT` into an append-only table.
#[must_use]
pub fn upsert_sql(table: &Table) -> String {
    let quoted = |names: &mut dyn Iterator<Item = &String>| {
        names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",")
    };
    let values = vec!["?"; table.columns.len()].join(",");
    let insert = format!("INSERT INTO \"{}\" ({}) VALUES ({values})", table.name, quoted(&mut table.columns.iter()));
    if table.append_only {
        return insert;
    }
    let others = table.columns.iter().enumerate().filter(|(at, _)| !table.key.contains(at));
    let updates = others.map(|(_, name)| format!("\"{name}\"=excluded.\"{name}\"")).collect::<Vec<_>>().join(",");
    let action = if updates.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {updates}") };
    format!("{insert} ON CONFLICT ({}) DO {action}", quoted(&mut table.key.iter().map(|at| &table.columns[*at])))
}

/// `DELETE … WHERE key = ?`.
#[must_use]
pub fn delete_sql(table: &Table) -> String {
    let condition = table.key.iter().map(|at| format!("\"{}\"=?", table.columns[*at])).collect::<Vec<_>>();
    format!("DELETE FROM \"{}\" WHERE {}", table.name, condition.join(" AND "))
}
