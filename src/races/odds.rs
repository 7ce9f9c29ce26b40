//! What bets on a race pay, from a bookmaker's feed.

use super::{Post, Skipped, timed};
use crate::command::{Decide, Draft};
use crate::error::Refusal;
use crate::events::event::{Event, OddsChanged, OddsLine};
use crate::ids::EventId;
use crate::ranking::Mark;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Most horses of a race.
const HORSES_MAX: usize = 200;
/// Largest odds, in thousandths.
const ODDS_MAX: i64 = 1_000_000_000;

/// The odds of a race.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OddsPost {
    /// The race, by its number or its id.
    #[schema(value_type = i64)]
    pub race_id: Value,
    /// What each horse pays.
    #[schema(value_type = Vec<OddsItem>)]
    pub odds: Vec<Value>,
}

/// What a horse pays.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OddsItem {
    /// The horse.
    pub horse_id: i64,
    /// Decimal odds, 1 to 1,000,000, at most three decimals.
    #[schema(value_type = f64)]
    pub odds: Mark,
}

/// Takes odds.
#[derive(Clone, Debug)]
pub struct IngestOdds {
    /// The event they are of.
    pub event: EventId,
    /// The odds.
    pub post: OddsPost,
}

impl IngestOdds {
    fn take(item: &Value, horses: &BTreeSet<i64>) -> Result<OddsLine, String> {
        let item: OddsItem = crate::command::parse(item.clone()).map_err(|wrong| wrong.to_string())?;
        if !horses.contains(&item.horse_id) {
            return Err(format!("horse {} does not start", item.horse_id));
        }
        if !(1_000..=ODDS_MAX).contains(&item.odds.thousandths()) {
            return Err("odds are 1 to 1000000".to_owned());
        }
        Ok(OddsLine { horse_id: item.horse_id, odds: item.odds })
    }
}

impl Decide for IngestOdds {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let event = timed(draft, &self.event)?;
        Post::Odds.must_be_taken(Some(event), &self.event)?;
        if self.post.odds.len() > HORSES_MAX {
            return Err(Refusal::TooLarge { what: "odds in a post", max: HORSES_MAX });
        }
        let state = &draft.state;
        let race = match &self.post.race_id {
            Value::Number(number) => {
                let race = number.as_i64().and_then(|number| state.races.get(state.race_numbers.get(&number)?));
                race.filter(|race| race.event_id == self.event)
            }
            Value::String(id) => state.race_in(&self.event, id),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return Err(Refusal::invalid("race_id", "is a number or an id"));
            }
        };
        let race = race.ok_or_else(|| Refusal::not_found("race", &self.post.race_id))?.id.clone();
        let horses: BTreeSet<i64> = state.starters_of(&race).map(|starter| starter.horse_id()).collect();
        let (mut odds, mut skipped) = (Vec::new(), Vec::new());
        for (index, item) in self.post.odds.iter().enumerate() {
            match Self::take(item, &horses) {
                Ok(line) => odds.push(line),
                Err(reason) => skipped.push(Skipped::new(format!("odds[{index}]"), reason)),
            }
        }
        let accepted = odds.len();
        let changed = || Event::OddsChanged(OddsChanged { event_id: self.event.clone(), race_id: race, odds });
        let receipt = (accepted > 0).then(|| draft.append(changed()));
        Ok(json!({ "accepted": accepted, "skipped": skipped, "receipt": receipt }))
    }
}
