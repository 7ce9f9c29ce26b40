//! Rooms and lanes: the names under which facts find their readers.

use crate::auth::role::{Hat, Role};
use crate::ids::{CategoryId, ContestId, EventId, RaceId, UserId};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A room of the scoring plane. Clients never join one by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    /// Every authenticated socket.
    Everyone,
    /// All sockets of a user.
    User(UserId),
    /// All sockets of the users with a role.
    Role(Role),
    /// Staff with a hat on the event or below it.
    Event(EventId),
    /// Staff with a hat on the contest or below it.
    Contest(ContestId),
    /// Everyone with a hat on the category.
    Category(CategoryId),
    /// By hat. Head judges are also in the judges' room; a judge is in no other hat room of the category.
    CategoryHat(CategoryId, Hat),
    /// Who judged the category once and does no more: treated as its judges are, whatever else they are.
    CategoryFormerJudge(CategoryId),
}

impl Room {
    /// The lane whose facts come to all who stand here, unless it is one of those that come to a role.
    #[must_use]
    pub fn lane(&self) -> Option<Lane> {
        match self {
            Self::Everyone => Some(Lane::System),
            Self::User(id) => Some(Lane::User(id.clone())),
            Self::Event(id) => Some(Lane::Event(id.clone())),
            Self::Category(id) => Some(Lane::Category(id.clone())),
            Self::Role(_) | Self::Contest(_) | Self::CategoryHat(..) | Self::CategoryFormerJudge(_) => None,
        }
    }

    /// Whether the facts of all events and categories come here.
    #[must_use]
    pub fn has_all_lanes(&self) -> bool {
        matches!(self, Self::Role(role) if role.runs_installation())
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Role(role) => write!(f, "role:{}", role.as_str()),
            Self::Event(id) => write!(f, "event:{id}"),
            Self::Contest(id) => write!(f, "contest:{id}"),
            Self::Category(id) => write!(f, "category:{id}"),
            Self::CategoryHat(id, hat) => write!(f, "category:{id}:{}", hat.as_str()),
            Self::CategoryFormerJudge(id) => write!(f, "category:{id}:FORMER_JUDGE"),
        }
    }
}

/// The namespace of the public.
pub const LIVE_PATH: &str = "/live";

/// A room of the public. Whoever comes may join it by name, so it shares no name with a room of the scoring plane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LiveRoom {
    /// An event.
    Event(EventId),
    /// A race.
    Race(RaceId),
}

impl LiveRoom {
    /// The word in metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Event(_) => "public_event",
            Self::Race(_) => "race",
        }
    }
}

impl fmt::Display for LiveRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(id) => write!(f, "publicEvent:{id}"),
            Self::Race(id) => write!(f, "race:{id}"),
        }
    }
}

/// A dense sequence of facts. Whoever is a member gets every fact of it, in the variant their rights allow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// ADMIN, ORGANIZER and every hat on the category.
    Category(CategoryId),
    /// ADMIN, ORGANIZER and every hat on the event or below it.
    Event(EventId),
    /// That user.
    User(UserId),
    /// Anyone.
    Public(EventId),
    /// Every authenticated socket.
    System,
}

impl Lane {
    /// The rooms whose members together are the lane's.
    #[must_use]
    pub fn rooms(&self) -> Vec<Room> {
        match self {
            Self::Category(id) => {
                vec![Room::Category(id.clone()), Room::Role(Role::Admin), Room::Role(Role::Organizer)]
            }
            Self::Event(id) => vec![Room::Event(id.clone()), Room::Role(Role::Admin), Room::Role(Role::Organizer)],
            Self::User(id) => vec![Room::User(id.clone())],
            Self::Public(_) => vec![],
            Self::System => vec![Room::Everyone],
        }
    }

    /// Whether its facts come live to whoever stands in these rooms. Those of the public's lanes do not, here.
    #[must_use]
    pub fn comes_to(&self, rooms: &BTreeSet<Room>) -> bool {
        self.rooms().iter().any(|room| rooms.contains(room))
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Category(id) => write!(f, "cat:{id}"),
            Self::Event(id) => write!(f, "evt:{id}"),
            Self::User(id) => write!(f, "usr:{id}"),
            Self::Public(id) => write!(f, "pub:{id}"),
            Self::System => f.write_str("sys"),
        }
    }
}

impl FromStr for Lane {
    type Err = crate::ids::NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("cat", id)) => id.parse().map(Self::Category),
            Some(("evt", id)) => id.parse().map(Self::Event),
            Some(("usr", id)) => id.parse().map(Self::User),
            Some(("pub", id)) => id.parse().map(Self::Public),
            None if text == "sys" => Ok(Self::System),
            _ => Err(crate::ids::NotAnId),
        }
    }
}

impl serde::Serialize for Lane {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_to_a_room_comes_from_its_lane_or_from_all() {
        let lanes = ["cat:c", "evt:e", "usr:u", "pub:e", "sys"].map(|name| name.parse::<Lane>().expect("a lane"));
        for lane in &lanes {
            for room in lane.rooms() {
                assert!(room.has_all_lanes() || room.lane().as_ref() == Some(lane), "{lane}: {room}");
            }
        }
        let category = || "c".parse::<CategoryId>().expect("an id");
        let rooms = [
            Room::Everyone,
            Room::User("u".parse().expect("an id")),
            Room::Role(Role::Admin),
            Room::Role(Role::Judge),
            Room::Event("e".parse().expect("an id")),
            Room::Contest("t".parse().expect("an id")),
            Room::Category(category()),
            Room::CategoryHat(category(), Hat::Judge),
            Room::CategoryFormerJudge(category()),
        ];
        for room in rooms {
            let stands_in = BTreeSet::from([room.clone()]);
            for lane in lanes.iter().filter(|lane| lane.comes_to(&stands_in)) {
                assert!(room.has_all_lanes() || room.lane().as_ref() == Some(lane), "{room}: {lane}");
            }
            assert!(room.lane().is_none_or(|lane| lane.comes_to(&stands_in)), "{room}");
        }
    }
}
