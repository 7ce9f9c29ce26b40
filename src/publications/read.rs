//! Who reads what of published results.

use super::{contestants_of, frozen, kept, may_read, revealed, statement};
use crate::clock::Micros;
use crate::command::to_value;
use crate::db::entity::certification::Stage;
use crate::db::entity::mark;
use crate::db::entity::publication::{self, PublicationState};
use crate::error::Refusal;
use crate::events::event::Event;
use crate::events::view::AnyView;
use crate::evidence::key::Signer;
use crate::evidence::{Publication, Ranked};
use crate::ids::{CategoryId, ContestId, ContestantId, CriterionId, EventId, UserId};
use crate::ranking::{Decimal, Part, StandingsRules};
use crate::scores::{self, Released};
use crate::state::rights::Seat;
use crate::state::{Category, State};
use crate::tally::record::Record;
use crate::tally::{self, CompletenessView, JudgeProgress, TallyView};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A publication in a list.
pub(super) fn item(row: &publication::Model, publication: &Publication) -> Value {
    let statement = &publication.statement;
    json!({
        "publicationId": row.id, "categoryId": row.category_id, "contestId": statement.contest.id,
        "eventId": row.event_id, "revision": row.revision, "state": row.state, "publishedAt": row.published_at,
        "publishedBy": statement.published_by, "singleOfficer": statement.single_officer,
        "rehearsal": statement.rehearsal,
        "tallyHash": row.tally_hash, "signature": publication.signature, "keyId": publication.key_id,
        "hidden": row.hidden, "url": format!("/api/v1/publications/{}", row.id),
        "evidence": format!("/api/v1/categories/{}/evidence.zip?revision={}", row.category_id, row.revision),
    })
}

/// The category, if the user may read what is published of it.
///
/// # Errors
/// `FORBIDDEN` for all others, whether it exists or not.
pub fn for_readers(state: &State, user: &UserId, category: &CategoryId) -> Result<Arc<Category>, Refusal> {
    let category = state.categories.get(category).cloned().ok_or(Refusal::Forbidden)?;
    if may_read(state, user, &category) { Ok(category) } else { Err(Refusal::Forbidden) }
}

/// The publications of a category: for its office all, for others those that are not hidden.
///
/// # Errors
/// `FORBIDDEN` for whoever has no business with it, whether it exists or not.
pub fn list(state: &State, user: &UserId, category: &CategoryId) -> Result<Value, Refusal> {
    let category = for_readers(state, user, category)?;
    let office = state.seat(user, &category) == Seat::Office;
    let rows = state.board(&category.row.id)?.publications.values().filter(|row| office || !row.hidden);
    let items: Vec<Value> =
        rows.map(|row| Ok(item(row, &kept(row, &row.publication)?))).collect::<Result<_, Refusal>>()?;
    Ok(json!({ "items": items }))
}

/// The latest publication of a category that is not hidden, of at least this worth.
fn latest<'a>(
    state: &'a State,
    category: &Category,
    worth: PublicationState,
) -> Result<Option<&'a Arc<publication::Model>>, Refusal> {
    let rows = &state.board(&category.row.id)?.publications;
    Ok(rows.values().rev().find(|row| !row.hidden && row.state >= worth))
}

/// The tally of a category: live for its office, as it was published for the others. An unofficial result is shown to
/// them without the marks, which their judges may still have to give again.
///
/// # Errors
/// `FORBIDDEN` for whoever has no business with it, and for all but the office before it is published.
pub fn tally(state: &State, user: &UserId, category: &CategoryId) -> Result<TallyView, Refusal> {
    let category = for_readers(state, user, category)?;
    if state.seat(user, &category) == Seat::Office {
        return tally::tally(state, &category);
    }
    must_be_staff(state, user, &category)?;
    let row = latest(state, &category, PublicationState::Unofficial)?.ok_or(Refusal::Forbidden)?;
    let record: Record = kept(row, &row.tally)?;
    let mut ranking = record.basis.rank();
    // What the office should know is for the office.
    ranking.warnings.clear();
    let stage = if row.state == PublicationState::Official {
        Stage::Published
    } else {
        ranking.ranking.iter_mut().for_each(|line| line.criteria.clear());
        Stage::Judged
    };
    Ok(TallyView { category_id: category.row.id.clone(), stage, tally_hash: row.tally_hash.clone(), ranking })
}

/// A contestant reads the result and own marks, not everybody's.
fn must_be_staff(state: &State, user: &UserId, category: &Category) -> Result<(), Refusal> {
    if state.seat(user, category) == Seat::Stranger { Err(Refusal::Forbidden) } else { Ok(()) }
}

/// How much of a category's marks is there: live for its office, of the official publication for the other staff.
///
/// # Errors
/// `FORBIDDEN` as for the tally.
pub fn completeness(state: &State, user: &UserId, category: &CategoryId) -> Result<CompletenessView, Refusal> {
    let category = for_readers(state, user, category)?;
    if state.seat(user, &category) == Seat::Office {
        return tally::completeness(state, &category);
    }
    must_be_staff(state, user, &category)?;
    let row = latest(state, &category, PublicationState::Official)?.ok_or(Refusal::Forbidden)?;
    let Record { basis, .. } = kept(row, &row.tally)?;
    let places = basis.criteria.len() * basis.entries.iter().filter(|entry| !entry.withdrawn).count();
    let given = |judge: &UserId| basis.marks.iter().filter(|mark| mark.judge_id == *judge).count();
    let judges: Vec<JudgeProgress> = basis
        .panel
        .iter()
        .map(|judge| JudgeProgress {
            judge_id: judge.judge_id.clone(),
            counts: true,
            expected: places,
            given: given(&judge.judge_id),
        })
        .collect();
    Ok(CompletenessView {
        category_id: category.row.id.clone(),
        complete: true,
        expected: judges.iter().map(|judge| judge.expected).sum(),
        given: judges.iter().map(|judge| judge.given).sum(),
        missing: basis.rank().missing,
        judges,
    })
}

/// Passes whoever reads the standings of a contest: who has business with one of its categories.
///
/// # Errors
/// `FORBIDDEN` for all others, whether it exists or not.
pub fn for_contest_readers(state: &State, user: &UserId, contest: &ContestId) -> Result<(), Refusal> {
    let runs = state.role_of(user).is_some_and(crate::auth::role::Role::runs_installation);
    let known = state.contests.contains_key(contest);
    if known && (runs || state.categories_in(contest).any(|category| may_read(state, user, category))) {
        Ok(())
    } else {
        Err(Refusal::Forbidden)
    }
}

/// The standings of a contest: live for whoever sits in the office of each of its categories, for others of what is
/// published, once all of it is.
///
/// # Errors
/// `FORBIDDEN` for whoever has no business with it, and for all but the office before everything is published.
pub fn standings(state: &State, user: &UserId, contest: &ContestId) -> Result<Value, Refusal> {
    for_contest_readers(state, user, contest)?;
    let rules = state.contests.get(contest).and_then(|row| serde_json::from_str::<StandingsRules>(&row.standings).ok());
    let rules = rules.unwrap_or_default();
    let mut categories: Vec<&Arc<Category>> = state.categories_in(contest).collect();
    categories.sort_by_key(|category| category.row.position);
    let live = categories.iter().all(|category| state.seat(user, category) == Seat::Office);
    let mut parts = Vec::new();
    for category in categories {
        let (less_is_better, ranking) = if live {
            (category.rules.method.less_is_better(), tally::record_of(state, category)?.1)
        } else {
            let row = latest(state, category, PublicationState::Unofficial)?.ok_or(Refusal::Forbidden)?;
            let Record { basis, .. } = kept(row, &row.tally)?;
            (basis.rules.method.less_is_better(), basis.rank())
        };
        parts.push((category.row.id.text(), less_is_better, ranking));
    }
    let parts: Vec<Part<'_>> = parts
        .iter()
        .map(|(category, less_is_better, ranking)| Part {
            category: Arc::clone(category),
            weight: rules.weights.get(category).cloned().unwrap_or_else(Decimal::one),
            less_is_better: *less_is_better,
            ranking,
        })
        .collect();
    let mut view = to_value(crate::ranking::standings(rules.combine, &parts))?;
    view["contestId"] = json!(contest);
    view["published"] = json!(!live);
    Ok(view)
}

/// Marks that were published as official, by their place, with their version.
#[derive(Debug, Default)]
pub struct ReleasedMarks(HashMap<(ContestantId, UserId, CriterionId), i64>);

impl ReleasedMarks {
    /// The marks of the latest official publication that is not hidden.
    ///
    /// # Errors
    /// `BoardNeeded`.
    pub fn of(state: &State, category: &Category) -> Result<Self, Refusal> {
        let Some(row) = latest(state, category, PublicationState::Official)? else { return Ok(Self::default()) };
        let Record { basis, .. } = kept(row, &row.tally)?;
        let place = |mark: crate::tally::record::MarkBasis| {
            ((mark.contestant_id, mark.judge_id, mark.criterion_id), mark.version)
        };
        Ok(Self(basis.marks.into_iter().map(place).collect()))
    }
}

impl Released for ReleasedMarks {
    /// A later change of a mark was not published.
    fn holds(&self, mark: &mark::Model) -> bool {
        let place = (mark.contestant_id.clone(), mark.judge_id.clone(), mark.criterion_id.clone());
        self.0.get(&place) == Some(&mark.version)
    }
}

/// The marks of the official publication for those who never see the board: its guests all, a contestant the own ones.
///
/// # Errors
/// `FORBIDDEN` before it is published, and for all others.
pub fn released_marks(
    state: &State,
    user: &UserId,
    category: &CategoryId,
    only: Option<&ContestantId>,
) -> Result<Vec<AnyView>, Refusal> {
    let category = state.categories.get(category).ok_or(Refusal::Forbidden)?;
    let own = match state.seat(user, category) {
        Seat::Guest => None,
        Seat::Stranger => Some(contestants_of(state, user, category)),
        Seat::Judge | Seat::FormerJudge | Seat::Office => return Err(Refusal::Forbidden),
    };
    let is_nobody = own.as_ref().is_some_and(BTreeSet::is_empty);
    if is_nobody || latest(state, category, PublicationState::Official)?.is_none() {
        return Err(Refusal::Forbidden);
    }
    let released = ReleasedMarks::of(state, category)?;
    let marks = state.board(&category.row.id)?.marks();
    let wanted = marks.filter(|mark| own.as_ref().is_none_or(|own| own.contains(&mark.contestant_id)));
    Ok(wanted
        .filter(|mark| released.holds(mark) && only.is_none_or(|wanted| mark.contestant_id == *wanted))
        .map(|mark| Event::released_to_reader(&scores::fact_of(mark, state, category), user))
        .collect())
}

/// Which evidence is asked for, with all but the log.
#[derive(Debug)]
pub struct Wanted {
    /// What is signed.
    pub publication: Publication,
    /// What it was computed from.
    pub record: Record,
}

/// The evidence of a publication, or, for the office where there is none yet, a signed draft of it.
///
/// # Errors
/// `FORBIDDEN` for all but the office before an official publication; `NOT_FOUND` for a revision that is not there.
pub fn evidence(
    state: &State,
    user: &UserId,
    category: &CategoryId,
    revision: Option<i64>,
    signer: &Signer,
    now: Micros,
) -> Result<Wanted, Refusal> {
    let category = for_readers(state, user, category)?;
    must_be_staff(state, user, &category)?;
    let office = state.seat(user, &category) == Seat::Office;
    let may = |row: &publication::Model| office || (!row.hidden && row.state == PublicationState::Official);
    let rows = &state.board(&category.row.id)?.publications;
    let found = match revision {
        Some(0) if office => None,
        Some(revision) => match rows.get(&revision).filter(|row| may(row)) {
            Some(row) => Some(row),
            None if office => return Err(Refusal::not_found("publication", revision)),
            None => return Err(Refusal::Forbidden),
        },
        None => rows.values().rev().find(|row| may(row)),
    };
    match found {
        Some(row) => Ok(Wanted { publication: kept(row, &row.publication)?, record: kept(row, &row.tally)? }),
        None if office => {
            let (record, ranking) = tally::record_of(state, &category)?;
            let (id, by) = ("draft".to_owned(), user);
            let saying = super::Saying { id, revision: 0, state: PublicationState::Draft, by, at: now };
            let publication = statement(state, &category, &record, &ranking, saying)?.sign(signer);
            Ok(Wanted { publication, record })
        }
        None => Err(Refusal::Forbidden),
    }
}

/// What anyone is shown of an event's judged results: of each category the latest publication that is not hidden, and
/// how many have one that is.
///
/// # Errors
/// `NOT_FOUND` for an event that is not there, or is a draft.
pub fn public(state: &State, event: &EventId, rows: Vec<publication::Model>) -> Result<Value, Refusal> {
    must_be_public(state, event)?;
    let mut by_category: BTreeMap<CategoryId, Vec<publication::Model>> = BTreeMap::new();
    for row in rows {
        by_category.entry(row.category_id.clone()).or_default().push(row);
    }
    let mut items = Vec::new();
    let mut hidden = 0;
    for rows in by_category.values_mut() {
        rows.sort_by_key(|row| row.revision);
        hidden += usize::from(rows.last().is_some_and(|row| row.hidden));
        if let Some(shown) = rows.iter().rev().find(|row| !row.hidden) {
            items.push(
                to_value(kept::<Publication>(shown, &shown.publication)?).map(|whole| whole["statement"].clone())?,
            );
        }
        if let Some(latest) = rows.last().filter(|row| row.hidden) {
            items.extend(in_part(latest)?);
        }
    }
    Ok(json!({ "eventId": event, "frozenAt": frozen(state, event), "hidden": hidden, "items": items }))
}

/// The revealed places of a hidden publication; nothing that was signed, because that names them all.
fn in_part(row: &publication::Model) -> Result<Option<Value>, Refusal> {
    let ranks = revealed(row)?;
    if ranks.is_empty() {
        return Ok(None);
    }
    let statement = kept::<Publication>(row, &row.publication)?.statement;
    let is_shown = |line: &Ranked| line.rank.is_some_and(|rank| ranks.contains(&rank));
    let mut above_is_shown = true;
    let mut shown = Vec::new();
    for line in &statement.ranking {
        if is_shown(line) {
            // What separates a line from one that is hidden tells of that one: that a tie breaker was asked, says its total.
            let decided_by = line.decided_by.clone().filter(|_| above_is_shown);
            shown.push(Ranked { decided_by, ..line.clone() });
        }
        above_is_shown = is_shown(line);
    }
    let left = statement.ranking.iter().filter(|line| line.rank.is_some()).count() - shown.len();
    Ok(Some(json!({
        "publicationId": row.id, "revision": row.revision, "state": row.state, "category": statement.category,
        "contest": statement.contest, "ranking": shown, "left": left,
    })))
}

/// A publication as anyone may read it.
///
/// # Errors
/// `NOT_FOUND` for one that is hidden, or of an event that is a draft.
pub fn one(state: &State, row: &publication::Model) -> Result<Publication, Refusal> {
    must_be_public(state, &row.event_id)?;
    if row.hidden { Err(Refusal::not_found("publication", &row.id)) } else { kept(row, &row.publication) }
}

/// Passes an event that anyone may see.
///
/// # Errors
/// `NOT_FOUND`.
pub fn must_be_public(state: &State, event: &EventId) -> Result<(), Refusal> {
    if state.is_public(event) { Ok(()) } else { Err(Refusal::not_found("event", event)) }
}
