//! An account without its messages: mailboxes, counters, subscriptions. Shared by the engines; knows no storage.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use crate::{
    ApplyError, Flag, Flags, MailboxId, MailboxInfo, MailboxName, MessageMeta, Modseq, Snapshot, SpecialUse, Token,
    Uid, UidValidity,
};

/// Mailboxes of one account: what a hierarchy of courses and years needs, and a listing still fits in memory.
pub(crate) const MAILBOXES_MAX: usize = 10_000;
/// Names subscribed in one account, with or without a mailbox.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 10_000;

/// What a first write makes, all subscribed.
const DEFAULT_MAILBOXES: [(&str, Option<SpecialUse>); 5] = [
    ("INBOX", None),
    ("Drafts", Some(SpecialUse::Drafts)),
    ("Sent", Some(SpecialUse::Sent)),
    ("Trash", Some(SpecialUse::Trash)),
    ("Junk", Some(SpecialUse::Junk)),
];

/// The names subscribed in an account that never changed them.
pub(crate) fn default_subscriptions() -> BTreeSet<MailboxName> {
    DEFAULT_MAILBOXES.iter().filter_map(|(name, _)| MailboxName::parse(name)).collect()
}

/// One mailbox and its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mailbox {
    pub(crate) name: MailboxName,
    pub(crate) special_use: Option<SpecialUse>,
    pub(crate) uid_validity: UidValidity,
    /// The last UID given, here or where the mailbox was imported from; zero before the first.
    pub(crate) uid_last: u32,
    /// The highest UID that ever was a message here; zero before the first. Less than `uid_last` in an import only.
    pub(crate) uid_used: u32,
    /// Another mailbox was imported with the same UIDVALIDITY: the two must never meet under one name.
    pub(crate) shares_validity: bool,
    pub(crate) highest_modseq: Modseq,
    pub(crate) messages: u32,
    pub(crate) unseen: u32,
    /// Messages with `\Deleted`: EXPUNGE and CLOSE of a mailbox without any need not look at its messages.
    pub(crate) deleted: u32,
    pub(crate) octets: u64,
    pub(crate) recent_from: Uid,
    /// Keywords that its messages have or once had, lower case: counted again only when the bound is met.
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

    /// The next one to give; the last number of all is never given, so there always is one.
    pub(crate) fn uid_next(&self) -> Uid {
        Uid::new(self.uid_last.saturating_add(1)).unwrap_or(Uid::LAST)
    }

    /// Takes the next UID. Refused when the numbers are used up (RFC 3501 asks for a new UIDVALIDITY then: a new mailbox).
    pub(crate) fn take_uid(&mut self) -> Result<Uid, ApplyError> {
        let uid = self.uid_next();
        if uid == Uid::LAST {
            return Err(ApplyError::Refused(format!("mailbox {} has used up its UIDs", self.name)));
        }
        self.uid_last = uid.get();
        self.uid_used = uid.get();
        Ok(uid)
    }

    /// A message is there now that was not.
    pub(crate) fn count_in(&mut self, message: &MessageMeta) {
        self.messages += 1;
        self.octets += message.octets;
        self.count_flags_in(&message.flags);
    }

    /// A message is gone that was there.
    pub(crate) fn count_out(&mut self, message: &MessageMeta) {
        self.messages = self.messages.saturating_sub(1);
        self.octets = self.octets.saturating_sub(message.octets);
        self.count_flags_out(&message.flags);
    }

    /// Flags that are set now.
    pub(crate) fn count_flags_in(&mut self, flags: &Flags) {
        self.unseen += u32::from(!flags.has(Flag::Seen));
        self.deleted += u32::from(flags.has(Flag::Deleted));
    }

    /// Flags that were set before.
    pub(crate) fn count_flags_out(&mut self, flags: &Flags) {
        self.unseen = self.unseen.saturating_sub(u32::from(!flags.has(Flag::Seen)));
        self.deleted = self.deleted.saturating_sub(u32::from(flags.has(Flag::Deleted)));
    }

    /// As the protocols see it.
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
/// `changed` and `subscriptions_changed` mark for an engine the rows to write; it clears them when it has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// Of the last batch.
    pub(crate) modseq: Modseq,
    /// Of all messages.
    pub(crate) octets: u64,
    /// The last mailbox key given.
    pub(crate) mailbox_last: u64,
    /// The greatest UIDVALIDITY that a mailbox has or had.
    pub(crate) uid_validity_last: u32,
    /// The greatest UIDVALIDITY of a mailbox that had given UIDs when it was deleted or renamed.
    pub(crate) uid_validity_retired: u32,
    pub(crate) mailboxes: BTreeMap<MailboxId, Mailbox>,
    pub(crate) subscribed: BTreeSet<MailboxName>,
    /// Mailboxes made, changed or deleted.
    pub(crate) changed: BTreeSet<MailboxId>,
    pub(crate) subscriptions_changed: bool,
    /// [`Self::numbers`] as an engine has written them.
    pub(crate) numbers_saved: Option<Numbers>,
}

/// The last mailbox key given, the greatest UIDVALIDITY and the greatest one that is retired.
pub(crate) type Numbers = (u64, u32, u32);

impl Account {
    /// See [`Numbers`].
    pub(crate) fn numbers(&self) -> Numbers {
        (self.mailbox_last, self.uid_validity_last, self.uid_validity_retired)
    }

    /// With the default mailboxes, as part of its first batch.
    pub(crate) fn new(now: i64) -> Result<Self, ApplyError> {
        let mut account = Self { modseq: Modseq(1), subscribed: default_subscriptions(), ..Self::default() };
        for (name, special_use) in DEFAULT_MAILBOXES {
            if let Some(name) = MailboxName::parse(name) {
                account.insert(name, special_use, now)?;
            }
        }
        Ok(account)
    }

    /// Key of a mailbox by name.
    pub(crate) fn find(&self, name: &MailboxName) -> Option<MailboxId> {
        self.mailboxes.iter().find(|(_, mailbox)| mailbox.name == *name).map(|(id, _)| *id)
    }

    /// A mailbox that will be changed.
    pub(crate) fn mailbox_mut(&mut self, id: MailboxId) -> Result<&mut Mailbox, ApplyError> {
        let mailbox = self.mailboxes.get_mut(&id).ok_or_else(|| no_mailbox_id(id))?;
        self.changed.insert(id);
        Ok(mailbox)
    }

    /// A mailbox to look at.
    pub(crate) fn mailbox(&self, id: MailboxId) -> Result<&Mailbox, ApplyError> {
        self.mailboxes.get(&id).ok_or_else(|| no_mailbox_id(id))
    }

    /// RFC 3501 §6.3.3: makes the mailbox, and those above it that are missing.
    pub(crate) fn create(
        &mut self,
        name: &MailboxName,
        special_use: Option<SpecialUse>,
        now: i64,
    ) -> Result<MailboxId, ApplyError> {
        if self.find(name).is_some() {
            return Err(ApplyError::MailboxExists(name.to_string()));
        }
        self.create_parents(name, now)?;
        self.insert(name.clone(), special_use, now)
    }

    /// The mailbox that an append names: found, or made when `create` allows it or it is one of the defaults.
    pub(crate) fn find_or_create(
        &mut self,
        name: &MailboxName,
        create: bool,
        now: i64,
    ) -> Result<MailboxId, ApplyError> {
        if let Some(id) = self.find(name) {
            return Ok(id);
        }
        let default = DEFAULT_MAILBOXES.iter().find(|(default, _)| *default == name.as_str());
        if default.is_none() && !create {
            return Err(ApplyError::NoMailbox(name.to_string()));
        }
        // A renamed Junk keeps its use: two mailboxes with the same use would leave clients to guess.
        let taken = |wanted: &SpecialUse| self.mailboxes.values().any(|mailbox| mailbox.special_use == Some(*wanted));
        let special_use = default.and_then(|(_, special_use)| *special_use).filter(|wanted| !taken(wanted));
        self.create(name, special_use, now)
    }

    /// RFC 3501 §6.3.4. Its rows are the engine's to drop.
    pub(crate) fn delete(&mut self, name: &MailboxName) -> Result<MailboxId, ApplyError> {
        if name.is_inbox() {
            return Err(ApplyError::Refused("INBOX cannot be deleted".into()));
        }
        let id = self.find(name).ok_or_else(|| ApplyError::NoMailbox(name.to_string()))?;
        if let Some(mailbox) = self.mailboxes.remove(&id) {
            self.octets = self.octets.saturating_sub(mailbox.octets);
            self.retire_validity(&mailbox);
        }
        self.changed.insert(id);
        Ok(id)
    }

    /// RFC 3501 §6.3.5, for all but INBOX: the mailbox and those below it get new names, or none does. A name that only has
    /// mailboxes below it, because the one of that name was deleted, is renamed with them.
    pub(crate) fn rename(&mut self, from: &MailboxName, to: &MailboxName, now: i64) -> Result<(), ApplyError> {
        if to.is_below(from) {
            return Err(ApplyError::Refused(format!("{from} cannot move below itself")));
        }
        let (mut renamed, mut stay) = (Vec::new(), BTreeSet::new());
        for (id, mailbox) in &self.mailboxes {
            match mailbox.name == *from || mailbox.name.is_below(from) {
                true => renamed.push((*id, mailbox.name.moved(from, to))),
                false => drop(stay.insert(&mailbox.name)),
            }
        }
        if renamed.is_empty() {
            return Err(ApplyError::NoMailbox(from.to_string()));
        }
        if stay.contains(to) {
            return Err(ApplyError::MailboxExists(to.to_string()));
        }
        let mut names = Vec::with_capacity(renamed.len());
        for (id, name) in renamed {
            let name = name.ok_or_else(|| ApplyError::Refused(format!("a name below {to} would be too long")))?;
            if stay.contains(&name) || (to == from && name == *to) {
                return Err(ApplyError::MailboxExists(name.to_string()));
            }
            names.push((id, name));
        }
        for (id, name) in names {
            self.rename_one(id, name, now)?;
        }
        self.create_parents(to, now)
    }

    fn rename_one(&mut self, id: MailboxId, name: MailboxName, now: i64) -> Result<(), ApplyError> {
        let mailbox = self.mailbox_mut(id)?;
        mailbox.name = name;
        let before = mailbox.clone();
        self.retire_validity(&before);
        // The mailbox that shared it may have had this name, and other messages under the same numbers.
        if before.shares_validity {
            let uid_validity = self.take_uid_validity(now)?;
            let mailbox = self.mailbox_mut(id)?;
            (mailbox.uid_validity, mailbox.shares_validity) = (uid_validity, false);
        }
        Ok(())
    }

    /// RFC 3501 §6.3.6, §6.3.7: names, not mailboxes, are subscribed.
    pub(crate) fn subscribe(&mut self, name: &MailboxName, on: bool) -> Result<(), ApplyError> {
        let changed = match on {
            true => self.subscribed.insert(name.clone()),
            false => self.subscribed.remove(name),
        };
        if self.subscribed.len() > SUBSCRIPTIONS_MAX {
            return Err(ApplyError::Refused("too many subscriptions".into()));
        }
        self.subscriptions_changed |= changed;
        Ok(())
    }

    /// A mailbox as the protocols see it.
    pub(crate) fn info(&self, id: MailboxId) -> Option<MailboxInfo> {
        self.mailboxes.get(&id).map(|mailbox| mailbox.info(id, self.subscribed.contains(&mailbox.name)))
    }

    /// Everything but messages, as the protocols see it.
    pub(crate) fn snapshot(&self, last_logins: Vec<(String, i64)>) -> Snapshot {
        let mut mailboxes: Vec<_> = self.mailboxes.keys().filter_map(|id| self.info(*id)).collect();
        mailboxes.sort_by(|a, b| (!a.name.is_inbox(), &a.name).cmp(&(!b.name.is_inbox(), &b.name)));
        let names: BTreeSet<_> = mailboxes.iter().map(|mailbox| &mailbox.name).collect();
        let subscribed_only = self.subscribed.iter().filter(|name| !names.contains(name)).cloned().collect();
        let token = Token(self.modseq);
        Snapshot { mailboxes, subscribed_only, octets: self.octets, last_logins, token }
    }

    pub(crate) fn create_parents(&mut self, name: &MailboxName, now: i64) -> Result<(), ApplyError> {
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
        now: i64,
    ) -> Result<MailboxId, ApplyError> {
        if self.mailboxes.len() >= MAILBOXES_MAX {
            return Err(ApplyError::Refused("too many mailboxes".into()));
        }
        let uid_validity = self.take_uid_validity(now)?;
        self.mailbox_last += 1;
        let id = MailboxId(self.mailbox_last);
        self.mailboxes.insert(id, Mailbox::new(name, special_use, uid_validity, self.modseq));
        self.changed.insert(id);
        Ok(id)
    }

    /// The greater of now and the last one plus one: it grows even when the clock was set back.
    fn take_uid_validity(&mut self, now: i64) -> Result<UidValidity, ApplyError> {
        let now = u32::try_from(now.max(1)).unwrap_or(u32::MAX);
        let number = self.uid_validity_last.checked_add(1).map(|next| next.max(now)).and_then(NonZeroU32::new);
        let number = number.ok_or_else(|| ApplyError::Refused("UIDVALIDITY used up".into()))?;
        self.uid_validity_last = number.get();
        Ok(UidValidity(number))
    }
}

fn no_mailbox_id(id: MailboxId) -> ApplyError {
    ApplyError::NoMailbox(format!("#{}", id.0))
}
