//! The Canoe123 export: what the timing computer of a canoe slalom writes of a whole competition, read into plain parts.
//!
//! Invariants: [`read`] is pure and never panics, whatever the bytes; every fault names its place in the file, as
//! `Results[3].Time`; times are milliseconds; what stands in one list has an id of its own there,
//! a participant within the class, a result by race and participant.
//!
//! Required are the ids, `MainTitle`, `Class`, `Category` and a name; all else may be missing or empty, which is the
//! same. An element we do not know is passed over; one we know that says something impossible refuses the file: half an
//! export is no export. Unknown is allowed where the program grows: the type of a race.
//!
//! Deliberately absent: whether a result's race and participant exist (the caller reports those it skips), ranks and
//! what is behind (they are computed), and everything of the first run that the second repeats.

mod records;
#[cfg(test)]
mod tests;
mod times;

use crate::db::entity::race_report::Irm;
use crate::error::Refusal;
use crate::ids::RaceId;
use records::{Kind, Record};
use std::collections::HashSet;
use std::fmt::Write;
use times::{Amount, NUMBER_MAX, Times};

/// Most gates in a result.
const GATES_MAX: usize = 100;
/// Characters a gate has in the table that the program writes.
const GATE_CHARS: usize = 3;
/// States of a race.
const RACE_STATUS_MAX: i64 = 12;

/// An export: a whole competition as one timing computer knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// The competition; the first, should there be several.
    pub event: Option<EventPart>,
    /// Classes of boats.
    pub classes: Vec<ClassPart>,
    /// Who is timed.
    pub participants: Vec<ParticipantPart>,
    /// The schedule.
    pub races: Vec<RacePart>,
    /// Who did what in which race.
    pub results: Vec<ResultPart>,
    /// The courses.
    pub courses: Vec<CoursePart>,
}

/// A competition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the format")]
pub struct EventPart {
    /// The timing program's own; nothing hangs on it, so it may be any text.
    pub event_id: Option<String>,
    pub main_title: String,
    pub sub_title: Option<String>,
    pub location: Option<String>,
    pub country: Option<String>,
    pub facility: Option<String>,
    /// As it is written: a date, or a moment with an offset.
    pub start_date: Option<String>,
    /// As it is written.
    pub end_date: Option<String>,
    pub discipline: Option<String>,
}

/// A class of boats, such as K1 men.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the format")]
pub struct ClassPart {
    pub id: String,
    pub name: String,
    pub long_title: Option<String>,
    pub categories: Vec<CategoryPart>,
}

/// A category by age, within a class.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the format")]
pub struct CategoryPart {
    pub id: String,
    pub name: String,
    /// Year of birth of the oldest.
    pub first_year: Option<i64>,
    /// Year of birth of the youngest.
    pub last_year: Option<i64>,
}

/// A boat or a team.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the format")]
pub struct ParticipantPart {
    pub id: String,
    pub class_id: String,
    pub bib: Option<i64>,
    /// Empty only for a team that has members.
    pub family_name: String,
    pub given_name: Option<String>,
    /// The second in a boat for two, as `FAMILY Given`.
    pub partner: Option<String>,
    pub noc: Option<String>,
    pub club: Option<String>,
    pub category_id: Option<String>,
    pub is_team: bool,
    /// Up to three, as they are written; often ids of participants.
    pub members: Vec<String>,
    pub icf_id: Option<String>,
}

/// A race of the schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the format")]
pub struct RacePart {
    pub id: RaceId,
    pub order: Option<i64>,
    /// As it is written.
    pub start_time: Option<String>,
    pub class_id: Option<String>,
    pub dis_id: Option<String>,
    pub kind: RaceKind,
    /// 1 to 12; 0 stands for none.
    pub status: Option<i64>,
    /// As it is written.
    pub start_interval: Option<String>,
    pub course_nr: Option<i64>,
}

/// A participant in a race: on the start list, on the way, or done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the format")]
pub struct ResultPart {
    /// Need not be in the schedule.
    pub race_id: RaceId,
    /// Need not be among the participants.
    pub participant_id: String,
    pub start_order: Option<i64>,
    pub bib: Option<i64>,
    /// As it is written.
    pub start_time: Option<String>,
    pub status: Option<Irm>,
    pub time_ms: Option<i64>,
    pub pen_ms: Option<i64>,
    /// Of this run.
    pub total_ms: Option<i64>,
    /// Penalty seconds by gate, none where the gate is blank: 0, 2 or 50, and sums of them for a team. Blanks at the end
    /// are left out, so there may be fewer than the course has gates.
    pub gates: Option<Vec<Option<i64>>>,
    /// 0 stands for none.
    pub heat: Option<i64>,
    /// Which run was the better one; 0 stands for none.
    pub better_run: Option<i64>,
    /// Of the better run.
    pub total_total_ms: Option<i64>,
}

/// A course: `N` is a gate, `R` a reverse gate, `S` a separator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the format")]
pub struct CoursePart {
    pub nr: i64,
    /// Empty when it is not known.
    pub config: String,
}

/// The type of a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the words say it")]
pub enum RaceKind {
    BestRun1,
    BestRun2,
    Qualification,
    Semifinal,
    Final,
    Seeding,
    Training,
    CrossTrial,
    CrossHeat,
    CrossSemifinal,
    CrossFinal,
    Unknown,
}

impl RaceKind {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BestRun1 => "best-run-1",
            Self::BestRun2 => "best-run-2",
            Self::Qualification => "qualification",
            Self::Semifinal => "semifinal",
            Self::Final => "final",
            Self::Seeding => "seeding",
            Self::Training => "training",
            Self::CrossTrial => "cross-trial",
            Self::CrossHeat => "cross-heat",
            Self::CrossSemifinal => "cross-semifinal",
            Self::CrossFinal => "cross-final",
            Self::Unknown => "unknown",
        }
    }

    /// The type that a `DisId` names.
    #[must_use]
    pub fn of(code: &str) -> Self {
        match code.to_ascii_uppercase().as_str() {
            "BR1" => Self::BestRun1,
            "BR2" => Self::BestRun2,
            "Q" | "QUA" => Self::Qualification,
            "SF" | "SEM" => Self::Semifinal,
            "F" | "FIN" => Self::Final,
            "SR" => Self::Seeding,
            "TSR" => Self::Training,
            "XT" => Self::CrossTrial,
            "X4" => Self::CrossHeat,
            "XS" => Self::CrossSemifinal,
            "XF" => Self::CrossFinal,
            _ => Self::Unknown,
        }
    }

    /// The type of a race: what its `DisId` names, or else the end of its id, as `BR1` in `K1M_ST_BR1_6` (6 is the day).
    #[must_use]
    pub fn of_race(dis_id: Option<&str>, race: &RaceId) -> Self {
        let mut parts = race.as_str().rsplit('_');
        let [last, before] = [parts.next(), parts.next()];
        let codes = [dis_id, before, last].into_iter().flatten();
        codes.map(Self::of).find(|kind| *kind != Self::Unknown).unwrap_or(Self::Unknown)
    }
}

impl ParticipantPart {
    /// The name to show: `FAMILY Given`, of two in a boat both, of a team its own or its members'.
    #[must_use]
    pub fn name(&self) -> String {
        if self.is_team {
            return if self.family_name.is_empty() { self.members.join(", ") } else { self.family_name.clone() };
        }
        let mut name = person(&self.family_name, self.given_name.as_deref());
        if let Some(partner) = &self.partner {
            let _ = write!(name, " / {partner}");
        }
        name
    }
}

fn person(family: &str, given: Option<&str>) -> String {
    given.map_or_else(|| family.to_owned(), |given| format!("{family} {given}"))
}

/// Reads an export.
///
/// # Errors
/// `INVALID_DATA`, naming the place; `TOO_LARGE` for a file beyond the bounds.
pub fn read(bytes: &[u8]) -> Result<Export, Refusal> {
    let mut reading = Reading::default();
    records::walk(bytes, &mut |record| reading.take(record))?;
    Ok(Export { results: times::settle(reading.results), ..reading.export })
}

/// What has been read so far, and the ids that are taken.
#[derive(Default)]
struct Reading {
    export: Export,
    results: Vec<(ResultPart, Times)>,
    classes: HashSet<String>,
    participants: HashSet<(String, String)>,
    races: HashSet<RaceId>,
    entries: HashSet<(RaceId, String)>,
    courses: HashSet<i64>,
}

impl Reading {
    fn take(&mut self, record: &Record) -> Result<(), Refusal> {
        let export = &mut self.export;
        match record.kind {
            Kind::Event => {
                let event = event(record)?;
                export.event.get_or_insert(event);
            }
            Kind::Class => {
                let class = class(record)?;
                once(record, "ClassId", self.classes.insert(class.id.clone()))?;
                export.classes.push(class);
            }
            Kind::Category => {} // it comes with its class
            Kind::Participant => {
                let participant = participant(record)?;
                let key = (participant.class_id.clone(), participant.id.clone());
                once(record, "Id", self.participants.insert(key))?;
                export.participants.push(participant);
            }
            Kind::Race => {
                let race = race(record)?;
                once(record, "RaceId", self.races.insert(race.id.clone()))?;
                export.races.push(race);
            }
            Kind::Result => {
                let (result, times) = result(record)?;
                let key = (result.race_id.clone(), result.participant_id.clone());
                once(record, "Id", self.entries.insert(key))?;
                self.results.push((result, times));
            }
            Kind::Course => {
                let course = course(record)?;
                once(record, "CourseNr", self.courses.insert(course.nr))?;
                export.courses.push(course);
            }
        }
        Ok(())
    }
}

fn event(record: &Record) -> Result<EventPart, Refusal> {
    Ok(EventPart {
        event_id: text(record, "EventId"),
        main_title: required(record, "MainTitle")?,
        sub_title: text(record, "SubTitle"),
        location: text(record, "Location"),
        country: text(record, "Country"),
        facility: text(record, "Facility"),
        start_date: text(record, "StartDate"),
        end_date: text(record, "EndDate"),
        discipline: text(record, "CanoeDiscipline"),
    })
}

fn class(record: &Record) -> Result<ClassPart, Refusal> {
    let mut categories: Vec<CategoryPart> = Vec::new();
    for inner in &record.categories {
        let category = CategoryPart {
            id: required_id(inner, "CatId")?,
            name: required(inner, "Category")?,
            first_year: number(inner, "FirstYear")?,
            last_year: number(inner, "LastYear")?,
        };
        once(inner, "CatId", categories.iter().all(|before| before.id != category.id))?;
        categories.push(category);
    }
    Ok(ClassPart {
        id: required_id(record, "ClassId")?,
        name: required(record, "Class")?,
        long_title: text(record, "LongTitle"),
        categories,
    })
}

fn participant(record: &Record) -> Result<ParticipantPart, Refusal> {
    let is_team = flag(record, "IsTeam")?;
    let members: Vec<String> =
        ["Member1", "Member2", "Member3"].into_iter().filter_map(|field| text(record, field)).collect();
    let family_name = match text(record, "FamilyName") {
        None if is_team && !members.is_empty() => String::new(),
        None => return Err(missing(record, "FamilyName")),
        Some(name) => name,
    };
    let partner = text(record, "FamilyName2").map(|family| person(&family, text(record, "GivenName2").as_deref()));
    Ok(ParticipantPart {
        id: required_id(record, "Id")?,
        class_id: required_id(record, "ClassId")?,
        bib: number(record, "EventBib")?,
        family_name,
        given_name: text(record, "GivenName"),
        partner,
        noc: text(record, "NOC"),
        club: text(record, "Club"),
        category_id: id(record, "CatId")?,
        is_team,
        members,
        icf_id: text(record, "ICFId"),
    })
}

fn race(record: &Record) -> Result<RacePart, Refusal> {
    let id_of_race = race_id(record)?;
    let dis_id = text(record, "DisId");
    let status = known(number(record, "RaceStatus")?);
    if status.is_some_and(|status| status > RACE_STATUS_MAX) {
        return Err(record.wrong("RaceStatus", format!("is not a state from 1 to {RACE_STATUS_MAX}")));
    }
    Ok(RacePart {
        kind: RaceKind::of_race(dis_id.as_deref(), &id_of_race),
        id: id_of_race,
        order: number(record, "RaceOrder")?,
        start_time: text(record, "StartTime"),
        class_id: id(record, "ClassId")?,
        dis_id,
        status,
        start_interval: text(record, "StartInterval"),
        course_nr: number(record, "CourseNr")?,
    })
}

fn result(record: &Record) -> Result<(ResultPart, Times), Refusal> {
    let result = ResultPart {
        race_id: race_id(record)?,
        participant_id: required_id(record, "Id")?,
        start_order: number(record, "StartOrder")?,
        bib: number(record, "Bib")?,
        start_time: text(record, "StartTime"),
        status: irm(record)?,
        time_ms: None,
        pen_ms: None,
        total_ms: None,
        gates: gates(record)?,
        heat: known(number(record, "HeatNr")?),
        better_run: known(number(record, "BetterRunNr")?),
        total_total_ms: None,
    };
    let times = Times {
        time: amount(record, "Time")?,
        pen: amount(record, "Pen")?,
        total: amount(record, "Total")?,
        total_total: amount(record, "TotalTotal")?,
    };
    Ok((result, times))
}

fn course(record: &Record) -> Result<CoursePart, Refusal> {
    let nr = number(record, "CourseNr")?.ok_or_else(|| missing(record, "CourseNr"))?;
    let config = text(record, "CourseConfig").unwrap_or_default();
    if !config.chars().all(|gate| matches!(gate, 'N' | 'R' | 'S')) {
        return Err(record.wrong("CourseConfig", "holds something else than N, R and S"));
    }
    Ok(CoursePart { nr, config })
}

fn missing(record: &Record, field: &str) -> Refusal {
    record.wrong(field, "is missing")
}

fn once(record: &Record, field: &str, is_new: bool) -> Result<(), Refusal> {
    if is_new { Ok(()) } else { Err(record.wrong(field, format!("{} is there twice", said(record, field)))) }
}

/// What an element says, for a message.
fn said(record: &Record, field: &str) -> String {
    format!("{:?}", short(record.text(field).unwrap_or_default(), 40))
}

/// The beginning of a text that somebody else wrote.
fn short(text: &str, chars_max: usize) -> String {
    let mut short: String = text.chars().take(chars_max).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// A text on one line.
fn text(record: &Record, field: &str) -> Option<String> {
    record.text(field).map(|text| text.replace(['\n', '\r', '\t'], " "))
}

fn required(record: &Record, field: &str) -> Result<String, Refusal> {
    text(record, field).ok_or_else(|| missing(record, field))
}

fn id(record: &Record, field: &str) -> Result<Option<String>, Refusal> {
    // All ids are alike; the type of a race's is as good as any to check one.
    let check = |text: &str| text.parse::<RaceId>().map(|id| id.as_str().to_owned());
    record.text(field).map(check).transpose().map_err(|wrong| not_an_id(record, field, &wrong))
}

fn required_id(record: &Record, field: &str) -> Result<String, Refusal> {
    id(record, field)?.ok_or_else(|| missing(record, field))
}

fn race_id(record: &Record) -> Result<RaceId, Refusal> {
    let text = record.text("RaceId").ok_or_else(|| missing(record, "RaceId"))?;
    text.parse().map_err(|wrong| not_an_id(record, "RaceId", &wrong))
}

fn not_an_id(record: &Record, field: &str, wrong: &crate::ids::NotAnId) -> Refusal {
    record.wrong(field, format!("{} is not an id: {wrong}", said(record, field)))
}

fn number(record: &Record, field: &str) -> Result<Option<i64>, Refusal> {
    let wrong = || record.wrong(field, format!("{} is not a whole number from 0 to {NUMBER_MAX}", said(record, field)));
    record.text(field).map(|text| times::whole(text).ok_or_else(wrong)).transpose()
}

/// A number of which 0 stands for none.
fn known(number: Option<i64>) -> Option<i64> {
    number.filter(|number| *number != 0)
}

fn amount(record: &Record, field: &str) -> Result<Option<Amount>, Refusal> {
    let wrong = || {
        let said = said(record, field);
        record.wrong(field, format!("{said} is neither a whole number from 0 to {NUMBER_MAX} nor seconds as 91.27"))
    };
    record.text(field).map(|text| Amount::read(text).ok_or_else(wrong)).transpose()
}

fn flag(record: &Record, field: &str) -> Result<bool, Refusal> {
    match record.text(field).map(str::to_ascii_lowercase).as_deref() {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(record.wrong(field, format!("{} is neither true nor false", said(record, field)))),
    }
}

fn irm(record: &Record) -> Result<Option<Irm>, Refusal> {
    let Some(text) = record.text("Status") else { return Ok(None) };
    // To take an unknown mark for none would give a rank to who has none.
    let wrong = || record.wrong("Status", format!("{} is none of DNS, DNF, DSQ, CAP", said(record, "Status")));
    Irm::of(text).map(Some).ok_or_else(wrong)
}

fn gates(record: &Record) -> Result<Option<Vec<Option<i64>>>, Refusal> {
    let line = record.raw("Gates").unwrap_or_default().trim_end();
    if line.is_empty() {
        return Ok(None);
    }
    let gates =
        table(line).or_else(|| line.split_whitespace().map(|gate| penalty(gate.as_bytes()).map(Some)).collect());
    match gates {
        None => Err(record.wrong("Gates", "is not a list of penalty seconds")),
        Some(gates) if gates.len() > GATES_MAX => Err(Refusal::TooLarge { what: "gates in a result", max: GATES_MAX }),
        gates => Ok(gates),
    }
}

/// The gates of a line as the program writes it, three characters each and blank where nobody has judged: `  0  2    50`.
/// None when the line is not of that form. Blanks that were trimmed from the first of its gates are put back.
fn table(line: &str) -> Option<Vec<Option<i64>>> {
    let mut cells = vec![b' '; line.len().next_multiple_of(GATE_CHARS) - line.len()];
    cells.extend_from_slice(line.as_bytes());
    let gate = |cell: &[u8]| {
        let digits = cell.iter().position(|byte| *byte != b' ').map(|blanks| &cell[blanks..]);
        digits.map_or(Some(None), |digits| penalty(digits).map(Some))
    };
    cells.chunks(GATE_CHARS).map(gate).collect()
}

/// Penalty seconds of one gate, at most three digits.
fn penalty(digits: &[u8]) -> Option<i64> {
    let leading_zero = digits.len() > 1 && digits.first() == Some(&b'0');
    if digits.len() > GATE_CHARS || leading_zero {
        return None;
    }
    std::str::from_utf8(digits).ok().and_then(times::whole)
}
