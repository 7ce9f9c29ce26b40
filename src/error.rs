//! What goes wrong, told twice: to the caller as a [`Refusal`] with a stable code, to the operator as a cause in the log.
//!
//! Invariant: every refusal maps to exactly one code, and every code to exactly one HTTP status.

use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// The stable words clients may branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the contract explains each word")]
pub enum Code {
    AuthRequired,
    InvalidToken,
    TokenExpired,
    SessionRevoked,
    Forbidden,
    NotFound,
    NotAssigned,
    InvalidEvent,
    InvalidData,
    OutOfRange,
    BadStep,
    ConflictVersion,
    Duplicate,
    Certified,
    Locked,
    State,
    HashMismatch,
    OpenFlags,
    SeparationOfDuties,
    IdempotencyMismatch,
    RateLimit,
    TooLarge,
    Overloaded,
    Internal,
}

impl Code {
    /// Every code, in the order of the contract.
    pub const ALL: [Self; 24] = [
        Self::AuthRequired,
        Self::InvalidToken,
        Self::TokenExpired,
        Self::SessionRevoked,
        Self::Forbidden,
        Self::NotFound,
        Self::NotAssigned,
        Self::InvalidEvent,
        Self::InvalidData,
        Self::OutOfRange,
        Self::BadStep,
        Self::ConflictVersion,
        Self::Duplicate,
        Self::Certified,
        Self::Locked,
        Self::State,
        Self::HashMismatch,
        Self::OpenFlags,
        Self::SeparationOfDuties,
        Self::IdempotencyMismatch,
        Self::RateLimit,
        Self::TooLarge,
        Self::Overloaded,
        Self::Internal,
    ];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthRequired => "AUTH_REQUIRED",
            Self::InvalidToken => "INVALID_TOKEN",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::SessionRevoked => "SESSION_REVOKED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::NotAssigned => "NOT_ASSIGNED",
            Self::InvalidEvent => "INVALID_EVENT",
            Self::InvalidData => "INVALID_DATA",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::BadStep => "BAD_STEP",
            Self::ConflictVersion => "CONFLICT_VERSION",
            Self::Duplicate => "DUPLICATE",
            Self::Certified => "CERTIFIED",
            Self::Locked => "LOCKED",
            Self::State => "STATE",
            Self::HashMismatch => "HASH_MISMATCH",
            Self::OpenFlags => "OPEN_FLAGS",
            Self::SeparationOfDuties => "SEPARATION_OF_DUTIES",
            Self::IdempotencyMismatch => "IDEMPOTENCY_MISMATCH",
            Self::RateLimit => "RATE_LIMIT",
            Self::TooLarge => "TOO_LARGE",
            Self::Overloaded => "OVERLOADED",
            Self::Internal => "INTERNAL",
        }
    }

    /// The one HTTP status of the code.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::AuthRequired | Self::InvalidToken | Self::TokenExpired | Self::SessionRevoked => {
                StatusCode::UNAUTHORIZED
            }
            Self::Forbidden | Self::NotAssigned | Self::SeparationOfDuties => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::InvalidEvent | Self::InvalidData => StatusCode::BAD_REQUEST,
            Self::OutOfRange | Self::BadStep | Self::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
            Self::ConflictVersion
            | Self::Duplicate
            | Self::Certified
            | Self::Locked
            | Self::State
            | Self::HashMismatch
            | Self::OpenFlags => StatusCode::CONFLICT,
            Self::RateLimit => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// One wrong place in what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The place, e.g. `contests[0].categories[2].criteria[1].step`.
    pub field: String,
    /// What is wrong there.
    pub message: String,
}

/// Why a command or a request was not carried out. The text is for the caller.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum Refusal {
    #[error("Authentication token missing")]
    AuthRequired,
    #[error("Invalid token")]
    InvalidToken,
    #[error("Invalid token")]
    TokenExpired,
    #[error("Session revoked")]
    SessionRevoked,
    #[error("Access denied")]
    Forbidden,
    #[error("no {what} are taken while the event is {status}")]
    NotNow { what: &'static str, status: &'static str },
    #[error("the email or the password is wrong")]
    WrongPassword,
    #[error("{what} {id} does not exist")]
    NotFound { what: &'static str, id: String },
    #[error("you have no judging assignment on this category")]
    NotAssigned,
    #[error("Invalid event type")]
    InvalidEvent,
    #[error("{}", first_message(.0))]
    Invalid(Vec<FieldError>),
    #[error("a mark for {criterion} lies between {min} and {max}")]
    OutOfRange { criterion: String, min: String, max: String },
    #[error("a mark for {criterion} goes in steps of {step} from {min}")]
    BadStep { criterion: String, step: String, min: String },
    #[error("the mark was changed meanwhile: it is at version {version}")]
    ConflictVersion { version: i64, current: Option<Value> },
    #[error("{what} {id} exists already")]
    Duplicate { what: &'static str, id: String },
    #[error("the sheet is certified; ask for an uncertification to change it")]
    Certified,
    #[error("something else stands there than what was signed")]
    HashMismatch { current: String },
    #[error("flag {0} is open")]
    OpenFlags(String),
    #[error("{0}")]
    SeparationOfDuties(&'static str),
    #[error("{0}")]
    Locked(String),
    #[error("{0}")]
    State(String),
    #[error("from {current} an event goes {}", if .valid.is_empty() { "nowhere".to_owned() } else { format!("only to {}", .valid.join(" or ")) })]
    BadTransition { field: String, current: &'static str, requested: &'static str, valid: Vec<&'static str> },
    #[error("this command id was used before with other content")]
    IdempotencyMismatch,
    #[error("Rate limit exceeded")]
    RateLimit { retry_after: Duration },
    #[error("Too many connections")]
    TooManyConnections,
    #[error("the event is official; nothing more will come")]
    EventOfficial,
    #[error("more than {max} viewers")]
    TooManyViewers { max: usize },
    #[error("more than {max} {what}")]
    TooLarge { what: &'static str, max: usize },
    #[error("the server is busy; try again")]
    Overloaded,
    /// Never told to anybody: the writer reads the marks and decides again.
    #[error("the marks of {} categories are not in memory", .0.len())]
    BoardNeeded(Vec<crate::ids::CategoryId>),
    #[error("something went wrong on the server")]
    Internal,
}

fn first_message(errors: &[FieldError]) -> String {
    errors.first().map_or_else(
        || "the data is not valid".to_owned(),
        |error| {
            if error.field.is_empty() { error.message.clone() } else { format!("{}: {}", error.field, error.message) }
        },
    )
}

impl Refusal {
    /// One wrong place.
    pub fn invalid(field: impl Into<String>, message: impl std::fmt::Display) -> Self {
        Self::Invalid(vec![FieldError { field: field.into(), message: message.to_string() }])
    }

    /// Something that is not there, or that the caller must not know of.
    pub fn not_found(what: &'static str, id: impl std::fmt::Display) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::AuthRequired => Code::AuthRequired,
            Self::InvalidToken | Self::WrongPassword => Code::InvalidToken,
            Self::TokenExpired => Code::TokenExpired,
            Self::SessionRevoked => Code::SessionRevoked,
            Self::Forbidden | Self::NotNow { .. } => Code::Forbidden,
            Self::NotFound { .. } => Code::NotFound,
            Self::NotAssigned => Code::NotAssigned,
            Self::InvalidEvent => Code::InvalidEvent,
            Self::Invalid(_) | Self::BadTransition { .. } => Code::InvalidData,
            Self::OutOfRange { .. } => Code::OutOfRange,
            Self::BadStep { .. } => Code::BadStep,
            Self::ConflictVersion { .. } => Code::ConflictVersion,
            Self::Duplicate { .. } => Code::Duplicate,
            Self::Certified => Code::Certified,
            Self::HashMismatch { .. } => Code::HashMismatch,
            Self::OpenFlags(_) => Code::OpenFlags,
            Self::SeparationOfDuties(_) => Code::SeparationOfDuties,
            Self::Locked(_) => Code::Locked,
            Self::State(_) | Self::EventOfficial => Code::State,
            Self::IdempotencyMismatch => Code::IdempotencyMismatch,
            Self::RateLimit { .. } | Self::TooManyConnections => Code::RateLimit,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Overloaded | Self::BoardNeeded(_) | Self::TooManyViewers { .. } => Code::Overloaded,
            Self::Internal => Code::Internal,
        }
    }

    /// The HTTP status: that of the code, but for a feed that is over for good.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        if matches!(self, Self::EventOfficial) { StatusCode::GONE } else { self.code().status() }
    }

    /// The wrong place, if there is one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        if let Self::Invalid(errors) = self {
            return errors.first().map(|error| error.field.as_str()).filter(|field| !field.is_empty());
        }
        [(Code::OutOfRange, "score"), (Code::BadStep, "score"), (Code::ConflictVersion, "baseVersion")]
            .into_iter()
            .find_map(|(code, field)| (self.code() == code).then_some(field))
            .or_else(|| if let Self::BadTransition { field, .. } = self { Some(field) } else { None })
    }

    /// How long to wait before trying again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::RateLimit { retry_after } = self {
            return Some(*retry_after);
        }
        matches!(self, Self::Overloaded | Self::TooManyViewers { .. }).then_some(Duration::from_secs(1))
    }

    /// What stands now, where the caller may see it.
    #[must_use]
    pub fn current(&self) -> Option<Value> {
        if let Self::HashMismatch { current } = self {
            return Some(Value::String(current.clone()));
        }
        if let Self::ConflictVersion { current, .. } = self { current.clone() } else { None }
    }
}

/// A refusal, or a fault of the server whose cause only the operator reads.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The caller's doing.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sea_orm::DbErr),
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl AppError {
    /// What the caller is told; a fault is logged here, once.
    #[must_use]
    pub fn into_refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Database(cause) => {
                tracing::error!(error = %cause, "the database failed");
                Refusal::Internal
            }
            Self::Other(cause) => {
                tracing::error!(error = format!("{cause:#}"), "a request failed");
                Refusal::Internal
            }
        }
    }
}

/// Whole milliseconds, never less than the wait and never none: whoever waits so long is let through.
#[must_use]
pub fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1)
}

/// The error object of acks and of the `error` event.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorView {
    /// Stable word to branch on.
    pub code: Code,
    /// Text for a person.
    pub message: String,
    /// The event that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The wrong place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Milliseconds to wait before trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What stands now, as the caller may see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<Value>,
    /// Names this refusal in the server's log.
    pub correlation_id: String,
}

impl ErrorView {
    /// The error object for a refusal.
    #[must_use]
    pub fn of(refusal: &Refusal, event: Option<&str>, correlation_id: String) -> Self {
        Self {
            code: refusal.code(),
            message: refusal.to_string(),
            event: event.map(str::to_owned),
            field: refusal.field().map(str::to_owned),
            retry_after_ms: refusal.retry_after().map(millis),
            current: refusal.current(),
            correlation_id,
        }
    }
}
