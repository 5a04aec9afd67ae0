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
    pub(crate) match_type: MatchType,
    pub(crate) keys: Vec<String>,
}

impl TestMatcher {
    /// Whether any value matches any key; with `:count`, whether the number of values does.
    pub(crate) fn any(&self, values: &[impl AsRef<str>], budget: &mut Budget) -> Result<bool, Exhausted> {
        if let MatchType::Count(relation) = self.match_type {
            let count = values.len().to_string();
            return self.any_key(|key, budget| self.relate(relation, &count, key, budget), budget);
        }
        for value in values {
            if self.any_key(|key, budget| self.matches(value.as_ref(), key, budget), budget)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn any_key(
        &self,
        mut matches: impl FnMut(&str, &mut Budget) -> Result<bool, Exhausted>,
        budget: &mut Budget,
    ) -> Result<bool, Exhausted> {
        for key in &self.keys {
            if matches(key, budget)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn matches(&self, value: &str, key: &str, budget: &mut Budget) -> Result<bool, Exhausted> {
        budget.spend(1 + value.len() + key.len())?;
        match self.match_type {
            MatchType::Is => self.relate(Relation::Eq, value, key, budget),
            MatchType::Contains => Ok(self.fold(value).contains(&*self.fold(key))),
            MatchType::Matches => glob(self.fold(key).as_bytes(), self.fold(value).as_bytes(), budget),
            // `any` has handled `:count`.
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

/// One piece of a pattern of `:matches`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PatternPiece {
    Star,
    AnyOctet,
    Octet(u8),
}

/// Whether the whole value matches the pattern: `*` is any octets, `?` one octet, and a backslash escapes the next
/// octet. RFC 5228 §2.7.1: with our comparators a character is an octet, so `é` needs two `?`.
///
/// Backtracks to the last star only, which suffices: whatever an earlier star could absorb, the last one can too. The
/// work grows with the product of both lengths, and every step is charged.
fn glob(pattern: &[u8], value: &[u8], budget: &mut Budget) -> Result<bool, Exhausted> {
    let pattern = pieces(pattern);
    let (mut at, mut rest) = (0, value);
    // The index of the piece after the last star, and the rest of the value from where this piece was last tried.
    let mut last_star: Option<(usize, &[u8])> = None;
    loop {
        budget.spend(1)?;
        match (pattern.get(at), rest.split_first()) {
            (Some(PatternPiece::Star), _) => {
                at += 1;
                last_star = Some((at, rest));
            }
            (Some(PatternPiece::AnyOctet), Some((_, tail))) => (at, rest) = (at + 1, tail),
            (Some(PatternPiece::Octet(wanted)), Some((octet, tail))) if wanted == octet => (at, rest) = (at + 1, tail),
            (None, None) => return Ok(true),
            _ => {
                // The last star absorbs one more octet.
                let Some((after, from)) = last_star else { return Ok(false) };
                let Some((_, shorter)) = from.split_first() else { return Ok(false) };
                last_star = Some((after, shorter));
                (at, rest) = (after, shorter);
            }
        }
    }
}

fn pieces(pattern: &[u8]) -> Vec<PatternPiece> {
    let mut pieces = Vec::new();
    let mut octets = pattern.iter().copied();
    while let Some(octet) = octets.next() {
        let piece = match octet {
            b'*' => PatternPiece::Star,
            b'?' => PatternPiece::AnyOctet,
            b'\\' => PatternPiece::Octet(octets.next().unwrap_or(b'\\')),
            octet => PatternPiece::Octet(octet),
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

    fn matches(match_type: MatchType, comparator: Comparator, key: &str, value: &str) -> bool {
        let matcher = TestMatcher { comparator, match_type, keys: vec![key.into()] };
        matcher.any(&[value], &mut Budget::new(1_000_000)).unwrap()
    }

    /// RFC 5228 §2.7.1, §2.7.3; RFC 4790 §9.
    #[test]
    fn match_types_and_comparators() {
        use Comparator::{AsciiCasemap, AsciiNumeric, Octet};
        use MatchType::{Contains, Is, Matches, Value};
        for (match_type, comparator, key, value, expected) in [
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
            (Matches, AsciiCasemap, "?", "é", false),
            (Matches, AsciiCasemap, "??", "é", true),
            (Matches, Octet, "*é", "été", true),
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
            assert_eq!(
                matches(match_type, comparator, key, value),
                expected,
                "{match_type:?} {comparator:?} {key:?} {value:?}"
            );
        }
    }

    /// RFC 5231 §4.2: `:count` compares the number of values.
    #[test]
    fn count() {
        let matcher = |key: &str| TestMatcher {
            comparator: Comparator::AsciiNumeric,
            match_type: MatchType::Count(Relation::Ge),
            keys: vec![key.into()],
        };
        let budget = &mut Budget::new(1000);
        assert_eq!(matcher("2").any(&["a", "b"], budget), Ok(true));
        assert_eq!(matcher("3").any(&["a", "b"], budget), Ok(false));
        assert_eq!(matcher("0").any(&[] as &[&str], budget), Ok(true));
    }

    /// A naive matcher needs exponential time for this pattern. Ours needs about the product of both lengths, and stops
    /// when the budget is used up.
    #[test]
    fn the_work_for_a_hostile_pattern_is_bounded() {
        let pattern = "*a".repeat(30) + "b";
        let value = "a".repeat(2000);
        let mut budget = Budget::new(1_000_000);
        assert_eq!(glob(pattern.as_bytes(), value.as_bytes(), &mut budget), Ok(false));
        let spent = 1_000_000 - budget.0;
        assert!(spent <= (value.len() * (pattern.len() + 2)) as u64, "{spent} units");
        assert_eq!(glob(pattern.as_bytes(), value.as_bytes(), &mut Budget::new(100)), Err(Exhausted));
    }

    /// The simplest possible matcher, as a reference for `glob`.
    fn model(pattern: &[u8], value: &[u8]) -> bool {
        match (pattern, value) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=value.len()).any(|n| model(rest, &value[n..])),
            ([b'?', rest @ ..], [_, tail @ ..]) => model(rest, tail),
            ([c, rest @ ..], [d, tail @ ..]) => c == d && model(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn glob_agrees_with_the_model(pattern in "[*?ab]{0,8}", value in "[abé]{0,8}") {
            let (pattern, value) = (pattern.as_bytes(), value.as_bytes());
            prop_assert_eq!(glob(pattern, value, &mut Budget::new(10_000)), Ok(model(pattern, value)));
        }
    }
}
