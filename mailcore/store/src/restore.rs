//! Import and removal: mailboxes and messages that keep the numbers of another server, and deleted accounts.
//!
//! A client caches messages by mailbox name, UIDVALIDITY and UID (RFC 3501 §2.3.1.1). No restored item may make one
//! such triple refer to two messages, now or after a later rename:
//!
//! * UIDs: `uid_used` is the highest UID that any message of the mailbox ever had. Restored UIDs are above it.
//! * UIDVALIDITY: numbers from the account's counter are all different, so only imported ones can collide. The number
//!   of a deleted or renamed mailbox is retired, and imports at or below it are refused. Two mailboxes imported with
//!   one number (some servers give one number to all mailboxes) are marked: when one of them is renamed, it gets a new
//!   number, because it may take the name of the other.

use jiff::Timestamp;

use crate::account::{Account, Mailbox};
use crate::interpret::{AccountRows, BatchRun};
use crate::time::whole_second;
use crate::{BatchError, MailboxId, MailboxName, MessageMeta, Op, OpEffect, SpecialUse, Uid, UidValidity};

impl Mailbox {
    /// Takes the UID that a message had elsewhere. Refused when it is not above every UID used here.
    fn use_uid(&mut self, uid: Uid) -> Result<(), BatchError> {
        if uid.get() <= self.uid_used || uid == Uid::LAST {
            let first = self.uid_used.saturating_add(1);
            let why = format!("UID {uid} is not free in mailbox {}: the lowest free one is {first}", self.name);
            return Err(BatchError::Refused(why));
        }
        self.uid_used = uid.get();
        self.uid_last = self.uid_last.max(uid.get());
        // Not `\Recent`: the message was shown to its reader elsewhere (RFC 3501 §2.3.2).
        self.recent_from = self.recent_from.max(self.uid_next());
        Ok(())
    }
}

impl Account {
    /// Retires the UIDVALIDITY of a mailbox that is deleted or renamed.
    pub(crate) fn retire_validity(&mut self, mailbox: &Mailbox) {
        if mailbox.uid_used > 0 {
            self.uid_validity_retired = self.uid_validity_retired.max(mailbox.uid_validity.get());
        }
    }

    fn restore_mailbox(
        &mut self,
        name: &MailboxName,
        uid_validity: UidValidity,
        now: Timestamp,
    ) -> Result<MailboxId, BatchError> {
        match self.find(name) {
            Some(id) if self.mailbox(id)?.uid_validity == uid_validity => Ok(id),
            Some(id) if self.mailbox(id)?.uid_used > 0 => {
                Err(BatchError::Refused(format!("mailbox {name} has or had messages under another UIDVALIDITY")))
            }
            Some(id) => {
                self.set_validity(id, uid_validity)?;
                Ok(id)
            }
            None => {
                self.create_parents(name, now)?;
                let id = self.insert(name.clone(), None, now)?;
                self.set_validity(id, uid_validity)?;
                Ok(id)
            }
        }
    }

    /// Sets the UIDVALIDITY of a mailbox that never had a message.
    fn set_validity(&mut self, id: MailboxId, uid_validity: UidValidity) -> Result<(), BatchError> {
        if uid_validity.get() <= self.uid_validity_retired {
            return Err(BatchError::Refused(format!(
                "UIDVALIDITY {uid_validity} may have been used in this account before"
            )));
        }
        let same = |mailbox: &Mailbox| mailbox.uid_validity == uid_validity;
        let sharing: Vec<MailboxId> =
            self.mailboxes.iter().filter(|(_, mailbox)| same(mailbox)).map(|(id, _)| *id).collect();
        for other in &sharing {
            self.mailbox_mut(*other)?.shares_validity = true;
        }
        let mailbox = self.mailbox_mut(id)?;
        (mailbox.uid_validity, mailbox.shares_validity, mailbox.uid_last) = (uid_validity, !sharing.is_empty(), 0);
        self.uid_validity_last = self.uid_validity_last.max(uid_validity.get());
        Ok(())
    }

    /// Gives a special use to a mailbox. Two with the same use would confuse clients: a holder that never had a message
    /// loses it, and one that had messages keeps it, so that `to` does not get it.
    fn move_special_use(&mut self, to: MailboxId, special_use: SpecialUse) -> Result<(), BatchError> {
        let holder = self.mailboxes.iter().find(|(_, mailbox)| mailbox.special_use == Some(special_use));
        match holder.map(|(id, mailbox)| (*id, mailbox.uid_used)) {
            Some((id, _)) if id == to => return Ok(()),
            Some((_, 1..)) => return Ok(()),
            Some((id, 0)) => self.mailbox_mut(id)?.special_use = None,
            None => (),
        }
        self.mailbox_mut(to)?.special_use = Some(special_use);
        Ok(())
    }
}

impl<R: AccountRows> BatchRun<'_, R> {
    /// Applies [`Op::RestoreMailbox`].
    pub(crate) fn restore_mailbox(&mut self, op: &Op) -> Result<OpEffect, BatchError> {
        let Op::RestoreMailbox { name, uid_validity, uid_next, special_use, subscribed } = op else {
            return Ok(OpEffect::Done);
        };
        let id = self.account.restore_mailbox(name, *uid_validity, self.now)?;
        if let Some(special_use) = special_use {
            self.account.move_special_use(id, *special_use)?;
        }
        self.account.subscribe(name, *subscribed)?;
        let mailbox = self.account.mailbox_mut(id)?;
        mailbox.uid_last = mailbox.uid_last.max(uid_next.get() - 1);
        Ok(self.account.info(id).map_or(OpEffect::Done, |info| OpEffect::Mailbox(Box::new(info))))
    }

    /// Applies [`Op::Restore`].
    pub(crate) fn restore(&mut self, op: &Op) -> Result<OpEffect, BatchError> {
        let Op::Restore { mailbox, uid, modseq, flags, internal_date, body } = op else { return Ok(OpEffect::Done) };
        let id = self.account.find(mailbox).ok_or_else(|| BatchError::NoMailbox(mailbox.to_string()))?;
        self.account.mailbox_mut(id)?.use_uid(*uid)?;
        let octets = body.len() as u64;
        let body = self.rows.keep_body(body)?;
        let (uid, modseq, internal_date) = (*uid, *modseq, whole_second(*internal_date));
        self.add_message(id, &MessageMeta { uid, modseq, flags: flags.clone(), internal_date, octets, body })?;
        self.grown += octets;
        Ok(OpEffect::Appended { mailbox: id, uid_validity: self.account.mailbox(id)?.uid_validity, uid })
    }

    /// Applies [`Op::DeleteAccount`].
    pub(crate) fn delete_account(&mut self) -> Result<OpEffect, BatchError> {
        let mailboxes: Vec<MailboxId> = self.account.mailboxes.keys().copied().collect();
        for id in mailboxes {
            self.rows.drop_mailbox(id)?;
            self.account.mailboxes.remove(&id);
            self.account.changed.insert(id);
        }
        self.rows.drop_account()?;
        Ok(OpEffect::Done)
    }
}
