//! The form that all numbers of a source have.

use std::borrow::Cow;

use super::check_digit::CheckDigit;
use crate::rule::{self, Rule};

/// Characters of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Characters {
    /// `0` to `9`.
    Digits,
    /// `A` to `Z`, also in lower case.
    Letters,
    /// Both.
    LettersAndDigits,
}

/// The form of a source's numbers. The default accepts every form.
///
/// A spreadsheet that removes leading zeros makes numbers shorter: with a length, such numbers are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberShape {
    /// Least and greatest number of characters.
    pub(crate) length: Option<(u8, u8)>,
    pub(crate) characters: Option<Characters>,
    /// `A` stands for a letter, `9` for a digit, `X` for either; every other character for itself.
    pub(crate) pattern: Option<String>,
    /// Number of digits to which a number of digits is filled with leading zeros.
    pub(crate) pad: Option<u8>,
    pub(crate) check: Option<CheckDigit>,
}

impl NumberShape {
    /// Checks a number. Returns it with the leading zeros that the profile restores.
    pub(crate) fn check<'a>(&self, number: &'a str) -> Result<Cow<'a, str>, Rule> {
        let number = self.padded(number);
        let length = number.chars().count();
        if self.length.is_some_and(|(least, most)| !(usize::from(least)..=usize::from(most)).contains(&length)) {
            Err(rule::NUMBER_LENGTH)
        } else if self.characters.is_some_and(|characters| !number.chars().all(|c| characters.have(c))) {
            Err(rule::NUMBER_CHARACTERS)
        } else if self.pattern.as_deref().is_some_and(|pattern| !fits(pattern, &number)) {
            Err(rule::NUMBER_PATTERN)
        } else if self.check.is_some_and(|check| !check.is_right(&number)) {
            Err(rule::NUMBER_CHECK)
        } else {
            Ok(number)
        }
    }

    /// Whether any number has this form. The error says which two of its parts exclude each other.
    pub(super) fn check_itself(&self) -> Result<(), &'static str> {
        let (least, most) = self.length.unwrap_or((0, u8::MAX));
        if self.pad.is_some_and(|digits| digits > most) {
            return Err("a number that is padded to that many digits can never have the stated length");
        }
        let pattern = self.pattern.as_deref().unwrap_or_default();
        let of_pattern = pattern.chars().count();
        if self.pattern.is_some() && !(usize::from(least)..=usize::from(most)).contains(&of_pattern) {
            return Err("a number of that pattern can never have the stated length");
        }
        let Some(characters) = self.characters else { return Ok(()) };
        if !pattern.chars().all(|form| characters.can_be(form)) {
            return Err("a number of that pattern can never have only the stated characters");
        }
        if characters == Characters::Letters && (self.check.is_some() || self.pad.is_some()) {
            return Err("letters can never have a check digit or leading zeros");
        }
        Ok(())
    }

    fn padded<'a>(&self, number: &'a str) -> Cow<'a, str> {
        match self.pad.map(usize::from) {
            Some(digits) if number.len() < digits && number.bytes().all(|octet| octet.is_ascii_digit()) => {
                Cow::Owned(format!("{number:0>digits$}"))
            }
            _ => Cow::Borrowed(number),
        }
    }
}

impl Characters {
    /// All values with their names in profiles.
    pub(super) const NAMES: [(Self, &'static str); 3] =
        [(Self::Digits, "digits"), (Self::Letters, "letters"), (Self::LettersAndDigits, "letters-digits")];

    fn have(self, c: char) -> bool {
        match self {
            Self::Digits => c.is_ascii_digit(),
            Self::Letters => c.is_ascii_alphabetic(),
            Self::LettersAndDigits => c.is_ascii_alphanumeric(),
        }
    }

    /// Whether a character of a pattern can stand for one of these.
    fn can_be(self, form: char) -> bool {
        match form {
            'A' => self != Self::Digits,
            '9' => self != Self::Letters,
            'X' => true,
            form => self.have(form),
        }
    }
}

fn fits(pattern: &str, number: &str) -> bool {
    let is_one = |(form, c): (char, char)| match form {
        'A' => c.is_ascii_alphabetic(),
        '9' => c.is_ascii_digit(),
        'X' => c.is_ascii_alphanumeric(),
        form => form == c,
    };
    pattern.chars().count() == number.chars().count() && pattern.chars().zip(number.chars()).all(is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_another_form_are_found() {
        let shape = |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            crate::SourceProfile::parse("registrar", &lines).unwrap().number
        };
        for (lines, number, expect) in [
            (&["number pattern AAAA99999999"][..], "TREM29020401", Ok("TREM29020401")),
            (&["number pattern AAAA99999999"], "TREM2902040", Err("number.pattern")),
            (&["number pattern AAAA99999999"], "TR3M29020401", Err("number.pattern")),
            (&["number length 7-9"], "123456", Err("number.length")),
            (&["number length 7-9"], "123456789", Ok("123456789")),
            (&["number length 8"], "77", Err("number.length")),
            (&["number length 8", "number pad 8"], "77", Ok("00000077")),
            (&["number length 8", "number pad 8"], "A7", Err("number.length")),
            (&["number characters digits"], "12a", Err("number.characters")),
            (&["number characters letters-digits"], "12-a", Err("number.characters")),
            (&["number check luhn"], "79927398713", Ok("79927398713")),
            (&["number check luhn"], "79927398731", Err("number.check-digit")),
            (&[], "anything", Ok("anything")),
        ] {
            let checked = shape(lines).check(number).map(Cow::into_owned).map_err(|rule| rule.id);
            assert_eq!(checked, expect.map(str::to_owned), "{lines:?} {number}");
        }
    }
}
