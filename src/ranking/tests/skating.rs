//! The skating system by the worked examples of its own teaching texts, and by a second statement of its rules.
//! Couples bear the numbers they have there.

use super::*;

/// One dance, a line per couple: the marks of the judges.
fn dance(couples: &[(&str, &str)]) -> Category {
    dances(&[("waltz", couples)])
}

fn dances(dances: &[(&str, &[(&str, &str)])]) -> Category {
    let judges = dances[0].1[0].1.split_whitespace().count();
    let criteria: Vec<(&str, &str)> = dances.iter().map(|(dance, _)| (*dance, "1")).collect();
    let mut category = Category::new(json!({"method": "skating"}), &criteria, judges);
    for (dance, couples) in dances {
        for (couple, marks) in *couples {
            category = category.marks(couple, dance, marks);
        }
    }
    category
}

/// The final summary from the places in the dances, a line per couple: of a single judge the mark is the place.
fn summary(couples: &[(&str, &str)]) -> Category {
    let names = ["a", "b", "c", "d", "e"].map(|name| (name, "1"));
    let count = couples[0].1.split_whitespace().count();
    let mut category = Category::new(json!({"method": "skating"}), &names[..count], 1);
    for (couple, places) in couples {
        for ((dance, _), place) in names.iter().zip(places.split_whitespace()) {
            category = category.marks(couple, dance, place);
        }
    }
    category
}

/// `51 52 53`, with `=` before a shared place, and what decided where it was not the total.
fn order(category: &Category) -> String {
    let ranking = category.rank();
    assert_eq!((ranking.complete, &ranking.warnings), (true, &vec![]));
    let rows = ranking.ranking.iter().map(|row| match row.decided_by.as_deref() {
        None | Some("total") => row.contestant_id.to_string(),
        Some("shared") => format!("={}", row.contestant_id),
        Some(rule) => format!("{}({rule})", row.contestant_id),
    });
    rows.collect::<Vec<_>>().join(" ")
}

fn dance_place(ranking: &Ranking, couple: &str, dance: &str) -> String {
    let row = ranking.ranking.iter().find(|row| &*row.contestant_id == couple).expect("a couple");
    let cell = row.criteria.iter().find(|cell| &*cell.criterion_id == dance).expect("a dance");
    cell.value.as_ref().map_or("-".to_owned(), ToString::to_string)
}

#[test]
fn rule_5_a_majority_wins_the_place() {
    let rule_5 = dance(&[
        ("51", "1 1 1 2 1"),
        ("52", "4 2 2 1 2"),
        ("53", "3 3 3 5 4"),
        ("54", "2 4 5 4 3"),
        ("55", "5 6 4 3 5"),
        ("56", "6 5 6 6 6"),
    ]);
    assert_eq!(
        rule_5.board(),
        "1 51 1 · 2 52 2 (total) · 3 53 3 (total) · 4 54 4 (total) · 5 55 5 (total) · 6 56 6 (total)"
    );
    let clear = dance(&[("1", "1 1 2 1 2"), ("2", "2 2 1 3 1"), ("3", "3 3 3 2 3")]);
    assert_eq!(order(&clear), "1 2 3");
}

#[test]
fn rule_6_the_greater_majority_wins_the_place() {
    let rule_6 = dance(&[
        ("61", "1 1 2 1 4 2 1"),
        ("62", "6 2 1 5 2 1 2"),
        ("63", "2 4 3 3 6 3 3"),
        ("64", "3 3 5 2 1 5 4"),
        ("65", "4 5 6 4 3 6 5"),
        ("66", "5 6 4 6 5 4 6"),
    ]);
    assert_eq!(order(&rule_6), "61 62 63 64 65 66");
}

#[test]
fn rule_7_the_smaller_sum_of_the_majority_wins_and_then_the_next_columns() {
    // 72 and 73: four "2nd and higher" each, 6 against 7. 74, 75: four "4th and higher", 14 each; with the 5ths 6 over 5.
    let rule_7 = dance(&[
        ("71", "3 1 6 1 1 2 1"),
        ("72", "2 2 1 5 3 1 3"),
        ("73", "1 5 4 2 2 6 2"),
        ("74", "5 4 2 4 6 5 4"),
        ("75", "4 6 3 3 5 4 6"),
        ("76", "6 3 5 6 4 3 5"),
    ]);
    assert_eq!(order(&rule_7), "71 72 73 74 75 76");

    // Those tied look at the next columns alone: 4 with five 3rds does not come between 2 and 3.
    let alone =
        dance(&[("1", "1 1 1 2 5"), ("2", "2 4 5 1 2"), ("3", "5 2 2 5 1"), ("4", "3 3 3 3 3"), ("5", "4 5 4 4 4")]);
    assert_eq!(order(&alone), "1 2 3 4 5");
    let several =
        dance(&[("1", "1 1 1 5 2"), ("2", "2 3 3 1 1"), ("3", "3 2 2 2 5"), ("4", "4 4 5 3 3"), ("5", "5 5 4 4 4")]);
    assert_eq!(order(&several), "1 2 3 4 5");
}

#[test]
fn rule_7_what_stays_equal_shares_the_mean_of_its_places() {
    let shared = dance(&[("1", "1 1 3 3 4"), ("2", "2 2 2 2 2"), ("3", "3 3 4 1 1"), ("4", "4 4 1 4 3")]);
    assert_eq!(shared.board(), "1 2 1 · 2 1 2.5 (total) · 2 3 2.5 (shared) · 4 4 4 (total)");
    // Three equal from 3rd to 5th have 4 each.
    let three = dance(&[("1", "1 1 1"), ("2", "2 2 2"), ("3", "3 4 5"), ("4", "4 5 3"), ("5", "5 3 4")]);
    assert_eq!(three.board(), "1 1 1 · 2 2 2 (total) · 3 3 4 (total) · 3 4 4 (shared) · 3 5 4 (shared)");
}

#[test]
fn rule_8_without_a_majority_the_next_column_is_added() {
    let rule_8 = dance(&[
        ("81", "3 3 3 2 5 2 3"),
        ("82", "4 4 4 3 2 3 2"),
        ("83", "2 2 6 6 4 1 4"),
        ("84", "1 6 1 5 1 4 6"),
        ("85", "5 5 5 1 3 6 1"),
        ("86", "6 1 2 4 6 5 5"),
    ]);
    assert_eq!(order(&rule_8), "81 82 83 84 85 86");
    let second_wins = dance(&[("1", "1 1 2 2 3"), ("2", "2 2 1 1 2"), ("3", "3 3 3 3 1")]);
    assert_eq!(order(&second_wins), "2 1 3");
}

#[test]
fn of_an_even_panel_two_of_four_are_no_majority() {
    // 1 and 2 have two 1sts each. With the 2nds 2 has four, 1 two.
    let even = dance(&[("1", "1 1 3 3"), ("2", "2 2 1 1"), ("3", "3 3 2 2")]);
    assert_eq!(order(&even), "2 1 3");
}

#[test]
fn rule_9_the_smallest_sum_of_dance_places_wins() {
    let rule_9 = summary(&[
        ("91", "1 1 1 1 1"),
        ("92", "4 2 2 2 2"),
        ("93", "2 3 3 3 3"),
        ("94", "5 5 6 4 5"),
        ("95", "3 4 5 7 7"),
        ("96", "6 7 4 5 6"),
        ("97", "7 6 7 6 4"),
        ("98", "8 8 8 8 8"),
    ]);
    assert_eq!(
        rule_9.board(),
        "1 91 5 · 2 92 12 (total) · 3 93 14 (total) · 4 94 25 (total) · 5 95 26 (total) · 6 96 28 (total) · \
         7 97 30 (total) · 8 98 40 (total)"
    );
    let rule_9 = summary(&[
        ("16", "1 2 1 2 2"),
        ("26", "3 1 2 1 4"),
        ("36", "2 3 3 3 3"),
        ("46", "4 4 4 4 1"),
        ("56", "5 5 5 5 6"),
        ("66", "6 6 6 6 5"),
    ]);
    assert_eq!(order(&rule_9), "16 26 36 46 56 66");
}

#[test]
fn rule_10_more_dances_at_the_place_or_higher_and_then_their_smaller_sum() {
    for (couples, expected) in [
        // 101 has two 1sts and 102 one; 103 and 104 one "3rd and higher" each, a 2nd and a 3rd.
        (
            &[
                ("101", "1 1 3"),
                ("102", "2 2 1"),
                ("103", "6 4 2"),
                ("104", "5 3 4"),
                ("105", "4 5 5"),
                ("106", "3 6 6"),
            ][..],
            "101 102(rule:10) 103 104(rule:10) 105 106",
        ),
        // Four with 12: 101 has two 1sts. Then 102 three "2nd and higher", then 103 three "3rd and higher", 104 two.
        // 105 and 106: four against three "5th and higher".
        (
            &[
                ("101", "1 6 4 1"),
                ("102", "6 2 2 2"),
                ("103", "2 1 6 3"),
                ("104", "3 4 1 4"),
                ("105", "5 3 5 5"),
                ("106", "4 5 3 6"),
            ],
            "101 102(rule:10) 103(rule:10) 104(rule:10) 105 106(rule:10)",
        ),
        // Four with 17. 30: three "2nd and higher". 40 and 60: three "3rd and higher", 5 against 8. Then 50 is looked at
        // again: five "4th and higher" against four of 60.
        (
            &[
                ("20", "2 1 5 3 2"),
                ("30", "1 2 2 6 6"),
                ("40", "6 6 1 1 3"),
                ("50", "4 4 4 4 1"),
                ("60", "5 3 3 2 4"),
                ("70", "3 5 6 5 5"),
            ],
            "20 30 40(rule:10) 50(rule:10) 60(rule:10) 70",
        ),
        (
            &[
                ("19", "1 1 2 3 2"),
                ("29", "3 4 1 2 1"),
                ("39", "2 2 3 1 3"),
                ("49", "6 3 4 5 5"),
                ("59", "5 5 5 4 4"),
                ("69", "4 6 6 6 6"),
            ],
            "19 29 39(rule:10) 49 59(rule:10) 69",
        ),
        (
            &[
                ("18", "3 1 1 1 1"),
                ("28", "2 2 3 2 6"),
                ("38", "1 4 2 5 3"),
                ("48", "4 5 6 4 2"),
                ("58", "5 3 5 3 5"),
                ("68", "6 6 4 6 4"),
            ],
            "18 28 38(rule:10) 48 58(rule:10) 68",
        ),
        (
            &[
                ("17", "1 1 2 5"),
                ("27", "3 3 1 2"),
                ("37", "2 5 4 4"),
                ("47", "4 2 3 6"),
                ("57", "6 6 5 1"),
                ("67", "5 4 6 3"),
            ],
            "17 27(rule:10) 47 37(rule:10) 67 57(rule:10)",
        ),
    ] {
        assert_eq!(order(&summary(couples)), expected, "{couples:?}");
    }
}

/// The example of rule 11: two dances, five judges.
fn rule_11() -> Category {
    let waltz = [
        ("111", "2 5 6 6 4"),
        ("112", "6 8 1 5 7"),
        ("113", "8 3 2 8 8"),
        ("114", "7 4 3 3 2"),
        ("115", "1 1 5 2 6"),
        ("116", "4 2 4 1 1"),
        ("117", "5 7 8 7 3"),
        ("118", "3 6 7 4 5"),
    ];
    let tango = [
        ("111", "3 6 5 5 4"),
        ("112", "7 8 3 8 7"),
        ("113", "8 5 4 6 8"),
        ("114", "6 3 1 3 3"),
        ("115", "1 1 2 4 5"),
        ("116", "5 2 6 2 2"),
        ("117", "2 7 7 7 1"),
        ("118", "4 4 8 1 6"),
    ];
    dances(&[("waltz", &waltz), ("tango", &tango)])
}

#[test]
fn rule_11_counts_the_marks_over_all_dances() {
    let category = rule_11();
    let ranking = category.rank();
    for (couple, waltz, tango) in [
        ("111", "4", "5"),
        ("112", "6", "8"),
        ("113", "8", "6"),
        ("114", "3", "3"),
        ("115", "2", "1"),
        ("116", "1", "2"),
        ("117", "7", "7"),
        ("118", "5", "4"),
    ] {
        let places = (dance_place(&ranking, couple, "waltz"), dance_place(&ranking, couple, "tango"));
        assert_eq!(places, (waltz.to_owned(), tango.to_owned()), "{couple}");
    }
    // Of ten marks six are a majority. 115 and 116 have one 1st place each, and no six 1sts; six "2nd and higher" each,
    // with 8 against 10. 111 and 118: no six "4th and higher", then seven against six "5th and higher". 112 and 113 are
    // equal by rule 10 and better than 117, so 113 is placed before 117 is looked at again, though of "7th and higher"
    // places 117 has two and 113 one.
    assert_eq!(order(&category), "115 116(rule:11) 114 111 118(rule:11) 112 113(rule:11) 117(rule:10)");
}

#[test]
fn rule_11_after_shared_dance_places() {
    let waltz = [
        ("25", "1 1 2 5 3"),
        ("35", "2 2 5 2 5"),
        ("45", "4 5 3 1 1"),
        ("55", "3 3 6 3 6"),
        ("65", "6 6 1 4 4"),
        ("75", "5 4 4 6 2"),
    ];
    let tango = [
        ("25", "1 2 2 3 4"),
        ("35", "5 3 1 2 2"),
        ("45", "3 1 3 1 3"),
        ("55", "4 4 4 4 1"),
        ("65", "2 5 5 5 5"),
        ("75", "6 6 6 6 6"),
    ];
    let viennese = [
        ("25", "1 1 2 2 3"),
        ("35", "3 2 1 1 2"),
        ("45", "5 3 3 6 1"),
        ("55", "2 6 6 3 4"),
        ("65", "4 4 5 5 6"),
        ("75", "6 5 4 4 5"),
    ];
    let slow = [
        ("25", "2 2 5 1 5"),
        ("35", "1 1 2 5 2"),
        ("45", "5 6 3 2 3"),
        ("55", "3 3 1 3 6"),
        ("65", "6 4 6 6 4"),
        ("75", "4 5 4 4 1"),
    ];
    let quick = [
        ("25", "2 6 2 6 1"),
        ("35", "1 5 1 5 2"),
        ("45", "3 2 4 2 4"),
        ("55", "5 1 5 1 3"),
        ("65", "4 4 6 3 6"),
        ("75", "6 3 3 4 5"),
    ];
    let category = dances(&[("w", &waltz), ("t", &tango), ("v", &viennese), ("s", &slow), ("q", &quick)]);
    let ranking = category.rank();
    for (couple, places) in [
        ("25", ["1", "1", "1.5", "2", "2"]),
        ("35", ["2", "2", "1.5", "1", "1"]),
        ("45", ["3", "3", "3", "4", "4"]),
        ("55", ["4", "4", "4", "3", "3"]),
        ("65", ["5", "5", "5.5", "6", "6"]),
        ("75", ["6", "6", "5.5", "5", "5"]),
    ] {
        assert_eq!(["w", "t", "v", "s", "q"].map(|dance| dance_place(&ranking, couple, dance)), places, "{couple}");
    }
    // 25 and 35: 7.5, and two 1sts each, for 1.5 is none. Of 25 marks 13 are a majority, which no 1sts make; 17 "2nd and
    // higher" of 35 against 16. 65 and 75: 27.5, two 5ths each; 17 "5th and higher" each, 66 of 75 against 68.
    assert_eq!(order(&category), "35 25(rule:11) 45 55 75 65(rule:11)");
}

#[test]
fn whom_rule_11_beat_goes_back_to_rule_10() {
    // Three judges, three dances, 1, 2 and 3 with a 1st, a 2nd and a 3rd each.
    let waltz = [("1", "1 1 2"), ("2", "2 2 1"), ("3", "3 3 3")];
    let tango = [("1", "3 3 3"), ("2", "1 2 1"), ("3", "2 1 2")];
    let quick = [("1", "2 2 1"), ("2", "3 3 3"), ("3", "1 1 2")];
    // 1sts, of nine marks five are a majority: 3, 3, 3. "2nd and higher": six each, sums 9, 9, 9; all are equal.
    assert_eq!(order(&dances(&[("w", &waltz), ("t", &tango), ("q", &quick)])), "1 =2 =3");
    // One judge gives the waltz in another order. "2nd and higher" are now 6, 5 and 7: 3 wins. For the 2nd place 1 and 2
    // are equal by rule 10, two "2nd and higher" with 3 each; then by rule 11 it is 6 against 5.
    let waltz = [("1", "1 1 1"), ("2", "2 2 3"), ("3", "3 3 2")];
    let category = dances(&[("w", &waltz), ("t", &tango), ("q", &quick)]);
    assert_eq!(order(&category), "3 1(rule:11) 2(rule:11)");
}

#[test]
fn couples_no_rule_separates_share_the_rank_unless_a_breaker_does() {
    let mut category = dances(&[("w", &[("1", "1 2"), ("2", "2 1")]), ("t", &[("1", "2 1"), ("2", "1 2")])]);
    assert_eq!(category.board(), "1 1 3 · 1 2 3 (shared)");
    category = category.judge("j2", |judge| judge.head = true);
    category.rules.tie_breaks = vec![TieBreak::HeadJudge, TieBreak::DropHighest];
    assert_eq!(category.board(), "1 1 3 · 1 2 3 (shared)", "the head judge gave both a 1st and a 2nd");
    assert_eq!(category.rank().warnings, ["drop:highest has no answer for the tie of 1, 2"]);

    let mut category = dances(&[("w", &[("1", "1 2"), ("2", "2 1")])]).judge("j2", |judge| judge.head = true);
    category.rules.tie_breaks = vec![TieBreak::HeadJudge];
    assert_eq!(category.board(), "1 2 1.5 · 2 1 1.5 (head_judge)", "the smaller place is the better");
    category = category.entry("2", |entry| entry.factor = decimal("5"));
    assert_eq!(category.board(), "1 2 1.5 · 2 1 1.5 (head_judge)", "and is not multiplied");
    category.rules.tie_breaks = vec![TieBreak::Manual];
    assert_eq!(category.manual(&["1", "2"]).board(), "1 1 1.5 · 2 2 1.5 (manual)");
}

#[test]
fn rule_10_comes_before_the_breakers_of_the_category() {
    let mut category = summary(&[("1", "1 1 4 4"), ("2", "2 2 3 3"), ("3", "3 4 1 2"), ("4", "4 3 2 1")]);
    category.rules.tie_breaks = vec![TieBreak::Criterion("c".into())];
    // Two 1sts; then 2, 3 and 4: two "2nd and higher", sums 4, 3, 3; 3 and 4 are equal under rule 11 too.
    assert_eq!(category.board(), "1 1 10 · 2 3 10 (rule:10) · 3 4 10 (criterion:c) · 4 2 10 (rule:10)");
    category.rules.tie_breaks = vec![TieBreak::MajorityOfPlacings];
    assert_eq!(category.board(), "1 1 10 · 2 3 10 (rule:10) · 2 4 10 (shared) · 4 2 10 (rule:10)");
}

#[test]
fn marks_that_are_no_places_place_nobody_in_their_dance() {
    for (marks, named) in
        [(["1 1", "1 2"], "j1"), (["1 1", "2.5 2"], "j1"), (["1 0", "2 2"], "j2"), (["1 1", "2 -1"], "j2")]
    {
        let category = dances(&[("w", &[("1", marks[0]), ("2", marks[1])]), ("t", &[("1", "1 1"), ("2", "2 2")])]);
        let ranking = category.rank();
        assert_eq!((board(&ranking).as_str(), ranking.complete), ("- 1 - · - 2 -", false), "{marks:?}");
        assert_eq!(ranking.warnings, [format!("the marks of judge {named} in w are not places, each given once")]);
        assert_eq!(dance_place(&ranking, "2", "t"), "2", "the other dance is not touched");
    }
}

#[test]
fn where_somebody_withdrew_or_has_no_result_the_others_move_up() {
    let category = dance(&[("1", "1 2 2"), ("2", "2 1 1"), ("3", "3 3 4"), ("4", "4 4 3")]);
    assert_eq!(order(&category), "2 1 3 4");
    let withdrawn = category.entry("2", |entry| entry.withdrawn = true);
    assert_eq!(withdrawn.board(), "1 1 1 · 2 3 2 (total) · 3 4 3 (total)");
    assert_eq!(withdrawn.rank().warnings.len(), 3);
    assert_eq!(
        withdrawn.rank().warnings[0],
        "the places of judge j1 in waltz are not 1 to 3; they count in their order"
    );
    let shown: Vec<_> =
        withdrawn.rank().ranking[0].criteria[0].marks.iter().map(|mark| mark.score.to_string()).collect();
    assert_eq!(shown, ["1", "2", "2"], "marks are shown as given");
    let disqualified = withdrawn.entry("1", |entry| entry.status = Some(Status::Dsq));
    assert_eq!(disqualified.board(), "1 3 1 · 2 4 2 (total) · - 1 -");
}

#[test]
fn who_is_not_fully_marked_has_no_place_yet_under_any_policy() {
    for policy in [MissingPolicy::Block, MissingPolicy::MeanOfOthers, MissingPolicy::Zero] {
        let mut category = dance(&[("1", "1 1 2"), ("2", "2 - 1"), ("3", "3 3 3")]);
        category.rules.missing = policy;
        let ranking = category.rank();
        assert_eq!((board(&ranking).as_str(), ranking.complete), ("1 1 1 · 2 3 2 (total) · - 2 -", false));
        assert_eq!(missing(&ranking), ["j2 2 waltz"]);
    }
}

#[test]
fn a_judge_who_left_counts_in_the_dances_they_finished() {
    let waltz = [("1", "1 2 2"), ("2", "2 1 1")];
    let tango = [("1", "1 1 2"), ("2", "2 2 -")];
    let category = dances(&[("w", &waltz), ("t", &tango)]).judge("j3", |judge| judge.required = false);
    let ranking = category.rank();
    // Waltz 2 before 1 by two of three; tango 1 before 2 by both. Rule 10: equal. Rule 11: 1 has three of five 1sts.
    assert_eq!(board(&ranking), "1 1 3 · 2 2 3 (rule:11)");
    assert_eq!(
        ranking.warnings,
        ["judge j3 left the panel after marking only a part of t; their places there do not count"]
    );
}

#[test]
fn a_deduction_is_added_to_the_sum_and_a_factor_is_not_applied() {
    let category = summary(&[("1", "1 1"), ("2", "2 2"), ("3", "3 3")]).deducted("1", "2.5");
    assert_eq!(category.board(), "1 2 4 · 2 1 4.5 (total) · 3 3 6 (total)");
    let equal = category.deducted("2", "0.5");
    assert_eq!(equal.board(), "1 1 4.5 · 2 2 4.5 (rule:10) · 3 3 6 (total)");
    let factored = equal.entry("3", |entry| entry.factor = decimal("0.1"));
    assert_eq!(factored.board(), "1 1 4.5 · 2 2 4.5 (rule:10) · 3 3 6 (total)");
    assert_eq!(factored.rank().warnings, ["the factor of 3 is not applied, a place is not multiplied"]);
}

/// A final: per dance and judge an order of the couples, so that `[dance][judge][couple]` is a place from 1.
type Final = Vec<Vec<Vec<usize>>>;

fn any_final(dances: std::ops::Range<usize>) -> impl Strategy<Value = Final> {
    (2..7_usize, 1..7_usize, dances).prop_flat_map(|(couples, judges, dances)| {
        let ballot = Just((1..=couples).collect::<Vec<_>>()).prop_shuffle();
        prop::collection::vec(prop::collection::vec(ballot, judges), dances)
    })
}

/// A final in which judges mostly agree to within two couples, so that rules 10 and 11 have work to do.
fn any_close_final() -> impl Strategy<Value = Final> {
    (2..5_usize, 1..4_usize, 2..5_usize).prop_flat_map(|(couples, judges, dances)| {
        let ballot = Just((1..=couples).collect::<Vec<_>>()).prop_shuffle();
        prop::collection::vec((ballot, prop::collection::vec(0..couples * 3, judges)), dances).prop_map(move |dances| {
            let judge = |common: &Vec<usize>, swapped: usize| {
                let mut own = common.clone();
                if swapped + 1 < couples {
                    own.swap(swapped, swapped + 1);
                }
                own
            };
            dances.iter().map(|(common, swaps)| swaps.iter().map(|&swapped| judge(common, swapped)).collect()).collect()
        })
    })
}

fn input_of_final(final_round: &Final) -> Input {
    let couples = final_round[0][0].len();
    let mut input = Input::default();
    for couple in 0..couples {
        let (contestant, factor) = (format!("c{couple}").into(), Decimal::one());
        input.entries.push(EntryIn { contestant, factor, withdrawn: false, status: None });
    }
    for judge in 0..final_round[0].len() {
        input.panel.push(Panelist { judge: format!("j{judge}").into(), required: true, head: false });
    }
    for (dance, judges) in final_round.iter().enumerate() {
        input.criteria.push(CriterionIn { id: format!("d{dance}").into(), weight: Decimal::one() });
        for (judge, places) in judges.iter().enumerate() {
            for (couple, &place) in places.iter().enumerate() {
                input.marks.push(MarkIn {
                    judge: format!("j{judge}").into(),
                    contestant: format!("c{couple}").into(),
                    criterion: format!("d{dance}").into(),
                    value: Mark::from_thousandths(i64::try_from(place).expect("few") * 1_000).expect("a place"),
                });
            }
        }
    }
    input
}

/// Rules 5 to 8 step by step, as they are taught: those still without a place, from a column on.
/// Places are doubled, so that shared ones are whole.
fn by_the_book(marks: &[Vec<usize>], contenders: &[usize], column: usize, next: usize, places: &mut [usize]) -> usize {
    let couples = marks.len();
    if contenders.is_empty() {
        return next;
    }
    if column > couples {
        // The columns have ended: they share.
        for &couple in contenders {
            places[couple] = 2 * next + contenders.len() - 1;
        }
        return next + contenders.len();
    }
    let higher = |couple: usize| marks[couple].iter().filter(|&&mark| mark <= column).copied().collect::<Vec<_>>();
    let (mut with, without): (Vec<usize>, Vec<usize>) =
        contenders.iter().partition(|&&couple| 2 * higher(couple).len() > marks[couple].len());
    let mut next = next;
    while !with.is_empty() {
        let most = with.iter().map(|&couple| higher(couple).len()).max().expect("somebody");
        let most: Vec<usize> = with.iter().copied().filter(|&couple| higher(couple).len() == most).collect();
        let least = most.iter().map(|&couple| higher(couple).iter().sum::<usize>()).min().expect("somebody");
        let tied: Vec<usize> =
            most.into_iter().filter(|&couple| higher(couple).iter().sum::<usize>() == least).collect();
        with.retain(|couple| !tied.contains(couple));
        next = if let [winner] = tied[..] {
            places[winner] = 2 * next;
            next + 1
        } else {
            by_the_book(marks, &tied, column + 1, next, places)
        };
    }
    by_the_book(marks, &without, column + 1, next, places)
}

/// Rules 9 to 11 step by step: groups of couples, best first; those in one group share.
fn summary_by_the_book(final_round: &Final) -> Vec<Vec<usize>> {
    let couples = final_round[0][0].len();
    let all: Vec<usize> = (0..couples).collect();
    let marks_in = |dance: &Vec<Vec<usize>>| -> Vec<Vec<usize>> {
        all.iter().map(|&couple| dance.iter().map(|ballot| ballot[couple]).collect()).collect()
    };
    let doubled: Vec<Vec<usize>> = final_round
        .iter()
        .map(|dance| {
            let mut places = vec![0; couples];
            by_the_book(&marks_in(dance), &all, 1, 1, &mut places);
            places
        })
        .collect();
    let sum = |couple: usize| doubled.iter().map(|places| places[couple]).sum::<usize>();
    let mut sums: Vec<usize> = all.iter().map(|&couple| sum(couple)).collect();
    sums.sort_unstable();
    sums.dedup();
    let every_mark: Vec<Vec<usize>> =
        all.iter().map(|&couple| final_round.iter().flatten().map(|ballot| ballot[couple]).collect()).collect();
    let mut groups = Vec::new();
    for total in sums {
        let tied: Vec<usize> = all.iter().copied().filter(|&couple| sum(couple) == total).collect();
        let place = 1 + groups.iter().map(Vec::len).sum::<usize>();
        groups.extend(award(&doubled, &every_mark, tied, place));
    }
    groups
}

/// One place, then the rest: rule 10 while it can, rule 11 where it must.
fn award(doubled: &[Vec<usize>], every_mark: &[Vec<usize>], tied: Vec<usize>, place: usize) -> Vec<Vec<usize>> {
    if tied.len() < 2 {
        return if tied.is_empty() { Vec::new() } else { vec![tied] };
    }
    let high =
        |couple: usize| doubled.iter().map(|places| places[couple]).filter(|&it| it <= 2 * place).collect::<Vec<_>>();
    let most = tied.iter().map(|&couple| high(couple).len()).max().expect("two");
    let least =
        tied.iter().filter(|&&it| high(it).len() == most).map(|&it| high(it).iter().sum::<usize>()).min().expect("one");
    let (equal, others): (Vec<usize>, Vec<usize>) =
        tied.into_iter().partition(|&couple| high(couple).len() == most && high(couple).iter().sum::<usize>() == least);
    let beyond = place + equal.len();
    let mut groups = if equal.len() == 1 {
        vec![equal]
    } else {
        // As a dance of its own that begins at this place: the first to be placed there is given it.
        let mut places = vec![0; every_mark.len()];
        by_the_book(every_mark, &equal, place, place, &mut places);
        let best = equal.iter().map(|&couple| places[couple]).min().expect("two");
        let (won, beaten): (Vec<usize>, Vec<usize>) = equal.into_iter().partition(|&couple| places[couple] == best);
        let next = place + won.len();
        let mut groups = vec![won];
        groups.extend(award(doubled, every_mark, beaten, next));
        groups
    };
    groups.extend(award(doubled, every_mark, others, beyond));
    groups
}

fn groups_of(ranking: &Ranking) -> Vec<Vec<usize>> {
    let rows: Vec<_> =
        ranking.ranking.iter().map(|row| (row.rank, row.contestant_id[1..].parse().expect("a couple"))).collect();
    rows.chunk_by(|(a, _), (b, _)| a == b).map(|group| group.iter().map(|(_, couple)| *couple).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_final_comes_out_as_by_the_book(wide in any_final(1..5), close in any_close_final()) {
        for final_round in [wide, close] {
            let ranking = rank(&Rules::new(Method::Skating), &input_of_final(&final_round));
            prop_assert!(ranking.complete && ranking.warnings.is_empty());
            prop_assert_eq!(groups_of(&ranking), summary_by_the_book(&final_round), "{:?}", final_round);
            // A dance gives away all its places.
            let couples = ranking.ranking.len();
            let all: BigRational = ranking.ranking.iter().filter_map(|row| row.total.as_ref().map(Decimal::to_rational)).sum();
            prop_assert_eq!(all, BigRational::new((final_round.len() * couples * (couples + 1)).into(), 2.into()));
        }
    }

    #[test]
    fn in_one_dance_a_higher_place_never_worsens_a_couple(final_round in any_final(1..2), judge: prop::sample::Index, couple: prop::sample::Index) {
        let judge = judge.index(final_round[0].len());
        let couple = couple.index(final_round[0][judge].len());
        let place = final_round[0][judge][couple];
        prop_assume!(place > 1);
        let mut better = final_round.clone();
        for other in &mut better[0][judge] {
            *other = if *other == place { place - 1 } else if *other == place - 1 { place } else { *other };
        }
        let place = |final_round: &Final| {
            let ranking = rank(&Rules::new(Method::Skating), &input_of_final(final_round));
            ranking.ranking.into_iter().find(|row| *row.contestant_id == *format!("c{couple}")).and_then(|row| row.total)
        };
        prop_assert!(place(&better) <= place(&final_round));
    }

    #[test]
    fn a_couple_that_withdraws_leaves_no_gap(final_round in any_final(1..4), couple: prop::sample::Index) {
        let couple = couple.index(final_round[0][0].len());
        let mut withdrawn = input_of_final(&final_round);
        withdrawn.entries[couple].withdrawn = true;
        let mut closed = input_of_final(&final_round);
        closed.entries.remove(couple);
        for mark in &mut closed.marks {
            let (dance, judge): (usize, usize) = (mark.criterion[1..].parse().expect("a dance"), mark.judge[1..].parse().expect("a judge"));
            let above = mark.value.thousandths() > i64::try_from(final_round[dance][judge][couple]).expect("few") * 1_000;
            mark.value = Mark::from_thousandths(mark.value.thousandths() - i64::from(above) * 1_000).expect("a place");
        }
        let rules = Rules::new(Method::Skating);
        prop_assert_eq!(board(&rank(&rules, &withdrawn)), board(&rank(&rules, &closed)));
    }
}
