//! The methods beside the plain ones in which marks are points or times: placings, zscore, time.

use num_bigint::BigInt;
use num_traits::{Signed, Zero};

use super::*;

#[test]
fn placings_add_the_places_that_judges_give_by_their_own_totals() {
    // j1: ada 9, ben 8, cat 7, dan 7; j2: cat 10, ada 9, ben 9, dan 1; j3: ben 6, cat 5, ada 4, dan 3.
    let category = Category::simple(json!({"method": "placings"}), 3)
        .form("ada", "9 9 4")
        .form("ben", "8 9 6")
        .form("cat", "7 10 5")
        .form("dan", "7 1 3");
    // ada 1 + 2.5 + 3, ben 2 + 2.5 + 1, cat 3.5 + 1 + 2, dan 3.5 + 4 + 4.
    assert_eq!(category.board(), "1 ben 5.5 · 2 ada 6.5 (total) · 2 cat 6.5 (shared) · 4 dan 11.5 (total)");
    let ranking = category.rank();
    assert!(ranking.complete && ranking.warnings.is_empty());
    // What is shown of a criterion is the mean of its marks.
    assert_eq!(ranking.ranking[0].criteria[0].value, Some(Decimal::rounded(&ratio(23, 3), 6, RoundingMode::HalfUp)));
}

#[test]
fn weights_factors_and_deductions_make_the_order_of_a_judge_and_not_its_distance() {
    let weighted = Category::new(json!({"method": "placings"}), &[("form", "1"), ("art", "3")], 1)
        .marks("ada", "form", "9")
        .marks("ada", "art", "1")
        .marks("ben", "form", "1")
        .marks("ben", "art", "4");
    // 12 against 13.
    assert_eq!(weighted.board(), "1 ben 1 · 2 ada 2 (total)");
    let factored = weighted.entry("ada", |entry| entry.factor = decimal("1.1"));
    assert_eq!(factored.board(), "1 ada 1 · 2 ben 2 (total)", "13.2 against 13");
    let deducted = factored.deducted("ada", "0.2");
    assert_eq!(deducted.board(), "1 ada 1.5 · 1 ben 1.5 (shared)", "13 against 13");
    let beaten = deducted.deducted("ada", "0.001");
    assert_eq!(beaten.board(), "1 ben 1 · 2 ada 2 (total)");

    // The deduction is taken from every judge's points, whatever scale a judge uses.
    let scales = Category::simple(json!({"method": "placings"}), 2)
        .form("ada", "10 100")
        .form("ben", "9 90")
        .deducted("ada", "5");
    assert_eq!(scales.board(), "1 ada 3 · 1 ben 3 (shared)");

    for (floor_zero, boards) in [
        (true, "1 ben 1 · 2 ada 2.5 (total) · 2 cat 2.5 (shared)"),
        (false, "1 ben 1 · 2 cat 2 (total) · 3 ada 3 (total)"),
    ] {
        let category = Category::simple(json!({"method": "placings", "floorZero": floor_zero}), 1)
            .form("ada", "1")
            .form("ben", "1")
            .form("cat", "0")
            .deducted("ada", "2");
        assert_eq!(category.board(), boards, "a judge's total has the floor");
    }
}

#[test]
fn placings_place_those_whose_marks_are_there_or_filled() {
    for (policy, boards, complete) in [
        // Among ben and cat alone: 1 + 2 and 2 + 1.
        ("block", "1 ben 3 · 1 cat 3 (shared) · - ada -", false),
        // j2 would have given ada 9: 1 + 1; ben 2 + 3; cat 3 + 2.
        ("mean_of_others", "1 ada 2 · 2 ben 5 (total) · 2 cat 5 (shared)", true),
        // j2 gives ada 0: 1 + 3; ben 2 + 2; cat 3 + 1.
        ("zero", "1 ada 4 · 1 ben 4 (shared) · 1 cat 4 (shared)", true),
    ] {
        let category = Category::simple(json!({"method": "placings", "missing": policy}), 2)
            .form("ada", "9 -")
            .form("ben", "8 2")
            .form("cat", "7 3");
        let ranking = category.rank();
        assert_eq!((board(&ranking).as_str(), ranking.complete), (boards, complete), "{policy}");
        assert_eq!(missing(&ranking), ["j2 ada form"], "{policy}");
    }
}

#[test]
fn a_judge_who_left_before_marking_everybody_places_nobody() {
    let category = Category::simple(json!({"method": "placings"}), 2)
        .form("ada", "9 1")
        .form("ben", "8 2")
        .form("cat", "7 -")
        .judge("j2", |judge| judge.required = false);
    let ranking = category.rank();
    assert_eq!((board(&ranking).as_str(), ranking.complete), ("1 ada 1 · 2 ben 2 (total) · 3 cat 3 (total)", true));
    assert_eq!(ranking.warnings, ["judge j2 left the panel after marking only a part; their places do not count"]);

    let withdrawn = category.entry("cat", |entry| entry.withdrawn = true);
    assert_eq!(withdrawn.board(), "1 ada 3 · 1 ben 3 (shared)", "now j2 has marked everybody");
    let nobody = withdrawn.judge("j1", |judge| judge.required = false).form("dan", "- 5").form("eve", "5 -");
    assert_eq!(nobody.board(), "- ada - · - ben - · - dan - · - eve -");
}

#[test]
fn who_has_no_result_takes_no_place_from_anybody() {
    let category = Category::simple(json!({"method": "placings"}), 1)
        .form("ada", "9")
        .form("ben", "8")
        .form("cat", "10")
        .entry("cat", |entry| entry.status = Some(Status::Dsq));
    assert_eq!(category.board(), "1 ada 1 · 2 ben 2 (total) · - cat -");
}

#[test]
fn breakers_of_placings_go_by_points_where_there_are_points() {
    let category = |breaker: &str| {
        Category::new(json!({"method": "placings", "tieBreaks": [breaker]}), &[("form", "1"), ("art", "1")], 2)
            .marks("ada", "form", "5 2")
            .marks("ada", "art", "5 3")
            .marks("ben", "form", "3 2")
            .marks("ben", "art", "3 7")
            .judge("j1", |judge| judge.head = true)
    };
    // j1 holds ada better, j2 ben: 3 places each.
    assert_eq!(category("manual").board(), "1 ada 3 · 1 ben 3 (shared)");
    assert_eq!(category("criterion:form").board(), "1 ada 3 · 2 ben 3 (criterion:form)", "3.5 points over 2.5");
    assert_eq!(category("head_judge").board(), "1 ada 3 · 2 ben 3 (head_judge)", "10 points over 6");
    assert_eq!(category("majority_of_placings").board(), "1 ada 3 · 1 ben 3 (shared)");

    // Of three judges: ada 1 1 4, ben 2 2 2, cat 4 3 1, dan 3 4 3. The last of the places left out: 2, 4, 4, 6.
    let dropped = Category::simple(json!({"method": "placings", "tieBreaks": ["drop:highest"]}), 3)
        .form("ben", "8 8 8")
        .form("ada", "9 9 6")
        .form("cat", "6 7 9")
        .form("dan", "7 6 7");
    assert_eq!(dropped.board(), "1 ada 6 · 2 ben 6 (drop:highest) · 3 cat 8 (total) · 4 dan 10 (total)");
    let majority = Category::simple(json!({"method": "placings", "tieBreaks": ["majority_of_placings"]}), 3)
        .form("ben", "8 8 8")
        .form("ada", "9 9 6")
        .form("cat", "6 7 9")
        .form("dan", "7 6 7");
    assert_eq!(majority.board(), "1 ada 6 · 2 ben 6 (majority_of_placings) · 3 cat 8 (total) · 4 dan 10 (total)");
}

#[test]
fn zscores_make_a_strict_and_a_mild_judge_count_alike() {
    let rules = json!({"method": "zscore", "rounding": {"total": 9}});
    let category = Category::simple(rules, 2).form("ada", "1 9").form("ben", "2 5").form("cat", "3 1");
    // Both deviate by √(2/3) of their step: they want opposite orders and cancel out.
    assert_eq!(category.board(), "1 ada 0 · 1 ben 0 (shared) · 1 cat 0 (shared)");

    let rules = json!({"method": "zscore", "rounding": {"criterion": 9, "total": 9}, "floorZero": true});
    let category = Category::new(rules, &[("form", "1"), ("art", "2")], 2)
        .marks("ada", "form", "1 7")
        .marks("ben", "form", "2 7")
        .marks("cat", "form", "3 7")
        .marks("ada", "art", "5 0")
        .marks("ben", "art", "5 0")
        .marks("cat", "art", "5 0.001");
    // form: ∓√1.5 and 0 by j1, nothing by j2, who gives all the same; the mean is half. art: by j2 −1/√2 −1/√2 √2.
    // ada −0.612372435696 − 2 × 0.3535533905935, cat 0.612372435696 + 2 × 0.7071067811865.
    assert_eq!(category.board(), "1 cat 2.026585998 · 2 ben -0.707106782 (total) · 3 ada -1.319479218 (total)");
}

#[test]
fn a_zscore_knows_the_others_but_not_those_who_withdrew() {
    let category = Category::simple(json!({"method": "zscore"}), 1).form("ada", "8").form("ben", "6").form("cat", "1");
    assert_eq!(
        category.board(),
        "1 ada 1.0190493 · 2 ben 0.339683 (total) · 3 cat -1.358732 (total)".replace("1.0190493", "1.019049")
    );
    let withdrawn = category.entry("cat", |entry| entry.withdrawn = true);
    assert_eq!(withdrawn.board(), "1 ada 1 · 2 ben -1 (total)");
    let alone = withdrawn.entry("ben", |entry| entry.withdrawn = true);
    assert_eq!(alone.board(), "1 ada 0");
}

#[test]
fn zscores_are_deducted_from_without_a_floor_and_filled_by_policy() {
    let deducted = Category::simple(json!({"method": "zscore"}), 1)
        .form("ada", "8")
        .form("ben", "6")
        .deducted("ada", "2.5")
        .entry("ben", |entry| entry.factor = decimal("0.5"));
    assert_eq!(deducted.board(), "1 ben -0.5 · 2 ada -1.5 (total)");

    for (policy, boards) in [
        // j1 judges ada and ben, j2 judges ben and cat.
        ("block", "1 ben 0 · - ada - · - cat -"),
        ("mean_of_others", "1 ada 1 · 2 ben 0 (total) · 3 cat -1 (total)"),
        // j1 gives 8 6 0, mean 14/3, deviation √(104/9): 0.980581 0.392232 −1.372813.
        // j2 gives 0 6 4, mean 10/3, deviation √(56/9): −1.336306 1.069045 0.267261.
        ("zero", "1 ben 0.730639 · 2 ada -0.177863 (total) · 3 cat -0.552776 (total)"),
    ] {
        let category = Category::simple(json!({"method": "zscore", "missing": policy}), 2)
            .form("ada", "8 -")
            .form("ben", "6 6")
            .form("cat", "- 4");
        assert_eq!(category.board(), boards, "{policy}");
    }
}

#[test]
fn breakers_of_zscores_go_by_standardised_marks() {
    // ada √1.5 and −√1.5, ben 0 and 0, cat −√1.5 and √1.5: all in all nothing.
    for (breaker, boards) in [
        ("drop:highest", "1 ben 0 · 2 ada 0 (drop:highest) · 2 cat 0 (shared)"),
        ("head_judge", "1 cat 0 · 2 ben 0 (head_judge) · 3 ada 0 (head_judge)"),
        ("majority_of_placings", "1 ada 0 · 1 ben 0 (shared) · 1 cat 0 (shared)"),
    ] {
        let category = Category::simple(json!({"method": "zscore", "tieBreaks": [breaker]}), 2)
            .form("ada", "3 10")
            .form("ben", "2 20")
            .form("cat", "1 30")
            .judge("j2", |judge| judge.head = true);
        assert_eq!(category.board(), boards, "{breaker}");
    }
}

#[test]
fn times_are_ranked_from_the_shortest_with_penalty_seconds_added() {
    // Two timekeepers, two runs.
    let category =
        Category::new(json!({"method": "time", "rounding": {"total": 2}}), &[("run1", "1"), ("run2", "1")], 2)
            .marks("ada", "run1", "61.2 61.23")
            .marks("ada", "run2", "59 59.02")
            .marks("ben", "run1", "60.1 60.1")
            .marks("ben", "run2", "59.5 59.5")
            .marks("cat", "run1", "58 58")
            .marks("cat", "run2", "- -")
            .entry("cat", |entry| entry.status = Some(Status::Dnf))
            .deducted("ben", "0.5")
            .deducted("ben", "0.135");
    // ada 61.215 + 59.01 = 120.225, rounded; ben 119.6 + 0.635 = 120.235.
    assert_eq!(category.board(), "1 ada 120.23 · 2 ben 120.24 (total) · - cat -");
    let ranking = category.rank();
    assert!(ranking.complete && ranking.missing.is_empty());
    assert_eq!(ranking.ranking[1].deductions, decimal("0.635"));

    let handicap = category.entry("ada", |entry| entry.factor = decimal("1.01"));
    assert_eq!(handicap.board(), "1 ben 120.24 · 2 ada 121.43 (total) · - cat -");
}

#[test]
fn breakers_of_times_prefer_the_shorter() {
    let category = |breaker: &str| {
        Category::new(json!({"method": "time", "tieBreaks": [breaker]}), &[("run1", "1"), ("run2", "1")], 3)
            .marks("ada", "run1", "10 11 12")
            .marks("ada", "run2", "20 20 20")
            .marks("ben", "run1", "12 12 12")
            .marks("ben", "run2", "19 19 18")
            .deducted("ben", "0.333")
            .judge("j1", |judge| judge.head = true)
    };
    let tied = |breaker: &str| {
        // Make the totals equal: 31 and 30.666… + 1/3 cannot be met in decimals, so both are rounded.
        let mut category = category(breaker);
        category.rules.rounding.total = Some(1);
        category.board()
    };
    assert_eq!(tied("manual"), "1 ada 31 · 1 ben 31 (shared)");
    assert_eq!(tied("criterion:run1"), "1 ada 31 · 2 ben 31 (criterion:run1)", "11 seconds beat 12");
    assert_eq!(tied("criterion:run2"), "1 ben 31 · 2 ada 31 (criterion:run2)", "18.67 seconds beat 20");
    assert_eq!(tied("head_judge"), "1 ada 31 · 2 ben 31 (head_judge)", "30 seconds beat 31");
    // j1 30 and 31, j2 31 and 31, j3 32 and 30: one each.
    assert_eq!(tied("majority_of_placings"), "1 ada 31 · 1 ben 31 (shared)");
    // Without the longest time of each run: 10.5 + 20 against 12 + 18.5, and the penalty.
    assert_eq!(tied("drop:highest"), "1 ada 31 · 2 ben 31 (drop:highest)");
    assert_eq!(tied("fewest_deductions"), "1 ada 31 · 2 ben 31 (fewest_deductions)");
}

#[test]
fn a_time_that_is_missing_is_never_zero() {
    let category =
        Category::simple(json!({"method": "time", "missing": "zero"}), 2).form("ada", "9 -").form("ben", "8 8");
    assert_eq!(category.board(), "1 ben 8 · - ada -");
    let filled = Category::simple(json!({"method": "time", "missing": "mean_of_others"}), 2)
        .form("ada", "9 -")
        .form("ben", "8 8");
    assert_eq!(filled.board(), "1 ben 8 · 2 ada 9 (total)");
}

fn ratio(numerator: i64, denominator: i64) -> BigRational {
    BigRational::new(numerator.into(), denominator.into())
}

/// A full panel and full marks, for the definitions.
fn any_marks() -> impl Strategy<Value = Input> {
    (1..6_i64, 1..3_i64, 1..5_i64).prop_flat_map(|(contestants, criteria, judges)| {
        let cells = usize::try_from(contestants * criteria * judges).expect("small");
        (prop::collection::vec(0..9_i64, cells), prop::collection::vec(1..20_i64, 20)).prop_map(
            move |(marks, small)| {
                let mut input = Input::default();
                for at in 0..contestants {
                    let factor = Decimal::new(small[usize::try_from(at).expect("small")].into(), 1);
                    input.entries.push(EntryIn {
                        contestant: format!("c{at}").into(),
                        factor,
                        withdrawn: false,
                        status: None,
                    });
                }
                for at in 0..criteria {
                    let weight = Decimal::new(small[usize::try_from(at + 10).expect("small")].into(), 1);
                    input.criteria.push(CriterionIn { id: format!("k{at}").into(), weight });
                }
                for at in 0..judges {
                    input.panel.push(Panelist { judge: format!("j{at}").into(), required: true, head: false });
                }
                for (at, mark) in (0_i64..).zip(marks) {
                    input.marks.push(MarkIn {
                        judge: format!("j{}", at % judges).into(),
                        criterion: format!("k{}", at / judges % criteria).into(),
                        contestant: format!("c{}", at / judges / criteria).into(),
                        value: Mark::from_thousandths(mark * 500).expect("a small mark"),
                    });
                }
                input
                    .deductions
                    .push(DeductionIn { contestant: "c0".into(), amount: Decimal::new(small[19].into(), 1) });
                input
            },
        )
    })
}

fn mark(input: &Input, judge: &Panelist, entry: &EntryIn, criterion: &CriterionIn) -> BigRational {
    let is_it =
        |it: &&MarkIn| it.judge == judge.judge && it.contestant == entry.contestant && it.criterion == criterion.id;
    Decimal::from(input.marks.iter().find(is_it).expect("a full panel").value).to_rational()
}

fn deducted(input: &Input, entry: &EntryIn) -> BigRational {
    let of_entry = input.deductions.iter().filter(|deduction| deduction.contestant == entry.contestant);
    of_entry.map(|deduction| deduction.amount.to_rational()).sum()
}

/// In units of 10⁻¹² the nearest whole number to √square, found by trying.
fn root_by_trying(square: &BigRational) -> BigRational {
    let unit = BigInt::from(10).pow(12);
    let is_too_great = |root: &BigInt| {
        let half_below = BigRational::new(root * 2 - 1, &unit * 2);
        half_below.is_positive() && half_below.pow(2) > *square
    };
    let (mut low, mut high) = (BigInt::zero(), BigInt::from(10).pow(16));
    while &high - &low > BigInt::from(1) {
        let middle: BigInt = (&low + &high) / 2;
        if is_too_great(&middle) { high = middle } else { low = middle }
    }
    BigRational::new(low, unit)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_place_counts_who_is_above_and_half_of_who_is_equal(input in any_marks(), floor_zero: bool) {
        let rules = Rules { floor_zero, ..Rules::new(Method::Placings) };
        let ranking = rank(&rules, &input);
        let points = |judge: &Panelist, entry: &EntryIn| {
            let sum: BigRational = input.criteria.iter().map(|it| mark(&input, judge, entry, it) * it.weight.to_rational()).sum();
            let points = sum * entry.factor.to_rational() - deducted(&input, entry);
            if floor_zero { points.max(BigRational::zero()) } else { points }
        };
        let mut all = BigRational::zero();
        for row in &ranking.ranking {
            let own = input.entries.iter().find(|it| it.contestant == row.contestant_id).expect("an entry");
            let mut total = BigRational::zero();
            for judge in &input.panel {
                total += ratio(1, 1);
                for other in input.entries.iter().filter(|other| other.contestant != own.contestant) {
                    total += match points(judge, other).cmp(&points(judge, own)) {
                        std::cmp::Ordering::Greater => ratio(1, 1),
                        std::cmp::Ordering::Equal => ratio(1, 2),
                        std::cmp::Ordering::Less => ratio(0, 1),
                    };
                }
            }
            prop_assert_eq!(row.total.as_ref().map(Decimal::to_rational), Some(total.clone()));
            all += total;
        }
        let (judges, entries) = (input.panel.len(), input.entries.len());
        prop_assert_eq!(all, BigRational::new((judges * entries * (entries + 1)).into(), 2.into()), "judges give all places");
    }

    #[test]
    fn every_zscore_is_what_the_definition_says(input in any_marks()) {
        let rules = Rules::new(Method::Zscore);
        let (judges, entries) = (ratio(input.panel.len().try_into().expect("few"), 1), ratio(input.entries.len().try_into().expect("few"), 1));
        for row in rank(&rules, &input).ranking {
            let own = input.entries.iter().find(|it| it.contestant == row.contestant_id).expect("an entry");
            let mut total = BigRational::zero();
            for criterion in &input.criteria {
                for judge in &input.panel {
                    let marks: Vec<_> = input.entries.iter().map(|entry| mark(&input, judge, entry, criterion)).collect();
                    let mean = marks.iter().sum::<BigRational>() / &entries;
                    // The mean of the squares less the square of the mean.
                    let variance = marks.iter().map(|mark| mark * mark).sum::<BigRational>() / &entries - &mean * &mean;
                    if !variance.is_zero() {
                        let distance = mark(&input, judge, own, criterion) - mean;
                        let sign = distance.signum();
                        total += sign * root_by_trying(&(&distance * &distance / variance)) * criterion.weight.to_rational() / &judges;
                    }
                }
            }
            total = total * own.factor.to_rational() - deducted(&input, own);
            prop_assert_eq!(row.total, Some(Decimal::rounded(&total, 6, RoundingMode::HalfUp)));
        }
    }

    #[test]
    fn the_scale_of_a_judge_changes_no_zscore(input in any_marks(), judge in 0..4_usize, scale in 1..50_i64, offset in -9_000..9_000_i64) {
        let rules = Rules::new(Method::Zscore);
        let mut other = input.clone();
        for mark in other.marks.iter_mut().filter(|mark| *mark.judge == *format!("j{judge}")) {
            mark.value = Mark::from_thousandths(mark.value.thousandths() * scale + offset).expect("a small mark");
        }
        let totals = |input: &Input| board(&rank(&rules, input));
        prop_assert_eq!(totals(&input), totals(&other));
    }

    #[test]
    fn a_time_ranks_as_its_negative_would_as_a_mean(input in any_marks()) {
        // Points may be negative too: the mean of −t, without a floor, is the same race.
        let mut mirrored = input.clone();
        for mark in &mut mirrored.marks {
            mark.value = Mark::from_thousandths(-mark.value.thousandths()).expect("a small mark");
        }
        let places = |rules: &Rules, input: &Input| {
            rank(rules, input).ranking.into_iter().map(|row| (row.contestant_id, row.rank)).collect::<Vec<_>>()
        };
        let means = Rules { floor_zero: false, ..Rules::new(Method::Mean) };
        prop_assert_eq!(places(&Rules::new(Method::Time), &input), places(&means, &mirrored));
    }
}
