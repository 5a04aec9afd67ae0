//! Sets and clears the forwarding of a person: addresses with a first and a last day.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use provost_entry::{Address, AttributeDescription, Entry, Modification};
use provost_schema::attr;
use serde_json::json;

use super::{ChangeTarget, Desk, DeskError, ReadPurpose};
use crate::calendar::{day_begins, day_ends, day_of};
use crate::manual_origin::set_by_hand;
use crate::{Permission, Principal};

/// Maximum number of addresses of a forwarding, which is also what the mail core reads.
const ADDRESSES_MAX: usize = 10;
/// mailDeliveryOption: mail goes on to the forwarding addresses.
const FORWARD: &str = "forward";
/// mailDeliveryOption: mail is delivered to the mailbox.
const MAILBOX: &str = "mailbox";

/// A forwarding, with days as a person states them.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ForwardingChange {
    /// The addresses to which mail goes on, one to ten.
    pub to: Vec<String>,
    /// First day, `YYYY-MM-DD`, from midnight in the site's time zone; `None` begins now.
    pub start: Option<Date>,
    /// Last day, `YYYY-MM-DD`, inclusive; `None` has no end.
    pub end: Option<Date>,
    /// Whether the mailbox gets a copy of each message.
    pub keep_copy: bool,
}

impl Desk {
    /// Sets the forwarding and replaces an existing one. No file changes it from then on. Returns the audit id.
    pub async fn set_forwarding(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        change: ForwardingChange,
        now: Timestamp,
    ) -> Result<String, DeskError> {
        let person = self.target(principal, Permission::SetForwarding, &target.into()).await?;
        let zone = self.settings.get().time_zone;
        let entries = self.addresses_of(person.dn(), ReadPurpose::Change).await?;
        let of_entries = entries.iter().filter_map(|entry| entry.first(attr::PROVOST_ADDRESS));
        let own = person.entry.texts(attr::MAIL).chain(person.entry.texts(attr::MAIL_LOCAL_ADDRESS)).chain(of_entries);
        let change = checked(change, own, &zone)?;
        let detail = json!({ "before": of_entry(&person.entry, &zone), "after": change });
        let mut changes = modifications(Some(&change), &zone);
        changes.push(set_by_hand(&person.entry, attr::MAIL_FORWARDING_ADDRESS, (now, None), principal.actor()));
        self.change(principal.actor(), "forwarding.set", &person, changes, detail).await
    }

    /// Clears the forwarding. No file sets one from then on. Returns the audit id.
    pub async fn clear_forwarding(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        now: Timestamp,
    ) -> Result<String, DeskError> {
        let person = self.target(principal, Permission::SetForwarding, &target.into()).await?;
        let zone = self.settings.get().time_zone;
        let detail = json!({ "before": of_entry(&person.entry, &zone), "after": null });
        let mut changes = modifications(None, &zone);
        changes.push(set_by_hand(&person.entry, attr::MAIL_FORWARDING_ADDRESS, (now, None), principal.actor()));
        self.change(principal.actor(), "forwarding.clear", &person, changes, detail).await
    }
}

/// The forwarding in the form that is stored. `own` are the person's addresses: a forwarding to one of them would send
/// each message in a circle.
fn checked<'a>(
    change: ForwardingChange,
    own: impl Iterator<Item = &'a str>,
    zone: &TimeZone,
) -> Result<ForwardingChange, DeskError> {
    let invalid = |field, rule: String| Err(DeskError::Invalid { field, rule });
    let own: Vec<String> = own.map(str::to_lowercase).collect();
    let mut to: Vec<String> = Vec::new();
    for text in change.to.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        match Address::parse(text) {
            Ok(address) if !address.domain().contains('.') => {
                return invalid("to", format!("{address}: the domain has no dot"));
            }
            Ok(address) if own.contains(&address.as_str().to_lowercase()) => {
                return invalid("to", format!("{address} is an address of this person"));
            }
            Ok(address) if to.iter().any(|known| known.eq_ignore_ascii_case(address.as_str())) => {}
            Ok(address) => to.push(address.as_str().to_owned()),
            Err(_) => return invalid("to", "an address such as zoe@example.net is needed".to_owned()),
        }
    }
    if to.is_empty() || to.len() > ADDRESSES_MAX {
        return invalid("to", format!("1 to {ADDRESSES_MAX} addresses"));
    }
    if let (Some(start), Some(end)) = (change.start, change.end)
        && end < start
    {
        return invalid("end", "the end is before the start".to_owned());
    }
    if change.start.is_some_and(|day| day_begins(zone, day).is_none()) {
        return invalid("start", "not a day that can be stored".to_owned());
    }
    if change.end.is_some_and(|day| day_ends(zone, day).is_none()) {
        return invalid("end", "not a day that can be stored".to_owned());
    }
    Ok(ForwardingChange { to, ..change })
}

/// The modifications that store a forwarding, or clear the stored one.
fn modifications(change: Option<&ForwardingChange>, zone: &TimeZone) -> Vec<Modification> {
    let set = |name, values: Vec<String>| {
        let values = values.into_iter().map(String::into_bytes).collect();
        Modification::replace(AttributeDescription::of(name), values)
    };
    let begins = change.and_then(|change| change.start).and_then(|day| day_begins(zone, day));
    let ends = change.and_then(|change| change.end).and_then(|day| day_ends(zone, day));
    let options = match change {
        Some(change) if change.keep_copy => vec![FORWARD.to_owned(), MAILBOX.to_owned()],
        Some(_) => vec![FORWARD.to_owned()],
        None => Vec::new(),
    };
    vec![
        set(attr::MAIL_FORWARDING_ADDRESS, change.map(|change| change.to.clone()).unwrap_or_default()),
        set(attr::PROVOST_FORWARD_START, begins.into_iter().collect()),
        set(attr::PROVOST_FORWARD_END, ends.into_iter().collect()),
        set(attr::MAIL_DELIVERY_OPTION, options),
    ]
}

/// The forwarding that an entry holds; `None` without an address.
pub(super) fn of_entry(entry: &Entry, zone: &TimeZone) -> Option<ForwardingChange> {
    let mut to: Vec<String> = entry.texts(attr::MAIL_FORWARDING_ADDRESS).map(str::to_owned).collect();
    to.sort_unstable();
    let has = |word: &str| entry.texts(attr::MAIL_DELIVERY_OPTION).any(|option| option.eq_ignore_ascii_case(word));
    let day = |name| entry.first(name).and_then(|time| day_of(zone, time));
    (!to.is_empty()).then(|| ForwardingChange {
        start: day(attr::PROVOST_FORWARD_START),
        end: day(attr::PROVOST_FORWARD_END),
        keep_copy: has(MAILBOX) || !has(FORWARD),
        to,
    })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use provost_entry::Dn;

    use super::*;

    fn forwarding() -> ForwardingChange {
        ForwardingChange {
            to: vec!["zoe@example.net".to_owned()],
            start: Some(date(2027, 1, 1)),
            end: Some(date(2027, 1, 31)),
            keep_copy: true,
        }
    }

    #[test]
    fn a_forwarding_comes_back_as_it_was_set() {
        let zone = TimeZone::get("America/Toronto").unwrap();
        let mut entry = Entry::new(Dn::root());
        for keep_copy in [true, false] {
            let stated = ForwardingChange { keep_copy, ..forwarding() };
            for change in modifications(Some(&stated), &zone) {
                entry.set(change.attribute, change.values);
            }
            assert_eq!(of_entry(&entry, &zone), Some(stated));
        }
        assert_eq!(entry.first(attr::PROVOST_FORWARD_END), Some("20270201045959Z"), "it ends before its last day does");
        for change in modifications(None, &zone) {
            entry.set(change.attribute, change.values);
        }
        assert_eq!((of_entry(&entry, &zone), entry.attributes().count()), (None, 0));
    }

    #[test]
    fn a_forwarding_with_a_wrong_field_is_refused() {
        let with = |edit: fn(&mut ForwardingChange)| {
            let mut change = forwarding();
            edit(&mut change);
            change
        };
        let many = |forwarding: &mut ForwardingChange| {
            forwarding.to = (0..11).map(|n| format!("a{n}@example.net")).collect();
        };
        for (change, field) in [
            (with(|forwarding| forwarding.to.clear()), "to"),
            (with(|forwarding| forwarding.to.push("nobody".into())), "to"),
            (with(|forwarding| forwarding.to.push("root@localhost".into())), "to"),
            (with(|forwarding| forwarding.to.push("Zoe.Tremblay@Example.edu".into())), "to"),
            (with(many), "to"),
            (with(|forwarding| forwarding.end = Some(date(2026, 12, 31))), "end"),
            (with(|forwarding| forwarding.start = Some(date(-9999, 1, 1))), "start"),
        ] {
            match checked(change, ["zoe.tremblay@example.edu"].into_iter(), &TimeZone::UTC) {
                Err(DeskError::Invalid { field: refused, .. }) => assert_eq!(refused, field),
                other => panic!("{field}: {other:?}"),
            }
        }
        let twice = with(|forwarding| forwarding.to.push(" ZOE@example.net ".into()));
        assert_eq!(checked(twice, std::iter::empty(), &TimeZone::UTC).unwrap().to, ["zoe@example.net"]);
    }
}
