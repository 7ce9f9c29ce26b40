//! Tables for each rule, properties for all of them together, and the official results of a real competition.

use std::fs;
use std::path::PathBuf;

use num_rational::BigRational;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;

mod points;
mod skating;
mod standings;

/// A small category: contestants appear with their first marks, judges are `j1`, `j2`, … all required.
struct Category {
    rules: Rules,
    input: Input,
}

impl Category {
    fn new(rules: serde_json::Value, criteria: &[(&str, &str)], judges: usize) -> Self {
        let criteria =
            criteria.iter().map(|(id, weight)| CriterionIn { id: Id::from(*id), weight: decimal(weight) }).collect();
        let panel = (1..=judges)
            .map(|judge| Panelist { judge: format!("j{judge}").into(), required: true, head: false })
            .collect();
        Self {
            rules: serde_json::from_value(rules).expect("rules in a test"),
            input: Input { criteria, panel, ..Input::default() },
        }
    }

    /// One criterion `form` of weight 1.
    fn simple(rules: serde_json::Value, judges: usize) -> Self {
        Self::new(rules, &[("form", "1")], judges)
    }

    /// Marks in order of the judges, `-` where one is missing.
    fn marks(mut self, contestant: &str, criterion: &str, marks: &str) -> Self {
        if !self.input.entries.iter().any(|entry| &*entry.contestant == contestant) {
            self.input.entries.push(EntryIn {
                contestant: contestant.into(),
                factor: Decimal::one(),
                withdrawn: false,
                status: None,
            });
        }
        for (position, mark) in marks.split_whitespace().enumerate().filter(|(_, mark)| *mark != "-") {
            self.input.marks.push(MarkIn {
                judge: format!("j{}", position + 1).into(),
                contestant: contestant.into(),
                criterion: criterion.into(),
                value: mark.parse().expect("a mark in a test"),
            });
        }
        self
    }

    fn form(self, contestant: &str, marks: &str) -> Self {
        self.marks(contestant, "form", marks)
    }

    fn deducted(mut self, contestant: &str, amount: &str) -> Self {
        self.input.deductions.push(DeductionIn { contestant: contestant.into(), amount: decimal(amount) });
        self
    }

    fn entry(mut self, contestant: &str, change: impl FnOnce(&mut EntryIn)) -> Self {
        let entry = self.input.entries.iter_mut().find(|entry| &*entry.contestant == contestant);
        change(entry.expect("an entry in a test"));
        self
    }

    fn judge(mut self, judge: &str, change: impl FnOnce(&mut Panelist)) -> Self {
        change(self.input.panel.iter_mut().find(|panelist| &*panelist.judge == judge).expect("a judge in a test"));
        self
    }

    fn manual(mut self, order: &[&str]) -> Self {
        self.input.manual_order.push(order.iter().map(|contestant| Id::from(*contestant)).collect());
        self
    }

    fn rank(&self) -> Ranking {
        rank(&self.rules, &self.input)
    }

    /// `1 ada 9.5 · 2 ben 9 (total)`; without rank or total a `-` stands for it.
    fn board(&self) -> String {
        board(&self.rank())
    }
}

fn board(ranking: &Ranking) -> String {
    let rows = ranking.ranking.iter().map(|row| {
        let rank = row.rank.map_or("-".to_owned(), |rank| rank.to_string());
        let total = row.total.as_ref().map_or("-".to_owned(), ToString::to_string);
        let decided_by = row.decided_by.as_ref().map_or(String::new(), |by| format!(" ({by})"));
        format!("{rank} {} {total}{decided_by}", row.contestant_id)
    });
    rows.collect::<Vec<_>>().join(" · ")
}

fn missing(ranking: &Ranking) -> Vec<String> {
    let owed = |it: &Missing| format!("{} {} {}", it.judge_id, it.contestant_id, it.criterion_id);
    ranking.missing.iter().map(owed).collect()
}

fn dropped(cell: &Cell) -> Vec<&str> {
    cell.marks.iter().filter(|mark| mark.dropped).map(|mark| &*mark.judge_id).collect()
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal in a test")
}

#[test]
fn each_method_makes_its_own_value_of_the_same_marks() {
    for (rules, total) in [
        (json!({"method": "sum"}), "34"),
        (json!({"method": "mean"}), "6.8"),
        (json!({"method": "median"}), "8"),
        (json!({"method": "trimmed_mean"}), "6.8"),
        (json!({"method": "trimmed_mean", "trim": {"low": 1}}), "8.25"),
        (json!({"method": "trimmed_mean", "trim": {"high": 1}}), "6.125"),
        (json!({"method": "trimmed_mean", "trim": {"low": 1, "high": 1}}), "7.833333"),
        (json!({"method": "trimmed_mean", "trim": {"low": 2, "high": 2}}), "8"),
    ] {
        let category = Category::simple(rules.clone(), 5).form("ada", "8.5 1 8 9.5 7");
        assert_eq!(category.board(), format!("1 ada {total}"), "{rules}");
    }
    let even = Category::simple(json!({"method": "median"}), 4).form("ada", "9 7.5 1 8");
    assert_eq!(even.board(), "1 ada 7.75");
}

#[test]
fn criteria_are_weighted_then_added_then_multiplied_then_deducted_from() {
    let category = Category::new(json!({"method": "mean"}), &[("form", "1.2"), ("art", "0.8")], 2)
        .marks("ada", "form", "9 8")
        .marks("ada", "art", "7 6")
        .entry("ada", |entry| entry.factor = decimal("1.5"))
        .deducted("ada", "1")
        .deducted("ada", "0.25");
    let ranking = category.rank();
    // (8.5 × 1.2 + 6.5 × 0.8) × 1.5 − 1.25
    assert_eq!(board(&ranking), "1 ada 21.85");
    assert!(ranking.complete);
    assert_eq!(
        serde_json::to_value(&ranking).expect("json"),
        json!({
            "complete": true,
            "missing": [],
            "ranking": [{
                "contestantId": "ada",
                "rank": 1,
                "total": 21.85,
                "deductions": 1.25,
                "criteria": [
                    {
                        "criterionId": "art",
                        "value": 6.5,
                        "weighted": 5.2,
                        "marks": [
                            {"judgeId": "j1", "score": 7, "dropped": false},
                            {"judgeId": "j2", "score": 6, "dropped": false},
                        ],
                    },
                    {
                        "criterionId": "form",
                        "value": 8.5,
                        "weighted": 10.2,
                        "marks": [
                            {"judgeId": "j1", "score": 9, "dropped": false},
                            {"judgeId": "j2", "score": 8, "dropped": false},
                        ],
                    },
                ],
            }],
            "warnings": [],
        })
    );
}

#[test]
fn every_rounding_mode_rounds_each_stated_step() {
    // Two criteria with mean 2.125; × 0.5 = 1.0625.
    for (rounding, value, weighted, total) in [
        (json!({}), "2.125", "1.0625", "2.125"),
        (json!({"criterion": 2}), "2.13", "1.065", "2.13"),
        (json!({"criterion": 2, "mode": "half_even"}), "2.12", "1.06", "2.12"),
        (json!({"criterion": 2, "mode": "truncate"}), "2.12", "1.06", "2.12"),
        (json!({"weighted": 3}), "2.125", "1.063", "2.126"),
        (json!({"weighted": 3, "mode": "half_even"}), "2.125", "1.062", "2.124"),
        (json!({"weighted": 3, "mode": "truncate"}), "2.125", "1.062", "2.124"),
        (json!({"total": 2}), "2.125", "1.0625", "2.13"),
        (json!({"total": 2, "mode": "half_even"}), "2.125", "1.0625", "2.12"),
        (json!({"total": 0, "mode": "truncate"}), "2.125", "1.0625", "2"),
        (json!({"criterion": 2, "weighted": 2, "total": 1}), "2.13", "1.07", "2.1"),
    ] {
        let rules = json!({"method": "mean", "rounding": rounding});
        let category = Category::new(rules, &[("art", "0.5"), ("form", "0.5")], 2)
            .marks("ada", "art", "2 2.25")
            .marks("ada", "form", "2 2.25");
        let row = &category.rank().ranking[0];
        for cell in &row.criteria {
            let shown = |value: &Option<Decimal>| value.as_ref().map(ToString::to_string);
            assert_eq!(shown(&cell.value).as_deref(), Some(value), "{rounding}");
            assert_eq!(shown(&cell.weighted).as_deref(), Some(weighted), "{rounding}");
        }
        assert_eq!(row.total, Some(decimal(total)), "{rounding}");
    }
}

#[test]
fn totals_compare_exactly_though_six_decimals_are_shown() {
    // 0.0000001, 0.0000002 and 0.0000005: the first two both show as 0.
    let tiny = Category::new(json!({"method": "mean"}), &[("form", "0.0000001")], 1)
        .form("ada", "1")
        .form("ben", "2")
        .form("cat", "5");
    assert_eq!(tiny.board(), "1 cat 0.000001 · 2 ben 0 (total) · 3 ada 0 (total)");
    let stated = Category::new(json!({"method": "mean", "rounding": {"total": 6}}), &[("form", "0.0000001")], 1)
        .form("ada", "1")
        .form("ben", "2")
        .form("cat", "5");
    assert_eq!(stated.board(), "1 cat 0.000001 · 2 ada 0 (total) · 2 ben 0 (shared)");
}

#[test]
fn the_floor_holds_unless_the_rules_lift_it() {
    for (floor_zero, boards) in [(true, "1 ben 1 · 2 ada 0 (total)"), (false, "1 ben 1 · 2 ada -1.5 (total)")] {
        let rules = json!({"method": "sum", "floorZero": floor_zero});
        let category = Category::simple(rules, 1).form("ada", "1").form("ben", "1").deducted("ada", "2.5");
        assert_eq!(category.board(), boards);
    }
    let rules = json!({"method": "sum", "floorZero": false, "rounding": {"total": 0}});
    let category = Category::simple(rules, 1).form("ada", "1").deducted("ada", "2.5");
    assert_eq!(category.board(), "1 ada -2", "a half goes away from zero below it too");
}

#[test]
fn a_shared_rank_is_followed_by_the_style_of_the_rules() {
    for (style, boards) in [
        ("standard", "1 ada 9 · 2 ben 8 (total) · 2 cat 8 (shared) · 2 dan 8 (shared) · 5 eve 7 (total)"),
        ("dense", "1 ada 9 · 2 ben 8 (total) · 2 cat 8 (shared) · 2 dan 8 (shared) · 3 eve 7 (total)"),
    ] {
        let category = Category::simple(json!({"method": "sum", "rankStyle": style}), 1)
            .form("eve", "7")
            .form("dan", "8")
            .form("ada", "9")
            .form("cat", "8")
            .form("ben", "8");
        assert_eq!(category.board(), boards, "{style}");
    }
    let at_the_top = Category::simple(json!({"method": "sum"}), 1).form("ada", "9").form("ben", "9").form("cat", "1");
    assert_eq!(at_the_top.board(), "1 ada 9 · 1 ben 9 (shared) · 3 cat 1 (total)");
}

#[test]
fn each_policy_answers_a_missing_mark_in_its_own_way() {
    let trimmed = |missing| json!({"method": "trimmed_mean", "trim": {"low": 1, "high": 1}, "missing": missing});
    for (rules, boards, complete) in [
        (json!({"method": "sum", "missing": "block"}), "1 ben 12 · - ada -", false),
        (json!({"method": "sum", "missing": "mean_of_others"}), "1 ada 32 · 2 ben 12 (total)", true),
        (json!({"method": "sum", "missing": "zero"}), "1 ada 24 · 2 ben 12 (total)", true),
        (json!({"method": "mean", "missing": "mean_of_others"}), "1 ada 8 · 2 ben 3 (total)", true),
        (json!({"method": "mean", "missing": "zero"}), "1 ada 6 · 2 ben 3 (total)", true),
        (json!({"method": "median", "missing": "mean_of_others"}), "1 ada 9 · 2 ben 3 (total)", true),
        (json!({"method": "median", "missing": "zero"}), "1 ada 7 · 2 ben 3 (total)", true),
        (trimmed("block"), "1 ben 3 · - ada -", false),
        (trimmed("mean_of_others"), "1 ada 9 · 2 ben 3 (total)", true),
        (trimmed("zero"), "1 ada 7 · 2 ben 3 (total)", true),
    ] {
        let category = Category::simple(rules.clone(), 4).form("ada", "10 9 - 5").form("ben", "3 3 3 3");
        let ranking = category.rank();
        assert_eq!((board(&ranking).as_str(), ranking.complete), (boards, complete), "{rules}");
        assert_eq!(missing(&ranking), ["j3 ada form"], "{rules}");
    }
}

#[test]
fn a_cell_without_any_mark_is_filled_by_no_policy() {
    for policy in ["block", "mean_of_others", "zero"] {
        let rules = json!({"method": "mean", "missing": policy});
        let category = Category::new(rules, &[("form", "1"), ("art", "1")], 2)
            .marks("ada", "form", "9 9")
            .marks("ben", "form", "8 8")
            .marks("ben", "art", "8 8");
        let ranking = category.rank();
        assert_eq!((board(&ranking).as_str(), ranking.complete), ("1 ben 16 · - ada -", false), "{policy}");
        assert_eq!(missing(&ranking), ["j1 ada art", "j2 ada art"], "{policy}");
        let ada = &ranking.ranking[1];
        assert_eq!(ada.criteria[0].value, None, "{policy}");
        assert_eq!(ada.criteria[1].value, Some(decimal("9")), "{policy}: what is known is shown");
    }
}

#[test]
fn what_is_missing_is_listed_by_judge_contestant_and_criterion() {
    let category = Category::new(json!({"method": "mean"}), &[("form", "1"), ("art", "1")], 2)
        .marks("ben", "form", "- 8")
        .marks("ada", "form", "9 -")
        .marks("ada", "art", "9 9")
        .marks("ben", "art", "- -");
    assert_eq!(missing(&category.rank()), ["j1 ben art", "j1 ben form", "j2 ada form", "j2 ben art"]);
}

#[test]
fn a_trim_leaves_out_exactly_so_many_and_says_which() {
    let rules = json!({"method": "trimmed_mean", "trim": {"low": 2, "high": 1}});
    let category = Category::simple(rules, 6).form("ada", "7 9 7 7 9 8").form("ben", "5 5 5 5 5 5");
    let ranking = category.rank();
    // Of the equal marks the first judges lose the lowest and the last judges the highest.
    assert_eq!(board(&ranking), "1 ada 8 · 2 ben 5 (total)");
    assert_eq!(dropped(&ranking.ranking[0].criteria[0]), ["j1", "j3", "j5"]);
    assert_eq!(dropped(&ranking.ranking[1].criteria[0]), ["j1", "j2", "j6"]);
    let order: Vec<_> = ranking.ranking[0].criteria[0].marks.iter().map(|mark| &*mark.judge_id).collect();
    assert_eq!(order, ["j1", "j2", "j3", "j4", "j5", "j6"], "marks are shown by judge");
}

#[test]
fn a_trim_may_leave_out_the_zero_that_stands_for_a_missing_mark() {
    let rules = json!({"method": "trimmed_mean", "trim": {"low": 1, "high": 0}, "missing": "zero"});
    let category = Category::simple(rules, 3).form("ada", "7 - 9");
    let ranking = category.rank();
    assert_eq!(board(&ranking), "1 ada 8");
    assert!(dropped(&ranking.ranking[0].criteria[0]).is_empty(), "no given mark was left out");
}

#[test]
fn too_few_marks_to_trim_are_no_value() {
    let rules = json!({"method": "trimmed_mean", "trim": {"low": 1, "high": 1}, "missing": "mean_of_others"});
    let category = Category::simple(rules, 3).form("ada", "9 - 9").form("ben", "1 1 1");
    let ranking = category.rank();
    assert_eq!((board(&ranking).as_str(), ranking.complete), ("1 ben 1 · - ada -", false));
    assert_eq!(ranking.warnings, ["ada, form: too few marks to trim"]);
    assert!(dropped(&ranking.ranking[1].criteria[0]).is_empty());
}

#[test]
fn a_judge_who_left_is_asked_for_nothing_but_the_marks_given_count() {
    let marks = |rules| {
        let category = Category::simple(rules, 2).form("ada", "9 7").form("ben", "9 -");
        category.judge("j2", |judge| judge.required = false).rank()
    };
    for policy in ["block", "mean_of_others", "zero"] {
        let ranking = marks(json!({"method": "mean", "missing": policy}));
        assert_eq!((board(&ranking).as_str(), ranking.complete), ("1 ben 9 · 2 ada 8 (total)", true), "{policy}");
        assert_eq!((ranking.missing, ranking.warnings), (vec![], vec![]), "{policy}");
    }
    let ranking = marks(json!({"method": "sum"}));
    assert_eq!(board(&ranking), "1 ada 16 · 2 ben 9 (total)");
    assert_eq!(
        ranking.warnings,
        ["judge j2 left the panel after marking only a part; the sums have different numbers of marks"]
    );
}

#[test]
fn a_contestant_who_withdrew_leaves_every_list() {
    let category = Category::simple(json!({"method": "mean"}), 2)
        .form("ada", "9 -")
        .form("ben", "8 8")
        .deducted("ada", "1")
        .entry("ada", |entry| entry.withdrawn = true);
    let ranking = category.rank();
    assert_eq!((board(&ranking).as_str(), ranking.complete), ("1 ben 8", true));
    assert!(ranking.missing.is_empty());
}

#[test]
fn who_did_not_start_or_finish_comes_last_without_a_rank() {
    let category = Category::simple(json!({"method": "mean"}), 2)
        .form("ada", "- -")
        .form("ben", "10 10")
        .form("cat", "8 8")
        .form("dan", "7 -")
        .form("eve", "10 -")
        .entry("ada", |entry| entry.status = Some(Status::Dns))
        .entry("ben", |entry| entry.status = Some(Status::Dsq))
        .entry("eve", |entry| entry.status = Some(Status::Dnf));
    let ranking = category.rank();
    assert_eq!(board(&ranking), "1 cat 8 · - dan - · - ada - · - ben - · - eve -");
    assert_eq!(missing(&ranking), ["j2 dan form"], "nobody is asked for marks of those without a result");
    let finished = category.entry("dan", |entry| entry.status = Some(Status::Dnf)).rank();
    assert!(finished.complete);
}

#[test]
fn nothing_to_rank_is_said_and_never_a_panic() {
    let empty = Category::new(json!({"method": "mean"}), &[], 1).form("ada", "9").rank();
    assert_eq!((board(&empty).as_str(), empty.complete), ("- ada -", false));
    assert_eq!(empty.warnings, ["the category has no criteria"]);

    let unjudged = Category::simple(json!({"method": "mean", "missing": "zero"}), 0).form("ada", "9").rank();
    assert_eq!((board(&unjudged).as_str(), unjudged.complete), ("- ada -", false));
    assert_eq!(unjudged.warnings, ["no judge counts in this category"]);

    for method in ["placings", "skating", "zscore", "time"] {
        for (judges, criteria) in [(0, &[("form", "1")][..]), (1, &[]), (1, &[("form", "1")])] {
            let category = Category::new(json!({"method": method}), criteria, judges).form("ada", "-").form("ben", "-");
            let ranking = category.rank();
            assert_eq!((board(&ranking).as_str(), ranking.complete), ("- ada - · - ben -", false), "{method}");
        }
        assert_eq!(Category::simple(json!({"method": method}), 1).board(), "", "{method}");
    }
    let huge = json!({"method": "trimmed_mean", "trim": {"low": u32::MAX, "high": u32::MAX}});
    assert_eq!(Category::simple(huge, 2).form("ada", "9 9").board(), "- ada -");
}

#[test]
fn of_two_marks_in_one_place_the_lower_counts_in_either_order() {
    for marks in [["7", "9"], ["9", "7"]] {
        let category = Category::simple(json!({"method": "sum"}), 1).form("ada", marks[0]).form("ada", marks[1]);
        assert_eq!(category.board(), "1 ada 7");
    }
}

#[test]
fn a_criterion_separates_by_its_weighted_value() {
    let rules = json!({"method": "sum", "tieBreaks": ["criterion:art"]});
    let category = Category::new(rules, &[("form", "1"), ("art", "2")], 1)
        .marks("ada", "form", "9")
        .marks("ada", "art", "3")
        .marks("ben", "form", "5")
        .marks("ben", "art", "5")
        .marks("cat", "form", "5")
        .marks("cat", "art", "5")
        .marks("dan", "form", "9")
        .marks("dan", "art", "9");
    assert_eq!(category.board(), "1 dan 27 · 2 ben 15 (total) · 2 cat 15 (shared) · 4 ada 15 (criterion:art)");
}

#[test]
fn dropping_the_highest_separates_by_what_is_left() {
    let rules = json!({"method": "mean", "tieBreaks": ["drop:highest"]});
    let category = Category::simple(rules, 3).form("ada", "9 9 3").form("ben", "7 7 7").form("cat", "10 10 1");
    assert_eq!(category.board(), "1 ben 7 · 2 ada 7 (drop:highest) · 3 cat 7 (drop:highest)");

    // After the trim 1/1 the middle three are left; the highest of them goes as well.
    let rules = json!({"method": "trimmed_mean", "trim": {"low": 1, "high": 1}, "tieBreaks": ["drop:highest"]});
    let category = Category::simple(rules, 5).form("ada", "1 5 6 7 10").form("ben", "1 6 6 6 6.5");
    assert_eq!(category.board(), "1 ben 6 · 2 ada 6 (drop:highest)");

    let rules = json!({"method": "sum", "tieBreaks": ["drop:highest"]});
    let alone = Category::simple(rules, 1).form("ada", "9").form("ben", "9");
    assert_eq!(alone.board(), "1 ada 9 · 1 ben 9 (shared)");
    assert_eq!(alone.rank().warnings, ["drop:highest has no answer for the tie of ada, ben"]);
}

#[test]
fn the_head_judge_separates_by_their_own_total() {
    let rules = json!({"method": "sum", "tieBreaks": ["head_judge"]});
    let category = Category::new(rules.clone(), &[("form", "1"), ("art", "2")], 2)
        .marks("ada", "form", "7 8")
        .marks("ada", "art", "5 4")
        .marks("ben", "form", "4 5")
        .marks("ben", "art", "6 6");
    // Of the 33 points j2 gave ada 8 + 2 × 4 and ben 5 + 2 × 6.
    assert_eq!(category.board(), "1 ada 33 · 1 ben 33 (shared)", "without a head judge nobody decides");
    let category = category.judge("j2", |judge| judge.head = true);
    assert_eq!(category.board(), "1 ben 33 · 2 ada 33 (head_judge)");
    let category = category.judge("j1", |judge| judge.head = true);
    assert_eq!(category.board(), "1 ada 33 · 1 ben 33 (shared)", "two heads are none");

    let factors = Category::simple(rules, 2)
        .form("ada", "8 4")
        .form("ben", "2 2")
        .entry("ben", |entry| entry.factor = decimal("3"))
        .judge("j2", |judge| judge.head = true);
    assert_eq!(factors.board(), "1 ben 12 · 2 ada 12 (head_judge)", "the factor belongs to the total");
}

#[test]
fn a_majority_of_judges_separates() {
    let rules = json!({"method": "sum", "tieBreaks": ["majority_of_placings"]});
    let pair = Category::simple(rules.clone(), 3).form("ada", "9 5 5").form("ben", "6 6 7");
    assert_eq!(pair.board(), "1 ben 19 · 2 ada 19 (majority_of_placings)");

    let circle = Category::simple(rules.clone(), 3).form("ada", "3 2 1").form("ben", "2 1 3").form("cat", "1 3 2");
    assert_eq!(circle.board(), "1 ada 6 · 1 ben 6 (shared) · 1 cat 6 (shared)");

    // Dan loses to all, the circle above stays shared.
    let below = Category::simple(rules.clone(), 4)
        .form("ada", "4 3 2 1")
        .form("ben", "3 2 4 1")
        .form("cat", "2 4 3 1")
        .form("dan", "1 1 1 7");
    assert_eq!(below.board(), "1 ada 10 · 1 ben 10 (shared) · 1 cat 10 (shared) · 4 dan 10 (majority_of_placings)");

    // Ada over ben by 3:1; cat is even with both, so comes between them.
    let even = Category::simple(rules.clone(), 4).form("ada", "5 5 5 1").form("ben", "4 4 4 4").form("cat", "1 2 6 7");
    assert_eq!(even.board(), "1 ada 16 · 2 cat 16 (majority_of_placings) · 3 ben 16 (majority_of_placings)");

    // Ada over ben over cat over dan over ada: ada and ben win two of three each, the two alone ada wins; cat and dan
    // likewise. Deductions make the totals equal and are not the judges' business.
    let again = Category::simple(rules, 3)
        .form("ada", "4 3 1")
        .form("ben", "3 2 4")
        .form("cat", "2 1 3")
        .form("dan", "1 4 2")
        .deducted("ada", "2")
        .deducted("ben", "3")
        .deducted("dan", "1");
    let by = "(majority_of_placings)";
    assert_eq!(again.board(), format!("1 ada 6 · 2 ben 6 {by} · 3 cat 6 {by} · 4 dan 6 {by}"));

    let abstaining = json!({"method": "sum", "missing": "mean_of_others", "tieBreaks": ["majority_of_placings"]});
    let category = Category::simple(abstaining, 3).form("ada", "8 - 4").form("ben", "7 3 8");
    assert_eq!(category.board(), "1 ada 18 · 1 ben 18 (shared)", "j2 has no vote, the others are 1:1");
}

#[test]
fn the_smaller_deduction_separates() {
    let category = Category::simple(json!({"method": "sum", "tieBreaks": ["fewest_deductions"]}), 1)
        .form("ada", "9")
        .form("ben", "8")
        .form("cat", "8.5")
        .deducted("ada", "0.5")
        .deducted("ada", "0.5")
        .deducted("cat", "0.5");
    assert_eq!(category.board(), "1 ben 8 · 2 cat 8 (fewest_deductions) · 3 ada 8 (fewest_deductions)");
}

#[test]
fn a_manual_order_separates_only_ties_it_names_in_full() {
    let category = Category::simple(json!({"method": "sum", "tieBreaks": ["manual"]}), 1)
        .form("ada", "8")
        .form("ben", "8")
        .form("cat", "9")
        .form("dan", "7")
        .form("eve", "7");
    assert_eq!(
        category.rank().warnings,
        ["manual has no answer for the tie of ada, ben", "manual has no answer for the tie of dan, eve"]
    );
    let category = category.manual(&["eve", "ben", "ada", "cat", "ben"]);
    assert_eq!(
        category.board(),
        "1 cat 9 · 2 ben 8 (total) · 3 ada 8 (manual) · 4 dan 7 (total) · 4 eve 7 (shared)",
        "it never moves different totals"
    );
}

#[test]
fn two_manual_orders_say_nothing_of_each_other() {
    let category = Category::simple(json!({"method": "sum", "tieBreaks": ["manual"]}), 1)
        .form("ada", "8")
        .form("ben", "8")
        .form("cat", "7")
        .form("dan", "7")
        .manual(&["ben", "ada"])
        .manual(&["dan", "cat"]);
    assert_eq!(category.board(), "1 ben 8 · 2 ada 8 (manual) · 3 dan 7 (total) · 4 cat 7 (manual)");
    let all_alike = category.deducted("ada", "1").deducted("ben", "1");
    assert_eq!(
        all_alike.board(),
        "1 ada 7 · 1 ben 7 (shared) · 1 cat 7 (shared) · 1 dan 7 (shared)",
        "nobody has put ben before dan"
    );
}

#[test]
fn breakers_are_tried_in_order_and_each_pair_says_which_decided() {
    let rules = json!({"method": "sum", "tieBreaks": ["criterion:art", "fewest_deductions", "manual"]});
    let category = Category::new(rules, &[("form", "1"), ("art", "1")], 1)
        .marks("ada", "form", "5")
        .marks("ada", "art", "5")
        .marks("ben", "form", "4")
        .marks("ben", "art", "6")
        .marks("cat", "form", "6")
        .marks("cat", "art", "5")
        .deducted("cat", "1")
        .marks("dan", "form", "4")
        .marks("dan", "art", "6")
        .marks("eve", "form", "1")
        .marks("eve", "art", "1")
        .manual(&["dan", "ben"]);
    assert_eq!(
        category.board(),
        "1 dan 10 · 2 ben 10 (manual) · 3 ada 10 (criterion:art) · 4 cat 10 (fewest_deductions) · 5 eve 2 (total)"
    );
}

/// Marks from a narrow range, so that ties happen often.
fn any_category() -> impl Strategy<Value = (Rules, Input)> {
    (1..6_usize, 1..4_usize, 1..6_usize).prop_flat_map(|(contestants, criteria, judges)| {
        let one_in = |n: u32| prop::bool::weighted(1.0 / f64::from(n));
        let small = || (1..=30_i64).prop_map(|tenths| Decimal::new(tenths.into(), 1));
        let status = prop_oneof![
            8 => Just(None),
            1 => Just(Some(Status::Dns)),
            1 => Just(Some(Status::Dsq)),
        ];
        (
            any_rules(),
            prop::collection::vec(prop::option::weighted(0.9, 0..12_i64), contestants * criteria * judges),
            prop::collection::vec(small(), criteria),
            prop::collection::vec((small(), one_in(8), status), contestants),
            prop::collection::vec((one_in(5), one_in(4)), judges),
            prop::collection::vec((0..contestants, small()), 0..3),
            Just((0..contestants).collect::<Vec<_>>()).prop_shuffle(),
        )
            .prop_map(move |(rules, marks, weights, entries, panel, deductions, manual)| {
                let contestant = |at: usize| Id::from(format!("c{at}"));
                let mut input =
                    Input { manual_order: vec![manual.into_iter().map(contestant).collect()], ..Input::default() };
                for (at, (factor, withdrawn, status)) in entries.into_iter().enumerate() {
                    input.entries.push(EntryIn { contestant: contestant(at), factor, withdrawn, status });
                }
                for (at, weight) in weights.into_iter().enumerate() {
                    input.criteria.push(CriterionIn { id: format!("k{at}").into(), weight });
                }
                for (at, (left, head)) in panel.into_iter().enumerate() {
                    input.panel.push(Panelist { judge: format!("j{at}").into(), required: !left, head });
                }
                for (at, amount) in deductions {
                    input.deductions.push(DeductionIn { contestant: contestant(at), amount });
                }
                for (at, quarters) in marks.into_iter().enumerate() {
                    if let Some(quarters) = quarters {
                        input.marks.push(MarkIn {
                            judge: format!("j{}", at % judges).into(),
                            criterion: format!("k{}", at / judges % criteria).into(),
                            contestant: contestant(at / judges / criteria),
                            value: Mark::from_thousandths(quarters * 250).expect("a small mark"),
                        });
                    }
                }
                (rules, input)
            })
    })
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let decimals = || prop::option::of(0..4_u8);
    let breakers = vec![
        TieBreak::Criterion("k0".into()),
        TieBreak::DropHighest,
        TieBreak::HeadJudge,
        TieBreak::MajorityOfPlacings,
        TieBreak::FewestDeductions,
        TieBreak::Manual,
    ];
    (
        prop::sample::select(vec![
            Method::Sum,
            Method::Mean,
            Method::TrimmedMean,
            Method::Median,
            Method::Placings,
            Method::Skating,
            Method::Zscore,
            Method::Time,
        ]),
        (0..3_u32, 0..3_u32),
        prop::sample::select(vec![MissingPolicy::Block, MissingPolicy::MeanOfOthers, MissingPolicy::Zero]),
        (decimals(), decimals(), decimals()),
        prop::sample::select(vec![RoundingMode::HalfUp, RoundingMode::HalfEven, RoundingMode::Truncate]),
        prop::sample::subsequence(breakers, 0..=6).prop_shuffle(),
        prop::sample::select(vec![RankStyle::Standard, RankStyle::Dense]),
        any::<bool>(),
    )
        .prop_map(
            |(method, (low, high), missing, (criterion, weighted, total), mode, tie_breaks, rank_style, floor_zero)| {
                let trim = Trim { low, high };
                let rounding = Rounding { criterion, weighted, total, mode };
                Rules { method, trim, missing, rounding, tie_breaks, rank_style, floor_zero }
            },
        )
}

fn shuffled(input: &Input) -> impl Strategy<Value = Input> + use<> {
    let manual_order = input.manual_order.clone();
    (
        Just(input.criteria.clone()).prop_shuffle(),
        Just(input.entries.clone()).prop_shuffle(),
        Just(input.panel.clone()).prop_shuffle(),
        Just(input.marks.clone()).prop_shuffle(),
        Just(input.deductions.clone()).prop_shuffle(),
    )
        .prop_map(move |(criteria, entries, panel, marks, deductions)| Input {
            criteria,
            entries,
            panel,
            marks,
            deductions,
            manual_order: manual_order.clone(),
        })
}

/// The value of a cell by the definition of its method, in its own words.
fn value_by_definition(rules: &Rules, cell: &Cell, owed: usize) -> BigRational {
    let mut marks: Vec<i64> = cell.marks.iter().map(|mark| mark.score.thousandths()).collect();
    let given = marks.len();
    if rules.missing == MissingPolicy::Zero {
        marks.resize(given + owed, 0);
    }
    marks.sort_unstable();
    let points =
        |sum: i64, parts: usize| BigRational::new(sum.into(), 1_000.into()) / BigRational::from_integer(parts.into());
    match rules.method {
        Method::Sum if rules.missing == MissingPolicy::MeanOfOthers => {
            let sum: i64 = marks.iter().sum();
            points(sum, 1) + points(sum, given) * BigRational::from_integer(owed.into())
        }
        Method::Sum => points(marks.iter().sum(), 1),
        Method::Mean | Method::Time => points(marks.iter().sum(), marks.len()),
        Method::TrimmedMean => {
            for _ in 0..rules.trim.low {
                marks.remove(0);
            }
            for _ in 0..rules.trim.high {
                marks.pop();
            }
            points(marks.iter().sum(), marks.len())
        }
        Method::Median if marks.len() % 2 == 1 => points(marks[marks.len() / 2], 1),
        Method::Median => points(marks[marks.len() / 2 - 1] + marks[marks.len() / 2], 2),
        Method::Placings | Method::Skating | Method::Zscore => {
            panic!("values that depend on others have their own test")
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_contestant_who_stayed_has_exactly_one_row((rules, input) in any_category()) {
        let ranking = rank(&rules, &input);
        let mut rows: Vec<_> = ranking.ranking.iter().map(|row| row.contestant_id.clone()).collect();
        rows.sort();
        let stayed = input.entries.iter().filter(|entry| !entry.withdrawn);
        prop_assert_eq!(rows, stayed.map(|entry| entry.contestant.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn the_order_of_the_input_changes_nothing(
        ((rules, input), shuffled) in any_category()
            .prop_flat_map(|(rules, input)| { let other = shuffled(&input); (Just((rules, input)), other) })
    ) {
        prop_assert_eq!(rank(&rules, &input), rank(&rules, &shuffled));
    }

    #[test]
    fn ranks_follow_totals_and_the_style((rules, input) in any_category()) {
        let ranking = rank(&rules, &input).ranking;
        let ranked: Vec<_> = ranking.iter().filter(|row| row.rank.is_some()).collect();
        for row in &ranking {
            prop_assert_eq!(row.rank.is_some(), row.total.is_some());
        }
        prop_assert!(ranking.iter().skip(ranked.len()).all(|row| row.rank.is_none() && row.decided_by.is_none()));
        if let Some(first) = ranked.first() {
            prop_assert_eq!((first.rank, &first.decided_by), (Some(1), &None));
        }
        for (above, pair) in (1..).zip(ranked.windows(2)) {
            let next = match rules.rank_style { RankStyle::Standard => Some(above + 1), RankStyle::Dense => pair[0].rank.map(|rank| rank + 1) };
            match pair[1].decided_by.as_deref() {
                Some("shared") => {
                    prop_assert_eq!(pair[1].rank, pair[0].rank);
                    prop_assert_eq!(&pair[1].total, &pair[0].total);
                    prop_assert!(pair[1].contestant_id > pair[0].contestant_id);
                }
                Some("total") => {
                    prop_assert_eq!(pair[1].rank, next);
                    let (worse, better) = if rules.method.less_is_better() { (0, 1) } else { (1, 0) };
                    prop_assert!(pair[worse].total <= pair[better].total);
                }
                Some(breaker) => {
                    prop_assert_eq!(pair[1].rank, next);
                    prop_assert_eq!(&pair[1].total, &pair[0].total);
                    let of_the_method = rules.method == Method::Skating && ["rule:10", "rule:11"].contains(&breaker);
                    prop_assert!(of_the_method || rules.tie_breaks.iter().any(|it| it.to_string() == breaker));
                }
                None => prop_assert!(false, "a ranked row below another must say what separates them"),
            }
        }
    }

    #[test]
    fn every_value_and_total_is_what_the_definitions_say((rules, input) in any_category()) {
        prop_assume!(![Method::Placings, Method::Skating, Method::Zscore].contains(&rules.method));
        let ranking = rank(&rules, &input);
        let round = |value: BigRational, stated: Option<u8>| match stated {
            Some(decimals) => Decimal::rounded(&value, decimals, rules.rounding.mode).to_rational(),
            None => value,
        };
        let shown = |value: &BigRational, stated: Option<u8>| match stated {
            Some(_) => Decimal::rounded(value, 9, RoundingMode::Truncate),
            None => Decimal::rounded(value, 6, RoundingMode::HalfUp),
        };
        for row in &ranking.ranking {
            let entry = input.entries.iter().find(|entry| entry.contestant == row.contestant_id).expect("an entry");
            let mut total = BigRational::from_integer(0.into());
            for cell in &row.criteria {
                let owed = ranking.missing.iter().filter(|it| it.contestant_id == row.contestant_id && it.criterion_id == cell.criterion_id).count();
                let Some(value) = &cell.value else { continue };
                let exact = round(value_by_definition(&rules, cell, owed), rules.rounding.criterion);
                prop_assert_eq!(value, &shown(&exact, rules.rounding.criterion));
                let weight = &input.criteria.iter().find(|it| it.id == cell.criterion_id).expect("a criterion").weight;
                let weighted = round(exact * weight.to_rational(), rules.rounding.weighted);
                prop_assert_eq!(cell.weighted.as_ref(), Some(&shown(&weighted, rules.rounding.weighted)));
                total += weighted;
            }
            total *= entry.factor.to_rational();
            if rules.method == Method::Time {
                total += row.deductions.to_rational();
            } else {
                total -= row.deductions.to_rational();
            }
            if rules.floor_zero {
                total = total.max(BigRational::from_integer(0.into()));
            }
            let has_total = entry.status.is_none() && row.criteria.iter().all(|cell| cell.value.is_some());
            let total = has_total.then(|| shown(&round(total, rules.rounding.total), rules.rounding.total));
            prop_assert_eq!(&row.total, &total);
        }
        let all = ranking.ranking.iter().all(|row| row.total.is_some()
            || input.entries.iter().any(|entry| entry.contestant == row.contestant_id && entry.status.is_some()));
        prop_assert_eq!(ranking.complete, all);
    }

    #[test]
    fn a_trim_drops_as_many_as_it_says((rules, input) in any_category()) {
        for row in rank(&rules, &input).ranking {
            for cell in &row.criteria {
                let dropped = dropped(cell).len();
                let trimmed = (rules.trim.low + rules.trim.high) as usize;
                if rules.method != Method::TrimmedMean || cell.value.is_none() {
                    prop_assert_eq!(dropped, 0);
                } else if rules.missing != MissingPolicy::Zero {
                    prop_assert_eq!(dropped, trimmed);
                } else {
                    prop_assert!(dropped <= trimmed, "a zero that stands for a mark may be among the trimmed");
                }
            }
        }
    }

    #[test]
    fn a_higher_mark_never_worsens_a_contestant((mut rules, input) in any_category(), at: prop::sample::Index, by in 1..40_i64) {
        // A standardised mark moves with all others of its judge, a place in a dance with the places of others.
        prop_assume!(![Method::Zscore, Method::Skating].contains(&rules.method));
        // By the total alone: a breaker such as drop:highest may well turn on a higher mark.
        rules.tie_breaks.clear();
        if rules.method == Method::Placings {
            // The place gained is lost by another, who may part from an equal one above: one more dense rank there.
            rules.rank_style = RankStyle::Standard;
        }
        prop_assume!(!input.marks.is_empty());
        let at = at.index(input.marks.len());
        let mut raised = input.clone();
        raised.marks[at].value = Mark::from_thousandths(input.marks[at].value.thousandths() + by * 100).expect("a small mark");
        let place = |input: &Input| {
            rank(&rules, input).ranking.into_iter().find(|row| row.contestant_id == input.marks[at].contestant).map(|row| (row.rank, row.total))
        };
        if let (Some((before, less)), Some((after, more))) = (place(&input), place(&raised)) {
            // More seconds are worse; more points make a sum of places no greater.
            let (worse, better) = if rules.method == Method::Time { (before, after) } else { (after, before) };
            prop_assert!(worse <= better, "rank {:?} became {:?}", before, after);
            let (low, high) = if rules.method == Method::Placings { (more, less) } else { (less, more) };
            prop_assert!(low <= high);
        }
    }

    #[test]
    fn a_shadow_judge_changes_nothing((rules, input) in any_category(), quarters in prop::collection::vec(0..40_i64, 1..30)) {
        let mut shadowed = input.clone();
        for (at, quarters) in quarters.into_iter().enumerate() {
            shadowed.marks.push(MarkIn {
                judge: "shadow".into(),
                contestant: input.entries[at % input.entries.len()].contestant.clone(),
                criterion: input.criteria[at % input.criteria.len()].id.clone(),
                value: Mark::from_thousandths(quarters * 250).expect("a small mark"),
            });
        }
        prop_assert_eq!(rank(&rules, &shadowed), rank(&rules, &input));
    }

    #[test]
    fn a_contestant_who_withdrew_changes_nothing_for_the_others((rules, input) in any_category()) {
        let mut without = input.clone();
        without.entries.retain(|entry| !entry.withdrawn);
        prop_assert_eq!(rank(&rules, &without), rank(&rules, &input));
    }
}

#[derive(Deserialize)]
struct Document {
    contests: Vec<Contest>,
}

#[derive(Deserialize)]
struct Contest {
    categories: Vec<CategoryDocument>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CategoryDocument {
    id: String,
    rules: Rules,
    min_judges: u32,
    criteria: Vec<CriterionDocument>,
    entries: Vec<EntryDocument>,
    assignments: Vec<AssignmentDocument>,
}

#[derive(Deserialize)]
struct CriterionDocument {
    id: Id,
    weight: Decimal,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryDocument {
    contestant_id: Id,
    factor: Option<Decimal>,
}

#[derive(Deserialize)]
struct AssignmentDocument {
    email: Id,
    hat: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MarkLine {
    category_id: String,
    contestant_id: Id,
    criterion_id: Id,
    judge: Id,
    score: Mark,
}

#[test]
fn the_grand_prix_final_of_2017_comes_out_as_it_officially_did() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/gpf2017");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect(name);
    let document: Document = serde_json::from_str(&read("event.json")).expect("an import document");
    let marks: Vec<MarkLine> =
        read("marks.ndjson").lines().map(|line| serde_json::from_str(line).expect("a mark")).collect();
    let official = read("official.csv");

    let mut compared = 0;
    for category in document.contests.iter().flat_map(|contest| &contest.categories) {
        let criteria: Vec<&Id> = category.criteria.iter().map(|criterion| &criterion.id).collect();
        category.rules.check(&criteria, category.min_judges).expect("rules of a real competition");
        let ranking = rank(&category.rules, &input_of(category, &marks));
        assert!(ranking.complete, "{}", category.id);
        assert_eq!((ranking.missing.len(), ranking.warnings.len()), (0, 0), "{}", category.id);

        for line in official.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let [category_id, contestant_id, total, panel_means] = fields[..] else {
                panic!("not four fields: {line}")
            };
            if category_id != category.id {
                continue;
            }
            let row = ranking.ranking.iter().find(|row| &*row.contestant_id == contestant_id).expect(line);
            assert_eq!(row.total, Some(decimal(total)), "{line}");
            let means = criteria_as_marked(&marks, category_id, contestant_id).into_iter().map(|id| {
                row.criteria.iter().find(|cell| cell.criterion_id == *id).and_then(|cell| cell.value.clone())
            });
            let means: Vec<_> = means.collect();
            assert_eq!(means, panel_means.split(';').map(|mean| Some(decimal(mean))).collect::<Vec<_>>(), "{line}");
            compared += 1;
        }
    }
    assert_eq!(compared, 96);
}

/// The official means are in the order in which the protocol of that performance lists the criteria.
fn criteria_as_marked<'a>(marks: &'a [MarkLine], category_id: &str, contestant_id: &str) -> Vec<&'a Id> {
    let mut criteria: Vec<&Id> = Vec::new();
    for mark in marks.iter().filter(|it| it.category_id == category_id && &*it.contestant_id == contestant_id) {
        if !criteria.contains(&&mark.criterion_id) {
            criteria.push(&mark.criterion_id);
        }
    }
    criteria
}

fn input_of(category: &CategoryDocument, marks: &[MarkLine]) -> Input {
    let criteria = category.criteria.iter();
    let entries = category.entries.iter();
    let judges = category.assignments.iter().filter(|assignment| assignment.hat == "JUDGE");
    let marks = marks.iter().filter(|mark| mark.category_id == category.id);
    Input {
        criteria: criteria.map(|it| CriterionIn { id: it.id.clone(), weight: it.weight.clone() }).collect(),
        entries: entries
            .map(|it| EntryIn {
                contestant: it.contestant_id.clone(),
                factor: it.factor.clone().unwrap_or_else(Decimal::one),
                withdrawn: false,
                status: None,
            })
            .collect(),
        panel: judges.map(|it| Panelist { judge: it.email.clone(), required: true, head: false }).collect(),
        marks: marks
            .map(|it| MarkIn {
                judge: it.judge.clone(),
                contestant: it.contestant_id.clone(),
                criterion: it.criterion_id.clone(),
                value: it.score,
            })
            .collect(),
        deductions: Vec::new(),
        manual_order: Vec::new(),
    }
}
