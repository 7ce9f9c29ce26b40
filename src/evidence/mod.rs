//! Evidence: a published result with everything that led to it, signed, so that anyone can check it without a server.
//!
//! Invariants: a bundle has one byte sequence only, so a changed bit is always found; the ranking in it is computed
//! again from the marks in its log; free texts stay commitments, names of those who act are part of what is signed.
//!
//! Absent on purpose: trust in the key that lies in the bundle. Whoever verifies brings the key.

pub mod bundle;
pub mod key;
pub mod line;
pub mod verify;

use crate::clock::Micros;
use crate::db::entity::certification::Stage;
use crate::db::entity::publication::PublicationState;
use crate::ids::{CategoryId, ContestId, ContestantId, CriterionId, EventId, UserId};
use crate::ranking::{Decimal, Ranking};
use key::{KeyId, PublicKey, Signature, Signer};
use serde::{Deserialize, Serialize};

/// What a statement says it is, so that nothing else that this key signs can be taken for one.
pub const FORMAT: &str = "scorecast-publication/1";

/// What is signed when a result is published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// [`FORMAT`].
    pub format: String,
    /// Which publication.
    pub publication_id: String,
    /// 1 for the first of a category, one more with each; 0 for a draft.
    pub revision: i64,
    /// How much it is worth.
    pub state: PublicationState,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub published_at: Micros,
    /// By whom.
    pub published_by: UserId,
    /// The event.
    pub event: Named<EventId>,
    /// The contest.
    pub contest: Named<ContestId>,
    /// The category.
    pub category: Named<CategoryId>,
    /// Whether one person was allowed to sign several stages.
    pub single_officer: bool,
    /// Nothing of it is real: a recording was played.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsal: bool,
    /// SHA-256 of `tally.json`: rules, marks, deductions and ranking; what the officers signed.
    pub tally_hash: String,
    /// The result, in the order of the ranking.
    pub ranking: Vec<Ranked>,
    /// Whose marks count.
    pub judges: Vec<Named<UserId>>,
    /// What was marked.
    pub criteria: Vec<Named<CriterionId>>,
    /// Who signed what.
    pub signatures: Vec<Signed>,
    /// Where the log of the category stood.
    pub log: LogPosition,
}

/// Something with its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the two fields say it")]
pub struct Named<Id> {
    #[schema(value_type = String)]
    pub id: Id,
    pub name: String,
}

/// A line of a published result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ranked {
    /// From 1; none without a total.
    pub rank: Option<u32>,
    /// Whose.
    pub contestant_id: ContestantId,
    /// The start number, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub number: Option<String>,
    /// The name.
    pub name: String,
    /// The club.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub club: Option<String>,
    /// The country.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub country: Option<String>,
    /// Exact decimal.
    #[schema(value_type = Option<f64>)]
    pub total: Option<Decimal>,
    /// The sum of the deductions.
    #[schema(value_type = f64)]
    pub deductions: Decimal,
    /// What separates it from the line above.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub decided_by: Option<String>,
}

/// An officer's signature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signed {
    /// The stage that was reached by it.
    pub stage: Stage,
    /// Who.
    pub user_id: UserId,
    /// The name signed with.
    pub signature_name: String,
    /// The tally that was signed.
    pub tally_hash: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Micros,
    /// Put in its place by an ADMIN, by the event's leave.
    #[serde(rename = "override", skip_serializing_if = "std::ops::Not::not", default)]
    pub overridden: bool,
}

/// A place in a lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogPosition {
    /// The lane.
    pub lane: String,
    /// The number of its last fact.
    pub seq: i64,
    /// The hash of its last fact in the lane's chain, hex.
    pub hash: String,
}

/// A signed statement: `publication.json`, and what is told of a publication to everyone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Publication {
    /// What is signed.
    pub statement: Statement,
    /// Which key signed it.
    #[schema(value_type = String)]
    pub key_id: KeyId,
    /// The key itself, base64url. It proves nothing: whoever verifies brings their own.
    #[schema(value_type = String)]
    pub public_key: PublicKey,
    /// Ed25519 over the statement's JSON, base64url.
    #[schema(value_type = String)]
    pub signature: Signature,
}

impl Statement {
    /// The one text it has.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a statement is plain data with text keys")
    }

    /// Signs it.
    #[must_use]
    pub fn sign(self, signer: &Signer) -> Publication {
        let signature = signer.sign(self.to_json().as_bytes());
        Publication { statement: self, key_id: signer.key_id().clone(), public_key: signer.public_key(), signature }
    }
}

impl Publication {
    /// The one text it has.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a publication is plain data with text keys")
    }

    /// Whether the lines of the result are those of a ranking.
    #[must_use]
    pub fn says(&self, ranking: &Ranking) -> bool {
        let said = self.statement.ranking.iter().map(|line| {
            (line.contestant_id.as_str(), line.rank, line.total.as_ref(), &line.deductions, line.decided_by.as_deref())
        });
        said.eq(ranking
            .ranking
            .iter()
            .map(|row| (&*row.contestant_id, row.rank, row.total.as_ref(), &row.deductions, row.decided_by.as_deref())))
    }
}
