//! Ties the tally master decides by hand, where the rules of the category leave it to them.
//!
//! Invariant: an order names exactly those who share a rank when its turn among the tie breakers comes, and nobody is
//! named by two orders; the orders are part of the tally hash, so they are made before anybody signs.

use super::{REASON_CHARS_MAX, category_of, progress_of, words};
use crate::auth::role::Hat;
use crate::command::{Decide, Draft};
use crate::db::entity::certification::Stage;
use crate::db::entity::tie_break;
use crate::error::Refusal;
use crate::events::event::{Event, TieResolved};
use crate::events::view::TieFields;
use crate::ids::{CategoryId, ContestantId};
use crate::ranking::{Rules, TieBreak, rank};
use crate::state::{Category, State};
use crate::tally::record::Basis;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Puts those who share a rank in order.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResolveTie {
    /// The category.
    pub category_id: CategoryId,
    /// All who share the rank, best first.
    pub order: Vec<ContestantId>,
    /// Why so.
    pub reason: String,
}

/// The contestants of an order, each named once and entered.
fn named(category: &Category, order: &[ContestantId]) -> Result<BTreeSet<ContestantId>, Refusal> {
    let mut named = BTreeSet::new();
    for contestant in order {
        if !category.entries.contains_key(contestant) {
            return Err(Refusal::not_found("contestant", contestant));
        }
        if !named.insert(contestant.clone()) {
            return Err(Refusal::invalid("order", format!("contestant {contestant} is there twice")));
        }
    }
    if named.len() < 2 {
        return Err(Refusal::invalid("order", "names at least two contestants"));
    }
    Ok(named)
}

/// Whether exactly these share one rank once the breakers before `manual` have been tried.
fn must_share_a_rank(state: &State, category: &Category, tied: &BTreeSet<ContestantId>) -> Result<(), Refusal> {
    let breakers = &category.rules.tie_breaks;
    let turn = breakers.iter().position(|breaker| *breaker == TieBreak::Manual).ok_or_else(|| {
        Refusal::State("the rules of the category do not list the tie breaker manual; ties share their rank".into())
    })?;
    // Without `manual` and what comes after it: no earlier order has a say in who is tied.
    let rules = Rules { tie_breaks: breakers[..turn].to_vec(), ..category.rules.clone() };
    let input = Basis::of(state, category, state.board(&category.row.id)?).input();
    let rows = rank(&rules, &input).ranking;
    let is_named = |id: &str| tied.iter().any(|contestant| contestant.as_str() == id);
    let ranks: BTreeSet<Option<u32>> =
        rows.iter().filter(|row| is_named(&row.contestant_id)).map(|row| row.rank).collect();
    let shared = ranks.first().copied().flatten().filter(|_| ranks.len() == 1);
    let Some(shared) = shared else {
        return Err(Refusal::State("they do not share a rank; only a tie can be put in order".into()));
    };
    let group: Vec<&str> = rows.iter().filter(|row| row.rank == Some(shared)).map(|row| &*row.contestant_id).collect();
    // Whoever has withdrawn has no row, so the numbers tell.
    if group.len() == tied.len() {
        Ok(())
    } else {
        Err(Refusal::State(format!("rank {shared} is shared by {}; put exactly these in order", group.join(", "))))
    }
}

impl Decide for ResolveTie {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let category = category_of(&draft.state, &self.category_id)?;
        let user = draft.actor.user()?.clone();
        draft.state.must_be_officer(&user, &category, Hat::TallyMaster)?;
        let reason = words("reason", &self.reason, REASON_CHARS_MAX)?;
        let tied = named(&category, &self.order)?;
        let board = draft.state.board(&self.category_id)?;
        let stage = progress_of(board, &self.category_id).stage;
        if stage > Stage::Judged {
            return Err(Refusal::State(format!("the category is {stage:?}; ties are resolved before anybody signs")));
        }
        must_share_a_rank(&draft.state, &category, &tied)?;
        // A later word on one of them takes the place of the earlier.
        let earlier: Vec<_> = board
            .tie_orders()
            .filter(|(_, order)| order.iter().any(|contestant| tied.contains(contestant)))
            .map(|(row, _)| row.as_ref().clone())
            .collect();
        for row in earlier {
            draft.remove(row);
        }
        let id: uuid::Uuid = draft.new_id();
        draft.put(tie_break::Model {
            category_id: self.category_id.clone(),
            id: id.to_string(),
            contestants: serde_json::to_string(&self.order).map_err(|_plain_data| Refusal::Internal)?,
            reason: reason.clone(),
            resolved_by: user.clone(),
            at: draft.now,
        });
        let fact = TieResolved {
            category_id: self.category_id.clone(),
            order: self.order.clone(),
            reason: draft.text(&reason),
            by: user,
            at: draft.now,
        };
        let view = TieFields::of(&fact);
        draft.append(Event::TieResolved(fact));
        Ok(json!({ "tie": view }))
    }
}
