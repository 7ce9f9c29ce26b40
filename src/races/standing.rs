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
use crate::state::{Starter, State};
use std::collections::{BTreeMap, BTreeSet};
use std::iter::{Peekable, from_fn};
use std::sync::Arc;

/// The word for the first of two runs the better of which counts.
pub const FIRST_RUN: &str = "best-run-1";
/// The word for the second.
pub const SECOND_RUN: &str = "best-run-2";

/// What is ranked of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
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

/// The place of each, in the order they were given; none for who was not measured. Equal values share a place, and the
/// next are as many places behind.
///
/// What a race is ranked by are whole numbers, whose order needs none of the exact arithmetic marks need; that it is the
/// order [`rank`](crate::ranking::rank) gives them is a property test.
#[must_use]
pub fn places(best: Best, measured: &[Measured]) -> Vec<Option<i64>> {
    let standing = |(index, one): (usize, &Measured)| {
        let value = match best {
            Best::Least => one.value?,
            Best::Most => -one.value?,
        };
        Some(((value, one.then.unwrap_or(i64::MAX)), index))
    };
    let mut standings: Vec<_> = measured.iter().enumerate().filter_map(standing).collect();
    standings.sort_unstable();
    let mut places = vec![None; measured.len()];
    let mut above = 0;
    for equal in standings.chunk_by(|(one, _), (other, _)| one == other) {
        for (_, index) in equal {
            places[*index] = Some(above + 1);
        }
        above += i64::try_from(equal.len()).unwrap_or(0);
    }
    places
}

/// The report that counts of those there are of somebody.
fn counting<'a>(
    policy: ResultsFrom,
    xml: Option<&'a race_report::Model>,
    feed: Option<&'a race_report::Model>,
) -> Option<&'a race_report::Model> {
    match (policy, xml, feed) {
        (_, None, only) | (_, only, None) => only,
        (ResultsFrom::Feed, _, feed) => feed,
        (ResultsFrom::Xml, xml, _) => xml,
        (ResultsFrom::Newest, Some(xml), Some(feed)) => Some(if xml.at > feed.at { xml } else { feed }),
    }
}

/// The reports of a race that count. Racers are asked for in the order of their ids, which is that of the table: it is
/// read once, however many start.
struct Counting<'a, I: Iterator<Item = &'a Arc<race_report::Model>>> {
    policy: ResultsFrom,
    reports: Peekable<I>,
}

impl<'a, I: Iterator<Item = &'a Arc<race_report::Model>>> Counting<'a, I> {
    fn of(&mut self, id: &str) -> Option<&'a race_report::Model> {
        while self.reports.next_if(|report| *report.participant_id < *id).is_some() {}
        let mut said = |source| {
            self.reports.next_if(|report| report.participant_id == id && report.source == source).map(AsRef::as_ref)
        };
        let (xml, feed) = (said(Source::Xml), said(Source::Feed));
        counting(self.policy, xml, feed)
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
    if race.race_type != FIRST_RUN {
        return None;
    }
    let second = other_run(state, race, "BR1", "BR2")?;
    (first_run(state, second) == Some(&race.id)).then(|| second.id.clone())
}

/// A line of a race as its reports have it. Only one that is another now is written out as a row.
struct Line<'a> {
    starter: &'a Starter,
    /// What counts of them in this race.
    own: Option<&'a race_report::Model>,
    /// That, or where there is none what counts in the first of two runs.
    counts: &'a race_report::Model,
    /// The better of two runs and the other one; in a race of one run its total alone.
    runs: (Option<i64>, Option<i64>),
    rank: Option<i64>,
    category_rank: Option<i64>,
    behind_ms: Option<i64>,
}

impl Line<'_> {
    fn id(&self) -> &str {
        &self.starter.row.id
    }

    /// Whether a row says the same. Its columns are named: one that is new has to be compared, too.
    fn is(&self, row: &race_result::Model) -> bool {
        let race_result::Model {
            race_id: _,
            participant_id: _,
            source,
            at,
            bib,
            rank,
            category_rank,
            time_ms,
            pen_ms,
            total_ms,
            behind_ms,
            status,
            gates,
        } = row;
        (self.counts.source, self.counts.at, self.starter.row.bib) == (*source, *at, *bib)
            && (self.rank, self.category_rank, self.behind_ms) == (*rank, *category_rank, *behind_ms)
            && (self.time_ms(), self.pen_ms(), self.runs.0) == (*time_ms, *pen_ms, *total_ms)
            && (self.status(), self.gates()) == (*status, gates.as_ref())
    }

    fn row(&self, race: &RaceId) -> race_result::Model {
        race_result::Model {
            race_id: race.clone(),
            participant_id: self.id().to_owned(),
            source: self.counts.source,
            at: self.counts.at,
            bib: self.starter.row.bib,
            rank: self.rank,
            category_rank: self.category_rank,
            time_ms: self.time_ms(),
            pen_ms: self.pen_ms(),
            total_ms: self.runs.0,
            behind_ms: self.behind_ms,
            status: self.status(),
            gates: self.gates().cloned(),
        }
    }

    fn time_ms(&self) -> Option<i64> {
        self.own.and_then(|own| own.time_ms)
    }

    fn pen_ms(&self) -> Option<i64> {
        self.own.and_then(|own| own.pen_ms)
    }

    fn status(&self) -> Option<Irm> {
        self.own.and_then(|own| own.status)
    }

    fn gates(&self) -> Option<&String> {
        self.own.and_then(|own| own.gates.as_ref())
    }
}

/// The lines of a race as its reports have them, by participant.
fn lines<'a>(state: &'a State, race: &'a race::Model) -> Vec<Line<'a>> {
    let policy = state.events.get(&race.event_id).map(|event| event.results_from).unwrap_or_default();
    let counting = |race| Counting { policy, reports: state.racing.reports(race).peekable() };
    let (mut own, mut first) = (counting(&race.id), first_run(state, race).map(counting));
    let line = |starter: &'a Arc<Starter>| {
        let id = starter.row.id.as_str();
        let (own, before) = (own.of(id), first.as_mut().and_then(|first| first.of(id)));
        let (counts, runs) = (own.or(before)?, runs(own, before));
        Some(Line { starter, own, counts, runs, rank: None, category_rank: None, behind_ms: None })
    };
    let mut lines: Vec<Line> = state.starters_of(&race.id).filter_map(line).collect();
    place(&mut lines);
    lines
}

/// Gives the lines their places, over all and within the age or weight classes.
fn place(lines: &mut [Line]) {
    // Where nobody was timed, the order that was given is what there is.
    let timed = lines.iter().any(|line| line.runs.0.is_some());
    let measure = |line: &Line| {
        let placing = line.own.and_then(|own| own.placing);
        Measured { value: if timed { line.runs.0 } else { placing.map(|place| place * 1_000) }, then: line.runs.1 }
    };
    let measured: Vec<Measured> = lines.iter().map(measure).collect();
    let best = lines.iter().filter_map(|line| line.runs.0).min();
    let mut classes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, (line, rank)) in lines.iter_mut().zip(places(Best::Least, &measured)).enumerate() {
        line.rank = rank;
        line.behind_ms = line.runs.0.zip(best).map(|(total, best)| total - best).filter(|_| rank.is_some());
        if let Some(category) = &line.starter.detail.category {
            classes.entry(&category.id).or_default().push(index);
        }
    }
    for members in classes.into_values() {
        let of_class: Vec<Measured> = members.iter().map(|index| measured[*index]).collect();
        for (index, place) in members.into_iter().zip(places(Best::Least, &of_class)) {
            lines[index].category_rank = place;
        }
    }
}

/// The better of two runs and the other one, as far as they are known. In a race of one run that is its total alone.
fn runs(own: Option<&race_report::Model>, first: Option<&race_report::Model>) -> (Option<i64>, Option<i64>) {
    let this = own.filter(|own| own.status.is_none()).and_then(|own| Some(own.time_ms? + own.pen_ms.unwrap_or(0)));
    // The total of a second run may be that of the first, of which there need not be a report here.
    let known = [own.and_then(|own| own.total_ms), this, first.and_then(|first| first.total_ms)];
    let better = match own.and_then(|own| own.total_ms) {
        // What the timing computer takes for the better one is that.
        Some(said) if this.is_some_and(|this| said != this) => Some(said),
        _ => known.into_iter().flatten().min(),
    };
    (better, known.into_iter().flatten().filter(|run| Some(*run) > better).min())
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
    let mut settled = Settled::default();
    let (mut gone, mut put) = (Vec::new(), Vec::new());
    // What was and what is are both by participant: they are walked side by side.
    let mut before = draft.state.racing.results(race).map(AsRef::as_ref).peekable();
    for line in lines(&draft.state, &row) {
        gone.extend(from_fn(|| before.next_if(|before| *before.participant_id < *line.id())).cloned());
        let before = before.next_if(|before| before.participant_id == line.id());
        if before.is_some_and(|before| line.is(before)) {
            continue;
        }
        let line = line.row(race);
        if before.map(own) != Some(own(&line)) {
            settled.own.push(line.participant_id.clone());
        }
        if let Some(before) = before.filter(|before| before.bib != line.bib) {
            settled.removed.push(before.bib);
        }
        let told = ResultLine::of(&line);
        // The same said again, only later, is no news.
        if before.map(ResultLine::of).as_ref() != Some(&told) {
            settled.lines.push(told);
        }
        put.push(line);
    }
    gone.extend(before.cloned());
    for line in gone {
        settled.removed.push(line.bib);
        settled.own.push(line.participant_id.clone());
        draft.remove(line);
    }
    for line in put {
        draft.put(line);
    }
    if settled.removed.is_empty() {
        return settled;
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
    //! The order of whole numbers is the order the function that ranks marks gives them; what is walked side by side comes
    //! to what is looked up racer by racer.

    use super::*;
    use crate::auth::actor::Actor;
    use crate::clock::{Chance, Micros};
    use crate::db::entity::race::RaceStatus;
    use crate::db::entity::race_participant;
    use crate::db::row::Row;
    use crate::events::log::LogHead;
    use crate::ranking::{CriterionIn, Decimal, EntryIn, Input, Mark, MarkIn, Method, Panelist, Rules, rank};
    use crate::state::detail::{Label, ParticipantSpec};
    use proptest::prelude::*;

    /// The same by marks of one judge: the second criterion weighs so little that all it adds is less than a thousandth of
    /// the first.
    fn ranked(method: Method, measured: &[Measured]) -> Vec<Option<i64>> {
        const NEVER: i64 = 100_000_000;
        let weights = [("first", Decimal::one()), ("then", Decimal::new(1.into(), 9))];
        let id = |index: usize| -> Arc<str> { format!("p{index}").into() };
        let mark = |index: usize, criterion: &str, value: i64| MarkIn {
            judge: "clock".into(),
            contestant: id(index),
            criterion: criterion.into(),
            value: Mark::from_thousandths(value).expect("a mark"),
        };
        // More is better where the most is the best; then a missing second value is none.
        let none = if method == Method::Time { NEVER } else { 0 };
        let marks = measured.iter().enumerate().flat_map(|(index, one)| {
            let first = one.value.map(|value| mark(index, "first", value));
            first.into_iter().chain([mark(index, "then", one.then.unwrap_or(none))])
        });
        let input = Input {
            criteria: weights.map(|(id, weight)| CriterionIn { id: id.into(), weight }).into(),
            entries: (0..measured.len())
                .map(|index| EntryIn { contestant: id(index), factor: Decimal::one(), withdrawn: false, status: None })
                .collect(),
            panel: vec![Panelist { judge: "clock".into(), required: true, head: false }],
            marks: marks.collect(),
            ..Input::default()
        };
        let ranking = rank(&Rules::new(method), &input).ranking;
        let rank_of = |index| ranking.iter().find(|row| row.contestant_id == id(index))?.rank.map(i64::from);
        (0..measured.len()).map(rank_of).collect()
    }

    fn measured(values: Vec<(Option<i64>, Option<i64>)>) -> Vec<Measured> {
        values.into_iter().map(|(value, then)| Measured { value, then }).collect()
    }

    /// Those who may start in either of two runs.
    const RACERS: [&str; 5] = ["a", "ab", "b", "c", "d"];

    /// What is known of a racer in a run.
    #[derive(Clone, Debug)]
    struct Known {
        starts: bool,
        /// By the export and by the feed: when, and the time, if there is one.
        said: [Option<(i64, Option<i64>)>; 2],
        /// The time of the line there is.
        line: Option<i64>,
    }

    fn known() -> impl Strategy<Value = [Known; RACERS.len()]> {
        let said = || prop::option::of((0..3_i64, prop::option::of(1..5_i64)));
        let one = || {
            (any::<bool>(), [said(), said()], prop::option::of(1..5_i64)).prop_map(|(starts, said, line)| Known {
                starts,
                said,
                line,
            })
        };
        [one(), one(), one(), one(), one()]
    }

    fn run(number: i64, race_type: &str) -> race::Model {
        race::Model {
            id: format!("cup.BR{number}").parse().expect("an id"),
            number,
            event_id: "cup".parse().expect("an id"),
            race_type: race_type.into(),
            name: None,
            class_id: None,
            start_time: None,
            position: None,
            status: RaceStatus::Running,
            meta: "{}".into(),
        }
    }

    /// The rows of a run. Every racer has a bib; the lines there are may have those of others.
    fn rows(race: &RaceId, shift: usize, known: &[Known]) -> Vec<Row> {
        let mut rows = Vec::new();
        for (number, (id, known)) in RACERS.into_iter().zip(known).enumerate() {
            let bib = |shift| i64::try_from((number + shift) % RACERS.len()).ok();
            if known.starts {
                let class = Label { id: format!("class{}", number % 2), code: None, label: None };
                let detail = ParticipantSpec { category: (number > 0).then_some(class), ..ParticipantSpec::named(id) };
                rows.push(Row::from(race_participant::Model {
                    race_id: race.clone(),
                    id: id.into(),
                    number: 1,
                    bib: bib(0),
                    detail: serde_json::to_string(&detail).expect("JSON"),
                }));
            }
            for (source, said) in [Source::Xml, Source::Feed].into_iter().zip(known.said) {
                rows.extend(said.map(|(at, time_ms)| {
                    Row::from(race_report::Model {
                        race_id: race.clone(),
                        participant_id: id.into(),
                        source,
                        at: Micros(at),
                        time_ms,
                        pen_ms: None,
                        total_ms: time_ms,
                        placing: None,
                        status: time_ms.is_none().then_some(Irm::Dnf),
                        gates: Some(format!("[{at}]")),
                    })
                }));
            }
            rows.extend(known.line.map(|time| {
                Row::from(race_result::Model {
                    race_id: race.clone(),
                    participant_id: id.into(),
                    source: Source::Feed,
                    at: Micros(0),
                    bib: bib(shift),
                    rank: Some(1),
                    category_rank: None,
                    time_ms: Some(time),
                    pen_ms: None,
                    total_ms: Some(time),
                    behind_ms: Some(0),
                    status: None,
                    gates: None,
                })
            }));
        }
        rows
    }

    type Runs = (Option<i64>, Option<i64>);
    type Reported<'a> = (Arc<Starter>, Option<&'a race_report::Model>, &'a race_report::Model, Runs);

    /// The lines of the second of two runs, each looked up for itself.
    fn looked_up(state: &State, first: &RaceId, second: &RaceId) -> Vec<race_result::Model> {
        let counts = |race: &RaceId, id: &str| {
            let of = |source| state.racing.report(race, id, source).map(AsRef::as_ref);
            counting(ResultsFrom::default(), of(Source::Xml), of(Source::Feed))
        };
        let reported = |starter: &Arc<Starter>| {
            let (own, before) = (counts(second, &starter.row.id), counts(first, &starter.row.id));
            Some((Arc::clone(starter), own, own.or(before)?, runs(own, before)))
        };
        let all: Vec<Reported> = state.starters_of(second).filter_map(reported).collect();
        let class = |starter: &Starter| starter.detail.category.as_ref().map(|class| class.id.clone());
        let best = all.iter().filter_map(|(.., runs)| runs.0).min();
        let line = |(starter, own, counts, runs): &Reported| {
            let standing = |runs: &Runs| Some((runs.0?, runs.1.unwrap_or(i64::MAX)));
            let place = |within: Option<String>| {
                let mine = standing(runs)?;
                let beside = all.iter().filter(|(other, ..)| within.is_none() || class(other) == within);
                let better = beside.filter(|(.., other)| standing(other).is_some_and(|other| other < mine));
                i64::try_from(1 + better.count()).ok()
            };
            race_result::Model {
                race_id: second.clone(),
                participant_id: starter.row.id.clone(),
                source: counts.source,
                at: counts.at,
                bib: starter.row.bib,
                rank: place(None),
                category_rank: class(starter).and_then(|class| place(Some(class))),
                time_ms: own.and_then(|own| own.time_ms),
                pen_ms: own.and_then(|own| own.pen_ms),
                total_ms: runs.0,
                behind_ms: runs.0.zip(best).map(|(total, best)| total - best),
                status: own.and_then(|own| own.status),
                gates: own.and_then(|own| own.gates.clone()),
            }
        };
        all.iter().map(line).collect()
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

        #[test]
        fn lines_come_to_what_is_looked_up_and_who_folds_what_is_told_has_them(
            first in known(),
            second in known(),
            shift in 0..RACERS.len(),
        ) {
            let (one, two) = (run(1, FIRST_RUN), run(2, SECOND_RUN));
            let mut state = State::empty(LogHead { seq: 0, hash: "".into(), epoch: "now".into() });
            for row in [Row::from(one.clone()), Row::from(two.clone())] {
                state.put(&row);
            }
            for row in rows(&one.id, shift, &first).into_iter().chain(rows(&two.id, shift, &second)) {
                state.put(&row);
            }
            let expected = looked_up(&state, &one.id, &two.id);
            let lines = |state: &State| state.racing.results(&two.id).map(|line| line.as_ref().clone()).collect::<Vec<_>>();
            let by_bib = |lines: &[race_result::Model]| -> BTreeMap<_, _> {
                lines.iter().map(|line| (line.bib, ResultLine::of(line))).collect()
            };
            let (before, mut folded) = (lines(&state), by_bib(&lines(&state)));

            let mut draft = Draft::new(state, Actor::Operator, "c".into(), Micros(7), Chance::seeded(1));
            let settled = settle(&mut draft, &two.id);
            prop_assert_eq!(&lines(&draft.state), &expected);

            folded.retain(|bib, _| !settled.removed.contains(bib));
            folded.extend(settled.lines.into_iter().map(|line| (line.bib, line)));
            prop_assert_eq!(folded, by_bib(&expected));

            let of = |lines: &[race_result::Model], id: &str| lines.iter().find(|line| line.participant_id == id).map(own);
            let another: BTreeSet<&str> = RACERS.into_iter().filter(|id| of(&before, id) != of(&expected, id)).collect();
            prop_assert_eq!(settled.own.iter().map(String::as_str).collect::<BTreeSet<_>>(), another);
            prop_assert!(settle(&mut draft, &two.id) == Settled::default(), "settled twice, nothing is another");
        }
    }
}
