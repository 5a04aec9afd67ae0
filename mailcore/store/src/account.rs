//! An account without its messages: mailboxes, counters, subscriptions. Both engines of the store, in memory
//! and on disk, use it. It reads and writes no storage itself.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use jiff::Timestamp;

use crate::{
    AccountSnapshot, BatchError, Flag, Flags, MailboxId, MailboxInfo, MailboxName, MessageMeta, Modseq, ReadToken,
    SpecialUse, Uid, UidValidity,
};

/// Maximum number of mailboxes of one account: enough for a hierarchy of courses and years, and a listing still fits in
/// memory.
pub(crate) const MAILBOXES_MAX: usize = 10_000;
/// Maximum number of names subscribed in one account, with or without a mailbox: as many as mailboxes, so that every
/// mailbox can be subscribed.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 10_000;

/// The mailboxes of a new account, all subscribed.
const DEFAULT_MAILBOXES: [(&str, Option<SpecialUse>); 5] = [
    ("INBOX", None),
    ("Drafts", Some(SpecialUse::Drafts)),
    ("Sent", Some(SpecialUse::Sent)),
    ("Trash", Some(SpecialUse::Trash)),
    ("Junk", Some(SpecialUse::Junk)),
];

/// Returns the subscriptions of an account that never changed them.
pub(crate) fn default_subscriptions() -> BTreeSet<MailboxName> {
    DEFAULT_MAILBOXES.iter().filter_map(|(name, _)| MailboxName::parse(name)).collect()
}

/// One mailbox and its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mailbox {
    pub(crate) name: MailboxName,
    pub(crate) special_use: Option<SpecialUse>,
    pub(crate) uid_validity: UidValidity,
    /// The last UID assigned, here or at the server from which the mailbox was imported; zero before the first.
    pub(crate) uid_last: u32,
    /// The highest UID that any message here ever had; zero before the first. Less than `uid_last` only after an
    /// import.
    pub(crate) uid_used: u32,
    /// Whether an import gave this mailbox and another one the same UIDVALIDITY. Such a mailbox gets a new UIDVALIDITY
    /// when it is renamed.
    pub(crate) shares_validity: bool,
    pub(crate) highest_modseq: Modseq,
    pub(crate) messages: u32,
    pub(crate) unseen: u32,
    /// Number of messages with `\Deleted`. When it is zero, EXPUNGE and CLOSE need not read the messages.
    pub(crate) deleted: u32,
    pub(crate) octets: u64,
    pub(crate) recent_from: Uid,
    /// Keywords that messages here have or had, lower case. Unused keywords are removed only when the
    /// set would exceed `MAILBOX_KEYWORDS_MAX`.
    pub(crate) keywords: BTreeSet<String>,
}

impl Mailbox {
    fn new(name: MailboxName, special_use: Option<SpecialUse>, uid_validity: UidValidity, modseq: Modseq) -> Self {
        Self {
            name,
            special_use,
            uid_validity,
            uid_last: 0,
            uid_used: 0,
            shares_validity: false,
            highest_modseq: modseq,
            messages: 0,
            unseen: 0,
            deleted: 0,
            octets: 0,
            recent_from: Uid::FIRST,
            keywords: BTreeSet::new(),
        }
    }

    /// Returns UIDNEXT. The highest possible number is never assigned, so it can stand here when no UID is left.
    pub(crate) fn uid_next(&self) -> Uid {
        Uid::new(self.uid_last.saturating_add(1)).unwrap_or(Uid::LAST)
    }

    /// Assigns the next UID. Refuses when no UID is left: then only a new mailbox can take messages.
    pub(crate) fn take_uid(&mut self) -> Result<Uid, BatchError> {
        let uid = self.uid_next();
        if uid == Uid::LAST {
            return Err(BatchError::Refused(format!("mailbox {} has used up its UIDs", self.name)));
        }
        self.uid_last = uid.get();
        self.uid_used = uid.get();
        Ok(uid)
    }

    /// Counts a message that was added.
    pub(crate) fn count_in(&mut self, message: &MessageMeta) {
        self.messages += 1;
        self.octets += message.octets;
        self.count_flags_in(&message.flags);
    }

    /// Counts a message that was removed.
    pub(crate) fn count_out(&mut self, message: &MessageMeta) {
        self.messages = self.messages.saturating_sub(1);
        self.octets = self.octets.saturating_sub(message.octets);
        self.count_flags_out(&message.flags);
    }

    /// Counts the flags of a message that was added, or its new flags after a change.
    pub(crate) fn count_flags_in(&mut self, flags: &Flags) {
        self.unseen += u32::from(!flags.has(Flag::Seen));
        self.deleted += u32::from(flags.has(Flag::Deleted));
    }

    /// Takes back the count of the flags of a message that was removed, or of its old flags after a change.
    pub(crate) fn count_flags_out(&mut self, flags: &Flags) {
        self.unseen = self.unseen.saturating_sub(u32::from(!flags.has(Flag::Seen)));
        self.deleted = self.deleted.saturating_sub(u32::from(flags.has(Flag::Deleted)));
    }

    /// Returns the mailbox as the protocols see it.
    pub(crate) fn info(&self, id: MailboxId, subscribed: bool) -> MailboxInfo {
        MailboxInfo {
            id,
            name: self.name.clone(),
            special_use: self.special_use,
            subscribed,
            uid_validity: self.uid_validity,
            uid_next: self.uid_next(),
            highest_modseq: self.highest_modseq,
            messages: self.messages,
            unseen: self.unseen,
            octets: self.octets,
            recent_from: self.recent_from,
        }
    }
}

/// One account.
///
/// An engine must write the rows that `changed` and `subscriptions_changed` mark, and then clear the marks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// Modseq of the last batch.
    pub(crate) modseq: Modseq,
    /// Octets of all messages.
    pub(crate) octets: u64,
    /// The last mailbox key assigned.
    pub(crate) mailbox_last: u64,
    /// The greatest UIDVALIDITY that a mailbox has or had.
    pub(crate) uid_validity_last: u32,
    /// The greatest retired UIDVALIDITY: a deletion or rename retires the UIDVALIDITY of a mailbox that has or had
    /// messages. Imports at or below it are refused.
    pub(crate) uid_validity_retired: u32,
    pub(crate) mailboxes: BTreeMap<MailboxId, Mailbox>,
    pub(crate) subscribed: BTreeSet<MailboxName>,
    /// Mailboxes created, changed or deleted since the engine last wrote the account.
    pub(crate) changed: BTreeSet<MailboxId>,
    pub(crate) subscriptions_changed: bool,
    /// [`Self::numbers`] as last written by the engine.
    pub(crate) numbers_saved: Option<LastNumbers>,
}

/// The last mailbox key assigned, the greatest UIDVALIDITY, and the greatest retired one.
pub(crate) type LastNumbers = (u64, u32, u32);

impl Account {
    /// Returns the [`LastNumbers`] of the account.
    pub(crate) fn numbers(&self) -> LastNumbers {
        (self.mailbox_last, self.uid_validity_last, self.uid_validity_retired)
    }

    /// Makes an account with the default mailboxes, as part of its first batch.
    pub(crate) fn new(now: Timestamp) -> Result<Self, BatchError> {
        let mut account = Self { modseq: Modseq::new(1), subscribed: default_subscriptions(), ..Self::default() };
        for (name, special_use) in DEFAULT_MAILBOXES {
            if let Some(name) = MailboxName::parse(name) {
                account.insert(name, special_use, now)?;
            }
        }
        Ok(account)
    }

    /// Returns the key of a mailbox by name.
    pub(crate) fn find(&self, name: &MailboxName) -> Option<MailboxId> {
        self.mailboxes.iter().find(|(_, mailbox)| mailbox.name == *name).map(|(id, _)| *id)
    }

    /// Returns a mailbox for changing, and marks it as changed.
    pub(crate) fn mailbox_mut(&mut self, id: MailboxId) -> Result<&mut Mailbox, BatchError> {
        let mailbox = self.mailboxes.get_mut(&id).ok_or_else(|| no_mailbox_id(id))?;
        self.changed.insert(id);
        Ok(mailbox)
    }

    /// Returns a mailbox for reading.
    pub(crate) fn mailbox(&self, id: MailboxId) -> Result<&Mailbox, BatchError> {
        self.mailboxes.get(&id).ok_or_else(|| no_mailbox_id(id))
    }

    /// Creates a mailbox and its missing parents (RFC 3501 §6.3.3).
    pub(crate) fn create(
        &mut self,
        name: &MailboxName,
        special_use: Option<SpecialUse>,
        now: Timestamp,
    ) -> Result<MailboxId, BatchError> {
        if self.find(name).is_some() {
            return Err(BatchError::MailboxExists(name.to_string()));
        }
        self.create_parents(name, now)?;
        self.insert(name.clone(), special_use, now)
    }

    /// Returns the mailbox that an append names: an existing one, or a new one when `create` allows it or the name is a
    /// default.
    pub(crate) fn find_or_create(
        &mut self,
        name: &MailboxName,
        create: bool,
        now: Timestamp,
    ) -> Result<MailboxId, BatchError> {
        if let Some(id) = self.find(name) {
            return Ok(id);
        }
        let default = DEFAULT_MAILBOXES.iter().find(|(default, _)| *default == name.as_str());
        if default.is_none() && !create {
            return Err(BatchError::NoMailbox(name.to_string()));
        }
        // If Junk was renamed, the renamed mailbox still has the special use. The new Junk gets none: two mailboxes
        // with the same use would confuse clients.
        let taken = |wanted: &SpecialUse| self.mailboxes.values().any(|mailbox| mailbox.special_use == Some(*wanted));
        let special_use = default.and_then(|(_, special_use)| *special_use).filter(|wanted| !taken(wanted));
        self.create(name, special_use, now)
    }

    /// Deletes a mailbox (RFC 3501 §6.3.4). The caller deletes the rows of the mailbox's messages.
    pub(crate) fn delete(&mut self, name: &MailboxName) -> Result<MailboxId, BatchError> {
        if name.is_inbox() {
            return Err(BatchError::Refused("INBOX cannot be deleted".into()));
        }
        let id = self.find(name).ok_or_else(|| BatchError::NoMailbox(name.to_string()))?;
        if let Some(mailbox) = self.mailboxes.remove(&id) {
            self.octets = self.octets.saturating_sub(mailbox.octets);
            self.retire_validity(&mailbox);
        }
        self.changed.insert(id);
        Ok(id)
    }

    /// Renames a mailbox other than INBOX and all below it (RFC 3501 §6.3.5). A name without a mailbox, left by a
    /// deletion, can be renamed when mailboxes exist below it. After an error the caller must discard the account: some
    /// mailboxes may have their new name.
    pub(crate) fn rename(&mut self, from: &MailboxName, to: &MailboxName, now: Timestamp) -> Result<(), BatchError> {
        if to.is_below(from) {
            return Err(BatchError::Refused(format!("mailbox {from} cannot be moved below itself")));
        }
        let (mut renamed, mut stay) = (Vec::new(), BTreeSet::new());
        for (id, mailbox) in &self.mailboxes {
            match mailbox.name == *from || mailbox.name.is_below(from) {
                true => renamed.push((*id, mailbox.name.moved(from, to))),
                false => drop(stay.insert(&mailbox.name)),
            }
        }
        if renamed.is_empty() {
            return Err(BatchError::NoMailbox(from.to_string()));
        }
        if stay.contains(to) {
            return Err(BatchError::MailboxExists(to.to_string()));
        }
        let mut names = Vec::with_capacity(renamed.len());
        for (id, name) in renamed {
            let name =
                name.ok_or_else(|| BatchError::Refused(format!("a name below {to} would be too long or too deep")))?;
            if stay.contains(&name) || (to == from && name == *to) {
                return Err(BatchError::MailboxExists(name.to_string()));
            }
            names.push((id, name));
        }
        for (id, name) in names {
            self.rename_one(id, name, now)?;
        }
        self.create_parents(to, now)
    }

    fn rename_one(&mut self, id: MailboxId, name: MailboxName, now: Timestamp) -> Result<(), BatchError> {
        let mailbox = self.mailbox_mut(id)?;
        mailbox.name = name;
        let before = mailbox.clone();
        self.retire_validity(&before);
        // The mailbox with the same UIDVALIDITY may have had this name, with other messages under the same UIDs.
        if before.shares_validity {
            let uid_validity = self.take_uid_validity(now)?;
            let mailbox = self.mailbox_mut(id)?;
            (mailbox.uid_validity, mailbox.shares_validity) = (uid_validity, false);
        }
        Ok(())
    }

    /// Subscribes or unsubscribes a name, which needs no mailbox (RFC 3501 §6.3.6, §6.3.7).
    pub(crate) fn subscribe(&mut self, name: &MailboxName, on: bool) -> Result<(), BatchError> {
        let changed = match on {
            true => self.subscribed.insert(name.clone()),
            false => self.subscribed.remove(name),
        };
        if self.subscribed.len() > SUBSCRIPTIONS_MAX {
            return Err(BatchError::Refused("too many subscriptions".into()));
        }
        self.subscriptions_changed |= changed;
        Ok(())
    }

    /// Returns a mailbox as the protocols see it.
    pub(crate) fn info(&self, id: MailboxId) -> Option<MailboxInfo> {
        self.mailboxes.get(&id).map(|mailbox| mailbox.info(id, self.subscribed.contains(&mailbox.name)))
    }

    /// Returns everything except messages, as the protocols see it.
    pub(crate) fn snapshot(&self, last_logins: Vec<(String, Timestamp)>) -> AccountSnapshot {
        let mut mailboxes: Vec<_> = self.mailboxes.keys().filter_map(|id| self.info(*id)).collect();
        mailboxes.sort_by(|a, b| (!a.name.is_inbox(), &a.name).cmp(&(!b.name.is_inbox(), &b.name)));
        let names: BTreeSet<_> = mailboxes.iter().map(|mailbox| &mailbox.name).collect();
        let subscribed_only = self.subscribed.iter().filter(|name| !names.contains(name)).cloned().collect();
        let token = ReadToken::new(self.modseq);
        AccountSnapshot { mailboxes, subscribed_only, octets: self.octets, last_logins, token }
    }

    pub(crate) fn create_parents(&mut self, name: &MailboxName, now: Timestamp) -> Result<(), BatchError> {
        for parent in name.parents() {
            if self.find(&parent).is_none() {
                self.insert(parent, None, now)?;
            }
        }
        Ok(())
    }

    pub(crate) fn insert(
        &mut self,
        name: MailboxName,
        special_use: Option<SpecialUse>,
        now: Timestamp,
    ) -> Result<MailboxId, BatchError> {
        if self.mailboxes.len() >= MAILBOXES_MAX {
            return Err(BatchError::Refused("too many mailboxes".into()));
        }
        let uid_validity = self.take_uid_validity(now)?;
        self.mailbox_last += 1;
        let id = MailboxId::new(self.mailbox_last);
        self.mailboxes.insert(id, Mailbox::new(name, special_use, uid_validity, self.modseq));
        self.changed.insert(id);
        Ok(id)
    }

    /// Assigns a UIDVALIDITY: the seconds since 1970 or the last one plus one, whichever is greater, so that it grows
    /// even when the clock was set back.
    fn take_uid_validity(&mut self, now: Timestamp) -> Result<UidValidity, BatchError> {
        let now = u32::try_from(now.as_second().max(1)).unwrap_or(u32::MAX);
        let number = self.uid_validity_last.checked_add(1).map(|next| next.max(now)).and_then(NonZeroU32::new);
        let number =
            number.ok_or_else(|| BatchError::Refused("the account has used up its UIDVALIDITY numbers".into()))?;
        self.uid_validity_last = number.get();
        Ok(UidValidity::of(number))
    }
}

fn no_mailbox_id(id: MailboxId) -> BatchError {
    BatchError::NoMailbox(format!("#{}", id.get()))
}
