//! The purge of a closed account: its addresses go into quarantine, its entry is deleted, a tombstone stays.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use provost_entry::time::format_generalized;
use provost_entry::{Dn, Entry};
use provost_policy::days_after;
use provost_schema::attr;

use crate::attribute_change::AttributeChange;
use crate::plan::{ChangeKind, PersonChange, Reason};
use crate::write::{QUARANTINED, Write, WriteKind};
use crate::{ReasonRule, tree};

/// What the purge of one account is to do.
pub(crate) struct Purge<'a> {
    /// The person's entry.
    pub(crate) person: &'a Entry,
    /// The entries of the person's addresses.
    pub(crate) addresses: &'a [Entry],
    /// Days for which nobody else gets the addresses.
    pub(crate) quarantine_days: u32,
    /// Days until the nodes delete the mail.
    pub(crate) mail_days: u32,
    /// Why, for people.
    pub(crate) words: String,
}

impl Purge<'_> {
    /// The change; `None` for an entry without entryUUID, which names the tombstone.
    ///
    /// The tombstone comes first: it is what makes the nodes delete the mail. The addresses are in quarantine before the
    /// entry is gone, so that at no moment anybody else can get them.
    pub(crate) fn change(self, suffix: &Dn, now: Timestamp, zone: &TimeZone) -> Option<PersonChange> {
        let entry = self.person;
        let account = entry.first(attr::ENTRY_UUID)?;
        let until = |days: u32| days_after(now, days, zone).map(format_generalized);
        let rule = ReasonRule::LifecyclePurge;
        let new = |name, value: String| AttributeChange::new(name, vec![value], rule);
        let tombstone = vec![
            new(attr::CN, account.to_owned()),
            new(attr::PROVOST_SINCE, format_generalized(now)),
            new(attr::PROVOST_UNTIL, until(self.mail_days)?),
        ];
        let dn = tree::tombstones(suffix).child(attr::CN, account);
        let mut writes = vec![Write::new(dn, WriteKind::AddTombstone, tombstone)];
        let quarantine_end = until(self.quarantine_days)?;
        for address in self.addresses {
            writes.push(if self.quarantine_days == 0 {
                Write::new(address.dn.clone(), WriteKind::Delete { csn: csn(address) }, Vec::new())
            } else {
                retire(address, &quarantine_end, rule)
            });
        }
        writes.push(Write::new(entry.dn.clone(), WriteKind::Delete { csn: csn(entry) }, Vec::new()));
        let label = entry.first(attr::MAIL).unwrap_or_else(|| entry.dn.as_str());
        let reason = Reason { rule, words: self.words };
        Some(PersonChange {
            source: 0,
            line: 0,
            what: format!("purge {label}"),
            kind: ChangeKind::Purge,
            reason,
            writes,
        })
    }
}

/// The write that puts an address into quarantine and takes its owner away: the entry of the owner is about to go.
fn retire(address: &Entry, until: &str, rule: ReasonRule) -> Write {
    let held = |name| address.texts(name).map(str::to_owned).collect();
    let set = |name, after| AttributeChange::set(name, held(name), after, rule);
    let attributes = vec![
        set(attr::PROVOST_ADDRESS_KIND, vec![QUARANTINED.to_owned()]),
        set(attr::PROVOST_OWNER, Vec::new()),
        set(attr::PROVOST_UNTIL, vec![until.to_owned()]),
    ];
    let last_batch = address.first(attr::PROVOST_LAST_BATCH).map(Into::into);
    Write { last_batch, ..Write::new(address.dn.clone(), WriteKind::ModifyAddress, attributes) }
}

fn csn(entry: &Entry) -> Option<Box<str>> {
    entry.first(attr::ENTRY_CSN).map(Into::into)
}
