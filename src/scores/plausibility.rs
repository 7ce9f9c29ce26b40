//! What a judge may want to look at again in a mark just given. Nothing is refused for it.
//!
//! Invariant: only the judge's own marks and what was known beforehand go in, so nothing of a foreign mark comes out.

use crate::ids::ContestantId;
use crate::ranking::{Mark, Method};
use crate::state::Criterion;
use crate::state::board::Given;
use imbl::OrdSet;

/// So few of the judge's other marks have no mean to be far from.
const OTHERS_MIN: i64 = 3;

/// What a judge has given others in a criterion.
#[derive(Clone, Copy, Debug)]
pub struct Others<'a> {
    /// All the judge has given, if anything.
    pub given: Option<&'a Given>,
    /// Whose mark it is.
    pub own: &'a ContestantId,
    /// Who has withdrawn, and is none of the others.
    pub withdrawn: &'a OrdSet<ContestantId>,
}

impl Others<'_> {
    /// How many there are, and their sum in thousandths.
    fn number_and_sum(&self) -> (i64, i64) {
        let own = Some(self.own).filter(|own| !self.withdrawn.contains(*own));
        self.given.map_or((0, 0), |given| given.without(self.withdrawn.iter().chain(own)))
    }

    fn have(&self, mark: Mark) -> bool {
        let is_other = |contestant: &ContestantId| contestant != self.own && !self.withdrawn.contains(contestant);
        self.given.is_some_and(|given| given.whom(mark.thousandths()).any(is_other))
    }
}

/// What is striking in a mark, beside the judge's other marks in this criterion.
#[must_use]
pub fn warnings(criterion: &Criterion, method: Method, mark: Mark, others: &Others<'_>) -> Vec<String> {
    let name = &criterion.row.name;
    match method {
        // A place is no measure: the first is an end of its range, and given to somebody each time.
        Method::Skating => {
            others.have(mark).then(|| format!("place {mark} was given in {name} before")).into_iter().collect()
        }
        Method::Sum
        | Method::Mean
        | Method::TrimmedMean
        | Method::Median
        | Method::Placings
        | Method::Zscore
        | Method::Time => {
            let at_the_end = mark == criterion.min || mark == criterion.max;
            let at_the_end = at_the_end.then(|| format!("{mark} is at the end of the range of {name}"));
            let far = is_far(criterion, mark, others)
                .then(|| format!("{mark} is far from the mean of the judge's other marks in {name}"));
            at_the_end.into_iter().chain(far).collect()
        }
    }
}

/// Whether a mark lies more than half the range away from the mean of the others; without a division, so exactly.
fn is_far(criterion: &Criterion, mark: Mark, others: &Others<'_>) -> bool {
    // A mark has at most 12 digits and a category 5,000 entries: none of this comes near the end of an i64.
    let (number, sum) = others.number_and_sum();
    let range = criterion.max.thousandths() - criterion.min.thousandths();
    number >= OTHERS_MIN && 2 * (number * mark.thousandths() - sum).abs() > range * number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::entity::criterion;
    use crate::ranking::Decimal;

    fn mark(text: &str) -> Mark {
        text.parse().expect("a mark in a test")
    }

    fn criterion(min: &str, max: &str) -> Criterion {
        let row = criterion::Model {
            category_id: "c".parse().expect("a well-formed id"),
            id: "form".parse().expect("a well-formed id"),
            name: "Form".into(),
            min: mark(min).thousandths(),
            max: mark(max).thousandths(),
            step: 1,
            weight: "1".into(),
            position: 0,
        };
        Criterion { min: mark(min), max: mark(max), step: mark("0.001"), weight: Decimal::one(), row }
    }

    #[test]
    fn a_mark_is_striking_at_an_end_or_far_from_ones_own_or_as_a_place_given_twice() {
        let (end, far, twice) = ("end of the range", "far from the mean", "was given in Form before");
        for (method, given, others, expected) in [
            (Method::Mean, "5", vec![], vec![]),
            (Method::Mean, "0", vec![], vec![end]),
            (Method::Mean, "10", vec![], vec![end]),
            (Method::Mean, "9.999", vec![], vec![]),
            (Method::Mean, "9.5", vec!["4", "4"], vec![]),
            (Method::Mean, "9.5", vec!["4", "4", "4"], vec![far]),
            (Method::Mean, "9", vec!["4", "4", "4"], vec![]),
            (Method::Mean, "9.001", vec!["4", "4", "4"], vec![far]),
            (Method::Mean, "1.333", vec!["6.333", "6.333", "6.333"], vec![]),
            (Method::Mean, "1.333", vec!["6", "6", "7"], vec![far]),
            (Method::Mean, "0", vec!["6", "6", "6"], vec![end, far]),
            (Method::Mean, "5", vec!["5", "5", "5"], vec![]),
            (Method::Time, "10", vec![], vec![end]),
            (Method::Placings, "10", vec!["1", "1", "1"], vec![end, far]),
            (Method::Skating, "10", vec!["1", "2", "3"], vec![]),
            (Method::Skating, "1", vec!["2", "1", "3"], vec![twice]),
        ] {
            // What was given in the same place before, to whom has withdrawn, and what was taken back, is none of them.
            let ids: Vec<ContestantId> = (0..9).map(|number| format!("c{number}").parse().expect("an id")).collect();
            let (own, gone, unmarked, taken) = (&ids[8], &ids[7], &ids[6], &ids[5]);
            let mut all = Given::default();
            for contestant in [own, gone, taken] {
                all.put(contestant, Some(mark(given).thousandths()));
            }
            all.put(taken, None);
            for (contestant, other) in ids.iter().zip(&others) {
                all.put(contestant, Some(0));
                all.put(contestant, Some(mark(other).thousandths()));
            }
            for withdrawn in [vec![gone, unmarked], vec![gone, own]] {
                let withdrawn = withdrawn.into_iter().cloned().collect();
                let beside = Others { given: Some(&all), own, withdrawn: &withdrawn };
                let said = warnings(&criterion("0", "10"), method, mark(given), &beside);
                assert_eq!(said.len(), expected.len(), "{method} {given} {others:?}: {said:?}");
                for (said, expected) in said.iter().zip(&expected) {
                    assert!(said.contains(expected), "{method} {given} {others:?}: {said}");
                }
            }
        }
    }
}
