//! Typed identifiers. An id is 1 to 128 characters of `A-Z a-z 0-9 . _ -`, beginning with a letter or digit.
//!
//! Invariant: no id holds a `:`. Rooms and lanes are built as `category:{id}:{HAT}` and `cat:{id}`; an id with a colon
//! could otherwise name somebody else's room.

use std::sync::Arc;

/// Longest id, in characters.
pub const ID_CHARS_MAX: usize = 128;

/// Why a text is not an id.
#[derive(Debug, thiserror::Error)]
#[error("an id is 1 to {ID_CHARS_MAX} characters of A-Z a-z 0-9 . _ - and begins with a letter or digit")]
pub struct NotAnId;

fn check(text: &str) -> Result<(), NotAnId> {
    let first_ok = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    let rest_ok = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if first_ok && rest_ok && text.len() <= ID_CHARS_MAX { Ok(()) } else { Err(NotAnId) }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The shared text behind the id.
            #[must_use]
            pub fn text(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                check(text).map(|()| Self(text.into()))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(input)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl From<uuid::Uuid> for $name {
            fn from(id: uuid::Uuid) -> Self {
                Self(id.to_string().into())
            }
        }

        impl From<$name> for sea_orm::Value {
            fn from(id: $name) -> Self {
                sea_orm::Value::String(Some(id.0.as_ref().to_owned()))
            }
        }

        impl From<&$name> for sea_orm::Value {
            fn from(id: &$name) -> Self {
                sea_orm::Value::String(Some(id.0.as_ref().to_owned()))
            }
        }

        impl sea_orm::TryGetable for $name {
            fn try_get_by<I: sea_orm::ColIdx>(row: &sea_orm::QueryResult, index: I) -> Result<Self, sea_orm::TryGetError> {
                // What the database holds was checked when it was written; it is taken as it stands.
                String::try_get_by(row, index).map(|text| Self(text.into()))
            }
        }

        impl sea_orm::sea_query::ValueType for $name {
            fn try_from(value: sea_orm::Value) -> Result<Self, sea_orm::sea_query::ValueTypeErr> {
                <String as sea_orm::sea_query::ValueType>::try_from(value).map(|text| Self(text.into()))
            }
            fn type_name() -> String {
                stringify!($name).to_owned()
            }
            fn array_type() -> sea_orm::sea_query::ArrayType {
                sea_orm::sea_query::ArrayType::String
            }
            fn column_type() -> sea_orm::sea_query::ColumnType {
                sea_orm::sea_query::ColumnType::String(sea_orm::sea_query::StringLen::None)
            }
        }

        impl sea_orm::sea_query::Nullable for $name {
            fn null() -> sea_orm::Value {
                sea_orm::Value::String(None)
            }
        }

        impl sea_orm::TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, sea_orm::DbErr> {
                Err(sea_orm::DbErr::ConvertFromU64(stringify!($name)))
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                <String as utoipa::PartialSchema>::schema()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

id!(
    /// A person who signs in.
    UserId
);
id!(
    /// One sign-in of a user.
    SessionId
);
id!(
    /// A competition.
    EventId
);
id!(
    /// A part of an event with its own standings.
    ContestId
);
id!(
    /// What is judged together: one panel, one set of criteria, one ranking.
    CategoryId
);
id!(
    /// Who is judged.
    ContestantId
);
id!(
    /// One thing a judge marks; unique within its category.
    CriterionId
);
id!(
    /// A hat given to a user on a category, contest or event.
    AssignmentId
);
id!(
    /// One judge's mark for one contestant and criterion.
    MarkId
);
id!(
    /// A timed or run race.
    RaceId
);
id!(
    /// A key of timing software.
    ApiKeyId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_reach_into_another_room() {
        for bad in ["", "a:JUDGE", ":a", "-a", ".", "a b", "a\u{0}", "ä", &"x".repeat(129)] {
            assert!(bad.parse::<CategoryId>().is_err(), "{bad:?} was taken");
        }
        for good in ["a", "7", "gpf2017-men", "K1M_ST_BR1_6", "66031.C1M_ST", &"x".repeat(128)] {
            assert!(good.parse::<CategoryId>().is_ok(), "{good:?} was refused");
        }
    }
}
