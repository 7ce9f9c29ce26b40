//! Reads the state from the tables: whole at the start, by scope when another process has appended to the log.

use super::State;
use super::board::Board;
use crate::clock::Micros;
use crate::db::entity::{
    api_key, approval, assignment, cassette, category, certification, contest, contest_lock, contestant, criterion,
    decision, entry, event, indoor_participant, indoor_race, judge_final, lane, log_head, mark, notification,
    publication, race, race_class, race_participant, race_report, race_result, race_split, session, sheet, signature,
    tie_break, user,
};
use crate::db::row::{Change, Row};
use crate::events::event::Scope;
use crate::events::log::{GENESIS, LogHead};
use crate::ids::{CategoryId, EventId, RaceId, UserId};
use sea_orm::{ColumnTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, Select};
use std::sync::Arc;

/// The end of the log, if there is a log.
///
/// # Errors
/// When the database fails.
pub async fn head(db: &DatabaseConnection) -> Result<Option<LogHead>, DbErr> {
    Ok(log_head::Entity::find_by_id("head").one(db).await?.map(|row| LogHead {
        seq: row.seq,
        hash: row.hash.into(),
        epoch: row.epoch.into(),
    }))
}

macro_rules! put_all {
    ($state:expr, $db:expr, $($query:expr),* $(,)?) => {
        $(for model in $query.all($db).await? { $state.apply(&Change::Put(Row::from(model))); })*
    };
}

/// Marks that were entered for their judge and wait to be confirmed: found by their id, whether their board is in memory
/// or not.
fn unconfirmed() -> Select<mark::Entity> {
    mark::Entity::find().filter(mark::Column::EnteredBy.is_not_null()).filter(mark::Column::ConfirmedBy.is_null())
}

/// Everything but marks, which are read when a category is first needed.
///
/// # Errors
/// When the database fails.
pub async fn whole(db: &DatabaseConnection, now: Micros) -> Result<State, DbErr> {
    let head = head(db).await?.unwrap_or(LogHead { seq: 0, hash: GENESIS.into(), epoch: "".into() });
    let mut state = State::empty(head);
    put_all!(
        state,
        db,
        lane::Entity::find(),
        user::Entity::find(),
        session::Entity::find().filter(session::Column::ExpiresAt.gt(now)),
        event::Entity::find(),
        contest::Entity::find(),
        category::Entity::find(),
        criterion::Entity::find(),
        contestant::Entity::find(),
        entry::Entity::find(),
        assignment::Entity::find(),
        race::Entity::find(),
        race_participant::Entity::find(),
        race_class::Entity::find(),
        race_report::Entity::find(),
        race_result::Entity::find(),
        race_split::Entity::find(),
        indoor_race::Entity::find(),
        indoor_participant::Entity::find(),
        api_key::Entity::find(),
        cassette::Entity::find(),
        decision::Entity::find(),
        unconfirmed(),
        contest_lock::Entity::find(),
        notification::Entity::find(),
    );
    Ok(state)
}

/// The board of a category: its marks, signatures and decisions.
///
/// # Errors
/// When the database fails.
pub async fn board(db: &DatabaseConnection, category: &CategoryId) -> Result<Board, DbErr> {
    let mut board = Board::default();
    macro_rules! fold_all {
        ($($module:ident),*) => {
            $(for row in $module::Entity::find().filter($module::Column::CategoryId.eq(category)).all(db).await? {
                board.apply(&Change::Put(row.into()));
            })*
        };
    }
    fold_all!(mark, certification, sheet, judge_final, signature, tie_break, decision, approval, publication);
    Ok(board)
}

/// Reads again what a foreign fact touched, and the end of the log.
///
/// # Errors
/// When the database fails.
pub async fn reload(db: &DatabaseConnection, state: &mut State, scope: &Scope) -> Result<(), DbErr> {
    match scope {
        Scope::Marks(id) => {
            for row in decision::Entity::find().filter(decision::Column::CategoryId.eq(id)).all(db).await? {
                state.decided_in.insert(row.id, row.category_id);
            }
            state.forget_unconfirmed(id);
            put_all!(state, db, unconfirmed().filter(mark::Column::CategoryId.eq(id)));
            if state.boards.contains_key(id) {
                state.boards.insert(id.clone(), Arc::new(board(db, id).await?));
            }
        }
        Scope::User(id) => reload_user(db, state, id).await?,
        Scope::Event(id) => reload_event(db, state, id).await?,
        Scope::Race(id) => reload_race(db, state, id).await?,
        Scope::Nothing => {}
        Scope::Cassette(name) => {
            state.cassettes.remove(name);
            put_all!(state, db, cassette::Entity::find_by_id(name.clone()));
        }
        Scope::Contestants => {
            state.contestants.clear();
            put_all!(state, db, contestant::Entity::find());
        }
    }
    Ok(())
}

async fn reload_user(db: &DatabaseConnection, state: &mut State, id: &UserId) -> Result<(), DbErr> {
    put_all!(
        state,
        db,
        user::Entity::find_by_id(id.clone()),
        session::Entity::find().filter(session::Column::UserId.eq(id)),
        assignment::Entity::find().filter(assignment::Column::UserId.eq(id)),
    );
    state.notices.remove(id);
    put_all!(state, db, notification::Entity::find().filter(notification::Column::UserId.eq(id)));
    Ok(())
}

async fn reload_race(db: &DatabaseConnection, state: &mut State, id: &RaceId) -> Result<(), DbErr> {
    state.starters.remove(id);
    state.racing.forget(id);
    put_all!(
        state,
        db,
        race::Entity::find_by_id(id.clone()),
        race_participant::Entity::find().filter(race_participant::Column::RaceId.eq(id)),
        race_report::Entity::find().filter(race_report::Column::RaceId.eq(id)),
        race_result::Entity::find().filter(race_result::Column::RaceId.eq(id)),
        race_split::Entity::find().filter(race_split::Column::RaceId.eq(id)),
        indoor_race::Entity::find().filter(indoor_race::Column::RaceId.eq(id)),
        indoor_participant::Entity::find().filter(indoor_participant::Column::RaceId.eq(id)),
    );
    Ok(())
}

async fn reload_event(db: &DatabaseConnection, state: &mut State, id: &EventId) -> Result<(), DbErr> {
    // What was removed is not found again: so all of it goes first. Boards go with their categories and are read when
    // they are next needed.
    let stale: Vec<Row> = state
        .categories_of(id)
        .map(|category| Row::from(category.row.clone()))
        .chain(state.contests_of(id).iter().map(|contest| Row::from(contest.as_ref().clone())))
        .chain(state.races.values().filter(|race| race.event_id == *id).map(|race| Row::from(race.as_ref().clone())))
        .chain(state.events.get(id).map(|event| Row::from(event.as_ref().clone())))
        .collect();
    for row in stale {
        state.apply(&Change::Drop(row));
    }
    let contests = contest::Entity::find().filter(contest::Column::EventId.eq(id)).all(db).await?;
    let contest_ids: Vec<_> = contests.iter().map(|contest| contest.id.clone()).collect();
    let categories = category::Entity::find().filter(category::Column::ContestId.is_in(contest_ids)).all(db).await?;
    let category_ids: Vec<_> = categories.iter().map(|category| category.id.clone()).collect();
    let locks: Vec<Row> =
        state.locks.values().filter(|lock| lock.event_id == *id).map(|lock| Row::from(lock.as_ref().clone())).collect();
    for lock in locks {
        state.apply(&Change::Drop(lock));
    }
    put_all!(
        state,
        db,
        event::Entity::find_by_id(id.clone()),
        contest_lock::Entity::find().filter(contest_lock::Column::EventId.eq(id)),
    );
    for row in contests.into_iter().map(Row::from).chain(categories.into_iter().map(Row::from)) {
        state.put(&row);
    }
    let races = race::Entity::find().filter(race::Column::EventId.eq(id)).all(db).await?;
    state.racing.forget_event(id);
    for race in races {
        let race_id = race.id.clone();
        state.put(&Row::from(race));
        reload_race(db, state, &race_id).await?;
    }
    put_all!(
        state,
        db,
        race_class::Entity::find().filter(race_class::Column::EventId.eq(id)),
        api_key::Entity::find().filter(api_key::Column::EventId.eq(id)),
        criterion::Entity::find().filter(criterion::Column::CategoryId.is_in(category_ids.clone())),
        entry::Entity::find().filter(entry::Column::CategoryId.is_in(category_ids)),
        assignment::Entity::find().filter(assignment::Column::EventId.eq(id)),
    );
    Ok(())
}
