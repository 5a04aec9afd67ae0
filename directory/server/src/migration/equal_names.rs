//! Format 1 to 2: names and values are compared by RFC 4518, and `;binary` is a transfer option (RFC 4522), not a
//! separate attribute.
//!
//! * Values of `a;binary` become values of `a`.
//! * The stored suffix gets the present normal form.
//! * Where two entries under one parent now have the same name (`cn=Zoé` composed and decomposed), the older entry
//!   keeps the name. The younger entry is renamed: its entryUUID is appended to its naming value. The renaming is
//!   logged. References to the old DN are not changed. They now point to the older entry, because the server cannot
//!   know which of the two entries was meant.
//! * A renamed entry, and each subordinate, gets a new entryCSN, so that consumers receive the new names (RFC 4533
//!   §3.3).

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use provost_entry::{Dn, Rdn};
use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::catalogue::Catalogue;
use crate::csn::{ContextCsn, CsnSequence};
use crate::record::{EncodedEntry, EntryDraft, NameId};
use crate::storage_error::StorageError;
use crate::tree::{EntryNumber, NO_PLACE};

/// All decoded entries: place, parent, content.
type Entries = BTreeMap<EntryNumber, (EntryNumber, EntryDraft)>;

/// Upgrades a file from format 1 to 2. Reads all entries into memory, as opening the file does.
pub(super) fn step(transaction: &Transaction<'_>) -> Result<(), StorageError> {
    let mut entries = read_entries(transaction)?;
    let mut changed = merge_binary(transaction, &mut entries)?;
    rename_suffix(transaction)?;
    let descriptions = descriptions(transaction)?;
    let renamed = separate_equal_names(&descriptions, &mut entries)?;
    if !renamed.is_empty() {
        changed.extend(renew_csns(transaction, &mut entries, &renamed)?);
    }
    for (place, (_, draft)) in entries.iter().filter(|(place, _)| changed.contains(place)) {
        let record = draft.encode();
        let sql = "UPDATE entry SET record = ?1 WHERE place = ?2";
        transaction.prepare_cached(sql)?.execute(params![record.octets(), place])?;
    }
    Ok(())
}

fn read_entries(transaction: &Transaction<'_>) -> Result<Entries, StorageError> {
    let mut statement = transaction.prepare("SELECT place, parent, record FROM entry")?;
    let mut rows = statement.query([])?;
    let mut entries = Entries::new();
    while let Some(row) = rows.next()? {
        let (place, parent, octets): (EntryNumber, EntryNumber, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let draft = EncodedEntry::from_octets(octets).and_then(|record| record.open());
        let draft = draft.ok_or_else(|| StorageError::Content(format!("the entry in row {place} is damaged")))?;
        entries.insert(place, (parent, draft));
    }
    Ok(entries)
}

/// Returns the attribute descriptions by number.
fn descriptions(transaction: &Transaction<'_>) -> Result<Vec<String>, StorageError> {
    let mut statement = transaction.prepare("SELECT text FROM name WHERE kind = 'description' ORDER BY id")?;
    let texts = statement.query_map([], |row| row.get(0))?;
    Ok(texts.collect::<Result<_, _>>()?)
}

/// Moves values from `a;binary` to `a`; returns the places of the entries to rewrite: all of them, or none in a file
/// without `;binary`.
fn merge_binary(transaction: &Transaction<'_>, entries: &mut Entries) -> Result<HashSet<EntryNumber>, StorageError> {
    let old = descriptions(transaction)?;
    let plain = |text: &String| text.split(';').filter(|part| *part != "binary").collect::<Vec<_>>().join(";");
    let (mut new, mut ids, mut numbers) = (Vec::<String>::new(), HashMap::<String, NameId>::new(), Vec::new());
    for text in old.iter().map(plain) {
        let next = ids.len() as NameId;
        numbers.push(*ids.entry(text.clone()).or_insert_with(|| {
            new.push(text);
            next
        }));
    }
    if new == old {
        return Ok(HashSet::new());
    }
    transaction.execute("DELETE FROM name WHERE kind = 'description'", [])?;
    for (id, text) in new.iter().enumerate() {
        let id = i64::try_from(id).unwrap_or(i64::MAX);
        transaction.execute("INSERT INTO name VALUES ('description', ?1, ?2)", params![id, text])?;
    }
    for (_, draft) in entries.values_mut() {
        for (id, values) in std::mem::take(&mut draft.attributes) {
            let unknown = || StorageError::Content(format!("attribute description {id} is missing"));
            let number = numbers.get(usize::from(id)).ok_or_else(unknown)?;
            let there = draft.attributes.entry(*number).or_default();
            let added: Vec<_> = values.into_iter().filter(|value| !there.contains(value)).collect();
            there.extend(added);
        }
    }
    // The numbers of descriptions changed, so every entry is rewritten.
    Ok(entries.keys().copied().collect())
}

fn rename_suffix(transaction: &Transaction<'_>) -> Result<(), StorageError> {
    let found =
        transaction.query_row("SELECT value FROM state WHERE key = 'suffix'", [], |row| row.get(0)).optional()?;
    let suffix: Option<String> = found;
    if let Some(suffix) = suffix.and_then(|text| Dn::parse(&text).ok()) {
        transaction.execute("UPDATE state SET value = ?1 WHERE key = 'suffix'", [suffix.normalised()])?;
    }
    Ok(())
}

/// Renames every entry that has the same name and parent as an older entry; returns the places of the renamed entries.
fn separate_equal_names(descriptions: &[String], entries: &mut Entries) -> Result<Vec<EntryNumber>, StorageError> {
    let catalogue = Catalogue::load().map_err(|error| StorageError::Content(error.to_string()))?;
    let mut oldest_first: Vec<EntryNumber> = entries.keys().copied().collect();
    oldest_first.sort_by_key(|place| entries.get(place).map(|(_, draft)| (draft.head.created, draft.head.csn, *place)));
    let (mut taken, mut renamed) = (HashSet::new(), Vec::new());
    for place in oldest_first {
        let Some((parent, draft)) = entries.get_mut(&place) else { continue };
        let unreadable = || StorageError::Content(format!("the name of the entry in row {place} is damaged"));
        let name = Dn::parse(&draft.rdn).map_err(|_| unreadable())?;
        if taken.insert((*parent, name.normalised().to_owned())) || *parent == NO_PLACE {
            continue;
        }
        let rdn = name.rdn().ok_or_else(unreadable)?;
        let new = rename(&catalogue, descriptions, draft, &rdn).ok_or_else(unreadable)?;
        tracing::warn!(old = %rdn, %new, uuid = %draft.head.uuid, "renamed an entry that had the same name as an older one");
        draft.rdn = new.to_string();
        renamed.push(place);
    }
    Ok(renamed)
}

/// Returns the RDN with the entryUUID appended to its first value. The entry gets the new value too; a single-valued
/// attribute loses the old one.
fn rename(catalogue: &Catalogue, descriptions: &[String], draft: &mut EntryDraft, rdn: &Rdn) -> Option<Rdn> {
    let (name, value) = rdn.pairs().next()?;
    let new = format!("{value} ({})", draft.head.uuid);
    let type_id = catalogue.type_id(name)?;
    let id = descriptions.iter().position(|text| catalogue.type_id(text) == Some(type_id))?;
    let values = draft.attributes.get_mut(&NameId::try_from(id).ok()?)?;
    if catalogue.type_of(type_id).single_value {
        values.clear();
    }
    values.push(new.clone().into_bytes());
    Some(rdn.with_first_value(&new))
}

/// Assigns new CSNs to the renamed entries and their subordinates; returns the places of these entries.
fn renew_csns(
    transaction: &Transaction<'_>,
    entries: &mut Entries,
    renamed: &[EntryNumber],
) -> Result<HashSet<EntryNumber>, StorageError> {
    let found =
        transaction.query_row("SELECT value FROM state WHERE key = 'context'", [], |row| row.get(0)).optional()?;
    let text: Option<String> = found;
    let mut context = text.and_then(|text| ContextCsn::parse_cookie(text.as_bytes())).unwrap_or_default();
    entries.values().for_each(|(_, draft)| context.advance(draft.head.csn));
    let below: HashSet<EntryNumber> =
        entries.keys().copied().filter(|place| is_within(entries, *place, renamed)).collect();
    // With a time before the last CSN in the file, the sequence counts on from that CSN, whatever the clock says.
    let Some(last) = context.csns().max() else { return Ok(below) };
    let mut sequence = CsnSequence::new(last.server, Some(last));
    for (_, draft) in entries.iter_mut().filter(|(place, _)| below.contains(place)).map(|(_, entry)| entry) {
        draft.head.csn = sequence.next(Timestamp::UNIX_EPOCH);
        context.advance(draft.head.csn);
    }
    let cookie = String::from_utf8_lossy(&context.cookie()).into_owned();
    transaction.execute("INSERT OR REPLACE INTO state VALUES ('context', ?1)", [cookie])?;
    Ok(below)
}

fn is_within(entries: &Entries, place: EntryNumber, renamed: &[EntryNumber]) -> bool {
    let mut at = place;
    // At most as many steps as entries: a damaged file may contain a cycle.
    for _ in 0..entries.len() {
        if renamed.contains(&at) {
            return true;
        }
        match entries.get(&at) {
            Some((parent, _)) => at = *parent,
            None => return false,
        }
    }
    false
}
