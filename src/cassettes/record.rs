//! What a recording of the log holds: each fact of the range, in the variant of its audience.

use super::file::{BEGIN, FORMAT, Frame, Tape};
use super::{Ears, Source, setup};
use crate::clock::Micros;
use crate::db::entity::cassette::Audience;
use crate::db::entity::log_entry;
use crate::error::{AppError, Refusal};
use crate::events::dispatcher::variant_of;
use crate::events::event::Event;
use crate::events::live::{self, Sent};
use crate::events::log::{LogEntry, read_entries};
use crate::events::public::{self, Include};
use crate::events::room::Lane;
use crate::state::State;
use sea_orm::{ColumnTrait, Condition, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Facts read at a time.
const PAGE: u64 = 500;

/// Where a source ends: of a lane in its own numbers, of an event in those of the whole log.
#[must_use]
pub fn head(state: &State, source: &Source) -> i64 {
    match source {
        Source::Lane(lane) => state.lane_seq(lane),
        Source::Event(_) => state.head.seq,
    }
}

/// The lanes of a source, for its audience.
fn lanes(state: &State, source: &Source, audience: Audience) -> Vec<Lane> {
    match (source, audience) {
        (Source::Lane(lane), _) => vec![lane.clone()],
        (Source::Event(event), Audience::Public) => vec![Lane::Public(event.clone())],
        (Source::Event(event), Audience::Office | Audience::Own) => {
            let categories = state.categories_of(event).map(|category| Lane::Category(category.row.id.clone()));
            std::iter::once(Lane::Event(event.clone())).chain(categories).collect()
        }
    }
}

/// The races of an event as they are now, so that what was heard of them can be played: the log has no names.
fn structure(tape: &mut Tape, state: &State, source: &Source, audience: Audience) -> Result<(), Refusal> {
    let (Source::Event(event), Audience::Public) = (source, audience) else { return Ok(()) };
    let Some(data) = public::full(state, event, Include::default(), Vec::new()) else { return Ok(()) };
    let data = crate::command::to_value(data)?;
    tape.push(&Frame { ts: 0, src: &Lane::Public(event.clone()).to_string(), kind: "full", data, seq: None })
}

async fn page(
    db: &DatabaseConnection,
    lanes: &[Lane],
    source: &Source,
    (after, until): (i64, i64),
) -> Result<Vec<LogEntry>, AppError> {
    let named: Vec<String> = lanes.iter().map(Lane::to_string).collect();
    let column = match source {
        Source::Lane(_) => log_entry::Column::LaneSeq,
        Source::Event(_) => log_entry::Column::Seq,
    };
    let range = Condition::all().add(column.gt(after)).add(column.lte(until));
    let rows = log_entry::Entity::find()
        .filter(log_entry::Column::Lane.is_in(named))
        .filter(range)
        .order_by_asc(log_entry::Column::Seq)
        .limit(PAGE)
        .all(db)
        .await?;
    Ok(read_entries(db, rows).await?)
}

/// The first lines of a recording: what it is, and for an office the set-up it was made in.
///
/// # Errors
/// `TOO_LARGE`.
pub fn begin(tape: &mut Tape, source: &Source, audience: Audience, state: &State, at: Micros) -> Result<(), Refusal> {
    let data = json!({
        "format": FORMAT, "source": source.to_string(), "audience": audience, "epoch": state.head.epoch, "at": at,
    });
    tape.push(&Frame { ts: 0, src: "cassette", kind: BEGIN, data, seq: None })?;
    if audience == Audience::Office
        && let Some(data) = setup::document(state, source)?
    {
        tape.push(&Frame { ts: 0, src: "cassette", kind: setup::SETUP, data, seq: None })?;
    }
    Ok(())
}

/// Records a range of the log as an audience is shown it now, as much of it as a tape holds; where the last fact stands
/// that is in it.
///
/// # Errors
/// When the log cannot be read.
pub async fn range(
    db: &DatabaseConnection,
    state: &State,
    source: &Source,
    audience: Audience,
    ears: &Ears,
    (mut after, until): (i64, i64),
    bytes_max: usize,
) -> Result<(Tape, i64), AppError> {
    let lanes = lanes(state, source, audience);
    let mut tape = Tape::holding(bytes_max);
    let mut held = after;
    let mut began = None;
    loop {
        let entries = page(db, &lanes, source, (after, until)).await?;
        let Some(last) = entries.last() else { break };
        let place = |entry: &LogEntry| match source {
            Source::Lane(_) => entry.lane_seq,
            Source::Event(_) => entry.seq,
        };
        after = place(last);
        for entry in &entries {
            if began.is_none() {
                begin(&mut tape, source, audience, state, entry.at)?;
                structure(&mut tape, state, source, audience)?;
            }
            let start = *began.get_or_insert(entry.at);
            let pushed = fact(&mut tape, state, audience, ears, entry, (entry.at.0 - start.0) / 1_000);
            if tape.is_full() {
                return Ok((tape, held));
            }
            pushed?;
            held = place(entry);
        }
    }
    if began.is_none() {
        begin(&mut tape, source, audience, state, Micros(0))?;
    }
    Ok((tape, until))
}

fn fact(
    tape: &mut Tape,
    state: &State,
    audience: Audience,
    ears: &Ears,
    entry: &LogEntry,
    ts: i64,
) -> Result<(), AppError> {
    let src = entry.lane.to_string();
    if audience == Audience::Public {
        if let Event::PublicChanged(changed) = &entry.event
            && changed.whole
        {
            let mut data = crate::command::to_value(public::told_later(state, changed))?;
            if !changed.left_out.is_empty() {
                data["leftOut"] = json!(changed.left_out);
            }
            return Ok(tape.push(&Frame { ts, src: &src, kind: "diff", data, seq: Some(entry.lane_seq) })?);
        }
        let frame = live::feed(state, entry).unwrap_or_else(|| live::refresh(entry.lane_seq, &state.head.epoch));
        return Ok(live_frame(tape, &src, ts, &frame)?);
    }
    let deliveries = entry.event.deliveries();
    // One that is not a member's any more was a tick to them at most.
    let Some(delivery) = variant_of(&deliveries, &entry.lane, &ears.rooms) else { return Ok(()) };
    let data = if delivery.is_tick() { Value::Null } else { crate::command::to_value(&delivery.view)? };
    Ok(tape.push(&Frame { ts, src: &src, kind: delivery.event, data, seq: Some(entry.lane_seq) })?)
}

/// A frame of the live plane, as it was sent.
///
/// # Errors
/// `TOO_LARGE`.
pub fn live_frame(tape: &mut Tape, src: &str, ts: i64, sent: &Sent) -> Result<(), Refusal> {
    let Sent::Frame { frame, seq, .. } = sent else { return Ok(()) };
    let said: Value = serde_json::from_str(frame.as_str()).map_err(|_our_own| Refusal::Internal)?;
    let kind = said["type"].as_str().unwrap_or("diff");
    let data: Box<RawValue> =
        serde_json::value::to_raw_value(&said["data"]).map_err(|_plain_data| Refusal::Internal)?;
    tape.push(&Frame { ts, src, kind, data, seq: *seq })
}
