//! Who may be shown what. The `Admits` lines are the masking table: a pair that is not listed does not compile.
//!
//! ```compile_fail
//! use scorecast::events::audience::{Delivery, Panel};
//! use scorecast::events::view::FullScore;
//! fn leak(fact: &scorecast::events::event::ScoreUpdated) -> Delivery {
//!     Delivery::of(&Panel(&fact.category_id), FullScore::of(fact)) // a judge must never see a foreign mark
//! }
//! ```

use super::room::{Lane, Room};
use super::view::{
    Announcement, AnyView, AssignmentNew, AssignmentRemoved, DeductionPending, DeductionUpdated, FlagUpdated,
    FrozenResults, FullCertification, FullDeletion, FullReinstatement, FullScore, FullWithdrawal, JudgePresence,
    LockedContest, MaskedScore, Notice, NoticesRead, NoticesRemoved, OwnScore, PlainCertification, PlainDeletion,
    PlainReinstatement, PlainWithdrawal, PublishedResults, ReleasedScore, RemovalPending, RemovalUpdated, ResolvedTie,
    RevealedResults, TallyUpdated, ThawedResults, Tick, UncertificationUpdated, UnlockedContest, View,
};
use crate::auth::role::{Hat, Role};
use crate::ids::{CategoryId, UserId};
use std::collections::BTreeSet;

/// A set of readers.
pub trait Audience {
    /// The rooms whose members are meant.
    fn rooms(&self) -> Vec<Room>;
    /// The rooms whose members are not meant, even if they are in one of the others.
    fn except(&self) -> Vec<Room> {
        Vec::new()
    }
}

/// This audience may be shown this view.
pub trait Admits<V: View>: Audience {}

/// The judge whose mark it is.
#[derive(Debug)]
pub struct Author<'a>(pub &'a UserId);
/// Everyone who judges the category, or once did.
#[derive(Debug)]
pub struct Panel<'a>(pub &'a CategoryId);
/// Those who read every mark of the category: admins, organizers, its tally masters, auditors and board, unless they
/// judge it or once did.
#[derive(Debug)]
pub struct Office<'a>(pub &'a CategoryId);
/// Those who preside over the category's judges.
#[derive(Debug)]
pub struct HeadJudges<'a>(pub &'a CategoryId);
/// One user.
#[derive(Debug)]
pub struct Person<'a>(pub &'a UserId);
/// Every member of a lane.
#[derive(Debug)]
pub struct Members<'a>(pub &'a Lane);

impl Audience for Author<'_> {
    fn rooms(&self) -> Vec<Room> {
        vec![Room::User(self.0.clone())]
    }
}

impl Audience for Panel<'_> {
    fn rooms(&self) -> Vec<Room> {
        vec![Room::CategoryHat(self.0.clone(), Hat::Judge), Room::CategoryFormerJudge(self.0.clone())]
    }
}

impl Audience for Office<'_> {
    fn rooms(&self) -> Vec<Room> {
        let hat = |hat| Room::CategoryHat(self.0.clone(), hat);
        vec![
            Room::Role(Role::Admin),
            Room::Role(Role::Organizer),
            hat(Hat::TallyMaster),
            hat(Hat::Auditor),
            hat(Hat::Board),
        ]
    }
    fn except(&self) -> Vec<Room> {
        Panel(self.0).rooms()
    }
}

impl Audience for HeadJudges<'_> {
    fn rooms(&self) -> Vec<Room> {
        vec![Room::CategoryHat(self.0.clone(), Hat::HeadJudge)]
    }
}

impl Audience for Person<'_> {
    fn rooms(&self) -> Vec<Room> {
        vec![Room::User(self.0.clone())]
    }
}

impl Audience for Members<'_> {
    fn rooms(&self) -> Vec<Room> {
        self.0.rooms()
    }
}

// The masking table.
impl Admits<OwnScore> for Author<'_> {}
impl Admits<MaskedScore> for Panel<'_> {}
impl Admits<Tick> for Panel<'_> {}
impl Admits<FullScore> for Office<'_> {}
impl Admits<TallyUpdated> for Office<'_> {}
impl Admits<JudgePresence> for Office<'_> {}
impl Admits<FullCertification> for Office<'_> {}
impl Admits<PlainCertification> for Panel<'_> {}
impl Admits<PlainCertification> for Members<'_> {}
impl Admits<PlainDeletion> for Author<'_> {}
impl Admits<PlainDeletion> for Panel<'_> {}
impl Admits<FullDeletion> for Office<'_> {}
// A deduction depends on no mark: who asked for it and who presides may follow it. A removal names marks.
impl Admits<DeductionPending> for Person<'_> {}
impl Admits<DeductionPending> for HeadJudges<'_> {}
impl Admits<DeductionPending> for Office<'_> {}
impl Admits<DeductionUpdated> for Person<'_> {}
impl Admits<DeductionUpdated> for HeadJudges<'_> {}
impl Admits<DeductionUpdated> for Office<'_> {}
impl Admits<RemovalPending> for Office<'_> {}
impl Admits<RemovalUpdated> for Office<'_> {}
impl Admits<UncertificationUpdated> for Person<'_> {}
impl Admits<UncertificationUpdated> for Office<'_> {}
impl Admits<FlagUpdated> for Person<'_> {}
impl Admits<FlagUpdated> for Office<'_> {}
impl Admits<ResolvedTie> for Office<'_> {}
// Who starts is known in the hall; why somebody does not may be a matter of health.
impl Admits<FullWithdrawal> for Office<'_> {}
impl Admits<PlainWithdrawal> for Panel<'_> {}
impl Admits<PlainWithdrawal> for Members<'_> {}
impl Admits<FullReinstatement> for Office<'_> {}
impl Admits<PlainReinstatement> for Panel<'_> {}
impl Admits<PlainReinstatement> for Members<'_> {}
impl Admits<LockedContest> for Members<'_> {}
impl Admits<UnlockedContest> for Members<'_> {}
impl Admits<Notice> for Person<'_> {}
impl Admits<NoticesRead> for Person<'_> {}
impl Admits<NoticesRemoved> for Person<'_> {}
impl Admits<Announcement> for Members<'_> {}
impl Admits<PublishedResults> for Members<'_> {}
impl Admits<FrozenResults> for Members<'_> {}
impl Admits<ThawedResults> for Members<'_> {}
impl Admits<RevealedResults> for Members<'_> {}
// Marks that were published as official are no secret any more; their comments still are.
impl Admits<ReleasedScore> for Panel<'_> {}
impl Admits<ReleasedScore> for Members<'_> {}
impl Admits<ReleasedScore> for Person<'_> {}
impl Admits<AssignmentNew> for Person<'_> {}
impl Admits<AssignmentRemoved> for Person<'_> {}
impl Admits<Tick> for Members<'_> {}

/// A view and the rooms it goes to.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The rooms whose members are meant.
    pub rooms: Vec<Room>,
    /// The rooms whose members are not.
    pub except: Vec<Room>,
    /// The name of the event.
    pub event: &'static str,
    /// What is shown.
    pub view: AnyView,
}

impl Delivery {
    /// Shows `view` to `audience`; compiles only for pairs of the masking table.
    #[must_use]
    pub fn of<V: View, A: Admits<V>>(audience: &A, view: V) -> Self {
        Self { rooms: audience.rooms(), except: audience.except(), event: V::EVENT, view: view.into() }
    }

    /// Whether it only tells that something happened.
    #[must_use]
    pub fn is_tick(&self) -> bool {
        matches!(self.view, AnyView::Tick(_))
    }

    /// Whether it is meant for somebody in these rooms.
    #[must_use]
    pub fn reaches(&self, rooms: &BTreeSet<Room>) -> bool {
        self.rooms.iter().any(|room| rooms.contains(room)) && !self.except.iter().any(|room| rooms.contains(room))
    }
}

/// The one variant of a fact that a viewer in `rooms` is shown, or none when they are no member of its lane.
///
/// An author who has lost every hat on the category is in their own room still, but no member of the lane any more.
#[must_use]
pub fn variant_for<'a>(deliveries: &'a [Delivery], lane: &Lane, rooms: &BTreeSet<Room>) -> Option<&'a Delivery> {
    let member = lane.rooms().iter().any(|room| rooms.contains(room));
    deliveries.iter().find(|delivery| member && delivery.reaches(rooms))
}
