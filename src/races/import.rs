//! The export of a timing computer: it decides the structure of an event, and brings results.
//!
//! Invariants: the same file changes nothing a second time; what the organiser wrote of the event stays; a race that is
//! official stays so.

use super::canoe::{ClassPart, Export, ParticipantPart, RacePart, ResultPart};
use super::lists;
use super::standing::{SECOND_RUN, dependent, settle};
use super::{Post, Skipped, timed};
use crate::command::{Decide, Draft};
use crate::db::entity::race::RaceStatus;
use crate::db::entity::race_report::{self, Source};
use crate::db::entity::{event, race, race_class, race_participant};
use crate::error::Refusal;
use crate::events::event::{Event, PublicChanged, RaceFinal, RaceMoved, SetupChanged};
use crate::events::public::PublicCategory;
use crate::ids::{EventId, RaceId};
use crate::state::StarterNumbers;
use crate::state::detail::{Club, Label, ParticipantSpec};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Most who start in a race.
const STARTERS_MAX: usize = 2_000;
/// Most racers whose new results are told one by one.
const FINALS_MAX: usize = 50;

/// Takes the export of a timing computer.
#[derive(Clone, Debug)]
pub struct IngestXml {
    /// The event it is of.
    pub event: EventId,
    /// What it says.
    pub export: Arc<Export>,
}

/// An import under way.
struct Import<'a> {
    event: &'a EventId,
    export: &'a Export,
    skipped: Vec<Skipped>,
    accepted: usize,
    changed: bool,
    moved: Vec<RaceMoved>,
    /// Whose own result is another, by race.
    finished: BTreeSet<(RaceId, String)>,
    /// The names of the categories, for those who start in them.
    categories: HashMap<&'a str, &'a str>,
}

impl<'a> Import<'a> {
    fn new(event: &'a EventId, export: &'a Export) -> Self {
        let categories = export.classes.iter().flat_map(|class| &class.categories);
        Self {
            event,
            export,
            skipped: Vec::new(),
            accepted: 0,
            changed: false,
            moved: Vec::new(),
            finished: BTreeSet::new(),
            categories: categories.map(|category| (&*category.id, &*category.name)).collect(),
        }
    }

    /// What the organiser has not said of the event.
    fn fill_event(&mut self, draft: &mut Draft) {
        let (Some(part), Some(before)) = (&self.export.event, draft.state.events.get(self.event).cloned()) else {
            return;
        };
        let date = |text: &Option<String>| {
            let format = time::macros::format_description!("[year]-[month]-[day]");
            text.clone().filter(|text| time::Date::parse(text, &format).is_ok())
        };
        let or = |known: &Option<String>, said: Option<String>| known.clone().or(said);
        let row = event::Model {
            sub_title: or(&before.sub_title, part.sub_title.clone()),
            location: or(&before.location, part.location.clone()),
            facility: or(&before.facility, part.facility.clone()),
            start_date: or(&before.start_date, date(&part.start_date)),
            end_date: or(&before.end_date, date(&part.end_date)),
            discipline: or(&before.discipline, part.discipline.clone()),
            ..before.as_ref().clone()
        };
        if row != *before {
            draft.put(event::Model { updated_at: draft.now, ..row });
            self.changed = true;
        }
    }

    fn put_classes(&mut self, draft: &mut Draft) -> Result<(), Refusal> {
        let known: Vec<_> = draft.state.racing.classes(self.event).into_iter().cloned().collect();
        let named: BTreeSet<&str> = self.export.classes.iter().map(|class| &*class.id).collect();
        for gone in known.iter().filter(|class| !named.contains(&*class.id)) {
            draft.remove(gone.as_ref().clone());
            self.changed = true;
        }
        for (position, part) in self.export.classes.iter().enumerate() {
            let row = class_row(self.event, part, i64::try_from(position).unwrap_or(i64::MAX))?;
            if !known.iter().any(|before| **before == row) {
                draft.put(row);
                self.changed = true;
            }
        }
        Ok(())
    }

    /// The id a race has here. Timing computers give the same ids every year: where another event had it first, ours
    /// begins with the event's.
    fn race_id(&self, draft: &Draft, part: &RacePart) -> Option<RaceId> {
        if let Some(known) = draft.state.race_in(self.event, part.id.as_str()) {
            return Some(known.id.clone());
        }
        if draft.state.races.contains_key(&part.id) {
            return format!("{}.{}", self.event, part.id).parse().ok();
        }
        Some(part.id.clone())
    }

    fn put_race(&mut self, draft: &mut Draft, index: usize, part: &RacePart) -> Option<RaceId> {
        let place = format!("Schedule[{index}]");
        let Some(id) = self.race_id(draft, part) else {
            self.skipped.push(Skipped::new(place, format!("race {} would get too long an id", part.id)));
            return None;
        };
        let before = draft.state.races.get(&id).cloned();
        let said = part.status.and_then(RaceStatus::of);
        let status = match (&before, said) {
            (Some(before), Some(said)) if before.status == RaceStatus::Official && said != RaceStatus::Official => {
                self.skipped.push(Skipped::new(place, format!("race {id} is official and stays so")));
                before.status
            }
            (_, Some(said)) => said,
            (before, None) => before.as_ref().map_or(RaceStatus::Scheduled, |before| before.status),
        };
        let row = race::Model {
            id: id.clone(),
            number: before.as_ref().map_or_else(|| draft.state.next_race_number(), |before| before.number),
            event_id: self.event.clone(),
            race_type: part.kind.as_str().to_owned(),
            name: before.as_ref().and_then(|before| before.name.clone()),
            class_id: part.class_id.clone(),
            start_time: part.start_time.clone(),
            position: part.order,
            status,
            meta: before.as_ref().map_or_else(|| "{}".to_owned(), |before| before.meta.clone()),
        };
        if before.as_ref().is_none_or(|before| **before != row) {
            if before.is_none_or(|before| before.status.phase() != status.phase()) {
                self.moved.push(RaceMoved { race_id: id.clone(), phase: status.phase() });
            }
            draft.put(row);
            self.changed = true;
        }
        Some(id)
    }

    fn starter(&self, draft: &Draft, race: &RaceId, part: &ParticipantPart, result: &ResultPart) -> ParticipantSpec {
        let known = draft.state.starter(race, &part.id).map(|starter| starter.detail.clone());
        let category = part.category_id.as_ref().map(|id| Label {
            id: id.clone(),
            code: None,
            label: self.categories.get(&**id).map(|name| (*name).to_owned()),
        });
        ParticipantSpec {
            bib: result.bib.or(part.bib),
            name: Some(part.name()),
            club: part.club.clone().map(|name| Club { name, code: None }),
            category,
            noc: part.noc.clone(),
            start_order: result.start_order,
            start_time: result.start_time.clone(),
            ..known.unwrap_or_else(|| ParticipantSpec::named(&part.id))
        }
    }

    fn put_starter(
        &mut self,
        draft: &mut Draft,
        race: &RaceId,
        numbers: &mut StarterNumbers,
        spec: &ParticipantSpec,
    ) -> Result<(), Refusal> {
        let row = race_participant::Model {
            race_id: race.clone(),
            id: spec.id.clone(),
            number: numbers.of(&spec.id),
            bib: spec.bib,
            detail: crate::command::to_value(spec)?.to_string(),
        };
        if draft.state.starter(race, &row.id).is_none_or(|before| before.row != row) {
            draft.put(row);
            self.changed = true;
        }
        Ok(())
    }

    fn put_report(&mut self, draft: &mut Draft, race: &race::Model, part: &ResultPart) -> Result<(), Refusal> {
        let before = draft.state.racing.report(&race.id, &part.participant_id, Source::Xml).cloned();
        let nothing = part.total_ms.is_none() && part.time_ms.is_none() && part.status.is_none();
        if nothing {
            if let Some(before) = before {
                self.take_report_out(draft, &before);
            }
            return Ok(());
        }
        let counts = part.status.is_none() || race.race_type == SECOND_RUN;
        let report = race_report::Model {
            race_id: race.id.clone(),
            participant_id: part.participant_id.clone(),
            source: Source::Xml,
            at: draft.now,
            time_ms: part.time_ms,
            pen_ms: part.pen_ms,
            total_ms: part.total_ms.or(part.time_ms).filter(|_| counts),
            placing: None,
            status: part.status,
            gates: part.gates.as_ref().map(crate::command::to_value).transpose()?.map(|gates| gates.to_string()),
        };
        if before.is_none_or(|before| race_report::Model { at: before.at, ..report.clone() } != *before) {
            self.finished.insert((race.id.clone(), report.participant_id.clone()));
            draft.put(report);
            self.changed = true;
        }
        Ok(())
    }

    fn take_report_out(&mut self, draft: &mut Draft, report: &race_report::Model) {
        self.finished.insert((report.race_id.clone(), report.participant_id.clone()));
        draft.remove(report.clone());
        self.changed = true;
    }

    fn put_results(&mut self, draft: &mut Draft, races: &BTreeMap<&str, RaceId>) -> Result<(), Refusal> {
        // An id is one of its class: a race is of one, and its racers are looked for there first.
        let of_class: HashMap<(&str, &str), &ParticipantPart> =
            self.export.participants.iter().map(|part| ((&*part.class_id, &*part.id), part)).collect();
        let participants: HashMap<&str, &ParticipantPart> =
            self.export.participants.iter().map(|part| (&*part.id, part)).collect();
        let mut numbers: HashMap<RaceId, StarterNumbers> = HashMap::new();
        let mut listed: BTreeMap<RaceId, BTreeSet<&str>> =
            races.values().map(|race| (race.clone(), BTreeSet::new())).collect();
        for (index, part) in self.export.results.iter().enumerate() {
            let place = format!("Results[{index}]");
            let race = races.get(part.race_id.as_str()).and_then(|id| draft.state.races.get(id)).cloned();
            let Some(race) = race else {
                self.skipped.push(Skipped::new(place, format!("race {} is not in the schedule", part.race_id)));
                continue;
            };
            let class = race.class_id.as_deref().unwrap_or_default();
            let participant = of_class.get(&(class, &*part.participant_id));
            let Some(participant) = participant.or_else(|| participants.get(&*part.participant_id)) else {
                let reason = format!("participant {} is not in the file", part.participant_id);
                self.skipped.push(Skipped::new(place, reason));
                continue;
            };
            let here = listed.entry(race.id.clone()).or_default();
            if here.len() >= STARTERS_MAX {
                self.skipped.push(Skipped::new(place, format!("more than {STARTERS_MAX} start in race {}", race.id)));
                continue;
            }
            here.insert(&part.participant_id);
            let spec = self.starter(draft, &race.id, participant, part);
            let numbers = numbers.entry(race.id.clone()).or_insert_with(|| draft.state.starter_numbers(&race.id));
            self.put_starter(draft, &race.id, numbers, &spec)?;
            self.put_report(draft, &race, part)?;
            self.accepted += 1;
        }
        for (race, here) in &listed {
            self.take_out_the_unlisted(draft, race, here);
        }
        Ok(())
    }

    /// Who is not in the file any more does not start; whom the live feed has seen has started.
    fn take_out_the_unlisted(&mut self, draft: &mut Draft, race: &RaceId, here: &BTreeSet<&str>) {
        let unlisted: Vec<_> =
            draft.state.starters_of(race).filter(|starter| !here.contains(&*starter.row.id)).cloned().collect();
        let split: BTreeSet<String> =
            draft.state.racing.splits(race).map(|split| split.participant_id.clone()).collect();
        for starter in unlisted {
            if let Some(report) = draft.state.racing.report(race, &starter.row.id, Source::Xml).cloned() {
                self.take_report_out(draft, &report);
            }
            let seen = draft.state.racing.report(race, &starter.row.id, Source::Feed).is_some();
            if !seen && !split.contains(&starter.row.id) {
                draft.remove(starter.row.clone());
                self.changed = true;
            }
        }
    }

    /// Ranks what has changed, and says whose own result that was, unless it is too many.
    fn settle(&self, draft: &mut Draft, races: &BTreeMap<&str, RaceId>) -> Vec<RaceFinal> {
        let races: BTreeSet<RaceId> = races.values().flat_map(|race| dependent(&draft.state, race)).collect();
        for race in &races {
            settle(draft, race);
        }
        if self.finished.len() > FINALS_MAX {
            return Vec::new();
        }
        let told = |(race, who): &(RaceId, String)| {
            let line = draft.state.racing.result(race, who);
            RaceFinal {
                race_id: race.clone(),
                participant_id: who.clone(),
                total_ms: line.and_then(|line| line.total_ms),
                behind_ms: line.and_then(|line| line.behind_ms),
            }
        };
        self.finished.iter().map(told).collect()
    }
}

fn class_row(event: &EventId, part: &ClassPart, position: i64) -> Result<race_class::Model, Refusal> {
    let categories: Vec<PublicCategory> = part
        .categories
        .iter()
        .map(|category| PublicCategory {
            cat_id: category.id.clone(),
            name: category.name.clone(),
            first_year: category.first_year,
            last_year: category.last_year,
        })
        .collect();
    Ok(race_class::Model {
        event_id: event.clone(),
        id: part.id.clone(),
        name: part.name.clone(),
        long_title: part.long_title.clone(),
        position,
        categories: crate::command::to_value(categories)?.to_string(),
    })
}

impl Decide for IngestXml {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let before = draft.state.clone();
        let event = timed(draft, &self.event)?;
        Post::Xml.must_be_taken(Some(event), &self.event)?;
        let mut import = Import::new(&self.event, &self.export);
        import.fill_event(draft);
        import.put_classes(draft)?;
        let mut races = BTreeMap::new();
        for (index, part) in self.export.races.iter().enumerate() {
            if let Some(id) = import.put_race(draft, index, part) {
                races.insert(part.id.as_str(), id);
            }
        }
        import.put_results(draft, &races)?;
        let finals = import.settle(draft, &races);
        let Import { skipped, accepted, changed, moved, .. } = import;
        let mut receipt = None;
        if changed {
            draft.append(Event::SetupChanged(SetupChanged { event_id: self.event.clone() }));
            if draft.state.is_public(&self.event) {
                let fact = lists::changed(&before, &draft.state, &self.event);
                let fact = PublicChanged { races: moved, finals, ..fact };
                receipt = Some(draft.append(Event::PublicChanged(fact)));
            }
        }
        Ok(json!({
            "accepted": accepted, "skipped": skipped, "receipt": receipt,
            "classes": self.export.classes.len(), "races": races.len(),
            "participants": self.export.participants.len(),
        }))
    }
}
