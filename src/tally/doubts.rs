//! What the tally master may want to look at before signing: marks far from the rest of the panel, marks nobody has
//! confirmed. They depend on foreign marks, so they are told with the tally and to nobody else.

use crate::ranking::{CellMark, Ranking};
use crate::state::Category;
use crate::state::board::Board;
use std::collections::HashMap;

/// A panel so small has no middle to be far from.
const PANEL_MIN: usize = 3;

/// The doubts about the marks of a category, in words.
pub(super) fn doubts(category: &Category, board: &Board, ranking: &Ranking) -> Vec<String> {
    let ranges: HashMap<&str, i64> = category
        .criteria
        .values()
        .map(|criterion| (criterion.row.id.as_str(), criterion.max.thousandths() - criterion.min.thousandths()))
        .collect();
    let mut doubts = Vec::new();
    for row in &ranking.ranking {
        for cell in &row.criteria {
            let Some(range) = ranges.get(&*cell.criterion_id) else { continue };
            for mark in far_from_the_middle(&cell.marks, *range) {
                doubts.push(format!(
                    "{}, {}: the mark of judge {} is far from the median of the panel",
                    row.contestant_id, cell.criterion_id, mark.judge_id
                ));
            }
        }
    }
    for mark in board.marks().filter(|mark| mark.waits()) {
        doubts.push(format!(
            "{}, {}: the mark entered for judge {} waits to be confirmed",
            mark.contestant_id, mark.criterion_id, mark.judge_id
        ));
    }
    doubts
}

/// The marks more than a quarter of the range away from their median; without a division, so exactly.
fn far_from_the_middle(marks: &[CellMark], range: i64) -> impl Iterator<Item = &CellMark> {
    let mut sorted: Vec<i64> = marks.iter().map(|mark| mark.score.thousandths()).collect();
    sorted.sort_unstable();
    let judges = sorted.len();
    let twice_the_median = (judges >= PANEL_MIN).then(|| sorted[(judges - 1) / 2] + sorted[judges / 2]);
    marks.iter().filter(move |mark| {
        twice_the_median.is_some_and(|median| 2 * (2 * mark.score.thousandths() - median).abs() > range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_far_by_more_than_a_quarter_of_the_range_from_the_median_of_three_or_more() {
        for (marks, far) in [
            (vec!["5", "9"], vec![]),
            (vec!["5", "5", "7.5"], vec![]),
            (vec!["5", "5", "7.501"], vec!["7.501"]),
            (vec!["2", "5", "8"], vec!["2", "8"]),
            (vec!["5", "6", "8", "8.001"], vec![]),
            (vec!["5", "6", "6", "8.501"], vec!["8.501"]),
            (vec!["4", "5", "7", "8.6"], vec!["8.6"]),
        ] {
            let cell: Vec<CellMark> = marks
                .iter()
                .map(|score| CellMark {
                    judge_id: "j".into(),
                    score: score.parse().expect("a mark in a test"),
                    dropped: false,
                })
                .collect();
            let found: Vec<String> = far_from_the_middle(&cell, 10_000).map(|mark| mark.score.to_string()).collect();
            assert_eq!(found, far, "{marks:?}");
        }
    }
}
