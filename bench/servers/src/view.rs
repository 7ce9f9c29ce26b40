//! What is sent: the mark of a fellow judge as Scorecast shows it, about 280 bytes of JSON.

use serde::{Deserialize, Serialize};

/// What a judge submits.
#[derive(Clone, Debug, Deserialize)]
pub struct Submit {
    /// Its id.
    #[serde(rename = "categoryId")]
    pub category: String,
    /// Its id.
    #[serde(rename = "contestantId")]
    pub contestant: String,
    /// Its id.
    #[serde(rename = "criterionId")]
    pub criterion: String,
}

/// What everybody is told of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields of scores:updated")]
pub struct View {
    pub id: &'static str,
    pub category_id: String,
    pub contest_id: &'static str,
    pub event_id: &'static str,
    pub contestant_id: String,
    pub judge_id: &'static str,
    pub criterion_id: String,
    pub score: Option<f64>,
    pub masked: bool,
    pub status: &'static str,
    pub version: u64,
    pub updated_at: &'static str,
}

impl View {
    /// Of the submit with this number.
    pub fn of(submit: Submit, version: u64) -> Self {
        Self {
            id: "01995f2e-7c1a-7d33-9b5e-3f6f0a5c7e11",
            category_id: submit.category,
            contest_id: "gala",
            event_id: "cup",
            contestant_id: submit.contestant,
            judge_id: "01995f2e-7c1a-7d33-9b5e-0123456789ab",
            criterion_id: submit.criterion,
            score: None,
            masked: true,
            status: "submitted",
            version,
            updated_at: "2026-01-01T00:00:00.000Z",
        }
    }
}
