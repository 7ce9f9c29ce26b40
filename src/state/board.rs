//! The marks of one category, and how far it has come.

use super::Category;
use crate::auth::role::Hat;
use crate::db::entity::certification::{self, Stage};
use crate::db::entity::decision::{self, DecisionKind, DecisionStatus};
use crate::db::entity::mark;
use crate::db::entity::{approval, judge_final, publication, sheet, signature, tie_break};
use crate::db::row::{Change, Row};
use crate::ids::{ContestantId, CriterionId, MarkId, UserId};
use imbl::{HashMap, OrdMap};
use std::sync::Arc;

/// Where a mark stands: at most one per contestant, judge and criterion.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Who is marked.
    pub contestant: ContestantId,
    /// Who marks.
    pub judge: UserId,
    /// What is marked.
    pub criterion: CriterionId,
}

/// The marks a judge has given in one criterion, in thousandths. Their sum is kept: of thousands it is asked for with every
/// one more.
#[derive(Clone, Debug, Default)]
pub struct Given {
    scores: OrdMap<ContestantId, i64>,
    sum: i64,
}

impl Given {
    /// Sets what one contestant was given, or takes it out.
    pub fn put(&mut self, contestant: &ContestantId, score: Option<i64>) {
        let before = match score {
            Some(score) => self.scores.insert(contestant.clone(), score),
            None => self.scores.remove(contestant),
        };
        // A mark has at most 12 digits and a category 5,000 entries: it comes nowhere near the end of an i64.
        self.sum += score.unwrap_or(0) - before.unwrap_or(0);
    }

    /// How many there are, and their sum, without those of some contestants, each named once.
    #[must_use]
    pub fn without<'a>(&self, out: impl Iterator<Item = &'a ContestantId>) -> (i64, i64) {
        let all = (i64::try_from(self.scores.len()).unwrap_or(i64::MAX), self.sum);
        out.filter_map(|contestant| self.scores.get(contestant))
            .fold(all, |(number, sum), score| (number - 1, sum - score))
    }

    /// Those who were given this.
    pub fn whom(&self, score: i64) -> impl Iterator<Item = &ContestantId> {
        self.scores.iter().filter(move |(_, given)| **given == score).map(|(contestant, _)| contestant)
    }
}

/// The marks of one category, who has signed what, and what is being decided.
#[derive(Clone, Debug, Default)]
pub struct Board {
    marks: OrdMap<Place, Arc<mark::Model>>,
    places: HashMap<MarkId, Place>,
    /// The same marks, those that stand, by who gave them for what: each mark is compared with its judge's others.
    given: HashMap<(UserId, CriterionId), Given>,
    /// How far it has come; none while nothing was signed.
    pub progress: Option<Arc<certification::Model>>,
    /// Certified sheets, by judge and contestant.
    pub sheets: OrdMap<(UserId, ContestantId), Arc<sheet::Model>>,
    /// Judges who have signed FINAL.
    pub finals: OrdMap<UserId, Arc<judge_final::Model>>,
    /// Signatures of officers that stand, by stage.
    pub signatures: OrdMap<Stage, Arc<signature::Model>>,
    /// Ties decided by hand.
    pub ties: OrdMap<String, Arc<tie_break::Model>>,
    /// What several people decide, decided or not.
    pub decisions: OrdMap<String, Arc<decision::Model>>,
    /// Their approvals so far, by decision and hat.
    pub approvals: OrdMap<(String, Hat), Arc<approval::Model>>,
    /// What was published, by revision.
    pub publications: OrdMap<i64, Arc<publication::Model>>,
}

impl Board {
    /// Folds a row of this category in, or takes it out.
    pub fn apply(&mut self, change: &Change) {
        let put = matches!(change, Change::Put(_));
        let (Change::Put(row) | Change::Drop(row)) = change;
        // Every row of a board comes here; what is no row of a board is none of its business.
        if let Row::Mark(row) = row {
            self.put(Arc::new(row.clone()));
        } else if let Row::Certification(row) = row {
            self.progress = put.then(|| Arc::new(row.clone()));
        } else if let Row::Sheet(row) = row {
            fold(&mut self.sheets, (row.judge_id.clone(), row.contestant_id.clone()), row, put);
        } else if let Row::JudgeFinal(row) = row {
            fold(&mut self.finals, row.judge_id.clone(), row, put);
        } else if let Row::Signature(row) = row {
            fold(&mut self.signatures, row.stage, row, put);
        } else if let Row::TieBreak(row) = row {
            fold(&mut self.ties, row.id.clone(), row, put);
        } else if let Row::Decision(row) = row {
            fold(&mut self.decisions, row.id.clone(), row, put);
        } else if let Row::Approval(row) = row {
            fold(&mut self.approvals, (row.decision_id.clone(), row.hat), row, put);
        } else if let Row::Publication(row) = row {
            fold(&mut self.publications, row.revision, row, put);
        }
    }

    /// How far the category has come.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.progress.as_ref().map_or(Stage::Open, |progress| progress.stage)
    }

    /// Whether a judge is done: FINAL stands, and every contestant who is in has a certified sheet of theirs.
    #[must_use]
    pub fn is_done(&self, category: &Category, judge: &UserId) -> bool {
        let mut entries = category.entries.values().filter(|entry| !entry.withdrawn);
        self.finals.contains_key(judge)
            && entries.all(|entry| self.sheets.contains_key(&(judge.clone(), entry.contestant_id.clone())))
    }

    /// The decisions of a kind that are not decided yet.
    pub fn pending(&self, kind: DecisionKind) -> impl Iterator<Item = &Arc<decision::Model>> {
        self.decisions.values().filter(move |row| row.kind == kind && row.status == DecisionStatus::Pending)
    }

    /// The ties decided by hand, each with its contestants, best first; in the order they were decided in.
    pub fn tie_orders(&self) -> impl Iterator<Item = (&Arc<tie_break::Model>, Vec<ContestantId>)> {
        self.ties.values().filter_map(|row| {
            let order = serde_json::from_str(&row.contestants);
            order
                .inspect_err(|cause| tracing::error!(error = %cause, tie = row.id, "an order cannot be read"))
                .ok()
                .map(|order| (row, order))
        })
    }

    /// Sets a mark in its place.
    pub fn put(&mut self, mark: Arc<mark::Model>) {
        let place = Place {
            contestant: mark.contestant_id.clone(),
            judge: mark.judge_id.clone(),
            criterion: mark.criterion_id.clone(),
        };
        let given = self.given.entry((place.judge.clone(), place.criterion.clone())).or_default();
        given.put(&place.contestant, mark.stands().then_some(mark.score));
        // A mark keeps its place: what is written here is copied, because readers hold what was there.
        if self.places.get(&mark.id) != Some(&place) {
            self.places.insert(mark.id.clone(), place.clone());
        }
        self.marks.insert(place, mark);
    }

    /// What a judge has given in a criterion; none who never gave anything.
    #[must_use]
    pub fn given(&self, judge: &UserId, criterion: &CriterionId) -> Option<&Given> {
        self.given.get(&(judge.clone(), criterion.clone()))
    }

    /// The mark in a place, a removed one included: its version goes on.
    #[must_use]
    pub fn at(&self, place: &Place) -> Option<&Arc<mark::Model>> {
        self.marks.get(place)
    }

    /// The place of a mark.
    #[must_use]
    pub fn place_of(&self, id: &MarkId) -> Option<&Place> {
        self.places.get(id)
    }

    /// All marks that stand, by contestant, judge and criterion.
    pub fn marks(&self) -> impl Iterator<Item = &Arc<mark::Model>> {
        self.marks.values().filter(|mark| mark.stands())
    }

    /// Whether a mark was ever given here, taken out since or not.
    #[must_use]
    pub fn was_marked(&self) -> bool {
        !self.marks.is_empty()
    }

    /// The marks that count: those that stand and wait for nobody's confirmation.
    pub fn confirmed_marks(&self) -> impl Iterator<Item = &Arc<mark::Model>> {
        self.marks().filter(|mark| !mark.waits())
    }
}

fn fold<K: Ord + Clone, V: Clone>(map: &mut OrdMap<K, Arc<V>>, key: K, row: &V, put: bool) {
    if put {
        map.insert(key, Arc::new(row.clone()));
    } else {
        map.remove(&key);
    }
}
