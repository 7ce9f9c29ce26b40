//! The marks of one category.

use crate::db::entity::mark;
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

/// The marks of one category.
#[derive(Clone, Debug, Default)]
pub struct Board {
    marks: OrdMap<Place, Arc<mark::Model>>,
    places: HashMap<MarkId, Place>,
}

impl Board {
    /// The board with these marks.
    #[must_use]
    pub fn of(rows: Vec<mark::Model>) -> Self {
        let mut board = Self::default();
        for row in rows {
            board.put(Arc::new(row));
        }
        board
    }

    /// Sets a mark in its place.
    pub fn put(&mut self, mark: Arc<mark::Model>) {
        let place = Place {
            contestant: mark.contestant_id.clone(),
            judge: mark.judge_id.clone(),
            criterion: mark.criterion_id.clone(),
        };
        self.places.insert(mark.id.clone(), place.clone());
        self.marks.insert(place, mark);
    }

    /// The mark in a place.
    #[must_use]
    pub fn at(&self, place: &Place) -> Option<&Arc<mark::Model>> {
        self.marks.get(place)
    }

    /// The place of a mark.
    #[must_use]
    pub fn place_of(&self, id: &MarkId) -> Option<&Place> {
        self.places.get(id)
    }

    /// All marks, by contestant, judge and criterion.
    pub fn marks(&self) -> impl Iterator<Item = &Arc<mark::Model>> {
        self.marks.values()
    }
}
