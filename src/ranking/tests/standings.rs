//! Contest standings from the rankings of small categories.

use super::*;

fn points(rules: serde_json::Value, marks: &[(&str, &str)]) -> Ranking {
    let category =
        marks.iter().fold(Category::simple(rules, 1), |category, (contestant, mark)| category.form(contestant, mark));
    category.rank()
}

fn part<'a>(category: &str, weight: &str, ranking: &'a Ranking) -> Part<'a> {
    Part { category: category.into(), weight: decimal(weight), less_is_better: false, ranking }
}

/// `1 ada 9.5 · 2 ben 9 (total)`, as for a ranking.
fn list(standings: &Standings) -> String {
    let rows = standings.standings.iter().map(|row| {
        let rank = row.rank.map_or("-".to_owned(), |rank| rank.to_string());
        let total = row.total.as_ref().map_or("-".to_owned(), ToString::to_string);
        let decided_by = row.decided_by.map_or(String::new(), |by| format!(" ({by})"));
        format!("{rank} {} {total}{decided_by}", row.contestant_id)
    });
    rows.collect::<Vec<_>>().join(" · ")
}

#[test]
fn weighted_totals_are_added_or_the_best_counts_or_places_are_added() {
    let sum = || json!({"method": "sum"});
    let form = points(sum(), &[("ada", "9"), ("ben", "8"), ("cat", "7"), ("dan", "1")]);
    let art = points(sum(), &[("ada", "2"), ("ben", "4"), ("cat", "5"), ("dan", "1")]);
    let parts = [part("form", "1", &form), part("art", "1.5", &art)];
    for (combine, expected) in [
        // 9 + 3, 8 + 6, 7 + 7.5, 1 + 1.5.
        (Combine::Sum, "1 cat 14.5 · 2 ben 14 (total) · 3 ada 12 (total) · 4 dan 2.5 (total)"),
        (Combine::Best, "1 ada 9 · 2 ben 8 (total) · 3 cat 7.5 (total) · 4 dan 1.5 (total)"),
        // 1 + 4.5, 2 + 3, 3 + 1.5, 4 + 6.
        (Combine::Placings, "1 cat 4.5 · 2 ben 5 (total) · 3 ada 5.5 (total) · 4 dan 10 (total)"),
    ] {
        let standings = standings(combine, &parts);
        assert_eq!(list(&standings), expected, "{combine:?}");
        assert!(standings.complete && standings.warnings.is_empty());
    }
}

#[test]
fn standings_have_the_shape_of_the_contract() {
    let form = points(json!({"method": "sum"}), &[("ada", "9"), ("ben", "8.5")]);
    let art = points(json!({"method": "sum"}), &[("ben", "1")]);
    assert_eq!(
        serde_json::to_value(standings(Combine::Best, &[part("form", "2", &form), part("art", "1", &art)]))
            .expect("json"),
        json!({
            "complete": true,
            "standings": [
                {
                    "contestantId": "ada",
                    "rank": 1,
                    "total": 18,
                    "parts": [
                        {"categoryId": "form", "rank": 1, "total": 9},
                        {"categoryId": "art", "rank": null, "total": null},
                    ],
                },
                {
                    "contestantId": "ben",
                    "rank": 2,
                    "total": 17,
                    "parts": [
                        {"categoryId": "form", "rank": 2, "total": 8.5},
                        {"categoryId": "art", "rank": 1, "total": 1},
                    ],
                    "decidedBy": "total",
                },
            ],
            "warnings": [],
        })
    );
    assert_eq!(serde_json::from_value::<Combine>(json!("placings")).expect("a rule"), Combine::Placings);
    assert_eq!(serde_json::to_value(Combine::Sum).expect("json"), json!("sum"));
}

#[test]
fn shared_ranks_leave_a_gap_whatever_the_style_of_the_parts() {
    let form = points(
        json!({"method": "sum", "rankStyle": "dense"}),
        &[("ada", "9"), ("ben", "9"), ("cat", "8"), ("dan", "7")],
    );
    let expected = "1 ada 9 · 1 ben 9 (shared) · 3 cat 8 (total) · 4 dan 7 (total)";
    assert_eq!(list(&standings(Combine::Sum, &[part("form", "1", &form)])), expected);
    // Places count as they are published: 1-1-2-3.
    let expected = "1 ada 1 · 1 ben 1 (shared) · 3 cat 2 (total) · 4 dan 3 (total)";
    assert_eq!(list(&standings(Combine::Placings, &[part("form", "1", &form)])), expected);
}

#[test]
fn who_misses_a_part_has_no_sum_but_a_best() {
    let form = points(json!({"method": "sum"}), &[("ada", "9"), ("ben", "8"), ("cat", "-")]);
    let art = points(json!({"method": "sum"}), &[("ben", "1"), ("cat", "7"), ("dan", "5")]);
    let parts = [part("form", "1", &form), part("art", "1", &art)];
    for (combine, expected) in [
        (Combine::Sum, "1 ben 9 · - ada - · - cat - · - dan -"),
        (Combine::Best, "1 ada 9 · 2 ben 8 (total) · 3 cat 7 (total) · 4 dan 5 (total)"),
        (Combine::Placings, "1 ben 5 · - ada - · - cat - · - dan -"),
    ] {
        let standings = standings(combine, &parts);
        assert_eq!(list(&standings), expected, "{combine:?}");
        assert!(!standings.complete, "cat is still awaited");
    }
    let disqualified = Category::simple(json!({"method": "sum"}), 1)
        .form("ada", "9")
        .form("ben", "8")
        .entry("ben", |entry| entry.status = Some(Status::Dsq))
        .rank();
    let over = standings(Combine::Sum, &[part("form", "1", &disqualified)]);
    assert_eq!((list(&over).as_str(), over.complete), ("1 ada 9 · - ben -", true));
}

#[test]
fn times_are_combined_from_the_shortest() {
    let first = points(json!({"method": "time"}), &[("ada", "60"), ("ben", "62")]);
    let second = points(json!({"method": "time"}), &[("ada", "65"), ("ben", "59.5")]);
    let mut parts = [part("first", "1", &first), part("second", "1", &second)];
    for part in &mut parts {
        part.less_is_better = Method::Time.less_is_better();
    }
    assert_eq!(list(&standings(Combine::Sum, &parts)), "1 ben 121.5 · 2 ada 125 (total)");
    assert_eq!(list(&standings(Combine::Best, &parts)), "1 ben 59.5 · 2 ada 60 (total)");

    let form = points(json!({"method": "sum"}), &[("ada", "9"), ("ben", "8")]);
    let mixed = [part("form", "2", &form), parts[1].clone()];
    for combine in [Combine::Sum, Combine::Best] {
        let standings = standings(combine, &mixed);
        assert_eq!((list(&standings).as_str(), standings.complete), ("- ada - · - ben -", false));
        assert_eq!(standings.warnings.len(), 1);
    }
    let places = standings(Combine::Placings, &mixed);
    assert_eq!((list(&places).as_str(), places.complete), ("1 ada 4 · 2 ben 5 (total)", true));
}

#[test]
fn totals_are_added_before_they_are_rounded_for_show() {
    // Two thirds thrice are two; 0.666667 thrice would be more.
    let mean = |marks| Category::simple(json!({"method": "mean"}), 3).form("ada", marks).form("ben", "2 2 2").rank();
    let third = mean("1 1 0");
    let whole = mean("0 0 0");
    let parts = [part("a", "1", &third), part("b", "1", &third), part("c", "1", &third)];
    assert_eq!(standings(Combine::Sum, &parts).standings[1].total, Some(decimal("2")));
    assert_eq!(standings(Combine::Sum, &[part("a", "1", &whole)]).standings[1].total, Some(decimal("0")));
}

#[test]
fn nothing_to_combine_is_not_complete() {
    let nothing = standings(Combine::Sum, &[]);
    assert_eq!((nothing.complete, nothing.standings.len()), (false, 0));
    let unjudged = points(json!({"method": "sum"}), &[]);
    assert!(standings(Combine::Best, &[part("form", "1", &unjudged)]).standings.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everybody_of_any_part_has_a_row_and_the_order_of_parts_changes_nothing_else(
        categories in prop::collection::vec(any_category(), 1..4),
        weights in prop::collection::vec(1..9_i64, 3),
        combine in prop::sample::select(vec![Combine::Sum, Combine::Best, Combine::Placings]),
        times: bool,
    ) {
        let rankings: Vec<Ranking> = categories.iter().map(|(rules, input)| rank(rules, input)).collect();
        let mut parts: Vec<Part> = rankings
            .iter()
            .zip(weights)
            .enumerate()
            .map(|(at, (ranking, weight))| Part { category: format!("p{at}").into(), weight: weight.into(), less_is_better: times, ranking })
            .collect();
        let forward = standings(combine, &parts);
        let mut everybody: Vec<Id> = rankings.iter().flat_map(|it| it.ranking.iter().map(|row| row.contestant_id.clone())).collect();
        everybody.sort();
        everybody.dedup();
        let mut rows: Vec<Id> = forward.standings.iter().map(|row| row.contestant_id.clone()).collect();
        rows.sort();
        prop_assert_eq!(rows, everybody);

        let less = times || combine == Combine::Placings;
        for row in &forward.standings {
            // Places by counting who is better; exact where what is shown is.
            let is_exact = row.rank.is_some() && combine == Combine::Placings;
            let better = |other: &&Standing| match (&other.total, &row.total) {
                (Some(a), Some(b)) => if less { a < b } else { a > b },
                (_, None) | (None, _) => false,
            };
            if is_exact {
                prop_assert_eq!(row.rank, u32::try_from(forward.standings.iter().filter(better).count() + 1).ok());
            }
            prop_assert_eq!(row.rank.is_some(), row.total.is_some());
            let known = parts.iter().zip(&row.parts).filter_map(|(part, result)| {
                let value = match combine {
                    Combine::Placings => result.rank.map(|rank| BigRational::from_integer(rank.into())),
                    // As it is compared: a part may show less of it, by the rounding its rules state.
                    Combine::Sum | Combine::Best => {
                        let mut rows = part.ranking.ranking.iter();
                        rows.find(|there| there.contestant_id == row.contestant_id)?.total_exact.clone()
                    }
                };
                value.map(|value| value * part.weight.to_rational())
            });
            let known: Vec<BigRational> = known.collect();
            let expected = match combine {
                Combine::Best if less => known.iter().min().cloned(),
                Combine::Best => known.iter().max().cloned(),
                Combine::Sum | Combine::Placings => (known.len() == parts.len()).then(|| known.iter().sum()),
            };
            // What is shown may be off by half of the sixth decimal.
            let shown = row.total.as_ref().map(Decimal::to_rational);
            match (shown, expected) {
                (Some(shown), Some(expected)) => prop_assert!((shown - expected).pow(2) < BigRational::new(1.into(), 1_000_000_000.into())),
                (shown, expected) => prop_assert_eq!(shown, expected),
            }
        }

        parts.reverse();
        let mut backward = standings(combine, &parts);
        for row in &mut backward.standings {
            row.parts.reverse();
        }
        prop_assert_eq!(forward, backward);
    }
}
