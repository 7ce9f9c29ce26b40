//! What reports come to: the lines of a race with their places.
//!
//! Invariant: the lines in the tables are those of the reports; [`settle`] is called after every change of a report.

use crate::command::Draft;
use crate::db::entity::event::ResultsFrom;
use crate::db::entity::race;
use crate::db::entity::race_report::{self, Irm, Source};
use crate::db::entity::race_result;
use crate::events::event::{Event, ResultLine, ResultsChanged};
use crate::ids::{EventId, RaceId};
use crate::state::State;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The word for the first of two runs the better of which counts.
pub const FIRST_RUN: &str = "best-run-1";
/// The word for the second.
pub const SECOND_RUN: &str = "best-run-2";

/// What is ranked of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Who.
    pub id: Arc<str>,
    /// Milliseconds, or a place that was given; none for who has none.
    pub value: Option<i64>,
    /// What decides between equal ones: the other of two runs. Who has none comes after those who have.
    pub then: Option<i64>,
}

/// Which value is the best one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Best {
    /// The smallest: a time, a place.
    Least,
    /// The largest: a distance.
    Most,
}

/// The places of those who have one. Equal values share a place, and the next are as many places behind.
///
/// What a race is ranked by are whole numbers, whose order needs none of the exact arithmetic marks need; that it is the
/// order [`rank`](crate::ranking::rank) gives them is a property test.
#[must_use]
pub fn places(best: Best, measured: &[Measured]) -> HashMap<Arc<str>, i64> {
    let standing = |one: &Measured| {
        let value = match best {
            Best::Least => one.value?,
            Best::Most => -one.value?,
        };
        Some(((value, one.then.unwrap_or(i64::MAX)), Arc::clone(&one.id)))
    };
    let mut standings: Vec<_> = measured.iter().filter_map(standing).collect();
    standings.sort();
    let mut places = HashMap::with_capacity(standings.len());
    let mut above = 0;
    for equal in standings.chunk_by(|(one, _), (other, _)| one == other) {
        places.extend(equal.iter().map(|(_, id)| (Arc::clone(id), above + 1)));
        above += i64::try_from(equal.len()).unwrap_or(0);
    }
    places
}

/// The report that counts of those there are of somebody.
fn counting<'a>(
    policy: ResultsFrom,
    xml: Option<&'a Arc<race_report::Model>>,
    feed: Option<&'a Arc<race_report::Model>>,
) -> Option<&'a Arc<race_report::Model>> {
    match (policy, xml, feed) {
        (_, None, only) | (_, only, None) => only,
        (ResultsFrom::Feed, _, feed) => feed,
        (ResultsFrom::Xml, xml, _) => xml,
        (ResultsFrom::Newest, Some(xml), Some(feed)) => Some(if xml.at > feed.at { xml } else { feed }),
    }
}

/// The race of an event that is named like another but for the run. What an id was given for being taken elsewhere, the
/// event before it, is no part of the name.
fn other_run<'a>(state: &'a State, race: &race::Model, run: &str, other: &str) -> Option<&'a Arc<race::Model>> {
    let id = race.id.as_str();
    let own = id.strip_prefix(race.event_id.as_str()).and_then(|rest| rest.strip_prefix('.')).unwrap_or(id);
    state.race_in(&race.event_id, &own.replace(run, other)).filter(|found| found.id != race.id)
}

/// The first run of a second one: the race of the same name but for the run.
fn first_run<'a>(state: &'a State, race: &race::Model) -> Option<&'a RaceId> {
    if race.race_type != SECOND_RUN {
        return None;
    }
    let first = other_run(state, race, "BR2", "BR1")?;
    (first.race_type == FIRST_RUN).then_some(&first.id)
}

/// The second run of a first one.
fn second_run(state: &State, race: &race::Model) -> Option<RaceId> {
    let second = other_run(state, race, "BR1", "BR2")?;
    (first_run(state, second) == Some(&race.id)).then(|| second.id.clone())
}

/// The lines of a race as its reports have them.
fn lines(state: &State, race: &race::Model) -> BTreeMap<String, race_result::Model> {
    let policy = state.events.get(&race.event_id).map(|event| event.results_from).unwrap_or_default();
    let report = |race: &RaceId, id: &str| {
        let of = |source| state.racing.report(race, id, source);
        counting(policy, of(Source::Xml), of(Source::Feed))
    };
    let first = first_run(state, race);
    let mut lines = BTreeMap::new();
    let (mut placings, mut others) = (BTreeMap::new(), BTreeMap::new());
    for starter in state.starters_of(&race.id) {
        let id = starter.row.id.as_str();
        let own = report(&race.id, id);
        let before = first.and_then(|first| report(first, id));
        let Some(counts) = own.or(before) else { continue };
        let runs = runs(own, before);
        if let Some(other) = runs.1 {
            others.insert(id.to_owned(), other);
        }
        if let Some(placing) = own.and_then(|own| own.placing) {
            placings.insert(id.to_owned(), placing);
        }
        let line = race_result::Model {
            race_id: race.id.clone(),
            participant_id: id.to_owned(),
            source: counts.source,
            at: counts.at,
            bib: starter.row.bib,
            rank: None,
            category_rank: None,
            time_ms: own.and_then(|own| own.time_ms),
            pen_ms: own.and_then(|own| own.pen_ms),
            total_ms: runs.0,
            behind_ms: None,
            status: own.and_then(|own| own.status),
            gates: own.and_then(|own| own.gates.clone()),
        };
        lines.insert(line.participant_id.clone(), line);
    }
    place(state, race, &mut lines, &placings, &others);
    lines
}

/// The better of two runs and the other one, as far as they are known. In a race of one run that is its total alone.
fn runs(own: Option<&Arc<race_report::Model>>, first: Option<&Arc<race_report::Model>>) -> (Option<i64>, Option<i64>) {
    let this = own.filter(|own| own.status.is_none()).and_then(|own| Some(own.time_ms? + own.pen_ms.unwrap_or(0)));
    // The total of a second run may be that of the first, of which there need not be a report here.
    let mut known: Vec<i64> = [own.and_then(|own| own.total_ms), this, first.and_then(|first| first.total_ms)]
        .into_iter()
        .flatten()
        .collect();
    known.dedup();
    let better = match own.and_then(|own| own.total_ms) {
        // What the timing computer takes for the better one is that.
        Some(said) if this.is_some_and(|this| said != this) => Some(said),
        _ => known.iter().min().copied(),
    };
    (better, known.into_iter().filter(|run| Some(*run) > better).min())
}

/// Gives the lines their places, over all and within the age or weight classes.
fn place(
    state: &State,
    race: &race::Model,
    lines: &mut BTreeMap<String, race_result::Model>,
    placings: &BTreeMap<String, i64>,
    others: &BTreeMap<String, i64>,
) {
    // Where nobody was timed, the order that was given is what there is.
    let timed = lines.values().any(|line| line.total_ms.is_some());
    let value = |line: &race_result::Model| {
        if timed { line.total_ms } else { placings.get(&line.participant_id).map(|place| place * 1_000) }
    };
    let measured: Vec<Measured> = lines
        .values()
        .map(|line| Measured {
            id: line.participant_id.as_str().into(),
            value: value(line),
            then: others.get(&line.participant_id).copied(),
        })
        .collect();
    let ranks = places(Best::Least, &measured);
    let mut classes: BTreeMap<&str, Vec<Measured>> = BTreeMap::new();
    for one in &measured {
        let category = state.starter(&race.id, &one.id).and_then(|starter| starter.detail.category.as_ref());
        if let Some(category) = category {
            classes.entry(&category.id).or_default().push(one.clone());
        }
    }
    let within: HashMap<Arc<str>, i64> = classes.values().flat_map(|members| places(Best::Least, members)).collect();
    let best = lines.values().filter_map(|line| line.total_ms).min();
    for line in lines.values_mut() {
        line.rank = ranks.get(line.participant_id.as_str()).copied();
        line.category_rank = within.get(line.participant_id.as_str()).copied();
        line.behind_ms = line.total_ms.zip(best).map(|(total, best)| total - best).filter(|_| line.rank.is_some());
    }
}

/// What changed in the lines of a race.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Lines that are another now.
    pub lines: Vec<ResultLine>,
    /// Bibs of lines that are gone.
    pub removed: Vec<Option<i64>>,
    /// Whose own result is another, be there one or not.
    pub own: Vec<String>,
}

impl Settled {
    /// Whether nothing anyone could see has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.removed.is_empty()
    }
}

/// What somebody did, whatever the others did.
fn own(line: &race_result::Model) -> (Option<i64>, Option<i64>, Option<i64>, Option<Irm>) {
    (line.time_ms, line.pen_ms, line.total_ms, line.status)
}

/// Brings the lines of a race up to its reports, and says what became another.
pub fn settle(draft: &mut Draft, race: &RaceId) -> Settled {
    let Some(row) = draft.state.races.get(race).cloned() else { return Settled::default() };
    let before: Vec<_> = draft.state.racing.results(race).cloned().collect();
    let mut now = lines(&draft.state, &row);
    let mut settled = Settled::default();
    for line in before {
        let Some(after) = now.remove(&line.participant_id) else {
            settled.removed.push(line.bib);
            settled.own.push(line.participant_id.clone());
            draft.remove(line.as_ref().clone());
            continue;
        };
        if *line == after {
            continue;
        }
        if own(&line) != own(&after) {
            settled.own.push(line.participant_id.clone());
        }
        if line.bib != after.bib {
            settled.removed.push(line.bib);
        }
        // The same said again, only later, is no news.
        if ResultLine::of(&line) != ResultLine::of(&after) {
            settled.lines.push(ResultLine::of(&after));
        }
        draft.put(after);
    }
    for line in now.into_values() {
        settled.lines.push(ResultLine::of(&line));
        settled.own.push(line.participant_id.clone());
        draft.put(line);
    }
    // Who folds knows a line by its bib alone: one that is still worn by somebody else is theirs, and told again.
    let removed: BTreeSet<Option<i64>> = settled.removed.iter().copied().collect();
    let told: BTreeSet<&str> = settled.lines.iter().map(|line| line.participant_id.as_str()).collect();
    let worn = draft.state.racing.results(race).filter(|line| removed.contains(&line.bib));
    let again: Vec<_> =
        worn.filter(|line| !told.contains(&*line.participant_id)).map(|line| ResultLine::of(line)).collect();
    settled.lines.extend(again);
    // A bib that is somebody else's now is not gone.
    let given: BTreeSet<Option<i64>> = settled.lines.iter().map(|line| line.bib).collect();
    settled.removed.retain(|bib| !given.contains(bib));
    settled
}

/// The races whose lines depend on the reports of a race: itself, and the second run of a first one.
#[must_use]
pub fn dependent(state: &State, race: &RaceId) -> Vec<RaceId> {
    let second = state.races.get(race).and_then(|row| second_run(state, row));
    std::iter::once(race.clone()).chain(second).collect()
}

/// Brings every race of an event up to its reports, after the rule which of them count has changed.
pub fn settle_all(draft: &mut Draft, event: &EventId) {
    let races: Vec<RaceId> = draft.state.races_of(event).into_iter().map(|race| race.id.clone()).collect();
    for race_id in races {
        let settled = settle(draft, &race_id);
        if !settled.is_empty() && draft.state.is_public(event) {
            let Settled { lines, removed, own: finished } = settled;
            let event_id = event.clone();
            draft.append(Event::ResultsChanged(ResultsChanged { event_id, race_id, lines, removed, finished }));
        }
    }
}

#[cfg(test)]
mod tests {
    //! The order of whole numbers is the order the function that ranks marks gives them.

    use super::*;
    use crate::ranking::{CriterionIn, Decimal, EntryIn, Input, Mark, MarkIn, Method, Panelist, Rules, rank};
    use proptest::prelude::*;

    /// The same by marks of one judge: the second criterion weighs so little that all it adds is less than a thousandth of
    /// the first.
    fn ranked(method: Method, measured: &[Measured]) -> HashMap<Arc<str>, i64> {
        const NEVER: i64 = 100_000_000;
        let weights = [("first", Decimal::one()), ("then", Decimal::new(1.into(), 9))];
        let mark = |one: &Measured, criterion: &str, value: i64| MarkIn {
            judge: "clock".into(),
            contestant: Arc::clone(&one.id),
            criterion: criterion.into(),
            value: Mark::from_thousandths(value).expect("a mark"),
        };
        // More is better where the most is the best; then a missing second value is none.
        let none = if method == Method::Time { NEVER } else { 0 };
        let marks = measured.iter().flat_map(|one| {
            let first = one.value.map(|value| mark(one, "first", value));
            first.into_iter().chain([mark(one, "then", one.then.unwrap_or(none))])
        });
        let input = Input {
            criteria: weights.map(|(id, weight)| CriterionIn { id: id.into(), weight }).into(),
            entries: measured
                .iter()
                .map(|one| EntryIn {
                    contestant: Arc::clone(&one.id),
                    factor: Decimal::one(),
                    withdrawn: false,
                    status: None,
                })
                .collect(),
            panel: vec![Panelist { judge: "clock".into(), required: true, head: false }],
            marks: marks.collect(),
            ..Input::default()
        };
        let rows = rank(&Rules::new(method), &input).ranking.into_iter();
        rows.filter_map(|row| Some((row.contestant_id, i64::from(row.rank?)))).collect()
    }

    fn measured(values: Vec<(Option<i64>, Option<i64>)>) -> Vec<Measured> {
        let one = |(number, (value, then)): (usize, (Option<i64>, Option<i64>))| Measured {
            id: format!("p{number}").into(),
            value,
            then,
        };
        values.into_iter().enumerate().map(one).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn times_are_placed_as_marks_are(
            values in prop::collection::vec((prop::option::of(0..6_i64), prop::option::of(0..3_i64)), 0..12),
            scale in prop::sample::select(vec![1, 7_000_000]),
        ) {
            let scaled = |value: Option<i64>| value.map(|value| value * scale);
            let values = measured(values.into_iter().map(|(value, then)| (scaled(value), scaled(then))).collect());
            prop_assert_eq!(places(Best::Least, &values), ranked(Method::Time, &values));
        }

        #[test]
        fn distances_are_placed_as_points_are(values in prop::collection::vec(prop::option::of(0..6_i64), 0..12)) {
            let values = measured(values.into_iter().map(|value| (value, None)).collect());
            prop_assert_eq!(places(Best::Most, &values), ranked(Method::Sum, &values));
        }
    }
}
