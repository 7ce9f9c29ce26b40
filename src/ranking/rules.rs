//! The scoring rules of a category, as they are configured and stored (contract, sections 7 and 8).
//! Invariant: rules that pass [`Rules::check`] can be applied by [`rank`](super::rank()) to any marks of a category
//! with those criteria and at least that many judges.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Id;
use super::decimal::{Mark, RoundingMode};

/// How marks become places. Only `method` has no default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rules {
    /// How the marks of a panel become one value.
    pub method: Method,
    /// How many marks of a cell a trimmed mean leaves out; 0/0 unless stated.
    #[serde(default)]
    pub trim: Trim,
    /// What stands for the mark of a judge who owes one; `block` unless stated.
    #[serde(default)]
    pub missing: MissingPolicy,
    /// Where digits are cut; nowhere unless stated.
    #[serde(default)]
    pub rounding: Rounding,
    /// What separates equal totals, tried in this order; nothing unless stated.
    #[serde(default)]
    pub tie_breaks: Vec<TieBreak>,
    /// How places are numbered after a shared one; `standard` unless stated.
    #[serde(default)]
    pub rank_style: RankStyle,
    /// A total never goes below zero by deductions; true unless stated. Means nothing to `skating`, `zscore`, `time`.
    #[serde(default = "floor_zero_unless_stated")]
    pub floor_zero: bool,
}

/// How the marks of a panel become a value and a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The marks of a criterion are added.
    Sum,
    /// Their mean.
    Mean,
    /// The mean of what is left after `trim`.
    TrimmedMean,
    /// The middle mark, or the mean of the two in the middle.
    Median,
    /// The places each judge gives by their own total are added; less is better. Equal totals share the mean of their
    /// places. Factor, deductions and floor belong to the total of each judge, before it becomes a place; the values of
    /// the criteria, the means of their marks, are only shown.
    Placings,
    /// The majority system of dance sport, rules 5 to 11: criteria are dances, marks are places, less is better. An
    /// approved deduction is added to the sum of the dance places; a factor is not applied and nothing is rounded.
    Skating,
    /// Each mark becomes its distance from the mean of all marks its judge gave in the criterion to contestants who have
    /// not withdrawn, divided by their population standard deviation (0 where that is 0), with 12 decimals. Then the
    /// mean over the judges. `floorZero` does not apply: zero is the middle.
    Zscore,
    /// Marks are measured times in seconds: the mean over the timekeepers, runs are added, × factor; less is better.
    /// Deductions are penalty seconds and added.
    Time,
}

/// Marks left out of each cell: so many of the lowest and of the highest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trim {
    /// Lowest marks left out.
    #[serde(default)]
    pub low: u32,
    /// Highest marks left out.
    #[serde(default)]
    pub high: u32,
}

/// What stands for the mark of a judge who owes one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingPolicy {
    /// The contestant has no total until it is given.
    #[default]
    Block,
    /// The mean of the marks given in that cell.
    MeanOfOthers,
    /// A mark of zero.
    Zero,
}

/// Decimals (0 to 9) to which a step of the computation is rounded; `null` leaves it exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rounding {
    /// Decimals of a criterion's value, before its weight.
    #[serde(default)]
    pub criterion: Option<u8>,
    /// Decimals of a criterion's value, after its weight.
    #[serde(default)]
    pub weighted: Option<u8>,
    /// Decimals of the total, after factor, deductions and floor.
    #[serde(default)]
    pub total: Option<u8>,
    /// How all of them round; `half_up` unless stated.
    #[serde(default)]
    pub mode: RoundingMode,
}

/// How places are numbered after a shared one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankStyle {
    /// 1-2-2-4.
    #[default]
    Standard,
    /// 1-2-2-3.
    Dense,
}

/// What separates contestants with the same total. Its wire form is its `Display` text.
///
/// A breaker that has no answer for one of the tied contestants separates none of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TieBreak {
    /// `criterion:{id}`: the better weighted value in that criterion.
    Criterion(Id),
    /// `drop:highest`: the better total once the highest remaining mark of every cell is left out as well; of placings,
    /// once the last of the contestant's places is.
    DropHighest,
    /// `head_judge`: the better total by the marks of the head judge alone.
    HeadJudge,
    /// `majority_of_placings`: placed better by more judges, each counting by their own total.
    MajorityOfPlacings,
    /// `fewest_deductions`: the smaller sum deducted.
    FewestDeductions,
    /// `manual`: the order given by hand with `tie:resolve`.
    Manual,
}

/// A text that names no tie breaker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown tie breaker {0:?}, expected criterion:{{id}}, drop:highest, head_judge, majority_of_placings, \
     fewest_deductions or manual"
)]
pub struct UnknownTieBreak(pub String);

/// Why rules do not fit their category.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct RuleError {
    /// The place inside the rules, as written on the wire: `trim`, `rounding.total`, `tieBreaks[1]`.
    pub field: String,
    /// What is wrong, for the organizer.
    pub message: String,
}

/// The most decimals a rounding may state.
const DECIMALS_MAX: u8 = 9;

impl Rules {
    /// The rules of a method with every default.
    #[must_use]
    pub fn new(method: Method) -> Self {
        Self {
            method,
            trim: Trim::default(),
            missing: MissingPolicy::default(),
            rounding: Rounding::default(),
            tie_breaks: Vec::new(),
            rank_style: RankStyle::default(),
            floor_zero: floor_zero_unless_stated(),
        }
    }

    /// Whether these rules can be applied in a category with these criteria and at least `min_judges` judges.
    ///
    /// # Errors
    /// The first place that does not fit, with the reason.
    pub fn check<C: AsRef<str>>(&self, criteria: &[C], min_judges: u32) -> Result<(), RuleError> {
        if self.method == Method::Skating && criteria.is_empty() {
            return refuse("method", "method skating needs at least one criterion, a dance".to_owned());
        }
        self.check_trim(min_judges)?;
        if self.missing != self.missing_applied() {
            let reason = match self.method {
                Method::Time => "a time of 0 would win",
                Method::Sum
                | Method::Mean
                | Method::TrimmedMean
                | Method::Median
                | Method::Placings
                | Method::Skating
                | Method::Zscore => "nobody can be placed without every place",
            };
            return refuse("missing", format!("method {} cannot fill missing marks like this, {reason}", self.method));
        }
        for (field, decimals) in [
            ("rounding.criterion", self.rounding.criterion),
            ("rounding.weighted", self.rounding.weighted),
            ("rounding.total", self.rounding.total),
        ] {
            if decimals.is_some_and(|decimals| decimals > DECIMALS_MAX) {
                return refuse(field, format!("a rounding has 0 to {DECIMALS_MAX} decimals"));
            }
            if decimals.is_some() && self.method == Method::Skating {
                return refuse(field, "method skating rounds nothing, a shared place of 2.5 stays one".to_owned());
            }
        }
        for (position, breaker) in self.tie_breaks.iter().enumerate() {
            let field = format!("tieBreaks[{position}]");
            if self.tie_breaks[..position].contains(breaker) {
                return refuse(field, format!("{breaker} is stated twice"));
            }
            if *breaker == TieBreak::DropHighest && self.method == Method::Skating {
                return refuse(field, format!("method skating leaves no marks out, {breaker} cannot separate"));
            }
            if let TieBreak::Criterion(id) = breaker
                && !criteria.iter().any(|criterion| criterion.as_ref() == &**id)
            {
                return refuse(field, format!("the category has no criterion {id}"));
            }
        }
        Ok(())
    }

    /// Whether marks of these criteria (id, least mark, greatest mark, step) can be what the method takes them for.
    ///
    /// # Errors
    /// The first place that does not fit, with the reason; here the field is one of the category: `criteria[1].step`.
    pub fn check_criteria<C: AsRef<str>>(&self, criteria: &[(C, Mark, Mark, Mark)]) -> Result<(), RuleError> {
        for (position, (id, min, _, step)) in criteria.iter().enumerate() {
            let (id, field) = (id.as_ref(), |name| format!("criteria[{position}].{name}"));
            match self.method {
                Method::Skating if min.thousandths() != 1_000 => {
                    return refuse(field("min"), format!("the marks of {id} are places, they begin at 1"));
                }
                Method::Skating if step.thousandths() != 1_000 => {
                    return refuse(field("step"), format!("the marks of {id} are places, whole numbers"));
                }
                Method::Time if *min < Mark::ZERO => {
                    return refuse(field("min"), format!("the marks of {id} are times, none is below 0"));
                }
                Method::Sum
                | Method::Mean
                | Method::TrimmedMean
                | Method::Median
                | Method::Placings
                | Method::Skating
                | Method::Zscore
                | Method::Time => {}
            }
        }
        Ok(())
    }

    /// The policy for missing marks as far as the method can follow it: places cannot be filled, and a time of 0 wins.
    pub(super) fn missing_applied(&self) -> MissingPolicy {
        match (self.method, self.missing) {
            (Method::Skating, _) | (Method::Time, MissingPolicy::Zero) => MissingPolicy::Block,
            (_, policy) => policy,
        }
    }

    fn check_trim(&self, min_judges: u32) -> Result<(), RuleError> {
        let Trim { low, high } = self.trim;
        let trimmed = u64::from(low) + u64::from(high);
        if trimmed > 0 && self.method != Method::TrimmedMean {
            return refuse("trim", format!("method {} leaves no marks out, only trimmed_mean does", self.method));
        }
        if trimmed > 0 && trimmed >= u64::from(min_judges) {
            return refuse(
                "trim",
                format!("leaving out {low} lowest and {high} highest marks leaves none of a panel of {min_judges}"),
            );
        }
        Ok(())
    }
}

impl Method {
    /// Whether the smaller total is the better one.
    #[must_use]
    pub const fn less_is_better(self) -> bool {
        match self {
            Self::Placings | Self::Skating | Self::Time => true,
            Self::Sum | Self::Mean | Self::TrimmedMean | Self::Median | Self::Zscore => false,
        }
    }

    /// Whether the smaller mark is the better one. Of `placings` it is the greater: there the marks are points still.
    pub(super) const fn less_is_better_in_a_mark(self) -> bool {
        match self {
            Self::Skating | Self::Time => true,
            Self::Sum | Self::Mean | Self::TrimmedMean | Self::Median | Self::Placings | Self::Zscore => false,
        }
    }
}

/// The wire name.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::TrimmedMean => "trimmed_mean",
            Self::Median => "median",
            Self::Placings => "placings",
            Self::Skating => "skating",
            Self::Zscore => "zscore",
            Self::Time => "time",
        })
    }
}

/// The wire name.
impl fmt::Display for TieBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Criterion(id) => write!(f, "criterion:{id}"),
            Self::DropHighest => f.write_str("drop:highest"),
            Self::HeadJudge => f.write_str("head_judge"),
            Self::MajorityOfPlacings => f.write_str("majority_of_placings"),
            Self::FewestDeductions => f.write_str("fewest_deductions"),
            Self::Manual => f.write_str("manual"),
        }
    }
}

impl FromStr for TieBreak {
    type Err = UnknownTieBreak;

    fn from_str(text: &str) -> Result<Self, UnknownTieBreak> {
        match text {
            "drop:highest" => Ok(Self::DropHighest),
            "head_judge" => Ok(Self::HeadJudge),
            "majority_of_placings" => Ok(Self::MajorityOfPlacings),
            "fewest_deductions" => Ok(Self::FewestDeductions),
            "manual" => Ok(Self::Manual),
            _ => match text.strip_prefix("criterion:") {
                Some(id) if !id.is_empty() => Ok(Self::Criterion(id.into())),
                Some(_) | None => Err(UnknownTieBreak(text.to_owned())),
            },
        }
    }
}

impl TryFrom<String> for TieBreak {
    type Error = UnknownTieBreak;

    fn try_from(text: String) -> Result<Self, UnknownTieBreak> {
        text.parse()
    }
}

impl From<TieBreak> for String {
    fn from(breaker: TieBreak) -> Self {
        breaker.to_string()
    }
}

const fn floor_zero_unless_stated() -> bool {
    true
}

fn refuse(field: impl Into<String>, message: String) -> Result<(), RuleError> {
    Err(RuleError { field: field.into(), message })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rules(value: Value) -> Rules {
        serde_json::from_value(value).expect("rules in a test")
    }

    #[test]
    fn everything_but_the_method_has_a_default() {
        let defaults = json!({
            "method": "median",
            "trim": {"low": 0, "high": 0},
            "missing": "block",
            "rounding": {"criterion": null, "weighted": null, "total": null, "mode": "half_up"},
            "tieBreaks": [],
            "rankStyle": "standard",
            "floorZero": true,
        });
        assert_eq!(rules(json!({"method": "median"})), Rules::new(Method::Median));
        assert_eq!(serde_json::to_value(Rules::new(Method::Median)).expect("json"), defaults);
        assert_eq!(rules(defaults), Rules::new(Method::Median));
    }

    #[test]
    fn full_rules_survive_the_wire() {
        let full = json!({
            "method": "trimmed_mean",
            "trim": {"low": 1, "high": 2},
            "missing": "mean_of_others",
            "rounding": {"criterion": 2, "weighted": 3, "total": 0, "mode": "half_even"},
            "tieBreaks": ["criterion:a:b", "drop:highest", "head_judge", "majority_of_placings", "fewest_deductions", "manual"],
            "rankStyle": "dense",
            "floorZero": false,
        });
        assert_eq!(serde_json::to_value(rules(full.clone())).expect("json"), full);
        assert_eq!(rules(full).tie_breaks[0], TieBreak::Criterion("a:b".into()));
    }

    #[test]
    fn every_method_is_called_on_the_wire_what_it_is_called_in_messages() {
        for name in ["sum", "mean", "trimmed_mean", "median", "placings", "skating", "zscore", "time"] {
            let method: Method = serde_json::from_value(json!(name)).expect(name);
            assert_eq!(method.to_string(), name);
        }
    }

    #[test]
    fn what_is_unknown_is_refused_when_read() {
        for (value, reason) in [
            (json!({}), "missing field `method`"),
            (json!({"method": "best_guess"}), "unknown variant"),
            (json!({"method": "sum", "trimm": {}}), "unknown field"),
            (json!({"method": "sum", "trim": {"lowest": 1}}), "unknown field"),
            (json!({"method": "sum", "trim": {"low": -1}}), "invalid value"),
            (json!({"method": "sum", "rounding": {"digits": 1}}), "unknown field"),
            (json!({"method": "sum", "rounding": {"total": 2.5}}), "invalid type"),
            (json!({"method": "sum", "missing": "guess"}), "unknown variant"),
            (json!({"method": "sum", "tieBreaks": ["coin"]}), "unknown tie breaker \"coin\", expected criterion:{id}"),
            (json!({"method": "sum", "tieBreaks": ["criterion:"]}), "unknown tie breaker"),
        ] {
            let error = serde_json::from_value::<Rules>(value).expect_err(reason).to_string();
            assert!(error.contains(reason), "{error} should say {reason}");
        }
    }

    #[test]
    fn rules_that_do_not_fit_their_category_are_refused_with_the_place() {
        for (value, min_judges, refusal) in [
            (json!({"method": "sum"}), 0, None),
            (json!({"method": "trimmed_mean"}), 1, None),
            (json!({"method": "trimmed_mean", "trim": {"low": 1, "high": 1}}), 3, None),
            (json!({"method": "sum", "rounding": {"criterion": 0, "weighted": 9, "total": 9}}), 1, None),
            (json!({"method": "sum", "tieBreaks": ["criterion:form", "criterion:art", "manual"]}), 1, None),
            (
                json!({"method": "trimmed_mean", "trim": {"low": 1, "high": 1}}),
                2,
                Some("trim: leaving out 1 lowest and 1 highest marks leaves none of a panel of 2"),
            ),
            (
                json!({"method": "trimmed_mean", "trim": {"low": u32::MAX, "high": u32::MAX}}),
                9,
                Some("trim: leaving out 4294967295 lowest and 4294967295 highest marks leaves none of a panel of 9"),
            ),
            (
                json!({"method": "mean", "trim": {"high": 1}}),
                9,
                Some("trim: method mean leaves no marks out, only trimmed_mean does"),
            ),
            (
                json!({"method": "sum", "rounding": {"weighted": 10}}),
                1,
                Some("rounding.weighted: a rounding has 0 to 9 decimals"),
            ),
            (
                json!({"method": "sum", "tieBreaks": ["manual", "criterion:height"]}),
                1,
                Some("tieBreaks[1]: the category has no criterion height"),
            ),
            (
                json!({"method": "sum", "tieBreaks": ["manual", "drop:highest", "manual"]}),
                1,
                Some("tieBreaks[2]: manual is stated twice"),
            ),
            (json!({"method": "placings", "missing": "zero", "tieBreaks": ["drop:highest"]}), 1, None),
            (json!({"method": "zscore", "missing": "mean_of_others", "rounding": {"total": 3}}), 1, None),
            (json!({"method": "time", "missing": "mean_of_others", "rounding": {"total": 2}}), 1, None),
            (json!({"method": "skating", "tieBreaks": ["head_judge", "criterion:art"]}), 1, None),
            (
                json!({"method": "time", "missing": "zero"}),
                1,
                Some("missing: method time cannot fill missing marks like this, a time of 0 would win"),
            ),
            (
                json!({"method": "skating", "missing": "mean_of_others"}),
                5,
                Some(
                    "missing: method skating cannot fill missing marks like this, nobody can be placed without every \
                     place",
                ),
            ),
            (
                json!({"method": "skating", "rounding": {"criterion": 0}}),
                5,
                Some("rounding.criterion: method skating rounds nothing, a shared place of 2.5 stays one"),
            ),
            (
                json!({"method": "skating", "tieBreaks": ["manual", "drop:highest"]}),
                5,
                Some("tieBreaks[1]: method skating leaves no marks out, drop:highest cannot separate"),
            ),
            (
                json!({"method": "time", "trim": {"low": 1}}),
                5,
                Some("trim: method time leaves no marks out, only trimmed_mean does"),
            ),
        ] {
            let checked = rules(value.clone()).check(&["form", "art"], min_judges);
            assert_eq!(checked.map_err(|error| error.to_string()).err().as_deref(), refusal, "{value}");
        }
    }

    #[test]
    fn skating_needs_a_dance() {
        let none: [&str; 0] = [];
        let refused = rules(json!({"method": "skating"})).check(&none, 5).expect_err("no dances");
        assert_eq!(refused.to_string(), "method: method skating needs at least one criterion, a dance");
        assert_eq!(rules(json!({"method": "sum"})).check(&none, 5), Ok(()), "criteria may come later");
    }

    #[test]
    fn criteria_whose_marks_are_not_what_the_method_takes_them_for_are_refused() {
        for (method, min, step, refusal) in [
            ("skating", "1", "1", None),
            ("skating", "0", "1", Some("criteria[1].min: the marks of tango are places, they begin at 1")),
            ("skating", "1", "0.5", Some("criteria[1].step: the marks of tango are places, whole numbers")),
            ("time", "0", "0.001", None),
            ("time", "-1", "0.001", Some("criteria[1].min: the marks of tango are times, none is below 0")),
            ("zscore", "-5", "0.25", None),
            ("placings", "-5", "0.25", None),
        ] {
            let mark = |text: &str| text.parse::<Mark>().expect(text);
            let criteria = [("waltz", mark("1"), mark("8"), mark("1")), ("tango", mark(min), mark("8"), mark(step))];
            let checked = rules(json!({"method": method})).check_criteria(&criteria);
            assert_eq!(checked.map_err(|error| error.to_string()).err().as_deref(), refusal, "{method} {min} {step}");
        }
    }
}
