//! The address in the alumni domain, which a naming policy gives to people who become alumni.

use provost_entry::{Address, Dn, Entry};
use provost_policy::AlumniAddress;
use provost_schema::attr;

use crate::ReasonRule;
use crate::attribute_change::AttributeChange;
use crate::manual_origin::is_held_by_hand;
use crate::naming::NamingNote;
use crate::write::{AddressKind, HeldKind, Write};

/// A person who is to get an address in the alumni domain, or whose primary address moves there.
pub(crate) struct DueAlumni {
    /// The person's entry, with the attributes that a run of the lifecycle reads.
    pub(crate) entry: Entry,
    /// Name of the naming policy.
    pub(crate) policy: String,
}

/// Whether something of the alumni address is to be done for a person. A primary address that was set by hand stays.
pub(super) fn is_due(entry: &Entry, alumni: &AlumniAddress, now: jiff::Timestamp) -> bool {
    let Some(domain) = alumni.pattern.domain.as_deref() else { return false };
    let is_primary = entry.first(attr::MAIL).and_then(|mail| Address::parse(mail).ok());
    let is_primary = is_primary.is_some_and(|mail| mail.domain() == domain);
    let moves = alumni.becomes_primary && !is_primary && !is_held_by_hand(entry, attr::MAIL, now);
    held_in(entry, domain).is_none() || moves
}

/// The address of a person in a domain; of several, the shortest.
pub(crate) fn held_in(entry: &Entry, domain: &str) -> Option<Address> {
    let all = entry.texts(attr::MAIL).chain(entry.texts(attr::MAIL_LOCAL_ADDRESS));
    let all = all.filter_map(|text| Address::parse(text).ok()).filter(|address| address.domain() == domain);
    all.min_by_key(|address| (address.as_str().len(), address.clone()))
}

/// What a person gets in the alumni domain.
pub(crate) struct AlumniGrant<'a> {
    pub(crate) person: &'a Entry,
    pub(crate) address: &'a Address,
    /// The entry of the address; `None` when one must be made.
    pub(crate) entry: Option<&'a Entry>,
    /// The entry of the primary address so far.
    pub(crate) former: Option<&'a Entry>,
    pub(crate) becomes_primary: bool,
    /// End of the former primary address; `None` keeps it for good.
    pub(crate) former_until: Option<String>,
    pub(crate) note: NamingNote,
}

/// The writes of a grant: before and after the write of the person, and what changes of the person.
pub(crate) struct AlumniWrites {
    pub(crate) before: Vec<Write>,
    pub(crate) attributes: Vec<AttributeChange>,
    pub(crate) after: Vec<Write>,
}

impl AlumniGrant<'_> {
    /// The writes. The address is there before the person names it, and the former one stays until the person names the
    /// new one, so that each moment is valid.
    pub(crate) fn writes(&self, suffix: &Dn) -> AlumniWrites {
        let rule = ReasonRule::AlumniAddress;
        let kind = if self.becomes_primary { AddressKind::Primary } else { AddressKind::Alias };
        let new = || Write::add_address(suffix, self.address, &self.person.dn, kind, rule).with_note(Some(&self.note));
        let before = match self.entry {
            None => Some(new()),
            Some(entry) => {
                let held = held_kind(entry, self.address.as_str());
                (held.kind != kind.as_str()).then(|| Write::settle(suffix, &held, kind, None, rule))
            }
        };
        let former = self.former.filter(|_| self.becomes_primary).and_then(|entry| {
            let held = held_kind(entry, entry.first(attr::PROVOST_ADDRESS)?);
            let until = self.former_until.as_deref();
            let kind = if until.is_some() { AddressKind::Retained } else { AddressKind::Alias };
            Some(Write::settle(suffix, &held, kind, until, ReasonRule::RetainedAddress))
        });
        AlumniWrites {
            before: before.into_iter().collect(),
            attributes: self.attributes(),
            after: former.into_iter().collect(),
        }
    }

    fn attributes(&self) -> Vec<AttributeChange> {
        let rule = ReasonRule::AlumniAddress;
        let address = self.address.as_str().to_owned();
        let local: Vec<String> = self.person.texts(attr::MAIL_LOCAL_ADDRESS).map(str::to_owned).collect();
        let mail = self.person.first(attr::MAIL).map(str::to_owned);
        let mut missing = vec![address.clone()];
        missing.extend(mail.iter().filter(|_| self.becomes_primary).map(|mail| mail.to_lowercase()));
        missing.retain(|missing| !local.iter().any(|held| held.eq_ignore_ascii_case(missing)));
        let mut changes = Vec::new();
        if !missing.is_empty() {
            changes.push(AttributeChange::add(attr::MAIL_LOCAL_ADDRESS, local, missing, rule));
        }
        if self.becomes_primary && mail.as_deref() != Some(address.as_str()) {
            let (before, after) = (mail.into_iter().collect(), vec![address]);
            changes.push(AttributeChange::set(attr::MAIL, before, after, rule));
        }
        changes
    }
}

fn held_kind<'a>(entry: &'a Entry, address: &'a str) -> HeldKind<'a> {
    HeldKind {
        address,
        kind: entry.first(attr::PROVOST_ADDRESS_KIND).unwrap_or_default(),
        until: entry.first(attr::PROVOST_UNTIL),
        last_batch: entry.first(attr::PROVOST_LAST_BATCH),
    }
}
