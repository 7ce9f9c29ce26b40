//! One small competition with somebody for every seat there is.

use serde_json::{Value, json};

/// The email of somebody in [`document`].
pub fn email(name: &str) -> String {
    format!("{name}@it.example")
}

/// Everybody: what they are called, and their role.
pub const PEOPLE: [(&str, &str); 14] = [
    ("admin", "ADMIN"),
    ("organizer", "ORGANIZER"),
    ("tally", "TALLY_MASTER"),
    ("auditor", "AUDITOR"),
    ("board", "BOARD"),
    ("emcee", "EMCEE"),
    ("ada", "JUDGE"),
    ("ben", "JUDGE"),
    ("cleo", "JUDGE"),
    ("head", "JUDGE"),
    ("beam", "JUDGE"),
    ("both", "ADMIN"),
    ("gymnast", "CONTESTANT"),
    ("idle", "JUDGE"),
];

/// Two categories of one contest and one of another. `ada`, `ben` and `cleo` judge the vault, `head` presides, `both` is
/// an admin who judges it too; `beam` judges the beam; `idle` judges nothing. The office wears its hats on the event.
pub fn document() -> Value {
    let criteria = json!([
        {"id": "form", "name": "Form", "min": 0, "max": 10, "step": 0.25, "weight": 1},
        {"id": "height", "name": "Height", "min": 0, "max": 10, "step": 0.1, "weight": 2},
    ]);
    let entries = json!([{"contestantId": "x"}, {"contestantId": "y"}, {"contestantId": "z"}]);
    let rules = json!({"method": "mean"});
    let contestants = ["x", "y", "z"].map(|id| json!({"id": id, "name": format!("Gymnast {id}")}));
    let users = PEOPLE.map(|(name, role)| json!({"email": email(name), "name": name, "role": role}));
    json!({
        "event": {"id": "cup", "mainTitle": "The Cup", "status": "running"},
        "users": users,
        "contestants": contestants,
        "contests": [
            {"id": "women", "name": "Women", "categories": [
                {"id": "vault", "name": "Vault", "rules": rules, "criteria": criteria, "entries": entries, "assignments": [
                    {"email": email("ada"), "hat": "JUDGE"}, {"email": email("ben"), "hat": "JUDGE"},
                    {"email": email("cleo"), "hat": "JUDGE"}, {"email": email("head"), "hat": "HEAD_JUDGE"},
                    {"email": email("both"), "hat": "JUDGE", "counts": false},
                ]},
                {"id": "beam", "name": "Beam", "rules": rules, "criteria": criteria, "entries": entries, "assignments": [
                    {"email": email("beam"), "hat": "JUDGE"},
                ]},
            ]},
            {"id": "men", "name": "Men", "categories": [
                {"id": "rings", "name": "Rings", "rules": rules, "criteria": criteria, "entries": entries},
            ]},
        ],
        "assignments": [
            {"email": email("tally"), "hat": "TALLY_MASTER"}, {"email": email("auditor"), "hat": "AUDITOR"},
            {"email": email("board"), "hat": "BOARD"}, {"email": email("emcee"), "hat": "EMCEE"},
        ],
    })
}

/// A mark for the vault.
pub fn mark(contestant: &str, criterion: &str, score: f64) -> Value {
    json!({"categoryId": "vault", "contestantId": contestant, "criterionId": criterion, "score": score})
}
