//! Decodes BER structures. The library's own parsers panic on malformed input; these return `None`.

use ldap3::asn1::{PL, StructureTag, parse_tag};
use ldap3::controls::Control;
use provost_entry::{AttributeDescription, Dn, Entry};
use uuid::Uuid;

use crate::ReceivedEntry;

/// Sync State control (RFC 4533 §2.3).
pub(crate) const SYNC_STATE_OID: &str = "1.3.6.1.4.1.4203.1.9.1.2";
/// Sync Info message (RFC 4533 §2.5).
const SYNC_INFO_OID: &str = "1.3.6.1.4.1.4203.1.9.1.4";
/// Paged results control (RFC 2696).
const PAGED_RESULTS_OID: &str = "1.2.840.113556.1.4.319";
/// Post-read control (RFC 4527 §3.2).
const POST_READ_OID: &str = "1.3.6.1.1.13.2";

/// Deepest nesting of constructed elements that is decoded; an entry needs four.
const DEPTH_MAX: usize = 16;

/// Universal tag numbers of BOOLEAN, OCTET STRING and SET.
const BOOLEAN: u64 = 1;
const OCTET_STRING: u64 = 4;
const SET: u64 = 17;

/// The state of one entry in a Sync State control (RFC 4533 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryState {
    Present,
    Add,
    Modify,
    Delete,
}

/// A Sync State control (RFC 4533 §2.3).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SyncState {
    pub(crate) state: EntryState,
    pub(crate) entry_uuid: Uuid,
    pub(crate) cookie: Option<Vec<u8>>,
}

/// A Sync Info message, sent between entries (RFC 4533 §2.5).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SyncInfo {
    NewCookie(Vec<u8>),
    /// A delete phase has ended. If `refresh_done`, the refresh has ended too.
    RefreshDelete {
        cookie: Option<Vec<u8>>,
        refresh_done: bool,
    },
    /// A present phase has ended. If `refresh_done`, the refresh has ended too.
    RefreshPresent {
        cookie: Option<Vec<u8>>,
        refresh_done: bool,
    },
    /// Entries that are deleted if `deletes`, and present otherwise.
    IdSet {
        cookie: Option<Vec<u8>>,
        deletes: bool,
        uuids: Vec<Uuid>,
    },
}

/// Decodes a SearchResultEntry (RFC 4511 §4.5.2). Values stay octets; attribute options stay in the names.
pub(crate) fn entry(tag: StructureTag) -> Option<Entry> {
    let mut parts = constructed(tag)?.into_iter();
    let mut entry = Entry::new(Dn::parse(&text(parts.next()?)?).ok()?);
    for attribute in constructed(parts.next()?)? {
        let mut parts = constructed(attribute)?.into_iter();
        let name = AttributeDescription::parse(&text(parts.next()?)?).ok()?;
        let values = constructed(parts.next()?)?.into_iter().map(primitive).collect::<Option<Vec<_>>>()?;
        entry.set(name, values);
    }
    Some(entry)
}

/// Decodes a SearchResultEntry without parsing its names: they and the values keep the memory in which they arrived.
pub(crate) fn received_entry(tag: StructureTag) -> Option<ReceivedEntry> {
    let mut parts = constructed(tag)?.into_iter();
    let dn = text(parts.next()?)?;
    let attributes = constructed(parts.next()?)?.into_iter().map(|attribute| {
        let mut parts = constructed(attribute)?.into_iter();
        let name = text(parts.next()?)?;
        let values = constructed(parts.next()?)?.into_iter().map(primitive).collect::<Option<Vec<_>>>()?;
        Some((name, values))
    });
    Some(ReceivedEntry { dn, attributes: attributes.collect::<Option<_>>()? })
}

/// Returns the value of the control `oid`, if present.
pub(crate) fn control<'a>(controls: &'a [Control], oid: &str) -> Option<&'a [u8]> {
    controls.iter().find(|control| control.1.ctype == oid)?.1.val.as_deref()
}

/// Returns the cookie for the next page; `None` after the last page, or without a control that can be read.
pub(crate) fn page_cookie(controls: &[Control]) -> Option<Vec<u8>> {
    let mut parts = constructed(element(control(controls, PAGED_RESULTS_OID)?)?)?.into_iter();
    let cookie = primitive(parts.nth(1)?)?;
    (!cookie.is_empty()).then_some(cookie)
}

/// Decodes the entry of a post-read control; `None` when the server sent none that can be read.
pub(crate) fn post_read(controls: &[Control]) -> Option<Entry> {
    entry(element(control(controls, POST_READ_OID)?)?)
}

/// Decodes the value of a Sync State control.
pub(crate) fn sync_state(value: &[u8]) -> Option<SyncState> {
    let mut parts = constructed(element(value)?)?.into_iter();
    let state = match primitive(parts.next()?)?.as_slice() {
        [0] => EntryState::Present,
        [1] => EntryState::Add,
        [2] => EntryState::Modify,
        [3] => EntryState::Delete,
        _ => return None,
    };
    let entry_uuid = Uuid::from_slice(&primitive(parts.next()?)?).ok()?;
    let cookie = match parts.next() {
        Some(tag) => Some(primitive(tag)?),
        None => None,
    };
    Some(SyncState { state, entry_uuid, cookie })
}

/// Decodes a Sync Info message; `None` when malformed, or another intermediate message.
pub(crate) fn sync_info(message: StructureTag) -> Option<SyncInfo> {
    let mut parts = constructed(message)?.into_iter();
    let (name, value) = (parts.next()?, parts.next()?);
    if name.id != 0 || value.id != 1 || text(name)? != SYNC_INFO_OID {
        return None;
    }
    let info = element(&primitive(value)?)?;
    match info.id {
        0 => Some(SyncInfo::NewCookie(primitive(info)?)),
        1 | 2 => {
            let deletes = info.id == 1;
            let SyncInfoFields { cookie, flag, .. } = components(info)?;
            let refresh_done = flag.unwrap_or(true);
            Some(if deletes {
                SyncInfo::RefreshDelete { cookie, refresh_done }
            } else {
                SyncInfo::RefreshPresent { cookie, refresh_done }
            })
        }
        3 => {
            let SyncInfoFields { cookie, flag, uuids } = components(info)?;
            Some(SyncInfo::IdSet { cookie, deletes: flag.unwrap_or(false), uuids })
        }
        _ => None,
    }
}

/// The optional components of a Sync Info value.
#[derive(Default)]
struct SyncInfoFields {
    cookie: Option<Vec<u8>>,
    flag: Option<bool>,
    uuids: Vec<Uuid>,
}

fn components(tag: StructureTag) -> Option<SyncInfoFields> {
    let mut found = SyncInfoFields::default();
    for part in constructed(tag)? {
        match part.id {
            OCTET_STRING => found.cookie = Some(primitive(part)?),
            BOOLEAN => found.flag = Some(primitive(part)?.first().is_some_and(|octet| *octet != 0)),
            SET => {
                let uuid = |tag| primitive(tag).and_then(|octets| Uuid::from_slice(&octets).ok());
                found.uuids = constructed(part)?.into_iter().map(uuid).collect::<Option<_>>()?;
            }
            _ => return None,
        }
    }
    Some(found)
}

/// Parses one BER element; octets after it are ignored. `None` when malformed, or deeper than [`DEPTH_MAX`].
pub(crate) fn element(octets: &[u8]) -> Option<StructureTag> {
    // The library recurses once per level: deeply nested elements would overflow the stack and end the process.
    is_shallow(octets).then(|| parse_tag(octets).ok()).flatten().map(|(_, tag)| tag)
}

/// Whether no element lies deeper than [`DEPTH_MAX`]. Octets that are not BER are left to the parser.
fn is_shallow(octets: &[u8]) -> bool {
    // Where the constructed elements around `at` end, outermost first.
    let (mut open, mut at): (Vec<usize>, usize) = (Vec::new(), 0);
    while let Some((tag, content, length)) = header(octets.get(at..).unwrap_or_default()) {
        at = at.saturating_add(content);
        let end = at.saturating_add(length);
        if tag & 0x20 != 0 {
            open.push(end);
        } else {
            at = end;
        }
        if open.len() > DEPTH_MAX {
            return false;
        }
        while open.pop_if(|end| *end <= at).is_some() {}
    }
    true
}

/// Returns the tag of the element that begins here, and the lengths of its header and content.
fn header(octets: &[u8]) -> Option<(u8, usize, usize)> {
    let (tag, first) = (*octets.first()?, *octets.get(1)?);
    if first < 0x80 {
        return Some((tag, 2, usize::from(first)));
    }
    let count = usize::from(first & 0x7f);
    // Like the library, this uses only the last eight octets of a longer length.
    let length = octets.get(2..2 + count)?.iter().fold(0_usize, |sum, octet| sum << 8 | usize::from(*octet));
    Some((tag, 2 + count, length))
}

fn constructed(tag: StructureTag) -> Option<Vec<StructureTag>> {
    match tag.payload {
        PL::C(parts) => Some(parts),
        PL::P(_) => None,
    }
}

fn primitive(tag: StructureTag) -> Option<Vec<u8>> {
    match tag.payload {
        PL::P(octets) => Some(octets),
        PL::C(_) => None,
    }
}

fn text(tag: StructureTag) -> Option<String> {
    String::from_utf8(primitive(tag)?).ok()
}

#[cfg(test)]
mod tests {
    use ldap3::asn1::TagClass;
    use proptest::prelude::*;

    use super::*;

    fn p(id: u64, octets: &[u8]) -> StructureTag {
        StructureTag { class: TagClass::Universal, id, payload: PL::P(octets.to_vec()) }
    }

    fn c(id: u64, parts: Vec<StructureTag>) -> StructureTag {
        StructureTag { class: TagClass::Universal, id, payload: PL::C(parts) }
    }

    /// The library would recurse 100,000 levels and overflow the stack.
    #[test]
    fn a_value_nested_too_deeply_is_refused() {
        let header = |depth: u32| [&[0x30, 0x84][..], &(6 * depth).to_be_bytes()].concat();
        let value: Vec<u8> = (0..100_000).rev().flat_map(header).collect();
        assert_eq!(sync_state(&value), None);
        assert_eq!(element(&value), None);
        assert_eq!(element(&[0x30, 0x82, 0, 2, 4, 0]), Some(c(16, vec![p(4, b"")])));
    }

    #[test]
    fn an_entry_keeps_values_and_attribute_options_as_they_are() {
        let attribute = |name: &str, values: &[&[u8]]| {
            c(16, vec![p(4, name.as_bytes()), c(17, values.iter().map(|value| p(4, value)).collect())])
        };
        let found = entry(c(
            4,
            vec![
                p(4, b"uid=zoe,dc=example"),
                c(
                    16,
                    vec![
                        attribute("mailAutoReplyText;lang-fr", &["absente".as_bytes()]),
                        attribute("x", &[b"\xff", b"a"]),
                    ],
                ),
            ],
        ))
        .unwrap();
        assert_eq!(found.first("MAILAUTOREPLYTEXT;lang-fr"), Some("absente"));
        assert!(found.values("mailAutoReplyText").is_empty());
        assert_eq!(found.values("x"), [b"\xff".to_vec(), b"a".to_vec()]);
        assert!(received_entry(c(4, vec![p(4, b"\xff"), c(16, vec![])])).is_none());
        assert!(entry(c(4, vec![p(4, b"not a dn")])).is_none());
        // The library panics at a referral in place of an entry.
        assert!(entry(c(19, vec![p(4, b"ldap://elsewhere/")])).is_none());
        assert!(entry(p(4, b"")).is_none());
    }

    #[test]
    fn a_sync_state_is_decoded_or_refused() {
        let uuid = Uuid::from_u128(7);
        let value = [&[0x30, 21, 10, 1, 3, 4, 16][..], uuid.as_bytes()].concat();
        let expect = SyncState { state: EntryState::Delete, entry_uuid: uuid, cookie: None };
        assert_eq!(sync_state(&value), Some(expect));
        for bad in [&b""[..], &[0x30, 0], &[0x30, 3, 10, 1, 9], &[0x30, 8, 10, 1, 1, 4, 3, 1, 2, 3], &value[..20]] {
            assert_eq!(sync_state(bad), None, "{bad:?}");
        }
    }

    fn info(value: &[u8]) -> Option<SyncInfo> {
        sync_info(c(25, vec![p(0, SYNC_INFO_OID.as_bytes()), p(1, value)]))
    }

    #[test]
    fn sync_info_is_decoded_with_and_without_its_optional_parts() {
        assert_eq!(info(&[0x80, 2, b'a', b'b']), Some(SyncInfo::NewCookie(b"ab".to_vec())));
        assert_eq!(info(&[0xa1, 0]), Some(SyncInfo::RefreshDelete { cookie: None, refresh_done: true }));
        let expect = SyncInfo::RefreshPresent { cookie: Some(b"c".to_vec()), refresh_done: false };
        assert_eq!(info(&[0xa2, 6, 4, 1, b'c', 1, 1, 0]), Some(expect));
        let uuid = Uuid::from_u128(9);
        let value = [&[0xa3, 20, 0x31, 18, 4, 16][..], uuid.as_bytes()].concat();
        assert_eq!(info(&value), Some(SyncInfo::IdSet { cookie: None, deletes: false, uuids: vec![uuid] }));
        for bad in [&b""[..], &[0xa4, 0], &[0xa1, 3, 5, 1, 0], &[0xa3, 4, 0x31, 2, 4, 0], &[0xa0, 0]] {
            assert_eq!(info(bad), None, "{bad:?}");
        }
        assert_eq!(sync_info(c(25, vec![p(0, b"1.2.3"), p(1, &[0x80, 0])])), None);
        assert_eq!(sync_info(c(25, vec![])), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn no_octets_make_a_decoder_panic(octets in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = sync_state(&octets);
            let _ = info(&octets);
            if let Some(tag) = element(&octets) {
                let _ = (entry(tag.clone()), received_entry(tag));
            }
        }
    }
}
