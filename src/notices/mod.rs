//! Notices: kept for each user until they remove them, sent as they are made; announcements, which are told and not kept.
//!
//! Invariant: a notice is a row before it is a fact, in the same decision as what it is about.

use crate::auth::role::{Hat, Role};
use crate::command::{Decide, Draft};
use crate::db::entity::certification::Stage;
use crate::db::entity::notification::{self, NoticeLevel};
use crate::error::Refusal;
use crate::events::event::{Announced, AnnouncedTo, CertificationUpdated, Event, NoticesChanged, Notified};
use crate::events::room::Lane;
use crate::events::view::Notice;
use crate::ids::{CategoryId, UserId};
use crate::state::State;
use crate::state::rights::Seat;
use serde::Deserialize;
use serde_json::{Value, json};

/// Notices kept for a user; the oldest goes when another comes.
pub const KEPT_MAX: usize = 500;
/// Longest announcement, in characters.
const MESSAGE_CHARS_MAX: usize = 2_000;
/// Most notices of a page.
const PAGE_MAX: usize = 200;

/// Marks a notice as read, or all of them.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadNotice {
    /// Which; all where none is named.
    #[serde(default)]
    pub id: Option<String>,
    /// All of them.
    #[serde(default)]
    pub all: bool,
}

/// Removes a notice.
#[derive(Clone, Debug)]
pub struct DeleteNotice {
    /// Which.
    pub id: String,
}

/// Announces something.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Announce {
    /// What.
    pub message: String,
    /// How it is meant; `info` unless said.
    #[serde(default, rename = "type")]
    pub level: NoticeLevel,
    /// To whom; everyone who is signed in unless said.
    #[serde(default = "everyone")]
    pub audience: AnnouncedTo,
}

fn everyone() -> AnnouncedTo {
    AnnouncedTo::Everyone
}

/// What a notice says.
struct Words<'a> {
    level: NoticeLevel,
    title: &'a str,
    message: &'a str,
    category: Option<&'a CategoryId>,
}

fn notify(draft: &mut Draft, user: &UserId, words: &Words<'_>) {
    // The place its fact will have in the user's own lane: unique, and sorted as the notices came.
    let id = format!("{:012}", draft.state.lane_seq(&Lane::User(user.clone())) + 1);
    let kept = draft.state.notices.get(user).cloned().unwrap_or_default();
    for (_, oldest) in kept.iter().take((kept.len() + 1).saturating_sub(KEPT_MAX)) {
        draft.remove(oldest.as_ref().clone());
    }
    let message = draft.text(words.message);
    draft.put(notification::Model {
        user_id: user.clone(),
        id: id.clone(),
        level: words.level,
        title: words.title.to_owned(),
        message: words.message.to_owned(),
        link: words.category.map(|category| format!("/categories/{category}")),
        category_id: words.category.cloned(),
        read: false,
        created_at: draft.now,
    });
    draft.append(Event::Notified(Notified {
        id,
        user_id: user.clone(),
        level: words.level,
        title: words.title.to_owned(),
        message,
        category_id: words.category.cloned(),
        created_at: draft.now,
    }));
}

/// Gives the notices that follow from what has happened in a draft.
pub fn follow(draft: &mut Draft) {
    let moved: Vec<CertificationUpdated> = draft
        .entries()
        .iter()
        .filter_map(
            |entry| if let Event::CertificationUpdated(fact) = &entry.event { Some(fact.clone()) } else { None },
        )
        .collect();
    for fact in moved {
        follow_certification(draft, &fact);
    }
}

fn follow_certification(draft: &mut Draft, fact: &CertificationUpdated) {
    let just_signed =
        fact.signatures.iter().any(|signature| signature.stage == fact.stage && signature.at == draft.now);
    if just_signed && fact.stage == Stage::Audited {
        let words = Words {
            level: NoticeLevel::Info,
            title: "Approval needed",
            message: "your approval is needed",
            category: Some(&fact.category_id),
        };
        for user in hat_holders(&draft.state, &fact.category_id, Hat::Board) {
            notify(draft, &user, &words);
        }
    }
    if just_signed && fact.stage == Stage::Certified {
        let words = Words {
            level: NoticeLevel::Success,
            title: "Category certified",
            message: "Category certification completed",
            category: Some(&fact.category_id),
        };
        for user in with_role(&draft.state, Role::Board) {
            notify(draft, &user, &words);
        }
    }
    let words = Words {
        level: NoticeLevel::Warning,
        title: "Signature void",
        message: "what you signed has changed; your signature does not stand any more",
        category: Some(&fact.category_id),
    };
    for user in &fact.voided_signers {
        notify(draft, user, &words);
    }
}

fn hat_holders(state: &State, category: &CategoryId, hat: Hat) -> Vec<UserId> {
    let Some(category) = state.categories.get(category) else { return Vec::new() };
    let hats = state.hats_in.get(&category.event_id).into_iter().flatten().filter_map(|id| state.assignments.get(id));
    let mut users: Vec<UserId> = hats
        .filter(|given| given.hat == hat && state.hats_on(&given.user_id, category).contains(&hat))
        // Whoever judges it, or is switched off, has nothing to sign.
        .filter(|given| state.seat(&given.user_id, category) == Seat::Office)
        .map(|given| given.user_id.clone())
        .collect();
    users.sort();
    users.dedup();
    users
}

fn with_role(state: &State, role: Role) -> Vec<UserId> {
    state.users.values().filter(|user| user.active && user.role == role).map(|user| user.id.clone()).collect()
}

impl Decide for ReadNotice {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let user = draft.actor.user()?.clone();
        let notices = draft.state.notices.get(&user).cloned().unwrap_or_default();
        let id = if self.all { None } else { self.id.clone() };
        let unread: Vec<_> = match &id {
            Some(id) => vec![notices.get(id).ok_or_else(|| Refusal::not_found("notification", id))?.as_ref().clone()],
            None if self.all => notices.values().map(|notice| notice.as_ref().clone()).collect(),
            None => return Err(Refusal::invalid("id", "is missing; all of them are {all: true}")),
        };
        let unread: Vec<_> = unread.into_iter().filter(|notice| !notice.read).collect();
        if !unread.is_empty() {
            for notice in unread {
                draft.put(notification::Model { read: true, ..notice });
            }
            draft.append(Event::NoticesChanged(NoticesChanged { user_id: user, id: id.clone(), removed: false }));
        }
        Ok(id.map_or_else(|| json!({ "all": true }), |id| json!({ "id": id })))
    }
}

impl Decide for DeleteNotice {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let user = draft.actor.user()?.clone();
        let notice = draft.state.notices.get(&user).and_then(|notices| notices.get(&self.id));
        let notice = notice.ok_or_else(|| Refusal::not_found("notification", &self.id))?.as_ref().clone();
        draft.remove(notice);
        draft.append(Event::NoticesChanged(NoticesChanged { user_id: user, id: Some(self.id.clone()), removed: true }));
        Ok(json!({ "id": self.id }))
    }
}

impl Decide for Announce {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let user = draft.actor.user()?.clone();
        let role = draft.state.role_of(&user);
        let board_of = |event: &crate::ids::EventId| {
            draft.state.hats_worn(&user).any(|hat| hat.hat == Hat::Board && hat.event_id == *event)
        };
        let may = role.is_some_and(Role::runs_installation)
            || role == Some(Role::Board)
            || matches!(&self.audience, AnnouncedTo::Event(event) | AnnouncedTo::Public(event) if board_of(event));
        if !may {
            return Err(Refusal::Forbidden);
        }
        if let AnnouncedTo::Event(event) | AnnouncedTo::Public(event) = &self.audience
            && !draft.state.events.contains_key(event)
        {
            return Err(Refusal::not_found("event", event));
        }
        let message = self.message.trim();
        if message.is_empty() || message.chars().count() > MESSAGE_CHARS_MAX || message.contains('\0') {
            return Err(Refusal::invalid("message", format!("has 1 to {MESSAGE_CHARS_MAX} characters")));
        }
        let id: uuid::Uuid = draft.new_id();
        let users = match &self.audience {
            // A role is told user by user: each has the fact in a lane of their own.
            AnnouncedTo::Role(role) => with_role(&draft.state, *role).into_iter().map(Some).collect(),
            AnnouncedTo::Everyone | AnnouncedTo::Event(_) | AnnouncedTo::Public(_) => vec![None],
        };
        let told = users.len();
        for user_id in users {
            let message = draft.text(message);
            draft.append(Event::Announced(Announced {
                id: id.to_string(),
                audience: self.audience.clone(),
                user_id,
                level: self.level,
                message,
                at: draft.now,
            }));
        }
        Ok(json!({ "id": id, "told": told }))
    }
}

/// Which page of a user's notices.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NoticeQuery {
    /// Only those that were not read.
    #[serde(default)]
    pub unread: bool,
    /// Notices of a page, at most 200.
    pub limit: Option<usize>,
    /// The `nextCursor` of the page before.
    pub cursor: Option<String>,
}

/// A user's notices, the latest first, with the number of those not read.
///
/// # Errors
/// `INVALID_DATA` for a wrong limit.
pub fn list(state: &State, user: &UserId, query: &NoticeQuery) -> Result<Value, Refusal> {
    let limit = query.limit.unwrap_or(50);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Refusal::invalid("limit", format!("is 1 to {PAGE_MAX}")));
    }
    let kept = state.notices.get(user).cloned().unwrap_or_default();
    let mut found = kept
        .values()
        .rev()
        .filter(|notice| !query.unread || !notice.read)
        .filter(|notice| query.cursor.as_ref().is_none_or(|after| notice.id < *after));
    let items: Vec<Notice> = found
        .by_ref()
        .take(limit)
        .map(|notice| Notice {
            id: notice.id.clone(),
            level: notice.level,
            title: notice.title.clone(),
            message: Some(notice.message.clone()),
            link: notice.link.clone(),
            category_id: notice.category_id.clone(),
            read: notice.read,
            created_at: notice.created_at,
        })
        .collect();
    let unread = kept.values().filter(|notice| !notice.read).count();
    let mut page = json!({ "items": items, "unread": unread });
    if let (Some(last), Some(_)) = (items.last(), found.next()) {
        page["nextCursor"] = json!(last.id);
    }
    Ok(page)
}
