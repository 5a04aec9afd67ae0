//! Check digits of numbers.

/// Rule by which the last characters of a number are made from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckDigit {
    /// Luhn's rule (ISO/IEC 7812-1 annex B).
    Luhn,
    /// ISO 7064 MOD 11-2: the last character is a digit or `X`.
    Mod11,
    /// ISO 7064 MOD 97-10: the last two digits.
    Mod97,
}

impl CheckDigit {
    /// All rules with their names in profiles.
    pub(super) const NAMES: [(Self, &'static str); 3] =
        [(Self::Luhn, "luhn"), (Self::Mod11, "mod11-2"), (Self::Mod97, "mod97-10")];

    /// Whether the check digit is right. Letters do not count; a number without digits is wrong.
    pub(super) fn is_right(self, number: &str) -> bool {
        let digits: Vec<u32> = number.chars().filter_map(|c| c.to_digit(10)).collect();
        match self {
            Self::Luhn => !digits.is_empty() && luhn(&digits).is_multiple_of(10),
            Self::Mod97 => digits.len() > 2 && digits.iter().fold(0, |sum, digit| (sum * 10 + digit) % 97) == 1,
            Self::Mod11 => {
                let check = if number.ends_with(['X', 'x']) { Some(10) } else { None };
                let all = digits.iter().copied().chain(check);
                digits.len() > 1 && all.fold(0, |sum, digit| (sum * 2 + digit) % 11) == 1
            }
        }
    }
}

fn luhn(digits: &[u32]) -> u32 {
    let weigh = |(place, digit): (usize, &u32)| match digit * 2 {
        _ if place.is_multiple_of(2) => *digit,
        twice if twice > 9 => twice - 9,
        twice => twice,
    };
    digits.iter().rev().enumerate().map(weigh).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_digit_makes_a_number_wrong() {
        for (rule, good, bad) in [
            (CheckDigit::Luhn, "79927398713", "79927398710"),
            (CheckDigit::Luhn, "A79927398713", "A97927398713"),
            // The example of ISO 7064: ISNI and ORCID use this rule.
            (CheckDigit::Mod11, "0000000218250097", "0000000218250079"),
            (CheckDigit::Mod11, "000000021694233X", "0000000216942330"),
            (CheckDigit::Mod97, "79444", "79454"),
            (CheckDigit::Luhn, "0", ""),
        ] {
            assert!(rule.is_right(good) && !rule.is_right(bad), "{rule:?} {good} {bad}");
        }
    }
}
