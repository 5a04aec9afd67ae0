//! The end of addresses: an address whose time is over goes from its owner into quarantine, and from quarantine it
//! becomes free.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use provost_entry::time::parse_generalized;
use provost_entry::{Dn, Entry};
use provost_policy::PolicySet;
use provost_schema::attr;

use crate::ReasonRule;
use crate::attribute_change::AttributeChange;
use crate::calendar::last_second;
use crate::plan::{ChangeKind, PersonChange, Reason};
use crate::write::{QUARANTINED, Write, WriteKind};

/// Kinds of addresses that end for their owner. A primary address, a role and a list do not.
const ENDING: [&str; 2] = ["alias", "retained"];

/// The attributes of an owner that the end of their addresses needs.
pub(crate) const OWNER_ATTRIBUTES: [&str; 7] = [
    attr::MAIL,
    attr::MAIL_LOCAL_ADDRESS,
    attr::EDU_PERSON_PRIMARY_AFFILIATION,
    attr::EDU_PERSON_AFFILIATION,
    attr::PROVOST_PROGRAM,
    attr::PROVOST_LAST_BATCH,
    attr::ENTRY_CSN,
];

/// What the end of an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressEnd {
    /// It is taken from its owner.
    OfOwnership,
    /// Its quarantine is over.
    OfQuarantine,
}

impl AddressEnd {
    /// The end that an address entry has reached at `now`; `None` when there is none.
    pub(crate) fn of(entry: &Entry, now: Timestamp) -> Option<Self> {
        let kind = entry.first(attr::PROVOST_ADDRESS_KIND)?.to_ascii_lowercase();
        let until = entry.first(attr::PROVOST_UNTIL).and_then(parse_generalized)?;
        match kind.as_str() {
            _ if until > now => None,
            QUARANTINED => Some(Self::OfQuarantine),
            kind if ENDING.contains(&kind) => Some(Self::OfOwnership),
            _ => None,
        }
    }
}

/// The days for which nobody else gets an address of a person: those of their naming policy, else of the setting.
pub(crate) fn quarantine_days(policies: &PolicySet, owner: &Entry, now: Timestamp, setting: u16) -> u32 {
    let affiliation =
        owner.first(attr::EDU_PERSON_PRIMARY_AFFILIATION).or_else(|| owner.first(attr::EDU_PERSON_AFFILIATION));
    let rules = policies.naming_in_force(affiliation.unwrap_or_default(), owner.first(attr::PROVOST_PROGRAM), now);
    rules.and_then(|rules| rules.quarantine_days).unwrap_or_else(|| setting.into())
}

/// Addresses of one owner that end together.
pub(crate) struct EndedAddresses<'a> {
    /// The owner's entry, with [`OWNER_ATTRIBUTES`]; `None` when it is gone.
    pub(crate) owner: Option<&'a Entry>,
    /// The address entries.
    pub(crate) addresses: &'a [Entry],
    /// Days for which nobody else gets them; 0 frees them at once.
    pub(crate) quarantine_days: u32,
}

impl EndedAddresses<'_> {
    /// The change that takes the addresses from their owner; `None` when nothing is to be done. The owner's entry comes
    /// first: until the address entry has changed as well, nobody else can get the address. An address that has become
    /// the owner's primary one stays.
    pub(crate) fn change(&self, now: Timestamp, zone: &TimeZone) -> Option<PersonChange> {
        let primary = self.owner.and_then(|owner| owner.first(attr::MAIL)).unwrap_or_default();
        let ended: Vec<(&Entry, &str)> = self
            .addresses
            .iter()
            .filter_map(|entry| Some((entry, entry.first(attr::PROVOST_ADDRESS)?)))
            .filter(|(_, address)| !address.eq_ignore_ascii_case(primary))
            .collect();
        let names: Vec<&str> = ended.iter().map(|(_, address)| *address).collect();
        let mut writes: Vec<Write> = self.owner.and_then(|owner| without(owner, &names)).into_iter().collect();
        let until = last_second(now, self.quarantine_days, zone);
        writes.extend(ended.iter().map(|(entry, _)| match self.quarantine_days {
            0 => delete(entry),
            _ => retire(entry, until.as_deref(), ReasonRule::AddressEnded),
        }));
        let label = if primary.is_empty() { String::new() } else { format!("{primary}: ") };
        let days = self.quarantine_days;
        let words = match days {
            0 => "the time of the address is over".to_owned(),
            days => format!("the time of the address is over; nobody else gets it for {days} days"),
        };
        let reason = Reason { rule: ReasonRule::AddressEnded, words };
        let what = format!("{label}{} ends", names.join(", "));
        let kind = ChangeKind::Address;
        (!ended.is_empty()).then_some(PersonChange { source: 0, line: 0, what, kind, reason, writes })
    }
}

/// The write that puts an address into quarantine.
pub(super) fn retire(address: &Entry, until: Option<&str>, rule: ReasonRule) -> Write {
    let attributes = vec![
        set(address, attr::PROVOST_ADDRESS_KIND, vec![QUARANTINED.to_owned()], rule),
        set(address, attr::PROVOST_UNTIL, until.map(str::to_owned).into_iter().collect(), rule),
    ];
    let last_batch = address.first(attr::PROVOST_LAST_BATCH).map(Into::into);
    Write { last_batch, ..Write::new(address.dn.clone(), WriteKind::ModifyAddress, attributes) }
}

/// The change that frees an address whose quarantine is over.
pub(crate) fn freed(address: &Entry) -> PersonChange {
    let name = address.first(attr::PROVOST_ADDRESS).unwrap_or_else(|| address.dn.as_str());
    let words = "its quarantine is over".to_owned();
    PersonChange {
        source: 0,
        line: 0,
        what: format!("{name} is free"),
        kind: ChangeKind::Address,
        reason: Reason { rule: ReasonRule::QuarantineEnded, words },
        writes: vec![delete(address)],
    }
}

/// The write that removes addresses from mailLocalAddress; `None` when the person has none of them there.
fn without(owner: &Entry, addresses: &[&str]) -> Option<Write> {
    let is_ended = |value: &&str| addresses.iter().any(|address| address.eq_ignore_ascii_case(value));
    let held: Vec<&str> = owner.texts(attr::MAIL_LOCAL_ADDRESS).collect();
    let kept: Vec<String> = held.iter().filter(|value| !is_ended(value)).map(|value| (*value).to_owned()).collect();
    let change = set(owner, attr::MAIL_LOCAL_ADDRESS, kept, ReasonRule::AddressEnded);
    let action = WriteKind::ModifyPerson { csn: owner.first(attr::ENTRY_CSN).map(Into::into) };
    let last_batch = owner.first(attr::PROVOST_LAST_BATCH).map(Into::into);
    let write = Write { last_batch, ..Write::new(owner.dn.clone(), action, vec![change]) };
    held.iter().any(is_ended).then_some(write)
}

/// The write that deletes an entry.
pub(super) fn delete(entry: &Entry) -> Write {
    let csn = entry.first(attr::ENTRY_CSN).map(Into::into);
    Write::new(entry.dn.clone(), WriteKind::Delete { csn }, Vec::new())
}

fn set(entry: &Entry, name: &'static str, after: Vec<String>, rule: ReasonRule) -> AttributeChange {
    AttributeChange::set(name, entry.texts(name).map(str::to_owned).collect(), after, rule)
}

/// The owner that an address entry names.
pub(crate) fn owner_of(address: &Entry) -> Option<Dn> {
    address.first(attr::PROVOST_OWNER).and_then(|owner| Dn::parse(owner).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    fn address(name: &str, kind: &str, until: Option<&str>) -> Entry {
        let entry = Entry::new(tree::address(&Dn::parse("dc=example,dc=edu").unwrap(), name))
            .with(attr::PROVOST_ADDRESS, name)
            .with(attr::PROVOST_ADDRESS_KIND, kind);
        until.into_iter().fold(entry, |entry, until| entry.with(attr::PROVOST_UNTIL, until))
    }

    fn now() -> Timestamp {
        "2027-03-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn only_addresses_that_may_end_do_end() {
        let (past, future) = (Some("20270301115959Z"), Some("20270301120001Z"));
        for (kind, until, expect) in [
            ("retained", past, Some(AddressEnd::OfOwnership)),
            ("Alias", past, Some(AddressEnd::OfOwnership)),
            ("quarantined", past, Some(AddressEnd::OfQuarantine)),
            ("quarantined", future, None),
            // A quarantine without an end never ends.
            ("quarantined", None, None),
            ("retained", future, None),
            ("alias", None, None),
            ("primary", past, None),
            ("role", past, None),
            ("list", past, None),
        ] {
            assert_eq!(AddressEnd::of(&address("a@example.edu", kind, until), now()), expect, "{kind} {until:?}");
        }
    }

    #[test]
    fn an_ended_address_goes_from_the_owner_into_quarantine_and_then_becomes_free() {
        let owner = Entry::new(Dn::parse("uid=ann").unwrap())
            .with(attr::MAIL, "ann.abe@example.edu")
            .with(attr::MAIL_LOCAL_ADDRESS, "ann.abe@example.edu")
            .with(attr::MAIL_LOCAL_ADDRESS, "Ann.Roy@example.edu");
        let old = [address("ann.roy@example.edu", "retained", Some("20270228235959Z"))];
        let ended = EndedAddresses { owner: Some(&owner), addresses: &old, quarantine_days: 30 };
        let change = ended.change(now(), &TimeZone::UTC).unwrap();
        assert_eq!(change.what, "ann.abe@example.edu: ann.roy@example.edu ends");
        let written: Vec<String> = change.writes.iter().map(ToString::to_string).collect();
        assert_eq!(
            written,
            [
                "modify person uid=ann; mailLocalAddress: ann.abe@example.edu, Ann.Roy@example.edu -> \
                 ann.abe@example.edu [address.ended]",
                "modify address provostAddress=ann.roy@example.edu,ou=addresses,dc=example,dc=edu; \
                 provostAddressKind: retained -> quarantined [address.ended]; \
                 provostUntil: 20270228235959Z -> 20270331235959Z [address.ended]",
            ]
        );
        let at_once = EndedAddresses { quarantine_days: 0, ..ended }.change(now(), &TimeZone::UTC).unwrap();
        assert!(matches!(at_once.writes[1].action, WriteKind::Delete { .. }));
        // What has become the primary address since stays.
        let primary = [address("ann.abe@example.edu", "alias", Some("20270228235959Z"))];
        let stays = EndedAddresses { owner: Some(&owner), addresses: &primary, quarantine_days: 30 };
        assert_eq!(stays.change(now(), &TimeZone::UTC), None);
        assert_eq!(freed(&old[0]).what, "ann.roy@example.edu is free");
    }
}
