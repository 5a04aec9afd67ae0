//! The end of the group of a class: its address goes into quarantine, and its entry is removed.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use provost_entry::Entry;
use provost_schema::attr;

use super::addresses::{delete, retire};
use crate::ReasonRule;
use crate::calendar::last_second;
use crate::plan::{ChangeKind, PersonChange, Reason};

/// The group of a class whose time is over.
pub(crate) struct EndedClass<'a> {
    /// The entry of the group.
    pub(crate) group: &'a Entry,
    /// The address entries of its list.
    pub(crate) addresses: &'a [Entry],
    /// Days for which nobody else gets the addresses; 0 frees them at once.
    pub(crate) quarantine_days: u32,
}

impl EndedClass<'_> {
    /// The change that drops the group. The addresses come first: they never name a group that is gone.
    pub(crate) fn change(&self, now: Timestamp, zone: &TimeZone) -> PersonChange {
        let until = last_second(now, self.quarantine_days, zone);
        let retired = self.addresses.iter().map(|address| match self.quarantine_days {
            0 => delete(address),
            _ => retire(address, until.as_deref(), ReasonRule::ClassEnded),
        });
        let writes = retired.chain([delete(self.group)]).collect();
        let name = self.group.first(attr::CN).unwrap_or_else(|| self.group.dn.as_str());
        let reason = Reason { rule: ReasonRule::ClassEnded, words: "the term of the class is over".to_owned() };
        PersonChange { source: 0, line: 0, what: format!("class {name} ends"), kind: ChangeKind::Class, reason, writes }
    }
}

#[cfg(test)]
mod tests {
    use provost_entry::Dn;

    use super::*;
    use crate::tree;

    #[test]
    fn the_address_of_an_ended_class_is_quarantined_before_the_group_goes() {
        let suffix = Dn::parse("dc=example,dc=edu").unwrap();
        let group = Entry::new(tree::group(&suffix, "phy101")).with(attr::CN, "phy101");
        let address = Entry::new(tree::address(&suffix, "phy101@example.edu"))
            .with(attr::PROVOST_ADDRESS, "phy101@example.edu")
            .with(attr::PROVOST_ADDRESS_KIND, "list");
        let ended = EndedClass { group: &group, addresses: std::slice::from_ref(&address), quarantine_days: 30 };
        let change = ended.change("2027-01-02T12:00:00Z".parse().unwrap(), &TimeZone::UTC);
        assert_eq!(change.what, "class phy101 ends");
        let written: Vec<String> = change.writes.iter().map(ToString::to_string).collect();
        assert_eq!(
            written,
            [
                "modify address provostAddress=phy101@example.edu,ou=addresses,dc=example,dc=edu; \
                 provostAddressKind: list -> quarantined [class.ended]; \
                 provostUntil: none -> 20270201235959Z [class.ended]",
                "delete cn=phy101,ou=groups,dc=example,dc=edu",
            ]
        );
    }
}
