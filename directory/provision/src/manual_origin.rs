//! Values that a hand has set, and which therefore no file and no policy changes: `provostOrigin`.

use jiff::Timestamp;
use provost_entry::time::{format_generalized, parse_generalized};
use provost_entry::{AttributeDescription, Entry, Modification};
use provost_schema::attr;

use crate::Actor;

/// Maximum number of values of provostOrigin that are read of a person.
const ORIGINS_MAX: usize = 256;

/// A value of provostOrigin: `ATTRIBUTE SINCE UNTIL ACTOR`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ManualOrigin {
    /// The attribute that was set. Of attributes that belong together, the chief one: `mailForwardingAddress` also stands
    /// for the dates of the forwarding.
    pub attribute: String,
    /// When it was set.
    pub since: Option<Timestamp>,
    /// When files and policies decide again; `None` is never.
    pub until: Option<Timestamp>,
    /// Who set it.
    pub actor: String,
}

impl ManualOrigin {
    /// Reads a value. A time that cannot be read counts as unstated: the hand's value then stays.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_whitespace();
        let attribute = words.next()?.to_owned();
        let mut moment = || words.next().and_then(parse_generalized);
        let (since, until) = (moment(), moment());
        Some(Self { attribute, since, until, actor: words.collect::<Vec<_>>().join(" ") })
    }

    /// All values of an entry that still hold at `now`, by attribute.
    pub(crate) fn all_of(entry: &Entry, now: Timestamp) -> Vec<Self> {
        let values = entry.texts(attr::PROVOST_ORIGIN).take(ORIGINS_MAX).filter_map(Self::parse);
        let mut origins: Vec<Self> = values.filter(|origin| origin.holds_at(now)).collect();
        origins.sort_by(|one, other| (&one.attribute, one.since).cmp(&(&other.attribute, other.since)));
        origins
    }

    fn holds_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now <= until)
    }

    fn value(&self) -> String {
        let moment = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), format_generalized);
        format!("{} {} {} {}", self.attribute, moment(self.since), moment(self.until), self.actor)
    }
}

/// Whether a hand has set the attribute, and its value holds at `now`.
pub(crate) fn is_held_by_hand(entry: &Entry, attribute: &str, now: Timestamp) -> bool {
    let mut origins = entry.texts(attr::PROVOST_ORIGIN).take(ORIGINS_MAX).filter_map(ManualOrigin::parse);
    origins.any(|origin| origin.attribute.eq_ignore_ascii_case(attribute) && origin.holds_at(now))
}

/// The modification after which `actor` has set `attribute` at `now`, until `until`.
pub(crate) fn set_by_hand(
    entry: &Entry,
    attribute: &str,
    (now, until): (Timestamp, Option<Timestamp>),
    actor: &Actor,
) -> Modification {
    let origin = ManualOrigin { attribute: attribute.to_owned(), since: Some(now), until, actor: actor_word(actor) };
    replaced(entry, attribute, Some(origin.value()))
}

/// The modification after which no hand has set `attribute`: files and policies decide again.
pub(crate) fn given_back(entry: &Entry, attribute: &str) -> Modification {
    replaced(entry, attribute, None)
}

fn replaced(entry: &Entry, attribute: &str, new: Option<String>) -> Modification {
    let is_other = |value: &&str| {
        ManualOrigin::parse(value).is_none_or(|origin| !origin.attribute.eq_ignore_ascii_case(attribute))
    };
    let others = entry.texts(attr::PROVOST_ORIGIN).filter(is_other).map(str::to_owned);
    let values = others.chain(new).map(String::into_bytes).collect();
    Modification::replace(AttributeDescription::of(attr::PROVOST_ORIGIN), values)
}

/// The actor as one word, as values with several words need it.
pub(crate) fn actor_word(actor: &Actor) -> String {
    actor.name.replace(char::is_whitespace, "_")
}

#[cfg(test)]
mod tests {
    use provost_entry::Dn;

    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn a_value_is_held_until_its_end_and_replaced_by_the_next_hand() {
        let mut entry = Entry::new(Dn::root())
            .with(attr::PROVOST_ORIGIN, "provostquotaclass 20260101000000Z 20261231235959Z cli:root")
            .with(attr::PROVOST_ORIGIN, "mailAutoReplyMode 20260101000000Z - zoe");
        let held = |entry: &Entry, time| is_held_by_hand(entry, attr::PROVOST_QUOTA_CLASS, at(time));
        assert!(held(&entry, "2026-06-01T00:00:00Z") && !held(&entry, "2027-01-01T00:00:00Z"));
        let actor = Actor { name: "token:the desk".to_owned(), via: "api" };
        let moments = (at("2026-07-01T00:00:00Z"), None);
        let change = set_by_hand(&entry, attr::PROVOST_QUOTA_CLASS, moments, &actor);
        entry.set(change.attribute, change.values);
        assert!(held(&entry, "2027-01-01T00:00:00Z"));
        let origins = ManualOrigin::all_of(&entry, at("2027-01-01T00:00:00Z"));
        let words: Vec<String> = origins.iter().map(ManualOrigin::value).collect();
        assert_eq!(
            words,
            ["mailAutoReplyMode 20260101000000Z - zoe", "provostQuotaClass 20260701000000Z - token:the_desk"]
        );
        let change = given_back(&entry, attr::PROVOST_QUOTA_CLASS);
        entry.set(change.attribute, change.values);
        assert!(!held(&entry, "2026-06-01T00:00:00Z") && entry.values(attr::PROVOST_ORIGIN).len() == 1);
    }

    proptest::proptest! {
        #[test]
        fn any_value_is_read_without_a_panic(value in ".{0,60}") {
            let _ = ManualOrigin::parse(&value).map(|origin| origin.value());
        }
    }
}
