//! Comparators and match types (RFC 5228 §2.7, RFC 5231, RFC 4790); all work is charged to a budget.

use std::cmp::Ordering;

/// The work left for a run of a script: about one unit per octet examined.
#[derive(Debug)]
pub(crate) struct Budget(u64);

/// The budget is used up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Budget {
    pub(crate) fn new(units: u64) -> Self {
        Self(units)
    }

    pub(crate) fn spend(&mut self, units: usize) -> Result<(), Exhausted> {
        self.0 = self.0.checked_sub(units as u64).ok_or(Exhausted)?;
        Ok(())
    }
}

/// A comparator (RFC 4790).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparator {
    /// i;octet.
    Octet,
    /// i;ascii-casemap.
    AsciiCasemap,
    /// i;ascii-numeric, for equality and ordering only.
    AsciiNumeric,
}

/// A relation (RFC 5231 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Gt,
    Ge,
    Lt,
    Le,
    Eq,
    Ne,
}

/// A match type (RFC 5228 §2.7.1, RFC 5231 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MatchType {
    Is,
    Contains,
    Matches,
    Value(Relation),
    Count(Relation),
}

/// The comparison of a test: comparator, match type and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestMatcher {
    pub(crate) comparator: Comparator,
    pub(crate) kind: MatchType,
    pub(crate) keys: Vec<String>,
}

impl TestMatcher {
    /// Whether any value matches any key; with `:count`, whether the number of values does.
    pub(crate) fn any(&self, values: &[impl AsRef<str>], budget: &mut Budget) -> Result<bool, Exhausted> {
        if let MatchType::Count(relation) = self.kind {
            let count = values.len().to_string();
            return self.any_key(|key, budget| self.relate(relation, &count, key, budget), budget);
        }
        for value in values {
            if self.any_key(|key, budget| self.one(value.as_ref(), key, budget), budget)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn any_key(
        &self,
        mut fits: impl FnMut(&str, &mut Budget) -> Result<bool, Exhausted>,
        budget: &mut Budget,
    ) -> Result<bool, Exhausted> {
        for key in &self.keys {
            if fits(key, budget)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn one(&self, value: &str, key: &str, budget: &mut Budget) -> Result<bool, Exhausted> {
        budget.spend(1 + value.len() + key.len())?;
        match self.kind {
            MatchType::Is => self.relate(Relation::Eq, value, key, budget),
            MatchType::Contains => Ok(self.fold(value).contains(&*self.fold(key))),
            MatchType::Matches => glob(&self.fold(key), &self.fold(value), budget),
            MatchType::Value(relation) | MatchType::Count(relation) => self.relate(relation, value, key, budget),
        }
    }

    fn relate(&self, relation: Relation, left: &str, right: &str, budget: &mut Budget) -> Result<bool, Exhausted> {
        budget.spend(1)?;
        let order = match self.comparator {
            Comparator::AsciiNumeric => compare_numeric(left, right),
            Comparator::Octet | Comparator::AsciiCasemap => self.fold(left).cmp(&self.fold(right)),
        };
        Ok(match relation {
            Relation::Gt => order == Ordering::Greater,
            Relation::Ge => order != Ordering::Less,
            Relation::Lt => order == Ordering::Less,
            Relation::Le => order != Ordering::Greater,
            Relation::Eq => order == Ordering::Equal,
            Relation::Ne => order != Ordering::Equal,
        })
    }

    /// Folds case for i;ascii-casemap, which compares in upper case (RFC 4790 §9.2.1).
    fn fold<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        if self.comparator == Comparator::AsciiCasemap && text.bytes().any(|b| b.is_ascii_lowercase()) {
            text.to_ascii_uppercase().into()
        } else {
            text.into()
        }
    }
}

/// Compares leading digits as numbers of any size. A value without digits is greater than every number, and equal to
/// others like it (RFC 4790 §9.1.1).
fn compare_numeric(left: &str, right: &str) -> Ordering {
    fn digits(text: &str) -> Option<&str> {
        let end = text.bytes().take_while(u8::is_ascii_digit).count();
        text.get(..end).filter(|d| !d.is_empty()).map(|d| d.trim_start_matches('0'))
    }
    match (digits(left), digits(right)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(left), Some(right)) => left.len().cmp(&right.len()).then_with(|| left.cmp(right)),
    }
}

/// One piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PatternPiece {
    Star,
    One,
    Char(char),
}

/// Matches `:matches`: `*` is any characters, `?` one character, a backslash escapes the next one (RFC 5228 §2.7.1).
///
/// Backtracks to the last star only, which suffices: whatever an earlier star could absorb, the last one can too. The
/// work is at most the product of both lengths, and every step is charged.
fn glob(pattern: &str, value: &str, budget: &mut Budget) -> Result<bool, Exhausted> {
    let pattern = pieces(pattern);
    let (mut at, mut rest) = (0, value);
    let mut last_star: Option<(usize, &str)> = None;
    loop {
        budget.spend(1)?;
        let mut tail = rest.chars();
        match (pattern.get(at), tail.next()) {
            (Some(PatternPiece::Star), _) => {
                at += 1;
                last_star = Some((at, rest));
                continue;
            }
            (Some(PatternPiece::One), Some(_)) => {}
            (Some(PatternPiece::Char(wanted)), Some(c)) if *wanted == c => {}
            (None, None) => return Ok(true),
            _ => {
                // The last star absorbs one more character.
                let Some((after, from)) = last_star else { return Ok(false) };
                let mut shorter = from.chars();
                if shorter.next().is_none() {
                    return Ok(false);
                }
                last_star = Some((after, shorter.as_str()));
                (at, rest) = (after, shorter.as_str());
                continue;
            }
        }
        at += 1;
        rest = tail.as_str();
    }
}

fn pieces(pattern: &str) -> Vec<PatternPiece> {
    let mut pieces = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let piece = match c {
            '*' => PatternPiece::Star,
            '?' => PatternPiece::One,
            '\\' => PatternPiece::Char(chars.next().unwrap_or('\\')),
            c => PatternPiece::Char(c),
        };
        if piece != PatternPiece::Star || pieces.last() != Some(&PatternPiece::Star) {
            pieces.push(piece);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fits(kind: MatchType, comparator: Comparator, key: &str, value: &str) -> bool {
        let matcher = TestMatcher { comparator, kind, keys: vec![key.into()] };
        matcher.any(&[value], &mut Budget::new(1_000_000)).unwrap()
    }

    /// RFC 5228 §2.7.1, §2.7.3; RFC 4790 §9.
    #[test]
    fn match_types_and_comparators() {
        use Comparator::{AsciiCasemap, AsciiNumeric, Octet};
        use MatchType::{Contains, Is, Matches, Value};
        for (kind, comparator, key, value, expected) in [
            (Is, AsciiCasemap, "Frop", "fROP", true),
            (Is, Octet, "Frop", "fROP", false),
            (Is, AsciiCasemap, "frop", "frop ", false),
            (Is, AsciiCasemap, "é", "É", false),
            (Is, AsciiNumeric, "007", "7 apples", true),
            (Is, AsciiNumeric, "7", "70", false),
            (Is, AsciiNumeric, "x", "y", true),
            (Contains, AsciiCasemap, "OP", "frop", true),
            (Contains, Octet, "OP", "frop", false),
            (Contains, AsciiCasemap, "", "", true),
            (Matches, AsciiCasemap, "", "", true),
            (Matches, AsciiCasemap, "*", "", true),
            (Matches, AsciiCasemap, "?", "", false),
            (Matches, AsciiCasemap, "?", "é", true),
            (Matches, AsciiCasemap, "f*P", "Frop", true),
            (Matches, AsciiCasemap, "f?op*", "frop", true),
            (Matches, AsciiCasemap, "*a*b", "xaxbxab", true),
            (Matches, AsciiCasemap, "*a*b", "xaxbxaba", false),
            (Matches, AsciiCasemap, "a\\*b", "a*b", true),
            (Matches, AsciiCasemap, "a\\*b", "axb", false),
            (Matches, AsciiCasemap, "a\\?", "a?", true),
            (Matches, AsciiCasemap, "a\\", "a\\", true),
            (Matches, AsciiCasemap, "**?**", "x", true),
            (Value(Relation::Gt), AsciiCasemap, "2026", "2027", true),
            (Value(Relation::Gt), AsciiCasemap, "9", "10", false),
            (Value(Relation::Gt), AsciiNumeric, "9", "10", true),
            (Value(Relation::Ge), AsciiNumeric, "10", "10", true),
            (Value(Relation::Lt), AsciiNumeric, "10", "9", true),
            (Value(Relation::Le), AsciiNumeric, "9", "none", false),
            (Value(Relation::Ne), Octet, "a", "A", true),
            (Value(Relation::Eq), AsciiCasemap, "a", "A", true),
        ] {
            assert_eq!(fits(kind, comparator, key, value), expected, "{kind:?} {comparator:?} {key:?} {value:?}");
        }
    }

    /// RFC 5231 §4.2: `:count` compares the number of values.
    #[test]
    fn count() {
        let matcher = |key: &str| TestMatcher {
            comparator: Comparator::AsciiNumeric,
            kind: MatchType::Count(Relation::Ge),
            keys: vec![key.into()],
        };
        let budget = &mut Budget::new(1000);
        assert_eq!(matcher("2").any(&["a", "b"], budget), Ok(true));
        assert_eq!(matcher("3").any(&["a", "b"], budget), Ok(false));
        assert_eq!(matcher("0").any(&[] as &[&str], budget), Ok(true));
    }

    /// A pattern that is exponential in a naive matcher: the product of both lengths bounds it, and the budget ends it.
    #[test]
    fn a_hostile_pattern_is_bounded() {
        let pattern = "*a".repeat(30) + "b";
        let value = "a".repeat(2000);
        let mut budget = Budget::new(1_000_000);
        assert_eq!(glob(&pattern, &value, &mut budget), Ok(false));
        let spent = 1_000_000 - budget.0;
        assert!(spent <= (value.len() * (pattern.len() + 2)) as u64, "{spent}");
        assert_eq!(glob(&pattern, &value, &mut Budget::new(100)), Err(Exhausted));
    }

    /// The simplest possible matcher, as a reference for `glob`.
    fn model(pattern: &[char], value: &[char]) -> bool {
        match (pattern, value) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=value.len()).any(|n| model(rest, &value[n..])),
            (['?', rest @ ..], [_, tail @ ..]) => model(rest, tail),
            ([c, rest @ ..], [d, tail @ ..]) => c == d && model(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn glob_agrees_with_the_model(pattern in "[*?ab]{0,8}", value in "[abé]{0,8}") {
            let (p, v): (Vec<_>, Vec<_>) = (pattern.chars().collect(), value.chars().collect());
            prop_assert_eq!(glob(&pattern, &value, &mut Budget::new(10_000)), Ok(model(&p, &v)));
        }
    }
}
