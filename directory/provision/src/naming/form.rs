//! The local parts that a pattern gives for a name, in the order in which they are tried.

use std::fmt::Write as _;

use provost_policy::{NamePattern, NamingRules, PatternPart};

use super::{FoldedName, NameConflict, shorten};

/// A local part with the place of the number that tells people of one name apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NameForm {
    before: String,
    after: String,
    /// Digits of a number that is always there; `None` where the first person has none.
    digits: Option<u8>,
    octets_max: usize,
}

/// The forms of a name, in the order of their patterns, whether they may be given or not. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameForms {
    pub(super) first: NameForm,
    otherwise: Vec<NameForm>,
}

/// The forms of a name that may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsableForms {
    /// The form that takes a number.
    pub(crate) first: NameForm,
    /// What is tried between the first form and its numbers.
    pub(crate) otherwise: Vec<NameForm>,
    /// What the first pattern gives, where nobody may have it, with the reason.
    pub(crate) refused: Option<(String, NameConflict)>,
}

impl NameForm {
    fn of(pattern: &NamePattern, name: &FoldedName<'_>, login: Option<&str>) -> Self {
        let octets_max = name.policy().rules.octets_max;
        let (mut before, mut after) = (String::new(), String::new());
        let (mut digits, mut is_after) = (None, false);
        for part in pattern.parts() {
            let text = if is_after { &mut after } else { &mut before };
            match part {
                PatternPart::Text(literal) => text.push_str(literal),
                PatternPart::Element(element, letters) => {
                    let whole = name.element(*element, login);
                    let cut = letters.and_then(|letters| whole.get(..letters.into())).unwrap_or(&whole);
                    text.push_str(cut.trim_matches(['-', '.', '_']));
                }
                PatternPart::Counter(width) => (digits, is_after) = (*width, true),
            }
        }
        if !is_after {
            before = tidied(&before);
            return Self { before: shorten(&before, octets_max).to_owned(), after, digits, octets_max };
        }
        Self { before: tidied_begin(&before), after: tidied_end(&after), digits, octets_max }
    }

    /// The local part with a number: for a form without digits of its own, without a number for 1, then with 2, 3, and
    /// so on. At most `octets_max` octets; what stands before the number is cut.
    pub(crate) fn numbered(&self, number: u32) -> String {
        let digits = match self.digits {
            Some(width) => format!("{number:0width$}", width = usize::from(width)),
            None if number <= 1 => String::new(),
            None => number.to_string(),
        };
        let room = self.octets_max.saturating_sub(digits.len() + self.after.len());
        let mut local = shorten(&self.before, room).to_owned();
        let _ = write!(local, "{digits}{}", self.after);
        if digits.is_empty() { tidied(&local) } else { local }
    }

    /// Whether [`NameForm::numbered`] gives `local` for some number.
    pub(crate) fn gives(&self, local: &str) -> bool {
        if local == self.numbered(1) {
            return true;
        }
        let Some(head) = local.strip_suffix(&self.after) else { return false };
        let digits = head.len() - head.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        // Any split of the trailing digits can be the number: the text before it may end in a digit.
        (1..=digits)
            .filter_map(|length| head.get(head.len() - length..)?.parse().ok())
            .any(|number: u32| number > 0 && self.numbered(number) == local)
    }
}

impl NameForms {
    /// The forms of several patterns. A pattern of which nothing is left is passed over; `None` when that is so for all
    /// of them.
    pub(super) fn of<'p>(
        patterns: impl Iterator<Item = &'p NamePattern>,
        name: &FoldedName<'_>,
        login: Option<&str>,
    ) -> Option<Self> {
        let forms = patterns.map(|pattern| NameForm::of(pattern, name, login));
        let mut forms = forms.filter(|form| form.numbered(1).bytes().any(|b| b.is_ascii_alphanumeric()));
        Some(Self { first: forms.next()?, otherwise: forms.collect() })
    }

    /// The first local part without a number.
    pub(crate) fn base(&self) -> String {
        self.first.numbered(1)
    }

    /// Whether a local part is one of these names, with or without a number.
    pub(crate) fn gives(&self, local: &str) -> bool {
        self.first.gives(local) || self.otherwise.iter().any(|form| form.numbered(1) == local)
    }

    /// The forms that may be given. When none may, the whole name is taken, and at last the person's number, so that
    /// nobody goes without an account.
    pub(crate) fn usable(&self, name: &FoldedName<'_>) -> UsableForms {
        let objection = |form: &NameForm| lasting_objection(form, name);
        let refused = objection(&self.first).map(|why| (self.base(), why));
        let forms = [&self.first].into_iter().chain(&self.otherwise);
        let mut usable = forms.filter(|form| objection(form).is_none()).cloned();
        let first = usable.next().unwrap_or_else(|| last_resort(name));
        UsableForms { first, otherwise: usable.collect(), refused }
    }
}

/// What takes the place of a name that nobody may have.
pub(super) fn last_resort(name: &FoldedName<'_>) -> NameForm {
    // In the whole name, no word can come about that is not the person's own.
    let whole = NameForm::of(NamingRules::built_in_login(), name, None);
    if lasting_objection(&whole, name).is_none() { whole } else { of_number(name) }
}

/// `person-12345`.
pub(super) fn of_number(name: &FoldedName<'_>) -> NameForm {
    let octets_max = name.policy().rules.octets_max;
    let before = shorten(&format!("person-{}", name.number()), octets_max).to_owned();
    NameForm { before, after: String::new(), digits: None, octets_max }
}

/// Why a form is no good with any number; `None` when it is good with some.
fn lasting_objection(form: &NameForm, name: &FoldedName<'_>) -> Option<NameConflict> {
    let why = name.objection(&form.numbered(1))?;
    match why {
        // With a number, a reserved word is another word, unless the policy minds what looks like it.
        NameConflict::Reserved => name.objection(&form.numbered(2)).and(Some(why)),
        why => Some(why),
    }
}

/// Without separators at the ends, and with one dot where an empty element left several.
fn tidied(text: &str) -> String {
    tidied_end(&tidied_begin(text))
}

fn tidied_begin(text: &str) -> String {
    let text = text.trim_start_matches(['.', '-', '_']);
    let mut tidied = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '.' || !tidied.ends_with('.') {
            tidied.push(c);
        }
    }
    tidied
}

fn tidied_end(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    for c in text.trim_end_matches(['.', '-', '_']).chars() {
        if c != '.' || !tidied.ends_with('.') {
            tidied.push(c);
        }
    }
    tidied
}
