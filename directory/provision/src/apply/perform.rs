//! Sends one write after the other and looks up the outcome where the answer does not show it.

use std::collections::HashMap;

use provost_client::{Directory, DirectoryError, LdapSearch, Scope, WriteReceipt};
use provost_credential::PasswordValues;
use provost_entry::{Dn, Entry, Filter};
use provost_schema::{attr, class};
use uuid::Uuid;

use super::error::{ApplyError, PersonFailure};
use crate::audit::ChangeOutcome;
use crate::journal::{EndLine, Journal, JournalError, Receipt, WriteOutcome};
use crate::write::{LdapWrite, Write, WriteContext, WriteKind};
use crate::{PersonChange, Plan, tree};

/// Maximum number of times that a write is sent. It is sent again only after a look-up has shown that it was not done;
/// after the last time, the apply stops.
const SENT_MAX: u32 = 3;

/// Refusal of a write whose entry has changed since the plan was made.
const CHANGED: &str = "the entry was changed since the plan was made; import again";
/// The same for a write of an undo.
const CHANGED_UNDO: &str = "the entry was changed since the plan was made; undo again";

/// Place of a change in its plan and of a write in its change.
type WritePosition = (u32, u32);

/// The entries whose provostLastBatch is one batch, each with its entryCSN and entryUUID.
pub(super) type BatchEntries = HashMap<Dn, WriteReceipt>;

/// Sends the writes of one batch.
pub(super) struct Performer<'a> {
    pub(super) directory: &'a Directory,
    pub(super) journal: &'a Journal,
    pub(super) context: WriteContext,
    /// Entries that earlier runs of the batch wrote, with or without recording a receipt.
    entries: BatchEntries,
}

/// What the directory shows of a write that got no answer, or that was refused as already done or outdated.
enum ReadBack {
    /// The write was done: by this batch, or, for an address, before this batch.
    Is(WriteOutcome, WriteReceipt),
    /// The write was not done and can be sent again.
    IsNot,
    /// Another writer changed the entry first; the reason.
    Refused(String),
}

impl<'a> Performer<'a> {
    pub(super) fn new(directory: &'a Directory, journal: &'a Journal, found: BatchEntries, must_change: bool) -> Self {
        let context = WriteContext { id: journal.batch.clone(), since: journal.since.clone(), must_change };
        Self { directory, journal, context, entries: found }
    }

    /// Whether an earlier run of the batch recorded this write as done.
    pub(super) fn is_done(&self, change: u32, write: u32) -> bool {
        self.journal.known.get(&(change, write)).is_some_and(WriteOutcome::is_done)
    }

    /// Whether an earlier run of the batch did this write, with or without recording a receipt.
    pub(super) fn was_written(&self, (change, number): WritePosition, write: &Write) -> bool {
        self.is_done(change, number) || self.entries.contains_key(&write.dn)
    }

    /// Does one write and records its outcome; `false` when nothing was to be written or an earlier run wrote it.
    pub(super) async fn perform(
        &self,
        place: WritePosition,
        write: &Write,
        password: Option<&PasswordValues>,
    ) -> Result<bool, PersonFailure> {
        if self.is_done(place.0, place.1) {
            return Ok(false);
        }
        let (outcome, answer) = match self.entries.get(&write.dn) {
            Some(answer) => (WriteOutcome::Found, answer.clone()),
            None => self.send(write, password).await.map_err(PersonFailure::Stop)?,
        };
        let is_sent = matches!(outcome, WriteOutcome::Done);
        let digest = password.filter(|_| is_sent).map(|password| blake3::hash(password.user_password.as_bytes()));
        let digest = digest.map(|digest| digest.to_hex().to_string());
        let receipt = Receipt { password_digest: digest, ..receipt(place, write, outcome.clone(), answer) };
        let recorded = self.journal.record(receipt).await;
        recorded.map_err(|error| PersonFailure::Stop(JournalError::from(error).into()))?;
        match outcome {
            WriteOutcome::Done => Ok(true),
            // A write that this run sent and found done counts; a write of an earlier run does not.
            WriteOutcome::Found => Ok(!self.entries.contains_key(&write.dn)),
            WriteOutcome::Already | WriteOutcome::NotDone => Ok(false),
            WriteOutcome::Refused(reason) => Err(PersonFailure::Person(reason)),
        }
    }

    /// Sends a write until its outcome is known, at most [`SENT_MAX`] times. An error ends the apply, and the write
    /// gets no receipt.
    async fn send(
        &self,
        write: &Write,
        password: Option<&PasswordValues>,
    ) -> Result<(WriteOutcome, WriteReceipt), ApplyError> {
        let mut unknown = None;
        for _ in 0..SENT_MAX {
            let error = match self.request(write.operation(&self.context, password)).await {
                Ok(answer) => return Ok((WriteOutcome::Done, answer)),
                Err(error) => error,
            };
            let is_unknown = matches!(error, DirectoryError::Unknown(_));
            let shows_the_state = match error {
                DirectoryError::AlreadyExists(_) | DirectoryError::AssertionFailed => true,
                DirectoryError::NoSuchObject(_) => matches!(write.action, WriteKind::Delete { .. }),
                _ => is_unknown,
            };
            if !shows_the_state {
                return refusal_or_end(error);
            }
            match read_back(self.directory, write, &self.context.id, is_unknown).await? {
                ReadBack::Is(outcome, answer) => return Ok((outcome, answer)),
                ReadBack::Refused(reason) => return Ok((WriteOutcome::Refused(reason), WriteReceipt::default())),
                ReadBack::IsNot => unknown = Some(error),
            }
        }
        Err(unknown.unwrap_or_else(|| DirectoryError::Unknown("no answer".to_owned())).into())
    }

    async fn request(&self, operation: LdapWrite) -> Result<WriteReceipt, DirectoryError> {
        match operation {
            LdapWrite::Add(entry) => self.directory.add(entry).await,
            LdapWrite::Modify(dn, changes, control) => self.directory.modify(&dn, changes, control).await,
            LdapWrite::Delete(dn, control) => {
                self.directory.delete(&dn, control).await.map(|()| WriteReceipt::default())
            }
        }
    }
}

/// Reads the entry and compares it with what the write would have left.
async fn read_back(
    directory: &Directory,
    write: &Write,
    batch: &str,
    is_unknown: bool,
) -> Result<ReadBack, DirectoryError> {
    let mut attributes = vec![attr::PROVOST_OWNER, attr::PROVOST_LAST_BATCH, attr::ENTRY_CSN, attr::ENTRY_UUID];
    attributes.extend(write.attributes.iter().map(|change| change.name.as_str()));
    let entry = tree::read_provider(directory, &write.dn, &attributes).await?;
    Ok(judge(write, entry.as_ref(), batch, is_unknown))
}

/// What an entry shows of a write of `batch`.
fn judge(write: &Write, entry: Option<&Entry>, batch: &str, is_unknown: bool) -> ReadBack {
    let is_deletion = matches!(write.action, WriteKind::Delete { .. });
    let Some(entry) = entry else {
        // No entry: an addition was not done. The entry of a modification was deleted; sending the write again will
        // show that.
        return if is_deletion { ReadBack::Is(WriteOutcome::Found, WriteReceipt::default()) } else { ReadBack::IsNot };
    };
    if entry.first(attr::PROVOST_LAST_BATCH) == Some(batch) {
        return ReadBack::Is(WriteOutcome::Found, version(entry));
    }
    match &write.action {
        // The name of a tombstone is the entryUUID of the account, so no other account has made it.
        WriteKind::AddTombstone => ReadBack::Is(WriteOutcome::Found, version(entry)),
        WriteKind::AddAddress => {
            let owner = entry.first(attr::PROVOST_OWNER).and_then(|held| Dn::parse(held).ok());
            if owner.is_some() && owner == write.owner() {
                return ReadBack::Is(WriteOutcome::Already, version(entry));
            }
            let address = write.dn.rdn_value(attr::PROVOST_ADDRESS).unwrap_or_default();
            ReadBack::Refused(format!("{address} was taken meanwhile; import again"))
        }
        // The write carries its own condition, so sending it again is safe.
        WriteKind::Restore { .. } if write.attributes.iter().all(|change| change.is_after_in(entry)) => {
            ReadBack::Is(WriteOutcome::Found, version(entry))
        }
        WriteKind::ModifyPerson { .. } | WriteKind::ModifyGroup { .. } | WriteKind::ModifyAddress if is_unknown => {
            ReadBack::IsNot
        }
        WriteKind::Restore { .. } | WriteKind::Delete { .. } if is_unknown => ReadBack::IsNot,
        WriteKind::Restore { .. } | WriteKind::Delete { .. } => ReadBack::Refused(CHANGED_UNDO.to_owned()),
        WriteKind::AddPerson
        | WriteKind::AddGroup
        | WriteKind::ModifyPerson { .. }
        | WriteKind::ModifyGroup { .. }
        | WriteKind::ModifyAddress => ReadBack::Refused(CHANGED.to_owned()),
    }
}

/// Sorts an error into the refusal of one person's write or the end of the apply.
fn refusal_or_end(error: DirectoryError) -> Result<(WriteOutcome, WriteReceipt), ApplyError> {
    match error {
        DirectoryError::Unavailable(_) | DirectoryError::Unknown(_) | DirectoryError::InvalidCredentials => {
            Err(error.into())
        }
        other => Ok((WriteOutcome::Refused(other.to_string()), WriteReceipt::default())),
    }
}

fn version(entry: &Entry) -> WriteReceipt {
    WriteReceipt {
        csn: entry.first(attr::ENTRY_CSN).map(str::to_owned),
        entry_uuid: entry.first(attr::ENTRY_UUID).and_then(|uuid| Uuid::try_parse(uuid).ok()),
    }
}

pub(super) fn receipt(
    (change, number): WritePosition,
    write: &Write,
    outcome: WriteOutcome,
    answer: WriteReceipt,
) -> Receipt {
    let is_new = write.action.adds();
    Receipt {
        change,
        write: number,
        dn: write.dn.as_str().to_owned(),
        at: now(),
        password: write.password.is_some() && outcome.is_done(),
        password_digest: None,
        outcome,
        csn: answer.csn,
        entry_uuid: answer.entry_uuid,
        attributes: if is_new { Vec::new() } else { write.attributes.clone() },
    }
}

/// All entries whose last batch is `batch`, in one search each for people, addresses and groups.
pub(super) async fn written_by(directory: &Directory, batch: &str) -> Result<BatchEntries, DirectoryError> {
    let suffix = directory.suffix();
    let mut found = BatchEntries::new();
    for (base, class) in [
        (tree::people(suffix), class::PROVOST_ACCOUNT),
        (tree::addresses(suffix), class::PROVOST_ADDRESS_ENTRY),
        (tree::groups(suffix), class::PROVOST_GROUP),
    ] {
        let of_batch = Filter::equal(attr::PROVOST_LAST_BATCH, batch);
        let search = LdapSearch {
            base,
            scope: Scope::One,
            filter: Filter::And(vec![Filter::equal(attr::OBJECT_CLASS, class), of_batch]),
            attributes: vec![attr::ENTRY_CSN.to_owned(), attr::ENTRY_UUID.to_owned()],
            limit: None,
        };
        let entries = match directory.search_provider(search).await {
            Err(DirectoryError::NoSuchObject(_)) => Vec::new(),
            read => read?,
        };
        found.extend(entries.into_iter().map(|entry| (entry.dn.clone(), version(&entry))));
    }
    Ok(found)
}

/// Changes that an abandoned batch did not do, or did in part.
pub(super) type IncompleteChanges<'p> = Vec<(&'p PersonChange, ChangeOutcome)>;

/// For each write of an abandoned batch that has no receipt, records the outcome that the directory shows.
/// Returns the end record and the incomplete changes.
pub(super) async fn settle<'p>(
    directory: &Directory,
    journal: &Journal,
    plan: &'p Plan,
    entries: &BatchEntries,
) -> Result<(EndLine, IncompleteChanges<'p>), ApplyError> {
    let (mut applied, mut undone) = (0, Vec::new());
    for (place, change) in (0u32..).zip(plan.changes()) {
        let (mut all, mut some) = (true, false);
        for (number, write) in (0u32..).zip(&change.writes) {
            let known = journal.known.get(&(place, number));
            if let Some(known) = known {
                (all, some) = (all && known.is_done(), some || known.is_done());
                continue;
            }
            let (outcome, answer) = match entries.get(&write.dn) {
                Some(answer) => (WriteOutcome::Found, answer.clone()),
                None => look_up_undo(directory, write, &journal.batch).await?,
            };
            (all, some) = (all && outcome.is_done(), some || outcome.is_done());
            let recorded = journal.record(receipt((place, number), write, outcome, answer)).await;
            recorded.map_err(JournalError::from)?;
        }
        match (all, some) {
            (true, _) => applied += 1,
            (false, true) => undone.push((change, ChangeOutcome::Partly)),
            (false, false) => undone.push((change, ChangeOutcome::NotDone)),
        }
    }
    Ok((EndLine { at: now(), applied, failed: undone.len() }, undone))
}

/// The outcome of a write whose entry does not name the batch: a write of an undo and a tombstone leave no name, so the
/// entry shows by its values, by its presence or by its absence that the write was done.
async fn look_up_undo(
    directory: &Directory,
    write: &Write,
    batch: &str,
) -> Result<(WriteOutcome, WriteReceipt), DirectoryError> {
    let names_no_batch =
        matches!(write.action, WriteKind::Restore { .. } | WriteKind::Delete { .. } | WriteKind::AddTombstone);
    if names_no_batch && let ReadBack::Is(outcome, answer) = read_back(directory, write, batch, true).await? {
        return Ok((outcome, answer));
    }
    Ok((WriteOutcome::NotDone, WriteReceipt::default()))
}

/// The current time as RFC 3339, UTC.
pub(super) fn now() -> String {
    jiff::Timestamp::now().to_string()
}
