//! The attributes of a person that one record decides: the values held by the directory and those wanted by a record.
//! Affiliation, programme and dates are in `wanted/affiliation.rs`, since several sources decide them together.
//!
//! A new CSV column that only becomes an attribute needs one line in [`PERSON_ATTRIBUTES`] and, at the same place, one
//! in [`WantedAttributes::of`].

use std::borrow::Cow;

use provost_schema::attr;

use crate::ReasonRule;
use crate::attribute_change::AttributeChange;
use crate::source::{Column, SourceRecord};

/// Number of attributes that a record decides.
const COUNT: usize = 9;

/// The attributes that a record decides, each with at most one value.
pub(crate) const PERSON_ATTRIBUTES: [&str; COUNT] = [
    attr::GIVEN_NAME,
    attr::SN,
    attr::CN,
    attr::DISPLAY_NAME,
    attr::EMPLOYEE_NUMBER,
    attr::SCHAC_DATE_OF_BIRTH,
    attr::PROVOST_PRIVATE_MAIL,
    attr::PREFERRED_LANGUAGE,
    attr::PROVOST_CHOSEN_NAME,
];
/// Place of the chosen name in [`PERSON_ATTRIBUTES`].
const CHOSEN: usize = COUNT - 1;

/// The values that the directory holds, in the order of [`PERSON_ATTRIBUTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldAttributes<'a> {
    /// The least value of each attribute. Values have no order (RFC 4511 §4.1.7): when another writer has added one,
    /// the comparison takes the least, so that the plan is the same each time.
    least: [Option<&'a str>; COUNT],
    /// All further values with the index of their attribute: rare, and needed to restore the former state.
    others: Vec<(usize, &'a str)>,
}

impl<'a> HeldAttributes<'a> {
    /// Takes the values whose index is that of one of [`PERSON_ATTRIBUTES`].
    pub(crate) fn new(values: impl Iterator<Item = (usize, &'a str)>) -> Self {
        let mut attributes = Self { least: [None; COUNT], others: Vec::new() };
        for (place, value) in values {
            let Some(least) = attributes.least.get_mut(place) else { continue };
            let greater = match *least {
                Some(held) if held <= value => Some(value),
                held => {
                    *least = Some(value);
                    held
                }
            };
            attributes.others.extend(greater.map(|value| (place, value)));
        }
        attributes.others.sort_unstable();
        attributes
    }

    /// The given name by which the person goes.
    pub(crate) fn chosen_name(&self) -> Option<&'a str> {
        self.least.get(CHOSEN).copied().flatten()
    }

    fn all(&self, place: usize, least: Option<&str>) -> Vec<String> {
        let others = self.others.iter().filter(|(other, _)| *other == place).map(|(_, value)| *value);
        least.into_iter().chain(others).map(str::to_owned).collect()
    }
}

/// What a record wants of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordAttribute<'a> {
    /// Exactly this value.
    Value(Cow<'a, str>),
    /// No value: a held one is removed.
    None,
    /// Any value: the record states nothing, so the held one stays.
    Any,
}

/// One wanted value and the rule that leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedValue<'a> {
    /// The value that the record wants.
    pub want: RecordAttribute<'a>,
    /// The rule that produces it; with the person's record and the policies' version, it shows where the value comes
    /// from.
    pub rule: ReasonRule,
}

/// What a record wants of all attributes that it decides, in the order of [`PERSON_ATTRIBUTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedAttributes<'a>([WantedValue<'a>; COUNT]);

impl<'a> WantedAttributes<'a> {
    /// Reads a record. It removes only what it states to have no value: by the profile of its source, a blank cell may
    /// say so. A column that the file does not have, and a field that was left out, change nothing.
    pub(crate) fn of(record: &'a SourceRecord) -> Self {
        let value = |column, value: &'a str| WantedValue::value(Cow::Borrowed(value), ReasonRule::Column(column));
        let chosen = record.more.as_ref().and_then(|more| more.preferred_given_name.as_deref());
        let language = record.more.as_ref().map_or(&None, |more| &more.language);
        let full_name = Cow::from(format!("{} {}", chosen.unwrap_or(&record.given_name), record.family_name));
        let cell = |column, value: Option<Cow<'a, str>>| match value {
            Some(value) => WantedValue::value(value, ReasonRule::Column(column)),
            None if record.cleared.contains(column) => {
                WantedValue { want: RecordAttribute::None, rule: ReasonRule::Blank(column) }
            }
            None => WantedValue { want: RecordAttribute::Any, rule: ReasonRule::Column(column) },
        };
        let text = |column, value: &'a Option<Box<str>>| cell(column, value.as_deref().map(Cow::Borrowed));
        Self([
            value(Column::GivenName, &record.given_name),
            value(Column::FamilyName, &record.family_name),
            WantedValue::value(full_name.clone(), ReasonRule::FullName),
            WantedValue::value(full_name, ReasonRule::FullName),
            value(Column::PersonId, &record.person_id),
            cell(Column::BirthDate, record.birth_digits().map(Cow::Owned)),
            text(Column::PrivateEmail, &record.private_email),
            text(Column::Language, language),
            cell(Column::PreferredGivenName, chosen.map(Cow::Borrowed)),
        ])
    }

    /// Every attribute with its wanted value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &WantedValue<'a>)> {
        PERSON_ATTRIBUTES.into_iter().zip(&self.0)
    }

    /// The attributes of a new person.
    pub(crate) fn of_new_person(&self) -> impl Iterator<Item = AttributeChange> {
        self.iter().filter_map(|(name, wanted)| match &wanted.want {
            RecordAttribute::Value(value) => Some(AttributeChange::new(name, vec![value.to_string()], wanted.rule)),
            RecordAttribute::None | RecordAttribute::Any => None,
        })
    }

    /// Whether a held chosen name stays: the record says nothing of it.
    fn keeps_chosen_name(&self) -> bool {
        self.0.get(CHOSEN).is_some_and(|wanted| wanted.want == RecordAttribute::Any)
    }

    /// The name with a chosen given name.
    fn full_name(&self, chosen: &str) -> Option<RecordAttribute<'a>> {
        let mut wanted = self.iter().filter(|(name, _)| *name == attr::SN);
        match wanted.next().map(|(_, wanted)| &wanted.want) {
            Some(RecordAttribute::Value(family)) => Some(RecordAttribute::Value(format!("{chosen} {family}").into())),
            _ => None,
        }
    }

    /// The changes that bring `held` to the wanted state.
    pub(crate) fn changes(&self, held: &HeldAttributes<'_>) -> Vec<AttributeChange> {
        let mut changes = Vec::new();
        let kept_chosen = held.chosen_name().filter(|_| self.keeps_chosen_name());
        for (place, ((name, wanted), held_value)) in self.iter().zip(&held.least).enumerate() {
            let held_value = *held_value;
            let with_chosen = kept_chosen.filter(|_| [attr::CN, attr::DISPLAY_NAME].contains(&name));
            let of_chosen = with_chosen.and_then(|chosen| self.full_name(chosen));
            let after = match (of_chosen.as_ref().unwrap_or(&wanted.want), held_value) {
                (RecordAttribute::Any, _) | (RecordAttribute::None, None) => continue,
                (RecordAttribute::Value(value), Some(held_value)) if *value == held_value => continue,
                // Equal by the attribute's own rule (caseIgnoreIA5Match).
                (RecordAttribute::Value(value), Some(held_value))
                    if name == attr::PROVOST_PRIVATE_MAIL && value.eq_ignore_ascii_case(held_value) =>
                {
                    continue;
                }
                (RecordAttribute::Value(value), _) => vec![value.to_string()],
                (RecordAttribute::None, Some(_)) => Vec::new(),
            };
            let before = held.all(place, held_value);
            changes.push(AttributeChange::set(name, before, after, wanted.rule));
        }
        changes
    }
}

impl<'a> WantedValue<'a> {
    fn value(value: Cow<'a, str>, rule: ReasonRule) -> Self {
        Self { want: RecordAttribute::Value(value), rule }
    }
}
