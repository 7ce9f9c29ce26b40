//! A result on its way to the public: who may publish it, who reads what of it when, and what its evidence proves.

use crate::support::TestApp;
use crate::support::hall::{Hall, JUDGES, code, ok, signed};
use crate::support::people::{self, email, mark};
use crate::support::process;
use reqwest::Method;
use scorecast::clock::Chance;
use scorecast::db::entity::log_entry;
use scorecast::events::log::{GENESIS, Receipt};
use scorecast::evidence::bundle::Bundle;
use scorecast::evidence::key::{PublicKey, Signer};
use scorecast::evidence::line::Line;
use scorecast::evidence::verify::{Rejected, Verified, verify};
use scorecast::tally::record::Record;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::sync::Arc;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

const VAULT: &str = "/api/v1/categories/vault";
/// What the marks of [`score`] come to: texts that nothing else contains.
const TOTALS: [(&str, &str); 3] = [("x", "22.85"), ("y", "17.25"), ("z", "12.05")];

/// Marks that tell every judge, contestant and criterion apart.
fn score(judge: f64, contestant: &str, criterion: &str) -> f64 {
    let (form, height) = match contestant {
        "x" => (8.0, 7.1),
        "y" => (6.0, 5.3),
        _ => (4.0, 3.7),
    };
    if criterion == "form" { form + judge * 0.25 } else { (height * 10.0 + judge * 2.0).round() / 10.0 }
}

/// Everybody of the small competition; the gymnast is contestant `x`.
fn document() -> Value {
    let mut document = people::document();
    document["contestants"][0]["userEmail"] = json!(email("gymnast"));
    document
}

pub async fn judged() -> Hall {
    judged_by(document()).await
}

/// The same under other rules.
async fn judged_by(document: Value) -> Hall {
    let app = TestApp::start().await;
    app.import(document).await;
    let hall = Hall::marked_in(app, &JUDGES, score).await;
    let mut remark = mark("x", "form", score(1.0, "x", "form"));
    remark["comment"] = json!("a trembling knee");
    ok(&hall.judges[1].call("scores:submit", remark).await);
    hall.finish_judging().await;
    hall
}

async fn official() -> Hall {
    let hall = judged().await;
    hall.certify().await;
    publish(&hall.app, "official").await;
    hall
}

/// Publishes the vault, and gives what is answered.
pub async fn publish(app: &TestApp, state: &str) -> Value {
    let published = app.post(&format!("{VAULT}/publish"), &email("organizer"), json!({ "state": state })).await;
    assert_eq!(published.status, 201, "{}", published.body);
    published.body
}

/// What a refusal over HTTP says: its status and its code.
async fn refused_publish(app: &TestApp, name: &str, state: &str) -> (u16, String) {
    let refused = app.post(&format!("{VAULT}/publish"), &email(name), json!({ "state": state })).await;
    (refused.status.as_u16(), refused.body["code"].as_str().unwrap_or("none").to_owned())
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

async fn evidence(app: &TestApp) -> Vec<u8> {
    app.bytes(&format!("{VAULT}/evidence.zip"), &email("organizer")).await
}

/// The keys as anyone reads them.
async fn keys(app: &TestApp) -> Vec<PublicKey> {
    let set = app.public("/.well-known/scorecast-keys.json").await.body;
    let keys = set["keys"].as_array().expect("a list").iter();
    keys.map(|key| key["x"].as_str().expect("a key").parse().expect("an Ed25519 key")).collect()
}

/// The board sends the vault back to its judges, ada gets a sheet back and gives another mark, and all sign again; gives
/// the receipt of the new mark.
async fn correct(hall: &Hall, new_score: f64) -> Receipt {
    let back = json!({"categoryId": "vault", "reason": "a slip", "toStage": "JUDGED"});
    ok(&hall.board.call("certification:reject", back).await);
    let receipt = remark(hall, new_score).await;
    let ada = &hall.judges[0];
    ok(&ada.call("scores:certify", json!({"categoryId": "vault"})).await);
    ok(&ada.call("scores:final", json!({"categoryId": "vault"})).await);
    hall.certify().await;
    receipt
}

/// Ada gets the sheet of x back and gives another mark.
async fn remark(hall: &Hall, new_score: f64) -> Receipt {
    let ada = &hall.judges[0];
    let asked = json!({"categoryId": "vault", "contestantId": "x", "reason": "a slip of the finger"});
    let id = hall.ask(ada, "uncertification:request", asked).await;
    let done = hall.tally.call("uncertification:approve", signed(&id)).await;
    if ok(&done)["uncertification"]["status"] == "PENDING" {
        ok(&hall.board.call("uncertification:approve", signed(&id)).await);
    }
    let given = ada.call("scores:submit", mark("x", "form", new_score)).await;
    serde_json::from_value(ok(&given)["receipt"].clone()).expect("a receipt")
}

// Evidence, and what a dishonest server can make of it.

/// A good bundle in the hands of somebody who holds the key it was signed with.
struct Forger {
    good: Vec<u8>,
    signer: Arc<Signer>,
}

/// A way to cheat, and what the checker says of it.
type Forgery<'a> = (&'a str, &'a dyn Fn(&mut Bundle), &'a str);

impl Forger {
    async fn of(hall: &Hall) -> Self {
        Self { good: evidence(&hall.app).await, signer: hall.app.app.signer().await.expect("a key") }
    }

    /// The bundle changed, signed anew and written as a good one is.
    fn forged(&self, change: impl FnOnce(&mut Bundle)) -> Vec<u8> {
        let mut bundle = Bundle::decode(&self.good).expect("a good bundle");
        change(&mut bundle);
        bundle.publication = bundle.publication.statement.clone().sign(&self.signer);
        written(&bundle)
    }

    fn check(&self, bytes: &[u8], receipts: &[Receipt]) -> Result<Verified, Rejected> {
        verify(bytes, &[self.signer.public_key()], receipts)
    }

    #[track_caller]
    fn all_are_refused(&self, forgeries: &[Forgery<'_>]) {
        self.check(&self.good, &[]).expect("what was not changed is accepted");
        let wrong = forgeries.iter().filter_map(|(what, change, reason)| {
            let outcome = self.check(&self.forged(change), &[]);
            let told = outcome.map_or_else(|rejected| rejected.to_string(), |_| "accepted".to_owned());
            (!told.contains(reason)).then(|| format!("{what}: {told}"))
        });
        assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new());
    }
}

fn written(bundle: &Bundle) -> Vec<u8> {
    bundle.encode(&bundle.record.basis.rank()).expect("it is written")
}

/// Numbers and chains the facts anew, and says so in the statement.
fn chain_anew(bundle: &mut Bundle) {
    let lane = bundle.publication.statement.log.lane.clone();
    let (mut hash, mut seq) = (GENESIS.to_owned(), 0);
    for line in &mut bundle.log {
        seq += 1;
        line.lane_seq = seq;
        line.hash = line.hash_after(&hash, &lane);
        hash.clone_from(&line.hash);
    }
    let position = &mut bundle.publication.statement.log;
    (position.seq, position.hash) = (seq, hash);
}

fn fact(line: &Line) -> Value {
    serde_json::from_str(line.fact.get()).expect("a fact is JSON")
}

/// Changes facts, and chains the log anew.
fn rewrite(bundle: &mut Bundle, change: impl Fn(&mut Value)) {
    for line in &mut bundle.log {
        let before = fact(line);
        let mut after = before.clone();
        change(&mut after);
        if after != before {
            line.fact = RawValue::from_string(after.to_string()).expect("a fact is JSON");
        }
    }
    chain_anew(bundle);
}

/// Takes facts out, and chains the log anew.
fn take_out(bundle: &mut Bundle, gone: impl Fn(&Value) -> bool) {
    bundle.log.retain(|line| !gone(&fact(line)));
    chain_anew(bundle);
}

/// Computes ranking, tally hash and statement anew from what the record is made of.
fn count_anew(bundle: &mut Bundle) {
    let ranking = bundle.record.basis.rank();
    bundle.record = Record::of(bundle.record.basis.clone(), &ranking);
    let statement = &mut bundle.publication.statement;
    statement.tally_hash = bundle.record.hash();
    let before = std::mem::take(&mut statement.ranking);
    for row in ranking.ranking {
        let mut line =
            before.iter().find(|line| line.contestant_id.as_str() == &*row.contestant_id).expect("a known one").clone();
        (line.rank, line.total, line.deductions) = (row.rank, row.total, row.deductions);
        line.decided_by = row.decided_by;
        statement.ranking.push(line);
    }
}

/// Puts the officers' names under the tally as it stands.
fn put_under_it(bundle: &mut Bundle) {
    let statement = &mut bundle.publication.statement;
    for signed in &mut statement.signatures {
        signed.tally_hash.clone_from(&statement.tally_hash);
    }
}

/// The same in the log, wherever it names what they signed: the whole lie.
fn put_under_it_everywhere(bundle: &mut Bundle) {
    let signed = json!(bundle.publication.statement.signatures[0].tally_hash);
    put_under_it(bundle);
    let hash = json!(bundle.publication.statement.tally_hash);
    rewrite(bundle, |fact| {
        if fact["kind"] == "certification_updated" && fact["tally_hash"] == signed {
            fact["tally_hash"] = hash.clone();
        }
    });
}

/// What there is of ada's mark for the form of x.
fn is_the_mark(fact: &Value, ada: &str) -> bool {
    fact["kind"] == "score_updated"
        && (&fact["judge_id"], &fact["contestant_id"], &fact["criterion_id"])
            == (&json!(ada), &json!("x"), &json!("form"))
}

fn set_in_record(bundle: &mut Bundle, ada: &str, score: &str) {
    let marks = &mut bundle.record.basis.marks;
    let at = |mark: &&mut scorecast::tally::record::MarkBasis| {
        (mark.judge_id.as_str(), mark.contestant_id.as_str(), mark.criterion_id.as_str()) == (ada, "x", "form")
    };
    marks.iter_mut().find(at).expect("ada has marked x").score = score.parse().expect("a mark");
}

/// Approves a deduction of half a point for y.
async fn deduct(hall: &Hall) {
    let asked = json!({"categoryId": "vault", "contestantId": "y", "amount": 0.5, "reason": "out of bounds"});
    let id = hall.ask(&hall.judges[0], "deduction:requested", asked).await;
    let head = hall.app.connect(&email("head")).await;
    for party in [&head, &hall.tally, &hall.auditor, &hall.board] {
        ok(&party.call("deduction:approve", signed(&id)).await);
    }
}

#[tokio::test]
async fn a_server_that_changes_marks_rules_or_places_is_found_out() {
    let hall = judged().await;
    deduct(&hall).await;
    hall.certify().await;
    publish(&hall.app, "official").await;
    let forger = Forger::of(&hall).await;
    let ada = hall.app.user_id(&email("ada"));
    let ada = ada.as_str();
    let in_log = |bundle: &mut Bundle| {
        rewrite(bundle, |fact| {
            if is_the_mark(fact, ada) {
                fact["score"] = json!(9.75);
            }
        });
    };
    let median = |bundle: &mut Bundle| {
        bundle.record.basis.rules = serde_json::from_value(json!({"method": "median"})).expect("rules");
        // Else the median of these marks is their mean.
        bundle.record.basis.entries[0].factor = "2".parse().expect("a factor");
        count_anew(bundle);
    };
    forger.all_are_refused(&[
        ("in the record only", &|bundle| set_in_record(bundle, ada, "9.75"), "not the last ones given"),
        (
            "in the record, and counted",
            &|bundle| {
                set_in_record(bundle, ada, "9.75");
                count_anew(bundle);
            },
            "not the last ones given",
        ),
        ("in the log, chained anew", &in_log, "not the last ones given"),
        (
            "in the log and the record: the officers signed another tally",
            &|bundle| {
                in_log(bundle);
                set_in_record(bundle, ada, "9.75");
                count_anew(bundle);
            },
            "signed another tally",
        ),
        (
            "and the officers' hash with it, but not the one they saw",
            &|bundle| {
                in_log(bundle);
                set_in_record(bundle, ada, "9.75");
                count_anew(bundle);
                put_under_it(bundle);
            },
            "the board signed another tally",
        ),
        (
            "in what comes after the mark was given: its receipt would still hold",
            &|bundle| {
                rewrite(bundle, |fact| {
                    if is_the_mark(fact, ada) && fact["status"] != "submitted" {
                        fact["score"] = json!(9.75);
                    }
                });
                set_in_record(bundle, ada, "9.75");
                count_anew(bundle);
                put_under_it_everywhere(bundle);
            },
            "not given anew by its judge",
        ),
        (
            "a mark that another than the judge gave",
            &|bundle| {
                rewrite(bundle, |fact| {
                    if is_the_mark(fact, ada) {
                        fact["judge_id"] = json!("somebody");
                    }
                });
            },
            "not given anew by its judge",
        ),
        (
            "a mark that no judge may give",
            &|bundle| {
                rewrite(bundle, |fact| {
                    if is_the_mark(fact, ada) {
                        fact["score"] = json!(11);
                    }
                });
                set_in_record(bundle, ada, "11");
                count_anew(bundle);
                put_under_it_everywhere(bundle);
            },
            "11 is no mark for form",
        ),
        ("another rule", &median, "signed another tally"),
        (
            "another rule, put under the officers' names",
            &|bundle| {
                median(bundle);
                put_under_it(bundle);
            },
            "the board signed another tally",
        ),
        (
            "two places swapped",
            &|bundle| bundle.publication.statement.ranking.swap(0, 1),
            "do not come to this ranking",
        ),
        (
            "two places swapped in the record too",
            &|bundle| {
                bundle.record.ranking.swap(0, 1);
                bundle.publication.statement.tally_hash = bundle.record.hash();
                bundle.publication.statement.ranking.swap(0, 1);
            },
            "do not come to this ranking",
        ),
        (
            "a total",
            &|bundle| bundle.publication.statement.ranking[0].total = Some("23".parse().expect("a total")),
            "do not come to this ranking",
        ),
        (
            "a deduction dropped",
            &|bundle| {
                bundle.record.basis.deductions.clear();
                count_anew(bundle);
            },
            "the deductions are not those approved",
        ),
        (
            "a deduction dropped from the log too",
            &|bundle| {
                take_out(bundle, |fact| fact["kind"] == "decision_changed");
                bundle.record.basis.deductions.clear();
                count_anew(bundle);
            },
            "signed another tally",
        ),
        (
            "a judge who was not in the panel",
            &|bundle| {
                let mut another = bundle.publication.statement.judges[0].clone();
                another.id = "somebody".parse().expect("an id");
                bundle.publication.statement.judges.push(another);
            },
            "its judges are not those whose marks count",
        ),
        (
            "a criterion left out",
            &|bundle| drop(bundle.publication.statement.criteria.pop()),
            "its criteria are not those that were marked",
        ),
        (
            "another contest",
            &|bundle| bundle.publication.statement.contest.id = "men".parse().expect("an id"),
            "its log is of another event or contest",
        ),
        (
            "a draft that calls itself a revision",
            &|bundle| bundle.publication.statement.revision = 0,
            "its revision is not one of its state",
        ),
        (
            "another format",
            &|bundle| bundle.publication.statement.format = "scorecast-publication/2".to_owned(),
            "no publication of a format this version knows",
        ),
    ]);
    hall.app.stop().await;
}

#[tokio::test]
async fn a_server_that_adds_facts_to_the_log_or_drops_some_is_found_out() {
    let hall = official().await;
    let forger = Forger::of(&hall).await;
    let again = |line: &Line| serde_json::from_str::<Line>(&serde_json::to_string(line).expect("plain data"));
    let again = |line: &Line| again(line).expect("a line");
    let ada = hall.app.user_id(&email("ada"));
    let ada = ada.as_str();
    let lines = || Bundle::decode(&forger.good).expect("a good bundle").log.len();
    forger.all_are_refused(&[
        (
            "a fact put in",
            &|bundle| bundle.log.insert(3, again(&bundle.log[2])),
            "fact 4 is missing, 3 stands in its place",
        ),
        (
            "a fact put in, chained anew",
            &|bundle| {
                bundle.log.insert(3, again(&bundle.log[2]));
                chain_anew(bundle);
            },
            "fact 4 stands before the one it follows",
        ),
        (
            "a mark put in behind the others",
            &|bundle| {
                let mut more = again(&bundle.log[2]);
                let mut given = fact(&more);
                (given["score"], given["version"]) = (json!(0), json!(2));
                more.fact = RawValue::from_string(given.to_string()).expect("JSON");
                more.seq = bundle.log[bundle.log.len() - 1].seq + 1;
                bundle.log.push(more);
                chain_anew(bundle);
            },
            "not given anew by its judge",
        ),
        ("a fact dropped", &|bundle| drop(bundle.log.remove(4)), "fact 5 is missing, 6 stands in its place"),
        (
            "all there is of a mark dropped",
            &|bundle| take_out(bundle, |fact| is_the_mark(fact, ada)),
            "not the last ones given",
        ),
        (
            "two facts swapped",
            &|bundle| {
                bundle.log.swap(4, 5);
                chain_anew(bundle);
            },
            "stands before the one it follows",
        ),
        ("a salt", &|bundle| bundle.log[4].salt = "00".to_owned(), "the chain breaks at fact 5"),
        ("who asked", &|bundle| bundle.log[4].actor = "somebody".to_owned(), "the chain breaks at fact 5"),
        ("cut off, signed for the whole", &|bundle| bundle.log.truncate(30), "it ends at fact 30, not at the"),
        (
            "cut off",
            &|bundle| {
                bundle.log.truncate(lines() - 1);
                chain_anew(bundle);
            },
            "they are not those of the log",
        ),
        (
            "the lane of another category",
            &|bundle| bundle.publication.statement.log.lane = "cat:beam".to_owned(),
            "cat:beam is the lane of something else",
        ),
        (
            "the facts of another category",
            &|bundle| rewrite(bundle, |fact| fact["category_id"] = json!("beam")),
            "fact 1 is not of the kind or lane it says",
        ),
        (
            "marks taken out by nobody's decision",
            &|bundle| {
                let given = fact(&bundle.log[0]);
                let mut gone = again(&bundle.log[bundle.log.len() - 1]);
                let deleted = json!({
                    "kind": "score_deleted", "id": given["id"], "category_id": "vault",
                    "contestant_id": given["contestant_id"], "judge_id": given["judge_id"], "reason": "00",
                    "removal_id": "r1", "visibility": "presence", "deleted_at": given["updated_at"],
                });
                gone.fact = RawValue::from_string(deleted.to_string()).expect("JSON");
                (gone.kind, gone.seq) = ("score_deleted".to_owned(), gone.seq + 1);
                bundle.log.push(gone);
                chain_anew(bundle);
            },
            "marks are taken out by r1, which was not decided",
        ),
    ]);
    hall.app.stop().await;
}

#[tokio::test]
async fn a_server_that_changes_who_signed_is_found_out() {
    let hall = official().await;
    let forger = Forger::of(&hall).await;
    let (ada, tally) = (hall.app.user_id(&email("ada")), hall.app.user_id(&email("tally")));
    let everywhere = |bundle: &mut Bundle, at: usize, user: &str| {
        bundle.publication.statement.signatures[at].user_id = user.parse().expect("an id");
        rewrite(bundle, |fact| {
            if fact["kind"] == "certification_updated" && fact["signatures"].get(at).is_some() {
                fact["signatures"][at]["user_id"] = json!(user);
            }
        });
    };
    let unsigned = |bundle: &mut Bundle| {
        bundle.publication.statement.signatures.remove(1);
        rewrite(bundle, |fact| {
            if let Some(list) = fact.get_mut("signatures").and_then(Value::as_array_mut) {
                list.retain(|signed| signed["stage"] != "AUDITED");
            }
        });
    };
    forger.all_are_refused(&[
        (
            "a signature dropped",
            &|bundle| drop(bundle.publication.statement.signatures.pop()),
            "they are not those of the log",
        ),
        (
            "another signer",
            &|bundle| bundle.publication.statement.signatures[1].user_id = "somebody".parse().expect("an id"),
            "they are not those of the log",
        ),
        ("the auditor's signature dropped from the log too", &unsigned, "one is missing"),
        ("a judge in the auditor's place", &|bundle| everywhere(bundle, 1, &ada), "judged it and signed Audited"),
        ("one person in two places", &|bundle| everywhere(bundle, 1, &tally), "one person signed two stages"),
        (
            "a signature under another tally",
            &|bundle| bundle.publication.statement.signatures[0].tally_hash = "00".to_owned(),
            "signed another tally",
        ),
    ]);
    // What one person may sign is said by the statement, for everyone to see.
    let relaxed = forger.forged(|bundle| {
        everywhere(bundle, 1, &tally);
        bundle.publication.statement.single_officer = true;
    });
    assert!(forger.check(&relaxed, &[]).expect("it says what it is").statement.single_officer);
    hall.app.stop().await;

    let hall = judged().await;
    publish(&hall.app, "unofficial").await;
    let forger = Forger::of(&hall).await;
    let official = |bundle: &mut Bundle| {
        bundle.publication.statement.state = scorecast::db::entity::publication::PublicationState::Official;
    };
    forger.all_are_refused(&[
        ("unofficial called official", &official, "the board had not signed"),
        (
            "before the judges were done",
            &|bundle| take_out(bundle, |fact| fact["stage"] == "JUDGED"),
            "the judges were not done",
        ),
    ]);
    hall.app.stop().await;
}

#[tokio::test]
async fn only_a_key_that_was_brought_counts() {
    let hall = official().await;
    let forger = Forger::of(&hall).await;
    let own = forger.signer.public_key();
    let secret = scorecast::auth::secret::DerivedKey::new("another-0123456789abcdef0123456789abcdef", "signing keys");
    let (stranger, _) = Signer::generate(&Chance::seeded(7), &secret);
    let signed_by_stranger = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = Bundle::decode(&forger.good).expect("a good bundle");
        bundle.publication = bundle.publication.statement.clone().sign(&stranger);
        change(&mut bundle);
        written(&bundle)
    };
    let unknown = signed_by_stranger(&|_| {});
    assert!(matches!(forger.check(&unknown, &[]), Err(Rejected::UnknownKey(_))));
    assert!(matches!(verify(&unknown, &[], &[]), Err(Rejected::UnknownKey(_))), "no key accepts nothing");
    let borrowed_name = signed_by_stranger(&|bundle| bundle.publication.key_id = own.id());
    assert!(matches!(forger.check(&borrowed_name, &[]), Err(Rejected::Signature(_))));
    let borrowed_key = signed_by_stranger(&|bundle| {
        (bundle.publication.key_id, bundle.publication.public_key) = (own.id(), own.clone());
    });
    assert!(matches!(forger.check(&borrowed_key, &[]), Err(Rejected::Signature(_))));
    let mut unsigned = Bundle::decode(&forger.good).expect("a good bundle");
    unsigned.publication.statement.category.name = "Floor".to_owned();
    assert!(
        matches!(forger.check(&written(&unsigned), &[]), Err(Rejected::Signature(_))),
        "changed after it was signed"
    );
    verify(&unknown, &[own, stranger.public_key()], &[]).expect("whoever trusts the stranger takes it");
    hall.app.stop().await;
}

#[tokio::test]
async fn a_log_that_was_cut_off_or_written_anew_is_found_out_by_a_receipt() {
    let hall = official().await;
    let first = Forger::of(&hall).await;
    let receipt = correct(&hall, 2.0).await;
    publish(&hall.app, "official").await;
    let second = Forger::of(&hall).await;
    let found = second.check(&second.good, std::slice::from_ref(&receipt)).expect("it is there");
    assert_eq!((found.statement.revision, found.receipts_elsewhere), (2, 0));
    let ada = hall.app.user_id(&email("ada"));
    let what = format!("fact {}: {ada} gave x 2 for form; it counts", receipt.seq);
    assert_eq!(found.receipts_honoured, [what], "it says what the receipt is for");
    let elsewhere = Receipt { lane: "cat:beam".to_owned(), ..receipt.clone() };
    let found = second.check(&second.good, &[receipt.clone(), elsewhere]).expect("nothing is said of the beam");
    assert_eq!((found.receipts_honoured.len(), found.receipts_elsewhere), (1, 1));

    // As if ada had never given another mark: the log ends where the first revision was taken from.
    let old = Bundle::decode(&first.good).expect("a good bundle");
    let cut_off = second.forged(|bundle| {
        bundle.log.truncate(old.log.len());
        chain_anew(bundle);
        bundle.record = old.record;
        let signatures = old.publication.statement.signatures;
        bundle.publication.statement.signatures = signatures;
        count_anew(bundle);
    });
    let found = second.check(&cut_off, &[]).expect("who has no receipt cannot know");
    assert_eq!(
        (found.statement.revision, found.statement.ranking[0].total.as_ref().map(ToString::to_string)),
        (2, Some("22.85".to_owned()))
    );
    let told = second.check(&cut_off, std::slice::from_ref(&receipt)).expect_err("ada knows").to_string();
    assert!(told.contains("the log ends at fact"), "{told}");

    // As if she were not of the panel: her receipt is honoured, but it says so.
    let left_out = second.forged(|bundle| {
        bundle.record.basis.panel.retain(|judge| judge.judge_id.as_str() != ada);
        bundle.record.basis.marks.retain(|mark| mark.judge_id.as_str() != ada);
        bundle.publication.statement.judges.retain(|judge| judge.id.as_str() != ada);
        count_anew(bundle);
        put_under_it_everywhere(bundle);
    });
    let found = second.check(&left_out, std::slice::from_ref(&receipt)).expect("nothing of hers is changed");
    assert!(found.receipts_honoured[0].ends_with("it does not count"), "{:?}", found.receipts_honoured);

    // As if she had given this mark instead, with everything put under it.
    let anew = second.forged(|bundle| {
        rewrite(bundle, |fact| {
            if is_the_mark(fact, &ada) && fact["version"] == 2 {
                fact["score"] = json!(9.75);
            }
        });
        set_in_record(bundle, &ada, "9.75");
        count_anew(bundle);
        put_under_it_everywhere(bundle);
    });
    second.check(&anew, &[]).expect("who has no receipt cannot know");
    let told = second.check(&anew, std::slice::from_ref(&receipt)).expect_err("ada knows").to_string();
    assert!(told.contains(&format!("fact {} is another one", receipt.seq)), "{told}");
    for seq in [0, -1, i64::MIN, i64::MAX] {
        let absurd = Receipt { seq, ..receipt.clone() };
        assert!(matches!(second.check(&second.good, &[absurd]), Err(Rejected::Receipt(_))), "{seq}");
    }
    hall.app.stop().await;
}

#[tokio::test]
async fn whatever_may_happen_to_a_category_its_evidence_is_accepted() {
    let hall = judged().await;
    let organizer = email("organizer");
    // Judges who do not count mark it too, one of them in a batch.
    let head = hall.app.connect(&email("head")).await;
    ok(&head.call("scores:submit", mark("x", "form", 1.0)).await);
    let both = hall.app.connect(&email("both")).await;
    let items = json!({"items": [mark("y", "form", 2.0), mark("y", "form", 2.5), mark("y", "form", 99.0)]});
    ok(&both.call("scores:submitBatch", items).await);
    // Ada's marks are taken out; she gives them again, and one of them twice.
    let ada = hall.app.user_id(&email("ada"));
    let removal = json!({"categoryId": "vault", "judgeId": ada, "reason": "the wrong sheet"});
    let id = hall.ask(&hall.board, "score:removal-requested", removal).await;
    for officer in [&hall.tally, &hall.auditor, &hall.board] {
        ok(&officer.call("score:removal-sign", signed(&id)).await);
    }
    for contestant in ["x", "y", "z"] {
        for criterion in ["form", "height"] {
            let again = mark(contestant, criterion, score(0.0, contestant, criterion));
            ok(&hall.judges[0].call("scores:submit", again).await);
        }
    }
    ok(&hall.judges[0].call("scores:submit", mark("z", "height", 4.4)).await);
    hall.judges[0].call("scores:certify", json!({"categoryId": "vault"})).await;
    ok(&hall.judges[0].call("scores:final", json!({"categoryId": "vault"})).await);
    deduct(&hall).await;
    hall.certify().await;
    // Sent back, opened, marked anew, under another rule; a judge leaves, and one who never marked comes and goes.
    ok(&hall
        .board
        .call("certification:reject", json!({"categoryId": "vault", "reason": "no", "toStage": "JUDGED"}))
        .await);
    correct_before_the_officers(&hall).await;
    let mut category = hall.app.get("/api/v1/admin/categories/vault", &organizer).await.body;
    category["rules"]["method"] = json!("median");
    for field in ["id", "eventId", "entries"] {
        category.as_object_mut().expect("an object").remove(field);
    }
    let changed = hall.app.send(Method::PUT, "/api/v1/admin/categories/vault", &organizer, category).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    hall.app.take_hat(&hall.app.hat_of("cleo").await).await;
    let hat = hall.app.give_hat("idle", json!({"categoryId": "vault"})).await;
    hall.app.take_hat(&hat).await;
    hall.certify().await;
    publish(&hall.app, "official").await;
    let Hall { app, judges, tally, auditor, board } = hall;
    drop((judges, tally, auditor, board, head, both));
    let app = app.restart().await;
    let found = verify(&evidence(&app).await, &keys(&app).await, &[]).expect("everything in it is right");
    assert_eq!((found.marks, found.statement.judges.len(), found.statement.criteria.len()), (18, 3, 2));
    assert_eq!(found.statement.ranking[1].deductions.to_string(), "0.5");
    app.stop().await;
}

#[tokio::test]
async fn withdrawals_ties_proxy_marks_and_overrides_are_proven_like_everything_else() {
    let mut document = document();
    document["event"]["allowOverride"] = json!(true);
    let vault = &mut document["contests"][0]["categories"][0];
    vault["rules"] = json!({"method": "mean", "tieBreaks": ["manual"]});
    vault["proxyEntry"] = json!(true);
    let app = TestApp::start().await;
    app.import(document).await;
    // Ada and ben like all alike; cleo's marks are on paper.
    let hall = Hall::marked_in(app, &["ada", "ben"], |_, _, _| 5.0).await;
    let cleo = hall.app.user_id(&email("cleo"));
    for contestant in ["x", "y"] {
        for criterion in ["form", "height"] {
            let mut payload = mark(contestant, criterion, 6.0);
            payload["judgeId"] = json!(cleo);
            let entered = hall.tally.call("scores:submit", payload).await;
            let id = ok(&entered)["score"]["id"].clone();
            ok(&hall.auditor.call("scores:confirm", json!({"categoryId": "vault", "scoreId": id})).await);
        }
    }
    // The head judge does not count; a mark that waits for a confirmation changes nothing.
    let mut waiting = mark("x", "form", 1.0);
    waiting["judgeId"] = json!(hall.app.user_id(&email("head")));
    let waiting = hall.tally.call("scores:submit", waiting).await;
    let waiting = json!({"categoryId": "vault", "scoreId": ok(&waiting)["score"]["id"]});
    let organizer = hall.app.connect(&email("organizer")).await;
    let gone = json!({"categoryId": "vault", "contestantId": "z", "reason": "ankle"});
    ok(&organizer.call("entry:withdraw", gone).await);
    let order = json!({"categoryId": "vault", "order": ["y", "x"], "reason": "difficulty"});
    ok(&hall.tally.call("tie:resolve", order).await);
    let admin = hall.app.connect(&email("admin")).await;
    for judge in &hall.judges[..2] {
        ok(&judge.call("scores:certify", json!({"categoryId": "vault"})).await);
        ok(&judge.call("scores:final", json!({"categoryId": "vault"})).await);
    }
    ok(&admin.call("certification:override", json!({"categoryId": "vault", "stage": "JUDGED", "reason": "ill"})).await);
    hall.certify().await;
    publish(&hall.app, "official").await;
    assert_eq!(code(&hall.auditor.call("scores:confirm", waiting).await), "LOCKED", "it is published");
    let forger = Forger::of(&hall).await;
    let found = forger.check(&forger.good, &[]).expect("all of it is right");
    let places: Vec<_> = found.statement.ranking.iter().map(|line| line.contestant_id.as_str()).collect();
    assert_eq!(places, ["y", "x"], "as the tally master decided, and without z");
    assert!(found.statement.signatures[0].overridden && found.statement.signatures.len() == 4);
    let whole_lie = |bundle: &mut Bundle| {
        count_anew(bundle);
        put_under_it_everywhere(bundle);
    };
    let named = |bundle: &mut Bundle| {
        // Only those who are ranked are named in the statement.
        let mut line = bundle.publication.statement.ranking[0].clone();
        line.contestant_id = "z".parse().expect("an id");
        bundle.publication.statement.ranking.push(line);
    };
    forger.all_are_refused(&[
        (
            "a withdrawn contestant comes back",
            &|bundle| {
                bundle.record.basis.entries[2].withdrawn = false;
                named(bundle);
                whole_lie(bundle);
            },
            "the withdrawals are others",
        ),
        (
            "the tie is turned round",
            &|bundle| {
                bundle.record.basis.ties[0].reverse();
                whole_lie(bundle);
            },
            "the ties were resolved in another way",
        ),
        (
            "the tie is forgotten",
            &|bundle| {
                bundle.record.basis.ties.clear();
                whole_lie(bundle);
            },
            "the ties were resolved in another way",
        ),
        (
            "a mark from paper confirms itself",
            &|bundle| {
                for line in &mut bundle.log {
                    let mut told = fact(line);
                    if told.get("confirmed_by").is_some() && told["status"] == "submitted" {
                        told["confirmed_by"] = told["entered_by"].clone();
                        line.actor = told["entered_by"].as_str().expect("a user").to_owned();
                        line.fact = RawValue::from_string(told.to_string()).expect("a fact is JSON");
                    }
                }
                chain_anew(bundle);
            },
            "it confirms a mark that nobody else has confirmed",
        ),
        (
            "an override passes for a signature",
            &|bundle| bundle.publication.statement.signatures[0].overridden = false,
            "they are not those of the log",
        ),
    ]);
    hall.app.stop().await;
}

#[tokio::test]
async fn whoever_signed_can_prove_what_they_signed() {
    let hall = judged().await;
    let mut receipts: Vec<Receipt> = Vec::new();
    for (officer, stage) in [(&hall.tally, "TALLIED"), (&hall.auditor, "AUDITED"), (&hall.board, "CERTIFIED")] {
        let answer = hall.sign(officer, stage).await;
        receipts.push(serde_json::from_value(ok(&answer)["receipt"].clone()).expect("a receipt"));
    }
    let published = publish(&hall.app, "official").await;
    let forger = Forger::of(&hall).await;
    let found = forger.check(&forger.good, &receipts).expect("they signed this");
    assert_eq!(found.receipts_honoured.len(), 3);
    let hash = published["tallyHash"].as_str().expect("a hash");
    assert!(found.receipts_honoured[1].ends_with(&format!("Audited, tally {hash}")), "{:?}", found.receipts_honoured);
    // Another rule, with all names put under it: the marks and their receipts are as they were.
    let other_rule = forger.forged(|bundle| {
        bundle.record.basis.entries[0].factor = "2".parse().expect("a factor");
        count_anew(bundle);
        put_under_it_everywhere(bundle);
    });
    forger.check(&other_rule, &[]).expect("who has no receipt cannot know");
    for receipt in receipts {
        assert!(matches!(forger.check(&other_rule, &[receipt]), Err(Rejected::Receipt(_))));
    }
    hall.app.stop().await;
}

/// Published evidence is kept for years: whatever a later version writes, it must accept what this one wrote. Never make
/// the file anew; another format gets a file of its own.
#[test]
fn evidence_that_was_published_once_is_accepted_for_good() {
    let bytes = include_bytes!("../data/evidence/format-1.zip");
    let key = include_str!("../data/evidence/format-1.key").parse().expect("an Ed25519 key");
    let found = verify(bytes, &[key], &[]).expect("it is accepted as ever");
    assert_eq!((found.marks, found.statement.signatures.len()), (18, 3));
}

/// The name of a file, and what is in it.
type File = (String, Vec<u8>);

/// The files of an archive, in order.
fn unpacked(bytes: &[u8]) -> Vec<File> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).expect("an archive");
    let file = |at| {
        let mut entry = archive.by_index(at).expect("a file");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("it is stored");
        (entry.name().expect("a name").into_owned(), content)
    };
    (0..8).map(file).collect()
}

fn packed(files: &[File], options: SimpleFileOptions) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        archive.start_file(name, options).expect("a new file");
        archive.write_all(content).expect("it is written");
    }
    archive.finish().expect("it is written").into_inner()
}

/// Says of every file that it is deflated.
fn called_compressed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (signature, method) in [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)] {
        let starts = bytes.windows(4).enumerate().filter(|(_, window)| window == signature).map(|(at, _)| at);
        for start in starts.collect::<Vec<_>>() {
            bytes[start + method] = 8;
        }
    }
    bytes
}

#[tokio::test]
async fn a_bundle_has_one_form_and_every_other_is_refused() {
    let hall = official().await;
    let forger = Forger::of(&hall).await;
    let files = unpacked(&forger.good);
    let plain = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(0o644);
    assert_eq!(packed(&files, plain), forger.good, "this is how it is written");
    let with = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut files = files.clone();
        change(&mut files.iter_mut().find(|(file, _)| file == name).expect("it is there").1);
        packed(&files, plain)
    };
    let of_files = |change: &dyn Fn(&mut Vec<File>)| {
        let mut files = files.clone();
        change(&mut files);
        packed(&files, plain)
    };
    let (one_way, missing) = ("the archive is not written in the one way there is", "cannot be read");
    let today = zip::DateTime::from_date_and_time(2024, 2, 29, 12, 0, 0).expect("a day");
    let forms: Vec<(&str, Vec<u8>, &str)> = vec![
        ("compressed", called_compressed(&forger.good), missing),
        ("a file more", of_files(&|files| files.push(("more.txt".into(), b"trust me".to_vec()))), one_way),
        ("another order", of_files(&|files| files.swap(0, 7)), one_way),
        ("another order of what counts", of_files(&|files| files.swap(1, 2)), one_way),
        ("another time", packed(&files, plain.last_modified_time(today)), one_way),
        ("other rights", packed(&files, plain.unix_permissions(0o777)), one_way),
        ("something in front", [b"#!/bin/sh\n", &*forger.good].concat(), one_way),
        ("something behind", [&*forger.good, b"more"].concat(), one_way),
        ("a table left out", of_files(&|files| drop(files.pop())), "signatures.csv is not what follows"),
        ("no log", of_files(&|files| files.retain(|(name, _)| name != "log.ndjson")), "log.ndjson cannot be read"),
        ("another text for people", with("README.txt", &|text| text.push(b'.')), "README.txt is not what follows"),
        ("another table", with("marks.csv", &|text| text.truncate(100)), "marks.csv is not what follows"),
        ("another ranking for people", with("result.csv", &|text| text[0] ^= 1), "result.csv is not what follows"),
        ("a blank in what is signed", with("publication.json", &|text| text.push(b'\n')), "publication.json is not"),
        ("a blank in the tally", with("tally.json", &|text| text.insert(1, b' ')), "tally.json is not what follows"),
        (
            "a line without an end",
            with("log.ndjson", &|text| text.truncate(text.len() - 1)),
            "log.ndjson is not what follows",
        ),
        (
            "an unknown field",
            with("tally.json", &|text| drop(text.splice(1..1, *b"\"a\":1,"))),
            "tally.json cannot be read",
        ),
        ("no text", with("log.ndjson", &|text| text[0] = 0xFF), "log.ndjson cannot be read"),
        ("half of it", forger.good[..forger.good.len() / 2].to_vec(), "no ZIP archive"),
        ("nothing", Vec::new(), "no ZIP archive"),
    ];
    let wrong = forms.into_iter().filter_map(|(what, bytes, reason)| {
        let told = forger.check(&bytes, &[]).map_or_else(|rejected| rejected.to_string(), |_| "accepted".to_owned());
        (!told.contains(reason)).then(|| format!("{what}: {told}"))
    });
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new());
    hall.app.stop().await;
}

#[tokio::test]
async fn anyone_checks_evidence_from_the_command_line() {
    let hall = judged().await;
    let given = hall.judges[0].call("scores:submit", mark("x", "form", 1.0)).await;
    assert_eq!(code(&given), "CERTIFIED");
    let receipt = remark(&hall, 8.5).await;
    ok(&hall.judges[0].call("scores:certify", json!({"categoryId": "vault"})).await);
    ok(&hall.judges[0].call("scores:final", json!({"categoryId": "vault"})).await);
    hall.certify().await;
    publish(&hall.app, "official").await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).expect("it is written");
    write("evidence.zip", &evidence(&hall.app).await);
    let set = hall.app.public("/.well-known/scorecast-keys.json").await.body;
    write("keys.json", set.to_string().as_bytes());
    write("receipts.ndjson", format!("{}\n", serde_json::to_string(&receipt).expect("plain data")).as_bytes());
    let other = Receipt { hash: GENESIS.to_owned(), ..receipt };
    write("other.ndjson", serde_json::to_string(&other).expect("plain data").as_bytes());
    write("words.txt", b"not a receipt");
    let key = keys(&hall.app).await[0].to_string();
    let database = hall.app.app.config.database_url.clone();
    let nowhere = format!("sqlite://{}", folder.path().join("nowhere.db").display());
    // Base64url has a hyphen, and a key may begin with it.
    let stranger = "-".repeat(42) + "A";
    let runs: [(Option<&str>, &[&str], i32, &str); 10] = [
        (None, &["--key", &key], 0, "accepted: evidence.zip"),
        (None, &["--key", "keys.json"], 0, "published  Official, revision 1"),
        (None, &["--key", &stranger, "--key", &key], 0, "receipts   0 honoured"),
        (Some(&database), &[], 0, "computed   3 places from 18 marks"),
        (None, &["--key", &key, "--receipts", "receipts.ndjson"], 0, "receipts   1 honoured"),
        (None, &["--key", &key, "--receipts", "other.ndjson"], 1, "a receipt is not honoured: fact"),
        (None, &["--key", &key, "--receipts", "words.txt"], 1, "cannot read words.txt"),
        (None, &["--key", &stranger], 1, "which is not one of yours"),
        (None, &["--key", "nobody"], 1, "nobody is no key, and no file with keys"),
        (Some(&nowhere), &[], 1, "name the key with --key"),
    ];
    for (database, arguments, status, said) in runs {
        let output = process::verify_in(folder.path(), database, arguments);
        let told = String::from_utf8_lossy(if status == 0 { &output.stdout } else { &output.stderr }).into_owned();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {told}");
        assert!(told.contains(said), "{arguments:?}: {told}");
    }
    assert!(!folder.path().join("nowhere.db").exists(), "nothing is made for a question");
    write("evidence.zip", b"PK");
    let output = process::verify_in(folder.path(), None, &["--key", &key]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("evidence.zip is not accepted: it is no ZIP archive"));
    hall.app.stop().await;
}

// Publishing.

#[tokio::test]
async fn each_state_is_published_at_its_stage_by_those_who_run_the_installation() {
    let app = TestApp::start().await;
    app.import(document()).await;
    let hall = Hall::marked_in(app, &JUDGES, score).await;
    let app = &hall.app;
    assert_eq!(refused_publish(app, "organizer", "unofficial").await, refusal(409, "STATE"), "the judges are marking");
    hall.finish_judging().await;
    for name in ["tally", "auditor", "board", "emcee", "ada", "head", "gymnast", "idle"] {
        assert_eq!(refused_publish(app, name, "unofficial").await, refusal(403, "FORBIDDEN"), "{name}");
    }
    assert_eq!(
        refused_publish(app, "both", "unofficial").await,
        refusal(403, "SEPARATION_OF_DUTIES"),
        "an admin who judges"
    );
    assert_eq!(refused_publish(app, "organizer", "draft").await, refusal(400, "INVALID_DATA"));
    assert_eq!(refused_publish(app, "organizer", "final").await, refusal(400, "INVALID_DATA"));
    let unknown = app.post("/api/v1/categories/floor/publish", &email("admin"), json!({"state": "unofficial"})).await;
    assert_eq!(unknown.status, 404);
    let anyone =
        app.request(Method::POST, &format!("{VAULT}/publish"), None, Some(json!({"state": "unofficial"}))).await;
    assert_eq!(anyone.status, 401);
    assert_eq!(refused_publish(app, "organizer", "official").await, refusal(409, "STATE"), "no officer has signed");
    let first = publish(app, "unofficial").await;
    assert_eq!(
        (&first["revision"], &first["state"], &first["hidden"]),
        (&json!(1), &json!("unofficial"), &json!(false))
    );
    assert_eq!(refused_publish(app, "admin", "unofficial").await, refusal(409, "DUPLICATE"));
    hall.certify().await;
    assert_eq!(hall.view("board").await["stage"], "CERTIFIED", "an unofficial result moves nothing");
    let second = app.post(&format!("{VAULT}/publish"), &email("admin"), json!({"state": "official"})).await;
    assert_eq!((second.status.as_u16(), &second.body["revision"]), (201, &json!(2)), "{}", second.body);
    for state in ["official", "unofficial"] {
        assert_eq!(refused_publish(app, "organizer", state).await, refusal(409, "DUPLICATE"), "{state}");
    }
    let view = hall.view("ada").await;
    assert_eq!(
        (&view["stage"], &view["status"], &view["currentStep"], &view["totalSteps"]),
        (&json!("PUBLISHED"), &json!("CERTIFIED"), &json!(4), &json!(4))
    );
    hall.app.stop().await;
}

#[tokio::test]
async fn a_locked_contest_is_published_all_the_same() {
    let hall = judged().await;
    hall.certify().await;
    let locked = hall.app.post("/api/v1/contests/women/lock", &email("organizer"), json!({"reason": "the end"})).await;
    assert_eq!(locked.status, 200);
    assert_eq!(publish(&hall.app, "unofficial").await["revision"], 1);
    assert_eq!(publish(&hall.app, "official").await["revision"], 2);
    assert_eq!(hall.view("board").await["stage"], "PUBLISHED");
    let back = json!({"categoryId": "vault", "reason": "a slip"});
    assert_eq!(code(&hall.board.call("certification:reject", back).await), "LOCKED", "nothing else is written");
    ok(&hall.board.call("results:freeze", json!({"eventId": "cup"})).await);
    ok(&hall.board.call("results:thaw", json!({"eventId": "cup"})).await);
    hall.app.stop().await;
}

#[tokio::test]
async fn a_correction_is_a_new_revision_and_the_old_evidence_still_stands() {
    let hall = official().await;
    let keys = keys(&hall.app).await;
    let before = evidence(&hall.app).await;
    correct(&hall, 2.0).await;
    assert_eq!(hall.view("board").await["stage"], "CERTIFIED", "published no more");
    let second = publish(&hall.app, "official").await;
    assert_eq!(second["revision"], 2);
    assert_eq!(hall.view("board").await["stage"], "PUBLISHED");
    let of =
        async |revision: i64| hall.app.bytes(&format!("{VAULT}/evidence.zip?revision={revision}"), &email("ben")).await;
    assert!(of(1).await == before, "what was published never changes");
    verify(&of(1).await, &keys, &[]).expect("the first revision stands");
    let found = verify(&of(2).await, &keys, &[]).expect("the second revision stands");
    assert_eq!(found.statement.ranking[0].total.as_ref().map(ToString::to_string).as_deref(), Some("20.85"));
    assert!(of(2).await == evidence(&hall.app).await, "the latest unless said");
    let list = hall.app.get(&format!("{VAULT}/publications"), &email("ben")).await.body;
    let revisions: Vec<&Value> =
        list["items"].as_array().expect("a list").iter().map(|item| &item["revision"]).collect();
    assert_eq!(revisions, [&json!(1), &json!(2)]);
    let public = hall.app.public("/api/v1/events/cup/judged").await.body;
    assert_eq!((public["items"].as_array().map(Vec::len), &public["items"][0]["revision"]), (Some(1), &json!(2)));
    assert_eq!(hall.app.get(&format!("{VAULT}/evidence.zip?revision=3"), &email("tally")).await.status, 404);
    hall.app.stop().await;
}

#[tokio::test]
async fn what_was_sent_back_and_signed_again_unchanged_is_published_again() {
    let hall = official().await;
    ok(&hall.board.call("certification:reject", json!({"categoryId": "vault", "reason": "a protest"})).await);
    assert_eq!(refused_publish(&hall.app, "organizer", "official").await, refusal(409, "STATE"));
    ok(&hall.sign(&hall.board, "CERTIFIED").await);
    assert_eq!(publish(&hall.app, "official").await["revision"], 2);
    assert_eq!(hall.view("board").await["stage"], "PUBLISHED");
    assert_eq!(refused_publish(&hall.app, "organizer", "official").await, refusal(409, "DUPLICATE"));
    verify(&evidence(&hall.app).await, &keys(&hall.app).await, &[]).expect("the new signature is in it");
    hall.app.stop().await;
}

// Who reads what.

/// What each of the released readings answers somebody: tally, completeness, evidence, scores, standings, publications.
async fn doors(app: &TestApp, name: &str) -> [u16; 6] {
    let paths = ["tally", "completeness", "evidence.zip", "scores"].map(|end| format!("{VAULT}/{end}"));
    let rest = ["/api/v1/contests/women/standings".to_owned(), format!("{VAULT}/publications")];
    let mut answers = [0; 6];
    for (at, path) in paths.iter().chain(&rest).enumerate() {
        answers[at] = app.get(path, &email(name)).await.status.as_u16();
    }
    answers
}

/// The other category of the contest is judged and published too, so that there are standings.
pub async fn publish_beam(hall: &Hall) {
    let beam = hall.app.connect(&email("beam")).await;
    for contestant in ["x", "y", "z"] {
        for criterion in ["form", "height"] {
            let given = json!({"categoryId": "beam", "contestantId": contestant, "criterionId": criterion, "score": 5});
            ok(&beam.call("scores:submit", given).await);
        }
    }
    ok(&beam.call("scores:certify", json!({"categoryId": "beam"})).await);
    ok(&beam.call("scores:final", json!({"categoryId": "beam"})).await);
    let published =
        hall.app.post("/api/v1/categories/beam/publish", &email("organizer"), json!({"state": "unofficial"})).await;
    assert_eq!(published.status, 201, "{}", published.body);
}

/// Judged by everybody, with `idle` as one who judged it once and is there as an emcee now.
async fn with_a_former_judge() -> Hall {
    let hall = judged().await;
    let hat = hall.app.give_hat("idle", json!({"categoryId": "vault", "counts": false})).await;
    hall.app.take_hat(&hat).await;
    hall.app.give_hat("idle", json!({"hat": "EMCEE", "categoryId": "vault"})).await;
    publish_beam(&hall).await;
    hall
}

/// The score of a mark in an answer of `scores`.
fn score_of(answer: &Value, judge: &str, contestant: &str, criterion: &str) -> Value {
    let scores = answer["scores"].as_array().expect("a list");
    let wanted = |score: &&Value| {
        (&score["judgeId"], &score["contestantId"], &score["criterionId"])
            == (&json!(judge), &json!(contestant), &json!(criterion))
    };
    scores.iter().find(wanted).expect("it is listed")["score"].clone()
}

#[tokio::test]
async fn everybody_reads_what_is_published_and_nobody_more() {
    let hall = with_a_former_judge().await;
    let app = &hall.app;
    let everywhere = |doors: [u16; 6]| doors.iter().all(|status| *status == 200);
    // tally, completeness, evidence, scores, standings, publications
    for (name, expected) in [
        ("ada", [403, 403, 403, 200, 403, 200]),
        ("head", [403, 403, 403, 200, 403, 200]),
        ("idle", [403, 403, 403, 200, 403, 200]),
        ("emcee", [403, 403, 403, 403, 403, 200]),
        ("gymnast", [403, 403, 403, 403, 403, 200]),
        ("beam", [403, 403, 403, 403, 403, 403]),
    ] {
        assert_eq!(doors(app, name).await, expected, "{name}, before it is published");
    }
    for name in ["tally", "auditor", "board", "admin", "organizer"] {
        assert!(everywhere(doors(app, name).await), "{name}, before it is published");
    }

    publish(app, "unofficial").await;
    for (name, expected) in [
        ("ada", [200, 403, 403, 200, 200, 200]),
        ("idle", [200, 403, 403, 200, 200, 200]),
        ("emcee", [200, 403, 403, 403, 200, 200]),
        ("gymnast", [403, 403, 403, 403, 200, 200]),
        ("beam", [403, 403, 403, 403, 200, 403]),
    ] {
        assert_eq!(doors(app, name).await, expected, "{name}, once it is published as unofficial");
    }
    for name in ["ada", "idle", "emcee"] {
        let tally = app.get(&format!("{VAULT}/tally"), &email(name)).await.body;
        let lines = tally["ranking"].as_array().expect("a ranking");
        let totals: Vec<String> = lines.iter().map(|line| line["total"].to_string()).collect();
        assert_eq!(totals, TOTALS.map(|(_, total)| total), "{name}");
        assert!(!tally.to_string().contains("marks"), "{name}: {tally}");
        assert!(lines.iter().all(|line| line["criteria"].as_array().is_none_or(Vec::is_empty)), "{name}: {tally}");
    }
    // Neither the evidence of what is unofficial, nor a draft of what is not published at all.
    let no_evidence = async |revisions: &[i64]| {
        for name in ["ada", "head", "idle", "emcee", "gymnast", "beam"] {
            for revision in revisions {
                let path = format!("{VAULT}/evidence.zip?revision={revision}");
                assert_eq!(app.get(&path, &email(name)).await.status, 403, "{name}, revision {revision}");
            }
        }
    };
    no_evidence(&[0, 1, 2, -1]).await;
    let (ada, ben) = (app.user_id(&email("ada")), app.user_id(&email("ben")));
    let scores = async |name: &str| app.get(&format!("{VAULT}/scores"), &email(name)).await.body;
    assert_eq!(score_of(&scores("ben").await, &ada, "x", "form"), Value::Null, "still masked");
    assert_eq!(score_of(&scores("idle").await, &ada, "x", "form"), Value::Null, "still masked");

    hall.certify().await;
    publish(app, "official").await;
    for (name, expected) in [
        ("ada", [200; 6]),
        ("idle", [200; 6]),
        ("emcee", [200; 6]),
        ("gymnast", [403, 403, 403, 200, 200, 200]),
        ("beam", [403, 403, 403, 403, 200, 403]),
    ] {
        assert_eq!(doors(app, name).await, expected, "{name}, once it is official");
    }
    no_evidence(&[0, 1, 3]).await;
    for name in ["ada", "cleo", "idle", "emcee"] {
        let seen = scores(name).await;
        assert_eq!(score_of(&seen, &ada, "x", "form"), json!(8), "{name}");
        assert_eq!(score_of(&seen, &ben, "z", "height"), json!(3.9), "{name}");
        assert!(!seen.to_string().contains("trembling"), "{name} reads no foreign comment");
        let tally = app.get(&format!("{VAULT}/tally"), &email(name)).await;
        assert_eq!(tally.body["ranking"][0]["criteria"][0]["marks"].as_array().map(Vec::len), Some(3), "{name}");
        let bundle = app.bytes(&format!("{VAULT}/evidence.zip"), &email(name)).await;
        assert!(!String::from_utf8_lossy(&bundle).contains("trembling"), "a comment is a commitment only");
    }
    assert!(scores("ben").await.to_string().contains("trembling"), "one's own comment");
    assert!(scores("tally").await.to_string().contains("trembling"), "the office reads it");
    let own = scores("gymnast").await;
    let marks = own["scores"].as_array().expect("a list");
    assert!(marks.len() == 6 && marks.iter().all(|mark| mark["contestantId"] == "x"), "{own}");
    assert!(!own.to_string().contains("trembling"), "{own}");
    hall.app.stop().await;
}

#[tokio::test]
async fn a_contestant_who_is_in_it_twice_reads_the_marks_of_both() {
    let mut twice = document();
    twice["contestants"][2]["userEmail"] = json!(email("gymnast"));
    let hall = judged_by(twice).await;
    hall.certify().await;
    publish(&hall.app, "official").await;
    let seen = async |query: &str| {
        let own = hall.app.get(&format!("{VAULT}/scores{query}"), &email("gymnast")).await.body;
        let marks = own["scores"].as_array().expect("a list").clone();
        let mut of: Vec<&str> = marks.iter().map(|mark| mark["contestantId"].as_str().expect("an id")).collect();
        of.dedup();
        (marks.len(), of.concat())
    };
    assert_eq!(seen("").await, (12, "xz".to_owned()));
    assert_eq!(seen("?contestantId=z").await, (6, "z".to_owned()));
    assert_eq!(seen("?contestantId=y").await, (0, String::new()), "not of somebody else");
    hall.app.stop().await;
}

#[tokio::test]
async fn a_mark_that_is_changed_after_publication_is_hidden_again_until_it_is_published_too() {
    let hall = with_a_former_judge().await;
    hall.certify().await;
    publish(&hall.app, "official").await;
    let back = json!({"categoryId": "vault", "reason": "a slip", "toStage": "JUDGED"});
    ok(&hall.board.call("certification:reject", back).await);
    remark(&hall, 2.5).await;
    let ada = hall.app.user_id(&email("ada"));
    for name in ["ben", "idle"] {
        let seen = hall.app.get(&format!("{VAULT}/scores"), &email(name)).await.body;
        assert_eq!(score_of(&seen, &ada, "x", "form"), Value::Null, "{name}: not published");
        assert_eq!(score_of(&seen, &ada, "x", "height"), json!(7.1), "{name}: published, and not changed");
        assert_eq!(score_of(&seen, &ada, "y", "form"), json!(6), "{name}: published, and not changed");
        assert!(!seen.to_string().contains("2.5"), "{name}: {seen}");
        let tally = hall.app.get(&format!("{VAULT}/tally"), &email(name)).await.body;
        assert_eq!((&tally["stage"], &tally["ranking"][0]["total"]), (&json!("PUBLISHED"), &json!(22.85)), "{name}");
    }
    for name in ["emcee", "gymnast"] {
        let seen = hall.app.get(&format!("{VAULT}/scores"), &email(name)).await.body;
        let of_x = |score: &&Value| score["judgeId"] == json!(ada) && score["contestantId"] == "x";
        let left: Vec<&Value> = seen["scores"].as_array().expect("a list").iter().filter(of_x).collect();
        assert_eq!((left.len(), &left[0]["criterionId"]), (1, &json!("height")), "{name}");
    }
    let told = hall.judges[1].transcript();
    let foreign = told.iter().filter(|frame| frame.event == "scores:updated" && frame.data()["judgeId"] == json!(ada));
    let foreign: Vec<_> = foreign.collect();
    assert!(foreign.len() > 20 && foreign.iter().all(|frame| frame.data()["score"].is_null()), "told as ever");
    let live = hall.app.get(&format!("{VAULT}/scores"), &email("tally")).await.body;
    assert_eq!(score_of(&live, &ada, "x", "form"), json!(2.5), "the office reads what stands");
    hall.app.stop().await;
}

#[tokio::test]
async fn anyone_reads_what_is_published_without_a_token_but_nothing_of_a_draft() {
    let mut draft = document();
    draft["event"]["status"] = json!("draft");
    let hall = judged_by(draft).await;
    let published = publish(&hall.app, "unofficial").await;
    let url = published["url"].as_str().expect("an address").to_owned();
    for path in [&*url, "/api/v1/events/cup/judged", "/api/v1/events/nothing/judged", "/api/v1/publications/nothing"] {
        let answer = hall.app.public(path).await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (404, &json!("NOT_FOUND")), "{path}");
    }
    let open = hall
        .app
        .send(Method::PATCH, "/api/v1/admin/events/cup/status", &email("organizer"), json!({"status": "startlist"}))
        .await;
    assert_eq!(open.status, 200, "{}", open.body);
    let one = hall.app.public(&url).await.body;
    assert_eq!(
        (&one["statement"]["tallyHash"], &one["signature"]),
        (&published["tallyHash"], &published["signature"]),
        "what was signed"
    );
    let all = hall.app.public("/api/v1/events/cup/judged").await.body;
    assert_eq!((&all["hidden"], &all["frozenAt"], &all["items"][0]), (&json!(0), &Value::Null, &one["statement"]));
    assert!(!all.to_string().contains("marks") && !all.to_string().contains("\"score\""), "{all}");
    hall.app.stop().await;
}

// Freezing.

/// The facts the public is told of an event.
async fn told_to_the_public(app: &TestApp) -> Vec<String> {
    let rows = log_entry::Entity::find()
        .filter(log_entry::Column::Lane.eq("pub:cup"))
        .order_by_asc(log_entry::Column::LaneSeq)
        .all(&app.app.db)
        .await
        .expect("the log is read");
    rows.into_iter().map(|row| row.fact).collect()
}

/// Everything the public can get hold of.
async fn public_text(app: &TestApp, publication: &Value) -> String {
    let url = publication["url"].as_str().expect("an address");
    let mut text = app.public("/api/v1/events/cup/judged").await.body.to_string();
    text.push_str(&app.public(url).await.body.to_string());
    text.push_str(&told_to_the_public(app).await.concat());
    text
}

/// Which contestants' totals, names or hash of a hidden result are in a text.
fn shown_in(text: &str, publication: &Value) -> Vec<&'static str> {
    assert!(!text.contains(publication["signature"].as_str().expect("a signature")), "{text}");
    assert!(!text.contains(publication["tallyHash"].as_str().expect("a hash")), "{text}");
    let of =
        |(contestant, total): &(&str, &str)| text.contains(total) || text.contains(&format!("Gymnast {contestant}"));
    TOTALS.iter().filter(|line| of(line)).map(|(contestant, _)| *contestant).collect()
}

#[tokio::test]
async fn a_frozen_event_shows_only_the_places_that_are_revealed_until_the_last_one() {
    let hall = judged().await;
    let app = &hall.app;
    let frozen = ok(&hall.board.call("results:freeze", json!({"eventId": "cup"})).await).clone();
    assert_eq!(frozen, json!({"eventId": "cup", "frozen": true}));
    hall.certify().await;
    let publication = publish(app, "official").await;
    assert_eq!(publication["hidden"], true);
    // The staff learns of it at once, the public does not; nor do judges read it before.
    let told = hall.judges[0].next("results:published").await;
    assert_eq!(told.data()["publicationId"], publication["publicationId"]);
    assert_eq!(told.meta().expect("a fact")["lane"], "evt:cup");
    assert_eq!(doors(app, "ada").await, [403, 403, 403, 200, 403, 200]);
    let list = app.get(&format!("{VAULT}/publications"), &email("ada")).await.body;
    assert_eq!(list["items"], json!([]));
    let ada = app.user_id(&email("ada"));
    let scores = app.get(&format!("{VAULT}/scores"), &email("ben")).await.body;
    assert_eq!(score_of(&scores, &ada, "x", "form"), Value::Null, "what is hidden is not released");

    let text = public_text(app, &publication).await;
    assert_eq!(shown_in(&text, &publication), Vec::<&str>::new());
    let public = app.public("/api/v1/events/cup/judged").await.body;
    assert_eq!((&public["hidden"], &public["items"]), (&json!(1), &json!([])));
    assert!(public["frozenAt"].is_string());

    let reveal =
        async |ranks: Value| hall.board.call("results:reveal", json!({"categoryId": "vault", "ranks": ranks})).await;
    assert_eq!(code(&reveal(json!([4])).await), "INVALID_DATA", "nobody is in place 4");
    for (rank, left, shown) in [(3, 2, vec!["z"]), (2, 1, vec!["y", "z"])] {
        let revealed = reveal(json!([rank])).await;
        assert_eq!((&ok(&revealed)["left"], &ok(&revealed)["lines"][0]["rank"]), (&json!(left), &json!(rank)));
        assert_eq!(shown_in(&public_text(app, &publication).await, &publication), shown);
        let public = app.public("/api/v1/events/cup/judged").await.body;
        assert_eq!((&public["hidden"], &public["items"][0]["left"]), (&json!(1), &json!(left)));
        assert_eq!(code(&reveal(json!([rank])).await), "STATE", "it is shown already");
    }
    assert_eq!(ok(&reveal(json!([1, 2])).await)["left"], 0);
    let public = app.public("/api/v1/events/cup/judged").await.body;
    assert_eq!((&public["hidden"], public["items"].as_array().map(Vec::len)), (&json!(0), Some(1)));
    assert_eq!(public["items"][0]["tallyHash"], publication["tallyHash"], "the whole of it");
    let facts = told_to_the_public(app).await;
    let of_kind = |kind: &str| facts.iter().filter(|fact| fact.contains(kind)).count();
    assert_eq!((of_kind("results_revealed"), of_kind("results_published")), (3, 1));
    assert!(facts.last().is_some_and(|fact| fact.contains("results_published")));
    assert_eq!(code(&reveal(json!([1])).await), "STATE", "nothing is hidden any more");
    assert_eq!(doors(app, "ada").await[..4], [200; 4]);
    hall.app.stop().await;
}

#[tokio::test]
async fn the_public_sees_the_result_of_the_freeze_until_the_thaw() {
    let hall = judged().await;
    let app = &hall.app;
    let first = publish(app, "unofficial").await;
    ok(&hall.board.call("results:freeze", json!({"eventId": "cup"})).await);
    correct_before_the_officers(&hall).await;
    hall.certify().await;
    let second = publish(app, "official").await;
    let public = app.public("/api/v1/events/cup/judged").await.body;
    assert_eq!((&public["hidden"], public["items"].as_array().map(Vec::len)), (&json!(1), Some(1)));
    assert_eq!(public["items"][0]["publicationId"], first["publicationId"], "as at the freeze");
    assert!(!public_text(app, &second).await.contains("20.85"), "the new total");
    let tally = app.get(&format!("{VAULT}/tally"), &email("ben")).await.body;
    assert_eq!(
        (&tally["stage"], &tally["tallyHash"]),
        (&json!("JUDGED"), &first["tallyHash"]),
        "judges like the public"
    );
    assert_eq!(app.get(&format!("{VAULT}/evidence.zip"), &email("ben")).await.status, 403);
    assert_eq!(app.get(&format!("{VAULT}/evidence.zip?revision=2"), &email("ben")).await.status, 403);
    let thawed = ok(&hall.board.call("results:thaw", json!({"eventId": "cup"})).await).clone();
    assert_eq!(thawed, json!({"eventId": "cup", "frozen": false}));
    let public = app.public("/api/v1/events/cup/judged").await.body;
    assert_eq!((&public["hidden"], &public["frozenAt"]), (&json!(0), &Value::Null));
    assert_eq!(public["items"][0]["publicationId"], second["publicationId"]);
    assert_eq!(app.get(&format!("{VAULT}/evidence.zip"), &email("ben")).await.status, 200);
    let kinds: Vec<Value> = told_to_the_public(app)
        .await
        .iter()
        .map(|fact| serde_json::from_str::<Value>(fact).expect("JSON")["kind"].clone())
        .collect();
    let results = ["results_published", "results_frozen", "results_published", "results_frozen"];
    assert_eq!(kinds[..1], ["public_changed"], "the event itself");
    assert_eq!(kinds[1..], results);
    hall.app.stop().await;
}

/// Before anybody of the office has signed, ada gives x another mark.
pub async fn correct_before_the_officers(hall: &Hall) {
    remark(hall, 2.0).await;
    ok(&hall.judges[0].call("scores:certify", json!({"categoryId": "vault"})).await);
    ok(&hall.judges[0].call("scores:final", json!({"categoryId": "vault"})).await);
}

#[tokio::test]
async fn a_revealed_place_does_not_tell_the_total_of_the_hidden_one_above_it() {
    let mut ties = document();
    ties["contests"][0]["categories"][0]["rules"] = json!({"method": "mean", "tieBreaks": ["criterion:height"]});
    let app = TestApp::start().await;
    app.import(ties).await;
    // x and y come to the same total; x is above by the height.
    let hall = Hall::marked_in(app, &JUDGES, |_, contestant, criterion| match (contestant, criterion) {
        ("x", "form") => 4.0,
        ("x", "height") | ("y", "form") => 6.0,
        ("y", "height") => 5.0,
        _ => 1.0,
    })
    .await;
    hall.finish_judging().await;
    hall.certify().await;
    ok(&hall.board.call("results:freeze", json!({"eventId": "cup"})).await);
    publish(&hall.app, "official").await;
    let seen = async |rank: i64| {
        ok(&hall.board.call("results:reveal", json!({"categoryId": "vault", "ranks": [rank]})).await);
        let public = hall.app.public("/api/v1/events/cup/judged").await.body;
        let lines = public["items"][0]["ranking"].as_array().expect("a ranking").clone();
        lines.into_iter().find(|line| line["rank"] == 2).expect("place 2 is shown")
    };
    let second = seen(2).await;
    assert_eq!((&second["contestantId"], second.get("decidedBy")), (&json!("y"), None), "{second}");
    seen(3).await;
    assert_eq!(seen(1).await["decidedBy"], "criterion:height", "now that both are shown");
    hall.app.stop().await;
}

#[tokio::test]
async fn admins_organizers_and_the_board_show_results_and_nobody_else() {
    let hall = judged().await;
    hall.app.give_hat("idle", json!({"hat": "BOARD", "categoryId": "beam"})).await;
    hall.certify().await;
    let app = &hall.app;
    let event = json!({"eventId": "cup"});
    let places = json!({"categoryId": "vault", "ranks": [3]});
    for name in ["tally", "auditor", "emcee", "ada", "head", "gymnast", "beam", "idle"] {
        let client = app.connect(&email(name)).await;
        for (command, payload) in [("results:freeze", &event), ("results:thaw", &event), ("results:reveal", &places)] {
            assert_eq!(code(&client.call(command, payload.clone()).await), "FORBIDDEN", "{name} {command}");
        }
    }
    let post = async |path: &str, name: &str, body: Value| app.post(path, &email(name), body).await;
    let (freeze, thaw) = ("/api/v1/events/cup/results/freeze", "/api/v1/events/cup/results/thaw");
    assert_eq!(post(thaw, "organizer", Value::Null).await.body["code"], "STATE", "nothing is frozen");
    assert_eq!(hall.board.call("results:reveal", places.clone()).await["error"]["code"], "STATE", "nothing is hidden");
    assert_eq!(post(freeze, "organizer", Value::Null).await.status, 200);
    assert_eq!(post(freeze, "admin", Value::Null).await.body["code"], "STATE", "it is frozen already");
    assert_eq!(post("/api/v1/events/nothing/results/freeze", "admin", Value::Null).await.status, 404);
    publish(app, "official").await;
    let reveal = format!("{VAULT}/reveal");
    let by_judge = post(&reveal, "both", json!({"ranks": [3]})).await;
    assert_eq!(by_judge.body["code"], "SEPARATION_OF_DUTIES", "an admin who judges it");
    assert_eq!(post(thaw, "both", Value::Null).await.body["code"], "SEPARATION_OF_DUTIES", "neither all of it at once");
    assert_eq!(post(&reveal, "organizer", json!({"ranks": []})).await.body["code"], "STATE", "nothing is named");
    assert_eq!(post(&reveal, "organizer", json!({"ranks": [3]})).await.status, 200);
    assert_eq!(post(thaw, "admin", Value::Null).await.status, 200);
    hall.app.stop().await;
}

// Keys and checking over HTTP.

#[tokio::test]
async fn keys_outlive_a_restart_and_old_ones_still_verify_what_they_signed() {
    let hall = official().await;
    let before = hall.app.public("/.well-known/scorecast-keys.json").await.body;
    let old = keys(&hall.app).await;
    assert_eq!(old.len(), 1);
    let jwk = &before["keys"][0];
    assert_eq!((&jwk["kty"], &jwk["crv"], &jwk["kid"]), (&json!("OKP"), &json!("Ed25519"), &json!(old[0].id())));
    let Hall { app, judges, tally, auditor, board } = hall;
    drop((judges, tally, auditor, board));
    let app = app.restart().await;
    assert_eq!(app.public("/.well-known/scorecast-keys.json").await.body, before);
    let first = evidence(&app).await;

    let app = app.restart_with(|config| config.jwt_secret = "other-0123456789abcdef0123456789abcdef".into()).await;
    app.clock.advance(std::time::Duration::from_secs(1));
    let both = keys(&app).await;
    assert_eq!((both.len(), &both[1]), (2, &old[0]), "the new one first, the old one still told");
    assert!(evidence(&app).await == first, "what was published is not signed again");
    verify(&first, &both, &[]).expect("the old key is still listed");
    assert!(matches!(verify(&first, &both[..1], &[]), Err(Rejected::UnknownKey(_))));
    let accepted = app.raw_request(Method::POST, "/verify", &[], first).await.body;
    assert_eq!((&accepted["accepted"], &accepted["keyId"]), (&json!(true), &json!(old[0].id())));
    // What is made from now on is signed with the new key.
    let draft = app.bytes(&format!("{VAULT}/evidence.zip?revision=0"), &email("tally")).await;
    assert_eq!(verify(&draft, &both, &[]).expect("it is signed").key_id, both[0].id());
    app.stop().await;
}

#[tokio::test]
async fn a_bundle_is_checked_for_anyone_who_sends_one() {
    let hall = official().await;
    let app = &hall.app;
    let page = app.public("/verify").await;
    assert!(page.status == 200 && page.body.as_str().is_some_and(|page| page.contains("evidence.zip")));
    assert!(page.headers["content-security-policy"].to_str().is_ok_and(|policy| policy.contains("default-src 'none'")));
    let check = async |bytes: Vec<u8>| app.raw_request(Method::POST, "/verify", &[], bytes).await;
    let forger = Forger::of(&hall).await;
    let good = check(forger.good.clone()).await;
    assert_eq!((good.status.as_u16(), &good.body["accepted"], &good.body["marks"]), (200, &json!(true), &json!(18)));
    assert_eq!(good.body["statement"]["category"]["id"], "vault");
    let swapped = check(forger.forged(|bundle| bundle.publication.statement.ranking.swap(0, 1))).await;
    assert_eq!(
        (swapped.status.as_u16(), &swapped.body),
        (
            200,
            &json!({"accepted": false, "reason": "the tally is not that of the log: the marks do not come to this ranking by these rules"})
        )
    );
    for garbage in [Vec::new(), b"hello".to_vec(), vec![0xFF; 100_000], b"PK\x05\x06".repeat(1_000)] {
        let answer = check(garbage).await;
        assert_eq!((answer.status.as_u16(), &answer.body["accepted"]), (200, &json!(false)), "{}", answer.body);
    }
    let large = check(vec![0; 16 * 1024 * 1024 + 1]).await;
    assert_eq!((large.status.as_u16(), &large.body["code"]), (413, &json!("TOO_LARGE")));
    hall.app.stop().await;
}

#[tokio::test]
async fn a_crowd_that_sends_bundles_is_slowed_down_and_no_reader_of_results_with_it() {
    let app = TestApp::start_with(|config| config.rate_limit_public_reads_per_minute = 250).await;
    app.import(document()).await;
    let mut statuses = BTreeMap::new();
    for _ in 0..3 {
        let answer = app.raw_request(Method::POST, "/verify", &[], b"hello".to_vec()).await;
        *statuses.entry(answer.status.as_u16()).or_insert(0) += 1;
    }
    assert_eq!(statuses, BTreeMap::from([(200, 2), (429, 1)]));
    assert_eq!(app.public("/api/v1/events/cup/judged").await.status, 200, "what is left is for reading");
    app.stop().await;
}
