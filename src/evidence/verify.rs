//! Checks a bundle: its form, its signature, its log, its marks, its ranking, the officers' signatures, and receipts.
//!
//! Invariant: whatever is not checked by name is checked by the last step, which writes the bundle again and compares
//! every byte.

use super::bundle::{self, Bundle, NotABundle};
use super::key::{KeyId, PublicKey};
use super::line::Line;
use super::{FORMAT, Statement};
use crate::db::entity::certification::Stage;
use crate::db::entity::decision::{DecisionKind, DecisionStatus};
use crate::db::entity::mark::MarkStatus;
use crate::db::entity::publication::PublicationState;
use crate::events::event::{CertificationUpdated, Event, ScoreUpdated};
use crate::events::log::{GENESIS, Receipt};
use crate::events::room::Lane;
use crate::ids::{ContestantId, CriterionId, MarkId, UserId};
use crate::ranking::{Mark, Ranking};
use crate::tally::record::{DeductionBasis, MarkBasis, Record};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Why a bundle is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// It is none, or not written as one.
    #[error("{0}")]
    Form(#[from] NotABundle),
    /// The key is not one of those that were brought.
    #[error("it is signed with the key {0}, which is not one of yours")]
    UnknownKey(KeyId),
    /// The signature is not under this statement.
    #[error("the signature is not one of the key {0} under this statement")]
    Signature(KeyId),
    /// The statement is of another kind.
    #[error("the statement is no publication of a format this version knows")]
    Format,
    /// What it says of itself is not so.
    #[error("the statement is not of this tally: {0}")]
    Statement(String),
    /// The log is not whole, or was changed.
    #[error("the log is not what was signed: {0}")]
    Log(String),
    /// The marks are not those of the log.
    #[error("the tally is not that of the log: {0}")]
    Tally(String),
    /// The officers signed something else.
    #[error("the signatures are not under this tally: {0}")]
    Signatures(String),
    /// A receipt is not honoured.
    #[error("a receipt is not honoured: {0}")]
    Receipt(String),
    /// A file differs from what follows from the others.
    #[error("{0} is not what follows from the other files")]
    Derived(&'static str),
    /// The archive is not written in the one way there is.
    #[error("the archive is not written in the one way there is")]
    NotCanonical,
}

/// What was found right.
#[derive(Debug)]
pub struct Verified {
    /// What it says.
    pub statement: Statement,
    /// The key that signed it.
    pub key_id: KeyId,
    /// Facts of its log.
    pub facts: usize,
    /// Marks that led to the ranking.
    pub marks: usize,
    /// What the receipts that stand in the log are for, a line each.
    pub receipts_honoured: Vec<String>,
    /// Receipts of other categories, which nothing was checked of.
    pub receipts_elsewhere: usize,
}

/// Checks a bundle against the keys one trusts and the receipts one was given.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(bytes: &[u8], keys: &[PublicKey], receipts: &[Receipt]) -> Result<Verified, Rejected> {
    let bundle = Bundle::decode(bytes)?;
    let publication = &bundle.publication;
    let key_id = publication.key_id.clone();
    let key = keys.iter().find(|key| key.id() == key_id).ok_or(Rejected::UnknownKey(key_id.clone()))?;
    if publication.public_key != *key
        || !key.accepts(publication.statement.to_json().as_bytes(), &publication.signature)
    {
        return Err(Rejected::Signature(key_id));
    }
    let statement = &publication.statement;
    if statement.format != FORMAT {
        return Err(Rejected::Format);
    }
    let fold = follow_log(&bundle)?;
    check_marks(&bundle.record, &fold)?;
    let ranking = check_ranking(&bundle)?;
    check_names(statement, &bundle.record, &fold)?;
    check_signatures(statement, &bundle.record, &fold)?;
    let receipts_honoured = check_receipts(&bundle, receipts)?;
    check_bytes(&bundle, &ranking, bytes)?;
    Ok(Verified {
        facts: bundle.log.len(),
        marks: bundle.record.basis.marks.len(),
        receipts_elsewhere: receipts.len() - receipts_honoured.len(),
        receipts_honoured,
        key_id,
        statement: bundle.publication.statement,
    })
}

/// Where a mark stands: whom it is for, by whom, for what.
type Place = (ContestantId, UserId, CriterionId);

/// A mark as the facts so far left it.
#[derive(Debug)]
struct Given {
    score: Mark,
    version: i64,
    status: MarkStatus,
    /// Entered for the judge, and not confirmed yet.
    waits: bool,
}

/// What the facts of a log add up to.
#[derive(Debug, Default)]
struct Fold {
    marks: BTreeMap<Place, Given>,
    places: HashMap<MarkId, Place>,
    deductions: BTreeMap<String, DeductionBasis>,
    withdrawn: BTreeSet<ContestantId>,
    ties: BTreeSet<Vec<ContestantId>>,
    certification: Option<CertificationUpdated>,
    named_removals: BTreeSet<String>,
    executed: HashSet<String>,
}

impl Fold {
    /// A mark is given anew by its judge, with the next version, while its sheet is open; every other fact of it says
    /// only how far it has come. Else what a receipt is for could be undone by what is written later.
    fn take_mark(&mut self, fact: ScoreUpdated, actor: &str) -> Result<(), String> {
        let place = (fact.contestant_id.clone(), fact.judge_id.clone(), fact.criterion_id.clone());
        let before = self.marks.get(&place);
        let (version, open) = before.map_or((0, true), |given| {
            (given.version, matches!(given.status, MarkStatus::Submitted | MarkStatus::Removed))
        });
        let waits = fact.entered_by.is_some() && fact.confirmed_by.is_none();
        let said_again = before.is_some_and(|given| {
            given.status != MarkStatus::Removed && given.version == fact.version && given.score == fact.score
        });
        let given_anew = open
            && fact.version == version + 1
            && fact.status == MarkStatus::Submitted
            && fact.entered_by.as_ref().unwrap_or(&fact.judge_id).as_str() == actor;
        if !said_again && !given_anew {
            return Err("it changes a mark that was not given anew by its judge".to_owned());
        }
        // What was entered for a judge counts once somebody else has said so.
        let confirmer = fact.confirmed_by.as_ref().map(UserId::as_str);
        let confirms = confirmer == Some(actor) && fact.confirmed_by != fact.entered_by;
        if said_again && before.is_some_and(|given| given.waits) && !waits && !confirms {
            return Err("it confirms a mark that nobody else has confirmed".to_owned());
        }
        self.places.insert(fact.id, place.clone());
        self.marks.insert(place, Given { score: fact.score, version: fact.version, status: fact.status, waits });
        Ok(())
    }

    fn take(&mut self, event: Event, actor: &str) -> Result<(), String> {
        match event {
            Event::ScoreUpdated(fact) => return self.take_mark(fact, actor),
            Event::ScoreDeleted(fact) => {
                let given = self.places.get(&fact.id).and_then(|place| self.marks.get_mut(place));
                given.ok_or("it takes out a mark that is not there")?.status = MarkStatus::Removed;
                self.named_removals.insert(fact.removal_id);
            }
            Event::DecisionChanged(fact) => {
                if fact.status == DecisionStatus::Executed {
                    self.executed.insert(fact.id.clone());
                }
                let in_force = fact.about == DecisionKind::Deduction && fact.status == DecisionStatus::Approved;
                if let (true, Some(contestant_id), Some(amount)) = (in_force, fact.contestant_id, fact.amount) {
                    let deduction = DeductionBasis { id: fact.id.clone(), contestant_id, amount };
                    self.deductions.insert(fact.id, deduction);
                }
            }
            Event::EntryChanged(fact) if fact.withdrawn => {
                self.withdrawn.insert(fact.contestant_id);
            }
            Event::EntryChanged(fact) => {
                self.withdrawn.remove(&fact.contestant_id);
            }
            Event::TieResolved(fact) => {
                // A later word on one of them takes the place of the earlier.
                self.ties.retain(|order| !order.iter().any(|contestant| fact.order.contains(contestant)));
                self.ties.insert(fact.order);
            }
            Event::CertificationUpdated(fact) => self.certification = Some(fact),
            // Of other lanes, or nothing a ranking is made of.
            Event::AssignmentNew(_)
            | Event::AssignmentRemoved(_)
            | Event::UserChanged(_)
            | Event::SessionChanged(_)
            | Event::SetupChanged(_)
            | Event::ContestantsChanged(_)
            | Event::ContestLocked(_)
            | Event::Notified(_)
            | Event::NoticesChanged(_)
            | Event::Announced(_)
            | Event::ResultsPublished(_)
            | Event::ResultsFrozen(_)
            | Event::PublicChanged(_)
            | Event::RaceStatusChanged(_)
            | Event::ResultsChanged(_)
            | Event::SplitsPassed(_)
            | Event::OddsChanged(_)
            | Event::IndoorImported(_)
            | Event::IndoorUpdated(_)
            | Event::IndoorCompleted(_)
            | Event::CassetteChanged(_)
            | Event::ResultsRevealed(_) => {}
        }
        Ok(())
    }

    /// The marks that stand and count, each with its version.
    fn standing(&self) -> impl Iterator<Item = (&Place, Mark, i64)> {
        let counts = |given: &Given| given.status != MarkStatus::Removed && !given.waits;
        self.marks
            .iter()
            .filter(move |(_, given)| counts(given))
            .map(|(place, given)| (place, given.score, given.version))
    }
}

/// Goes along the chain, and adds its facts up.
fn follow_log(bundle: &Bundle) -> Result<Fold, Rejected> {
    let statement = &bundle.publication.statement;
    let position = &statement.log;
    if position.lane != Lane::Category(statement.category.id.clone()).to_string() {
        return Err(Rejected::Log(format!("{} is the lane of something else", position.lane)));
    }
    let mut fold = Fold::default();
    let (mut hash, mut seq, mut place_in_log) = (GENESIS.to_owned(), 0, 0);
    for (number, line) in (1..).zip(&bundle.log) {
        if line.lane_seq != number {
            return Err(Rejected::Log(format!("fact {number} is missing, {} stands in its place", line.lane_seq)));
        }
        if line.seq <= place_in_log {
            return Err(Rejected::Log(format!("fact {number} stands before the one it follows")));
        }
        let expected = line.hash_after(&hash, &position.lane);
        if line.hash != expected {
            return Err(Rejected::Log(format!("the chain breaks at fact {number}")));
        }
        let event = line.event().map_err(|wrong| Rejected::Log(format!("fact {number} cannot be read: {wrong}")))?;
        if event.kind() != line.kind || event.lane().to_string() != position.lane {
            return Err(Rejected::Log(format!("fact {number} is not of the kind or lane it says")));
        }
        fold.take(event, &line.actor).map_err(|wrong| Rejected::Log(format!("fact {number}: {wrong}")))?;
        (hash, seq, place_in_log) = (expected, number, line.seq);
    }
    if (seq, &hash) != (position.seq, &position.hash) {
        return Err(Rejected::Log(format!("it ends at fact {seq}, not at the {} that was signed", position.seq)));
    }
    if let Some(removal) = fold.named_removals.iter().find(|id| !fold.executed.contains(*id)) {
        return Err(Rejected::Log(format!("marks are taken out by {removal}, which was not decided")));
    }
    Ok(fold)
}

fn check_marks(record: &Record, fold: &Fold) -> Result<(), Rejected> {
    let basis = &record.basis;
    let panel: HashSet<&UserId> = basis.panel.iter().map(|judge| &judge.judge_id).collect();
    let standing: Vec<_> = fold.standing().filter(|((_, judge, _), ..)| panel.contains(judge)).collect();
    let is_that = |(mark, (place, score, version)): (&MarkBasis, &(&Place, Mark, i64))| {
        let (contestant, judge, criterion) = place;
        (&mark.contestant_id, &mark.judge_id, &mark.criterion_id) == (contestant, judge, criterion)
            && (mark.score, mark.version) == (*score, *version)
    };
    if basis.marks.len() != standing.len() || !basis.marks.iter().zip(&standing).all(is_that) {
        return Err(Rejected::Tally("the marks are not the last ones given".to_owned()));
    }
    let criteria: HashMap<_, _> = basis.criteria.iter().map(|criterion| (&criterion.criterion_id, criterion)).collect();
    if let Some(mark) =
        basis.marks.iter().find(|mark| !criteria.get(&mark.criterion_id).is_some_and(|of| of.allows(mark.score)))
    {
        return Err(Rejected::Tally(format!("{} is no mark for {}", mark.score, mark.criterion_id)));
    }
    if !basis.deductions.iter().eq(fold.deductions.values()) {
        return Err(Rejected::Tally("the deductions are not those approved".to_owned()));
    }
    let withdrawn = basis.entries.iter().filter(|entry| entry.withdrawn).map(|entry| &entry.contestant_id);
    if !withdrawn.eq(&fold.withdrawn) {
        return Err(Rejected::Tally("the withdrawals are others".to_owned()));
    }
    if !basis.ties.iter().eq(&fold.ties) {
        return Err(Rejected::Tally("the ties were resolved in another way".to_owned()));
    }
    Ok(())
}

/// Computes the ranking again.
fn check_ranking(bundle: &Bundle) -> Result<Ranking, Rejected> {
    let (statement, record) = (&bundle.publication.statement, &bundle.record);
    if record.basis.category_id != statement.category.id {
        return Err(Rejected::Tally("it is of another category".to_owned()));
    }
    if record.hash() != statement.tally_hash {
        return Err(Rejected::Tally("its hash is not the one published".to_owned()));
    }
    let ranking = record.basis.rank();
    if Record::of(record.basis.clone(), &ranking) != *record || !bundle.publication.says(&ranking) {
        return Err(Rejected::Tally("the marks do not come to this ranking by these rules".to_owned()));
    }
    if !ranking.complete && statement.state != PublicationState::Draft {
        return Err(Rejected::Tally("it is not complete".to_owned()));
    }
    Ok(ranking)
}

/// What the statement names is what the tally and the log are of.
fn check_names(statement: &Statement, record: &Record, fold: &Fold) -> Result<(), Rejected> {
    let wrong = |what: &str| Err(Rejected::Statement(what.to_owned()));
    let mut judges: Vec<&UserId> = statement.judges.iter().map(|judge| &judge.id).collect();
    judges.sort();
    if !judges.into_iter().eq(record.basis.panel.iter().map(|judge| &judge.judge_id)) {
        return wrong("its judges are not those whose marks count");
    }
    let mut criteria: Vec<&CriterionId> = statement.criteria.iter().map(|criterion| &criterion.id).collect();
    criteria.sort();
    if !criteria.into_iter().eq(record.basis.criteria.iter().map(|criterion| &criterion.criterion_id)) {
        return wrong("its criteria are not those that were marked");
    }
    if (statement.revision == 0) != (statement.state == PublicationState::Draft) || statement.revision < 0 {
        return wrong("its revision is not one of its state");
    }
    let elsewhere = |fact: &CertificationUpdated| {
        (&fact.event_id, &fact.contest_id) != (&statement.event.id, &statement.contest.id)
    };
    if fold.certification.as_ref().is_some_and(elsewhere) {
        return wrong("its log is of another event or contest");
    }
    Ok(())
}

/// The signatures are those of the log, each under this tally, by nobody who judged, and as many as the state asks for.
fn check_signatures(statement: &Statement, record: &Record, fold: &Fold) -> Result<(), Rejected> {
    let wrong = |what: &str| Err(Rejected::Signatures(what.to_owned()));
    let logged = fold.certification.as_ref().map(|fact| &*fact.signatures).unwrap_or_default();
    let said = statement.signatures.iter().map(|signed| (signed.stage, &signed.user_id, signed.at, signed.overridden));
    if !said.eq(logged.iter().map(|signed| (signed.stage, &signed.user_id, signed.at, signed.overridden))) {
        return wrong("they are not those of the log");
    }
    if let Some(other) = statement.signatures.iter().find(|signed| signed.tally_hash != statement.tally_hash) {
        return wrong(&format!("{} signed another tally for {:?}", other.user_id, other.stage));
    }
    let mut signers = HashSet::new();
    if !statement.single_officer && !statement.signatures.iter().all(|signed| signers.insert(&signed.user_id)) {
        return wrong("one person signed two stages");
    }
    let judged = |user: &UserId| {
        record.basis.panel.iter().any(|judge| judge.judge_id == *user)
            || fold.marks.keys().any(|(_, judge, _)| judge == user)
    };
    if let Some(judge) = statement.signatures.iter().find(|signed| judged(&signed.user_id)) {
        return wrong(&format!("{} judged it and signed {:?}", judge.user_id, judge.stage));
    }
    let stage = fold.certification.as_ref().map_or(Stage::Open, |fact| fact.stage);
    let hash = fold.certification.as_ref().and_then(|fact| fact.tally_hash.as_ref());
    match statement.state {
        PublicationState::Unofficial if stage < Stage::Judged => wrong("the judges were not done"),
        PublicationState::Draft | PublicationState::Unofficial => Ok(()),
        PublicationState::Official if stage < Stage::Certified => wrong("the board had not signed"),
        PublicationState::Official if hash != Some(&statement.tally_hash) => wrong("the board signed another tally"),
        PublicationState::Official => {
            let there: HashSet<Stage> = statement.signatures.iter().map(|signed| signed.stage).collect();
            let needed = [Stage::Tallied, Stage::Audited, Stage::Certified];
            if needed.iter().all(|stage| there.contains(stage)) { Ok(()) } else { wrong("one is missing") }
        }
    }
}

/// What was acknowledged must be there: a log that was cut off and chained anew does not have it.
fn check_receipts(bundle: &Bundle, receipts: &[Receipt]) -> Result<Vec<String>, Rejected> {
    let position = &bundle.publication.statement.log;
    let mut honoured = Vec::new();
    for receipt in receipts.iter().filter(|receipt| receipt.lane == position.lane) {
        let line = usize::try_from(receipt.seq).ok().and_then(|seq| bundle.log.get(seq.checked_sub(1)?));
        match line {
            Some(line) if line.hash == receipt.hash => {
                honoured.push(format!("fact {}: {}", receipt.seq, said(line, &bundle.record)));
            }
            Some(_) => return Err(Rejected::Receipt(format!("fact {} is another one", receipt.seq))),
            None => {
                return Err(Rejected::Receipt(format!(
                    "the log ends at fact {}, before fact {}: it was cut off, or published before that",
                    position.seq, receipt.seq
                )));
            }
        }
    }
    Ok(honoured)
}

/// What a fact says, for whoever has its receipt: a mark may be in the log and yet not count.
fn said(line: &Line, record: &Record) -> String {
    match line.event() {
        Ok(Event::ScoreUpdated(fact)) => {
            let ScoreUpdated { judge_id, contestant_id, criterion_id, score, version, .. } = &fact;
            let is_it = |mark: &&MarkBasis| {
                (&mark.judge_id, &mark.contestant_id, &mark.criterion_id) == (judge_id, contestant_id, criterion_id)
            };
            let counts = match record.basis.marks.iter().find(is_it) {
                Some(mark) if mark.version == *version => "it counts",
                Some(_) => "a later one counts",
                None => "it does not count",
            };
            format!("{judge_id} gave {contestant_id} {score} for {criterion_id}; {counts}")
        }
        Ok(Event::CertificationUpdated(fact)) => {
            format!("{:?}, tally {}", fact.stage, fact.tally_hash.as_deref().unwrap_or("none yet"))
        }
        Ok(_) | Err(_) => line.kind.clone(),
    }
}

fn check_bytes(bundle: &Bundle, ranking: &Ranking, bytes: &[u8]) -> Result<(), Rejected> {
    if bundle.encode(ranking)? == bytes {
        return Ok(());
    }
    // Only to say which file it is.
    for (name, content) in bundle.files(ranking)? {
        if bundle::text(bytes, name).ok().is_none_or(|text| text.into_bytes() != content) {
            return Err(Rejected::Derived(name));
        }
    }
    Err(Rejected::NotCanonical)
}
