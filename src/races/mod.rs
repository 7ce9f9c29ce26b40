//! Races: what timing computers report, and what it comes to.
//!
//! Invariants: places are computed here, whatever a file or a feed says of them; what is passed over is named in the
//! answer; every line of a result that is another afterwards is in the fact that changed it.

pub mod canoe;
pub mod import;
pub mod indoor;
pub mod lists;
pub mod odds;
pub mod oncourse;
pub mod reports;
pub mod standing;
pub mod status;

use crate::command::Draft;
use crate::db::entity::event;
use crate::db::entity::event::EventStatus;
use crate::error::Refusal;
use crate::ids::EventId;
use serde::Serialize;
use std::sync::Arc;

/// What timing software posts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Post {
    /// The export of the timing computer.
    Xml,
    /// Results.
    Results,
    /// Who is on the course.
    Oncourse,
    /// Odds.
    Odds,
}

impl Post {
    /// The word in metrics and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Xml => "xml",
            Self::Results => "results",
            Self::Oncourse => "oncourse",
            Self::Odds => "odds",
        }
    }

    /// Whether it is taken while an event stands there (contract, 5.2).
    fn is_taken(self, status: EventStatus) -> bool {
        match status {
            EventStatus::Draft => self == Self::Xml,
            EventStatus::Startlist => matches!(self, Self::Xml | Self::Odds),
            EventStatus::Running => true,
            EventStatus::Finished => matches!(self, Self::Xml | Self::Results),
            EventStatus::Official => false,
        }
    }

    /// Passes what may be posted to an event now.
    ///
    /// # Errors
    /// `NOT_FOUND`; `FORBIDDEN` where the event is not at a point where this is taken.
    pub fn must_be_taken(self, event: Option<&Arc<event::Model>>, id: &EventId) -> Result<(), Refusal> {
        let event = event.ok_or_else(|| Refusal::not_found("event", id))?;
        if self.is_taken(event.status) {
            return Ok(());
        }
        Err(Refusal::NotNow { what: self.as_str(), status: event.status.as_str() })
    }
}

/// Something that was passed over, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Which, by its place in what was posted.
    #[serde(rename = "ref")]
    pub place: String,
    /// Why.
    pub reason: String,
}

impl Skipped {
    fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into() }
    }
}

/// The event of timing software, if it may time it.
fn timed<'a>(draft: &'a Draft, event: &EventId) -> Result<&'a Arc<event::Model>, Refusal> {
    draft.actor.must_time(&draft.state, event)?;
    draft.state.events.get(event).ok_or_else(|| Refusal::not_found("event", event))
}
