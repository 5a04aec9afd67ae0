//! Checks a write request against the tree, and determines the entry that results.

use std::collections::BTreeMap;

use jiff::Timestamp;
use provost_entry::{DN_DEPTH_MAX, DN_OCTETS_MAX, Dn, Filter, Rdn};
use uuid::Uuid;

use crate::access::Identity;
use crate::catalogue::{Catalogue, ClassId, TypeId};
use crate::constraint;
use crate::csn::{Csn, CsnSequence};
use crate::ldap_result::{LdapResult, OperationResult, ResultCode};
use crate::matching::{self, VisibleEntry};
use crate::message::{Attribute, ModifyItem, ModifyKind, WriteOperation};
use crate::record::{EncodedEntry, EntryDraft, EntryHead, NameId};
use crate::reply::{ResponseControl, oid};
use crate::result_entry::{self, AttributeSelection};
use crate::tree::{EntryNumber, EntrySnapshot, NO_PLACE, PLACES_MAX, Tree, TreeChange};

/// The controls of a write request.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteControls {
    /// Assertion (RFC 4528).
    pub(crate) assertion: Option<Filter>,
    /// Attributes to return as they were before (RFC 4527).
    pub(crate) pre_read: Option<Vec<String>>,
    /// Attributes to return as they are after (RFC 4527).
    pub(crate) post_read: Option<Vec<String>>,
}

/// Maximum number of subordinates that one rename moves. Bounds how long a rename delays other writes, and the memory
/// it takes.
const MOVED_ENTRIES_MAX: usize = 65_536;

/// The changes of one write, ready to commit together, and the controls of its response.
#[derive(Debug)]
pub(crate) struct PreparedWrite {
    /// The entry named in the request first, then the entries that move with it, parents before children.
    pub(crate) changes: Vec<TreeChange>,
    pub(crate) controls: Vec<ResponseControl>,
}

/// The identity and time of a write, and the sequence that numbers its changes.
#[derive(Debug)]
pub(crate) struct WriteIdentity<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) now: Timestamp,
    pub(crate) sequence: &'a mut CsnSequence,
}

/// Checks a request and determines its changes. The tree gets new shared names and, for an add, a reserved place;
/// nothing else in it changes.
pub(crate) fn prepare(
    tree: &mut Tree,
    operation: &WriteOperation,
    controls: &WriteControls,
    author: &mut WriteIdentity<'_>,
) -> OperationResult<PreparedWrite> {
    author.identity.renewed(tree).check_write(operation)?;
    let target = match operation {
        WriteOperation::Add { .. } => None,
        WriteOperation::Modify { dn, .. } | WriteOperation::Delete { dn } | WriteOperation::ModifyDn { dn, .. } => {
            Some(existing(tree, &parse_dn(dn)?)?)
        }
    };
    // RFC 4528 §3: the assertion comes before the checks of the write itself. Otherwise a client with a stale copy
    // would get the result of those checks.
    if let Some(place) = target {
        check_assertion(tree, tree.snapshot(place), author.identity, controls)?;
    }
    let effect = match (operation, target) {
        (WriteOperation::Add { dn, attributes }, _) => {
            check_room(tree.entries())?;
            WriteEffect::of(add(tree, dn, attributes, controls, author)?)
        }
        (WriteOperation::Modify { items, .. }, Some(place)) => WriteEffect::of(modify(tree, place, items)?),
        (WriteOperation::ModifyDn { new_rdn, delete_old, new_superior, .. }, Some(place)) => {
            modify_dn(tree, place, new_rdn, *delete_old, new_superior.as_deref())?
        }
        (WriteOperation::Delete { .. }, Some(place)) => {
            check_leaf(tree, place)?;
            WriteEffect::default()
        }
        (_, None) => return Err(LdapResult::new(ResultCode::NoSuchObject, "")),
    };
    Ok(finish(tree, target, effect, controls, author))
}

/// The effect of one write.
#[derive(Default)]
struct WriteEffect {
    /// The parent and content of the entry afterwards; `None` when it is deleted.
    draft: Option<(EntryNumber, EntryDraft)>,
    /// Subordinates whose DNs change because the entry is renamed.
    moved: Vec<EntryNumber>,
}

impl WriteEffect {
    fn of(draft: (EntryNumber, EntryDraft)) -> Self {
        Self { draft: Some(draft), moved: Vec::new() }
    }
}

/// Assigns a CSN to each change and a place to a new entry, and makes the pre-read and post-read controls of the
/// response.
fn finish(
    tree: &mut Tree,
    target: Option<EntryNumber>,
    effect: WriteEffect,
    controls: &WriteControls,
    author: &mut WriteIdentity<'_>,
) -> PreparedWrite {
    let WriteEffect { draft, moved } = effect;
    let csn = author.sequence.next(author.now);
    let modifier = tree.names.identity_id(author.identity.dn.as_str());
    let before = target.and_then(|place| tree.snapshot(place)).map(|s| (s.parent, s.record.clone()));
    let uuid = match (&before, &draft) {
        (Some((_, record)), _) => record.head().map(|head| head.uuid),
        (None, Some((_, draft))) => Some(draft.head.uuid),
        (None, None) => None,
    };
    let after = draft.map(|(parent, mut draft)| {
        draft.head.csn = csn;
        draft.head.modifier = modifier;
        (parent, draft.encode())
    });
    let children = target.and_then(|place| tree.snapshot(place)).map_or(0, |snapshot| snapshot.children);
    let place = target.unwrap_or_else(|| tree.allocate());
    let read = |names: &Option<Vec<String>>, side: &Option<(EntryNumber, EncodedEntry)>, oid| {
        let (names, (parent, record)) = (names.as_ref()?, side.as_ref()?);
        let snapshot = EntrySnapshot { parent: *parent, children, record };
        let visible = VisibleEntry { tree, snapshot, with_secrets: author.identity.reads_secrets() };
        let mut w = crate::ber::BerWriter::default();
        result_entry::write(&mut w, &visible, &AttributeSelection::parse(&tree.catalogue, names, false));
        Some(ResponseControl { oid, value: w.into_octets() })
    };
    let pre = read(&controls.pre_read, &before, oid::PRE_READ);
    let post = read(&controls.post_read, &after, oid::POST_READ);
    let mut changes = vec![TreeChange { place, csn, uuid: uuid.unwrap_or(Uuid::nil()), before, after }];
    changes.extend(moved.into_iter().filter_map(|place| moved_with(tree, place, modifier, author)));
    PreparedWrite { controls: pre.into_iter().chain(post).collect(), changes }
}

/// Returns the change of a subordinate whose DN changes because an ancestor is renamed.
///
/// The entry gets a new CSN although its attributes are unchanged, so that a consumer that was away receives the new
/// name (RFC 4533 §3.3).
fn moved_with(tree: &Tree, place: EntryNumber, modifier: u32, author: &mut WriteIdentity<'_>) -> Option<TreeChange> {
    let (parent, mut draft) = tree.open(place)?;
    let before = tree.snapshot(place).map(|snapshot| (parent, snapshot.record.clone()));
    let csn = author.sequence.next(author.now);
    draft.head.csn = csn;
    draft.head.modifier = modifier;
    Some(TreeChange { place, csn, uuid: draft.head.uuid, before, after: Some((parent, draft.encode())) })
}

/// Parses a DN; refuses a malformed one with `invalidDNSyntax`.
pub(crate) fn parse_dn(text: &str) -> OperationResult<Dn> {
    Dn::parse(text).map_err(|error| LdapResult::new(ResultCode::InvalidDnSyntax, error.to_string()))
}

/// Returns the place of an entry, or `noSuchObject` with the nearest existing ancestor (RFC 4511 §4.1.9).
pub(crate) fn existing(tree: &Tree, dn: &Dn) -> OperationResult<EntryNumber> {
    match tree.nearest(dn) {
        Some((place, 0)) => Ok(place),
        Some((place, _)) => {
            Err(LdapResult { matched: tree.dn(place), ..LdapResult::new(ResultCode::NoSuchObject, "") })
        }
        None => Err(LdapResult::new(ResultCode::NoSuchObject, "")),
    }
}

fn check_leaf(tree: &Tree, place: EntryNumber) -> OperationResult<()> {
    match tree.snapshot(place) {
        Some(snapshot) if snapshot.children > 0 => {
            Err(LdapResult::new(ResultCode::NotAllowedOnNonLeaf, "the entry has subordinates"))
        }
        _ => Ok(()),
    }
}

fn check_assertion(
    tree: &Tree,
    snapshot: Option<EntrySnapshot<'_>>,
    identity: &Identity,
    controls: &WriteControls,
) -> OperationResult<()> {
    let Some(filter) = &controls.assertion else { return Ok(()) };
    let holds = snapshot.is_some_and(|snapshot| {
        let visible = VisibleEntry { tree, snapshot, with_secrets: identity.reads_secrets() };
        matching::matches(&tree.catalogue, &visible, filter) == Some(true)
    });
    if holds { Ok(()) } else { Err(LdapResult::new(ResultCode::AssertionFailed, "")) }
}

/// Returns the place of the parent for a new name; refused when the name is taken or the parent is missing.
fn parent_of_new(tree: &Tree, dn: &Dn) -> OperationResult<EntryNumber> {
    match tree.nearest(dn) {
        Some((_, 0)) => Err(LdapResult::new(ResultCode::EntryAlreadyExists, "")),
        Some((parent, 1)) => Ok(parent),
        Some((nearest, _)) => {
            Err(LdapResult { matched: tree.dn(nearest), ..LdapResult::new(ResultCode::NoSuchObject, "no such parent") })
        }
        None if *dn == tree.suffix => Ok(NO_PLACE),
        None => Err(LdapResult::new(ResultCode::NoSuchObject, "not below the suffix")),
    }
}

fn add(
    tree: &mut Tree,
    dn: &str,
    attributes: &[Attribute],
    controls: &WriteControls,
    author: &mut WriteIdentity<'_>,
) -> OperationResult<(EntryNumber, EntryDraft)> {
    let dn = parse_dn(dn)?;
    let rdn = dn.rdn().ok_or_else(|| LdapResult::new(ResultCode::EntryAlreadyExists, "the root DSE"))?;
    let parent = parent_of_new(tree, &dn);
    if let (Err(refusal), None) = (&parent, &controls.assertion) {
        return Err(refusal.clone());
    }
    let mut entry = AttributeContents { classes: Vec::new(), attributes: BTreeMap::new() };
    for (name, values) in attributes {
        entry.add(tree, name, values)?;
    }
    entry.add_naming(tree, &rdn)?;
    let head = EntryHead {
        uuid: Uuid::new_v4(),
        csn: Csn { micros: author.now.as_microsecond(), count: 0, server: 0 },
        created: author.now.as_second(),
        creator: tree.names.identity_id(author.identity.dn.as_str()),
        modifier: tree.names.identity_id(author.identity.dn.as_str()),
        classes: 0,
        structural: 0,
    };
    let is_suffix = parent == Ok(NO_PLACE);
    let rdn_text = if is_suffix { dn.as_str().to_owned() } else { rdn.to_string() };
    let mut draft = EntryDraft { head, rdn: rdn_text, attributes: entry.attributes };
    if controls.assertion.is_some() {
        // RFC 4528 §3: the assertion is evaluated on the entry to be added, even when its name turns out to be taken.
        draft.head.structural = constraint::structural_class(&tree.catalogue, &entry.classes)?;
        draft.head.classes = tree.names.class_list(&tree.catalogue.clone(), entry.classes.clone())?;
        let snapshot =
            EntrySnapshot { parent: *parent.as_ref().unwrap_or(&NO_PLACE), children: 0, record: &draft.encode() };
        check_assertion(tree, Some(snapshot), author.identity, controls)?;
    }
    Ok((parent?, complete(tree, draft, entry.classes, &rdn, ResultCode::NamingViolation)?))
}

/// Makes the last checks of a draft, and stores its classes. An RDN value that is not in the entry is refused with
/// `missing`.
fn complete(
    tree: &mut Tree,
    mut draft: EntryDraft,
    classes: Vec<ClassId>,
    rdn: &Rdn,
    missing: ResultCode,
) -> OperationResult<EntryDraft> {
    constraint::check_rdn(tree, &draft, rdn, missing)?;
    draft.head.structural = constraint::check(tree, &draft, &classes)?;
    draft.head.classes = tree.names.class_list(&tree.catalogue.clone(), classes)?;
    Ok(draft)
}

/// An entry's attributes while the modifications are applied one by one.
struct AttributeContents {
    classes: Vec<ClassId>,
    attributes: BTreeMap<NameId, Vec<Vec<u8>>>,
}

/// The attribute that a modification changes.
enum ModifyTarget {
    Classes,
    Attribute(NameId, TypeId),
}

fn modify_target(tree: &mut Tree, name: &str) -> OperationResult<ModifyTarget> {
    let catalogue = tree.catalogue.clone();
    let id = tree.names.describe(&catalogue, name)?;
    let type_id = tree.names.description(id).map(|description| description.type_id);
    let type_id = type_id.ok_or_else(|| LdapResult::new(ResultCode::UndefinedAttributeType, name))?;
    if type_id == tree.special.object_class {
        return Ok(ModifyTarget::Classes);
    }
    if catalogue.type_of(type_id).no_user_modification {
        return Err(LdapResult::new(ResultCode::ConstraintViolation, format!("{name}: no user modification allowed")));
    }
    Ok(ModifyTarget::Attribute(id, type_id))
}

fn class_ids(catalogue: &Catalogue, values: &[Vec<u8>]) -> OperationResult<Vec<ClassId>> {
    let id = |value: &Vec<u8>| std::str::from_utf8(value).ok().and_then(|name| catalogue.class_id(name));
    let unknown = || LdapResult::new(ResultCode::InvalidAttributeSyntax, "objectClass: unknown class");
    values.iter().map(|value| id(value).ok_or_else(unknown)).collect()
}

impl AttributeContents {
    fn add(&mut self, tree: &mut Tree, name: &str, values: &[Vec<u8>]) -> OperationResult<()> {
        if values.is_empty() {
            return Err(LdapResult::new(ResultCode::ProtocolError, format!("{name}: no values")));
        }
        let exists = || {
            LdapResult::new(ResultCode::AttributeOrValueExists, format!("{name}: value given twice or already present"))
        };
        match modify_target(tree, name)? {
            ModifyTarget::Classes => {
                for class in class_ids(&tree.catalogue, values)? {
                    if self.classes.contains(&class) {
                        return Err(exists());
                    }
                    self.classes.push(class);
                }
            }
            ModifyTarget::Attribute(id, type_id) => {
                constraint::check_values(tree, type_id, name, values)?;
                let there = self.attributes.entry(id).or_default();
                // Many values are compared in one set of normal forms, not pairwise.
                let mut known: std::collections::HashSet<Vec<u8>> =
                    there.iter().map(|value| constraint::normal(&tree.catalogue, type_id, value)).collect();
                for value in values {
                    if !known.insert(constraint::normal(&tree.catalogue, type_id, value)) {
                        return Err(exists());
                    }
                    there.push(value.clone());
                }
            }
        }
        Ok(())
    }

    /// RFC 4511 §4.7: the server adds RDN values that the request leaves out.
    fn add_naming(&mut self, tree: &mut Tree, rdn: &Rdn) -> OperationResult<()> {
        constraint::check_naming_types(tree, rdn)?;
        for (name, value) in rdn.pairs() {
            match self.add(tree, name, &[value.as_bytes().to_vec()]) {
                Err(refusal) if refusal.code != ResultCode::AttributeOrValueExists => return Err(refusal),
                _ => {}
            }
            if let ModifyTarget::Attribute(id, type_id) = modify_target(tree, name)?
                && tree.catalogue.type_of(type_id).single_value
                && self.attributes.get(&id).is_some_and(|values| values.len() > 1)
            {
                let text = format!("naming attribute '{name}' is single-valued, and the entry has another value");
                return Err(LdapResult::new(ResultCode::NamingViolation, text));
            }
        }
        Ok(())
    }

    fn delete(&mut self, tree: &mut Tree, name: &str, values: &[Vec<u8>]) -> OperationResult<()> {
        let missing = || LdapResult::new(ResultCode::NoSuchAttribute, format!("{name}: no such attribute or value"));
        match modify_target(tree, name)? {
            ModifyTarget::Classes if values.is_empty() => self.classes.clear(),
            ModifyTarget::Classes => {
                for class in class_ids(&tree.catalogue, values)? {
                    let at = self.classes.iter().position(|there| *there == class).ok_or_else(missing)?;
                    self.classes.remove(at);
                }
            }
            ModifyTarget::Attribute(id, _) if values.is_empty() => {
                self.attributes.remove(&id).ok_or_else(missing)?;
            }
            ModifyTarget::Attribute(id, type_id) => {
                let there = self.attributes.get_mut(&id).ok_or_else(missing)?;
                // Compared as a set: removing thousands of a group's thousands of members must not delay other writes.
                let normal = |value: &Vec<u8>| constraint::normal(&tree.catalogue, type_id, value);
                let removed: std::collections::HashSet<Vec<u8>> = values.iter().map(normal).collect();
                let known: std::collections::HashSet<Vec<u8>> = there.iter().map(normal).collect();
                if removed.len() < values.len() || !removed.is_subset(&known) {
                    return Err(missing());
                }
                // Several stored values may have one normal form: an older format of the file used another matching
                // rule. Remove them all.
                there.retain(|value| !removed.contains(&normal(value)));
                if there.is_empty() {
                    self.attributes.remove(&id);
                }
            }
        }
        Ok(())
    }

    fn replace(&mut self, tree: &mut Tree, name: &str, values: &[Vec<u8>]) -> OperationResult<()> {
        match modify_target(tree, name)? {
            ModifyTarget::Classes => self.classes.clear(),
            ModifyTarget::Attribute(id, _) => _ = self.attributes.remove(&id),
        }
        if values.is_empty() { Ok(()) } else { self.add(tree, name, values) }
    }

    /// Increments an attribute (RFC 4525).
    fn increment(&mut self, tree: &mut Tree, name: &str, values: &[Vec<u8>]) -> OperationResult<()> {
        let number = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok());
        let wrong =
            || LdapResult::new(ResultCode::ConstraintViolation, format!("{name}: cannot be incremented by this value"));
        let ModifyTarget::Attribute(id, type_id) = modify_target(tree, name)? else { return Err(wrong()) };
        let ([value], true) = (values, tree.catalogue.type_of(type_id).rule == crate::catalogue::EqualityRule::Integer)
        else {
            return Err(wrong());
        };
        let step = number(value).ok_or_else(wrong)?;
        let missing = || LdapResult::new(ResultCode::NoSuchAttribute, format!("{name}: no such attribute"));
        for there in self.attributes.get_mut(&id).ok_or_else(missing)? {
            let sum = number(there).and_then(|number| number.checked_add(step)).ok_or_else(wrong)?;
            *there = sum.to_string().into_bytes();
        }
        Ok(())
    }
}

fn open(tree: &Tree, place: EntryNumber) -> OperationResult<(EntryNumber, EntryDraft, AttributeContents)> {
    let (parent, mut draft) = tree.open(place).ok_or_else(|| LdapResult::new(ResultCode::NoSuchObject, ""))?;
    let classes = tree.names.classes(draft.head.classes).map(|list| list.listed.clone()).unwrap_or_default();
    let contents = AttributeContents { classes, attributes: std::mem::take(&mut draft.attributes) };
    Ok((parent, draft, contents))
}

fn modify(tree: &mut Tree, place: EntryNumber, items: &[ModifyItem]) -> OperationResult<(EntryNumber, EntryDraft)> {
    let (parent, mut draft, mut contents) = open(tree, place)?;
    for item in items {
        match item.kind {
            ModifyKind::Add => contents.add(tree, &item.attribute, &item.values)?,
            ModifyKind::Delete => contents.delete(tree, &item.attribute, &item.values)?,
            ModifyKind::Replace => contents.replace(tree, &item.attribute, &item.values)?,
            ModifyKind::Increment => contents.increment(tree, &item.attribute, &item.values)?,
        }
    }
    // Check the structural class first. Otherwise a request that changes it would be refused because of attributes
    // that the new class does not allow.
    if constraint::structural_class(&tree.catalogue, &contents.classes)? != draft.head.structural {
        return Err(LdapResult::new(
            ResultCode::ObjectClassModsProhibited,
            "the structural class of an entry cannot change",
        ));
    }
    draft.attributes = contents.attributes;
    let rdn = Dn::parse(&draft.rdn).ok().and_then(|dn| dn.rdn()).unwrap_or_else(|| Rdn::new("", ""));
    Ok((parent, complete(tree, draft, contents.classes, &rdn, ResultCode::NotAllowedOnRdn)?))
}

fn modify_dn(
    tree: &mut Tree,
    place: EntryNumber,
    new_rdn: &str,
    delete_old: bool,
    new_superior: Option<&str>,
) -> OperationResult<WriteEffect> {
    let (parent, mut draft, mut contents) = open(tree, place)?;
    let new_rdn = match parse_dn(new_rdn)?.rdns().as_slice() {
        [rdn] => rdn.clone(),
        _ => return Err(LdapResult::new(ResultCode::InvalidDnSyntax, "the new RDN is malformed")),
    };
    if parent == NO_PLACE {
        return Err(LdapResult::new(ResultCode::UnwillingToPerform, "the suffix cannot be renamed"));
    }
    let superior = match new_superior {
        Some(dn) => existing(tree, &parse_dn(dn)?)?,
        None => parent,
    };
    let new_dn = parse_dn(&format!("{new_rdn},{}", tree.dn(superior)))?;
    let old_dn = parse_dn(&tree.dn(place))?;
    if new_dn != old_dn {
        parent_of_new(tree, &new_dn)?;
    }
    if tree.is_within(superior, place) {
        return Err(LdapResult::new(ResultCode::UnwillingToPerform, "an entry cannot be moved below itself"));
    }
    let moved = moved_entries(tree, place, &old_dn, &new_dn)?;
    if delete_old {
        for (name, value) in old_dn.rdn().iter().flat_map(Rdn::pairs) {
            contents.delete(tree, name, &[value.as_bytes().to_vec()])?;
        }
    }
    constraint::check_naming_types(tree, &new_rdn)?;
    for (name, value) in new_rdn.pairs() {
        match contents.add(tree, name, &[value.as_bytes().to_vec()]) {
            Err(refusal) if refusal.code != ResultCode::AttributeOrValueExists => return Err(refusal),
            _ => {}
        }
    }
    draft.rdn = new_rdn.to_string();
    draft.attributes = contents.attributes;
    let draft = complete(tree, draft, contents.classes, &new_rdn, ResultCode::NamingViolation)?;
    Ok(WriteEffect { draft: Some((superior, draft)), moved })
}

/// Returns the subordinates that move with a renamed entry (RFC 4511 §4.9). Refused when they are too many, or when a
/// resulting DN would be longer or deeper than a request can name.
fn moved_entries(tree: &Tree, place: EntryNumber, old_dn: &Dn, new_dn: &Dn) -> OperationResult<Vec<EntryNumber>> {
    if tree.snapshot(place).is_none_or(|snapshot| snapshot.children == 0) || old_dn.as_str() == new_dn.as_str() {
        return Ok(Vec::new());
    }
    let below = tree.subordinates(place);
    check_moved(below.len())?;
    let depth = new_dn.rdns().len();
    for (levels, place) in &below {
        let octets = tree.dn(*place).len().saturating_sub(old_dn.as_str().len()) + new_dn.as_str().len();
        if octets > DN_OCTETS_MAX || depth + levels > DN_DEPTH_MAX {
            return Err(LdapResult::new(
                ResultCode::UnwillingToPerform,
                "the DN of a subordinate would become too long or too deep",
            ));
        }
    }
    Ok(below.into_iter().map(|(_, place)| place).collect())
}

/// Checks that the tree has a place for one more entry: the next start would refuse a file with more than
/// [`PLACES_MAX`] entries.
fn check_room(entries: usize) -> OperationResult<()> {
    if entries < PLACES_MAX as usize {
        return Ok(());
    }
    let text = format!("the directory has {entries} entries, as many as it can hold");
    Err(LdapResult::new(ResultCode::AdminLimitExceeded, text))
}

fn check_moved(entries: usize) -> OperationResult<()> {
    if entries <= MOVED_ENTRIES_MAX {
        return Ok(());
    }
    let text = format!("the entry has {entries} subordinates; a rename moves at most {MOVED_ENTRIES_MAX}");
    Err(LdapResult::new(ResultCode::AdminLimitExceeded, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const SUFFIX: &str = "dc=example,dc=edu";

    fn record(rdn: &str) -> EncodedEntry {
        let csn = Csn { micros: 0, count: 0, server: 1 };
        let head = EntryHead { uuid: Uuid::nil(), csn, created: 0, creator: 0, modifier: 0, classes: 0, structural: 0 };
        EntryDraft { head, rdn: rdn.to_owned(), attributes: BTreeMap::new() }.encode()
    }

    /// Returns a tree with the suffix, an entry below it, and `below` entries below that.
    fn tree(below: u32) -> Tree {
        let catalogue = Arc::new(Catalogue::load().unwrap());
        let mut tree = Tree::new(catalogue, Dn::parse(SUFFIX).unwrap()).unwrap();
        tree.grow_to(below + 1);
        tree.insert(0, NO_PLACE, record(SUFFIX));
        tree.insert(1, 0, record("ou=a"));
        (0..below).for_each(|i| tree.insert(i + 2, 1, record(&format!("cn={i}"))));
        tree
    }

    #[test]
    fn the_directory_holds_a_bounded_number_of_entries() {
        assert!(check_room(PLACES_MAX as usize - 1).is_ok());
        assert_eq!(check_room(PLACES_MAX as usize).unwrap_err().code, ResultCode::AdminLimitExceeded);
    }

    // RFC 4511 §4.9: subordinates move with their entry. The bounds are ours.
    #[test]
    fn a_rename_moves_a_bounded_number_of_subordinates() {
        let name = |rdn: &str| Dn::parse(&format!("{rdn},{SUFFIX}")).unwrap();
        let moved = |tree: &Tree, new: &str| moved_entries(tree, 1, &name("ou=a"), &name(new)).map_err(|r| r.code);
        let small = tree(3);
        assert_eq!(moved(&small, "ou=b"), Ok(vec![2, 3, 4]));
        assert_eq!(moved(&small, "ou=a"), Ok(vec![]), "an unchanged name moves subordinates");
        let long = format!("ou={}", "x".repeat(DN_OCTETS_MAX - SUFFIX.len() - 5));
        assert_eq!(moved(&small, &long), Err(ResultCode::UnwillingToPerform));
        assert!(check_moved(MOVED_ENTRIES_MAX).is_ok());
        assert_eq!(check_moved(MOVED_ENTRIES_MAX + 1).unwrap_err().code, ResultCode::AdminLimitExceeded);
    }
}
