//! Marks: given by judges, kept in thousandths, at most one per contestant, criterion and judge.
//!
//! Invariants: a mark lies in its criterion's range and on its steps; nobody but its judge changes what the judge gave;
//! every change has its own version and its own fact.

pub mod plausibility;
mod proxy;

pub use proxy::ConfirmScore;

use crate::clock::Micros;
use crate::command::{Decide, Draft, to_value};
use crate::db::entity::certification::Stage;
use crate::db::entity::mark::{self, MarkStatus};
use crate::error::{ErrorView, Refusal};
use crate::events::event::{Event, ScoreUpdated, Text};
use crate::events::log::Receipt;
use crate::events::room::Lane;
use crate::events::view::OwnScore;
use crate::ids::{CategoryId, ContestantId, CriterionId, MarkId, UserId};
use crate::ranking::{DecimalError, Mark};
use crate::state::board::{Board, Place};
use crate::state::rights::Seat;
use crate::state::{Category, Criterion, State, thousandths};
use plausibility::Others;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Marks of one batch.
pub const BATCH_ITEMS_MAX: usize = 200;
/// Longest comment, in characters.
pub const COMMENT_CHARS_MAX: usize = 2000;
/// How far a tablet's clock may run ahead, in seconds.
const CLOCK_AHEAD_SECONDS: i64 = 300;

/// Gives or changes a mark.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubmitScore {
    /// The id of a new mark, when the client makes it (UUID).
    #[serde(default)]
    pub id: Option<uuid::Uuid>,
    /// The category.
    pub category_id: CategoryId,
    /// Whose mark it is, where a tally master enters it for a judge; it counts once somebody else has confirmed it.
    #[serde(default)]
    pub judge_id: Option<UserId>,
    /// Who is marked.
    pub contestant_id: ContestantId,
    /// What is marked; may be left out where there is only one criterion.
    #[serde(default, alias = "criteriaId")]
    pub criterion_id: Option<CriterionId>,
    /// The mark.
    #[serde(alias = "value")]
    #[schema(value_type = f64)]
    pub score: Given,
    /// A comment, at most 2,000 characters.
    #[serde(default, alias = "comments")]
    pub comment: Option<String>,
    /// The version this change was made on: refused when the mark has changed meanwhile; 0 for a mark that is new.
    #[serde(default)]
    pub base_version: Option<i64>,
    /// When the judge made it, on a tablet that was offline.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub made_at: Option<Micros>,
}

/// Gives or changes several marks in one transaction; a bad one is refused alone.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubmitBatch {
    /// At most 200 marks, in order. Each is read when it is decided, so that a malformed one is refused alone.
    #[schema(value_type = Vec<SubmitScore>)]
    pub items: Vec<Value>,
}

/// A number as it was given, before it is known to be a mark: one that is too fine or too large is refused for that, not
/// for being no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// It can be a mark.
    Mark(Mark),
    /// It has more than three decimals.
    TooFine,
    /// It is beyond every range.
    TooLarge,
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = serde_json::Number::deserialize(input)?.to_string();
        match text.parse::<Mark>() {
            Ok(mark) => Ok(Self::Mark(mark)),
            Err(DecimalError::TooManyDecimals) => Ok(Self::TooFine),
            Err(DecimalError::OutOfRange) => Ok(Self::TooLarge),
            Err(wrong @ DecimalError::NotANumber) => Err(serde::de::Error::custom(wrong)),
        }
    }
}

/// The id and places a mark is decided on.
struct Target {
    category: Arc<Category>,
    criterion: Arc<Criterion>,
    judge: UserId,
    /// Who enters it, if that is not the judge.
    entered_by: Option<UserId>,
    place: Place,
}

impl SubmitScore {
    fn target(&self, draft: &Draft) -> Result<Target, Refusal> {
        let asker = draft.actor.user()?.clone();
        let state = &draft.state;
        // Whether a category exists is told only to those who judge it.
        let category = state.categories.get(&self.category_id).ok_or(Refusal::NotAssigned)?;
        let (judge, entered_by) = match &self.judge_id {
            Some(judge) if *judge != asker => {
                proxy::may_enter(state, category, &asker, judge)?;
                (judge.clone(), Some(asker))
            }
            Some(_) | None if state.seat(&asker, category) == Seat::Judge => (asker, None),
            Some(_) | None => return Err(Refusal::NotAssigned),
        };
        state.must_be_open(category)?;
        let entry = category
            .entries
            .get(&self.contestant_id)
            .ok_or_else(|| Refusal::not_found("contestant", &self.contestant_id))?;
        if entry.withdrawn {
            return Err(Refusal::State(format!("contestant {} has withdrawn", self.contestant_id)));
        }
        let criterion = match &self.criterion_id {
            Some(id) => category.criteria.get(id).ok_or_else(|| Refusal::not_found("criterion", id))?,
            None if category.criteria.len() == 1 => {
                category.criteria.values().next().ok_or_else(|| Refusal::invalid("criterionId", "missing"))?
            }
            None => return Err(Refusal::invalid("criterionId", "the category has more than one criterion; say which")),
        };
        // The two ids the state has, not as they were asked for: ten thousand marks share them.
        let place = Place {
            contestant: entry.contestant_id.clone(),
            judge: judge.clone(),
            criterion: criterion.row.id.clone(),
        };
        let (category, criterion) = (Arc::clone(category), Arc::clone(criterion));
        Ok(Target { category, criterion, judge, entered_by, place })
    }

    fn comment(&self) -> Result<Option<&str>, Refusal> {
        match self.comment.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) if text.chars().count() > COMMENT_CHARS_MAX => {
                Err(Refusal::invalid("comment", format!("more than {COMMENT_CHARS_MAX} characters")))
            }
            Some(text) if text.contains('\0') => Err(Refusal::invalid("comment", "a zero character")),
            other => Ok(other),
        }
    }
}

/// Whether a mark lies in the criterion's range and on its steps.
///
/// # Errors
/// `OUT_OF_RANGE` or `BAD_STEP`.
pub fn accept(criterion: &Criterion, given: Given) -> Result<Mark, Refusal> {
    let name = || criterion.row.name.clone();
    let out_of_range =
        || Refusal::OutOfRange { criterion: name(), min: criterion.min.to_string(), max: criterion.max.to_string() };
    let bad_step =
        || Refusal::BadStep { criterion: name(), step: criterion.step.to_string(), min: criterion.min.to_string() };
    let score = match given {
        Given::Mark(score) => score,
        Given::TooFine => return Err(bad_step()),
        Given::TooLarge => return Err(out_of_range()),
    };
    if score < criterion.min || score > criterion.max {
        return Err(out_of_range());
    }
    let (above, step) = (score.thousandths() - criterion.min.thousandths(), criterion.step.thousandths());
    if step > 0 && above % step != 0 {
        return Err(bad_step());
    }
    Ok(score)
}

/// What stands in a mark's row, as a fact.
#[must_use]
pub fn fact_of(row: &mark::Model, state: &State, category: &Category) -> ScoreUpdated {
    let contest = category.row.contest_id.clone();
    debug_assert!(state.contests.contains_key(&contest), "a category without a contest");
    ScoreUpdated {
        id: row.id.clone(),
        category_id: row.category_id.clone(),
        contest_id: contest,
        event_id: category.event_id.clone(),
        contestant_id: row.contestant_id.clone(),
        judge_id: row.judge_id.clone(),
        criterion_id: row.criterion_id.clone(),
        score: thousandths(row.score),
        comment: row.comment.as_ref().map(|body| Text::unlogged(body)),
        status: row.status,
        version: row.version,
        entered_by: row.entered_by.clone(),
        confirmed_by: row.confirmed_by.clone(),
        made_at: row.made_at,
        visibility: category.row.judge_visibility,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

/// Which marks of a category.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those of this contestant.
    pub contestant: Option<ContestantId>,
    /// Only these.
    pub among: Option<BTreeSet<MarkId>>,
}

/// What is no secret any more.
pub trait Released {
    /// Whether this very mark was published as official.
    fn holds(&self, mark: &mark::Model) -> bool;
}

/// Before anything is published.
#[derive(Clone, Copy, Debug)]
pub struct NothingReleased;

impl Released for NothingReleased {
    fn holds(&self, _: &mark::Model) -> bool {
        false
    }
}

/// The category, if the user sees anything of its marks.
///
/// # Errors
/// `FORBIDDEN` for whoever has no business with them, whether it exists or not.
pub fn may_read<'a>(state: &'a State, user: &UserId, category: &CategoryId) -> Result<&'a Category, Refusal> {
    let category = state.categories.get(category).ok_or(Refusal::Forbidden)?;
    match state.seat(user, category) {
        Seat::Judge | Seat::FormerJudge | Seat::Office => Ok(category),
        Seat::Guest | Seat::Stranger => Err(Refusal::Forbidden),
    }
}

/// The marks of a category as a user sees them.
#[derive(Clone, Debug, Serialize)]
pub struct MarksRead {
    /// Those that stand.
    pub scores: Vec<Value>,
    /// Those that were taken out, where certain marks were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<Vec<MarkId>>,
    /// The head of the category's lane they were read at.
    pub seq: i64,
}

/// The marks of a category as a user sees them, and the head of its lane they were read at.
///
/// # Errors
/// `FORBIDDEN` for whoever has no business with the category, whether it exists or not.
pub fn read(
    state: &State,
    user: &UserId,
    category: &CategoryId,
    filter: &Filter,
    released: &dyn Released,
) -> Result<MarksRead, Refusal> {
    let category = may_read(state, user, category)?;
    let board = state.board(&category.row.id)?;
    let rooms = state.rooms_of(user);
    let wanted = |mark: &mark::Model| {
        filter.contestant.as_ref().is_none_or(|id| mark.contestant_id == *id)
            && filter.among.as_ref().is_none_or(|ids| ids.contains(&mark.id))
    };
    let shown = |mark: &mark::Model| {
        let fact = fact_of(mark, state, category);
        if released.holds(mark) {
            Event::released_to(&fact, &rooms)
        } else {
            Event::ScoreUpdated(fact).shown_to(&rooms)
        }
    };
    let scores = board
        .marks()
        .filter(|mark| wanted(mark))
        .filter_map(|mark| shown(mark))
        .map(to_value)
        .collect::<Result<_, _>>()?;
    // Whoever is shown that a mark was given is shown that it was taken out.
    let removed = |among: &BTreeSet<MarkId>| {
        let known = among.iter().filter_map(|id| board.at(board.place_of(id)?));
        known
            .filter(|mark| !mark.stands() && wanted(mark) && shown(mark).is_some())
            .map(|mark| mark.id.clone())
            .collect()
    };
    let seq = state.lane_seq(&Lane::Category(category.row.id.clone()));
    Ok(MarksRead { scores, removed: filter.among.as_ref().map(removed), seq })
}

/// A mark that was taken.
struct Taken {
    score: Value,
    receipt: Receipt,
    warnings: Vec<String>,
}

/// What a judge has given the others in a criterion; whoever has withdrawn is none of them.
fn own_others<'a>(category: &'a Category, board: &'a Board, place: &'a Place) -> Others<'a> {
    let given = board.given(&place.judge, &place.criterion);
    Others { given, own: &place.contestant, withdrawn: &category.withdrawn }
}

fn submit(score: &SubmitScore, draft: &mut Draft) -> Result<Taken, Refusal> {
    let target = score.target(draft)?;
    let mark = accept(&target.criterion, score.score)?;
    let comment = score.comment()?.map(str::to_owned);
    if score.made_at.is_some_and(|made| made > draft.now.plus_seconds(CLOCK_AHEAD_SECONDS)) {
        return Err(Refusal::invalid("madeAt", "lies in the future"));
    }
    let board = draft.state.board(&score.category_id)?;
    let before = board.at(&target.place).cloned();
    // What the board has signed is locked, also the places nobody marked; who has signed FINAL gives nothing more.
    if board.stage() >= Stage::Certified {
        return Err(Refusal::Locked("the category is certified; its scores are locked".into()));
    }
    if board.finals.contains_key(&target.judge) {
        return Err(Refusal::Certified);
    }
    if let Some(before) = &before
        && !matches!(before.status, MarkStatus::Submitted | MarkStatus::Removed)
    {
        return Err(Refusal::Certified);
    }
    if target.entered_by.is_some() {
        proxy::may_replace(before.as_deref(), score.id.is_some())?;
    }
    let version = before.as_ref().map_or(0, |mark| mark.version);
    if let Some(base) = score.base_version
        && base != version
    {
        let current =
            before.as_ref().map(|mark| own_view(&fact_of(mark, &draft.state, &target.category))).transpose()?;
        return Err(Refusal::ConflictVersion { version, current });
    }
    let others = own_others(&target.category, board, &target.place);
    let warnings = plausibility::warnings(&target.criterion, target.category.rules.method, mark, &others);
    let id = match (&before, score.id) {
        (Some(before), Some(id)) if before.id != MarkId::from(id) => {
            return Err(Refusal::Duplicate { what: "mark", id: before.id.to_string() });
        }
        (Some(before), _) => before.id.clone(),
        (None, Some(id)) => {
            let id = MarkId::from(id);
            if board.place_of(&id).is_some() {
                return Err(Refusal::Duplicate { what: "mark", id: id.to_string() });
            }
            id
        }
        (None, None) => draft.new_id(),
    };
    let row = mark::Model {
        category_id: target.category.row.id.clone(),
        contestant_id: target.place.contestant,
        judge_id: target.judge,
        criterion_id: target.place.criterion,
        id,
        score: mark.thousandths(),
        comment,
        status: MarkStatus::Submitted,
        version: version + 1,
        salt: draft.salt(),
        // What a judge gives stands by itself; what was entered before, and who confirmed that, is history.
        entered_by: target.entered_by,
        confirmed_by: None,
        made_at: score.made_at,
        created_at: before.map_or(draft.now, |mark| mark.created_at),
        updated_at: draft.now,
    };
    let mut fact = fact_of(&row, &draft.state, &target.category);
    fact.comment = row.comment.as_deref().map(|body| draft.text(body));
    draft.put(row);
    let view = proxy::view_for(draft.actor.user()?, &fact)?;
    let receipt = draft.append(Event::ScoreUpdated(fact));
    Ok(Taken { score: view, receipt, warnings })
}

/// A mark as its judge sees it.
fn own_view(fact: &ScoreUpdated) -> Result<Value, Refusal> {
    to_value(OwnScore::of(fact))
}

/// An object of values that are there already; `json!` would copy them.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// An answer, with what is striking in the mark, if anything is.
fn with_warnings(mut answer: Value, warnings: &[String]) -> Value {
    if !warnings.is_empty() {
        answer["warnings"] = json!(warnings);
    }
    answer
}

impl Decide for SubmitScore {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let Taken { score, receipt, warnings } = submit(self, draft)?;
        Ok(with_warnings(object([("score", score), ("receipt", to_value(receipt)?)]), &warnings))
    }
}

impl Decide for SubmitBatch {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        if self.items.len() > BATCH_ITEMS_MAX {
            return Err(Refusal::TooLarge { what: "marks in a batch", max: BATCH_ITEMS_MAX });
        }
        let mut results = Vec::with_capacity(self.items.len());
        let mut last = None;
        for item in &self.items {
            let mut one = draft.fork();
            match crate::command::parse::<SubmitScore>(item.clone()).and_then(|score| submit(&score, &mut one)) {
                Ok(Taken { score, receipt, warnings }) => {
                    draft.merge(one);
                    last = Some(receipt);
                    results.push(with_warnings(object([("ok", true.into()), ("score", score)]), &warnings));
                }
                // Not the item's fault: the whole batch is decided again with the marks it needs.
                Err(Refusal::BoardNeeded(categories)) => return Err(Refusal::BoardNeeded(categories)),
                Err(refusal) => {
                    let correlation: uuid::Uuid = draft.new_id();
                    let error = ErrorView::of(&refusal, None, correlation.to_string());
                    results.push(json!({ "ok": false, "error": error }));
                }
            }
        }
        Ok(match last {
            Some(receipt) => object([("results", results.into()), ("receipt", to_value(receipt)?)]),
            None => object([("results", results.into())]),
        })
    }

    /// A batch costs one, and one more for each ten marks begun.
    fn cost(&self) -> u32 {
        // One that is too large is refused for that, and costs no more than the largest.
        1 + u32::try_from(self.items.len().min(BATCH_ITEMS_MAX).div_ceil(10)).unwrap_or(u32::MAX - 1)
    }
}
